//! Referrers: listed by the registry's interface, or kept under the fallback tag.

mod keep;

use std::collections::HashSet;
use std::pin::Pin;

use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use oci_model::{Descriptor, Digest, ImageIndex, MediaType};
use registry_backend::{ErrorKind, Result};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, StatusCode};

use crate::context::Context;
use crate::pages::Pages;
use crate::profile::ReferrersMode;
use crate::registry::{Answer, ReferrersApi};
use crate::repository::{Doing, Repository};
pub(crate) use keep::SubjectLocks;

/// The most referrers of one subject that are listed.
const MOST_REFERRERS: usize = 200_000;

impl Repository {
    /// Lists the manifests whose `subject` is this digest, each once; only those of one artifact type if it is given.
    pub fn referrers(
        &self,
        subject: &Digest,
        artifact_type: Option<&MediaType>,
    ) -> BoxStream<'static, Result<Descriptor>> {
        let (repository, subject, artifact_type) = (self.clone(), subject.clone(), artifact_type.cloned());
        let listed = async move {
            let context = repository.context("list referrers of", &subject);
            let found = repository.find_referrers(&subject, artifact_type.as_ref(), &context).await?;
            Ok(stream::iter(found.into_iter().map(Ok)))
        };
        let listed: Pin<Box<dyn Future<Output = Result<_>> + Send>> = Box::pin(listed);
        stream::once(listed).try_flatten().boxed()
    }

    async fn find_referrers(
        &self,
        subject: &Digest,
        artifact_type: Option<&MediaType>,
        context: &Context,
    ) -> Result<Vec<Descriptor>> {
        let by_api = match self.profile().referrers {
            ReferrersMode::FallbackTag => None,
            _ if self.registry().referrers_api() == ReferrersApi::Absent => None,
            _ => self.referrers_by_api(subject, artifact_type, context).await?,
        };
        let mut found = match by_api {
            Some(found) => found,
            None => {
                self.fallback_index(subject, context).await?.map(|index| index.manifests).unwrap_or_default()
            }
        };
        let mut seen = HashSet::new();
        found.retain(|descriptor| {
            // The filter is applied here too: a registry may ignore it (distribution-spec, "Listing Referrers").
            let fits = artifact_type.is_none() || descriptor.artifact_type.as_ref() == artifact_type;
            fits && seen.insert(descriptor.digest.clone())
        });
        Ok(found)
    }

    /// Asks the interface; `None` if the registry has none.
    async fn referrers_by_api(
        &self,
        subject: &Digest,
        artifact_type: Option<&MediaType>,
        context: &Context,
    ) -> Result<Option<Vec<Descriptor>>> {
        let mut call = self.call(Method::GET, format_args!("referrers/{subject}"), Doing::Read, context)?;
        if let Some(artifact_type) = artifact_type {
            call.url.query_pairs_mut().append_pair("artifactType", artifact_type.as_str());
        }
        let call = call.with_header(ACCEPT, HeaderValue::from_static(MediaType::IMAGE_INDEX));
        let mut pages = Pages::new(self.clone(), call, context.clone());
        let mut found: Vec<Descriptor> = Vec::new();
        let mut seen = HashSet::new();
        loop {
            let page = match pages.next_page().await {
                Ok(Some(page)) => page,
                Ok(None) => return Ok(Some(found)),
                // Quay answers 400 for a subject that it does not have, and registries without the interface whatever
                // they answer to an unknown path.
                Err(error) if found.is_empty() && is_no_support(error.kind()) => {
                    if error.kind() != ErrorKind::Invalid {
                        self.registry().note_referrers_api(false);
                    }
                    return Ok(None);
                }
                Err(error) => return Err(error),
            };
            match read_page(&page, context)? {
                Page::Referrers(more) => {
                    let new = more.iter().filter(|descriptor| seen.insert(descriptor.digest.clone())).count();
                    pages.note(new)?;
                    found.extend(more);
                }
                Page::NoRepository => return Ok(None),
                Page::NoSupport => {
                    self.registry().note_referrers_api(false);
                    return Ok(None);
                }
            }
            self.registry().note_referrers_api(true);
            if found.len() > MOST_REFERRERS {
                return Err(context.protocol(format!("it has more than {MOST_REFERRERS} referrers")));
            }
        }
    }

    /// Reads the index under the fallback tag; `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`Conflict`](ErrorKind::Conflict) if something else is there: GitLab's registry serves the subject itself.
    pub(crate) async fn fallback_index(
        &self,
        subject: &Digest,
        context: &Context,
    ) -> Result<Option<ImageIndex>> {
        let Some(tag) = crate::fallback_tag::fallback_tag(subject) else { return Ok(None) };
        let raw = match self.read_manifest(&tag.clone().into()).await {
            Ok(raw) => raw,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match raw.parse() {
            Ok(oci_model::Manifest::Index(index)) => Ok(Some(index)),
            // Reading, that is no referrers; writing, it is not to be overwritten.
            Ok(_) if context.operation != keep::KEEPING => Ok(None),
            Ok(_) => {
                let reason = format!("the tag {tag}, where they are kept, is taken by something else");
                Err(context.error(ErrorKind::Conflict).because(reason))
            }
            Err(error) => Err(context
                .error(ErrorKind::Invalid)
                .because(format!("the tag {tag}: {error}"))
                .caused_by(error)),
        }
    }
}

enum Page {
    Referrers(Vec<Descriptor>),
    NoRepository,
    NoSupport,
}

fn is_no_support(kind: ErrorKind) -> bool {
    // A redirect to a page of a web site, as GHCR has it, is no answer that the protocol knows.
    matches!(kind, ErrorKind::Unsupported | ErrorKind::Invalid | ErrorKind::Protocol | ErrorKind::NotFound)
}

/// Reads a page. Only an index is an answer of the interface.
fn read_page(answer: &Answer, context: &Context) -> Result<Page> {
    if answer.status == StatusCode::NOT_FOUND {
        let body = String::from_utf8_lossy(&answer.body);
        return Ok(if body.contains("NAME_UNKNOWN") { Page::NoRepository } else { Page::NoSupport });
    }
    let content_type = answer.header(CONTENT_TYPE.as_str()).and_then(|value| value.split(';').next());
    if content_type.map(str::trim) != Some(MediaType::IMAGE_INDEX) {
        return Ok(Page::NoSupport);
    }
    let index: ImageIndex = serde_json::from_slice(&answer.body).map_err(|error| {
        context.protocol("the list of referrers is not what it should be").caused_by(error)
    })?;
    Ok(Page::Referrers(index.manifests))
}
