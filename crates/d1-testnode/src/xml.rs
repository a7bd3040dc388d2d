//! The documents that a node writes and a client only reads.

use std::fmt::Write as _;

use d1_model::{Checksum, ObjectFormat};

use crate::behaviour::{MEMBER_NODE, Versions};
use crate::call::Role;
use crate::object::StoredObject;

/// The identifier of the Coordinating Node.
pub(crate) const COORDINATING_NODE: &str = "urn:node:CNSCRIPTED";

const V1: &str = "http://ns.dataone.org/service/types/v1";
const V2: &str = "http://ns.dataone.org/service/types/v2.0";
const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

/// One entry of a list of objects.
pub(crate) struct ListEntry {
    pub(crate) identifier: String,
    pub(crate) format_id: String,
    pub(crate) checksum: Checksum,
    pub(crate) date: String,
    pub(crate) size: u64,
}

/// A place of an object.
pub(crate) struct Place<'a> {
    pub(crate) node: &'a str,
    pub(crate) base_url: &'a str,
    pub(crate) url: String,
}

impl ListEntry {
    pub(crate) fn of(object: &StoredObject) -> Self {
        let meta = &object.meta;
        Self {
            identifier: meta.identifier.to_string(),
            format_id: meta.format_id.clone(),
            checksum: meta.checksum.clone(),
            date: meta.date_modified.as_ref().map(ToString::to_string).unwrap_or_default(),
            size: meta.size,
        }
    }
}

/// Writes a list of objects, which is of version 1 in both versions of the interface.
pub(crate) fn object_list(start: u64, total: u64, entries: &[ListEntry]) -> String {
    let count = entries.len();
    let mut written = format!(
        "{DECLARATION}<d1:objectList xmlns:d1=\"{V1}\" count=\"{count}\" start=\"{start}\" total=\"{total}\">\n"
    );
    for entry in entries {
        let ListEntry { identifier, format_id, checksum, date, size } = entry;
        let _ = writeln!(
            written,
            "<objectInfo><identifier>{}</identifier><formatId>{}</formatId>\
             <checksum algorithm=\"{}\">{}</checksum>\
             <dateSysMetadataModified>{}</dateSysMetadataModified><size>{size}</size></objectInfo>",
            escaped(identifier),
            escaped(format_id),
            escaped(checksum.algorithm().name()),
            escaped(checksum.value()),
            escaped(date),
        );
    }
    written + "</d1:objectList>\n"
}

/// Writes a list of locations.
pub(crate) fn location_list(identifier: &str, places: &[Place<'_>], versions: Versions) -> String {
    let mut written = format!(
        "{DECLARATION}<d1:objectLocationList xmlns:d1=\"{V1}\"><identifier>{}</identifier>\n",
        escaped(identifier)
    );
    for Place { node, base_url, url } in places {
        let _ = write!(
            written,
            "<objectLocation><nodeIdentifier>{}</nodeIdentifier><baseURL>{}</baseURL>",
            escaped(node),
            escaped(base_url)
        );
        for version in [1, 2].into_iter().filter(|version| versions.has(*version)) {
            let _ = write!(written, "<version>v{version}</version>");
        }
        let _ = writeln!(written, "<url>{}</url></objectLocation>", escaped(url));
    }
    written + "</d1:objectLocationList>\n"
}

/// Writes the list of formats.
pub(crate) fn format_list(version: u8, formats: &[ObjectFormat]) -> String {
    let (namespace, count) = (namespace(version), formats.len());
    let mut written = format!(
        "{DECLARATION}<ns:objectFormatList xmlns:ns=\"{namespace}\" count=\"{count}\" start=\"0\" total=\"{count}\">\n"
    );
    for format in formats {
        let _ = write!(
            written,
            "<objectFormat><formatId>{}</formatId><formatName>{}</formatName><formatType>{}</formatType>",
            escaped(&format.format_id),
            escaped(&format.name),
            escaped(format.format_type.name())
        );
        if version == 2 {
            if let Some(media_type) = &format.media_type {
                let _ = write!(written, "<mediaType name=\"{}\"/>", escaped(media_type));
            }
            if let Some(extension) = &format.extension {
                let _ = write!(written, "<extension>{}</extension>", escaped(extension));
            }
        }
        written += "</objectFormat>\n";
    }
    written + "</ns:objectFormatList>\n"
}

/// Writes the description of the node in one of its roles, as a document or as an entry of a list.
pub(crate) fn node(role: Role, base_url: &str, versions: Versions, root: Option<u8>) -> String {
    let (identifier, node_type, services) = match role {
        Role::Member => (MEMBER_NODE, "mn", ["MNCore", "MNRead"]),
        Role::Coordinating => (COORDINATING_NODE, "cn", ["CNCore", "CNRead"]),
    };
    let (open, close) = match root {
        Some(version) => {
            (format!("{DECLARATION}<ns:node xmlns:ns=\"{}\"", namespace(version)), "</ns:node>\n".to_owned())
        }
        None => ("<node".to_owned(), "</node>\n".to_owned()),
    };
    let mut offered = String::new();
    for version in [1, 2].into_iter().filter(|version| versions.has(*version)) {
        for name in services {
            let _ = write!(offered, "<service name=\"{name}\" version=\"v{version}\" available=\"true\"/>");
        }
    }
    format!(
        "{open} replicate=\"false\" synchronize=\"true\" type=\"{node_type}\" state=\"up\">\
         <identifier>{identifier}</identifier><name>Scripted node</name>\
         <description>A node that follows a script</description><baseURL>{}</baseURL>\
         <services>{offered}</services><subject>CN={identifier}</subject>\
         <contactSubject>http://orcid.org/0000-0000-0000-0000</contactSubject>{close}",
        escaped(base_url)
    )
}

/// Writes the list of nodes.
pub(crate) fn node_list(version: u8, nodes: &[String]) -> String {
    let namespace = namespace(version);
    format!("{DECLARATION}<ns:nodeList xmlns:ns=\"{namespace}\">{}</ns:nodeList>\n", nodes.concat())
}

fn namespace(version: u8) -> &'static str {
    if version == 1 { V1 } else { V2 }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
