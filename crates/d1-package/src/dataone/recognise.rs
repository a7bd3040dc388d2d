//! Combines the facts about files that the documents of a package state.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use d1_model::{FormatType, Identifier, ObjectFormatList, RESOURCE_MAP_FORMAT_ID, ResourceMap};

use super::documents::{Documents, ObjectRecord, ResourceMapRecord};
use super::fixity::system_metadata_mismatches;
use super::matching::{Assignment, explain_the_rest};
use crate::facts::{FormFacts, PackageFacts};
use crate::files::{ObjectFacts, PackageFiles};
use crate::oddity::{OddityList, PackageOddityCode};
use crate::state::ObjectState;

impl Documents {
    /// Matches the documents with the files.
    ///
    /// Files are matched by checksum and size. Among equal files, the resource map's `prov:atLocation` decides,
    /// then `fileName`, then the identifier. Otherwise the match follows a fixed order and is an oddity.
    #[must_use]
    pub fn recognise(&self, files: &PackageFiles) -> FormFacts {
        recognise(self, files)
    }
}

/// Matches the documents with the files.
fn recognise(documents: &Documents, files: &PackageFiles) -> FormFacts {
    let mut oddities = OddityList::of(&documents.oddities);
    note_changed_documents(documents, files, &mut oddities);
    let records = &documents.system_metadata;
    let repeats = note_repeats(records, &mut oddities);

    let mut assignment = Assignment::new(files, records, locations(documents, files));
    assignment.match_by_content(&repeats, &mut oddities);
    match_rewritten_maps(&mut assignment, &documents.resource_maps, &mut oddities);
    explain_the_rest(&mut assignment, &repeats, &mut oddities);

    let identifiers = map_identifiers(&assignment, &documents.resource_maps, &mut oddities);
    let main = main_map(&documents.resource_maps, &identifiers, &mut oddities);
    let map = main.and_then(|number| documents.resource_maps.get(number));
    let resource_map = main.and_then(|number| identifiers.get(number).cloned().flatten());
    let identifier = package_identifier(
        map.map(|record| &record.map),
        resource_map.as_ref(),
        records.iter().map(|record| &**record),
    );
    let record = records.iter().find(|record| Some(&record.identifier) == identifier.as_ref());

    let objects = described_objects(&assignment);
    let mut undescribed = maps_without_metadata(&assignment, &documents.resource_maps, &identifiers);
    add_located_members(&mut undescribed, &objects, documents, &assignment, &mut oddities);
    let not_public = not_public(&assignment);
    let package = PackageFacts {
        series_id: record.and_then(|record| record.series_id.clone()),
        obsoletes: record.and_then(|record| record.obsoletes.clone()),
        obsoleted_by: record.and_then(|record| record.obsoleted_by.clone()),
        archived: record.is_some_and(|record| record.archived),
        title: map.and_then(|record| record.map.title()).map(str::to_owned),
        not_public: not_public.len(),
        identifier,
        resource_map,
        ..PackageFacts::default()
    };
    FormFacts {
        package,
        objects: merged(objects, undescribed),
        published: None,
        not_public,
        oddities: oddities.into_vec(),
    }
}

fn note_changed_documents(documents: &Documents, files: &PackageFiles, oddities: &mut OddityList) {
    let metadata = documents.system_metadata.iter().map(|record| (&record.path, record.sha256));
    let maps = documents.resource_maps.iter().map(|record| (&record.path, record.sha256));
    for (path, sha256) in metadata.chain(maps) {
        let file = files.position(path).and_then(|position| files.file(position));
        if file.is_none_or(|file| file.sha256 != sha256) {
            let message = "the document changed between being read and being hashed";
            oddities.add(PackageOddityCode::DocumentChanged, path, message);
        }
    }
}

/// Returns for each record whether an earlier one describes the same identifier.
fn note_repeats(records: &[Arc<ObjectRecord>], oddities: &mut OddityList) -> Vec<bool> {
    let mut first: HashMap<&Identifier, &str> = HashMap::with_capacity(records.len());
    let mut repeats = Vec::with_capacity(records.len());
    for record in records {
        let earlier = first.get(&record.identifier).copied();
        if let Some(earlier) = earlier {
            let message = format!("it describes `{}`, as `{earlier}` does, which counts", record.identifier);
            oddities.add(PackageOddityCode::RepeatedIdentifier, &record.path, message);
        } else {
            first.insert(&record.identifier, &record.path);
        }
        repeats.push(earlier.is_some());
    }
    repeats
}

/// Returns for each record the file at the location of its object in a resource map.
fn locations(documents: &Documents, files: &PackageFiles) -> Vec<Option<usize>> {
    let members = documents.resource_maps.iter().flat_map(|record| record.map.members());
    let located: HashMap<&Identifier, usize> = members
        .filter_map(|member| Some((member.identifier(), file_at(member.at_location()?, files)?)))
        .collect();
    let of_record = |record: &ObjectRecord| record.names().find_map(|name| located.get(name).copied());
    documents.system_metadata.iter().map(|record| of_record(record)).collect()
}

/// Finds the file at a location, which is relative to the payload directory or to the package's directory.
fn file_at(location: &str, files: &PackageFiles) -> Option<usize> {
    let location = location.trim_start_matches("./").trim_start_matches('/');
    files.position(location).or_else(|| files.position(&format!("data/{location}")))
}

/// Matches a resource map by the identifier that it states, if its bytes differ from those that its system
/// metadata describe.
fn match_rewritten_maps(
    assignment: &mut Assignment<'_>,
    maps: &[ResourceMapRecord],
    oddities: &mut OddityList,
) {
    for record in maps {
        let Some(file) = assignment.files.position(&record.path).filter(|file| assignment.is_free(*file))
        else {
            continue;
        };
        let described = assignment.records.iter().enumerate().find(|(number, candidate)| {
            assignment.is_open(*number) && Some(&candidate.identifier) == record.map.identifier()
        });
        if let Some((number, described)) = described {
            let message = format!("its checksum differs from the one that `{}` declares", described.path);
            oddities.add(PackageOddityCode::ResourceMapRewritten, &record.path, message);
            assignment.assign(number, file);
        }
    }
}

/// Returns the identifiers of the resource maps. Their system metadata count first, then the maps themselves.
fn map_identifiers(
    assignment: &Assignment<'_>,
    maps: &[ResourceMapRecord],
    oddities: &mut OddityList,
) -> Vec<Option<Identifier>> {
    let record_of = |record: &ResourceMapRecord| {
        let file = assignment.files.position(&record.path)?;
        assignment.records.get(assignment.record_of.get(file).copied().flatten()?)
    };
    let mut identifiers = Vec::with_capacity(maps.len());
    for map in maps {
        let (described, own) = (record_of(map).map(|record| &record.identifier), map.map.identifier());
        if let (Some(described), Some(own)) = (described, own)
            && described != own
        {
            let message = format!("it calls itself `{own}`, its system metadata `{described}`");
            oddities.add(PackageOddityCode::ResourceMapIdentifier, &map.path, message);
        }
        identifiers.push(described.or(own).cloned());
    }
    identifiers
}

/// Facts about files, ordered by the position of the file.
type ObjectsInOrder = Vec<(usize, ObjectFacts)>;

fn described_objects(assignment: &Assignment<'_>) -> ObjectsInOrder {
    let described = assignment.record_of.iter().enumerate();
    described
        .filter_map(|(file, record)| {
            let record = assignment.records.get((*record)?)?;
            let bytes = assignment.files.file(file)?;
            let is_right = system_metadata_mismatches(record.size, &record.checksum, &bytes).is_empty();
            let state = ObjectState {
                series_id: record.series_id.clone(),
                obsoleted_by: record.obsoleted_by.clone(),
                archived: record.archived,
                not_public: !record.is_public,
            };
            let facts = ObjectFacts {
                identifier: Some(record.identifier.clone()),
                format_id: Some(record.format_id.clone()).filter(|format_id| !format_id.is_empty()),
                media_type: None,
                declared_checksum: is_right.then(|| record.checksum.clone()),
                system_metadata: Some(record.path.clone()),
                state: (state != ObjectState::default()).then(|| Box::new(state)),
            };
            Some((file, facts))
        })
        .collect()
}

/// Returns the resource maps without system metadata.
fn maps_without_metadata(
    assignment: &Assignment<'_>,
    maps: &[ResourceMapRecord],
    identifiers: &[Option<Identifier>],
) -> BTreeMap<usize, ObjectFacts> {
    let mut undescribed = BTreeMap::new();
    for (map, identifier) in maps.iter().zip(identifiers) {
        let file = assignment.files.position(&map.path).filter(|file| assignment.is_free(*file));
        let Some(file) = file else { continue };
        undescribed.entry(file).or_insert_with(|| ObjectFacts {
            identifier: identifier.clone(),
            format_id: Some(RESOURCE_MAP_FORMAT_ID.into()),
            ..ObjectFacts::default()
        });
    }
    undescribed
}

/// Adds members of resource maps without system metadata, if the map states their location.
fn add_located_members(
    undescribed: &mut BTreeMap<usize, ObjectFacts>,
    described_files: &[(usize, ObjectFacts)],
    documents: &Documents,
    assignment: &Assignment<'_>,
    oddities: &mut OddityList,
) {
    let described: HashSet<&Identifier> =
        documents.system_metadata.iter().flat_map(|record| record.names()).collect();
    let known = described_files.iter().map(|(_, facts)| facts).chain(undescribed.values());
    let known: HashSet<Identifier> = known.filter_map(|facts| facts.identifier.clone()).collect();
    for record in &documents.resource_maps {
        let members = record.map.members().iter().map(|member| (member.identifier(), member.at_location()));
        for (identifier, location) in members {
            if described.contains(identifier) || known.contains(identifier) {
                continue;
            }
            let file = location.and_then(|location| file_at(location, assignment.files));
            let is_unknown = |file: &usize| assignment.is_free(*file) && !undescribed.contains_key(file);
            match file.filter(is_unknown) {
                Some(file) => {
                    let facts =
                        ObjectFacts { identifier: Some(identifier.clone()), ..ObjectFacts::default() };
                    undescribed.insert(file, facts);
                }
                None => {
                    let message = format!("its member `{identifier}` is not recognised in the package");
                    oddities.add(PackageOddityCode::MemberMissing, &record.path, message);
                }
            }
        }
    }
}

fn not_public(assignment: &Assignment<'_>) -> Vec<Identifier> {
    let present = assignment.file_of.iter().zip(assignment.records).filter(|(file, _)| file.is_some());
    present.filter(|(_, record)| !record.is_public).map(|(_, record)| record.identifier.clone()).collect()
}

fn merged(mut objects: ObjectsInOrder, undescribed: BTreeMap<usize, ObjectFacts>) -> ObjectsInOrder {
    if !undescribed.is_empty() {
        objects.extend(undescribed);
        objects.sort_by_key(|(position, _)| *position);
    }
    objects
}

/// Finds the resource map that is not a member of another one. The first of several counts.
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
        let message = format!("{count} more resource maps are not members of any; this one was chosen");
        oddities.add(PackageOddityCode::SeveralResourceMaps, path, message);
    }
    // Maps that contain each other do not have an outermost one.
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

/// Returns the identifier of the package, as far as a map and the system metadata tell. A map may name the science metadata by
/// their series.
pub(super) fn package_identifier<'a>(
    map: Option<&'a ResourceMap>,
    map_identifier: Option<&Identifier>,
    records: impl IntoIterator<Item = &'a ObjectRecord>,
) -> Option<Identifier> {
    let mut by_name: HashMap<&Identifier, &ObjectRecord> = HashMap::new();
    for record in records {
        if let Some(series) = &record.series_id {
            by_name.entry(series).or_insert(record);
        }
        by_name.insert(&record.identifier, record);
    }
    let is_metadata =
        |name: &Identifier| by_name.get(name).is_none_or(|record| is_metadata_format(&record.format_id));
    let identifier = |name| by_name.get(name).map_or(name, |record| &record.identifier);
    let documenting: BTreeSet<&Identifier> = match map {
        Some(map) => documenting(map).into_iter().filter(|name| is_metadata(name)).map(identifier).collect(),
        None => by_name.keys().copied().filter(|name| is_metadata(name)).map(identifier).collect(),
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
