//! The documents that describe nodes, the answers of `getCapabilities` and `listNodes`.

use crate::error::{ErrorKind, Result};
use crate::oddity::{OddityCode, Parsed};
use crate::values::{read_boolean_attribute, read_number};
use crate::xml::{Cursor, DocumentKind, Element, NAMESPACE_V1, NAMESPACE_V2, read_document};

const NODE: DocumentKind = DocumentKind {
    name: "node",
    root: "node",
    namespaces: &[NAMESPACE_V2, NAMESPACE_V1],
    max_bytes: 4 * 1024 * 1024,
};
const NODE_LIST: DocumentKind =
    DocumentKind { name: "node list", root: "nodeList", max_bytes: 64 * 1024 * 1024, ..NODE };

/// A Member Node or Coordinating Node. Facts that concern only harvesting are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The node's identifier, such as `urn:node:KNB`.
    pub identifier: String,
    /// The node's name for people.
    pub name: String,
    /// The description of the node.
    pub description: Option<String>,
    /// The node's base URL, without the version; a client appends `/v2/…`.
    pub base_url: String,
    /// `mn`, `cn` or `Monitor`.
    pub node_type: Option<String>,
    /// `up`, `down` or `unknown`.
    pub state: Option<String>,
    /// Whether the node accepts replicas.
    pub replicate: Option<bool>,
    /// Whether Coordinating Nodes harvest the node.
    pub synchronize: Option<bool>,
    /// The services that the node offers.
    pub services: Vec<NodeService>,
    /// The largest replica that the node accepts, in bytes.
    pub max_object_size: Option<u64>,
    /// The identities of the node itself.
    pub subjects: Vec<String>,
    /// The identities of the contact persons.
    pub contact_subjects: Vec<String>,
    /// Further facts: key and value.
    pub properties: Vec<(String, String)>,
}

/// Describes one service of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeService {
    /// The service's name, such as `MNRead`.
    pub name: String,
    /// The version of the interface, such as `v2`.
    pub version: String,
    /// Whether the service can be used.
    pub available: bool,
}

impl Node {
    /// Reads a `node` document.
    ///
    /// # Errors
    ///
    /// Fails when the bytes are not well-formed XML in UTF-8, define entities, are more than 4 MiB, have another root
    /// element, or lack an identifier or a base URL.
    pub fn parse(bytes: &[u8]) -> Result<Parsed<Self>> {
        read_document(NODE, bytes, |cursor, root| {
            read_node(cursor, root)?
                .ok_or_else(|| cursor.error(ErrorKind::Missing, "", "there is no identifier or no base URL"))
        })
    }

    /// Returns whether a version of a service can be used.
    #[must_use]
    pub fn offers(&self, service: &str, version: &str) -> bool {
        self.services
            .iter()
            .any(|offered| offered.available && offered.name == service && offered.version == version)
    }
}

/// Lists the nodes of the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeList {
    /// The nodes.
    pub nodes: Vec<Node>,
}

impl NodeList {
    /// Reads a `nodeList` document.
    ///
    /// # Errors
    ///
    /// Fails when the bytes are not well-formed XML in UTF-8, define entities, are more than 64 MiB or have another root
    /// element.
    pub fn parse(bytes: &[u8]) -> Result<Parsed<Self>> {
        read_document(NODE_LIST, bytes, |cursor, root| {
            let mut nodes = Vec::new();
            while let Some(element) = cursor.next_child(root)? {
                if element.name == "node" {
                    nodes.extend(read_node(cursor, &element)?);
                } else {
                    cursor.skip_unknown(&element)?;
                }
            }
            Ok(Self { nodes })
        })
    }
}

/// Reads a node. Returns `None` and notes it if the node lacks a fact that a client needs.
fn read_node(cursor: &mut Cursor<'_>, node: &Element) -> Result<Option<Node>> {
    let text = |name| node.attribute(name).map(|text| text.trim().to_owned());
    let mut value = Node {
        identifier: String::new(),
        name: String::new(),
        description: None,
        base_url: String::new(),
        node_type: text("type"),
        state: text("state"),
        replicate: read_boolean_attribute(cursor, node, "replicate"),
        synchronize: read_boolean_attribute(cursor, node, "synchronize"),
        services: Vec::new(),
        max_object_size: None,
        subjects: Vec::new(),
        contact_subjects: Vec::new(),
        properties: Vec::new(),
    };
    let path = cursor.path();
    while let Some(element) = cursor.next_child(node)? {
        match element.name.as_str() {
            "identifier" => value.identifier = cursor.filled_text(&element)?.unwrap_or_default(),
            "name" => value.name = cursor.filled_text(&element)?.unwrap_or_default(),
            "description" => value.description = cursor.filled_text(&element)?,
            "baseURL" => value.base_url = cursor.filled_text(&element)?.unwrap_or_default(),
            "services" => value.services = read_services(cursor, &element)?,
            "nodeReplicationPolicy" => value.max_object_size = read_max_object_size(cursor, &element)?,
            "subject" => value.subjects.extend(cursor.filled_text(&element)?),
            "contactSubject" => value.contact_subjects.extend(cursor.filled_text(&element)?),
            "property" => value.properties.extend(read_property(cursor, &element)?),
            // These concern harvesting.
            "synchronization" | "ping" => cursor.skip(&element)?,
            _ => cursor.skip_unknown(&element)?,
        }
    }
    if value.identifier.is_empty() || value.base_url.is_empty() {
        cursor.odd(OddityCode::MissingElement, &path, || {
            format!("the node “{}” lacks an identifier or a base URL; it was left out", value.name)
        });
        return Ok(None);
    }
    Ok(Some(value))
}

fn read_services(cursor: &mut Cursor<'_>, services: &Element) -> Result<Vec<NodeService>> {
    let mut found = Vec::new();
    while let Some(element) = cursor.next_child(services)? {
        if element.name != "service" {
            cursor.skip_unknown(&element)?;
            continue;
        }
        // A listed service counts as available if the document does not say.
        let available = read_boolean_attribute(cursor, &element, "available").unwrap_or(true);
        let text = |name| element.attribute(name).unwrap_or_default().trim().to_owned();
        found.push(NodeService { name: text("name"), version: text("version"), available });
        // Restrictions of single methods concern writing.
        cursor.skip(&element)?;
    }
    Ok(found)
}

fn read_max_object_size(cursor: &mut Cursor<'_>, policy: &Element) -> Result<Option<u64>> {
    let mut size = None;
    while let Some(element) = cursor.next_child(policy)? {
        match element.name.as_str() {
            "maxObjectSize" => size = read_number(cursor, &element)?,
            "spaceAllocated" | "allowedNode" | "allowedObjectFormat" => {
                cursor.skip(&element)?;
            }
            _ => cursor.skip_unknown(&element)?,
        }
    }
    Ok(size)
}

fn read_property(cursor: &mut Cursor<'_>, property: &Element) -> Result<Option<(String, String)>> {
    let key = property.attribute("key").map(str::to_owned);
    let value = cursor.raw_text(property)?;
    Ok(key.map(|key| (key, value)))
}

#[cfg(test)]
mod tests {
    use super::{Node, NodeList};
    use crate::error::ErrorKind;
    use crate::oddity::OddityCode;

    #[test]
    fn a_list_of_nodes() {
        let parsed = NodeList::parse(
            b"<ns3:nodeList xmlns:ns3='http://ns.dataone.org/service/types/v2.0'>
              <node replicate='true' synchronize='1' type='mn' state='up'>
                <identifier>urn:node:KNB</identifier><name>KNB</name><description/>
                <baseURL>https://knb.ecoinformatics.org/knb/d1/mn</baseURL>
                <services><service name='MNRead' version='v2' available='true'/>
                  <service name='MNPackage' version='v2' available='false'/><service name='MNCore' version='v1'/>
                </services><contactSubject>CN=x</contactSubject><property key='logo'>u</property></node>
              <node state='down'><name>broken</name></node></ns3:nodeList>",
        )
        .unwrap();
        assert_eq!(parsed.value.nodes.len(), 1);
        let node = &parsed.value.nodes[0];
        assert_eq!((node.node_type.as_deref(), node.state.as_deref()), (Some("mn"), Some("up")));
        assert_eq!((node.replicate, node.synchronize), (Some(true), Some(true)));
        assert!(node.offers("MNRead", "v2") && node.offers("MNCore", "v1"));
        assert!(!node.offers("MNPackage", "v2") && !node.offers("MNRead", "v1"));
        assert_eq!(node.properties, [("logo".to_owned(), "u".to_owned())]);
        assert!(parsed.has(OddityCode::EmptyElement) && parsed.has(OddityCode::MissingElement));
    }

    #[test]
    fn a_node_without_an_address_is_refused() {
        let error = Node::parse(b"<node><identifier>urn:node:A</identifier></node>").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Missing);
    }
}
