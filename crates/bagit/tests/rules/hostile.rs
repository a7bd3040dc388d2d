//! Archives that lie, explode, or hold what a bag must not.

use std::io::{Cursor, Read, Write};

use bagit::{CheckOptions, Error, NoProgress, Report, ScanOptions, validate_tar, validate_zip};
use proptest::prelude::{any, proptest};

use crate::bag::{Accept, Bag, digest};
use crate::graded;

fn read_tar(bytes: impl Read) -> Result<Report, Error> {
    validate_tar(bytes, &ScanOptions::default(), &Accept::Repairable.options(), &NoProgress)
}

fn read_zip(bytes: &[u8]) -> Result<Report, Error> {
    validate_zip(Cursor::new(bytes), &ScanOptions::default(), &Accept::Repairable.options(), &NoProgress)
}

fn found(report: &Report) -> Vec<String> {
    report.faults.iter().map(graded).collect()
}

/// Builds a tar entry with any name, kind and size, whatever sense they make.
fn entry(name: &[u8], kind: u8, content: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name);
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_mode(0o644);
    header.set_size(content.len() as u64);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

/// Puts more entries behind those of a good bag, and the end of the archive after them.
fn tar_with(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Bag::good("1.0").tar("bag/");
    bytes.truncate(bytes.len() - 1024);
    entries.iter().for_each(|entry| bytes.extend_from_slice(entry));
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

#[test]
fn tar_entries_that_no_bag_has() {
    let pax_path = *b"28 path=bag/data/../../../x\n";
    type Case<'a> = (&'a str, &'a [Vec<u8>], &'a [&'a str]);
    let cases: [Case<'_>; 14] = [
        ("dots", &[entry(b"bag/data/../../../x", b'0', b"x")], &["E path-escapes"]),
        ("absolute", &[entry(b"/tmp/x", b'0', b"x")], &["E path-escapes"]),
        ("a drive", &[entry(b"C:\\x", b'0', b"x")], &["E path-escapes"]),
        (
            "a path in an extension header",
            &[entry(b"pax", b'x', &pax_path), entry(b"bag/data/a", b'0', b"x")],
            &["E path-escapes"],
        ),
        ("symbolic link", &[entry(b"bag/data/link", b'2', b"")], &["E archive-link"]),
        ("hard link", &[entry(b"bag/data/link", b'1', b"")], &["E archive-link"]),
        ("device", &[entry(b"bag/data/null", b'3', b"")], &["E special-file"]),
        ("fifo", &[entry(b"bag/data/fifo", b'6', b"")], &["E special-file"]),
        ("duplicate", &[entry(b"bag/data/a.csv", b'0', b"other")], &["E archive-duplicate-entry"]),
        ("second root", &[entry(b"other/x", b'0', b"x")], &["E archive-several-roots"]),
        ("file at the root", &[entry(b"x", b'0', b"x")], &["E archive-several-roots"]),
        ("name that is not UTF-8", &[entry(b"bag/data/caf\xE9", b'0', b"x")], &["E name-not-utf8"]),
        ("directories are fine", &[entry(b"bag/", b'5', b""), entry(b"./bag/data/", b'5', b"")], &[]),
        ("a link with content", &[entry(b"bag/data/link", b'2', &[7; 2000])], &["E archive-link"]),
    ];
    for (name, entries, expected) in cases {
        let report = read_tar(&*tar_with(entries)).unwrap();
        assert_eq!(found(&report), expected, "{name}: {:#?}", report.faults);
    }
}

#[test]
fn tar_streams_that_end_wrongly() {
    let good = Bag::good("1.0").tar("bag/");
    let mut trailing = good.clone();
    trailing.extend_from_slice(b"more");
    assert_eq!(found(&read_tar(&*trailing).unwrap()), ["W archive-trailing-data"]);
    let mut padded = good.clone();
    padded.resize(padded.len() + 9000, 0);
    assert_eq!(found(&read_tar(&*padded).unwrap()), [] as [&str; 0]);
    for length in [600, 1000, 1100] {
        let result = read_tar(&good[..length]);
        assert!(matches!(result, Err(Error::Archive { format: "tar", .. })), "{length}: {result:?}");
    }
    assert!(matches!(read_tar(&[b'x'; 5000][..]), Err(Error::Archive { .. })));
    assert!(read_tar(&b""[..]).unwrap().has(bagit::FaultCode::BagitTxtMissing));
    let sparse = read_tar(&*tar_with(&[entry(b"bag/data/holes", b'S', b"")]));
    assert!(matches!(&sparse, Err(Error::Archive { .. })), "{sparse:?}");
}

#[test]
fn where_the_bag_is_in_an_archive() {
    for (version, base, expected) in [
        ("1.0", "", &[][..]),
        ("0.97", "", &["W archive-no-base-directory"]),
        ("0.97", "any name/", &[]),
        ("1.0", "./bag/", &[]),
    ] {
        let bag = Bag::good(version);
        assert_eq!(found(&read_tar(&*bag.tar(base)).unwrap()), expected, "{version} {base:?} tar");
        assert_eq!(found(&read_zip(&bag.zip(base)).unwrap()), expected, "{version} {base:?} zip");
    }
}

#[test]
fn a_stream_proves_what_it_hashed_and_nothing_more() {
    let mut bag = Bag::good("1.0");
    let payload = ["data/a.csv", "data/sub/b c.csv", "data/sub/d.txt"];
    let unusual: String = payload
        .iter()
        .map(|path| format!("{}  {path}\n", digest(bagit::Algorithm::Sha224, &bag.files[*path])))
        .collect();
    bag.put("manifest-sha224.txt", &unusual);
    bag.seal();
    let all = ["E checksum-not-computed", "I tag-manifest-algorithms"];
    assert_eq!(found(&read_tar(&*bag.tar("bag/")).unwrap()), all, "payload comes before the manifests");
    let mut options = ScanOptions::default();
    options.extra_algorithms.insert(bagit::Algorithm::Sha224);
    let hinted = validate_tar(&*bag.tar("bag/"), &options, &CheckOptions::default(), &NoProgress).unwrap();
    assert_eq!(found(&hinted), &all[1..]);
    // With the tag files first the stream says itself what it needs.
    let first = Bag {
        files: bag.files.clone().into_iter().filter(|(path, _)| !path.starts_with("data/")).collect(),
        ..Bag::good("1.0")
    };
    let rest = Bag {
        files: bag.files.into_iter().filter(|(path, _)| path.starts_with("data/")).collect(),
        ..Bag::good("1.0")
    };
    let mut bytes = first.tar("bag/");
    bytes.truncate(bytes.len() - 1024);
    bytes.extend_from_slice(&rest.tar("bag/"));
    assert_eq!(found(&read_tar(&*bytes).unwrap()), &all[1..]);
}

fn gzip(mut fill: impl FnMut(&mut flate2::write::GzEncoder<Vec<u8>>)) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    fill(&mut encoder);
    encoder.finish().unwrap()
}

#[test]
fn archives_that_explode_are_stopped() {
    let zeros = vec![0; 1 << 20];
    let mut large = tar::Header::new_ustar();
    large.set_path("bag/data/zeros").unwrap();
    large.set_size(300 << 20);
    large.set_cksum();
    let bomb = gzip(|encoder| {
        encoder.write_all(large.as_bytes()).unwrap();
        (0..300).for_each(|_| encoder.write_all(&zeros).unwrap());
    });
    assert!(matches!(read_tar(&*bomb), Err(Error::Limit { limit: 200, .. })));
    let mut options = ScanOptions::default();
    options.limits.expansion = 2000;
    assert!(validate_tar(&*bomb, &options, &CheckOptions::default(), &NoProgress).is_ok());
    large.set_entry_type(tar::EntryType::XHeader);
    large.set_cksum();
    let names = [large.as_bytes().to_vec(), vec![b'x'; 5 << 20]].concat();
    assert!(matches!(read_tar(&*names), Err(Error::Limit { .. })), "a name of five megabytes");
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    writer.start_file("bag/data/zeros", zip::write::SimpleFileOptions::default()).unwrap();
    (0..100).for_each(|_| writer.write_all(&zeros).unwrap());
    let bomb = writer.finish().unwrap().into_inner();
    assert!(matches!(read_zip(&bomb), Err(Error::Limit { limit: 200, .. })));
}

#[test]
fn limits_hold_for_archives() {
    let bag = Bag::good("1.0");
    let mut few = ScanOptions::default();
    few.limits.entries = 4;
    let strict = CheckOptions::default();
    assert!(matches!(
        validate_tar(&*bag.tar(""), &few, &strict, &NoProgress),
        Err(Error::Limit { limit: 4, .. })
    ));
    assert!(matches!(
        validate_zip(Cursor::new(bag.zip("")), &few, &strict, &NoProgress),
        Err(Error::Limit { limit: 4, .. })
    ));
    let mut small = ScanOptions::default();
    small.limits.tag_file_bytes = 100;
    let too_large = |report: Report| report.errors().any(|fault| fault.code.as_str() == "tag-file-too-large");
    assert!(too_large(validate_tar(&*bag.tar(""), &small, &strict, &NoProgress).unwrap()));
    assert!(too_large(validate_zip(Cursor::new(bag.zip("")), &small, &strict, &NoProgress).unwrap()));
}

/// Replaces bytes in place, in the first or the last place where they are.
fn patch(bytes: &mut [u8], from: &[u8], to: &[u8], last: bool) {
    assert_eq!(from.len(), to.len());
    let mut places = (0..bytes.len() - from.len()).filter(|at| bytes[*at..].starts_with(from));
    let at = if last { places.next_back() } else { places.next() }.expect("the bytes are there");
    bytes[at..at + to.len()].copy_from_slice(to);
}

#[test]
fn zip_files_that_lie() {
    let good = Bag::good("1.0").zip("bag/");
    let lie = |from: &[u8], to: &[u8], last: bool| {
        let mut bytes = good.clone();
        patch(&mut bytes, from, to, last);
        read_zip(&bytes)
    };
    let differing = lie(b"bag/data/a.csv", b"bag/data/b.csv", false).unwrap();
    assert_eq!(found(&differing), ["E archive-names-differ"]);
    let escaping = lie(b"bag/metadata/eml.xml", b"bag/../../../eml.xml", true).unwrap();
    assert!(escaping.has(bagit::FaultCode::PathEscapes), "{escaping:#?}");
    let doubled = lie(b"bag/data/sub/d.txt", b"bag/data/sub/d.txt", true).unwrap();
    assert!(doubled.valid);
    let central = good.windows(4).rposition(|window| window == b"PK\x01\x02").unwrap();
    let mut overlapping = good.clone();
    overlapping[central + 42..central + 46].copy_from_slice(&0_u32.to_le_bytes());
    assert!(matches!(read_zip(&overlapping), Err(Error::Archive { format: "zip", .. })));
    let mut encrypted = good.clone();
    encrypted[central + 8] |= 1;
    let report = read_zip(&encrypted);
    assert!(!report.is_ok_and(|report| report.valid));
    assert!(matches!(read_zip(b"PK nonsense"), Err(Error::Archive { .. })));
    assert!(matches!(read_zip(&good[..good.len() / 2]), Err(Error::Archive { .. })));
}

#[test]
fn zip_entries_with_one_name_or_damaged_bytes() {
    let mut bag = Bag::good("1.0");
    bag.add_payload("data/x1", "first");
    bag.add_payload("data/x2", "other");
    bag.seal();
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (path, bytes) in &bag.files {
        writer.start_file(path.as_str(), stored).unwrap();
        writer.write_all(bytes).unwrap();
    }
    let good = writer.finish().unwrap().into_inner();
    assert!(read_zip(&good).unwrap().valid);
    let mut doubled = good.clone();
    for at in (0..good.len() - 7)
        .filter(|at| good[*at..].starts_with(b"data/x2") && !good[at - 2..].starts_with(b"  "))
    {
        doubled[at..at + 7].copy_from_slice(b"data/x1");
    }
    let report = read_zip(&doubled).unwrap();
    assert!(report.has(bagit::FaultCode::ArchiveDuplicateEntry) && !report.valid, "{:#?}", report.faults);
    let mut damaged = good;
    patch(&mut damaged, b"25,6.9", b"25,6.8", false);
    assert_eq!(found(&read_zip(&damaged).unwrap()), ["E unreadable-file"], "the CRC is wrong");
}

#[test]
fn zip_entries_that_no_bag_has() {
    let options = zip::write::SimpleFileOptions::default();
    type Add = fn(&mut zip::ZipWriter<Cursor<Vec<u8>>>, zip::write::SimpleFileOptions);
    let cases: [(&str, Add, &str); 4] = [
        (
            "link",
            |zip, options| zip.add_symlink("bag/data/link", "/etc/passwd", options).unwrap(),
            "E archive-link",
        ),
        (
            "second root",
            |zip, options| zip.start_file("other/x", options).unwrap(),
            "E archive-several-roots",
        ),
        ("dots", |zip, options| zip.start_file("bag/data/../../../x", options).unwrap(), "E path-escapes"),
        ("absolute", |zip, options| zip.start_file("/tmp/x", options).unwrap(), "E path-escapes"),
    ];
    for (name, add, expected) in cases {
        let mut writer = zip::ZipWriter::new_append(Cursor::new(Bag::good("1.0").zip("bag/"))).unwrap();
        add(&mut writer, options);
        let report = read_zip(&writer.finish().unwrap().into_inner()).unwrap();
        assert_eq!(found(&report), [expected], "{name}: {:#?}", report.faults);
    }
}

proptest! {
    #[test]
    fn no_damage_makes_the_front_ends_panic(at in any::<proptest::sample::Index>(), byte in any::<u8>(), cut in any::<proptest::sample::Index>()) {
        let bag = Bag::good("1.0");
        for bytes in [bag.tar("bag/"), bag.zip("bag/")] {
            let mut damaged = bytes.clone();
            damaged[at.index(bytes.len())] = byte;
            let _ = read_tar(&*damaged);
            let _ = read_zip(&damaged);
            damaged.truncate(cut.index(bytes.len()));
            let _ = read_tar(&*damaged);
            let _ = read_zip(&damaged);
        }
    }
}
