//! The kinds of differences between the copies of objects and DataONE, and between two repositories.

use serde::Serialize;

/// The kind of a difference between the copy of an object and DataONE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum DifferenceKind {
    /// The node that held the object no longer has it.
    Gone,
    /// The object is no longer public.
    Private,
    /// The object is archived now.
    Archived,
    /// A newer version replaces the object now.
    Obsoleted,
    /// The object has another size or checksum.
    Content,
    /// Other system metadata changed, except for their volatile parts.
    Changed,
    /// The repository lacks the object.
    Missing,
    /// The object belongs to another node, and this node does not have it. Or the other repository lacks the package or its member.
    OnlyHere,
}
