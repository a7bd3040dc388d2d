//! The home page, the search page, and the pages of refusals.

use std::sync::Arc;

use askama::Template;
use axum::response::Response;
use d1_catalog::d1_metadata::ScienceMetadata;
use d1_catalog::{Catalog, PackageFilter};

use super::find::{Titled, Wanted, titled};
use super::map;
use super::page::{Frame, Link, Paging, bytes, count, counted, cut, page_number, render, search_link};
use crate::answer::{self, Kind, Refused};
use crate::app::App;
use crate::packages::page_url;
use crate::request::Request;

/// How many packages a page of results lists.
const RESULTS: u64 = 20;
/// How many packages the home page lists.
const NEWEST: u64 = 10;
/// How many packages the map of the home page shows.
const MAPPED: u64 = 100;
/// How many searches the home page suggests.
const SUGGESTED: usize = 6;

#[derive(Template)]
#[template(path = "home.html")]
struct Home {
    frame: Frame,
    about: String,
    numbers: Vec<(String, &'static str)>,
    keywords: Vec<Link>,
    cards: Vec<Card>,
    map: Option<String>,
    has_more: bool,
}

#[derive(Template)]
#[template(path = "search.html")]
struct SearchPage {
    frame: Frame,
    creator: String,
    from: String,
    to: String,
    bbox: String,
    is_filtered: bool,
    total: String,
    cards: Vec<Card>,
    paging: Paging,
    /// The same results for programs.
    forms: Vec<Link>,
    /// The same search without one of its conditions.
    looser: Vec<(String, String)>,
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    frame: Frame,
    heading: &'static str,
    message: String,
    is_away: bool,
    is_private: bool,
    seconds: u64,
}

/// A package in a list.
pub(super) struct Card {
    pub(super) url: String,
    pub(super) title: String,
    pub(super) creators: String,
    pub(super) summary: String,
    pub(super) facts: Vec<String>,
    pub(super) map: Option<String>,
}

impl Card {
    pub(super) fn of(base_url: &str, titled: Titled) -> Self {
        let title = cut(&titled.title(), 300);
        let Titled { package, document } = titled;
        let summary = &package.summary;
        let mut facts = vec![counted(package.files, "file", "files"), bytes(package.bytes)];
        facts.extend(years(&document));
        facts.extend(
            summary.created.as_ref().and_then(|date| date.get(..10)).map(|date| format!("added {date}")),
        );
        let boxes = boxes(&document);
        Self {
            url: page_url(base_url, &package),
            title,
            creators: creators(&document),
            summary: cut(document.r#abstract.as_deref().unwrap_or_default(), 240),
            map: (!boxes.is_empty()).then(|| map::world(base_url, &boxes, "Places of the data", "minimap")),
            facts,
        }
    }
}

/// Returns the boxes of a document: west, south, east, north.
fn boxes(document: &ScienceMetadata) -> Vec<[f64; 4]> {
    document.boxes.iter().map(|place| [place.west, place.south, place.east, place.north]).collect()
}

fn creators(document: &ScienceMetadata) -> String {
    let names: Vec<&str> = document.creators.iter().take(4).map(|party| party.name.as_str()).collect();
    match document.creators.len() {
        more if more > 4 => format!("{} and {} more", names.join(", "), more - 4),
        _ => names.join(", "),
    }
}

/// Returns the years that the data are from: `2019–2021`.
fn years(document: &ScienceMetadata) -> Option<String> {
    let year = |text: &Option<String>| text.as_deref()?.get(..4).map(str::to_owned);
    let first = document.periods.iter().filter_map(|period| year(&period.begin)).min()?;
    let last = document.periods.iter().filter_map(|period| year(&period.end)).max();
    Some(match last {
        Some(last) if last != first => format!("data of {first}–{last}"),
        Some(_) => format!("data of {first}"),
        None => format!("data since {first}"),
    })
}

/// The facts of the home page.
struct Holdings {
    total: u64,
    files: u64,
    bytes: u64,
    newest: Vec<Titled>,
    boxes: Vec<[f64; 4]>,
    keywords: Vec<String>,
}

fn holdings(catalog: &Catalog) -> d1_catalog::Result<Holdings> {
    let mut filter = PackageFilter::default();
    filter.current_only = true;
    filter.public_only = true;
    let page = catalog.packages(&filter, 0, MAPPED)?;
    let mut newest = titled(catalog, page.items)?;
    let mut boxes_of_all = Vec::new();
    let mut keywords: Vec<String> = Vec::new();
    for known in &newest {
        boxes_of_all.extend(boxes(&known.document));
        let fresh = known.document.keywords.iter().filter(|word| word.chars().count() <= 30).take(2);
        for word in fresh {
            if keywords.len() < SUGGESTED && !keywords.contains(word) {
                keywords.push(word.clone());
            }
        }
    }
    newest.truncate(usize::try_from(NEWEST).unwrap_or(usize::MAX));
    let totals = catalog.totals(&filter)?;
    Ok(Holdings {
        total: page.total,
        files: totals.files,
        bytes: totals.bytes,
        newest,
        boxes: boxes_of_all,
        keywords,
    })
}

/// Answers with the home page.
pub(crate) async fn home(app: &Arc<App>, request: &Request) -> Result<Response, Refused> {
    let held = app.store.ask(holdings).await?;
    let base = request.base_url.as_str();
    let label = "Map of the world with the places that the newest packages are about";
    render(&Home {
        frame: Frame::of(app, request),
        about: app.options.node.description.clone(),
        numbers: vec![
            (count(held.total), if held.total == 1 { "package" } else { "packages" }),
            (count(held.files), if held.files == 1 { "file" } else { "files" }),
            (bytes(held.bytes), "of data, each byte with a checksum"),
        ],
        keywords: held.keywords.iter().map(|word| search_link(base, word)).collect(),
        map: (!held.boxes.is_empty()).then(|| map::world(base, &held.boxes, label, "map")),
        has_more: held.total > NEWEST,
        cards: held.newest.into_iter().map(|package| Card::of(base, package)).collect(),
    })
}

/// Answers with the packages that match a search: an identifier, words, a creator, a box, a time.
pub(crate) async fn search(app: &Arc<App>, request: &Request) -> Result<Response, Refused> {
    let number = page_number(request);
    let wanted = Wanted::of(request)?;
    let is_filtered = wanted.has_filters;
    let (total, packages) = wanted.page(app, number, RESULTS).await?;
    let base = &request.base_url;
    let value = |name: &str| request.query.get(name).unwrap_or_default().trim().to_owned();
    let mut frame = Frame::of(app, request);
    frame.query = value("q");
    render(&SearchPage {
        frame,
        creator: value("creator"),
        from: value("from"),
        to: value("to"),
        bbox: super::find::bbox_text(request),
        is_filtered,
        forms: super::results::Results::ALL
            .iter()
            .map(|(name, _)| {
                let parameters = super::find::parameters(request);
                Link::new(format!("{base}/search.{name}?{parameters}1"), name.to_uppercase())
            })
            .collect(),
        total: counted(total, "package matches", "packages match"),
        looser: if packages.is_empty() { super::find::looser(request) } else { Vec::new() },
        cards: packages.into_iter().map(|package| Card::of(base, package)).collect(),
        paging: Paging::of(&super::find::url(request), number, RESULTS, total),
    })
}

/// Returns the page of a refusal.
pub(crate) fn refusal(app: &App, request: &Request, refused: &Refused) -> Response {
    let heading = match refused.kind {
        Kind::NotFound => "Not found",
        Kind::NotAuthorized => "Not public",
        Kind::Unavailable => "Out of reach",
        Kind::ServiceFailure => "A fault of this gateway",
        Kind::TooLarge => "Too much at once",
        _ => "The request cannot be answered",
    };
    let mut message = refused.message.clone();
    if let Some(first) = message.get(..1).map(str::to_uppercase) {
        message.replace_range(..1, &first);
    }
    let page = ErrorPage {
        frame: Frame::of(app, request),
        heading,
        message,
        is_away: refused.kind == Kind::Unavailable,
        is_private: refused.kind == Kind::NotAuthorized,
        seconds: refused.retry_seconds,
    };
    render(&page).unwrap_or_else(|refused| answer::full(refused.kind.status(), "text/plain", refused.message))
}
