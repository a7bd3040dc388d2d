//! The tag files that the rules read. Large manifests stay on disk.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use safe_files::FileState;

use crate::manifest::ManifestName;

/// Holds the top-level tag files that the rules read: the declaration, metadata, manifests and `fetch.txt`.
///
/// It holds their bytes in memory. [`TagFiles::insert_file`] leaves a manifest on disk, because the manifests of a million files
/// have hundreds of megabytes.
///
/// ```
/// use bagit::{Declaration, TagFiles};
///
/// let mut tag_files = TagFiles::new();
/// tag_files.insert("bagit.txt", Declaration::text().into_bytes());
/// assert!(tag_files.has("bagit.txt"));
/// assert!(TagFiles::wants("manifest-md5.txt") && !TagFiles::wants("metadata/eml.xml"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct TagFiles(BTreeMap<String, TagFile>);

/// The bytes of one tag file, or the file that holds them.
#[derive(Clone, Debug)]
pub(crate) enum TagFile {
    Held(Vec<u8>),
    OnDisk { path: PathBuf, seen: FileState },
    Open(Arc<File>),
}

impl TagFiles {
    /// The largest manifest to hold in memory, in bytes. It lists some ten thousand files.
    pub const MOST_HELD_BYTES: u64 = 1 << 20;

    /// Returns an empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Says whether the rules read the file at this bag-relative path, so that it belongs into the set.
    #[must_use]
    pub fn wants(path: &str) -> bool {
        Self::may_stay_on_disk(path)
            || matches!(path, "bagit.txt" | "bag-info.txt" | "package-info.txt" | "fetch.txt")
    }

    /// Says whether the file at this bag-relative path is a manifest, so that it may stay on disk.
    #[must_use]
    pub fn may_stay_on_disk(path: &str) -> bool {
        !path.contains('/') && ManifestName::parse(path).is_some()
    }

    /// Adds the bytes of one tag file.
    pub fn insert(&mut self, name: &str, bytes: Vec<u8>) {
        self.0.insert(name.to_owned(), TagFile::Held(bytes));
    }

    /// Adds the tag file at `place`. [`crate::check()`] reads a manifest line by line from there, and reports a file that has changed
    /// since. Any other tag file is read into memory now.
    ///
    /// # Errors
    /// If the operating system cannot open the file or read its metadata.
    pub fn insert_file(&mut self, name: &str, place: &Path) -> io::Result<()> {
        let file = if Self::may_stay_on_disk(name) {
            TagFile::OnDisk { path: place.to_owned(), seen: FileState::of_metadata(&fs::metadata(place)?) }
        } else {
            TagFile::Held(fs::read(place)?)
        };
        self.0.insert(name.to_owned(), file);
        Ok(())
    }

    /// Adds a manifest from an open file, which nobody else reads or writes any more.
    pub fn insert_open(&mut self, name: &str, file: Arc<File>) {
        self.0.insert(name.to_owned(), TagFile::Open(file));
    }

    /// Says whether the set has the tag file.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Returns the bytes of a tag file in memory. Every tag file but a manifest is in memory.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        match self.0.get(name)? {
            TagFile::Held(bytes) => Some(bytes),
            TagFile::OnDisk { .. } | TagFile::Open(_) => None,
        }
    }

    /// Iterates over the names of all tag files in bytewise order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Iterates over the tag files in memory in order of their names.
    pub fn held(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.names().filter_map(|name| Some((name, self.get(name)?)))
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &TagFile)> {
        self.0.iter().map(|(name, file)| (name.as_str(), file))
    }

    /// Changes the paths of manifests on disk after the bag has moved. A later check reports a manifest that is missing there.
    pub(crate) fn moved_to(&mut self, bag: &Path) {
        for (name, file) in &mut self.0 {
            if let TagFile::OnDisk { path, seen } = file {
                *path = bag.join(name);
                if let Ok(now) = fs::metadata(&*path) {
                    *seen = FileState::of_metadata(&now);
                }
            }
        }
    }

    /// Returns the tag files in memory, in order of their names.
    pub fn into_held(self) -> impl Iterator<Item = (String, Vec<u8>)> {
        self.0.into_iter().filter_map(|(name, file)| match file {
            TagFile::Held(bytes) => Some((name, bytes)),
            TagFile::OnDisk { .. } | TagFile::Open(_) => None,
        })
    }
}

impl TagFile {
    /// Returns all bytes.
    pub(crate) fn bytes(&self) -> io::Result<Cow<'_, [u8]>> {
        match self {
            Self::Held(bytes) => Ok(Cow::Borrowed(bytes)),
            Self::OnDisk { .. } | Self::Open(_) => {
                let mut bytes = Vec::new();
                self.read(|reader| reader.read_to_end(&mut bytes).map(|_| ()))?;
                Ok(Cow::Owned(bytes))
            }
        }
    }

    /// Passes the bytes to `work`, and fails if the file has changed since it was added.
    pub(crate) fn read<T>(&self, work: impl FnOnce(&mut dyn BufRead) -> io::Result<T>) -> io::Result<T> {
        let (path, seen) = match self {
            Self::Held(bytes) => return work(&mut &bytes[..]),
            Self::Open(file) => {
                let mut file: &File = file;
                file.seek(SeekFrom::Start(0))?;
                return work(&mut BufReader::with_capacity(READ_LENGTH, file));
            }
            Self::OnDisk { path, seen } => (path, seen),
        };
        let file = File::open(path)?;
        let same = |file: &File| match FileState::of(file) {
            Ok(now) if *seen == now => Ok(()),
            Ok(_) => Err(io::Error::other("it changed while it was read")),
            Err(error) => Err(error),
        };
        same(&file)?;
        let mut reader = BufReader::with_capacity(READ_LENGTH, file);
        let done = work(&mut reader)?;
        same(reader.get_ref())?;
        Ok(done)
    }
}

const READ_LENGTH: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::{TagFile, TagFiles};

    #[test]
    fn only_top_level_tag_files_of_the_format_are_wanted() {
        for name in ["bagit.txt", "manifest-MD5.txt", "tagmanifest-sha256.txt", "fetch.txt", "bag-info.txt"] {
            assert!(TagFiles::wants(name), "{name}");
        }
        for name in ["data/bagit.txt", "manifest-md5", "README.txt", "metadata/manifest-md5.txt", "FETCH.TXT"]
        {
            assert!(!TagFiles::wants(name), "{name}");
        }
    }

    #[test]
    fn manifests_alone_stay_on_disk_and_a_change_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let mut tags = TagFiles::new();
        for name in ["bagit.txt", "manifest-md5.txt"] {
            std::fs::write(directory.path().join(name), name).unwrap();
            tags.insert_file(name, &directory.path().join(name)).unwrap();
        }
        assert_eq!(tags.get("bagit.txt"), Some(&b"bagit.txt"[..]));
        assert!(tags.has("manifest-md5.txt") && tags.get("manifest-md5.txt").is_none());
        assert_eq!(tags.names().count(), 2);
        assert_eq!(tags.held().count(), 1);
        let manifest: &TagFile = tags.files().find(|(name, _)| *name == "manifest-md5.txt").unwrap().1;
        assert_eq!(&*manifest.bytes().unwrap(), b"manifest-md5.txt");
        std::fs::write(directory.path().join("manifest-md5.txt"), "another length").unwrap();
        assert!(manifest.bytes().is_err());
        assert!(tags.insert_file("manifest-sha1.txt", &directory.path().join("gone")).is_err());
        let open = std::fs::File::open(directory.path().join("manifest-md5.txt")).unwrap();
        tags.insert_open("manifest-md5.txt", std::sync::Arc::new(open));
        let manifest: &TagFile = tags.files().find(|(name, _)| *name == "manifest-md5.txt").unwrap().1;
        for _ in 0..2 {
            assert_eq!(&*manifest.bytes().unwrap(), b"another length");
        }
    }
}
