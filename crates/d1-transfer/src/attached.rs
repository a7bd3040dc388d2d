//! System metadata in artifacts that refer to an object. The newest document about the object counts.

use std::cmp::Reverse;

use bytes::Bytes;
use d1_model::{DateTime, MAX_SYSTEM_METADATA_BYTES, SystemMetadata};
use d1_package::SYSTEM_METADATA_ARTIFACT_TYPE;
use d1_package::annotations::D1_IDENTIFIER;
use oci_model::{Descriptor, Digest, ManifestRef, MediaType, annotations};
use registry_backend::{RegistryBackend, RegistryBackendExt};

use crate::error::Result;
use crate::package::OpenPackage;
use crate::tagged::{ReferrerBudget, concerns_content, referrers};

/// How many documents about one object are read at most.
const MOST_DOCUMENTS: usize = 1000;

/// A system metadata document from an artifact that refers to an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachedDocument {
    /// Its facts.
    pub facts: SystemMetadata,
    /// The document as it was received.
    pub bytes: Bytes,
    /// Digest of the artifact.
    pub manifest: Digest,
    /// Digest of the document.
    pub blob: Digest,
}

/// The system metadata that refer to an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttachedDocuments {
    /// The newest document. It is about another object only if there is none about this one.
    pub newest: Option<AttachedDocument>,
    /// The reasons why documents cannot be read.
    pub faults: Vec<String>,
}

/// Finds the newest system metadata that refer to an object which is an artifact by itself.
///
/// Anybody may attach anything, so documents with the identifier of the artifact come first. Among them, the latest
/// `dateSysMetadataModified` wins, then the highest `serialVersion`, then the highest digest of the artifact.
///
/// An artifact is not older than its document. So documents are read in the order in which their artifacts say that they
/// were created, the latest first, and no further than an artifact older than the newest document.
///
/// # Errors
///
/// If the store fails, or the list of referrers is too long.
pub async fn newest_attached(
    backend: &dyn RegistryBackend,
    package: &OpenPackage,
) -> Result<AttachedDocuments> {
    let kind = MediaType::from_static(SYSTEM_METADATA_ARTIFACT_TYPE);
    let stated = package.view.manifest().annotations.get(D1_IDENTIFIER).map(String::as_str);
    let budget = ReferrerBudget::default();
    let mut listed = referrers(backend, package.raw.digest(), Some(&kind), &budget).await?;
    // An artifact without a date may be as new as any.
    listed.sort_by_cached_key(|referrer| {
        let created = created(referrer);
        let created = created.as_ref().and_then(DateTime::instant);
        Reverse((created.is_none(), created, referrer.digest.clone()))
    });
    let mut found = AttachedDocuments::default();
    for referrer in listed.into_iter().take(MOST_DOCUMENTS) {
        if found.newest.as_ref().is_some_and(|newest| is_older(&referrer, newest, stated)) {
            break;
        }
        match read(backend, &referrer).await {
            Ok(Ok(document)) => {
                if found.newest.as_ref().is_none_or(|known| age(&document, stated) > age(known, stated)) {
                    found.newest = Some(document);
                }
            }
            Ok(Err(fault)) => found.faults.push(fault),
            Err(error) if concerns_content(error.kind()) => found.faults.push(error.to_string()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found)
}

/// Tells whether neither an artifact nor those created before it can hold a newer document about the object.
fn is_older(referrer: &Descriptor, newest: &AttachedDocument, stated: Option<&str>) -> bool {
    let modified = newest.facts.date_modified.as_ref().and_then(DateTime::instant);
    let created = created(referrer).as_ref().and_then(DateTime::instant);
    is_about(newest, stated) && created.is_some() && created < modified
}

/// Returns when an artifact was created, by its annotation.
fn created(referrer: &Descriptor) -> Option<DateTime> {
    referrer.annotation(annotations::CREATED).map(DateTime::from_text)
}

fn is_about(document: &AttachedDocument, stated: Option<&str>) -> bool {
    stated.is_none_or(|stated| stated == document.facts.identifier.as_str())
}

/// Orders documents: those about the object after the others, then by age.
fn age<'a>(document: &'a AttachedDocument, stated: Option<&str>) -> impl Ord + use<'a> {
    let modified = document.facts.date_modified.as_ref().and_then(DateTime::instant);
    (is_about(document, stated), modified, document.facts.serial_version, &document.manifest)
}

/// Reads a document. The inner error says why it is not one.
async fn read(
    backend: &dyn RegistryBackend,
    referrer: &Descriptor,
) -> registry_backend::Result<Result<AttachedDocument, String>> {
    let at = ManifestRef::Digest(referrer.digest.clone());
    let (_, manifest) = backend.read_image_manifest(&at).await?;
    let Some(layer) = manifest.layers.first() else {
        return Ok(Err(format!("the system metadata {} have no content", referrer.digest)));
    };
    let bytes = backend.read_blob_to_memory(layer, MAX_SYSTEM_METADATA_BYTES as u64).await?;
    Ok(match SystemMetadata::parse(&bytes) {
        Ok(parsed) => Ok(AttachedDocument {
            facts: parsed.value,
            bytes: bytes.into(),
            manifest: referrer.digest.clone(),
            blob: layer.digest.clone(),
        }),
        Err(error) => Err(format!("cannot read the system metadata {}: {error}", referrer.digest)),
    })
}
