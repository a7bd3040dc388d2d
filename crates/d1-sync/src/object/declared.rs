//! An object on its way to a store, hashed by the algorithm of its system metadata in the read that sends it.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bagit::{Algorithm, MultiHasher};
use bytes::Bytes;
use d1_model::Checksum;
use futures::StreamExt;
use oci_model::Digest;
use registry_backend::{BlobSource, ByteStream, Error, ErrorKind, Result};

/// A source whose stream ends in an error before its last bytes if the content does not have a declared checksum, so that
/// no store ever gets all of it.
pub(crate) struct DeclaredSource<S> {
    source: S,
    hashing: Arc<Mutex<Hashing>>,
}

/// What was found of the checksum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Not all bytes have passed.
    Unknown,
    /// The checksum is the declared one.
    Right,
    /// It is this one.
    Wrong(Checksum),
}

struct Hashing {
    algorithm: Algorithm,
    declared: Checksum,
    size: u64,
    /// How many bytes, from the first on, have been hashed: those that are sent again after a failure are not hashed again.
    position: u64,
    hasher: Option<MultiHasher>,
    verdict: Verdict,
}

impl<S: BlobSource> DeclaredSource<S> {
    /// Wraps a source whose content has a declared checksum by this algorithm.
    pub(crate) fn new(source: S, algorithm: Algorithm, declared: Checksum) -> Self {
        let mut hashing = Hashing {
            algorithm,
            declared,
            size: source.size(),
            position: 0,
            hasher: Some(MultiHasher::new([algorithm].into_iter().collect())),
            verdict: Verdict::Unknown,
        };
        hashing.finish_at_end();
        Self { source, hashing: Arc::new(Mutex::new(hashing)) }
    }

    /// Returns what has been found so far.
    pub(crate) fn verdict(&self) -> Verdict {
        lock(&self.hashing).verdict.clone()
    }
}

fn lock(hashing: &Mutex<Hashing>) -> std::sync::MutexGuard<'_, Hashing> {
    hashing.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hashing {
    /// Takes in bytes that begin at an offset.
    fn update(&mut self, offset: u64, bytes: &[u8]) {
        let known = self.position.checked_sub(offset).and_then(|known| usize::try_from(known).ok());
        let (Some(new), Some(hasher)) = (known.and_then(|known| bytes.get(known..)), &mut self.hasher) else {
            return;
        };
        hasher.update(new);
        self.position += new.len() as u64;
        self.finish_at_end();
    }

    fn finish_at_end(&mut self) {
        if self.position < self.size {
            return;
        }
        let digests = self.hasher.take().map(MultiHasher::finish).unwrap_or_default();
        if let Some(digest) = digests.get(self.algorithm) {
            self.verdict = match self.declared.matches_digest(digest) {
                true => Verdict::Right,
                false => Verdict::Wrong(Checksum::from_digest(self.declared.algorithm().clone(), digest)),
            };
        }
    }

    fn check(&self, digest: &Digest) -> Result<()> {
        match &self.verdict {
            Verdict::Wrong(found) => Err(Error::new(ErrorKind::Invalid, "send", digest)
                .because(format!("its system metadata declare {}, it has {found}", self.declared))),
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
        lock(&self.hashing).check(&digest)?;
        let stream = self.source.open(offset).await?;
        let hashing = Arc::clone(&self.hashing);
        let mut position = offset;
        let checked = stream.map(move |chunk: Result<Bytes>| {
            let chunk = chunk?;
            let mut hashing = lock(&hashing);
            hashing.update(position, &chunk);
            position += chunk.len() as u64;
            hashing.check(&digest).map(|()| chunk)
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
    async fn what_is_as_declared_passes_also_in_a_second_attempt() {
        let source = source(b"abc", MD5_OF_ABC);
        assert_eq!(source.verdict(), Verdict::Unknown);
        assert_eq!(read(&source, 0).await.unwrap(), b"abc");
        assert_eq!(source.verdict(), Verdict::Right);
        assert_eq!(read(&source, 1).await.unwrap(), b"bc");
    }

    #[tokio::test]
    async fn what_is_not_never_passes_whole() {
        let source = source(b"abd", MD5_OF_ABC);
        let error = read(&source, 0).await.unwrap_err();
        assert!(error.to_string().contains("declare MD5:9001"), "{error}");
        assert!(matches!(source.verdict(), Verdict::Wrong(_)));
        assert!(source.open(0).await.is_err());
    }

    #[tokio::test]
    async fn what_has_gaps_is_not_judged() {
        let source = source(b"abc", MD5_OF_ABC);
        assert_eq!(read(&source, 2).await.unwrap(), b"c");
        assert_eq!(source.verdict(), Verdict::Unknown);
    }

    #[test]
    fn the_empty_object_is_judged_at_once() {
        assert_eq!(source(b"", "MD5:d41d8cd98f00b204e9800998ecf8427e").verdict(), Verdict::Right);
        assert!(matches!(source(b"", MD5_OF_ABC).verdict(), Verdict::Wrong(_)));
    }
}
