//! Archives as real programs make them: macOS, old Windows, GNU tar with sparse files and hard links, names in Unicode path fields.

use std::fs;
use std::io::{Cursor, Write};
use std::path::Path;
use std::process::Command;

use bagit::{CheckOptions, Error, NoProgress, Report, ScanOptions, unpack_archive, validate_archive};

use crate::bag::{Bag, Front};
use crate::graded;

const APPLE_DOUBLE: &[u8] = b"\0\x05\x16\x07\0\x02\0\0Mac OS X        ";

fn read(bytes: Vec<u8>) -> Result<Report, Error> {
    validate_archive(Cursor::new(bytes), &ScanOptions::default(), &CheckOptions::default(), &NoProgress)
}

fn found(bytes: Vec<u8>) -> Vec<String> {
    let report = read(bytes).unwrap();
    report.faults.iter().map(graded).collect()
}

/// Puts the files of a bag and further ones under a directory.
fn with(bag: &Bag, base: &str, more: &[(&str, &[u8])]) -> Vec<(String, Vec<u8>)> {
    let files = bag.files.iter().map(|(path, bytes)| (format!("{base}{path}"), bytes.clone()));
    files.chain(more.iter().map(|(path, bytes)| ((*path).to_owned(), bytes.to_vec()))).collect()
}

fn tar_of(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(bytes.len() as u64);
        builder.append_data(&mut header, path, &**bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

/// Says how a zip file made by [`zip_of`] is unusual.
#[derive(Default)]
struct Oddity {
    /// The system that made the entries: 0 for DOS, 3 for Unix (APPNOTE, section 4.4.2).
    system: u8,
    /// Writes this name in the headers, and the real one in a Unicode path field (APPNOTE, section 4.6.9).
    plain_name: Option<fn(&str) -> Vec<u8>>,
    /// Writes a wrong checksum of the plain name into that field, so that it does not count.
    stale: bool,
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// Writes a zip file by hand, with stored entries.
fn zip_of(files: &[(String, Vec<u8>)], odd: &Oddity) -> Vec<u8> {
    let (mut bytes, mut central) = (Vec::new(), Vec::new());
    for (path, content) in files {
        let name = odd.plain_name.map_or_else(|| path.clone().into_bytes(), |plain| plain(path));
        let mut extra = Vec::new();
        if odd.plain_name.is_some() {
            extra.extend_from_slice(&0x7075_u16.to_le_bytes());
            extra.extend_from_slice(&u16::try_from(5 + path.len()).unwrap().to_le_bytes());
            extra.push(1);
            extra.extend_from_slice(&(crc(&name) ^ u32::from(odd.stale)).to_le_bytes());
            extra.extend_from_slice(path.as_bytes());
        }
        let size = u32::try_from(content.len()).unwrap();
        let mut common = vec![20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];
        common.extend_from_slice(&crc(content).to_le_bytes());
        [size, size].iter().for_each(|size| common.extend_from_slice(&size.to_le_bytes()));
        common.extend_from_slice(&u16::try_from(name.len()).unwrap().to_le_bytes());
        common.extend_from_slice(&u16::try_from(extra.len()).unwrap().to_le_bytes());
        let start = u32::try_from(bytes.len()).unwrap();
        [&b"PK\x03\x04"[..], &common, &name, &extra, content]
            .iter()
            .for_each(|part| bytes.extend_from_slice(part));
        [&b"PK\x01\x02"[..], &[20, odd.system], &common, &[0; 10]]
            .iter()
            .for_each(|part| central.extend_from_slice(part));
        [&start.to_le_bytes()[..], &name, &extra].iter().for_each(|part| central.extend_from_slice(part));
    }
    let (start, count) = (u32::try_from(bytes.len()).unwrap(), u16::try_from(files.len()).unwrap());
    let size = u32::try_from(central.len()).unwrap();
    bytes.extend_from_slice(&central);
    bytes.extend_from_slice(b"PK\x05\x06\0\0\0\0");
    [count, count].iter().for_each(|count| bytes.extend_from_slice(&count.to_le_bytes()));
    [size, start].iter().for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
    bytes.extend_from_slice(&[0, 0]);
    bytes
}

#[test]
fn files_of_the_macos_archiver_are_ignored() {
    let bag = Bag::good("1.0");
    let beside =
        with(&bag, "bag/", &[("__MACOSX/._bag", APPLE_DOUBLE), ("__MACOSX/bag/data/._a.csv", APPLE_DOUBLE)]);
    assert_eq!(found(zip_of(&beside, &Oddity::default())), [] as [&str; 0]);
    assert_eq!(found(tar_of(&beside)), [] as [&str; 0]);
    let inside = with(
        &bag,
        "bag/",
        &[("bag/data/._a.csv", APPLE_DOUBLE), ("bag/._bagit.txt", APPLE_DOUBLE), ("._bag", APPLE_DOUBLE)],
    );
    let expected = ["I archive-apple-double", "I archive-apple-double"];
    assert_eq!(found(zip_of(&inside, &Oddity::default())), expected);
    assert_eq!(found(tar_of(&inside)), expected);
    // A file of this name with other content is payload.
    let payload = with(&bag, "bag/", &[("bag/data/._a.csv", b"depth\n")]);
    assert_eq!(found(tar_of(&payload)), ["E payload-file-unlisted", "E oxum-mismatch"]);
}

#[test]
fn a_listed_file_of_the_macos_archiver_is_payload() {
    let mut bag = Bag::good("1.0");
    bag.files.insert("data/._a.csv".to_owned(), APPLE_DOUBLE.to_vec());
    bag.relist();
    bag.reoxum();
    bag.seal();
    assert_eq!(found(bag.tar("bag/")), [] as [&str; 0]);
    assert_eq!(found(bag.zip("bag/")), [] as [&str; 0]);
}

#[test]
fn backslashes_separate_names_unless_the_bag_has_slashes_too() {
    let files = with(&Bag::good("1.0"), "bag/", &[]);
    let windows: Vec<(String, Vec<u8>)> =
        files.iter().map(|(path, bytes)| (path.replace('/', "\\"), bytes.clone())).collect();
    assert_eq!(found(zip_of(&windows, &Oddity::default())), ["W archive-backslash"]);
    let unix = || Oddity { system: 3, ..Oddity::default() };
    assert_eq!(found(zip_of(&windows, &unix())), ["W archive-backslash"]);
    let tar = read(tar_of(&windows)).unwrap();
    assert!(tar.errors().any(|fault| fault.code == bagit::FaultCode::ArchiveBackslash), "{:#?}", tar.faults);
    let mut named = Bag::good("1.0");
    named.add_payload("data/x\\y.csv", "1\n");
    named.seal();
    assert_eq!(found(zip_of(&with(&named, "bag/", &[]), &unix())), ["W name-not-portable"]);
    // Such a path could still leave the bag.
    let mut leaving = windows;
    leaving.push(("bag\\..\\..\\x".to_owned(), b"x".to_vec()));
    assert!(read(zip_of(&leaving, &Oddity::default())).unwrap().has(bagit::FaultCode::PathEscapes));
}

#[test]
fn the_unicode_path_field_names_the_file_if_its_checksum_is_right() {
    let mut bag = Bag::good("1.0");
    bag.add_payload("data/Gr\u{f6}\u{df}e.csv", "1\n");
    bag.seal();
    let files = with(&bag, "bag/", &[]);
    let plain: fn(&str) -> Vec<u8> =
        |path| path.replace(|character: char| !character.is_ascii(), "?").into_bytes();
    let odd = Oddity { plain_name: Some(plain), ..Oddity::default() };
    assert_eq!(found(zip_of(&files, &odd)), [] as [&str; 0]);
    let report = read(zip_of(&files, &Oddity { stale: true, ..odd })).unwrap();
    assert!(report.has(bagit::FaultCode::PayloadFileMissing), "{:#?}", report.faults);
}

#[test]
fn an_empty_payload_needs_no_entry_but_a_missing_one_is_a_fault() {
    let mut bag = Bag::good("1.0");
    bag.files.retain(|path, _| !path.starts_with("data/"));
    bag.relist();
    bag.reoxum();
    bag.seal();
    for front in [Front::Tar, Front::TarGz, Front::Zip] {
        let report = bag.validate(front, crate::bag::Accept::Strict);
        assert!(report.valid, "{front:?}: {:#?}", report.faults);
    }
    let directory = bag.validate(Front::Directory, crate::bag::Accept::Strict);
    assert!(directory.has(bagit::FaultCode::PayloadDirectoryMissing));
    // A manifest that lists a file promises a payload.
    let mut missing = Bag::good("1.0");
    missing.files.retain(|path, _| !path.starts_with("data/"));
    missing.seal();
    let report = missing.validate(Front::Tar, crate::bag::Accept::Strict);
    assert!(
        report.has(bagit::FaultCode::PayloadDirectoryMissing)
            && report.has(bagit::FaultCode::PayloadFileMissing)
    );
}

#[test]
fn a_bag_that_is_deeper_in_the_archive_is_named() {
    let bag = Bag::good("1.0");
    for base in ["outer/bag/", "a/b/c/"] {
        for bytes in [bag.tar(base), bag.zip(base)] {
            let report = read(bytes).unwrap();
            let deep: Vec<_> =
                report.faults.iter().filter(|fault| fault.code == bagit::FaultCode::BagTooDeep).collect();
            assert_eq!(deep.len(), 1, "{:#?}", report.faults);
            assert!(base.contains(deep[0].path.as_deref().unwrap()), "{:?}", deep[0].path);
            assert_eq!(graded(deep[0]), "E bag-too-deep");
        }
    }
    let work = tempfile::tempdir().unwrap();
    bag.write(&work.path().join("bag"));
    let report = bagit::validate_directory(
        work.path(),
        &ScanOptions::default(),
        &CheckOptions::default(),
        &NoProgress,
    );
    assert!(report.unwrap().has(bagit::FaultCode::BagTooDeep));
}

#[test]
fn exactly_the_limit_of_entries_is_accepted() {
    let bag = Bag::good("1.0");
    let mut options = ScanOptions::default();
    options.limits.entries = bag.files.len() as u64;
    let check = CheckOptions::default();
    for bytes in [bag.tar(""), bag.zip("")] {
        assert!(validate_archive(Cursor::new(bytes), &options, &check, &NoProgress).unwrap().valid);
    }
    let work = tempfile::tempdir().unwrap();
    bag.write(work.path());
    // In a directory, `data`, `data/sub` and `metadata` count too.
    options.limits.entries += 3;
    assert!(bagit::validate_directory(work.path(), &options, &check, &NoProgress).unwrap().valid);
    options.limits.entries -= 1;
    let result = bagit::validate_directory(work.path(), &options, &check, &NoProgress);
    assert!(matches!(result, Err(Error::Limit { .. })), "{result:?}");
}

#[test]
fn files_that_are_no_archives_are_named() {
    let error =
        b"<?xml version=\"1.0\"?>\n<error detailCode=\"1400\" errorCode=\"401\" name=\"NotAuthorized\"/>";
    let cases: [(&[u8], &str); 8] = [
        (b"", "an empty file"),
        (error, "NotAuthorized"),
        (b"<!DOCTYPE html><title>Sign in</title>", "HTML"),
        (b"\xFD7zXZ\0\0\x04", "xz"),
        (b"BZh91AY&SY", "bzip2"),
        (b"7z\xBC\xAF\x27\x1C\0\x04", "7z"),
        (b"Rar!\x1A\x07\x01\0", "RAR"),
        (b"/tmp/tmp8f2k.zip\n", "/tmp/tmp8f2k.zip"),
    ];
    for (bytes, expected) in cases {
        let result = read(bytes.to_vec());
        let Err(Error::NotAnArchive { found }) = result else { panic!("{expected}: {result:?}") };
        assert!(found.contains(expected), "{expected}: {found}");
    }
}

#[expect(clippy::print_stdout, reason = "a test that does not run says so")]
fn skipped() {
    println!("skipped: this machine has no GNU tar");
}

/// Runs GNU tar in a directory, if the machine has it. Returns the archive.
fn gnu_tar(directory: &Path, options: &[&str]) -> Option<Vec<u8>> {
    let version = Command::new("tar").arg("--version").output().ok()?;
    if !String::from_utf8_lossy(&version.stdout).contains("GNU tar") {
        return None;
    }
    let output =
        Command::new("tar").current_dir(directory).args(options).args(["-cf", "-", "bag"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(output.stdout)
}

#[test]
fn sparse_files_of_gnu_tar_are_read_with_their_holes() {
    let work = tempfile::tempdir().unwrap();
    let root = work.path().join("bag");
    let mut bag = Bag::good("1.0");
    let mut holey = vec![0; 3 << 20];
    holey[..5].copy_from_slice(b"begin");
    holey[(1 << 20)..(1 << 20) + 6].copy_from_slice(b"middle");
    bag.files.insert("data/holes.bin".to_owned(), holey.clone());
    // Enough segments for more than one extension block of the old format.
    let many: Vec<u8> = (0..60_u8).flat_map(|n| [vec![n + 1; 4096], vec![0; 8192]].concat()).collect();
    bag.files.insert("data/many.bin".to_owned(), many);
    bag.files.insert("data/only-a-hole.bin".to_owned(), vec![0; 1 << 20]);
    bag.relist();
    bag.reoxum();
    bag.seal();
    bag.write(&root);
    for name in ["holes.bin", "many.bin", "only-a-hole.bin"] {
        let path = root.join("data").join(name);
        let bytes = fs::read(&path).unwrap();
        let mut file = fs::File::create(&path).unwrap();
        for block in bytes.chunks(4096) {
            use std::io::{Seek, SeekFrom};
            if block.iter().all(|byte| *byte == 0) {
                file.seek(SeekFrom::Current(block.len() as i64)).unwrap();
            } else {
                file.write_all(block).unwrap();
            }
        }
        file.set_len(bytes.len() as u64).unwrap();
    }
    let formats: [&[&str]; 4] = [
        &["--format=gnu", "--sparse"],
        &["--format=posix", "--sparse", "--sparse-version=0.0"],
        &["--format=posix", "--sparse", "--sparse-version=0.1"],
        &["--format=posix", "--sparse", "--sparse-version=1.0"],
    ];
    for format in formats {
        let Some(bytes) = gnu_tar(work.path(), format) else {
            return skipped();
        };
        let size: usize = bag.files.values().map(Vec::len).sum();
        assert!(
            bytes.len() < size / 2,
            "{format:?}: the file system keeps no holes, or tar does not see them"
        );
        assert_eq!(found(bytes.clone()), [] as [&str; 0], "{format:?}");
        assert!(unpacked(bytes.clone()).2.valid, "{format:?}");
        // A wrong byte in a segment is found.
        let mut damaged = bytes;
        let at = damaged.windows(6).position(|window| window == b"middle").unwrap();
        damaged[at] = b'M';
        assert_eq!(
            found(damaged),
            ["E payload-checksum-mismatch", "E payload-checksum-mismatch"],
            "{format:?}"
        );
    }
}

#[cfg(unix)]
#[test]
fn hard_links_of_gnu_tar_count_as_the_file_that_they_name() {
    let work = tempfile::tempdir().unwrap();
    let root = work.path().join("bag");
    let mut bag = Bag::good("1.0");
    bag.add_payload("data/sub/zz-link.csv", "depth,temperature\n15,7.2\n");
    bag.seal();
    bag.write(&root);
    fs::remove_file(root.join("data/sub/zz-link.csv")).unwrap();
    fs::hard_link(root.join("data/a.csv"), root.join("data/sub/zz-link.csv")).unwrap();
    // A tag file may be one too.
    fs::write(root.join("metadata/copy.txt"), "x").unwrap();
    let Some(bytes) = gnu_tar(work.path(), &[]) else {
        return skipped();
    };
    assert!(bytes.chunks(512).any(|block| block.get(156) == Some(&b'1')), "the archive has a hard link");
    assert_eq!(found(bytes.clone()), ["I tag-file-unlisted"]);
    let (_work, streamed, on_disk) = unpacked(bytes);
    assert!(streamed.valid && on_disk.valid, "{:#?}", on_disk.faults);
}

#[test]
fn a_hard_link_to_a_later_or_missing_entry_or_to_itself_is_a_fault() {
    for target in ["bag/zz-later", "bag/nothing", "bag/data/link"] {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Link);
        header.set_size(0);
        builder.append_link(&mut header, "bag/data/link", target).unwrap();
        let mut bytes = builder.into_inner().unwrap();
        bytes.truncate(bytes.len() - 1024);
        bytes.extend_from_slice(&tar_of(&with(&Bag::good("1.0"), "bag/", &[("bag/zz-later", b"x")])));
        let report = read(bytes).unwrap();
        assert!(report.has(bagit::FaultCode::ArchiveLink) && !report.valid, "{target}: {:#?}", report.faults);
    }
}

/// Unpacks an archive, and validates the result as a directory.
fn unpacked(bytes: Vec<u8>) -> (tempfile::TempDir, Report, Report) {
    let work = tempfile::tempdir().unwrap();
    let scan = unpack_archive(Cursor::new(bytes), work.path(), &ScanOptions::default(), &NoProgress).unwrap();
    let check = CheckOptions::default();
    let streamed = bagit::check(&scan.inventory, &scan.tag_files, &check);
    let root = work.path().join(scan.base_directory.unwrap_or_default());
    let on_disk = bagit::validate_directory(&root, &ScanOptions::default(), &check, &NoProgress).unwrap();
    (work, streamed, on_disk)
}

#[test]
fn an_unpacked_bag_is_the_bag_of_the_archive() {
    let mut bag = Bag::good("1.0");
    bag.directories.insert("data/hollow".to_owned());
    for base in ["", "bag/"] {
        let noise = [("__MACOSX/._bag", APPLE_DOUBLE), ("bag/data/._a.csv", APPLE_DOUBLE)];
        let noise = if base.is_empty() { &noise[..1] } else { &noise[..] };
        for bytes in [tar_of(&with(&bag, base, noise)), zip_of(&with(&bag, base, noise), &Oddity::default())]
        {
            let (work, streamed, on_disk) = unpacked(bytes);
            assert!(streamed.valid && on_disk.valid, "{:#?}", streamed.faults);
            let root = work.path().join(base);
            for (path, bytes) in &bag.files {
                assert_eq!(&fs::read(root.join(path)).unwrap(), bytes, "{path}");
            }
            assert!(!root.join("data/._a.csv").exists() && !work.path().join("__MACOSX").exists());
        }
        assert!(unpacked(bag.tar(base)).0.path().join(base).join("data/hollow").is_dir());
    }
}

#[test]
fn unpacking_writes_no_link_and_nothing_outside() {
    let mut builder = tar::Builder::new(Vec::new());
    let link = |builder: &mut tar::Builder<Vec<u8>>, kind, path: &str, target: &str| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(0);
        builder.append_link(&mut header, path, target).unwrap();
    };
    link(&mut builder, tar::EntryType::Symlink, "bag/data/out", "/tmp");
    link(&mut builder, tar::EntryType::Link, "bag/data/hard", "bag/nothing");
    let mut bytes = builder.into_inner().unwrap();
    bytes.truncate(bytes.len() - 1024);
    let more: [(&str, &[u8]); 2] = [("bag/data/out/x.csv", b"x"), ("bag/data/a.csv", b"second")];
    let mut outside = tar::Header::new_gnu();
    outside.as_mut_bytes()[..18].copy_from_slice(b"bag/../../out/side");
    outside.set_size(0);
    outside.set_cksum();
    bytes.extend_from_slice(outside.as_bytes());
    bytes.extend_from_slice(&tar_of(&with(&Bag::good("1.0"), "bag/", &more)));
    let (work, streamed, _) = unpacked(bytes);
    for code in ["archive-link", "path-escapes", "archive-duplicate-entry"] {
        assert!(streamed.errors().any(|fault| fault.code.as_str() == code), "{code}: {:#?}", streamed.faults);
    }
    assert!(fs::symlink_metadata(work.path().join("bag/data/out")).unwrap().is_dir());
    assert_ne!(fs::read(work.path().join("bag/data/a.csv")).unwrap(), b"second");
    assert!(!work.path().join("bag/data/hard").exists());
    let result = unpack_archive(
        Cursor::new(Bag::good("1.0").tar("")),
        work.path(),
        &ScanOptions::default(),
        &NoProgress,
    );
    assert!(matches!(result, Err(Error::TargetNotEmpty(_))), "{result:?}");
}
