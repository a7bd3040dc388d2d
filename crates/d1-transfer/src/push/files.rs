//! Pushing single files, by themselves or attached to an artifact.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bagit::{Algorithm, AlgorithmSet, Digests, FileToHash, HashOptions, HashOutcome, KnownDigests};
use d1_package::{ObjectFacts, PackageView, SingleFile, SingleFileOptions, single_files_manifest};
use oci_model::{Descriptor, Digest, Manifest, ManifestRef, RawManifest};
use registry_backend::{BlobSource, BytesSource, RegistryBackend};

use crate::blocking::run_blocking;
use crate::error::{Error, Result};
use crate::event::{HashProgress, Observer, total};
use crate::push::publish::{Artifact, publish};
use crate::push::{PushOptions, PushReport};
use crate::source::FileSource;

/// A file to push.
#[derive(Clone, Debug)]
pub struct FileToPush {
    /// The file.
    pub path: PathBuf,
    /// Its name when it is pulled: a clean relative path.
    pub title: String,
    /// Its media type. Without one, it is guessed from the name.
    pub media_type: Option<oci_model::MediaType>,
}

/// Pushes files, each as a layer of its own.
///
/// # Errors
///
/// Fails if a path is not a regular file or cannot be read, a title is unsafe or contradicts another one, or
/// the store fails.
///
/// ```
/// use std::sync::Arc;
///
/// use d1_transfer::{FileToPush, Observer, PushOptions, Silent, push_files};
/// use registry_backend::{MemoryBackend, RegistryBackend};
///
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("temperature.csv");
/// std::fs::write(&path, "depth,temperature\n15,7.2\n")?;
///
/// let backend = MemoryBackend::new();
/// let observer: Arc<dyn Observer> = Arc::new(Silent);
/// let file = FileToPush { path, title: "temperature.csv".to_owned(), media_type: None };
/// let pushed = push_files(&backend, &[file], &PushOptions::new(std::env::temp_dir()), &observer).await?;
/// // The layer is the file itself, so its digest is the file's SHA-256.
/// assert_eq!(backend.stat_blob(&pushed.layers[0].digest).await?, Some(25));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub async fn push_files(
    backend: &dyn RegistryBackend,
    files: &[FileToPush],
    options: &PushOptions,
    observer: &Arc<dyn Observer>,
) -> Result<PushReport> {
    push(backend, files, None, options, observer).await
}

/// Pushes files, or none, as an artifact that refers to another one.
///
/// # Errors
///
/// As [`push_files`]. Also fails if the other artifact does not exist.
///
/// ```
/// use std::sync::Arc;
///
/// use d1_transfer::{FileToPush, Observer, PushOptions, Silent, attach_files, push_files};
/// use futures::TryStreamExt;
/// use registry_backend::{MemoryBackend, RegistryBackend};
///
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// let folder = tempfile::tempdir()?;
/// let file = |name: &str, content: &str| {
///     let path = folder.path().join(name);
///     std::fs::write(&path, content)?;
///     Ok::<_, std::io::Error>(FileToPush { path, title: name.to_owned(), media_type: None })
/// };
/// let backend = MemoryBackend::new();
/// let observer: Arc<dyn Observer> = Arc::new(Silent);
/// let mut options = PushOptions::new(std::env::temp_dir());
/// let data = [file("temperature.csv", "15,7.2\n")?];
/// let pushed = push_files(&backend, &data, &options, &observer).await?;
///
/// options.artifact_type = Some("text/markdown".parse()?);
/// let review = [file("review.md", "Depths are below the surface.\n")?];
/// let attached = attach_files(&backend, &pushed.digest.clone().into(), &review, &options, &observer).await?;
/// let found: Vec<_> = backend.referrers(&pushed.digest, None).try_collect().await?;
/// assert_eq!(found[0].digest, attached.digest);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub async fn attach_files(
    backend: &dyn RegistryBackend,
    subject: &ManifestRef,
    files: &[FileToPush],
    options: &PushOptions,
    observer: &Arc<dyn Observer>,
) -> Result<PushReport> {
    // The size of the manifest's bytes: some registries state another one when they are only asked for it.
    let subject = backend.read_manifest(subject).await?.descriptor();
    push(backend, files, Some(subject), options, observer).await
}

async fn push(
    backend: &dyn RegistryBackend,
    files: &[FileToPush],
    subject: Option<Descriptor>,
    options: &PushOptions,
    observer: &Arc<dyn Observer>,
) -> Result<PushReport> {
    let hashed = {
        let (files, known, observer) = (files.to_vec(), options.known.clone(), Arc::clone(observer));
        run_blocking(move || hash(&files, AlgorithmSet::EMPTY, known.as_deref(), &observer)).await?
    };
    let object = ObjectFacts { identifier: options.identifier.clone(), ..ObjectFacts::default() };
    let singles: Vec<SingleFile> = hashed
        .iter()
        .zip(files)
        .map(|(hashed, file)| SingleFile {
            title: file.title.clone(),
            media_type: file.media_type.clone(),
            digest: hashed.digest.clone(),
            size: hashed.size,
            object: object.clone(),
        })
        .collect();
    let manifest_options = SingleFileOptions {
        artifact_type: options.artifact_type.clone(),
        subject,
        created: options.created.clone(),
        annotations: options.annotations.clone(),
        max_manifest_bytes: backend.capabilities().max_manifest_bytes,
    };
    let manifest = single_files_manifest(&singles, &manifest_options)?;
    refuse_unusable_titles(&manifest)?;
    // The configuration is the empty blob, and so is the only layer of an artifact without files.
    let mut blobs: Vec<Box<dyn BlobSource>> = vec![Box::new(BytesSource::new(Descriptor::EMPTY_CONTENT))];
    for (HashedFile { digest, size, .. }, file) in hashed.iter().zip(files) {
        blobs.push(Box::new(FileSource::new(file.path.clone(), *size, 0..*size, digest.clone())));
    }
    let artifact = Artifact {
        manifest,
        blobs,
        files: files.len() as u64,
        bytes: total(hashed.iter().map(|file| file.size)),
        identifier: options.identifier.as_ref().map(ToString::to_string),
    };
    let options = options.with_default_tag(options.identifier.as_ref());
    publish(backend, artifact, &options, observer).await
}

/// Refuses titles that a pull would refuse: unsafe ones, and files that would be directories of others.
fn refuse_unusable_titles(manifest: &RawManifest) -> Result<()> {
    if let Ok(Manifest::Image(manifest)) = manifest.parse() {
        PackageView::new(manifest, None)?;
    }
    Ok(())
}

/// A hashed file.
#[derive(Clone, Debug)]
pub struct HashedFile {
    /// SHA-256, as the digest of a blob.
    pub digest: Digest,
    /// Size in bytes.
    pub size: u64,
    /// All computed digests.
    pub digests: Digests,
}

/// Hashes one file with SHA-256 and further algorithms, unless its digests are known from an earlier run. It blocks.
///
/// # Errors
///
/// [`Error::NotPushable`] if it is not a regular file. [`Error::Content`] if it changes while it is read.
/// [`Error::Io`].
pub fn hash_file(
    file: FileToPush,
    algorithms: AlgorithmSet,
    known: Option<&dyn KnownDigests>,
    observer: &Arc<dyn Observer>,
) -> Result<HashedFile> {
    let mut hashed = hash(std::slice::from_ref(&file), algorithms, known, observer)?;
    hashed.pop().ok_or(Error::NotPushable { path: file.path })
}

fn hash(
    files: &[FileToPush],
    mut algorithms: AlgorithmSet,
    known: Option<&dyn KnownDigests>,
    observer: &Arc<dyn Observer>,
) -> Result<Vec<HashedFile>> {
    algorithms.insert(Algorithm::Sha256);
    let mut to_hash = Vec::with_capacity(files.len());
    for file in files {
        let metadata = std::fs::metadata(&file.path).map_err(|error| Error::io("open", &file.path, error))?;
        if !metadata.is_file() {
            return Err(Error::NotPushable { path: file.path.clone() });
        }
        let path = file.path.to_str().ok_or_else(|| Error::NotPushable { path: file.path.clone() })?;
        to_hash.push(FileToHash { path, size: metadata.len(), algorithms });
    }
    let bytes = total(to_hash.iter().map(|file| file.size));
    let progress = HashProgress::over(observer, files.len() as u64, bytes);
    let outcomes =
        bagit::hash_files(Path::new(""), &to_hash, &HashOptions::default().with_known(known), &progress)?;
    outcomes.into_iter().zip(files).map(|(outcome, file)| hashed(outcome, &file.path)).collect()
}

fn hashed(outcome: HashOutcome, path: &Path) -> Result<HashedFile> {
    let changed = || Error::content(path.display().to_string(), "it changed while being read");
    match outcome {
        HashOutcome::Hashed { size, digests } => {
            let sha256 = digests.get(Algorithm::Sha256).and_then(|digest| digest.try_into().ok());
            Ok(HashedFile { digest: Digest::from_sha256(sha256.ok_or_else(changed)?), size, digests })
        }
        HashOutcome::Unreadable(error) => Err(Error::io("read", path, error)),
        _ => Err(changed()),
    }
}
