//! Push, pull, read, copy and verify data packages over any registry backend.
#![doc = include_str!("../README.md")]

mod archive;
mod blob_reader;
mod blocking;
mod byte_stream;
mod copy;
mod counted;
mod error;
mod event;
mod file_source;
mod list;
mod names;
mod open;
mod progress;
mod pull;
mod push;
mod read;
mod receive;
mod spool;
mod tagged;
mod upload;
mod verify;

pub use copy::{CopyOptions, CopyReport, copy};
pub use error::{ContentFault, Error, Result, with_causes};
pub use event::{BlobOutcome, Event, Observer, Phase, Silent};
pub use list::{FileListing, ListedFile, list_files};
pub use open::{OpenPackage, open_package};
pub use pull::{Include, PullOptions, PullReport, pull};
pub use push::{FileToPush, PushOptions, PushReport, PushedLayer, attach_files, push_directory, push_files};
pub use read::{ByteRange, read_file};
pub use verify::{
    AuditedObject, ObjectVerdict, SystemMetadataAudit, VerifiedArtifact, VerifyOptions, VerifyReport, verify,
    verify_all,
};

/// Parts of transfers, for crates that move content in further ways.
///
/// They change more often than the rest of this crate.
pub mod parts {
    pub use crate::blob_reader::read_range;
    pub use crate::blocking::run_blocking;
    pub use crate::byte_stream::{CHUNK_BYTES, StreamReader, read_blocking};
    pub use crate::counted::Counted;
    pub use crate::file_source::FileSource;
    pub use crate::names::below;
    pub use crate::progress::{HashProgress, Meter, RunningPhase, total};
    pub use crate::pull::{Released, Staging};
    pub use crate::push::{
        HashedDirectory, HashedFile, Prepared, TagFilePlace, hash_file, package_files, push_prepared,
    };
    pub use crate::spool::{Spool, SpoolSource, SpoolWriter, SpooledLayer};
    pub use crate::tagged::{Met, Tagged, concerns_content, walk};
    pub use crate::upload::Totals;
}
