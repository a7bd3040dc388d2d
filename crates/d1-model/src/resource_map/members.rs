//! Lists the members of an aggregation, each object once.

use std::collections::HashMap;
use std::sync::Arc;

use super::Member;
use super::choose::Chosen;
use super::collect::{Facts, ResourceNumber};
use super::identity::{Identities, note_naming};
use super::uri::{AGGREGATION_FRAGMENT, identifier_in};
use super::vocabulary::Property;
use crate::identifier::Identifier;
use crate::oddity::{OddityCode, quoted};

/// The most URIs of members without identifiers that are kept.
const MAX_UNIDENTIFIED: usize = 1000;

/// The members, and the map from resources to members.
#[derive(Debug)]
pub(super) struct Roster {
    pub(super) members: Vec<Member>,
    pub(super) unidentified: Vec<String>,
    /// Positions of the members, ordered by identifier.
    by_identifier: Vec<u32>,
    /// For each resource, its position among the members, if it is one.
    places: Vec<Place>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Unknown,
    Outside,
    Member(u32),
}

/// Gathers the members of the chosen aggregation.
pub(super) fn gather(
    facts: &mut Facts,
    identities: &Identities,
    chosen: Chosen,
    map: Option<&Identifier>,
) -> Roster {
    let numbers = member_numbers(facts, chosen);
    let mut roster = Roster {
        members: Vec::with_capacity(numbers.len()),
        unidentified: Vec::new(),
        by_identifier: Vec::new(),
        places: vec![Place::Unknown; facts.resources.len()],
    };
    // For each member, the resource it comes from.
    let mut found = Vec::with_capacity(numbers.len());
    for number in numbers {
        if let Some(member) = identify_member(facts, identities, &mut roster, number, map) {
            roster.members.push(member);
            found.push(number);
        }
    }
    if found.is_empty() {
        facts.oddities.add(OddityCode::EmptyAggregation, Property::Aggregates.name(), || {
            "the aggregation has no members".to_owned()
        });
    }
    roster.merge_equal_members(facts, &found);
    roster.order();
    roster
}

impl Roster {
    /// Finds the member for a resource, even if its URI differs from the aggregation's.
    pub(super) fn position_of(
        &mut self,
        facts: &mut Facts,
        identities: &Identities,
        number: ResourceNumber,
    ) -> Option<u32> {
        let index = usize::try_from(number).ok()?;
        if let Place::Member(position) = *self.places.get(index)? {
            return Some(position);
        }
        if *self.places.get(index)? == Place::Outside {
            return None;
        }
        let identity = identities.of(facts, number);
        let position = identity.and_then(|identity| self.find(&identity.identifier));
        *self.places.get_mut(index)? = position.map_or(Place::Outside, Place::Member);
        if position.is_some() {
            note_several_uris(facts, number);
        }
        position
    }

    fn find(&self, identifier: &Identifier) -> Option<u32> {
        let found = self
            .by_identifier
            .binary_search_by(|position| self.identifier_at(*position).cmp(&Some(identifier)))
            .ok()?;
        self.by_identifier.get(found).copied()
    }

    fn identifier_at(&self, position: u32) -> Option<&Identifier> {
        Some(&self.members.get(usize::try_from(position).ok()?)?.identifier)
    }

    /// Merges members that are the same object under several URIs. The first URI counts.
    fn merge_equal_members(&mut self, facts: &mut Facts, found: &[ResourceNumber]) {
        let first_of = first_of_equal(&self.members);
        let mut positions: Vec<u32> = Vec::with_capacity(found.len());
        let mut kept: u32 = 0;
        for (index, (first, number)) in first_of.iter().zip(found).enumerate() {
            if *first == index {
                positions.push(kept);
                kept = kept.saturating_add(1);
            } else {
                positions.push(positions.get(*first).copied().unwrap_or_default());
                note_several_uris(facts, *number);
            }
        }
        let mut indexes = first_of.iter().enumerate();
        self.members.retain(|_| indexes.next().is_some_and(|(index, first)| index == *first));
        for (number, position) in found.iter().zip(positions) {
            self.merge(facts, *number, position);
        }
    }

    /// Orders the positions by identifier, to find members by it.
    fn order(&mut self) {
        let mut by_identifier: Vec<u32> = (0..).take(self.members.len()).collect();
        by_identifier
            .sort_unstable_by(|left, right| self.identifier_at(*left).cmp(&self.identifier_at(*right)));
        self.by_identifier = by_identifier;
    }

    /// Records the member of a resource, and takes over the facts about it.
    fn merge(&mut self, facts: &Facts, number: ResourceNumber, position: u32) {
        let index = usize::try_from(number).unwrap_or(usize::MAX);
        if let Some(place) = self.places.get_mut(index) {
            *place = Place::Member(position);
        }
        let Some(member) = usize::try_from(position).ok().and_then(|position| self.members.get_mut(position))
        else {
            return;
        };
        if member.at_location.is_none() {
            member.at_location = facts.locations.get(&number).cloned();
        }
    }
}

/// Returns, for each member, the index of the first one with the same identifier.
fn first_of_equal(members: &[Member]) -> Vec<usize> {
    let identifier_at = |index: &usize| members.get(*index).map(|member| &member.identifier);
    let mut order: Vec<usize> = (0..members.len()).collect();
    // The sort is stable, so the first of equal members stays first.
    order.sort_by(|left, right| identifier_at(left).cmp(&identifier_at(right)));
    let mut first_of = vec![0; members.len()];
    let mut first = None;
    for index in order {
        let same = first.filter(|first| identifier_at(first) == identifier_at(&index)).unwrap_or(index);
        first = Some(same);
        if let Some(slot) = first_of.get_mut(index) {
            *slot = same;
        }
    }
    first_of
}

fn identify_member(
    facts: &mut Facts,
    identities: &Identities,
    roster: &mut Roster,
    number: ResourceNumber,
    map: Option<&Identifier>,
) -> Option<Member> {
    let uri = Arc::clone(&facts.resource(number)?.uri);
    let Some(identity) = identities.of(facts, number) else {
        facts.oddities.add(OddityCode::UnidentifiedMember, Property::Aggregates.name(), || {
            format!("the identifier of “{}” is unknown; the member was left out", quoted(&uri))
        });
        if roster.unidentified.len() < MAX_UNIDENTIFIED {
            roster.unidentified.push(uri.to_string());
        }
        return None;
    };
    if map == Some(&identity.identifier) {
        facts.oddities.add(OddityCode::SelfAggregation, Property::Aggregates.name(), || {
            format!("the map lists itself, “{}”, as a member; this was left out", quoted(&uri))
        });
        return None;
    }
    note_naming(facts, number, &identity, Property::Aggregates.name());
    let is_resource_map = identities.is_map(facts, number);
    Some(Member { identifier: identity.identifier, uri, at_location: None, is_resource_map })
}

/// Returns the resources that are stated to be members, in order of appearance. Notes statements made in one
/// direction only.
fn member_numbers(facts: &mut Facts, chosen: Chosen) -> Vec<ResourceNumber> {
    const STATED_FORWARD: u8 = 1;
    const STATED_BACKWARD: u8 = 2;
    let mut stated = vec![0_u8; facts.resources.len()];
    let mut numbers = Vec::new();
    let mut state = |number: ResourceNumber, how: u8| {
        let Some(slot) = usize::try_from(number).ok().and_then(|index| stated.get_mut(index)) else { return };
        if *slot == 0 {
            numbers.push(number);
        }
        *slot |= how;
    };
    let is_chosen = aggregation_test(facts, chosen);
    for (aggregation, member) in &facts.aggregates {
        if is_chosen(*aggregation) {
            state(*member, STATED_FORWARD);
        }
    }
    for (aggregation, member) in &facts.aggregated_by {
        if is_chosen(*aggregation) {
            state(*member, STATED_BACKWARD);
        }
    }
    let count =
        |how: u8| u64::try_from(stated.iter().filter(|slot| **slot == how).count()).unwrap_or(u64::MAX);
    let alone =
        [(Property::Aggregates, count(STATED_FORWARD)), (Property::IsAggregatedBy, count(STATED_BACKWARD))];
    for (property, count) in alone {
        facts.oddities.add_many(OddityCode::OneWayAggregation, property.name(), count, || {
            "membership is stated in this direction only".to_owned()
        });
    }
    numbers
}

/// Returns a test for resources that are the chosen aggregation, even under a URI with another encoding.
fn aggregation_test(facts: &Facts, chosen: Chosen) -> impl Fn(ResourceNumber) -> bool + use<> {
    let named = |number: ResourceNumber| {
        let uri = &facts.resource(number)?.uri;
        uri.ends_with(AGGREGATION_FRAGMENT).then(|| identifier_in(uri)).flatten()
    };
    let wanted = named(chosen.aggregation);
    let mut same: HashMap<ResourceNumber, bool> = HashMap::new();
    for (aggregation, _) in facts.aggregates.iter().chain(&facts.aggregated_by) {
        same.entry(*aggregation).or_insert_with(|| {
            *aggregation == chosen.aggregation || (wanted.is_some() && named(*aggregation) == wanted)
        });
    }
    move |number| same.get(&number).copied().unwrap_or_default()
}

fn note_several_uris(facts: &mut Facts, number: ResourceNumber) {
    let uri = facts.resource(number).map(|resource| quoted(&resource.uri)).unwrap_or_default();
    facts.oddities.add(OddityCode::SeveralUris, Property::Aggregates.name(), || {
        format!("“{uri}” is another URI of a member")
    });
}
