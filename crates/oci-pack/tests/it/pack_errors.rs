//! Packing that fails: sources that change, destinations that are full.

use std::io::{self, Read, Write};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};

use oci_model::Digest;
use oci_pack::{
    ArchiveEntry, Compression, PackError, PackOptions, PackedFile, entries_with_directories, pack_archive,
};

use crate::support::{noise, pack};

fn entries(size: u64) -> Vec<ArchiveEntry> {
    vec![
        ArchiveEntry::directory("pkg"),
        ArchiveEntry::file("pkg/first", 3),
        ArchiveEntry::file("pkg/second", size),
    ]
}

#[test]
fn a_file_that_changed_is_named() {
    for (declared, length, found, more) in
        [(10, 9, 9, false), (10, 11, 10, true), (0, 1, 0, true), (5_000_000, 4_000_000, 4_000_000, false)]
    {
        let contents = [b"abc".to_vec(), noise(1, length)];
        for compression in [Compression::Gzip, Compression::None] {
            match pack(&entries(declared), &contents, compression, 2) {
                Err(PackError::SizeChanged { path, declared: d, found: f, more: m }) => {
                    assert_eq!((path.as_str(), d, f, m), ("pkg/second", declared, found, more));
                }
                other => panic!("{declared} {length}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    struct Failing(usize);
    impl Read for Failing {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = buffer.len().min(self.0);
            self.0 -= count;
            if count == 0 { Err(io::Error::other("the disk is broken")) } else { Ok(count) }
        }
    }
    let pack = |length: Option<usize>| {
        let open = |index: usize| match (index, length) {
            (1, _) => Ok(Box::new(&b"abc"[..]) as Box<dyn Read + Send>),
            (_, None) => Err(io::Error::from(io::ErrorKind::PermissionDenied)),
            (_, Some(length)) => Ok(Box::new(Failing(length)) as Box<dyn Read + Send>),
        };
        pack_archive(&entries(9_000_000), &open, &PackOptions::default(), &mut io::sink())
    };
    assert!(matches!(pack(None), Err(PackError::Open { path, .. }) if path == "pkg/second"));
    for length in [0, 10, 8_000_000] {
        assert!(matches!(pack(Some(length)), Err(PackError::Read { path, .. }) if path == "pkg/second"));
    }
}

#[test]
fn a_full_destination_ends_the_packing() {
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.0 < bytes.len() {
                return Err(io::Error::from(io::ErrorKind::StorageFull));
            }
            self.0 -= bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let open = |_: usize| Ok(Box::new(io::repeat(7).take(50_000_000)) as Box<dyn Read + Send>);
    let entries = [ArchiveEntry::directory("pkg"), ArchiveEntry::file("pkg/a", 50_000_000)];
    for room in [0, 10_000_000] {
        let options = PackOptions { compression: Compression::None, ..PackOptions::default() };
        let error = pack_archive(&entries[..], &open, &options, &mut Full(room)).unwrap_err();
        assert!(matches!(&error, PackError::Write { source } if source.kind() == io::ErrorKind::StorageFull));
    }
}

#[test]
fn every_file_can_be_inspected_and_one_that_is_refused_ends_the_packing() {
    let entries = entries_with_directories("pkg", [("a", 1), ("b", 1), ("c", 1)]);
    let content = |entry: usize| entry.to_le_bytes().first().copied().unwrap_or_default();
    let open = |entry: usize| Ok(Box::new(io::repeat(content(entry)).take(1)) as Box<dyn Read + Send>);
    let seen = std::sync::Mutex::new(Vec::new());
    let inspect = |file: &PackedFile| {
        seen.lock().unwrap().push((file.entry, Digest::from_sha256(file.sha256)));
        let path = entries[file.entry].path.clone();
        if file.entry == 2 { Err(PackError::ContentChanged { path }) } else { Ok(()) }
    };
    let options = PackOptions { inspect: Some(&inspect), ..PackOptions::default() };
    let error = pack_archive(&entries, &open, &options, &mut io::sink()).unwrap_err();
    assert!(matches!(&error, PackError::ContentChanged { path } if path == "pkg/b"), "{error}");
    let expected = [1_u8, 2].map(|byte| (usize::from(byte), Digest::sha256_of(&[byte])));
    assert_eq!(*seen.lock().unwrap(), expected);
}

#[test]
fn progress_adds_up_to_the_tar_archive() {
    let total = AtomicU64::new(0);
    let count = |bytes| {
        total.fetch_add(bytes, Ordering::Relaxed);
    };
    let options = PackOptions {
        threads: NonZeroUsize::new(3).unwrap(),
        progress: Some(&count),
        ..PackOptions::default()
    };
    let open = |_: usize| Ok(Box::new(io::repeat(7).take(5_000_000)) as Box<dyn Read + Send>);
    let entries = [ArchiveEntry::directory("pkg"), ArchiveEntry::file("pkg/a", 5_000_000)];
    let packed = pack_archive(&entries[..], &open, &options, &mut io::sink()).unwrap();
    assert_eq!(total.into_inner(), packed.tar_size);
}

#[test]
fn an_archive_of_nothing_is_two_zero_blocks() {
    let (packed, blob) = pack(&[], &[], Compression::None, 1).unwrap();
    assert_eq!((packed.tar_size, blob), (1024, vec![0; 1024]));
}
