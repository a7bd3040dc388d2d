//! Blobs whose bytes are hashed while a store reads them.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bagit::{Algorithm, AlgorithmSet, Digests, MultiHasher};
use bytes::Bytes;
use d1_model::Checksum;
use futures::StreamExt;
use oci_model::Digest;
use registry_backend::{BlobSource, ByteStream, Error, ErrorKind, Result};

/// Hashes the bytes of a blob as they pass, in order. Bytes that pass again after a failure are hashed once.
#[derive(Clone)]
pub(crate) struct Passed(Arc<Mutex<(u64, MultiHasher)>>);

impl Passed {
    pub(crate) fn new(algorithms: AlgorithmSet) -> Self {
        Self(Arc::new(Mutex::new((0, MultiHasher::new(algorithms)))))
    }

    /// Hashes bytes that begin at a position of the blob.
    pub(crate) fn take(&self, position: u64, bytes: &Bytes) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (next, hasher) = &mut *state;
        let skip = usize::try_from(next.saturating_sub(position)).unwrap_or(usize::MAX);
        if let (true, Some(fresh)) = (position <= *next, bytes.get(skip..)) {
            hasher.update(fresh);
            *next += fresh.len() as u64;
        }
    }

    /// Returns the digests if exactly `size` bytes have passed.
    pub(crate) fn finish(&self, size: u64) -> Option<Digests> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (state.0 == size).then(|| state.1.clone().finish())
    }
}

/// A blob with a declared checksum. Its stream fails before the last bytes if the content has another checksum, so no
/// store ever gets all of wrong content.
pub(crate) struct DeclaredSource<S> {
    source: S,
    declared: Arc<Declared>,
}

/// The result of comparing a blob with its declared checksum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Some bytes have not passed yet.
    Unknown,
    /// The checksum is the declared one.
    Right,
    /// The checksum is this one instead.
    Wrong(Checksum),
}

struct Declared {
    algorithm: Algorithm,
    checksum: Checksum,
    size: u64,
    passed: Passed,
}

impl<S: BlobSource> DeclaredSource<S> {
    /// Wraps a source whose content should have this checksum, which is by this algorithm.
    pub(crate) fn new(source: S, algorithm: Algorithm, checksum: Checksum) -> Self {
        let passed = Passed::new([algorithm].into_iter().collect());
        let declared = Declared { algorithm, checksum, size: source.size(), passed };
        Self { source, declared: Arc::new(declared) }
    }

    /// Compares the bytes that have passed with the declared checksum.
    pub(crate) fn verdict(&self) -> Verdict {
        self.declared.verdict()
    }
}

impl Declared {
    fn verdict(&self) -> Verdict {
        let digests = self.passed.finish(self.size);
        match digests.as_ref().and_then(|digests| digests.get(self.algorithm)) {
            None => Verdict::Unknown,
            Some(digest) if self.checksum.matches_digest(digest) => Verdict::Right,
            Some(digest) => Verdict::Wrong(Checksum::from_digest(self.checksum.algorithm().clone(), digest)),
        }
    }

    fn check(&self, digest: &Digest) -> Result<()> {
        match self.verdict() {
            Verdict::Wrong(found) => Err(Error::new(ErrorKind::Invalid, "send", digest)
                .because(format!("its system metadata declare {}, it has {found}", self.checksum))),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl<S: BlobSource> BlobSource for DeclaredSource<S> {
    fn digest(&self) -> &Digest {
        self.source.digest()
    }

    fn size(&self) -> u64 {
        self.source.size()
    }

    async fn open(&self, offset: u64) -> Result<ByteStream> {
        let digest = self.digest().clone();
        self.declared.check(&digest)?;
        let stream = self.source.open(offset).await?;
        let declared = Arc::clone(&self.declared);
        let mut position = offset;
        let checked = stream.map(move |chunk: Result<Bytes>| {
            let chunk = chunk?;
            declared.passed.take(position, &chunk);
            position += chunk.len() as u64;
            declared.check(&digest).map(|()| chunk)
        });
        Ok(checked.boxed())
    }
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;
    use registry_backend::BytesSource;

    use super::*;

    const MD5_OF_ABC: &str = "MD5:900150983cd24fb0d6963f7d28e17f72";

    fn source(content: &'static [u8], declared: &str) -> DeclaredSource<BytesSource> {
        DeclaredSource::new(BytesSource::new(content), Algorithm::Md5, declared.parse().unwrap())
    }

    async fn read(source: &DeclaredSource<BytesSource>, offset: u64) -> Result<Vec<u8>> {
        let chunks: Vec<Bytes> = source.open(offset).await?.try_collect().await?;
        Ok(chunks.concat())
    }

    #[tokio::test]
    async fn content_as_declared_passes_and_passes_again() {
        let source = source(b"abc", MD5_OF_ABC);
        assert_eq!(source.verdict(), Verdict::Unknown);
        assert_eq!(read(&source, 0).await.unwrap(), b"abc");
        assert_eq!(source.verdict(), Verdict::Right);
        assert_eq!(read(&source, 1).await.unwrap(), b"bc");
    }

    #[tokio::test]
    async fn other_content_never_passes_whole() {
        let source = source(b"abd", MD5_OF_ABC);
        let error = read(&source, 0).await.unwrap_err();
        assert!(error.to_string().contains("declare MD5:9001"), "{error}");
        assert!(matches!(source.verdict(), Verdict::Wrong(_)));
        assert!(source.open(0).await.is_err());
    }

    #[tokio::test]
    async fn content_with_gaps_is_not_judged() {
        let source = source(b"abc", MD5_OF_ABC);
        assert_eq!(read(&source, 2).await.unwrap(), b"c");
        assert_eq!(source.verdict(), Verdict::Unknown);
    }

    #[test]
    fn the_empty_object_is_judged_at_once() {
        assert_eq!(source(b"", "MD5:d41d8cd98f00b204e9800998ecf8427e").verdict(), Verdict::Right);
        assert!(matches!(source(b"", MD5_OF_ABC).verdict(), Verdict::Wrong(_)));
    }

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
