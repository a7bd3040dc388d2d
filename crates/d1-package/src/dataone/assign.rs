//! Matching system metadata with files.
