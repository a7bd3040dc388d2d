//! Descriptions in JSON: schema.org, Croissant, RO-Crate, and the link set of Signposting. Equal packages give equal bytes.

use d1_catalog::CatalogFile;
use serde_json::{Map, Value, json};

use super::described::{Creator, Described, Variable};
use super::{FORMS, citation};

/// The most creators and files that links in headers name. If there are more, the link set alone names them.
const MOST_LINKS: usize = 5;
/// The longest header with links, in bytes. Proxies refuse headers of 4 KiB.
const LONGEST_HEADER: usize = 3 << 10;

/// Returns the description in the vocabulary of schema.org, with at most this many files.
pub(super) fn dataset(described: &Described, most_files: usize) -> Value {
    let mut dataset = json!({
        "@context": {
            "@vocab": "http://schema.org/",
            "spdx": "http://spdx.org/rdf/terms#",
            "prov": "http://www.w3.org/ns/prov#",
            "creator": { "@id": "http://schema.org/creator", "@container": "@list" }
        },
        "@id": described.page,
        "@type": "Dataset",
        "name": described.title,
        "description": described.description,
        "url": described.page,
        "version": described.version.to_string(),
        "isAccessibleForFree": true,
        "identifier": identifiers(described),
        "keywords": described.keywords,
        "creator": described.creators.iter().map(creator).collect::<Vec<_>>(),
        "distribution": distribution(described, most_files)
    });
    let Some(object) = dataset.as_object_mut() else { return dataset };
    if let Some(doi) = described.doi() {
        object.insert("sameAs".to_owned(), json!([format!("https://doi.org/{doi}")]));
    }
    put(object, "license", described.license.as_deref());
    put(object, "datePublished", described.published.as_deref());
    put(object, "publisher", described.publisher.as_deref());
    if let Some(obsoletes) = &described.obsoletes {
        object.insert("prov:wasRevisionOf".to_owned(), json!({ "@id": identifier_url(obsoletes) }));
    }
    let places: Vec<Value> = described.boxes.iter().map(place).collect();
    if !places.is_empty() {
        object.insert("spatialCoverage".to_owned(), json!(places));
    }
    let periods = described.periods.iter().map(|(begin, end)| {
        let side = |text: &Option<String>| text.clone().unwrap_or_else(|| "..".to_owned());
        format!("{}/{}", side(begin), side(end))
    });
    let periods: Vec<String> = periods.collect();
    if !periods.is_empty() {
        object.insert("temporalCoverage".to_owned(), json!(periods));
    }
    // In a page, the description is short.
    if most_files == usize::MAX && !described.variables.is_empty() {
        let variables: Vec<Value> = described.variables.iter().map(variable).collect();
        object.insert("variableMeasured".to_owned(), json!(variables));
    }
    dataset
}

fn variable(variable: &Variable) -> Value {
    let mut value = json!({ "@type": "PropertyValue", "name": variable.name });
    if let Some(object) = value.as_object_mut() {
        put(object, "description", variable.definition.as_deref());
        put(object, "unitText", variable.unit.as_deref());
    }
    value
}

fn put(object: &mut Map<String, Value>, name: &str, text: Option<&str>) {
    if let Some(text) = text {
        object.insert(name.to_owned(), json!(text));
    }
}

/// Returns the identifiers, that of the series first: DataONE takes the first one for it.
fn identifiers(described: &Described) -> Value {
    let both = described.series_id.iter().chain(&described.identifier);
    let values: Vec<Value> = both
        .map(|identifier| {
            let property = match identifier.starts_with("doi:") {
                true => "https://registry.identifiers.org/registry/doi",
                false => "https://dataone.org/datasets",
            };
            json!({
                "@id": identifier_url(identifier),
                "@type": "PropertyValue",
                "propertyID": property,
                "value": identifier,
                "url": identifier_url(identifier)
            })
        })
        .collect();
    match values.is_empty() {
        true => json!([described.digest]),
        false => json!(values),
    }
}

fn identifier_url(identifier: &str) -> String {
    match identifier.strip_prefix("doi:") {
        Some(doi) => format!("https://doi.org/{doi}"),
        None => format!("https://dataone.org/datasets/{}", d1_model::encode_path_segment(identifier)),
    }
}

fn creator(creator: &Creator) -> Value {
    let kind = if creator.family.is_some() { "Person" } else { "Organization" };
    let mut object = json!({ "@type": kind, "name": creator.name });
    if let (Some(orcid), Some(object)) = (&creator.orcid, object.as_object_mut()) {
        object.insert("@id".to_owned(), json!(orcid));
    }
    object
}

/// Returns a box in the order of schema.org: south, west, north, east.
fn place([west, south, east, north]: &[f64; 4]) -> Value {
    json!({ "@type": "Place", "geo": { "@type": "GeoShape", "box": format!("{south} {west} {north} {east}") } })
}

fn distribution(described: &Described, most_files: usize) -> Value {
    let zip = json!({
        "@type": "DataDownload",
        "contentUrl": described.zip_url(),
        "encodingFormat": "application/zip"
    });
    let files = described.files.iter().take(most_files).map(|file| download(described, file));
    json!(std::iter::once(zip).chain(files).collect::<Vec<_>>())
}

fn download(described: &Described, file: &CatalogFile) -> Value {
    let mut object = json!({
        "@type": "DataDownload",
        "name": file.path,
        "contentUrl": described.file_url(file),
        "encodingFormat": file.media_type,
        "contentSize": file.size.to_string()
    });
    if let (Some(sha256), Some(object)) = (file.sha256().map(hex::encode), object.as_object_mut()) {
        object.insert("sha256".to_owned(), json!(sha256));
        let checksum = json!({
            "@type": "spdx:Checksum",
            "spdx:checksumValue": sha256,
            "spdx:algorithm": { "@id": "spdx:checksumAlgorithm_sha256" }
        });
        object.insert("spdx:checksum".to_owned(), checksum);
        put(object, "identifier", file.pid.as_deref());
    }
    object
}

/// Returns the description as Croissant 1.1.
pub(super) fn croissant(described: &Described) -> Value {
    let files: Vec<Value> = described
        .files
        .iter()
        .filter_map(|file| {
            Some(json!({
                "@type": "cr:FileObject",
                "@id": file.path,
                "name": file.path,
                "contentUrl": described.file_url(file),
                "contentSize": format!("{} B", file.size),
                "encodingFormat": file.media_type,
                "sha256": hex::encode(file.sha256()?)
            }))
        })
        .collect();
    json!({
        "@context": {
            "@language": "en",
            "@vocab": "https://schema.org/",
            "sc": "https://schema.org/",
            "cr": "http://mlcommons.org/croissant/",
            "dct": "http://purl.org/dc/terms/",
            "citeAs": "cr:citeAs",
            "conformsTo": "dct:conformsTo"
        },
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": described.title,
        "description": described.description,
        "url": described.page,
        "version": format!("{}.0.0", described.version),
        "license": described.license.clone().unwrap_or_else(|| "https://spdx.org/licenses/NOASSERTION".to_owned()),
        "datePublished": described.published.clone().unwrap_or_else(|| "1970-01-01".to_owned()),
        "creator": described.creators.iter().map(creator).collect::<Vec<_>>(),
        "keywords": described.keywords,
        "citeAs": citation::bibtex(described),
        "distribution": files
    })
}

/// Returns the description as a detached RO-Crate 1.2.
pub(super) fn ro_crate(described: &Described) -> Value {
    let parts: Vec<Value> =
        described.files.iter().map(|file| json!({ "@id": described.file_url(file) })).collect();
    let mut root = json!({
        "@id": described.page,
        "@type": "Dataset",
        "name": described.title,
        "description": described.description,
        "datePublished": described.published.clone().unwrap_or_else(|| "1970-01-01".to_owned()),
        "license": match &described.license {
            Some(license) => json!({ "@id": license }),
            None => json!("The package states no licence."),
        },
        "hasPart": parts
    });
    if let Some(object) = root.as_object_mut() {
        put(object, "identifier", described.identifier.as_deref());
    }
    let mut graph = vec![
        json!({
            "@id": "ro-crate-metadata.json",
            "@type": "CreativeWork",
            "about": { "@id": described.page },
            "conformsTo": { "@id": "https://w3id.org/ro/crate/1.2" }
        }),
        root,
    ];
    graph.extend(described.files.iter().map(|file| {
        json!({
            "@id": described.file_url(file),
            "@type": "File",
            "name": file.path,
            "encodingFormat": file.media_type,
            "contentSize": file.size.to_string()
        })
    }));
    if let Some(license) = &described.license {
        graph.push(json!({ "@id": license, "@type": "CreativeWork", "name": license }));
    }
    json!({ "@context": "https://w3id.org/ro/crate/1.2/context", "@graph": graph })
}

/// Returns the link set of a package (RFC 9264, Signposting level 2).
pub(super) fn link_set(described: &Described) -> Value {
    let target = |href: &str, media_type: &str| json!({ "href": href, "type": media_type });
    let described_by = FORMS.iter().filter(|form| form.name != "linkset.json").map(|form| {
        let mut link = target(&form_url(described, form.name), form.media_type);
        if let (Some(profile), Some(link)) = (form.profile, link.as_object_mut()) {
            link.insert("profile".to_owned(), json!(profile));
        }
        link
    });
    let items: Vec<Value> =
        described.files.iter().map(|file| target(&described.file_url(file), &file.media_type)).collect();
    let mut page = json!({
        "anchor": described.page,
        "cite-as": [{ "href": described.page }],
        "type": [{ "href": "https://schema.org/Dataset" }, { "href": "https://schema.org/AboutPage" }],
        "describedby": described_by.collect::<Vec<_>>(),
        "item": items
    });
    let orcids: Vec<Value> = described
        .creators
        .iter()
        .filter_map(|creator| Some(json!({ "href": creator.orcid.as_ref()? })))
        .collect();
    if let Some(page) = page.as_object_mut() {
        if !orcids.is_empty() {
            page.insert("author".to_owned(), json!(orcids));
        }
        if let Some(license) = &described.license {
            page.insert("license".to_owned(), json!([{ "href": license }]));
        }
        if let Some(doi) = described.doi() {
            page.insert("related".to_owned(), json!([{ "href": format!("https://doi.org/{doi}") }]));
        }
    }
    let collection = json!([{ "href": described.page, "type": "text/html" }]);
    let files = described
        .files
        .iter()
        .map(|file| json!({ "anchor": described.file_url(file), "collection": collection }));
    let forms = FORMS.iter().map(|form| {
        json!({
            "anchor": form_url(described, form.name),
            "describes": [{ "href": described.page, "type": "text/html" }]
        })
    });
    json!({ "linkset": std::iter::once(page).chain(files).chain(forms).collect::<Vec<_>>() })
}

pub(super) fn form_url(described: &Described, name: &str) -> String {
    format!("{}/d/{}/{name}", described.base_url, described.key)
}

/// Returns the header `Link` of a package's page (Signposting level 1).
pub(super) fn link_header(described: &Described) -> String {
    let page = &described.page;
    let mut links = vec![
        format!("<{page}>; rel=\"cite-as\""),
        "<https://schema.org/Dataset>; rel=\"type\"".to_owned(),
        "<https://schema.org/AboutPage>; rel=\"type\"".to_owned(),
        format!(
            "<{}>; rel=\"linkset\"; type=\"application/linkset+json\"",
            form_url(described, "linkset.json")
        ),
    ];
    for form in FORMS.iter().filter(|form| form.name != "linkset.json") {
        let profile = form.profile.map(|profile| format!("; profile=\"{profile}\"")).unwrap_or_default();
        let url = form_url(described, form.name);
        links.push(format!("<{url}>; rel=\"describedby\"; type=\"{}\"{profile}", form.media_type));
    }
    links.extend(described.license.iter().map(|license| format!("<{license}>; rel=\"license\"")));
    let authors: Vec<&String> =
        described.creators.iter().filter_map(|creator| creator.orcid.as_ref()).collect();
    if authors.len() <= MOST_LINKS {
        links.extend(authors.iter().map(|orcid| format!("<{orcid}>; rel=\"author\"")));
    }
    if described.file_count <= MOST_LINKS as u64 {
        links.extend(described.files.iter().map(|file| {
            format!("<{}>; rel=\"item\"; type=\"{}\"", described.file_url(file), file.media_type)
        }));
    }
    while links.len() > 4 && links.iter().map(|link| link.len() + 2).sum::<usize>() > LONGEST_HEADER {
        links.pop();
    }
    links.join(", ")
}
