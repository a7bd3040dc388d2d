//! Archive layers as streams: each is read once, hashed, and compared with its digest at the end.

use std::io::{self, BufRead, Read, Write};
use std::ops::Range;

use d1_package::ArchiveLayer;
use multi_digest::HashingReader;
use oci_model::{Descriptor, DigestHasher};
use oci_pack::{
    ArchiveError, ArchiveErrorKind, ArchiveVisitor, ArchiveWarning, EntryContent, NameClashes, ReadOptions,
    UnpackError, VisitError, read_archive,
};
use registry_backend::{Error as BackendError, ErrorKind, RegistryBackend};

use crate::blocking::read_blocking;
use crate::error::{Error, Result, with_causes};
use crate::event::Meter;
use crate::names::{below, join, title};
use crate::source::read_range;

/// A failure while an archive is read, before its cause is known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveFailure {
    #[error(transparent)]
    Read(#[from] ArchiveError),
    #[error(transparent)]
    Unpack(#[from] UnpackError),
}

/// The reason why the receiver of the files stops the reading.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stop {
    /// A file differs from the package.
    #[error("{message}")]
    Wrong { path: String, message: String },
    /// The file cannot be written.
    #[error("cannot write `{path}`")]
    Output { path: String, source: io::Error },
}

/// Gives the bytes of an archive layer to `work` in a blocking thread.
///
/// # Errors
///
/// The failure of the store, if that is why `work` failed. [`Error::Content`] if the blob has another digest,
/// or `work` found damage. [`Error::Io`] if `work` could not write.
pub(crate) async fn read_archive_layer<T: Send + 'static>(
    backend: &dyn RegistryBackend,
    layer: &Descriptor,
    meter: Option<&Meter>,
    work: impl FnOnce(&mut (dyn Read + Send)) -> Result<T, ArchiveFailure> + Send + 'static,
) -> Result<T> {
    let hasher = DigestHasher::matching(&layer.digest).ok_or_else(|| unknown_algorithm(layer))?;
    let mut stream = read_range(backend, &layer.digest, layer.size, 0..layer.size).await?;
    if let Some(meter) = meter {
        stream = meter.count(stream);
    }
    let layer = layer.clone();
    read_blocking(stream, move |reader| {
        let mut reader = HashingReader::new(reader, hasher);
        let value = work(&mut reader).map_err(|failure| failed(failure, title(&layer)))?;
        // An archive is always read to its end.
        let length = reader.length();
        let actual = reader.into_hasher().finish();
        if actual == layer.digest && length == layer.size {
            return Ok(value);
        }
        let message =
            format!("expected the blob {}, found {length} bytes with the digest {actual}", layer.digest);
        Err(Error::content(title(&layer), message))
    })
    .await?
}

/// Returns the error of a blob that cannot be verified.
pub(crate) fn unknown_algorithm(blob: &Descriptor) -> Error {
    let error = BackendError::new(ErrorKind::Unsupported, "verify", &blob.digest);
    error.because("expected a sha256 or sha512 digest").into()
}

fn failed(failure: ArchiveFailure, layer: &str) -> Error {
    match failure {
        ArchiveFailure::Unpack(UnpackError::Io { operation, path, source }) => {
            Error::Io { operation, path, source }
        }
        ArchiveFailure::Unpack(UnpackError::Exists { path }) => Error::content(layer, comes_twice(&path)),
        ArchiveFailure::Unpack(UnpackError::Refused { source, .. }) => stopped(source, layer),
        ArchiveFailure::Unpack(UnpackError::Archive(error)) | ArchiveFailure::Read(error) => {
            let text = with_causes(&error);
            match (error.kind(), error.into_source()) {
                (ArchiveErrorKind::Visitor, Some(source)) => stopped(source, layer),
                _ => Error::content(layer, text),
            }
        }
        ArchiveFailure::Unpack(other) => Error::content(layer, with_causes(&other)),
    }
}

fn stopped(source: VisitError, layer: &str) -> Error {
    match source.downcast::<Stop>().map(|stop| *stop) {
        Ok(Stop::Wrong { path, message }) => Error::content(path, message),
        Ok(Stop::Output { path, source }) => Error::io("write", path, source),
        Err(other) => Error::content(layer, with_causes(&*other)),
    }
}

/// Describes two files with one name, or with names that the file system does not distinguish.
pub(crate) fn comes_twice(path: &std::path::Path) -> String {
    format!("`{}` exists twice, or this file system does not distinguish two names", path.display())
}

/// Writes a range of a file to `output`. Each archive is read to its end, because only then its digest is
/// known.
pub(crate) async fn search_archives<W: Write + Send + 'static>(
    backend: &dyn RegistryBackend,
    (archives, max_ratio): (&[ArchiveLayer<'_>], u64),
    path: &str,
    wanted: Range<u64>,
    mut output: W,
) -> Result<W> {
    for archive in archives {
        let Some(name) = below(archive.path, path) else { continue };
        let options = names_only(archive.title, max_ratio);
        let mut finder = Finder {
            name: name.to_owned(),
            path: path.to_owned(),
            wanted: wanted.clone(),
            output,
            found: None,
        };
        let (found, returned) = read_archive_layer(backend, archive.descriptor, None, move |reader| {
            read_archive(reader, &options, &mut finder)?;
            Ok((finder.found, finder.output))
        })
        .await?;
        output = returned;
        match found {
            None => {}
            Some(Found::File { size }) if wanted.start > size => {
                return Err(d1_package::Error::outside_file(path, size, &wanted).into());
            }
            Some(Found::File { .. }) => {
                output.flush().map_err(|error| Error::io("write", path, error))?;
                return Ok(output);
            }
            Some(Found::HardLink { target }) => {
                return Err(Error::IsLink { path: path.to_owned(), target: join(archive.path, &target) });
            }
            Some(Found::SymbolicLink { target }) => {
                return Err(Error::IsLink { path: path.to_owned(), target });
            }
        }
    }
    Err(Error::NotInPackage { wanted: path.to_owned() })
}

/// Writes the wanted bytes of one file of an archive.
struct Finder<W> {
    /// Path of the file in the archive.
    name: String,
    /// Path of the file in the package.
    path: String,
    wanted: Range<u64>,
    output: W,
    found: Option<Found>,
}

/// The entry that has the name.
enum Found {
    File { size: u64 },
    HardLink { target: String },
    SymbolicLink { target: String },
}

impl<W: Write> ArchiveVisitor for Finder<W> {
    fn directory(&mut self, _path: &str) -> Result<(), VisitError> {
        Ok(())
    }

    fn file(&mut self, path: &str, content: &mut EntryContent<'_>) -> Result<(), VisitError> {
        if path != self.name {
            return Ok(());
        }
        self.found = Some(Found::File { size: content.size() });
        let mut position = 0;
        while position < self.wanted.end {
            let bytes = content.fill_buf()?;
            if bytes.is_empty() {
                break;
            }
            let count = bytes.len() as u64;
            // The part of these bytes that is in the wanted range.
            let from = self.wanted.start.clamp(position, position + count) - position;
            let to = self.wanted.end.clamp(position, position + count) - position;
            let bounds = (usize::try_from(from)?, usize::try_from(to)?);
            let part = bytes.get(bounds.0..bounds.1).unwrap_or_default();
            let written = self.output.write_all(part);
            written.map_err(|source| Stop::Output { path: self.path.clone(), source })?;
            content.consume(usize::try_from(count)?);
            position += count;
        }
        Ok(())
    }

    fn symbolic_link(&mut self, path: &str, target: &str) -> Result<(), VisitError> {
        if path == self.name {
            self.found = Some(Found::SymbolicLink { target: target.to_owned() });
        }
        Ok(())
    }

    fn hard_link(&mut self, path: &str, target: &str, _size: u64) -> Result<(), VisitError> {
        if path == self.name {
            self.found = Some(Found::HardLink { target: target.to_owned() });
        }
        Ok(())
    }

    fn warning(&mut self, _warning: ArchiveWarning) -> Result<(), VisitError> {
        Ok(())
    }
}

/// Adds the paths and sizes of the files of an archive to a list.
pub(crate) async fn list_archive(
    backend: &dyn RegistryBackend,
    archive: &ArchiveLayer<'_>,
    max_ratio: u64,
    files: PathList,
) -> Result<PathList> {
    let options = names_only(archive.title, max_ratio);
    let place = archive.path.to_owned();
    read_archive_layer(backend, archive.descriptor, None, move |reader| {
        let mut lister = Lister { place, files };
        read_archive(reader, &options, &mut lister)?;
        Ok(lister.files)
    })
    .await
}

/// Returns options to read an archive without writing to disk, so names that some file systems do not
/// distinguish are fine.
fn names_only(title: &str, max_ratio: u64) -> ReadOptions {
    let mut options = ReadOptions::new(title);
    options.limits.ratio = Some(max_ratio);
    ReadOptions { name_clashes: NameClashes::Warn, tar_digest: false, ..options }
}

/// Lists the files of an archive.
struct Lister {
    place: String,
    files: PathList,
}

impl Lister {
    fn add(&mut self, path: &str, size: u64) -> Result<(), VisitError> {
        self.files.add(&join(&self.place, path), size)
    }
}

impl ArchiveVisitor for Lister {
    fn directory(&mut self, _path: &str) -> Result<(), VisitError> {
        Ok(())
    }

    fn file(&mut self, path: &str, content: &mut EntryContent<'_>) -> Result<(), VisitError> {
        self.add(path, content.size())
    }

    fn symbolic_link(&mut self, path: &str, _target: &str) -> Result<(), VisitError> {
        self.add(path, 0)
    }

    fn hard_link(&mut self, path: &str, _target: &str, size: u64) -> Result<(), VisitError> {
        self.add(path, size)
    }

    fn warning(&mut self, _warning: ArchiveWarning) -> Result<(), VisitError> {
        Ok(())
    }
}

/// The most bytes of a list of paths.
const LONGEST_LIST: usize = 128 << 20;

/// Paths and sizes in order. Each path is kept without its beginning that is that of the path before it, so that a million paths
/// take a few megabytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct PathList {
    /// The ends of all paths, one after the other.
    ends: Vec<u8>,
    records: Vec<PathRecord>,
    last: String,
}

#[derive(Clone, Copy, Debug)]
struct PathRecord {
    /// Number of bytes that it has in common with the path before it.
    shared: u32,
    /// Length of the rest.
    length: u32,
    size: u64,
}

impl PathList {
    /// Adds a path at the end.
    ///
    /// # Errors
    ///
    /// If the list is too long.
    pub(crate) fn add(&mut self, path: &str, size: u64) -> Result<(), VisitError> {
        let shared = path.bytes().zip(self.last.bytes()).take_while(|(new, old)| new == old).count();
        let end = path.as_bytes().get(shared..).unwrap_or_default();
        let bytes = self.ends.len() + end.len() + size_of_val(self.records.as_slice());
        if bytes > LONGEST_LIST {
            return Err(format!("the names of the files have more than {LONGEST_LIST} bytes").into());
        }
        self.records.push(PathRecord {
            shared: u32::try_from(shared)?,
            length: u32::try_from(end.len())?,
            size,
        });
        self.ends.extend_from_slice(end);
        path.clone_into(&mut self.last);
        Ok(())
    }

    /// Returns the paths with their sizes.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (String, u64)> {
        let (mut path, mut ends) = (Vec::new(), self.ends.as_slice());
        self.records.iter().map(move |record| {
            path.truncate(record.shared as usize);
            let (end, rest) = ends.split_at_checked(record.length as usize).unwrap_or_default();
            path.extend_from_slice(end);
            ends = rest;
            (String::from_utf8_lossy(&path).into_owned(), record.size)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_gives_its_paths_back() {
        let paths =
            [("data/é", 1), ("data/è/a", 2), ("data/è/ab", 3), ("", 4), ("data", u64::MAX), ("data", 5)];
        let mut list = PathList::default();
        paths.iter().for_each(|(path, size)| list.add(path, *size).unwrap());
        let expected: Vec<_> = paths.iter().map(|(path, size)| ((*path).to_owned(), *size)).collect();
        assert_eq!(list.iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_list_has_a_bound() {
        let mut list = PathList::default();
        let refused = (0..1_000_000).position(|number: u32| {
            let path = format!("{number}/{}", "x".repeat(4000));
            list.add(&path, 1).is_err()
        });
        assert!(refused.is_some_and(|count| count > 30_000));
    }
}
