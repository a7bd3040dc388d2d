//! Reading one file of a package, or a range of it, with as few bytes moved as possible.

use std::io::{self, Read, Write};
use std::ops::Range;

use bytes::Bytes;
use d1_package::{ArchiveLayer, Piece, PieceEncoding, PlannedRead, ReadPlan, ReadPlanError};
use oci_model::{Digest, DigestAlgorithm, DigestHasher};
use oci_pack::{
    ArchiveVisitor, ArchiveWarning, EntryContent, ReadOptions, SpanReader, VisitError, read_archive,
};
use registry_backend::RegistryBackend;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::archive::read_archive_layer;
use crate::blob_reader::read_range;
use crate::byte_stream::{CHUNK_BYTES, blocking_reader};
use crate::receive::run_blocking;
use crate::{Error, OpenPackage, Result};

/// Which bytes of a file to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    /// The first byte.
    pub start: u64,
    /// The byte behind the last one; without it, the file's end. An end behind the file's end means the file's end.
    pub end: Option<u64>,
}

/// Writes a file of a package, or a range of it, to `output`. A file that is read whole is verified; what was written
/// before an error is of no use.
///
/// # Errors
///
/// [`Error::NotInPackage`] if there is no such file; [`Error::Content`] if the bytes are not what the package says;
/// [`Error::Io`] if `output` fails; what the store fails with.
pub async fn read_file<W: Write + Send + 'static>(
    backend: &dyn RegistryBackend,
    package: &OpenPackage,
    path: &str,
    range: Option<ByteRange>,
    output: W,
) -> Result<W> {
    let wanted = range.map(|range| {
        let size = package.view.entry(path).map_or(u64::MAX, |entry| entry.size);
        let end = range.end.unwrap_or(u64::MAX).min(size);
        range.start..end.max(range.start)
    });
    // In an archive without an index the size is not known yet: the range is applied while the file is searched.
    let plan = package.view.read_plan(path, wanted.clone());
    match plan {
        Ok(ReadPlan::Pieces(planned)) => read_pieces(backend, path, &planned, output).await,
        Ok(ReadPlan::Search(archives)) => {
            let wanted = wanted.unwrap_or(0..u64::MAX);
            search(backend, &archives, path, wanted, output).await
        }
        Err(ReadPlanError::NotFound { path }) => Err(Error::NotInPackage { wanted: path }),
        Err(error) => Err(d1_package::Error::from(error).into()),
    }
}

async fn read_pieces<W: Write + Send + 'static>(
    backend: &dyn RegistryBackend,
    path: &str,
    planned: &PlannedRead<'_>,
    output: W,
) -> Result<W> {
    let mut writer = Checked { output, hasher: DigestHasher::new(DigestAlgorithm::Sha256) };
    for piece in &planned.pieces {
        writer = read_piece(backend, path, piece, writer).await?;
    }
    let whole = planned.range == (0..planned.size);
    match planned.sha256 {
        Some(expected) if whole => {
            let actual = writer.hasher.finish();
            if actual != Digest::from_sha256(expected) {
                return Err(Error::content(path, format!("its bytes have the digest {actual}")));
            }
        }
        _ => {}
    }
    writer.output.flush().map_err(|error| Error::io("write", path, error))?;
    Ok(writer.output)
}

struct Checked<W> {
    output: W,
    hasher: DigestHasher,
}

async fn read_piece<W: Write + Send + 'static>(
    backend: &dyn RegistryBackend,
    path: &str,
    piece: &Piece<'_>,
    mut writer: Checked<W>,
) -> Result<Checked<W>> {
    let descriptor = piece.descriptor;
    let stream = read_range(backend, &descriptor.digest, descriptor.size, piece.range.clone()).await?;
    let (encoding, path) = (piece.encoding.clone(), path.to_owned());
    run_blocking(move || {
        let (reader, stream_failure) = blocking_reader(stream);
        let copied = match &encoding {
            PieceEncoding::Raw => copy(reader, &mut writer),
            PieceEncoding::Members { compression, span } => SpanReader::new(reader, *compression, span)
                .map_err(CopyError::Read)
                .and_then(|reader| copy(reader, &mut writer)),
        };
        if let Some(error) = stream_failure.take() {
            return Err(error.into());
        }
        match copied {
            Ok(()) => Ok(writer),
            Err(CopyError::Read(error)) => Err(Error::content(path, error.to_string())),
            Err(CopyError::Write(error)) => Err(Error::io("write", path, error)),
        }
    })
    .await
}

/// Which end of a copy failed.
enum CopyError {
    Read(io::Error),
    Write(io::Error),
}

fn copy<W: Write>(mut reader: impl Read, writer: &mut Checked<W>) -> Result<(), CopyError> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let count = reader.read(&mut chunk).map_err(CopyError::Read)?;
        let bytes = chunk.get(..count).unwrap_or_default();
        if bytes.is_empty() {
            return Ok(());
        }
        writer.hasher.update(bytes);
        writer.output.write_all(bytes).map_err(CopyError::Write)?;
    }
}

/// Looks for a file in archives that have no index.
async fn search<W: Write + Send + 'static>(
    backend: &dyn RegistryBackend,
    archives: &[ArchiveLayer<'_>],
    path: &str,
    wanted: Range<u64>,
    mut output: W,
) -> Result<W> {
    let (sender, mut receiver) = channel(2);
    let found = async move {
        for archive in archives {
            if search_archive(backend, archive, path, wanted.clone(), sender.clone()).await? {
                return Ok(true);
            }
        }
        Ok::<_, Error>(false)
    };
    let name = path.to_owned();
    let written = run_blocking(move || {
        write_all(&mut receiver, &mut output)
            .map_err(|error| Error::io("write", name, error))
            .map(|()| output)
    });
    let (found, written) = futures::join!(found, written);
    let output = written?;
    if found? { Ok(output) } else { Err(Error::NotInPackage { wanted: path.to_owned() }) }
}

fn write_all(receiver: &mut Receiver<Bytes>, output: &mut impl Write) -> io::Result<()> {
    while let Some(chunk) = receiver.blocking_recv() {
        output.write_all(&chunk)?;
    }
    output.flush()
}

async fn search_archive(
    backend: &dyn RegistryBackend,
    archive: &ArchiveLayer<'_>,
    path: &str,
    wanted: Range<u64>,
    sender: Sender<Bytes>,
) -> Result<bool> {
    let below = match archive.path {
        "" => Some(path),
        place => path.strip_prefix(place).and_then(|rest| rest.strip_prefix('/')),
    };
    let Some(below) = below.map(str::to_owned) else { return Ok(false) };
    let options = ReadOptions { tar_digest: false, ..ReadOptions::new(archive.title) };
    read_archive_layer(backend, archive.descriptor, None, move |reader| {
        let mut finder = Finder { path: below, wanted, sender, found: false };
        read_archive(reader, &options, &mut finder)?;
        Ok(finder.found)
    })
    .await
}

/// Sends the wanted bytes of one file of an archive.
struct Finder {
    path: String,
    wanted: Range<u64>,
    sender: Sender<Bytes>,
    found: bool,
}

impl ArchiveVisitor for Finder {
    fn directory(&mut self, _path: &str) -> Result<(), VisitError> {
        Ok(())
    }

    fn file(&mut self, path: &str, content: &mut EntryContent<'_>) -> Result<(), VisitError> {
        if path != self.path {
            return Ok(());
        }
        self.found = true;
        io::copy(&mut content.by_ref().take(self.wanted.start), &mut io::sink())?;
        let mut left = content.take(self.wanted.end - self.wanted.start);
        loop {
            let mut chunk = Vec::new();
            left.by_ref().take(CHUNK_BYTES as u64).read_to_end(&mut chunk)?;
            // The receiver stops only if the output failed, which it reports itself.
            if chunk.is_empty() || self.sender.blocking_send(chunk.into()).is_err() {
                return Ok(());
            }
        }
    }

    fn symbolic_link(&mut self, _path: &str, _target: &str) -> Result<(), VisitError> {
        Ok(())
    }

    fn hard_link(&mut self, path: &str, target: &str) -> Result<(), VisitError> {
        if path == self.path {
            return Err(format!("it is a hard link: read `{target}` instead").into());
        }
        Ok(())
    }

    fn warning(&mut self, _warning: ArchiveWarning) -> Result<(), VisitError> {
        Ok(())
    }
}
