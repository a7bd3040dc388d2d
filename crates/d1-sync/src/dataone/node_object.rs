//! An object at a node as a blob to be stored: it streams through, hashed on the way, and is never on disk.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bagit::{AlgorithmSet, Digests, MultiHasher};
use bytes::Bytes;
use d1_model::Identifier;
use d1_transfer::parts::Meter;
use futures::{StreamExt, TryStreamExt};
use oci_model::Digest;
use registry_backend::{BlobSource, ByteStream, Result};

use super::source::{DataOneSource, as_backend_error};

/// An object, or a part of one, whose digest is known before it has come.
pub(super) struct NodeObject {
    pub(super) source: DataOneSource,
    pub(super) identifier: Identifier,
    /// Size of the whole object in bytes.
    pub(super) object_size: u64,
    /// Which bytes of it are the blob.
    pub(super) range: Range<u64>,
    pub(super) digest: Digest,
    pub(super) meter: Meter,
    pub(super) passed: Passed,
}

/// The digests of what has passed. Bytes that come again after a failure count once.
#[derive(Clone)]
pub(super) struct Passed(Arc<Mutex<(u64, MultiHasher)>>);

impl Passed {
    pub(super) fn new(algorithms: AlgorithmSet) -> Self {
        Self(Arc::new(Mutex::new((0, MultiHasher::new(algorithms)))))
    }

    /// Takes bytes that begin at a position of the blob.
    fn take(&self, position: u64, bytes: &Bytes) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (next, hasher) = &mut *state;
        let skip = usize::try_from(next.saturating_sub(position)).unwrap_or(usize::MAX);
        if let (true, Some(fresh)) = (position <= *next, bytes.get(skip..)) {
            hasher.update(fresh);
            *next += fresh.len() as u64;
        }
    }

    /// Returns the digests if exactly so many bytes have passed.
    pub(super) fn finish(&self, size: u64) -> Option<Digests> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (state.0 == size).then(|| state.1.clone().finish())
    }
}

#[async_trait]
impl BlobSource for NodeObject {
    fn digest(&self) -> &Digest {
        &self.digest
    }

    fn size(&self) -> u64 {
        self.range.end - self.range.start
    }

    async fn open(&self, offset: u64) -> Result<ByteStream> {
        let from = self.range.start + offset;
        let read =
            self.source.read(&self.identifier, from, self.object_size).await.map_err(as_backend_error)?;
        let stream = self.meter.count(read.stream.map_err(as_backend_error).boxed());
        let (passed, mut position, end) = (self.passed.clone(), offset, self.size());
        let ours = stream.map_ok(move |mut bytes| {
            let left = usize::try_from(end.saturating_sub(position)).unwrap_or(usize::MAX);
            bytes.truncate(left);
            passed.take(position, &bytes);
            position += bytes.len() as u64;
            bytes
        });
        // Behind the end of a part, more of the object would come.
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

#[cfg(test)]
mod tests {
    use bagit::Algorithm;

    use super::*;

    #[test]
    fn bytes_that_come_again_count_once() {
        let algorithms: AlgorithmSet = [Algorithm::Md5].into_iter().collect();
        let passed = Passed::new(algorithms);
        for (position, text) in [(0, "abc"), (0, "ab"), (2, "cd"), (4, "ef")] {
            passed.take(position, &Bytes::from_static(text.as_bytes()));
        }
        assert_eq!(passed.finish(6), Some(Digests::of(algorithms, b"abcdef")));
        assert_eq!(passed.finish(7), None);
    }

    #[test]
    fn a_gap_leaves_the_digests_unknown() {
        let passed = Passed::new([Algorithm::Md5].into_iter().collect());
        passed.take(0, &Bytes::from_static(b"abc"));
        passed.take(4, &Bytes::from_static(b"e"));
        assert_eq!(passed.finish(5), None);
    }
}
