//! ISO 19115 in the forms 19139 (`gmd`) and 19115-3 (`mdb`). Elements are recognised by their local names, which both share.

use crate::content::{Attribute, Entity, MetadataFormat, Party, Period, ScienceMetadata, Taxon, orcid_in};
use crate::eml::creative_commons_in;
use crate::place::bounding_box;
use crate::tree::Node;

/// Roles of a responsible party that make it a creator.
const CREATOR_ROLES: [&str; 6] =
    ["author", "coAuthor", "originator", "owner", "principalInvestigator", "resourceProvider"];

/// Reads a document whose root is `MD_Metadata` or `MI_Metadata`.
pub(crate) fn read(root: &Node) -> ScienceMetadata {
    let mut metadata = ScienceMetadata {
        format: MetadataFormat::Iso19115,
        package_id: root
            .text_at(&["fileIdentifier"])
            .or_else(|| root.text_at(&["metadataIdentifier", "MD_Identifier", "code"])),
        language: root.at(&["language"]).and_then(code_or_text),
        ..ScienceMetadata::default()
    };
    let identification = root.at(&["identificationInfo"]).and_then(|info| info.elements().next());
    let Some(identification) = identification else { return metadata };
    let citation = identification.at(&["citation", "CI_Citation"]);
    metadata.title = citation.and_then(|citation| citation.text_at(&["title"]));
    metadata.other_titles = citation
        .into_iter()
        .flat_map(|citation| citation.all("alternateTitle"))
        .filter_map(Node::text)
        .collect();
    metadata.published = citation.and_then(published);
    metadata.r#abstract = identification.text_at(&["abstract"]);
    add_parties(citation, identification, &mut metadata);
    for keywords in identification.below("MD_Keywords") {
        let is_taxon = keywords.at(&["type"]).and_then(code_or_text).as_deref() == Some("taxon");
        for text in keywords.all("keyword").filter_map(Node::text) {
            if is_taxon {
                metadata.taxa.push(Taxon { rank: None, name: text.clone(), common_name: None });
            }
            if metadata.keywords.len() < MOST_KEYWORDS && !metadata.keywords.contains(&text) {
                metadata.keywords.push(text);
            }
        }
    }
    for topic in identification.all("topicCategory").filter_map(Node::text) {
        metadata.keywords.push(topic);
    }
    add_extent(identification, &mut metadata);
    add_constraints(identification, &mut metadata);
    let lineage = root.below("LI_Lineage");
    metadata.methods = lineage.first().and_then(|lineage| lineage.text_at(&["statement"]));
    metadata.entities = coverages(root);
    metadata
}

/// How many keywords are kept.
const MOST_KEYWORDS: usize = 1000;

/// Returns the value of a code list, or the text of the element.
fn code_or_text(node: &Node) -> Option<String> {
    let code = node.elements().find_map(|child| child.attribute("codeListValue").map(str::to_owned));
    code.or_else(|| node.text())
}

fn published(citation: &Node) -> Option<String> {
    let dates: Vec<(Option<String>, String)> = citation
        .all("date")
        .filter_map(|date| date.at(&["CI_Date"]))
        .filter_map(|date| Some((date.at(&["dateType"]).and_then(code_or_text), date.text_at(&["date"])?)))
        .collect();
    let of = |kind: &str| {
        dates.iter().find(|(found, _)| found.as_deref() == Some(kind)).map(|(_, date)| date.clone())
    };
    of("publication")
        .or_else(|| of("revision"))
        .or_else(|| of("creation"))
        .or_else(|| dates.first().map(|(_, date)| date.clone()))
}

fn add_parties(citation: Option<&Node>, identification: &Node, metadata: &mut ScienceMetadata) {
    let cited = citation.into_iter().flat_map(|citation| citation.all("citedResponsibleParty"));
    let contacts = identification.all("pointOfContact");
    let mut fallback = None;
    for node in cited.chain(contacts).filter_map(|node| node.elements().next()) {
        let role = node.at(&["role"]).and_then(code_or_text).unwrap_or_default();
        let Some(party) = party(node) else { continue };
        if role == "publisher" {
            metadata.publisher.get_or_insert(party.name);
        } else if CREATOR_ROLES.contains(&role.as_str()) {
            let is_new = metadata.creators.iter().take(MOST_KEYWORDS).all(|known| known.name != party.name);
            if is_new {
                metadata.creators.push(party);
            }
        } else {
            fallback.get_or_insert(party);
        }
    }
    if metadata.creators.is_empty() {
        metadata.creators.extend(fallback);
    }
}

/// Reads `CI_ResponsibleParty` of 19139, or `CI_Responsibility` of 19115-3.
fn party(node: &Node) -> Option<Party> {
    let individual = node.text_at(&["individualName"]).or_else(|| {
        let individuals = node.below("CI_Individual");
        individuals.first().and_then(|individual| individual.text_at(&["name"]))
    });
    let organization = node.text_at(&["organisationName"]).or_else(|| {
        let organizations = node.below("CI_Organisation");
        organizations.first().and_then(|organization| organization.text_at(&["name"]))
    });
    let name = individual.or_else(|| organization.clone()).or_else(|| node.text_at(&["positionName"]))?;
    let mut links = Vec::new();
    for element in ["Anchor", "linkage", "code"] {
        links.extend(node.below(element));
    }
    let orcid = links.iter().find_map(|link| {
        link.attribute("href").and_then(orcid_in).or_else(|| link.text().and_then(|text| orcid_in(&text)))
    });
    let email = node.below("electronicMailAddress").first().and_then(|address| address.text());
    Some(Party { name, given: None, family: None, organization, orcid, email })
}

fn add_extent(identification: &Node, metadata: &mut ScienceMetadata) {
    for extent in identification.below("EX_Extent") {
        let description = extent.text_at(&["description"]);
        let boxes = extent.below("EX_GeographicBoundingBox");
        if boxes.is_empty() {
            metadata.places.extend(description.clone());
        }
        for bounds in boxes {
            let side = |name: &str| bounds.text_at(&[name]);
            let corners = [
                side("westBoundLongitude"),
                side("southBoundLatitude"),
                side("eastBoundLongitude"),
                side("northBoundLatitude"),
            ];
            metadata.boxes.extend(bounding_box(corners, description.clone()));
        }
        for period in extent.below("TimePeriod") {
            let date = |names: [&str; 2]| names.iter().find_map(|name| instant(period, name));
            let (begin, end) = (date(["beginPosition", "begin"]), date(["endPosition", "end"]));
            if begin.is_some() || end.is_some() {
                metadata.periods.push(Period { begin, end });
            }
        }
        for instant in extent.below("TimeInstant") {
            let date = instant.text_at(&["timePosition"]);
            let is_inside =
                metadata.periods.iter().rev().take(2).any(|known| known.begin == date || known.end == date);
            if date.is_some() && !is_inside {
                metadata.periods.push(Period { begin: date.clone(), end: date });
            }
        }
    }
}

/// Returns the date of one end of a period. An end that is `now` or unknown has none.
fn instant(period: &Node, name: &str) -> Option<String> {
    let node = period.at(&[name])?;
    node.text_at(&["TimeInstant", "timePosition"]).or_else(|| node.text())
}

fn add_constraints(identification: &Node, metadata: &mut ScienceMetadata) {
    let mut texts = Vec::new();
    for constraints in identification.all("resourceConstraints").filter_map(|node| node.elements().next()) {
        for name in ["otherConstraints", "useLimitation"] {
            for node in constraints.all(name) {
                let link = node
                    .below("Anchor")
                    .first()
                    .and_then(|anchor| anchor.attribute("href").map(str::to_owned));
                metadata.license_url = metadata.license_url.take().or(link);
                texts.extend(node.text());
            }
        }
    }
    let address = || texts.iter().find_map(|text| creative_commons_in(text));
    metadata.license_url = metadata.license_url.take().or_else(address);
    metadata.license = (!texts.is_empty()).then(|| texts.join("\n\n"));
}

/// Returns the variables of gridded data as one entity.
fn coverages(root: &Node) -> Vec<Entity> {
    let mut bands = root.below("MD_Band");
    bands.extend(root.below("MI_Band"));
    bands.extend(root.below("MD_SampleDimension"));
    let attributes: Vec<Attribute> = bands
        .into_iter()
        .filter_map(|band| {
            let name = band.below("MemberName").first().and_then(|member| member.text_at(&["aName"]));
            let definition = band.text_at(&["descriptor"]).or_else(|| band.text_at(&["description"]));
            let unit = band.at(&["units"]).and_then(|units| {
                units
                    .attribute("href")
                    .and_then(|link| link.rsplit('=').next())
                    .map(str::to_owned)
                    .or_else(|| units.text())
            });
            Some(Attribute {
                name: name.or_else(|| definition.clone())?,
                definition,
                unit,
                ..Attribute::default()
            })
        })
        .collect();
    if attributes.is_empty() {
        return Vec::new();
    }
    vec![Entity { kind: "coverage".to_owned(), attributes, ..Entity::default() }]
}
