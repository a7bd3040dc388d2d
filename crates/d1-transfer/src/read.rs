//! Reading one file of a package, or a range of it, with as few bytes moved as possible.

use std::io::{self, BufRead, Read, Write};

use d1_package::{ErrorKind, Piece, PieceEncoding, PlannedRead, ReadPlan};
use multi_digest::HashingWriter;
use oci_model::{Digest, DigestAlgorithm, DigestHasher};
use oci_pack::MemberReader;
use registry_backend::RegistryBackend;

use crate::archive::{search_archives, unknown_algorithm};
use crate::blocking::{CHUNK_BYTES, StreamReader, read_blocking};
use crate::error::{Error, Result};
use crate::event::Meter;
use crate::package::OpenPackage;
use crate::source::read_range;

/// A range of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    /// The first byte.
    pub start: u64,
    /// The byte behind the last one. Without one, or behind the file's end, the range ends with the file.
    pub end: Option<u64>,
}

/// Writes a file of a package, or a range of it, to `output`. A whole file is compared with its digest. After
/// an error, discard the output.
///
/// # Errors
///
/// [`Error::NotInPackage`] if the package has no such file. [`Error::IsLink`] if it is a link in an archive
/// without an index. [`Error::Content`] if the bytes are damaged. [`Error::Package`] if the range begins behind
/// the file's end. [`Error::Io`] if `output` fails. Also fails if the store fails.
///
/// ```
/// # use std::sync::Arc;
/// # use d1_transfer::{Observer, PushOptions, Silent, push_directory};
/// use d1_transfer::{ByteRange, open_package, read_file};
/// # use registry_backend::MemoryBackend;
///
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// # let folder = tempfile::tempdir()?;
/// # std::fs::write(folder.path().join("temperature.csv"), "depth,temperature\n15,7.2\n")?;
/// # let backend = MemoryBackend::new();
/// # let observer: Arc<dyn Observer> = Arc::new(Silent);
/// # let options = PushOptions::new(std::env::temp_dir());
/// # let pushed = push_directory(&backend, folder.path(), &options, &observer).await?;
/// let package = open_package(&backend, &pushed.digest.into()).await?;
/// let header = ByteRange { start: 0, end: Some(17) };
/// let bytes = read_file(&backend, &package, "temperature.csv", Some(header), Vec::new()).await?;
/// assert_eq!(bytes, b"depth,temperature");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub async fn read_file<W: Write + Send + 'static>(
    backend: &dyn RegistryBackend,
    package: &OpenPackage,
    path: &str,
    range: Option<ByteRange>,
    output: W,
) -> Result<W> {
    read_counted(backend, package, path, range, output, None).await
}

/// Reads a file as [`read_file`] does, and counts the received bytes.
pub(crate) async fn read_counted<W: Write + Send + 'static>(
    backend: &dyn RegistryBackend,
    package: &OpenPackage,
    path: &str,
    range: Option<ByteRange>,
    output: W,
    meter: Option<&Meter>,
) -> Result<W> {
    let wanted = range.map(|range| {
        let size = package.view.entry(path).map_or(u64::MAX, |entry| entry.size);
        let end = range.end.unwrap_or(u64::MAX).min(size);
        range.start..end.max(range.start)
    });
    // Without an index, the size is not known yet. The search applies the range.
    let plan = package.view.read_plan(path, wanted.clone());
    match plan {
        Ok(ReadPlan::Pieces(planned)) => Reading { backend, path, meter }.all(&planned, output).await,
        Ok(ReadPlan::Search(archives)) => {
            let wanted = wanted.unwrap_or(0..u64::MAX);
            search_archives(backend, (&archives, package.max_ratio), path, wanted, output).await
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(Error::NotInPackage { wanted: path.to_owned() })
        }
        Err(error) => Err(error.into()),
    }
}

/// A file that is read from pieces of blobs.
#[derive(Clone, Copy)]
struct Reading<'a> {
    backend: &'a dyn RegistryBackend,
    path: &'a str,
    meter: Option<&'a Meter>,
}

impl Reading<'_> {
    async fn all<W: Write + Send + 'static>(self, planned: &PlannedRead<'_>, output: W) -> Result<W> {
        let mut writer = HashingWriter::new(output, DigestHasher::new(DigestAlgorithm::Sha256));
        for piece in &planned.pieces {
            // Without a digest of the whole file, compare those of its blobs.
            let is_judged = planned.sha256.is_none() && piece.range == (0..piece.descriptor.size);
            writer = self.piece(piece, is_judged, writer).await?;
        }
        let (mut output, hasher) = writer.into_parts();
        let whole = planned.range == (0..planned.size);
        if let (Some(expected), true) = (planned.sha256, whole) {
            let actual = hasher.finish();
            if actual != Digest::from_sha256(expected) {
                return Err(Error::content(self.path, format!("its content has the digest {actual}")));
            }
        }
        output.flush().map_err(|error| Error::io("write", self.path, error))?;
        Ok(output)
    }

    async fn piece<W: Write + Send + 'static>(
        self,
        piece: &Piece<'_>,
        is_judged: bool,
        mut writer: Hashing<W>,
    ) -> Result<Hashing<W>> {
        let blob = piece.descriptor;
        let mut judge = match is_judged.then(|| DigestHasher::matching(&blob.digest)) {
            Some(None) => return Err(unknown_algorithm(blob)),
            judge => judge.flatten(),
        };
        let mut stream = read_range(self.backend, &blob.digest, blob.size, piece.range.clone()).await?;
        if let Some(meter) = self.meter {
            stream = meter.count(stream);
        }
        let (encoding, path, digest) = (piece.encoding.clone(), self.path.to_owned(), blob.digest.clone());
        let length = piece.range.end - piece.range.start;
        read_blocking(stream, move |reader| {
            let copied = match &encoding {
                PieceEncoding::Raw => copy_raw(reader, length, &mut writer, judge.as_mut()),
                PieceEncoding::Members { compression, part } => MemberReader::new(reader, *compression, part)
                    .map_err(CopyError::Read)
                    .and_then(|reader| copy(reader, &mut writer)),
            };
            match copied {
                Ok(()) => {}
                Err(CopyError::Read(error)) => return Err(Error::content(path, error.to_string())),
                Err(CopyError::Write(error)) => return Err(Error::io("write", path, error)),
            }
            match judge.map(DigestHasher::finish) {
                Some(actual) if actual != digest => Err(Error::content(
                    path,
                    format!("expected the blob {digest}, found the digest {actual}"),
                )),
                _ => Ok(writer),
            }
        })
        .await?
    }
}

type Hashing<W> = HashingWriter<W, DigestHasher>;

/// The side of a copy that failed.
enum CopyError {
    Read(io::Error),
    Write(io::Error),
}

fn copy_raw<W: Write>(
    reader: &mut StreamReader,
    length: u64,
    writer: &mut Hashing<W>,
    mut judge: Option<&mut DigestHasher>,
) -> Result<(), CopyError> {
    let mut left = length;
    loop {
        let bytes = reader.fill_buf().map_err(CopyError::Read)?;
        let count = bytes.len();
        if count == 0 && left == 0 {
            return Ok(());
        }
        // A range has no digest, so only its length can be checked.
        if count == 0 || count as u64 > left {
            let came = length - left + count as u64;
            let error = io::Error::other(format!("expected {length} bytes, found {came}"));
            return Err(CopyError::Read(error));
        }
        if let Some(judge) = &mut judge {
            judge.update(bytes);
        }
        writer.write_all(bytes).map_err(CopyError::Write)?;
        left -= count as u64;
        reader.consume(count);
    }
}

fn copy<W: Write>(mut reader: impl Read, writer: &mut Hashing<W>) -> Result<(), CopyError> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let count = reader.read(&mut chunk).map_err(CopyError::Read)?;
        let bytes = chunk.get(..count).unwrap_or_default();
        if bytes.is_empty() {
            return Ok(());
        }
        writer.write_all(bytes).map_err(CopyError::Write)?;
    }
}
