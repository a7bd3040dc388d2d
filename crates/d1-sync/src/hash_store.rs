//! HashStores, in which Metacat keeps its objects: their layout, and the objects that their references list.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use d1_model::{Identifier, MAX_SYSTEM_METADATA_BYTES, SystemMetadata};
use oci_model::Digest;
use serde::Serialize;

use crate::error::{Error, Result};

/// A fault of an object that was not imported, or of a file that belongs to no object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ImportFault {
    /// The object's identifier, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identifier: Option<String>,
    /// The faulty file, relative to the store.
    pub path: String,
    /// The fault, in words.
    pub message: String,
}

impl ImportFault {
    pub(crate) fn of(identifier: &str, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { identifier: Some(identifier.to_owned()), path: path.into(), message: message.into() }
    }

    pub(crate) fn at(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { identifier: None, path: path.into(), message: message.into() }
    }
}

/// The largest reference that is read: 64 digits and a line end.
const REFERENCE_LIMIT: u64 = 1 << 10;

/// The largest list of identifiers of one object that is read, in bytes.
pub(crate) const LIST_LIMIT: u64 = 256 << 20;

/// A HashStore in a directory.
#[derive(Clone, Debug)]
pub(crate) struct HashStore {
    root: PathBuf,
    pub(crate) config: Config,
}

impl HashStore {
    /// Opens a store. It blocks.
    ///
    /// # Errors
    ///
    /// [`Error::NotAHashStore`] if its configuration is missing or not supported; [`Error::Transfer`] if a file
    /// cannot be read.
    pub(crate) fn open(directory: &Path) -> Result<Self> {
        let refused = |reason: String| Error::NotAHashStore { directory: directory.to_owned(), reason };
        fs::read_dir(directory).map_err(|error| Error::io("open", directory, error))?;
        let path = directory.join(FILE_NAME);
        let file = File::open(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => refused(format!("it has no {FILE_NAME}")),
            _ => Error::io("open", &path, error),
        })?;
        let mut text = String::new();
        let read = file.take(FILE_LIMIT).read_to_string(&mut text);
        read.map_err(|error| Error::io("read", &path, error))?;
        Ok(Self { root: directory.to_owned(), config: Config::parse(&text).map_err(refused)? })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the path of an object. It is relative to the store, like all paths that follow.
    pub(crate) fn object(&self, content: &str) -> String {
        format!("objects/{}", self.sharded(content))
    }

    /// Returns the path of the reference from an identifier to its object.
    pub(crate) fn reference(&self, identifier: &str) -> String {
        self.reference_of_hash(&hex_of(identifier))
    }

    /// Returns the path of the reference, given the hash of the identifier.
    pub(crate) fn reference_of_hash(&self, hashed_identifier: &str) -> String {
        format!("refs/pids/{}", self.sharded(hashed_identifier))
    }

    /// Returns the path of the list of identifiers of an object.
    pub(crate) fn list(&self, content: &str) -> String {
        format!("refs/cids/{}", self.sharded(content))
    }

    /// Returns the path of an identifier's system metadata.
    pub(crate) fn system_metadata(&self, identifier: &str) -> String {
        let name = hex_of(&format!("{identifier}{}", self.config.namespace));
        format!("{}/{name}", self.documents(&hex_of(identifier)))
    }

    /// Returns the directory of the documents of an identifier with this hash.
    pub(crate) fn documents(&self, hashed_identifier: &str) -> String {
        format!("metadata/{}", self.sharded(hashed_identifier))
    }

    /// Splits a name into directories. A text that is not a name stays whole.
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

    /// Opens a file and returns its size. Links below the store's own directories are not followed.
    pub(crate) fn open_file(&self, relative: &str) -> io::Result<(File, u64)> {
        let mut path = self.root.clone();
        let mut components = relative.split('/').enumerate().peekable();
        while let Some((depth, component)) = components.next() {
            path.push(component);
            // `objects` and the other top directories may be links to other disks.
            if depth == 0 {
                continue;
            }
            let kind = fs::symlink_metadata(&path)?.file_type();
            let is_right = if components.peek().is_some() { kind.is_dir() } else { kind.is_file() };
            if !is_right {
                let what = if kind.is_symlink() { "a link" } else { "neither a file nor a directory" };
                return Err(io::Error::other(format!("`{component}` in its path is {what}")));
            }
        }
        let file = File::open(&path)?;
        let size = file.metadata()?.len();
        Ok((file, size))
    }

    /// Reads a small file. Returns `None` if it does not exist.
    pub(crate) fn read_file(&self, relative: &str, limit: u64) -> io::Result<Option<Vec<u8>>> {
        let (file, size) = match self.open_file(relative) {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if size > limit {
            return Err(io::Error::other(format!("expected at most {limit} bytes, found {size}")));
        }
        let mut bytes = Vec::new();
        file.take(limit).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// Reads the object name in a reference. Returns `None` if the reference does not exist.
    pub(crate) fn read_reference(&self, relative: &str) -> io::Result<Option<String>> {
        let Some(bytes) = self.read_file(relative, REFERENCE_LIMIT)? else { return Ok(None) };
        let text = String::from_utf8_lossy(&bytes);
        let name = text.trim_end_matches(['\r', '\n']);
        if !is_name(name) {
            return Err(io::Error::other("expected the name of an object, found other text"));
        }
        Ok(Some(name.to_owned()))
    }
}

/// Tells whether a text is an object name: a SHA-256 in lower-case hexadecimal digits.
pub(crate) fn is_name(text: &str) -> bool {
    text.len() == DIGITS && is_hex(text)
}

pub(crate) fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

pub(crate) fn hex_of(text: &str) -> String {
    Digest::sha256_of(text.as_bytes()).encoded().to_owned()
}

/// The content of an object, and its identifiers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredContent {
    /// SHA-256 in hexadecimal: the name of the object.
    pub(crate) name: String,
    pub(crate) identifiers: Vec<Identifier>,
}

/// Lists all objects of a store, then references that lead nowhere, until `send` returns `false`. It blocks.
pub(crate) fn list_contents(
    store: &HashStore,
    send: &mut dyn FnMut(Result<StoredContent, ImportFault>) -> bool,
) {
    let mut seen: HashSet<[u8; 32]> = HashSet::new();
    let mut wanted = true;
    walk(store, "refs/cids", &mut |found| {
        match found {
            Found::Odd(fault) => wanted = send(Err(fault)),
            Found::Name(name) => {
                let (identifiers, faults) = list(store, &name);
                seen.extend(identifiers.iter().filter_map(|identifier| hash_of(identifier.as_str())));
                wanted = faults.into_iter().all(|fault| send(Err(fault)));
                if !identifiers.is_empty() {
                    wanted = wanted && send(Ok(StoredContent { name, identifiers }));
                }
            }
        }
        wanted
    });
    if !wanted {
        return;
    }
    walk(store, "refs/pids", &mut |found| match found {
        Found::Odd(fault) => send(Err(fault)),
        Found::Name(name) => {
            let is_known = bytes_of(&name).is_some_and(|hash| seen.contains(&hash));
            is_known || send(Err(unlisted(store, &name)))
        }
    });
}

/// Finds objects by their identifiers. It blocks.
pub(crate) fn find_contents(
    store: &HashStore,
    identifiers: &[Identifier],
) -> (Vec<StoredContent>, Vec<ImportFault>) {
    let (mut order, mut faults) = (Vec::new(), Vec::new());
    let mut found: HashMap<String, Vec<Identifier>> = HashMap::new();
    for identifier in identifiers {
        let path = store.reference(identifier.as_str());
        let fault = |message: &str| ImportFault::of(identifier.as_str(), path.clone(), message);
        match store.read_reference(&path) {
            Ok(Some(name)) if !list(store, &name).0.contains(identifier) => {
                faults.push(fault(&format!("{} does not list it", store.list(&name))));
            }
            Ok(Some(name)) => {
                let known = found.entry(name.clone()).or_default();
                if known.is_empty() {
                    order.push(name);
                }
                if !known.contains(identifier) {
                    known.push(identifier.clone());
                }
            }
            Ok(None) => faults.push(fault("the store has no object with this identifier")),
            Err(error) => faults.push(fault(&error.to_string())),
        }
    }
    let of_name = |name: String| {
        let identifiers = found.remove(&name).unwrap_or_default();
        StoredContent { name, identifiers }
    };
    (order.into_iter().map(of_name).collect(), faults)
}

/// Counts the objects that references name, and their bytes. It blocks.
pub(crate) fn measure(store: &HashStore) -> (u64, u64) {
    let (mut count, mut bytes) = (0, 0_u64);
    walk(store, "refs/cids", &mut |found| {
        if let Found::Name(name) = found {
            count += 1;
            let size =
                fs::symlink_metadata(store.root().join(store.object(&name))).map_or(0, |file| file.len());
            bytes = bytes.saturating_add(size);
        }
        true
    });
    (count, bytes)
}

/// Reads the identifiers of an object.
fn list(store: &HashStore, name: &str) -> (Vec<Identifier>, Vec<ImportFault>) {
    let path = store.list(name);
    let bytes = match store.read_file(&path, LIST_LIMIT) {
        Ok(bytes) => bytes.unwrap_or_default(),
        Err(error) => return (Vec::new(), vec![ImportFault::at(path, error.to_string())]),
    };
    let (mut identifiers, mut faults) = (Vec::new(), Vec::new());
    let mut seen = HashSet::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end_matches('\r');
        match text.parse::<Identifier>() {
            _ if text.is_empty() => {}
            Ok(identifier) if seen.insert(identifier.clone()) => identifiers.push(identifier),
            Ok(_) => {}
            Err(error) => faults.push(ImportFault::at(path.clone(), error.to_string())),
        }
    }
    if identifiers.is_empty() && faults.is_empty() {
        faults.push(ImportFault::at(path, "it lists no identifier"));
    }
    (identifiers, faults)
}

/// Explains the reference of an identifier that no object lists.
fn unlisted(store: &HashStore, hashed: &str) -> ImportFault {
    let path = store.reference_of_hash(hashed);
    let message = match store.read_reference(&path) {
        Ok(Some(name)) => format!("it names the object {name}, but {} does not list it", store.list(&name)),
        Ok(None) => "it no longer exists".to_owned(),
        Err(error) => error.to_string(),
    };
    ImportFault { identifier: identifier_of(store, hashed), path, message }
}

/// Returns the identifiers of system metadata whose object has no reference. It blocks.
pub(crate) fn list_documents_without_object(store: &HashStore) -> Vec<String> {
    let mut found = Vec::new();
    let mut visit = |entry: Found| {
        if let Found::Name(hashed) = entry {
            let reference = store.read_reference(&store.reference_of_hash(&hashed));
            let is_orphan = matches!(reference, Ok(None));
            found.extend(is_orphan.then(|| identifier_of(store, &hashed)).flatten());
        }
        true
    };
    descend(store, ("metadata", Kind::Directory), "", store.config.depth, &mut visit);
    found.sort_unstable();
    found
}

/// Finds the identifier with this hash in its system metadata.
fn identifier_of(store: &HashStore, hashed: &str) -> Option<String> {
    let directory = store.documents(hashed);
    let entries = fs::read_dir(store.root().join(&directory)).ok()?;
    // There is one document, and rarely a second one of another kind.
    entries.take(8).find_map(|entry| {
        let path = format!("{directory}/{}", entry.ok()?.file_name().to_str()?);
        let bytes = store.read_file(&path, MAX_SYSTEM_METADATA_BYTES as u64).ok()??;
        let identifier = SystemMetadata::parse(&bytes).ok()?.value.identifier.to_string();
        (hex_of(&identifier) == hashed).then_some(identifier)
    })
}

fn hash_of(identifier: &str) -> Option<[u8; 32]> {
    bytes_of(&hex_of(identifier))
}

fn bytes_of(name: &str) -> Option<[u8; 32]> {
    format!("sha256:{name}").parse::<oci_model::Digest>().ok()?.sha256_bytes()
}

/// An entry below a directory of the store.
pub(crate) enum Found {
    /// The name of a file, joined from the parts of its path.
    Name(String),
    /// An entry that a HashStore does not have.
    Odd(ImportFault),
}

/// Calls `visit` for everything below a directory of the store, in the order of names, until it returns
/// `false`. It blocks.
pub(crate) fn walk(store: &HashStore, top: &str, visit: &mut dyn FnMut(Found) -> bool) {
    descend(store, (top, Kind::File), "", store.config.depth, visit);
}

/// Visits everything below a directory. `leaf` is the kind of the entries that complete a name.
fn descend(
    store: &HashStore,
    (directory, leaf): (&str, Kind),
    name: &str,
    depth: usize,
    visit: &mut dyn FnMut(Found) -> bool,
) -> bool {
    let entries = match sorted(store, directory) {
        Ok(entries) => entries,
        Err(error) => {
            return visit(Found::Odd(ImportFault::at(directory, format!("it cannot be read: {error}"))));
        }
    };
    for (entry, kind) in entries {
        let path = format!("{directory}/{entry}");
        let length = if depth == 0 { DIGITS.saturating_sub(name.len()) } else { store.config.width };
        let fits = is_hex(&entry) && entry.len() == length;
        let goes_on = match (depth, kind) {
            (0, kind) if fits && kind == leaf => visit(Found::Name(format!("{name}{entry}"))),
            (1.., Kind::Directory) if fits => {
                descend(store, (&path, leaf), &format!("{name}{entry}"), depth - 1, visit)
            }
            (_, Kind::Link) => {
                visit(Found::Odd(ImportFault::at(path, "it is a link, which is not followed")))
            }
            _ => visit(Found::Odd(ImportFault::at(path, "a HashStore has no such name here"))),
        };
        if !goes_on {
            return false;
        }
    }
    true
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Directory,
    Link,
    Other,
}

fn sorted(store: &HashStore, directory: &str) -> io::Result<Vec<(String, Kind)>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(store.root().join(directory))? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let kind = match () {
            () if kind.is_symlink() => Kind::Link,
            () if kind.is_dir() => Kind::Directory,
            () if kind.is_file() => Kind::File,
            () => Kind::Other,
        };
        entries.push((entry.file_name().to_string_lossy().into_owned(), kind));
    }
    entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    Ok(entries)
}

/// Name of the configuration file.
pub(crate) const FILE_NAME: &str = "hashstore.yaml";

/// The largest configuration file that is read, in bytes. Real ones have about 1,500.
pub(crate) const FILE_LIMIT: u64 = 64 << 10;

/// How many hexadecimal digits a name has.
pub(crate) const DIGITS: usize = 64;

/// The depths and widths that HashStore allows.
const DEPTHS: RangeInclusive<usize> = 1..=8;
const WIDTHS: RangeInclusive<usize> = 1..=4;

/// The configuration of a HashStore (HashStore 1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    /// How many directories lead to a file.
    pub(crate) depth: usize,
    /// How many digits the name of each has.
    pub(crate) width: usize,
    /// The text that is hashed after an identifier to name its system metadata.
    pub(crate) namespace: String,
}

impl Config {
    /// Parses the file. It is YAML, but only keys with a value on the same line are needed.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let value = |key: &str| {
            let of_line = |line: &str| Some(plain(line.trim().strip_prefix(key)?.strip_prefix(':')?));
            text.lines().find_map(of_line).ok_or_else(|| format!("{FILE_NAME} has no `{key}`"))
        };
        let number = |key: &str, range: RangeInclusive<usize>| {
            let value = value(key)?;
            let number = value.parse().ok().filter(|number| range.contains(number));
            number.ok_or_else(|| format!("{FILE_NAME} has the {key} `{value}`"))
        };
        let algorithm = value("store_algorithm")?;
        if !matches!(algorithm.to_ascii_uppercase().as_str(), "SHA-256" | "SHA256") {
            return Err(format!("expected object names by SHA-256, found {algorithm}"));
        }
        Ok(Self {
            depth: number("store_depth", DEPTHS)?,
            width: number("store_width", WIDTHS)?,
            namespace: value("store_metadata_namespace")?,
        })
    }
}

/// Removes quotes and comments from a value.
fn plain(value: &str) -> String {
    let value = value.trim();
    for quote in ['"', '\''] {
        if let Some((quoted, _)) = value.strip_prefix(quote).and_then(|rest| rest.split_once(quote)) {
            return quoted.to_owned();
        }
    }
    value.split_once(" #").map_or(value, |(value, _)| value).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::Config;

    const TEXT: &str = "\n        # Default configuration\n        store_depth: 3  # WARNING: DO NOT CHANGE\n        store_width: 2\n\
                        \n        # Example:\n        store_metadata_namespace: \"https://ns.dataone.org/service/types/v2.0#SystemMetadata\"\n\
                        \n        store_algorithm: \"SHA-256\"\n        store_default_algo_list:\n        - \"MD5\"\n";

    #[test]
    fn the_file_as_it_is_written() {
        let namespace = "https://ns.dataone.org/service/types/v2.0#SystemMetadata".to_owned();
        assert_eq!(Config::parse(TEXT), Ok(Config { depth: 3, width: 2, namespace }));
    }

    #[test]
    fn other_layouts_are_refused() {
        for (old, new, reason) in [
            ("store_depth: 3", "store_depth: 0", "store_depth `0`"),
            ("store_width: 2", "store_width: 99999999999999999999", "store_width"),
            ("SHA-256", "SHA-512", "SHA-512"),
            ("store_algorithm", "algorithm", "no `store_algorithm`"),
        ] {
            let error = Config::parse(&TEXT.replace(old, new)).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
