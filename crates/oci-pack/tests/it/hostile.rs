//! Hostile and broken archives: one case for each refusal.

use oci_pack::ArchiveErrorKind::{
    CompressionRatio, Corrupt, Duplicate, EntryTooLarge, HeaderTooLarge, LinkTarget, NameClash, NotUtf8,
    OutsideTitle, ThroughNonDirectory, TooManyEntries, TotalTooLarge, TrailingData, Truncated, UnknownFormat,
    UnsafePath, UnsupportedType,
};
use oci_pack::{ArchiveErrorKind, Compression, ReadOptions, UnpackOptions, unpack_into};

use crate::support::{HandTar, gzip, noise, pack_files, read_all};
use crate::unpack::Accepting;

fn tar() -> HandTar {
    HandTar::default().directory("p")
}

type Case = (&'static str, Vec<u8>, ArchiveErrorKind, Option<&'static str>);

fn path_cases() -> Vec<Case> {
    let file = |name: &str| tar().file(name, b"x").end();
    let latin1 = tar().entry(b'0', b"p/Gr\xf6\xdfe", b"", b"x").end();
    let named_by_pax = |name: &[u8]| tar().pax(&[("path", name)]).file("p/harmless", b"x").end();
    let named_by_gnu = tar().entry(b'L', b"././@LongLink", b"", b"p/../../evil\0").file("p/a", b"x").end();
    let cut_name = named_by_pax(&[b"p/".as_slice(), &b"n".repeat(5000)].concat());
    vec![
        ("absolute name", file("/etc/passwd"), UnsafePath, Some("/etc/passwd")),
        ("parent", file("p/../evil"), UnsafePath, Some("p/../evil")),
        ("parent alone", file(".."), UnsafePath, Some("..")),
        ("parent by backslash", file("p/..\\evil"), UnsafePath, Some("p/..\\evil")),
        ("drive", file("C:\\evil"), UnsafePath, Some("C:\\evil")),
        ("drive with slash", file("C:/evil"), UnsafePath, Some("C:/evil")),
        ("network path", file("\\\\server\\evil"), UnsafePath, Some("\\\\server\\evil")),
        ("no name", file(""), UnsafePath, Some("")),
        ("NUL in a PAX name", named_by_pax(b"p/a\0b"), UnsafePath, Some("p/a\u{fffd}b")),
        ("parent in a PAX name", named_by_pax(b"p/../evil"), UnsafePath, Some("p/../evil")),
        ("parent in a GNU name", named_by_gnu, UnsafePath, Some("p/../../evil")),
        ("name of 5000 bytes", cut_name, UnsafePath, None),
        ("wrong UTF-8", latin1, NotUtf8, Some("p/Gr\u{fffd}\u{fffd}e")),
        ("outside of the title", file("q/a"), OutsideTitle, Some("q/a")),
        ("title as a prefix of a name", file("pp/a"), OutsideTitle, Some("pp/a")),
        ("title as a file", HandTar::default().file("p", b"x").end(), ThroughNonDirectory, Some("p")),
    ]
}

fn type_and_name_cases() -> Vec<Case> {
    let special = |type_flag| tar().entry(type_flag, b"p/s", b"", b"").end();
    let link = |target: &[u8]| tar().entry(b'2', b"p/l", target, b"").end();
    let hard_link = |target: &[u8]| tar().entry(b'1', b"p/h", target, b"").end();
    let twice = |a: &str, b: &str| tar().file(a, b"1").file(b, b"2").end();
    let through_link = tar().entry(b'2', b"p/l", b"d", b"").file("p/l/evil", b"x").end();
    let sparse = tar().pax(&[("GNU.sparse.major", b"1")]).file("p/s", b"x").end();
    let global = HandTar::default().entry(b'g', b"g", b"", b"15 path=p/evil\n").file("p/a", b"x").end();
    let replaced = tar().file("p/a", b"1").entry(b'2', b"p/a", b"b", b"").end();
    let long_pax = tar().pax(&[("comment", &[b'c'; 70_000])]).file("p/a", b"x").end();
    let many_pax = (0..9).fold(tar(), |tar, _| tar.pax(&[("comment", b"c")])).file("p/a", b"x").end();
    vec![
        ("character device", special(b'3'), UnsupportedType, Some("p/s")),
        ("block device", special(b'4'), UnsupportedType, Some("p/s")),
        ("FIFO", special(b'6'), UnsupportedType, Some("p/s")),
        ("GNU sparse file", special(b'S'), UnsupportedType, Some("p/s")),
        ("unknown type", special(b'Z'), UnsupportedType, Some("p/s")),
        ("PAX sparse file", sparse, UnsupportedType, Some("p/s")),
        ("file with a slash", tar().file("p/a/", b"x").end(), UnsupportedType, Some("p/a/")),
        ("global header with a name", global, UnsupportedType, None),
        ("absolute link", link(b"/etc/hostname"), LinkTarget, Some("p/l")),
        ("link to the parent", link(b".."), LinkTarget, Some("p/l")),
        ("link far out", link(b"../../../etc"), LinkTarget, Some("p/l")),
        ("link through a name", link(b"d/.."), LinkTarget, Some("p/l")),
        ("link to nothing", link(b""), LinkTarget, Some("p/l")),
        ("hard link to the outside", hard_link(b"/etc/passwd"), LinkTarget, Some("p/h")),
        ("hard link to a sibling of the title", hard_link(b"q/a"), LinkTarget, Some("p/h")),
        ("hard link to what never came", hard_link(b"p/a"), LinkTarget, Some("p/h")),
        ("hard link to a directory", hard_link(b"p"), LinkTarget, Some("p/h")),
        ("hard link to itself", hard_link(b"p/h"), LinkTarget, Some("p/h")),
        ("path through a link", through_link, ThroughNonDirectory, Some("p/l/evil")),
        ("path through a file", twice("p/a", "p/a/b"), ThroughNonDirectory, Some("p/a/b")),
        ("same name", twice("p/a", "p/a"), Duplicate, Some("p/a")),
        ("same name, written otherwise", twice("p/a", "./p//a"), Duplicate, Some("./p//a")),
        ("file, then a link of its name", replaced, Duplicate, Some("p/a")),
        ("file in place of a directory", twice("p/a/b", "p/a"), Duplicate, Some("p/a")),
        ("case", twice("p/data", "p/Data"), NameClash, Some("p/Data")),
        ("case of a directory", twice("p/data/a", "p/Data/b"), NameClash, Some("p/Data/b")),
        ("normalisation", twice("p/\u{e9}", "p/e\u{301}"), NameClash, Some("p/e\u{301}")),
        ("long extended header", long_pax, HeaderTooLarge, None),
        ("many extended headers", many_pax, HeaderTooLarge, None),
    ]
}

fn stream_cases() -> Vec<Case> {
    let whole = tar().file("p/a", &[b'x'; 2000]).end();
    let compressed = gzip(&whole);
    let with = |position: usize, byte: u8| {
        let mut bytes = whole.clone();
        bytes[position] = byte;
        bytes
    };
    let damaged = |mut bytes: Vec<u8>, position: usize| {
        bytes[position] ^= 0x55;
        bytes
    };
    let one_zero_block = [&tar().0[..], &[0; 512], &tar().file("p/a", b"x").end()].concat();
    let no_entry = tar().pax(&[("path", b"p/a")]).end();
    let malformed = tar().entry(b'x', b"x", b"", b"12 path=p/a").file("p/a", b"x").end();
    let huge = tar().pax(&[("size", b"9223372036854775807")]).file("p/a", b"").end();
    let zstd = zstd::encode_all(&whole[..], 1).unwrap();
    vec![
        ("nothing", Vec::new(), Truncated, None),
        ("no archive", b"PK\x03\x04 and so on".repeat(100), UnknownFormat, None),
        ("text", b"not an archive".to_vec(), UnknownFormat, None),
        ("cut in a header", whole[..700].to_vec(), Truncated, None),
        ("cut in a file", whole[..1500].to_vec(), Truncated, Some("p/a")),
        ("cut in padding", whole[..1024 + 2001].to_vec(), Truncated, Some("p/a")),
        ("no closing blocks", whole[..whole.len() - 1024].to_vec(), Truncated, None),
        ("size beyond the stream", huge, EntryTooLarge, Some("p/a")),
        ("gzip cut in its data", compressed[..compressed.len() - 20].to_vec(), Truncated, None),
        ("gzip cut in its trailer", compressed[..compressed.len() - 3].to_vec(), Truncated, None),
        ("zstd cut", zstd[..zstd.len() - 1].to_vec(), Truncated, None),
        ("gzip with a wrong checksum", damaged(compressed.clone(), compressed.len() - 6), Corrupt, None),
        ("gzip with a damaged byte", damaged(compressed.clone(), 12), Corrupt, None),
        ("gzip and something else", [&compressed[..], b"garbage of some length"].concat(), Corrupt, None),
        ("damaged header", with(520, b'!'), Corrupt, None),
        ("one zero block between entries", one_zero_block, Corrupt, None),
        ("extended header without an entry", no_entry, Corrupt, None),
        ("malformed extended header", malformed, Corrupt, None),
        ("garbage after the end", [&whole[..], b"garbage"].concat(), TrailingData, None),
        ("a second archive", [&whole[..], &whole].concat(), TrailingData, None),
        ("garbage after the end, compressed", gzip(&[&whole[..], b"g"].concat()), TrailingData, None),
    ]
}

/// Reading refuses every case with its kind and names the entry, and unpacking leaves nothing partial behind.
#[test]
fn every_refusal_has_its_kind_and_names_its_entry() {
    for (what, archive, kind, entry) in [path_cases(), type_and_name_cases(), stream_cases()].concat() {
        let error = read_all(&archive, &ReadOptions::new("p")).expect_err(what);
        assert_eq!(error.kind(), kind, "{what}: {error}");
        if let Some(entry) = entry {
            assert_eq!(error.entry(), Some(entry), "{what}: {error}");
        }

        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("target");
        let unpacked = unpack_into(&target, &archive[..], &UnpackOptions::new("p"), &mut Accepting);
        assert!(unpacked.is_err(), "{what}");
        let outside: Vec<_> = std::fs::read_dir(directory.path()).unwrap().collect();
        assert!(outside.len() <= 1, "{what} wrote outside of its target");
        assert_no_leftovers(&target, what);
    }
}

/// No temporary file and no part of a file remains.
fn assert_no_leftovers(directory: &std::path::Path, what: &str) {
    for entry in std::fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert!(!name.starts_with(oci_pack::TEMPORARY_PREFIX), "{what} left {name}");
        let metadata = std::fs::symlink_metadata(&path).unwrap();
        if metadata.is_dir() {
            assert_no_leftovers(&path, what);
        } else {
            assert!(!metadata.is_symlink(), "{what} left the link {name}");
            // Whole files of these archives have one byte or two thousand.
            assert!([1, 2000].contains(&metadata.len()), "{what} left {name}");
        }
    }
}

#[test]
fn limits_are_kept() {
    type Change = fn(&mut ReadOptions);
    let archive = tar().file("p/a", &[1; 600]).file("p/b/c/d", &[2; 500]).end();
    let changes: [(Change, ArchiveErrorKind); 3] = [
        (|options| options.limits.entries = 3, TooManyEntries),
        (|options| options.limits.entry_size = 599, EntryTooLarge),
        (|options| options.limits.total_size = 1099, TotalTooLarge),
    ];
    for (change, kind) in changes {
        let mut options = ReadOptions::new("p");
        change(&mut options);
        assert_eq!(read_all(&archive, &options).unwrap_err().kind(), kind);
    }
    let mut options = ReadOptions::new("p");
    options.limits.entries = 4;
    options.limits.entry_size = 600;
    options.limits.total_size = 1100;
    assert!(read_all(&archive, &options).is_ok());
}

#[test]
fn repeated_directories_count_as_entries() {
    let archive = (0..100).fold(tar(), |tar, _| tar.directory("p/d")).end();
    let mut options = ReadOptions::new("p");
    options.limits.entries = 50;
    assert_eq!(read_all(&archive, &options).unwrap_err().kind(), TooManyEntries);
}

#[test]
fn bombs_are_stopped_early() {
    let zeros = vec![0; 80 << 20];
    for compression in [Compression::Gzip, Compression::Zstd] {
        let (_, bomb) = pack_files(&[("zeros".into(), zeros.clone())], compression, 2);
        let mut options = ReadOptions::new("pkg");
        let error = read_all(&bomb, &options).unwrap_err();
        assert_eq!(error.kind(), CompressionRatio, "{compression}");
        options.limits.ratio = None;
        assert!(read_all(&bomb, &options).is_ok(), "{compression}");
    }
    let below_the_floor = vec![0; 60 << 20];
    let (_, archive) = pack_files(&[("zeros".into(), below_the_floor)], Compression::Gzip, 2);
    assert!(read_all(&archive, &ReadOptions::new("pkg")).is_ok());
}

/// Zeros after the end inflate without end, and no header declares their size.
#[test]
fn padding_is_bounded_by_the_ratio() {
    let mut archive = tar().file("p/a", b"x").end();
    archive.resize(100 << 20, 0);
    let error = read_all(&gzip(&archive), &ReadOptions::new("p")).unwrap_err();
    assert_eq!(error.kind(), CompressionRatio);
}

#[test]
fn hard_links_count_as_content() {
    let content = noise(1, 1 << 20);
    let links = |count: u32| {
        let archive = (0..count).fold(tar().file("p/a", &content), |tar, number| {
            tar.entry(b'1', format!("p/{number}").as_bytes(), b"p/a", b"")
        });
        gzip(&archive.end())
    };
    let options = ReadOptions::new("p");
    assert_eq!(read_all(&links(200), &options).unwrap().1.content_size, 201 << 20);
    let error = read_all(&links(300), &options).unwrap_err();
    assert_eq!(error.kind(), CompressionRatio);
    assert!(error.to_string().contains("max-ratio"), "{error}");
    let mut options = ReadOptions::new("p");
    options.limits.ratio = None;
    options.limits.total_size = 200 << 20;
    assert_eq!(read_all(&links(200), &options).unwrap_err().kind(), TotalTooLarge);
}

#[test]
fn a_flipped_byte_anywhere_is_noticed() {
    let files = [("a".to_owned(), noise(1, 500)), ("b/c".to_owned(), b"words ".repeat(50))];
    let (packed, blob) = pack_files(&files, Compression::Gzip, 1);
    let mut unnoticed = 0;
    for position in 0..blob.len() {
        let mut damaged = blob.clone();
        damaged[position] ^= 0x10;
        match read_all(&damaged, &ReadOptions::new("pkg")) {
            Err(_) => {}
            // Bits without meaning: in the gzip header, and those that fill the last byte of a block.
            Ok((_, summary)) => {
                assert_eq!(summary.tar_digest.as_ref(), Some(&packed.tar_digest), "{position}");
                unnoticed += 1;
            }
        }
    }
    assert!(unnoticed < 16, "{unnoticed}");
}

proptest::proptest! {
    #[test]
    fn reading_never_panics(
        changes in proptest::collection::vec((0..4096_usize, proptest::prelude::any::<u8>()), 1..8),
        length in 0..5000_usize,
    ) {
        let mut archive = tar()
            .pax(&[("path", b"p/\xc3\xa9"), ("size", b"5")])
            .file("p/x", b"12345")
            .entry(b'2', b"p/l", b"x", b"")
            .entry(b'L', b"././@LongLink", b"", b"p/long\0")
            .file("p/y", b"1")
            .end();
        for (position, byte) in changes {
            let last = archive.len() - 1;
            archive[position.min(last)] = byte;
        }
        archive.truncate(length);
        // The headers have right checksums, so the reader reaches the fields behind them.
        for block in archive.chunks_exact_mut(512).filter(|block| block[257..262] == *b"ustar") {
            block[148..156].fill(b' ');
            let sum: u64 = block.iter().map(|&byte| u64::from(byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
        let _ = read_all(&archive, &ReadOptions::new("p"));
        let _ = read_all(&gzip(&archive), &ReadOptions::new("."));
    }
}
