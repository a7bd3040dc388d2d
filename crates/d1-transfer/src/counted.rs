//! Counting the bytes of a blob as a store takes them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use futures::StreamExt;
use oci_model::Digest;
use registry_backend::{BlobSource, ByteStream, Result};

/// A source that reports how far it has been read. Bytes that are sent again after a failure count once.
pub struct Counted<'a> {
    source: &'a dyn BlobSource,
    count: Arc<dyn Fn(u64) + Send + Sync>,
    furthest: Arc<AtomicU64>,
}

impl<'a> Counted<'a> {
    /// Wraps a source; `count` is called with each number of bytes that are read for the first time.
    pub fn new(source: &'a dyn BlobSource, count: Arc<dyn Fn(u64) + Send + Sync>) -> Self {
        Self { source, count, furthest: Arc::default() }
    }

    /// Returns the number of bytes read so far.
    pub fn counted(&self) -> u64 {
        self.furthest.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl BlobSource for Counted<'_> {
    fn digest(&self) -> &Digest {
        self.source.digest()
    }

    fn size(&self) -> u64 {
        self.source.size()
    }

    async fn open(&self, offset: u64) -> Result<ByteStream> {
        let stream = self.source.open(offset).await?;
        let (count, furthest) = (Arc::clone(&self.count), Arc::clone(&self.furthest));
        let mut position = offset;
        let counted = stream.inspect(move |chunk| {
            if let Ok(bytes) = chunk {
                position += bytes.len() as u64;
                let before = furthest.fetch_max(position, Ordering::Relaxed);
                count(position.saturating_sub(before));
            }
        });
        Ok(counted.boxed())
    }
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;
    use registry_backend::BytesSource;

    use super::*;

    #[tokio::test]
    async fn bytes_that_are_read_again_count_once() {
        let source = BytesSource::new(vec![7; 100]);
        let total = Arc::new(AtomicU64::new(0));
        let sum = Arc::clone(&total);
        let counted =
            Counted::new(&source, Arc::new(move |bytes| _ = sum.fetch_add(bytes, Ordering::Relaxed)));
        for offset in [0, 40, 0] {
            let _: Vec<_> = counted.open(offset).await.unwrap().try_collect().await.unwrap();
        }
        assert_eq!(total.load(Ordering::Relaxed), 100);
        assert_eq!(counted.counted(), 100);
    }
}
