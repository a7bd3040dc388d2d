//! Reading manifests from their blobs, and what they refer to.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use futures::TryStreamExt;
use oci_model::{Descriptor, Digest, MANIFEST_READ_LIMIT, Manifest, ManifestError, MediaType, RawManifest};
use registry_backend::{Error, ErrorKind, Result};
use serde_json::Value;

use crate::LayoutBackend;
use crate::storage::absent;

/// How many manifests are remembered; each takes about a hundred bytes, and more for an index.
const REMEMBERED: usize = 200_000;

/// What a manifest says of other manifests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Links {
    /// The manifests that an index lists.
    pub(crate) children: Vec<Descriptor>,
    /// The manifest that it refers to.
    pub(crate) subject: Option<Descriptor>,
}

/// Everything that a manifest refers to.
#[derive(Debug, Default)]
pub(crate) struct References {
    pub(crate) links: Links,
    pub(crate) blobs: Vec<Digest>,
}

/// Links of manifests that were read: content under a digest never changes.
#[derive(Default)]
pub(crate) struct LinkCache {
    known: Mutex<HashMap<Digest, Arc<Links>>>,
}

impl LayoutBackend {
    /// Returns a manifest's bytes, verified.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) if the blob is not there.
    pub(crate) async fn verified_manifest(&self, target: &str, listed: &Descriptor) -> Result<RawManifest> {
        const OPERATION: &str = "read manifest";
        let fail = |kind| Error::new(kind, OPERATION, target);
        let Descriptor { media_type, digest, size, .. } = listed;
        if *size > MANIFEST_READ_LIMIT {
            return Err(fail(ErrorKind::TooLarge)
                .because(format!("{digest} has {size} bytes, and at most {MANIFEST_READ_LIMIT} are read")));
        }
        let read = self.storage.read(digest, None).await.map_err(|error| match error.kind() {
            ErrorKind::NotFound => absent(OPERATION, digest)
                .because(format!("it is listed as {target} in {self}, but its blob is missing")),
            _ => error,
        })?;
        if read.blob_size != *size {
            return Err(fail(ErrorKind::Invalid)
                .because(format!("{digest} has {} bytes, but its descriptor says {size}", read.blob_size)));
        }
        let pieces: Vec<_> = read.stream.try_collect().await?;
        RawManifest::verified(pieces.concat(), media_type.clone(), digest).map_err(|error| {
            let kind = match error {
                ManifestError::Algorithm(_) => ErrorKind::Unsupported,
                _ => ErrorKind::Invalid,
            };
            fail(kind).because(error.to_string())
        })
    }

    /// Returns what a manifest says of others, or `None` if its blob is missing. What is no manifest, or no valid one,
    /// says nothing.
    pub(crate) async fn links(&self, listed: &Descriptor) -> Result<Option<Arc<Links>>> {
        if !may_refer(&listed.media_type) {
            return Ok(Some(Arc::default()));
        }
        if let Some(known) = self.links.get(&listed.digest) {
            return Ok(Some(known));
        }
        let references = match self.parse_references(listed).await? {
            None => return Ok(None),
            Some(parsed) => parsed.unwrap_or_default(),
        };
        Ok(Some(Arc::new(references.links)))
    }

    /// As [`links`](Self::links), but what is no valid manifest is an error, and one that is missing says nothing.
    pub(crate) async fn strict_links(&self, listed: &Descriptor) -> Result<Arc<Links>> {
        if let Some(known) = self.links.get(&listed.digest) {
            return Ok(known);
        }
        let references = self.references(listed).await?;
        Ok(references.map(|references| Arc::new(references.links)).unwrap_or_default())
    }

    /// Returns everything that a manifest refers to, or `None` if its blob is missing.
    ///
    /// # Errors
    ///
    /// If it cannot be read or is not valid, naming it.
    pub(crate) async fn references(&self, listed: &Descriptor) -> Result<Option<References>> {
        self.parse_references(listed).await?.transpose()
    }

    /// The outer error is one of reading, the inner one says that what was read is no valid manifest.
    async fn parse_references(&self, listed: &Descriptor) -> Result<Option<Result<References>>> {
        let may_refer = may_refer(&listed.media_type);
        let raw = match self.verified_manifest(listed.digest.as_str(), listed).await {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            // Whatever is too large for a manifest is none.
            Err(error) if error.kind() == ErrorKind::TooLarge && !may_refer => {
                return Ok(Some(Ok(References::default())));
            }
            read => read?,
        };
        if !may_refer {
            return Ok(Some(Ok(References { links: Links::default(), blobs: digests_in(raw.bytes()) })));
        }
        let parsed = raw.parse().map(references_of).map_err(|error| {
            Error::new(ErrorKind::Invalid, "read manifest", &listed.digest)
                .because(error.to_string())
                .caused_by(error)
        });
        if let Ok(references) = &parsed {
            self.links.remember(&listed.digest, &references.links);
        }
        Ok(Some(parsed))
    }
}

/// Tells whether this is a type of manifest whose references are known.
pub(crate) fn may_refer(media_type: &MediaType) -> bool {
    media_type.is_index() || media_type.is_manifest()
}

fn references_of(manifest: Manifest) -> References {
    let blobs = manifest.blobs().into_iter().map(|blob| blob.digest.clone()).collect();
    let links = match manifest {
        Manifest::Image(image) => Links { children: Vec::new(), subject: image.subject },
        Manifest::Index(index) => Links { children: index.manifests, subject: index.subject },
        other => Links { children: Vec::new(), subject: other.subject().cloned() },
    };
    References { links, blobs }
}

/// Returns all digests that stand anywhere in a JSON text, as `digest` fields or not: of a manifest of an unknown type
/// nothing else is known to say what it needs.
fn digests_in(text: &[u8]) -> Vec<Digest> {
    let Ok(value) = serde_json::from_slice::<Value>(text) else { return Vec::new() };
    let mut found = HashSet::new();
    let mut left = vec![&value];
    while let Some(value) = left.pop() {
        match value {
            Value::String(text) => found.extend(text.parse::<Digest>()),
            Value::Array(values) => left.extend(values),
            Value::Object(fields) => left.extend(fields.values()),
            _ => {}
        }
    }
    found.into_iter().collect()
}

impl LinkCache {
    fn get(&self, digest: &Digest) -> Option<Arc<Links>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(digest).cloned()
    }

    fn remember(&self, digest: &Digest, links: &Links) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(digest.clone(), Arc::new(links.clone()));
    }
}

impl fmt::Debug for LinkCache {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("LinkCache")
    }
}
