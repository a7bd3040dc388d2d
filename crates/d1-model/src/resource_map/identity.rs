//! Determines the identifiers of the resources of a map.

use std::collections::{HashMap, HashSet};

use super::collect::{Facts, ResourceNumber};
use super::uri::{AGGREGATION_FRAGMENT, identifier_in, is_resolve_uri, without_fragment};
use crate::identifier::Identifier;
use crate::oddity::{OddityCode, quoted};

/// An identifier, and whether it comes from a statement or only from a URI.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub(super) identifier: Identifier,
    pub(super) is_stated: bool,
}

/// Maps resources to identifiers.
pub(super) struct Identities {
    /// The map of each aggregation that one describes.
    map_of: HashMap<ResourceNumber, ResourceNumber>,
    /// The maps that describe aggregations.
    maps: HashSet<ResourceNumber>,
}

impl Identities {
    pub(super) fn new(facts: &Facts) -> Self {
        Self {
            map_of: facts.describes.iter().map(|(map, aggregation)| (*aggregation, *map)).collect(),
            maps: facts.describes.iter().map(|(map, _)| *map).collect(),
        }
    }

    /// Finds the identifier of a resource. For an aggregation, it is that of its map.
    pub(super) fn of(&self, facts: &Facts, number: ResourceNumber) -> Option<Identity> {
        let resource = facts.resource(number)?;
        let base = without_fragment(&resource.uri);
        let stated = stated_identifier(facts, number)
            .or_else(|| stated_identifier(facts, *self.map_of.get(&number)?))
            .or_else(|| stated_identifier(facts, facts.find(base).filter(|base| *base != number)?));
        match stated {
            Some(identifier) => Some(Identity { identifier, is_stated: true }),
            None => identifier_in(base).map(|identifier| Identity { identifier, is_stated: false }),
        }
    }

    /// Returns whether a resource is an aggregation, by a statement or by its URI.
    pub(super) fn is_aggregation(&self, facts: &Facts, number: ResourceNumber) -> bool {
        self.map_of.contains_key(&number)
            || facts.resource(number).is_some_and(|resource| {
                resource.is_aggregation || resource.uri.ends_with(AGGREGATION_FRAGMENT)
            })
    }

    /// Returns whether a resource is a map, or the aggregation of one.
    pub(super) fn is_map(&self, facts: &Facts, number: ResourceNumber) -> bool {
        self.maps.contains(&number)
            || facts.resource(number).is_some_and(|resource| resource.is_resource_map)
            || self.is_aggregation(facts, number)
    }
}

/// Notes oddities in how the map names a resource.
pub(super) fn note_naming(facts: &mut Facts, number: ResourceNumber, identity: &Identity, what: &str) {
    let Some(uri) = facts.resource(number).map(|resource| resource.uri.clone()) else { return };
    if !identity.is_stated {
        facts.oddities.add(OddityCode::MissingIdentifier, what, || {
            format!(
                "“{}” has no dcterms:identifier; “{}” was taken from the URI",
                quoted(&uri),
                identity.identifier
            )
        });
    }
    if !is_resolve_uri(&uri) {
        facts.oddities.add(OddityCode::NotResolveUri, what, || {
            format!("“{}” is not the resolve address of a Coordinating Node", quoted(&uri))
        });
    } else if identity.is_stated && identifier_in(&uri).is_none_or(|named| named != identity.identifier) {
        facts.oddities.add(OddityCode::UriDisagrees, what, || {
            format!("“{}” does not name “{}”, which counts", quoted(&uri), identity.identifier)
        });
    }
}

fn stated_identifier(facts: &Facts, number: ResourceNumber) -> Option<Identifier> {
    let text = facts.resource(number)?.identifier.as_deref()?;
    // Some producers state the address under which the object is resolved.
    let named = if is_resolve_uri(text) { identifier_in(text) } else { None };
    named.or_else(|| text.parse().ok())
}
