//! Unpacking into a directory: written entries, refused entries, and the state after an error.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use oci_model::Digest;
use oci_pack::{
    ArchiveErrorKind, ArchiveWarning, Compression, TEMPORARY_PREFIX, UnpackError, UnpackObserver,
    UnpackOptions, UnpackReport, VisitError, unpack_into,
};

use crate::support::{HandTar, gzip, noise, pack_files};

/// Accepts everything.
pub(crate) struct Accepting;

impl UnpackObserver for Accepting {
    fn wants(&mut self, _: &str) -> bool {
        true
    }

    fn begin(&mut self, _: &str, _: u64) -> Result<(), VisitError> {
        Ok(())
    }

    fn bytes(&mut self, _: &[u8]) {}

    fn end(&mut self, _: &str) -> Result<(), VisitError> {
        Ok(())
    }

    fn warning(&mut self, _: ArchiveWarning) -> Result<(), VisitError> {
        Ok(())
    }
}

/// Selects paths with a prefix, keeps the bytes that pass, and refuses a file by name at its end.
#[derive(Default)]
struct Watching {
    prefix: &'static str,
    refused: &'static str,
    current: Vec<u8>,
    seen: BTreeMap<String, Digest>,
}

impl UnpackObserver for Watching {
    fn wants(&mut self, path: &str) -> bool {
        path.starts_with(self.prefix)
    }

    fn begin(&mut self, _: &str, size: u64) -> Result<(), VisitError> {
        self.current = Vec::with_capacity(usize::try_from(size)?);
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.current.extend_from_slice(bytes);
    }

    fn end(&mut self, path: &str) -> Result<(), VisitError> {
        if path == self.refused {
            return Err("the checksum is wrong".into());
        }
        self.seen.insert(path.into(), Digest::sha256_of(&self.current));
        Ok(())
    }

    fn warning(&mut self, _: ArchiveWarning) -> Result<(), VisitError> {
        Ok(())
    }
}

fn unpack(target: &Path, archive: &[u8], overwrite: bool) -> Result<UnpackReport, UnpackError> {
    let mut options = UnpackOptions::new("p");
    options.overwrite = overwrite;
    unpack_into(target, archive, &options, &mut Accepting)
}

/// Returns all paths below a directory, sorted.
fn listing(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            found.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            if fs::symlink_metadata(&path).unwrap().is_dir() {
                waiting.push(path);
            }
        }
    }
    found.sort();
    found
}

fn example() -> Vec<u8> {
    HandTar::default()
        .directory("p")
        .directory("p/empty")
        .file("p/data/a.csv", b"1,2\n")
        .entry(b'1', b"p/copy.csv", b"p/data/a.csv", b"")
        .entry(b'2', b"p/link", b"data/a.csv", b"")
        .file("p/z", b"last")
        .end()
}

#[test]
fn a_tree_is_written_with_plain_modes() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("new/target");
    let report = unpack(&target, &gzip(&example()), false).unwrap();
    assert_eq!((report.files, report.bytes, report.symbolic_links), (3, 12, 1));
    assert_eq!(listing(&target), ["copy.csv", "data", "data/a.csv", "empty", "link", "z"]);
    assert_eq!(fs::read(target.join("copy.csv")).unwrap(), b"1,2\n");
    assert_eq!(fs::read_link(target.join("link")).unwrap(), Path::new("data/a.csv"));
    let metadata = fs::metadata(target.join("copy.csv")).unwrap();
    // The umask can only remove bits.
    assert_eq!(metadata.permissions().mode() & !0o644 & 0o777, 0);
    assert_eq!(metadata.nlink(), 1);
    assert_eq!(fs::metadata(target.join("data")).unwrap().permissions().mode() & !0o755 & 0o777, 0);
}

#[test]
fn the_observer_sees_every_byte_and_chooses() {
    let directory = tempfile::tempdir().unwrap();
    let files = [
        ("data/large".to_owned(), noise(1, 1_000_000)),
        ("data/small".to_owned(), b"x".to_vec()),
        ("tag".to_owned(), b"y".to_vec()),
    ];
    let (_, blob) = pack_files(&files, Compression::Gzip, 1);
    let mut watching = Watching { prefix: "data/", ..Watching::default() };
    let report = unpack_into(directory.path(), &blob[..], &UnpackOptions::new("pkg"), &mut watching).unwrap();
    assert_eq!(report.files, 2);
    assert_eq!(listing(directory.path()), ["data", "data/large", "data/small"]);
    let expected: BTreeMap<_, _> =
        files[..2].iter().map(|(path, content)| (path.clone(), Digest::sha256_of(content))).collect();
    assert_eq!(watching.seen, expected);
}

#[test]
fn a_refused_file_leaves_nothing_and_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let mut watching = Watching { refused: "data/a.csv", ..Watching::default() };
    let error =
        unpack_into(directory.path(), &example()[..], &UnpackOptions::new("p"), &mut watching).unwrap_err();
    assert!(matches!(&error, UnpackError::Refused { path, .. } if path == "data/a.csv"), "{error}");
    assert_eq!(listing(directory.path()), ["data", "empty"]);
}

#[test]
fn a_truncated_archive_leaves_whole_files_alone() {
    let files = [("a".to_owned(), noise(1, 1_500_000)), ("b".to_owned(), noise(2, 1_500_000))];
    let (_, blob) = pack_files(&files, Compression::Gzip, 1);
    let directory = tempfile::tempdir().unwrap();
    let mut options = UnpackOptions::new("pkg");
    options.read.tar_digest = false;
    let error = unpack_into(directory.path(), &blob[..2_500_000], &options, &mut Accepting).unwrap_err();
    let UnpackError::Archive(error) = error else { panic!("{error}") };
    assert_eq!((error.kind(), error.entry()), (ArchiveErrorKind::Truncated, Some("pkg/b")));
    assert_eq!(listing(directory.path()), ["a"]);
}

#[test]
fn what_is_there_is_kept_unless_overwriting_is_asked_for() {
    for there in ["data/a.csv", "copy.csv", "link"] {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("data")).unwrap();
        fs::write(directory.path().join(there), "mine").unwrap();
        fs::write(directory.path().join("other"), "mine too").unwrap();
        let error = unpack(directory.path(), &example(), false).unwrap_err();
        assert!(matches!(&error, UnpackError::Exists { path } if path.ends_with(there)), "{error}");
        assert_eq!(fs::read(directory.path().join(there)).unwrap(), b"mine");

        unpack(directory.path(), &example(), true).unwrap();
        assert_ne!(fs::read(directory.path().join(there)).unwrap(), b"mine");
        assert_eq!(fs::read(directory.path().join("other")).unwrap(), b"mine too");
        assert!(listing(directory.path()).iter().all(|path| !path.contains(TEMPORARY_PREFIX)));
    }
}

#[test]
fn a_directory_is_never_replaced_by_a_file() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("z")).unwrap();
    for overwrite in [false, true] {
        let error = unpack(directory.path(), &HandTar::default().file("p/z", b"x").end(), overwrite);
        assert!(matches!(error, Err(UnpackError::Exists { .. })));
    }
}

#[test]
fn nothing_is_written_through_links_that_are_there() {
    for overwrite in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let (outside, target) = (directory.path().join("outside"), directory.path().join("target"));
        fs::create_dir(&outside).unwrap();
        fs::create_dir(&target).unwrap();
        symlink(&outside, target.join("data")).unwrap();
        let error = unpack(&target, &example(), overwrite).unwrap_err();
        assert!(matches!(&error, UnpackError::NotADirectory { path } if path.ends_with("data")), "{error}");
        assert_eq!(listing(&outside), [] as [&str; 0]);
    }
}

/// Another process swaps a directory for a link to a directory outside, again and again.
#[test]
fn nothing_goes_through_a_directory_that_is_swapped_for_a_link() {
    let directory = tempfile::tempdir().unwrap();
    let (outside, target) = (directory.path().join("outside"), directory.path().join("target"));
    let (data, aside, link) = (target.join("data"), target.join("aside"), target.join("link"));
    fs::create_dir(&outside).unwrap();
    fs::create_dir_all(&data).unwrap();
    symlink(&outside, &link).unwrap();
    let files: Vec<_> = (0..40).map(|file| (format!("data/{file}"), noise(file, 100))).collect();
    let (_, blob) = pack_files(&files, Compression::Gzip, 1);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                // These fail while the other side has the names.
                let _ = fs::rename(&data, &aside).and_then(|()| fs::rename(&link, &data));
                let _ = fs::rename(&data, &link).and_then(|()| fs::rename(&aside, &data));
            }
        });
        let mut options = UnpackOptions::new("pkg");
        options.overwrite = true;
        let unpacks = || unpack_into(&target, &blob[..], &options, &mut Accepting).is_ok();
        let unpacked = (0..150).filter(|_| unpacks()).count();
        // A busy machine can stop the other side for long while the link is there. So it goes on until one round passed.
        let passed = unpacked > 0 || (0..20_000).any(|_| unpacks());
        done.store(true, Ordering::Relaxed);
        assert!(passed, "every round failed");
    });
    assert_eq!(listing(&outside), [] as [&str; 0]);
}

#[test]
fn a_link_in_a_files_place_is_replaced_and_not_followed() {
    let directory = tempfile::tempdir().unwrap();
    let (outside, target) = (directory.path().join("outside"), directory.path().join("target"));
    fs::write(&outside, "precious").unwrap();
    fs::create_dir(&target).unwrap();
    symlink(&outside, target.join("z")).unwrap();
    let archive = HandTar::default().file("p/z", b"new").end();
    assert!(matches!(unpack(&target, &archive, false), Err(UnpackError::Exists { .. })));
    unpack(&target, &archive, true).unwrap();
    assert_eq!(fs::read(target.join("z")).unwrap(), b"new");
    assert!(!fs::symlink_metadata(target.join("z")).unwrap().is_symlink());
    assert_eq!(fs::read(&outside).unwrap(), b"precious");
}

#[test]
fn links_may_be_forbidden() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = UnpackOptions::new("p");
    options.symbolic_links = false;
    let error = unpack_into(directory.path(), &example()[..], &options, &mut Accepting).unwrap_err();
    assert!(matches!(&error, UnpackError::Link { path, .. } if path == "link"), "{error}");
}

#[test]
fn a_hard_link_needs_its_file() {
    let directory = tempfile::tempdir().unwrap();
    let mut watching = Watching { prefix: "copy", ..Watching::default() };
    let error =
        unpack_into(directory.path(), &example()[..], &UnpackOptions::new("p"), &mut watching).unwrap_err();
    assert!(matches!(&error, UnpackError::Link { path, .. } if path == "copy.csv"), "{error}");
}

#[test]
fn leftovers_of_a_killed_process_are_no_hindrance() {
    let directory = tempfile::tempdir().unwrap();
    let leftover = directory.path().join(format!("{TEMPORARY_PREFIX}{}-0", std::process::id()));
    fs::write(&leftover, "half").unwrap();
    unpack(directory.path(), &example(), false).unwrap();
    assert_eq!(fs::read(&leftover).unwrap(), b"half");
}

#[test]
fn several_archives_fill_one_directory_at_the_same_time() {
    let directory = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for number in 0..4 {
            let target = directory.path().join("target");
            scope.spawn(move || {
                let files: Vec<_> = (0..50)
                    .map(|file| (format!("d{}/{number}-{file}", file % 7), noise(file, 100)))
                    .collect();
                let (_, blob) = pack_files(&files, Compression::Gzip, 1);
                unpack_into(&target, &blob[..], &UnpackOptions::new("pkg"), &mut Accepting).unwrap();
            });
        }
    });
    assert_eq!(listing(directory.path()).len(), 1 + 7 + 200);
}

#[test]
fn a_file_in_the_targets_place_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let blocked = directory.path().join("file");
    fs::write(&blocked, "").unwrap();
    let error = unpack(&blocked.join("target"), &example(), false).unwrap_err();
    assert!(matches!(&error, UnpackError::Io { .. }), "{error}");
}
