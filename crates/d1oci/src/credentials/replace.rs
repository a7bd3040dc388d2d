//! Replaces a private file as a whole.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::files::make_private_directory;

/// How many links in a row are followed.
const MOST_LINKS: usize = 16;

/// Replaces a file, or the target of a link in its place, in one step: a reader sees the old content or the new one. Only
/// its owner may read it.
///
/// # Errors
///
/// If the content cannot be written; the old content stays.
pub(super) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let target = target_of(path)?;
    // The builder's files are for their owner alone.
    let directory = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut temporary = tempfile::Builder::new().prefix(".d1oci-").tempfile_in(directory)?;
    temporary.write_all(content)?;
    temporary.as_file().sync_all()?;
    temporary.persist(&target).map_err(|error| error.error)?;
    // Some file systems cannot sync a directory.
    let _ = safe_files::sync_directory(directory);
    Ok(())
}

/// Creates the directory of a file, for its owner alone, and waits for others who replace a file in it.
///
/// # Errors
///
/// If it cannot be made.
pub(super) fn prepare(path: &Path) -> io::Result<Option<File>> {
    let target = target_of(path)?;
    let Some(directory) = target.parent().filter(|parent| !parent.as_os_str().is_empty()) else {
        return Ok(None);
    };
    make_private_directory(directory)?;
    // Where directories cannot be locked, two logins at the same moment may lose one of them, as with other programs.
    let lock = File::open(directory).ok();
    Ok(lock.filter(|lock| lock.lock().is_ok()))
}

/// Follows links, also to a file that is not there yet.
fn target_of(path: &Path) -> io::Result<PathBuf> {
    let mut target = path.to_owned();
    for _ in 0..MOST_LINKS {
        match fs::read_link(&target) {
            Ok(next) => {
                let directory = target.parent().unwrap_or(Path::new("")).to_owned();
                target = directory.join(next);
            }
            // It is not a link, or does not exist.
            Err(_) => return Ok(target),
        }
    }
    Err(io::Error::other("expected at most 16 links in a row, found more"))
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_new_file_is_private_and_so_is_its_directory() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("new/config.json");
        prepare(&path).unwrap();
        replace(&path, b"{}").unwrap();
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        assert_eq!(fs::read(&path).unwrap(), b"{}");
    }

    #[test]
    fn a_file_that_others_could_read_becomes_private() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("config.json");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        replace(&path, b"new").unwrap();
        assert_eq!((mode(&path), fs::read(&path).unwrap()), (0o600, b"new".to_vec()));
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
    }

    #[test]
    fn links_stay_and_their_target_is_replaced() {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir(place.path().join("real")).unwrap();
        for (link, target, through) in [
            ("a.json", "real/a.json", "real/a.json"),
            ("b.json", "a.json", "real/a.json"),
            ("c.json", "real/c.json", "real/c.json"),
        ] {
            symlink(target, place.path().join(link)).unwrap();
            replace(&place.path().join(link), link.as_bytes()).unwrap();
            assert!(fs::symlink_metadata(place.path().join(link)).unwrap().is_symlink());
            assert_eq!(fs::read(place.path().join(through)).unwrap(), link.as_bytes());
        }
        symlink("d.json", place.path().join("d.json")).unwrap();
        assert!(replace(&place.path().join("d.json"), b"x").is_err());
    }

    #[test]
    fn what_cannot_be_written_leaves_what_was_there() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("config.json");
        fs::create_dir(&path).unwrap();
        assert!(replace(&path, b"new").is_err());
        assert!(path.is_dir());
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
    }
}
