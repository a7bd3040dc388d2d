//! Zip files that are the same whenever they are made: sorted, without times, tag files first.

use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::Path;
use std::sync::Arc;

use d1_transfer::parts::RunningPhase;
use d1_transfer::{Observer, Phase};
use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use crate::{Error, Result};

/// From this size on, a file has 64-bit sizes in its header.
const LARGE_FILE: u64 = 0xFFFF_0000;

/// How much is written at once.
const BUFFER_BYTES: usize = 256 << 10;

/// Writes all that is below a directory to a new zip file, and removes each file from the directory when it is in it. It blocks.
pub(super) fn write(root: &Path, path: &Path, observer: &Arc<dyn Observer>) -> Result<()> {
    let mut members = Vec::new();
    list(root, "", &mut members)?;
    // Readers learn first what they will get.
    members.sort_by(|a, b| (is_payload(&a.path), &a.path).cmp(&(is_payload(&b.path), &b.path)));
    let bytes = members.iter().map(|member| member.size).fold(0, u64::saturating_add);
    let phase = RunningPhase::begin(observer, Phase::Pack, members.len() as u64, bytes);
    let file = File::create_new(path).map_err(|error| Error::io("create", path, error))?;
    let mut zip = ZipWriter::new(BufWriter::with_capacity(BUFFER_BYTES, file));
    let failed = |error: ZipError| Error::io("write", path, io::Error::other(error));
    for member in members {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .last_modified_time(DateTime::default())
            .large_file(member.size >= LARGE_FILE);
        let source = root.join(&member.path);
        if member.is_directory {
            zip.add_directory(member.path, options.unix_permissions(0o755)).map_err(failed)?;
            continue;
        }
        zip.start_file(member.path, options.unix_permissions(0o644)).map_err(failed)?;
        let mut reader = File::open(&source).map_err(|error| Error::io("open", &source, error))?;
        let copied = io::copy(&mut reader, &mut zip).map_err(|error| Error::io("write", path, error))?;
        fs::remove_file(&source).map_err(|error| Error::io("remove", &source, error))?;
        phase.advance(1, copied);
    }
    let written = zip.finish().map_err(failed)?;
    let file = written.into_inner().map_err(|error| Error::io("write", path, error.into_error()))?;
    file.sync_all().map_err(|error| Error::io("write", path, error))
}

struct Member {
    path: String,
    size: u64,
    /// An empty directory: others are there with what is in them.
    is_directory: bool,
}

fn is_payload(path: &str) -> bool {
    path.starts_with("data/")
}

fn list(root: &Path, directory: &str, members: &mut Vec<Member>) -> Result<()> {
    let place = root.join(directory);
    let failed = |error| Error::io("read", &place, error);
    let mut is_empty = true;
    for entry in fs::read_dir(&place).map_err(failed)? {
        is_empty = false;
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let name = name.to_str().ok_or_else(|| d1_transfer::Error::NotPushable { path: entry.path() })?;
        let path = format!("{directory}{name}");
        let metadata = entry.metadata().map_err(failed)?;
        if metadata.is_dir() {
            list(root, &format!("{path}/"), members)?;
        } else {
            members.push(Member { path, size: metadata.len(), is_directory: false });
        }
    }
    if is_empty && !directory.is_empty() {
        members.push(Member { path: directory.to_owned(), size: 0, is_directory: true });
    }
    Ok(())
}
