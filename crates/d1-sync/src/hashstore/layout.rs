//! Where things are in a HashStore, and opening them without following links.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use oci_model::Digest;

use super::config::{self, Config, DIGITS};
use crate::{Error, Result};

/// The largest reference to an object that is read: 64 digits, and room for an end of line.
const REFERENCE_LIMIT: u64 = 1 << 10;

/// The largest list of identifiers of one object that is read.
pub(super) const LIST_LIMIT: u64 = 256 << 20;

/// A HashStore in a directory.
#[derive(Clone, Debug)]
pub(super) struct HashStore {
    root: PathBuf,
    pub(super) config: Config,
}

impl HashStore {
    /// Opens a store. It blocks.
    ///
    /// # Errors
    ///
    /// [`Error::NotAHashStore`] if it has no configuration, or one that cannot be used; [`Error::Io`].
    pub(super) fn open(directory: &Path) -> Result<Self> {
        let refused = |reason: String| Error::NotAHashStore { directory: directory.to_owned(), reason };
        fs::read_dir(directory).map_err(|error| Error::io("open", directory, error))?;
        let path = directory.join(config::FILE_NAME);
        let file = File::open(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => refused(format!("it has no {}", config::FILE_NAME)),
            _ => Error::io("open", &path, error),
        })?;
        let mut text = String::new();
        let read = file.take(config::FILE_LIMIT).read_to_string(&mut text);
        read.map_err(|error| Error::io("read", &path, error))?;
        Ok(Self { root: directory.to_owned(), config: Config::parse(&text).map_err(refused)? })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the path of an object, relative to the store, as all that follow.
    pub(super) fn object(&self, content: &str) -> String {
        format!("objects/{}", self.sharded(content))
    }

    /// Returns the path of the file that says which object an identifier has.
    pub(super) fn reference(&self, identifier: &str) -> String {
        self.reference_of_hash(&hex_of(identifier))
    }

    /// Returns the path of that file for an identifier of which the hash alone is known.
    pub(super) fn reference_of_hash(&self, hashed_identifier: &str) -> String {
        format!("refs/pids/{}", self.sharded(hashed_identifier))
    }

    /// Returns the path of the list of identifiers of an object.
    pub(super) fn list(&self, content: &str) -> String {
        format!("refs/cids/{}", self.sharded(content))
    }

    /// Returns the path of an identifier's system metadata.
    pub(super) fn system_metadata(&self, identifier: &str) -> String {
        let name = hex_of(&format!("{identifier}{}", self.config.namespace));
        format!("{}/{name}", self.documents(&hex_of(identifier)))
    }

    /// Returns the directory of the documents of an identifier with this hash.
    pub(super) fn documents(&self, hashed_identifier: &str) -> String {
        format!("metadata/{}", self.sharded(hashed_identifier))
    }

    /// Returns a name as the store cuts it into directories; what is no name of the store stays whole.
    fn sharded(&self, name: &str) -> String {
        let mut path = String::with_capacity(DIGITS + self.config.depth);
        let mut rest = name;
        for _ in 0..self.config.depth {
            let Some((directory, after)) = rest.split_at_checked(self.config.width) else { break };
            path.push_str(directory);
            path.push('/');
            rest = after;
        }
        path + rest
    }

    /// Opens a file and returns its size; nothing is opened that a link below the store's own directories leads to.
    pub(super) fn open_file(&self, relative: &str) -> io::Result<(File, u64)> {
        let mut path = self.root.clone();
        let mut components = relative.split('/').enumerate().peekable();
        while let Some((depth, component)) = components.next() {
            path.push(component);
            // `objects` and its like may be on other disks.
            if depth == 0 {
                continue;
            }
            let kind = fs::symlink_metadata(&path)?.file_type();
            let is_right = if components.peek().is_some() { kind.is_dir() } else { kind.is_file() };
            if !is_right {
                let what = if kind.is_symlink() { "a link" } else { "neither file nor directory" };
                return Err(io::Error::other(format!("`{component}` in its path is {what}")));
            }
        }
        let file = File::open(&path)?;
        let size = file.metadata()?.len();
        Ok((file, size))
    }

    /// Reads a small file; `None` if it is not there.
    pub(super) fn read_file(&self, relative: &str, limit: u64) -> io::Result<Option<Vec<u8>>> {
        let (file, size) = match self.open_file(relative) {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if size > limit {
            return Err(io::Error::other(format!("it has {size} bytes, and {limit} are read at most")));
        }
        let mut bytes = Vec::new();
        file.take(limit).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// Reads the name of an object from the file of an identifier; `None` if there is no such file.
    pub(super) fn read_reference(&self, relative: &str) -> io::Result<Option<String>> {
        let Some(bytes) = self.read_file(relative, REFERENCE_LIMIT)? else { return Ok(None) };
        let text = String::from_utf8_lossy(&bytes);
        let name = text.trim_end_matches(['\r', '\n']);
        if !is_name(name) {
            return Err(io::Error::other("it does not hold the name of an object"));
        }
        Ok(Some(name.to_owned()))
    }
}

/// Tells whether a text is a name of the store: a SHA-256 in lower-case hexadecimal digits.
pub(super) fn is_name(text: &str) -> bool {
    text.len() == DIGITS && is_hex(text)
}

pub(super) fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

pub(super) fn hex_of(text: &str) -> String {
    Digest::sha256_of(text.as_bytes()).encoded().to_owned()
}
