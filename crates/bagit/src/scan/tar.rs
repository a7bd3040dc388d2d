//! The front end for tar streams: one forward pass over entries in any order, plain or gzip.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, Write};
use std::rc::Rc;

use multi_digest::{AlgorithmSet, MultiHasher};
use safe_files::Directory;
use tar::{Archive, Entry, EntryType};

use super::archive::{
    Entries, Expansion, Found, entry_path, is_apple_double, is_of_macos_archiver, may_be_payload,
    may_be_tag_file,
};
use super::options::{Scan, ScanOptions};
use super::sparse::{SparseMap, SparseReader};
use crate::check::{CheckOptions, check, payload_algorithms};
use crate::error::{Error, Result};
use crate::fault::FaultCode;
use crate::manifest::{ManifestKind, ManifestName};
use crate::progress::{Progress, ProgressEvent, check_cancelled};
use crate::read_files::BUFFER_SIZE;
use crate::report::{Level, Report};

/// The largest size in bytes of the headers of one entry, with long names and extensions.
const MOST_HEADER_BYTES: u64 = 4 * 1024 * 1024;

/// Lists and hashes the files of a bag in a tar stream, in one pass. A gzip stream is recognised and inflated.
///
/// Payload is hashed by [`ScanOptions::stream_algorithms`], and by the algorithms of the payload manifests that come before it. If a
/// later manifest needs another algorithm, the check reports `checksum-not-computed`, and a second pass can prove the bag.
///
/// Sparse entries are read with their holes, and a hard link counts as the file that it names.
///
/// # Errors
/// [`Error::Archive`] if the stream is not a tar archive or ends early, [`Error::Limit`] if it exceeds a limit, [`Error::Cancelled`].
pub fn scan_tar(reader: impl Read, options: &ScanOptions, progress: &dyn Progress) -> Result<Scan> {
    scan_at(reader, options, Level::Full, Passes::One, None, progress)
}

/// Says whether the archive can be read again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Passes {
    One,
    /// The first of two passes may guess that all payload manifests have come before the payload.
    FirstOfTwo,
}

fn scan_at(
    reader: impl Read,
    options: &ScanOptions,
    level: Level,
    passes: Passes,
    target: Option<&Directory>,
    progress: &dyn Progress,
) -> Result<Scan> {
    let expansion = Expansion::new(options.limits, 0);
    let mut packed =
        BufReader::with_capacity(BUFFER_SIZE, Counted { inner: reader, expansion: expansion.clone() });
    let head = packed.fill_buf().map_err(broken)?;
    let is_gzip = head.starts_with(&[0x1F, 0x8B]);
    let unpacked: Box<dyn Read + '_> =
        if is_gzip { Box::new(flate2::bufread::MultiGzDecoder::new(packed)) } else { Box::new(packed) };
    let scan = TarScan::new(options, level, passes, expansion, progress);
    scan.into_target(target).scan(unpacked)
}

/// Validates a bag in a tar stream: [`scan_tar`], then [`check`].
///
/// # Errors
/// As [`scan_tar`].
pub fn validate_tar(
    reader: impl Read,
    options: &ScanOptions,
    check_options: &CheckOptions<'_>,
    progress: &dyn Progress,
) -> Result<Report> {
    let scan = scan_at(reader, options, check_options.level, Passes::One, None, progress)?;
    Ok(check(&scan.inventory, &scan.tag_files, check_options))
}

/// Validates a bag in a tar archive that can be read again, and reads it again only if payload came before the manifest that lists it.
pub(super) fn validate_tar_file(
    mut reader: impl Read + Seek,
    options: &ScanOptions,
    check_options: &CheckOptions<'_>,
    progress: &dyn Progress,
) -> Result<Report> {
    let scan = scan_at(&mut reader, options, check_options.level, Passes::FirstOfTwo, None, progress)?;
    let report = check(&scan.inventory, &scan.tag_files, check_options);
    if !report.has(FaultCode::ChecksumNotComputed) {
        return Ok(report);
    }
    reader.rewind().map_err(broken)?;
    let extra_algorithms = options.extra_algorithms.union(payload_algorithms(&scan.tag_files));
    drop(scan);
    validate_tar(reader, &ScanOptions { extra_algorithms, ..*options }, check_options, progress)
}

/// Writes the files of a tar archive below an empty directory, under their paths in the archive, and hashes them on the way.
///
/// Links, devices, unsafe paths and second entries of a name are left out, and are faults of the scan. A hard link becomes a copy.
pub(crate) fn unpack_tar(
    reader: impl Read,
    target: &Directory,
    options: &ScanOptions,
    progress: &dyn Progress,
) -> Result<Scan> {
    scan_at(reader, options, Level::Full, Passes::One, Some(target), progress)
}

struct TarScan<'a> {
    options: &'a ScanOptions,
    level: Level,
    passes: Passes,
    progress: &'a dyn Progress,
    expansion: Expansion,
    header_budget: Rc<Cell<u64>>,
    entries: Entries,
    /// The algorithms for payload, once the first payload file has come.
    payload_algorithms: Option<AlgorithmSet>,
    /// The algorithms of the payload manifests that have come.
    manifests: AlgorithmSet,
    text_budget: u64,
    buffer: Vec<u8>,
    /// The directory to unpack into, if the caller wants it.
    target: Option<&'a Directory>,
    /// The unpacked files that may be those of an archiver.
    apple_doubles: Vec<String>,
}

impl<'a> TarScan<'a> {
    fn new(
        options: &'a ScanOptions,
        level: Level,
        passes: Passes,
        expansion: Expansion,
        progress: &'a dyn Progress,
    ) -> Self {
        Self {
            options,
            level,
            passes,
            progress,
            expansion,
            header_budget: Rc::default(),
            entries: Entries::default(),
            payload_algorithms: None,
            manifests: AlgorithmSet::EMPTY,
            text_budget: options.limits.tag_file_bytes,
            buffer: vec![0; BUFFER_SIZE],
            target: None,
            apple_doubles: Vec::new(),
        }
    }

    fn into_target(mut self, target: Option<&'a Directory>) -> Self {
        self.target = target;
        self
    }

    fn scan(mut self, reader: impl Read) -> Result<Scan> {
        let budget = Rc::clone(&self.header_budget);
        let guarded = Guarded { inner: reader, expansion: self.expansion.clone(), budget };
        let mut archive = Archive::new(guarded);
        self.header_budget.set(MOST_HEADER_BYTES);
        let mut entries = archive.entries().map_err(broken)?;
        loop {
            self.header_budget.set(MOST_HEADER_BYTES);
            let next = entries.next();
            if self.header_budget.get() == 0 {
                return Err(Error::Limit {
                    what: "the header of a tar entry".to_owned(),
                    limit: MOST_HEADER_BYTES,
                });
            }
            let Some(entry) = next else { break };
            check_cancelled(self.progress)?;
            let entry = self.explained(entry)?;
            self.header_budget.set(u64::MAX);
            self.entry(entry)?;
            if self.entries.len() > self.options.limits.entries {
                let limit = self.options.limits.entries;
                return Err(Error::Limit { what: "the number of files".to_owned(), limit });
            }
        }
        self.header_budget.set(u64::MAX);
        self.rest(archive.into_inner())?;
        let scan = self.entries.into_scan();
        if let Some(target) = self.target {
            let inside = |path: &str| match &scan.base_directory {
                Some(base) => path
                    .strip_prefix(base.as_str())
                    .and_then(|path| path.strip_prefix('/'))
                    .map(str::to_owned),
                None => Some(path.to_owned()),
            };
            let is_content =
                |path: &&String| inside(path).is_some_and(|path| scan.inventory.file(&path).is_some());
            for path in self.apple_doubles.iter().filter(|path| !is_content(path)) {
                target.remove_file(path).map_err(Error::io("remove", target.path().join(path)))?;
            }
        }
        Ok(scan)
    }

    /// Creates the unpacked file for an entry, unless an earlier entry has this path.
    fn unpacked(&self, path: &str) -> Result<Option<File>> {
        let Some(target) = self.target.filter(|_| !is_of_macos_archiver(path)) else { return Ok(None) };
        let parent = safe_files::parent(path);
        let made = if parent.is_empty() { Ok(()) } else { target.create_directories(parent) };
        match made.and_then(|()| target.create_file(path)) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
            Err(error) => Err(Error::io("write", target.path().join(path))(error)),
        }
    }

    /// Copies the unpacked file that a hard link names. Without such a file, the scan reports the link.
    fn unpack_hard_link(&self, path: &str, named: &str) -> Result<()> {
        let Some(target) = self.target else { return Ok(()) };
        let Ok(mut source) = target.open_file(named) else { return Ok(()) };
        let Some(mut copy) = self.unpacked(path)? else { return Ok(()) };
        self.expansion.give_out(source.metadata().map_or(0, |metadata| metadata.len()));
        self.expansion.check()?;
        io::copy(&mut source, &mut copy).map_err(Error::io("write", target.path().join(path)))?;
        Ok(())
    }

    fn entry(&mut self, mut entry: Entry<'_, impl Read>) -> Result<()> {
        let sparse = self.sparse_map(&mut entry)?;
        let name = sparse.as_ref().and_then(|map| map.name.clone());
        let path = match entry_path(&name.map_or_else(|| entry.path_bytes().into_owned(), String::into_bytes))
        {
            Ok(path) if path.is_empty() => return Ok(()),
            Ok(path) => path,
            Err(fault) => {
                self.entries.fault(fault.code, fault.path.as_deref(), fault.message);
                return self.skip(&mut entry);
            }
        };
        let found = match entry.header().entry_type() {
            EntryType::Regular | EntryType::Continuous => match sparse {
                Some(map) => {
                    let mut reader = SparseReader::new(&mut entry, map, self.expansion.clone());
                    let size = self.explained(reader.size())?;
                    self.file(&path, size, &mut reader)?
                }
                None => {
                    let size = entry.size();
                    self.file(&path, size, &mut entry)?
                }
            },
            EntryType::Directory => {
                if let Some(target) = self.target.filter(|_| !is_of_macos_archiver(&path)) {
                    let made = target.create_directories(&path);
                    made.map_err(Error::io("create the directory", target.path().join(&path)))?;
                }
                Found::Directory
            }
            EntryType::GNUSparse => {
                // The library fills the holes with zeros, which count as content.
                let size = entry.size();
                let expansion = self.expansion.clone();
                self.file(&path, size, &mut GivenOut { inner: &mut entry, expansion })?
            }
            EntryType::Symlink => {
                let message = "the entry is a symbolic link, which a bag in an archive must not have";
                Found::NotAFile(FaultCode::ArchiveLink, message.to_owned())
            }
            EntryType::Link => {
                let found = hard_link(&entry);
                if let Found::HardLink(named) = &found {
                    self.unpack_hard_link(&path, named)?;
                }
                found
            }
            EntryType::XGlobalHeader => return self.skip(&mut entry),
            _ => Found::NotAFile(FaultCode::SpecialFile, "the entry is a device or a FIFO".to_owned()),
        };
        self.skip(&mut entry)?;
        self.entries.add(path, found);
        Ok(())
    }

    /// Reads the map of a sparse entry in one of the PAX formats.
    fn sparse_map(&self, entry: &mut Entry<'_, impl Read>) -> Result<Option<SparseMap>> {
        let Some(records) = self.explained(entry.pax_extensions())? else { return Ok(None) };
        let records = records.flatten().filter_map(|record| Some((record.key().ok()?, record.value().ok()?)));
        self.explained(SparseMap::of_records(records))
    }

    fn file(&mut self, path: &str, size: u64, entry: &mut impl Read) -> Result<Found> {
        let payload = may_be_payload(path);
        let algorithms = match (self.level, payload) {
            (Level::Full, true) => self.algorithms_for_payload(),
            (Level::Full, false) => AlgorithmSet::all(),
            _ => AlgorithmSet::EMPTY,
        };
        let (mut text, mut apple_double) = (None, None);
        if may_be_tag_file(path) {
            if size > self.text_budget {
                self.skip(entry)?;
                let message = format!(
                    "the tag files are over the limit of {} bytes",
                    self.options.limits.tag_file_bytes
                );
                return Ok(Found::Unreadable { code: FaultCode::TagFileTooLarge, message, size });
            }
            self.text_budget -= size;
            text = Some(Vec::new());
        }
        self.progress.event(ProgressEvent::Started { path });
        let extra =
            if self.level == Level::Full { self.options.extra_algorithms } else { AlgorithmSet::EMPTY };
        let mut hasher = MultiHasher::new(algorithms.union(extra));
        let mut copy = self.unpacked(path)?;
        let mut total = 0_u64;
        loop {
            let count = entry.read(&mut self.buffer);
            let count = self.explained(count)?;
            let Some(bytes) = self.buffer.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
            check_cancelled(self.progress)?;
            apple_double.get_or_insert_with(|| is_apple_double(path, bytes));
            hasher.update(bytes);
            if let Some(copy) = &mut copy {
                copy.write_all(bytes).map_err(Error::io("write", path))?;
            }
            if let Some(text) = &mut text {
                text.extend_from_slice(bytes);
            }
            total = total.saturating_add(count as u64);
            self.progress.event(ProgressEvent::Advanced { bytes: count as u64 });
        }
        if total != size {
            return Err(broken(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("the stream ends within {path}"),
            )));
        }
        self.progress.event(ProgressEvent::Finished { path });
        if let Some(text) = text {
            if !payload {
                self.note_manifest(path);
            }
            self.entries.add_text(path, text);
        }
        let digests = hasher.finish();
        if copy.is_some() && apple_double == Some(true) {
            self.apple_doubles.push(path.to_owned());
        }
        Ok(match apple_double {
            Some(true) => Found::AppleDouble { size, digests },
            _ => Found::File { size, digests },
        })
    }

    /// Chooses the algorithms once. More manifests may follow, but a first pass hopes that they do not.
    fn algorithms_for_payload(&mut self) -> AlgorithmSet {
        let hopes = self.passes == Passes::FirstOfTwo && !self.manifests.is_empty();
        let likely = if hopes { AlgorithmSet::EMPTY } else { self.options.stream_algorithms };
        *self.payload_algorithms.get_or_insert(self.manifests.union(likely))
    }

    fn note_manifest(&mut self, path: &str) {
        let name = path.rsplit('/').next().unwrap_or(path);
        let name = ManifestName::parse(name).filter(|name| name.kind == ManifestKind::Payload);
        if let Some(algorithm) = name.and_then(|name| name.algorithm) {
            self.manifests.insert(algorithm);
        }
    }

    fn skip(&mut self, entry: &mut impl Read) -> Result<()> {
        let copied = io::copy(entry, &mut io::sink());
        self.explained(copied).map(|_| ())
    }

    /// Reads the bytes behind the end of the archive, which should all be zero.
    fn rest(&mut self, mut reader: impl Read) -> Result<()> {
        let mut only_zeros = true;
        loop {
            let count = reader.read(&mut self.buffer);
            let count = self.explained(count)?;
            let Some(bytes) = self.buffer.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
            only_zeros &= bytes.iter().all(|byte| *byte == 0);
        }
        if !only_zeros {
            self.entries.fault(
                FaultCode::ArchiveTrailingData,
                None,
                "bytes follow the end of the tar archive",
            );
        }
        Ok(())
    }

    /// Returns the limit that stopped the reading, or else the fault of the archive.
    fn explained<T>(&self, result: io::Result<T>) -> Result<T> {
        if result.is_err() {
            self.expansion.check()?;
        }
        result.map_err(broken)
    }
}

fn hard_link(entry: &Entry<'_, impl Read>) -> Found {
    let target = entry.link_name_bytes().map(|name| entry_path(&name));
    match target {
        Some(Ok(target)) if !target.is_empty() => Found::HardLink(target),
        _ => {
            let message = "the entry is a hard link without a safe target";
            Found::NotAFile(FaultCode::ArchiveLink, message.to_owned())
        }
    }
}

fn broken(error: io::Error) -> Error {
    Error::Archive { format: "tar", message: error.to_string(), source: Some(Box::new(error)) }
}

/// Counts the bytes of the archive.
struct Counted<R> {
    inner: R,
    expansion: Expansion,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.expansion.take_in(count as u64);
        Ok(count)
    }
}

/// Stops a stream that expands too much, or whose headers are too large.
struct Guarded<R> {
    inner: R,
    expansion: Expansion,
    budget: Rc<Cell<u64>>,
}

impl<R: Read> Read for Guarded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.expansion.give_out(count as u64);
        if self.expansion.is_too_much() {
            return Err(io::Error::other("the archive expands too much"));
        }
        if self.budget.get() < u64::MAX {
            self.budget.set(self.budget.get().saturating_sub(count as u64));
            if self.budget.get() == 0 {
                return Err(io::Error::other("the headers of an entry are too large"));
            }
        }
        Ok(count)
    }
}

/// Counts content that does not stand in the archive.
struct GivenOut<R> {
    inner: R,
    expansion: Expansion,
}

impl<R: Read> Read for GivenOut<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.expansion.give_out(count as u64);
        if self.expansion.is_too_much() {
            return Err(io::Error::other("the archive expands too much"));
        }
        Ok(count)
    }
}
