//! A directory beside the final place, in which pulled files wait until all of them are right.

use std::convert::Infallible;
use std::fs::{self, DirEntry, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use multi_digest::{Algorithm, HashingReader, MultiHasher};
use oci_model::Digest;
use safe_files::{Directory, NodeKind};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::archive::comes_twice;
use crate::error::{Error, Result};

/// The directory of finished files in the staging directory.
const FILES: &str = "files";

/// The directory of partial files.
const PARTS: &str = "parts";

/// The file that is locked while a process uses the staging directory.
const LOCK: &str = "lock";

/// How often a lock is tried again because another process removed its file.
const MOST_ATTEMPTS: u32 = 10;

/// A directory in the output directory, named after the manifest and the selection of files. The next pull of
/// the same files finds in it what an interrupted one has left.
///
/// Threads that write into it hold it, so it stays locked until the last of them has ended. If it is empty
/// then, it is removed.
#[derive(Debug)]
pub struct Staging {
    output: PathBuf,
    root: PathBuf,
    /// The directories as they were opened. They stay the same if another process puts links in their places.
    opened: Opened,
    /// The operating system releases the lock when the process ends.
    lock: Option<File>,
    /// Dropped with the staging directory, which ends the wait for it.
    _in_use: Sender<Infallible>,
}

/// The open directories of a staging area.
#[derive(Debug)]
struct Opened {
    output: Directory,
    root: Directory,
    files: Directory,
    parts: Directory,
}

/// Waits for the end of all threads that use a staging directory.
#[derive(Debug)]
pub struct Released(Receiver<Infallible>);

impl Released {
    /// Waits until no thread uses the staging directory.
    pub async fn wait(mut self) {
        let _ = self.0.recv().await;
    }
}

impl Staging {
    /// Opens the staging directory of a manifest, or of a selection of its files. It creates missing
    /// directories.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] if another process pulls the same files into the same directory. [`Error::Io`] if the
    /// file system refuses.
    pub fn open(
        output: &Path,
        manifest: &Digest,
        selection: Option<&Digest>,
    ) -> Result<(Arc<Self>, Released)> {
        let selection = selection.map(|digest| format!("-{}", digest.short())).unwrap_or_default();
        let root = output.join(format!(".d1oci-pull-{}{selection}", manifest.short()));
        fs::create_dir_all(output).map_err(|error| Error::io("create", output, error))?;
        let lock = lock(output, &root)?;
        let opened = open_own(output, &root)?;
        let (sender, receiver) = channel(1);
        let staging = Self { output: output.to_owned(), root, opened, lock: Some(lock), _in_use: sender };
        Ok((Arc::new(staging), Released(receiver)))
    }

    /// Returns the directory of everything in the staging area.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the output directory.
    pub(crate) fn output(&self) -> &Path {
        &self.output
    }

    /// Returns the directory that stands for the output directory until the end.
    #[must_use]
    pub fn files(&self) -> PathBuf {
        self.root.join(FILES)
    }

    /// Returns the path of a finished file. The caller has checked that the relative path is safe.
    pub(crate) fn finished(&self, path: &str) -> PathBuf {
        self.files().join(path)
    }

    /// Returns the path of the partial file with this key. Its name has a fixed length.
    pub(crate) fn partial(&self, key: &str) -> PathBuf {
        self.root.join(PARTS).join(Digest::sha256_of(key.as_bytes()).encoded())
    }

    /// Removes all finished files except the regular files that `keep` accepts.
    pub fn keep_only(&self, keep: &mut dyn FnMut(&str) -> bool) -> Result<()> {
        sweep(&self.files(), "", keep)
    }

    /// Opens the partial file with this path, and creates it if it does not exist.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the file system refuses, or if anything but a regular file has the path.
    pub(crate) fn open_partial(&self, partial: &Path) -> Result<File> {
        let opened = self.opened.parts.open_or_create_file(partial.file_name().unwrap_or_default());
        opened.map_err(|error| Error::io("open", partial, error))
    }

    /// Opens a directory among the finished files, and creates it and those above it.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the file system refuses, or if a link has the place of a directory.
    pub(crate) fn directory(&self, path: &str) -> Result<Directory> {
        let failed = |error| Error::io("open", self.files(), error);
        let mut directory = self.opened.files.try_clone().map_err(failed)?;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let entered = directory.enter(name);
            directory =
                entered.map_err(|error| Error::io("write through", directory.path().join(name), error))?;
        }
        Ok(directory)
    }

    /// Moves a partial file to its name among the finished files.
    ///
    /// # Errors
    ///
    /// [`Error::Content`] if the name already exists. [`Error::Io`] if the file system refuses.
    pub(crate) fn finish(&self, partial: &Path, path: &str) -> Result<()> {
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        let from = partial.file_name().unwrap_or_default();
        let moved = self.opened.parts.rename_new(from, &self.directory(above)?, name);
        moved.map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => Error::content(path, comes_twice(Path::new(path))),
            _ => Error::io("rename", partial, error),
        })
    }

    /// Moves all finished files to their final places, and empties the staging directory.
    ///
    /// Files that already exist with the same content stay. Other files are replaced only if `overwrite` is
    /// set.
    ///
    /// # Errors
    ///
    /// [`Error::TargetHolds`] with all other files at the target, before anything has moved.
    pub fn publish(&self, overwrite: bool) -> Result<()> {
        let mut in_the_way = Vec::new();
        look_ahead(&self.files(), &self.output, overwrite, &mut in_the_way)?;
        if !in_the_way.is_empty() {
            in_the_way.sort();
            return Err(Error::TargetHolds { paths: in_the_way });
        }
        // After a power failure, no file may be empty under its final name.
        let Opened { output, root, files, .. } = &self.opened;
        files.sync_tree().map_err(|error| Error::io("sync", self.files(), error))?;
        self.check_place()?;
        merge(files, output, &self.output)?;
        for name in [FILES, PARTS] {
            root.remove_tree(name).map_err(|error| Error::io("remove", self.root.join(name), error))?;
        }
        Ok(())
    }

    /// Refuses a staging directory that another process has replaced: its files may be anywhere.
    fn check_place(&self) -> Result<()> {
        let identity =
            self.opened.root.identity().map_err(|error| Error::io("look at", &self.root, error))?;
        let is_same = existing(&self.root)?.is_some_and(|there| Some((there.dev(), there.ino())) == identity);
        if is_same { Ok(()) } else { Err(not_ours(&self.root)) }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        let Opened { output, root, .. } = &self.opened;
        for name in [FILES, PARTS] {
            match root.remove_directory(name) {
                Err(error) if error.kind() != ErrorKind::NotFound => return,
                _ => {}
            }
        }
        // Failures do not matter here. The directory goes before the lock, so that no other process is in it.
        // On a network file system an open file keeps the directory from going, so remove it again afterwards.
        let name = self.root.file_name().unwrap_or_default();
        let _ = root.remove_file(LOCK);
        let _ = output.remove_directory(name);
        drop(self.lock.take());
        let _ = output.remove_directory(name);
    }
}

fn lock_path(root: &Path) -> PathBuf {
    root.join(LOCK)
}

/// Creates the staging directory and takes its lock.
fn lock(output: &Path, root: &Path) -> Result<File> {
    let path = lock_path(root);
    for _ in 0..MOST_ATTEMPTS {
        make_own_directory(root)?;
        if existing(&path)?.is_some_and(|found| !found.is_file()) {
            return Err(not_ours(&path));
        }
        let opened = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
        let lock = match opened {
            // Another process has just ended and removed the directory.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            opened => opened.map_err(|error| Error::io("create", &path, error))?,
        };
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::Busy { directory: output.to_owned() }),
            Err(TryLockError::Error(error)) => return Err(Error::io("lock", &path, error)),
        }
        // A lock on a removed file protects nothing.
        let held = lock.metadata().map_err(|error| Error::io("look at", &path, error))?;
        if existing(&path)?.is_some_and(|found| (found.dev(), found.ino()) == (held.dev(), held.ino())) {
            return Ok(lock);
        }
    }
    Err(Error::Busy { directory: output.to_owned() })
}

/// Creates a directory that only its owner can use. One that exists must belong to this user, and no other user may
/// have written into it.
fn make_own_directory(path: &Path) -> Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        made => return made.map_err(|error| Error::io("create", path, error)),
    }
    let Some(found) = existing(path)? else { return Err(not_ours(path)) };
    let is_ours = found.is_dir() && found.uid() == rustix::process::geteuid().as_raw();
    if !is_ours || found.mode() & 0o022 != 0 {
        return Err(not_ours(path));
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
        .map_err(|error| Error::io("create", path, error))
}

/// Writes everything that the file system of a path has not written yet: one call for any number of files.
///
/// # Errors
///
/// [`Error::Io`] if it cannot be written.
pub fn sync_file_system(path: &Path) -> Result<()> {
    let failed = |error: io::Error| Error::io("sync", path, error);
    let directory = File::open(path).map_err(failed)?;
    #[cfg(target_os = "linux")]
    rustix::fs::syncfs(&directory).map_err(|error| failed(error.into()))?;
    #[cfg(not(target_os = "linux"))]
    rustix::fs::sync();
    drop(directory);
    Ok(())
}

/// Writes the entries of a directory, so that a rename in it survives a power failure.
///
/// # Errors
///
/// [`Error::Io`] if they cannot be written.
pub fn sync_directory(path: &Path) -> Result<()> {
    safe_files::sync_directory(path).map_err(|error| Error::io("sync", path, error))
}

fn not_ours(path: &Path) -> Error {
    Error::io("use", path, io::Error::new(ErrorKind::AlreadyExists, "another file is there"))
}

/// Lists a directory, and closes it before anything changes.
fn entries(directory: &Path) -> Result<Vec<DirEntry>> {
    let failed = |error| Error::io("list", directory, error);
    fs::read_dir(directory).map_err(failed)?.collect::<io::Result<_>>().map_err(failed)
}

fn is_directory(entry: &DirEntry) -> Result<bool> {
    let kind = entry.file_type().map_err(|error| Error::io("look at", entry.path(), error))?;
    Ok(kind.is_dir())
}

fn sweep(directory: &Path, prefix: &str, keep: &mut dyn FnMut(&str) -> bool) -> Result<()> {
    for entry in entries(directory)? {
        let place = entry.path();
        let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if is_directory(&entry)? {
            sweep(&place, &format!("{path}/"), keep)?;
            // This fails if a file stays in it.
            let _ = fs::remove_dir(&place);
        } else if !entry.file_type().is_ok_and(|kind| kind.is_file()) || !keep(&path) {
            fs::remove_file(&place).map_err(|error| Error::io("remove", &place, error))?;
        }
    }
    Ok(())
}

/// Checks before anything moves that nothing blocks the way, and that no link leads elsewhere.
fn look_ahead(from: &Path, to: &Path, overwrite: bool, in_the_way: &mut Vec<PathBuf>) -> Result<()> {
    for entry in entries(from)? {
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let directory = is_directory(&entry)?;
        match existing(&target)? {
            None => {}
            Some(found) if directory && found.is_dir() => {
                look_ahead(&source, &target, overwrite, in_the_way)?;
            }
            Some(found)
                if !directory && is_replaceable(&found) && (overwrite || is_same(&source, &target)?) => {}
            Some(_) => in_the_way.push(target),
        }
    }
    Ok(())
}

/// Tells whether a file may be replaced: devices, FIFOs and sockets never are.
pub(crate) fn is_replaceable(found: &fs::Metadata) -> bool {
    found.is_file() || found.is_symlink()
}

/// Tells whether two files have equal content, or two links equal targets.
fn is_same(left: &Path, right: &Path) -> Result<bool> {
    let metadata =
        |path: &Path| fs::symlink_metadata(path).map_err(|error| Error::io("look at", path, error));
    let (is_file, is_other_file) = (metadata(left)?.is_file(), metadata(right)?.is_file());
    if !is_file || !is_other_file {
        return Ok(
            fs::read_link(left).is_ok_and(|target| fs::read_link(right).is_ok_and(|other| other == target))
        );
    }
    if metadata(left)?.len() != metadata(right)?.len() {
        return Ok(false);
    }
    let digest = |path: &Path| {
        let failed = |error| Error::io("read", path, error);
        let mut reader =
            HashingReader::new(File::open(path).map_err(failed)?, MultiHasher::new(Algorithm::Sha256.into()));
        io::copy(&mut reader, &mut io::sink()).map_err(failed)?;
        Ok::<_, Error>(reader.into_hasher().finish())
    };
    Ok(digest(left)? == digest(right)?)
}

/// Moves the content of one directory into another, whole trees where possible. Every directory is reached through its
/// descriptor: a link that another process puts in its place is an error. `shown` is the path of `to` for messages.
fn merge(from: &Directory, to: &Directory, shown: &Path) -> Result<()> {
    for name in from.names().map_err(|error| Error::io("list", from.path(), error))? {
        let target = shown.join(&name);
        let moved = || -> io::Result<Option<(Directory, Directory)>> {
            match (from.kind(&name)?, to.kind(&name)?) {
                (Some(NodeKind::Directory), Some(NodeKind::Directory)) => {
                    Ok(Some((from.open_directory(&name)?, to.open_directory(&name)?)))
                }
                (_, None) => from.rename_new(&name, to, &name).map(|()| None),
                // It is equal, or the user wants to replace it.
                _ => from.rename(&name, to, &name).map(|()| None),
            }
        };
        if let Some((from, to)) = moved().map_err(|error| Error::io("write", &target, error))? {
            merge(&from, &to, &target)?;
        }
    }
    to.sync().map_err(|error| Error::io("sync", shown, error))
}

/// Opens the output directory and the staging directory in it, which must still be this user's own.
fn open_own(output: &Path, root: &Path) -> Result<Opened> {
    let opened = || -> io::Result<_> {
        let output = Directory::open(output)?;
        let root = output.open_directory(root.file_name().unwrap_or_default())?;
        if !root.is_private()? {
            return Ok(None);
        }
        let (files, parts) = (root.enter(FILES)?, root.enter(PARTS)?);
        Ok(Some(Opened { output, root, files, parts }))
    };
    opened().map_err(|error| Error::io("open", root, error))?.ok_or_else(|| not_ours(root))
}

/// Returns the metadata of a path without following links.
pub(crate) fn existing(path: &Path) -> Result<Option<fs::Metadata>> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(Error::io("look at", path, error)),
    }
}

/// Refuses paths that lead through a link below `base`.
///
/// # Errors
///
/// [`Error::Io`] naming the link.
pub(crate) fn refuse_links(base: &Path, path: &str) -> Result<()> {
    let mut place = base.to_owned();
    let Some((parents, _)) = path.rsplit_once('/') else { return Ok(()) };
    for component in parents.split('/') {
        place.push(component);
        match existing(&place)? {
            None => return Ok(()),
            Some(metadata) if metadata.is_dir() => {}
            Some(_) => {
                let error = io::Error::new(ErrorKind::NotADirectory, "it is not a directory");
                return Err(Error::io("write through", &place, error));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
