//! Resource maps: the objects of a package, and the relations of documentation between them.

mod builder;
mod choose;
mod collect;
mod identity;
mod members;
mod node_id;
mod provenance;
mod read;
mod resolve;
mod uri;
mod vocabulary;
mod write;

use std::io;
use std::sync::Arc;

use crate::date_time::DateTime;
use crate::error::Result;
use crate::identifier::Identifier;
use crate::oddity::Parsed;
use crate::xml;

pub use self::builder::ResourceMapBuilder;
pub use self::provenance::{ProgramRun, Provenance};

/// The `formatId` of resource maps.
pub const RESOURCE_MAP_FORMAT_ID: &str = "http://www.openarchives.org/ore/terms";

/// The largest resource map that is read, in bytes; 100,000 members take about 60 MB.
pub const MAX_RESOURCE_MAP_BYTES: u64 = 256 * 1024 * 1024;

/// A data package: an OAI-ORE resource map under the conventions of DataONE.
///
/// Members are identified by their position, and relations are pairs of positions. Only `ore:aggregates` and
/// `ore:isAggregatedBy` state membership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceMap {
    identifier: Option<Identifier>,
    uri: Option<Box<str>>,
    aggregation_uri: Box<str>,
    title: Option<String>,
    creator: Option<String>,
    modified: Option<DateTime>,
    members: Vec<Member>,
    /// Pairs of a documenting and a documented member, ordered, each once.
    documents: Vec<(u32, u32)>,
    /// The same pairs, the documented member first.
    documented_by: Vec<(u32, u32)>,
    unidentified: Vec<String>,
}

/// One object of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    identifier: Identifier,
    /// Shared with the facts collected while reading, which halves the memory.
    uri: Arc<str>,
    at_location: Option<Box<str>>,
    is_resource_map: bool,
}

impl Member {
    /// Returns the object's identifier.
    #[must_use]
    pub fn identifier(&self) -> &Identifier {
        &self.identifier
    }

    /// Returns the URI under which the map aggregates the object. Producers encode it differently, so prefer the
    /// identifier.
    #[must_use]
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// Returns the object's location in the package's folders (`prov:atLocation`). It is not safe as a path.
    #[must_use]
    pub fn at_location(&self) -> Option<&str> {
        self.at_location.as_deref()
    }

    /// Returns whether the map says that the object is itself a resource map. Few maps say it; the object's system
    /// metadata do.
    #[must_use]
    pub fn is_resource_map(&self) -> bool {
        self.is_resource_map
    }
}

impl ResourceMap {
    /// Reads a resource map in RDF/XML.
    ///
    /// # Errors
    ///
    /// Fails when the document is larger than [`MAX_RESOURCE_MAP_BYTES`], is not RDF/XML in UTF-8, defines
    /// entities, or describes no aggregation.
    pub fn parse(bytes: &[u8]) -> Result<Parsed<Self>> {
        read::read(bytes)
    }

    /// Reads a resource map from a reader, without holding the document in memory.
    ///
    /// # Errors
    ///
    /// Fails as [`ResourceMap::parse`] does, or when reading fails.
    pub fn read(reader: impl io::Read) -> Result<Parsed<Self>> {
        read::read(reader)
    }

    /// Returns the identifier of the map itself, if it is known.
    #[must_use]
    pub fn identifier(&self) -> Option<&Identifier> {
        self.identifier.as_ref()
    }

    /// Returns the URI of the map, if the document names it.
    #[must_use]
    pub fn uri(&self) -> Option<&str> {
        self.uri.as_deref()
    }

    /// Returns the URI of the aggregation, normally the map's with `#aggregation`.
    #[must_use]
    pub fn aggregation_uri(&self) -> &str {
        &self.aggregation_uri
    }

    /// Returns the title of the aggregation.
    #[must_use]
    pub fn title(&self) -> Option<&str> {
        self.title.as_deref()
    }

    /// Returns the name of the person or program that made the map.
    #[must_use]
    pub fn creator(&self) -> Option<&str> {
        self.creator.as_deref()
    }

    /// Returns when the map last changed.
    #[must_use]
    pub fn modified(&self) -> Option<&DateTime> {
        self.modified.as_ref()
    }

    /// Returns the members in the order of the document.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Returns the URIs of resources whose identifiers are unknown. They are not among the members.
    #[must_use]
    pub fn unidentified_members(&self) -> &[String] {
        &self.unidentified
    }

    /// Returns the members that the member at a position documents.
    pub fn documents(&self, position: usize) -> impl Iterator<Item = &Member> {
        self.related(&self.documents, position)
    }

    /// Returns the members that document the member at a position.
    pub fn documented_by(&self, position: usize) -> impl Iterator<Item = &Member> {
        self.related(&self.documented_by, position)
    }

    /// Returns all relations as pairs of positions: the documenting member, then the documented one.
    pub fn relations(&self) -> impl Iterator<Item = (usize, usize)> {
        self.documents
            .iter()
            .filter_map(|(from, to)| Some((usize::try_from(*from).ok()?, usize::try_from(*to).ok()?)))
    }

    /// Finds the position of a member by its identifier, in a linear search.
    #[must_use]
    pub fn position(&self, identifier: &Identifier) -> Option<usize> {
        self.members.iter().position(|member| member.identifier == *identifier)
    }

    /// Writes the map as RDF/XML. The same map always gives the same bytes.
    ///
    /// URIs are resolve addresses of the Coordinating Nodes, made from the identifiers. All statements are made in
    /// both directions. Statements about members that are resource maps are left out, because clients mistake any
    /// resource of that type for the map itself.
    ///
    /// # Errors
    ///
    /// Fails when the map has no identifier or has members without one, when a text cannot be written in XML, or when
    /// writing to `out` fails.
    pub fn write_rdf_xml(&self, out: impl io::Write) -> Result<()> {
        write::write(self, out)
    }

    /// Returns the bytes that [`ResourceMap::write_rdf_xml`] writes.
    ///
    /// # Errors
    ///
    /// Fails when the map cannot be written.
    pub fn to_rdf_xml(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.write_rdf_xml(&mut bytes)?;
        Ok(bytes)
    }

    fn related<'a>(&'a self, pairs: &'a [(u32, u32)], position: usize) -> impl Iterator<Item = &'a Member> {
        let wanted = u32::try_from(position).unwrap_or(u32::MAX);
        let start = pairs.partition_point(|(from, _)| *from < wanted);
        pairs
            .iter()
            .skip(start)
            .take_while(move |(from, _)| *from == wanted)
            .filter_map(|(_, to)| self.members.get(usize::try_from(*to).ok()?))
    }
}

/// Returns whether the bytes look like a resource map: RDF/XML that mentions the OAI-ORE vocabulary.
///
/// Pass the beginning of the file. At most 64 KiB are searched.
///
/// ```
/// use d1_model::{DateTime, ResourceMapBuilder, looks_like_resource_map, looks_like_system_metadata};
///
/// let modified = DateTime::from_text("2024-09-18T17:18:33.000+00:00");
/// let map = ResourceMapBuilder::new("map.1".parse()?, "example", modified).build();
/// let document = map.to_rdf_xml()?;
/// assert!(looks_like_resource_map(&document));
/// assert!(!looks_like_system_metadata(&document));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn looks_like_resource_map(bytes: &[u8]) -> bool {
    xml::first_element(bytes)
        .is_some_and(|root| matches!(root.name, b"RDF" | b"ResourceMap" | b"Aggregation"))
        && xml::find_bytes(bytes, RESOURCE_MAP_FORMAT_ID.as_bytes())
}
