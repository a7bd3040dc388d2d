//! The `index.json` of an object store: read when it has changed, replaced on the condition that it has not.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use object_store::{Error as StoreError, GetOptions, GetResult, PutMode, PutOptions, UpdateVersion};
use registry_backend::{Error, ErrorKind, Result};
use tokio::sync::OwnedMutexGuard;

use super::blobs;
use super::failure::{failure, may_have_happened};
use super::open;
use super::shared::Shared;
use crate::index::{Edit, INDEX_LIMIT, Index};
use crate::storage::{Commit, INDEX_FILE, IndexUpdate, StoredBlob};

const OPERATION: &str = "read the index of";

/// The index, with the last version of it that was read.
#[derive(Debug, Default)]
pub(super) struct IndexObject {
    known: Mutex<Option<(UpdateVersion, Arc<Index>)>>,
}

impl IndexObject {
    /// Returns the index and its version; an empty index without a version if the object may be absent and is.
    pub(super) async fn read(
        &self,
        shared: &Shared,
        may_be_absent: bool,
    ) -> Result<(Arc<Index>, Option<UpdateVersion>)> {
        let known = self.known().clone();
        let if_none_match = known.as_ref().and_then(|(version, _)| version.e_tag.clone());
        let options = GetOptions { if_none_match, ..GetOptions::default() };
        let found = match (shared.store.get_opts(&shared.path(INDEX_FILE), options).await, known) {
            (Err(StoreError::NotModified { .. }), Some((version, index))) => {
                return Ok((index, Some(version)));
            }
            (Err(StoreError::NotFound { .. }), _) if may_be_absent => {
                return Ok((Arc::new(Index::empty()), None));
            }
            (Err(error @ StoreError::NotFound { .. }), _) => {
                return Err(invalid(
                    shared,
                    "its `index.json` is missing: restore it from a version or a backup, or list the artifacts again with \
                     `d1oci repair --relist`",
                )
                .caused_by(error));
            }
            (found, _) => found.map_err(|error| failure(OPERATION, &shared.name, error))?,
        };
        if found.meta.size > INDEX_LIMIT {
            return Err(too_large(shared));
        }
        let version = UpdateVersion { e_tag: found.meta.e_tag.clone(), version: found.meta.version.clone() };
        // The old index is freed before the new one is read: both would need twice the memory.
        let buffer = self.known().take().map(|(_, index)| index.into_buffer()).unwrap_or_default();
        let text = String::from_utf8(gather(shared, found, buffer).await?)
            .map_err(|error| invalid(shared, "its `index.json` is not UTF-8").caused_by(error))?;
        let index = Index::parse(text)
            .map_err(|error| invalid(shared, "its `index.json` is not an image index").caused_by(error))?;
        let index = Arc::new(index);
        let read = (version.clone(), Arc::clone(&index));
        *self.known() = Some(read);
        Ok((index, Some(version)))
    }

    /// Remembers an index that was stored, so that it need not be read. If the store does not state all of its version, as it did for
    /// the former one, the next look reads it.
    fn remember(&self, version: UpdateVersion, former: Option<&UpdateVersion>, text: Bytes) {
        let has_number = former.is_some_and(|former| former.version.is_some() == version.version.is_some());
        let is_known = version.e_tag.is_some() && has_number;
        let text = String::from_utf8(text.into()).ok().filter(|_| is_known);
        if let Some(index) = text.and_then(|text| Index::parse(text).ok()) {
            *self.known() = Some((version, Arc::new(index)));
        }
    }

    /// Returns the index that was read or stored last.
    pub(super) fn last_read(&self) -> Option<Arc<Index>> {
        self.known().as_ref().map(|(_, index)| Arc::clone(index))
    }

    fn known(&self) -> MutexGuard<'_, Option<(UpdateVersion, Arc<Index>)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads an object into one buffer, instead of joining its pieces afterwards.
async fn gather(shared: &Shared, found: GetResult, mut bytes: Vec<u8>) -> Result<Vec<u8>> {
    let size = usize::try_from(found.meta.size.min(INDEX_LIMIT)).unwrap_or_default();
    bytes.reserve_exact(size);
    let mut pieces = found.into_stream();
    while let Some(piece) = pieces.next().await {
        bytes.extend_from_slice(&piece.map_err(|error| failure(OPERATION, &shared.name, error))?);
        if bytes.len() as u64 > INDEX_LIMIT {
            return Err(too_large(shared));
        }
    }
    Ok(bytes)
}

fn too_large(shared: &Shared) -> Error {
    invalid(shared, &format!("expected an `index.json` of at most {INDEX_LIMIT} bytes, found more"))
}

fn invalid(shared: &Shared, reason: &str) -> Error {
    Error::new(ErrorKind::Invalid, OPERATION, &shared.name).because(reason)
}

/// An update that knows the version that it replaces.
pub(super) struct Update {
    shared: Arc<Shared>,
    object: Arc<IndexObject>,
    index: Arc<Index>,
    version: Option<UpdateVersion>,
    _turn: OwnedMutexGuard<()>,
}

impl Update {
    pub(super) async fn begin(
        shared: Arc<Shared>,
        object: Arc<IndexObject>,
        turn: OwnedMutexGuard<()>,
    ) -> Result<Self> {
        let (mut index, mut version) = object.read(&shared, true).await?;
        if version.is_none() {
            open::create_index(&shared).await?;
            (index, version) = object.read(&shared, false).await?;
        }
        Ok(Self { shared, object, index, version, _turn: turn })
    }
}

#[async_trait]
impl IndexUpdate for Update {
    fn index(&self) -> &Arc<Index> {
        &self.index
    }

    async fn commit(self: Box<Self>, edit: Edit) -> Result<Commit> {
        let mode = self.version.clone().map_or(PutMode::Create, PutMode::Update);
        let path = self.shared.path(INDEX_FILE);
        let text: String = self.index.pieces(&edit).collect();
        let size = text.len() as u64;
        if size > INDEX_LIMIT / 2 {
            self.shared.place.warnings.note(&format!(
                "the `{INDEX_FILE}` of {} has {} MiB, and the limit is {} MiB: use another prefix for new packages (docs/scale.md)",
                self.shared.name,
                size >> 20,
                INDEX_LIMIT >> 20,
            ));
        }
        let text = Bytes::from(text);
        let put = self.shared.store.put_opts(&path, text.clone().into(), PutOptions::from(mode)).await;
        self.object.known().take();
        match put {
            Ok(stored) => {
                // The old index is freed before the new one is parsed.
                drop(self.index);
                self.object.remember(UpdateVersion::from(stored), self.version.as_ref(), text);
                Ok(Commit::Done)
            }
            // The store also refuses a put that is repeated after a lost answer. The next look at the index tells.
            Err(StoreError::Precondition { .. } | StoreError::AlreadyExists { .. }) => Ok(Commit::Raced),
            // The answer was lost. The next look at the index tells, too.
            Err(error) if may_have_happened(&error) => Ok(Commit::Raced),
            Err(error) => Err(failure("update the index of", &self.shared.name, error)),
        }
    }

    async fn remove(self: Box<Self>, blobs: Vec<StoredBlob>, before: SystemTime) -> Result<Vec<StoredBlob>> {
        blobs::remove(&self.shared, blobs, before).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use object_store::ObjectStoreExt as _;
    use object_store::memory::InMemory;
    use object_store::path::Path;
    use oci_model::{Descriptor, ImageManifest, MediaType, RawManifest};
    use registry_backend::{Access, BytesSource, OpenOptions, RegistryBackend as _, WriteHint};

    use super::super::shared::{PartStore, Place, Tuning};
    use super::super::{OpenUploads, Warnings};
    use super::*;
    use crate::LayoutBackend;
    use crate::storage::{LAYOUT_FILE, LAYOUT_FILE_CONTENT};

    /// Stores a manifest in a layout whose index is so large, and returns the result and the number of warnings.
    async fn store_beside(bytes: u64) -> (Result<()>, usize) {
        let (store, count) = (Arc::new(InMemory::new()), Arc::new(AtomicUsize::new(0)));
        let filler = "x".repeat(usize::try_from(bytes).unwrap());
        let index =
            format!("{{\"schemaVersion\":2,\"manifests\":[],\"annotations\":{{\"x\":\"{filler}\"}}}}");
        for (name, text) in [(LAYOUT_FILE, LAYOUT_FILE_CONTENT.to_owned()), (INDEX_FILE, index)] {
            store.put(&Path::from(name), text.into()).await.unwrap();
        }
        let counter = Arc::clone(&count);
        let place = Place {
            store: store.clone(),
            parts: PartStore(store),
            listing: None,
            unlisted_uploads: None,
            prefix: Path::default(),
            name: "memory".to_owned(),
            clock: Arc::default(),
            uploads: OpenUploads::default(),
            tuning: Tuning::default(),
            warnings: Warnings::new(move |warning| {
                assert!(warning.contains("docs/scale.md"), "{warning}");
                counter.fetch_add(1, Ordering::Relaxed);
            }),
            bucket: None,
        };
        let layout = LayoutBackend::at(place, &OpenOptions::new(Access::Modify)).await.unwrap();
        let content = BytesSource::new(Descriptor::EMPTY_CONTENT);
        layout.write_blob(&content, &WriteHint::default()).await.unwrap();
        let kind = MediaType::from_static("application/vnd.example");
        let raw = RawManifest::from_image(&ImageManifest::new(kind, Descriptor::empty()));
        let written = layout.write_manifest(&raw.digest().clone().into(), &raw).await;
        (written, count.load(Ordering::Relaxed))
    }

    #[tokio::test]
    async fn an_index_that_is_half_full_is_warned_about_and_a_full_one_is_refused() {
        let (written, warnings) = store_beside(INDEX_LIMIT / 2 - 10_000).await;
        assert!(written.is_ok() && warnings == 0, "{written:?}");
        let (written, warnings) = store_beside(INDEX_LIMIT / 2).await;
        assert!(written.is_ok() && warnings == 1, "{written:?}");
        let (written, _) = store_beside(INDEX_LIMIT - 100).await;
        assert_eq!(written.unwrap_err().kind(), ErrorKind::TooLarge);
    }
}
