//! What is written for HTTP.

pub(crate) mod query;
