//! Writes a bag of BagIt 1.0 (RFC 8493): the payload on all processors, hashed as it is written, and the tag files over
//! it, with MD5 and SHA-256.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use md5::Md5;
use sha2::{Digest, Sha256};

use super::plan::PlannedFile;
use super::series::Series;
use crate::error::{Result, at};

/// The bytes that are made, hashed and written at once: few enough to stay in the cache of a processor.
const CHUNK: usize = 256 * 1024;

/// The date of every sample: today's date would make two samples differ.
pub(super) const BAGGING_DATE: &str = "2025-01-15";

const DECLARATION: &str = "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n";

/// The name of an algorithm, and its digest of a file.
type Algorithm = (&'static str, fn(&WrittenFile) -> &str);

const ALGORITHMS: [Algorithm; 2] = [("md5", |file| &file.md5), ("sha256", |file| &file.sha256)];

/// Writes the tag files over the payload and the other tag files, which exist by then.
pub(super) fn write_tag_files(
    bag: &Path,
    identifier: &str,
    payload: &[WrittenFile],
    mut tag_files: Vec<WrittenFile>,
) -> Result<()> {
    tag_files.push(write_bytes(bag, "bagit.txt", DECLARATION.as_bytes())?);
    tag_files.push(write_bytes(bag, "bag-info.txt", bag_info(identifier, payload).as_bytes())?);
    for (name, digest) in ALGORITHMS {
        let text = manifest(payload, digest);
        tag_files.push(write_bytes(bag, &format!("manifest-{name}.txt"), text.as_bytes())?);
    }
    for (name, digest) in ALGORITHMS {
        let text = manifest(&tag_files, digest);
        write_bytes(bag, &format!("tagmanifest-{name}.txt"), text.as_bytes())?;
    }
    Ok(())
}

fn bag_info(identifier: &str, payload: &[WrittenFile]) -> String {
    let size: u64 = payload.iter().map(|file| file.size).sum();
    let (files, human) = (payload.len(), human_size(size));
    format!(
        "Bagging-Date: {BAGGING_DATE}\nExternal-Identifier: {identifier}\nPayload-Oxum: {size}.{files}\n\
         Bag-Size: {human}\n"
    )
}

fn manifest(files: &[WrittenFile], digest: fn(&WrittenFile) -> &str) -> String {
    let mut lines: Vec<_> = files.iter().map(|file| (encode_path(&file.path), digest(file))).collect();
    lines.sort_unstable();
    lines.into_iter().map(|(path, digest)| format!("{digest}  {path}\n")).collect()
}

/// Encodes line breaks, and the sign of the encoding itself (RFC 8493 section 2.1.3).
fn encode_path(path: &str) -> String {
    path.replace('%', "%25").replace('\n', "%0A").replace('\r', "%0D")
}

/// Writes a size as people do, with one digit behind the point.
fn human_size(size: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KB", "MB", "GB", "TB"];
    let (mut tenths, mut unit) = (u128::from(size) * 10, 0);
    while tenths >= 10_000 && unit + 1 < UNITS.len() {
        tenths /= 1000;
        unit += 1;
    }
    match unit {
        0 => format!("{size} B"),
        unit => format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit]),
    }
}

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
pub(super) fn write_payload(bag: &Path, plan: &[PlannedFile]) -> Result<Vec<WrittenFile>> {
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
    let mut series = Series::new(planned.measurement, planned.size);
    loop {
        buffer.clear();
        series.fill(buffer, CHUNK);
        if buffer.is_empty() {
            break;
        }
        md5.update(&buffer);
        sha256.update(&buffer);
        file.write_all(buffer).map_err(at(path))?;
    }
    Ok(WrittenFile {
        path: planned.path.clone(),
        size: planned.size,
        md5: hex::encode(md5.finalize()),
        sha256: hex::encode(sha256.finalize()),
    })
}

/// Creates a new file and its directories.
fn create(bag: &Path, path: &str) -> Result<File> {
    let full = bag.join(path);
    if let Some(directory) = full.parent() {
        fs::create_dir_all(directory).map_err(at(directory))?;
    }
    File::create_new(&full).map_err(at(&full))
}

#[cfg(test)]
mod tests {
    use super::{encode_path, human_size};

    #[test]
    fn paths_are_encoded_as_bagit_has_it() {
        assert_eq!(encode_path("data/100%\n\r.csv"), "data/100%25%0A%0D.csv");
        assert_eq!(encode_path("data/é b"), "data/é b");
    }

    #[test]
    fn sizes_read_well() {
        let cases =
            [(0, "0 B"), (999, "999 B"), (1000, "1.0 KB"), (54_700, "54.7 KB"), (u64::MAX, "18446744.0 TB")];
        for (size, expected) in cases {
            assert_eq!(human_size(size), expected);
        }
    }
}
