//! Listing tags, page by page.

use std::collections::HashSet;
use std::pin::Pin;

use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use oci_model::Tag;
use registry_backend::Result;
use reqwest::header::{ACCEPT, HeaderValue};
use reqwest::{Method, StatusCode};
use serde::Deserialize;

use crate::context::Context;
use crate::fallback_tag::is_fallback_tag;
use crate::pages::Pages;
use crate::registry::Answer;
use crate::repository::{Doing, Repository};

#[derive(Deserialize)]
struct TagList {
    // `null` where there are none, as several registries write it.
    tags: Option<Vec<String>>,
}

impl Repository {
    /// Lists all tags, each once; not those under which referrers are kept.
    pub fn tags(&self) -> BoxStream<'static, Result<Tag>> {
        let repository = self.clone();
        let listed = async move {
            let context = repository.context("list tags", "all");
            let mut call = repository.call(Method::GET, format_args!("tags/list"), Doing::Read, &context)?;
            let page_size = repository.profile().page_size.to_string();
            call.url.query_pairs_mut().append_pair("n", &page_size);
            let call = call.with_header(ACCEPT, HeaderValue::from_static("application/json"));
            Ok(tags_of_pages(Pages::new(repository, call, context)))
        };
        let listed: Pin<Box<dyn Future<Output = Result<_>> + Send>> = Box::pin(listed);
        stream::once(listed).try_flatten().boxed()
    }
}

fn tags_of_pages(pages: Pages) -> BoxStream<'static, Result<Tag>> {
    let context = pages.context().clone();
    let mut seen = HashSet::new();
    pages
        .into_stream(move |answer| read_page(answer, &context, &mut seen))
        .map_ok(|tags| stream::iter(tags.into_iter().map(Ok)))
        .try_flatten()
        .boxed()
}

fn read_page(answer: &Answer, context: &Context, seen: &mut HashSet<Tag>) -> Result<Vec<Tag>> {
    // A repository comes into being with its first content.
    if answer.status == StatusCode::NOT_FOUND {
        return Ok(Vec::new());
    }
    let list: TagList = serde_json::from_slice(&answer.body)
        .map_err(|error| context.protocol("the list of tags is not what it should be").caused_by(error))?;
    let mut new = Vec::new();
    for text in list.tags.unwrap_or_default() {
        match text.parse::<Tag>() {
            Ok(tag) if is_fallback_tag(&tag) => {}
            Ok(tag) => new.extend(seen.insert(tag.clone()).then_some(tag)),
            // Nothing could be asked for by it.
            Err(error) => tracing::warn!(%error, "the registry lists what is no tag"),
        }
    }
    Ok(new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Answer;

    fn page(status: u16, body: &str) -> Answer {
        Answer::for_test(status, body)
    }

    #[test]
    fn a_page_is_read_with_the_oddities_of_the_field() {
        let context = Context::new("list tags", "all");
        let fallback = format!("sha256-{}", "a".repeat(64));
        let body = format!(r#"{{"name":"a","tags":["b","a","b","-bad","{fallback}"],"next":1}}"#);
        let mut seen = HashSet::new();
        let tags = read_page(&page(200, &body), &context, &mut seen).unwrap();
        assert_eq!(tags.iter().map(Tag::as_str).collect::<Vec<_>>(), ["b", "a"]);
        let again = read_page(&page(200, r#"{"tags":["a","c"]}"#), &context, &mut seen).unwrap();
        assert_eq!(again.iter().map(Tag::as_str).collect::<Vec<_>>(), ["c"]);
        for (status, body) in [(200, r#"{"tags":null}"#), (200, "{}"), (404, "no")] {
            assert!(read_page(&page(status, body), &context, &mut seen).unwrap().is_empty(), "{body}");
        }
        assert!(read_page(&page(200, "<html>"), &context, &mut seen).is_err());
    }
}
