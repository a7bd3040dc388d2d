//! Writes system metadata in the order of the schema.

use std::io::Write;

use super::read::KIND;
use super::{MediaType, SchemaVersion, SystemMetadata};
use crate::access::AccessPolicy;
use crate::date_time::DateTime;
use crate::error::Result;
use crate::oddity::quoted;
use crate::replication::{Replica, ReplicationPolicy};
use crate::xml::{NAMESPACE_V1, NAMESPACE_V2, XmlWriter};

pub(super) fn write(value: &SystemMetadata, out: impl Write) -> Result<()> {
    let mut writer = XmlWriter::new(out, KIND.name)?;
    let (root, namespace) = match value.schema_version {
        SchemaVersion::V1 => ("d1:systemMetadata", ("xmlns:d1", NAMESPACE_V1)),
        SchemaVersion::V2 => ("d1v2:systemMetadata", ("xmlns:d1v2", NAMESPACE_V2)),
    };
    writer.start(root, &[namespace])?;
    write_object(value, &mut writer)?;
    write_policies(value, &mut writer)?;
    write_history(value, &mut writer)?;
    for replica in &value.replicas {
        write_replica(replica, &mut writer)?;
    }
    write_version_2(value, &mut writer)?;
    writer.end()
}

fn write_object<W: Write>(value: &SystemMetadata, writer: &mut XmlWriter<W>) -> Result<()> {
    if let Some(serial_version) = value.serial_version {
        writer.leaf("serialVersion", &[], &serial_version.to_string())?;
    }
    writer.leaf("identifier", &[], value.identifier.as_str())?;
    write_filled(writer, "formatId", &value.format_id)?;
    writer.leaf("size", &[], &value.size.to_string())?;
    writer.leaf("checksum", &[("algorithm", value.checksum.algorithm().name())], value.checksum.value())?;
    write_optional(writer, "submitter", value.submitter.as_deref())?;
    write_filled(writer, "rightsHolder", &value.rights_holder)
}

fn write_policies<W: Write>(value: &SystemMetadata, writer: &mut XmlWriter<W>) -> Result<()> {
    if let Some(policy) = &value.access_policy {
        write_access_policy(policy, writer)?;
    }
    if let Some(policy) = &value.replication_policy {
        write_replication_policy(policy, writer)?;
    }
    Ok(())
}

fn write_access_policy<W: Write>(policy: &AccessPolicy, writer: &mut XmlWriter<W>) -> Result<()> {
    if policy.rules.iter().any(|rule| rule.subjects.is_empty() || rule.permissions.is_empty())
        || policy.rules.is_empty()
    {
        let detail = "the schema wants a rule, and in each rule a subject and a permission";
        return Err(writer.not_writable("accessPolicy", detail));
    }
    writer.start("accessPolicy", &[])?;
    for rule in &policy.rules {
        writer.start("allow", &[])?;
        for subject in &rule.subjects {
            write_filled(writer, "subject", subject)?;
        }
        for permission in &rule.permissions {
            writer.leaf("permission", &[], permission.name())?;
        }
        writer.end()?;
    }
    writer.end()
}

fn write_replication_policy<W: Write>(policy: &ReplicationPolicy, writer: &mut XmlWriter<W>) -> Result<()> {
    let allowed = policy.replication_allowed.map(|allowed| allowed.to_string());
    let number = policy.number_replicas.map(|number| number.to_string());
    let attributes: Vec<_> = [("replicationAllowed", &allowed), ("numberReplicas", &number)]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_deref()?)))
        .collect();
    if policy.preferred_member_nodes.is_empty() && policy.blocked_member_nodes.is_empty() {
        return writer.empty("replicationPolicy", &attributes);
    }
    writer.start("replicationPolicy", &attributes)?;
    for node in &policy.preferred_member_nodes {
        write_filled(writer, "preferredMemberNode", node)?;
    }
    for node in &policy.blocked_member_nodes {
        write_filled(writer, "blockedMemberNode", node)?;
    }
    writer.end()
}

fn write_history<W: Write>(value: &SystemMetadata, writer: &mut XmlWriter<W>) -> Result<()> {
    write_optional(writer, "obsoletes", value.obsoletes.as_ref().map(AsRef::as_ref))?;
    write_optional(writer, "obsoletedBy", value.obsoleted_by.as_ref().map(AsRef::as_ref))?;
    if let Some(archived) = value.archived {
        writer.leaf("archived", &[], if archived { "true" } else { "false" })?;
    }
    for (name, date) in
        [("dateUploaded", &value.date_uploaded), ("dateSysMetadataModified", &value.date_modified)]
    {
        if let Some(date) = date {
            write_date(writer, name, date)?;
        }
    }
    write_optional(writer, "originMemberNode", value.origin_member_node.as_deref())?;
    write_optional(writer, "authoritativeMemberNode", value.authoritative_member_node.as_deref())
}

fn write_replica<W: Write>(replica: &Replica, writer: &mut XmlWriter<W>) -> Result<()> {
    writer.start("replica", &[])?;
    write_filled(writer, "replicaMemberNode", &replica.member_node)?;
    writer.leaf("replicationStatus", &[], replica.status.name())?;
    write_date(writer, "replicaVerified", &replica.verified)?;
    writer.end()
}

fn write_version_2<W: Write>(value: &SystemMetadata, writer: &mut XmlWriter<W>) -> Result<()> {
    let has_any = value.series_id.is_some() || value.media_type.is_some() || value.file_name.is_some();
    if has_any && value.schema_version == SchemaVersion::V1 {
        let detail = "version 1 of the schema has no seriesId, mediaType or fileName";
        return Err(writer.not_writable("", detail));
    }
    write_optional(writer, "seriesId", value.series_id.as_ref().map(AsRef::as_ref))?;
    if let Some(media_type) = &value.media_type {
        write_media_type(media_type, writer)?;
    }
    write_optional(writer, "fileName", value.file_name.as_deref())
}

fn write_media_type<W: Write>(media_type: &MediaType, writer: &mut XmlWriter<W>) -> Result<()> {
    if media_type.properties.is_empty() {
        return writer.empty("mediaType", &[("name", &media_type.name)]);
    }
    writer.start("mediaType", &[("name", &media_type.name)])?;
    for (key, value) in &media_type.properties {
        writer.leaf("property", &[("name", key)], value)?;
    }
    writer.end()
}

/// Writes a date unchanged or, if it does not have the schema's form, the instant that it means.
fn write_date<W: Write>(writer: &mut XmlWriter<W>, name: &'static str, date: &DateTime) -> Result<()> {
    let Some(text) = date.schema_text() else {
        let detail = format!("“{}” is not a date and time", quoted(date.text()));
        return Err(writer.not_writable(name, detail));
    };
    writer.leaf(name, &[], &text)
}

fn write_optional<W: Write>(writer: &mut XmlWriter<W>, name: &'static str, text: Option<&str>) -> Result<()> {
    text.map_or(Ok(()), |text| write_filled(writer, name, text))
}

fn write_filled<W: Write>(writer: &mut XmlWriter<W>, name: &'static str, text: &str) -> Result<()> {
    if text.trim().is_empty() {
        return Err(writer.not_writable(name, "the schema wants a text that is not blank"));
    }
    writer.leaf(name, &[], text)
}
