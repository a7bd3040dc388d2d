//! The front end for zip files. It reads them by their central directory.

use std::io::{self, Read, Seek, SeekFrom, Write};

use multi_digest::{AlgorithmSet, Digests, MultiHasher};
use safe_files::Directory;
use zip::result::ZipError;
use zip::{System, ZipArchive};

use super::archive::{
    Entries, Expansion, Found, base_directory, entry_path, is_apple_double, may_be_tag_file,
};
use super::options::{Limits, Scan, ScanOptions};
use crate::check::{CheckOptions, check};
use crate::declaration;
use crate::error::{Error, Result};
use crate::fault::FaultCode;
use crate::inventory::{EntryKind, Inventory};
use crate::progress::{Progress, ProgressEvent, check_cancelled};
use crate::read_files::BUFFER_SIZE;
use crate::report::{Level, Report};
use crate::tag_files::TagFiles;

/// Lists and hashes the files of a bag in a zip file by the algorithms that its manifests need.
///
/// Names with `\\` from Windows are read with `/`, and files of the macOS archiver that no manifest lists are ignored.
///
/// # Errors
/// [`Error::Archive`] if the file is not a zip archive or its entries overlap, [`Error::Limit`] if it exceeds a limit,
/// [`Error::Cancelled`].
pub fn scan_zip(reader: impl Read + Seek, options: &ScanOptions, progress: &dyn Progress) -> Result<Scan> {
    scan_at(reader, options, Level::Full, progress)
}

fn scan_at(
    reader: impl Read + Seek,
    options: &ScanOptions,
    level: Level,
    progress: &dyn Progress,
) -> Result<Scan> {
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
            MemberKind::File if level < Level::Full => {
                Found::File { size: member.size, digests: Digests::new() }
            }
            MemberKind::File => zip.hash(&member, if is_payload { payload } else { tags }, progress)?,
        };
        entries.add(member.path, found);
    }
    for (name, bytes) in tag_files.into_held() {
        entries.add_text(&format!("{}{name}", zip.prefix), bytes);
    }
    Ok(entries.into_scan())
}

/// Validates a bag in a zip file: [`scan_zip`], then [`check`]. Only [`Level::Full`] reads the payload.
///
/// # Errors
/// As [`scan_zip`].
pub fn validate_zip(
    reader: impl Read + Seek,
    options: &ScanOptions,
    check_options: &CheckOptions<'_>,
    progress: &dyn Progress,
) -> Result<Report> {
    let scan = scan_at(reader, options, check_options.level, progress)?;
    Ok(check(&scan.inventory, &scan.tag_files, check_options))
}

/// Scans a zip file, then writes its bag below its base directory in an empty directory.
pub(super) fn unpack_whole_zip(
    mut reader: impl Read + Seek,
    target: &Directory,
    options: &ScanOptions,
    progress: &dyn Progress,
) -> Result<Scan> {
    let scan = scan_zip(&mut reader, options, progress)?;
    let mut readable = Inventory::new();
    scan.inventory.directories().for_each(|directory| readable.insert_directory(directory));
    for (path, entry) in scan.inventory.files().filter(|(_, entry)| entry.kind == EntryKind::File) {
        readable.insert(path, entry);
    }
    let base = scan.base_directory.as_deref().unwrap_or(".");
    let opened = match scan.base_directory {
        Some(_) => target.create_directories(base).and_then(|()| target.open_directory(base)),
        None => target.try_clone(),
    };
    let opened = opened.map_err(Error::io("create the directory", target.path().join(base)))?;
    unpack_zip(reader, &options.limits, &opened, AlgorithmSet::EMPTY, &readable, progress)?;
    Ok(scan)
}

/// Writes the files of the bag that are in `judged` into an empty directory, and hashes them on the way.
///
/// A scan has found no fault in the archive, so a file that cannot be read now is an error.
pub(crate) fn unpack_zip(
    reader: impl Read + Seek,
    limits: &Limits,
    target: &Directory,
    algorithms: AlgorithmSet,
    judged: &Inventory,
    progress: &dyn Progress,
) -> Result<Inventory> {
    let mut zip = ZipScan::open(reader, limits)?;
    let mut inventory = Inventory::new();
    let members = std::mem::take(&mut zip.members);
    let bytes = members.iter().map(|member| member.size).fold(0, u64::saturating_add);
    progress.event(ProgressEvent::Planned { files: members.len() as u64, bytes });
    for member in members {
        let Some(path) = member.path.strip_prefix(&zip.prefix).map(str::to_owned) else { continue };
        let full = target.path().join(&path);
        if matches!(member.kind, MemberKind::Directory) {
            if judged.has_directory(&path) {
                inventory.insert_directory(&path);
                target.create_directories(&path).map_err(Error::io("create the directory", full))?;
            }
            continue;
        }
        if judged.file(&path).is_none() {
            continue;
        }
        let parent = safe_files::parent(&path);
        if !parent.is_empty() {
            target.create_directories(parent).map_err(Error::io("create the directory of", &full))?;
        }
        let mut file = match target.create_file(&path) {
            // The scan has reported the second entry of this name.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            other => other.map_err(Error::io("write", &full))?,
        };
        let mut hasher = MultiHasher::new(algorithms);
        let mut written = Ok(());
        let read = zip.read(&member, progress, |bytes| {
            hasher.update(bytes);
            if written.is_ok() {
                written = file.write_all(bytes);
            }
        })?;
        written.map_err(Error::io("write", &full))?;
        let size = read.map_err(|message| Error::Archive { format: "zip", message, source: None })?;
        inventory.insert_file(&path, size, hasher.finish());
    }
    Ok(inventory)
}

/// One entry of the central directory.
struct Member {
    index: usize,
    /// The path in the archive.
    path: String,
    size: u64,
    header_start: u64,
    kind: MemberKind,
}

enum MemberKind {
    File,
    Directory,
    Link,
    Special,
    /// A tag file whose bytes are in memory, with its digests.
    Text(Digests),
    Refused(FaultCode, String),
}

/// Reads the entries of a zip file one by one.
struct ZipScan<R> {
    archive: ZipArchive<R>,
    expansion: Expansion,
    members: Vec<Member>,
    /// The directory of the bag in the archive with a slash, or nothing.
    prefix: String,
    entries: Entries,
    buffer: Vec<u8>,
}

impl<R: Read + Seek> ZipScan<R> {
    fn open(mut reader: R, limits: &Limits) -> Result<Self> {
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
        let (mut headers, mut has_backslashes) = (Vec::new(), false);
        let backslash_separates = declares_with_backslash(&mut archive)?;
        for index in 0..archive.len() {
            let entry = archive.by_index_data(index).map_err(broken)?;
            headers.push((entry.header_start(), entry.central_header_start()));
            let mut name = readable_name(entry.name_raw(), entry.name().ok().as_deref());
            let of_windows = matches!(entry.system(), System::Dos | System::WindowsNTFS);
            if (of_windows || backslash_separates) && name.contains(&b'\\') {
                has_backslashes = true;
                name.iter_mut().filter(|byte| **byte == b'\\').for_each(|byte| *byte = b'/');
            }
            match entry_path(&name) {
                Ok(path) if path.is_empty() => {}
                Ok(path) => members.push(Member {
                    index,
                    path,
                    size: entry.size(),
                    header_start: entry.header_start(),
                    kind: kind(entry.is_dir() || name.ends_with(b"/"), entry.unix_mode(), entry.encrypted()),
                }),
                Err(fault) => entries.fault(fault.code, fault.path.as_deref(), fault.message),
            }
        }
        drop(archive);
        if has_backslashes {
            let message = "the entries have backslashes between names, which were read as slashes";
            entries.fault(FaultCode::ArchiveBackslash, None, message);
        }
        report_local_names(&mut reader, &headers, &mut entries).map_err(|error| broken(error.into()))?;
        let archive = ZipArchive::new(reader).map_err(broken)?;
        // Reads the archive forwards.
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

    /// Reads and hashes one file.
    fn hash(&mut self, member: &Member, algorithms: AlgorithmSet, progress: &dyn Progress) -> Result<Found> {
        let (mut hasher, mut apple_double) = (MultiHasher::new(algorithms), None);
        let read = self.read(member, progress, |bytes| {
            apple_double.get_or_insert_with(|| is_apple_double(&member.path, bytes));
            hasher.update(bytes);
        })?;
        let (size, digests) = (member.size, hasher.finish());
        Ok(match (read, apple_double) {
            (Err(message), _) => Found::Unreadable { code: FaultCode::UnreadableFile, message, size },
            (Ok(_), Some(true)) => Found::AppleDouble { size, digests },
            (Ok(_), _) => Found::File { size, digests },
        })
    }

    /// Passes all bytes of a file to `take`. Returns their number, or the reason why this one file cannot be read.
    fn read(
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
            check_cancelled(progress)?;
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
            Err(format!("the entry declares {} bytes and has {total}", member.size))
        })
    }
}

/// Says whether the only declarations of a bag have a backslash before their name. Then every backslash is a separator.
fn declares_with_backslash<R: Read + Seek>(archive: &mut ZipArchive<R>) -> Result<bool> {
    let mut found = false;
    for index in 0..archive.len() {
        let entry = archive.by_index_data(index).map_err(broken)?;
        let name = entry.name_raw();
        let Some(before) = name.strip_suffix(declaration::FILE_NAME.as_bytes()) else { continue };
        match before.last() {
            Some(b'\\') => found = true,
            None | Some(b'/') => return Ok(false),
            Some(_) => {}
        }
    }
    Ok(found)
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

/// Returns a name as UTF-8 if it is UTF-8, whatever its flag says: many programs forget the flag.
fn readable_name(raw: &[u8], decoded: Option<&str>) -> Vec<u8> {
    if std::str::from_utf8(raw).is_ok() { raw.to_vec() } else { decoded.map_or(raw, str::as_bytes).to_vec() }
}

/// Compares the names before the data with those of the central directory, because readers differ in which they believe.
///
/// `headers` has the positions of both headers of each entry.
fn report_local_names<R: Read + Seek>(
    reader: &mut R,
    headers: &[(u64, u64)],
    entries: &mut Entries,
) -> io::Result<()> {
    for (local_start, central_start) in headers {
        // The Unicode path field changes neither of the two names.
        let local = raw_name(reader, *local_start, 26, 30)?;
        let central = raw_name(reader, *central_start, 28, 46)?;
        if local != central {
            let (central, local) = (String::from_utf8_lossy(&central), String::from_utf8_lossy(&local));
            let message = format!("the entry has the name {local:?} before its data");
            entries.fault(FaultCode::ArchiveNamesDiffer, Some(&central), message);
        }
    }
    Ok(())
}

/// Reads the name of a header: its length is at one offset, the name at another (APPNOTE, sections 4.3.7 and 4.3.12).
fn raw_name(
    reader: &mut (impl Read + Seek),
    start: u64,
    length_at: u64,
    name_at: u64,
) -> io::Result<Vec<u8>> {
    let mut length = [0; 2];
    reader.seek(SeekFrom::Start(start.saturating_add(length_at)))?;
    reader.read_exact(&mut length)?;
    let mut name = vec![0; usize::from(u16::from_le_bytes(length))];
    reader.seek(SeekFrom::Start(start.saturating_add(name_at)))?;
    reader.read_exact(&mut name)?;
    Ok(name)
}

fn broken(error: ZipError) -> Error {
    Error::Archive { format: "zip", message: error.to_string(), source: Some(Box::new(error)) }
}
