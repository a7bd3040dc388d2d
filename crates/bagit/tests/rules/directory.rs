//! Entries that only a directory can have: links, sockets, fifos, files that cannot be read or are not UTF-8.
#![cfg(unix)]

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Mutex;

use bagit::{
    CheckOptions, Error, Fault, FaultCode, HashOptions, NoProgress, ProgressEvent, Report, ScanOptions,
    Severity, hash_files, scan_directory, validate_directory,
};

use crate::bag::{Bag, Front};
use crate::graded;

fn validate(root: &Path) -> Report {
    validate_directory(root, &ScanOptions::default(), &CheckOptions::default(), &NoProgress).unwrap()
}

fn check(name: &str, expected: &[&str], change: impl Fn(&Path)) {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("bag");
    Bag::good("1.0").write(&root);
    change(&root);
    let report = validate(&root);
    let found: Vec<String> = report.faults.iter().map(graded).collect();
    assert_eq!(found, expected, "{name}: {:#?}", report.faults);
}

#[test]
fn links_and_special_files() {
    check("P2 out of the bag", &["E link-outside"], |root| {
        symlink("/etc/passwd", root.join("data/link")).unwrap();
    });
    check("P2 to the bag's neighbour", &["E link-outside"], |root| {
        fs::write(root.parent().unwrap().join("bag-x"), "x").unwrap();
        symlink("../../bag-x", root.join("data/link")).unwrap();
    });
    check("P2 to nowhere", &["E link-dangling"], |root| symlink("nowhere", root.join("data/link")).unwrap());
    check("P2 to itself", &["E link-dangling"], |root| symlink("link", root.join("data/link")).unwrap());
    check("P2 to a directory", &["E link-to-directory"], |root| {
        symlink("sub", root.join("data/link")).unwrap();
    });
    check("P2 to a listed file, which it replaces", &["W link-inside"], |root| {
        fs::rename(root.join("data/a.csv"), root.join("metadata/moved.csv")).unwrap();
        symlink("../metadata/moved.csv", root.join("data/a.csv")).unwrap();
        fs::remove_file(root.join("tagmanifest-md5.txt")).unwrap();
        fs::remove_file(root.join("tagmanifest-sha256.txt")).unwrap();
    });
    check("P2 a socket", &["E special-file"], |root| {
        drop(UnixListener::bind(root.join("data/socket")).unwrap());
    });
}

#[test]
fn names_that_are_not_utf8() {
    check("P7", &["E name-not-utf8"], |root| {
        fs::write(root.join(OsStr::from_bytes(b"data/caf\xE9")), "x").unwrap();
    });
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let probe = tempfile::NamedTempFile::new().unwrap();
    fs::set_permissions(probe.path(), Permissions::from_mode(0o000)).unwrap();
    // Whoever may read everything sees no fault.
    let expected: &[&str] = if fs::File::open(probe.path()).is_ok() { &[] } else { &["E unreadable-file"] };
    let unreadable = |root: &Path, path: &str| {
        fs::set_permissions(root.join(path), Permissions::from_mode(0o000)).unwrap();
    };
    check("a payload file", expected, |root| unreadable(root, "data/a.csv"));
    check("a tag file", expected, |root| unreadable(root, "bag-info.txt"));
}

#[test]
fn a_bag_with_an_unreadable_file_is_complete_but_not_valid() {
    let mut scan = Bag::good("1.0").scan(Front::Memory);
    scan.inventory.insert_unreadable("data/a.csv", 25);
    scan.inventory.observe(Fault::new(FaultCode::UnreadableFile, Some("data/a.csv"), "no permission"));
    let report = bagit::check(&scan.inventory, &scan.tag_files, &CheckOptions::default());
    assert_eq!(report.faults.iter().map(graded).collect::<Vec<_>>(), ["E unreadable-file"]);
    assert!(report.complete && !report.valid);
}

#[test]
fn a_directory_that_is_no_bag_or_no_directory() {
    let directory = tempfile::tempdir().unwrap();
    let report = validate(directory.path());
    let expected = ["E bagit-txt-missing", "E payload-directory-missing", "E payload-manifest-missing"];
    assert_eq!(report.faults.iter().map(graded).collect::<Vec<_>>(), expected);
    let gone = directory.path().join("gone");
    let result = scan_directory(&gone, &ScanOptions::default(), &NoProgress);
    assert!(matches!(&result, Err(Error::Io { path, .. }) if *path == gone), "{result:?}");
    fs::write(directory.path().join("file"), "x").unwrap();
    assert!(scan_directory(&directory.path().join("file"), &ScanOptions::default(), &NoProgress).is_err());
}

#[test]
fn a_file_that_vanishes_or_changes_during_the_scan_is_named() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 2] = [
        ("E file-vanished", |path| fs::remove_file(path).unwrap()),
        ("E file-changed", |path| fs::write(path, "something else entirely").unwrap()),
    ];
    for (expected, change) in changes {
        let directory = tempfile::tempdir().unwrap();
        Bag::good("1.0").write(directory.path());
        let victim = directory.path().join("data/sub/d.txt");
        let done = Mutex::new(false);
        let progress = |event: ProgressEvent<'_>| {
            // The first byte of the file has been read by now, or for the vanishing one its turn has just come.
            let now = match event {
                ProgressEvent::Started { path } => path == "data/sub/d.txt" && expected.contains("vanished"),
                ProgressEvent::Advanced { bytes } => bytes == 8 && expected.contains("changed"),
                _ => false,
            };
            let mut done = done.lock().unwrap();
            if now && !*done {
                *done = true;
                change(&victim);
            }
        };
        let mut options = ScanOptions::default();
        options.threads = 1;
        let report =
            validate_directory(directory.path(), &options, &CheckOptions::default(), &progress).unwrap();
        let errors: Vec<_> = report.errors().map(|fault| (graded(fault), fault.path.as_deref())).collect();
        assert_eq!(errors, [(expected.to_owned(), Some("data/sub/d.txt"))]);
    }
}

#[test]
fn limits_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    Bag::good("1.0").write(directory.path());
    let mut options = ScanOptions::default();
    options.limits.entries = 5;
    let result = scan_directory(directory.path(), &options, &NoProgress);
    assert!(matches!(result, Err(Error::Limit { limit: 5, .. })), "{result:?}");
    let mut options = ScanOptions::default();
    options.limits.tag_file_bytes = 100;
    let report =
        validate_directory(directory.path(), &options, &CheckOptions::default(), &NoProgress).unwrap();
    assert!(report.errors().any(|fault| fault.code.as_str() == "tag-file-too-large"), "{:#?}", report.faults);
}

#[test]
fn progress_adds_up() {
    let directory = tempfile::tempdir().unwrap();
    Bag::good("1.0").write(directory.path());
    let (planned, advanced) = (Mutex::new(0), Mutex::new(0));
    let progress = |event: ProgressEvent<'_>| match event {
        ProgressEvent::Planned { bytes, .. } => *planned.lock().unwrap() += bytes,
        ProgressEvent::Advanced { bytes } => *advanced.lock().unwrap() += bytes,
        _ => {}
    };
    scan_directory(directory.path(), &ScanOptions::default(), &progress).unwrap();
    assert_eq!(*planned.lock().unwrap(), *advanced.lock().unwrap());
    assert_eq!(*planned.lock().unwrap(), 58 + "<eml/>".len() as u64);
}

#[test]
fn reports_serialise_as_documented() {
    let directory = tempfile::tempdir().unwrap();
    let mut bag = Bag::good("1.0");
    bag.put("data/new.csv", "new");
    bag.write(directory.path());
    let report = validate(directory.path());
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["version"], "1.0");
    assert_eq!(json["verdict"], "invalid");
    assert_eq!(json["complete"], false);
    assert_eq!(json["payload_files"], 4);
    assert_eq!(json["algorithms"], serde_json::json!(["md5", "sha256"]));
    assert_eq!(json["faults"][0]["code"], "payload-file-unlisted");
    assert_eq!(json["faults"][0]["path"], "data/new.csv");
    assert_eq!(json["faults"][0]["severity"], "error");
    assert!(report.faults.iter().any(|fault| fault.severity == Severity::Error));
}

#[test]
fn plain_directories_can_be_hashed_too() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("x"), "abc").unwrap();
    let algorithms = bagit::AlgorithmSet::all();
    let inventory =
        bagit::hash_directory(directory.path(), algorithms, &ScanOptions::default(), &NoProgress).unwrap();
    assert_eq!(inventory.file("x").unwrap().digests, bagit::Digests::of(algorithms, b"abc").view());
    let files = [
        bagit::FileToHash { path: "x", size: 3, algorithms },
        bagit::FileToHash { path: "y", size: 0, algorithms },
    ];
    let outcomes = hash_files(directory.path(), &files, &HashOptions::default(), &NoProgress).unwrap();
    assert!(
        matches!(&outcomes[0], bagit::HashOutcome::Hashed { size: 3, digests } if digests.algorithms() == algorithms)
    );
    assert!(matches!(&outcomes[1], bagit::HashOutcome::Vanished));
}
