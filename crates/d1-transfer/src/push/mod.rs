//! Pushing: from files to blobs and a manifest in a store.

pub(crate) mod files;
pub(crate) mod layers;
pub(crate) mod prepare;
mod publish;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bagit::KnownDigests;
use d1_model::Identifier;
use d1_package::Accept;
use d1_package::{AssembledPackage, Layout, ManifestOptions, ReplacedArchives};
use oci_model::{Annotations, Descriptor, Digest, ManifestRef, MediaType, RawManifest, Tag};
use oci_pack::Compression;
use registry_backend::{BlobSource, BytesSource, Error as BackendError, ErrorKind, RegistryBackend};
use serde::Serialize;

use crate::blocking::{run_blocking, run_while_wanted};
use crate::error::{Error, Result};
use crate::event::{Event, Observer, total};
use crate::names::title;
use crate::package::open_archives;
use crate::push::layers::{MadeLayers, Material};
use crate::push::prepare::{Prepared, prepare};
use crate::push::publish::{Artifact, publish};
use crate::source::{Spool, SpoolSource};
use crate::tombstone::refuse_withdrawn;

/// Options of a push.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PushOptions {
    /// Tags of the artifact. Without any, the DataONE identifier of the package becomes its tag.
    pub tags: Vec<Tag>,
    /// How files are divided into layers.
    pub layout: Layout,
    /// Type of the artifact. Without one, it follows from the content.
    pub artifact_type: Option<MediaType>,
    /// Further annotations of the manifest. They override those that follow from the content.
    pub annotations: Annotations,
    /// Identifier of the package or object. Without one, the DataONE documents in it decide.
    pub identifier: Option<Identifier>,
    /// Whether to push objects that not everybody may read.
    pub include_private: bool,
    /// Whether to push an object whose system metadata name the wrong algorithm for its checksum.
    pub take_mislabelled: bool,
    /// Date and time of creation, RFC 3339. Without one, a bag's `Bagging-Date` counts.
    pub created: Option<String>,
    /// Whether a bag must be valid.
    pub verify: bool,
    /// Whose faults in a bag are tolerated.
    pub accept: Accept,
    /// Whether a plain directory becomes the payload of a bag.
    pub make_bag: bool,
    /// Whether each problem of an RO-Crate is an error.
    pub strict_crate: bool,
    /// Compression of archive layers.
    pub compression: Compression,
    /// Whether the package gets an index.
    pub index: bool,
    /// Whether to pack all archive layers again, even those that the replaced package has.
    pub repack: bool,
    /// Whether to read every stored blob, and to replace damaged ones. It packs all archives again.
    pub repair: bool,
    /// Whether to do everything except storing.
    pub dry_run: bool,
    /// Whether to push objects that were withdrawn from the repository.
    pub include_withdrawn: bool,
    /// Whether an artifact whose tag moves may become unreadable, in a store that forgets it. By default it keeps a tag that is
    /// derived from its digest.
    pub forget_moved: bool,
    /// Digests from earlier runs. A file whose digests are known is read only if its content must be sent.
    pub known: Option<Arc<dyn KnownDigests>>,
    /// Directory for large temporary files. They have no name there.
    pub temporary_directory: PathBuf,
}

impl PushOptions {
    /// Returns the defaults: the objects layout, verified, with an index.
    pub fn new(temporary_directory: PathBuf) -> Self {
        Self {
            tags: Vec::new(),
            layout: Layout::default(),
            artifact_type: None,
            annotations: Annotations::new(),
            identifier: None,
            include_private: false,
            take_mislabelled: false,
            created: None,
            verify: true,
            accept: Accept::default(),
            make_bag: false,
            strict_crate: false,
            compression: Compression::default(),
            index: true,
            repack: false,
            repair: false,
            dry_run: false,
            include_withdrawn: false,
            forget_moved: false,
            known: None,
            temporary_directory,
        }
    }

    /// Returns the options with the tag of the identifier, if they have no tag.
    pub(crate) fn with_default_tag(&self, identifier: Option<&Identifier>) -> Self {
        let mut options = self.clone();
        if options.tags.is_empty() {
            options.tags.extend(identifier.and_then(|identifier| identifier.tag().parse().ok()));
        }
        options
    }
}

/// The result of a push or a dry run.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct PushReport {
    /// Digest of the manifest.
    pub digest: Digest,
    /// Size of the manifest in bytes.
    pub size: u64,
    /// Type of the artifact.
    pub artifact_type: MediaType,
    /// Tags that name it.
    pub tags: Vec<Tag>,
    /// DataONE identifier, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identifier: Option<String>,
    /// Number of files.
    pub files: u64,
    /// Size of all files in bytes.
    pub bytes: u64,
    /// The layers, in the order of the manifest.
    pub layers: Vec<PushedLayer>,
    /// Number of blobs sent. In a dry run, the number to send.
    pub sent_blobs: u64,
    /// Number of bytes sent. In a dry run, the number to send.
    pub sent_bytes: u64,
    /// Whether all tags already named exactly this manifest.
    pub unchanged: bool,
}

/// A layer of a pushed artifact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PushedLayer {
    /// Title: the path of its file or directory in a pull.
    pub title: String,
    /// Media type.
    pub media_type: MediaType,
    /// Digest of the blob.
    pub digest: Digest,
    /// Size of the blob in bytes.
    pub size: u64,
}

impl PushReport {
    /// Returns the report of an artifact before anything is sent. It has `files` files with `bytes` bytes in
    /// all.
    ///
    /// # Errors
    ///
    /// Fails if the manifest does not parse.
    pub fn new(
        manifest: &RawManifest,
        tags: &[Tag],
        (files, bytes): (u64, u64),
        identifier: Option<String>,
    ) -> Result<Self> {
        let invalid =
            |error| BackendError::new(ErrorKind::Invalid, "push", manifest.digest()).caused_by(error);
        let parsed = manifest.parse().map_err(invalid)?;
        let artifact_type = parsed.effective_artifact_type().cloned();
        let pushed = |layer: &Descriptor| PushedLayer {
            title: title(layer).to_owned(),
            media_type: layer.media_type.clone(),
            digest: layer.digest.clone(),
            size: layer.size,
        };
        Ok(Self {
            digest: manifest.digest().clone(),
            size: manifest.bytes().len() as u64,
            artifact_type: artifact_type.unwrap_or_else(|| manifest.media_type().clone()),
            tags: tags.to_vec(),
            identifier,
            files,
            bytes,
            layers: parsed.layers().iter().map(pushed).collect(),
            sent_blobs: 0,
            sent_bytes: 0,
            unchanged: false,
        })
    }
}

/// Pushes a directory as a package. A bag is validated first. If it is not valid, nothing is stored.
///
/// # Errors
///
/// [`Error::InvalidBag`] with all faults. [`Error::Content`] for files that cannot be pushed.
/// [`Error::Options`] if the package could not be read again. [`Error::Withdrawn`] for an object that was withdrawn. Also fails if the package exceeds the store's
/// limits, a file changes during the push, or the store fails. No tag has moved then.
///
/// ```
/// use std::sync::Arc;
///
/// use d1_transfer::{Observer, PushOptions, Silent, push_directory};
/// use registry_backend::MemoryBackend;
///
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// let folder = tempfile::tempdir()?;
/// std::fs::write(folder.path().join("temperature.csv"), "depth,temperature\n15,7.2\n")?;
///
/// let backend = MemoryBackend::new();
/// let observer: Arc<dyn Observer> = Arc::new(Silent);
/// let mut options = PushOptions::new(std::env::temp_dir());
/// options.tags = vec!["v1".parse()?];
/// options.make_bag = true;
/// let first = push_directory(&backend, folder.path(), &options, &observer).await?;
/// assert_eq!(first.artifact_type.as_str(), "application/bagit-1.0");
///
/// // Unchanged content has the same digest, and sends no blob.
/// let second = push_directory(&backend, folder.path(), &options, &observer).await?;
/// assert_eq!((second.digest, second.sent_blobs), (first.digest, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub async fn push_directory(
    backend: &dyn RegistryBackend,
    directory: &Path,
    options: &PushOptions,
    observer: &Arc<dyn Observer>,
) -> Result<PushReport> {
    let options = &storable(options, backend);
    if !options.index && options.compression != Compression::Gzip {
        let reason = "a package without an index needs archives compressed with gzip";
        return Err(Error::Options { reason });
    }
    match push(backend, directory, options, observer).await {
        Err(Error::Backend(error)) if error.kind() == ErrorKind::Incomplete && !options.repack => {
            // The store has lost an archive that the push expected to reuse.
            observer.event(&Event::Warning(&format!("{error}; all archives are packed again")));
            let options = PushOptions { repack: true, ..options.clone() };
            push(backend, directory, &options, observer).await
        }
        result => result,
    }
}

/// Returns the options without an index where the store accepts only known types of configurations.
fn storable(options: &PushOptions, backend: &dyn RegistryBackend) -> PushOptions {
    let index = options.index && backend.capabilities().any_config_type;
    PushOptions { index, ..options.clone() }
}

async fn push(
    backend: &dyn RegistryBackend,
    directory: &Path,
    options: &PushOptions,
    observer: &Arc<dyn Observer>,
) -> Result<PushReport> {
    let limits = backend.capabilities().into();
    let prepared = {
        let (directory, options, observer) = (directory.to_owned(), options.clone(), Arc::clone(observer));
        run_blocking(move || prepare(&directory, &options, limits, &observer)).await?
    };
    if !options.include_withdrawn {
        let members = prepared.files.files().filter_map(|file| file.identifier());
        refuse_withdrawn(backend, &members.chain(&prepared.facts.identifier).collect()).await?;
    }
    push_prepared(backend, prepared, options, observer).await
}

/// Packs, describes and stores a package that is laid out.
///
/// # Errors
///
/// As [`push_directory`], except for faults of the files.
pub async fn push_prepared(
    backend: &dyn RegistryBackend,
    prepared: Prepared,
    options: &PushOptions,
    observer: &Arc<dyn Observer>,
) -> Result<PushReport> {
    let options = storable(options, backend).with_default_tag(prepared.facts.identifier.as_ref());
    let replaced =
        if options.repack || options.repair { None } else { replaced_archives(backend, &options).await };
    let max_manifest_bytes = backend.capabilities().max_manifest_bytes;
    let store = backend.capabilities().takes_files_of.clone().filter(|_| !options.dry_run);
    let artifact = {
        let (options, observer) = (options.clone(), Arc::clone(observer));
        run_while_wanted(move |given_up| {
            let Prepared { plan, files, sources, .. } = &prepared;
            let reusable = |known| d1_package::reusable_archives(plan, files, &known, options.compression);
            let reusable = replaced.map(reusable).unwrap_or_default();
            let store = store.as_deref();
            let material = Material { plan, files, sources, options: &options, store };
            let made = material.make(reusable, &observer, given_up)?;
            artifact(prepared, made, &options, max_manifest_bytes)
        })
        .await?
    };
    publish(backend, artifact, &options, observer).await
}

/// Reads the archive entries in the index of the package that the first tag names. Without them, all archives
/// are packed again.
async fn replaced_archives(backend: &dyn RegistryBackend, options: &PushOptions) -> Option<ReplacedArchives> {
    let tag = options.tags.first()?;
    match open_archives(backend, &ManifestRef::Tag(tag.clone())).await {
        Ok(archives) => archives,
        Err(Error::Backend(error)) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            tracing::info!(%tag, error, "the replaced package is not reused");
            None
        }
    }
}

/// Builds index and manifest, and collects the blobs to store.
fn artifact(
    prepared: Prepared,
    made: MadeLayers,
    options: &PushOptions,
    max_manifest_bytes: u64,
) -> Result<Artifact> {
    let Prepared { plan, files, facts, created, .. } = prepared;
    let MadeLayers { contents, mut blobs, mut spool } = made;
    let count = files.len() as u64;
    let bytes = total(files.files().map(|file| file.size));
    let assembled = d1_package::assemble(&plan, files, contents, facts)?;
    let (configuration, blob) = configuration(&assembled, options.index, &mut spool)?;
    blobs.push(blob);
    let manifest_options = manifest_options(&assembled, options, created, max_manifest_bytes);
    let manifest = assembled.manifest_with(configuration, &manifest_options);
    let manifest = manifest?;
    let identifier = assembled.facts.identifier.map(|identifier| identifier.to_string());
    Ok(Artifact { manifest, blobs, files: count, bytes, identifier })
}

fn configuration(
    assembled: &AssembledPackage,
    index: bool,
    spool: &mut Spool,
) -> Result<(Descriptor, Box<dyn BlobSource>)> {
    if !index {
        return Ok((Descriptor::empty(), Box::new(BytesSource::new(Descriptor::EMPTY_CONTENT))));
    }
    let mut writer = spool.layer();
    let written = assembled.index.write(&mut writer);
    let descriptor = written.map_err(|error| Error::io("write", "the index", error))?;
    let (digest, size) = (descriptor.digest.clone(), descriptor.size);
    let source = SpoolSource { layer: writer.finish(), digest, size };
    Ok((descriptor, Box::new(source)))
}

fn manifest_options(
    assembled: &AssembledPackage,
    options: &PushOptions,
    created: Option<String>,
    max_manifest_bytes: u64,
) -> ManifestOptions {
    let artifact_type = options.artifact_type.clone().unwrap_or_else(|| assembled.facts.artifact_type());
    let mut manifest_options = ManifestOptions::new(artifact_type);
    manifest_options.created = created;
    manifest_options.annotations = options.annotations.clone();
    manifest_options.max_manifest_bytes = max_manifest_bytes;
    manifest_options
}
