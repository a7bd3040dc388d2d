//! Reading blobs of a backend: exactly the range that was asked for, and as the source of a copy.

use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use oci_model::{Descriptor, Digest};
use registry_backend::{BlobRead, BlobSource, ByteStream, Error, ErrorKind, RegistryBackend, Result};

/// Reads a range of a blob of known size, whatever the store sends: a store without range reads sends the whole blob,
/// of which the rest is dropped.
///
/// # Errors
///
/// [`Invalid`](ErrorKind::Invalid) if the blob does not have the size that its descriptor states.
pub async fn read_range(
    backend: &dyn RegistryBackend,
    digest: &Digest,
    size: u64,
    range: Range<u64>,
) -> Result<ByteStream> {
    let whole = range == (0..size);
    let read = backend.read_blob(digest, (!whole).then(|| range.clone())).await?;
    if read.blob_size != size {
        return Err(Error::new(ErrorKind::Invalid, "read blob", digest)
            .because(format!("it has {} bytes, but its descriptor says {size}", read.blob_size)));
    }
    if read.range == range {
        return Ok(read.stream);
    }
    if read.range.start > range.start || read.range.end < range.end {
        return Err(Error::new(ErrorKind::Protocol, "read blob", digest).because(format!(
            "bytes {} to {} came instead of {} to {}",
            read.range.start, read.range.end, range.start, range.end
        )));
    }
    Ok(cut(read, &range))
}

/// Drops what lies before and behind the wanted range.
fn cut(read: BlobRead, wanted: &Range<u64>) -> ByteStream {
    let mut skip = wanted.start - read.range.start;
    let mut left = wanted.end - wanted.start;
    read.stream
        .map(move |chunk| {
            chunk.map(|bytes| {
                let from = usize::try_from(skip).unwrap_or(usize::MAX).min(bytes.len());
                skip -= from as u64;
                let count = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len() - from);
                left -= count as u64;
                (bytes.slice(from..from + count), left == 0)
            })
        })
        .scan(false, |done, item| {
            let item = (!*done).then(|| {
                item.map(|(bytes, last)| {
                    *done = last;
                    bytes
                })
            });
            futures::future::ready(item)
        })
        .filter(|item| futures::future::ready(!matches!(item, Ok(bytes) if Bytes::is_empty(bytes))))
        .boxed()
}

/// A blob of one backend on its way to another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BackendSource<'a> {
    pub(crate) backend: &'a dyn RegistryBackend,
    pub(crate) descriptor: &'a Descriptor,
}

#[async_trait]
impl BlobSource for BackendSource<'_> {
    fn digest(&self) -> &Digest {
        &self.descriptor.digest
    }

    fn size(&self) -> u64 {
        self.descriptor.size
    }

    async fn open(&self, offset: u64) -> Result<ByteStream> {
        let Descriptor { digest, size, .. } = self.descriptor;
        read_range(self.backend, digest, *size, offset..*size).await
    }
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;

    use super::*;

    #[tokio::test]
    async fn a_store_that_sends_too_much_is_cut() {
        let content: Vec<u8> = (0..100).collect();
        for (start, end) in [(0_u8, 100_u8), (0, 10), (10, 10), (35, 65), (90, 100)] {
            let chunks: Vec<Result<Bytes>> =
                content.chunks(7).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
            let read =
                BlobRead { range: 0..100, blob_size: 100, stream: futures::stream::iter(chunks).boxed() };
            let got: Vec<Bytes> = cut(read, &(start.into()..end.into())).try_collect().await.unwrap();
            assert_eq!(got.concat(), content[start.into()..end.into()]);
        }
    }
}
