//! DataCite's metadata schema, versions 3 and 4.

use crate::content::{Award, MetadataFormat, Party, Period, ScienceMetadata, orcid_in};
use crate::place::bounding_box;
use crate::tree::Node;

/// Reads a document whose root is `resource`.
pub(crate) fn read(root: &Node) -> ScienceMetadata {
    let mut titles =
        root.at(&["titles"]).into_iter().flat_map(|list| list.all("title")).filter_map(Node::text);
    let described = |kind: &str| {
        let mut descriptions =
            root.at(&["descriptions"]).into_iter().flat_map(|list| list.all("description"));
        descriptions.find(|text| text.attribute("descriptionType") == Some(kind)).and_then(Node::prose)
    };
    let date = |kind: &str| {
        let mut dates = root.at(&["dates"]).into_iter().flat_map(|list| list.all("date"));
        dates.find(|date| date.attribute("dateType") == Some(kind)).and_then(Node::text)
    };
    let rights = root.at(&["rightsList", "rights"]);
    let mut metadata = ScienceMetadata {
        format: MetadataFormat::DataCite,
        package_id: root.text_at(&["identifier"]),
        title: titles.next(),
        other_titles: titles.collect(),
        publisher: root.text_at(&["publisher"]),
        published: date("Issued").or_else(|| root.text_at(&["publicationYear"])),
        r#abstract: described("Abstract"),
        methods: described("Methods"),
        language: root.text_at(&["language"]),
        license: rights.and_then(Node::text),
        license_url: rights.and_then(|rights| rights.attribute("rightsURI")).map(str::to_owned),
        ..ScienceMetadata::default()
    };
    let list = |outer: &'static str, inner: &'static str| {
        root.at(&[outer]).into_iter().flat_map(move |list| list.all(inner))
    };
    metadata.keywords = list("subjects", "subject").filter_map(Node::text).collect();
    metadata.creators = list("creators", "creator").filter_map(party).collect();
    for place in list("geoLocations", "geoLocation") {
        let description = place.text_at(&["geoLocationPlace"]);
        let corner = |box_name: &str, point_name: &str| {
            let in_box = place.text_at(&["geoLocationBox", box_name]);
            in_box.or_else(|| place.text_at(&["geoLocationPoint", point_name]))
        };
        let corners = [
            corner("westBoundLongitude", "pointLongitude"),
            corner("southBoundLatitude", "pointLatitude"),
            corner("eastBoundLongitude", "pointLongitude"),
            corner("northBoundLatitude", "pointLatitude"),
        ];
        match bounding_box(corners, description.clone()) {
            Some(found) => metadata.boxes.push(found),
            None => metadata.places.extend(description),
        }
    }
    if let Some(text) = date("Collected") {
        let (begin, end) = text
            .split_once('/')
            .map_or((text.clone(), text.clone()), |(begin, end)| (begin.to_owned(), end.to_owned()));
        metadata.periods.push(Period { begin: Some(begin), end: Some(end).filter(|end| !end.is_empty()) });
    }
    metadata.funding = list("fundingReferences", "fundingReference")
        .map(|funding| Award {
            funder: funding.text_at(&["funderName"]),
            number: funding.text_at(&["awardNumber"]),
            title: funding.text_at(&["awardTitle"]),
            url: funding
                .at(&["awardNumber"])
                .and_then(|number| number.attribute("awardURI"))
                .map(str::to_owned),
        })
        .collect();
    metadata
}

fn party(node: &Node) -> Option<Party> {
    Some(Party {
        name: node.text_at(&["creatorName"])?,
        given: node.text_at(&["givenName"]),
        family: node.text_at(&["familyName"]),
        organization: node.text_at(&["affiliation"]),
        orcid: node.all("nameIdentifier").filter_map(Node::text).find_map(|text| orcid_in(&text)),
        email: None,
    })
}
