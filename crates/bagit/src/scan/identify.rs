//! Archives of unknown format: what a file is, by its first bytes.

use std::io::{Read, Seek};
use std::path::Path;

use safe_files::Directory;

use super::options::{Scan, ScanOptions};
use crate::check::CheckOptions;
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::report::Report;

/// The bytes that decide about the format: `ustar` is at 257 in a tar header.
const HEAD_LENGTH: usize = 512;

/// The largest number of characters of a text file that an error shows.
const SHOWN_CHARACTERS: usize = 300;

/// The formats that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Zip,
    Tar,
}

/// Validates a bag in a zip file, or in a tar archive with or without gzip compression. The first bytes decide.
///
/// # Errors
/// [`Error::NotAnArchive`] with the kind of the file for any other file, otherwise as [`crate::validate_zip`] and
/// [`crate::validate_tar`].
///
/// ```
/// use std::io::Cursor;
///
/// use bagit::{CheckOptions, Error, NoProgress, ScanOptions, validate_archive};
///
/// let page = Cursor::new("<!DOCTYPE html><title>Sign in</title>");
/// let result = validate_archive(page, &ScanOptions::default(), &CheckOptions::default(), &NoProgress);
/// let Err(Error::NotAnArchive { found }) = result else { panic!("{result:?}") };
/// assert!(found.starts_with("an HTML page"));
/// ```
pub fn validate_archive(
    mut reader: impl Read + Seek,
    options: &ScanOptions,
    check_options: &CheckOptions<'_>,
    progress: &dyn Progress,
) -> Result<Report> {
    match format(&mut reader)? {
        #[cfg(feature = "zip")]
        Ok(Format::Zip) => super::zip::validate_zip(reader, options, check_options, progress),
        #[cfg(feature = "tar")]
        Ok(Format::Tar) => super::tar::validate_tar_file(reader, options, check_options, progress),
        #[cfg(not(all(feature = "tar", feature = "zip")))]
        Ok(format) => Err(unsupported(format)),
        Err(found) => Err(Error::NotAnArchive { found }),
    }
}

/// Writes the bag of a zip file, or of a tar archive with or without gzip compression, into an empty directory.
///
/// It reads files of any size in constant memory, and hashes them on the way. [`Scan::base_directory`] says which directory below the
/// target is the bag. Entries that are not plain files, unsafe paths, and second entries of a name are left out. They are faults of the
/// scan, so that [`check`](crate::check()) finds the bag invalid.
///
/// # Errors
/// As [`validate_archive`], and [`Error::Io`] if the target is not empty or cannot be written. The caller removes the target.
///
/// ```
/// use std::io::Cursor;
///
/// use bagit::{NoProgress, ScanOptions, unpack_archive};
///
/// let mut archive = tar::Builder::new(Vec::new());
/// let text = b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n";
/// let mut header = tar::Header::new_gnu();
/// header.set_size(text.len() as u64);
/// archive.append_data(&mut header, "bag/bagit.txt", &text[..])?;
///
/// let target = tempfile::tempdir()?;
/// let archive = Cursor::new(archive.into_inner()?);
/// let scan = unpack_archive(archive, target.path(), &ScanOptions::default(), &NoProgress)?;
/// assert_eq!(scan.base_directory.as_deref(), Some("bag"));
/// assert!(target.path().join("bag/bagit.txt").exists());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn unpack_archive(
    mut reader: impl Read + Seek,
    target: &Path,
    options: &ScanOptions,
    progress: &dyn Progress,
) -> Result<Scan> {
    let directory = Directory::open(target).map_err(Error::io("open", target))?;
    if !directory.names().map_err(Error::io("read the directory", target))?.is_empty() {
        return Err(Error::TargetNotEmpty(target.to_owned()));
    }
    match format(&mut reader)? {
        #[cfg(feature = "zip")]
        Ok(Format::Zip) => super::zip::unpack_whole_zip(reader, &directory, options, progress),
        #[cfg(feature = "tar")]
        Ok(Format::Tar) => super::tar::unpack_tar(reader, &directory, options, progress),
        #[cfg(not(all(feature = "tar", feature = "zip")))]
        Ok(format) => Err(unsupported(format)),
        Err(found) => Err(Error::NotAnArchive { found }),
    }
}

#[cfg(not(all(feature = "tar", feature = "zip")))]
pub(crate) fn unsupported(format: Format) -> Error {
    Error::NotAnArchive {
        found: format!("a {format:?} archive, for which this program was built without support"),
    }
}

/// Returns the format of an archive, or the kind of any other file, and rewinds it.
pub(crate) fn format(reader: &mut (impl Read + Seek)) -> Result<Result<Format, String>> {
    let mut head = Vec::with_capacity(HEAD_LENGTH);
    let failed = Error::io("read the beginning of", "the archive");
    let read = reader.take(HEAD_LENGTH as u64).read_to_end(&mut head).and_then(|_| reader.rewind());
    read.map_err(failed)?;
    Ok(identify(&head))
}

/// Returns the format of an archive by its first bytes, or the kind of any other file.
fn identify(head: &[u8]) -> Result<Format, String> {
    const OTHERS: [(&[u8], &str); 9] = [
        (b"\xFD7zXZ\0", "an xz file"),
        (b"BZh", "a bzip2 file"),
        (b"\x28\xB5\x2F\xFD", "a Zstandard (zstd) file"),
        (b"7z\xBC\xAF\x27\x1C", "a 7z archive"),
        (b"Rar!\x1A\x07", "a RAR archive"),
        (b"%PDF-", "a PDF document"),
        (b"\x1F\x9D", "a file of the old program compress"),
        (b"\x89HDF", "an HDF5 or NetCDF file"),
        (b"CDF", "a NetCDF file"),
    ];
    if head.is_empty() {
        return Err("an empty file".to_owned());
    }
    if [&b"PK\x03\x04"[..], b"PK\x05\x06", b"PK\x07\x08"].iter().any(|magic| head.starts_with(magic)) {
        return Ok(Format::Zip);
    }
    if head.starts_with(b"\x1F\x8B") || is_tar(head) {
        return Ok(Format::Tar);
    }
    if let Some((_, name)) = OTHERS.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Err((*name).to_owned());
    }
    let Some(text) = text(head) else { return Err("a file of an unknown kind".to_owned()) };
    let lower = text.trim_start().to_ascii_lowercase();
    let kind = if lower.starts_with("<!doctype html") || lower.starts_with("<html") {
        "an HTML page"
    } else if lower.starts_with("<?xml") || lower.starts_with('<') {
        "an XML document"
    } else {
        "a text file"
    };
    let shown: Vec<&str> = text.split_whitespace().collect();
    let shown: String = shown.join(" ").chars().take(SHOWN_CHARACTERS).collect();
    Err(format!("{kind} that begins with {shown:?}"))
}

/// Says whether a block is the header of a tar entry, by its checksum.
fn is_tar(head: &[u8]) -> bool {
    const CHECKSUM: std::ops::Range<usize> = 148..156;
    let Some(stated) = head.get(CHECKSUM).filter(|_| head.len() == HEAD_LENGTH) else { return false };
    let digits = stated.iter().filter(|byte| (b'0'..=b'7').contains(byte));
    let stated = digits.fold(0_u32, |sum, byte| sum.wrapping_mul(8).wrapping_add(u32::from(byte - b'0')));
    let byte = |(index, byte): (usize, &u8)| {
        if CHECKSUM.contains(&index) { u32::from(b' ') } else { u32::from(*byte) }
    };
    let sum: u32 = head.iter().enumerate().map(byte).sum();
    // An archive without entries consists of zeros.
    sum == stated || head.iter().all(|byte| *byte == 0)
}

/// Returns the beginning of a text file, or `None` for anything else.
fn text(head: &[u8]) -> Option<&str> {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // The last character may be cut.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(head.get(..error.valid_up_to())?).ok()?
        }
        Err(_) => return None,
    };
    let text = text.trim_start_matches('\u{feff}');
    (!text.contains(|character: char| character.is_control() && !character.is_ascii_whitespace()))
        .then_some(text)
}

#[cfg(test)]
mod tests {
    use super::{Format, identify};

    #[test]
    fn files_are_known_by_their_first_bytes() {
        let tar_of_zeros = [0; 512];
        let cases: [(&[u8], Result<Format, &str>); 14] = [
            (b"PK\x03\x04rest", Ok(Format::Zip)),
            (b"PK\x05\x06", Ok(Format::Zip)),
            (b"\x1F\x8B\x08", Ok(Format::Tar)),
            (&tar_of_zeros, Ok(Format::Tar)),
            (b"", Err("an empty file")),
            (b"\xFD7zXZ\0\0", Err("an xz file")),
            (b"BZh91AY", Err("a bzip2 file")),
            (b"7z\xBC\xAF\x27\x1C", Err("a 7z archive")),
            (b"Rar!\x1A\x07\x01\0", Err("a RAR archive")),
            (b"<?xml version=\"1.0\"?>\n<error name=\"NotFound\"/>", Err("an XML document that begins with")),
            (b"\xEF\xBB\xBF<HTML>", Err("an HTML page that begins with")),
            (b"/tmp/x.zip\n", Err("a text file that begins with \"/tmp/x.zip\"")),
            (b"caf\xC3", Err("a text file that begins with \"caf\"")),
            (b"\0\x01\x02", Err("a file of an unknown kind")),
        ];
        for (head, expected) in cases {
            match (identify(head), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected),
                (Err(found), Err(expected)) => assert!(found.starts_with(expected), "{found}"),
                (found, expected) => panic!("{found:?} is not {expected:?}"),
            }
        }
    }

    #[test]
    fn a_message_shows_the_text_of_an_error_document() {
        let error = b"<?xml version=\"1.0\"?>\n<error errorCode=\"401\" name=\"NotAuthorized\"><description>no</description></error>";
        let found = identify(error).unwrap_err();
        assert!(found.contains("NotAuthorized") && !found.contains('\n'), "{found}");
    }
}
