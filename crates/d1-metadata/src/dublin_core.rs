//! Dublin Core: any XML document whose root holds its elements, such as `oai_dc:dc` or DataONE's `metadata`.

use crate::content::{MetadataFormat, Party, Period, ScienceMetadata, orcid_in};
use crate::eml::creative_commons_in;
use crate::place::{coordinate, of_numbers};
use crate::tree::Node;

/// Elements and terms of Dublin Core. A document has a title and at least one of them.
const TERMS: [&str; 12] = [
    "creator",
    "subject",
    "description",
    "publisher",
    "contributor",
    "date",
    "type",
    "format",
    "identifier",
    "rights",
    "abstract",
    "spatial",
];

/// Returns whether the root holds elements of Dublin Core.
pub(crate) fn is_it(root: &Node) -> bool {
    let terms = terms(root);
    let is_prefixed = terms.iter().any(|term| term.prefix().starts_with("dc"));
    let has = |name: &str| terms.iter().any(|term| &*term.name == name);
    let is_named = matches!(&*root.name, "dc" | "simpledc" | "qualifieddc" | "metadata" | "record");
    (is_prefixed || is_named) && has("title") && TERMS.iter().any(|term| has(term))
}

/// Returns the elements in the root, and those one level below, as some writers nest them.
fn terms(root: &Node) -> Vec<&Node> {
    let nested = root.elements().flat_map(Node::elements);
    root.elements().chain(nested).collect()
}

/// Reads a document.
pub(crate) fn read(root: &Node) -> ScienceMetadata {
    let terms = terms(root);
    let all = |names: &[&str]| -> Vec<String> {
        terms.iter().filter(|term| names.contains(&&*term.name)).filter_map(|term| term.text()).collect()
    };
    let first = |names: &[&str]| all(names).into_iter().next();
    let mut titles = all(&["title"]).into_iter();
    let mut metadata = ScienceMetadata {
        format: MetadataFormat::DublinCore,
        title: titles.next(),
        package_id: first(&["identifier"]),
        publisher: first(&["publisher"]),
        published: first(&["issued", "available"]).or_else(|| first(&["date", "created", "modified"])),
        r#abstract: first(&["abstract"]).or_else(|| first(&["description"])),
        keywords: all(&["subject"]),
        language: first(&["language"]),
        ..ScienceMetadata::default()
    };
    metadata.other_titles = titles.chain(all(&["alternative"])).collect();
    metadata.creators = all(&["creator"])
        .into_iter()
        .map(|text| Party { orcid: orcid_in(&text), name: text, ..Party::default() })
        .collect();
    for text in all(&["temporal"]) {
        metadata.periods.extend(period(&text));
    }
    for text in all(&["spatial", "coverage"]) {
        match boxed(&text) {
            Some(found) => metadata.boxes.push(found),
            None => metadata.places.push(text),
        }
    }
    let rights = all(&["license", "rights", "accessRights"]);
    metadata.license_url = rights.iter().find_map(|text| creative_commons_in(text));
    metadata.license = (!rights.is_empty()).then(|| rights.join("\n\n"));
    metadata
}

/// Reads `name=…; start=…; end=…` (DCMI Period), or `begin/end`.
fn period(text: &str) -> Option<Period> {
    let value = |key: &str| field(text, key).map(str::to_owned);
    let (mut begin, mut end) = (value("start"), value("end"));
    if begin.is_none() && end.is_none() {
        let (first, last) = text.split_once('/').unwrap_or((text, text));
        let date = |text: &str| crate::time::day_range(text).map(|_| text.trim().to_owned());
        (begin, end) = (date(first), date(last));
    }
    (begin.is_some() || end.is_some()).then_some(Period { begin, end })
}

/// Reads `northlimit=…; southlimit=…; westlimit=…; eastlimit=…` (DCMI Box) or `north=…; east=…` (DCMI Point).
fn boxed(text: &str) -> Option<crate::content::BoundingBox> {
    let number = |key: &str| field(text, key).and_then(coordinate);
    let name = field(text, "name").map(str::to_owned);
    let sides = (number("westlimit"), number("southlimit"), number("eastlimit"), number("northlimit"));
    if let (Some(west), Some(south), Some(east), Some(north)) = sides {
        return of_numbers(west, south, east, north, name);
    }
    let (east, north) = (number("east")?, number("north")?);
    of_numbers(east, north, east, north, name)
}

/// Returns the value of `key=value;`.
fn field<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.split(';').find_map(|part| {
        let (name, value) = part.split_once('=')?;
        let value = value.trim();
        (name.trim().eq_ignore_ascii_case(key) && !value.is_empty()).then_some(value)
    })
}
