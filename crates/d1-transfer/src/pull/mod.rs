//! Pulling: from a manifest to files in a directory, all of them right or none of them there.

mod existing;
mod finish;

use std::collections::HashSet;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use bagit::{Algorithm, AlgorithmSet, Report, TagFiles};
use d1_package::Accept;
use d1_package::{Entry, PackageView};
use existing::{Existing, Search};
use finish::{Finish, Judgement, is_read_in_place};
use oci_model::{Descriptor, Digest, DigestAlgorithm, DigestHasher, ManifestRef, MediaType, annotations};
use registry_backend::RegistryBackend;
use serde::Serialize;

use crate::blocking::run_blocking;
use crate::error::{Error, Result};
use crate::event::{Event, Observer};
use crate::package::{OpenPackage, open_stored};
use crate::receive::files::{FileSet, check_kept_size};
use crate::receive::{Destination, Receiving, Wanted, receive_package};
use crate::staging::Staging;

/// Decides whether a file is wanted.
pub type Include = Arc<dyn Fn(&Candidate<'_>) -> bool + Send + Sync>;

/// A file for which a selection decides.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Candidate<'a> {
    /// Path below the package's directory.
    pub path: &'a str,
    /// The package's directory. Empty if it has none.
    pub directory: &'a str,
    /// DataONE object format identifier, if the package states it.
    pub format_id: Option<&'a str>,
}

/// Options of a pull.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct PullOptions {
    /// Which files to pull. Without it, all.
    pub include: Option<Include>,
    /// The user's selection, for messages.
    pub include_text: String,
    /// Whether to replace other files at the target.
    pub overwrite: bool,
    /// Whether to continue after a damaged file, to find all of them.
    pub keep_going: bool,
    /// Whether to skip the validation of a bag by its manifests. Digests of the package are always compared.
    pub no_bag_check: bool,
    /// Whose faults in a bag are tolerated.
    pub accept: Accept,
    /// The most bytes of content for each byte of an archive without an index. Without it,
    /// [`MAX_RATIO`](oci_pack::MAX_RATIO).
    pub max_ratio: Option<u64>,
}

/// The result of a pull.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct PullReport {
    /// Digest of the manifest.
    pub digest: Digest,
    /// Directory of the package, relative to the output directory. Empty if that is the output directory
    /// itself.
    pub directory: String,
    /// Number of files of the package.
    pub files: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// Number of files that already existed, or that an earlier attempt had received.
    pub kept_files: u64,
    /// Number of bytes that were received.
    pub received_bytes: u64,
    /// The result of validating the bag. Absent for other packages and for a part of a bag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bag: Option<Report>,
}

impl fmt::Debug for PullOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PullOptions")
            .field("include", &self.include_text)
            .field("overwrite", &self.overwrite)
            .field("keep_going", &self.keep_going)
            .finish_non_exhaustive()
    }
}

/// Pulls a package, whoever made it, into the directory `output`.
///
/// Files that already exist with the right content are not received again. New files gather in a staging
/// directory, and move to their places when all of them are right. The next attempt finds them there.
///
/// # Errors
///
/// [`Error::TargetHolds`] if other files exist at the target. [`Error::Content`] if content is damaged, with
/// all faults if `keep_going` is set. [`Error::InvalidBag`] if the bag is not valid. [`Error::NotInPackage`] if
/// the selection matches nothing. [`Error::NoIndex`] if files are selected in a package without an index. Also
/// fails if the store or the file system fails.
///
/// ```
/// # use std::sync::Arc;
/// use d1_transfer::Candidate;
/// # use d1_transfer::{Observer, PullOptions, PushOptions, Silent, pull, push_directory};
/// # use registry_backend::MemoryBackend;
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// # let folder = tempfile::tempdir()?;
/// # let plots = folder.path().join("plots");
/// # std::fs::create_dir(&plots)?;
/// # std::fs::write(plots.join("temperature.csv"), "15,7.2\n")?;
/// # std::fs::write(plots.join("notes.txt"), "calm sea\n")?;
/// # let backend = MemoryBackend::new();
/// # let observer: Arc<dyn Observer> = Arc::new(Silent);
/// # let pushed = push_directory(&backend, &plots, &PushOptions::new(std::env::temp_dir()), &observer).await?;
/// // Only the tables.
/// let mut options = PullOptions::default();
/// options.include = Some(Arc::new(|file: &Candidate<'_>| file.path.ends_with(".csv")));
/// let output = folder.path().join("copy");
/// let pulled = pull(&backend, &pushed.digest.into(), &output, &options, &observer).await?;
/// assert_eq!(pulled.files, 1);
/// assert!(output.join("plots/temperature.csv").exists());
/// assert!(!output.join("plots/notes.txt").exists());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub async fn pull(
    backend: &dyn RegistryBackend,
    at: &ManifestRef,
    output: &Path,
    options: &PullOptions,
    observer: &Arc<dyn Observer>,
) -> Result<PullReport> {
    let package = Arc::new(open_stored(backend, at).await?.with_max_ratio(options.max_ratio));
    tell_of_layers_without_title(&package, &**observer);
    let selected = select(&package, options)?;
    let (staging, released) = {
        let (output, digest) = (output.to_owned(), package.raw.digest().clone());
        let selection = options.include.as_ref().map(|_| digest_of(&package.view, &selected));
        run_blocking(move || Staging::open(&output, &digest, selection.as_ref())).await?
    };
    let pulling = Pulling { backend, package: &package, options, observer };
    let result = pulling.run(selected, staging).await;
    // After an error, threads may still be writing.
    released.wait().await;
    result
}

/// Warns about layers without a title, such as those of container images. They are not files.
fn tell_of_layers_without_title(package: &OpenPackage, observer: &dyn Observer) {
    if package.view.index().is_some() {
        return;
    }
    let layers = &package.view.manifest().layers;
    let is_passed_over = |layer: &&Descriptor| {
        layer.annotation(annotations::TITLE).is_none() && layer.media_type.as_str() != MediaType::EMPTY
    };
    let passed_over = layers.iter().filter(is_passed_over).count();
    if passed_over > 0 {
        let all = layers.len();
        let text = format!("layers without a title are not files: {passed_over} of {all} layers are skipped");
        observer.event(&Event::Warning(&text));
    }
}

/// Returns the wanted files. Without an index, files in archives are not among them.
fn select(package: &OpenPackage, options: &PullOptions) -> Result<FileSet> {
    let entries = package.view.entries().enumerate();
    let Some(include) = &options.include else { return Ok(entries.map(|(position, _)| position).collect()) };
    if package.view.index().is_none() && !package.view.archives().is_empty() {
        return Err(Error::NoIndex { digest: package.raw.digest().clone() });
    }
    let directory = package.view.directory();
    let candidate = |entry: &Entry<'_>| {
        let format_id = entry.object.and_then(|object| object.format_id.as_deref());
        include(&Candidate { path: entry.path, directory, format_id })
    };
    let included = entries.filter(|(_, entry)| candidate(entry));
    let selected: FileSet = included.map(|(position, _)| position).collect();
    if selected.len() == 0 {
        return Err(Error::NotInPackage { wanted: options.include_text.clone() });
    }
    Ok(selected)
}

/// Returns a digest that identifies a selection of files.
fn digest_of(view: &PackageView, selected: &FileSet) -> Digest {
    let mut hasher = DigestHasher::new(DigestAlgorithm::Sha256);
    for entry in selected.iter().filter_map(|position| view.entry_at(position)) {
        hasher.update(entry.path.as_bytes());
        hasher.update(b"\0");
    }
    hasher.finish()
}

/// A pull of an open package.
struct Pulling<'a> {
    backend: &'a dyn RegistryBackend,
    package: &'a Arc<OpenPackage>,
    options: &'a PullOptions,
    observer: &'a Arc<dyn Observer>,
}

impl Pulling<'_> {
    async fn run(&self, selected: FileSet, staging: Arc<Staging>) -> Result<PullReport> {
        let judgement = self.judgement();
        let unlisted = self.options.include.is_none();
        let kept = self.kept(&selected, judgement);
        let wanted = Arc::new(Wanted { files: selected, kept, unlisted });
        check_kept_size(&self.package.view, &wanted)?;
        let algorithms = self.algorithms(judgement);

        let existing = self.existing(&wanted, &staging, algorithms, judgement).await?;
        let mut missing = Arc::unwrap_or_clone(wanted);
        existing.files().iter().for_each(|position| missing.files.remove(position));
        let receiving = Receiving {
            package: Arc::clone(self.package),
            wanted: Arc::new(missing),
            destination: Destination::Staging(Arc::clone(&staging)),
            algorithms,
            keep_going: self.options.keep_going,
            spill: None,
        };
        let arrived = receive_package(self.backend, receiving, self.observer).await?;
        if !arrived.faults.is_empty() {
            return Err(Error::Content { faults: arrived.faults });
        }
        let finish = Finish::new(self.package, staging, judgement, self.options, self.observer);
        run_blocking(move || finish.run(existing, arrived)).await
    }

    /// Returns the tag files that are needed in memory to validate the bag. Larger ones are read on disk.
    fn kept(&self, selected: &FileSet, judgement: Judgement) -> HashSet<usize> {
        if judgement != Judgement::Received {
            return HashSet::new();
        }
        let is_kept = |entry: &Entry<'_>| TagFiles::wants(entry.path) && !is_read_in_place(entry);
        let entries =
            selected.iter().filter_map(|position| Some((position, self.package.view.entry_at(position)?)));
        entries.filter(|(_, entry)| is_kept(entry)).map(|(position, _)| position).collect()
    }

    fn judgement(&self) -> Judgement {
        if self.options.include.is_some() || self.options.no_bag_check {
            return Judgement::None;
        }
        let view = &self.package.view;
        match view.index() {
            Some(_) if view.bag().is_some() => Judgement::Received,
            None if !view.archives().is_empty() || view.entry("bagit.txt").is_some() => Judgement::Unpacked,
            _ => Judgement::None,
        }
    }

    /// Returns SHA-256, and the algorithms of the bag's manifests if they are needed.
    fn algorithms(&self, judgement: Judgement) -> AlgorithmSet {
        let mut names = TagFiles::new();
        if judgement == Judgement::Received {
            let paths = self.package.view.entries().map(|entry| entry.path);
            paths.filter(|path| TagFiles::wants(path)).for_each(|path| names.insert(path, Vec::new()));
        }
        bagit::required_algorithms(&names).into_iter().chain([Algorithm::Sha256]).collect()
    }

    async fn existing(
        &self,
        wanted: &Arc<Wanted>,
        staging: &Arc<Staging>,
        algorithms: AlgorithmSet,
        judgement: Judgement,
    ) -> Result<Existing> {
        let search = Search {
            staging: Arc::clone(staging),
            package: Arc::clone(self.package),
            wanted: Arc::clone(wanted),
            algorithms,
            // An unpacked bag is validated in one directory, so all its files must be received.
            use_placed: judgement != Judgement::Unpacked,
            overwrite: self.options.overwrite,
            observer: Arc::clone(self.observer),
        };
        run_blocking(move || search.run()).await
    }
}
