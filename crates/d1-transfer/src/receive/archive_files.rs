//! Receiving the files of an archive: unpacked into a directory, or only hashed.

use std::collections::BTreeMap;
use std::io::{BufRead, Read};
use std::path::Path;
use std::sync::{Arc, Mutex};

use bagit::{AlgorithmSet, Digests, MultiHasher};
use oci_pack::{
    ArchiveVisitor, ArchiveWarning, EntryContent, NameClashes, ReadLimits, ReadOptions, UnpackObserver,
    UnpackOptions, VisitError, read_archive, unpack_into,
};

use crate::archive::{ArchiveFailure, Stop};
use crate::event::{Event, Meter};
use crate::names::join;
use crate::package::OpenPackage;
use crate::receive::Wanted;
use crate::receive::file::{Keeping, KeptBytes};
use crate::receive::files::{CameFiles, Expected, lock};
use crate::receive::job::{ArchiveJob, position_among};

/// The wanted files of an archive.
pub(crate) struct ArchiveFiles {
    pub(crate) layer: ArchiveJob,
    pub(crate) package: Arc<OpenPackage>,
    pub(crate) wanted: Arc<Wanted>,
    /// Positions of the wanted files in the archive, by the index. Without an index, all files are wanted.
    pub(crate) positions: Option<Arc<Vec<u32>>>,
    pub(crate) algorithms: AlgorithmSet,
    /// Directory for large files whose bytes are needed in memory too.
    pub(crate) spill: Option<Arc<Path>>,
    /// The files that have come so far.
    pub(crate) came: Arc<Mutex<CameFiles>>,
    pub(crate) meter: Meter,
}

/// The result of receiving an archive, besides its files.
#[derive(Debug, Default)]
pub(crate) struct ArchiveOutcome {
    /// Bytes of files that are needed in memory.
    pub(crate) kept: BTreeMap<String, KeptBytes>,
    /// Digest of the tar archive.
    pub(crate) tar_digest: Option<oci_model::Digest>,
}

impl ArchiveFiles {
    /// Unpacks the wanted files into a directory.
    pub(crate) fn unpack(
        self,
        directory: &Path,
        reader: &mut (dyn Read + Send),
    ) -> Result<ArchiveOutcome, ArchiveFailure> {
        let options = UnpackOptions { read: self.read_options(), overwrite: false, symbolic_links: true };
        let mut taking = Taking::new(self);
        let report = unpack_into(directory, reader, &options, &mut taking)?;
        Ok(ArchiveOutcome { tar_digest: report.archive.tar_digest, ..taking.outcome })
    }

    /// Hashes the wanted files.
    pub(crate) fn hash(self, reader: &mut (dyn Read + Send)) -> Result<ArchiveOutcome, ArchiveFailure> {
        let options = self.read_options();
        let mut taking = Taking::new(self);
        let summary = read_archive(reader, &options, &mut taking)?;
        Ok(ArchiveOutcome { tar_digest: summary.tar_digest, ..taking.outcome })
    }

    fn read_options(&self) -> ReadOptions {
        let mut limits = ReadLimits::default();
        if let Some(size) = self.layer.content_size {
            // The index limits the size of the content.
            (limits.total_size, limits.ratio) = (size, None);
        }
        ReadOptions {
            limits,
            // Two names that the file system does not distinguish collide there, which stops the unpacking.
            name_clashes: NameClashes::Warn,
            // With an index, the digests of the files prove more.
            tar_digest: self.positions.is_none(),
            ..ReadOptions::new(self.layer.title.clone())
        }
    }
}

/// Receives the files of an archive one after the other.
struct Taking {
    wanted: ArchiveFiles,
    outcome: ArchiveOutcome,
    /// Hashes the current file.
    hasher: MultiHasher,
    expected: Option<Expected>,
    keeping: Option<Keeping>,
    size: u64,
}

impl Taking {
    fn new(wanted: ArchiveFiles) -> Self {
        let hasher = MultiHasher::new(wanted.algorithms);
        Self { wanted, outcome: ArchiveOutcome::default(), hasher, expected: None, keeping: None, size: 0 }
    }

    /// Returns the position of a file, if it is wanted.
    fn position(&self, path: &str) -> Option<usize> {
        position_among(&self.wanted.package.view, self.wanted.positions.as_ref()?, path)
    }

    fn is_wanted(&self, path: &str) -> bool {
        self.wanted.positions.is_none() || self.position(path).is_some()
    }

    /// Begins a file. A file with an unexpected size is refused before it is read.
    fn start(&mut self, path: &str, size: u64) -> Result<(), Stop> {
        let view = &self.wanted.package.view;
        self.expected = self.position(path).and_then(|position| self.wanted.wanted.expected(view, position));
        if let Some(expected) = self.expected.as_ref().filter(|expected| expected.size != size) {
            return Err(Stop::Wrong { path: expected.path.clone(), message: expected.wrong_size(size) });
        }
        let kept = self.expected.as_ref().filter(|expected| expected.kept);
        self.keeping = kept.map(|expected| Keeping::new(&expected.path, self.wanted.spill.as_ref()));
        self.hasher = MultiHasher::new(self.wanted.algorithms);
        self.size = size;
        Ok(())
    }

    fn take(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        if let Some(keeping) = &mut self.keeping {
            keeping.take(bytes);
        }
    }

    fn finish(&mut self, path: &str) -> Result<(), Stop> {
        let hasher = std::mem::replace(&mut self.hasher, MultiHasher::new(AlgorithmSet::EMPTY));
        let digests: Digests = hasher.finish();
        let expected = self.expected.take();
        if let Some(expected) = &expected
            && let Err(message) = expected.check(self.size, &digests)
        {
            return Err(Stop::Wrong { path: expected.path.clone(), message });
        }
        let path = join(&self.wanted.layer.path, path);
        let entry = expected.and_then(|expected| {
            Some((expected.position, self.wanted.package.view.entry_at(expected.position)?))
        });
        let mut came = lock(&self.wanted.came);
        match entry {
            Some((position, entry)) => came.note(position, &entry, &digests),
            None => came.note_other(&path, self.size, digests),
        }
        drop(came);
        if let Some(keeping) = self.keeping.take() {
            let kept = keeping.finish().map_err(|source| Stop::Output { path: path.clone(), source })?;
            self.outcome.kept.insert(path, kept);
        }
        self.wanted.meter.advance(1, 0);
        Ok(())
    }

    fn note(&self, warning: &ArchiveWarning) {
        if let ArchiveWarning::NameClash { path, earlier } = warning {
            let text = format!("some systems do not distinguish `{path}` and `{earlier}`");
            self.wanted.meter.observer().event(&Event::Warning(&text));
        }
    }
}

impl UnpackObserver for Taking {
    fn wants(&mut self, path: &str) -> bool {
        self.is_wanted(path)
    }

    fn begin(&mut self, path: &str, size: u64) -> Result<(), VisitError> {
        Ok(self.start(path, size)?)
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.take(bytes);
    }

    fn end(&mut self, path: &str) -> Result<(), VisitError> {
        Ok(self.finish(path)?)
    }

    fn warning(&mut self, warning: ArchiveWarning) -> Result<(), VisitError> {
        self.note(&warning);
        Ok(())
    }
}

impl ArchiveVisitor for Taking {
    fn directory(&mut self, _path: &str) -> Result<(), VisitError> {
        Ok(())
    }

    fn file(&mut self, path: &str, content: &mut EntryContent<'_>) -> Result<(), VisitError> {
        if !self.is_wanted(path) {
            return Ok(());
        }
        self.start(path, content.size())?;
        loop {
            let bytes = content.fill_buf()?;
            if bytes.is_empty() {
                return Ok(self.finish(path)?);
            }
            let count = bytes.len();
            self.take(bytes);
            content.consume(count);
        }
    }

    fn symbolic_link(&mut self, _path: &str, _target: &str) -> Result<(), VisitError> {
        Ok(())
    }

    fn hard_link(&mut self, _path: &str, _target: &str) -> Result<(), VisitError> {
        // Its content is that of another file in the archive.
        Ok(())
    }

    fn warning(&mut self, warning: ArchiveWarning) -> Result<(), VisitError> {
        self.note(&warning);
        Ok(())
    }
}
