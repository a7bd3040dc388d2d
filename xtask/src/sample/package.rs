//! Describes a sample as a DataONE package, in the places where Metacat puts the documents: science metadata, resource
//! map, and system metadata for every member.

use std::path::Path;

use d1_model::{
    AccessPolicy, AccessRule, Checksum, ChecksumAlgorithm, DateTime, Identifier, PUBLIC_SUBJECT, Permission,
    RESOURCE_MAP_FORMAT_ID, ResourceMapBuilder, SystemMetadata, media_type_for,
};

use super::bag::BAGGING_DATE;
use super::random::Random;
use super::science_metadata::{self, Entity, ORGANIZATION};
use super::write::{WrittenFile, write_bytes};
use crate::error::Result;

/// Who may change the objects: a group that does not exist.
const RIGHTS_HOLDER: &str = "CN=d1oci-sample-data,DC=dataone,DC=org";

/// An object of the package and what its system metadata say.
struct Object<'a> {
    file: &'a WrittenFile,
    identifier: Identifier,
    format_id: &'static str,
    file_name: String,
}

/// Writes the documents and returns them.
pub(super) fn describe(
    bag: &Path,
    identifier: &Identifier,
    seed: u64,
    payload: &[WrittenFile],
) -> Result<Vec<WrittenFile>> {
    let map_identifier: Identifier = format!("resource_map_{identifier}").parse()?;
    let data = data_objects(payload, seed)?;
    let science_metadata = write_science_metadata(bag, identifier, &data)?;
    let resource_map = write_resource_map(bag, identifier, &map_identifier, &data)?;
    let documents = [
        Object {
            file: &science_metadata,
            identifier: identifier.clone(),
            format_id: science_metadata::FORMAT_ID,
            file_name: "science-metadata.xml".to_owned(),
        },
        Object {
            file: &resource_map,
            identifier: map_identifier,
            format_id: RESOURCE_MAP_FORMAT_ID,
            file_name: "oai-ore.xml".to_owned(),
        },
    ];
    let objects = documents.iter().chain(&data);
    let mut written = objects.map(|object| write_system_metadata(bag, object)).collect::<Result<Vec<_>>>()?;
    written.extend([science_metadata.clone(), resource_map.clone()]);
    Ok(written)
}

fn data_objects(payload: &[WrittenFile], seed: u64) -> Result<Vec<Object<'_>>> {
    // Other sequences than those of the contents.
    let identifier = |index| format!("urn:uuid:{}", Random::of_item(!seed, index).uuid()).parse();
    payload
        .iter()
        .zip(0..)
        .map(|(file, index)| {
            let name = file.path.rsplit('/').next().unwrap_or_default();
            Ok(Object {
                file,
                identifier: identifier(index)?,
                format_id: if name.ends_with(".csv") { "text/csv" } else { "application/octet-stream" },
                // A file name in system metadata has no control characters: XML has no place for most of them.
                file_name: name.replace(|character: char| character.is_control(), "_"),
            })
        })
        .collect()
}

fn write_science_metadata(bag: &Path, identifier: &Identifier, data: &[Object<'_>]) -> Result<WrittenFile> {
    let entities: Vec<_> = data
        .iter()
        .map(|object| Entity {
            file: object.file,
            identifier: object.identifier.as_str(),
            file_name: &object.file_name,
            media_type: media_type_for(object.format_id).unwrap_or(object.format_id),
        })
        .collect();
    let title = "Water temperature at several depths of moorings in a bay that does not exist";
    let text = science_metadata::document(identifier.as_str(), title, &entities);
    write_bytes(bag, "metadata/science-metadata.xml", text.as_bytes())
}

fn write_resource_map(
    bag: &Path,
    identifier: &Identifier,
    map_identifier: &Identifier,
    data: &[Object<'_>],
) -> Result<WrittenFile> {
    let mut map = ResourceMapBuilder::new(map_identifier.clone(), ORGANIZATION, date());
    map.member(identifier);
    for object in data {
        // A place that XML cannot hold is left to the file name.
        if object.file.path.contains(char::is_control) {
            map.member(&object.identifier);
        } else {
            map.member_at(&object.identifier, &object.file.path);
        }
        map.documents(identifier, &object.identifier);
    }
    let mut bytes = Vec::new();
    map.build().write_rdf_xml(&mut bytes)?;
    write_bytes(bag, "metadata/oai-ore.xml", &bytes)
}

fn write_system_metadata(bag: &Path, object: &Object<'_>) -> Result<WrittenFile> {
    // As in the network: the web editor declares MD5 for data, other tools SHA-256.
    let checksum = if object.file.path.starts_with("data/") {
        Checksum::new(ChecksumAlgorithm::Md5, &object.file.md5)
    } else {
        Checksum::new(ChecksumAlgorithm::Sha256, &object.file.sha256)
    };
    let (identifier, size) = (object.identifier.clone(), object.file.size);
    let mut document = SystemMetadata::new(identifier, object.format_id, size, checksum, RIGHTS_HOLDER);
    document.serial_version = Some(1);
    document.submitter = Some(RIGHTS_HOLDER.to_owned());
    document.access_policy = Some(AccessPolicy {
        rules: vec![AccessRule {
            subjects: vec![PUBLIC_SUBJECT.to_owned()],
            permissions: vec![Permission::Read],
        }],
    });
    document.date_uploaded = Some(date());
    document.date_modified = Some(date());
    document.origin_member_node = Some("urn:node:SAMPLE".to_owned());
    document.authoritative_member_node = Some("urn:node:SAMPLE".to_owned());
    document.file_name = Some(object.file_name.clone());
    write_bytes(bag, &system_metadata_path(object.identifier.as_str()), &document.to_xml()?)
}

fn date() -> DateTime {
    DateTime::from_text(format!("{BAGGING_DATE}T12:00:00.000+00:00"))
}

/// Returns where Metacat puts the system metadata of an object in a bag.
fn system_metadata_path(identifier: &str) -> String {
    format!("metadata/sysmeta/sysmeta-{}.xml", sanitise(identifier))
}

/// Replaces every character that Metacat replaces in the names of files.
pub(super) fn sanitise(text: &str) -> String {
    text.replace(|character: char| !(character.is_ascii_alphanumeric() || "-.".contains(character)), "_")
}
