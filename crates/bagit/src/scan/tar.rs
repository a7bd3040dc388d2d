//! The front end for tar streams: one pass forward, entries in any order, plain or gzip.

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read};
use std::rc::Rc;

use tar::{Archive, Entry, EntryType};

use super::archive::{Entries, Expansion, Found, entry_path, may_be_payload, may_be_tag_file};
use super::{Scan, ScanOptions};
use crate::algorithm::AlgorithmSet;
use crate::check::{CheckOptions, check};
use crate::digests::MultiHasher;
use crate::error::{Error, Result};
use crate::fault::FaultCode;
use crate::manifest::{ManifestKind, ManifestName};
use crate::parallel::BUFFER_SIZE;
use crate::progress::{Progress, ProgressEvent};
use crate::report::Report;

/// The most bytes that the headers of one entry may have, long names and extensions included.
const MOST_HEADER_BYTES: u64 = 4 * 1024 * 1024;

/// Takes the inventory of a bag in a tar stream, in one pass. A gzip stream is recognised and inflated.
///
/// Payload that comes before the first payload manifest is hashed by [`ScanOptions::stream_algorithms`]. If a manifest
/// then needs another algorithm, the check reports `checksum-not-computed`: a second pass is needed.
///
/// # Errors
/// [`Error::Archive`] if the stream is not a tar archive or ends early, [`Error::Limit`] if it holds more than the
/// limits allow.
pub fn scan_tar(reader: impl Read, options: &ScanOptions, progress: &dyn Progress) -> Result<Scan> {
    let expansion = Expansion::new(options.limits, 0);
    let mut packed =
        BufReader::with_capacity(BUFFER_SIZE, Counted { inner: reader, expansion: expansion.clone() });
    let head = packed.fill_buf().map_err(broken)?;
    let is_gzip = head.starts_with(&[0x1F, 0x8B]);
    let unpacked: Box<dyn Read + '_> =
        if is_gzip { Box::new(flate2::bufread::MultiGzDecoder::new(packed)) } else { Box::new(packed) };
    TarScan::new(options, expansion, progress).scan(unpacked)
}

/// Validates a bag in a tar stream: [`scan_tar`], then [`check`].
///
/// # Errors
/// As [`scan_tar`].
pub fn validate_tar(
    reader: impl Read,
    options: &ScanOptions,
    check_options: &CheckOptions,
    progress: &dyn Progress,
) -> Result<Report> {
    let scan = scan_tar(reader, options, progress)?;
    Ok(check(&scan.inventory, &scan.tag_files, check_options))
}

struct TarScan<'a> {
    options: &'a ScanOptions,
    progress: &'a dyn Progress,
    expansion: Expansion,
    header_budget: Rc<Cell<u64>>,
    entries: Entries,
    /// What payload is hashed by, once the first payload file has come.
    payload_algorithms: Option<AlgorithmSet>,
    /// What the payload manifests that have come need.
    manifests: AlgorithmSet,
    text_budget: u64,
    buffer: Vec<u8>,
}

impl<'a> TarScan<'a> {
    fn new(options: &'a ScanOptions, expansion: Expansion, progress: &'a dyn Progress) -> Self {
        Self {
            options,
            progress,
            expansion,
            header_budget: Rc::default(),
            entries: Entries::default(),
            payload_algorithms: None,
            manifests: AlgorithmSet::EMPTY,
            text_budget: options.limits.tag_file_bytes,
            buffer: vec![0; BUFFER_SIZE],
        }
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
        Ok(self.entries.into_scan())
    }

    fn entry(&mut self, mut entry: Entry<'_, impl Read>) -> Result<()> {
        let path = match entry_path(&entry.path_bytes()) {
            Ok(path) if path.is_empty() => return Ok(()),
            Ok(path) => path,
            Err(fault) => {
                self.entries.fault(fault.code, fault.path.as_deref(), fault.message);
                return self.skip(&mut entry);
            }
        };
        let found = match entry.header().entry_type() {
            EntryType::Regular | EntryType::Continuous => self.file(&path, &mut entry)?,
            EntryType::Directory => Found::Directory,
            // Their holes would make content of any size out of a few bytes.
            EntryType::GNUSparse => {
                let message = format!("{path} is a sparse entry, which is not supported");
                return Err(Error::Archive { format: "tar", message, source: None });
            }
            EntryType::Symlink => link("a symbolic link"),
            EntryType::Link => link("a hard link"),
            EntryType::XGlobalHeader => return self.skip(&mut entry),
            _ => Found::NotAFile(FaultCode::SpecialFile, "the entry is a device or a fifo".to_owned()),
        };
        self.skip(&mut entry)?;
        self.entries.add(path, found);
        Ok(())
    }

    fn file(&mut self, path: &str, entry: &mut Entry<'_, impl Read>) -> Result<Found> {
        let payload = may_be_payload(path);
        let algorithms = if payload { self.algorithms_for_payload() } else { AlgorithmSet::all() };
        let size = entry.size();
        let mut text = None;
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
        let mut hasher = MultiHasher::new(algorithms.union(self.options.extra_algorithms));
        let mut total = 0_u64;
        loop {
            let count = entry.read(&mut self.buffer);
            let count = self.explained(count)?;
            let Some(bytes) = self.buffer.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
            hasher.update(bytes);
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
        Ok(Found::File { size, digests: hasher.finish() })
    }

    /// Chooses once: the manifests' algorithms if the manifests came first, else those that are likely.
    fn algorithms_for_payload(&mut self) -> AlgorithmSet {
        let likely = self.options.stream_algorithms;
        *self.payload_algorithms.get_or_insert(if self.manifests.is_empty() {
            likely
        } else {
            self.manifests
        })
    }

    fn note_manifest(&mut self, path: &str) {
        let name = path.rsplit('/').next().unwrap_or(path);
        let name = ManifestName::parse(name).filter(|name| name.kind == ManifestKind::Payload);
        if let Some(algorithm) = name.and_then(|name| name.algorithm) {
            self.manifests.insert(algorithm);
        }
    }

    fn skip(&mut self, entry: &mut Entry<'_, impl Read>) -> Result<()> {
        let copied = io::copy(entry, &mut io::sink());
        self.explained(copied).map(|_| ())
    }

    /// Reads what follows the end of the archive, which should be nothing but zeros.
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

    /// Tells a limit that stopped the reading from a broken archive.
    fn explained<T>(&self, result: io::Result<T>) -> Result<T> {
        if result.is_err() {
            self.expansion.check()?;
        }
        result.map_err(broken)
    }
}

fn link(what: &str) -> Found {
    Found::NotAFile(
        FaultCode::ArchiveLink,
        format!("the entry is {what}, which a bag in an archive must not have"),
    )
}

fn broken(error: io::Error) -> Error {
    Error::Archive { format: "tar", message: error.to_string(), source: Some(Box::new(error)) }
}

/// Counts what comes out of the packed stream.
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

/// Stops a stream that expands too much, or that spends too many bytes on headers.
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
