//! Determines which resource is the map and which is the aggregation that it describes.

use std::collections::HashSet;

use super::collect::{DOCUMENT, Facts, Pair, ResourceNumber};
use super::uri::{AGGREGATION_FRAGMENT, without_fragment};
use crate::error::{Error, ErrorKind, Result};
use crate::oddity::{OddityCode, quoted};

/// The map, if the document names it, and its aggregation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chosen {
    pub(super) map: Option<ResourceNumber>,
    pub(super) aggregation: ResourceNumber,
}

/// Chooses the map and its aggregation, and notes what is odd about them.
pub(super) fn choose(facts: &mut Facts) -> Result<Chosen> {
    let chosen = described_aggregation(facts).or_else(|| largest_aggregation(facts)).or_else(|| {
        facts
            .describes
            .first()
            .map(|(map, aggregation)| Chosen { map: Some(*map), aggregation: *aggregation })
    });
    let Some(chosen) = chosen else {
        let detail = "there is no aggregation: this is not a resource map";
        return Err(Error::new(ErrorKind::WrongDocument, DOCUMENT, detail));
    };
    note_other_aggregations(facts, chosen.aggregation);
    note_aggregation_uri(facts, chosen);
    Ok(chosen)
}

/// Finds an aggregation that has members and is described by a map. One that is not itself a member comes first,
/// because a document may repeat statements of a nested map.
fn described_aggregation(facts: &Facts) -> Option<Chosen> {
    let with_members: HashSet<ResourceNumber> =
        statements_of_membership(facts).map(|(from, _)| from).collect();
    let described = || facts.describes.iter().filter(|(_, aggregation)| with_members.contains(aggregation));
    let suspects: HashSet<ResourceNumber> =
        described().flat_map(|(map, aggregation)| [*map, *aggregation]).collect();
    let nested: HashSet<ResourceNumber> = statements_of_membership(facts)
        .map(|(_, member)| member)
        .filter(|member| suspects.contains(member))
        .collect();
    described()
        .find(|(map, aggregation)| !nested.contains(map) && !nested.contains(aggregation))
        .or_else(|| described().next())
        .map(|(map, aggregation)| Chosen { map: Some(*map), aggregation: *aggregation })
}

/// Finds the aggregation with the most members, if no map describes any.
fn largest_aggregation(facts: &Facts) -> Option<Chosen> {
    let mut counts = vec![0_u64; facts.resources.len()];
    for (aggregation, _) in statements_of_membership(facts) {
        if let Some(count) = usize::try_from(aggregation).ok().and_then(|index| counts.get_mut(index)) {
            *count = count.saturating_add(1);
        }
    }
    // The first of the largest. `max_by_key` would return the last.
    let (index, _) =
        counts.iter().enumerate().rev().max_by_key(|(_, count)| **count).filter(|(_, count)| **count > 0)?;
    let aggregation = u32::try_from(index).ok()?;
    Some(Chosen { map: map_without_description(facts, aggregation), aggregation })
}

/// Finds the map of an aggregation if no statement connects them.
fn map_without_description(facts: &Facts, aggregation: ResourceNumber) -> Option<ResourceNumber> {
    if let Some((map, _)) = facts.describes.first() {
        return Some(*map);
    }
    let uri = &facts.resource(aggregation)?.uri;
    uri.strip_suffix(AGGREGATION_FRAGMENT).and_then(|map| facts.find(map)).or_else(|| {
        let typed = facts.resources.iter().position(|resource| resource.is_resource_map)?;
        u32::try_from(typed).ok()
    })
}

fn statements_of_membership(facts: &Facts) -> impl Iterator<Item = Pair> {
    facts.aggregates.iter().chain(&facts.aggregated_by).copied()
}

fn note_other_aggregations(facts: &mut Facts, chosen: ResourceNumber) {
    let others: HashSet<ResourceNumber> = facts
        .aggregates
        .iter()
        .map(|(aggregation, _)| *aggregation)
        .filter(|aggregation| *aggregation != chosen)
        .collect();
    let count = u64::try_from(others.len()).unwrap_or(u64::MAX);
    let uri = facts.resource(chosen).map(|resource| quoted(&resource.uri)).unwrap_or_default();
    facts.oddities.add_many(OddityCode::SeveralAggregations, "ore:aggregates", count, || {
        format!("there are other aggregations than “{uri}”, which was chosen")
    });
}

fn note_aggregation_uri(facts: &mut Facts, chosen: Chosen) {
    let uri_of = |number| facts.resource(number).map(|resource| resource.uri.to_string());
    let aggregation = uri_of(chosen.aggregation).unwrap_or_default();
    let Some(map) = chosen.map.and_then(uri_of) else {
        facts.oddities.add(OddityCode::MissingMap, "ore:describes", || {
            format!("no statement says which map describes “{}”", quoted(&aggregation))
        });
        return;
    };
    if without_fragment(&aggregation) != map || !aggregation.ends_with(AGGREGATION_FRAGMENT) {
        facts.oddities.add(OddityCode::AggregationUri, "ore:describes", || {
            format!(
                "the aggregation is “{}”, not the map's URI with “{AGGREGATION_FRAGMENT}”",
                quoted(&aggregation)
            )
        });
    }
}
