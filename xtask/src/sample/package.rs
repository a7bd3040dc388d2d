//! Describes a sample as a DataONE package, in the places where Metacat puts the documents: science metadata, resource
//! map, and system metadata for every member.

use std::path::Path;

use d1_model::{
    AccessPolicy, AccessRule, Checksum, ChecksumAlgorithm, DateTime, Identifier, PUBLIC_SUBJECT, Permission,
    RESOURCE_MAP_FORMAT_ID, ResourceMapBuilder, SystemMetadata,
};

use super::bag::{BAGGING_DATE, WrittenFile, write_bytes};
use super::random::Random;
use crate::error::Result;

/// The rights holder of all objects: a group that does not exist.
const RIGHTS_HOLDER: &str = "CN=d1oci-sample-data,DC=dataone,DC=org";

/// An object of the package, with the facts in its system metadata.
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
            format_id: EML_FORMAT_ID,
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
                format_id: "text/csv",
                file_name: name.to_owned(),
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
        })
        .collect();
    let title = "Water temperature at several depths of moorings in a bay that does not exist";
    let text = eml_document(identifier.as_str(), title, &entities);
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
        map.member_at(&object.identifier, &object.file.path);
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

/// The format identifier of the document.
const EML_FORMAT_ID: &str = "https://eml.ecoinformatics.org/eml-2.2.0";

/// Who made the sample.
const ORGANIZATION: &str = "d1oci sample data";

/// One described file.
struct Entity<'a> {
    file: &'a WrittenFile,
    identifier: &'a str,
    file_name: &'a str,
}

/// Returns the document.
fn eml_document(identifier: &str, title: &str, entities: &[Entity<'_>]) -> String {
    let package = escape(identifier);
    let title = escape(title);
    let head = format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<eml:eml xmlns:eml="https://eml.ecoinformatics.org/eml-2.2.0" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" packageId="{package}" system="https://doi.org" xsi:schemaLocation="https://eml.ecoinformatics.org/eml-2.2.0 https://eml.ecoinformatics.org/eml-2.2.0/eml.xsd">
  <dataset>
    <title>{title}</title>
    <creator><organizationName>{ORGANIZATION}</organizationName></creator>
    <pubDate>{BAGGING_DATE}</pubDate>
    <language>eng</language>
    <abstract><para>Computed numbers in the shape of a mooring data set: water temperature at several depths of several moorings. Nothing here was measured.</para></abstract>
    <keywordSet><keyword>water temperature</keyword><keyword>mooring</keyword><keyword>sample data</keyword></keywordSet>
    <intellectualRights><para>Public domain, CC0 1.0.</para></intellectualRights>
    <coverage>
      <geographicCoverage>
        <geographicDescription>A bay that does not exist</geographicDescription>
        <boundingCoordinates>
          <westBoundingCoordinate>-70.5</westBoundingCoordinate>
          <eastBoundingCoordinate>-70.0</eastBoundingCoordinate>
          <northBoundingCoordinate>42.1</northBoundingCoordinate>
          <southBoundingCoordinate>41.7</southBoundingCoordinate>
        </boundingCoordinates>
      </geographicCoverage>
    </coverage>
    <contact><organizationName>{ORGANIZATION}</organizationName></contact>
"#
    );
    let entities: String = entities.iter().map(entity).collect();
    format!("{head}{entities}  </dataset>\n</eml:eml>\n")
}

/// Describes a table with its attributes.
fn entity(entity: &Entity<'_>) -> String {
    let name = escape(entity.file_name);
    let physical = physical(entity);
    format!(
        "    <dataTable>\n      <entityName>{name}</entityName>\n{physical}{ATTRIBUTE_LIST}    </dataTable>\n"
    )
}

fn physical(entity: &Entity<'_>) -> String {
    let (size, digest) = (entity.file.size, &entity.file.sha256);
    let name = escape(entity.file_name);
    let url = format!("https://cn.dataone.org/cn/v2/resolve/{}", escape(entity.identifier));
    let format = "<textFormat><numHeaderLines>1</numHeaderLines><recordDelimiter>\\n</recordDelimiter>\
                  <attributeOrientation>column</attributeOrientation><simpleDelimited><fieldDelimiter>,\
                  </fieldDelimiter></simpleDelimited></textFormat>";
    format!(
        "      <physical>\n        <objectName>{name}</objectName>\n        <size unit=\"byte\">{size}</size>\n        \
         <authentication method=\"SHA-256\">{digest}</authentication>\n        <dataFormat>{format}</dataFormat>\n        \
         <distribution><online><url function=\"download\">{url}</url></online></distribution>\n      </physical>\n"
    )
}

const ATTRIBUTE_LIST: &str = "      <attributeList>
        <attribute>
          <attributeName>datetime_utc</attributeName>
          <attributeDefinition>Time of the measurement, in Coordinated Universal Time</attributeDefinition>
          <measurementScale><dateTime><formatString>YYYY-MM-DD hh:mm:ss</formatString></dateTime></measurementScale>
        </attribute>
        <attribute>
          <attributeName>temperature_c</attributeName>
          <attributeDefinition>Temperature of the water at the depth of the instrument</attributeDefinition>
          <measurementScale><interval><unit><standardUnit>celsius</standardUnit></unit><precision>0.02</precision><numericDomain><numberType>real</numberType></numericDomain></interval></measurementScale>
        </attribute>
      </attributeList>
";

/// Escapes the characters that have a meaning in XML.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}
