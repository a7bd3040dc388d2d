//! Receiving the bytes of one file from the blobs that hold it: hashed as they come, and written if there is a place.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

use bagit::{AlgorithmSet, Digests, MultiHasher};
use oci_model::DigestHasher;
use registry_backend::{Error as BackendError, ErrorKind, RegistryBackend};

use super::job::Blob;
use super::kept::{Keeping, KeptBytes};
use crate::blob_reader::read_range;
use crate::blocking::{GivenUp, run_while_wanted};
use crate::byte_stream::{CHUNK_BYTES, read_blocking};
use crate::progress::{Meter, total};
use crate::pull::Staging;
use crate::{Error, Result};

/// A file that is to be received.
pub(crate) struct Incoming<'a> {
    pub(crate) blobs: &'a [Blob],
    pub(crate) algorithms: AlgorithmSet,
    /// Whether each blob is compared with its digest, since that of the whole file is not known.
    pub(crate) judge_blobs: bool,
    /// Where the bytes are gathered besides, if they are wanted.
    pub(crate) keeping: Option<Keeping>,
    /// Where the bytes gather, if they do.
    pub(crate) partial: Option<&'a Partial>,
}

/// Where bytes gather. What is there already is taken for the file's beginning and not received again.
#[derive(Clone, Debug)]
pub(crate) struct Partial {
    pub(crate) path: PathBuf,
    /// Held as long as a thread may write.
    pub(crate) staging: Arc<Staging>,
}

/// What came.
pub(crate) struct Came {
    pub(crate) digests: Digests,
    pub(crate) kept: Option<KeptBytes>,
    /// What is wrong with a blob.
    pub(crate) fault: Option<String>,
    /// Whether some of it was there before: it was on disk, unverified, and may be to blame for a wrong digest.
    pub(crate) resumed: bool,
}

/// Receives a file; the caller compares the digests with those that are known.
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

/// Takes bytes in, in a blocking thread.
struct Intake {
    hasher: MultiHasher,
    judge: BlobJudge,
    keeping: Option<Keeping>,
    output: Option<(Partial, File)>,
}

impl Intake {
    /// Opens the partial file, hashes what it holds, and returns how much that is; one that is too long begins anew.
    fn take_up(mut self, partial: Partial, size: u64, given_up: &GivenUp) -> Result<(Self, u64)> {
        let failed = |operation| {
            let path = partial.path.clone();
            move |error| Error::Io { operation, path, source: error }
        };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&partial.path).map_err(failed("open"))?;
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
            // An error is the stream's, which its giver returns.
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

/// Compares bytes that come in a row with the digests of the blobs that they are.
struct BlobJudge {
    /// The blobs that have not begun yet, the next one last.
    next: Vec<(Blob, DigestHasher)>,
    current: Option<(Blob, DigestHasher)>,
    /// Bytes that the current blob lacks.
    left: u64,
    fault: Option<String>,
}

impl BlobJudge {
    fn new(blobs: &[Blob]) -> Result<Self> {
        let mut next = Vec::with_capacity(blobs.len());
        for blob in blobs.iter().rev() {
            let hasher = DigestHasher::matching(&blob.digest).ok_or_else(|| {
                BackendError::new(ErrorKind::Unsupported, "verify", &blob.digest)
                    .because("its algorithm is neither sha256 nor sha512")
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

    /// Goes on to the next blob that has bytes; there may be none.
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
            self.fault = Some(format!("the blob {} came with the digest {actual}", blob.digest));
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

/// Where a file out of an archive goes: hashed, and written if there is a place.
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
            let file = File::create(&partial.path);
            let file = file.map_err(|error| Error::io("create", &partial.path, error))?;
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
}
