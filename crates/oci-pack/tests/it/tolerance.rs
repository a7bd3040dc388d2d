//! Archives of other writers that the reader tolerates: odd but harmless.

use oci_pack::{ArchiveErrorKind, ArchiveWarning, Compression, NameClashes, ReadOptions};

use crate::support::{Event, HandTar, gzip, read_all};

fn file(path: &str, content: &[u8]) -> Event {
    Event::File(path.into(), content.into())
}

#[test]
fn other_forms_of_the_same_names_are_taken() {
    let archive = HandTar::default()
        .directory("./")
        .directory("./p/")
        .entry(b'\0', b"./p/old/", b"", b"")
        .entry(b'\0', b"./p/old/file", b"", b"1")
        .entry(b'7', b"p//contiguous", b"", b"2")
        .file("p/without/directory/entry", b"3")
        .directory("p/without/")
        .end();
    let (events, _) = read_all(&archive, &ReadOptions::new(".")).unwrap();
    let expected = [
        Event::Directory("p".into()),
        Event::Directory("p/old".into()),
        file("p/old/file", b"1"),
        file("p/contiguous", b"2"),
        file("p/without/directory/entry", b"3"),
        Event::Directory("p/without".into()),
    ];
    assert_eq!(events, expected);
}

#[test]
fn long_names_come_by_pax_and_gnu_headers() {
    let long = format!("p/{}", "n".repeat(300));
    let expected = [file(&long[2..], b"content")];
    let by_pax = HandTar::default().pax(&[("path", long.as_bytes())]).file("p/cut", b"content").end();
    let by_gnu = HandTar::default()
        .entry(b'L', b"././@LongLink", b"", format!("{long}\0").as_bytes())
        .file("p/cut", b"content")
        .end();
    for archive in [by_pax, by_gnu] {
        assert_eq!(read_all(&archive, &ReadOptions::new("p")).unwrap().0, expected);
    }
}

#[test]
fn an_extended_header_counts_for_one_entry() {
    let archive = HandTar::default()
        .entry(b'g', b"pax_global_header", b"", b"16 comment=a1b2\n")
        .pax(&[("path", b"p/a\nb"), ("size", b"3")])
        .file("p/cut", b"abc")
        .file("p/next", b"x")
        .end();
    let (events, _) = read_all(&archive, &ReadOptions::new("p")).unwrap();
    assert_eq!(events, [file("a\nb", b"abc"), file("next", b"x")]);
}

#[test]
fn links_are_shown_with_their_targets() {
    let long_target = format!("d/{}", "t".repeat(200));
    let archive = HandTar::default()
        .file("p/d/a", b"x")
        .entry(b'1', b"p/h", b"./p/d/a", b"")
        .entry(b'1', b"p/h2", b"p/h", b"")
        .entry(b'2', b"p/d/s", b"../h", b"")
        .entry(b'K', b"././@LongLink", b"", format!("{long_target}\0").as_bytes())
        .entry(b'2', b"p/k", b"cut", b"")
        .pax(&[("linkpath", long_target.as_bytes())])
        .entry(b'2', b"p/x", b"cut", b"")
        .end();
    let (events, _) = read_all(&archive, &ReadOptions::new("p")).unwrap();
    let expected = [
        file("d/a", b"x"),
        Event::HardLink("h".into(), "d/a".into()),
        Event::HardLink("h2".into(), "h".into()),
        Event::SymbolicLink("d/s".into(), "../h".into()),
        Event::SymbolicLink("k".into(), long_target.clone()),
        Event::SymbolicLink("x".into(), long_target),
    ];
    assert_eq!(events, expected);
}

#[test]
fn padding_does_not_count_for_the_digest() {
    let archive = HandTar::default().directory("p").file("p/zeros", &[0; 700_000]).end();
    let digest = oci_model::Digest::sha256_of(&archive);
    for padding in [0, 512, 8704, 700_000] {
        let mut padded = archive.clone();
        padded.resize(archive.len() + padding, 0);
        let parts = padded.chunks(300_001).map(gzip).collect::<Vec<_>>().concat();
        let frames: Vec<_> =
            padded.chunks(300_001).flat_map(|part| zstd::encode_all(part, 1).unwrap()).collect();
        let streams = [
            (padded.clone(), Compression::None),
            (gzip(&padded), Compression::Gzip),
            (parts, Compression::Gzip),
            (frames, Compression::Zstd),
        ];
        for (stream, compression) in streams {
            let (_, summary) = read_all(&stream, &ReadOptions::new("p")).unwrap();
            assert_eq!(summary.compression, compression);
            assert_eq!(summary.tar_size, archive.len() as u64);
            assert_eq!(summary.tar_digest, Some(digest.clone()), "{padding} {compression}");
            assert_eq!((summary.entries, summary.content_size), (2, 700_000));
        }
    }
}

#[test]
fn the_digest_is_computed_only_if_it_is_wanted() {
    let archive = HandTar::default().file("p/a", b"x").end();
    let mut options = ReadOptions::new("p");
    options.tar_digest = false;
    assert_eq!(read_all(&archive, &options).unwrap().1.tar_digest, None);
}

#[test]
fn one_zero_block_ends_an_archive_that_ends_there() {
    let mut archive = HandTar::default().file("p/a", b"x").end();
    archive.truncate(archive.len() - 512);
    assert!(read_all(&archive, &ReadOptions::new("p")).is_ok());
}

#[test]
fn clashes_may_be_warnings() {
    let archive = HandTar::default().file("p/Data.csv", b"1").file("p/data.csv", b"2").end();
    let mut options = ReadOptions::new("p");
    options.name_clashes = NameClashes::Warn;
    let warning = ArchiveWarning::NameClash { path: "data.csv".into(), earlier: "Data.csv".into() };
    let expected = [file("Data.csv", b"1"), Event::Warning(warning), file("data.csv", b"2")];
    assert_eq!(read_all(&archive, &options).unwrap().0, expected);
}

#[test]
fn an_empty_archive_is_an_archive() {
    let (events, summary) = read_all(&[0; 1024], &ReadOptions::new("p")).unwrap();
    assert_eq!((events.len(), summary.tar_size), (0, 1024));
}

#[test]
fn a_stream_that_fails_says_why() {
    struct Failing;
    impl std::io::Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("the connection was lost"))
        }
    }
    use std::io::Read;
    let archive = gzip(&HandTar::default().file("p/a", &crate::support::noise(1, 100_000)).end());
    for length in [0, 5, 50_000] {
        let stream = archive[..length].chain(Failing);
        let mut collector = crate::support::Collector::default();
        let error = oci_pack::read_archive(stream, &ReadOptions::new("p"), &mut collector).unwrap_err();
        assert_eq!(error.kind(), ArchiveErrorKind::Read, "{length}");
        assert_eq!(error.into_source().unwrap().to_string(), "the connection was lost");
    }
}

#[test]
fn a_visitor_can_stop_and_gets_its_error_back() {
    struct Stopping;
    impl oci_pack::ArchiveVisitor for Stopping {
        fn directory(&mut self, _: &str) -> Result<(), oci_pack::VisitError> {
            Ok(())
        }
        fn file(&mut self, _: &str, _: &mut oci_pack::EntryContent<'_>) -> Result<(), oci_pack::VisitError> {
            Err("enough".into())
        }
        fn symbolic_link(&mut self, _: &str, _: &str) -> Result<(), oci_pack::VisitError> {
            Ok(())
        }
        fn hard_link(&mut self, _: &str, _: &str, _: u64) -> Result<(), oci_pack::VisitError> {
            Ok(())
        }
        fn warning(&mut self, _: ArchiveWarning) -> Result<(), oci_pack::VisitError> {
            Ok(())
        }
    }
    let archive = HandTar::default().file("p/a", &vec![1; 50 << 20]).end();
    let error = oci_pack::read_archive(&archive[..], &ReadOptions::new("p"), &mut Stopping).unwrap_err();
    assert_eq!((error.kind(), error.entry()), (ArchiveErrorKind::Visitor, Some("p/a")));
    assert_eq!(error.into_source().unwrap().to_string(), "enough");
}
