//! Reading manifests from their blobs, and what they refer to.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use futures::TryStreamExt;
use oci_model::{Descriptor, Digest, MANIFEST_READ_LIMIT, Manifest, ManifestError, MediaType, RawManifest};
use registry_backend::{Error, ErrorKind, Result};
use serde_json::Value;

use crate::index::Index;
use crate::storage::{Storage, absent};

/// How many manifests a search reads at once.
pub(crate) const PARALLEL: usize = 16;

/// How many manifests a search follows: a bound on the reads that a hostile layout can cause.
pub(crate) const FOLLOWED: usize = 5_000_000;

/// How many bytes the remembered links take at most.
const REMEMBERED_BYTES: usize = 64 << 20;

/// The manifests that a manifest refers to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Links {
    /// The manifests that an image index lists.
    pub(crate) children: Vec<Descriptor>,
    /// The manifest's subject.
    pub(crate) subject: Option<Descriptor>,
}

/// Everything that a manifest refers to.
#[derive(Debug, Default)]
pub(crate) struct References {
    pub(crate) links: Links,
    pub(crate) blobs: Vec<Digest>,
}

/// A manifest that an image index below the layout's own index lists.
#[derive(Debug)]
pub(crate) struct Nested {
    pub(crate) parent: Digest,
    pub(crate) child: Descriptor,
}

/// The manifests of a layout. Remembers the links of those it has read: content under a digest never changes.
pub(crate) struct Manifests {
    pub(crate) storage: Box<dyn Storage>,
    /// The name of the layout for people.
    pub(crate) name: String,
    known: Mutex<Known>,
}

/// The remembered links.
#[derive(Default)]
struct Known {
    links: HashMap<Digest, Arc<Links>>,
    /// About how many bytes they take.
    bytes: usize,
}

impl Manifests {
    pub(crate) fn new(storage: Box<dyn Storage>, name: String) -> Self {
        Self { storage, name, known: Mutex::default() }
    }

    /// Reads and verifies a manifest; `target` names it in errors.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) if its blob does not exist.
    pub(crate) async fn read(&self, target: &str, listed: &Descriptor) -> Result<RawManifest> {
        const OPERATION: &str = "read manifest";
        let fail = |kind| Error::new(kind, OPERATION, target);
        let Descriptor { media_type, digest, size, .. } = listed;
        if *size > MANIFEST_READ_LIMIT {
            return Err(fail(ErrorKind::TooLarge).because(format!(
                "expected at most {MANIFEST_READ_LIMIT} bytes, found {size} for {digest}"
            )));
        }
        let read = self.storage.read(digest, None).await.map_err(|error| match error.kind() {
            ErrorKind::NotFound => absent(OPERATION, digest)
                .because(format!("{} lists it as {target}, but its blob is missing", self.name)),
            _ => error,
        })?;
        if read.blob_size != *size {
            return Err(fail(ErrorKind::Invalid)
                .because(format!("expected {size} bytes, found {} for {digest}", read.blob_size)));
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

    /// Returns the links of a manifest, or `None` if its blob is missing. A blob that is not a valid manifest has no links.
    pub(crate) async fn links(&self, listed: &Descriptor) -> Result<Option<Arc<Links>>> {
        if !may_refer(&listed.media_type) {
            return Ok(Some(Arc::default()));
        }
        if let Some(known) = self.known(&listed.digest) {
            return Ok(Some(known));
        }
        let references = match self.parse_references(listed).await? {
            None => return Ok(None),
            Some(parsed) => parsed.unwrap_or_default(),
        };
        Ok(Some(Arc::new(references.links)))
    }

    /// Returns the links of a manifest; a missing manifest has none.
    ///
    /// # Errors
    ///
    /// If the manifest cannot be read or is not valid.
    pub(crate) async fn strict_links(&self, listed: &Descriptor) -> Result<Arc<Links>> {
        if let Some(known) = self.known(&listed.digest) {
            return Ok(known);
        }
        let references = self.references(listed).await?;
        Ok(references.map(|references| Arc::new(references.links)).unwrap_or_default())
    }

    /// Returns everything that a manifest refers to, or `None` if its blob is missing.
    ///
    /// # Errors
    ///
    /// If the manifest cannot be read or is not valid; the error names it.
    pub(crate) async fn references(&self, listed: &Descriptor) -> Result<Option<References>> {
        self.parse_references(listed).await?.transpose()
    }

    /// Returns the descriptor of a manifest that an image index below the layout's own index lists.
    pub(crate) async fn find_nested(&self, index: &Index, digest: &Digest) -> Result<Option<Nested>> {
        let mut seen = HashSet::new();
        let mut front: Vec<_> = index.indexes().map(|(_, entry)| entry.descriptor()).collect();
        while !front.is_empty() {
            front.retain(|listed| seen.insert(listed.digest.clone()));
            if seen.len() > FOLLOWED {
                return Err(self.too_many());
            }
            let mut next = Vec::new();
            for parent in front {
                let Some(links) = self.links(&parent).await? else { continue };
                if let Some(child) = links.children.iter().find(|child| child.digest == *digest) {
                    return Ok(Some(Nested { parent: parent.digest, child: child.clone() }));
                }
                next.extend(links.children.iter().filter(|child| child.media_type.is_index()).cloned());
            }
            front = next;
        }
        Ok(None)
    }

    /// Returns the error of a search that exceeds [`FOLLOWED`].
    pub(crate) fn too_many(&self) -> Error {
        Error::new(ErrorKind::TooLarge, "follow the manifests of", &self.name)
            .because(format!("expected at most {FOLLOWED} manifests, found more"))
    }

    /// The outer error comes from reading; the inner one says that the blob is not a valid manifest.
    async fn parse_references(&self, listed: &Descriptor) -> Result<Option<Result<References>>> {
        let may_refer = may_refer(&listed.media_type);
        let raw = match self.read(listed.digest.as_str(), listed).await {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            // A blob that is too large for a manifest is not one.
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
            self.remember(&listed.digest, &references.links);
        }
        Ok(Some(parsed))
    }

    fn known(&self, digest: &Digest) -> Option<Arc<Links>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).links.get(digest).cloned()
    }

    fn remember(&self, digest: &Digest, links: &Links) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).add(digest, links, REMEMBERED_BYTES);
    }
}

impl Known {
    /// Adds links, and forgets all others first if they would take more than `most` bytes together.
    fn add(&mut self, digest: &Digest, links: &Links, most: usize) {
        let bytes = size_in_memory(links);
        if bytes > most {
            return;
        }
        if self.bytes + bytes > most {
            *self = Self::default();
        }
        if self.links.insert(digest.clone(), Arc::new(links.clone())).is_none() {
            self.bytes += bytes;
        }
    }
}

/// Returns about how many bytes links take, with their place in a map.
fn size_in_memory(links: &Links) -> usize {
    const PLACE: usize = 200;
    let descriptors = links.children.iter().chain(&links.subject);
    let sizes = descriptors.map(|descriptor| {
        let texts = descriptor.annotations.iter().map(|(key, value)| key.len() + value.len() + PLACE);
        let urls = descriptor.urls.iter().map(|url| url.len() + size_of::<String>());
        // Fields of unknown names and platforms are trees of values.
        let trees = descriptor.platform.iter().map(|platform| platform.len() * PLACE);
        let others = descriptor.other.values().map(|value| value.to_string().len() * 4 + PLACE);
        let data = descriptor.data.as_ref().map_or(0, String::len);
        texts
            .chain(urls)
            .chain(trees)
            .chain(others)
            .fold(size_of_val(descriptor) + PLACE + data, usize::saturating_add)
    });
    sizes.fold(PLACE, usize::saturating_add)
}

impl fmt::Debug for Manifests {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Manifests").field("storage", &self.storage).finish_non_exhaustive()
    }
}

/// Tells whether this crate knows how manifests of this type refer to others.
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

/// Returns all digests anywhere in a JSON text, in `digest` fields or not: an unknown type of manifest may need any of them.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn links(children: usize, annotation: usize) -> Links {
        let media_type = MediaType::from_static(MediaType::IMAGE_MANIFEST);
        let child = Descriptor::new(media_type, Digest::sha256_of(b"child"), 1);
        let child = child.with_annotation("a", "x".repeat(annotation));
        Links { children: vec![child; children], subject: None }
    }

    #[test]
    fn remembered_links_are_bounded_by_bytes() {
        let mut known = Known::default();
        let most = 1 << 20;
        for number in 0..1000_u32 {
            known.add(&Digest::sha256_of(&number.to_le_bytes()), &links(2, 5000), most);
            assert!(known.bytes <= most && known.bytes >= known.links.len() * 10_000);
        }
        assert!(known.links.len() > 10);
        let before = known.links.len();
        known.add(&Digest::sha256_of(b"large"), &links(1000, 5000), most);
        assert_eq!(known.links.len(), before, "links that are too large are not remembered");
    }
}
