//! Writes a resource map as RDF/XML.

use std::io::Write;

use super::collect::DOCUMENT;
use super::uri::{AGGREGATION_FRAGMENT, resolve_uri};
use super::vocabulary::{
    CITO, DATATYPE_DATE_TIME, DATATYPE_STRING, DC, DCTERMS, FOAF, ORE, PROV, RDF, TYPE_AGENT,
    TYPE_AGGREGATION, TYPE_RESOURCE_MAP,
};
use super::{Member, ResourceMap};
use crate::error::{Error, ErrorKind, Result};
use crate::xml::XmlWriter;

/// The blank node that stands for the map's creator.
const CREATOR_NODE: &str = "creator";

pub(super) fn write(map: &ResourceMap, out: impl Write) -> Result<()> {
    let Some(identifier) = map.identifier() else {
        return Err(not_writable("the map has no identifier"));
    };
    if !map.unidentified_members().is_empty() {
        return Err(not_writable("the map has members without identifiers"));
    }
    let uri = resolve_uri(identifier);
    let aggregation = format!("{uri}{AGGREGATION_FRAGMENT}");
    let mut writer = XmlWriter::new(out, DOCUMENT)?;
    writer.start(
        "rdf:RDF",
        &[
            ("xmlns:cito", CITO),
            ("xmlns:dc", DC),
            ("xmlns:dcterms", DCTERMS),
            ("xmlns:foaf", FOAF),
            ("xmlns:ore", ORE),
            ("xmlns:prov", PROV),
            ("xmlns:rdf", RDF),
        ],
    )?;
    write_map(map, identifier.as_str(), &uri, &aggregation, &mut writer)?;
    write_aggregation(map, &uri, &aggregation, &mut writer)?;
    for (position, member) in map.members().iter().enumerate() {
        write_member(map, position, member, &aggregation, &mut writer)?;
    }
    writer.end()
}

fn write_map<W: Write>(
    map: &ResourceMap,
    identifier: &str,
    uri: &str,
    aggregation: &str,
    writer: &mut XmlWriter<W>,
) -> Result<()> {
    writer.start("rdf:Description", &[("rdf:about", uri)])?;
    resource(writer, "rdf:type", TYPE_RESOURCE_MAP)?;
    string(writer, "dcterms:identifier", identifier)?;
    resource(writer, "ore:describes", aggregation)?;
    if map.creator().is_some() {
        writer.empty("dcterms:creator", &[("rdf:nodeID", CREATOR_NODE)])?;
    }
    if let Some(modified) = map.modified() {
        match modified.schema_text() {
            Some(text) => writer.leaf("dcterms:modified", &[("rdf:datatype", DATATYPE_DATE_TIME)], &text)?,
            None => writer.leaf("dcterms:modified", &[], modified.text())?,
        }
    }
    writer.end()?;
    if let Some(creator) = map.creator() {
        writer.start("rdf:Description", &[("rdf:nodeID", CREATOR_NODE)])?;
        resource(writer, "rdf:type", TYPE_AGENT)?;
        string(writer, "foaf:name", creator)?;
        writer.end()?;
    }
    Ok(())
}

fn write_aggregation<W: Write>(
    map: &ResourceMap,
    uri: &str,
    aggregation: &str,
    writer: &mut XmlWriter<W>,
) -> Result<()> {
    writer.start("rdf:Description", &[("rdf:about", aggregation)])?;
    resource(writer, "rdf:type", TYPE_AGGREGATION)?;
    resource(writer, "ore:isDescribedBy", uri)?;
    if let Some(title) = map.title() {
        string(writer, "dc:title", title)?;
    }
    for member in map.members() {
        resource(writer, "ore:aggregates", &resolve_uri(member.identifier()))?;
    }
    writer.end()
}

fn write_member<W: Write>(
    map: &ResourceMap,
    position: usize,
    member: &Member,
    aggregation: &str,
    writer: &mut XmlWriter<W>,
) -> Result<()> {
    writer.start("rdf:Description", &[("rdf:about", &resolve_uri(member.identifier()))])?;
    if member.is_resource_map() {
        resource(writer, "rdf:type", TYPE_RESOURCE_MAP)?;
    }
    string(writer, "dcterms:identifier", member.identifier().as_str())?;
    resource(writer, "ore:isAggregatedBy", aggregation)?;
    for documented in map.documents(position) {
        resource(writer, "cito:documents", &resolve_uri(documented.identifier()))?;
    }
    for documenting in map.documented_by(position) {
        resource(writer, "cito:isDocumentedBy", &resolve_uri(documenting.identifier()))?;
    }
    if let Some(location) = member.at_location() {
        string(writer, "prov:atLocation", location)?;
    }
    writer.end()
}

fn resource<W: Write>(writer: &mut XmlWriter<W>, name: &'static str, uri: &str) -> Result<()> {
    writer.empty(name, &[("rdf:resource", uri)])
}

fn string<W: Write>(writer: &mut XmlWriter<W>, name: &'static str, text: &str) -> Result<()> {
    writer.leaf(name, &[("rdf:datatype", DATATYPE_STRING)], text)
}

fn not_writable(detail: &str) -> Error {
    Error::new(ErrorKind::NotWritable, DOCUMENT, detail)
}
