//! What the layers alone say, where there is no index.

/// The content of a manifest without an index.
#[derive(Clone, Debug, Default)]
pub(super) struct ForeignContent {}
