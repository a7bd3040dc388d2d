//! Pruning while another process tags, with the other process at every possible moment.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures::future::BoxFuture;
use oci_model::{Descriptor, Digest, ImageManifest, ManifestRef, MediaType, RawManifest};
use registry_backend::{
    Access, BlobRead, BlobSource, BytesSource, PruneOptions, RegistryBackend, Result, WriteHint,
};

use crate::backend::LayoutBackend;
use crate::directory::Directory;
use crate::index::{Edit, Index};
use crate::manifests::Manifests;
use crate::storage::{Commit, IndexUpdate, Presence, Storage, StoredBlob};

/// A storage that lets another process take a step before one of its calls.
struct Interrupted {
    inner: Directory,
    calls: AtomicUsize,
    at: usize,
    step: Mutex<Option<BoxFuture<'static, ()>>>,
    /// Whether an update is open: the other process would wait for its lock.
    locked: Arc<AtomicBool>,
}

impl Interrupted {
    async fn call(&self) {
        if self.locked.load(Ordering::SeqCst) || self.calls.fetch_add(1, Ordering::SeqCst) != self.at {
            return;
        }
        let step = self.step.lock().unwrap().take();
        if let Some(step) = step {
            step.await;
        }
    }

    fn has_stepped(&self) -> bool {
        self.step.lock().unwrap().is_none()
    }
}

impl fmt::Debug for Interrupted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(formatter)
    }
}

struct OpenUpdate {
    inner: Box<dyn IndexUpdate>,
    locked: Arc<AtomicBool>,
}

#[async_trait]
impl IndexUpdate for OpenUpdate {
    fn index(&self) -> &Arc<Index> {
        self.inner.index()
    }

    async fn commit(self: Box<Self>, edit: Edit) -> Result<Commit> {
        let committed = self.inner.commit(edit).await;
        self.locked.store(false, Ordering::SeqCst);
        committed
    }

    async fn remove(self: Box<Self>, blobs: Vec<StoredBlob>, before: SystemTime) -> Result<Vec<StoredBlob>> {
        let removed = self.inner.remove(blobs, before).await;
        self.locked.store(false, Ordering::SeqCst);
        removed
    }
}

#[async_trait]
impl Storage for Arc<Interrupted> {
    async fn index(&self) -> Result<Arc<Index>> {
        self.call().await;
        self.inner.index().await
    }

    fn known_index(&self) -> Option<Arc<Index>> {
        self.inner.known_index()
    }

    async fn begin_update(&self) -> Result<Box<dyn IndexUpdate>> {
        self.call().await;
        let inner = self.inner.begin_update().await?;
        self.locked.store(true, Ordering::SeqCst);
        Ok(Box::new(OpenUpdate { inner, locked: Arc::clone(&self.locked) }))
    }

    async fn replace_lost_index(&self) -> Result<()> {
        self.call().await;
        self.inner.replace_lost_index().await
    }

    fn update_excludes_others(&self) -> bool {
        self.inner.update_excludes_others()
    }

    async fn size(&self, digest: &Digest) -> Result<Option<u64>> {
        self.call().await;
        self.inner.size(digest).await
    }

    async fn read(&self, digest: &Digest, range: Option<Range<u64>>) -> Result<BlobRead> {
        self.call().await;
        self.inner.read(digest, range).await
    }

    async fn store(&self, blob: &dyn BlobSource) -> Result<()> {
        self.call().await;
        self.inner.store(blob).await
    }

    async fn copy(&self, blob: &dyn BlobSource) -> Result<bool> {
        self.call().await;
        self.inner.copy(blob).await
    }

    async fn sync(&self) -> Result<()> {
        self.inner.sync().await
    }

    async fn renew(&self, digest: &Digest, size: u64) -> Result<Presence> {
        self.call().await;
        self.inner.renew(digest, size).await
    }

    async fn presence(&self, blobs: &[(Digest, u64)]) -> Result<Vec<Presence>> {
        self.call().await;
        self.inner.presence(blobs).await
    }

    async fn list(&self) -> Result<Vec<StoredBlob>> {
        self.call().await;
        self.inner.list().await
    }

    async fn removable_before(&self, grace: Duration) -> Result<SystemTime> {
        self.call().await;
        self.inner.removable_before(grace).await
    }

    async fn remove_partial(&self, before: SystemTime, only_count: bool) -> Result<u64> {
        self.call().await;
        self.inner.remove_partial(before, only_count).await
    }
}

/// Stores an artifact without a tag and dates all blobs two hours back.
async fn old_untagged(root: &Path) -> (RawManifest, Descriptor) {
    let layout = LayoutBackend::open_directory(root, Access::Create).await.unwrap();
    let layer = BytesSource::new("layer");
    for blob in [&BytesSource::new(Descriptor::EMPTY_CONTENT), &layer] {
        layout.write_blob(blob, &WriteHint::default()).await.unwrap();
    }
    let mut manifest = ImageManifest::new("application/x-test".parse().unwrap(), Descriptor::empty());
    let octets = MediaType::from_static(MediaType::OCTET_STREAM);
    manifest.layers.push(Descriptor::new(octets, layer.digest().clone(), layer.size()));
    let raw = RawManifest::from_image(&manifest);
    layout.write_manifest(&raw.digest().clone().into(), &raw).await.unwrap();
    let old = SystemTime::now() - Duration::from_secs(7200);
    for entry in std::fs::read_dir(root.join("blobs/sha256")).unwrap() {
        std::fs::File::open(entry.unwrap().path()).unwrap().set_modified(old).unwrap();
    }
    (raw, manifest.layers.remove(0))
}

#[tokio::test]
async fn a_manifest_that_is_tagged_while_untagged_ones_are_pruned_keeps_its_blobs() {
    let at: ManifestRef = ManifestRef::Tag("v1".parse().unwrap());
    let mut options = PruneOptions::default();
    options.untagged = true;
    let (mut kept, mut refused) = (0, 0);
    for moment in 0.. {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("layout");
        let (raw, layer) = old_untagged(&root).await;
        let other = LayoutBackend::open_directory(&root, Access::Modify).await.unwrap();
        let tagging = {
            let (raw, at) = (raw.clone(), at.clone());
            // Whether it succeeds or finds its content gone, it must tell the truth.
            Box::pin(async move { other.write_manifest(&at, &raw).await.map_or((), |()| ()) })
        };
        let storage = Arc::new(Interrupted {
            inner: Directory::open(root.clone(), Access::Modify).await.unwrap(),
            calls: AtomicUsize::new(0),
            at: moment,
            step: Mutex::new(Some(tagging)),
            locked: Arc::default(),
        });
        let manifests = Manifests::new(Box::new(Arc::clone(&storage)), "the layout".to_owned());
        super::prune(&manifests, &options).await.unwrap();
        if !storage.has_stepped() {
            break;
        }
        let layout = LayoutBackend::open_directory(&root, Access::Read).await.unwrap();
        if layout.stat_manifest(&at).await.unwrap().is_none() {
            refused += 1;
            continue;
        }
        kept += 1;
        assert_eq!(layout.read_manifest(&at).await.unwrap(), raw, "moment {moment}");
        for blob in [&layer, &Descriptor::empty()] {
            let size = layout.stat_blob(&blob.digest).await.unwrap();
            assert_eq!(size, Some(blob.size), "moment {moment}: {} is gone", blob.digest);
        }
    }
    assert!(kept > 5, "the other process tagged {kept} times and was refused {refused} times");
}
