//! The first pass of a push: every file hashed, and a bag checked, before anything is packed or sent.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use bagit::{
    Accept, Algorithm, AlgorithmSet, CheckOptions, Fault, ProgressEvent, Report, Scan, ScanOptions, Severity,
};
use d1_package::Documents;

use crate::{ContentFault, Error, Event, Observer, Phase, Result};

/// A directory whose files have been hashed.
#[derive(Debug)]
pub(crate) struct Checked {
    /// Files with sizes and digests.
    pub(crate) scan: Scan,
    /// What was found about the bag; a plain directory has none.
    pub(crate) report: Option<Report>,
    /// The DataONE documents among the files.
    pub(crate) documents: Documents,
}

/// How to check.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checking {
    /// Whether a bag has to be valid.
    pub(crate) verify: bool,
    /// Whose faults are tolerated.
    pub(crate) accept: Accept,
    /// Algorithms that are wanted besides those of the manifests and of the system metadata.
    pub(crate) algorithms: AlgorithmSet,
}

/// Hashes all files of a directory, each in one read, and checks it if it is a bag. It blocks.
///
/// # Errors
///
/// [`Error::InvalidBag`] with all faults; [`Error::Content`] for files that cannot be pushed at all.
pub(crate) fn check_directory(
    directory: &Path,
    checking: Checking,
    observer: &Arc<dyn Observer>,
) -> Result<Checked> {
    let documents = find_documents(directory)?;
    // What system metadata declare is computed in the same read as everything else.
    let declared = documents.system_metadata.iter().map(|record| documents.algorithms_for(record.size));
    let algorithms = declared.fold(checking.algorithms, AlgorithmSet::union);
    let scan = hash_directory(directory, algorithms, observer)?;
    let report = bagit::is_bag(directory)
        .then(|| bagit::check(&scan.inventory, &scan.tag_files, &CheckOptions::accepting(checking.accept)));
    if let Some(report) = &report {
        judge(directory, report, checking.verify, observer)?;
    }
    refuse_unusable(scan.inventory.observations())?;
    Ok(Checked { scan, report, documents })
}

fn find_documents(directory: &Path) -> Result<Documents> {
    let mut files = Vec::new();
    list(directory, "", &mut files);
    files.sort();
    let mut open = |path: &str| -> std::io::Result<Box<dyn std::io::Read>> {
        Ok(Box::new(fs::File::open(directory.join(path))?))
    };
    let listed = files.iter().map(|(path, size)| (path.as_str(), *size));
    Ok(d1_package::read_documents(listed, bagit::is_bag(directory), &mut open)
        .map_err(d1_package::Error::from)?)
}

/// Lists regular files. What cannot be listed is no document; hashing will say what is wrong with it.
fn list(directory: &Path, prefix: &str, files: &mut Vec<(String, u64)>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let (Ok(kind), Some(name)) = (entry.file_type(), entry.file_name().to_str().map(str::to_owned))
        else {
            continue;
        };
        let path = format!("{prefix}{name}");
        if kind.is_dir() {
            list(&entry.path(), &format!("{path}/"), files);
        } else if let (true, Ok(metadata)) = (kind.is_file(), entry.metadata()) {
            files.push((path, metadata.len()));
        }
    }
}

fn hash_directory(directory: &Path, extra: AlgorithmSet, observer: &Arc<dyn Observer>) -> Result<Scan> {
    let mut options = ScanOptions::default();
    options.extra_algorithms = extra.union([Algorithm::Sha256].into_iter().collect());
    let phase = Phase::Check;
    let progress = |event: ProgressEvent<'_>| match event {
        ProgressEvent::Planned { files, bytes } => {
            observer.event(&Event::Began { phase, items: files, bytes })
        }
        ProgressEvent::Advanced { bytes } => observer.event(&Event::Advanced { phase, items: 0, bytes }),
        ProgressEvent::Finished { .. } => observer.event(&Event::Advanced { phase, items: 1, bytes: 0 }),
        _ => {}
    };
    let scan = bagit::scan_directory(directory, &options, &progress);
    observer.event(&Event::Ended { phase });
    Ok(scan?)
}

fn judge(directory: &Path, report: &Report, verify: bool, observer: &Arc<dyn Observer>) -> Result<()> {
    for warning in report.warnings() {
        observer.event(&Event::Warning(&warning.to_string()));
    }
    if report.valid {
        return Ok(());
    }
    if verify {
        return Err(Error::InvalidBag { directory: directory.to_owned(), report: Box::new(report.clone()) });
    }
    let message = format!("the bag is pushed although it has {} faults", report.errors().count());
    observer.event(&Event::Warning(&message));
    Ok(())
}

/// Refuses files that cannot be read or are none: they could not be in the package, verified or not.
fn refuse_unusable(observations: &[Fault]) -> Result<()> {
    let faults: Vec<ContentFault> = observations
        .iter()
        .filter(|fault| fault.severity == Severity::Error)
        .map(|fault| ContentFault {
            path: fault.path.clone().unwrap_or_default(),
            message: fault.message.clone(),
        })
        .collect();
    if faults.is_empty() { Ok(()) } else { Err(Error::Content { faults }) }
}
