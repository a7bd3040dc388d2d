//! Pulling: from a manifest to files in a directory, all of them right or none of them there.

mod existing;
mod finish;
mod options;
mod staging;

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use bagit::{Algorithm, AlgorithmSet, TagFiles};
use d1_package::{Entry, PackageView};
use oci_model::{Descriptor, Digest, DigestAlgorithm, DigestHasher, ManifestRef, MediaType, annotations};
use registry_backend::RegistryBackend;

use existing::{Existing, Search};
use finish::{Finish, Judgement, is_read_in_place};

pub use options::{Include, PullOptions, PullReport};
pub(crate) use staging::refuse_links;
pub use staging::{Released, Staging};

use crate::blocking::run_blocking;
use crate::open::open_stored;
use crate::receive::{Destination, FileSet, Receiving, Wanted, check_kept_size, receive_package};
use crate::{Error, Event, Observer, OpenPackage, Result};

/// Pulls a package, whoever made it, into `output`, below which it has a directory of its own if it says so.
///
/// Files that are there already and right are not received again. Files gather in a staging directory, where the next attempt finds them,
/// and move to their places when all of them are there and right.
///
/// # Errors
///
/// [`Error::TargetHolds`] if other files are in the way; [`Error::Content`] if content is damaged, with all faults if `keep_going` is set;
/// [`Error::InvalidBag`] if the files are right but make no valid bag; [`Error::NotInPackage`] if nothing is selected;
/// [`Error::NoIndex`] if files are selected and nothing tells which there are; what the store or the file system fails with.
pub async fn pull(
    backend: &dyn RegistryBackend,
    at: &ManifestRef,
    output: &Path,
    options: &PullOptions,
    observer: &Arc<dyn Observer>,
) -> Result<PullReport> {
    let package = Arc::new(open_stored(backend, at).await?);
    tell_of_layers_without_title(&package, &**observer);
    let selected = select(&package, options)?;
    let (staging, released) = {
        let (output, digest) = (output.to_owned(), package.raw.digest().clone());
        let selection = options.include.as_ref().map(|_| digest_of(&package.view, &selected));
        run_blocking(move || Staging::open(&output, &digest, selection.as_ref())).await?
    };
    let pulling = Pulling { backend, package: &package, options, observer };
    let result = pulling.run(selected, staging).await;
    // After an error, threads may still be about to write what they have.
    released.wait().await;
    result
}

/// Tells of layers that are no files, such as those of container images: otherwise nobody would know why there is nothing.
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
        let text = format!("layers without a title are no files: {passed_over} of {all} are not pulled");
        observer.event(&Event::Warning(&text));
    }
}

/// Returns the files that are wanted; without an index, those in archives are not among them.
fn select(package: &OpenPackage, options: &PullOptions) -> Result<FileSet> {
    let entries = package.view.entries().enumerate();
    let Some(include) = &options.include else { return Ok(entries.map(|(position, _)| position).collect()) };
    if package.view.index().is_none() && !package.view.archives().is_empty() {
        return Err(Error::NoIndex { digest: package.raw.digest().clone() });
    }
    let included = entries.filter(|(_, entry)| include(entry.path));
    let selected: FileSet = included.map(|(position, _)| position).collect();
    if selected.len() == 0 {
        return Err(Error::NotInPackage { wanted: options.include_text.clone() });
    }
    Ok(selected)
}

/// Returns what identifies a selection of files.
fn digest_of(view: &PackageView, selected: &FileSet) -> Digest {
    let mut hasher = DigestHasher::new(DigestAlgorithm::Sha256);
    for entry in selected.iter().filter_map(|position| view.entry_at(position)) {
        hasher.update(entry.path.as_bytes());
        hasher.update(b"\0");
    }
    hasher.finish()
}

/// A pull whose package is open.
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

    /// Returns the tag files that are wanted in memory to judge the bag by; larger ones are read where they stand.
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

    /// Returns SHA-256, and the algorithms of the bag's manifests by their names if they are needed afterwards.
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
            // What is judged after it was unpacked has to be in one place for that.
            use_placed: judgement != Judgement::Unpacked,
            overwrite: self.options.overwrite,
            observer: Arc::clone(self.observer),
        };
        run_blocking(move || search.run()).await
    }
}
