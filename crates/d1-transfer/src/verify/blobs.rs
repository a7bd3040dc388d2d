//! The blobs of a manifest: whether they exist, and whether blobs without files are right.

use std::collections::HashSet;

use d1_package::Place;
use futures::{StreamExt, TryStreamExt};
use oci_model::{Descriptor, Digest};
use registry_backend::{RegistryBackend, verified};

use crate::error::{ContentFault, Result};
use crate::names::title;
use crate::package::OpenPackage;
use crate::upload::is_loss;

/// Looks up all blobs, several at once. Returns those that are missing or have another size.
pub(super) async fn missing(
    backend: &dyn RegistryBackend,
    package: &OpenPackage,
) -> Result<Vec<ContentFault>> {
    let look = |(name, blob): (String, Descriptor)| async move {
        let message = match backend.stat_blob(&blob.digest).await? {
            Some(size) if size == blob.size => return Ok::<_, crate::Error>(None),
            Some(size) => format!("the blob {} has {size} bytes, expected {}", blob.digest, blob.size),
            None => format!("the blob {} is missing", blob.digest),
        };
        Ok(Some(ContentFault { path: name, message }))
    };
    let parallel = backend.capabilities().manifests_at_once();
    let found = futures::stream::iter(named_blobs(package)).map(look).buffered(parallel);
    let faults: Vec<Option<ContentFault>> = found.try_collect().await?;
    Ok(faults.into_iter().flatten().collect())
}

/// Reads the blobs that hold neither files nor the index. Returns the damaged ones, and the number of bytes
/// read.
pub(super) async fn damaged_others(
    backend: &dyn RegistryBackend,
    package: &OpenPackage,
) -> Result<(Vec<ContentFault>, u64)> {
    let read_before = blobs_of_files(package);
    let (mut faults, mut bytes) = (Vec::new(), 0);
    for (name, blob) in named_blobs(package) {
        if read_before.contains(&blob.digest) {
            continue;
        }
        match read(backend, &blob, &mut bytes).await {
            Ok(None) => {}
            Ok(Some(message)) => faults.push(ContentFault { path: name, message }),
            Err(error) if is_loss(error.kind()) => {
                faults.push(ContentFault { path: name, message: error.to_string() });
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok((faults, bytes))
}

/// Reads a blob to its end, counts its bytes, and returns its fault.
async fn read(
    backend: &dyn RegistryBackend,
    blob: &Descriptor,
    bytes: &mut u64,
) -> registry_backend::Result<Option<String>> {
    let read = backend.read_blob(&blob.digest, None).await?;
    if read.blob_size != blob.size {
        return Ok(Some(format!(
            "the blob {} has {} bytes, expected {}",
            blob.digest, read.blob_size, blob.size
        )));
    }
    let mut stream = verified(read, &blob.digest)?;
    while let Some(chunk) = stream.try_next().await? {
        *bytes = bytes.saturating_add(chunk.len() as u64);
    }
    Ok(None)
}

/// Returns the digests of the blobs that hold files, archives or the index.
fn blobs_of_files(package: &OpenPackage) -> HashSet<Digest> {
    let view = &package.view;
    let layers = &view.manifest().layers;
    let mut digests: HashSet<Digest> = HashSet::new();
    for entry in view.entries() {
        match entry.place {
            Place::Archive { .. } => {}
            Place::Object { layer } => {
                digests.extend(layers.get(layer as usize).map(|blob| blob.digest.clone()))
            }
            Place::Parts { first, count } => {
                let parts = layers.iter().skip(first as usize).take(count as usize);
                digests.extend(parts.map(|blob| blob.digest.clone()));
            }
        }
    }
    digests.extend(view.archives().into_iter().map(|archive| archive.descriptor.digest.clone()));
    digests.extend(view.index().map(|_| view.manifest().config.digest.clone()));
    digests
}

/// Returns all blobs, each digest once, with the path of their file or their title.
fn named_blobs(package: &OpenPackage) -> Vec<(String, Descriptor)> {
    let view = &package.view;
    let layers = &view.manifest().layers;
    let mut names: Vec<String> = layers.iter().map(|layer| title(layer).to_owned()).collect();
    for entry in view.entries() {
        if let Place::Object { layer } | Place::Parts { first: layer, .. } = entry.place
            && let Some(name) = names.get_mut(layer as usize)
        {
            *name = entry.path.to_owned();
        }
    }
    let config = &view.manifest().config;
    let blobs = names.into_iter().zip(layers).chain([(title(config).to_owned(), config)]);
    let mut seen = HashSet::new();
    blobs
        .filter(|(_, blob)| seen.insert(blob.digest.clone()))
        .map(|(name, blob)| (name, blob.clone()))
        .collect()
}
