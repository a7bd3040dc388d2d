//! Putting together what the documents say of the files.

use std::collections::{HashMap, HashSet};

use d1_model::{Identifier, RESOURCE_MAP_FORMAT_ID};

use super::assign::Assignment;
use super::explain::explain_the_rest;
use super::fixity::system_metadata_mismatches;
use super::package_identity::{main_map, package_identifier};
use super::{DataOneFacts, Documents, ObjectRecord, ResourceMapRecord};
use crate::oddity::OddityList;
use crate::{ObjectFacts, PackageFiles, PackageOddityCode};

/// Matches the documents with the files.
pub(super) fn recognise(documents: &Documents, files: &PackageFiles) -> DataOneFacts {
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
    let identifier = package_identifier(map.map(|record| &record.map), resource_map.as_ref(), records);
    let record = records.iter().find(|record| Some(&record.identifier) == identifier.as_ref());

    let mut objects = described_objects(&assignment);
    add_maps(&mut objects, &assignment, &documents.resource_maps, &identifiers);
    add_located_members(&mut objects, documents, files, &mut oddities);
    DataOneFacts {
        series_id: record.and_then(|record| record.series_id.clone()),
        obsoletes: record.and_then(|record| record.obsoletes.clone()),
        obsoleted_by: record.and_then(|record| record.obsoleted_by.clone()),
        archived: record.is_some_and(|record| record.archived),
        title: map.and_then(|record| record.map.title()).map(str::to_owned),
        identifier,
        resource_map,
        not_public: not_public(&assignment),
        objects: sorted(objects),
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

/// Tells for each record whether one before it describes the same identifier.
fn note_repeats(records: &[ObjectRecord], oddities: &mut OddityList) -> Vec<bool> {
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

/// Returns for each record the file at the place that a resource map gives its object.
fn locations(documents: &Documents, files: &PackageFiles) -> Vec<Option<usize>> {
    let members = documents.resource_maps.iter().flat_map(|record| record.map.members());
    let located: HashMap<&Identifier, usize> = members
        .filter_map(|member| Some((member.identifier(), file_at(member.at_location()?, files)?)))
        .collect();
    documents.system_metadata.iter().map(|record| located.get(&record.identifier).copied()).collect()
}

/// Finds the file at a location, which is relative to the payload directory or to the package's.
fn file_at(location: &str, files: &PackageFiles) -> Option<usize> {
    let location = location.trim_start_matches("./").trim_start_matches('/');
    files.position(location).or_else(|| files.position(&format!("data/{location}")))
}

/// Matches a resource map whose bytes are not those that its system metadata describe by the identifier that it
/// gives itself.
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
            let message = format!("it has not the checksum that `{}` declares of it", described.path);
            oddities.add(PackageOddityCode::ResourceMapRewritten, &record.path, message);
            assignment.assign(number, file);
        }
    }
}

/// Returns the identifiers of the resource maps: what their system metadata say, else what they say themselves.
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

fn described_objects(assignment: &Assignment<'_>) -> HashMap<usize, ObjectFacts> {
    let described = assignment.file_of.iter().zip(assignment.records);
    described
        .filter_map(|(file, record)| {
            let file = (*file)?;
            let bytes = assignment.files.file(file)?;
            let is_right = system_metadata_mismatches(record.size, &record.checksum, &bytes).is_empty();
            let facts = ObjectFacts {
                identifier: Some(record.identifier.clone()),
                format_id: Some(record.format_id.clone()).filter(|format_id| !format_id.is_empty()),
                media_type: None,
                declared_checksum: is_right.then(|| record.checksum.clone()),
                system_metadata: Some(record.path.clone()),
            };
            Some((file, facts))
        })
        .collect()
}

/// Adds resource maps that no system metadata describe.
fn add_maps(
    objects: &mut HashMap<usize, ObjectFacts>,
    assignment: &Assignment<'_>,
    maps: &[ResourceMapRecord],
    identifiers: &[Option<Identifier>],
) {
    for (map, identifier) in maps.iter().zip(identifiers) {
        let Some(file) = assignment.files.position(&map.path) else { continue };
        objects.entry(file).or_insert_with(|| ObjectFacts {
            identifier: identifier.clone(),
            format_id: Some(RESOURCE_MAP_FORMAT_ID.into()),
            ..ObjectFacts::default()
        });
    }
}

/// Adds members of resource maps that no system metadata describe, where the map says where they are.
fn add_located_members(
    objects: &mut HashMap<usize, ObjectFacts>,
    documents: &Documents,
    files: &PackageFiles,
    oddities: &mut OddityList,
) {
    let described: HashSet<&Identifier> =
        documents.system_metadata.iter().map(|record| &record.identifier).collect();
    let known: HashSet<Identifier> = objects.values().filter_map(|facts| facts.identifier.clone()).collect();
    for record in &documents.resource_maps {
        let members = record.map.members().iter().map(|member| (member.identifier(), member.at_location()));
        for (identifier, location) in members {
            if described.contains(identifier) || known.contains(identifier) {
                continue;
            }
            let file = location.and_then(|location| file_at(location, files));
            match file.filter(|file| !objects.contains_key(file)) {
                Some(file) => {
                    let facts =
                        ObjectFacts { identifier: Some(identifier.clone()), ..ObjectFacts::default() };
                    objects.insert(file, facts);
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

fn sorted(objects: HashMap<usize, ObjectFacts>) -> Vec<(usize, ObjectFacts)> {
    let mut objects: Vec<_> = objects.into_iter().collect();
    objects.sort_by_key(|(position, _)| *position);
    objects
}
