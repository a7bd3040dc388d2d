//! A directory whose content is reached through its descriptor.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, FileType, Metadata, OpenOptions};

use crate::file_state::FileState;

/// The kind of a directory entry. Links are not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NodeKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A device, FIFO or socket.
    Special,
}

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// The name in the directory.
    pub name: OsString,
    /// The kind. A link is not followed.
    pub kind: NodeKind,
    /// The size of a regular file in bytes, otherwise 0. It is also 0 for a file that vanished meanwhile.
    pub size: u64,
}

/// A directory that is opened once. All other paths are relative to it and cannot leave it.
///
/// Another process may replace a directory by a symbolic link at any time. A program that uses plain paths then reads or writes somewhere
/// else. Here the operating system refuses it.
///
/// ```
/// use std::io::Write;
///
/// use safe_files::Directory;
///
/// let work = tempfile::tempdir()?;
/// let directory = Directory::open(work.path())?;
/// directory.create_directories("data/plots")?;
/// directory.create_file("data/plots/a.csv")?.write_all(b"15,7.2\n")?;
/// assert!(directory.create_file("data/plots/a.csv").is_err());
/// assert!(directory.open_file("data/../../x").is_err());
/// directory.sync_tree()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Directory {
    dir: Dir,
    path: PathBuf,
}

impl Directory {
    /// Opens a directory. Links in `path` itself are followed.
    ///
    /// # Errors
    /// As the operating system.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { dir: Dir::open_ambient_dir(path, ambient_authority())?, path: path.to_owned() })
    }

    /// Returns the path under which the directory was opened, for messages.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the same directory again.
    ///
    /// # Errors
    /// As the operating system.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { dir: self.dir.try_clone()?, path: self.path.clone() })
    }

    /// Opens a directory below this one. The last component must not be a link.
    ///
    /// # Errors
    /// As the operating system; `NotADirectory` for a link.
    pub fn open_directory(&self, path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        match self.kind(path)? {
            Some(NodeKind::Directory) => {}
            Some(_) => return Err(io::Error::new(io::ErrorKind::NotADirectory, "expected a directory")),
            None => return Err(io::ErrorKind::NotFound.into()),
        }
        let opened = self.dir.open_dir(path)?;
        let (there, found) = (self.dir.symlink_metadata(path)?, opened.dir_metadata()?);
        if !is_same(&there, &found) {
            return Err(io::Error::other("another process replaced the directory"));
        }
        Ok(Self { dir: opened, path: self.path.join(path) })
    }

    /// Opens the directory with a name in this one, and creates it if nothing has the name. A link is not followed.
    ///
    /// # Errors
    /// As the operating system; `NotADirectory` for anything but a directory.
    pub fn enter(&self, name: impl AsRef<Path>) -> io::Result<Self> {
        match self.open_directory(&name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            opened => return opened,
        }
        match self.create_directory(&name) {
            // Another thread or process creates the same directory.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            created => created?,
        }
        self.open_directory(name)
    }

    /// Opens a regular file for reading. It must not be a link, device or FIFO.
    ///
    /// # Errors
    /// As the operating system; `InvalidInput` for anything but a regular file.
    pub fn open_file(&self, path: impl AsRef<Path>) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true);
        without_waiting(&mut options);
        self.open_regular(path.as_ref(), &options)
    }

    /// Opens a regular file for reading and writing, and creates it if nothing exists at the path. It must not be a link, device or
    /// FIFO.
    ///
    /// # Errors
    /// As [`Directory::open_file`].
    pub fn open_or_create_file(&self, path: impl AsRef<Path>) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true);
        without_waiting(&mut options);
        if self.kind(&path)? == Some(NodeKind::Link) {
            return Err(not_regular());
        }
        self.open_regular(path.as_ref(), &options)
    }

    fn open_regular(&self, path: &Path, options: &OpenOptions) -> io::Result<File> {
        let file = self.dir.open_with(path, options)?;
        let (there, found) = (self.dir.symlink_metadata(path)?, file.metadata()?);
        if !found.is_file() || there.is_symlink() {
            return Err(not_regular());
        }
        if !is_same(&there, &found) {
            return Err(io::Error::other("another process replaced the file"));
        }
        Ok(file.into_std())
    }

    /// Opens a regular file for reading, and follows links that stay inside this directory.
    ///
    /// # Errors
    /// As [`Directory::open_file`], except for such links.
    pub fn open_inside(&self, path: impl AsRef<Path>) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true);
        without_waiting(&mut options);
        let file = self.inside(path.as_ref(), |path| self.dir.open_with(path, &options))?;
        if !file.metadata()?.is_file() {
            return Err(not_regular());
        }
        Ok(file.into_std())
    }

    /// Returns the state of the file at a path, and follows links that stay inside this directory.
    ///
    /// # Errors
    /// As the operating system.
    pub fn state(&self, path: impl AsRef<Path>) -> io::Result<FileState> {
        let metadata = self.inside(path.as_ref(), |path| self.dir.metadata(path))?;
        Ok(FileState::of_entry(&metadata))
    }

    /// Does `work` at a path. An absolute link to a path inside is replaced by that path.
    fn inside<T>(&self, path: &Path, work: impl Fn(&Path) -> io::Result<T>) -> io::Result<T> {
        let failure = match work(path) {
            Err(failure) if self.kind(path).ok().flatten() == Some(NodeKind::Link) => failure,
            other => return other,
        };
        let target = std::fs::canonicalize(self.path.join(path))?;
        let root = std::fs::canonicalize(&self.path)?;
        // The path without links is used below the open directory, so this cannot lead out either.
        target.strip_prefix(root).map_err(|_| failure).and_then(work)
    }

    /// Creates a new file for writing and reading. Nothing may exist at the path.
    ///
    /// # Errors
    /// As the operating system; `AlreadyExists` if anything exists at the path.
    pub fn create_file(&self, path: impl AsRef<Path>) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        Ok(self.dir.open_with(path, &options)?.into_std())
    }

    /// Creates a file without a name, which vanishes with its last descriptor, or returns `None` where the system or the file system has
    /// none. [`Directory::name_file`] gives it a name.
    #[must_use]
    pub fn create_nameless_file(&self) -> Option<File> {
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{Mode, OFlags, openat};
            let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
            let file = File::from(openat(&self.dir, ".", flags, Mode::from_raw_mode(0o666)).ok()?);
            // The name is given through this path.
            std::path::Path::new(&open_path(&file)).exists().then_some(file)
        }
        #[cfg(not(target_os = "linux"))]
        None
    }

    /// Gives a name to a file without one, of the same file system. Nothing may exist at the name.
    ///
    /// # Errors
    /// As the operating system.
    pub fn name_file(&self, file: &File, name: &str) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{AtFlags, CWD, linkat};
            Ok(linkat(CWD, open_path(file), &self.dir, name, AtFlags::SYMLINK_FOLLOW)?)
        }
        #[cfg(not(target_os = "linux"))]
        {
            let _ = (file, name);
            Err(io::ErrorKind::Unsupported.into())
        }
    }

    /// Creates a symbolic link to a relative path. Nothing may exist at the path.
    ///
    /// # Errors
    /// As the operating system; `Unsupported` on other systems than Unix.
    pub fn create_link(&self, target: impl AsRef<Path>, path: impl AsRef<Path>) -> io::Result<()> {
        #[cfg(unix)]
        return self.dir.symlink(target, path);
        #[cfg(not(unix))]
        {
            let _ = (target, path);
            Err(io::ErrorKind::Unsupported.into())
        }
    }

    /// Creates a directory. Nothing may exist at the path.
    ///
    /// # Errors
    /// As the operating system.
    pub fn create_directory(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.dir.create_dir(path)
    }

    /// Creates a directory that only its owner can read and write. Nothing may exist at the path.
    ///
    /// # Errors
    /// As the operating system.
    pub fn create_private_directory(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let mut builder = cap_std::fs::DirBuilder::new();
        #[cfg(unix)]
        {
            use cap_std::fs::DirBuilderExt;
            builder.mode(0o700);
        }
        builder.recursive(false);
        self.dir.create_dir_with(path, &builder)
    }

    /// Creates a directory and those above it, where they do not exist yet.
    ///
    /// # Errors
    /// As the operating system.
    pub fn create_directories(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.dir.create_dir_all(path)
    }

    /// Returns the kind of the entry at a path, or `None` if nothing exists there. A link at the path is not followed.
    ///
    /// # Errors
    /// As the operating system.
    pub fn kind(&self, path: impl AsRef<Path>) -> io::Result<Option<NodeKind>> {
        match self.dir.symlink_metadata(path) {
            Ok(metadata) => Ok(Some(kind_of(metadata.file_type()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Says whether the directory belongs to this user, and no other user can write to it. On other systems than Unix it is always true.
    ///
    /// # Errors
    /// As the operating system.
    pub fn is_private(&self) -> io::Result<bool> {
        #[cfg(unix)]
        {
            use cap_std::fs::MetadataExt;
            let metadata = self.dir.dir_metadata()?;
            Ok(metadata.uid() == rustix::process::geteuid().as_raw() && metadata.mode() & 0o022 == 0)
        }
        #[cfg(not(unix))]
        Ok(true)
    }

    /// Returns numbers that identify the directory on this machine while it exists, or `None` on systems without them.
    ///
    /// # Errors
    /// As the operating system.
    pub fn identity(&self) -> io::Result<Option<(u64, u64)>> {
        #[cfg(unix)]
        {
            use cap_std::fs::MetadataExt;
            let metadata = self.dir.dir_metadata()?;
            Ok(Some((metadata.dev(), metadata.ino())))
        }
        #[cfg(not(unix))]
        Ok(None)
    }

    /// Iterates over the entries directly in the directory, in no order.
    ///
    /// # Errors
    /// As the operating system.
    pub fn entries(&self) -> io::Result<impl Iterator<Item = io::Result<Entry>> + use<>> {
        let describe = |entry: cap_std::fs::DirEntry| {
            let kind = kind_of(entry.file_type()?);
            let size = match kind {
                NodeKind::File => entry.metadata().map_or(0, |metadata| metadata.len()),
                _ => 0,
            };
            Ok(Entry { name: entry.file_name(), kind, size })
        };
        Ok(self.dir.entries()?.map(move |entry| entry.and_then(describe)))
    }

    /// Returns the names directly in the directory, sorted.
    ///
    /// # Errors
    /// As the operating system.
    pub fn names(&self) -> io::Result<Vec<OsString>> {
        let mut names = Vec::new();
        for entry in self.dir.entries()? {
            names.push(entry?.file_name());
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Renames a file or directory. It replaces a file at `to`.
    ///
    /// # Errors
    /// As the operating system.
    pub fn rename(&self, from: impl AsRef<Path>, into: &Self, to: impl AsRef<Path>) -> io::Result<()> {
        self.dir.rename(from, &into.dir, to)
    }

    /// Renames a file or directory, unless something exists at `to`.
    ///
    /// # Errors
    /// As the operating system; `AlreadyExists` if something exists at `to`.
    pub fn rename_new(&self, from: impl AsRef<Path>, into: &Self, to: impl AsRef<Path>) -> io::Result<()> {
        #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
        {
            use rustix::fs::{RenameFlags, renameat_with};
            match renameat_with(&self.dir, from.as_ref(), &into.dir, to.as_ref(), RenameFlags::NOREPLACE) {
                // Some file systems, such as NFS, do not have it.
                Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTSUP) => {}
                other => return other.map_err(io::Error::from),
            }
        }
        self.rename_new_by_link(from.as_ref(), into, to.as_ref())
    }

    /// Renames a file through a hard link, which never replaces anything. A directory is renamed after a look at the target.
    fn rename_new_by_link(&self, from: &Path, into: &Self, to: &Path) -> io::Result<()> {
        if self.kind(from)? == Some(NodeKind::File) {
            match self.dir.hard_link(from, &into.dir, to) {
                Ok(()) => return self.dir.remove_file(from),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(error),
                // Some file systems, such as FAT, have no hard links.
                Err(_) => {}
            }
        }
        if into.kind(to)?.is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.dir.rename(from, &into.dir, to)
    }

    /// Removes a file or link.
    ///
    /// # Errors
    /// As the operating system.
    pub fn remove_file(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.dir.remove_file(path)
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// As the operating system.
    pub fn remove_directory(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.dir.remove_dir(path)
    }

    /// Removes a directory with everything in it. Links in it are removed and not followed.
    ///
    /// # Errors
    /// As the operating system.
    pub fn remove_tree(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.dir.remove_dir_all(path)
    }

    /// Waits until the names in this directory are on the disk.
    ///
    /// # Errors
    /// As the operating system.
    pub fn sync(&self) -> io::Result<()> {
        // Other systems cannot open a directory as a file, and write its names at once.
        #[cfg(unix)]
        match rustix::fs::fsync(self.readable()?) {
            // Some file systems cannot sync a directory.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOTSUP) | Ok(()) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Waits until everything below this directory is on the disk: the content of all files and the names in all directories.
    ///
    /// On Linux, many files are written by one `syncfs` of their file system. A few files are synced one by one, so that the call does
    /// not wait for other programs.
    ///
    /// # Errors
    /// As the operating system, which also reports earlier failures to write.
    pub fn sync_tree(&self) -> io::Result<()> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if !self.has_few(&mut MOST_SINGLE_SYNCS.clone())? {
            rustix::fs::syncfs(self.readable()?)?;
            return Ok(());
        }
        self.sync_each()
    }

    /// Says whether at most `left` files and directories are below this directory.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn has_few(&self, left: &mut usize) -> io::Result<bool> {
        for entry in self.dir.entries()? {
            let entry = entry?;
            let Some(fewer) = left.checked_sub(1) else { return Ok(false) };
            *left = fewer;
            if entry.file_type()?.is_dir() {
                let inner = Self { dir: entry.open_dir()?, path: PathBuf::new() };
                if !inner.has_few(left)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Returns a descriptor that can be synced. The one of the directory may be for paths only (`O_PATH`).
    #[cfg(unix)]
    fn readable(&self) -> io::Result<std::os::fd::OwnedFd> {
        use rustix::fs::{Mode, OFlags, openat};
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(openat(&self.dir, ".", flags, Mode::empty())?)
    }

    /// Syncs files and directories one by one.
    fn sync_each(&self) -> io::Result<()> {
        for entry in self.dir.entries()? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                Self { dir: entry.open_dir()?, path: PathBuf::new() }.sync_each()?;
            } else if kind.is_file() {
                entry.open()?.sync_all()?;
            }
        }
        self.sync()
    }
}

/// Returns the path under which this process reaches an open file.
#[cfg(target_os = "linux")]
fn open_path(file: &File) -> String {
    use std::os::fd::AsRawFd;
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

/// The number of files and directories up to which [`Directory::sync_tree`] syncs each one.
#[cfg(any(target_os = "linux", target_os = "android"))]
const MOST_SINGLE_SYNCS: usize = 64;

fn kind_of(kind: FileType) -> NodeKind {
    if kind.is_symlink() {
        NodeKind::Link
    } else if kind.is_dir() {
        NodeKind::Directory
    } else if kind.is_file() {
        NodeKind::File
    } else {
        NodeKind::Special
    }
}

#[cfg(unix)]
fn is_same(first: &Metadata, second: &Metadata) -> bool {
    use cap_std::fs::MetadataExt;
    (first.dev(), first.ino()) == (second.dev(), second.ino())
}

#[cfg(not(unix))]
fn is_same(first: &Metadata, second: &Metadata) -> bool {
    first.is_dir() == second.is_dir()
}

fn not_regular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")
}

/// Opens a FIFO without waiting for its other end.
#[cfg(unix)]
fn without_waiting(options: &mut OpenOptions) {
    use cap_std::fs::OpenOptionsExt;
    options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32);
}

#[cfg(not(unix))]
fn without_waiting(_options: &mut OpenOptions) {}

/// Returns a name that no other program can guess.
pub(crate) fn random_name(prefix: &str) -> String {
    use std::hash::BuildHasher;
    // The keys of the hasher come from the operating system.
    let random = std::collections::hash_map::RandomState::new();
    format!("{prefix}{:016x}", random.hash_one(std::process::id()))
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::io::{Read, Write};
    use std::os::unix::fs::symlink;

    use super::{Directory, NodeKind};

    #[test]
    fn links_are_not_followed() {
        let work = tempfile::tempdir().unwrap();
        let inside = work.path().join("inside");
        fs::create_dir_all(inside.join("real")).unwrap();
        fs::create_dir(work.path().join("outside")).unwrap();
        fs::write(work.path().join("outside/secret"), "secret").unwrap();
        symlink("../outside", inside.join("out")).unwrap();
        symlink("../outside/secret", inside.join("file")).unwrap();
        symlink("real", inside.join("near")).unwrap();
        let directory = Directory::open(&inside).unwrap();
        assert!(directory.open_file("out/secret").is_err());
        assert!(directory.open_file("file").is_err());
        assert!(directory.create_file("out/new").is_err());
        assert!(directory.create_file("file").is_err());
        assert!(directory.create_directories("out/new").is_err());
        assert!(directory.open_directory("near").is_err());
        assert_eq!(directory.kind("near").unwrap(), Some(NodeKind::Link));
        assert_eq!(directory.kind("nothing").unwrap(), None);
        directory.remove_tree("out").ok();
        assert_eq!(fs::read(work.path().join("outside/secret")).unwrap(), b"secret");
        assert_eq!(fs::read_dir(work.path().join("outside")).unwrap().count(), 1);
    }

    #[test]
    fn links_that_stay_inside_are_followed_on_request() {
        let work = tempfile::tempdir().unwrap();
        let inside = work.path().join("inside");
        fs::create_dir_all(inside.join("sub")).unwrap();
        fs::write(inside.join("sub/x"), "x").unwrap();
        fs::write(work.path().join("secret"), "secret").unwrap();
        symlink("sub/x", inside.join("near")).unwrap();
        symlink(inside.join("sub/x"), inside.join("absolute")).unwrap();
        symlink("../secret", inside.join("out")).unwrap();
        symlink(work.path().join("secret"), inside.join("far")).unwrap();
        let directory = Directory::open(&inside).unwrap();
        for path in ["near", "absolute", "sub/x"] {
            let mut text = String::new();
            directory.open_inside(path).unwrap().read_to_string(&mut text).unwrap();
            assert_eq!((text.as_str(), directory.state(path).unwrap().size()), ("x", 1), "{path}");
        }
        for path in ["out", "far"] {
            assert!(directory.open_inside(path).is_err() && directory.state(path).is_err(), "{path}");
        }
        let mut entries: Vec<_> = directory.entries().unwrap().map(|entry| entry.unwrap()).collect();
        entries.sort_by(|left, right| left.name.cmp(&right.name));
        let kinds: Vec<_> = entries.iter().map(|entry| entry.kind).collect();
        assert_eq!(
            kinds,
            [NodeKind::Link, NodeKind::Link, NodeKind::Link, NodeKind::Link, NodeKind::Directory]
        );
    }

    #[test]
    fn a_fifo_does_not_block_and_is_not_a_file() {
        let work = tempfile::tempdir().unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, work.path().join("fifo"), rustix::fs::Mode::RUSR).unwrap();
        let directory = Directory::open(work.path()).unwrap();
        assert!(directory.open_file("fifo").is_err());
        assert_eq!(directory.kind("fifo").unwrap(), Some(NodeKind::Special));
    }

    #[test]
    fn renaming_to_a_new_name_replaces_nothing() {
        let work = tempfile::tempdir().unwrap();
        let directory = Directory::open(work.path()).unwrap();
        directory.create_file("a").unwrap().write_all(b"a").unwrap();
        directory.create_file("b").unwrap().write_all(b"b").unwrap();
        directory.create_directory("d").unwrap();
        for rename in [
            Directory::rename_new_by_link,
            |from: &Directory, a: &std::path::Path, into: &Directory, b: &std::path::Path| {
                from.rename_new(a, into, b)
            },
        ] {
            assert!(rename(&directory, "a".as_ref(), &directory, "b".as_ref()).is_err());
            assert!(rename(&directory, "a".as_ref(), &directory, "d".as_ref()).is_err());
            assert!(rename(&directory, "d".as_ref(), &directory, "b".as_ref()).is_err());
            rename(&directory, "a".as_ref(), &directory, "c".as_ref()).unwrap();
            rename(&directory, "c".as_ref(), &directory, "a".as_ref()).unwrap();
        }
        let mut text = String::new();
        directory.open_file("b").unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "b");
    }

    #[test]
    fn a_directory_or_file_is_opened_or_created_and_a_link_is_neither() {
        let work = tempfile::tempdir().unwrap();
        let inside = work.path().join("inside");
        fs::create_dir(&inside).unwrap();
        let directory = Directory::open(&inside).unwrap();
        directory.enter("a").unwrap().open_or_create_file("b").unwrap().write_all(b"1").unwrap();
        let mut text = String::new();
        directory.enter("a").unwrap().open_or_create_file("b").unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "1");
        directory.create_link("a", "near").unwrap();
        directory.create_link("a/b", "near-file").unwrap();
        directory.create_link("../new", "out").unwrap();
        for name in ["near", "near-file", "out"] {
            assert!(directory.enter(name).is_err(), "{name}");
            assert!(directory.open_or_create_file(name).is_err(), "{name}");
            assert!(directory.create_link("x", name).is_err(), "{name}");
        }
        assert!(directory.create_link("/etc", "absolute").is_err());
        assert!(!work.path().join("new").exists());
    }

    #[test]
    fn only_a_directory_of_ours_is_private() {
        use std::os::unix::fs::PermissionsExt;
        let work = tempfile::tempdir().unwrap();
        let directory = Directory::open(work.path()).unwrap();
        directory.create_private_directory("mine").unwrap();
        assert!(directory.open_directory("mine").unwrap().is_private().unwrap());
        fs::set_permissions(work.path().join("mine"), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(!directory.open_directory("mine").unwrap().is_private().unwrap());
    }

    #[test]
    fn trees_of_any_size_are_synced() {
        let work = tempfile::tempdir().unwrap();
        let directory = Directory::open(work.path()).unwrap();
        directory.create_directories("a/b").unwrap();
        directory.create_file("a/b/c").unwrap();
        directory.sync_tree().unwrap();
        (0..600).for_each(|number| _ = directory.create_file(format!("a/{number}")).unwrap());
        directory.sync_tree().unwrap();
    }
}
