//! System metadata: the facts of DataONE about one object, in versions 1 and 2 of the schema.

mod read;
mod write;

use std::io;

use crate::access::AccessPolicy;
use crate::checksum::Checksum;
use crate::date_time::DateTime;
use crate::error::Result;
use crate::identifier::Identifier;
use crate::oddity::Parsed;
use crate::replication::{Replica, ReplicationPolicy};
use crate::xml;

/// The largest system metadata document that is read, in bytes.
pub const MAX_SYSTEM_METADATA_BYTES: usize = 8 * 1024 * 1024;

/// A version of the system metadata schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum SchemaVersion {
    /// `http://ns.dataone.org/service/types/v1`.
    V1,
    /// `http://ns.dataone.org/service/types/v2.0`.
    V2,
}

/// The system metadata of one object: identity, fixity, rights, locations and versions.
///
/// Source of the rules: types `SystemMetadata` of `dataoneTypes.xsd` and `dataoneTypes_v2.0.xsd`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemMetadata {
    /// The version of the schema.
    pub schema_version: SchemaVersion,
    /// Counts the changes of this document.
    pub serial_version: Option<u64>,
    /// The object's identifier (PID).
    pub identifier: Identifier,
    /// The object's format, see [`crate::media_type_for`]; empty if the document does not say.
    pub format_id: String,
    /// The object's size in bytes.
    pub size: u64,
    /// The object's checksum.
    pub checksum: Checksum,
    /// Who sent the object.
    pub submitter: Option<String>,
    /// Who may do everything; empty if the document does not say.
    pub rights_holder: String,
    /// Who else may do what.
    pub access_policy: Option<AccessPolicy>,
    /// Where replicas may be.
    pub replication_policy: Option<ReplicationPolicy>,
    /// The version before this object.
    pub obsoletes: Option<Identifier>,
    /// The version after this object.
    pub obsoleted_by: Option<Identifier>,
    /// Whether the object is hidden from search.
    pub archived: Option<bool>,
    /// When the object was uploaded.
    pub date_uploaded: Option<DateTime>,
    /// When this document was changed last.
    pub date_modified: Option<DateTime>,
    /// The Member Node that the object came from.
    pub origin_member_node: Option<String>,
    /// The Member Node that speaks for the object.
    pub authoritative_member_node: Option<String>,
    /// Where replicas are.
    pub replicas: Vec<Replica>,
    /// The identifier of the chain of versions (SID). Version 2 only.
    pub series_id: Option<Identifier>,
    /// The object's media type, where it is known better than from the format. Version 2 only.
    pub media_type: Option<MediaType>,
    /// The file name that is suggested for the object; not safe as a path. Version 2 only.
    pub file_name: Option<String>,
}

/// Names a media type with its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaType {
    /// Type and subtype, such as `text/csv`.
    pub name: String,
    /// The parameters: name and value.
    pub properties: Vec<(String, String)>,
}

impl SystemMetadata {
    /// Makes system metadata of version 2 from what the schema demands.
    #[must_use]
    pub fn new(
        identifier: Identifier,
        format_id: impl Into<String>,
        size: u64,
        checksum: Checksum,
        rights_holder: impl Into<String>,
    ) -> Self {
        Self {
            schema_version: SchemaVersion::V2,
            serial_version: None,
            identifier,
            format_id: format_id.into(),
            size,
            checksum,
            submitter: None,
            rights_holder: rights_holder.into(),
            access_policy: None,
            replication_policy: None,
            obsoletes: None,
            obsoleted_by: None,
            archived: None,
            date_uploaded: None,
            date_modified: None,
            origin_member_node: None,
            authoritative_member_node: None,
            replicas: Vec::new(),
            series_id: None,
            media_type: None,
            file_name: None,
        }
    }

    /// Reads a system metadata document leniently: what departs from the schema is reported, not refused.
    ///
    /// # Errors
    ///
    /// Fails when the document is larger than [`MAX_SYSTEM_METADATA_BYTES`], is not well-formed XML in UTF-8, defines
    /// entities, has another root element, or lacks a readable `identifier`, `size` or `checksum`.
    pub fn parse(bytes: &[u8]) -> Result<Parsed<Self>> {
        read::read(bytes)
    }

    /// Writes the document as its version of the schema has it: all elements, in order.
    ///
    /// # Errors
    ///
    /// Fails when a value has no form in the schema or in XML (an empty rights holder, a `fileName` in version 1, a
    /// control character), or when writing to `out` fails.
    pub fn write_xml(&self, out: impl io::Write) -> Result<()> {
        write::write(self, out)
    }

    /// Returns the document as [`SystemMetadata::write_xml`] writes it.
    ///
    /// # Errors
    ///
    /// Fails when a value has no form in the schema or in XML.
    pub fn to_xml(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.write_xml(&mut bytes)?;
        Ok(bytes)
    }

    /// Returns the document without its volatile parts: those that change while the object and the rights to it stay.
    ///
    /// They are `serialVersion`, `dateSysMetadataModified`, `replicationPolicy`, `replica` and
    /// `authoritativeMemberNode`. Two nodes that hold one object differ in them, and a verified replica changes them.
    ///
    /// ```
    /// use d1_model::{Checksum, SystemMetadata};
    ///
    /// let checksum: Checksum = "MD5:900150983cd24fb0d6963f7d28e17f72".parse()?;
    /// let mut before = SystemMetadata::new("a.1".parse()?, "text/csv", 3, checksum, "me");
    /// before.serial_version = Some(1);
    /// let mut after = before.clone();
    /// after.serial_version = Some(2);
    /// assert_eq!(before.without_volatile_parts(), after.without_volatile_parts());
    /// after.archived = Some(true);
    /// assert_ne!(before.without_volatile_parts(), after.without_volatile_parts());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn without_volatile_parts(&self) -> Self {
        Self {
            serial_version: None,
            date_modified: None,
            replication_policy: None,
            replicas: Vec::new(),
            authoritative_member_node: None,
            ..self.clone()
        }
    }

    /// Tells whether everybody may read the object, see [`AccessPolicy::is_public`].
    #[must_use]
    pub fn is_public(&self) -> bool {
        self.access_policy.as_ref().is_some_and(AccessPolicy::is_public)
    }
}

/// Tells whether the bytes look like a system metadata document, from their first element alone.
///
/// The beginning of a file is enough; of a large file, no more than the first 64 KiB are looked at.
#[must_use]
pub fn looks_like_system_metadata(bytes: &[u8]) -> bool {
    xml::first_element(bytes).is_some_and(|element| element.name == b"systemMetadata")
}
