//! Receiving one file from the blobs that hold it, and keeping its bytes where they are wanted.

use std::fs::File;
use std::io::{self, BufRead, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bagit::{AlgorithmSet, Digests, MultiHasher, TagFiles};
use oci_model::DigestHasher;
use registry_backend::{Error as BackendError, ErrorKind, RegistryBackend};

use crate::blocking::{CHUNK_BYTES, GivenUp, read_blocking, run_while_wanted};
use crate::error::{Error, Result};
use crate::event::{Meter, total};
use crate::receive::job::Blob;
use crate::source::read_range;
use crate::staging::Staging;

/// A file to receive.
pub(crate) struct Incoming<'a> {
    pub(crate) blobs: &'a [Blob],
    pub(crate) algorithms: AlgorithmSet,
    /// Whether to compare each blob with its digest, because the digest of the whole file is unknown.
    pub(crate) judge_blobs: bool,
    /// Keeps the bytes in memory too, if they are needed.
    pub(crate) keeping: Option<Keeping>,
    /// The partial file on disk, if there is one.
    pub(crate) partial: Option<&'a Partial>,
}

/// A partial file. Its content is the beginning of the file and is not received again.
#[derive(Clone, Debug)]
pub(crate) struct Partial {
    pub(crate) path: PathBuf,
    /// Keeps the staging directory locked while a thread may write.
    pub(crate) staging: Arc<Staging>,
}

/// A received file.
pub(crate) struct Came {
    pub(crate) digests: Digests,
    pub(crate) kept: Option<KeptBytes>,
    /// A fault of a blob.
    pub(crate) fault: Option<String>,
    /// Whether the partial file had content. That content was not verified, and may explain a wrong digest.
    pub(crate) resumed: bool,
}

/// Receives a file. The caller compares the digests.
pub(crate) async fn receive_file(
    backend: &dyn RegistryBackend,
    file: Incoming<'_>,
    meter: &Meter,
) -> Result<Came> {
    let judged = if file.judge_blobs { file.blobs } else { &[] };
    let mut intake = Intake {
        hasher: MultiHasher::new(file.algorithms),
        judge: BlobJudge::new(judged)?,
        keeping: file.keeping,
        output: None,
    };
    let mut position = 0;
    if let Some(partial) = file.partial.cloned() {
        let size = total(file.blobs.iter().map(|blob| blob.size));
        let taken = run_while_wanted(move |given_up| intake.take_up(partial, size, given_up)).await?;
        (intake, position) = taken;
        meter.advance(0, position);
    }
    let resumed = position > 0;
    let mut start = 0;
    for blob in file.blobs {
        let end = start + blob.size;
        if position < end {
            let stream = read_range(backend, &blob.digest, blob.size, position - start..blob.size).await?;
            let taken = read_blocking(meter.count(stream), move |reader| intake.take_in(reader));
            intake = taken.await??;
            position = end;
        }
        start = end;
    }
    let kept = intake.keeping.map(Keeping::finish).transpose();
    let kept = kept.map_err(|error| Error::io("write", "a temporary file", error))?;
    Ok(Came { digests: intake.hasher.finish(), kept, fault: intake.judge.finish(), resumed })
}

/// Receives bytes in a blocking thread.
struct Intake {
    hasher: MultiHasher,
    judge: BlobJudge,
    keeping: Option<Keeping>,
    output: Option<(Partial, File)>,
}

impl Intake {
    /// Opens the partial file, hashes its content, and returns its size. A file that is too long is emptied.
    fn take_up(mut self, partial: Partial, size: u64, given_up: &GivenUp) -> Result<(Self, u64)> {
        let failed = |operation| {
            let path = partial.path.clone();
            move |error| Error::Io { operation, path, source: error }
        };
        let mut file = partial.staging.open_partial(&partial.path)?;
        if file.metadata().map_err(failed("look at"))?.len() > size {
            file.set_len(0).map_err(failed("cut"))?;
        }
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut taken = 0;
        loop {
            given_up.check().map_err(failed("read"))?;
            let count = file.read(&mut chunk).map_err(failed("read"))?;
            let bytes = chunk.get(..count).unwrap_or_default();
            if bytes.is_empty() {
                break;
            }
            self.hash(bytes);
            taken += bytes.len() as u64;
        }
        self.output = Some((partial, file));
        Ok((self, taken))
    }

    fn take_in(mut self, reader: &mut impl BufRead) -> Result<Self> {
        loop {
            // The caller returns the error of the stream.
            let bytes = reader.fill_buf().map_err(|error| Error::io("receive", "a blob", error))?;
            if bytes.is_empty() {
                return Ok(self);
            }
            let count = bytes.len();
            self.hash(bytes);
            if let Some((partial, file)) = &mut self.output {
                file.write_all(bytes).map_err(|error| Error::io("write", &partial.path, error))?;
            }
            reader.consume(count);
        }
    }

    fn hash(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.judge.update(bytes);
        if let Some(keeping) = &mut self.keeping {
            keeping.take(bytes);
        }
    }
}

/// Compares consecutive bytes with the digests of their blobs.
struct BlobJudge {
    /// The blobs that have not begun yet, in reverse order.
    next: Vec<(Blob, DigestHasher)>,
    current: Option<(Blob, DigestHasher)>,
    /// Bytes that the current blob still lacks.
    left: u64,
    fault: Option<String>,
}

impl BlobJudge {
    fn new(blobs: &[Blob]) -> Result<Self> {
        let mut next = Vec::with_capacity(blobs.len());
        for blob in blobs.iter().rev() {
            let hasher = DigestHasher::matching(&blob.digest).ok_or_else(|| {
                BackendError::new(ErrorKind::Unsupported, "verify", &blob.digest)
                    .because("expected a sha256 or sha512 digest")
            })?;
            next.push((blob.clone(), hasher));
        }
        Ok(Self { next, current: None, left: 0, fault: None })
    }

    fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.left == 0 && !self.begin() {
                return;
            }
            let count = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
            let (now, later) = bytes.split_at(count);
            if let Some((_, hasher)) = &mut self.current {
                hasher.update(now);
            }
            self.left -= now.len() as u64;
            bytes = later;
        }
    }

    /// Continues with the next blob that is not empty. Returns `false` if there is none.
    fn begin(&mut self) -> bool {
        while self.left == 0 {
            self.end();
            let Some((blob, hasher)) = self.next.pop() else { return false };
            self.left = blob.size;
            self.current = Some((blob, hasher));
        }
        true
    }

    fn end(&mut self) {
        let Some((blob, hasher)) = self.current.take() else { return };
        let actual = hasher.finish();
        if actual != blob.digest && self.fault.is_none() {
            self.fault = Some(format!("expected the blob {}, found the digest {actual}", blob.digest));
        }
    }

    fn finish(mut self) -> Option<String> {
        self.end();
        while let Some(next) = self.next.pop() {
            self.current = Some(next);
            self.end();
        }
        self.fault
    }
}

/// The target of a file from an archive: hashed, and written if there is a partial file.
pub(crate) struct Sink {
    pub(crate) hasher: MultiHasher,
    pub(crate) keeping: Option<Keeping>,
    output: Option<(Partial, File)>,
}

impl Sink {
    pub(crate) fn new(
        algorithms: AlgorithmSet,
        keeping: Option<Keeping>,
        partial: Option<&Partial>,
    ) -> Result<Self> {
        let create = |partial: &Partial| {
            let file = partial.staging.open_partial(&partial.path)?;
            file.set_len(0).map_err(|error| Error::io("cut", &partial.path, error))?;
            Ok::<_, Error>((partial.clone(), file))
        };
        Ok(Self { hasher: MultiHasher::new(algorithms), keeping, output: partial.map(create).transpose()? })
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some((_, file)) = &mut self.output {
            file.write_all(bytes)?;
        }
        if let Some(keeping) = &mut self.keeping {
            keeping.take(bytes);
        }
        self.hasher.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Keeps the bytes of one file in memory or in a temporary file.
#[derive(Debug)]
pub(crate) struct Keeping {
    memory: Vec<u8>,
    /// Directory for a temporary file. Without one, all bytes stay in memory.
    directory: Option<Arc<Path>>,
    file: Option<File>,
    failure: Option<io::Error>,
}

/// The kept bytes of one file.
#[derive(Clone, Debug)]
pub(crate) enum KeptBytes {
    Memory(Arc<Vec<u8>>),
    File(Arc<File>),
}

impl Keeping {
    /// Begins a file. Only manifests, which are read line by line, may go to a temporary file.
    pub(crate) fn new(path: &str, directory: Option<&Arc<Path>>) -> Self {
        let directory = directory.filter(|_| TagFiles::may_stay_on_disk(path)).cloned();
        Self { memory: Vec::new(), directory, file: None, failure: None }
    }

    /// Takes the next bytes. `finish` reports a failure.
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        if self.failure.is_none() {
            self.failure = self.try_take(bytes).err();
        }
    }

    /// Ends the file.
    ///
    /// # Errors
    ///
    /// Fails if the temporary file could not be written.
    pub(crate) fn finish(self) -> io::Result<KeptBytes> {
        match (self.failure, self.file) {
            (Some(error), _) => Err(error),
            (None, Some(file)) => Ok(KeptBytes::File(Arc::new(file))),
            (None, None) => Ok(KeptBytes::Memory(Arc::new(self.memory))),
        }
    }

    fn try_take(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(file) = &mut self.file {
            return file.write_all(bytes);
        }
        self.memory.extend_from_slice(bytes);
        let is_large = self.memory.len() as u64 > TagFiles::MOST_HELD_BYTES;
        if let Some(directory) = self.directory.as_ref().filter(|_| is_large) {
            // The file has no name, so it vanishes however the process ends.
            let mut file = tempfile::tempfile_in(directory)?;
            file.write_all(&std::mem::take(&mut self.memory))?;
            self.file = Some(file);
        }
        Ok(())
    }
}

impl KeptBytes {
    /// Returns the bytes if they are in memory. Only manifests may be on disk.
    pub(crate) fn in_memory(&self) -> Option<&[u8]> {
        match self {
            Self::Memory(bytes) => Some(bytes),
            Self::File(_) => None,
        }
    }

    /// Adds them to the tag files of a bag.
    pub(crate) fn insert_into(self, tag_files: &mut TagFiles, path: &str) {
        match self {
            Self::Memory(bytes) => tag_files.insert(path, Arc::unwrap_or_clone(bytes)),
            Self::File(file) => tag_files.insert_open(path, file),
        }
    }
}

#[cfg(test)]
mod tests {
    use oci_model::Digest;

    use super::*;

    fn fault(stated: &[&[u8]], came: &[u8], piece: usize) -> Option<String> {
        let blobs: Vec<Blob> = stated
            .iter()
            .map(|content| Blob { digest: Digest::sha256_of(content), size: content.len() as u64 })
            .collect();
        let mut judge = BlobJudge::new(&blobs).unwrap();
        came.chunks(piece).for_each(|bytes| judge.update(bytes));
        judge.finish()
    }

    #[test]
    fn every_blob_of_a_row_is_compared() {
        let stated: [&[u8]; 5] = [b"abc", b"", b"defgh", b"i", b""];
        for piece in 1..=9 {
            assert_eq!(fault(&stated, b"abcdefghi", piece), None);
            for wrong in 0..9 {
                let mut came = *b"abcdefghi";
                came[wrong] ^= 1;
                let blob = if wrong < 3 {
                    "abc"
                } else if wrong < 8 {
                    "defgh"
                } else {
                    "i"
                };
                let fault = fault(&stated, &came, piece).unwrap();
                assert!(fault.contains(Digest::sha256_of(blob.as_bytes()).as_str()), "{wrong}: {fault}");
            }
            assert!(fault(&stated, b"abcdefgh", piece).is_some());
            assert!(fault(&stated, b"", piece).is_some());
        }
    }

    #[test]
    fn a_large_manifest_goes_to_a_file_and_nothing_else_does() {
        let directory = tempfile::tempdir().unwrap();
        let room: Arc<Path> = directory.path().into();
        for (path, in_memory) in [("manifest-md5.txt", false), ("metadata/sysmeta.xml", true)] {
            let mut keeping = Keeping::new(path, Some(&room));
            (0..30).for_each(|_| keeping.take(&[b'x'; 100_000]));
            let kept = keeping.finish().unwrap();
            assert_eq!(kept.in_memory().map(<[u8]>::len), in_memory.then_some(3_000_000));
            let mut tag_files = TagFiles::new();
            kept.insert_into(&mut tag_files, path);
            assert_eq!(tag_files.get(path).is_some(), in_memory);
        }
        let mut lost = Keeping::new("manifest-md5.txt", Some(&Arc::from(directory.path().join("gone"))));
        (0..30).for_each(|_| lost.take(&[b'x'; 100_000]));
        assert!(lost.finish().is_err());
        let mut unbounded = Keeping::new("manifest-md5.txt", None);
        unbounded.take(&[b'x'; 3_000_000]);
        assert!(unbounded.finish().unwrap().in_memory().is_some());
    }
}
