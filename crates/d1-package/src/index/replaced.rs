//! The archives in an index that a push can reuse: 24 bytes for each file in one.

use std::collections::BTreeMap;
use std::io;

use oci_model::{Digest, ImageManifest};
use sha2::{Digest as _, Sha256};

use super::check::{ArchiveRoom, check_layers};
use super::document::{FileRecord, KeepFiles, read_document};
use super::{ArchiveRecord, LayerKind, Place};
use crate::error::layer_name;
use crate::{Error, ErrorKind, FileView, Result};

/// The archives of a replaced package, as its index describes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplacedArchives {
    pub(crate) directory: Box<str>,
    pub(crate) empty_directories: Vec<Box<str>>,
    /// The archives, in the order of the manifest. The first holds the empty directories.
    pub(crate) archives: Vec<ReplacedArchive>,
}

/// An archive of a replaced package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReplacedArchive {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    pub(crate) record: ArchiveRecord,
    /// Its files in order, each with the start of its content in the tar archive.
    pub(crate) files: Vec<(Fingerprint, u64)>,
}

/// A hash of the path, size and SHA-256 of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint([u8; 16]);

impl Fingerprint {
    pub(crate) fn of(file: &FileView<'_>) -> Self {
        Self::new(file.path, file.size, &file.sha256)
    }

    fn new(path: &str, size: u64, sha256: &[u8; 32]) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(sha256);
        hasher.update(size.to_le_bytes());
        hasher.update(path);
        let digest: [u8; 32] = hasher.finalize().into();
        let mut fingerprint = Self([0; 16]);
        fingerprint.0.iter_mut().zip(digest).for_each(|(byte, from)| *byte = from);
        fingerprint
    }
}

impl ReplacedArchives {
    /// Reads the parts of an index that decide which archives can be reused. Facts about other layers are not
    /// checked.
    ///
    /// # Errors
    ///
    /// As [`PackageIndex::read`](super::PackageIndex::read).
    pub fn read(reader: impl io::Read, manifest: &ImageManifest) -> Result<Self> {
        let document = read_document::<ArchivedFiles>(reader, manifest)?;
        check_layers(&document.layers, manifest)?;
        let mut files = document.files.kept;
        if let Some((path, detail)) = files.wrong {
            return Err(Error::index(ErrorKind::Overlap, &*path, detail));
        }
        let mut archives = Vec::new();
        for (number, layer) in (0..).zip(document.layers.into_owned()) {
            let LayerKind::Archive(record) = layer.kind else { continue };
            let (room, files) = files.of_layers.remove(&number).unwrap_or_default();
            if !room.fits(record.tar_size) {
                let detail = "its files do not lie in the archive";
                return Err(Error::index(ErrorKind::Overlap, layer_name(number as usize), detail));
            }
            archives.push(ReplacedArchive { digest: layer.digest, size: layer.size, record, files });
        }
        if let Some(number) = files.of_layers.keys().next() {
            let detail = "files lie in it, but it is not an archive";
            return Err(Error::index(ErrorKind::Place, layer_name(*number as usize), detail));
        }
        let empty_directories = document.empty_directories.into_owned();
        Ok(Self { directory: document.directory.into(), empty_directories, archives })
    }
}

/// The files in archives, by the number of the layer.
#[derive(Default)]
struct ArchivedFiles {
    of_layers: BTreeMap<u32, (ArchiveRoom, Vec<(Fingerprint, u64)>)>,
    /// The first file with an impossible place.
    wrong: Option<(Box<str>, &'static str)>,
}

impl KeepFiles for ArchivedFiles {
    fn keep(&mut self, file: FileRecord<'_>, place: Place) {
        let Place::Archive { layer, offset } = place else { return };
        let (room, files) = self.of_layers.entry(layer).or_default();
        if let Err(detail) = room.add(offset, file.size) {
            self.wrong.get_or_insert(((&*file.path).into(), detail));
            return;
        }
        files.push((Fingerprint::new(&file.path, file.size, &file.sha256), offset));
    }
}
