//! Collects the statements of a resource map, in little memory and in any order.

use std::collections::HashMap;
use std::sync::Arc;

use oxrdf::{NamedOrBlankNode, Term, Triple};

use super::vocabulary::{Property, TYPE_AGGREGATION, TYPE_RESOURCE_MAP};
use crate::error::{Error, ErrorKind, Result};
use crate::oddity::{OddityCode, OddityList, quoted};

/// The name of the document in messages.
pub(super) const DOCUMENT: &str = "resource map";
/// The most resources in a map.
const MAX_RESOURCES: usize = 1_000_000;
/// The most statements about resources in a map.
const MAX_STATEMENTS: u64 = 10_000_000;

/// The number of a resource: its position in [`Facts::resources`].
pub(super) type ResourceNumber = u32;
/// A statement that relates two resources.
pub(super) type Pair = (ResourceNumber, ResourceNumber);

/// One resource that statements are made about.
#[derive(Debug)]
pub(super) struct Resource {
    pub(super) uri: Arc<str>,
    /// The first `dcterms:identifier`.
    pub(super) identifier: Option<Box<str>>,
    pub(super) is_resource_map: bool,
    pub(super) is_aggregation: bool,
}

/// The statements by kind, before they are combined.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) resources: Vec<Resource>,
    by_uri: HashMap<Arc<str>, ResourceNumber>,
    /// Aggregation and member, from `ore:aggregates`.
    pub(super) aggregates: Vec<Pair>,
    /// Aggregation and member, from `ore:isAggregatedBy`.
    pub(super) aggregated_by: Vec<Pair>,
    /// Documenting and documented resource, from `cito:documents`.
    pub(super) documents: Vec<Pair>,
    /// Documenting and documented resource, from `cito:isDocumentedBy`.
    pub(super) documented_by: Vec<Pair>,
    /// Map and aggregation, from `ore:describes` and `ore:isDescribedBy`.
    pub(super) describes: Vec<Pair>,
    pub(super) locations: HashMap<ResourceNumber, Box<str>>,
    pub(super) titles: HashMap<ResourceNumber, String>,
    pub(super) modified: HashMap<ResourceNumber, String>,
    pub(super) creators: HashMap<ResourceNumber, Creator>,
    pub(super) names: HashMap<ResourceNumber, String>,
    pub(super) oddities: OddityList,
    statements: u64,
}

/// The creator of a resource: a text, or a resource that has a name.
#[derive(Debug)]
pub(super) enum Creator {
    Text(String),
    Agent(ResourceNumber),
}

impl Facts {
    /// Adds one statement.
    pub(super) fn add(&mut self, triple: Triple) -> Result<()> {
        let Some(property) = Property::from_iri(triple.predicate.as_str()) else { return Ok(()) };
        self.statements = self.statements.saturating_add(1);
        if self.statements > MAX_STATEMENTS {
            return Err(Error::new(ErrorKind::TooLarge, DOCUMENT, "the map makes too many statements"));
        }
        match property {
            Property::Type => self.add_type(&triple),
            Property::Identifier
            | Property::AtLocation
            | Property::Title
            | Property::Name
            | Property::Modified => self.add_text(property, &triple),
            Property::Creator => self.add_creator(&triple),
            _ => self.add_relation(property, &triple),
        }
    }

    /// Finds a resource by its URI.
    pub(super) fn find(&self, uri: &str) -> Option<ResourceNumber> {
        self.by_uri.get(uri).copied()
    }

    /// Returns a resource.
    pub(super) fn resource(&self, number: ResourceNumber) -> Option<&Resource> {
        self.resources.get(usize::try_from(number).ok()?)
    }

    fn add_type(&mut self, triple: &Triple) -> Result<()> {
        let Term::NamedNode(class) = &triple.object else { return Ok(()) };
        let (is_map, is_aggregation) =
            (class.as_str() == TYPE_RESOURCE_MAP, class.as_str() == TYPE_AGGREGATION);
        if !is_map && !is_aggregation {
            return Ok(());
        }
        let subject = self.subject(triple)?;
        if let Some(resource) = self.resource_mut(subject) {
            resource.is_resource_map |= is_map;
            resource.is_aggregation |= is_aggregation;
        }
        Ok(())
    }

    fn add_text(&mut self, property: Property, triple: &Triple) -> Result<()> {
        let Term::Literal(literal) = &triple.object else { return Ok(()) };
        let text = literal.value().trim();
        if text.is_empty() {
            self.oddities
                .add(OddityCode::EmptyElement, property.name(), || "the statement has no text".to_owned());
            return Ok(());
        }
        let subject = self.subject(triple)?;
        match property {
            Property::Identifier => self.add_identifier(subject, text),
            Property::AtLocation => {
                self.locations.entry(subject).or_insert_with(|| text.into());
            }
            Property::Title => {
                self.titles.entry(subject).or_insert_with(|| text.to_owned());
            }
            Property::Modified => {
                self.modified.entry(subject).or_insert_with(|| text.to_owned());
            }
            _ => {
                self.names.entry(subject).or_insert_with(|| text.to_owned());
            }
        }
        Ok(())
    }

    fn add_identifier(&mut self, subject: ResourceNumber, text: &str) {
        let Some(resource) = self.resource_mut(subject) else { return };
        match &resource.identifier {
            None => resource.identifier = Some(text.into()),
            Some(first) if **first != *text => {
                let (first, other) = (quoted(first), quoted(text));
                self.oddities.add(OddityCode::SeveralIdentifiers, Property::Identifier.name(), || {
                    format!("a resource has the identifiers “{first}” and “{other}”; the first one counts")
                });
            }
            Some(_) => {}
        }
    }

    fn add_creator(&mut self, triple: &Triple) -> Result<()> {
        let subject = self.subject(triple)?;
        let creator = match &triple.object {
            Term::Literal(literal) => Creator::Text(literal.value().trim().to_owned()),
            Term::NamedNode(agent) => Creator::Agent(self.number_of(agent.as_str())?),
            Term::BlankNode(agent) => Creator::Agent(self.number_of(&format!("_:{}", agent.as_str()))?),
        };
        self.creators.entry(subject).or_insert(creator);
        Ok(())
    }

    fn add_relation(&mut self, property: Property, triple: &Triple) -> Result<()> {
        let subject = self.subject(triple)?;
        let object = match &triple.object {
            Term::NamedNode(node) => self.number_of(node.as_str().trim())?,
            Term::BlankNode(node) => self.number_of(&format!("_:{}", node.as_str()))?,
            Term::Literal(literal) => {
                let text = literal.value().trim();
                self.oddities.add(OddityCode::LiteralObject, property.name(), || {
                    format!("“{}” is given as text, expected a URI", quoted(text))
                });
                if text.is_empty() {
                    return Ok(());
                }
                self.number_of(text)?
            }
        };
        match property {
            Property::Aggregates => self.aggregates.push((subject, object)),
            Property::IsAggregatedBy => self.aggregated_by.push((object, subject)),
            Property::Documents => self.documents.push((subject, object)),
            Property::IsDocumentedBy => self.documented_by.push((object, subject)),
            Property::Describes => self.describes.push((subject, object)),
            Property::IsDescribedBy => self.describes.push((object, subject)),
            _ => {}
        }
        Ok(())
    }

    fn subject(&mut self, triple: &Triple) -> Result<ResourceNumber> {
        match &triple.subject {
            NamedOrBlankNode::NamedNode(node) => self.number_of(node.as_str().trim()),
            NamedOrBlankNode::BlankNode(node) => self.number_of(&format!("_:{}", node.as_str())),
        }
    }

    fn number_of(&mut self, uri: &str) -> Result<ResourceNumber> {
        if let Some(number) = self.find(uri) {
            return Ok(number);
        }
        let number =
            u32::try_from(self.resources.len()).ok().filter(|_| self.resources.len() < MAX_RESOURCES);
        let Some(number) = number else {
            let detail = format!("the map names more than {MAX_RESOURCES} resources");
            return Err(Error::new(ErrorKind::TooLarge, DOCUMENT, detail));
        };
        let uri: Arc<str> = uri.into();
        self.by_uri.insert(Arc::clone(&uri), number);
        self.resources.push(Resource {
            uri,
            identifier: None,
            is_resource_map: false,
            is_aggregation: false,
        });
        Ok(number)
    }

    fn resource_mut(&mut self, number: ResourceNumber) -> Option<&mut Resource> {
        self.resources.get_mut(usize::try_from(number).ok()?)
    }
}
