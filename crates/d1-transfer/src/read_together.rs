//! Reading many small files of a package with few requests: files that lie near each other in an archive come together.

use std::io::{self, Read};
use std::ops::Range;

use d1_package::{PieceEncoding, Place};
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use oci_model::Digest;
use oci_pack::MemberReader;
use registry_backend::RegistryBackend;

use crate::blocking::read_blocking;
use crate::error::{Error, Result};
use crate::package::OpenPackage;
use crate::read::read_file;
use crate::source::read_range;

/// The most bytes of an archive that are read together, unless one file is larger.
const MOST_TOGETHER: u64 = 1 << 20;

/// The most bytes between two files that are read together. A member of an archive has some 1 MiB, and is read whole in any
/// case.
const WIDEST_GAP: u64 = 256 << 10;

/// How many requests are in flight.
const AT_ONCE: usize = 4;

/// A file in memory: its path, and its content.
pub type FileInMemory = (String, Vec<u8>);

/// Reads small files into memory, each compared with its digest. The files of an archive come in the order of the archive.
///
/// Some 1 MiB is read at a time, so memory is bounded by the largest file and some 4 MiB.
///
/// # Errors
///
/// As [`read_file`]. The stream continues with other files after an error.
pub fn read_small_files<'a>(
    backend: &'a dyn RegistryBackend,
    package: &'a OpenPackage,
    paths: Vec<String>,
) -> BoxStream<'a, Result<Vec<FileInMemory>>> {
    let reads = reads(package, paths);
    stream::iter(reads).map(move |read| read.run(backend, package).boxed()).buffered(AT_ONCE).boxed()
}

/// The bytes that one request reads.
#[derive(Debug, PartialEq, Eq)]
enum Together {
    /// Files of one archive, in its order.
    Archived { layer: u32, tar: Range<u64>, files: Vec<Archived> },
    /// A file with a place of its own, or with an unknown one.
    Alone(String),
}

/// A file of an archive.
#[derive(Debug, PartialEq, Eq)]
struct Archived {
    path: String,
    tar: Range<u64>,
    sha256: Option<[u8; 32]>,
}

/// Decides which files are read together.
fn reads(package: &OpenPackage, paths: Vec<String>) -> Vec<Together> {
    let (mut archived, mut reads) = (Vec::new(), Vec::new());
    for path in paths {
        let place = package.view.entry(&path).map(|entry| (entry.place, entry.size, entry.sha256));
        match place {
            Some((Place::Archive { layer, offset }, size, sha256)) if size > 0 => {
                let tar = offset..offset.saturating_add(size);
                archived.push((layer, Archived { path, tar, sha256 }));
            }
            _ => reads.push(Together::Alone(path)),
        }
    }
    archived.sort_by_key(|(layer, file)| (*layer, file.tar.start));
    let mut groups: Vec<Together> = Vec::new();
    for (layer, file) in archived {
        if let Some(Together::Archived { layer: last, tar, files }) = groups.last_mut()
            && *last == layer
            && (tar.end..=tar.end.saturating_add(WIDEST_GAP)).contains(&file.tar.start)
            && file.tar.end - tar.start <= MOST_TOGETHER
        {
            tar.end = file.tar.end;
            files.push(file);
        } else {
            groups.push(Together::Archived { layer, tar: file.tar.clone(), files: vec![file] });
        }
    }
    reads.extend(groups);
    reads
}

impl Together {
    async fn run(self, backend: &dyn RegistryBackend, package: &OpenPackage) -> Result<Vec<FileInMemory>> {
        let (layer, tar, files) = match self {
            Self::Alone(path) => {
                let bytes = read_file(backend, package, &path, None, Vec::new()).await?;
                return Ok(vec![(path, bytes)]);
            }
            Self::Archived { layer, tar, files } => (layer, tar, files),
        };
        let name = files.first().map_or("", |file| &file.path);
        let piece = package.view.archive_piece(layer, tar.clone(), name)?;
        let PieceEncoding::Members { compression, part } = piece.encoding else {
            return Err(Error::content(name, "expected an archive"));
        };
        let blob = piece.descriptor;
        let stream = read_range(backend, &blob.digest, blob.size, piece.range).await?;
        read_blocking(stream, move |reader| {
            let first = files.first().map(|file| file.path.clone()).unwrap_or_default();
            let mut reader = MemberReader::new(reader, compression, &part)
                .map_err(|error| Error::content(first, error.to_string()))?;
            let mut position = tar.start;
            let mut came = Vec::with_capacity(files.len());
            for file in files {
                let bytes = take(&mut reader, position, &file)
                    .map_err(|error| Error::content(&*file.path, error.to_string()))?;
                position = file.tar.end;
                came.push((file.path, bytes));
            }
            Ok(came)
        })
        .await?
    }
}

/// Reads one file, and compares it with its digest. `position` is the place of the reader in the archive.
fn take(reader: &mut impl Read, position: u64, file: &Archived) -> io::Result<Vec<u8>> {
    let gap = file.tar.start - position;
    io::copy(&mut reader.by_ref().take(gap), &mut io::sink())?;
    let size = file.tar.end - file.tar.start;
    let mut bytes = Vec::new();
    if reader.by_ref().take(size).read_to_end(&mut bytes)? as u64 != size {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the archive ends inside of it"));
    }
    let actual = Digest::sha256_of(&bytes);
    match file.sha256 {
        Some(expected) if actual != Digest::from_sha256(expected) => {
            Err(io::Error::other(format!("its content has the digest {actual}")))
        }
        _ => Ok(bytes),
    }
}
