//! The end of a pull: the bag is judged by what came, and everything moves to its place.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use bagit::{CheckOptions, Digests, Inventory, Report, ScanOptions, TagFiles};

use super::Existing;
use super::options::{PullOptions, PullReport};
use super::staging::{Staging, existing, refuse_links};
use crate::receive::{Arrived, join, run_blocking};
use crate::{Error, Event, Observer, OpenPackage, Result};

/// Judges and publishes what was received.
#[expect(clippy::too_many_arguments, reason = "the end of one long function, called once")]
pub(crate) async fn finish(
    package: &OpenPackage,
    staging: Arc<Staging>,
    existing: Existing,
    arrived: Arrived,
    output: &Path,
    whole: bool,
    options: &PullOptions,
    observer: &Arc<dyn Observer>,
) -> Result<PullReport> {
    let directory = package.view.directory().to_owned();
    let empty_directories: Vec<String> = match whole {
        true => package.view.empty_directories().iter().map(|path| join(&directory, path)).collect(),
        false => Vec::new(),
    };
    let mut report = PullReport {
        digest: package.raw.digest().clone(),
        directory: directory.clone(),
        files: 0,
        bytes: 0,
        kept_files: existing.count(),
        received_bytes: arrived.bytes,
        bag: None,
    };
    let is_ours = package.view.index().is_some();
    let is_bag = package.view.index().is_some_and(|index| index.bag().is_some());
    let (output, options, observer) = (output.to_owned(), options.clone(), Arc::clone(observer));
    run_blocking(move || {
        let mut all = arrived;
        all.kept.extend(existing.read_tag_files()?);
        all.files.extend(existing.into_files());
        (report.files, report.bytes) = (all.files.len() as u64, all.files.iter().map(|file| file.size).sum());
        for path in &empty_directories {
            refuse_links(&output, path)?;
            let path = staging.finished(path);
            fs::create_dir_all(&path).map_err(|error| Error::io("create", path, error))?;
        }
        if whole && !options.no_bag_check {
            if is_bag {
                report.bag = Some(check_received(all, &options));
            } else if !is_ours {
                report.bag = check_unpacked(&staging.finished(&directory), &options)?;
            }
        }
        judge(report.bag.as_ref(), &output.join(&directory), &observer)?;
        make_way(&staging, &output, options.overwrite)?;
        staging.publish(options.overwrite)?;
        Ok(report)
    })
    .await
}

/// Judges a bag by the digests that were computed while it came.
fn check_received(all: Arrived, options: &PullOptions) -> Report {
    let (mut inventory, mut tag_files) = (Inventory::new(), TagFiles::new());
    inventory.insert_directory("data");
    for file in all.files {
        inventory.insert_file(&file.path, file.size, file.digests);
    }
    for (path, bytes) in all.kept {
        let algorithms = bagit::AlgorithmSet::all();
        inventory.insert_file(&path, bytes.len() as u64, Digests::of(algorithms, &bytes));
        tag_files.insert(&path, bytes);
    }
    bagit::check(&inventory, &tag_files, &CheckOptions::accepting(options.accept))
}

/// Judges a bag that somebody else packed, by reading what was unpacked.
fn check_unpacked(directory: &Path, options: &PullOptions) -> Result<Option<Report>> {
    if !bagit::is_bag(directory) {
        return Ok(None);
    }
    let check = CheckOptions::accepting(options.accept);
    Ok(Some(bagit::validate_directory(directory, &ScanOptions::default(), &check, &bagit::NoProgress)?))
}

fn judge(report: Option<&Report>, directory: &Path, observer: &Arc<dyn Observer>) -> Result<()> {
    let Some(report) = report else { return Ok(()) };
    for warning in report.warnings() {
        observer.event(&Event::Warning(&warning.to_string()));
    }
    match report.valid {
        true => Ok(()),
        false => Err(Error::InvalidBag { directory: directory.to_owned(), report: Box::new(report.clone()) }),
    }
}

/// Makes sure, before anything moves, that everything can: nothing is in the way, and no link leads elsewhere.
fn make_way(staging: &Staging, output: &Path, overwrite: bool) -> Result<()> {
    let mut in_the_way = Vec::new();
    look_ahead(&staging.files(), output, overwrite, &mut in_the_way)?;
    if in_the_way.is_empty() { Ok(()) } else { Err(Error::TargetHolds { paths: in_the_way }) }
}

fn look_ahead(
    from: &Path,
    to: &Path,
    overwrite: bool,
    in_the_way: &mut Vec<std::path::PathBuf>,
) -> Result<()> {
    for entry in fs::read_dir(from).map_err(|error| Error::io("list", from, error))? {
        let entry = entry.map_err(|error| Error::io("list", from, error))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        match existing(&target)? {
            None => {}
            Some(found) if is_directory && found.is_dir() => {
                look_ahead(&source, &target, overwrite, in_the_way)?
            }
            Some(found) if overwrite && !is_directory && !found.is_dir() => {}
            Some(_) => in_the_way.push(target),
        }
    }
    Ok(())
}
