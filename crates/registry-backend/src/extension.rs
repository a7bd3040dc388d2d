//! Conveniences for callers of a backend.

use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use oci_model::{Descriptor, Digest, DigestHasher, ImageManifest, Manifest, ManifestRef, RawManifest};

use crate::{BlobRead, ByteStream, Error, ErrorKind, RegistryBackend, Result, TagEntry};

/// Conveniences for callers, implemented for every backend.
///
/// ```
/// use oci_model::{Descriptor, ImageManifest, RawManifest, Tag};
/// use registry_backend::{BytesSource, MemoryBackend, RegistryBackend, RegistryBackendExt, WriteHint};
///
/// # futures::executor::block_on(async {
/// let backend = MemoryBackend::new();
/// backend.write_blob(&BytesSource::new(Descriptor::EMPTY_CONTENT), &WriteHint::default()).await?;
/// let manifest = ImageManifest::new("text/csv".parse()?, Descriptor::empty());
/// let tag: Tag = "v1".parse()?;
/// backend.write_manifest(&tag.clone().into(), &RawManifest::from_image(&manifest)).await?;
/// let (_, read) = backend.read_image_manifest(&tag.into()).await?;
/// assert_eq!(backend.read_blob_to_memory(&read.config, 1024).await?, Descriptor::EMPTY_CONTENT);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[async_trait]
pub trait RegistryBackendExt {
    /// Returns the descriptor of a manifest.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) if it does not exist.
    async fn resolve(&self, at: &ManifestRef) -> Result<Descriptor>;

    /// Returns a whole blob of at most `limit` bytes, verified.
    ///
    /// # Errors
    ///
    /// [`TooLarge`](ErrorKind::TooLarge) above the limit; [`Invalid`](ErrorKind::Invalid) if the bytes do not have the
    /// size or the digest.
    async fn read_blob_to_memory(&self, descriptor: &Descriptor, limit: u64) -> Result<Vec<u8>>;

    /// Returns an image manifest with its bytes.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) if it is an index, or not a valid manifest.
    async fn read_image_manifest(&self, at: &ManifestRef) -> Result<(RawManifest, ImageManifest)>;

    /// Returns the tags, as [`tags`](RegistryBackend::tags) does, and none if the repository does not exist yet.
    ///
    /// Registries create a repository with its first push. A command that fills a repository starts with this list.
    fn tags_if_any(&self) -> BoxStream<'_, Result<TagEntry>>;
}

#[async_trait]
impl<B: RegistryBackend + ?Sized> RegistryBackendExt for B {
    async fn resolve(&self, at: &ManifestRef) -> Result<Descriptor> {
        let found = self.stat_manifest(at).await?;
        found.ok_or_else(|| Error::new(ErrorKind::NotFound, "find", format!("{at} in {self}")))
    }

    async fn read_blob_to_memory(&self, descriptor: &Descriptor, limit: u64) -> Result<Vec<u8>> {
        let Descriptor { digest, size, .. } = descriptor;
        if *size > limit {
            return Err(Error::new(ErrorKind::TooLarge, "read blob", digest)
                .because(format!("expected at most {limit} bytes, found {size}")));
        }
        let read = self.read_blob(digest, None).await?;
        if read.blob_size != *size {
            return Err(Error::new(ErrorKind::Invalid, "read blob", digest)
                .because(format!("expected {size} bytes, found {}", read.blob_size)));
        }
        let mut bytes = Vec::new();
        let mut stream = verified(read, digest)?;
        while let Some(chunk) = stream.try_next().await? {
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    fn tags_if_any(&self) -> BoxStream<'_, Result<TagEntry>> {
        let mut is_first = true;
        let exists = move |entry: &Result<TagEntry>| {
            // A list that breaks off later is not a missing repository.
            let is_first = std::mem::replace(&mut is_first, false);
            let is_missing = matches!(entry, Err(error) if error.kind() == ErrorKind::NotFound);
            std::future::ready(!(is_first && is_missing))
        };
        self.tags().take_while(exists).boxed()
    }

    async fn read_image_manifest(&self, at: &ManifestRef) -> Result<(RawManifest, ImageManifest)> {
        let raw = self.read_manifest(at).await?;
        let invalid = |error: Error| Err(error);
        match raw.parse() {
            Ok(Manifest::Image(manifest)) => Ok((raw, manifest)),
            Ok(Manifest::Artifact(manifest)) => Ok((raw, manifest.into())),
            Ok(Manifest::Index(index)) => {
                invalid(Error::new(ErrorKind::Invalid, "use as an artifact", at).because(format!(
                    "it is an image index; name one of the manifests that it lists: {}",
                    named(&index.manifests)
                )))
            }
            Ok(_) => invalid(
                Error::new(ErrorKind::Invalid, "use as an artifact", at)
                    .because(format!("expected an image manifest, found {}", raw.media_type())),
            ),
            Err(error) => invalid(Error::new(ErrorKind::Invalid, "read manifest", at).caused_by(error)),
        }
    }
}

/// How many manifests an error names.
const NAMED: usize = 10;

/// Returns the digests of manifests with their types, for an error.
fn named(manifests: &[Descriptor]) -> String {
    let mut names: Vec<String> = manifests
        .iter()
        .take(NAMED)
        .map(|manifest| {
            let kind = manifest.artifact_type.as_ref().unwrap_or(&manifest.media_type);
            format!("{} ({kind})", manifest.digest)
        })
        .collect();
    if manifests.len() > NAMED {
        names.push(format!("and {} more", manifests.len() - NAMED));
    }
    names.join(", ")
}

/// Returns the stream of a whole blob, ending in an error unless the bytes have the digest and the blob's size.
///
/// # Errors
///
/// [`Unsupported`](ErrorKind::Unsupported) if the digest's algorithm cannot be computed;
/// [`Invalid`](ErrorKind::Invalid) if the stream is only a range of the blob.
///
/// ```
/// use futures::TryStreamExt;
/// use registry_backend::{BytesSource, BlobSource, MemoryBackend, RegistryBackend, WriteHint, verified};
///
/// # futures::executor::block_on(async {
/// let backend = MemoryBackend::new();
/// let blob = BytesSource::new("15,7.2");
/// backend.write_blob(&blob, &WriteHint::default()).await?;
/// let read = backend.read_blob(blob.digest(), None).await?;
/// let pieces: Vec<_> = verified(read, blob.digest())?.try_collect().await?;
/// assert_eq!(pieces.concat(), b"15,7.2");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub fn verified(read: BlobRead, digest: &Digest) -> Result<ByteStream> {
    if !read.is_whole() {
        return Err(Error::new(ErrorKind::Invalid, "verify", digest)
            .because("expected the whole blob, found a range"));
    }
    let hasher = DigestHasher::matching(digest).ok_or_else(|| {
        Error::new(ErrorKind::Unsupported, "verify", digest).because("expected a sha256 or sha512 digest")
    })?;
    let check =
        Check { stream: read.stream, hasher: Some(hasher), left: read.blob_size, digest: digest.clone() };
    Ok(futures::stream::try_unfold(check, Check::next).boxed())
}

struct Check {
    stream: ByteStream,
    hasher: Option<DigestHasher>,
    left: u64,
    digest: Digest,
}

impl Check {
    async fn next(mut self) -> Result<Option<(bytes::Bytes, Self)>> {
        match self.stream.try_next().await? {
            Some(chunk) => {
                let Some(left) = self.left.checked_sub(chunk.len() as u64) else {
                    return Err(self.mismatch("the stream has too many bytes".to_owned()));
                };
                self.left = left;
                if let Some(hasher) = &mut self.hasher {
                    hasher.update(&chunk);
                }
                Ok(Some((chunk, self)))
            }
            None if self.left > 0 => Err(self.mismatch(format!("the stream ends {} bytes early", self.left))),
            None => match self.hasher.take().map(DigestHasher::finish) {
                Some(actual) if actual != self.digest => {
                    Err(self.mismatch(format!("found bytes with the digest {actual}")))
                }
                _ => Ok(None),
            },
        }
    }

    fn mismatch(&self, reason: String) -> Error {
        Error::new(ErrorKind::Invalid, "verify blob", &self.digest).because(reason)
    }
}
