//! The results of a search for programs: JSON, CSV, and Atom for feed readers. They list what the page of the same query lists.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::response::Response;
use jiff::Timestamp;
use serde_json::json;

use super::find::{self, Titled, Wanted};
use super::kept;
use super::page::{cut, page_number};
use crate::answer::{Kind, Refused};
use crate::app::App;
use crate::packages::page_url;
use crate::request::Request;
use crate::xml::{DECLARATION, element, escaped};

/// How many packages one answer lists.
const PAGE: u64 = 100;
/// The longest summary in a feed, in characters.
const LONGEST_SUMMARY: usize = 1000;

/// A form of the results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Results {
    Json,
    Csv,
    Atom,
}

impl Results {
    /// All forms, with the ends of their URLs.
    pub(super) const ALL: [(&str, Self); 3] =
        [("json", Self::Json), ("csv", Self::Csv), ("atom", Self::Atom)];
}

/// One result.
struct Found {
    url: String,
    identifier: Option<String>,
    title: String,
    creators: Vec<String>,
    summary: Option<String>,
    created: Option<String>,
    files: u64,
    bytes: u64,
    digest: String,
}

impl Found {
    fn of(base_url: &str, titled: Titled) -> Self {
        let title = titled.title();
        let Titled { package, document } = titled;
        let summary = &package.summary;
        Self {
            url: page_url(base_url, &package),
            identifier: summary.identifier.clone(),
            title,
            creators: document.creators.into_iter().map(|party| party.name).collect(),
            summary: document.r#abstract.map(|text| cut(&text, LONGEST_SUMMARY)),
            // The annotation is a claim; only a date is passed on.
            created: summary
                .created
                .as_ref()
                .and_then(|date| date.parse::<Timestamp>().ok())
                .map(|date| date.to_string()),
            files: package.files,
            bytes: package.bytes,
            digest: summary.digest.to_string(),
        }
    }
}

/// Answers a request for `/search.json`, `/search.csv` or `/search.atom`.
pub(crate) async fn results(app: &Arc<App>, request: &Request, form: &str) -> Result<Response, Refused> {
    let known = Results::ALL.iter().find(|(name, _)| *name == form);
    let (_, form) = known.ok_or_else(|| Refused::not_found("results have no such form"))?;
    let number = page_number(request);
    let wanted = Wanted::of(request)?;
    let (total, packages) = wanted.page(app, number, PAGE).await?;
    let found: Vec<Found> =
        packages.into_iter().map(|package| Found::of(&request.base_url, package)).collect();
    let next = number.saturating_mul(PAGE) < total;
    Ok(match form {
        Results::Json => {
            let next = next.then(|| page_of(request, "json", number + 1));
            kept(request, "application/json", as_json(&found, total, next.as_deref()))
        }
        Results::Csv => kept(request, "text/csv; charset=utf-8; header=present", as_csv(&found)?),
        Results::Atom => {
            let next = next.then(|| page_of(request, "atom", number + 1));
            kept(request, "application/atom+xml", as_atom(app, request, &found, next.as_deref()))
        }
    })
}

/// Returns the URL of a page of the same results.
fn page_of(request: &Request, form: &str, number: u64) -> String {
    format!("{}/search.{form}?{}{number}", request.base_url, find::parameters(request))
}

fn as_json(found: &[Found], total: u64, next: Option<&str>) -> String {
    let packages: Vec<_> = found
        .iter()
        .map(|one| {
            json!({
                "url": one.url,
                "identifier": one.identifier,
                "title": one.title,
                "creators": one.creators,
                "abstract": one.summary,
                "created": one.created,
                "files": one.files,
                "bytes": one.bytes,
                "digest": one.digest,
            })
        })
        .collect();
    json!({ "total": total, "next": next, "packages": packages }).to_string()
}

fn as_csv(found: &[Found]) -> Result<String, Refused> {
    let failed = || Refused::new(Kind::ServiceFailure, "the table cannot be written");
    let mut writer = csv::Writer::from_writer(Vec::new());
    let head = ["identifier", "title", "creators", "created", "files", "bytes", "digest", "url"];
    writer.write_record(head).map_err(|_| failed())?;
    for one in found {
        let (files, bytes) = (one.files.to_string(), one.bytes.to_string());
        let (identifier, creators) = (one.identifier.as_deref().unwrap_or_default(), one.creators.join("; "));
        let created = one.created.as_deref().unwrap_or_default();
        let record = [
            &inert(identifier),
            &inert(&one.title),
            &inert(&creators),
            created,
            &files,
            &bytes,
            &one.digest,
            &one.url,
        ];
        writer.write_record(record).map_err(|_| failed())?;
    }
    let bytes = writer.into_inner().map_err(|_| failed())?;
    String::from_utf8(bytes).map_err(|_| failed())
}

/// Returns a text that a spreadsheet does not take for a formula.
fn inert(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_owned() }
}

/// Writes a feed (RFC 4287).
fn as_atom(app: &App, request: &Request, found: &[Found], next: Option<&str>) -> String {
    // A feed needs a date: that of its newest entry, or of the beginning where there is none.
    const NO_DATE: &str = "1970-01-01T00:00:00Z";
    let updated = found.iter().filter_map(|one| one.created.as_deref()).max().unwrap_or(NO_DATE);
    let own = page_of(request, "atom", page_number(request));
    let html = format!("{}/search?{}1", request.base_url, find::parameters(request));
    let mut text = format!("{DECLARATION}<feed xmlns=\"http://www.w3.org/2005/Atom\">\n");
    text += &element("title", &app.options.node.name);
    text += &element("id", &own);
    text += &element("updated", updated);
    for (relation, url) in [("self", Some(own.as_str())), ("alternate", Some(&html)), ("next", next)] {
        if let Some(url) = url {
            let _ = write!(text, "<link rel=\"{relation}\" href=\"{}\"/>", escaped(url));
        }
    }
    for one in found {
        text += "\n<entry>";
        text += &element("title", &one.title);
        text += &element("id", &one.url);
        text += &element("updated", one.created.as_deref().unwrap_or(NO_DATE));
        let _ = write!(text, "<link href=\"{}\"/>", escaped(&one.url));
        let authors =
            if one.creators.is_empty() { vec![app.options.node.name.clone()] } else { one.creators.clone() };
        for author in &authors {
            let _ = write!(text, "<author>{}</author>", element("name", author));
        }
        text += &one.summary.as_ref().map(|summary| element("summary", summary)).unwrap_or_default();
        text += "</entry>";
    }
    text + "\n</feed>\n"
}

#[cfg(test)]
mod tests {
    use super::inert;

    #[test]
    fn cells_are_no_formulas() {
        assert_eq!(inert("=HYPERLINK(\"http://a\")"), "'=HYPERLINK(\"http://a\")");
        assert_eq!(inert("a=b"), "a=b");
    }
}
