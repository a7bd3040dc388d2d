//! Finding packages and objects in a repository by what is known of them.

mod locate;
mod query;
mod search;
mod summary;
mod versions;

use std::sync::Arc;

use d1_model::Identifier;
use d1_transfer::{ListedFile, Observer};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use oci_model::Tag;
use registry_backend::RegistryBackend;
use serde::Serialize;

use crate::Result;

pub use locate::{Located, Purpose, locate};
pub(crate) use query::made;
pub use query::{Query, parse_time};
pub use summary::{ArtifactKind, ArtifactSummary};

/// Something that fits a query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Found {
    /// The artifact.
    #[serde(flatten)]
    pub artifact: ArtifactSummary,
    /// The object in it that fits: each one if objects are listed, else the one by whose identifier the artifact was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<ListedFile>,
}

/// Finds what fits, among all artifacts that have a tag. Results come as they are found, in the order in which the store
/// lists its tags; what the tag of a wanted identifier names comes first.
///
/// Every manifest is read, and of those that may fit the index if the answer is in there. Of an artifact that cannot be
/// read the observer is warned.
///
/// # Errors
///
/// If the store fails.
pub fn find<'a>(
    backend: &'a dyn RegistryBackend,
    query: &'a Query,
    observer: &'a Arc<dyn Observer>,
) -> BoxStream<'a, Result<Found>> {
    let first = query.identifier.as_ref().and_then(tag_of);
    search::search(backend, query, first, observer)
        .map_ok(|searched| stream::iter(searched.found.into_iter().map(Ok)))
        .try_flatten()
        .boxed()
}

/// Returns the tag that stands for an identifier.
fn tag_of(identifier: &Identifier) -> Option<Tag> {
    identifier.tag().parse().ok()
}
