//! Repairing a repository blob by blob from its replicas.

use std::collections::HashSet;
use std::sync::Arc;

use futures::TryStreamExt;
use oci_model::{Descriptor, Digest, Manifest, ManifestRef, RawManifest};
use registry_backend::{BlobSource, BytesSource, RegistryBackend, WriteHint};
use serde::Serialize;

use crate::error::{ContentFault, Result, with_causes};
use crate::event::{BlobOutcome, Event, Observer};
use crate::names::title;
use crate::source::BackendSource;
use crate::tagged::{Extent, Reached, concerns_content, walk_everything};
use crate::upload::{is_loss, is_whole, keeps_damaged};

/// The result of a repair.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct RepairReport {
    /// Number of manifests that were read.
    pub manifests: u64,
    /// Number of blobs that were read.
    pub blobs: u64,
    /// Manifests and blobs that were damaged or missing, and are right now.
    pub repaired: Vec<RepairedBlob>,
    /// Manifests and blobs that no replica has, or that the store keeps damaged.
    pub faults: Vec<ContentFault>,
}

/// A blob or manifest that was replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct RepairedBlob {
    /// Title of the blob, or its media type.
    pub title: String,
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// The replica that had it.
    pub from: String,
}

/// Reads every manifest and every blob of a repository, and replaces those that are damaged or missing.
///
/// It covers manifests with a tag, children of indexes, referrers, and manifests without a tag if the store lists them.
/// Nothing else in the repository changes.
///
/// ```
/// use std::sync::Arc;
///
/// use d1_transfer::{Observer, Silent, repair};
/// use registry_backend::MemoryBackend;
///
/// # let runtime = tokio::runtime::Runtime::new()?;
/// # runtime.block_on(async {
/// let (store, replica) = (MemoryBackend::new(), MemoryBackend::new());
/// let observer: Arc<dyn Observer> = Arc::new(Silent);
/// let report = repair(&store, &[&replica], &observer).await?;
/// assert!(report.faults.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// Fails if the repository cannot be read as a whole or takes no content. Content that no replica has is in the report.
pub async fn repair(
    store: &dyn RegistryBackend,
    replicas: &[&dyn RegistryBackend],
    observer: &Arc<dyn Observer>,
) -> Result<RepairReport> {
    let mut repairing = Repairing {
        store,
        replicas,
        observer,
        seen: Default::default(),
        lost: Vec::new(),
        report: RepairReport::default(),
    };
    // A repaired manifest may name others that the walk could not reach before, and a tag may name it.
    loop {
        let before = repairing.report.repaired.len();
        repairing.lost.clear();
        let mut walk = walk_everything(store, Extent { referrers: true, untagged: true });
        while let Some(reached) = walk.try_next().await? {
            repairing.reached(reached).await?;
        }
        if repairing.report.repaired.len() == before {
            repairing.report.faults.append(&mut repairing.lost);
            return Ok(repairing.report);
        }
    }
}

struct Repairing<'a> {
    store: &'a dyn RegistryBackend,
    replicas: &'a [&'a dyn RegistryBackend],
    observer: &'a Arc<dyn Observer>,
    /// Manifests and blobs that were read.
    seen: HashSet<Digest>,
    /// Tags whose manifest the current walk could not find.
    lost: Vec<ContentFault>,
    report: RepairReport,
}

impl Repairing<'_> {
    async fn reached(&mut self, reached: Reached) -> Result<()> {
        let Some(digest) = reached.digest else {
            // Without its digest, nothing says which manifest of a replica is the right one.
            if let (Some(tag), Err(error)) = (reached.tag, reached.manifest) {
                self.lost.push(ContentFault { path: tag.to_string(), message: with_causes(&error) });
            }
            return Ok(());
        };
        if !self.seen.insert(digest.clone()) {
            return Ok(());
        }
        self.report.manifests += 1;
        match reached.manifest {
            Ok((_, manifest)) => self.blobs(&manifest).await,
            Err(error) => self.manifest(&digest, with_causes(&error)).await,
        }
    }

    /// Replaces a damaged manifest, after its blobs.
    async fn manifest(&mut self, digest: &Digest, failure: String) -> Result<()> {
        let at = ManifestRef::Digest(digest.clone());
        for replica in self.replicas {
            let raw = match replica.read_manifest(&at).await {
                Ok(raw) => raw,
                Err(error) if concerns_content(error.kind()) => continue,
                Err(error) => {
                    self.warn(*replica, &error);
                    continue;
                }
            };
            let Ok(manifest) = raw.parse() else { continue };
            self.blobs(&manifest).await?;
            if let Err(error) = self.write(&at, &raw).await {
                let message = with_causes(&error);
                self.report.faults.push(ContentFault { path: digest.to_string(), message });
                return Ok(());
            }
            self.note(&raw.descriptor(), *replica);
            return Ok(());
        }
        let message = format!("no replica has it: {failure}");
        self.report.faults.push(ContentFault { path: digest.to_string(), message });
        Ok(())
    }

    async fn write(&self, at: &ManifestRef, raw: &RawManifest) -> registry_backend::Result<()> {
        let written = self.store.write_manifest(at, raw).await;
        if written.is_ok() && self.store.read_manifest(at).await.is_ok() {
            return Ok(());
        }
        // A layout keeps manifests among its blobs, and may take a damaged one for present.
        let source = BytesSource::new(raw.bytes().to_vec());
        self.store.write_blob(&source, &WriteHint::default().replacing()).await?;
        self.store.read_manifest(at).await.map(drop)
    }

    /// Reads the blobs of a manifest, and replaces damaged ones.
    async fn blobs(&mut self, manifest: &Manifest) -> Result<()> {
        for blob in manifest.blobs() {
            if !self.seen.insert(blob.digest.clone()) {
                continue;
            }
            self.report.blobs += 1;
            if !is_whole(self.store, &blob.digest, blob.size).await? {
                self.blob(blob).await?;
            }
        }
        Ok(())
    }

    async fn blob(&mut self, descriptor: &Descriptor) -> Result<()> {
        let mut is_kept_damaged = false;
        for replica in self.replicas {
            let source = BackendSource { backend: *replica, descriptor };
            // The store compares the bytes with the digest, so a damaged replica cannot do harm.
            match self.store.write_blob(&source, &WriteHint::default().replacing()).await {
                Ok(_) if is_whole(self.store, source.digest(), source.size()).await? => {
                    self.note(descriptor, *replica);
                    return Ok(());
                }
                Ok(_) => is_kept_damaged = true,
                Err(error) if is_loss(error.kind()) => {}
                Err(error) => self.warn(*replica, &error),
            }
        }
        let message = match is_kept_damaged {
            true => with_causes(&keeps_damaged(&descriptor.digest)),
            false => format!("the blob {} is missing or damaged, and no replica has it", descriptor.digest),
        };
        self.report.faults.push(ContentFault { path: title(descriptor).to_owned(), message });
        Ok(())
    }

    fn note(&mut self, descriptor: &Descriptor, from: &dyn RegistryBackend) {
        let (title, size) = (title(descriptor).to_owned(), descriptor.size);
        let (digest, outcome) = (&descriptor.digest, BlobOutcome::Uploaded);
        self.observer.event(&Event::Blob { title: &title, digest, size, outcome });
        let digest = digest.clone();
        self.report.repaired.push(RepairedBlob { title, digest, size, from: from.to_string() });
    }

    fn warn(&self, replica: &dyn RegistryBackend, error: &registry_backend::Error) {
        self.observer.event(&Event::Warning(&format!("{replica}: {}", with_causes(error))));
    }
}
