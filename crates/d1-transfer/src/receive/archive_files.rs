//! Receiving the files of an archive: unpacked into a directory, or only hashed.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, Read};
use std::path::Path;
use std::sync::Arc;

use bagit::{AlgorithmSet, Digests, MultiHasher};
use oci_pack::{
    ArchiveVisitor, ArchiveWarning, EntryContent, NameClashes, ReadLimits, ReadOptions, UnpackObserver,
    UnpackOptions, VisitError, read_archive, unpack_into,
};

use super::job::{ArchiveJob, Expected};
use super::package::{Received, check_file};
use crate::archive::ArchiveFailure;
use crate::{Event, Observer, Phase};

/// What is wanted of an archive.
pub(crate) struct ArchiveFiles {
    pub(crate) layer: ArchiveJob,
    /// The wanted files by their path in the archive; all files if nothing is known.
    pub(crate) expected: Option<Arc<HashMap<String, Expected>>>,
    pub(crate) algorithms: AlgorithmSet,
    /// Tells which files' bytes are to be kept in memory, by their path in the package.
    pub(crate) keep: fn(&str) -> bool,
    pub(crate) observer: Arc<dyn Observer>,
}

/// The files of an archive that came.
#[derive(Debug, Default)]
pub(crate) struct ArchiveOutcome {
    pub(crate) files: Vec<Received>,
    /// Bytes of files that were to be kept.
    pub(crate) kept: BTreeMap<String, Vec<u8>>,
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
        let options = UnpackOptions { read: self.read_options(), overwrite: true, symbolic_links: true };
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
            // The index says how large the content is; what is larger is not what it describes.
            (limits.total_size, limits.ratio) = (size, None);
        }
        ReadOptions {
            limits,
            // Names that a file system takes for one meet there, and stop the unpacking then.
            name_clashes: NameClashes::Warn,
            // With an index, the digests of the files say more, and the blob has a digest of its own.
            tar_digest: self.expected.is_none(),
            ..ReadOptions::new(self.layer.title.clone())
        }
    }
}

/// Takes files as they come out of an archive.
struct Taking {
    wanted: ArchiveFiles,
    outcome: ArchiveOutcome,
    /// The file that is coming.
    hasher: MultiHasher,
    kept: Option<Vec<u8>>,
    size: u64,
}

impl Taking {
    fn new(wanted: ArchiveFiles) -> Self {
        let hasher = MultiHasher::new(wanted.algorithms);
        Self { wanted, outcome: ArchiveOutcome::default(), hasher, kept: None, size: 0 }
    }

    /// Returns the path in the package of a path in the archive.
    fn path(&self, path: &str) -> String {
        match self.wanted.layer.path.as_str() {
            "" => path.to_owned(),
            place => format!("{place}/{path}"),
        }
    }

    fn is_wanted(&self, path: &str) -> bool {
        self.wanted.expected.as_ref().is_none_or(|expected| expected.contains_key(path))
    }

    fn start(&mut self, path: &str, size: u64) {
        self.hasher = MultiHasher::new(self.wanted.algorithms);
        self.kept = (self.wanted.keep)(&self.path(path)).then(Vec::new);
        self.size = size;
    }

    fn take(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        if let Some(kept) = &mut self.kept {
            kept.extend_from_slice(bytes);
        }
    }

    fn finish(&mut self, path: &str) -> Result<(), VisitError> {
        let hasher = std::mem::replace(&mut self.hasher, MultiHasher::new(AlgorithmSet::EMPTY));
        let digests: Digests = hasher.finish();
        if let Some(expected) = self.wanted.expected.as_ref().and_then(|expected| expected.get(path)) {
            check_file(expected, self.size, &digests)?;
        }
        let path = self.path(path);
        if let Some(kept) = self.kept.take() {
            self.outcome.kept.insert(path.clone(), kept);
        }
        self.outcome.files.push(Received { path, size: self.size, digests });
        self.wanted.observer.event(&Event::Advanced { phase: Phase::Download, items: 1, bytes: 0 });
        Ok(())
    }

    fn note(&self, warning: &ArchiveWarning) {
        if let ArchiveWarning::NameClash { path, earlier } = warning {
            let text = format!("`{path}` and `{earlier}` are one file on some systems");
            self.wanted.observer.event(&Event::Warning(&text));
        }
    }
}

impl UnpackObserver for Taking {
    fn wants(&mut self, path: &str) -> bool {
        self.is_wanted(path)
    }

    fn begin(&mut self, path: &str, size: u64) -> Result<(), VisitError> {
        self.start(path, size);
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.take(bytes);
    }

    fn end(&mut self, path: &str) -> Result<(), VisitError> {
        self.finish(path)
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
        self.start(path, content.size());
        loop {
            let bytes = content.fill_buf()?;
            if bytes.is_empty() {
                return self.finish(path);
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
        Ok(())
    }

    fn warning(&mut self, warning: ArchiveWarning) -> Result<(), VisitError> {
        self.note(&warning);
        Ok(())
    }
}
