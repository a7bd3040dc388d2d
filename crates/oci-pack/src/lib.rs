//! Deterministic archive layers with random access, and safe unpacking.
#![doc = include_str!("../README.md")]

mod archive_error;
mod archive_path;
mod archive_walk;
mod chunk_source;
mod compression;
mod decode;
mod entry;
mod inflate_thread;
mod layer;
mod manifest;
mod member;
mod member_decoder;
mod member_encoder;
mod member_feed;
mod name_table;
mod pack;
mod pack_error;
mod read;
mod span_reader;
mod tar_block;
mod tar_header;
mod tar_layout;
#[cfg(test)]
mod test_data;
mod unpack;
mod unpack_target;

pub use archive_error::{ArchiveError, ArchiveErrorKind};
pub use archive_walk::EntryContent;
pub use compression::Compression;
pub use entry::{ArchiveEntry, EntryKind, EntryList, entries_with_directories};
pub use layer::{archive_layer, archive_title, object_layer, part_layer, part_title};
pub use manifest::{ManifestBuildError, ManifestBuilder, manifest_size};
pub use member::{Member, MemberError, MemberSpan, members_covering};
pub use pack::{InspectFile, OpenEntry, PackOptions, PackedArchive, PackedFile, pack_archive};
pub use pack_error::PackError;
pub use read::{
    ArchiveSummary, ArchiveVisitor, ArchiveWarning, NameClashes, ReadLimits, ReadOptions, VisitError,
    read_archive,
};
pub use span_reader::SpanReader;
pub use tar_layout::{TarLayout, tar_layout};
pub use unpack::{TEMPORARY_PREFIX, UnpackError, UnpackObserver, UnpackOptions, UnpackReport, unpack_into};
