//! Reads RDF/XML statement by statement.

use std::io::Read;

use oxrdf::Triple;
use oxrdfxml::{RdfXmlParseError, RdfXmlParser};

use super::collect::{DOCUMENT, Facts};
use super::node_id::NodeIdReader;
use super::{MAX_RESOURCE_MAP_BYTES, ResourceMap, resolve};
use crate::error::{Error, ErrorKind, Result};
use crate::oddity::{OddityCode, Parsed, quoted};
use crate::xml::{GuardLimits, GuardedReader};

/// Real maps stay far below these bounds: they nest five levels, declare a dozen namespaces, and a URI has a few
/// thousand bytes at most. The parser searches all namespaces in scope for each name, and depth times attributes
/// bounds their number.
const LIMITS: GuardLimits = GuardLimits {
    max_bytes: MAX_RESOURCE_MAP_BYTES,
    max_depth: 32,
    max_tag_bytes: 64 * 1024,
    max_attributes: 32,
    max_text_bytes: 1024 * 1024,
};

pub(super) fn read(reader: impl Read) -> Result<Parsed<ResourceMap>> {
    let (mut facts, remarks) = read_statements(reader, Facts::add)?;
    facts.oddities.add_many(OddityCode::InvalidNodeId, "rdf:nodeID", remarks.repaired, || {
        "the name of a blank node has a character that XML does not allow there".to_owned()
    });
    if remarks.has_document_type {
        facts.oddities.add(OddityCode::DocumentType, "", || {
            "there is a document type declaration; it was not followed".to_owned()
        });
    }
    resolve::resolve(facts)
}

/// Oddities of the document itself.
pub(super) struct Remarks {
    /// The number of names of blank nodes that were repaired.
    repaired: u64,
    has_document_type: bool,
}

/// Reads a document, and gives each of its statements to `add`.
pub(super) fn read_statements(
    reader: impl Read,
    add: impl FnMut(&mut Facts, Triple) -> Result<()>,
) -> Result<(Facts, Remarks)> {
    let mut guard = GuardedReader::new(reader, LIMITS);
    let mut named = NodeIdReader::new(&mut guard);
    let outcome = collect(&mut named, add);
    let repaired = named.repaired();
    if let Some(violation) = guard.violation() {
        return Err(Error::new(violation.kind, DOCUMENT, violation.detail).at_position(violation.position));
    }
    let facts = outcome.map_err(|error| error.at_position(guard.position()))?;
    Ok((facts, Remarks { repaired, has_document_type: guard.has_document_type() }))
}

fn collect(reader: &mut impl Read, mut add: impl FnMut(&mut Facts, Triple) -> Result<()>) -> Result<Facts> {
    let mut facts = Facts::default();
    // Lenient: URIs often contain unencoded identifiers, with characters that an IRI must not have.
    for triple in RdfXmlParser::new().lenient().for_reader(reader) {
        let triple = triple.map_err(|error| match error {
            RdfXmlParseError::Io(error) => Error::io(DOCUMENT, error),
            RdfXmlParseError::Syntax(error) => {
                Error::new(ErrorKind::Malformed, DOCUMENT, quoted(&error.to_string()))
            }
        })?;
        add(&mut facts, triple)?;
    }
    Ok(facts)
}
