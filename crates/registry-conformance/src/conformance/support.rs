//! The few steps that most checks share.

use std::fmt::{Debug, Display};
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use oci_model::{Descriptor, Digest, ImageIndex, ImageManifest, ManifestRef, MediaType, RawManifest, Tag};
use registry_backend::{
    BlobRead, BlobSource, BytesSource, Error, ErrorKind, RegistryBackend, Result, WriteHint,
};

use super::failure::{ensure, ensure_equal};
use super::{EmptyRepository, Failure};
use crate::pseudo_random;

/// The result of a check.
pub(super) type Outcome = Result<(), Failure>;

pub(super) const ARTIFACT_TYPE: &str = "application/vnd.example.thing";

/// A digest that no content in these checks has.
pub(super) fn absent_digest() -> Digest {
    Digest::sha256_of(b"content that nobody stores")
}

/// Parses a text of these checks.
pub(super) fn well_formed<T: FromStr<Err: Display>>(text: &str) -> Result<T, Failure> {
    text.parse().map_err(|error| Failure::new(format!("{error}")))
}

pub(super) fn tag(text: &str) -> Tag {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

pub(super) fn at(text: &str) -> ManifestRef {
    ManifestRef::Tag(tag(text))
}

pub(super) fn by_digest(manifest: &RawManifest) -> ManifestRef {
    ManifestRef::Digest(manifest.digest().clone())
}

/// Stores a blob and returns its descriptor.
pub(super) async fn store_blob(
    backend: &dyn RegistryBackend,
    bytes: impl Into<Bytes>,
) -> Result<Descriptor, Failure> {
    let source = BytesSource::new(bytes);
    backend.write_blob(&source, &WriteHint::default()).await?;
    let media_type = MediaType::from_static(MediaType::OCTET_STREAM);
    Ok(Descriptor::new(media_type, source.digest().clone(), source.size()))
}

/// Stores the blobs of a small artifact that differs by seed, and returns its manifest, which is not stored.
pub(super) async fn artifact(backend: &dyn RegistryBackend, seed: u64) -> Result<ImageManifest, Failure> {
    store_blob(backend, Descriptor::EMPTY_CONTENT).await?;
    let mut manifest = ImageManifest::new(MediaType::from_static(ARTIFACT_TYPE), Descriptor::empty());
    manifest.layers.push(store_blob(backend, pseudo_random(seed, 100)).await?);
    manifest.annotations.insert("org.example.seed".to_owned(), seed.to_string());
    Ok(manifest)
}

/// Stores an image manifest and returns its bytes.
pub(super) async fn store_manifest(
    backend: &dyn RegistryBackend,
    at: &ManifestRef,
    manifest: &ImageManifest,
) -> Result<RawManifest, Failure> {
    let raw = RawManifest::from_image(manifest);
    backend.write_manifest(at, &raw).await?;
    Ok(raw)
}

/// Stores a small artifact, blobs and manifest, under a tag.
pub(super) async fn store_artifact(
    backend: &dyn RegistryBackend,
    tag: &str,
    seed: u64,
) -> Result<RawManifest, Failure> {
    let manifest = artifact(backend, seed).await?;
    store_manifest(backend, &at(tag), &manifest).await
}

/// Stores a small artifact without a tag.
pub(super) async fn store_untagged(backend: &dyn RegistryBackend, seed: u64) -> Result<RawManifest, Failure> {
    let manifest = artifact(backend, seed).await?;
    let raw = RawManifest::from_image(&manifest);
    backend.write_manifest(&by_digest(&raw), &raw).await?;
    Ok(raw)
}

/// Stores a small artifact without a tag that refers to a subject.
pub(super) async fn store_referrer(
    backend: &dyn RegistryBackend,
    subject: &RawManifest,
    seed: u64,
) -> Result<RawManifest, Failure> {
    let mut manifest = artifact(backend, seed).await?;
    manifest.subject = Some(subject.descriptor());
    let raw = RawManifest::from_image(&manifest);
    backend.write_manifest(&by_digest(&raw), &raw).await?;
    Ok(raw)
}

/// Stores an index of manifests under a tag.
pub(super) async fn store_index(
    backend: &dyn RegistryBackend,
    tag: &str,
    children: &[&RawManifest],
) -> Result<RawManifest, Failure> {
    let raw = RawManifest::from_index(&ImageIndex::new(descriptors(children)));
    backend.write_manifest(&at(tag), &raw).await?;
    Ok(raw)
}

pub(super) fn descriptors(manifests: &[&RawManifest]) -> Vec<Descriptor> {
    manifests.iter().map(|manifest| manifest.descriptor()).collect()
}

/// Reads the bytes of a blob.
pub(super) async fn drain(read: BlobRead) -> Result<Vec<u8>> {
    let pieces: Vec<Bytes> = read.stream.try_collect().await?;
    Ok(pieces.concat())
}

/// Reads a whole blob, and checks that it is announced as whole.
pub(super) async fn read_whole(backend: &dyn RegistryBackend, digest: &Digest) -> Result<Vec<u8>, Failure> {
    let read = backend.read_blob(digest, None).await?;
    ensure!(read.is_whole(), "a read without a range announces {read:?}");
    let size = read.blob_size;
    let bytes = drain(read).await?;
    ensure_equal!(bytes.len() as u64, size, "number of bytes that came");
    Ok(bytes)
}

/// All tags, in order. A store without the repository, or without a tag in it, may say that it does not exist.
pub(super) async fn sorted_tags(backend: &dyn RegistryBackend) -> Result<Vec<String>, Failure> {
    let listed: Result<Vec<_>> =
        backend.tags().map_ok(|entry| entry.tag.as_str().to_owned()).try_collect().await;
    let mut tags = match listed {
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        listed => listed?,
    };
    tags.sort();
    Ok(tags)
}

/// All referrers of a subject, in the order of their digests.
pub(super) async fn sorted_referrers(
    backend: &dyn RegistryBackend,
    subject: &Digest,
    artifact_type: Option<&MediaType>,
) -> Result<Vec<Descriptor>, Failure> {
    let mut found: Vec<Descriptor> = backend.referrers(subject, artifact_type).try_collect().await?;
    if !found.is_empty()
        && let Some(may_be_subject) = backend.subjects().await?
    {
        ensure!(may_be_subject(subject), "{subject} has referrers, and is not among the subjects");
    }
    found.sort_by(|left, right| left.digest.cmp(&right.digest));
    Ok(found)
}

/// The digests of all referrers of a subject, in order.
pub(super) async fn referrer_digests(
    backend: &dyn RegistryBackend,
    subject: &Digest,
) -> Result<Vec<Digest>, Failure> {
    let found = sorted_referrers(backend, subject, None).await?;
    Ok(found.into_iter().map(|descriptor| descriptor.digest).collect())
}

pub(super) fn sorted_digests<'a>(manifests: impl IntoIterator<Item = &'a RawManifest>) -> Vec<Digest> {
    let mut digests: Vec<_> = manifests.into_iter().map(|manifest| manifest.digest().clone()).collect();
    digests.sort();
    digests
}

/// Checks that an operation failed with an error of this kind, and returns the error.
pub(super) fn ensure_kind<T: Debug>(result: Result<T>, kind: ErrorKind) -> Result<Error, Failure> {
    match result {
        Err(error) if error.kind() == kind => Ok(error),
        Err(error) => {
            let other = error.kind();
            let failure = Failure::from(error);
            Err(Failure::new(format!("an error of kind {kind:?} was expected, not {other:?}: {failure}")))
        }
        Ok(value) => Err(Failure::new(format!("an error of kind {kind:?} was expected, not {value:?}"))),
    }
}

/// Checks that an error's text names its operation and its target, and that the target names `what`.
pub(super) fn ensure_names(error: &Error, what: &str) -> Outcome {
    let text = error.to_string();
    ensure!(!error.operation().is_empty(), "the error names no operation: {text}");
    ensure!(error.target().contains(what), "the target `{}` does not name {what}", error.target());
    ensure!(text.contains(error.operation()), "the text does not name `{}`: {text}", error.operation());
    ensure!(text.contains(what), "the text does not name {what}: {text}");
    Ok(())
}

/// Checks that nothing is visible under a blob's digest.
pub(super) async fn ensure_no_blob(backend: &dyn RegistryBackend, digest: &Digest) -> Outcome {
    ensure_equal!(backend.stat_blob(digest).await?, None, "size of a blob that was not stored");
    ensure_kind(backend.read_blob(digest, None).await, ErrorKind::NotFound)?;
    Ok(())
}

/// Checks that a manifest is not there.
pub(super) async fn ensure_no_manifest(backend: &dyn RegistryBackend, at: &ManifestRef) -> Outcome {
    ensure_equal!(backend.stat_manifest(at).await?, None, "descriptor of a manifest that is not there");
    ensure_kind(backend.read_manifest(at).await, ErrorKind::NotFound)?;
    Ok(())
}

/// Checks that a manifest is there, byte for byte.
pub(super) async fn ensure_manifest(
    backend: &dyn RegistryBackend,
    at: &ManifestRef,
    expected: &RawManifest,
) -> Outcome {
    let read = backend.read_manifest(at).await?;
    // A manifest may have megabytes: its text is made only where it differs.
    let text = |raw: &RawManifest| {
        raw.bytes().iter().take(2000).copied().collect::<Vec<_>>().escape_ascii().to_string()
    };
    ensure!(read.bytes() == expected.bytes(), "bytes: {}, not {}", text(&read), text(expected));
    ensure_equal!(read.media_type(), expected.media_type(), "media type");
    ensure_equal!(read.digest(), expected.digest(), "digest");
    Ok(())
}

/// Runs the same step for many seeds at once, on several workers.
pub(super) async fn in_parallel<T, F, R>(
    repository: &EmptyRepository,
    count: u64,
    step: F,
) -> Result<Vec<T>, Failure>
where
    T: Send + 'static,
    F: Fn(Arc<dyn RegistryBackend>, u64) -> R,
    R: Future<Output = Result<T, Failure>> + Send + 'static,
{
    let tasks: futures::stream::FuturesOrdered<_> =
        (0..count).map(|seed| tokio::spawn(step(repository.backend().clone(), seed))).collect();
    tasks
        .map(|joined| joined.unwrap_or_else(|error| Err(Failure::new(format!("a writer panicked: {error}")))))
        .try_collect()
        .await
}
