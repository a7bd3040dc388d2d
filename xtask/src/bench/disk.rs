//! Watches how much a command keeps in the directory for temporary files.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How long between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Looks at a directory until it is asked for the most that was there.
pub(super) struct DiskWatch {
    is_over: Arc<AtomicBool>,
    most: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl DiskWatch {
    pub(super) fn start(directory: &Path) -> Self {
        let (is_over, most) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (over, peak, directory) = (Arc::clone(&is_over), Arc::clone(&most), directory.to_path_buf());
        let thread = thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                peak.fetch_max(bytes_below(&directory), Ordering::Relaxed);
                thread::sleep(PAUSE);
            }
        });
        Self { is_over, most, thread }
    }

    /// Returns the most bytes that were seen.
    pub(super) fn most(self) -> u64 {
        self.is_over.store(true, Ordering::Relaxed);
        // It does not panic; if it did, what it saw before would still be right.
        let _ = self.thread.join();
        self.most.load(Ordering::Relaxed)
    }
}

/// Adds up files; what vanishes meanwhile counts nothing.
fn bytes_below(directory: &Path) -> u64 {
    let mut waiting: Vec<PathBuf> = vec![directory.to_path_buf()];
    let mut sum = 0;
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => waiting.push(entry.path()),
                Ok(metadata) => sum += metadata.len(),
                Err(_) => {}
            }
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::thread;

    use super::{DiskWatch, PAUSE};

    #[test]
    fn the_most_that_was_there_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let watch = DiskWatch::start(directory.path());
        fs::create_dir(directory.path().join("a")).unwrap();
        let file = directory.path().join("a/b");
        fs::write(&file, [0; 1000]).unwrap();
        while watch.most.load(std::sync::atomic::Ordering::Relaxed) < 1000 {
            thread::sleep(PAUSE);
        }
        fs::remove_file(&file).unwrap();
        assert_eq!(watch.most(), 1000);
    }
}
