//! The system metadata of an object that was pushed by itself: the newest that refer to it.

use d1_model::MAX_SYSTEM_METADATA_BYTES;
use d1_package::{SYSTEM_METADATA_ARTIFACT_TYPE, object_layer_of};
use d1_transfer::OpenPackage;
use futures::TryStreamExt;
use oci_model::{Descriptor, ManifestRef, MediaType, annotations};
use registry_backend::{RegistryBackend, RegistryBackendExt};

use super::arrange::AttachedDocument;
use crate::Result;
use crate::object::Document;

/// How many referrers of one object are looked at; each change of its system metadata may have left one.
const REFERRERS_LIMIT: usize = 10_000;

/// Reads the newest system metadata of an object; there are none for packages, which have theirs in them.
pub(super) async fn newest_system_metadata(
    backend: &dyn RegistryBackend,
    package: &OpenPackage,
) -> Result<Vec<AttachedDocument>> {
    let Some(identifier) = package.view.identifier().and_then(|text| text.parse().ok()) else {
        return Ok(Vec::new());
    };
    if object_layer_of(package.view.manifest(), &identifier).is_none() {
        return Ok(Vec::new());
    }
    let kind = MediaType::from_static(SYSTEM_METADATA_ARTIFACT_TYPE);
    let listed = backend.referrers(package.raw.digest(), Some(&kind));
    let mut referrers: Vec<Descriptor> =
        futures::StreamExt::take(listed, REFERRERS_LIMIT).try_collect().await?;
    let date =
        |referrer: &Descriptor| referrer.annotation(annotations::CREATED).unwrap_or_default().to_owned();
    referrers.sort_by_cached_key(|referrer| (date(referrer), referrer.digest.clone()));
    for referrer in referrers.into_iter().rev() {
        let at = ManifestRef::Digest(referrer.digest);
        let (_, manifest) = backend.read_image_manifest(&at).await?;
        let [layer] = manifest.layers.as_slice() else { continue };
        let bytes = backend.read_blob_to_memory(layer, MAX_SYSTEM_METADATA_BYTES as u64).await?;
        // Anybody may attach anything: only what is about this object counts.
        match Document::parse(bytes) {
            Ok(document) if document.says.identifier == identifier => {
                let format_id = document.says.format_id.clone();
                return Ok(vec![AttachedDocument { identifier, format_id, bytes: document.bytes }]);
            }
            _ => {}
        }
    }
    Ok(Vec::new())
}
