//! The size of a manifest before it is written.
