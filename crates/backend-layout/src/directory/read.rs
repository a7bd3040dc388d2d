//! Reading blobs from files.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::PathBuf;

use bytes::Bytes;
use futures::{StreamExt, stream};
use oci_model::Digest;
use registry_backend::{BlobRead, Error, ErrorKind, Result};
use tokio::task::JoinHandle;

use super::failure::failure;
use super::paths::Paths;
use crate::blocking::{blocking, joined};
use crate::storage::{absent, outside};

const OPERATION: &str = "read blob";

/// How much is read at once; one more piece is read ahead.
const PIECE_BYTES: u64 = 512 * 1024;

/// Returns the size of a blob; what is no file is no blob.
pub(super) fn size(paths: &Paths, digest: &Digest) -> Result<Option<u64>> {
    let path = paths.blob(digest);
    match fs::metadata(&path) {
        Ok(metadata) => Ok(metadata.is_file().then_some(metadata.len())),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(failure("stat blob", digest, &path, error)),
    }
}

/// Opens a range of a blob.
pub(super) async fn read(paths: &Paths, digest: &Digest, range: Option<Range<u64>>) -> Result<BlobRead> {
    let opened = (paths.clone(), digest.clone());
    let (range, blob_size, first, rest) =
        blocking(OPERATION, move || open(&opened.0, opened.1, range)).await?;
    // The first piece came with the opening: a small blob takes one change of threads.
    let first = stream::iter([Ok(first)]);
    let rest = stream::try_unfold(rest.map(begin), next);
    Ok(BlobRead { range, blob_size, stream: first.chain(rest).boxed() })
}

type Opened = (Range<u64>, u64, Bytes, Option<Reader>);

fn open(paths: &Paths, digest: Digest, range: Option<Range<u64>>) -> Result<Opened> {
    // A file is opened only after its kind is known: opening a pipe would wait for a writer.
    let blob_size = size(paths, &digest)?.ok_or_else(|| absent(OPERATION, &digest))?;
    let range = range.unwrap_or(0..blob_size);
    if range.start > range.end || range.end > blob_size {
        return Err(outside(&digest, &range, blob_size));
    }
    let path = paths.blob(&digest);
    let file = File::open(&path).and_then(|mut file| file.seek(SeekFrom::Start(range.start)).map(|_| file));
    let file = match file {
        // It was removed a moment ago.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(absent(OPERATION, &digest)),
        file => file.map_err(|error| failure(OPERATION, &digest, &path, error))?,
    };
    let left = range.end.saturating_sub(range.start);
    let (first, rest) = Reader { file, left, digest, path }.piece()?;
    Ok((range, blob_size, first, rest))
}

struct Reader {
    file: File,
    left: u64,
    digest: Digest,
    path: PathBuf,
}

impl Reader {
    /// Reads the next piece, and returns the reader if there is more.
    fn piece(mut self) -> Result<(Bytes, Option<Self>)> {
        let wanted = self.left.min(PIECE_BYTES);
        let mut piece = Vec::with_capacity(usize::try_from(wanted).unwrap_or_default());
        let read = (&mut self.file).take(wanted).read_to_end(&mut piece);
        read.map_err(|error| failure(OPERATION, &self.digest, &self.path, error))?;
        self.left = self.left.saturating_sub(wanted);
        if (piece.len() as u64) < wanted {
            return Err(Error::new(ErrorKind::Invalid, OPERATION, &self.digest)
                .because(format!("the file became shorter while it was read: `{}`", self.path.display())));
        }
        let rest = (self.left > 0).then_some(self);
        Ok((Bytes::from(piece), rest))
    }
}

type Ahead = JoinHandle<Result<(Bytes, Option<Reader>)>>;

fn begin(reader: Reader) -> Ahead {
    tokio::task::spawn_blocking(|| reader.piece())
}

async fn next(ahead: Option<Ahead>) -> Result<Option<(Bytes, Option<Ahead>)>> {
    let Some(ahead) = ahead else { return Ok(None) };
    let (piece, rest) = joined(OPERATION, ahead).await?;
    Ok(Some((piece, rest.map(begin))))
}
