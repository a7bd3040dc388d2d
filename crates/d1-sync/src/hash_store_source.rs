//! A HashStore as a source of packages: system metadata and objects from its files, and a list as nodes give it.

use std::collections::HashMap;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use d1_client::{Document, Error, ErrorKind, GetOptions, ObjectFilter, ObjectRead, Result};
use d1_model::{
    Identifier, MAX_SYSTEM_METADATA_BYTES, ObjectInfo, RESOURCE_MAP_FORMAT_ID, SystemMetadata, head_of_series,
};
use d1_transfer::parts::{CHUNK_BYTES, run_blocking};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use tokio::sync::mpsc::channel;

use crate::hash_store::{HashStore, StoredContent, list_contents};

/// How many entries are listed in advance.
const LISTED_AHEAD: usize = 256;
/// How many chunks of an object are read in advance.
const CHUNKS_AHEAD: usize = 2;

/// A HashStore whose packages are imported or compared.
#[derive(Clone, Debug)]
pub struct HashStoreSource {
    store: Arc<HashStore>,
    /// The head of each series.
    series: Arc<HashMap<Identifier, Identifier>>,
    /// The resource maps, with their sizes in bytes.
    maps: Arc<[(Identifier, u64)]>,
}

impl HashStoreSource {
    /// Opens the HashStore in a directory. It reads all system metadata once, for the resource maps and the series.
    ///
    /// # Errors
    ///
    /// [`NotAHashStore`](crate::Error::NotAHashStore). [`Transfer`](crate::Error::Transfer) if a file cannot be read.
    pub async fn open(directory: &Path) -> crate::Result<Self> {
        let directory = directory.to_owned();
        run_blocking(move || {
            let store = Arc::new(HashStore::open(&directory)?);
            let (mut maps, mut series) = (Vec::new(), HashMap::<Identifier, Vec<SystemMetadata>>::new());
            list_contents(&store, &mut |listed| {
                let identifiers = listed.map(|content| content.identifiers).unwrap_or_default();
                for meta in identifiers.iter().filter_map(|identifier| read_document(&store, identifier)) {
                    if meta.value.format_id == RESOURCE_MAP_FORMAT_ID {
                        maps.push((meta.value.identifier.clone(), meta.value.size));
                    }
                    if let Some(name) = meta.value.series_id.clone() {
                        series.entry(name).or_default().push(meta.value);
                    }
                }
                true
            });
            maps.sort_unstable();
            let heads = series.into_iter().filter_map(|(name, members)| {
                let head = head_of_series(&members)?;
                Some((name, head.identifier.clone()))
            });
            Ok(Self { store, series: Arc::new(heads.collect()), maps: maps.into() })
        })
        .await
    }

    /// Returns the resource maps with their sizes in bytes, in the order of their identifiers.
    pub(crate) fn resource_maps(&self) -> &[(Identifier, u64)] {
        &self.maps
    }

    pub(crate) fn name(&self) -> String {
        self.store.root().display().to_string()
    }

    /// Returns the system metadata of an object, or of the head of a series.
    pub(crate) async fn system_metadata(&self, identifier: &Identifier) -> Result<Document<SystemMetadata>> {
        let (store, asked) = (Arc::clone(&self.store), identifier.clone());
        let head = self.series.get(identifier).cloned();
        let found = run_blocking(move || {
            let has_object = |one: &Identifier| {
                let reference = store.read_reference(&store.reference(one.as_str()));
                reference.is_ok_and(|reference| reference.is_some())
            };
            let candidates = [Some(asked), head].into_iter().flatten();
            candidates.filter(|one| has_object(one)).find_map(|one| read_document(&store, &one))
        });
        found.await.ok_or_else(|| self.error(ErrorKind::NotFound, "read the system metadata of", identifier))
    }

    pub(crate) async fn sha256(&self, identifier: &Identifier) -> Option<[u8; 32]> {
        let name = self.content(identifier).await.ok()?;
        format!("sha256:{name}").parse::<oci_model::Digest>().ok()?.sha256_bytes()
    }

    pub(crate) async fn read(&self, identifier: &Identifier, options: &GetOptions) -> Result<ObjectRead> {
        let path = self.store.object(&self.content(identifier).await?);
        let failed = |error: io::Error| {
            let kind = match error.kind() {
                io::ErrorKind::NotFound => ErrorKind::NotFound,
                _ => ErrorKind::ServiceFailure,
            };
            self.error(kind, "read", identifier).because(error.to_string()).caused_by(error)
        };
        let (store, from) = (Arc::clone(&self.store), options.from);
        let opened = run_blocking(move || {
            let (mut file, size) = store.open_file(&path)?;
            file.seek(SeekFrom::Start(from))?;
            Ok::<_, io::Error>((file, size))
        });
        let (mut file, size) = opened.await.map_err(failed)?;
        if let Some(expected) = options.size.filter(|expected| *expected != size) {
            let reason = format!("expected {expected} bytes, found {size}");
            return Err(self.error(ErrorKind::Content, "read", identifier).because(reason));
        }
        let (sender, mut receiver) = channel::<io::Result<Bytes>>(CHUNKS_AHEAD);
        tokio::task::spawn_blocking(move || {
            let mut left = size.saturating_sub(from);
            loop {
                // One byte more shows that the file has grown.
                let room = usize::try_from(left.saturating_add(1)).unwrap_or(usize::MAX).min(CHUNK_BYTES);
                let mut chunk = vec![0; room];
                let read = file.read(&mut chunk).map(|count| {
                    chunk.truncate(count);
                    left = left.saturating_sub(count as u64);
                    Bytes::from(chunk)
                });
                let is_last = read.as_ref().map_or(true, Bytes::is_empty);
                let is_wanted = !read.as_ref().is_ok_and(Bytes::is_empty);
                if is_wanted && sender.blocking_send(read).is_err() || is_last {
                    return;
                }
            }
        });
        let (source, identifier) = (self.clone(), identifier.clone());
        let stream = stream::poll_fn(move |context| receiver.poll_recv(context)).map_err(move |error| {
            let failed = source.error(ErrorKind::ServiceFailure, "read", &identifier);
            failed.because(error.to_string()).caused_by(error)
        });
        Ok(ObjectRead { start: options.from, size: Some(size), media_type: None, stream: stream.boxed() })
    }

    /// Lists the objects that everybody may read. Only the format of the filter counts.
    pub(crate) fn list_objects(&self, filter: &ObjectFilter) -> BoxStream<'static, Result<ObjectInfo>> {
        let (sender, mut receiver) = channel(LISTED_AHEAD);
        let (store, format_id) = (Arc::clone(&self.store), filter.format_id.clone());
        tokio::task::spawn_blocking(move || {
            list_contents(&store, &mut |listed| {
                let Ok(StoredContent { identifiers, .. }) = listed else { return true };
                let documents = identifiers.iter().filter_map(|identifier| read_document(&store, identifier));
                let wanted = documents.map(|document| document.value).filter(|meta| {
                    meta.is_public() && format_id.as_ref().is_none_or(|wanted| *wanted == meta.format_id)
                });
                wanted.map(info).all(|info| sender.blocking_send(Ok(info)).is_ok())
            });
        });
        stream::poll_fn(move |context| receiver.poll_recv(context)).boxed()
    }

    /// Returns the name of an object's content.
    async fn content(&self, identifier: &Identifier) -> Result<String> {
        let (store, asked) = (Arc::clone(&self.store), identifier.clone());
        let read = run_blocking(move || store.read_reference(&store.reference(asked.as_str())));
        match read.await {
            Ok(Some(name)) => Ok(name),
            Ok(None) => Err(self.error(ErrorKind::NotFound, "read", identifier)),
            Err(error) => {
                let failed = self.error(ErrorKind::ServiceFailure, "read", identifier);
                Err(failed.because(error.to_string()).caused_by(error))
            }
        }
    }

    fn error(&self, kind: ErrorKind, operation: &'static str, identifier: &Identifier) -> Error {
        Error::new(kind, operation, identifier, self.name())
    }
}

fn info(meta: SystemMetadata) -> ObjectInfo {
    ObjectInfo {
        identifier: meta.identifier,
        format_id: Some(meta.format_id),
        checksum: Some(meta.checksum),
        date_modified: meta.date_modified,
        size: Some(meta.size),
    }
}

/// Reads the system metadata of an object, if they can be read and are its own. It blocks.
fn read_document(store: &HashStore, identifier: &Identifier) -> Option<Document<SystemMetadata>> {
    let path = store.system_metadata(identifier.as_str());
    let bytes = store.read_file(&path, MAX_SYSTEM_METADATA_BYTES as u64).ok()??;
    let parsed =
        SystemMetadata::parse(&bytes).ok().filter(|parsed| parsed.value.identifier == *identifier)?;
    Some(Document { bytes: bytes.into(), value: parsed.value, oddities: parsed.oddities })
}
