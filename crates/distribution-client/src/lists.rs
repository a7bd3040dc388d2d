//! Paged lists: their pages (distribution-spec, "Listing Tags" and "Listing Referrers"), and the tags.

use std::collections::HashSet;
use std::future::ready;

use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use http_transfer::{
    Answer, HeaderValue, Method, StatusCode, html_title, looks_like_html, resolve, same_origin, shortened,
    without_query,
};
use oci_model::Tag;
use registry_backend::{Error, Result};
use reqwest::header::{ACCEPT, LINK};
use serde::Deserialize;

use crate::context::Context;
use crate::headers::next_link;
use crate::registry::{Call, Registry, Sent};
use crate::repository::{Doing, Repository};

/// The most pages that are followed: with a hundred tags on each, that is a million tags.
const MOST_PAGES: usize = 10_000;

/// The most pages in a row that bring nothing new.
const MOST_EMPTY_PAGES: usize = 16;

/// The largest page in bytes: Docker's registry before version 3 lists everything on one.
const LARGEST_PAGE: u64 = 64 * 1024 * 1024;

/// The most bytes of all pages of a list. Ten million tags of 25 characters fit.
const MOST_BYTES: u64 = 256 * 1024 * 1024;

/// The pages of a list, one request after the other.
#[derive(Debug)]
pub(crate) struct Pages {
    registry: Registry,
    next: Option<Call>,
    context: Context,
    seen: HashSet<String>,
    empty: usize,
    bytes: u64,
}

impl Pages {
    pub(crate) fn new(registry: Registry, first: Call, context: Context) -> Self {
        Self { registry, next: Some(first.staying()), context, seen: HashSet::new(), empty: 0, bytes: 0 }
    }

    /// Notes how much was new on the last page.
    ///
    /// # Errors
    ///
    /// If too many pages in a row brought nothing.
    pub(crate) fn note(&mut self, found: usize) -> Result<()> {
        self.empty = if found == 0 { self.empty + 1 } else { 0 };
        if self.empty > MOST_EMPTY_PAGES {
            return Err(self.context.protocol("the registry's list goes on without new entries"));
        }
        Ok(())
    }

    /// Returns the next page, `None` after the last. A first page with the status 404 is returned too: the reader
    /// decides what it means.
    pub(crate) async fn next_page(&mut self) -> Result<Option<Answer>> {
        let Some(call) = self.next.take() else { return Ok(None) };
        if self.seen.len() >= MOST_PAGES || !self.seen.insert(call.request.url.to_string()) {
            return Err(self.context.protocol("the registry's list has no end"));
        }
        let registry = &self.registry;
        let limit = LARGEST_PAGE.min(MOST_BYTES.saturating_sub(self.bytes));
        let answer = registry.exchange(&call, Sent::Nothing, limit, &self.context).await?;
        self.bytes = self.bytes.saturating_add(answer.body.len() as u64);
        if answer.status == StatusCode::NOT_FOUND && self.seen.len() == 1 {
            return Ok(Some(answer));
        }
        let answer = registry.expect(answer, &[StatusCode::OK], &self.context)?;
        let links = answer.headers.get_all(LINK);
        if let Some(target) = next_link(links.iter().filter_map(|value| value.to_str().ok())) {
            let url = resolve(&answer.url, registry.network().await, target).map_err(|reason| {
                self.context.protocol(format!("the link to the next page is refused: {reason}"))
            })?;
            if !same_origin(&url, &call.request.url) {
                return Err(self.context.protocol("the next page is on another host"));
            }
            let mut next = call;
            next.request.url = url;
            self.next = Some(next);
        }
        Ok(Some(answer))
    }
}

/// Returns the error for a document that cannot be read.
pub(crate) fn unreadable(
    answer: &Answer,
    expected: &str,
    error: serde_json::Error,
    context: &Context,
) -> Error {
    let place = without_query(&answer.url);
    if looks_like_html(&answer.body) {
        let page = String::from_utf8_lossy(&answer.body);
        let title = shortened(html_title(&page).unwrap_or("without a title"), 100);
        return context.protocol(format!("expected {expected}, found a web page at {place}: {title}"));
    }
    context.protocol(format!("expected {expected}, found something else at {place}")).caused_by(error)
}

#[derive(Deserialize)]
struct TagList {
    // Several registries write `null` for an empty list.
    tags: Option<Vec<String>>,
}

impl Repository {
    /// Lists all tags, each once, without those under which referrers are kept.
    ///
    /// # Errors
    ///
    /// [`NotFound`](registry_backend::ErrorKind::NotFound) if the registry knows no repository of this name. A repository
    /// comes into being with its first content.
    pub fn tags(&self) -> BoxStream<'static, Result<Tag>> {
        self.all_tags().try_filter(|tag| ready(!is_fallback_tag(tag))).boxed()
    }

    /// Lists the tags under which referrers are kept.
    pub(crate) async fn fallback_tags(&self) -> Result<HashSet<Tag>> {
        self.all_tags().try_filter(|tag| ready(is_fallback_tag(tag))).try_collect().await
    }

    fn all_tags(&self) -> BoxStream<'static, Result<Tag>> {
        let listing = TagListing { repository: self.clone(), pages: None, seen: HashSet::new() };
        stream::try_unfold(listing, TagListing::step)
            .map_ok(|tags| stream::iter(tags.into_iter().map(Ok)))
            .try_flatten()
            .boxed()
    }
}

/// A listing of tags, before or after its first page.
struct TagListing {
    repository: Repository,
    pages: Option<Pages>,
    seen: HashSet<Tag>,
}

impl TagListing {
    async fn step(mut self) -> Result<Option<(Vec<Tag>, Self)>> {
        let pages = match &mut self.pages {
            Some(pages) => pages,
            None => {
                let repository = &self.repository;
                let context = Context::new("list the tags of", repository);
                let call = repository.call(Method::GET, format_args!("tags/list"), Doing::Read, &context)?;
                let call = call.with_parameter("n", &repository.profile().page_size.to_string());
                let call = call.with_header(ACCEPT, HeaderValue::from_static("application/json"));
                self.pages.insert(Pages::new(repository.registry().clone(), call, context))
            }
        };
        let Some(answer) = pages.next_page().await? else { return Ok(None) };
        let answer = self.repository.registry().expect(answer, &[StatusCode::OK], &pages.context)?;
        let tags = read_tags(&answer, &pages.context, &mut self.seen)?;
        pages.note(tags.len())?;
        Ok(Some((tags, self)))
    }
}

/// Reads the tags of a page that no earlier page had, with those under which referrers are kept.
fn read_tags(answer: &Answer, context: &Context, seen: &mut HashSet<Tag>) -> Result<Vec<Tag>> {
    let list: TagList = serde_json::from_slice(&answer.body)
        .map_err(|error| unreadable(answer, "a list of tags", error, context))?;
    let mut new = Vec::new();
    for text in list.tags.unwrap_or_default() {
        match text.parse::<Tag>() {
            Ok(tag) => new.extend(seen.insert(tag.clone()).then_some(tag)),
            // No request can name it.
            Err(error) => tracing::warn!(%error, "the registry lists an invalid tag"),
        }
    }
    Ok(new)
}

/// Tells whether a tag is the fallback tag of a subject with a known algorithm.
pub(crate) fn is_fallback_tag(tag: &Tag) -> bool {
    let encoded = tag.as_str().strip_prefix("sha256-").or_else(|| tag.as_str().strip_prefix("sha512-"));
    encoded.is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
}

#[cfg(test)]
mod tests {
    use http_transfer::{HeaderMap, Url};

    use super::*;

    fn page(status: u16, body: &str) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: body.to_owned().into(),
            is_whole: true,
            url: Url::parse("https://r.example/v2/a/tags/list?n=1").unwrap(),
        }
    }

    #[test]
    fn a_page_is_read_with_the_oddities_of_the_field() {
        let context = Context::new("list the tags of", "a");
        let fallback = format!("sha256-{}", "a".repeat(64));
        let body = format!(r#"{{"name":"a","tags":["b","a","b","-bad","{fallback}"],"next":1}}"#);
        let mut seen = HashSet::new();
        let read = read_tags(&page(200, &body), &context, &mut seen).unwrap();
        let (of_referrers, tags): (Vec<Tag>, Vec<Tag>) = read.into_iter().partition(is_fallback_tag);
        assert_eq!(tags.iter().map(Tag::as_str).collect::<Vec<_>>(), ["b", "a"]);
        assert_eq!(of_referrers.iter().map(Tag::as_str).collect::<Vec<_>>(), [fallback]);
        let again = read_tags(&page(200, r#"{"tags":["a","c"]}"#), &context, &mut seen).unwrap();
        assert_eq!(again.iter().map(Tag::as_str).collect::<Vec<_>>(), ["c"]);
        for body in [r#"{"tags":null}"#, "{}"] {
            assert!(read_tags(&page(200, body), &context, &mut seen).unwrap().is_empty(), "{body}");
        }
    }

    #[test]
    fn a_web_page_instead_of_a_list_is_named_with_its_address() {
        let context = Context::new("list the tags of", "a");
        let answer = page(200, "<!doctype html><title>Sign in</title>");
        let error = read_tags(&answer, &context, &mut HashSet::new()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot list the tags of a: expected a list of tags, found a web page at \
             https://r.example/v2/a/tags/list: Sign in"
        );
    }
}
