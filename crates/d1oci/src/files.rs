//! Small local files of the user, read with bounds.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use safe_files::{Existing, ResultFile};

use crate::failure::Failure;

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

/// Writes a file that appears when it is complete, in place of an older one.
///
/// # Errors
///
/// If it cannot be written.
pub(crate) fn write_result(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let failed = |error| Failure::file("write", path, error);
    let mut file = ResultFile::create(path, Existing::Replace).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.commit()).map_err(failed)
}

/// Reads a file, or standard input if the path is `-`.
///
/// # Errors
///
/// If it cannot be read, or has more than `limit` bytes.
pub(crate) async fn read_input(path: &Path, limit: u64) -> Result<Vec<u8>, Failure> {
    if path != Path::new("-") {
        return read_regular(path, limit).map_err(|error| Failure::file("read", path, error));
    }
    while_reading(move || {
        let mut bytes = Vec::new();
        io::stdin().lock().take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(Failure::input)?;
        match bytes.len() as u64 > limit {
            true => {
                Err(Failure::usage(format!("expected at most {limit} bytes on standard input, found more")))
            }
            false => Ok(bytes),
        }
    })
    .await
}

/// Runs work that reads standard input, in a thread of its own. A signal can end the program meanwhile.
///
/// # Errors
///
/// Those of the work.
pub(crate) async fn while_reading<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    // The runtime would wait for a thread of its own, which may wait for input without end.
    std::thread::spawn(move || drop(sender.send(read())));
    match receiver.await {
        Ok(result) => result,
        Err(_) => Err(Failure::input(io::Error::other("the thread that reads it has ended"))),
    }
}

/// Creates a directory and its parents, for their owner alone.
pub(crate) fn make_private_directory(directory: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
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

#[cfg(test)]
mod tests {
    use super::*;

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
