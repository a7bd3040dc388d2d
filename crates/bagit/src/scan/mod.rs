//! Front ends: from a directory, a tar stream or a zip file to an inventory with digests.

#[cfg(any(feature = "tar", feature = "zip"))]
mod archive;
#[cfg(any(feature = "tar", feature = "zip"))]
mod identify;
mod options;
#[cfg(feature = "tar")]
mod sparse;
#[cfg(feature = "tar")]
mod tar;
mod walk;
#[cfg(feature = "zip")]
mod zip;

#[cfg(not(all(feature = "tar", feature = "zip")))]
#[cfg(any(feature = "tar", feature = "zip"))]
pub(crate) use identify::unsupported;
#[cfg(any(feature = "tar", feature = "zip"))]
pub(crate) use identify::{Format, format};
#[cfg(any(feature = "tar", feature = "zip"))]
pub use identify::{unpack_archive, validate_archive};
pub use options::{Limits, Scan, ScanOptions};
#[cfg(feature = "tar")]
pub(crate) use tar::unpack_tar;
#[cfg(feature = "tar")]
pub use tar::{scan_tar, validate_tar};
pub(crate) use walk::walk;
#[cfg(feature = "zip")]
pub(crate) use zip::unpack_zip;
#[cfg(feature = "zip")]
pub use zip::{scan_zip, validate_zip};
