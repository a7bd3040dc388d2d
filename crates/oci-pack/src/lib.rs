//! Deterministic archive layers with random access, and safe unpacking.
