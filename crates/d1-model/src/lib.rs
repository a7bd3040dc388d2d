//! DataONE identifiers, checksums, object formats, system metadata and resource maps.
//!
#![doc = include_str!("../README.md")]

mod access;
mod checksum;
mod date_time;
mod documents;
mod error;
mod identifier;
mod object_format;
mod oddity;
mod replication;
mod resource_map;
mod series;
mod system_metadata;
mod values;
mod xml;

pub use crate::access::{AccessPolicy, AccessRule, PUBLIC_SUBJECT, Permission};
pub use crate::checksum::{Checksum, ChecksumAlgorithm, ChecksumError};
pub use crate::date_time::DateTime;
pub use crate::documents::{
    ErrorDocument, Node, NodeList, NodeService, ObjectInfo, ObjectList, ObjectLocation, ObjectLocationList,
    looks_like_error,
};
pub use crate::error::{Error, ErrorKind, Result};
pub use crate::identifier::{
    Identifier, IdentifierError, MAX_IDENTIFIER_CHARACTERS, decode_path_segment, encode_path_segment,
};
pub use crate::object_format::{FormatType, ObjectFormat, ObjectFormatList, media_type_for};
pub use crate::oddity::{Oddity, OddityCode, Parsed};
pub use crate::replication::{Replica, ReplicationPolicy, ReplicationStatus};
pub use crate::resource_map::{
    MAX_RESOURCE_MAP_BYTES, Member, ProgramRun, Provenance, RESOURCE_MAP_FORMAT_ID, ResourceMap,
    ResourceMapBuilder, looks_like_resource_map,
};
pub use crate::series::{CurrentMap, current_map, head_of_series};
pub use crate::system_metadata::{
    MAX_SYSTEM_METADATA_BYTES, MediaType, SchemaVersion, SystemMetadata, looks_like_system_metadata,
};

// Crates whose types are in this crate's signatures.
pub use jiff;
