//! The front end for zip files, which are read by their central directory.

use std::io::{self, Read, Seek, SeekFrom};

use zip::ZipArchive;
use zip::result::ZipError;

use super::archive::{Entries, Expansion, Found, base_directory, entry_path, may_be_tag_file};
use super::{Limits, Scan, ScanOptions};
use crate::check::{CheckOptions, check};
use crate::digests::{Digests, MultiHasher};
use crate::error::{Error, Result};
use crate::fault::FaultCode;
use crate::parallel::BUFFER_SIZE;
use crate::progress::{Progress, ProgressEvent};
use crate::report::Report;
use crate::tag_files::TagFiles;

/// Takes the inventory of a bag in a zip file, with the digests that its manifests need.
///
/// # Errors
/// [`Error::Archive`] if the file is not a zip archive or its entries overlap, [`Error::Limit`] if it holds more than
/// the limits allow.
pub fn scan_zip(reader: impl Read + Seek, options: &ScanOptions, progress: &dyn Progress) -> Result<Scan> {
    let mut zip = ZipScan::open(reader, &options.limits)?;
    let mut entries = std::mem::take(&mut zip.entries);
    let bytes = zip.members.iter().map(|member| member.size).fold(0, u64::saturating_add);
    progress.event(ProgressEvent::Planned { files: zip.members.len() as u64, bytes });
    let tag_files = zip.read_tag_files(options, progress)?;
    let (payload, tags) = options.algorithms(&tag_files);
    let members = std::mem::take(&mut zip.members);
    for member in members {
        let is_payload = member.path.strip_prefix(&zip.prefix).is_some_and(|path| path.starts_with("data/"));
        let found = match &member.kind {
            MemberKind::Directory => Found::Directory,
            MemberKind::Link => {
                Found::NotAFile(FaultCode::ArchiveLink, "the entry is a symbolic link".to_owned())
            }
            MemberKind::Special => {
                Found::NotAFile(FaultCode::SpecialFile, "the entry is not a file".to_owned())
            }
            MemberKind::Text(digests) => Found::File { size: member.size, digests: digests.clone() },
            MemberKind::Refused(code, message) => {
                Found::Unreadable { code: *code, message: message.clone(), size: member.size }
            }
            MemberKind::File => {
                let mut hasher = MultiHasher::new(if is_payload { payload } else { tags });
                zip.read(&member, progress, |bytes| hasher.update(bytes))?.map_or_else(
                    |message| Found::Unreadable {
                        code: FaultCode::UnreadableFile,
                        message,
                        size: member.size,
                    },
                    |size| Found::File { size, digests: hasher.finish() },
                )
            }
        };
        entries.add(member.path, found);
    }
    for (name, bytes) in tag_files.into_held() {
        entries.add_text(&format!("{}{name}", zip.prefix), bytes);
    }
    Ok(entries.into_scan())
}

/// Validates a bag in a zip file: [`scan_zip`], then [`check`].
///
/// # Errors
/// As [`scan_zip`].
pub fn validate_zip(
    reader: impl Read + Seek,
    options: &ScanOptions,
    check_options: &CheckOptions,
    progress: &dyn Progress,
) -> Result<Report> {
    let scan = scan_zip(reader, options, progress)?;
    Ok(check(&scan.inventory, &scan.tag_files, check_options))
}

/// Describes one entry of the central directory.
pub(super) struct Member {
    index: usize,
    /// Its path in the archive.
    pub(super) path: String,
    pub(super) size: u64,
    header_start: u64,
    pub(super) kind: MemberKind,
}

pub(super) enum MemberKind {
    File,
    Directory,
    Link,
    Special,
    /// A tag file whose bytes are in memory; its digests.
    Text(Digests),
    Refused(FaultCode, String),
}

/// Reads the entries of a zip file one by one.
pub(super) struct ZipScan<R> {
    archive: ZipArchive<R>,
    expansion: Expansion,
    pub(super) members: Vec<Member>,
    /// The bag's directory in the archive with a slash, or nothing.
    pub(super) prefix: String,
    entries: Entries,
    buffer: Vec<u8>,
}

impl<R: Read + Seek> ZipScan<R> {
    pub(super) fn open(mut reader: R, limits: &Limits) -> Result<Self> {
        let size = reader.seek(SeekFrom::End(0)).map_err(|error| broken(error.into()))?;
        let mut entries = Entries::default();
        let mut members = Vec::new();
        let mut archive = ZipArchive::new(&mut reader).map_err(broken)?;
        if archive.len() as u64 > limits.entries {
            return Err(Error::Limit { what: "the number of files".to_owned(), limit: limits.entries });
        }
        if archive.has_duplicate_names() {
            let message = "the central directory has two entries of one name";
            entries.fault(FaultCode::ArchiveDuplicateEntry, None, message);
        }
        if archive.has_overlapping_entries().map_err(broken)? {
            let message = "entries overlap, as in archives made to explode".to_owned();
            return Err(Error::Archive { format: "zip", message, source: None });
        }
        let mut names = Vec::new();
        for index in 0..archive.len() {
            let entry = archive.by_index_data(index).map_err(broken)?;
            names.push((entry.header_start(), entry.name_raw().to_vec()));
            match entry_path(&readable_name(entry.name_raw(), entry.name().ok().as_deref())) {
                Ok(path) if path.is_empty() => {}
                Ok(path) => members.push(Member {
                    index,
                    path,
                    size: entry.size(),
                    header_start: entry.header_start(),
                    kind: kind(entry.is_dir(), entry.unix_mode(), entry.encrypted()),
                }),
                Err(fault) => entries.fault(fault.code, fault.path.as_deref(), fault.message),
            }
        }
        drop(archive);
        report_local_names(&mut reader, &names, &mut entries).map_err(|error| broken(error.into()))?;
        let archive = ZipArchive::new(reader).map_err(broken)?;
        // In the order of the file the disk is read forward.
        members.sort_by_key(|member| member.header_start);
        let base = base_directory(
            members.iter().map(|member| (member.path.as_str(), matches!(member.kind, MemberKind::Directory))),
        );
        let prefix = base.map(|base| format!("{base}/")).unwrap_or_default();
        let expansion = Expansion::new(*limits, size);
        Ok(Self { archive, expansion, members, prefix, entries, buffer: vec![0; BUFFER_SIZE] })
    }

    /// Reads the tag files that the rules need, and computes their digests from the same bytes.
    fn read_tag_files(&mut self, options: &ScanOptions, progress: &dyn Progress) -> Result<TagFiles> {
        let mut tag_files = TagFiles::new();
        let mut budget = options.limits.tag_file_bytes;
        let mut members = std::mem::take(&mut self.members);
        for member in members.iter_mut().filter(|member| matches!(member.kind, MemberKind::File)) {
            let Some(name) = member.path.strip_prefix(&self.prefix).filter(|_| may_be_tag_file(&member.path))
            else {
                continue;
            };
            if !TagFiles::wants(name) {
                continue;
            }
            let name = name.to_owned();
            if member.size > budget {
                let message =
                    format!("the tag files are over the limit of {} bytes", options.limits.tag_file_bytes);
                member.kind = MemberKind::Refused(FaultCode::TagFileTooLarge, message);
                continue;
            }
            budget -= member.size;
            let mut text = Vec::new();
            match self.read(member, progress, |bytes| text.extend_from_slice(bytes))? {
                Ok(_) => tag_files.insert(&name, text),
                Err(message) => member.kind = MemberKind::Refused(FaultCode::UnreadableFile, message),
            }
        }
        let (_, tags) = options.algorithms(&tag_files);
        for member in &mut members {
            let bytes = member.path.strip_prefix(&self.prefix).and_then(|name| tag_files.get(name));
            if let Some(bytes) = bytes {
                member.size = bytes.len() as u64;
                member.kind = MemberKind::Text(Digests::of(tags, bytes));
            }
        }
        self.members = members;
        Ok(tag_files)
    }

    /// Gives all bytes of a file to `take`: the number of bytes, or why this one file cannot be read.
    pub(super) fn read(
        &mut self,
        member: &Member,
        progress: &dyn Progress,
        mut take: impl FnMut(&[u8]),
    ) -> Result<Result<u64, String>> {
        progress.event(ProgressEvent::Started { path: &member.path });
        let mut file = match self.archive.by_index(member.index) {
            Ok(file) => file,
            Err(error) => return Ok(Err(format!("the entry cannot be read: {error}"))),
        };
        let mut total = 0_u64;
        loop {
            let count = match file.read(&mut self.buffer) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Ok(Err(format!("the entry cannot be read: {error}"))),
            };
            let Some(bytes) = self.buffer.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
            self.expansion.give_out(count as u64);
            self.expansion.check()?;
            total = total.saturating_add(count as u64);
            if total > member.size {
                return Ok(Err(format!(
                    "the entry has more than the {} bytes that it declares",
                    member.size
                )));
            }
            take(bytes);
            progress.event(ProgressEvent::Advanced { bytes: count as u64 });
        }
        progress.event(ProgressEvent::Finished { path: &member.path });
        Ok(if total == member.size {
            Ok(total)
        } else {
            Err(format!("the entry has {total} bytes and declares {}", member.size))
        })
    }
}

fn kind(is_directory: bool, unix_mode: Option<u32>, encrypted: bool) -> MemberKind {
    const TYPE: u32 = 0o170_000;
    match unix_mode.map(|mode| mode & TYPE) {
        _ if is_directory => MemberKind::Directory,
        Some(0o120_000) => MemberKind::Link,
        None | Some(0 | 0o100_000) if encrypted => {
            MemberKind::Refused(FaultCode::UnreadableFile, "the entry is encrypted".to_owned())
        }
        None | Some(0 | 0o100_000) => MemberKind::File,
        Some(_) => MemberKind::Special,
    }
}

/// Takes a name as UTF-8 where it is, whatever its flag says: many programs forget the flag.
fn readable_name(raw: &[u8], decoded: Option<&str>) -> Vec<u8> {
    if std::str::from_utf8(raw).is_ok() { raw.to_vec() } else { decoded.map_or(raw, str::as_bytes).to_vec() }
}

/// Compares the names before the data with those of the central directory: readers differ in which they believe.
fn report_local_names<R: Read + Seek>(
    reader: &mut R,
    names: &[(u64, Vec<u8>)],
    entries: &mut Entries,
) -> io::Result<()> {
    const HEADER: usize = 30;
    for (start, central) in names {
        let mut header = [0; HEADER];
        reader.seek(SeekFrom::Start(*start))?;
        reader.read_exact(&mut header)?;
        let length = match header {
            [.., low, high, _, _] => u16::from_le_bytes([low, high]),
        };
        let mut local = vec![0; usize::from(length)];
        reader.read_exact(&mut local)?;
        if local != *central {
            let (central, local) = (String::from_utf8_lossy(central), String::from_utf8_lossy(&local));
            let message = format!("the entry is called {local:?} before its data");
            entries.fault(FaultCode::ArchiveNamesDiffer, Some(&central), message);
        }
    }
    Ok(())
}

fn broken(error: ZipError) -> Error {
    Error::Archive { format: "zip", message: error.to_string(), source: Some(Box::new(error)) }
}
