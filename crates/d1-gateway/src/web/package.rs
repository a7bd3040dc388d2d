//! The page of a package, and the pages of its directories.

use std::sync::Arc;

use askama::Template;
use axum::http::StatusCode;
use axum::http::header::{LINK, VARY};
use axum::response::Response;
use d1_catalog::d1_metadata::{Attribute, ScienceMetadata};
use d1_catalog::{CatalogFile, CatalogObject, CatalogPackage, PackageKey};

use super::described::{Described, is_web};
use super::entities::Entities;
use super::listing::{Listed, Listing, kind};
use super::page::{Frame, Link, bytes, count, counted, cut, paragraphs, render, script, search_link};
use super::snippets::{self, Snippet};
use super::{FORMS, citation, linked_data, map};
use crate::answer::{self, Refused, set};
use crate::app::App;
use crate::packages::{self, file_url, page_url};
use crate::request::Request;

/// How many files the linked data inside a page name.
const SLIM_FILES: usize = 20;
/// How many versions, taxa, places and tables a page shows.
const MOST_VERSIONS: usize = 50;
const MOST_TAXA: usize = 60;
const MOST_PLACES: usize = 20;
const MOST_TABLES: usize = 40;
/// How many columns of all tables together a page shows.
const MOST_COLUMNS: usize = 120;
/// The longest text of a page, in characters.
const LONGEST_PROSE: usize = 12_000;

#[derive(Template)]
#[template(path = "package.html")]
struct PackagePage {
    frame: Frame,
    title: String,
    linked_data: Option<String>,
    state: String,
    people: Vec<Person>,
    replaced_by: Option<Link>,
    is_archived: bool,
    summary: Vec<String>,
    listing: Listing,
    zip: Link,
    /// The list of all files, if the page lists the data of a bag alone.
    whole_bag: Option<String>,
    overview: Vec<Fact>,
    keywords: Vec<Link>,
    map: Option<String>,
    places: Vec<String>,
    periods: Vec<String>,
    taxa: Vec<String>,
    tables: Vec<TableView>,
    more_tables: usize,
    methods: Vec<String>,
    funding: Vec<Fact>,
    metadata: Option<Link>,
    origin: Vec<Fact>,
    /// The page about how the files came from each other.
    derived: Option<String>,
    versions: Vec<VersionRow>,
    proof: ProofView,
    citation: String,
    forms: Vec<Link>,
    snippets: Vec<Snippet>,
}

#[derive(Template)]
#[template(path = "directory.html")]
struct DirectoryPage {
    frame: Frame,
    title: String,
    package: Link,
    listing: Listing,
}

/// A fact with its name, and perhaps a link.
pub(super) struct Fact {
    pub(super) name: String,
    pub(super) value: String,
    pub(super) url: Option<String>,
}

impl Fact {
    pub(super) fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: value.into(), url: None }
    }

    pub(super) fn linked(name: impl Into<String>, value: impl Into<String>, url: impl Into<String>) -> Self {
        Self { name: name.into(), value: value.into(), url: Some(url.into()) }
    }
}

struct Person {
    name: String,
    organization: String,
    orcid: Option<String>,
}

/// A table that the metadata describe.
struct TableView {
    name: String,
    about: String,
    size: String,
    file: Option<Link>,
    columns: Vec<ColumnView>,
    more: usize,
}

/// A column that the metadata describe.
pub(super) struct ColumnView {
    pub(super) name: String,
    pub(super) about: String,
    pub(super) kind: String,
    pub(super) unit: String,
    pub(super) missing: String,
}

impl ColumnView {
    pub(super) fn of(attribute: &Attribute) -> Self {
        let about = attribute.definition.as_ref().or(attribute.label.as_ref());
        Self {
            name: cut(&attribute.name, 80),
            about: cut(about.map(String::as_str).unwrap_or_default(), 200),
            kind: type_in_words(attribute),
            unit: attribute.unit.clone().filter(|unit| unit != "dimensionless").unwrap_or_default(),
            missing: cut(&attribute.missing.join(", "), 60),
        }
    }
}

struct VersionRow {
    number: usize,
    url: String,
    identifier: String,
    date: String,
    files: String,
    size: String,
    is_this: bool,
    compare: String,
}

/// The facts that prove a package's content.
struct ProofView {
    digest: String,
    with_sha256: String,
    last: Option<String>,
    action: Option<String>,
    receipt: Option<String>,
}

/// Answers with the page of a directory. That of the root is the page of the package.
pub(crate) async fn directory(
    app: &Arc<App>,
    request: &Request,
    package: &CatalogPackage,
    key: &str,
    path: &str,
) -> Result<Response, Refused> {
    let base = request.base_url.as_str();
    if let Some(form) = preferred_form(request).filter(|_| path.is_empty()) {
        let mut response = answer::redirect(StatusCode::SEE_OTHER, &format!("{base}/d/{key}/{form}"));
        set(response.headers_mut(), VARY, "Accept");
        return Ok(response);
    }
    let is_readable = packages::is_readable(package);
    let is_bag_page = path.is_empty() && request.query.get("all").is_none() && is_bag(app, package).await?;
    let listed_path = if is_bag_page { "data" } else { path };
    let listed = Listed::of(app, request, package, listed_path).await?;
    if listed.is_empty() && !is_readable {
        return Err(packages::not_public());
    }
    let described = Described::of(app, package, base, SLIM_FILES).await?;
    let listing = Listing::of(&described, key, &listed);
    if !path.is_empty() {
        let page = DirectoryPage {
            frame: Frame::of(app, request),
            title: path.to_owned(),
            package: Link::new(format!("{base}/p/{key}/"), cut(&described.title, 120)),
            listing,
        };
        return render(&page);
    }
    let more = More::of(app, package, &described).await?;
    let mut page = package_page(app, request, package, key, &described, listing, more);
    page.whole_bag = is_bag_page.then(|| format!("{base}/p/{key}/?all#files"));
    let mut response = render(&page)?;
    set(response.headers_mut(), VARY, "Accept");
    if is_readable {
        set(response.headers_mut(), LINK, &linked_data::link_header(&described));
    }
    Ok(response)
}

/// Returns whether a package is a bag, whose data are in one of its directories.
async fn is_bag(app: &App, package: &CatalogPackage) -> Result<bool, Refused> {
    let id = package.id;
    let asked = app.store.ask(move |catalog| {
        Ok(catalog.file(id, "bagit.txt")?.is_some() && catalog.directory(id, "data")?.is_some())
    });
    asked.await
}

/// Facts about a package that need more questions to the catalogue.
struct More {
    replaced_by: Option<Link>,
    /// The object that gave the package its identifier.
    object: Option<CatalogObject>,
    /// The repositories that hold the same manifest.
    holders: Vec<String>,
    /// Files of the tables that the metadata describe, by the position of the table.
    tables: Vec<Option<CatalogFile>>,
}

impl More {
    async fn of(app: &App, package: &CatalogPackage, described: &Described) -> Result<Self, Refused> {
        let (wanted, base) = (package.clone(), described.base_url.clone());
        let signs = described.document.clone();
        let asked = app.store.ask(move |catalog| {
            let replaced_by = match &wanted.obsoleted_by {
                Some(newer) => catalog
                    .package(&PackageKey::Identifier(newer))?
                    .map(|found| Link::new(page_url(&base, &found), newer.clone())),
                None => None,
            };
            let object = match &wanted.summary.identifier {
                Some(identifier) => catalog.object_by_pid(identifier)?,
                None => None,
            };
            let holders = catalog.holders(&wanted.summary.digest)?;
            let files = match catalog.directory(wanted.id, "")? {
                Some(root) if !signs.entities.is_empty() => catalog.files(&root, None, MOST_MATCHED)?,
                _ => Vec::new(),
            };
            Ok(Self {
                replaced_by,
                object: object.filter(CatalogObject::is_public),
                holders,
                tables: files_of_tables(&signs, files),
            })
        });
        asked.await
    }
}

/// How many files of a package are compared with the tables of its metadata.
const MOST_MATCHED: u64 = 1000;

/// Returns the file of each table that a document describes.
fn files_of_tables(document: &ScienceMetadata, files: Vec<CatalogFile>) -> Vec<Option<CatalogFile>> {
    let entities = Entities::of(document);
    let mut found: Vec<Option<CatalogFile>> = document.entities.iter().map(|_| None).collect();
    for file in files {
        let Some((entity, _)) = entities.find(&file) else { continue };
        let position = document.entities.iter().position(|known| std::ptr::eq(known, entity));
        if let Some(place) = position.and_then(|position| found.get_mut(position)) {
            place.get_or_insert(file);
        }
    }
    found
}

fn package_page(
    app: &App,
    request: &Request,
    package: &CatalogPackage,
    key: &str,
    described: &Described,
    listing: Listing,
    more: More,
) -> PackagePage {
    let document = &described.document;
    let base = described.base_url.as_str();
    let is_readable = packages::is_readable(package);
    // A path of this machine is useful on this machine only.
    let is_local = request.client.is_loopback();
    let example = more.tables.iter().flatten().find(|file| file.media_type.starts_with("text/csv"));
    let mut snippets = snippets::of_package(described, package, example);
    if package.repository.contains(':') && !is_local {
        snippets.retain(|snippet| !["d1oci", "oras"].contains(&snippet.tool));
    }
    let (tables, more_tables) = tables(described, key, &more.tables);
    let forms = FORMS.iter().map(|form| Link::new(format!("{base}/d/{key}/{}", form.name), form.label));
    PackagePage {
        frame: Frame::of(app, request),
        title: described.title.clone(),
        linked_data: is_readable.then(|| script(&linked_data::dataset(described, SLIM_FILES).to_string())),
        state: state(described),
        people: people(document),
        replaced_by: more.replaced_by.clone(),
        is_archived: package.archived,
        summary: paragraphs(&cut(&described.description, LONGEST_PROSE)),
        overview: facts(package, described, &more),
        keywords: keywords(described),
        map: map::around(base, &described.boxes, &map_label(described)),
        places: first_of(&places(document), MOST_PLACES),
        periods: periods(described),
        taxa: first_of(&taxa(document), MOST_TAXA),
        tables,
        more_tables,
        methods: paragraphs(&cut(document.methods.as_deref().unwrap_or_default(), LONGEST_PROSE)),
        funding: funding(document),
        metadata: described
            .document_path
            .as_ref()
            .map(|path| Link::new(format!("{}?view", file_url(base, key, path)), path.clone())),
        origin: origin(described, &more, is_local),
        derived: package
            .summary
            .resource_map
            .as_ref()
            .filter(|_| is_readable)
            .map(|_| format!("{base}/provenance/{key}")),
        versions: versions(described, key),
        proof: proof(app, described, package, key),
        citation: citation::text(described),
        forms: forms.collect(),
        snippets,
        zip: Link::new(described.zip_url(), bytes(package.bytes)),
        whole_bag: None,
        listing,
    }
}

fn state(described: &Described) -> String {
    let total = described.versions.len();
    let mut parts = vec!["Data package".to_owned()];
    if total > 1 {
        parts.push(format!("version {} of {total}", described.version));
    }
    parts.extend(described.published.as_ref().map(|date| format!("published {date}")));
    parts.join(" · ")
}

fn people(document: &ScienceMetadata) -> Vec<Person> {
    const MOST: usize = 50;
    let first = document.creators.iter().take(MOST);
    first
        .map(|party| Person {
            name: cut(&party.name, 120),
            organization: party.organization.clone().filter(|name| *name != party.name).unwrap_or_default(),
            orcid: party
                .orcid
                .as_ref()
                .map(|orcid| format!("https://orcid.org/{orcid}"))
                .filter(|url| is_web(url)),
        })
        .collect()
}

fn facts(package: &CatalogPackage, described: &Described, more: &More) -> Vec<Fact> {
    let mut facts = Vec::new();
    if let Some(identifier) = &described.identifier {
        facts.push(match described.doi() {
            Some(doi) => Fact::linked(
                "Identifier",
                identifier,
                format!("https://doi.org/{}", packages::encoded_path(doi)),
            ),
            None => Fact::new("Identifier", identifier),
        });
    }
    facts.extend(described.series_id.as_ref().map(|series| Fact::new("Series", series)));
    facts.push(Fact::new(
        "Content",
        format!("{}, {}", counted(package.files, "file", "files"), bytes(package.bytes)),
    ));
    if let Some(license) = &described.license {
        let name = described.document.license.as_deref().filter(|name| name.chars().count() <= 60);
        facts.push(Fact::linked("Licence", name.unwrap_or(license), license));
    } else if let Some(text) = &described.document.license {
        facts.push(Fact::new("Licence", cut(text, 200)));
    }
    facts.extend(described.publisher.as_ref().map(|publisher| Fact::new("Publisher", publisher)));
    facts.extend(described.document.language.as_ref().map(|language| Fact::new("Language", language)));
    if let Some(facts_of_object) = more.object.as_ref().and_then(|object| object.system_metadata.as_ref()) {
        let uploaded = facts_of_object.date_uploaded.map(|time| time.strftime("%Y-%m-%d").to_string());
        facts.extend(uploaded.map(|date| Fact::new("Uploaded", date)));
    }
    facts
}

fn keywords(described: &Described) -> Vec<Link> {
    const MOST: usize = 30;
    described.keywords.iter().take(MOST).map(|word| search_link(&described.base_url, word)).collect()
}

fn map_label(described: &Described) -> String {
    let words: Vec<String> = described.boxes.iter().take(3).map(map::in_words).collect();
    format!("Map of {}: {}", counted(described.boxes.len() as u64, "place", "places"), words.join("; "))
}

fn places(document: &ScienceMetadata) -> Vec<String> {
    let with_box = document.boxes.iter().map(|place| {
        let words = map::in_words(&[place.west, place.south, place.east, place.north]);
        match &place.description {
            Some(description) => format!("{} ({words})", cut(description, 200)),
            None => words,
        }
    });
    with_box.chain(document.places.iter().map(|place| cut(place, 200))).collect()
}

fn periods(described: &Described) -> Vec<String> {
    const MOST: usize = 20;
    let text = |(begin, end): &(Option<String>, Option<String>)| match (begin, end) {
        (Some(begin), Some(end)) if begin == end => begin.clone(),
        (Some(begin), Some(end)) => format!("{begin} to {end}"),
        (Some(begin), None) => format!("since {begin}"),
        (None, Some(end)) => format!("until {end}"),
        (None, None) => String::new(),
    };
    first_of(&described.periods.iter().map(text).filter(|text| !text.is_empty()).collect::<Vec<_>>(), MOST)
}

fn taxa(document: &ScienceMetadata) -> Vec<String> {
    let text = |taxon: &d1_catalog::d1_metadata::Taxon| match &taxon.common_name {
        Some(common) => format!("{} ({common})", cut(&taxon.name, 80)),
        None => cut(&taxon.name, 80),
    };
    document.taxa.iter().map(text).collect()
}

/// Returns the first texts, and a last one that counts the others.
fn first_of(texts: &[String], most: usize) -> Vec<String> {
    let mut first: Vec<String> = texts.iter().take(most).cloned().collect();
    if texts.len() > most {
        first.push(format!("and {} more", count((texts.len() - most) as u64)));
    }
    first
}

fn tables(described: &Described, key: &str, files: &[Option<CatalogFile>]) -> (Vec<TableView>, usize) {
    let mut left = MOST_COLUMNS;
    let all = &described.document.entities;
    let shown = all.iter().zip(files).take(MOST_TABLES).map(|(entity, file)| {
        let columns: Vec<ColumnView> = entity.attributes.iter().take(left).map(ColumnView::of).collect();
        left -= columns.len();
        let rows = entity.records.map(|records| counted(records, "row", "rows"));
        let width = (!entity.attributes.is_empty())
            .then(|| counted(entity.attributes.len() as u64, "column", "columns"));
        let size: Vec<String> = rows.into_iter().chain(width).collect();
        let name = entity.name.as_ref().or(entity.object_name.as_ref());
        TableView {
            name: cut(name.map_or("Without a name", String::as_str), 120),
            about: cut(entity.description.as_deref().unwrap_or_default(), 400),
            size: size.join(", "),
            file: file.as_ref().map(|file| {
                let url = format!("{}?view", file_url(&described.base_url, key, &file.path));
                Link::new(url, format!("{}, {}", kind(file), bytes(file.size)))
            }),
            more: entity.attributes.len() - columns.len(),
            columns,
        }
    });
    let shown: Vec<TableView> = shown.collect();
    let more = all.len() - shown.len();
    (shown, more)
}

/// Returns the type of a column in words.
pub(super) fn type_in_words(attribute: &Attribute) -> String {
    let scale = attribute.scale.as_deref().unwrap_or_default();
    if let (true, Some(format)) = (scale == "dateTime", &attribute.date_format) {
        return format!("time as {format}");
    }
    if !attribute.codes.is_empty() {
        return counted(attribute.codes.len() as u64, "code", "codes");
    }
    match (attribute.number_type.as_deref(), scale) {
        (Some("natural" | "whole" | "integer"), _) => "whole number".to_owned(),
        (Some(_), _) | (None, "interval" | "ratio") => "number".to_owned(),
        (None, "dateTime") => "time".to_owned(),
        (None, "nominal" | "ordinal") => "text".to_owned(),
        _ => attribute.storage_type.clone().unwrap_or_default(),
    }
}

fn funding(document: &ScienceMetadata) -> Vec<Fact> {
    const MOST: usize = 20;
    let first = document.funding.iter().take(MOST);
    first
        .map(|award| {
            let texts: Vec<&str> =
                [&award.title, &award.number].into_iter().filter_map(Option::as_deref).collect();
            let funder = award.funder.as_deref().unwrap_or("Award");
            match award.url.as_deref().filter(|url| is_web(url)) {
                Some(url) => Fact::linked(funder, cut(&texts.join(", "), 200), url),
                None => Fact::new(funder, cut(&texts.join(", "), 200)),
            }
        })
        .collect()
}

/// Returns the facts about the origin of a package and its copies.
fn origin(described: &Described, more: &More, is_local: bool) -> Vec<Fact> {
    let mut facts = Vec::new();
    if let Some(known) = more.object.as_ref().and_then(|object| object.system_metadata.as_ref()) {
        facts.extend(known.submitter.as_ref().map(|who| Fact::new("Submitted by", who)));
        if !known.rights_holder.is_empty() {
            facts.push(Fact::new("Rights holder", &known.rights_holder));
        }
        facts.extend(known.origin_node.as_ref().map(|node| Fact::new("Came from", node)));
        facts.extend(known.authoritative_node.as_ref().map(|node| Fact::new("Authoritative copy at", node)));
        if !known.replica_nodes.is_empty() {
            facts.push(Fact::new("Replicas at", first_of(&known.replica_nodes, 10).join(", ")));
        }
    }
    facts.extend(described.obsoletes.as_ref().map(|before| Fact::new("Revision of", before)));
    facts.push(Fact::new("Manifest", &described.digest));
    for holder in &more.holders {
        let is_path = holder.contains(':');
        if !is_path || is_local {
            facts.push(Fact::new("Stored in", format!("{holder}@{}", described.digest)));
        }
    }
    facts
}

fn versions(described: &Described, key: &str) -> Vec<VersionRow> {
    if described.versions.len() < 2 {
        return Vec::new();
    }
    let newest = described.versions.iter().enumerate().rev().take(MOST_VERSIONS);
    newest
        .map(|(position, version)| {
            let is_this = version.summary.digest.to_string() == described.digest;
            let other = packages::key(version);
            VersionRow {
                number: position + 1,
                url: page_url(&described.base_url, version),
                identifier: version
                    .summary
                    .identifier
                    .clone()
                    .unwrap_or_else(|| version.summary.tag.to_string()),
                date: version
                    .summary
                    .created
                    .as_ref()
                    .and_then(|date| date.get(..10))
                    .unwrap_or_default()
                    .to_owned(),
                files: count(version.files),
                size: bytes(version.bytes),
                is_this,
                compare: format!("{}/compare/{key}?with={other}", described.base_url),
            }
        })
        .collect()
}

fn proof(app: &App, described: &Described, package: &CatalogPackage, key: &str) -> ProofView {
    let base = &described.base_url;
    let known = super::proof::last_receipt(app, &described.digest, "");
    ProofView {
        digest: described.digest.clone(),
        with_sha256: match package.files {
            0 => "The package has no files.".to_owned(),
            _ => format!(
                "The manifest names {} by digest, so each byte can be checked without trust in this gateway.",
                if package.files == 1 {
                    "its file".to_owned()
                } else {
                    format!("all {} files", count(package.files))
                }
            ),
        },
        last: known.as_ref().map(|proof| proof.in_words()),
        receipt: known.map(|_| format!("{base}/prove/{key}")),
        action: (packages::is_readable(package) && package.bytes <= super::proof::LARGEST_PROVEN)
            .then(|| format!("{base}/prove/{key}")),
    }
}

/// Returns the description that a client prefers to the page.
fn preferred_form(request: &Request) -> Option<&'static str> {
    let accept = request.header("accept")?;
    if request.wants_page() {
        return None;
    }
    let wanted = accept.split(',').map(|part| part.trim().split(';').next().unwrap_or_default().trim());
    let mut forms = wanted.filter_map(|wanted| FORMS.iter().find(|form| form.media_type == wanted));
    let first = forms.next()?;
    // Three forms have the media type of JSON-LD: the profile decides.
    let by_profile = FORMS.iter().find(|form| form.profile.is_some_and(|profile| accept.contains(profile)));
    Some(by_profile.unwrap_or(first).name)
}
