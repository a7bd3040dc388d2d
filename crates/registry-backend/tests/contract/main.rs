//! The contract's own code: lists of backends, errors, and verified reads.

mod backends;
mod error;
mod reading;
