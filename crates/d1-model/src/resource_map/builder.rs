//! Makes a resource map from identifiers.

use std::collections::HashMap;

use super::collect::Pair;
use super::uri::{AGGREGATION_FRAGMENT, resolve_uri};
use super::{Member, ResourceMap};
use crate::date_time::DateTime;
use crate::identifier::Identifier;

/// Builds a [`ResourceMap`]. Members are ordered by identifier, so the same package gives the same map in any
/// order of calls.
#[derive(Debug, Clone)]
pub struct ResourceMapBuilder {
    identifier: Identifier,
    creator: String,
    modified: DateTime,
    title: Option<String>,
    members: Vec<(Identifier, Option<Box<str>>)>,
    positions: HashMap<Identifier, u32>,
    documents: Vec<Pair>,
}

impl ResourceMapBuilder {
    /// Starts a map with the facts that OAI-ORE requires: its identifier, its creator, and the time of its last
    /// change.
    #[must_use]
    pub fn new(identifier: Identifier, creator: impl Into<String>, modified: DateTime) -> Self {
        Self {
            identifier,
            creator: creator.into(),
            modified,
            title: None,
            members: Vec::new(),
            positions: HashMap::new(),
            documents: Vec::new(),
        }
    }

    /// Sets the title of the aggregation.
    #[must_use]
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// Adds a member, unless it is one already. The map itself never becomes one.
    pub fn member(&mut self, identifier: &Identifier) -> &mut Self {
        self.place(identifier);
        self
    }

    /// Adds a member if needed, and sets its location in the package's folders.
    pub fn member_at(&mut self, identifier: &Identifier, location: &str) -> &mut Self {
        let place = self.place(identifier).and_then(|position| usize::try_from(position).ok());
        if let Some((_, at_location)) = place.and_then(|position| self.members.get_mut(position)) {
            *at_location = Some(location.into());
        }
        self
    }

    /// States that one object documents another. Both become members if needed.
    pub fn documents(&mut self, documenting: &Identifier, documented: &Identifier) -> &mut Self {
        if let (Some(from), Some(to)) = (self.place(documenting), self.place(documented)) {
            self.documents.push((from, to));
        }
        self
    }

    /// Returns the map.
    #[must_use]
    pub fn build(self) -> ResourceMap {
        let mut order: Vec<u32> = (0..).take(self.members.len()).collect();
        let identifier_at = |position: &u32| {
            usize::try_from(*position)
                .ok()
                .and_then(|position| self.members.get(position))
                .map(|(name, _)| name)
        };
        order.sort_by(|left, right| identifier_at(left).cmp(&identifier_at(right)));
        let mut new_position = vec![0_u32; order.len()];
        for (position, old) in (0_u32..).zip(&order) {
            if let Some(slot) = usize::try_from(*old).ok().and_then(|old| new_position.get_mut(old)) {
                *slot = position;
            }
        }
        let moved = |old: u32| {
            usize::try_from(old).ok().and_then(|old| new_position.get(old)).copied().unwrap_or_default()
        };
        let mut documents: Vec<Pair> =
            self.documents.iter().map(|(from, to)| (moved(*from), moved(*to))).collect();
        documents.sort_unstable();
        documents.dedup();
        let mut documented_by: Vec<Pair> = documents.iter().map(|(from, to)| (*to, *from)).collect();
        documented_by.sort_unstable();
        let mut members: Vec<Member> =
            self.members.into_iter().map(|(name, place)| member(name, place)).collect();
        members.sort_by(|left, right| left.identifier.cmp(&right.identifier));
        let uri = resolve_uri(&self.identifier);
        ResourceMap {
            aggregation_uri: format!("{uri}{AGGREGATION_FRAGMENT}").into(),
            uri: Some(uri.into()),
            identifier: Some(self.identifier),
            title: self.title,
            creator: Some(self.creator),
            modified: Some(self.modified),
            members,
            documents,
            documented_by,
            unidentified: Vec::new(),
        }
    }

    fn place(&mut self, identifier: &Identifier) -> Option<u32> {
        if let Some(position) = self.positions.get(identifier) {
            return Some(*position);
        }
        if *identifier == self.identifier {
            return None;
        }
        let position = u32::try_from(self.members.len()).ok()?;
        self.members.push((identifier.clone(), None));
        self.positions.insert(identifier.clone(), position);
        Some(position)
    }
}

fn member(identifier: Identifier, at_location: Option<Box<str>>) -> Member {
    Member { uri: resolve_uri(&identifier).into(), identifier, at_location, is_resource_map: false }
}
