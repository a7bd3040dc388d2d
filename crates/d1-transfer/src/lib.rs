//! Push, pull, read, copy and verify data packages over any registry backend.
#![doc = include_str!("../README.md")]

mod archive;
mod attached;
mod blocking;
mod copy;
mod error;
mod event;
mod kept;
mod known;
mod mirror;
mod names;
mod package;
mod pull;
mod push;
mod read;
mod read_to;
mod read_together;
mod receive;
mod relist;
mod repair;
mod source;
mod staging;
mod tagged;
mod tombstone;
mod upload;
mod verify;

pub use copy::{CopyOptions, CopyReport, copy};
pub use error::{ContentFault, Error, Result, with_causes};
pub use event::{BlobOutcome, Event, Observer, Phase, Silent};
pub use kept::{keep_former, tag_of_digest};
pub use mirror::{FailedTag, MirrorOptions, MirrorReport, MirroredReferrers, MirroredTag, TagFilter, mirror};
pub use package::{FileListing, ListedFile, OpenPackage, list_files, open_package};
pub use pull::{Candidate, Include, PullOptions, PullReport, pull};
pub use push::files::{FileToPush, attach_files, push_files};
pub use push::{PushOptions, PushReport, PushedLayer, push_directory};
pub use read::{ByteRange, read_file};
pub use read_to::read_file_to;
pub use relist::{RelistReport, RelistedArtifact, relist};
pub use repair::{RepairReport, RepairedBlob, repair};
pub use verify::system_metadata::{AuditedObject, ObjectVerdict, SystemMetadataAudit};
pub use verify::{VerifiedArtifact, VerifyOptions, VerifyReport, verify, verify_all};

// Crates whose types are in this crate's signatures.
pub use {bagit, d1_model, d1_package, oci_model, oci_pack, registry_backend};

/// Stages of a push and a pull, for crates that move content in further ways.
///
/// This module changes more often than the rest of the crate.
pub mod parts {
    pub use crate::attached::{AttachedDocument, AttachedDocuments, newest_attached};
    pub use crate::blocking::{CHUNK_BYTES, StreamReader, read_blocking, run_blocking};
    pub use crate::event::{HashProgress, Meter, RunningPhase, total};
    pub use crate::names::below;
    pub use crate::push::files::{HashedFile, hash_file};
    pub use crate::push::layers::TagFilePlace;
    pub use crate::push::prepare::{HashedDirectory, Prepared, package_files};
    pub use crate::push::push_prepared;
    pub use crate::read_together::{FileInMemory, read_small_files};
    pub use crate::source::{FileSource, Spool, SpoolSource, SpoolWriter, SpooledLayer, read_range};
    pub use crate::staging::{Released, Staging, sync_directory, sync_file_system};
    pub use crate::tagged::{
        Met, ReferrerBudget, Tagged, Walked, concerns_content, referrers, walk, walk_described,
    };
    pub use crate::tombstone::{refuse_withdrawn, tombstone_tag, tombstone_tags};
    pub use crate::upload::{Counted, Totals};
    pub use crate::verify::system_metadata::{Attached, attached};
}
