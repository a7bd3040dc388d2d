//! Describes a sample in EML 2.2.0, the Ecological Metadata Language.

use super::bag::BAGGING_DATE;
use super::write::WrittenFile;

/// The format identifier of the document.
pub(super) const FORMAT_ID: &str = "https://eml.ecoinformatics.org/eml-2.2.0";

/// Who made the sample.
pub(super) const ORGANIZATION: &str = "d1oci sample data";

/// One described file.
pub(super) struct Entity<'a> {
    pub(super) file: &'a WrittenFile,
    pub(super) identifier: &'a str,
    pub(super) file_name: &'a str,
    pub(super) media_type: &'a str,
}

/// Returns the document.
pub(super) fn document(identifier: &str, title: &str, entities: &[Entity<'_>]) -> String {
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

/// Describes a table with its attributes, and anything else by its name and type.
fn entity(entity: &Entity<'_>) -> String {
    let name = escape(entity.file_name);
    let physical = physical(entity);
    if entity.media_type == "text/csv" {
        format!(
            "    <dataTable>\n      <entityName>{name}</entityName>\n{physical}{ATTRIBUTE_LIST}    </dataTable>\n"
        )
    } else {
        let media_type = escape(entity.media_type);
        format!(
            "    <otherEntity>\n      <entityName>{name}</entityName>\n{physical}      \
             <entityType>{media_type}</entityType>\n    </otherEntity>\n"
        )
    }
}

fn physical(entity: &Entity<'_>) -> String {
    let (size, digest) = (entity.file.size, &entity.file.sha256);
    let name = escape(entity.file_name);
    let url = format!("https://cn.dataone.org/cn/v2/resolve/{}", escape(entity.identifier));
    let format = if entity.media_type == "text/csv" {
        "<textFormat><numHeaderLines>1</numHeaderLines><recordDelimiter>\\n</recordDelimiter>\
         <attributeOrientation>column</attributeOrientation><simpleDelimited><fieldDelimiter>,</fieldDelimiter>\
         </simpleDelimited></textFormat>"
            .to_owned()
    } else {
        let media_type = escape(entity.media_type);
        format!("<externallyDefinedFormat><formatName>{media_type}</formatName></externallyDefinedFormat>")
    };
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

/// Escapes what XML gives a meaning, and replaces what it cannot hold.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\u{0}'..='\u{1f}' => escaped.push('_'),
            other => escaped.push(other),
        }
    }
    escaped
}
