//! The end of a pull: the bag is judged by its received files, and everything moves to its place.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bagit::{Report, ScanOptions, TagFiles};
use d1_package::Accept;
use d1_package::Entry;

use crate::error::{Error, Result};
use crate::event::{Event, HashProgress, Observer};
use crate::names::join;
use crate::package::OpenPackage;
use crate::pull::existing::Existing;
use crate::pull::{PullOptions, PullReport};
use crate::receive::Arrived;
use crate::receive::files::CameFiles;
use crate::staging::{Staging, existing};

/// How a bag is validated before it gets its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// Not at all: it is not a bag, only a part of one, or the caller does not want it.
    None,
    /// By the digests that were computed while it came.
    Received,
    /// By reading the unpacked files, because their algorithms were not known before.
    Unpacked,
}

/// Tells whether an entry is a large manifest, which is read on disk.
pub(crate) fn is_read_in_place(entry: &Entry<'_>) -> bool {
    TagFiles::may_stay_on_disk(entry.path) && entry.size > TagFiles::MOST_HELD_BYTES
}

/// The state of a pull after its files have come.
pub(crate) struct Finish {
    package: Arc<OpenPackage>,
    staging: Arc<Staging>,
    judgement: Judgement,
    accept: Accept,
    overwrite: bool,
    observer: Arc<dyn Observer>,
    /// Directories below the output directory that exist even without files.
    directories: Vec<String>,
    report: PullReport,
}

impl Finish {
    pub(crate) fn new(
        package: &Arc<OpenPackage>,
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
            package: Arc::clone(package),
            staging,
            judgement,
            accept: options.accept,
            overwrite: options.overwrite,
            observer: Arc::clone(observer),
            directories,
            report,
        }
    }

    /// Validates the files and moves them to their places. It blocks.
    pub(crate) fn run(mut self, existing: Existing, arrived: Arrived) -> Result<PullReport> {
        self.report.kept_files = existing.files().len() as u64;
        self.report.received_bytes = arrived.bytes;
        let mut all = arrived;
        let mut tag_files = TagFiles::new();
        for (path, kept) in std::mem::take(&mut all.kept) {
            kept.insert_into(&mut tag_files, &path);
        }
        existing.read_kept()?.into_iter().for_each(|(path, bytes)| tag_files.insert(&path, bytes));
        all.came.add(existing.into_came());
        self.report.files = all.came.count();
        self.report.bytes = all.came.bytes(&self.package.view);
        for path in &self.directories {
            self.staging.directory(path)?;
        }
        self.report.bag = match self.judgement {
            Judgement::None => None,
            Judgement::Received => self.check_received(&all.came, tag_files)?,
            Judgement::Unpacked => self.check_unpacked()?,
        };
        self.judge()?;
        self.staging.publish(self.overwrite)?;
        Ok(self.report)
    }

    fn check_received(&self, came: &CameFiles, mut tag_files: TagFiles) -> Result<Option<Report>> {
        let view = &self.package.view;
        let Some(index) = view.index() else { return Ok(None) };
        for entry in view.entries().filter(is_read_in_place) {
            let place = self.found_at(&join(view.directory(), entry.path))?;
            let inserted = tag_files.insert_file(entry.path, &place);
            inserted.map_err(|error| Error::io("look at", &place, error))?;
        }
        let inventory = came.inventory(index.files().inventory());
        Ok(Some(bagit::check(&inventory, &tag_files, &self.accept.check_options())))
    }

    /// Returns the path of a received or existing file.
    fn found_at(&self, path: &str) -> Result<PathBuf> {
        let staged = self.staging.finished(path);
        Ok(if existing(&staged)?.is_some() { staged } else { self.staging.output().join(path) })
    }

    fn check_unpacked(&self) -> Result<Option<Report>> {
        let directory = self.staging.finished(&self.report.directory);
        if !bagit::is_bag(&directory) {
            return Ok(None);
        }
        let (scan, check) = (ScanOptions::default(), self.accept.check_options());
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

    /// Returns the final path of the package.
    fn place(&self) -> PathBuf {
        let output: &Path = self.staging.output();
        output.join(&self.report.directory)
    }
}
