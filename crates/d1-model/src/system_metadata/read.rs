//! Reads system metadata leniently.

use super::{MAX_SYSTEM_METADATA_BYTES, MediaType, SchemaVersion, SystemMetadata};
use crate::access::{AccessPolicy, AccessRule, Permission};
use crate::checksum::Checksum;
use crate::date_time::DateTime;
use crate::error::{ErrorKind, Result};
use crate::identifier::Identifier;
use crate::oddity::{OddityCode, Parsed, quoted};
use crate::replication::{Replica, ReplicationPolicy, ReplicationStatus};
use crate::values::{
    note_missing_attribute, read_boolean, read_boolean_attribute, read_checksum, read_date, read_identifier,
    read_number, read_number_attribute,
};
use crate::xml::{Cursor, DocumentKind, Element, NAMESPACE_V1, NAMESPACE_V2, read_document};

pub(super) const KIND: DocumentKind = DocumentKind {
    name: "system metadata",
    root: "systemMetadata",
    namespaces: &[NAMESPACE_V1, NAMESPACE_V2],
    max_bytes: MAX_SYSTEM_METADATA_BYTES,
};

/// The elements in the order of the schema; the ones from [`FIRST_OF_V2`] on came with version 2.
const ELEMENTS: [&str; 20] = [
    "serialVersion",
    "identifier",
    "formatId",
    "size",
    "checksum",
    "submitter",
    "rightsHolder",
    "accessPolicy",
    "replicationPolicy",
    "obsoletes",
    "obsoletedBy",
    "archived",
    "dateUploaded",
    "dateSysMetadataModified",
    "originMemberNode",
    "authoritativeMemberNode",
    "replica",
    "seriesId",
    "mediaType",
    "fileName",
];
const FIRST_OF_V2: usize = 17;
const REPLICA: usize = 16;

pub(super) fn read(bytes: &[u8]) -> Result<Parsed<SystemMetadata>> {
    read_document(KIND, bytes, |cursor, root| {
        let version = if root.namespace == NAMESPACE_V1 { SchemaVersion::V1 } else { SchemaVersion::V2 };
        let mut draft = Draft::default();
        let mut order = Order::default();
        while let Some(element) = cursor.next_child(root)? {
            match ELEMENTS.iter().position(|known| *known == element.name) {
                Some(index) => {
                    if order.accepts(cursor, &element, index, version) {
                        draft.read_element(cursor, &element)?;
                    }
                }
                None => cursor.skip_unknown(&element)?,
            }
        }
        draft.complete(cursor, version)
    })
}

/// Watches over the order and number of the elements.
#[derive(Default)]
struct Order {
    seen: [bool; ELEMENTS.len()],
    last: usize,
}

impl Order {
    /// Notes what is odd about an element's place, and tells whether to read it.
    fn accepts(
        &mut self,
        cursor: &mut Cursor<'_>,
        element: &Element,
        index: usize,
        version: SchemaVersion,
    ) -> bool {
        let path = cursor.path();
        if !element.namespace.is_empty() {
            cursor.odd(OddityCode::QualifiedElement, "", || {
                format!("“{path}” is in a namespace, the schema has it in none")
            });
        }
        if index >= FIRST_OF_V2 && version == SchemaVersion::V1 {
            cursor.odd(OddityCode::ElementOfLaterVersion, &path, || {
                format!("“{path}” came with version 2, the document is of version 1")
            });
        }
        if index < self.last {
            cursor.odd(OddityCode::ElementOrder, &path, || {
                format!("“{path}” comes after an element that the schema has behind it")
            });
        }
        self.last = index;
        let again = self.seen.get_mut(index).is_some_and(|seen| std::mem::replace(seen, true));
        if again && index != REPLICA {
            cursor.odd(OddityCode::DuplicateElement, &path, || {
                format!("“{path}” occurs again; the first one counts")
            });
            return false;
        }
        true
    }
}

/// System metadata while it is being read: everything may still be missing.
#[derive(Default)]
struct Draft {
    serial_version: Option<u64>,
    identifier: Option<Identifier>,
    format_id: Option<String>,
    size: Option<u64>,
    checksum: Option<Checksum>,
    submitter: Option<String>,
    rights_holder: Option<String>,
    access_policy: Option<AccessPolicy>,
    replication_policy: Option<ReplicationPolicy>,
    obsoletes: Option<Identifier>,
    obsoleted_by: Option<Identifier>,
    archived: Option<bool>,
    date_uploaded: Option<DateTime>,
    date_modified: Option<DateTime>,
    origin_member_node: Option<String>,
    authoritative_member_node: Option<String>,
    replicas: Vec<Replica>,
    series_id: Option<Identifier>,
    media_type: Option<MediaType>,
    file_name: Option<String>,
}

impl Draft {
    fn read_element(&mut self, cursor: &mut Cursor<'_>, element: &Element) -> Result<()> {
        match element.name.as_str() {
            "serialVersion" => self.serial_version = read_number(cursor, element)?,
            "identifier" => self.identifier = read_identifier(cursor, element)?,
            "formatId" => self.format_id = cursor.filled_text(element)?,
            "size" => self.size = read_number(cursor, element)?,
            "checksum" => self.checksum = read_checksum(cursor, element)?,
            "submitter" => self.submitter = cursor.filled_text(element)?,
            "rightsHolder" => self.rights_holder = cursor.filled_text(element)?,
            "accessPolicy" => self.access_policy = read_access_policy(cursor, element)?,
            "replicationPolicy" => self.replication_policy = Some(read_replication_policy(cursor, element)?),
            "obsoletes" => self.obsoletes = read_identifier(cursor, element)?,
            "obsoletedBy" => self.obsoleted_by = read_identifier(cursor, element)?,
            "archived" => self.archived = read_boolean(cursor, element)?,
            "dateUploaded" => self.date_uploaded = read_date(cursor, element)?,
            "dateSysMetadataModified" => self.date_modified = read_date(cursor, element)?,
            "originMemberNode" => self.origin_member_node = cursor.filled_text(element)?,
            "authoritativeMemberNode" => self.authoritative_member_node = cursor.filled_text(element)?,
            "replica" => self.replicas.extend(read_replica(cursor, element)?),
            "seriesId" => self.series_id = read_identifier(cursor, element)?,
            "mediaType" => self.media_type = read_media_type(cursor, element)?,
            "fileName" => self.file_name = read_file_name(cursor, element)?,
            _ => cursor.skip_unknown(element)?,
        }
        Ok(())
    }

    fn complete(self, cursor: &mut Cursor<'_>, schema_version: SchemaVersion) -> Result<SystemMetadata> {
        Ok(SystemMetadata {
            schema_version,
            serial_version: self.serial_version,
            identifier: demand(cursor, "identifier", self.identifier)?,
            format_id: wish(cursor, "formatId", self.format_id),
            size: demand(cursor, "size", self.size)?,
            checksum: demand(cursor, "checksum", self.checksum)?,
            submitter: self.submitter,
            rights_holder: wish(cursor, "rightsHolder", self.rights_holder),
            access_policy: self.access_policy,
            replication_policy: self.replication_policy,
            obsoletes: self.obsoletes,
            obsoleted_by: self.obsoleted_by,
            archived: self.archived,
            date_uploaded: self.date_uploaded,
            date_modified: self.date_modified,
            origin_member_node: self.origin_member_node,
            authoritative_member_node: self.authoritative_member_node,
            replicas: self.replicas,
            series_id: self.series_id,
            media_type: self.media_type,
            file_name: self.file_name,
        })
    }
}

/// Returns a value that cannot be done without.
fn demand<T>(cursor: &Cursor<'_>, name: &str, value: Option<T>) -> Result<T> {
    value.ok_or_else(|| {
        cursor.error(ErrorKind::Missing, name, format!("expected a “{name}”, found none that can be used"))
    })
}

/// Returns a value that the schema demands, or notes that it is missing.
fn wish(cursor: &mut Cursor<'_>, name: &str, value: Option<String>) -> String {
    value.unwrap_or_else(|| {
        cursor.odd(OddityCode::MissingElement, name, || format!("“{name}” is missing"));
        String::new()
    })
}

fn read_access_policy(cursor: &mut Cursor<'_>, policy: &Element) -> Result<Option<AccessPolicy>> {
    let mut rules = Vec::new();
    while let Some(element) = cursor.next_child(policy)? {
        if element.name == "allow" {
            rules.extend(read_access_rule(cursor, &element)?);
        } else {
            cursor.skip_unknown(&element)?;
        }
    }
    if rules.is_empty() {
        cursor.odd(OddityCode::EmptyElement, "accessPolicy", || "the policy grants nothing".to_owned());
        return Ok(None);
    }
    Ok(Some(AccessPolicy { rules }))
}

fn read_access_rule(cursor: &mut Cursor<'_>, rule: &Element) -> Result<Option<AccessRule>> {
    let path = cursor.path();
    let (mut subjects, mut permissions) = (Vec::new(), Vec::new());
    while let Some(element) = cursor.next_child(rule)? {
        match element.name.as_str() {
            "subject" => subjects.extend(cursor.filled_text(&element)?),
            "permission" => permissions.extend(read_permission(cursor, &element)?),
            _ => cursor.skip_unknown(&element)?,
        }
    }
    if subjects.is_empty() || permissions.is_empty() {
        cursor.odd(OddityCode::EmptyElement, &path, || {
            "a rule without subject or without permission grants nothing; it was left out".to_owned()
        });
        return Ok(None);
    }
    Ok(Some(AccessRule { subjects, permissions }))
}

fn read_permission(cursor: &mut Cursor<'_>, element: &Element) -> Result<Option<Permission>> {
    let path = cursor.path();
    let Some(text) = cursor.filled_text(element)? else { return Ok(None) };
    let permission = Permission::from_name(&text);
    if permission.is_none() {
        cursor.odd(OddityCode::InvalidValue, &path, || format!("“{}” is not a permission", quoted(&text)));
    }
    Ok(permission)
}

fn read_replication_policy(cursor: &mut Cursor<'_>, policy: &Element) -> Result<ReplicationPolicy> {
    let mut value = ReplicationPolicy {
        replication_allowed: read_boolean_attribute(cursor, policy, "replicationAllowed"),
        number_replicas: read_number_attribute(cursor, policy, "numberReplicas"),
        ..ReplicationPolicy::default()
    };
    while let Some(element) = cursor.next_child(policy)? {
        match element.name.as_str() {
            "preferredMemberNode" => value.preferred_member_nodes.extend(cursor.filled_text(&element)?),
            "blockedMemberNode" => value.blocked_member_nodes.extend(cursor.filled_text(&element)?),
            _ => cursor.skip_unknown(&element)?,
        }
    }
    Ok(value)
}

fn read_replica(cursor: &mut Cursor<'_>, replica: &Element) -> Result<Option<Replica>> {
    let (mut member_node, mut status, mut verified) = (None, None, None);
    while let Some(element) = cursor.next_child(replica)? {
        match element.name.as_str() {
            "replicaMemberNode" => member_node = cursor.filled_text(&element)?,
            "replicationStatus" => {
                status = cursor.filled_text(&element)?.and_then(|text| ReplicationStatus::from_name(&text));
            }
            "replicaVerified" => verified = read_date(cursor, &element)?,
            _ => cursor.skip_unknown(&element)?,
        }
    }
    if let (Some(member_node), Some(status), Some(verified)) = (member_node, status, verified) {
        return Ok(Some(Replica { member_node, status, verified }));
    }
    cursor.odd(OddityCode::InvalidValue, "replica", || {
        "a replica does not state its node, a known status and a date; it was left out".to_owned()
    });
    Ok(None)
}

fn read_media_type(cursor: &mut Cursor<'_>, media_type: &Element) -> Result<Option<MediaType>> {
    let name = media_type.attribute("name").unwrap_or_default().trim().to_owned();
    if name.is_empty() {
        note_missing_attribute(cursor, "name");
    }
    let mut properties = Vec::new();
    while let Some(element) = cursor.next_child(media_type)? {
        match (element.name.as_str(), element.attribute("name").map(str::to_owned)) {
            ("property", Some(key)) => properties.push((key, cursor.raw_text(&element)?)),
            ("property", None) => note_missing_attribute(cursor, "name"),
            _ => cursor.skip_unknown(&element)?,
        }
    }
    Ok((!name.is_empty()).then_some(MediaType { name, properties }))
}

/// Reads a file name as it stands: whitespace can be part of it.
fn read_file_name(cursor: &mut Cursor<'_>, element: &Element) -> Result<Option<String>> {
    let path = cursor.path();
    let name = cursor.raw_text(element)?;
    if name.is_empty() {
        cursor.odd(OddityCode::EmptyElement, &path, || "the element is empty".to_owned());
        return Ok(None);
    }
    Ok(Some(name))
}
