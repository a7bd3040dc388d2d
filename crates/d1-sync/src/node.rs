//! Reading objects from nodes: into a file, or as a blob that a store reads.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bagit::{AlgorithmSet, Digests, MultiHasher};
use d1_client::{Document, ErrorKind as NodeErrorKind, GetOptions, NodeClient, ObjectFilter, ObjectRead};
use d1_model::{Identifier, ObjectInfo, SystemMetadata};
use d1_transfer::parts::{CHUNK_BYTES, Meter, read_blocking, run_blocking};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use oci_model::Digest;
use registry_backend::{BlobSource, ByteStream, Error as BackendError, ErrorKind, Retry};

use crate::error::{Error, MemberFault, Result};
use crate::hash_store_source::HashStoreSource;
use crate::package::{DescribedObject, ObjectToRead};
use crate::passed::Passed;

/// The source of objects, system metadata and resource maps.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum DataOneSource {
    /// Reads everything from this node.
    Node(NodeClient),
    /// Reads everything from the node, and finds packages by the search index of a Coordinating Node.
    NodeWithIndex {
        /// The node.
        node: NodeClient,
        /// The Coordinating Node.
        index: NodeClient,
    },
    /// Reads system metadata from this Coordinating Node, and objects from the nodes that it names.
    Network(NodeClient),
    /// Reads everything from a HashStore.
    HashStore(HashStoreSource),
}

impl DataOneSource {
    pub(crate) async fn system_metadata(
        &self,
        identifier: &Identifier,
    ) -> d1_client::Result<Document<SystemMetadata>> {
        match self {
            Self::Node(node) | Self::NodeWithIndex { node, .. } | Self::Network(node) => {
                node.meta(identifier).await
            }
            Self::HashStore(store) => store.system_metadata(identifier).await,
        }
    }

    /// Reads an object from an offset.
    pub(crate) async fn read(&self, object: &ObjectToRead, from: u64) -> d1_client::Result<ObjectRead> {
        let ObjectToRead { identifier, size, holders } = object;
        let options = GetOptions { from, size: *size };
        match self {
            Self::Node(node) | Self::NodeWithIndex { node, .. } => node.get(identifier, &options).await,
            Self::HashStore(store) => store.read(identifier, &options).await,
            Self::Network(network) => {
                let known = network.locations_of(identifier, holders).await;
                if !known.locations.is_empty() {
                    match known.get(&options).await {
                        // The Coordinating Node may know another place.
                        Err(error) if error.kind() == NodeErrorKind::NotFound => {}
                        read => return read,
                    }
                }
                network.locate(identifier).await?.get(&options).await
            }
        }
    }

    /// Returns the SHA-256 of an object, if the source names contents by it.
    pub(crate) async fn named_sha256(&self, identifier: &Identifier) -> Option<[u8; 32]> {
        match self {
            Self::HashStore(store) => store.sha256(identifier).await,
            _ => None,
        }
    }

    /// Lists objects, as a node does: without those that not everybody may read.
    pub(crate) fn list_objects(
        &self,
        filter: &ObjectFilter,
    ) -> BoxStream<'static, d1_client::Result<ObjectInfo>> {
        match self {
            Self::Node(node) | Self::NodeWithIndex { node, .. } | Self::Network(node) => {
                node.list_objects(filter)
            }
            Self::HashStore(store) => store.list_objects(filter),
        }
    }

    /// Returns the node whose search index finds packages.
    pub(crate) fn index(&self) -> Option<&NodeClient> {
        match self {
            Self::Node(node) | Self::Network(node) | Self::NodeWithIndex { index: node, .. } => Some(node),
            Self::HashStore(_) => None,
        }
    }

    /// Returns the Member Node from which everything is read.
    pub(crate) fn node(&self) -> Option<&NodeClient> {
        match self {
            Self::Node(node) | Self::NodeWithIndex { node, .. } => Some(node),
            Self::Network(_) | Self::HashStore(_) => None,
        }
    }

    /// Returns the address of the source.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Node(node) | Self::NodeWithIndex { node, .. } | Self::Network(node) => {
                node.base_url().to_owned()
            }
            Self::HashStore(store) => store.name(),
        }
    }
}

/// Converts a failure of a node. The client has already retried, so nothing above it retries.
pub(crate) fn as_backend_error(error: d1_client::Error) -> BackendError {
    let kind = match error.kind() {
        NodeErrorKind::NotFound => ErrorKind::NotFound,
        NodeErrorKind::NotAuthorized | NodeErrorKind::InvalidToken => ErrorKind::Denied,
        NodeErrorKind::Content => ErrorKind::Invalid,
        NodeErrorKind::TooLarge => ErrorKind::TooLarge,
        NodeErrorKind::RateLimited => ErrorKind::RateLimited,
        NodeErrorKind::Protocol => ErrorKind::Protocol,
        _ => ErrorKind::Unavailable,
    };
    let target = error.target().to_owned();
    BackendError::new(kind, "read from the node", target).with_retry(Retry::No).caused_by(error)
}

/// Source and target of downloads.
#[derive(Clone, Copy)]
pub(crate) struct Downloading<'a> {
    pub(crate) source: &'a DataOneSource,
    pub(crate) staging: &'a Path,
    pub(crate) algorithms: AlgorithmSet,
    pub(crate) meter: &'a Meter,
    /// Whether no object has a file from an earlier attempt.
    pub(crate) is_new: bool,
}

/// The largest object that is received in memory, so that one thread hashes and writes it at once.
const MOST_IN_MEMORY: u64 = 256 << 10;

/// Downloads an object to its path below the directory, and returns its digests. It resumes the file of an
/// earlier attempt.
///
/// # Errors
///
/// [`Error::Members`] if the node does not return the object, or the object differs from its system metadata.
/// Then no file stays.
pub(crate) async fn download(downloading: &Downloading<'_>, object: &DescribedObject) -> Result<Digests> {
    let path = downloading.staging.join(&object.path);
    if downloading.is_new && (1..=MOST_IN_MEMORY).contains(&object.record.size) {
        return download_small(downloading, object, path).await;
    }
    match attempt(downloading, object, &path).await {
        // The old file may belong to another object.
        (Err(Error::Members { .. }), true) => {
            let old = path.clone();
            run_blocking(move || remove(&old)).await?;
            attempt(downloading, object, &path).await.0
        }
        (result, _) => result,
    }
}

async fn download_small(
    downloading: &Downloading<'_>,
    object: &DescribedObject,
    path: PathBuf,
) -> Result<Digests> {
    let read = downloading.source.read(&object.to_read(), 0).await;
    let read = read.map_err(|error| failed(object, &error))?;
    let mut stream = downloading.meter.count(read.stream.map_err(as_backend_error).boxed());
    let size = usize::try_from(object.record.size).unwrap_or_default();
    let (mut bytes, mut length) = (Vec::with_capacity(size), 0_u64);
    while let Some(chunk) = stream.try_next().await.map_err(|error| failed_by_node(object, &error))? {
        length += chunk.len() as u64;
        // An object that is too long is refused, so the rest is only counted.
        let room = size - bytes.len().min(size);
        bytes.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
    }
    let (algorithms, checked) = (downloading.algorithms, object.clone());
    run_blocking(move || {
        let digests = Digests::of(algorithms, &bytes);
        match checked.fault(length, &digests) {
            None => write(&path, &bytes).map(|()| digests),
            Some(fault) => Err(Error::Members { faults: vec![fault] }),
        }
    })
    .await
}

/// Writes a file, and creates the directories above it.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let failed = |error| Error::io("write", path, error);
    match (fs::write(path, bytes), path.parent()) {
        (Err(error), Some(parent)) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(parent).map_err(|error| Error::io("create", parent, error))?;
            fs::write(path, bytes).map_err(failed)
        }
        (written, _) => written.map_err(failed),
    }
}

/// Returns also whether there was a file of an earlier attempt.
async fn attempt(
    downloading: &Downloading<'_>,
    object: &DescribedObject,
    path: &Path,
) -> (Result<Digests>, bool) {
    let opened = {
        let (path, algorithms, size) = (path.to_owned(), downloading.algorithms, object.record.size);
        run_blocking(move || open(&path, algorithms, size)).await
    };
    match opened {
        Ok(opened) => {
            let existed = opened.existed;
            (complete(downloading, object, path, opened).await, existed)
        }
        Err(error) => (Err(error), false),
    }
}

/// Receives what an opened file lacks, and compares it with the system metadata.
async fn complete(
    downloading: &Downloading<'_>,
    object: &DescribedObject,
    path: &Path,
    opened: OpenedFile,
) -> Result<Digests> {
    let (size, have) = (object.record.size, opened.have);
    downloading.meter.advance(0, have);
    // The content of an object without bytes is known, if the checksum is that of nothing.
    let is_known = || size > 0 || object.fault(0, &Digests::of(downloading.algorithms, b"")).is_none();
    let (digests, length) = match have == size && is_known() {
        true => (opened.hasher.finish(), have),
        false => receive(downloading, object, path, opened).await?,
    };
    match object.fault(length, &digests) {
        None => Ok(digests),
        Some(fault) => {
            let path = path.to_owned();
            run_blocking(move || remove(&path)).await?;
            Err(Error::Members { faults: vec![fault] })
        }
    }
}

/// A file that an object is written to.
struct OpenedFile {
    file: File,
    /// Has hashed the bytes that the file has.
    hasher: MultiHasher,
    /// How many bytes it has.
    have: u64,
    /// Whether it existed before.
    existed: bool,
}

/// Opens the file, and hashes its content.
fn open(path: &Path, algorithms: AlgorithmSet, size: u64) -> Result<OpenedFile> {
    let failed = |error| Error::io("open", path, error);
    let found = fs::symlink_metadata(path).ok();
    let is_other = found.as_ref().is_some_and(|found| !found.is_file() || found.len() > size);
    if is_other {
        remove(path)?;
    }
    let open = || OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path);
    let mut file = match (open(), path.parent()) {
        (Err(error), Some(parent)) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(parent).map_err(|error| Error::io("create", parent, error))?;
            open().map_err(failed)?
        }
        (opened, _) => opened.map_err(failed)?,
    };
    let (mut hasher, mut have) = (MultiHasher::new(algorithms), 0);
    if let Some(found) = found.as_ref().filter(|found| !is_other && found.len() > 0) {
        let room = usize::try_from(found.len()).unwrap_or(usize::MAX).min(CHUNK_BYTES);
        let mut buffer = vec![0; room];
        loop {
            let count = file.read(&mut buffer).map_err(|error| Error::io("read", path, error))?;
            let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
            hasher.update(bytes);
            have += bytes.len() as u64;
        }
        file.seek(SeekFrom::Start(have)).map_err(failed)?;
    }
    Ok(OpenedFile { file, hasher, have, existed: found.is_some() })
}

async fn receive(
    downloading: &Downloading<'_>,
    object: &DescribedObject,
    path: &Path,
    opened: OpenedFile,
) -> Result<(Digests, u64)> {
    let OpenedFile { mut file, mut hasher, have, .. } = opened;
    let read = downloading.source.read(&object.to_read(), have).await;
    let read = read.map_err(|error| failed(object, &error))?;
    let stream = downloading.meter.count(read.stream.map_err(as_backend_error).boxed());
    let written = read_blocking(stream, move |reader| {
        let came = copy_hashed(reader, &mut file, &mut hasher)?;
        Ok::<_, io::Error>((hasher.finish(), have + came))
    })
    .await;
    let written = written.map_err(|error| failed_by_node(object, &error))?;
    written.map_err(|error| Error::io("write", path, error))
}

/// Returns the fault of an object that cannot be read.
pub(crate) fn failed(object: &DescribedObject, error: &(dyn std::error::Error + 'static)) -> Error {
    Error::Members { faults: vec![MemberFault::caused_by(object.record.identifier.clone(), error)] }
}

/// Returns the fault of an object whose stream failed. The node's error says more than the one around it.
fn failed_by_node(object: &DescribedObject, error: &BackendError) -> Error {
    failed(object, std::error::Error::source(error).unwrap_or(error))
}

/// Copies and hashes to the end, and returns the number of bytes.
pub(crate) fn copy_hashed(
    reader: &mut impl BufRead,
    writer: &mut impl Write,
    hasher: &mut MultiHasher,
) -> io::Result<u64> {
    let mut length = 0;
    loop {
        let bytes = reader.fill_buf()?;
        if bytes.is_empty() {
            return Ok(length);
        }
        hasher.update(bytes);
        writer.write_all(bytes)?;
        let count = bytes.len();
        length += count as u64;
        reader.consume(count);
    }
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", path, error)),
        _ => Ok(()),
    }
}

/// An object or a part of one, whose digest is known in advance.
pub(crate) struct NodeObject {
    pub(crate) source: DataOneSource,
    pub(crate) object: ObjectToRead,
    /// The bytes of the object that are the blob.
    pub(crate) range: Range<u64>,
    pub(crate) digest: Digest,
    pub(crate) meter: Meter,
    pub(crate) passed: Passed,
}

#[async_trait]
impl BlobSource for NodeObject {
    fn digest(&self) -> &Digest {
        &self.digest
    }

    fn size(&self) -> u64 {
        self.range.end - self.range.start
    }

    async fn open(&self, offset: u64) -> registry_backend::Result<ByteStream> {
        let from = self.range.start + offset;
        let read = self.source.read(&self.object, from).await.map_err(as_backend_error)?;
        let stream = self.meter.count(read.stream.map_err(as_backend_error).boxed());
        let (passed, mut position, end) = (self.passed.clone(), offset, self.size());
        let ours = stream.map_ok(move |mut bytes| {
            let left = usize::try_from(end.saturating_sub(position)).unwrap_or(usize::MAX);
            bytes.truncate(left);
            passed.take(position, &bytes);
            position += bytes.len() as u64;
            bytes
        });
        // The node sends the object to its end, which may be behind the end of the part.
        let mut left = end - offset;
        let until_end = ours.take_while(move |chunk| {
            let is_wanted = left > 0 || chunk.is_err();
            if let Ok(bytes) = chunk {
                left = left.saturating_sub(bytes.len() as u64);
            }
            std::future::ready(is_wanted)
        });
        Ok(until_end.boxed())
    }
}
