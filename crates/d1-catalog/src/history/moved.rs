//! How much of a version was in the one that it replaces already.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use d1_transfer::parts::{concerns_content, total};
use d1_transfer::{Event, Observer};
use futures::{StreamExt, TryStreamExt};
use oci_model::{Digest, ManifestRef};
use registry_backend::RegistryBackend;

use super::Version;
use crate::Result;

/// Reads the manifests of the versions and compares each one's blobs with those of the version that it replaces.
pub(super) async fn count(
    backend: &dyn RegistryBackend,
    versions: &mut [Version],
    observer: &Arc<dyn Observer>,
) -> Result<()> {
    let parallel = backend.capabilities().parallel_blobs.max(1);
    let wanted: Vec<(usize, Digest)> = versions
        .iter()
        .enumerate()
        .filter_map(|(position, version)| Some((position, version.stored.as_ref()?.digest.clone())))
        .collect();
    let mut users: HashMap<String, usize> = HashMap::new();
    for older in versions.iter().filter_map(|version| version.obsoletes.as_ref()) {
        *users.entry(older.clone()).or_default() += 1;
    }
    let mut known: HashMap<String, HashSet<Digest>> = HashMap::new();
    let read = |(position, digest)| async move {
        Ok::<_, crate::Error>((position, blobs(backend, digest, observer).await?))
    };
    let mut manifests = futures::stream::iter(wanted).map(read).buffered(parallel);
    while let Some((position, blobs)) = manifests.try_next().await? {
        let Some(version) = versions.get_mut(position) else { continue };
        let Some(stored) = &mut version.stored else { continue };
        let older = version.obsoletes.as_ref().and_then(|older| known.get(older));
        let is_shared = |digest: &Digest| older.is_some_and(|older| older.contains(digest));
        let new: Vec<u64> =
            blobs.iter().filter(|(digest, _)| !is_shared(digest)).map(|(_, size)| *size).collect();
        stored.new_blobs = new.len() as u64;
        stored.shared_blobs = (blobs.len() - new.len()) as u64;
        stored.new_bytes = total(new.into_iter());
        // What nothing is compared with any more is forgotten, so that a long chain needs no more than a short one.
        if let Some(older) = &version.obsoletes
            && let Some(left) = users.get_mut(older)
        {
            *left = left.saturating_sub(1);
            if *left == 0 {
                known.remove(older);
            }
        }
        if users.contains_key(&version.identifier) {
            known.insert(version.identifier.clone(), blobs.into_keys().collect());
        }
    }
    Ok(())
}

/// Returns the blobs of a manifest with their sizes; of one that went away meanwhile, nothing.
async fn blobs(
    backend: &dyn RegistryBackend,
    digest: Digest,
    observer: &Arc<dyn Observer>,
) -> Result<HashMap<Digest, u64>> {
    let raw = match backend.read_manifest(&ManifestRef::Digest(digest)).await {
        Err(error) if concerns_content(error.kind()) => {
            observer.event(&Event::Warning(&error.to_string()));
            return Ok(HashMap::new());
        }
        raw => raw?,
    };
    let Ok(manifest) = raw.parse() else { return Ok(HashMap::new()) };
    Ok(manifest.blobs().into_iter().map(|blob| (blob.digest.clone(), blob.size)).collect())
}
