//! Pulling: from a manifest to files in a directory, all of them right or none of them there.

mod existing;
mod finish;
mod options;
mod staging;

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use bagit::{Algorithm, AlgorithmSet, TagFiles};
use d1_package::Entry;
use oci_model::ManifestRef;
use registry_backend::RegistryBackend;

use existing::{Existing, find_existing};
use finish::finish;

pub use options::{Include, PullOptions, PullReport};
pub(crate) use staging::Staging;

use crate::open::open_package;
use crate::receive::{Destination, Receiving, Wanted, receive_package, run_blocking};
use crate::{Error, Observer, OpenPackage, Result};

/// Pulls a package, whoever made it, into `output`, below which it has a directory of its own if it says so.
///
/// Files that are there already and right are not received again. Files gather in a staging directory, where the next attempt finds them,
/// and move to their places when all of them are there and right.
///
/// # Errors
///
/// [`Error::TargetHolds`] if other files are in the way; [`Error::Content`] if content is damaged, with all faults if `keep_going` is set;
/// [`Error::InvalidBag`] if the files are right but make no valid bag; [`Error::NotInPackage`] if nothing is selected;
/// what the store or the file system fails with.
pub async fn pull(
    backend: &dyn RegistryBackend,
    at: &ManifestRef,
    output: &Path,
    options: &PullOptions,
    observer: &Arc<dyn Observer>,
) -> Result<PullReport> {
    let package = open_package(backend, at).await?;
    let selected = select(&package, options)?;
    let algorithms = algorithms(&package);
    let staging = {
        let (output, digest) = (output.to_owned(), package.raw.digest().clone());
        Arc::new(run_blocking(move || Staging::open(&output, &digest)).await?)
    };
    if package.view.index().is_none() {
        // Without an index nothing tells whether what an earlier attempt unpacked is right.
        staging.clear()?;
    }
    let existing =
        find_existing(&package, &selected, output, &staging, algorithms, options.overwrite, observer).await?;
    let missing: Wanted<'_> = selected.iter().copied().filter(|path| !existing.has(path)).collect();
    let receiving = Receiving {
        package: &package,
        wanted: &missing,
        destination: &Destination::Staging(Arc::clone(&staging)),
        algorithms,
        keep: TagFiles::wants,
        keep_going: options.keep_going,
    };
    let arrived = receive_package(backend, receiving, observer).await?;
    if !arrived.faults.is_empty() {
        return Err(Error::Content { faults: arrived.faults });
    }
    let whole = options.include.is_none();
    let report = finish(&package, staging, existing, arrived, output, whole, options, observer).await?;
    Ok(report)
}

/// Returns the paths of the files that are wanted; without an index, those in archives are not among them.
fn select<'a>(package: &'a OpenPackage, options: &PullOptions) -> Result<HashSet<&'a str>> {
    let wanted = |entry: &Entry<'_>| options.include.as_ref().is_none_or(|include| include(entry.path));
    let selected: HashSet<&str> =
        package.view.entries().filter(|entry| wanted(entry)).map(|entry| entry.path).collect();
    if options.include.is_some() && selected.is_empty() {
        return Err(Error::NotInPackage { wanted: options.include_text.clone() });
    }
    if options.include.is_some() && package.view.index().is_none() && !package.view.archives().is_empty() {
        return Err(Error::NoIndex { digest: package.raw.digest().clone() });
    }
    Ok(selected)
}

/// Returns the algorithms that the checks afterwards need: SHA-256, and those of the bag's manifests by their names.
fn algorithms(package: &OpenPackage) -> AlgorithmSet {
    let mut names = TagFiles::new();
    for entry in package.view.entries().filter(|entry| TagFiles::wants(entry.path)) {
        names.insert(entry.path, Vec::new());
    }
    bagit::required_algorithms(&names).into_iter().chain([Algorithm::Sha256]).collect()
}
