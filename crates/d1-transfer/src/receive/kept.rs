//! Bytes of files that are wanted besides the files: tag files and system metadata, to judge a package by.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use bagit::TagFiles;

/// Gathers the bytes of one file.
#[derive(Debug)]
pub(crate) struct Keeping {
    memory: Vec<u8>,
    /// Where a temporary file can be made; without it, all stays in memory.
    directory: Option<Arc<Path>>,
    file: Option<File>,
    failure: Option<io::Error>,
}

/// The bytes of one file.
#[derive(Clone, Debug)]
pub(crate) enum KeptBytes {
    Memory(Arc<Vec<u8>>),
    File(Arc<File>),
}

impl Keeping {
    /// Begins a file. Only manifests, which are read line by line, may get large enough for `directory`.
    pub(crate) fn new(path: &str, directory: Option<&Arc<Path>>) -> Self {
        let directory = directory.filter(|_| TagFiles::may_stay_on_disk(path)).cloned();
        Self { memory: Vec::new(), directory, file: None, failure: None }
    }

    /// Takes the next bytes; that they cannot be kept shows at the end.
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        if self.failure.is_none() {
            self.failure = self.try_take(bytes).err();
        }
    }

    /// Ends the file.
    ///
    /// # Errors
    ///
    /// If the temporary file could not be written.
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
            // It has no name, so nothing is left behind however the process ends.
            let mut file = tempfile::tempfile_in(directory)?;
            file.write_all(&std::mem::take(&mut self.memory))?;
            self.file = Some(file);
        }
        Ok(())
    }
}

impl KeptBytes {
    /// Returns the bytes if they are in memory, as all are that are no manifest.
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
    use super::*;

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
