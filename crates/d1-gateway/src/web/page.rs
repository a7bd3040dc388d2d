//! The frame of all pages, and texts for people: sizes, page numbers, breadcrumbs.

use askama::Template;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY};
use axum::response::Response;

use super::assets::PATHS;
use crate::answer::{self, Kind, PAGE_POLICY, Refused, set};
use crate::app::App;
use crate::file_answer::REVALIDATE;
use crate::packages::encoded_path;
use crate::request::Request;

/// The parts that all pages have.
pub(super) struct Frame {
    /// The URL of the gateway, without a slash at its end.
    pub(super) base: String,
    /// The name of the gateway.
    pub(super) site: String,
    /// The words in the search field.
    pub(super) query: String,
    pub(super) style: String,
    pub(super) script: String,
    pub(super) icon: String,
    pub(super) version: &'static str,
}

impl Frame {
    pub(super) fn of(app: &App, request: &Request) -> Self {
        let base = request.base_url.clone();
        Self {
            style: format!("{base}{}", PATHS.style),
            script: format!("{base}{}", PATHS.script),
            icon: format!("{base}{}", PATHS.icon),
            site: app.options.node.name.clone(),
            query: String::new(),
            version: env!("CARGO_PKG_VERSION"),
            base,
        }
    }
}

/// A text that leads somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) url: String,
    pub(super) text: String,
}

impl Link {
    pub(super) fn new(url: impl Into<String>, text: impl Into<String>) -> Self {
        Self { url: url.into(), text: text.into() }
    }
}

/// Returns a link to the search for a word.
pub(super) fn search_link(base_url: &str, word: &str) -> Link {
    let encoded = percent_encoding::utf8_percent_encode(word, percent_encoding::NON_ALPHANUMERIC);
    Link::new(format!("{base_url}/search?q={encoded}"), cut(word, 60))
}

/// The place of a page among others: `rows 201 to 400 of 1000`.
#[derive(Clone, Debug, Default)]
pub(super) struct Paging {
    pub(super) previous: Option<String>,
    pub(super) next: Option<String>,
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) total: u64,
}

impl Paging {
    /// Returns the place of the page with this number, from 1. `url` ends where the number of a page begins.
    pub(super) fn of(url: &str, number: u64, size: u64, total: u64) -> Self {
        let start = (number - 1).saturating_mul(size);
        let last = start.saturating_add(size).min(total);
        Self {
            previous: (number > 1).then(|| format!("{url}{}", number - 1)),
            next: (last < total && start < total).then(|| format!("{url}{}", number + 1)),
            first: (start + 1).min(total),
            last,
            total,
        }
    }
}

/// Returns the number of the page that a client wants, from 1.
pub(super) fn page_number(request: &Request) -> u64 {
    let number = request.query.get("page").and_then(|page| page.parse::<u64>().ok());
    number.unwrap_or(1).clamp(1, 1 << 32)
}

/// Returns the links from a package to a directory or file in it. The last one is the place itself.
pub(super) fn crumbs(base_url: &str, key: &str, title: &str, path: &str) -> Vec<Link> {
    let mut crumbs = vec![Link::new(format!("{base_url}/p/{key}/"), cut(title, 60))];
    let mut end = 0;
    for segment in path.split('/').filter(|segment| !segment.is_empty()) {
        end += segment.len() + 1;
        let until = path.get(..end - 1).unwrap_or(path);
        crumbs.push(Link::new(format!("{base_url}/p/{key}/{}/", encoded_path(until)), segment));
    }
    crumbs
}

/// Renders a page.
pub(super) fn render(page: &impl Template) -> Result<Response, Refused> {
    let failed = |_| Refused::new(Kind::ServiceFailure, "the page cannot be written");
    let text = page.render().map_err(failed)?;
    let mut response = answer::full(StatusCode::OK, "text/html; charset=utf-8", text);
    set(response.headers_mut(), CONTENT_SECURITY_POLICY, PAGE_POLICY);
    set(response.headers_mut(), CACHE_CONTROL, REVALIDATE);
    Ok(response)
}

/// Returns JSON for a script element: nothing in it can end the element.
pub(super) fn script(json: &str) -> String {
    json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

/// Returns a number of bytes for people.
pub(super) fn bytes(count: u64) -> String {
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

/// Returns a count with a thin space between thousands.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) && digits.len() > 4 {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// Returns a count with its noun: `1 file`, `2 files`.
pub(super) fn counted(number: u64, noun: &str, plural: &str) -> String {
    format!("{} {}", count(number), if number == 1 { noun } else { plural })
}

/// Returns a text of at most this many characters.
pub(super) fn cut(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default().trim_end()),
    }
}

/// Returns the paragraphs of a text, which empty lines separate.
pub(super) fn paragraphs(text: &str) -> Vec<String> {
    let parts = text.split("\n\n").map(str::trim).filter(|part| !part.is_empty());
    parts.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::{Paging, bytes, count, crumbs, cut, script};

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
    fn counts_and_texts_for_people() {
        assert_eq!(count(9999), "9999");
        assert_eq!(count(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(cut("äöü", 2), "äö…");
        assert_eq!(cut("äöü", 3), "äöü");
    }

    #[test]
    fn linked_data_cannot_end_their_element() {
        assert_eq!(script("{\"a\":\"</script><!--\"}"), "{\"a\":\"\\u003c/script\\u003e\\u003c!--\"}");
    }

    #[test]
    fn pages_have_neighbours_only_where_rows_are() {
        let place = |number| {
            let paging = Paging::of("u?page=", number, 10, 25);
            (paging.previous.is_some(), paging.next.is_some(), paging.first, paging.last)
        };
        assert_eq!(place(1), (false, true, 1, 10));
        assert_eq!(place(3), (true, false, 21, 25));
        assert_eq!(place(9), (true, false, 25, 25));
        assert_eq!(Paging::of("", 1, 10, 0).first, 0);
    }

    #[test]
    fn crumbs_lead_to_every_directory() {
        let urls: Vec<String> = crumbs("b", "k", "t", "a b/c").into_iter().map(|link| link.url).collect();
        assert_eq!(urls, ["b/p/k/", "b/p/k/a%20b/", "b/p/k/a%20b/c/"]);
    }
}
