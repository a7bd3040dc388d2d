//! Checking an index.
