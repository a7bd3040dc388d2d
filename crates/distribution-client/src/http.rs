//! What registries say in headers.

pub(crate) mod link;
pub(crate) mod redacted;
pub(crate) mod retry_after;
pub(crate) mod upload_range;
pub(crate) mod warning;
