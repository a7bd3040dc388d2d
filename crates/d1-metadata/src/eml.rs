//! Ecological Metadata Language, versions 2.0.0 to 2.2.0. Elements are recognised by their local names.

use std::cell::Cell;

use crate::content::{
    Attribute, Award, BoundingBox, Code, CsvDialect, Entity, MetadataFormat, Party, Period, ScienceMetadata,
    Taxon, orcid_in,
};
use crate::place::{around, bounding_box, coordinate};
use crate::tree::Node;

/// The kinds of data sets and other resources that a document can describe.
const RESOURCES: [&str; 4] = ["dataset", "citation", "software", "protocol"];

/// Elements that describe data.
const ENTITIES: [&str; 6] =
    ["dataTable", "otherEntity", "spatialRaster", "spatialVector", "view", "storedProcedure"];

/// How many references within one document are followed. Each costs a search.
const MOST_REFERENCES: u32 = 500;

/// How many points of one polygon are read.
const MOST_POINTS: usize = 10_000;

/// Reads a document whose root is `eml`.
pub(crate) fn read(root: &Node) -> ScienceMetadata {
    let mut metadata = ScienceMetadata {
        format: MetadataFormat::Eml,
        package_id: root.attribute("packageId").map(str::to_owned),
        ..ScienceMetadata::default()
    };
    let Some(resource) = RESOURCES.iter().find_map(|name| root.at(&[name])) else { return metadata };
    let document = Document { root, references: Cell::new(MOST_REFERENCES) };
    let mut titles = resource.all("title").flat_map(title_texts);
    metadata.title = titles.next();
    metadata.other_titles = titles.collect();
    metadata.creators = resource.all("creator").filter_map(|party| document.party(party)).collect();
    metadata.publisher =
        resource.at(&["publisher"]).and_then(|party| document.party(party)).map(|party| party.name);
    metadata.published = resource.text_at(&["pubDate"]);
    metadata.r#abstract = resource.at(&["abstract"]).and_then(Node::prose);
    let steps = resource.all("methods").flat_map(|methods| methods.all("methodStep"));
    let steps: Vec<String> = steps.filter_map(|step| step.at(&["description"])?.prose()).collect();
    metadata.methods = (!steps.is_empty()).then(|| steps.join("\n\n"));
    for keyword in resource.all("keywordSet").flat_map(|set| set.all("keyword")).filter_map(Node::text) {
        if !metadata.keywords.contains(&keyword) && metadata.keywords.len() < MOST_KEYWORDS {
            metadata.keywords.push(keyword);
        }
    }
    metadata.language = resource.text_at(&["language"]);
    add_license(resource, &mut metadata);
    metadata.funding = awards(resource);
    for coverage in resource.all("coverage") {
        document.add_coverage(document.resolved(coverage), &mut metadata);
    }
    for node in resource.elements().filter(|node| ENTITIES.contains(&&*node.name)) {
        metadata.entities.push(document.entity(node));
    }
    metadata
}

/// How many keywords are kept.
const MOST_KEYWORDS: usize = 1000;

/// The titles of an element `title`: its own text, or one for each language.
fn title_texts(title: &Node) -> Vec<String> {
    let translations: Vec<String> = title.all("value").filter_map(Node::text).collect();
    if translations.is_empty() {
        return title.text().into_iter().collect();
    }
    let all = title.text().unwrap_or_default();
    let own = translations.iter().fold(all, |text, translation| text.replacen(translation, "", 1));
    let own = own.trim();
    (!own.is_empty()).then(|| own.to_owned()).into_iter().chain(translations).collect()
}

fn add_license(resource: &Node, metadata: &mut ScienceMetadata) {
    if let Some(licensed) = resource.at(&["licensed"]) {
        metadata.license = licensed.text_at(&["licenseName"]).or_else(|| licensed.text_at(&["identifier"]));
        metadata.license_url = licensed.text_at(&["url"]);
    }
    let Some(rights) = resource.at(&["intellectualRights"]) else { return };
    let text = rights.prose();
    if metadata.license_url.is_none() {
        metadata.license_url = text.as_deref().and_then(creative_commons_in).or_else(|| {
            rights.below("ulink").iter().find_map(|link| link.attribute("url").and_then(creative_commons_in))
        });
    }
    metadata.license = metadata.license.take().or(text);
}

/// Returns the address of a Creative Commons licence in a text.
pub(crate) fn creative_commons_in(text: &str) -> Option<String> {
    let start = text.find("creativecommons.org/")?;
    let rest = text.get(start..)?;
    let end = rest.find(|character: char| character.is_whitespace() || "\"'<>()[],;".contains(character));
    let address = rest.get(..end.unwrap_or(rest.len()))?.trim_end_matches(['.', ')']);
    Some(format!("https://{address}"))
}

fn awards(resource: &Node) -> Vec<Award> {
    let Some(project) = resource.at(&["project"]) else { return Vec::new() };
    let mut awards: Vec<Award> = project
        .all("award")
        .map(|award| Award {
            funder: award.text_at(&["funderName"]),
            number: award.text_at(&["awardNumber"]),
            title: award.text_at(&["title"]),
            url: award.text_at(&["awardUrl"]),
        })
        .collect();
    if awards.is_empty() {
        let text = project.at(&["funding"]).and_then(Node::text);
        awards.extend(text.map(|title| Award { title: Some(title), ..Award::default() }));
    }
    awards
}

struct Document<'a> {
    root: &'a Node,
    references: Cell<u32>,
}

impl<'a> Document<'a> {
    /// Returns the element that another one refers to, or the element itself.
    fn resolved(&self, node: &'a Node) -> &'a Node {
        let Some(id) = node.text_at(&["references"]) else { return node };
        let left = self.references.get();
        if left == 0 {
            return node;
        }
        self.references.set(left - 1);
        self.root.by_id(&id).unwrap_or(node)
    }

    fn party(&self, node: &'a Node) -> Option<Party> {
        let node = self.resolved(node);
        let person = node.at(&["individualName"]);
        let words = |name: &str| {
            let texts: Vec<_> =
                person.into_iter().flat_map(|person| person.all(name)).filter_map(Node::text).collect();
            (!texts.is_empty()).then(|| texts.join(" "))
        };
        let (given, family) = (words("givenName"), words("surName"));
        let organization = node.text_at(&["organizationName"]);
        let full: Vec<&str> = [&given, &family].into_iter().filter_map(Option::as_deref).collect();
        let name = (!full.is_empty()).then(|| full.join(" "));
        let name = name.or_else(|| organization.clone()).or_else(|| node.text_at(&["positionName"]))?;
        let orcid = node.all("userId").filter_map(Node::text).find_map(|text| orcid_in(&text));
        let email = node.text_at(&["electronicMailAddress"]);
        Some(Party { name, given, family, organization, orcid, email })
    }

    fn add_coverage(&self, coverage: &'a Node, metadata: &mut ScienceMetadata) {
        for place in coverage.all("geographicCoverage").map(|place| self.resolved(place)) {
            let description = place.text_at(&["geographicDescription"]);
            match box_of(place, description.clone()) {
                Some(found) => metadata.boxes.push(found),
                None => metadata.places.extend(description),
            }
        }
        for time in coverage.all("temporalCoverage").map(|time| self.resolved(time)) {
            for range in time.all("rangeOfDates") {
                let date = |name| range.text_at(&[name, "calendarDate"]);
                let (begin, end) = (date("beginDate"), date("endDate"));
                if begin.is_some() || end.is_some() {
                    metadata.periods.push(Period { begin, end });
                }
            }
            for date in time.all("singleDateTime").filter_map(|single| single.text_at(&["calendarDate"])) {
                metadata.periods.push(Period { begin: Some(date.clone()), end: Some(date) });
            }
        }
        for taxa in coverage.all("taxonomicCoverage").map(|taxa| self.resolved(taxa)) {
            for taxon in taxa.below("taxonomicClassification") {
                let Some(name) = taxon.text_at(&["taxonRankValue"]) else { continue };
                let (rank, common_name) = (taxon.text_at(&["taxonRankName"]), taxon.text_at(&["commonName"]));
                let taxon = Taxon { rank, name, common_name };
                if metadata.taxa.last() != Some(&taxon) {
                    metadata.taxa.push(taxon);
                }
            }
        }
    }

    fn entity(&self, node: &'a Node) -> Entity {
        let node = self.resolved(node);
        let physical = node.at(&["physical"]).map(|physical| self.resolved(physical));
        let of_physical = |path: &[&str]| physical.and_then(|physical| physical.text_at(path));
        let checksum = physical.and_then(|physical| {
            let authentication = physical.at(&["authentication"])?;
            let method = authentication.attribute("method").unwrap_or("MD5");
            Some((method.to_owned(), authentication.text()?))
        });
        let format = physical.and_then(|physical| physical.at(&["dataFormat"])).and_then(|format| {
            let named = format.text_at(&["externallyDefinedFormat", "formatName"]);
            named.or_else(|| format.at(&["textFormat"]).map(|_| "text".to_owned()))
        });
        let list = node.at(&["attributeList"]).map(|list| self.resolved(list));
        Entity {
            kind: node.name.to_string(),
            id: node.attribute("id").map(str::to_owned),
            name: node.text_at(&["entityName"]),
            description: node.at(&["entityDescription"]).and_then(Node::prose),
            object_name: of_physical(&["objectName"]),
            size: of_physical(&["size"]).and_then(|size| size.parse().ok()),
            checksum,
            url: of_physical(&["distribution", "online", "url"]),
            format,
            records: node.text_at(&["numberOfRecords"]).and_then(|count| count.parse().ok()),
            csv: physical.and_then(csv),
            attributes: list
                .into_iter()
                .flat_map(|list| list.all("attribute"))
                .map(|attribute| self.attribute(attribute))
                .collect(),
        }
    }

    fn attribute(&self, node: &'a Node) -> Attribute {
        let node = self.resolved(node);
        let measurement = node.at(&["measurementScale"]);
        let scale = measurement.and_then(|measurement| measurement.elements().next());
        let of_scale = |path: &[&str]| scale.and_then(|scale| scale.text_at(path));
        let unit = of_scale(&["unit", "standardUnit"]).or_else(|| of_scale(&["unit", "customUnit"]));
        let codes = scale.map(|scale| scale.below("codeDefinition")).unwrap_or_default();
        let bound = |name| of_scale(&["numericDomain", "bounds", name]);
        Attribute {
            name: node.text_at(&["attributeName"]).unwrap_or_default(),
            label: node.text_at(&["attributeLabel"]),
            definition: node.text_at(&["attributeDefinition"]),
            storage_type: node.text_at(&["storageType"]),
            scale: scale.map(|scale| scale.name.replace("datetime", "dateTime")),
            unit,
            number_type: of_scale(&["numericDomain", "numberType"]),
            minimum: bound("minimum"),
            maximum: bound("maximum"),
            date_format: of_scale(&["formatString"]),
            codes: codes
                .into_iter()
                .filter_map(|code| {
                    let definition = code.text_at(&["definition"]).unwrap_or_default();
                    Some(Code { code: code.text_at(&["code"])?, definition })
                })
                .collect(),
            missing: node.all("missingValueCode").filter_map(|code| code.text_at(&["code"])).collect(),
        }
    }
}

fn box_of(place: &Node, description: Option<String>) -> Option<BoundingBox> {
    if let Some(bounds) = place.at(&["boundingCoordinates"]) {
        let side = |name: &str| bounds.text_at(&[name]);
        let corners = [
            side("westBoundingCoordinate"),
            side("southBoundingCoordinate"),
            side("eastBoundingCoordinate"),
            side("northBoundingCoordinate"),
        ];
        if let Some(found) = bounding_box(corners, description.clone()) {
            return Some(found);
        }
    }
    let ring = place.at(&["datasetGPolygon", "datasetGPolygonOuterGRing"])?;
    let mut points: Vec<(f64, f64)> = Vec::new();
    for point in ring.all("gRingPoint").take(MOST_POINTS) {
        let number = |name| point.text_at(&[name]).and_then(|text| coordinate(&text));
        points.extend(number("gRingLongitude").zip(number("gRingLatitude")));
    }
    // The other form is a list of `longitude,latitude`.
    for pair in ring.text_at(&["gRing"]).unwrap_or_default().split_whitespace().take(MOST_POINTS) {
        let numbers = pair.split_once(',');
        points.extend(numbers.and_then(|(x, y)| coordinate(x).zip(coordinate(y))));
    }
    around(&points, description)
}

fn csv(physical: &Node) -> Option<CsvDialect> {
    let format = physical.at(&["dataFormat", "textFormat"])?;
    let number = |name| format.text_at(&[name]).and_then(|text| text.parse().ok());
    let simple = |name| format.at(&["simpleDelimited", name]).and_then(Node::raw_text);
    Some(CsvDialect {
        header_lines: number("numHeaderLines"),
        footer_lines: number("numFooterLines"),
        field_delimiter: simple("fieldDelimiter"),
        record_delimiter: format.at(&["recordDelimiter"]).and_then(Node::raw_text),
        quote: simple("quoteCharacter"),
        collapse_delimiters: simple("collapseDelimiters").map(|text| text.trim() == "yes"),
        orientation: format.text_at(&["attributeOrientation"]),
        encoding: physical.text_at(&["characterEncoding"]),
    })
}
