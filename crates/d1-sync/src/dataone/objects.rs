//! One object from a node into a store, verified against its system metadata in the same pass.

use std::error::Error as _;
use std::io::{self, BufRead};
use std::ops::Range;
use std::path::{Path, PathBuf};

use bagit::{Algorithm, AlgorithmSet, Digests, MultiHasher};
use d1_transfer::parts::{Meter, Spool, SpoolSource, SpooledLayer, read_blocking, read_range};
use d1_transfer::{BlobOutcome, Event};
use futures::{StreamExt, TryStreamExt};
use oci_model::Digest;
use registry_backend::{BlobSource, ErrorKind, RegistryBackend, WriteHint, Written};
use tokio::sync::Semaphore;

use super::describe::{DescribedObject, DescribedPackage};
use super::download::copy_hashed;
use super::known::KnownObjects;
use super::node_object::{NodeObject, Passed};
use super::source::{DataOneSource, as_backend_error};
use super::staged::{name_of, sha256_of};
use crate::{Error, Result};

/// Unit in which the spool is divided, in bytes.
const SPOOL_UNIT: u64 = 1 << 20;

/// How much of one object is kept in memory before the rest goes to disk, in bytes.
const SPOOL_MEMORY: usize = 1 << 20;

/// What storing objects needs.
pub(super) struct Storing<'a> {
    pub(super) backend: &'a dyn RegistryBackend,
    pub(super) source: &'a DataOneSource,
    pub(super) package: &'a DescribedPackage,
    pub(super) known: &'a KnownObjects,
    pub(super) meter: &'a Meter,
    pub(super) spool: &'a SpoolRoom,
}

/// The room for objects that have to be on disk for a while, because their digest is known only when they have come.
#[derive(Debug)]
pub(crate) struct SpoolRoom {
    directory: PathBuf,
    units: u32,
    free: Semaphore,
}

/// An object that is in the store.
#[derive(Clone, Debug)]
pub(super) struct StoredObject {
    pub(super) digests: Digests,
    /// Digests of its parts, if it is stored in parts.
    pub(super) parts: Vec<Digest>,
    /// Whether it came from a node.
    pub(super) received: bool,
    pub(super) sent_bytes: u64,
}

impl SpoolRoom {
    /// Returns room for so many bytes in a directory.
    pub(crate) fn new(directory: PathBuf, bytes: u64) -> Self {
        let units = u32::try_from(bytes / SPOOL_UNIT).unwrap_or(u32::MAX).min(1 << 28);
        Self { directory, units, free: Semaphore::new(units as usize) }
    }

    /// Tells how much of the room an object takes, or nothing if it is too large for all of it.
    fn units_for(&self, size: u64) -> Option<u32> {
        u32::try_from(size.div_ceil(SPOOL_UNIT)).ok().filter(|units| *units <= self.units)
    }
}

impl Storing<'_> {
    /// Stores an object as one blob.
    ///
    /// # Errors
    ///
    /// [`Error::Members`] if the node does not give it or it is not what its system metadata declare; what the store fails with.
    pub(super) async fn object(&self, object: &DescribedObject) -> Result<StoredObject> {
        if let Some(digests) = self.known.find(self.package, object)
            && let Some(sha256) = sha256_of(digests)
            && self.backend.stat_blob(&Digest::from_sha256(sha256)).await? == Some(object.record.size)
        {
            self.meter.advance(0, object.record.size);
            self.tell(object, sha256, BlobOutcome::AlreadyThere);
            return Ok(StoredObject {
                digests: digests.clone(),
                parts: Vec::new(),
                received: false,
                sent_bytes: 0,
            });
        }
        match object.declared_sha256() {
            Some(sha256) => self.streamed(object, sha256).await,
            None => self.hashed_first(object).await,
        }
    }

    /// Stores an object in parts: it is read twice, since nobody knows the digests of the parts before.
    pub(super) async fn in_parts(
        &self,
        object: &DescribedObject,
        ranges: &[Range<u64>],
    ) -> Result<StoredObject> {
        let (digests, parts) = self.hash(object, ranges).await?;
        let mut sent_bytes = 0;
        for (range, digest) in ranges.iter().zip(&parts) {
            let blob = self.blob(object, range.clone(), digest.clone(), AlgorithmSet::EMPTY);
            let written = self.write(object, &blob).await?;
            sent_bytes += if written == Written::Uploaded { range.end - range.start } else { 0 };
        }
        Ok(StoredObject { digests, parts, received: true, sent_bytes })
    }

    /// Lets an object of known digest through.
    async fn streamed(&self, object: &DescribedObject, sha256: [u8; 32]) -> Result<StoredObject> {
        let (size, digest) = (object.record.size, Digest::from_sha256(sha256));
        let blob = self.blob(object, 0..size, digest.clone(), self.package.algorithms);
        let written = self.write(object, &blob).await;
        let digests = match (&written, blob.passed.finish(size)) {
            // A store that refuses content says less about it than what has passed does.
            (_, Some(digests)) => {
                if let Some(fault) = object.fault(size, &digests) {
                    return Err(Error::Members { faults: vec![fault] });
                }
                digests
            }
            (Ok(_), None) => self.hash_stored(&digest, size).await?,
            (Err(_), None) => Digests::new(),
        };
        let written = written?;
        self.tell(object, sha256, written.into());
        let uploaded = written == Written::Uploaded;
        let sent_bytes = if uploaded { size } else { 0 };
        Ok(StoredObject { digests, parts: Vec::new(), received: uploaded, sent_bytes })
    }

    /// Stores an object whose digest is known only when it has come: by way of the spool, or, where that is too small,
    /// by reading it twice.
    async fn hashed_first(&self, object: &DescribedObject) -> Result<StoredObject> {
        let size = object.record.size;
        let Some(units) = self.spool.units_for(size) else {
            let (digests, _) = self.hash(object, &[]).await?;
            let Some(sha256) = sha256_of(&digests) else { return Err(unhashed(object)) };
            return self.streamed(object, sha256).await;
        };
        // The semaphore is never closed.
        let _room = self.spool.free.acquire_many(units).await.ok();
        let read = self
            .source
            .read(&object.record.identifier, 0, size)
            .await
            .map_err(|error| failed(object, &error))?;
        let stream = self.meter.count(read.stream.map_err(as_backend_error).boxed());
        let (directory, hasher) = (self.spool.directory.clone(), MultiHasher::new(self.package.algorithms));
        let spooled = read_blocking(stream, move |reader| spool_hashed(reader, &directory, hasher)).await;
        let (layer, digests, length) = spooled
            .map_err(|error| failed(object, error.source().unwrap_or(&error)))?
            .map_err(|error| Error::io("write", &self.spool.directory, error))?;
        if let Some(fault) = object.fault(length, &digests) {
            return Err(Error::Members { faults: vec![fault] });
        }
        let Some(sha256) = sha256_of(&digests) else { return Err(unhashed(object)) };
        let blob = SpoolSource { layer, digest: Digest::from_sha256(sha256), size: length };
        let written = self.write(object, &blob).await?;
        self.tell(object, sha256, written.into());
        let sent_bytes = if written == Written::Uploaded { size } else { 0 };
        Ok(StoredObject { digests, parts: Vec::new(), received: true, sent_bytes })
    }

    /// Reads an object for its digests alone, and for those of its parts.
    async fn hash(&self, object: &DescribedObject, ranges: &[Range<u64>]) -> Result<(Digests, Vec<Digest>)> {
        let size = object.record.size;
        let read = self.source.read(&object.record.identifier, 0, size).await;
        let mut stream = read.map_err(|error| failed(object, &error))?.stream;
        let mut whole = MultiHasher::new(self.package.algorithms);
        let sha256 = [Algorithm::Sha256].into_iter().collect();
        let mut parts: Vec<MultiHasher> = ranges.iter().map(|_| MultiHasher::new(sha256)).collect();
        let mut position = 0_u64;
        while let Some(chunk) = stream.next().await {
            let bytes = chunk.map_err(|error| failed(object, &error))?;
            whole.update(&bytes);
            let end = position + bytes.len() as u64;
            for (range, part) in ranges.iter().zip(&mut parts) {
                let from = range.start.clamp(position, end) - position;
                let to = range.end.clamp(position, end) - position;
                let (Ok(from), Ok(to)) = (usize::try_from(from), usize::try_from(to)) else { continue };
                part.update(bytes.get(from..to).unwrap_or_default());
            }
            position = end;
        }
        let digests = whole.finish();
        if let Some(fault) = object.fault(position, &digests) {
            return Err(Error::Members { faults: vec![fault] });
        }
        let parts = parts.into_iter().filter_map(|part| sha256_of(&part.finish()).map(Digest::from_sha256));
        Ok((digests, parts.collect()))
    }

    /// Computes the digests of a blob that is in the store already; that is no work for the node.
    async fn hash_stored(&self, digest: &Digest, size: u64) -> Result<Digests> {
        let mut stream = read_range(self.backend, digest, size, 0..size).await?;
        let mut hasher = MultiHasher::new(self.package.algorithms);
        while let Some(bytes) = stream.try_next().await? {
            hasher.update(&bytes);
        }
        let digests = hasher.finish();
        let is_right = sha256_of(&digests).map(Digest::from_sha256).as_ref() == Some(digest);
        if is_right {
            Ok(digests)
        } else {
            Err(Error::content(digest.to_string(), "the stored blob has another digest"))
        }
    }

    fn blob(
        &self,
        object: &DescribedObject,
        range: Range<u64>,
        digest: Digest,
        algorithms: AlgorithmSet,
    ) -> NodeObject {
        NodeObject {
            source: self.source.clone(),
            identifier: object.record.identifier.clone(),
            object_size: object.record.size,
            range,
            digest,
            meter: self.meter.clone(),
            passed: Passed::new(algorithms),
        }
    }

    /// Writes a blob. What the node fails with is a fault of the object, what the store fails with is not.
    async fn write(&self, object: &DescribedObject, blob: &dyn BlobSource) -> Result<Written> {
        self.backend.write_blob(blob, &WriteHint::default()).await.map_err(|error| {
            let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
            while let Some(inner) = cause {
                if let Some(of_node) = inner.downcast_ref::<d1_client::Error>() {
                    return failed(object, of_node);
                }
                cause = inner.source();
            }
            if error.kind() == ErrorKind::Invalid {
                return failed(object, &error);
            }
            d1_transfer::Error::Upload { title: name_of(object).to_owned(), source: error }.into()
        })
    }

    fn tell(&self, object: &DescribedObject, sha256: [u8; 32], outcome: BlobOutcome) {
        let (title, digest, size) = (name_of(object), &Digest::from_sha256(sha256), object.record.size);
        self.meter.observer().event(&Event::Blob { title, digest, size, outcome });
    }
}

/// Writes what comes into a spool of its own, hashed.
fn spool_hashed(
    reader: &mut impl BufRead,
    directory: &Path,
    mut hasher: MultiHasher,
) -> io::Result<(SpooledLayer, Digests, u64)> {
    let mut spool = Spool::with_memory(directory, SPOOL_MEMORY);
    let mut writer = spool.layer();
    let length = copy_hashed(reader, &mut writer, &mut hasher)?;
    Ok((writer.finish(), hasher.finish(), length))
}

fn failed(object: &DescribedObject, error: &dyn std::error::Error) -> Error {
    Error::Members { faults: vec![object.wrong(error.to_string())] }
}

fn unhashed(object: &DescribedObject) -> Error {
    Error::Members { faults: vec![object.wrong("it could not be hashed")] }
}
