//! The contract that every store for OCI artifacts fulfils, and an in-memory implementation of it.
