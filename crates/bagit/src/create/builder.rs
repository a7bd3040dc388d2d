//! The builder of a bag: its sources, algorithms, tag files and options.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use multi_digest::{Algorithm, AlgorithmSet};

use crate::bag_info::BagInfo;
use crate::known::KnownDigests;
use crate::report::Report;
use crate::scan::{Limits, Scan};

/// A source of files for a bag.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// Everything below a directory.
    Directory(PathBuf),
    /// One file.
    File(PathBuf),
}

/// Creates bags of version 1.0 (RFC 8493). By default they have SHA-512 and SHA-256 manifests.
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
    /// Paths under `data/`. The empty path is `data/` itself.
    pub(crate) payload: Vec<(String, Source)>,
    pub(crate) tags: Vec<(String, Source)>,
    pub(crate) dereference: bool,
    pub(crate) portable: bool,
    pub(crate) allow_bag: bool,
    pub(crate) threads: usize,
    pub(crate) limits: Limits,
    pub(crate) known: Option<Arc<dyn KnownDigests>>,
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
            known: None,
        }
    }
}

/// A new bag: its content with all digests, and the report that it is valid, with any warnings.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Created {
    /// The result that [`crate::scan_directory`] would give, without a second read.
    pub scan: Scan,
    /// The result of [`crate::check()`].
    pub report: Report,
}

impl Created {
    /// Updates the bag's path.
    pub(crate) fn moved_to(mut self, bag: &Path) -> Self {
        self.scan.tag_files.moved_to(bag);
        self
    }
}

impl BagBuilder {
    /// Returns a builder with the defaults and no files.
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

    /// Sets the elements of `bag-info.txt`. `Payload-Oxum` and `Bag-Size` are always computed.
    #[must_use]
    pub fn info(mut self, info: BagInfo) -> Self {
        self.info = info;
        self
    }

    /// Sets `Bagging-Date`, YYYY-MM-DD, unless the elements have one. The crate reads no clock.
    #[must_use]
    pub fn bagging_date(mut self, date: &str) -> Self {
        self.bagging_date = Some(date.to_owned());
        self
    }

    /// Adds everything below a directory to the top of `data/`.
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

    /// Adds everything below a directory as tag files below a path such as `metadata`.
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

    /// Follows symbolic links instead of refusing them.
    #[must_use]
    pub fn dereference(mut self, dereference: bool) -> Self {
        self.dereference = dereference;
        self
    }

    /// Refuses names that Windows does not allow, or that differ only in case, instead of warning.
    #[must_use]
    pub fn portable(mut self, portable: bool) -> Self {
        self.portable = portable;
        self
    }

    /// Accepts a payload that is a bag itself, instead of refusing it as a mistake.
    #[must_use]
    pub fn allow_bag(mut self, allow: bool) -> Self {
        self.allow_bag = allow;
        self
    }

    /// Sets digests from earlier runs. [`BagBuilder::create_in_place`] reads no file whose digests are known.
    #[must_use]
    pub fn known_digests(mut self, known: Arc<dyn KnownDigests>) -> Self {
        self.known = Some(known);
        self
    }

    /// Sets the number of threads. 0, the default, stands for one per core.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }
}
