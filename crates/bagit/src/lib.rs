//! BagIt 1.0 and 0.9x (RFC 8493): open, validate, create and repair bags in directories, tar streams and zip files.
#![doc = include_str!("../README.md")]

mod bag;
mod bag_info;
mod check;
mod create;
mod declaration;
mod error;
mod fault;
mod fetch;
mod inventory;
mod known;
mod manifest;
mod progress;
mod read_files;
mod repair;
mod report;
mod scan;
mod tag_files;
mod text;
mod version;

pub use multi_digest::{Algorithm, AlgorithmSet, Digests, DigestsView, MultiHasher, UnknownAlgorithm};

pub use safe_files::FileState;

pub use crate::bag::{Bag, hash_directory, is_bag, scan_directory, validate_directory};
pub use crate::bag_info::{BagInfo, is_date};
pub use crate::check::{CheckOptions, check, payload_algorithms, required_algorithms, tag_algorithms};
pub use crate::create::{BagBuilder, Created};
pub use crate::declaration::Declaration;
pub use crate::error::{Error, Result};
pub use crate::fault::{Fault, FaultCode, Severity};
pub use crate::fetch::{FetchEntry, FetchList};
pub use crate::inventory::{EntryKind, FileEntry, Inventory};
pub use crate::known::KnownDigests;
pub use crate::manifest::{Manifest, ManifestEntry, ManifestKind};
pub use crate::progress::{Cancellable, NoProgress, Progress, ProgressEvent};
pub use crate::read_files::{FILES_AT_ONCE, FileToHash, HashOptions, HashOutcome, hash_files};
#[cfg(any(feature = "tar", feature = "zip"))]
pub use crate::repair::repair_archive;
pub use crate::repair::{RepairOptions, Repaired, repair_directory, repair_in_place};
pub use crate::report::{Faults, Level, Report, Verdict};
pub use crate::scan::{Limits, Scan, ScanOptions};
#[cfg(feature = "tar")]
pub use crate::scan::{scan_tar, validate_tar};
#[cfg(feature = "zip")]
pub use crate::scan::{scan_zip, validate_zip};
#[cfg(any(feature = "tar", feature = "zip"))]
pub use crate::scan::{unpack_archive, validate_archive};
pub use crate::tag_files::TagFiles;
pub use crate::version::{Version, VersionError};
