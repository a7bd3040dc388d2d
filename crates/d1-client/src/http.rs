//! What HTTP says: headers and places.

pub(crate) mod place;
pub(crate) mod query;
pub(crate) mod range;
pub(crate) mod retry_after;
