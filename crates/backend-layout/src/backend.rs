//! The backend: how a layout is opened, and the contract method by method.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectStore;
use object_store::memory::InMemory;
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use oci_model::{Descriptor, Digest, Location, ManifestRef, MediaType, RawManifest, Tag};
use registry_backend::{
    Access, BlobRead, BlobSource, Capabilities, Error, ErrorKind, OpenOptions, PruneOptions, PruneReport,
    Pruner, RegistryBackend, Relisted, RepositoryAdmin, Result, TagEntry, WriteHint, Written,
};

use crate::archive::{self, Archive};
use crate::bucket::{Bucket, OpenUploads, PartStore, Place, Tuning, Warnings};
use crate::directory::Directory;
use crate::index::{Edit, Index};
use crate::manifests::Manifests;
use crate::prune;
use crate::publish::Publisher;
use crate::referrers::Referrers;
use crate::relist;
use crate::storage::{Attempts, Commit, Storage};

/// An OCI image layout as a repository.
///
/// Use it within a tokio runtime whose timer is enabled.
///
/// ```
/// use backend_layout::LayoutBackend;
/// use futures::TryStreamExt;
/// use registry_backend::RegistryBackend;
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let layout = LayoutBackend::in_memory().await?;
/// assert!(layout.tags().try_collect::<Vec<_>>().await?.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct LayoutBackend {
    manifests: Manifests,
    publisher: Publisher,
    referrers: Referrers,
    capabilities: Capabilities,
    access: Access,
}

impl LayoutBackend {
    /// Opens the layout in a directory. With [`Access::Create`] the first write creates it if it does not exist.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) if the layout does not exist and may not be created; [`Invalid`](ErrorKind::Invalid) if
    /// the directory holds something else or the layout is damaged; [`Io`](ErrorKind::Io) if the file system refuses to read it, or
    /// to write where `access` asks for that.
    pub async fn open_directory(path: impl Into<PathBuf>, access: Access) -> Result<Self> {
        let path = path.into();
        let name = Location::Directory(path.clone()).to_string();
        let existing = path.ancestors().find(|place| place.is_dir()).map(std::path::Path::to_owned);
        let storage = Directory::open(path, access).await?;
        let mut backend = Self::new(Box::new(storage), name, access, 1);
        // A relative path without a directory that exists begins in the current one.
        let existing = existing.unwrap_or_else(|| PathBuf::from("."));
        backend.capabilities.local_files = true;
        backend.capabilities.takes_files_of = (access != Access::Read).then_some(existing);
        Ok(backend)
    }

    /// Opens the layout in an uncompressed tar file, as `skopeo` writes it. It can only be read.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) if the file does not exist; [`Invalid`](ErrorKind::Invalid) if it is not a tar file with a layout;
    /// [`Unsupported`](ErrorKind::Unsupported) if `access` asks for writing.
    pub async fn open_archive(path: &std::path::Path, access: Access) -> Result<Self> {
        let name = format!("{}:{}", archive::SCHEME, path.display());
        if access != Access::Read {
            return Err(Error::new(ErrorKind::Unsupported, "open", name).because(
                "a layout in a tar file is only read; write to `oci:DIRECTORY` and pack the directory with `tar`",
            ));
        }
        Ok(Self::new(Box::new(Archive::open(path).await?), name, access, 1))
    }

    /// Opens the layout under a prefix of an object store; `name` is the name of the place for people. With [`Access::Create`] the
    /// first write creates it if it does not exist.
    ///
    /// # Errors
    ///
    /// As [`open_directory`](Self::open_directory); [`Unsupported`](ErrorKind::Unsupported) if `access` asks for writing and the
    /// store does not support conditional puts.
    pub async fn with_store<S: ObjectStore + MultipartStore>(
        store: Arc<S>,
        prefix: Path,
        name: impl Into<String>,
        access: Access,
    ) -> Result<Self> {
        let place = Place {
            store: store.clone(),
            parts: PartStore(store),
            listing: None,
            unlisted_uploads: None,
            prefix,
            name: name.into(),
            clock: Arc::default(),
            uploads: OpenUploads::default(),
            tuning: Tuning::default(),
            warnings: Warnings::default(),
            bucket: None,
        };
        Self::at(place, &OpenOptions::new(access)).await
    }

    /// Opens the layout in a place of an object store.
    pub(crate) async fn at(place: Place, options: &OpenOptions) -> Result<Self> {
        let (name, parallel, blob_place) = (place.name.clone(), place.tuning.parallel, place.blob_place());
        let storage = Bucket::open(place, options).await?;
        // Requests spend most of their time waiting for the network.
        let mut backend = Self::new(Box::new(storage), name, options.access, 4);
        backend.capabilities.parallel_manifests = Some(parallel);
        backend.capabilities.blob_place = blob_place;
        Ok(backend)
    }

    /// Creates an empty layout in memory.
    ///
    /// # Errors
    ///
    /// None in practice: the store in memory does not fail.
    pub async fn in_memory() -> Result<Self> {
        Self::with_store(Arc::new(InMemory::new()), Path::default(), "memory", Access::Create).await
    }

    pub(crate) fn new(
        storage: Box<dyn Storage>,
        name: String,
        access: Access,
        least_parallel: usize,
    ) -> Self {
        let mut capabilities = Capabilities::default();
        let cores = std::thread::available_parallelism().map_or(least_parallel, usize::from);
        capabilities.parallel_blobs = cores.max(least_parallel);
        // Another process may prune meanwhile.
        capabilities.unreferenced_blob_lifetime = Some(PruneOptions::default().grace);
        Self {
            manifests: Manifests::new(storage, name),
            publisher: Publisher::default(),
            referrers: Referrers::default(),
            capabilities,
            access,
        }
    }

    #[cfg(test)]
    pub(crate) fn manifests(&self) -> &Manifests {
        &self.manifests
    }

    fn check_writable(&self, operation: &'static str, target: impl fmt::Display) -> Result<()> {
        if self.access == Access::Read {
            return Err(Error::new(ErrorKind::Denied, operation, target)
                .because(format!("{self} was opened for reading only")));
        }
        Ok(())
    }

    /// Returns the descriptor of a manifest. The index lists tags and digests; nested indexes list digests only.
    async fn find(&self, at: &ManifestRef) -> Result<Option<Descriptor>> {
        let known = match at {
            ManifestRef::Digest(_) => self.manifests.storage.known_index(),
            ManifestRef::Tag(_) => None,
        };
        if let Some(found) = known.and_then(|index| index.descriptor(at)) {
            return Ok(Some(found));
        }
        let index = self.manifests.storage.index().await?;
        if let Some(found) = index.descriptor(at) {
            return Ok(Some(found));
        }
        match at {
            ManifestRef::Tag(_) => Ok(None),
            ManifestRef::Digest(digest) => {
                Ok(self.manifests.find_nested(&index, digest).await?.map(|nested| nested.child))
            }
        }
    }

    /// Changes the index. Without a change to make, the target does not exist.
    async fn update(
        &self,
        operation: &'static str,
        target: &str,
        change: impl Fn(&Index) -> Result<Option<Edit>> + Send + Sync,
    ) -> Result<()> {
        let storage = &self.manifests.storage;
        let absent = || Error::new(ErrorKind::NotFound, operation, format!("{target} in {self}"));
        // Looks without the lock first: deleting something absent must not create a layout.
        if change(&*storage.index().await?)?.is_none() {
            return Err(absent());
        }
        let mut attempts = Attempts::default();
        loop {
            let update = storage.begin_update().await?;
            let Some(edit) = change(update.index())? else { return Err(absent()) };
            if update.commit(edit).await? == Commit::Done {
                return Ok(());
            }
            attempts.lost(operation, target).await?;
        }
    }

    /// Refuses to delete a child of an image index that stays: readers would still find it there.
    async fn check_not_nested(&self, operation: &'static str, digest: &Digest) -> Result<()> {
        let index = self.manifests.storage.index().await?;
        let Some(nested) = self.manifests.find_nested(&index, digest).await? else { return Ok(()) };
        let is_listed = index.find(&ManifestRef::Digest(digest.clone())).is_some();
        let relation = if is_listed { "is also listed by" } else { "is only listed by" };
        Err(Error::new(ErrorKind::Unsupported, operation, digest)
            .because(format!("it {relation} the image index {}: delete that first", nested.parent)))
    }
}

#[async_trait]
impl RegistryBackend for LayoutBackend {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn stat_blob(&self, digest: &Digest) -> Result<Option<u64>> {
        self.manifests.storage.size(digest).await
    }

    async fn read_blob(&self, digest: &Digest, range: Option<Range<u64>>) -> Result<BlobRead> {
        self.manifests.storage.read(digest, range).await
    }

    async fn write_blob(&self, blob: &dyn BlobSource, hint: &WriteHint) -> Result<Written> {
        self.check_writable("write blob", blob.digest())?;
        let size = blob.size();
        if !hint.replace && self.publisher.keep(&self.manifests, blob.digest(), size).await? {
            return Ok(Written::AlreadyThere);
        }
        if !hint.replace && self.manifests.storage.copy(blob).await? {
            return Ok(Written::Mounted);
        }
        self.manifests.storage.store(blob).await?;
        if hint.replace {
            // No new manifest may follow, which would sync it.
            self.manifests.storage.sync().await?;
        }
        Ok(Written::Uploaded)
    }

    async fn stat_manifest(&self, at: &ManifestRef) -> Result<Option<Descriptor>> {
        let Some(found) = self.find(at).await? else { return Ok(None) };
        // A layout may list manifests that it does not hold (image-spec image-layout.md, "Blobs").
        Ok(self.manifests.storage.size(&found.digest).await?.map(|_| found))
    }

    async fn read_manifest(&self, at: &ManifestRef) -> Result<RawManifest> {
        let target = format!("{at} in {self}");
        match self.find(at).await? {
            Some(found) => self.manifests.read(&target, &found).await,
            None => Err(Error::new(ErrorKind::NotFound, "read manifest", target)),
        }
    }

    async fn write_manifest(&self, at: &ManifestRef, manifest: &RawManifest) -> Result<()> {
        self.check_writable("write manifest", at)?;
        let limit = self.capabilities.max_manifest_bytes;
        self.publisher.publish(&self.manifests, at, manifest, limit).await
    }

    fn tags(&self) -> BoxStream<'_, Result<TagEntry>> {
        let tags = async {
            let index = self.manifests.storage.index().await?;
            Ok(stream::iter(index.tag_entries().into_iter().map(Ok)))
        };
        stream::once(tags).try_flatten().boxed()
    }

    fn described_tags(&self) -> BoxStream<'_, Result<(TagEntry, Option<Descriptor>)>> {
        let tags = async {
            let index = self.manifests.storage.index().await?;
            let tagged = index.tagged_positions();
            // One description at a time: all of them can take several times the memory of the index.
            let described = move |(entry, position)| Ok((entry, index.described(position)));
            Ok(stream::iter(tagged).map(described))
        };
        stream::once(tags).try_flatten().boxed()
    }

    fn other_names(&self) -> BoxStream<'_, Result<(String, Digest)>> {
        let names = async {
            let index = self.manifests.storage.index().await?;
            Ok(stream::iter(index.other_names().into_iter().map(Ok)))
        };
        stream::once(names).try_flatten().boxed()
    }

    fn referrers(
        &self,
        subject: &Digest,
        artifact_type: Option<&MediaType>,
    ) -> BoxStream<'_, Result<Descriptor>> {
        self.referrers.list(&self.manifests, subject.clone(), artifact_type.cloned())
    }

    fn admin(&self) -> Option<&dyn RepositoryAdmin> {
        Some(self)
    }
}

#[async_trait]
impl RepositoryAdmin for LayoutBackend {
    /// Deletes an entry of the index. Manifests that only the deleted one listed are no longer listed either.
    async fn delete_manifest(&self, digest: &Digest) -> Result<()> {
        const OPERATION: &str = "delete manifest";
        self.check_writable(OPERATION, digest)?;
        self.check_not_nested(OPERATION, digest).await?;
        self.update(OPERATION, digest.as_str(), |index| index.without([digest])).await
    }

    async fn delete_tag(&self, tag: &Tag) -> Result<()> {
        const OPERATION: &str = "delete tag";
        self.check_writable(OPERATION, tag)?;
        self.update(OPERATION, tag.as_str(), |index| index.without_tag(tag)).await
    }

    fn pruner(&self) -> Option<&dyn Pruner> {
        Some(self)
    }
}

#[async_trait]
impl Pruner for LayoutBackend {
    async fn prune(&self, options: &PruneOptions) -> Result<PruneReport> {
        if !options.dry_run {
            self.check_writable("prune", self)?;
        }
        prune::prune(&self.manifests, options).await
    }

    fn listed(&self) -> BoxStream<'_, Result<Descriptor>> {
        let listed = async {
            let index = self.manifests.storage.index().await?;
            let entries: Vec<_> = index.entries().map(|(_, entry)| Ok(entry.descriptor())).collect();
            Ok(stream::iter(entries))
        };
        stream::once(listed).try_flatten().boxed()
    }

    async fn relist(&self) -> Result<Relisted> {
        self.check_writable("list the manifests of", self)?;
        relist::relist(&self.manifests, &self.publisher, self.capabilities.max_manifest_bytes).await
    }
}

impl fmt::Display for LayoutBackend {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.manifests.name)
    }
}
