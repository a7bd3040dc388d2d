//! Blobs that are read, and blobs to write.

use std::fmt;
use std::fs::File;
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use oci_model::Digest;

use crate::{Error, ErrorKind, Result};

/// Bytes in the order of the blob.
pub type ByteStream = BoxStream<'static, Result<Bytes>>;

/// A blob, or a range of it, that is being read.
pub struct BlobRead {
    /// The range of bytes in the stream.
    pub range: Range<u64>,
    /// The size of the whole blob in bytes.
    pub blob_size: u64,
    /// The bytes of the range.
    pub stream: ByteStream,
}

impl BlobRead {
    /// Tells whether the range is the whole blob.
    pub fn is_whole(&self) -> bool {
        self.range == (0..self.blob_size)
    }
}

impl fmt::Debug for BlobRead {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("BlobRead")
            .field("range", &self.range)
            .field("blob_size", &self.blob_size)
            .finish()
    }
}

/// Content to store. It knows its digest and size, and can be opened again at any offset: that makes retry and resume
/// possible.
#[async_trait]
pub trait BlobSource: Send + Sync {
    /// Returns the digest.
    fn digest(&self) -> &Digest;

    /// Returns the size in bytes.
    fn size(&self) -> u64;

    /// Opens the content at an offset of at most its size; the stream yields the rest.
    ///
    /// # Errors
    ///
    /// If the content cannot be read, or changed since its digest was computed.
    async fn open(&self, offset: u64) -> Result<ByteStream>;

    /// Returns a file without a name that holds exactly the content and that nobody writes to any more. A store on the same file system
    /// may give it a name instead of writing the content again. Only sources that make such a file have one.
    fn nameless_file(&self) -> Option<&File> {
        None
    }

    /// Returns the place of the store that keeps the content under its digest ([`Capabilities::blob_place`](crate::Capabilities)).
    /// A store that knows the place may copy the content there instead of receiving it. Only sources that read from another store
    /// have one.
    fn blob_place(&self) -> Option<&str> {
        None
    }
}

/// A blob in memory.
///
/// ```
/// use oci_model::Digest;
/// use registry_backend::{BlobSource, BytesSource};
///
/// let blob = BytesSource::new("content");
/// assert_eq!((blob.size(), blob.digest()), (7, &Digest::sha256_of(b"content")));
/// ```
#[derive(Clone, Debug)]
pub struct BytesSource {
    bytes: Bytes,
    digest: Digest,
}

impl BytesSource {
    /// Takes the bytes, and computes their SHA-256 digest.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let digest = Digest::sha256_of(&bytes);
        Self { bytes, digest }
    }
}

#[async_trait]
impl BlobSource for BytesSource {
    fn digest(&self) -> &Digest {
        &self.digest
    }

    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    async fn open(&self, offset: u64) -> Result<ByteStream> {
        let rest = usize::try_from(offset).ok().filter(|start| *start <= self.bytes.len());
        let Some(start) = rest else {
            return Err(Error::new(ErrorKind::Invalid, "open at an offset", &self.digest)
                .because(format!("expected an offset of at most {}, found {offset}", self.bytes.len())));
        };
        Ok(futures::stream::iter([Ok(self.bytes.slice(start..))]).boxed())
    }
}
