//! The documents that a node writes.

use std::fmt::Write as _;

use d1_catalog::{CatalogObject, SystemMetadataFacts};
use d1_model::{DateTime, ObjectFormat, SchemaVersion, SystemMetadata, encode_path_segment};
use jiff::Timestamp;

use super::Call;
use crate::answer::{Kind, Refused};
use crate::options::NodeFacts;
use crate::xml::{DECLARATION, element, escaped};

const V1: &str = "http://ns.dataone.org/service/types/v1";
const V2: &str = "http://ns.dataone.org/service/types/v2.0";

fn namespace(version: u8) -> &'static str {
    if version == 1 { V1 } else { V2 }
}

/// The services of a Member Node that answers only reading calls.
const MEMBER_SERVICES: [(&str, &[&str]); 5] = [
    ("MNCore", &["v1", "v2"]),
    ("MNRead", &["v1", "v2"]),
    ("MNAuthorization", &["v1", "v2"]),
    ("MNPackage", &["v2"]),
    ("MNQuery", &["v2"]),
];

/// The services of a Coordinating Node.
const COORDINATING_SERVICES: [(&str, &[&str]); 2] = [("CNCore", &["v1", "v2"]), ("CNRead", &["v1", "v2"])];

/// Returns the node document of the node that is asked.
pub(super) fn node(call: &Call<'_>) -> String {
    let facts = &call.app.options.node;
    let ns = namespace(call.version);
    let body = match call.is_coordinating {
        true => coordinating_node(facts, &call.request.base_url),
        false => member_node(facts, &call.member_url()),
    };
    format!(
        "{DECLARATION}{}",
        body.replacen("<node ", &format!("<ns:node xmlns:ns=\"{ns}\" "), 1)
            .replace("</node>", "</ns:node>\n")
    )
}

/// Returns the list of both nodes.
pub(super) fn node_list(call: &Call<'_>) -> String {
    let facts = &call.app.options.node;
    let ns = namespace(call.version);
    let coordinating = coordinating_node(facts, &call.request.base_url);
    let member = member_node(facts, &call.member_url());
    format!("{DECLARATION}<ns:nodeList xmlns:ns=\"{ns}\">{coordinating}{member}</ns:nodeList>\n")
}

/// Returns the identifier of the Coordinating Node that belongs to a Member Node.
pub(super) fn coordinating_identifier(facts: &NodeFacts) -> String {
    format!("{}CN", facts.identifier)
}

fn member_node(facts: &NodeFacts, base_url: &str) -> String {
    node_body(facts, ("mn", &facts.identifier, base_url), &MEMBER_SERVICES)
}

fn coordinating_node(facts: &NodeFacts, base_url: &str) -> String {
    let identifier = coordinating_identifier(facts);
    node_body(facts, ("cn", &identifier, &format!("{base_url}/cn")), &COORDINATING_SERVICES)
}

fn node_body(
    facts: &NodeFacts,
    (kind, identifier, base_url): (&str, &str, &str),
    services: &[(&str, &[&str])],
) -> String {
    let mut body = format!("<node replicate=\"false\" synchronize=\"false\" type=\"{kind}\" state=\"up\">");
    for (name, text) in [
        ("identifier", identifier),
        ("name", &facts.name),
        ("description", &facts.description),
        ("baseURL", base_url),
    ] {
        body += &element(name, text);
    }
    body += "<services>";
    for (name, versions) in services {
        for version in *versions {
            let _ = write!(body, "<service name=\"{name}\" version=\"{version}\" available=\"true\"/>");
        }
    }
    body += "</services>";
    body += &element("subject", &facts.subject);
    body += &element("contactSubject", &facts.subject);
    body + "</node>"
}

/// Returns a log without entries: the gateway counts requests elsewhere.
pub(super) fn empty_log(version: u8) -> String {
    let ns = namespace(version);
    format!("{DECLARATION}<ns:log xmlns:ns=\"{ns}\" count=\"0\" start=\"0\" total=\"0\"/>\n")
}

/// Returns a page of a list of objects, which is of version 1 in both versions of the interface.
pub(super) fn object_list(start: u64, total: u64, objects: &[CatalogObject]) -> String {
    let mut entries = String::new();
    let mut count = 0;
    for object in objects {
        let Some(facts) = &object.system_metadata else { continue };
        count += 1;
        let _ = write!(
            entries,
            "<objectInfo>{}{}{}{}<size>{}</size></objectInfo>",
            element("identifier", &object.pid),
            element("formatId", &facts.format_id),
            checksum_element("checksum", &facts.checksum_algorithm, &facts.checksum),
            element("dateSysMetadataModified", &date_text(facts.date_modified.or(facts.date_uploaded))),
            facts.size
        );
    }
    format!(
        "{DECLARATION}<ns:objectList xmlns:ns=\"{V1}\" count=\"{count}\" start=\"{start}\" total=\"{total}\">\
         {entries}</ns:objectList>\n"
    )
}

fn checksum_element(name: &str, algorithm: &str, value: &str) -> String {
    format!("<{name} algorithm=\"{}\">{}</{name}>", escaped(algorithm), escaped(value))
}

/// Returns the document of a checksum.
pub(super) fn checksum(algorithm: &str, value: &str) -> String {
    let (algorithm, value) = (escaped(algorithm), escaped(value));
    format!("{DECLARATION}<ns:checksum xmlns:ns=\"{V1}\" algorithm=\"{algorithm}\">{value}</ns:checksum>\n")
}

/// Returns the list of the algorithms that are computed.
pub(super) fn checksum_algorithms(names: &[&str]) -> String {
    let names: String = names.iter().map(|name| element("algorithm", name)).collect();
    format!("{DECLARATION}<ns:checksumAlgorithmList xmlns:ns=\"{V1}\">{names}</ns:checksumAlgorithmList>\n")
}

/// Returns the list of the one place of an object, and the URL there.
pub(super) fn location_list(call: &Call<'_>, pid: &str) -> (String, String) {
    let base_url = call.member_url();
    let url = format!("{base_url}/v2/object/{}", encode_path_segment(pid));
    let document = format!(
        "{DECLARATION}<ns:objectLocationList xmlns:ns=\"{V1}\">{}<objectLocation>{}{}<version>v1</version>\
         <version>v2</version>{}</objectLocation></ns:objectLocationList>\n",
        element("identifier", pid),
        element("nodeIdentifier", &call.app.options.node.identifier),
        element("baseURL", &base_url),
        element("url", &url)
    );
    (document, url)
}

/// Returns the list of formats.
pub(super) fn format_list(version: u8, formats: &[ObjectFormat]) -> String {
    let (ns, count) = (namespace(version), formats.len());
    let body: String = formats.iter().map(|format| format_body(version, format)).collect();
    format!(
        "{DECLARATION}<ns:objectFormatList xmlns:ns=\"{ns}\" count=\"{count}\" start=\"0\" total=\"{count}\">\
         {body}</ns:objectFormatList>\n"
    )
}

/// Returns the document of one format.
pub(super) fn object_format(version: u8, format: &ObjectFormat) -> String {
    let body = format_body(version, format);
    let opening = format!("<ns:objectFormat xmlns:ns=\"{}\">", namespace(version));
    let body =
        body.replacen("<objectFormat>", &opening, 1).replace("</objectFormat>", "</ns:objectFormat>\n");
    format!("{DECLARATION}{body}")
}

fn format_body(version: u8, format: &ObjectFormat) -> String {
    let mut body = String::from("<objectFormat>");
    body += &element("formatId", &format.format_id);
    body += &element("formatName", &format.name);
    body += &element("formatType", format.format_type.name());
    if version > 1 {
        if let Some(media_type) = &format.media_type {
            let _ = write!(body, "<mediaType name=\"{}\"/>", escaped(media_type));
        }
        if let Some(extension) = &format.extension {
            body += &element("extension", extension);
        }
    }
    body + "</objectFormat>"
}

/// Returns the list of query engines.
pub(super) fn query_engines() -> String {
    format!(
        "{DECLARATION}<ns:queryEngineList xmlns:ns=\"http://ns.dataone.org/service/types/v1.1\">\
         <queryEngine>solr</queryEngine></ns:queryEngineList>\n"
    )
}

/// Returns a date in DataONE's form.
pub(super) fn date_text(time: Option<Timestamp>) -> String {
    DateTime::from_instant(time.unwrap_or(Timestamp::UNIX_EPOCH)).text().to_owned()
}

/// Returns system metadata for a version of the interface: the stored bytes where they fit.
///
/// # Errors
///
/// `ServiceFailure` if the stored document has no form in that version.
pub(super) fn system_metadata(
    stored: &[u8],
    version: u8,
    facts: &SystemMetadataFacts,
    obsoleted_by: Option<&str>,
) -> Result<Vec<u8>, Refused> {
    let lacks_successor = facts.obsoleted_by.is_none() && obsoleted_by.is_some();
    match (facts.schema_version, version) {
        (SchemaVersion::V2, 2) if !lacks_successor => return Ok(stored.to_vec()),
        (SchemaVersion::V1, 1) if !lacks_successor => return Ok(stored.to_vec()),
        // Version 1 is a prefix of version 2: only the namespace of the root differs.
        (SchemaVersion::V1, 2) if !lacks_successor => {
            if let Some(renamed) = with_namespace_of_v2(stored) {
                return Ok(renamed);
            }
        }
        _ => {}
    }
    let failed = |_| Refused::new(Kind::ServiceFailure, "the stored system metadata do not fit this version");
    let mut document = SystemMetadata::parse(stored).map_err(failed)?.value;
    if lacks_successor {
        document.obsoleted_by = obsoleted_by.and_then(|pid| pid.parse().ok());
    }
    if version == 1 {
        document.schema_version = SchemaVersion::V1;
        document.series_id = None;
        document.media_type = None;
        document.file_name = None;
    } else {
        document.schema_version = SchemaVersion::V2;
    }
    document.to_xml().map_err(failed)
}

/// Returns a document with the namespace of version 2 in the tag of its root element.
fn with_namespace_of_v2(stored: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(stored).ok()?;
    let root = text.find("systemMetadata")?;
    let end = root + text.get(root..)?.find('>')?;
    let (head, rest) = text.split_at_checked(end)?;
    let at = head.rfind(V1)?;
    let (before, after) = head.split_at_checked(at)?;
    // `…/types/v1.1` is another namespace.
    let after = after.strip_prefix(V1)?;
    if !after.starts_with(['"', '\'']) {
        return None;
    }
    Some(format!("{before}{V2}{after}{rest}").into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_namespace_of_the_root_is_the_only_change() {
        let stored = format!(
            "<?xml version=\"1.0\"?>\n<a:systemMetadata xmlns:a='{V1}'>\n<x>{V1}</x></a:systemMetadata>"
        );
        let renamed = with_namespace_of_v2(stored.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(renamed).unwrap(), stored.replacen(V1, V2, 1));
        for other in
            ["", "<systemMetadata/>", "<systemMetadata xmlns=\"http://ns.dataone.org/service/types/v1.1\">"]
        {
            assert_eq!(with_namespace_of_v2(other.as_bytes()), None, "{other}");
        }
    }
}
