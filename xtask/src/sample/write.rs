//! Writes files and hashes them on the way, several at once.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use md5::Md5;
use sha2::{Digest, Sha256};

use super::content::{CHUNK, Chunks};
use super::plan::{Content, PlannedFile};
use crate::error::{Result, at};

/// One file of a bag after it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WrittenFile {
    /// Its path in the bag.
    pub(super) path: String,
    /// Its size in bytes.
    pub(super) size: u64,
    /// Its MD5, in hexadecimal.
    pub(super) md5: String,
    /// Its SHA-256, in hexadecimal.
    pub(super) sha256: String,
}

/// Writes the planned files into the bag, on all processors, and returns them in the order of the plan.
pub(super) fn write_planned(bag: &Path, plan: &[PlannedFile]) -> Result<Vec<WrittenFile>> {
    let next = AtomicUsize::new(0);
    let threads = thread::available_parallelism().map_or(1, usize::from).min(plan.len());
    let work = || -> Result<Vec<(usize, WrittenFile)>> {
        let mut written = Vec::new();
        let mut buffer = Vec::with_capacity(CHUNK);
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(file) = plan.get(index) else { return Ok(written) };
            written.push((index, write_one(bag, file, &mut buffer)?));
        }
    };
    let mut written = thread::scope(|scope| -> Result<Vec<_>> {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut all = Vec::with_capacity(plan.len());
        for worker in workers {
            all.extend(worker.join().map_err(|_| "a thread that writes files panicked")??);
        }
        Ok(all)
    })?;
    written.sort_unstable_by_key(|(index, _)| *index);
    Ok(written.into_iter().map(|(_, file)| file).collect())
}

/// Writes a file that is in memory.
pub(super) fn write_bytes(bag: &Path, path: &str, bytes: &[u8]) -> Result<WrittenFile> {
    create(bag, path)?.write_all(bytes).map_err(at(Path::new(path)))?;
    let (md5, sha256) = (Md5::digest(bytes), Sha256::digest(bytes));
    Ok(WrittenFile {
        path: path.to_owned(),
        size: bytes.len() as u64,
        md5: hex::encode(md5),
        sha256: hex::encode(sha256),
    })
}

fn write_one(bag: &Path, planned: &PlannedFile, buffer: &mut Vec<u8>) -> Result<WrittenFile> {
    let path = Path::new(&planned.path);
    let mut file = create(bag, &planned.path)?;
    let (mut md5, mut sha256) = (Md5::new(), Sha256::new());
    let mut chunks = Chunks::new(planned);
    loop {
        chunks.next_into(buffer);
        if buffer.is_empty() {
            break;
        }
        md5.update(&buffer);
        sha256.update(&buffer);
        let length = i64::try_from(buffer.len())?;
        if planned.content == Content::Zeros && buffer.iter().all(|byte| *byte == 0) {
            file.seek(SeekFrom::Current(length)).map_err(at(path))?;
        } else {
            file.write_all(buffer).map_err(at(path))?;
        }
    }
    file.set_len(planned.size).map_err(at(path))?;
    Ok(WrittenFile {
        path: planned.path.clone(),
        size: planned.size,
        md5: hex::encode(md5.finalize()),
        sha256: hex::encode(sha256.finalize()),
    })
}

/// Creates a file that is not there yet, with the directories above it.
fn create(bag: &Path, path: &str) -> Result<File> {
    let full = bag.join(path);
    if let Some(directory) = full.parent() {
        fs::create_dir_all(directory).map_err(at(directory))?;
    }
    File::create_new(&full).map_err(at(&full))
}
