//! FGDC's Content Standard for Digital Geospatial Metadata, which old DataONE content often has.

use crate::content::{Attribute, Entity, MetadataFormat, Party, Period, ScienceMetadata, Taxon};
use crate::place::bounding_box;
use crate::tree::Node;

/// Reads a document whose root is `metadata` with `idinfo`.
pub(crate) fn read(root: &Node) -> ScienceMetadata {
    let Some(information) = root.at(&["idinfo"]) else { return ScienceMetadata::default() };
    let citation = information.at(&["citation", "citeinfo"]);
    let cited = |name: &str| citation.and_then(|citation| citation.text_at(&[name]));
    let origins = citation.into_iter().flat_map(|citation| citation.all("origin")).filter_map(Node::text);
    let mut metadata = ScienceMetadata {
        format: MetadataFormat::Fgdc,
        title: cited("title"),
        creators: origins.map(|name| Party { name, ..Party::default() }).collect(),
        publisher: citation.and_then(|citation| citation.text_at(&["pubinfo", "publish"])),
        published: cited("pubdate").map(|date| dashed(&date)),
        r#abstract: information.text_at(&["descript", "abstract"]),
        license: information.text_at(&["useconst"]),
        ..ScienceMetadata::default()
    };
    for kind in ["theme", "place", "temporal", "stratum"] {
        let names = format!("{kind}key");
        let keywords = information.at(&["keywords"]).into_iter().flat_map(|keywords| keywords.all(kind));
        for text in keywords.flat_map(|set| set.all(&names)).filter_map(Node::text) {
            metadata.keywords.push(text);
        }
    }
    if let Some(bounds) = information.at(&["spdom", "bounding"]) {
        let corners = ["westbc", "southbc", "eastbc", "northbc"].map(|name| bounds.text_at(&[name]));
        metadata.boxes.extend(bounding_box(corners, information.text_at(&["spdom", "descgeog"])));
    }
    for time in information.at(&["timeperd", "timeinfo"]).into_iter().flat_map(Node::elements) {
        for node in std::iter::once(time).chain(time.elements()) {
            let date = |name: &str| node.text_at(&[name]).map(|date| dashed(&date));
            let (begin, end) = match date("caldate") {
                Some(day) => (Some(day.clone()), Some(day)),
                None => (date("begdate"), date("enddate")),
            };
            if begin.is_some() || end.is_some() {
                metadata.periods.push(Period { begin, end });
            }
        }
    }
    for taxon in information.below("taxoncl") {
        let Some(name) = taxon.text_at(&["taxonrv"]) else { continue };
        let (rank, common_name) = (taxon.text_at(&["taxonrn"]), taxon.text_at(&["common"]));
        metadata.taxa.push(Taxon { rank, name, common_name });
    }
    for detailed in root.at(&["eainfo"]).into_iter().flat_map(|information| information.all("detailed")) {
        let attributes = detailed.all("attr").map(|node| Attribute {
            name: node.text_at(&["attrlabl"]).unwrap_or_default(),
            definition: node.text_at(&["attrdef"]),
            unit: node.text_at(&["attrdomv", "rdom", "attrunit"]),
            minimum: node.text_at(&["attrdomv", "rdom", "rdommin"]),
            maximum: node.text_at(&["attrdomv", "rdom", "rdommax"]),
            ..Attribute::default()
        });
        metadata.entities.push(Entity {
            kind: "detailed".to_owned(),
            name: detailed.text_at(&["enttyp", "enttypl"]),
            description: detailed.text_at(&["enttyp", "enttypd"]),
            attributes: attributes.collect(),
            ..Entity::default()
        });
    }
    metadata
}

/// Writes `20240131` as `2024-01-31`.
fn dashed(date: &str) -> String {
    let is_number = date.bytes().all(|byte| byte.is_ascii_digit());
    match (is_number, date.len()) {
        (true, 8) => format!("{}-{}-{}", &date[..4], &date[4..6], &date[6..]),
        (true, 6) => format!("{}-{}", &date[..4], &date[4..]),
        _ => date.to_owned(),
    }
}
