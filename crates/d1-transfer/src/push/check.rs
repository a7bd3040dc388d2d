//! The first pass of a push: every file hashed, and a bag checked, before anything is packed or sent.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bagit::{Accept, Algorithm, AlgorithmSet, CheckOptions, Fault, Report, Scan, ScanOptions, Severity};
use d1_package::{PackageOddity, Survey, Validation};

use crate::progress::HashProgress;
use crate::{ContentFault, Error, Event, Observer, Result};

/// A directory whose files have been hashed.
#[derive(Debug)]
pub(crate) struct Checked {
    /// Files with sizes and digests.
    pub(crate) scan: Scan,
    /// What was found about the bag; a plain directory has none.
    pub(crate) report: Option<Report>,
    /// The form of the directory, and the documents that describe it.
    pub(crate) survey: Survey,
}

/// How to check.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checking {
    /// Whether a bag has to be valid.
    pub(crate) verify: bool,
    /// Whose faults are tolerated.
    pub(crate) accept: Accept,
    /// Whether each problem of an RO-Crate is an error.
    pub(crate) strict_crate: bool,
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
    let survey = survey(directory)?;
    let mut options = ScanOptions::default();
    // Checksums in documents are computed in the same read as all others.
    options.extra_algorithms = checking.algorithms.union(survey.algorithms());
    options.extra_algorithms.insert(Algorithm::Sha256);
    let scan = bagit::scan_directory(directory, &options, &HashProgress::new(observer))?;
    let observations = scan.inventory.observations();
    let check_options = CheckOptions::accepting(checking.accept);
    let Validation { report, oddities, .. } =
        survey.validate(&scan.inventory, &scan.tag_files, &check_options);
    match &report {
        Some(report) => judge(directory, report, checking.verify, observer)?,
        None => warn(observations.iter().filter(|fault| fault.severity == Severity::Warning), observer),
    }
    refuse_unusable(observations)?;
    judge_crate(&oddities, checking, observer)?;
    Ok(Checked { scan, report, survey })
}

fn survey(directory: &Path) -> Result<Survey> {
    let files = regular_files(directory);
    let mut open = |path: &str| -> io::Result<Box<dyn Read>> {
        Ok(Box::new(Readable(File::open(directory.join(path)).ok())))
    };
    let listed = files.iter().map(|(path, size)| (path.as_str(), *size));
    Ok(Survey::read(listed, &mut open)?)
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

/// Reports the problems of an RO-Crate. A wrong checksum ends a push that verifies, and any problem a strict one.
fn judge_crate(oddities: &[PackageOddity], checking: Checking, observer: &Arc<dyn Observer>) -> Result<()> {
    oddities.iter().for_each(|oddity| observer.event(&Event::Warning(&oddity.to_string())));
    let is_error =
        |oddity: &&PackageOddity| checking.strict_crate || checking.verify && oddity.code.is_fault();
    let faults: Vec<ContentFault> = oddities
        .iter()
        .filter(is_error)
        .map(|oddity| ContentFault { path: oddity.path.to_string(), message: oddity.message.clone() })
        .collect();
    if faults.is_empty() { Ok(()) } else { Err(Error::Content { faults }) }
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
