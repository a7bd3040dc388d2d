//! Changes to the files of a round.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Returns the bytes that a file system in memory needs for the content of a directory.
pub(super) fn size_of(directory: &Path) -> u64 {
    const PAGE: u64 = 4096;
    files_below(directory)
        .iter()
        .map(|path| fs::metadata(path).map_or(0, |found| found.len()).div_ceil(PAGE) * PAGE)
        .sum()
}

/// Makes all files look older by `seconds`, as if the clock had jumped.
pub(super) fn shift_times(directory: &Path, seconds: i64) -> std::io::Result<()> {
    let shift = Duration::from_secs(seconds.unsigned_abs());
    let now = SystemTime::now();
    let time = if seconds > 0 { now - shift } else { now + shift };
    files_below(directory).iter().try_for_each(|path| File::open(path)?.set_modified(time))
}

/// Overwrites the end of every unfinished file with zeros, as a file system may leave it after a loss of power.
pub(super) fn tear(room: &Path) -> std::io::Result<()> {
    let is_unfinished = |path: &Path| {
        path.components().any(|part| {
            let name = part.as_os_str().to_string_lossy();
            name == "ingest" || name.starts_with(".d1oci-pull-")
        })
    };
    for path in files_below(room).into_iter().filter(|path| is_unfinished(path)) {
        let mut content = fs::read(&path)?;
        let start = content.len() - content.len() / 3;
        content[start..].fill(0);
        fs::write(&path, content)?;
    }
    Ok(())
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(files_below(&path)) } else { found.push(path) }
    }
    found
}
