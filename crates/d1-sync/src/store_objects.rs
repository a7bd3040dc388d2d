//! Moving objects from nodes into a store, each compared with its system metadata in the same pass.

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

use crate::error::{Error, Result};
use crate::known_objects::KnownObjects;
use crate::node::{DataOneSource, NodeObject, as_backend_error, copy_hashed, failed};
use crate::package::{DescribedObject, DescribedPackage, name_of, sha256_of};
use crate::passed::Passed;

/// Unit of the spool, in bytes.
const SPOOL_UNIT: u64 = 1 << 20;

/// How much of one object stays in memory before the rest goes to disk, in bytes.
const SPOOL_MEMORY: usize = 1 << 20;

/// Moves objects of one package into a store.
pub(crate) struct ObjectMover<'a> {
    pub(crate) backend: &'a dyn RegistryBackend,
    pub(crate) source: &'a DataOneSource,
    pub(crate) package: &'a DescribedPackage,
    pub(crate) known: &'a KnownObjects,
    pub(crate) meter: &'a Meter,
    pub(crate) spool: &'a SpoolRoom,
}

/// Bounds the disk space of objects whose digests are known only after they have come.
#[derive(Debug)]
pub(crate) struct SpoolRoom {
    directory: PathBuf,
    units: u32,
    free: Semaphore,
}

/// An object that is in the store.
#[derive(Clone, Debug)]
pub(crate) struct StoredObject {
    pub(crate) digests: Digests,
    /// Digests of its parts, if it is stored in parts.
    pub(crate) parts: Vec<Digest>,
    /// Whether it came from a node.
    pub(crate) received: bool,
    pub(crate) sent_bytes: u64,
}

impl SpoolRoom {
    /// Returns a spool of this size in a directory.
    pub(crate) fn new(directory: PathBuf, bytes: u64) -> Self {
        let units = u32::try_from(bytes / SPOOL_UNIT).unwrap_or(u32::MAX).min(1 << 28);
        Self { directory, units, free: Semaphore::new(units as usize) }
    }

    /// Returns how many units an object takes, or `None` if it is larger than the spool.
    fn units_for(&self, size: u64) -> Option<u32> {
        u32::try_from(size.div_ceil(SPOOL_UNIT)).ok().filter(|units| *units <= self.units)
    }
}

impl ObjectMover<'_> {
    /// Stores an object as one blob.
    ///
    /// # Errors
    ///
    /// [`Error::Members`] if the node does not return it or it differs from its system metadata. Also fails if
    /// the store fails.
    pub(crate) async fn object(&self, object: &DescribedObject) -> Result<StoredObject> {
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
        match object.expected_sha256() {
            Some(sha256) => self.streamed(object, sha256).await,
            None => self.hashed_first(object).await,
        }
    }

    /// Stores an object in parts. It is read twice, because the digests of the parts must be known first.
    pub(crate) async fn in_parts(
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

    /// Streams an object whose SHA-256 is known into the store.
    async fn streamed(&self, object: &DescribedObject, sha256: [u8; 32]) -> Result<StoredObject> {
        let (size, digest) = (object.record.size, Digest::from_sha256(sha256));
        let blob = self.blob(object, 0..size, digest.clone(), self.package.algorithms);
        let written = self.write(object, &blob).await;
        let digests = match (&written, blob.passed.finish(size)) {
            // The passed bytes explain a refusal better than the store does.
            (_, Some(digests)) => {
                if let Some(fault) = object.fault(size, &digests) {
                    return Err(Error::Members { faults: vec![fault] });
                }
                digests
            }
            // A local source costs less than the repository.
            (Ok(_), None) if matches!(self.source, DataOneSource::HashStore(_)) => {
                self.hash(object, &[]).await?.0
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

    /// Stores an object without a declared SHA-256. It waits in the spool until its digest is known. If it is
    /// too large for the spool, it is read twice.
    async fn hashed_first(&self, object: &DescribedObject) -> Result<StoredObject> {
        let size = object.record.size;
        let Some(units) = self.spool.units_for(size) else {
            let (digests, _) = self.hash(object, &[]).await?;
            let Some(sha256) = sha256_of(&digests) else { return Err(unhashed(object)) };
            return self.streamed(object, sha256).await;
        };
        // The semaphore is never closed.
        let _room = self.spool.free.acquire_many(units).await.ok();
        let read = self.source.read(&object.to_read(), 0).await.map_err(|error| failed(object, &error))?;
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

    /// Reads an object only for its digests and those of its parts.
    async fn hash(&self, object: &DescribedObject, ranges: &[Range<u64>]) -> Result<(Digests, Vec<Digest>)> {
        let read = self.source.read(&object.to_read(), 0).await;
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

    /// Computes further digests of a stored blob, so that the node need not send it.
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
            object: object.to_read(),
            range,
            digest,
            meter: self.meter.clone(),
            passed: Passed::new(algorithms),
        }
    }

    /// Writes a blob. A failure of the node is a fault of the object; a failure of the store is not.
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

/// Hashes a stream and writes it to a new spool.
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

fn unhashed(object: &DescribedObject) -> Error {
    Error::Members { faults: vec![object.wrong("it could not be hashed")] }
}
