//! Files that appear under their name when they are complete.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::directory::{Directory, random_name};

/// Says what to do with a file that exists already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Existing {
    /// Keep it, and fail.
    Keep,
    /// Replace it.
    Replace,
}

/// A file that a program writes for its user.
///
/// - The bytes go to a new file with a random name in the directory of the target. [`ResultFile::commit`] syncs it and gives it its
///   name. Without a commit, the new file is removed and the target stays.
/// - A device, a FIFO, and an open file of a process (`/dev/fd`, `/proc`) is written through. Such a target is never replaced.
/// - `-` and `/dev/stdout` are the standard output, at its current place in a file. `/dev/stderr` is the standard error.
/// - A link to a file stays, and the file that it names is replaced.
///
/// ```
/// use std::io::Write;
///
/// use safe_files::{Existing, ResultFile};
///
/// let work = tempfile::tempdir()?;
/// let path = work.path().join("a.csv");
/// let mut file = ResultFile::create(&path, Existing::Replace)?;
/// file.write_all(b"15,7.2\n")?;
/// assert!(!path.exists());
/// file.commit()?;
/// assert_eq!(std::fs::read(&path)?, b"15,7.2\n");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct ResultFile(Kind);

#[derive(Debug)]
enum Kind {
    StandardOutput,
    StandardError,
    /// A target that is written directly.
    Through(File),
    New(NewFile),
}

#[derive(Debug)]
struct NewFile {
    file: File,
    parent: Directory,
    /// The random name of the file, or `None` while it has no name. A file without a name vanishes with a killed process.
    temporary: Option<String>,
    name: OsString,
    existing: Existing,
    is_committed: bool,
}

impl ResultFile {
    /// Begins a file.
    ///
    /// # Errors
    /// As the operating system; `AlreadyExists` for a file that is to be kept; `IsADirectory` for a directory.
    pub fn create(path: &Path, existing: Existing) -> io::Result<Self> {
        if path == Path::new("-") || STANDARD_OUTPUT.iter().any(|name| path == Path::new(name)) {
            return Ok(Self(Kind::StandardOutput));
        }
        if STANDARD_ERROR.iter().any(|name| path == Path::new(name)) {
            return Ok(Self(Kind::StandardError));
        }
        let path = match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
            Err(error) => return Err(error),
            Ok(_) => {
                // A dangling link is an error here.
                let metadata = fs::metadata(path)?;
                if metadata.is_dir() {
                    return Err(io::Error::new(io::ErrorKind::IsADirectory, "the target is a directory"));
                }
                if !metadata.is_file() || is_open_file(path) {
                    return Ok(Self(Kind::Through(OpenOptions::new().append(true).open(path)?)));
                }
                if existing == Existing::Keep {
                    return Err(io::ErrorKind::AlreadyExists.into());
                }
                fs::canonicalize(path)?
            }
        };
        NewFile::beside(path, existing).map(|file| Self(Kind::New(file)))
    }

    /// Says whether the bytes go to the standard output.
    #[must_use]
    pub fn is_standard_output(&self) -> bool {
        matches!(self.0, Kind::StandardOutput)
    }

    /// Writes the rest to the disk, and gives the file its name.
    ///
    /// # Errors
    /// As the operating system; `AlreadyExists` if another program has created a file that is to be kept. The target then stays as it is.
    pub fn commit(mut self) -> io::Result<()> {
        match &mut self.0 {
            Kind::StandardOutput => io::stdout().flush(),
            Kind::StandardError => io::stderr().flush(),
            Kind::Through(file) => file.flush(),
            Kind::New(file) => file.commit(),
        }
    }
}

/// Names of the standard output. A file that is opened by such a name has a place of its own: other programs would write over it.
const STANDARD_OUTPUT: [&str; 3] = ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"];

/// Names of the standard error.
const STANDARD_ERROR: [&str; 3] = ["/dev/stderr", "/dev/fd/2", "/proc/self/fd/2"];

/// Says whether a path names an open file of a process. Other files in `/dev`, such as those in `/dev/shm`, are like any other.
fn is_open_file(path: &Path) -> bool {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    ["/dev/fd", "/dev/stdin", "/proc"].iter().any(|place| absolute.starts_with(place))
}

impl NewFile {
    fn beside(path: PathBuf, existing: Existing) -> io::Result<Self> {
        let no_name = || io::Error::new(io::ErrorKind::InvalidInput, "the path has no file name");
        let name = path.file_name().ok_or_else(no_name)?.to_owned();
        let parent = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        let parent = Directory::open(parent)?;
        let (file, temporary) = match parent.create_nameless_file() {
            Some(file) => (file, None),
            None => {
                let temporary = random_name(".part-");
                (parent.create_file(&temporary)?, Some(temporary))
            }
        };
        Ok(Self { file, parent, temporary, name, existing, is_committed: false })
    }

    fn commit(&mut self) -> io::Result<()> {
        self.file.sync_all()?;
        let temporary = match self.temporary.take() {
            Some(temporary) => temporary,
            None => {
                let temporary = random_name(".part-");
                self.parent.name_file(&self.file, &temporary)?;
                temporary
            }
        };
        let temporary: &str = self.temporary.insert(temporary);
        match self.existing {
            Existing::Keep => self.parent.rename_new(temporary, &self.parent, &self.name)?,
            Existing::Replace => self.parent.rename(temporary, &self.parent, &self.name)?,
        }
        self.is_committed = true;
        self.parent.sync()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Some(temporary) = self.temporary.as_ref().filter(|_| !self.is_committed) {
            // Best effort: the caller gets the error that led here.
            let _ = self.parent.remove_file(temporary);
        }
    }
}

impl Write for ResultFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Kind::StandardOutput => io::stdout().write(bytes),
            Kind::StandardError => io::stderr().write(bytes),
            Kind::Through(file) => file.write(bytes),
            Kind::New(new) => new.file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Kind::StandardOutput => io::stdout().flush(),
            Kind::StandardError => io::stderr().flush(),
            Kind::Through(file) => file.flush(),
            Kind::New(new) => new.file.flush(),
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::io::{ErrorKind, Read, Write};
    use std::os::unix::fs::{FileTypeExt, symlink};
    use std::path::Path;

    use super::{Existing, ResultFile};

    fn write(path: &Path, existing: Existing, bytes: &[u8]) -> std::io::Result<()> {
        let mut file = ResultFile::create(path, existing)?;
        file.write_all(bytes)?;
        file.commit()
    }

    fn names(directory: &Path) -> Vec<String> {
        let names =
            fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_appears_at_its_commit_and_leaves_nothing_without_one() {
        let work = tempfile::tempdir().unwrap();
        let path = work.path().join("x");
        let mut file = ResultFile::create(&path, Existing::Keep).unwrap();
        file.write_all(b"half").unwrap();
        assert!(!path.exists());
        drop(file);
        assert!(names(work.path()).is_empty());
        write(&path, Existing::Keep, b"one").unwrap();
        assert_eq!(write(&path, Existing::Keep, b"two").unwrap_err().kind(), ErrorKind::AlreadyExists);
        write(&path, Existing::Replace, b"three").unwrap();
        assert_eq!((fs::read(&path).unwrap(), names(work.path())), (b"three".to_vec(), vec!["x".to_owned()]));
    }

    #[test]
    fn a_file_that_appears_meanwhile_is_kept() {
        let work = tempfile::tempdir().unwrap();
        let path = work.path().join("x");
        let file = ResultFile::create(&path, Existing::Keep).unwrap();
        fs::write(&path, "of another program").unwrap();
        assert_eq!(file.commit().unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!((fs::read(&path).unwrap(), names(work.path()).len()), (b"of another program".to_vec(), 1));
    }

    #[test]
    fn two_writers_never_mix_their_bytes() {
        let work = tempfile::tempdir().unwrap();
        let path = work.path().join("x");
        let mut first = ResultFile::create(&path, Existing::Replace).unwrap();
        let mut second = ResultFile::create(&path, Existing::Replace).unwrap();
        for _ in 0..3 {
            first.write_all(b"a").unwrap();
            second.write_all(b"b").unwrap();
        }
        first.commit().unwrap();
        second.commit().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"bbb");
    }

    #[test]
    fn links_with_predictable_names_are_not_followed_and_a_linked_target_keeps_its_link() {
        let work = tempfile::tempdir().unwrap();
        let (real, link) = (work.path().join("real"), work.path().join("link"));
        fs::write(&real, "old").unwrap();
        symlink("real", &link).unwrap();
        write(&link, Existing::Replace, b"new").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&real).unwrap(), b"new");
        symlink("nowhere", work.path().join("dangling")).unwrap();
        assert!(write(&work.path().join("dangling"), Existing::Replace, b"x").is_err());
        assert!(!work.path().join("nowhere").exists());
    }

    #[test]
    fn devices_and_fifos_are_written_through() {
        write(Path::new("/dev/null"), Existing::Replace, b"x").unwrap();
        assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
        let work = tempfile::tempdir().unwrap();
        let fifo = work.path().join("fifo");
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RWXU).unwrap();
        let reader = std::thread::spawn({
            let fifo = fifo.clone();
            move || {
                let mut bytes = Vec::new();
                fs::File::open(fifo).unwrap().read_to_end(&mut bytes).unwrap();
                bytes
            }
        });
        write(&fifo, Existing::Keep, b"through").unwrap();
        assert_eq!(reader.join().unwrap(), b"through");
        assert!(fs::symlink_metadata(&fifo).unwrap().file_type().is_fifo());
    }

    #[test]
    #[expect(clippy::print_stdout, reason = "a test that does not run says so")]
    fn open_descriptors_are_written_through() {
        use std::os::fd::AsRawFd;
        let work = tempfile::tempdir().unwrap();
        let path = work.path().join("redirected");
        fs::write(&path, "before ").unwrap();
        let open = fs::OpenOptions::new().append(true).open(&path).unwrap();
        let descriptor = format!("/proc/self/fd/{}", open.as_raw_fd());
        if !Path::new(&descriptor).exists() {
            println!("skipped: this system has no /proc/self/fd");
            return;
        }
        write(Path::new(&descriptor), Existing::Replace, b"through").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"before through");
    }

    #[test]
    #[expect(clippy::print_stdout, reason = "a test that does not run says so")]
    fn a_file_in_shared_memory_is_replaced_like_any_other() {
        let Ok(work) = tempfile::tempdir_in("/dev/shm") else {
            println!("skipped: this system has no /dev/shm");
            return;
        };
        let path = work.path().join("x");
        for content in [&b"first"[..], b"second"] {
            write(&path, Existing::Replace, content).unwrap();
            assert_eq!(fs::read(&path).unwrap(), content);
        }
    }

    #[test]
    fn a_directory_is_not_a_target() {
        let work = tempfile::tempdir().unwrap();
        assert!(write(work.path(), Existing::Replace, b"x").is_err());
        assert!(ResultFile::create(Path::new("-"), Existing::Keep).unwrap().is_standard_output());
    }
}
