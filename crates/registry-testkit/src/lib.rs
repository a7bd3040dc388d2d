//! The conformance suite that every registry backend passes.
