//! Making bags: what goes in, and the two ways of making one.

use std::path::{Path, PathBuf};

use crate::algorithm::{Algorithm, AlgorithmSet};
use crate::bag_info::BagInfo;
use crate::error::Result;
use crate::inventory::Inventory;
use crate::progress::Progress;
use crate::report::Report;
use crate::scan::{Limits, Scan};

mod around;
mod complete;
mod copy;
mod in_place;
mod plan;
mod staging;
mod tag_files;

pub(crate) use copy::{copy_files, proven};
pub(crate) use plan::Plan;
#[cfg(test)]
use staging::COMMIT_NAME;
pub(crate) use staging::{PARTIAL_NAME, Staging, commit, commit_pending};
use tag_files::dated_info;
pub(crate) use tag_files::write_tag_files;

/// Names something that goes into the bag, and its place there.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// All that is below a directory.
    Directory(PathBuf),
    /// One file.
    File(PathBuf),
}

/// Makes bags of version 1.0 (RFC 8493). By default they have SHA-512 and SHA-256 manifests.
///
/// ```
/// use bagit::{BagBuilder, BagInfo, NoProgress};
///
/// let work = tempfile::tempdir()?;
/// std::fs::create_dir(work.path().join("plots"))?;
/// std::fs::write(work.path().join("plots/temperature.csv"), "depth,temperature\n15,7.2\n")?;
///
/// let mut info = BagInfo::new();
/// info.push("Source-Organization", "Mooring Group")?;
/// let created = BagBuilder::new()
///     .info(info)
///     .bagging_date("2026-11-24")
///     .payload_directory(work.path().join("plots"))
///     .create(&work.path().join("bag"), &NoProgress)?;
/// assert!(created.report.valid);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct BagBuilder {
    pub(crate) algorithms: AlgorithmSet,
    pub(crate) info: BagInfo,
    pub(crate) bagging_date: Option<String>,
    /// Places under `data/`; the empty place is `data/` itself.
    pub(crate) payload: Vec<(String, Source)>,
    pub(crate) tags: Vec<(String, Source)>,
    pub(crate) dereference: bool,
    pub(crate) portable: bool,
    pub(crate) allow_bag: bool,
    pub(crate) threads: usize,
    pub(crate) limits: Limits,
}

impl Default for BagBuilder {
    fn default() -> Self {
        Self {
            algorithms: [Algorithm::Sha512, Algorithm::Sha256].into_iter().collect(),
            info: BagInfo::new(),
            bagging_date: None,
            payload: Vec::new(),
            tags: Vec::new(),
            dereference: false,
            portable: false,
            allow_bag: false,
            threads: 0,
            limits: Limits::default(),
        }
    }
}

/// Holds a bag that was made: what is in it, with all digests, and the report that it is valid, with any warnings.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Created {
    /// What [`crate::scan_directory`] would find, without a second read.
    pub scan: Scan,
    /// What [`crate::check()`] says about it.
    pub report: Report,
}

impl Created {
    /// Tells of where the bag is now that it was made.
    pub(crate) fn moved_to(mut self, bag: &Path) -> Self {
        self.scan.tag_files.moved_to(bag);
        self
    }
}

impl BagBuilder {
    /// Starts with the defaults and nothing to put in.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the algorithms of all manifests, instead of SHA-512 and SHA-256.
    #[must_use]
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms = algorithms.into_iter().collect();
        self
    }

    /// Sets the elements of `bag-info.txt`; `Payload-Oxum` and `Bag-Size` are always computed and put at the end.
    #[must_use]
    pub fn info(mut self, info: BagInfo) -> Self {
        self.info = info;
        self
    }

    /// Sets `Bagging-Date`, YYYY-MM-DD, unless the elements have one. This crate reads no clock.
    #[must_use]
    pub fn bagging_date(mut self, date: &str) -> Self {
        self.bagging_date = Some(date.to_owned());
        self
    }

    /// Adds all that is below a directory to the top of `data/`.
    #[must_use]
    pub fn payload_directory(mut self, source: impl Into<PathBuf>) -> Self {
        self.payload.push((String::new(), Source::Directory(source.into())));
        self
    }

    /// Adds one file at a path below `data/`.
    #[must_use]
    pub fn payload_file(mut self, path: &str, source: impl Into<PathBuf>) -> Self {
        self.payload.push((path.to_owned(), Source::File(source.into())));
        self
    }

    /// Adds all that is below a directory as tag files below a path such as `metadata`.
    #[must_use]
    pub fn tag_directory(mut self, path: &str, source: impl Into<PathBuf>) -> Self {
        self.tags.push((path.to_owned(), Source::Directory(source.into())));
        self
    }

    /// Adds one tag file at a path such as `metadata/eml.xml`.
    #[must_use]
    pub fn tag_file(mut self, path: &str, source: impl Into<PathBuf>) -> Self {
        self.tags.push((path.to_owned(), Source::File(source.into())));
        self
    }

    /// Puts in what symbolic links lead to, instead of refusing them.
    #[must_use]
    pub fn dereference(mut self, dereference: bool) -> Self {
        self.dereference = dereference;
        self
    }

    /// Refuses names that Windows does not allow or that differ only in case, instead of warning.
    #[must_use]
    pub fn portable(mut self, portable: bool) -> Self {
        self.portable = portable;
        self
    }

    /// Lets the payload be a bag itself, instead of refusing that as a mistake.
    #[must_use]
    pub fn allow_bag(mut self, allow: bool) -> Self {
        self.allow_bag = allow;
        self
    }

    /// Sets the number of threads; 0, the default, is one per core.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// Copies everything into a new bag. Each file is read once; the target appears when the bag is whole.
    ///
    /// # Errors
    /// [`crate::Error::TargetNotEmpty`], [`crate::Error::Unbaggable`] with every file that is a link, a device, or has
    /// an impossible name, [`crate::Error::AlreadyBag`] if the payload is a bag, [`crate::Error::Changed`] if a file
    /// changes meanwhile, [`crate::Error::Io`]. In each case nothing stays at the target.
    pub fn create(&self, target: &Path, progress: &dyn Progress) -> Result<Created> {
        copy::create(self, target, progress)
    }

    /// Turns a directory into a bag: what is in it moves into its `data/`.
    ///
    /// Symbolic links are refused, even with [`BagBuilder::dereference`]. Everything is hashed before anything moves. While it moves, it is in `.bagit-in-place/data` below the directory
    /// and no file is ever in two places or none; after an interruption the same call goes on where it was.
    ///
    /// # Errors
    /// As [`BagBuilder::create`], and [`crate::Error::AlreadyBag`] if the directory is a bag.
    pub fn create_in_place(&self, directory: &Path, progress: &dyn Progress) -> Result<Created> {
        in_place::create(self, directory, progress)
    }

    /// Completes the bag in a directory that nobody else sees yet: writing is not undone if it fails.
    ///
    /// A valid bag of version 1.0 gets the manifests that it lacks, and then its tag manifests anew; all else in it stays as
    /// it is. In a directory without `bagit.txt` that has its payload in `data/` already, all tag files are made. Sources that
    /// the builder was given are ignored.
    ///
    /// # Errors
    /// [`crate::Error::NotValid`] for any other bag; as [`BagBuilder::create`].
    pub fn complete(&self, directory: &Path, progress: &dyn Progress) -> Result<Created> {
        complete::complete(self, directory, progress)
    }

    /// Makes the tag files of a bag whose payload was hashed before, and writes nothing: for whoever moves a directory
    /// elsewhere as a bag.
    ///
    /// `payload` is the inventory of the payload directory, `tags` that of further tag files by their paths in the bag, both with
    /// the builder's algorithms for each file; sources that the builder was given are ignored. The result is the whole bag's:
    /// payload paths begin with `data/`.
    ///
    /// # Errors
    /// As [`BagBuilder::create`] for the metadata.
    pub fn around(&self, payload: Inventory, tags: &Inventory) -> Result<Scan> {
        around::around(self, payload, tags)
    }
}

#[cfg(test)]
mod tests;
