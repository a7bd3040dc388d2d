//! Where the bytes of a package's files come from: the directory, or memory for tag files that are made on the way.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use bagit::TagFiles;
use bytes::Bytes;
use d1_package::FileView;
use oci_model::Digest;
use registry_backend::{BlobSource, BytesSource};

use super::prepare::TagFilePlace;
use crate::file_source::FileSource;

/// The origins of all files of one package.
#[derive(Clone, Debug)]
pub(crate) struct Sources {
    directory: Arc<PathBuf>,
    /// What stands before the directory's own paths in the package: `data/` if it becomes a bag on the way.
    prefix: &'static str,
    made: Arc<BTreeMap<String, Bytes>>,
    /// Files that the store has already, each with the digests of its parts, if it has any.
    stored: Arc<BTreeMap<String, Vec<Digest>>>,
}

impl Sources {
    /// Returns the sources of a package whose files are in a directory, except for tag files in memory.
    pub(crate) fn new(
        directory: PathBuf,
        place: TagFilePlace,
        tag_files: TagFiles,
        stored: BTreeMap<String, Vec<Digest>>,
    ) -> Self {
        let prefix = if place == TagFilePlace::AroundPayload { "data/" } else { "" };
        let made = match place {
            TagFilePlace::Directory => BTreeMap::new(),
            TagFilePlace::Memory | TagFilePlace::AroundPayload => {
                tag_files.into_held().map(|(path, bytes)| (path, bytes.into())).collect()
            }
        };
        Self { directory: Arc::new(directory), prefix, made: Arc::new(made), stored: Arc::new(stored) }
    }

    /// Returns the digests of the parts of a file that the store has already; none for one that is a single blob.
    pub(crate) fn stored(&self, path: &str) -> Option<&[Digest]> {
        self.stored.get(path).map(Vec::as_slice)
    }

    /// Opens a file of the package.
    pub(crate) fn open(&self, path: &str) -> io::Result<Box<dyn Read + Send>> {
        match self.made.get(path) {
            Some(bytes) => Ok(Box::new(Cursor::new(bytes.clone()))),
            None => Ok(Box::new(File::open(self.on_disk(path))?)),
        }
    }

    /// Returns a range of a file as a blob.
    pub(crate) fn blob(&self, file: &FileView<'_>, range: Range<u64>, digest: Digest) -> Box<dyn BlobSource> {
        match self.made.get(file.path) {
            Some(bytes) => {
                let at = |position: u64| usize::try_from(position).unwrap_or(usize::MAX).min(bytes.len());
                Box::new(BytesSource::new(bytes.slice(at(range.start)..at(range.end))))
            }
            None => Box::new(FileSource::new(self.on_disk(file.path), file.size, range, digest)),
        }
    }

    fn on_disk(&self, path: &str) -> PathBuf {
        self.directory.join(path.strip_prefix(self.prefix).unwrap_or(path))
    }
}
