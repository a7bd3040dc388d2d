//! What HTTP says: headers and places.

pub(crate) mod link;
pub(crate) mod location;
pub(crate) mod range;
pub(crate) mod retry_after;
pub(crate) mod warning;
