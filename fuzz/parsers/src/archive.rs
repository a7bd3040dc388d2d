//! Archive layers: tar in gzip, zstd or nothing.

use std::fs;
use std::io::Read;
use std::path::Path;

use oci_pack::{
    ArchiveVisitor, ArchiveWarning, EntryContent, ReadLimits, ReadOptions, UnpackObserver, UnpackOptions,
    VisitError, read_archive, unpack_into,
};

/// Small limits, so that a small input that wants much is seen.
const LIMITS: (u64, u64, u64) = (2_000, 4 << 20, 2 << 20);

/// Reads an archive.
pub fn archive(bytes: &[u8]) {
    for title in ["p", "."] {
        let mut visitor = Watch::default();
        if let Ok(summary) = read_archive(bytes, &options(title), &mut visitor) {
            // Hard links count as copies of what they name.
            assert!(summary.content_size >= visitor.bytes && summary.content_size <= LIMITS.1);
            assert!(summary.entries >= visitor.entries);
        }
        assert!(visitor.bytes <= LIMITS.1 && visitor.entries <= LIMITS.0, "more than the limits came");
    }
}

/// Unpacks an archive into a directory, beside which nothing may appear.
pub fn unpack(bytes: &[u8]) {
    let outside = tempfile::tempdir().expect("a temporary directory can be made");
    let directory = outside.path().join("a").join("p");
    fs::create_dir_all(&directory).expect("a directory can be made");
    let mut options = UnpackOptions::new("p");
    options.read = self::options("p");
    let mut watch = Watch::default();
    let report = unpack_into(&directory, bytes, &options, &mut watch);
    assert_eq!(names(outside.path()), ["a"], "something was written beside the directory");
    assert_eq!(names(&outside.path().join("a")), ["p"], "something was written beside the directory");
    let mut found = (0, 0);
    walk(&directory, &directory, &mut found);
    assert!(found.1 <= LIMITS.1);
    if let Ok(report) = report {
        assert_eq!((report.files, report.bytes), found);
    }
}

fn options(title: &str) -> ReadOptions {
    let mut options = ReadOptions::new(title);
    let (entries, total_size, entry_size) = LIMITS;
    options.limits = ReadLimits { entries, total_size, entry_size, ..ReadLimits::default() };
    options
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("the directory can be read");
    entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

/// Counts files and their bytes; every link has to stay below the top, and nothing temporary is left.
fn walk(directory: &Path, top: &Path, found: &mut (u64, u64)) {
    for name in names(directory) {
        assert!(!name.starts_with(oci_pack::TEMPORARY_PREFIX), "`{name}` was left behind");
        let path = directory.join(&name);
        let kind = fs::symlink_metadata(&path).expect("what is listed is there");
        if kind.is_dir() {
            walk(&path, top, found);
        } else if kind.is_symlink() {
            if let Ok(target) = fs::canonicalize(&path) {
                let top = fs::canonicalize(top).expect("the top is there");
                assert!(target.starts_with(&top), "`{name}` leads out of the directory");
            }
        } else {
            found.0 += 1;
            found.1 += kind.len();
        }
    }
}

#[derive(Default)]
struct Watch {
    entries: u64,
    bytes: u64,
}

impl Watch {
    fn note(&mut self, path: &str) {
        self.entries += 1;
        let is_clean = path.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
        assert!(is_clean && !path.contains(['\0', '\\']), "unclean path {path:?}");
    }
}

impl ArchiveVisitor for Watch {
    fn directory(&mut self, path: &str) -> Result<(), VisitError> {
        self.note(path);
        Ok(())
    }

    fn file(&mut self, path: &str, content: &mut EntryContent<'_>) -> Result<(), VisitError> {
        self.note(path);
        let mut buffer = [0; 8192];
        loop {
            let count = content.read(&mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            self.bytes += count as u64;
        }
    }

    fn symbolic_link(&mut self, path: &str, target: &str) -> Result<(), VisitError> {
        self.note(path);
        assert!(!target.starts_with('/'), "absolute link {target:?}");
        Ok(())
    }

    fn hard_link(&mut self, path: &str, target: &str, _size: u64) -> Result<(), VisitError> {
        self.note(path);
        self.note(target);
        self.entries -= 1;
        Ok(())
    }

    fn warning(&mut self, _warning: ArchiveWarning) -> Result<(), VisitError> {
        Ok(())
    }
}

impl UnpackObserver for Watch {
    fn wants(&mut self, _path: &str) -> bool {
        true
    }

    fn begin(&mut self, path: &str, _size: u64) -> Result<(), VisitError> {
        self.note(path);
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
    }

    fn end(&mut self, _path: &str) -> Result<(), VisitError> {
        Ok(())
    }

    fn warning(&mut self, _warning: ArchiveWarning) -> Result<(), VisitError> {
        Ok(())
    }
}
