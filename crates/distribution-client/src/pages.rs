//! Following the links of a paged list (distribution-spec, "Listing Tags" and "Listing Referrers").

use std::collections::HashSet;

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use http_transfer::{resolve, same_origin};
use registry_backend::Result;
use reqwest::StatusCode;
use reqwest::header::LINK;

use crate::context::Context;
use crate::http::link::next_link;
use crate::registry::{Answer, Call, Payload};
use crate::repository::Repository;

/// The pages of a list, one request after the other.
#[derive(Debug)]
pub(crate) struct Pages {
    repository: Repository,
    next: Option<Call>,
    context: Context,
    seen: HashSet<String>,
    empty: usize,
}

/// The most pages that are followed: a registry of a hundred tags a page would have a million tags by then.
const MOST_PAGES: usize = 10_000;

/// The most pages in a row that bring nothing new.
const MOST_EMPTY_PAGES: usize = 16;

/// The largest page that is read in bytes: Docker's registry before version 3 lists everything on one.
const LARGEST_PAGE: u64 = 64 * 1024 * 1024;

impl Pages {
    pub(crate) fn new(repository: Repository, first: Call, context: Context) -> Self {
        Self { repository, next: Some(first.staying()), context, seen: HashSet::new(), empty: 0 }
    }

    pub(crate) fn context(&self) -> &Context {
        &self.context
    }

    /// Returns what `read` finds on each page.
    pub(crate) fn into_stream<T: Send + 'static>(
        self,
        read: impl FnMut(&Answer) -> Result<Vec<T>> + Send + 'static,
    ) -> BoxStream<'static, Result<Vec<T>>> {
        stream::try_unfold((self, read), |(mut pages, mut read)| async move {
            let Some(answer) = pages.next_page().await? else { return Ok(None) };
            let found = read(&answer)?;
            pages.note(found.len())?;
            Ok(Some((found, (pages, read))))
        })
        .boxed()
    }

    /// Notes how much was new on the last page.
    ///
    /// # Errors
    ///
    /// If nothing was for too long.
    pub(crate) fn note(&mut self, found: usize) -> Result<()> {
        self.empty = if found == 0 { self.empty + 1 } else { 0 };
        if self.empty > MOST_EMPTY_PAGES {
            return Err(self.context.protocol("the registry's list goes on without anything new"));
        }
        Ok(())
    }

    /// Returns the next page, `None` after the last. A page that is not there is a page too: what it means is for the
    /// reader to say.
    pub(crate) async fn next_page(&mut self) -> Result<Option<Answer>> {
        let Some(call) = self.next.take() else { return Ok(None) };
        if self.seen.len() >= MOST_PAGES || !self.seen.insert(call.url.to_string()) {
            return Err(self.context.protocol("the registry's list has no end"));
        }
        let registry = self.repository.registry();
        let answer = registry.exchange(&call, Payload::Nothing, LARGEST_PAGE, &self.context).await?;
        if answer.status == StatusCode::NOT_FOUND && self.seen.len() == 1 {
            return Ok(Some(answer));
        }
        let answer = registry.expect(answer, &[StatusCode::OK], &self.context)?;
        let links = answer.headers.get_all(LINK);
        if let Some(target) = next_link(links.iter().filter_map(|value| value.to_str().ok())) {
            let url = resolve(&answer.url, target).map_err(|reason| {
                self.context.protocol(format!("the next page is not followed: {reason}"))
            })?;
            if !same_origin(&url, &call.url) {
                return Err(self.context.protocol("the next page is on another host"));
            }
            self.next = Some(Call { url, ..call });
        }
        Ok(Some(answer))
    }
}
