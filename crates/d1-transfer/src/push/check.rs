//! The first pass of a push: every file hashed, and a bag checked, before anything is packed or sent.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bagit::{Accept, Algorithm, AlgorithmSet, CheckOptions, Fault, Report, Scan, ScanOptions, Severity};
use d1_package::Documents;

use crate::progress::HashProgress;
use crate::{ContentFault, Error, Event, Observer, Result};

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
    let is_bag = bagit::is_bag(directory);
    let documents = find_documents(directory, is_bag)?;
    // What system metadata declare is computed in the same read as everything else.
    let declared = documents.system_metadata.iter().map(|record| documents.algorithms_for(record.size));
    let mut options = ScanOptions::default();
    options.extra_algorithms = declared.fold(checking.algorithms, AlgorithmSet::union);
    options.extra_algorithms.insert(Algorithm::Sha256);
    let scan = bagit::scan_directory(directory, &options, &HashProgress::new(observer))?;
    let observations = scan.inventory.observations();
    let check = || bagit::check(&scan.inventory, &scan.tag_files, &CheckOptions::accepting(checking.accept));
    let report = is_bag.then(check);
    match &report {
        Some(report) => judge(directory, report, checking.verify, observer)?,
        None => warn(observations.iter().filter(|fault| fault.severity == Severity::Warning), observer),
    }
    refuse_unusable(observations)?;
    Ok(Checked { scan, report, documents })
}

fn find_documents(directory: &Path, is_bag: bool) -> Result<Documents> {
    let files = regular_files(directory);
    let mut open = |path: &str| -> io::Result<Box<dyn Read>> {
        Ok(Box::new(Readable(File::open(directory.join(path)).ok())))
    };
    let listed = files.iter().map(|(path, size)| (path.as_str(), *size));
    Ok(d1_package::read_documents(listed, is_bag, &mut open)?)
}

/// Reads a file as far as it can be read. What cannot be is no document; hashing says what is wrong with it, together with
/// everything else that is wrong with the bag.
struct Readable(Option<File>);

impl Read for Readable {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(self.0.as_mut().map_or(0, |file| file.read(buffer).unwrap_or(0)))
    }
}

/// Lists regular files with their sizes, bytewise. What cannot be listed is left to hashing, like what cannot be read.
fn regular_files(directory: &Path) -> Vec<(String, u64)> {
    let mut files = Vec::new();
    let mut pending: Vec<(PathBuf, String)> = vec![(directory.to_owned(), String::new())];
    while let Some((directory, prefix)) = pending.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let (Ok(kind), Some(name)) = (entry.file_type(), entry.file_name().to_str().map(str::to_owned))
            else {
                continue;
            };
            let path = format!("{prefix}{name}");
            if kind.is_dir() {
                pending.push((entry.path(), format!("{path}/")));
            } else if let (true, Ok(metadata)) = (kind.is_file(), entry.metadata()) {
                files.push((path, metadata.len()));
            }
        }
    }
    files.sort();
    files
}

fn warn<'f>(faults: impl Iterator<Item = &'f Fault>, observer: &Arc<dyn Observer>) {
    faults.for_each(|fault| observer.event(&Event::Warning(&fault.to_string())));
}

fn judge(directory: &Path, report: &Report, verify: bool, observer: &Arc<dyn Observer>) -> Result<()> {
    warn(report.warnings(), observer);
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
    let mut faults: Vec<ContentFault> = observations
        .iter()
        .filter(|fault| fault.severity == Severity::Error)
        .map(|fault| ContentFault {
            path: fault.path.clone().unwrap_or_default(),
            message: fault.message.clone(),
        })
        .collect();
    faults.sort_by(|left, right| left.path.cmp(&right.path));
    if faults.is_empty() { Ok(()) } else { Err(Error::Content { faults }) }
}
