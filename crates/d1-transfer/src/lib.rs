//! Push, pull, read, copy and verify data packages over any registry backend.
#![doc = include_str!("../README.md")]

mod archive;
mod blob_reader;
mod blocking;
mod byte_stream;
mod copy;
mod counted;
#[cfg(feature = "d1-client")]
mod dataone;
mod error;
mod event;
mod export;
mod file_source;
mod find;
mod hashstore;
mod history;
mod list;
mod names;
mod object;
mod open;
mod progress;
mod pull;
mod push;
mod read;
mod receive;
mod spool;
mod upload;
mod verify;

pub use copy::{CopyOptions, CopyReport, copy};
#[cfg(feature = "d1-client")]
pub use dataone::{
    BatchOptions, BatchOutcome, DataOneSource, FetchOptions, FetchReport, Journal, ReplicateOptions,
    ReplicateReport, SkippedMember, Wanted, fetch, replicate, replicate_all,
};
pub use error::{ContentFault, Error, MemberFault, Result, with_causes};
pub use event::{BlobOutcome, Event, Observer, Phase, Silent};
pub use export::{ExportForm, ExportReport, export};
pub use find::{ArtifactKind, ArtifactSummary, Found, Located, Purpose, Query, find, locate, parse_time};
pub use hashstore::{ImportFault, ImportOptions, ImportReport, import_hashstore};
pub use history::{History, StoredVersion, Version, history};
pub use list::{FileListing, ListedFile, list_files};
pub use object::{AttachedSystemMetadata, ObjectReport, ObjectToPush, push_object};
pub use open::{OpenPackage, open_package};
pub use pull::{Include, PullOptions, PullReport, pull};
pub use push::{FileToPush, PushOptions, PushReport, PushedLayer, attach_files, push_directory, push_files};
pub use read::{ByteRange, read_file};
pub use verify::{
    AuditedObject, ObjectVerdict, SystemMetadataAudit, VerifiedArtifact, VerifyOptions, VerifyReport, verify,
    verify_all,
};
