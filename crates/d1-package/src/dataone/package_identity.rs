//! Which resource map is the package's, and which identifier the package has.

use std::collections::{BTreeSet, HashMap};

use d1_model::{FormatType, Identifier, ObjectFormatList, ResourceMap};

use super::{ObjectRecord, ResourceMapRecord};
use crate::PackageOddityCode;
use crate::oddity::OddityList;

/// Finds the resource map that is no member of another one; of several the first one counts.
pub(super) fn main_map(
    maps: &[ResourceMapRecord],
    identifiers: &[Option<Identifier>],
    oddities: &mut OddityList,
) -> Option<usize> {
    let members: BTreeSet<&Identifier> =
        maps.iter().flat_map(|record| record.map.members()).map(|member| member.identifier()).collect();
    let is_nested =
        |identifier: &Option<Identifier>| identifier.as_ref().is_some_and(|name| members.contains(name));
    let mut outer = (0..maps.len()).filter(|number| !identifiers.get(*number).is_some_and(is_nested));
    let first = outer.next();
    if let (Some(first), count @ 1..) = (first, outer.count()) {
        let path = maps.get(first).map_or("", |record| &*record.path);
        let message = format!("{count} more resource maps are not members of any; this one was taken");
        oddities.add(PackageOddityCode::SeveralResourceMaps, path, message);
    }
    // Maps that contain each other have no outermost one.
    first.or_else(|| (!maps.is_empty()).then_some(0))
}

/// Returns the identifier of the package of a resource map: that of the only science metadata object that documents others,
/// else the map's own.
#[must_use]
pub fn identifier_of_package<'a>(
    map: &'a ResourceMap,
    map_identifier: &Identifier,
    records: impl IntoIterator<Item = &'a ObjectRecord>,
) -> Identifier {
    package_identifier(Some(map), Some(map_identifier), records).unwrap_or_else(|| map_identifier.clone())
}

/// Returns the identifier of the package, as far as a map and the system metadata tell.
pub(super) fn package_identifier<'a>(
    map: Option<&'a ResourceMap>,
    map_identifier: Option<&Identifier>,
    records: impl IntoIterator<Item = &'a ObjectRecord>,
) -> Option<Identifier> {
    let formats: HashMap<&Identifier, &str> =
        records.into_iter().map(|record| (&record.identifier, &*record.format_id)).collect();
    let is_metadata =
        |identifier: &Identifier| formats.get(identifier).is_none_or(|format| is_metadata_format(format));
    let documenting: BTreeSet<&Identifier> = match map {
        Some(map) => documenting(map).into_iter().filter(|identifier| is_metadata(identifier)).collect(),
        None => formats.keys().copied().filter(|name| is_metadata(name)).collect(),
    };
    let mut documenting = documenting.into_iter();
    match (documenting.next(), documenting.next()) {
        (Some(only), None) => Some(only.clone()),
        _ => map_identifier.cloned(),
    }
}

/// Returns the members that document another one than themselves; where there are no others, those that document
/// themselves.
fn documenting(map: &ResourceMap) -> BTreeSet<&Identifier> {
    let name = |position: usize| map.members().get(position).map(|member| member.identifier());
    let others = map.relations().filter(|(from, to)| from != to).filter_map(|(from, _)| name(from));
    let others: BTreeSet<&Identifier> = others.collect();
    if others.is_empty() {
        return map.relations().filter_map(|(from, _)| name(from)).collect();
    }
    others
}

fn is_metadata_format(format_id: &str) -> bool {
    let known = ObjectFormatList::builtin().get(format_id);
    known.is_some_and(|format| format.format_type == FormatType::Metadata)
}
