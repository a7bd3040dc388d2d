//! Pages for people, rendered here from the templates next to the sources.

use std::collections::HashSet;
use std::sync::Arc;

use askama::Template;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, LINK, VARY};
use axum::response::Response;
use d1_catalog::{CatalogDirectory, CatalogFile, CatalogPackage, PackageFilter, PackageKey, Page};

use super::described::Described;
use super::find::{Titled, titled};
use super::{FORMS, linked_data};
use crate::answer::{self, Kind, PAGE_POLICY, Refused, set};
use crate::app::App;
use crate::file_answer::REVALIDATE;
use crate::packages::{self, encoded_path, file_url, page_url};
use crate::request::Request;

/// The name of the gateway on its pages.
const SITE: &str = "Data packages";
/// How many files, directories or packages one page lists.
const PAGE: u64 = 200;
/// How many packages the home page lists.
const NEWEST: u64 = 10;
/// How many files the linked data inside a page name.
const SLIM_FILES: usize = 20;

#[derive(Template)]
#[template(path = "home.html")]
struct Home<'a> {
    base: &'a str,
    site: &'a str,
    query: &'a str,
    about: &'a str,
    total: u64,
    packages: Vec<Card>,
}

#[derive(Template)]
#[template(path = "search.html")]
struct SearchPage<'a> {
    base: &'a str,
    site: &'a str,
    query: &'a str,
    total: u64,
    packages: Vec<Card>,
    previous: Option<String>,
    next: Option<String>,
}

#[derive(Template)]
#[template(path = "directory.html")]
struct Directory<'a> {
    base: &'a str,
    site: &'a str,
    query: &'a str,
    title: String,
    is_root: bool,
    description: String,
    linked_data: Option<String>,
    replaced_by: Option<(String, String)>,
    crumbs: Vec<(String, String)>,
    facts: Vec<(&'static str, String)>,
    zip: String,
    sums: String,
    metalink: String,
    size: String,
    file_total: u64,
    directory_total: u64,
    directories: Vec<(String, String, String)>,
    files: Vec<FileRow>,
    previous: Option<String>,
    next: Option<String>,
    forms: Vec<(String, &'static str)>,
    reference: String,
}

#[derive(Template)]
#[template(path = "file.html")]
struct FilePage<'a> {
    base: &'a str,
    site: &'a str,
    query: &'a str,
    name: String,
    url: String,
    crumbs: Vec<(String, String)>,
    facts: Vec<(&'static str, String)>,
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    base: &'a str,
    site: &'a str,
    query: &'a str,
    heading: &'a str,
    message: &'a str,
    is_away: bool,
    seconds: u64,
}

/// A package in a list.
struct Card {
    url: String,
    title: String,
    identifier: Option<String>,
    files: u64,
    size: String,
    date: Option<String>,
}

/// A file in a table.
struct FileRow {
    url: String,
    name: String,
    media_type: String,
    size: String,
    digest: String,
}

impl Card {
    fn of(base_url: &str, Titled { package, title }: Titled) -> Self {
        let summary = &package.summary;
        let title = title.or_else(|| summary.title.clone()).or_else(|| summary.identifier.clone());
        Self {
            url: page_url(base_url, &package),
            title: title.unwrap_or_else(|| summary.tag.to_string()),
            identifier: summary.identifier.clone(),
            files: package.files,
            size: bytes(package.bytes),
            date: summary.created.as_ref().and_then(|created| created.get(..10)).map(str::to_owned),
        }
    }
}

/// Answers with the home page.
pub(crate) async fn home(app: &Arc<App>, request: &Request) -> Result<Response, Refused> {
    let mut filter = PackageFilter::default();
    filter.current_only = true;
    filter.public_only = true;
    let asked = app.store.ask(move |catalog| {
        let page = catalog.packages(&filter, 0, NEWEST)?;
        Ok((page.total, titled(catalog, page.items)?))
    });
    let (total, packages) = asked.await?;
    render(&Home {
        base: &request.base_url,
        site: SITE,
        query: "",
        about: &app.options.node.description,
        total,
        packages: packages.into_iter().map(|package| Card::of(&request.base_url, package)).collect(),
    })
}

/// Answers with the packages that match a search: an identifier, words, a creator, a box, a time.
pub(crate) async fn search(app: &Arc<App>, request: &Request) -> Result<Response, Refused> {
    let query = request.query.get("q").unwrap_or_default().trim().to_owned();
    let number = page_number(request);
    let wanted = super::find::Wanted::of(request)?;
    let asked = app.store.ask(move |catalog| {
        let page = wanted.packages(catalog, (number - 1) * PAGE, PAGE)?;
        Ok((page.total, titled(catalog, page.items)?))
    });
    let (total, packages) = asked.await?;
    let base = &request.base_url;
    let (previous, next) = neighbours(&super::find::url(request), number, total);
    render(&SearchPage {
        base,
        site: SITE,
        query: &query,
        total,
        packages: packages.into_iter().map(|package| Card::of(base, package)).collect(),
        previous,
        next,
    })
}

/// Returns the URLs of the pages before and behind a page.
fn neighbours(url: &str, number: u64, total: u64) -> (Option<String>, Option<String>) {
    let previous = (number > 1).then(|| format!("{url}{}", number - 1));
    let next = (number.saturating_mul(PAGE) < total).then(|| format!("{url}{}", number + 1));
    (previous, next)
}

/// A page of the content of a directory.
struct Listed {
    directory: CatalogDirectory,
    subdirectories: Page<CatalogDirectory>,
    files: Page<CatalogFile>,
    /// The number of the page, from 1.
    number: u64,
}

/// Reads a page of the content of a directory.
async fn list(
    app: &Arc<App>,
    request: &Request,
    package: &CatalogPackage,
    path: &str,
) -> Result<Listed, Refused> {
    let (id, wanted, number) = (package.id, path.to_owned(), page_number(request));
    let start = (number - 1) * PAGE;
    let listed = app.store.ask(move |catalog| {
        let Some(directory) = catalog.directory(id, &wanted)? else { return Ok(None) };
        let subdirectories = catalog.subdirectories(&directory, start, PAGE)?;
        let files = catalog.files_in(&directory, start, PAGE)?;
        Ok(Some(Listed { directory, subdirectories, files, number }))
    });
    listed.await?.ok_or_else(|| Refused::not_found("the package has no such directory"))
}

/// Returns the number of the page that a client wants, from 1.
fn page_number(request: &Request) -> u64 {
    let number = request.query.get("page").and_then(|page| page.parse::<u64>().ok());
    number.unwrap_or(1).clamp(1, 1 << 32)
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
    let listed = list(app, request, package, path).await?;
    let mut rows = Vec::new();
    for file in &listed.files.items {
        if app.store.may_read(package, file).await? {
            rows.push(file_row(base, key, file));
        }
    }
    if rows.is_empty() && !is_readable && listed.subdirectories.items.is_empty() {
        return Err(packages::not_public());
    }
    let described = Described::of(app, package, base).await?;
    let replaced_by = replaced_by(app, base, package).await?;
    let page = directory_page((base, key, path), package, &described, listed, rows, replaced_by);
    let mut response = render(&page)?;
    if path.is_empty() {
        set(response.headers_mut(), VARY, "Accept");
        if is_readable {
            set(response.headers_mut(), LINK, &linked_data::link_header(&described));
        }
    }
    Ok(response)
}

fn directory_page<'a>(
    (base, key, path): (&'a str, &str, &str),
    package: &CatalogPackage,
    described: &Described,
    listed: Listed,
    files: Vec<FileRow>,
    replaced_by: Option<(String, String)>,
) -> Directory<'a> {
    let below = if path.is_empty() { String::new() } else { format!("/{}", encoded_path(path)) };
    let total = listed.files.total.max(listed.subdirectories.total);
    let (previous, next) = neighbours(&format!("{base}/p/{key}{below}/?page="), listed.number, total);
    let is_root = path.is_empty();
    let has_linked_data = is_root && packages::is_readable(package);
    let directories = listed.subdirectories.items.iter().map(|directory| {
        let name = directory.path.rsplit('/').next().unwrap_or_default();
        let url = format!("{base}/p/{key}/{}/", encoded_path(&directory.path));
        (url, name.to_owned(), bytes(directory.bytes))
    });
    Directory {
        base,
        site: SITE,
        query: "",
        title: if is_root { described.title.clone() } else { path.to_owned() },
        is_root,
        description: described.description.clone(),
        linked_data: has_linked_data
            .then(|| script(&linked_data::dataset(described, SLIM_FILES).to_string())),
        replaced_by,
        crumbs: crumbs(base, key, &described.title, path),
        facts: package_facts(package, described),
        zip: format!("{base}/zip/{key}{below}"),
        sums: format!("{base}/sha256sums/{key}{below}"),
        metalink: format!("{base}/meta4/{key}{below}"),
        size: bytes(listed.directory.bytes),
        file_total: listed.files.total,
        directory_total: listed.subdirectories.total,
        directories: directories.collect(),
        files,
        previous,
        next,
        forms: FORMS.iter().map(|form| (format!("{base}/d/{key}/{}", form.name), form.name)).collect(),
        reference: format!("{}@{}", package.repository, package.summary.digest),
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

async fn replaced_by(
    app: &Arc<App>,
    base_url: &str,
    package: &CatalogPackage,
) -> Result<Option<(String, String)>, Refused> {
    let Some(identifier) = package.obsoleted_by.clone() else { return Ok(None) };
    let wanted = identifier.clone();
    let newer = app.store.ask(move |catalog| catalog.package(&PackageKey::Identifier(&wanted))).await?;
    Ok(newer.map(|newer| (page_url(base_url, &newer), identifier)))
}

fn crumbs(base_url: &str, key: &str, title: &str, path: &str) -> Vec<(String, String)> {
    let mut crumbs = vec![(format!("{base_url}/p/{key}/"), title.to_owned())];
    let mut so_far = String::new();
    for segment in path.split('/').filter(|segment| !segment.is_empty()) {
        if !so_far.is_empty() {
            so_far.push('/');
        }
        so_far += segment;
        crumbs.push((format!("{base_url}/p/{key}/{}/", encoded_path(&so_far)), segment.to_owned()));
    }
    crumbs
}

fn package_facts(package: &CatalogPackage, described: &Described) -> Vec<(&'static str, String)> {
    let creators: Vec<&str> = described.creators.iter().map(|creator| creator.name.as_str()).collect();
    let periods: Vec<String> = described
        .periods
        .iter()
        .map(|(begin, end)| {
            let side = |date: &Option<String>| date.clone().unwrap_or_else(|| "…".to_owned());
            format!("{} to {}", side(begin), side(end))
        })
        .collect();
    // Tables often share columns.
    let mut seen = HashSet::new();
    let variables = described.variables.iter().map(|variable| &variable.name);
    let variables: Vec<String> = variables.filter(|name| seen.insert(*name)).cloned().collect();
    let facts = [
        ("Creators", (!creators.is_empty()).then(|| creators.join("; "))),
        ("Identifier", described.identifier.clone()),
        ("Series", described.series_id.clone()),
        ("Version", Some(described.version.to_string())),
        ("Date", described.published.clone()),
        ("Publisher", described.publisher.clone()),
        ("Keywords", joined(&described.keywords)),
        ("Places", joined(&described.places)),
        ("Periods", joined(&periods)),
        ("Taxa", joined(&described.taxa)),
        ("Variables", joined(&variables)),
        ("Licence", described.license.clone()),
        ("Files", Some(package.files.to_string())),
        ("Size", Some(bytes(package.bytes))),
        ("Digest", Some(described.digest.clone())),
        ("Stored in", Some(package.repository.clone())),
    ];
    facts.into_iter().filter_map(|(name, fact)| Some((name, fact?))).collect()
}

/// Returns the first texts of a list, or `None` if it is empty.
fn joined(texts: &[String]) -> Option<String> {
    const MOST: usize = 30;
    let first = texts.get(..MOST).unwrap_or(texts).join("; ");
    match texts.len() {
        0 => None,
        count if count > MOST => Some(format!("{first}; and {} more", count - MOST)),
        _ => Some(first),
    }
}

fn file_row(base_url: &str, key: &str, file: &CatalogFile) -> FileRow {
    FileRow {
        url: file_url(base_url, key, &file.path),
        name: file.path.rsplit('/').next().unwrap_or_default().to_owned(),
        media_type: file.media_type.clone(),
        size: bytes(file.size),
        digest: file
            .sha256()
            .map(|sha256| hex::encode(sha256).chars().take(12).collect())
            .unwrap_or_default(),
    }
}

/// Answers with the page about a file.
pub(crate) async fn file(
    app: &Arc<App>,
    request: &Request,
    package: &CatalogPackage,
    key: &str,
    file: &CatalogFile,
) -> Result<Response, Refused> {
    let base = &request.base_url;
    let described = Described::of(app, package, base).await?;
    let (directory, name) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
    let mut facts = vec![("Size", format!("{} ({} bytes)", bytes(file.size), file.size))];
    facts.push(("Type", file.media_type.clone()));
    facts.extend(file.format_id.clone().map(|format_id| ("Format", format_id)));
    facts.extend(file.pid.clone().map(|pid| ("Identifier", pid)));
    facts.extend(file.digests.iter().filter_map(|(algorithm, digest)| {
        let name = match algorithm.name() {
            "md5" => "MD5",
            "sha1" => "SHA-1",
            "sha256" => "SHA-256",
            "sha512" => "SHA-512",
            _ => return None,
        };
        Some((name, hex::encode(digest)))
    }));
    if let Some(sha256) = file.sha256() {
        facts.push(("URL of the content", packages::hash_url(base, &sha256)));
    }
    facts.extend(file.pid.as_deref().map(|pid| ("URL of the object", packages::object_url(base, pid))));
    render(&FilePage {
        base,
        site: SITE,
        query: "",
        name: name.to_owned(),
        url: file_url(base, key, &file.path),
        crumbs: crumbs(base, key, &described.title, directory),
        facts,
    })
}

/// Returns the page of a refusal.
pub(crate) fn refusal(request: &Request, refused: &Refused) -> Response {
    let heading = match refused.kind {
        Kind::NotFound => "Not found",
        Kind::NotAuthorized => "Not public",
        Kind::Unavailable => "Out of reach",
        Kind::ServiceFailure => "Something is wrong here",
        _ => "The request cannot be answered",
    };
    let page = ErrorPage {
        base: &request.base_url,
        site: SITE,
        query: "",
        heading,
        message: &refused.message,
        is_away: refused.kind == Kind::Unavailable,
        seconds: refused.retry_seconds,
    };
    render(&page).unwrap_or_else(|refused| answer::full(refused.kind.status(), "text/plain", refused.message))
}

/// Answers with the style sheet.
pub(crate) fn style() -> Response {
    let mut response =
        answer::full(StatusCode::OK, "text/css; charset=utf-8", include_str!("../../templates/style.css"));
    set(response.headers_mut(), CACHE_CONTROL, "public, max-age=3600");
    response
}

fn render(page: &impl Template) -> Result<Response, Refused> {
    let failed = |_| Refused::new(Kind::ServiceFailure, "the page cannot be written");
    let text = page.render().map_err(failed)?;
    let mut response = answer::full(StatusCode::OK, "text/html; charset=utf-8", text);
    set(response.headers_mut(), CONTENT_SECURITY_POLICY, PAGE_POLICY);
    set(response.headers_mut(), CACHE_CONTROL, REVALIDATE);
    Ok(response)
}

/// Returns JSON for a script element: nothing in it can end the element.
fn script(json: &str) -> String {
    json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

/// Returns a number of bytes for people.
fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    // Tenths of the unit, so that no fraction is lost before the last division.
    let (mut tenths, mut unit) = (u128::from(count) * 10 / 1024, 0);
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS.get(unit).copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::{bytes, script};

    #[test]
    fn sizes_for_people() {
        for (count, expected) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_572_864, "1.5 MiB"),
            (u64::MAX, "16383.9 PiB"),
        ] {
            assert_eq!(bytes(count), expected);
        }
    }

    #[test]
    fn linked_data_cannot_end_their_element() {
        assert_eq!(script("{\"a\":\"</script><!--\"}"), "{\"a\":\"\\u003c/script\\u003e\\u003c!--\"}");
    }
}
