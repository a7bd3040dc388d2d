//! Blobs on their way in and out.

use std::fmt;
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use oci_model::Digest;

use crate::{Error, ErrorKind, Result};

/// Bytes as they come.
pub type ByteStream = BoxStream<'static, Result<Bytes>>;

/// The bytes of a blob that is being read.
pub struct BlobRead {
    /// The range of bytes that comes.
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

/// Content that is to be stored: it knows its digest and size and can be opened again at any offset, which is what
/// makes retry and resume possible.
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
    /// If the content cannot be read, or is no longer what it was when its digest was computed.
    async fn open(&self, offset: u64) -> Result<ByteStream>;
}

/// A blob in memory.
#[derive(Clone, Debug)]
pub struct BytesSource {
    bytes: Bytes,
    digest: Digest,
}

impl BytesSource {
    /// Takes the bytes; their digest is computed with SHA-256.
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
                .because(format!("offset {offset} is behind the end at {}", self.bytes.len())));
        };
        Ok(futures::stream::iter([Ok(self.bytes.slice(start..))]).boxed())
    }
}
