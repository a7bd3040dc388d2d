//! Local files of the user: small ones to read, and results to write.

use std::fs::{self, File};
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// Reads a regular file of at most `limit` bytes.
///
/// # Errors
///
/// If it cannot be read, is larger, or is a pipe, a device or a directory: reading one could hang or never end.
pub(crate) fn read_regular(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    require_regular(path)?;
    let mut bytes = Vec::new();
    File::open(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::other(format!("expected at most {limit} bytes, found more")));
    }
    Ok(bytes)
}

/// As [`read_regular`], for text.
///
/// # Errors
///
/// Also if the file is not UTF-8.
pub(crate) fn read_regular_text(path: &Path, limit: u64) -> io::Result<String> {
    let bytes = read_regular(path, limit)?;
    String::from_utf8(bytes)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "expected UTF-8 text, found other bytes"))
}

/// Refuses a path that exists and is not a regular file, before opening it can hang.
///
/// # Errors
///
/// If the path does not exist, or is not a regular file.
pub(crate) fn require_regular(path: &Path) -> io::Result<()> {
    let kind = fs::metadata(path)?.file_type();
    if kind.is_file() {
        return Ok(());
    }
    let found = if kind.is_dir() { "a directory" } else { "a pipe or device" };
    Err(io::Error::other(format!("expected a regular file, found {found}")))
}

/// Returns the directory of a file.
pub(crate) fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Syncs a complete temporary file and gives it its name. A reader sees the old content or the new one.
///
/// # Errors
///
/// If the file cannot be synced or renamed.
pub(crate) fn put_in_place(temporary: NamedTempFile, target: &Path) -> io::Result<()> {
    temporary.as_file().sync_all()?;
    temporary.persist(target).map_err(|error| error.error)?;
    // Some file systems cannot sync a directory.
    let _ = safe_files::sync_directory(directory_of(target));
    Ok(())
}

/// A file for a result. A regular file appears under its name when it is complete; a device or pipe is written through.
#[derive(Debug)]
pub(crate) enum ResultFile {
    /// A device or pipe.
    Through(File),
    /// A new file with a random name, and the name that it gets.
    Replace(NamedTempFile, PathBuf),
}

impl ResultFile {
    /// Opens a file for a result. A link stays a link: its target is the file.
    ///
    /// # Errors
    ///
    /// If the path is a directory, or cannot be written.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        // Names such as /dev/stdout lead to pipes, which have no path of their own: ask for the kind first.
        let target = match fs::metadata(path).map(|metadata| metadata.file_type()) {
            Ok(kind) if kind.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
            Ok(kind) if !kind.is_file() => return Ok(Self::Through(File::options().write(true).open(path)?)),
            Ok(_) => fs::canonicalize(path)?,
            // A dangling link may point anywhere: nothing is created through it.
            Err(_) if fs::symlink_metadata(path).is_ok() => {
                return Err(io::Error::other("expected a file, found a link that leads nowhere"));
            }
            Err(_) => path.to_owned(),
        };
        let mut builder = tempfile::Builder::new();
        builder.prefix(".d1oci-");
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let temporary = builder.tempfile_in(directory_of(&target))?;
        Ok(Self::Replace(temporary, target))
    }

    /// Syncs a complete file and gives it its name. Without this call, nothing appears.
    ///
    /// # Errors
    ///
    /// If the file cannot be synced or renamed.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        match self {
            Self::Through(_) => Ok(()),
            Self::Replace(temporary, target) => put_in_place(temporary, &target),
        }
    }
}

impl Write for ResultFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Through(file) => file.write(bytes),
            Self::Replace(temporary, _) => temporary.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Through(file) => file.flush(),
            Self::Replace(temporary, _) => temporary.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_replaces_a_file_and_is_written_through_a_link_and_a_device() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("file");
        let write = |path: &Path| {
            let mut result = ResultFile::create(path)?;
            result.write_all(b"new")?;
            result.finish()
        };
        fs::write(&file, "old and longer").unwrap();
        drop(ResultFile::create(&file).unwrap());
        assert_eq!(fs::read(&file).unwrap(), b"old and longer");
        #[cfg(unix)]
        {
            let link = place.path().join("link");
            std::os::unix::fs::symlink("file", &link).unwrap();
            write(&link).unwrap();
            assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
            std::os::unix::fs::symlink("nowhere", place.path().join("dangling")).unwrap();
            assert!(write(&place.path().join("dangling")).is_err());
            let null = place.path().join("null");
            std::os::unix::fs::symlink("/dev/null", &null).unwrap();
            write(&null).unwrap();
            assert!(!fs::metadata("/dev/null").unwrap().is_file());
        }
        write(&file).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert!(write(place.path()).is_err());
    }

    #[test]
    fn only_regular_files_of_bounded_size_are_read() {
        let place = std::env::temp_dir().join(format!("d1oci-files-{}", std::process::id()));
        fs::write(&place, "12345").unwrap();
        assert_eq!(read_regular(&place, 5).unwrap(), b"12345");
        assert!(read_regular(&place, 4).unwrap_err().to_string().contains("at most 4 bytes"));
        fs::remove_file(&place).unwrap();
        assert_eq!(read_regular(&place, 4).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(read_regular(Path::new("/"), 4).unwrap_err().to_string().contains("found a directory"));
        #[cfg(unix)]
        assert!(
            read_regular(Path::new("/dev/zero"), 4).unwrap_err().to_string().contains("a pipe or device")
        );
    }
}
