//! BagIt 1.0 and 0.9x (RFC 8493): read, validate and create bags in directories, tar streams and zip files.
#![doc = include_str!("../README.md")]

mod bag_info;
mod check;
mod create;
mod declaration;
mod error;
mod fault;
mod fetch;
mod inventory;
mod manifest;
mod parallel;
pub mod path;
mod progress;
mod repair;
mod report;
mod scan;
mod tag_files;
mod text;
mod version;

pub use crate::bag_info::{BagInfo, is_date};
pub use crate::check::{
    Accept, CheckOptions, check, payload_algorithms, required_algorithms, tag_algorithms,
};
pub use crate::create::{BagBuilder, Created};
pub use crate::declaration::Declaration;
pub use crate::error::{Error, Result};
pub use crate::fault::{Fault, FaultCode, Severity};
pub use crate::fetch::{FetchEntry, FetchList};
pub use crate::inventory::{EntryKind, FileEntry, Inventory};
pub use crate::manifest::{Manifest, ManifestEntry, ManifestKind};
pub use crate::parallel::FILES_AT_ONCE;
pub use crate::progress::{NoProgress, Progress, ProgressEvent};
pub use crate::repair::{RepairOptions, Repaired, repair_directory, repair_in_place, repair_zip};
pub use crate::report::{Report, Verdict};
pub use crate::scan::{
    FileToHash, HashOutcome, Limits, Scan, ScanOptions, hash_directory, hash_files, is_bag, scan_directory,
    scan_tar, scan_zip, validate_directory, validate_tar, validate_zip,
};
pub use crate::tag_files::TagFiles;
pub use crate::version::{Version, VersionError};
use multi_digest as algorithm;
use multi_digest as digests;
pub use multi_digest::{Algorithm, AlgorithmSet, Digests, DigestsView, MultiHasher, UnknownAlgorithm};
