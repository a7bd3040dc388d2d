//! A scripted DataONE node.
