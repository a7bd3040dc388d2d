//! Deterministic archive layers with random access, and safe unpacking.
#![doc = include_str!("../README.md")]

mod compression;
mod decoder;
mod entry;
mod error;
mod inflate;
mod manifest;
mod members;
mod names;
mod pack;
mod paths;
mod read;
mod tar;
mod tar_layout;
#[cfg(test)]
mod test_data;
mod unpack;

pub use compression::Compression;
pub use entry::{ArchiveEntry, EntryKind, EntryList, entries_with_directories};
pub use error::{ArchiveError, ArchiveErrorKind, PackError};
pub use manifest::{
    ManifestBuildError, ManifestBuilder, archive_layer, archive_title, manifest_size, object_layer,
    part_layer, part_title,
};
pub use members::{Member, MemberError, MemberRange, MemberReader, members_covering};
pub use names::MOST_ALIKE;
pub use pack::{InspectFile, OpenEntry, PackOptions, PackedArchive, PackedFile, pack_archive};
pub use read::{
    ArchiveSummary, ArchiveVisitor, ArchiveWarning, EntryContent, MAX_RATIO, NameClashes, ReadLimits,
    ReadOptions, VisitError, read_archive,
};
pub use tar_layout::{TarLayout, tar_layout};
pub use unpack::{
    TEMPORARY_PREFIX, UnpackError, UnpackObserver, UnpackOptions, UnpackReport, unpack_below, unpack_into,
};

// Crates whose types are in this crate's signatures.
pub use oci_model;
