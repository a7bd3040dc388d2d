//! Content of blobs in temporary files, so that large ones need no memory.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use oci_model::{Digest, DigestAlgorithm, DigestHasher};
use tempfile::TempDir;

/// The bytes of a body, in or out.
pub(super) type Pieces = BoxStream<'static, io::Result<Bytes>>;

/// A folder that vanishes with the registry.
#[derive(Debug)]
pub(super) struct Spool {
    folder: TempDir,
    next: AtomicU64,
}

/// A file that grows, and the digest of what is in it.
#[derive(Debug)]
pub(super) struct Growing {
    path: PathBuf,
    file: File,
    hasher: DigestHasher,
    size: u64,
}

/// A state to which a growing file can be set back.
pub(super) struct Mark {
    hasher: DigestHasher,
    size: u64,
}

impl Spool {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            folder: tempfile::Builder::new().prefix("scripted-registry-").tempdir()?,
            next: AtomicU64::new(0),
        })
    }

    /// Opens a new empty file.
    pub(super) fn create(&self) -> io::Result<Growing> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.path().join(format!("upload-{number}"));
        let file = File::options().read(true).write(true).create_new(true).open(&path)?;
        Ok(Growing { path, file, hasher: DigestHasher::new(DigestAlgorithm::Sha256), size: 0 })
    }

    /// Where the content with a digest is.
    pub(super) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.folder.path().join(format!("{}-{}", digest.algorithm_name(), digest.encoded()))
    }
}

impl Growing {
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    // Blocking writes: they go to the page cache of a development machine.
    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        Ok(())
    }

    pub(super) fn mark(&self) -> Mark {
        Mark { hasher: self.hasher.clone(), size: self.size }
    }

    pub(super) fn set_back(&mut self, mark: Mark) -> io::Result<()> {
        self.file.set_len(mark.size)?;
        self.file.seek(SeekFrom::Start(mark.size))?;
        self.hasher = mark.hasher;
        self.size = mark.size;
        Ok(())
    }

    /// Returns the digest of the content with the algorithm of `like`, or `None` if it is unknown.
    pub(super) fn digest_like(&mut self, like: &Digest) -> io::Result<Option<Digest>> {
        if like.algorithm() == Some(DigestAlgorithm::Sha256) {
            return Ok(Some(self.hasher.clone().finish()));
        }
        let Some(mut hasher) = DigestHasher::matching(like) else { return Ok(None) };
        self.file.seek(SeekFrom::Start(0))?;
        let mut buffer = vec![0; 128 * 1024];
        loop {
            let count = self.file.read(&mut buffer)?;
            let Some(read) = buffer.get(..count).filter(|read| !read.is_empty()) else {
                return Ok(Some(hasher.finish()));
            };
            hasher.update(read);
        }
    }

    /// Moves the file to its final place.
    pub(super) fn keep_as(&self, path: &Path) -> io::Result<()> {
        std::fs::rename(&self.path, path)
    }
}

impl Drop for Growing {
    fn drop(&mut self) {
        // It was renamed, or is of no use; the folder is removed as a whole in any case.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Reads a part of a file.
pub(super) fn read(path: &Path, start: u64, length: u64) -> io::Result<Pieces> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(start))?;
    Ok(futures::stream::try_unfold((file, length), |(mut file, left)| async move {
        let mut buffer = vec![0; usize::try_from(left).unwrap_or(usize::MAX).min(128 * 1024)];
        let count = file.read(&mut buffer)?;
        buffer.truncate(count);
        let next = left.saturating_sub(count as u64);
        Ok((count > 0).then(|| (Bytes::from(buffer), (file, next))))
    })
    .boxed())
}
