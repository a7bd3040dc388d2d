//! Pulling: from a manifest to files in a directory, all of them right or none of them there.

mod existing;
mod finish;
mod options;
mod staging;

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use bagit::{Algorithm, AlgorithmSet, TagFiles};
use oci_model::{Descriptor, Digest, ManifestRef, MediaType, annotations};
use registry_backend::RegistryBackend;

use existing::{Existing, Search};
use finish::{Finish, Judgement};

pub use options::{Include, PullOptions, PullReport};
pub(crate) use staging::{Staging, refuse_links};

use crate::blocking::run_blocking;
use crate::open::open_stored;
use crate::receive::{Destination, Expected, Receiving, Wanted, check_kept_size, receive_package};
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
    let package = open_stored(backend, at).await?;
    tell_of_layers_without_title(&package, &**observer);
    let selected = select(&package, options)?;
    let (staging, released) = {
        let (output, digest) = (output.to_owned(), package.raw.digest().clone());
        let selection = options.include.as_ref().map(|_| digest_of(&selected));
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

/// Returns the paths of the files that are wanted; without an index, those in archives are not among them.
fn select<'a>(package: &'a OpenPackage, options: &PullOptions) -> Result<HashSet<&'a str>> {
    let paths = package.view.entries().map(|entry| entry.path);
    let Some(include) = &options.include else { return Ok(paths.collect()) };
    if package.view.index().is_none() && !package.view.archives().is_empty() {
        return Err(Error::NoIndex { digest: package.raw.digest().clone() });
    }
    let selected: HashSet<&str> = paths.filter(|path| include(path)).collect();
    if selected.is_empty() {
        return Err(Error::NotInPackage { wanted: options.include_text.clone() });
    }
    Ok(selected)
}

/// Returns what identifies a selection of files.
fn digest_of(selected: &HashSet<&str>) -> Digest {
    let mut paths: Vec<&str> = selected.iter().copied().collect();
    paths.sort_unstable();
    Digest::sha256_of(paths.join("\0").as_bytes())
}

/// A pull whose package is open.
struct Pulling<'a> {
    backend: &'a dyn RegistryBackend,
    package: &'a OpenPackage,
    options: &'a PullOptions,
    observer: &'a Arc<dyn Observer>,
}

impl Pulling<'_> {
    async fn run(&self, selected: HashSet<&str>, staging: Arc<Staging>) -> Result<PullReport> {
        let judgement = self.judgement();
        let is_kept = |path: &str| judgement == Judgement::Received && TagFiles::wants(path);
        let unlisted = self.options.include.is_none();
        let kept = selected.iter().copied().filter(|path| is_kept(path)).collect();
        let mut wanted = Wanted { files: selected, kept, unlisted };
        check_kept_size(&self.package.view, &wanted)?;
        let algorithms = self.algorithms(judgement);

        let existing = self.existing(&wanted, &staging, algorithms, judgement).await?;
        wanted.files.retain(|path| !existing.has(path));
        let receiving = Receiving {
            package: self.package,
            wanted: &wanted,
            destination: Destination::Staging(Arc::clone(&staging)),
            algorithms,
            keep_going: self.options.keep_going,
        };
        let arrived = receive_package(self.backend, receiving, self.observer).await?;
        if !arrived.faults.is_empty() {
            return Err(Error::Content { faults: arrived.faults });
        }
        let finish = Finish::new(self.package, staging, judgement, self.options, self.observer);
        run_blocking(move || finish.run(existing, arrived)).await
    }

    fn judgement(&self) -> Judgement {
        if self.options.include.is_some() || self.options.no_bag_check {
            return Judgement::None;
        }
        let view = &self.package.view;
        match view.index() {
            Some(index) if index.bag().is_some() => Judgement::Received,
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
        wanted: &Wanted<'_>,
        staging: &Arc<Staging>,
        algorithms: AlgorithmSet,
        judgement: Judgement,
    ) -> Result<Existing> {
        let view = &self.package.view;
        let files = view.entries().filter(|entry| wanted.files.contains(entry.path));
        let files: Vec<Expected> =
            files.map(|entry| Expected::of(&entry, wanted.kept.contains(entry.path))).collect();
        let search = Search {
            staging: Arc::clone(staging),
            directory: view.directory().to_owned(),
            algorithms,
            // What is judged after it was unpacked has to be in one place for that.
            use_placed: judgement != Judgement::Unpacked,
            overwrite: self.options.overwrite,
            observer: Arc::clone(self.observer),
        };
        run_blocking(move || search.run(&files)).await
    }
}
