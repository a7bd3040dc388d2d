//! Objects stored as artifacts of their own, with their system metadata as referrers.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bagit::AlgorithmSet;
use bytes::Bytes;
use d1_model::{Identifier, MAX_SYSTEM_METADATA_BYTES, Oddity, SystemMetadata};
use d1_package::annotations::{D1_FORMAT_ID, D1_IDENTIFIER};
use d1_package::{
    Mismatch, ObjectFacts, PackageFile, SingleFile, SingleFileOptions, is_tombstone, object_algorithm,
    object_file, object_layer_of, object_manifest, system_metadata_manifest, system_metadata_mismatches,
};
use d1_transfer::parts::{
    Counted, FileSource, HashedFile, RunningPhase, Totals, hash_file, refuse_withdrawn, run_blocking,
    tombstone_tag, tombstone_tags,
};
use d1_transfer::{Event, FileToPush, Observer, Phase, PushOptions, PushReport};
use oci_model::{Descriptor, Digest, Manifest, ManifestRef, MediaType, RawManifest, Tag};
use registry_backend::{BlobSource, BytesSource, RegistryBackend, WriteHint, Written};
use serde::Serialize;
use tokio::sync::OnceCell;

use crate::error::{Error, Result};

/// An object to push as an artifact of its own.
#[derive(Clone, Debug)]
pub struct ObjectToPush {
    /// The file.
    pub path: PathBuf,
    /// Its media type. Without one, the media type of its format is used.
    pub media_type: Option<MediaType>,
    /// The file with its system metadata, if there is one.
    pub system_metadata: Option<PathBuf>,
}

/// The result of pushing an object.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ObjectReport {
    /// The result for the object.
    #[serde(flatten)]
    pub object: PushReport,
    /// The result for its system metadata.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_metadata: Option<AttachedSystemMetadata>,
}

/// System metadata in a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AttachedSystemMetadata {
    /// Digest of their manifest, which refers to the object.
    pub digest: Digest,
    /// Whether the store already had them.
    pub unchanged: bool,
}

/// Pushes an object as an artifact of its own, and its system metadata as an artifact that refers to it.
///
/// If the store already has the object under its identifier, its manifest does not change. Newer system
/// metadata become another referrer.
///
/// # Errors
///
/// [`Error::OtherIdentifier`] if the system metadata describe another object. [`Error::NotPublic`] if the
/// object is private and the options do not include private objects. [`Error::TagTaken`] if the identifier's
/// tag names another artifact. [`Error::Transfer`] if the object differs from its system metadata, a file
/// cannot be read, or the store fails.
///
/// ```
/// use std::sync::Arc;
///
/// use d1_model::{AccessPolicy, AccessRule, Checksum, PUBLIC_SUBJECT, Permission, SystemMetadata};
/// use d1_sync::{ObjectToPush, push_object};
/// use d1_transfer::{Observer, PushOptions, Silent};
/// use registry_backend::MemoryBackend;
///
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("empty.csv");
/// std::fs::write(&path, "")?;
/// let checksum: Checksum = "MD5:d41d8cd98f00b204e9800998ecf8427e".parse()?;
/// let mut document = SystemMetadata::new("urn:uuid:1".parse()?, "text/csv", 0, checksum, "someone");
/// document.access_policy = Some(AccessPolicy {
///     rules: vec![AccessRule {
///         subjects: vec![PUBLIC_SUBJECT.to_owned()],
///         permissions: vec![Permission::Read],
///     }],
/// });
/// let system_metadata = folder.path().join("sysmeta.xml");
/// std::fs::write(&system_metadata, document.to_xml()?)?;
///
/// let backend = MemoryBackend::new();
/// let observer: Arc<dyn Observer> = Arc::new(Silent);
/// let object = ObjectToPush { path, media_type: None, system_metadata: Some(system_metadata) };
/// let options = PushOptions::new(std::env::temp_dir());
/// let report = push_object(&backend, &object, &options, &observer).await?;
/// assert_eq!(report.object.identifier.as_deref(), Some("urn:uuid:1"));
/// assert!(report.system_metadata.is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub async fn push_object(
    backend: &dyn RegistryBackend,
    object: &ObjectToPush,
    options: &PushOptions,
    observer: &Arc<dyn Observer>,
) -> Result<ObjectReport> {
    let prepared = {
        let (object, options, observer) = (object.clone(), options.clone(), Arc::clone(observer));
        run_blocking(move || prepare(&object, &options, &observer)).await?
    };
    let Prepared { file, document, identifier } = prepared;
    let manifest_options = SingleFileOptions {
        artifact_type: options.artifact_type.clone(),
        subject: None,
        created: options.created.clone(),
        annotations: options.annotations.clone(),
        max_manifest_bytes: backend.capabilities().max_manifest_bytes,
    };
    let says = document.as_ref().map(|document| &document.says);
    let manifest = object_manifest(&file, says, &manifest_options)?;
    let exactly = object.media_type.is_some()
        || options.artifact_type.is_some()
        || options.created.is_some()
        || !options.annotations.is_empty();
    let wanted = ObjectToStore {
        manifest,
        content: &file.digest,
        identifier: &identifier,
        tags: &options.tags,
        exactly,
    };
    if !options.include_withdrawn {
        refuse_withdrawn(backend, &HashSet::from([&identifier])).await?;
    }
    let storing = Storing::begin(backend, observer, 1, file.size);
    let place = storing.find(&wanted).await?;
    let mut report =
        PushReport::new(&place.manifest, &place.tags, (1, file.size), Some(identifier.to_string()))?;
    report.unchanged = place.is_there;
    if options.dry_run {
        if !place.is_there && backend.stat_blob(&file.digest).await?.is_none() {
            (report.sent_blobs, report.sent_bytes) = (1, file.size);
        }
        return Ok(ObjectReport { object: report, system_metadata: None });
    }
    if !place.is_there {
        let source = FileSource::new(object.path.clone(), file.size, 0..file.size, file.digest.clone());
        let sent = storing.send(&source, &file.title).await?;
        storing.publish(&place).await?;
        (report.sent_blobs, report.sent_bytes) = (sent.blobs, sent.bytes);
    }
    storing.done(file.size.saturating_sub(report.sent_bytes));
    let mut system_metadata = None;
    if let Some(document) = &document {
        let attached = storing.attach(&place.manifest.descriptor(), document).await?;
        report.sent_blobs += attached.totals.blobs;
        report.sent_bytes += attached.totals.bytes;
        let unchanged = !attached.is_new;
        system_metadata = Some(AttachedSystemMetadata { digest: attached.digest, unchanged });
    }
    Ok(ObjectReport { object: report, system_metadata })
}

/// An object that was hashed and compared with its system metadata.
struct Prepared {
    file: SingleFile,
    document: Option<Document>,
    identifier: Identifier,
}

fn prepare(object: &ObjectToPush, options: &PushOptions, observer: &Arc<dyn Observer>) -> Result<Prepared> {
    let Some(path) = &object.system_metadata else {
        let identifier = options.identifier.clone();
        let reason = "an object without system metadata needs an identifier";
        let identifier = identifier.ok_or(d1_transfer::Error::Options { reason })?;
        let file = undescribed(object, &identifier, options, observer)?;
        return Ok(Prepared { file, document: None, identifier });
    };
    let document = Document::read(path)?;
    for oddity in &document.oddities {
        observer.event(&Event::Warning(&format!("{}: {oddity}", path.display())));
    }
    let stated = document.says.identifier.clone();
    if let Some(given) = options.identifier.as_ref().filter(|given| **given != stated) {
        return Err(Error::OtherIdentifier { given: given.to_string(), stated: stated.to_string() });
    }
    if !options.include_private && !document.says.is_public() {
        return Err(Error::NotPublic { identifier: stated });
    }
    let algorithms = object_algorithm(&document.says).into_iter().collect();
    let hashed = hash(object, algorithms, options, observer)?;
    verify(object, &hashed, &document, options.take_mislabelled, observer)?;
    let mut file = object_file(&document.says, hashed.digest, hashed.size);
    file.media_type = object.media_type.clone();
    Ok(Prepared { file, document: Some(document), identifier: stated })
}

/// Returns an object without system metadata.
fn undescribed(
    object: &ObjectToPush,
    identifier: &Identifier,
    options: &PushOptions,
    observer: &Arc<dyn Observer>,
) -> Result<SingleFile> {
    let name = object.path.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| d1_transfer::Error::NotPushable { path: object.path.clone() })?;
    let hashed = hash(object, AlgorithmSet::EMPTY, options, observer)?;
    Ok(SingleFile {
        title: name.to_owned(),
        media_type: object.media_type.clone(),
        digest: hashed.digest,
        size: hashed.size,
        object: ObjectFacts { identifier: Some(identifier.clone()), ..ObjectFacts::default() },
    })
}

fn hash(
    object: &ObjectToPush,
    algorithms: AlgorithmSet,
    options: &PushOptions,
    observer: &Arc<dyn Observer>,
) -> Result<HashedFile> {
    let file = FileToPush { path: object.path.clone(), title: String::new(), media_type: None };
    Ok(hash_file(file, algorithms, options.known.as_deref(), observer)?)
}

/// Compares the object with the declared size and checksum.
fn verify(
    object: &ObjectToPush,
    hashed: &HashedFile,
    document: &Document,
    take_mislabelled: bool,
    observer: &Arc<dyn Observer>,
) -> Result<()> {
    let mut file = PackageFile::new("", hashed.size, hashed.digest.sha256_bytes().unwrap_or_default());
    file.checksums = hashed.digests.clone();
    let says = &document.says;
    for mismatch in system_metadata_mismatches(says.size, &says.checksum, &file.view()) {
        match mismatch {
            Mismatch::Unverifiable { .. } => observer.event(&Event::Warning(&mismatch.to_string())),
            mismatch if take_mislabelled && mismatch.is_mislabelled() => {
                observer.event(&Event::Warning(&mismatch.to_string()));
            }
            mismatch => return Err(Error::content(object.path.display().to_string(), mismatch.to_string())),
        }
    }
    Ok(())
}

/// A system metadata document.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    pub(crate) bytes: Bytes,
    pub(crate) says: SystemMetadata,
    /// Departures from the schema.
    pub(crate) oddities: Vec<Oddity>,
}

impl Document {
    /// Parses a document.
    pub(crate) fn parse(bytes: Vec<u8>) -> d1_model::Result<Self> {
        let parsed = SystemMetadata::parse(&bytes)?;
        Ok(Self { bytes: bytes.into(), says: parsed.value, oddities: parsed.oddities })
    }

    /// Reads and parses a file. It blocks.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let failed = |error| Error::io("read", path, error);
        let size = std::fs::metadata(path).map_err(failed)?.len();
        if size > MAX_SYSTEM_METADATA_BYTES as u64 {
            let message = format!(
                "expected at most {MAX_SYSTEM_METADATA_BYTES} bytes of system metadata, found {size}"
            );
            return Err(Error::content(path.display().to_string(), message));
        }
        let bytes = std::fs::read(path).map_err(failed)?;
        Self::parse(bytes).map_err(|source| Error::SystemMetadata { path: path.to_owned(), source })
    }
}

/// Stores objects, one after another or several at once.
pub(crate) struct Storing<'a> {
    pub(crate) backend: &'a dyn RegistryBackend,
    observer: Arc<dyn Observer>,
    phase: RunningPhase,
    /// All manifests share one configuration, which is sent once.
    configuration: OnceCell<()>,
    /// The tags of the repository's tombstones, once they were listed.
    tombstones: OnceCell<HashSet<Tag>>,
}

/// System metadata that refer to an object.
#[derive(Clone, Debug)]
pub(crate) struct Attached {
    /// Digest of their manifest.
    pub(crate) digest: Digest,
    pub(crate) is_new: bool,
    pub(crate) totals: Totals,
}

impl<'a> Storing<'a> {
    /// Begins a phase with the number and size of the objects, as far as they are known.
    pub(crate) fn begin(
        backend: &'a dyn RegistryBackend,
        observer: &Arc<dyn Observer>,
        items: u64,
        bytes: u64,
    ) -> Self {
        let phase = RunningPhase::begin(observer, Phase::Upload, items, bytes);
        let (configuration, tombstones) = (OnceCell::new(), OnceCell::new());
        Self { backend, observer: Arc::clone(observer), phase, configuration, tombstones }
    }

    /// Refuses one of many objects if it was withdrawn from the repository.
    pub(crate) async fn refuse_withdrawn(&self, identifier: &Identifier) -> Result<()> {
        let tombstones = self.tombstones.get_or_try_init(|| tombstone_tags(self.backend)).await?;
        match tombstone_tag(identifier).is_some_and(|tag| tombstones.contains(&tag)) {
            true => Err(Error::Withdrawn { identifier: identifier.clone() }),
            false => Ok(()),
        }
    }

    /// Returns the manifest and the tags of an object.
    pub(crate) async fn find(&self, wanted: &ObjectToStore<'_>) -> Result<Place> {
        find_place(self.backend, wanted).await
    }

    /// Notes that an object is done, and how many of its bytes were not sent.
    pub(crate) fn done(&self, unsent: u64) {
        self.phase.advance(1, unsent);
    }

    /// Sends the content of an object.
    pub(crate) async fn send(&self, source: &dyn BlobSource, title: &str) -> Result<Totals> {
        let observer = Arc::clone(&self.observer);
        let advance = move |bytes| observer.event(&Event::Advanced { phase: Phase::Upload, items: 0, bytes });
        let counted = Counted::new(source, Arc::new(advance));
        let written = self.write(&counted, title).await?;
        Ok(Totals { blobs: u64::from(written == Written::Uploaded), bytes: counted.counted() })
    }

    /// Stores the manifest of an object whose content is stored.
    pub(crate) async fn publish(&self, place: &Place) -> Result<()> {
        self.send_configuration().await?;
        if place.tags.is_empty() {
            let at = ManifestRef::Digest(place.manifest.digest().clone());
            self.backend.write_manifest(&at, &place.manifest).await?;
        }
        for tag in &place.tags {
            self.backend.write_manifest(&ManifestRef::Tag(tag.clone()), &place.manifest).await?;
        }
        Ok(())
    }

    /// Stores system metadata as an artifact that refers to an object.
    pub(crate) async fn attach(&self, object: &Descriptor, document: &Document) -> Result<Attached> {
        let source = BytesSource::new(document.bytes.clone());
        let limit = self.backend.capabilities().max_manifest_bytes;
        let digest = source.digest().clone();
        let manifest = system_metadata_manifest(object, &document.says, digest, source.size(), limit);
        let manifest = manifest?;
        let at = ManifestRef::Digest(manifest.digest().clone());
        let digest = manifest.digest().clone();
        if self.backend.stat_manifest(&at).await?.is_some() {
            return Ok(Attached { digest, is_new: false, totals: Totals::default() });
        }
        let written = self.write(&source, "system metadata").await?;
        self.send_configuration().await?;
        self.backend.write_manifest(&at, &manifest).await?;
        let is_sent = written == Written::Uploaded;
        let totals = Totals { blobs: u64::from(is_sent), bytes: if is_sent { source.size() } else { 0 } };
        Ok(Attached { digest, is_new: true, totals })
    }

    async fn send_configuration(&self) -> Result<()> {
        let send = || async {
            let source = BytesSource::new(Descriptor::EMPTY_CONTENT);
            self.write(&source, "configuration").await.map(drop)
        };
        self.configuration.get_or_try_init(send).await.copied()
    }

    async fn write(&self, source: &dyn BlobSource, title: &str) -> Result<Written> {
        let written = self.backend.write_blob(source, &WriteHint::default()).await;
        let written =
            written.map_err(|source| d1_transfer::Error::Upload { title: title.to_owned(), source })?;
        let (digest, size) = (source.digest(), source.size());
        self.observer.event(&Event::Blob { title, digest, size, outcome: written.into() });
        Ok(written)
    }
}

/// An object that the store should have.
#[derive(Clone, Debug)]
pub(crate) struct ObjectToStore<'a> {
    /// Its manifest, if the store has none for it.
    pub(crate) manifest: RawManifest,
    /// Digest of its content.
    pub(crate) content: &'a Digest,
    pub(crate) identifier: &'a Identifier,
    /// Tags from the caller. Without any, the tag follows from the identifier.
    pub(crate) tags: &'a [Tag],
    /// Whether it must get exactly this manifest, because the caller chose its content.
    pub(crate) exactly: bool,
}

/// The manifest and the tags of an object.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The manifest. An older one of the same object is kept, so that newer system metadata do not change the
    /// object.
    pub(crate) manifest: RawManifest,
    /// The tags that name it. Without any, only its digest names it.
    pub(crate) tags: Vec<Tag>,
    /// Whether the store already has it under all of these names.
    pub(crate) is_there: bool,
}

/// Finds the manifest and the tags of an object.
///
/// # Errors
///
/// [`Error::TagTaken`] if the tag of the identifier names another artifact. If that is a package with this
/// identifier, the object gets no tag instead.
pub(crate) async fn find_place(backend: &dyn RegistryBackend, wanted: &ObjectToStore<'_>) -> Result<Place> {
    let mut tags = match wanted.tags {
        [] => wanted.identifier.tag().parse().ok().into_iter().collect(),
        tags => tags.to_vec(),
    };
    let mut manifest = wanted.manifest.clone();
    let named = stat_all(backend, &tags).await?;
    let other = named.iter().flatten().find(|found| found.digest != *manifest.digest());
    if let (Some(tag), Some(other)) = (tags.first(), other) {
        match look_at(backend, other, wanted).await? {
            Found::Same(found) if !wanted.exactly => manifest = found,
            Found::Package if wanted.tags.is_empty() => tags.clear(),
            Found::Other(what) if wanted.tags.is_empty() => {
                let (tag, identifier) = (tag.clone(), wanted.identifier.to_string());
                return Err(Error::TagTaken { tag, identifier, what });
            }
            // The caller chose the tag or the object, so the tag moves.
            _ => {}
        }
    }
    let is_this =
        |found: &Option<Descriptor>| found.as_ref().is_some_and(|found| found.digest == *manifest.digest());
    let is_there = match tags.is_empty() {
        true => is_this(&backend.stat_manifest(&ManifestRef::Digest(manifest.digest().clone())).await?),
        false => named.iter().all(is_this),
    };
    Ok(Place { manifest, tags, is_there })
}

async fn stat_all(backend: &dyn RegistryBackend, tags: &[Tag]) -> Result<Vec<Option<Descriptor>>> {
    let mut found = Vec::with_capacity(tags.len());
    for tag in tags {
        found.push(backend.stat_manifest(&ManifestRef::Tag(tag.clone())).await?);
    }
    Ok(found)
}

/// An artifact that a tag names instead of the expected one.
enum Found {
    /// The same object, with a manifest made from other system metadata.
    Same(RawManifest),
    /// The same object, with a manifest that states less.
    Lesser,
    /// The tombstone of the object. The caller decided to store the object nevertheless, and the tombstone has a tag of its own.
    Tombstone,
    /// A package with this identifier.
    Package,
    /// Another artifact, in words.
    Other(String),
}

async fn look_at(
    backend: &dyn RegistryBackend,
    found: &Descriptor,
    wanted: &ObjectToStore<'_>,
) -> Result<Found> {
    let raw = backend.read_manifest(&ManifestRef::Digest(found.digest.clone())).await?;
    let Ok(Manifest::Image(manifest)) = raw.parse() else {
        return Ok(Found::Other("an image index".to_owned()));
    };
    if let Some(layer) = object_layer_of(&manifest, wanted.identifier) {
        if is_tombstone(manifest.artifact_type.as_ref()) {
            return Ok(Found::Tombstone);
        }
        return Ok(match (layer.digest == *wanted.content, layer.annotation(D1_FORMAT_ID)) {
            (true, Some(_)) => Found::Same(raw),
            (true, None) => Found::Lesser,
            (false, _) => Found::Other(format!("another object with this identifier, {}", layer.digest)),
        });
    }
    Ok(match manifest.annotations.get(D1_IDENTIFIER) {
        Some(stated) if stated == wanted.identifier.as_str() => Found::Package,
        Some(stated) => Found::Other(format!("`{stated}`")),
        None => Found::Other("an artifact without an identifier".to_owned()),
    })
}
