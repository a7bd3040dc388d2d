//! Helpers of the tests: packing from memory, collecting entries, and archives made by hand.

use std::io::{Cursor, Read};
use std::num::NonZeroUsize;

use oci_pack::{
    ArchiveEntry, ArchiveError, ArchiveSummary, ArchiveVisitor, ArchiveWarning, Compression, EntryContent,
    EntryKind, PackError, PackOptions, PackedArchive, ReadOptions, VisitError, pack_archive, read_archive,
};

/// A file: path and content.
pub(crate) type MemoryFile = (String, Vec<u8>);

/// The entries of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Directory(String),
    File(String, Vec<u8>),
    SymbolicLink(String, String),
    HardLink(String, String),
    Warning(ArchiveWarning),
}

/// Collects all entries of an archive.
#[derive(Default)]
pub(crate) struct Collector(pub(crate) Vec<Event>);

impl ArchiveVisitor for Collector {
    fn directory(&mut self, path: &str) -> Result<(), VisitError> {
        self.0.push(Event::Directory(path.into()));
        Ok(())
    }

    fn file(&mut self, path: &str, content: &mut EntryContent<'_>) -> Result<(), VisitError> {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes)?;
        assert_eq!(bytes.len() as u64, content.size());
        self.0.push(Event::File(path.into(), bytes));
        Ok(())
    }

    fn symbolic_link(&mut self, path: &str, target: &str) -> Result<(), VisitError> {
        self.0.push(Event::SymbolicLink(path.into(), target.into()));
        Ok(())
    }

    fn hard_link(&mut self, path: &str, target: &str, _size: u64) -> Result<(), VisitError> {
        self.0.push(Event::HardLink(path.into(), target.into()));
        Ok(())
    }

    fn warning(&mut self, warning: ArchiveWarning) -> Result<(), VisitError> {
        self.0.push(Event::Warning(warning));
        Ok(())
    }
}

/// Reads an archive and returns all its entries.
pub(crate) fn read_all(
    archive: &[u8],
    options: &ReadOptions,
) -> Result<(Vec<Event>, ArchiveSummary), ArchiveError> {
    let mut collector = Collector::default();
    let summary = read_archive(archive, options, &mut collector)?;
    Ok((collector.0, summary))
}

/// Packs entries whose contents are in memory, in the order of the files among the entries.
pub(crate) fn pack(
    entries: &[ArchiveEntry],
    contents: &[Vec<u8>],
    compression: Compression,
    threads: usize,
) -> Result<(PackedArchive, Vec<u8>), PackError> {
    let mut next = contents.iter();
    let by_entry: Vec<Option<&Vec<u8>>> = entries
        .iter()
        .map(|entry| matches!(entry.kind, EntryKind::File { .. }).then(|| next.next()).flatten())
        .collect();
    let open = |index: usize| {
        let content = by_entry[index].expect("directories are not opened").clone();
        Ok(Box::new(Cursor::new(content)) as Box<dyn Read + Send>)
    };
    let threads = NonZeroUsize::new(threads).unwrap();
    let options = PackOptions { compression, threads, ..PackOptions::default() };
    let mut blob = Vec::new();
    let packed = pack_archive(entries, &open, &options, &mut blob)?;
    Ok((packed, blob))
}

/// Packs files below `pkg`, with an entry for each directory.
pub(crate) fn pack_files(
    files: &[MemoryFile],
    compression: Compression,
    threads: usize,
) -> (PackedArchive, Vec<u8>) {
    let sizes = files.iter().map(|(path, content)| (path.as_str(), content.len() as u64));
    let entries = oci_pack::entries_with_directories("pkg", sizes);
    let contents: Vec<_> = files.iter().map(|(_, content)| content.clone()).collect();
    pack(&entries, &contents, compression, threads).unwrap()
}

/// Returns `length` bytes of noise, the same on every run (xorshift64).
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Returns text like a mooring's time series.
pub(crate) fn csv(rows: usize) -> Vec<u8> {
    (0..rows)
        .flat_map(|row| {
            format!("2026-01-01T00:{:02}:{:02}Z,{}.25\n", row / 60 % 60, row % 60, row % 17).into_bytes()
        })
        .collect()
}

/// A tar archive made by hand, with anything in it.
#[derive(Clone, Default)]
pub(crate) struct HandTar(pub(crate) Vec<u8>);

impl HandTar {
    /// Adds an entry with a USTAR header.
    pub(crate) fn entry(mut self, type_flag: u8, name: &[u8], link: &[u8], content: &[u8]) -> Self {
        let mut header = tar::Header::new_ustar();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name);
        header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link);
        header.as_mut_bytes()[156] = type_flag;
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.data(content)
    }

    pub(crate) fn file(self, name: &str, content: &[u8]) -> Self {
        self.entry(b'0', name.as_bytes(), b"", content)
    }

    pub(crate) fn directory(self, name: &str) -> Self {
        self.entry(b'5', name.as_bytes(), b"", b"")
    }

    /// Adds a PAX header with these records.
    pub(crate) fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut data = Vec::new();
        for (key, value) in records {
            let bare = key.len() + value.len() + 3;
            let length = (bare..).find(|length| bare + length.to_string().len() == *length).unwrap();
            data.extend_from_slice(format!("{length} {key}=").as_bytes());
            data.extend_from_slice(value);
            data.push(b'\n');
        }
        self.entry(b'x', b"PaxHeaders.0/x", b"", &data)
    }

    /// Adds bytes, filled up to a block.
    pub(crate) fn data(mut self, content: &[u8]) -> Self {
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    /// Adds the two zero blocks and returns the archive.
    pub(crate) fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

pub(crate) fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::read::GzEncoder::new(content, flate2::Compression::default());
    let mut bytes = Vec::new();
    encoder.read_to_end(&mut bytes).unwrap();
    bytes
}

/// Returns whether a program can be run, and prints a line if not.
pub(crate) fn has_program(name: &str, version_argument: &str) -> bool {
    let found =
        std::process::Command::new(name).arg(version_argument).output().is_ok_and(|out| out.status.success());
    if !found {
        skipped(&format!("{name} is not installed"));
    }
    found
}

#[expect(clippy::print_stdout, reason = "a test that does not run says so")]
pub(crate) fn skipped(reason: &str) {
    println!("skipped: {reason}");
}
