//! Looking for a file in archives that have no index.

use std::io::{BufRead, Write};
use std::ops::Range;

use d1_package::ArchiveLayer;
use oci_pack::{ArchiveVisitor, ArchiveWarning, EntryContent, VisitError, read_archive};
use registry_backend::RegistryBackend;

use crate::archive::{Stop, read_archive_layer};
use crate::list::names_only;
use crate::names::{below, join};
use crate::{Error, Result};

/// Writes a range of a file to `output`. Each archive is read to its end, since only then it is known to be right.
pub(super) async fn search<W: Write + Send + 'static>(
    backend: &dyn RegistryBackend,
    archives: &[ArchiveLayer<'_>],
    path: &str,
    wanted: Range<u64>,
    mut output: W,
) -> Result<W> {
    for archive in archives {
        let Some(name) = below(archive.path, path) else { continue };
        let options = names_only(archive.title);
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
    /// The file's path in the archive.
    name: String,
    /// The file's path in the package.
    path: String,
    wanted: Range<u64>,
    output: W,
    found: Option<Found>,
}

/// What stands in the archive under the name.
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
            // The part of what came that lies in the wanted range.
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

    fn hard_link(&mut self, path: &str, target: &str) -> Result<(), VisitError> {
        if path == self.name {
            self.found = Some(Found::HardLink { target: target.to_owned() });
        }
        Ok(())
    }

    fn warning(&mut self, _warning: ArchiveWarning) -> Result<(), VisitError> {
        Ok(())
    }
}
