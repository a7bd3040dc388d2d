//! Verifying everything in a repository that has a tag, one artifact after the other, whatever is found.

use std::sync::Arc;

use d1_package::annotations::D1_IDENTIFIER;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use oci_model::{Digest, Manifest, Tag};
use registry_backend::RegistryBackend;
use serde::Serialize;

use super::{VerifyOptions, VerifyReport, verify_package};
use crate::error::with_causes;
use crate::open::{IndexCopy, open_read};
use crate::tagged::{Met, Tagged, walk};
use crate::{Event, Observer, Result};

/// How many artifacts are verified at once; the blobs of each are read in parallel as well.
const ARTIFACTS_AT_ONCE: usize = 2;

/// One artifact of a repository that was verified.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct VerifiedArtifact {
    /// A tag that names it.
    pub tag: Tag,
    /// Digest of the manifest that the tag names, if it could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// DataONE identifier that it states.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identifier: Option<String>,
    /// What was found, if it could be opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report: Option<VerifyReport>,
    /// Why it could not be verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl VerifiedArtifact {
    /// Tells whether it was verified and nothing is wrong.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.report.as_ref().is_some_and(|report| report.valid)
    }
}

/// Verifies every artifact that has a tag, each once, in the order in which the store lists its tags. What cannot be
/// verified is among the results, and does not end them. Image indexes are passed over with a warning.
///
/// # Errors
///
/// If the tags cannot be listed, or the store fails for a manifest as a whole.
pub fn verify_all<'a>(
    backend: &'a dyn RegistryBackend,
    options: &'a VerifyOptions,
    observer: &'a Arc<dyn Observer>,
) -> BoxStream<'a, Result<VerifiedArtifact>> {
    walk(backend, None)
        .map_ok(move |met| async move {
            match met {
                Met::Artifact(tagged) => verify_tagged(backend, *tagged, options, observer).await,
                Met::Unreadable { tag, error } => Ok(Some(VerifiedArtifact {
                    tag,
                    digest: None,
                    identifier: None,
                    report: None,
                    error: Some(with_causes(&error)),
                })),
            }
        })
        .try_buffered(ARTIFACTS_AT_ONCE)
        .try_filter_map(|artifact| std::future::ready(Ok(artifact)))
        .boxed()
}

async fn verify_tagged(
    backend: &dyn RegistryBackend,
    tagged: Tagged,
    options: &VerifyOptions,
    observer: &Arc<dyn Observer>,
) -> Result<Option<VerifiedArtifact>> {
    let Tagged { tag, raw, manifest } = tagged;
    let identifier = manifest.annotations().get(D1_IDENTIFIER).cloned();
    let Manifest::Image(image) = manifest else {
        let text = format!("`{tag}` is passed over: it is an image index, which has no content of its own");
        observer.event(&Event::Warning(&text));
        return Ok(None);
    };
    let digest = raw.digest().clone();
    let verified = match open_read(backend, raw, image, IndexCopy::Blob).await {
        Ok(package) => verify_package(backend, &Arc::new(package), options, observer).await,
        Err(error) => Err(error),
    };
    let (report, error) = match verified {
        Ok(report) => (Some(report), None),
        Err(error) => (None, Some(with_causes(&error))),
    };
    Ok(Some(VerifiedArtifact { tag, digest: Some(digest), identifier, report, error }))
}
