//! The list of a registry's repositories.

use std::collections::HashSet;

use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use http_transfer::{Answer, HeaderValue, Method, StatusCode};
use oci_model::RepositoryName;
use registry_backend::{Error, ErrorKind, Result};
use reqwest::header::ACCEPT;
use serde::Deserialize;

use crate::auth::Scopes;
use crate::context::Context;
use crate::lists::{Pages, unreadable};
use crate::registry::{Call, Registry};

#[derive(Deserialize)]
struct Catalog {
    repositories: Option<Vec<String>>,
}

impl Registry {
    /// Lists the repositories that the registry shows to the caller, each once.
    ///
    /// The distribution specification has no such list. Docker's registry lists repositories at `_catalog`, and others follow it.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](ErrorKind::Unsupported) if the registry has no such list.
    pub fn repositories(&self) -> BoxStream<'static, Result<RepositoryName>> {
        let context = Context::new("list the repositories of", self.host());
        let listing = Listing { registry: self.clone(), context, pages: None, seen: HashSet::new() };
        stream::try_unfold(listing, Listing::step)
            .map_ok(|names| stream::iter(names.into_iter().map(Ok)))
            .try_flatten()
            .boxed()
    }
}

/// A listing of repositories, before or after its first page.
struct Listing {
    registry: Registry,
    context: Context,
    pages: Option<Pages>,
    seen: HashSet<RepositoryName>,
}

impl Listing {
    async fn step(mut self) -> Result<Option<(Vec<RepositoryName>, Self)>> {
        let pages = match &mut self.pages {
            Some(pages) => pages,
            None => {
                let url = self.registry.url("_catalog", &self.context)?;
                let call = Call::new(Method::GET, url, Scopes::catalog());
                let call = call.with_parameter("n", &self.registry.profile().page_size.to_string());
                let call = call.with_header(ACCEPT, HeaderValue::from_static("application/json"));
                self.pages.insert(Pages::new(self.registry.clone(), call, self.context.clone()))
            }
        };
        let Some(answer) = pages.next_page().await? else { return Ok(None) };
        if answer.status == StatusCode::NOT_FOUND {
            return Err(no_list(&self.context));
        }
        let names = read_names(&answer, &self.context, &mut self.seen)?;
        pages.note(names.len())?;
        Ok(Some((names, self)))
    }
}

fn no_list(context: &Context) -> Error {
    context.error(ErrorKind::Unsupported).because("the registry does not list its repositories")
}

fn read_names(
    answer: &Answer,
    context: &Context,
    seen: &mut HashSet<RepositoryName>,
) -> Result<Vec<RepositoryName>> {
    let page: Catalog = serde_json::from_slice(&answer.body)
        .map_err(|error| unreadable(answer, "a list of repositories", error, context))?;
    let mut new = Vec::new();
    for text in page.repositories.unwrap_or_default() {
        match text.parse::<RepositoryName>() {
            Ok(name) => new.extend(seen.insert(name.clone()).then_some(name)),
            // No request can name it.
            Err(error) => tracing::warn!(%error, "the registry lists an invalid name"),
        }
    }
    Ok(new)
}
