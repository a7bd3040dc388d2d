//! Receiving the files of an archive: unpacked into a directory, or only hashed.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io::{self, BufRead, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bagit::{AlgorithmSet, Digests};
use multi_digest::{Feed, Lanes, MultiHasher};
use oci_pack::{
    ArchiveVisitor, ArchiveWarning, EntryContent, NameClashes, ReadLimits, ReadOptions, UnpackError,
    UnpackObserver, UnpackOptions, VisitError, read_archive, unpack_below,
};
use safe_files::Directory;

use crate::archive::{ArchiveFailure, Stop};
use crate::event::{Event, Meter};
use crate::names::join;
use crate::package::OpenPackage;
use crate::receive::Wanted;
use crate::receive::file::{Keeping, KeptBytes};
use crate::receive::files::{CameFiles, Expected, lock};
use crate::receive::job::{ArchiveJob, position_among};
use crate::receive::proof::{Proof, Prover};

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
    /// Hashes files in the staging directory.
    pub(crate) prover: Option<Prover>,
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
        directory: &Directory,
        reader: &mut (dyn Read + Send),
    ) -> Result<ArchiveOutcome, ArchiveFailure> {
        let options = UnpackOptions { read: self.read_options(), overwrite: false, symbolic_links: true };
        let mut taking = Taking::new(self, Some(directory.path()));
        let report = unpack_below(directory, reader, &options, &mut taking)?;
        taking.settle_all()?;
        Ok(ArchiveOutcome { tar_digest: report.archive.tar_digest, ..taking.outcome })
    }

    /// Hashes the wanted files.
    pub(crate) fn hash(self, reader: &mut (dyn Read + Send)) -> Result<ArchiveOutcome, ArchiveFailure> {
        let options = self.read_options();
        let mut taking = Taking::new(self, None);
        let summary = read_archive(reader, &options, &mut taking)?;
        taking.settle_all()?;
        Ok(ArchiveOutcome { tar_digest: summary.tar_digest, ..taking.outcome })
    }

    fn read_options(&self) -> ReadOptions {
        let mut limits = ReadLimits { ratio: Some(self.package.max_ratio), ..ReadLimits::default() };
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

/// The largest files that wait in memory to be hashed together.
const MOST_HELD_BYTES: u64 = 256 << 10;

/// The most bytes that wait in memory.
const MOST_ROOM: usize = 4 << 20;

/// The most files that wait for the prover.
const MOST_PROOFS: usize = 4 * Lanes::MOST;

/// Receives the files of an archive one after the other. Small files are hashed together from memory, others of middle size
/// together from the staging directory, and large ones while they come.
struct Taking<'a> {
    wanted: ArchiveFiles,
    outcome: ArchiveOutcome,
    /// The directory that the files are written to.
    directory: Option<&'a Path>,
    current: Option<(Entry, Hashing)>,
    /// Small files, and the places of their bytes in `room`.
    held: Vec<(Entry, Range<usize>)>,
    room: Vec<u8>,
    /// The file that ended last. It has its name in the staging directory when the next one begins.
    ended: Option<Entry>,
    proofs: VecDeque<(Entry, Proof)>,
}

/// A file of the archive.
struct Entry {
    path: String,
    size: u64,
    expected: Option<Expected>,
    keeping: Option<Keeping>,
}

/// How a file is hashed.
enum Hashing {
    /// While it comes.
    Now(Box<MultiHasher>),
    /// From memory, where it begins at this place of the room.
    Held(usize),
    /// From the staging directory.
    Later,
}

impl<'a> Taking<'a> {
    fn new(wanted: ArchiveFiles, directory: Option<&'a Path>) -> Self {
        Self {
            wanted,
            outcome: ArchiveOutcome::default(),
            directory,
            current: None,
            held: Vec::new(),
            room: Vec::new(),
            ended: None,
            proofs: VecDeque::new(),
        }
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
        self.settle_some()?;
        let view = &self.wanted.package.view;
        let expected = self.position(path).and_then(|position| self.wanted.wanted.expected(view, position));
        if let Some(expected) = expected.as_ref().filter(|expected| expected.size != size) {
            return Err(Stop::Wrong { path: expected.path.clone(), message: expected.wrong_size(size) });
        }
        let kept = expected.as_ref().filter(|expected| expected.kept);
        let keeping = kept.map(|expected| Keeping::new(&expected.path, self.wanted.spill.as_ref()));
        let hashing = match &self.wanted.prover {
            _ if size <= MOST_HELD_BYTES => Hashing::Held(self.room.len()),
            Some(_) if self.directory.is_some() && Prover::takes(size) => Hashing::Later,
            _ => Hashing::Now(Box::new(MultiHasher::new(self.wanted.algorithms))),
        };
        self.current = Some((Entry { path: path.to_owned(), size, expected, keeping }, hashing));
        Ok(())
    }

    fn take(&mut self, bytes: &[u8]) {
        let Some((entry, hashing)) = &mut self.current else { return };
        match hashing {
            Hashing::Now(hasher) => hasher.update(bytes),
            Hashing::Held(_) => self.room.extend_from_slice(bytes),
            Hashing::Later => {}
        }
        if let Some(keeping) = &mut entry.keeping {
            keeping.take(bytes);
        }
    }

    fn finish(&mut self) -> Result<(), Stop> {
        match self.current.take() {
            None => Ok(()),
            Some((entry, Hashing::Now(hasher))) => self.judge(entry, &hasher.finish()),
            Some((entry, Hashing::Held(start))) => {
                self.held.push((entry, start..self.room.len()));
                Ok(())
            }
            Some((entry, Hashing::Later)) => {
                self.ended = Some(entry);
                Ok(())
            }
        }
    }

    /// Judges the small files if there are enough of them, and those that the prover has hashed.
    fn settle_some(&mut self) -> Result<(), Stop> {
        if let Some(entry) = self.ended.take() {
            let place = self.place(&entry.path);
            if let (Some(prover), Some(place)) = (&self.wanted.prover, place) {
                let proof = prover.start(&place, entry.size, self.wanted.algorithms);
                self.proofs.push_back((entry, proof));
            }
        }
        if self.held.len() >= Lanes::MOST || self.room.len() >= MOST_ROOM {
            self.settle_held()?;
        }
        while let Some((entry, proof)) = self.proofs.pop_front() {
            let digests = if self.proofs.len() < MOST_PROOFS { proof.ready() } else { Some(proof.wait()) };
            match digests {
                Some(digests) => self.judge_proof(entry, digests)?,
                None => {
                    self.proofs.push_front((entry, proof));
                    break;
                }
            }
        }
        Ok(())
    }

    /// Judges all files that still wait.
    fn settle_all(&mut self) -> Result<(), ArchiveFailure> {
        let path = self.wanted.layer.path.clone();
        let mut settle = || {
            self.settle_some()?;
            self.settle_held()?;
            while let Some((entry, proof)) = self.proofs.pop_front() {
                self.judge_proof(entry, proof.wait())?;
            }
            Ok(())
        };
        settle().map_err(|stop: Stop| UnpackError::Refused { path, source: Box::new(stop) }.into())
    }

    fn settle_held(&mut self) -> Result<(), Stop> {
        let (held, room) = (std::mem::take(&mut self.held), std::mem::take(&mut self.room));
        let lanes = Lanes::new();
        let mut hashers = vec![MultiHasher::new(self.wanted.algorithms); held.len()];
        let feeds = hashers.iter_mut().zip(&held);
        let bytes = |range: &Range<usize>| room.get(range.clone()).unwrap_or_default();
        lanes.update(feeds.map(|(hasher, (_, range))| Feed { hasher, bytes: bytes(range) }).collect());
        for ((entry, _), digests) in held.into_iter().zip(lanes.finish(hashers)) {
            self.judge(entry, &digests)?;
        }
        self.room = room;
        self.room.clear();
        Ok(())
    }

    fn judge_proof(&mut self, entry: Entry, digests: io::Result<Digests>) -> Result<(), Stop> {
        let failed = |source| Stop::Output { path: join(&self.wanted.layer.path, &entry.path), source };
        let digests = digests.map_err(failed)?;
        self.judge(entry, &digests)
    }

    /// Compares a file with the index. A wrong one is removed.
    fn judge(&mut self, entry: Entry, digests: &Digests) -> Result<(), Stop> {
        let Entry { path, size, expected, keeping } = entry;
        if let Some(expected) = &expected
            && let Err(message) = expected.check(size, digests)
        {
            if let Some(place) = self.place(&path) {
                // It may not have its name yet. The next pull removes a wrong file in any case.
                let _ = fs::remove_file(place);
            }
            return Err(Stop::Wrong { path: expected.path.clone(), message });
        }
        let path = join(&self.wanted.layer.path, &path);
        let entry = expected.and_then(|expected| {
            Some((expected.position, self.wanted.package.view.entry_at(expected.position)?))
        });
        let mut came = lock(&self.wanted.came);
        match entry {
            Some((position, entry)) => came.note(position, &entry, digests),
            None => came.note_other(&path, size, digests.clone()),
        }
        drop(came);
        if let Some(keeping) = keeping {
            let kept = keeping.finish().map_err(|source| Stop::Output { path: path.clone(), source })?;
            self.outcome.kept.insert(path, kept);
        }
        self.wanted.meter.advance(1, 0);
        Ok(())
    }

    fn place(&self, path: &str) -> Option<PathBuf> {
        self.directory.map(|directory| directory.join(path))
    }

    fn note(&self, warning: &ArchiveWarning) {
        if let ArchiveWarning::NameClash { path, earlier } = warning {
            let text = format!("some systems do not distinguish `{path}` and `{earlier}`");
            self.wanted.meter.observer().event(&Event::Warning(&text));
        }
    }
}

impl UnpackObserver for Taking<'_> {
    fn wants(&mut self, path: &str) -> bool {
        self.is_wanted(path)
    }

    fn begin(&mut self, path: &str, size: u64) -> Result<(), VisitError> {
        Ok(self.start(path, size)?)
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.take(bytes);
    }

    fn end(&mut self, _path: &str) -> Result<(), VisitError> {
        Ok(self.finish()?)
    }

    fn warning(&mut self, warning: ArchiveWarning) -> Result<(), VisitError> {
        self.note(&warning);
        Ok(())
    }
}

impl ArchiveVisitor for Taking<'_> {
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
                return Ok(self.finish()?);
            }
            let count = bytes.len();
            self.take(bytes);
            content.consume(count);
        }
    }

    fn symbolic_link(&mut self, _path: &str, _target: &str) -> Result<(), VisitError> {
        Ok(())
    }

    fn hard_link(&mut self, _path: &str, _target: &str, _size: u64) -> Result<(), VisitError> {
        // Its content is that of another file in the archive.
        Ok(())
    }

    fn warning(&mut self, warning: ArchiveWarning) -> Result<(), VisitError> {
        self.note(&warning);
        Ok(())
    }
}
