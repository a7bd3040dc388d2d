//! Lists of the files in zip and tar archives. Nothing in them is unpacked.

use std::io::{self, Read, Seek, SeekFrom};

use d1_catalog::CatalogFile;
use d1_transfer::parts::run_blocking;
use flate2::read::MultiGzDecoder;

use super::{Archive, ArchiveEntry, Preview};
use crate::answer::Refused;
use crate::app::App;
use crate::web::page::{bytes, count, counted};
use crate::web::table::StreamReader;

/// The most files that are listed.
const MOST_ENTRIES: usize = 500;
/// The longest name that is shown, in characters.
const LONGEST_NAME: usize = 300;
/// The most bytes of a zip that are read: its directory is at its end.
const MOST_OF_ZIP: u64 = 16 << 20;
/// The most bytes of a tar archive that are read, and that are unpacked on the way.
const MOST_OF_TAR: u64 = 16 << 20;
const MOST_UNPACKED: u64 = 128 << 20;

/// Lists a zip.
pub(super) async fn zip(app: &App, file: &CatalogFile) -> Result<Preview, Refused> {
    // The directory is in the last bytes. A longer one is not listed.
    let start = file.size.saturating_sub(MOST_OF_ZIP);
    let tail = RangeReader::read(app, file, start).await?;
    Ok(run_blocking(move || listed_zip(tail)).await)
}

fn listed_zip(tail: RangeReader) -> Preview {
    let Ok(mut archive) = zip::ZipArchive::new(tail) else {
        return Preview::None("The list of this zip cannot be read.".to_owned());
    };
    let total = archive.len();
    let mut entries = Vec::new();
    for number in 0..total.min(MOST_ENTRIES) {
        let Ok(entry) = archive.by_index_raw(number) else { continue };
        let time = entry.last_modified().map(|time| {
            format!(
                "{}-{:02}-{:02} {:02}:{:02}",
                time.year(),
                time.month(),
                time.day(),
                time.hour(),
                time.minute()
            )
        });
        entries.push(ArchiveEntry {
            name: shown(&String::from_utf8_lossy(entry.name_raw())),
            size: bytes(entry.size()),
            time: time.unwrap_or_default(),
        });
    }
    let note = match total > entries.len() {
        true => format!("The first {} of {} entries.", entries.len(), count(total as u64)),
        false => counted(total as u64, "entry", "entries") + ".",
    };
    Preview::Archive(Archive { entries, note })
}

/// Lists a tar archive.
pub(super) async fn tar(app: &App, file: &CatalogFile, is_compressed: bool) -> Result<Preview, Refused> {
    let length = file.size.min(MOST_OF_TAR);
    let stream = app.store.read(file, 0..length).await?;
    let is_whole = length == file.size;
    Ok(run_blocking(move || {
        let input = StreamReader::new(stream);
        match is_compressed {
            true => listed_tar(MultiGzDecoder::new(input), is_whole),
            false => listed_tar(input, is_whole),
        }
    })
    .await)
}

fn listed_tar(input: impl Read, is_whole: bool) -> Preview {
    let mut archive = tar::Archive::new(input.take(MOST_UNPACKED));
    let mut entries = Vec::new();
    let mut is_part = !is_whole;
    if let Ok(all) = archive.entries() {
        for entry in all {
            let (Ok(entry), true) = (entry, entries.len() < MOST_ENTRIES) else {
                is_part = true;
                break;
            };
            let time = entry.header().mtime().ok().and_then(|time| i64::try_from(time).ok());
            let time = time.and_then(|time| jiff::Timestamp::from_second(time).ok());
            entries.push(ArchiveEntry {
                name: shown(&String::from_utf8_lossy(&entry.path_bytes())),
                size: bytes(entry.size()),
                time: time.map(|time| time.strftime("%Y-%m-%d %H:%M").to_string()).unwrap_or_default(),
            });
        }
    }
    if entries.is_empty() {
        return Preview::None("The list of this archive cannot be read.".to_owned());
    }
    let note = match is_part {
        true => format!("The first {}.", counted(entries.len() as u64, "entry", "entries")),
        false => counted(entries.len() as u64, "entry", "entries") + ".",
    };
    Preview::Archive(Archive { entries, note })
}

fn shown(name: &str) -> String {
    let visible = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    name.chars().take(LONGEST_NAME).map(visible).collect()
}

/// Reads the end of a file as if it were the file. The part before it is not there.
struct RangeReader {
    tail: Vec<u8>,
    start: u64,
    at: u64,
}

impl RangeReader {
    async fn read(app: &App, file: &CatalogFile, start: u64) -> Result<Self, Refused> {
        let mut stream = app.store.read(file, start..file.size).await?;
        let mut tail = Vec::new();
        while let Some(chunk) = stream.recv().await {
            tail.extend_from_slice(&chunk.map_err(|error| app.store.content_failed(&error))?);
        }
        Ok(Self { tail, start, at: 0 })
    }

    fn end(&self) -> u64 {
        self.start + self.tail.len() as u64
    }
}

impl Read for RangeReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at < self.start {
            return Err(io::Error::other("the directory of the zip is too large"));
        }
        let from = usize::try_from(self.at - self.start).map_err(io::Error::other)?;
        let count = self.tail.get(from..).unwrap_or_default().read(buffer)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for RangeReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let wanted = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.end().checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = wanted.ok_or_else(|| io::Error::other("a place before the file"))?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use super::{Preview, RangeReader, listed_tar, listed_zip};

    fn names(preview: Preview) -> Vec<String> {
        match preview {
            Preview::Archive(archive) => archive.entries.into_iter().map(|entry| entry.name).collect(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn archives_are_listed_and_not_unpacked() {
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default();
        writer.start_file("../a<b>.csv", options).unwrap();
        writer.write_all(&vec![0; 1 << 20]).unwrap();
        writer.start_file("c/d", options).unwrap();
        let zip = writer.finish().unwrap().into_inner();
        let whole = |tail: Vec<u8>| RangeReader { tail, start: 0, at: 0 };
        assert_eq!(names(listed_zip(whole(zip.clone()))), ["../a<b>.csv", "c/d"]);
        assert!(names(listed_zip(whole(zip[..zip.len() / 2].to_vec()))).is_empty());
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(3);
        builder.append_data(&mut header, "e/f.txt", &b"abc"[..]).unwrap();
        let tar = builder.into_inner().unwrap();
        assert_eq!(names(listed_tar(&*tar, true)), ["e/f.txt"]);
        assert!(names(listed_tar(&b"no archive"[..], true)).is_empty());
    }
}
