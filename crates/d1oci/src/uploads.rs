//! The upload sessions of large blobs, remembered across runs: a push that was killed continues where it stopped.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use distribution_client::{Secret, UploadMemory, UploadName};
use oci_model::Digest;

use crate::files::make_private_directory;

/// The age after which a session is forgotten. Registries remove unfinished uploads after a week (Docker's registry,
/// "uploadpurging").
const LONGEST_AGE: Duration = Duration::from_secs(7 * 24 * 3600);

/// The longest URL of a session in bytes.
const LONGEST_URL: u64 = 64 * 1024;

/// The most files that are looked through for old ones.
const MOST_FILES: usize = 10_000;

/// Remembers each session in a file of its own, which is locked while this process uses the session.
///
/// A session that cannot be remembered is not a failure: the push only cannot continue it later.
#[derive(Debug)]
pub(crate) struct UploadFiles {
    directory: PathBuf,
    /// The files of the uploads of this process, by their names.
    open: Mutex<HashMap<String, File>>,
}

impl UploadFiles {
    /// Returns the memory in a directory, which is made when it is needed.
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self { directory, open: Mutex::default() }
    }

    fn begin(&self, name: &str) -> io::Result<Option<Secret>> {
        make_private_directory(&self.directory)?;
        remove_old(&self.directory);
        let mut file = open_private(&self.directory.join(name))?;
        if file.try_lock().is_err() {
            // Another process sends the same blob: this one uses a session of its own.
            return Ok(None);
        }
        let mut text = String::new();
        (&file).take(LONGEST_URL).read_to_string(&mut text)?;
        file.rewind()?;
        self.open().insert(name.to_owned(), file);
        Ok((!text.is_empty()).then(|| Secret::new(text)))
    }

    fn open(&self) -> std::sync::MutexGuard<'_, HashMap<String, File>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UploadMemory for UploadFiles {
    fn recall(&self, upload: &UploadName<'_>) -> Option<Secret> {
        let name = file_name(upload);
        if self.open().contains_key(&name) {
            return None;
        }
        self.begin(&name).unwrap_or_else(|error| {
            tracing::debug!(%error, "upload sessions are not remembered");
            None
        })
    }

    fn remember(&self, upload: &UploadName<'_>, url: &Secret) {
        if let Some(file) = self.open().get_mut(&file_name(upload)) {
            let text = url.reveal().as_bytes();
            let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(text));
            if let Err(error) = written {
                tracing::debug!(%error, "an upload session is not remembered");
            }
        }
    }

    fn forget(&self, upload: &UploadName<'_>) {
        let name = file_name(upload);
        if self.open().remove(&name).is_some() {
            // A file that stays is removed when it is old.
            let _ = fs::remove_file(self.directory.join(name));
        }
    }
}

fn file_name(upload: &UploadName<'_>) -> String {
    let UploadName { host, repository, digest, .. } = upload;
    Digest::sha256_of(format!("{host}\n{repository}\n{digest}").as_bytes()).encoded().to_owned()
}

/// Opens a file that only its owner may read: the URL can hold a secret of the session.
fn open_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Removes the files of sessions that no registry has any more.
fn remove_old(directory: &Path) {
    let Ok(files) = fs::read_dir(directory) else { return };
    for file in files.flatten().take(MOST_FILES) {
        let age = file.metadata().and_then(|metadata| metadata.modified()).map(|time| time.elapsed());
        if matches!(age, Ok(Ok(age)) if age > LONGEST_AGE) {
            let _ = fs::remove_file(file.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(repository: &str) -> UploadName<'_> {
        UploadName::new("r.example", repository, "sha256:ab")
    }

    #[test]
    fn a_session_is_remembered_for_one_blob_until_it_ends() {
        let place = tempfile::tempdir().unwrap();
        let directory = place.path().join("uploads");
        let first = UploadFiles::new(directory.clone());
        assert!(first.recall(&name("a/b")).is_none());
        first.remember(&name("a/b"), &Secret::new("https://r.example/u/1?long=state"));
        first.remember(&name("a/b"), &Secret::new("https://r.example/u/2"));
        first.remember(&name("never/recalled"), &Secret::new("https://r.example/u/3"));
        // While this process is alive, another one starts a session of its own.
        assert!(UploadFiles::new(directory.clone()).recall(&name("a/b")).is_none());
        drop(first);
        let second = UploadFiles::new(directory.clone());
        assert_eq!(second.recall(&name("a/b")).unwrap().reveal(), "https://r.example/u/2");
        assert!(second.recall(&name("a/c")).is_none());
        second.forget(&name("a/b"));
        second.forget(&name("a/c"));
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_can_read_a_session() {
        use std::os::unix::fs::PermissionsExt as _;
        let place = tempfile::tempdir().unwrap();
        let directory = place.path().join("uploads");
        let files = UploadFiles::new(directory.clone());
        files.recall(&name("a/b"));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&directory), 0o700);
        assert_eq!(mode(&directory.join(file_name(&name("a/b")))), 0o600);
    }
}
