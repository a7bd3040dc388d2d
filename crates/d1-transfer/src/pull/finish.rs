//! The end of a pull: the bag is judged by what came, and everything moves to its place.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bagit::{Accept, AlgorithmSet, CheckOptions, Digests, Inventory, Report, ScanOptions, TagFiles};

use super::options::{PullOptions, PullReport};
use super::{Existing, Staging};
use crate::names::join;
use crate::progress::{HashProgress, total};
use crate::receive::Arrived;
use crate::{Error, Event, Observer, OpenPackage, Result};

/// How a bag is judged before it gets its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// It is not: it is none, or a part of one, or nobody wants to know.
    None,
    /// By the digests that were computed while it came.
    Received,
    /// By reading what was unpacked: nothing said before which digests its manifests have.
    Unpacked,
}

/// What is known at the end of a pull besides the files.
pub(crate) struct Finish {
    staging: Arc<Staging>,
    judgement: Judgement,
    accept: Accept,
    overwrite: bool,
    observer: Arc<dyn Observer>,
    /// Directories below the output directory that are there even if no file is in them.
    directories: Vec<String>,
    report: PullReport,
}

impl Finish {
    pub(crate) fn new(
        package: &OpenPackage,
        staging: Arc<Staging>,
        judgement: Judgement,
        options: &PullOptions,
        observer: &Arc<dyn Observer>,
    ) -> Self {
        let directory = package.view.directory();
        let mut directories = Vec::new();
        if options.include.is_none() && !directory.is_empty() {
            directories.push(directory.to_owned());
            directories.extend(package.view.empty_directories().iter().map(|path| join(directory, path)));
        }
        let report = PullReport {
            digest: package.raw.digest().clone(),
            directory: directory.to_owned(),
            files: 0,
            bytes: 0,
            kept_files: 0,
            received_bytes: 0,
            bag: None,
        };
        Self {
            staging,
            judgement,
            accept: options.accept,
            overwrite: options.overwrite,
            observer: Arc::clone(observer),
            directories,
            report,
        }
    }

    /// Judges and publishes what was found and what was received. It blocks.
    pub(crate) fn run(mut self, existing: Existing, arrived: Arrived) -> Result<PullReport> {
        self.report.kept_files = existing.count();
        self.report.received_bytes = arrived.bytes;
        let mut all = arrived;
        all.kept.extend(existing.read_kept()?);
        all.files.extend(existing.into_files());
        self.report.files = all.files.len() as u64;
        self.report.bytes = total(all.files.iter().map(|file| file.size));
        for path in &self.directories {
            let path = self.staging.finished(path);
            fs::create_dir_all(&path).map_err(|error| Error::io("create", path, error))?;
        }
        self.report.bag = match self.judgement {
            Judgement::None => None,
            Judgement::Received => Some(self.check_received(all)),
            Judgement::Unpacked => self.check_unpacked()?,
        };
        self.judge()?;
        self.staging.publish(self.overwrite)?;
        Ok(self.report)
    }

    fn check_received(&self, all: Arrived) -> Report {
        let (mut inventory, mut tag_files) = (Inventory::new(), TagFiles::new());
        inventory.insert_directory("data");
        for file in all.files {
            inventory.insert_file(&file.path, file.size, file.digests);
        }
        for (path, bytes) in all.kept {
            inventory.insert_file(&path, bytes.len() as u64, Digests::of(AlgorithmSet::all(), &bytes));
            tag_files.insert(&path, bytes);
        }
        bagit::check(&inventory, &tag_files, &CheckOptions::accepting(self.accept))
    }

    fn check_unpacked(&self) -> Result<Option<Report>> {
        let directory = self.staging.finished(&self.report.directory);
        if !bagit::is_bag(&directory) {
            return Ok(None);
        }
        let (scan, check) = (ScanOptions::default(), CheckOptions::accepting(self.accept));
        let progress = HashProgress::new(&self.observer);
        Ok(Some(bagit::validate_directory(&directory, &scan, &check, &progress)?))
    }

    fn judge(&self) -> Result<()> {
        let Some(report) = &self.report.bag else { return Ok(()) };
        for warning in report.warnings() {
            self.observer.event(&Event::Warning(&warning.to_string()));
        }
        match report.valid {
            true => Ok(()),
            false => Err(Error::InvalidBag { directory: self.place(), report: Box::new(report.clone()) }),
        }
    }

    /// Returns where the package is to be.
    fn place(&self) -> PathBuf {
        let output: &Path = self.staging.output();
        output.join(&self.report.directory)
    }
}
