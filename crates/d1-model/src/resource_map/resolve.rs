//! Combines the statements of a resource map.

use super::choose::{Chosen, choose};
use super::collect::{Creator, Facts, Pair, ResourceNumber};
use super::identity::{Identities, note_naming};
use super::members::{Roster, gather};
use super::uri::is_resolve_uri;
use super::vocabulary::Property;
use super::{Member, ResourceMap};
use crate::date_time::DateTime;
use crate::error::Result;
use crate::identifier::Identifier;
use crate::oddity::{OddityCode, Parsed, quoted};

pub(super) fn resolve(mut facts: Facts) -> Result<Parsed<ResourceMap>> {
    note_broken_identifiers(&mut facts);
    let chosen = choose(&mut facts)?;
    let identities = Identities::new(&facts);
    let identifier = identify_map(&mut facts, &identities, chosen);
    let mut roster = gather(&mut facts, &identities, chosen, identifier.as_ref());
    let documents = relate(&mut facts, &identities, &mut roster);
    let mut documented_by: Vec<Pair> = documents.iter().map(|(from, to)| (*to, *from)).collect();
    documented_by.sort_unstable();
    note_undocumented(&mut facts, &roster.members, &documents, &documented_by);
    let modified = describe(chosen, |number| facts.modified.get(&number).map(DateTime::from_text));
    if let Some(date) = modified.as_ref().filter(|date| !date.is_schema_form()) {
        facts.oddities.add(OddityCode::InvalidDate, Property::Modified.name(), || {
            format!("“{}” is not a date and time in the form of the schema", quoted(date.text()))
        });
    }
    let uri_of = |number| facts.resource(number).map(|resource| Box::from(&*resource.uri));
    let value = ResourceMap {
        identifier,
        uri: chosen.map.and_then(uri_of),
        aggregation_uri: uri_of(chosen.aggregation).unwrap_or_default(),
        title: describe(chosen, |number| facts.titles.get(&number).cloned()),
        creator: chosen.map.and_then(|map| creator_of(&facts, map)),
        modified,
        members: roster.members,
        documents,
        documented_by,
        unidentified: roster.unidentified,
    };
    Ok(Parsed { value, oddities: facts.oddities.into_vec() })
}

/// Notes invalid identifiers. The URI is used instead.
fn note_broken_identifiers(facts: &mut Facts) {
    for resource in &facts.resources {
        if let Some(text) = resource.identifier.as_deref().filter(|text| is_resolve_uri(text)) {
            facts.oddities.add(OddityCode::IdentifierIsUri, Property::Identifier.name(), || {
                format!("“{}” is a resolve address, not an identifier", quoted(text))
            });
        }
        if let Some(Err(error)) = resource.identifier.as_ref().map(|text| text.parse::<Identifier>()) {
            facts.oddities.add(OddityCode::InvalidValue, Property::Identifier.name(), || {
                format!("“{}”: {error}", quoted(&resource.uri))
            });
        }
    }
}

fn identify_map(facts: &mut Facts, identities: &Identities, chosen: Chosen) -> Option<Identifier> {
    // The URI of an aggregation names its map, even if no statement does.
    let named = identities.is_aggregation(facts, chosen.aggregation).then_some(chosen.aggregation);
    let number = chosen.map.or(named)?;
    let identity = identities.of(facts, number)?;
    note_naming(facts, number, &identity, "ore:ResourceMap");
    Some(identity.identifier)
}

/// Returns the facts about the map, or else about the aggregation. Titles normally belong to the latter.
fn describe<T>(chosen: Chosen, find: impl Fn(ResourceNumber) -> Option<T>) -> Option<T> {
    find(chosen.aggregation).or_else(|| find(chosen.map?))
}

fn creator_of(facts: &Facts, map: ResourceNumber) -> Option<String> {
    match facts.creators.get(&map)? {
        Creator::Text(text) => Some(text.clone()),
        Creator::Agent(agent) => {
            facts.names.get(agent).cloned().or_else(|| {
                Some(facts.resource(*agent)?.uri.to_string()).filter(|uri| !uri.starts_with("_:"))
            })
        }
    }
}

/// Turns the relations between resources into relations between members, each once and in order.
fn relate(facts: &mut Facts, identities: &Identities, roster: &mut Roster) -> Vec<Pair> {
    let documents = std::mem::take(&mut facts.documents);
    let documented_by = std::mem::take(&mut facts.documented_by);
    let forward = relations_between_members(facts, identities, roster, documents, Property::Documents);
    let backward =
        relations_between_members(facts, identities, roster, documented_by, Property::IsDocumentedBy);
    note_one_way(facts, &forward, &backward, Property::Documents);
    note_one_way(facts, &backward, &forward, Property::IsDocumentedBy);
    let mut all = forward;
    all.extend(backward);
    all.sort_unstable();
    all.dedup();
    let own = count(all.iter().filter(|(from, to)| from == to));
    facts.oddities.add_many(OddityCode::SelfDocumentation, Property::Documents.name(), own, || {
        "a member is said to document itself".to_owned()
    });
    all
}

fn relations_between_members(
    facts: &mut Facts,
    identities: &Identities,
    roster: &mut Roster,
    mut pairs: Vec<Pair>,
    property: Property,
) -> Vec<Pair> {
    let mut outside = None;
    let mut count_outside = 0_u64;
    pairs.retain_mut(|(from, to)| {
        match (roster.position_of(facts, identities, *from), roster.position_of(facts, identities, *to)) {
            (Some(first), Some(second)) => {
                (*from, *to) = (first, second);
                true
            }
            (first, _) => {
                count_outside = count_outside.saturating_add(1);
                outside.get_or_insert(if first.is_none() { *from } else { *to });
                false
            }
        }
    });
    if let Some(uri) = outside.and_then(|number| facts.resource(number)).map(|resource| quoted(&resource.uri))
    {
        facts.oddities.add_many(OddityCode::RelationToNonMember, property.name(), count_outside, || {
            format!("“{uri}” is not a member of the aggregation; the relation was left out")
        });
    }
    pairs.sort_unstable();
    pairs.dedup();
    pairs
}

/// Notes relations that are stated in one direction only. Both lists are ordered.
fn note_one_way(facts: &mut Facts, stated: &[Pair], other: &[Pair], property: Property) {
    let alone = count(stated.iter().filter(|pair| other.binary_search(pair).is_err()));
    facts.oddities.add_many(OddityCode::OneWayDocumentation, property.name(), alone, || {
        "the relation is stated in this direction only".to_owned()
    });
}

fn note_undocumented(facts: &mut Facts, members: &[Member], documents: &[Pair], documented_by: &[Pair]) {
    let is_in = |pairs: &[Pair], position: u32| {
        let start = pairs.partition_point(|(from, _)| *from < position);
        pairs.get(start).is_some_and(|(from, _)| *from == position)
    };
    let mut first = None;
    let mut alone = 0_u64;
    for (position, member) in (0_u32..).zip(members) {
        if !member.is_resource_map && !is_in(documents, position) && !is_in(documented_by, position) {
            alone = alone.saturating_add(1);
            first.get_or_insert(member);
        }
    }
    let identifier = first.map(|member| member.identifier.to_string()).unwrap_or_default();
    facts.oddities.add_many(OddityCode::UndocumentedMember, "ore:aggregates", alone, || {
        format!("“{identifier}” is documented by nothing and documents nothing")
    });
}

fn count<T>(items: impl Iterator<Item = T>) -> u64 {
    u64::try_from(items.count()).unwrap_or(u64::MAX)
}
