//! The directories below a bag in which its new content waits, and the last steps that put it in place.
//!
//! Such a directory can come from anybody: from an archive, a package, or another user. The content of one is used only if this crate
//! made it for this bag, as its marker proves.

use std::ffi::OsStr;
use std::io::{self, Read, Write};

use multi_digest::{Algorithm, MultiHasher};
use safe_files::{Directory, NodeKind};

use crate::declaration;
use crate::error::{Error, Result};
use crate::tag_files::TagFiles;
use crate::text::{decode_path, encode_path};
use crate::version::Version;

/// The name of the directory below a bag that collects new content until it is complete.
pub(crate) const PARTIAL_NAME: &str = safe_files::WORK_NAMES[0];
/// The name of the same directory once it is complete. Its content only has to move up.
pub(crate) const COMMIT_NAME: &str = safe_files::WORK_NAMES[1];
/// The file in such a directory that proves its origin.
const MARKER_NAME: &str = ".bagit-marker";
/// The file in a complete directory that lists its content.
const LIST_NAME: &str = ".bagit-list";
const MARKER_TITLE: &str = "bagit work directory 1";
/// The largest marker or list in bytes. It has a line for each entry at the top of a bag.
const MOST_BYTES: u64 = 256 << 20;

/// A directory below a bag that this crate made for this bag.
#[derive(Debug)]
pub(crate) struct Workplace {
    bag: Directory,
    directory: Directory,
    name: &'static str,
}

/// One line of the list of a complete directory.
#[derive(Debug)]
struct Listed {
    what: What,
    name: String,
}

#[derive(Debug, PartialEq, Eq)]
enum What {
    /// A file at the top of the bag to remove, with its SHA-256.
    Obsolete(String),
    /// A new file, with its SHA-256.
    File(String),
    /// A new directory, with its identity.
    Directory(String),
}

impl Workplace {
    /// Creates an empty directory for new content, which only this user can reach. `moving` has the names that will move into its `data/`.
    pub(crate) fn begin(bag: &Directory, moving: &[String]) -> Result<Self> {
        let bag = reopened(bag)?;
        let path = bag.path().join(PARTIAL_NAME);
        let made = bag.create_private_directory(PARTIAL_NAME).and_then(|()| bag.open_directory(PARTIAL_NAME));
        let directory = made.map_err(Error::io("create the directory", &path))?;
        let workplace = Self { bag, directory, name: PARTIAL_NAME };
        let mut text = workplace.heading()?;
        moving.iter().for_each(|name| text.push_str(&format!("moves {}\n", encode_path(name))));
        workplace.write(MARKER_NAME, &text)?;
        Ok(workplace)
    }

    /// Opens the directory of an interrupted call, if there is one.
    ///
    /// # Errors
    /// [`Error::ForeignWork`] if this crate did not make it for this bag.
    pub(crate) fn interrupted(bag: &Directory) -> Result<Option<Self>> {
        Self::open(bag, PARTIAL_NAME)
    }

    fn open(bag: &Directory, name: &'static str) -> Result<Option<Self>> {
        let path = bag.path().join(name);
        if bag.kind(name).map_err(Error::io("look at", &path))?.is_none() {
            return Ok(None);
        }
        let foreign = |_: io::Error| Error::ForeignWork(path.clone());
        let directory = bag.open_directory(name).map_err(foreign)?;
        let workplace = Self { bag: reopened(bag)?, directory, name };
        if !workplace.directory.is_private().map_err(foreign)? {
            return Err(Error::ForeignWork(path));
        }
        let heading = workplace.heading()?;
        if workplace.read(MARKER_NAME).is_ok_and(|marker| marker.starts_with(&heading)) {
            return Ok(Some(workplace));
        }
        // The call was interrupted while it wrote the first file, or when it had removed the last one.
        let names = workplace.directory.names().map_err(foreign)?;
        if names.iter().all(|name| name == MARKER_NAME) {
            workplace.discard()?;
            return Ok(None);
        }
        Err(Error::ForeignWork(path))
    }

    /// Returns the first lines of the marker. They name this directory and its bag by numbers that no archive can know.
    fn heading(&self) -> Result<String> {
        let identity = |directory: &Directory| match directory.identity() {
            Ok(Some((device, node))) => Ok(format!("{device} {node}")),
            Ok(None) => Ok("unknown".to_owned()),
            Err(error) => Err(Error::io("look at", directory.path())(error)),
        };
        Ok(format!(
            "{MARKER_TITLE}\nbag {}\ndirectory {}\n",
            identity(&self.bag)?,
            identity(&self.directory)?
        ))
    }

    /// Says whether a name is that of a file about the content.
    pub(crate) fn is_about(name: &str) -> bool {
        matches!(name, MARKER_NAME | LIST_NAME)
    }

    /// Returns the directory to fill.
    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Says whether payload has moved into the directory.
    ///
    /// # Errors
    /// [`Error::ForeignWork`] if something else is in its `data/`.
    pub(crate) fn has_payload(&self) -> Result<bool> {
        let path = self.directory.path();
        if self.directory.kind("data").map_err(Error::io("look at", path))? != Some(NodeKind::Directory) {
            return Ok(false);
        }
        let data = self.directory.open_directory("data").and_then(|data| data.names());
        let names = data.map_err(Error::io("read the directory", path))?;
        let marker = self.read(MARKER_NAME).map_err(Error::io("read", path))?;
        let lines = marker.lines().filter_map(|line| line.strip_prefix("moves "));
        let moved: std::collections::HashSet<_> =
            lines.map(|name| decode_path(name, Version::V1_0)).collect();
        let is_listed = |name: &OsStr| name.to_str().is_some_and(|name| moved.contains(name));
        if names.iter().all(|name| is_listed(name)) {
            Ok(!names.is_empty())
        } else {
            Err(Error::ForeignWork(path.to_owned()))
        }
    }

    /// Removes the directory with its content.
    pub(crate) fn discard(self) -> Result<()> {
        let removed = self.bag.remove_tree(self.name).and_then(|()| self.bag.sync());
        removed.map_err(Error::io("remove", self.bag.path().join(self.name)))
    }

    /// Declares the directory complete, and moves its content up.
    ///
    /// `obsolete` has the names of tag files at the top of the bag to remove. No new file has one of these names.
    pub(crate) fn commit(self, obsolete: &[String]) -> Result<()> {
        self.complete(obsolete)?.finish()
    }

    /// Writes the list and everything else to the disk, and renames the directory. The rest can be done by [`finish_interrupted`] too.
    pub(super) fn complete(mut self, obsolete: &[String]) -> Result<Self> {
        let mut list = Vec::new();
        for name in obsolete {
            let path = self.bag.path().join(name);
            let digest = digest(&self.bag, name).map_err(Error::io("read", path))?;
            list.push(Listed { what: What::Obsolete(digest), name: name.clone() });
        }
        for name in self.content()? {
            let what = describe(&self.directory, &name);
            let what = what.map_err(Error::io("read", self.directory.path().join(&name)))?;
            list.push(Listed { what: what.ok_or_else(|| self.foreign())?, name });
        }
        let text: String = list.iter().map(Listed::line).collect();
        self.write(LIST_NAME, &text)?;
        self.directory.sync_tree().map_err(Error::io("write", self.directory.path()))?;
        let renamed = self.bag.rename_new(self.name, &self.bag, COMMIT_NAME).and_then(|()| self.bag.sync());
        renamed.map_err(Error::io("rename", self.directory.path()))?;
        self.name = COMMIT_NAME;
        Ok(self)
    }

    /// Moves the content up. Each step can be repeated: it skips the files that are removed or moved already.
    fn finish(self) -> Result<()> {
        let path = self.bag.path().join(self.name);
        let failed = |name: &str| Error::io("move into place", self.bag.path().join(name));
        let mut list = self.listed()?;
        // The payload comes first, and the declaration that makes the directory a bag last.
        list.sort_by_key(|listed| match listed.name.as_str() {
            "data" => 0,
            declaration::FILE_NAME => 2,
            _ => 1,
        });
        for Listed { what, name } in &list {
            let kind = self.directory.kind(name).map_err(failed(name))?;
            let step = match what {
                What::Obsolete(_) => match self.bag.remove_file(name) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                    _ => Ok(()),
                },
                _ if kind.is_none() => Ok(()),
                What::File(_) if TagFiles::wants(name) => self.directory.rename(name, &self.bag, name),
                What::File(_) | What::Directory(_) => self.directory.rename_new(name, &self.bag, name),
            };
            step.map_err(failed(name))?;
        }
        self.bag.sync().map_err(Error::io("write", self.bag.path()))?;
        for name in [LIST_NAME, MARKER_NAME] {
            self.directory.remove_file(name).map_err(Error::io("remove", path.join(name)))?;
        }
        let removed = self.bag.remove_directory(self.name).and_then(|()| self.bag.sync());
        removed.map_err(Error::io("remove", path))
    }

    /// Reads the list, and compares it with the content of the directory and of the bag.
    ///
    /// # Errors
    /// [`Error::ForeignWork`] if anything differs. Nothing has changed then.
    fn listed(&self) -> Result<Vec<Listed>> {
        let text = self.read(LIST_NAME).map_err(|_| self.foreign())?;
        let list: Option<Vec<Listed>> = text.lines().map(Listed::parse).collect();
        let list = list.ok_or_else(|| self.foreign())?;
        let names = self.content()?;
        let is_listed = |name: &String| {
            list.iter().any(|listed| !matches!(listed.what, What::Obsolete(_)) && listed.name == *name)
        };
        let same = |directory: &Directory, listed: &Listed| {
            describe(directory, &listed.name).is_ok_and(|found| found.as_ref() == Some(&listed.what))
        };
        let is_right = |listed: &Listed| match &listed.what {
            What::Obsolete(expected) => match self.bag.kind(&listed.name) {
                Ok(None) => true,
                Ok(Some(NodeKind::File)) => {
                    digest(&self.bag, &listed.name).is_ok_and(|found| found == *expected)
                }
                _ => false,
            },
            _ if names.contains(&listed.name) => same(&self.directory, listed),
            _ => same(&self.bag, listed),
        };
        if names.iter().all(is_listed) && list.iter().all(is_right) { Ok(list) } else { Err(self.foreign()) }
    }

    /// Returns the names of the content, without the files about it.
    fn content(&self) -> Result<Vec<String>> {
        let names = self.directory.names().map_err(Error::io("read the directory", self.directory.path()))?;
        let names = names.into_iter().filter(|name| !name.to_str().is_some_and(Self::is_about));
        names.map(|name| name.into_string().map_err(|_| self.foreign())).collect()
    }

    fn foreign(&self) -> Error {
        Error::ForeignWork(self.bag.path().join(self.name))
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let written = self.directory.create_file(name).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        });
        let written = written.and_then(|()| self.directory.sync()).and_then(|()| self.bag.sync());
        written.map_err(Error::io("write", self.directory.path().join(name)))
    }

    fn read(&self, name: &str) -> io::Result<String> {
        let mut text = String::new();
        self.directory.open_file(name)?.take(MOST_BYTES).read_to_string(&mut text)?;
        Ok(text)
    }
}

/// Finishes an interrupted commit. Returns `false` if there is none.
///
/// # Errors
/// [`Error::ForeignWork`] if a directory has its name, and this crate did not make it for this bag.
pub(crate) fn finish_interrupted(bag: &Directory) -> Result<bool> {
    let exists = bag.kind(COMMIT_NAME).map_err(Error::io("look at", bag.path()))?.is_some();
    // Only the last step was missing if nothing is left.
    let Some(workplace) = Workplace::open(bag, COMMIT_NAME)? else { return Ok(exists) };
    // The last steps of a commit remove the list and the marker.
    let is_done = workplace.content()?.is_empty()
        && workplace.directory.kind(LIST_NAME).is_ok_and(|kind| kind.is_none());
    if is_done {
        workplace.discard()?
    } else {
        workplace.finish()?
    }
    Ok(true)
}

impl Listed {
    fn line(&self) -> String {
        let (what, proof) = match &self.what {
            What::Obsolete(digest) => ("obsolete", digest),
            What::File(digest) => ("file", digest),
            What::Directory(identity) => ("directory", identity),
        };
        format!("{what} {proof} {}\n", encode_path(&self.name))
    }

    fn parse(line: &str) -> Option<Self> {
        let mut parts = line.splitn(3, ' ');
        let (what, proof) = (parts.next()?, parts.next()?.to_owned());
        let name = decode_path(parts.next()?, Version::V1_0).into_owned();
        let what = match what {
            "obsolete" if TagFiles::wants(&name) => What::Obsolete(proof),
            "file" => What::File(proof),
            "directory" => What::Directory(proof),
            _ => return None,
        };
        let is_plain = !name.is_empty() && !name.contains(['/', '\\']) && name != ".." && name != ".";
        is_plain.then_some(Self { what, name })
    }
}

/// Returns what proves the entry of a directory, or `None` for an entry that is neither a file nor a directory.
fn describe(directory: &Directory, name: &str) -> io::Result<Option<What>> {
    match directory.kind(name)? {
        Some(NodeKind::File) => digest(directory, name).map(|digest| Some(What::File(digest))),
        Some(NodeKind::Directory) => {
            let identity = directory.open_directory(name)?.identity()?;
            let text =
                identity.map_or_else(|| "unknown".to_owned(), |(device, node)| format!("{device}:{node}"));
            Ok(Some(What::Directory(text)))
        }
        _ => Ok(None),
    }
}

fn digest(directory: &Directory, name: &str) -> io::Result<String> {
    let mut file = directory.open_file(name)?;
    let mut hasher = MultiHasher::new(Algorithm::Sha256.into());
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = file.read(&mut buffer)?;
        let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
        hasher.update(bytes);
    }
    Ok(hasher.finish().hex(Algorithm::Sha256).unwrap_or_default())
}

fn reopened(directory: &Directory) -> Result<Directory> {
    directory.try_clone().map_err(Error::io("open", directory.path()))
}
