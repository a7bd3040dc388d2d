//! The tag files that the rules read: in memory, and large manifests on disk.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::manifest::ManifestName;
use crate::scan::is_same_state;

/// Holds the top-level tag files that the rules read: the declaration, metadata, manifests and `fetch.txt`.
///
/// Their bytes are in memory, but for manifests that [`TagFiles::insert_file`] leaves where they are: those of a million
/// files have hundreds of megabytes.
#[derive(Clone, Debug, Default)]
pub struct TagFiles(BTreeMap<String, TagFile>);

/// Holds the bytes of one tag file, or says where they are.
#[derive(Clone, Debug)]
pub(crate) enum TagFile {
    Held(Vec<u8>),
    OnDisk { path: PathBuf, seen: Metadata },
    Open(Arc<File>),
}

impl TagFiles {
    /// The largest manifest that is worth holding in memory, in bytes: that of some ten thousand files.
    pub const MOST_HELD_BYTES: u64 = 1 << 20;

    /// Starts an empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Says whether the rules read the file at this bag-relative path, so that its bytes belong in here.
    #[must_use]
    pub fn wants(path: &str) -> bool {
        Self::may_stay_on_disk(path)
            || matches!(path, "bagit.txt" | "bag-info.txt" | "package-info.txt" | "fetch.txt")
    }

    /// Says whether the file at this bag-relative path is a manifest, which [`TagFiles::insert_file`] takes.
    #[must_use]
    pub fn may_stay_on_disk(path: &str) -> bool {
        !path.contains('/') && ManifestName::parse(path).is_some()
    }

    /// Adds the bytes of one tag file.
    pub fn insert(&mut self, name: &str, bytes: Vec<u8>) {
        self.0.insert(name.to_owned(), TagFile::Held(bytes));
    }

    /// Adds a manifest that stands at `place`; it is read, line by line, when the rules are applied, and has to be as it is
    /// now until then.
    ///
    /// # Errors
    ///
    /// If it cannot be looked at. A tag file that is no manifest is read into memory, and may fail to be.
    pub fn insert_file(&mut self, name: &str, place: &Path) -> io::Result<()> {
        let file = if Self::may_stay_on_disk(name) {
            TagFile::OnDisk { path: place.to_owned(), seen: fs::metadata(place)? }
        } else {
            TagFile::Held(fs::read(place)?)
        };
        self.0.insert(name.to_owned(), file);
        Ok(())
    }

    /// Adds a manifest whose bytes are all there is in an open file, which nobody else reads or writes any more.
    pub fn insert_open(&mut self, name: &str, file: Arc<File>) {
        self.0.insert(name.to_owned(), TagFile::Open(file));
    }

    /// Says whether the tag file is here.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Gives the bytes of one tag file that is in memory, as every one is that is no manifest.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        match self.0.get(name)? {
            TagFile::Held(bytes) => Some(bytes),
            TagFile::OnDisk { .. } | TagFile::Open(_) => None,
        }
    }

    /// Walks the names of all tag files in their order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Walks the tag files that are in memory in order of their names.
    pub fn held(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.names().filter_map(|name| Some((name, self.get(name)?)))
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &TagFile)> {
        self.0.iter().map(|(name, file)| (name.as_str(), file))
    }

    /// Tells of where the bag is now; a tag file that cannot be found there will be found to have changed.
    pub(crate) fn moved_to(&mut self, bag: &Path) {
        for (name, file) in &mut self.0 {
            if let TagFile::OnDisk { path, seen } = file {
                *path = bag.join(name);
                if let Ok(now) = fs::metadata(&*path) {
                    *seen = now;
                }
            }
        }
    }

    /// Takes the tag files that are in memory, in order of their names.
    pub fn into_held(self) -> impl Iterator<Item = (String, Vec<u8>)> {
        self.0.into_iter().filter_map(|(name, file)| match file {
            TagFile::Held(bytes) => Some((name, bytes)),
            TagFile::OnDisk { .. } | TagFile::Open(_) => None,
        })
    }
}

impl TagFile {
    /// Gives all bytes, read into memory if need be.
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

    /// Gives the bytes to `work`, and fails if they are not those that were there when the file was added.
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
        let same = |now: io::Result<Metadata>| match now {
            Ok(now) if is_same_state(seen, &now) => Ok(()),
            Ok(_) => Err(io::Error::other("it changed while it was read")),
            Err(error) => Err(error),
        };
        same(file.metadata())?;
        let mut reader = BufReader::with_capacity(READ_LENGTH, file);
        let done = work(&mut reader)?;
        same(reader.get_ref().metadata())?;
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
