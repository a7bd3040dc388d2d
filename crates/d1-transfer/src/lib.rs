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
mod find;
mod history;
mod list;
mod names;
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
pub use error::{ContentFault, Error, Result};
pub use event::{BlobOutcome, Event, Observer, Phase, Silent};
pub use find::{ArtifactKind, ArtifactSummary, Found, Located, Purpose, Query, find, locate, parse_time};
pub use history::{History, StoredVersion, Version, history};
pub use list::{ListedFile, list_files};
pub use open::{OpenPackage, open_package};
pub use pull::{Include, PullOptions, PullReport, pull};
pub use push::{FileToPush, PushOptions, PushReport, PushedLayer, attach_files, push_directory, push_files};
pub use read::{ByteRange, read_file};
pub use verify::{
    AuditedObject, ObjectVerdict, SystemMetadataAudit, VerifiedArtifact, VerifyOptions, VerifyReport, verify,
    verify_all,
};
