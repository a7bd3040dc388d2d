//! Walking the tags of a repository: each tag and each manifest once, several requests at a time.

use std::collections::HashSet;

use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use oci_model::{Manifest, ManifestRef, RawManifest, Tag};
use registry_backend::{Error as BackendError, ErrorKind, RegistryBackend};

use crate::Result;

/// A manifest with a tag. If several tags name it, the first one counts.
#[derive(Clone, Debug)]
pub struct Tagged {
    /// The tag.
    pub tag: Tag,
    /// The manifest, as it is stored.
    pub raw: RawManifest,
    /// The manifest, parsed.
    pub manifest: Manifest,
}

/// An item of a walk.
#[derive(Debug)]
pub enum Met {
    /// A manifest.
    Artifact(Box<Tagged>),
    /// A tag whose manifest is missing or invalid.
    Unreadable {
        /// The tag.
        tag: Tag,
        /// Why the manifest cannot be read.
        error: BackendError,
    },
}

/// Walks the tags in the order of the store, beginning with the tag `first` if there is one.
///
/// Each manifest is requested by its tag. Asking for its digest first would need another request per tag.
///
/// # Errors
///
/// Fails if the tags cannot be listed, or the store fails.
pub fn walk(backend: &dyn RegistryBackend, first: Option<Tag>) -> BoxStream<'_, Result<Met>> {
    let parallel = backend.capabilities().parallel_blobs.max(1);
    let guess = stream::iter(first.clone()).map(|tag| Ok((tag, true)));
    let listed = backend.tags().map_ok(|tag| (tag, false));
    let listed = listed.try_filter(move |(tag, _)| std::future::ready(Some(tag) != first.as_ref()));
    let mut seen = HashSet::new();
    guess
        .chain(listed.map_err(crate::Error::from))
        .map_ok(move |(tag, is_guess)| read(backend, tag, is_guess))
        .try_buffered(parallel)
        .try_filter_map(move |met| {
            let met = met.filter(|met| match met {
                Met::Artifact(tagged) => seen.insert(tagged.raw.digest().clone()),
                Met::Unreadable { .. } => true,
            });
            std::future::ready(Ok(met))
        })
        .boxed()
}

/// Reads the manifest that a tag names. A guessed tag need not exist.
async fn read(backend: &dyn RegistryBackend, tag: Tag, is_guess: bool) -> Result<Option<Met>> {
    let at = ManifestRef::Tag(tag.clone());
    let error = match backend.read_manifest(&at).await {
        Ok(raw) => match raw.parse() {
            Ok(manifest) => return Ok(Some(Met::Artifact(Box::new(Tagged { tag, raw, manifest })))),
            Err(error) => BackendError::new(ErrorKind::Invalid, "read manifest", &at).caused_by(error),
        },
        Err(error) if is_guess && error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) if concerns_content(error.kind()) => error,
        Err(error) => return Err(error.into()),
    };
    Ok(Some(Met::Unreadable { tag, error }))
}

/// Tells whether a failure concerns only the artifact, and not the whole store.
pub fn concerns_content(kind: ErrorKind) -> bool {
    use ErrorKind::{Incomplete, Invalid, NotFound, TooLarge, Unsupported};
    matches!(kind, NotFound | Invalid | Incomplete | TooLarge | Unsupported)
}
