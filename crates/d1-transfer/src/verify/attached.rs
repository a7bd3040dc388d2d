//! The system metadata that are attached to an object which is stored by itself.

use std::sync::Arc;

use d1_model::{MAX_SYSTEM_METADATA_BYTES, SystemMetadata};
use d1_package::SYSTEM_METADATA_ARTIFACT_TYPE;
use d1_package::annotations::D1_IDENTIFIER;
use futures::{StreamExt, TryStreamExt};
use oci_model::{Descriptor, ManifestRef, MediaType};
use registry_backend::{RegistryBackend, RegistryBackendExt};

use crate::tagged::concerns_content;
use crate::{Event, Observer, OpenPackage, Result};

/// The newest document that is attached, or why none of those that are can be read.
pub(super) type Attached = Result<Box<SystemMetadata>, String>;

/// How many attached documents are looked at: a bound on what a hostile store can make one read.
const MOST_DOCUMENTS: usize = 1000;

/// Returns the newest system metadata that are attached to an artifact of one file, if any are.
///
/// Documents of another identifier than the artifact states do not count where there are others. The newest is the one that
/// was changed last (`dateSysMetadataModified`), and of equals the one with the highest `serialVersion`.
pub(super) async fn attached(
    backend: &dyn RegistryBackend,
    package: &OpenPackage,
    observer: &Arc<dyn Observer>,
) -> Result<Option<Attached>> {
    let view = &package.view;
    if view.index().is_some() || view.entries().count() != 1 {
        return Ok(None);
    }
    let kind = MediaType::from_static(SYSTEM_METADATA_ARTIFACT_TYPE);
    let stated = view.manifest().annotations.get(D1_IDENTIFIER).map(String::as_str);
    let mut referrers = backend.referrers(package.raw.digest(), Some(&kind)).take(MOST_DOCUMENTS);
    let (mut newest, mut failure): (Option<Box<SystemMetadata>>, _) = (None, None);
    while let Some(referrer) = referrers.try_next().await? {
        let document = match read(backend, &referrer).await {
            Ok(Ok(document)) => document,
            Ok(Err(message)) => {
                observer.event(&Event::Warning(&message));
                failure = Some(message);
                continue;
            }
            Err(error) if concerns_content(error.kind()) => {
                observer.event(&Event::Warning(&error.to_string()));
                failure = Some(error.to_string());
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        if newest.as_ref().is_none_or(|known| age(&document, stated) > age(known, stated)) {
            newest = Some(Box::new(document));
        }
    }
    Ok(match (newest, failure) {
        (Some(newest), _) => Some(Ok(newest)),
        (None, Some(failure)) => Some(Err(failure)),
        (None, None) => None,
    })
}

/// Orders documents: those of the object first, then the newer ones.
fn age(document: &SystemMetadata, stated: Option<&str>) -> impl Ord {
    let is_its_own = stated.is_none_or(|stated| stated == document.identifier.as_str());
    let modified = document.date_modified.as_ref().and_then(|date| date.instant());
    (is_its_own, modified, document.serial_version)
}

/// Reads a document; the inner error says that it is none.
async fn read(
    backend: &dyn RegistryBackend,
    referrer: &Descriptor,
) -> registry_backend::Result<Result<SystemMetadata, String>> {
    let at = ManifestRef::Digest(referrer.digest.clone());
    let (_, manifest) = backend.read_image_manifest(&at).await?;
    let Some(layer) = manifest.layers.first() else {
        return Ok(Err(format!("the system metadata {} have no content", referrer.digest)));
    };
    let bytes = backend.read_blob_to_memory(layer, MAX_SYSTEM_METADATA_BYTES as u64).await?;
    let parsed = SystemMetadata::parse(&bytes).map(|parsed| parsed.value);
    Ok(parsed.map_err(|error| format!("the system metadata {} cannot be read: {error}", referrer.digest)))
}
