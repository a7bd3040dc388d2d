//! Searching packages by words, creators, places and times.

use d1_catalog::d1_metadata::{BoundingBox, ScienceMetadata};
use d1_catalog::{Catalog, CatalogPackage, PackageFilter, PackageKey, Page, SearchQuery};
use jiff::civil::Date;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::answer::Refused;
use crate::app::App;
use crate::packages::is_readable;
use crate::request::Request;

/// The parameters of a search.
const PARAMETERS: [&str; 5] = ["q", "creator", "bbox", "from", "to"];
/// The sides of a box, as a form sends them.
const SIDES: [&str; 4] = ["west", "south", "east", "north"];

/// The packages that a client looks for.
pub(super) struct Wanted {
    words: String,
    query: SearchQuery,
    /// Whether there are other conditions than words.
    pub(super) has_filters: bool,
}

impl Wanted {
    /// Reads the parameters of a search.
    ///
    /// # Errors
    ///
    /// `InvalidRequest` if a box or a date cannot be read.
    pub(super) fn of(request: &Request) -> Result<Self, Refused> {
        let text = |name: &str| request.query.get(name).map(str::trim).filter(|text| !text.is_empty());
        let date = |name: &str| {
            let read = |text: &str| text.parse::<Date>().ok();
            let wrong = || Refused::invalid(format!("expected a date such as 2024-09-18 in `{name}`"));
            text(name).map(|text| read(text).ok_or_else(wrong)).transpose()
        };
        let mut query = SearchQuery::default();
        query.text = text("q").map(str::to_owned);
        query.creator = text("creator").map(str::to_owned);
        let bbox = bbox_text(request);
        query.bbox = (!bbox.is_empty()).then(|| bounds(&bbox)).transpose()?;
        query.from = date("from")?;
        query.to = date("to")?;
        query.public_only = true;
        query.current_only = true;
        let others = PARAMETERS.iter().filter(|name| **name != "q" && **name != "bbox");
        let has_filters = query.bbox.is_some() || others.into_iter().any(|name| text(name).is_some());
        Ok(Self { words: query.text.clone().unwrap_or_default(), query, has_filters })
    }

    /// Returns the number of packages that match, and those of a page, from 1, with their metadata.
    pub(super) async fn page(self, app: &App, number: u64, size: u64) -> Result<(u64, Vec<Titled>), Refused> {
        let asked = app.store.ask(move |catalog| {
            let page = self.packages(catalog, (number - 1).saturating_mul(size), size)?;
            Ok((page.total, titled(catalog, page.items)?))
        });
        asked.await
    }

    /// Returns a page of the current packages that match and that everybody may read.
    fn packages(
        &self,
        catalog: &Catalog,
        start: u64,
        count: u64,
    ) -> d1_catalog::Result<Page<CatalogPackage>> {
        if self.words.is_empty() && !self.has_filters {
            let mut filter = PackageFilter::default();
            filter.current_only = true;
            filter.public_only = true;
            return catalog.packages(&filter, start, count);
        }
        let mut items: Vec<_> = catalog.package(&PackageKey::Identifier(&self.words))?.into_iter().collect();
        if items.is_empty()
            && let Some(object) = catalog.object(&self.words)?.filter(d1_catalog::CatalogObject::is_public)
        {
            items = catalog.packages_of_object(&object.pid)?;
        }
        items.retain(is_readable);
        if !items.is_empty() {
            return Ok(Page { total: items.len() as u64, items });
        }
        let found = catalog.search(&self.query, start, count)?;
        let mut items: Vec<CatalogPackage> = found.items.into_iter().map(|hit| hit.package).collect();
        // A package with two matching documents is one result.
        items.dedup_by_key(|package| package.id);
        Ok(Page { total: found.total, items })
    }
}

/// A package in a list, with the metadata that describe it.
pub(super) struct Titled {
    pub(super) package: CatalogPackage,
    pub(super) document: ScienceMetadata,
}

impl Titled {
    /// Returns the title: that of the metadata, of the package, or its identifier or tag.
    pub(super) fn title(&self) -> String {
        let summary = &self.package.summary;
        let title = self.document.title.as_ref().or(summary.title.as_ref()).or(summary.identifier.as_ref());
        title.cloned().unwrap_or_else(|| summary.tag.to_string())
    }
}

/// Returns the packages of a page that everybody may read, with the metadata that describe them.
pub(super) fn titled(catalog: &Catalog, packages: Vec<CatalogPackage>) -> d1_catalog::Result<Vec<Titled>> {
    let readable = packages.into_iter().filter(is_readable);
    readable
        .map(|package| {
            let documents = catalog.science_metadata(package.id)?.into_iter().map(|stored| stored.metadata);
            let document =
                documents.into_iter().find(|document| document.title.is_some()).unwrap_or_default();
            Ok(Titled { package, document })
        })
        .collect()
}

/// Returns the box of a search as one text. A form may send its sides one by one: without one of them, it is empty.
pub(super) fn bbox_text(request: &Request) -> String {
    let text = |name: &str| request.query.get(name).map(str::trim).filter(|text| !text.is_empty());
    if let Some(all) = text("bbox") {
        return all.to_owned();
    }
    let sides: Option<Vec<&str>> = SIDES.iter().map(|name| text(name)).collect();
    sides.map(|sides| sides.join(",")).unwrap_or_default()
}

/// Returns the searches that leave out one condition, with the name of this condition.
pub(super) fn looser(request: &Request) -> Vec<(String, String)> {
    let given = |name: &&&str| request.query.get(name).is_some_and(|value| !value.trim().is_empty());
    let names: Vec<&&str> = PARAMETERS.iter().filter(given).collect();
    if names.len() < 2 {
        return Vec::new();
    }
    let without = |left_out: &str| {
        let kept = names.iter().filter(|name| ***name != left_out);
        let pairs: Vec<String> = kept.map(|name| parameter(request, name)).collect();
        format!("{}/search?{}", request.base_url, pairs.join("&"))
    };
    names.iter().map(|name| (without(name), label(name).to_owned())).collect()
}

/// Returns the name of a condition for people.
fn label(parameter: &str) -> &'static str {
    match parameter {
        "q" => "the words",
        "creator" => "the creator",
        "bbox" => "the place",
        "from" => "the first day",
        _ => "the last day",
    }
}

fn parameter(request: &Request, name: &str) -> String {
    let value = request.query.get(name).unwrap_or_default();
    format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC))
}

/// Reads a box: west, south, east, north.
fn bounds(text: &str) -> Result<BoundingBox, Refused> {
    let wrong = || Refused::invalid("expected four numbers in `bbox`: west,south,east,north");
    let numbers: Option<Vec<f64>> = text.split(',').map(|number| number.trim().parse().ok()).collect();
    match numbers.ok_or_else(wrong)?.as_slice() {
        [west, south, east, north] if [west, south, east, north].iter().all(|number| number.is_finite()) => {
            Ok(BoundingBox { west: *west, south: *south, east: *east, north: *north, description: None })
        }
        _ => Err(wrong()),
    }
}

/// Returns the URL of a search up to the number of its page.
pub(super) fn url(request: &Request) -> String {
    format!("{}/search?{}", request.base_url, parameters(request))
}

/// Returns the parameters of a search up to the number of its page.
pub(super) fn parameters(request: &Request) -> String {
    let given = PARAMETERS.iter().chain(&SIDES).filter(|name| request.query.get(name).is_some());
    let pairs: String = given.map(|name| parameter(request, name) + "&").collect();
    format!("{pairs}page=")
}
