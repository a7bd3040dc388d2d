//! The files of a package: the facts about each, their order, and the rules for a list of files.

use std::ops::Range;

use bagit::{Algorithm, Digests, DigestsView, FileEntry, Inventory};
use d1_model::{Checksum, Identifier};
use oci_model::MediaType;
use oci_pack::MOST_ALIKE;
use safe_files::{ancestors, is_below, parent, path_fault, same_when_folded};

use crate::error::{Error, ErrorKind, Result};
use crate::state::ObjectState;

/// The most empty directories that a package can have.
pub const MAX_EMPTY_DIRECTORIES: usize = 1 << 20;

/// The files and empty directories of a package, in the order of the package format.
///
/// In a bag the tag files come first, then the payload, each bytewise by path. In a plain directory the order is
/// bytewise. Paths and digests are held compactly: a million files take about 100 MB.
///
/// ```
/// use d1_package::{PackageFile, PackageFiles};
///
/// let sha256 = [0; 32];
/// let paths = ["data/a.csv", "bagit.txt", "manifest-md5.txt"];
/// let files = paths.map(|path| PackageFile::new(path, 1, sha256));
/// let files = PackageFiles::new(files.into(), Vec::new(), true)?;
/// let ordered: Vec<&str> = files.files().map(|file| file.path).collect();
/// assert_eq!(ordered, ["bagit.txt", "manifest-md5.txt", "data/a.csv"]);
/// # Ok::<(), d1_package::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct PackageFiles {
    /// The files, each with its SHA-256, bytewise.
    inventory: Inventory,
    empty_directories: Vec<Box<str>>,
    is_bag: bool,
    /// The positions in the inventory of the payload of a bag, which comes last in a package.
    payload: Range<usize>,
    /// Facts about files, ordered by the position of the file.
    objects: Vec<(u32, ObjectFacts)>,
}

/// A file of a package by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageFile {
    /// Path relative to the package's directory, clean, with `/` between its components.
    pub path: Box<str>,
    /// Length of the content in bytes.
    pub size: u64,
    /// SHA-256 of the content.
    pub sha256: [u8; 32],
    /// Digests by other algorithms, where they are known. SHA-256 may be among them and is then not written twice.
    pub checksums: Digests,
    /// Facts about the file from DataONE documents or an RO-Crate.
    pub object: Option<Box<ObjectFacts>>,
}

/// A file of a package that a list of files holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileView<'a> {
    /// Path relative to the package's directory, clean, with `/` between its components.
    pub path: &'a str,
    /// Length of the content in bytes.
    pub size: u64,
    /// SHA-256 of the content.
    pub sha256: [u8; 32],
    /// Digests by other algorithms, where they are known. SHA-256 may be among them.
    pub checksums: DigestsView<'a>,
    /// Facts about the file from DataONE documents or an RO-Crate.
    pub object: Option<&'a ObjectFacts>,
}

/// Facts about a file from system metadata, a resource map or an RO-Crate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectFacts {
    /// The object's identifier (PID).
    pub identifier: Option<Identifier>,
    /// The object format identifier.
    pub format_id: Option<Box<str>>,
    /// The media type that an RO-Crate states.
    pub media_type: Option<MediaType>,
    /// The checksum that the system metadata declare.
    pub declared_checksum: Option<Checksum>,
    /// Path of the system metadata in the package.
    pub system_metadata: Option<Box<str>>,
    /// The state that the system metadata state. Most objects have the default, which takes no memory.
    pub state: Option<Box<ObjectState>>,
}

/// Two paths that some file systems take for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameClash {
    /// The path that comes first.
    pub first: Box<str>,
    /// The other path.
    pub second: Box<str>,
}

impl PackageFiles {
    /// Puts files in order. `empty_directories` lists directories that hold nothing.
    ///
    /// # Errors
    ///
    /// If a path cannot be in a package ([`ErrorKind::Path`]), comes twice ([`ErrorKind::Order`]), or is both a file
    /// and a directory ([`ErrorKind::PathConflict`]).
    pub fn new(files: Vec<PackageFile>, empty_directories: Vec<Box<str>>, is_bag: bool) -> Result<Self> {
        let mut inventory = Inventory::new();
        let mut objects = Vec::new();
        for file in files {
            if inventory.insert_file(&file.path, file.size, file.view().digests()) {
                return Err(comes_twice(&file.path));
            }
            objects.extend(file.object.map(|object| (file.path, *object)));
        }
        let mut ordered = Self::of_inventory(inventory, empty_directories, is_bag)?;
        for (path, object) in objects {
            if let Some(position) = ordered.position(&path) {
                ordered.set_object(position, object);
            }
        }
        Ok(ordered)
    }

    /// Takes over the files of an inventory. `empty_directories` lists directories that hold nothing.
    ///
    /// # Errors
    ///
    /// As [`PackageFiles::new`], and [`ErrorKind::NotHashed`] if the SHA-256 of a file is not known.
    pub fn of_inventory(
        inventory: Inventory,
        mut empty_directories: Vec<Box<str>>,
        is_bag: bool,
    ) -> Result<Self> {
        let too_many = |count: usize, things: &str, limit: usize| {
            let message = format!("expected at most {limit} {things}, found {count}");
            Err(Error::new(ErrorKind::TooLarge, "", message))
        };
        if u32::try_from(inventory.len()).is_err() {
            return too_many(inventory.len(), "files", u32::MAX as usize);
        }
        if empty_directories.len() > MAX_EMPTY_DIRECTORIES {
            return too_many(empty_directories.len(), "empty directories", MAX_EMPTY_DIRECTORIES);
        }
        empty_directories.sort();
        let payload = if is_bag {
            inventory.count_before(PAYLOAD)..inventory.count_before(AFTER_PAYLOAD)
        } else {
            inventory.len()..inventory.len()
        };
        let ordered = Self { inventory, empty_directories, is_bag, payload, objects: Vec::new() };
        ordered.check()?;
        Ok(ordered)
    }

    /// Tells whether this is a bag.
    #[must_use]
    pub fn is_bag(&self) -> bool {
        self.is_bag
    }

    /// Returns the files in order.
    pub fn files(&self) -> impl Iterator<Item = FileView<'_>> {
        let Range { start, end } = self.payload;
        let first = self.inventory.files_from(0).take(start).chain(self.inventory.files_from(end));
        let files = first.chain(self.inventory.files_from(start).take(end - start));
        let mut objects = self.objects.iter().peekable();
        (0_u32..).zip(files).map(move |(position, (path, entry))| {
            let object = objects.next_if(|(of, _)| *of == position).map(|(_, object)| object);
            view(path, entry, object)
        })
    }

    /// Returns the file at a position.
    #[must_use]
    pub fn file(&self, position: usize) -> Option<FileView<'_>> {
        let Range { start, end } = self.payload;
        let after = self.inventory.len() - end;
        let place = match position {
            before if before < start => before,
            after_payload if after_payload < start + after => after_payload - start + end,
            payload if payload < self.len() => payload - after,
            _ => return None,
        };
        let (path, entry) = self.inventory.get(place)?;
        let object = self.object_at(position).ok().and_then(|at| self.objects.get(at));
        Some(view(path, entry, object.map(|(_, object)| object)))
    }

    /// Returns the number of files.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inventory.len()
    }

    /// Tells whether there is no file.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.inventory.is_empty()
    }

    /// Returns the empty directories, bytewise.
    #[must_use]
    pub fn empty_directories(&self) -> &[Box<str>] {
        &self.empty_directories
    }

    /// Returns the files in the form that [`bagit::check`] takes, without the empty directories.
    #[must_use]
    pub fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    /// Returns the position of the file with this path.
    #[must_use]
    pub fn position(&self, path: &str) -> Option<usize> {
        let Range { start, end } = self.payload;
        let after = self.inventory.len() - end;
        Some(match self.inventory.position(path)? {
            before if before < start => before,
            payload if payload < end => payload + after,
            after_payload => after_payload - end + start,
        })
    }

    /// Tells whether a path is payload: in a bag below `data/`, in a plain directory always.
    #[must_use]
    pub fn is_payload(&self, path: &str) -> bool {
        !self.is_bag || path.starts_with(PAYLOAD)
    }

    /// Sets the facts about the file at a position. An unknown position is ignored.
    pub fn set_object(&mut self, position: usize, facts: ObjectFacts) {
        let Some(number) = u32::try_from(position).ok().filter(|_| position < self.len()) else { return };
        match self.object_at(position) {
            Ok(at) => {
                if let Some((_, known)) = self.objects.get_mut(at) {
                    *known = facts;
                }
            }
            Err(at) => self.objects.insert(at, (number, facts)),
        }
    }

    /// Returns the paths, directories included, that differ only in case or Unicode normalisation.
    ///
    /// Some file systems take such paths for one.
    #[must_use]
    pub fn name_clashes(&self) -> Vec<NameClash> {
        let mut nodes = same_when_folded(|| self.nodes());
        nodes.dedup();
        let mut clashes = Vec::new();
        for group in nodes.chunk_by(|left, right| left.0 == right.0) {
            let Some(((_, first), others)) = group.split_first() else { continue };
            let clash = |other: &str| NameClash { first: (*first).into(), second: other.into() };
            clashes.extend(others.iter().map(|(_, other)| clash(other)));
        }
        clashes.sort_by(|left, right| left.first.cmp(&right.first));
        clashes
    }

    /// Finds the facts about the file at a position, or where they would have to be inserted.
    fn object_at(&self, position: usize) -> Result<usize, usize> {
        // Facts mostly arrive in the order of the files.
        match self.objects.last() {
            Some((last, _)) if (*last as usize) < position => Err(self.objects.len()),
            _ => self.objects.binary_search_by_key(&position, |(of, _)| *of as usize),
        }
    }

    /// Returns the paths of all files and empty directories.
    fn paths(&self) -> impl Iterator<Item = &str> {
        let empty = self.empty_directories.iter().map(|path| &**path);
        self.inventory.files().map(|(path, _)| path).chain(empty)
    }

    /// Returns the paths and the directories that lead to them. A directory may repeat.
    fn nodes(&self) -> impl Iterator<Item = &str> {
        let mut previous = "";
        self.paths().flat_map(move |path| {
            // The content of a directory comes in a row, so most repeats are skipped at once.
            let before = std::mem::replace(&mut previous, path);
            ancestors(path).chain([path]).filter(move |node| !is_below(before, node))
        })
    }

    /// Checks the paths, and that no file is a directory.
    fn check(&self) -> Result<()> {
        if let Some((path, fault)) = self.paths().find_map(|path| Some((path, path_fault(path)?))) {
            return Err(Error::unsafe_path(path, fault));
        }
        let hashed = |entry: FileEntry<'_>| entry.digests.get(Algorithm::Sha256).is_some();
        if let Some((path, _)) = self.inventory.files().find(|(_, entry)| !hashed(*entry)) {
            return Err(Error::new(ErrorKind::NotHashed, path, format!("`{path}` has not been hashed")));
        }
        let repeated = |pair: &&[Box<str>]| pair.first() == pair.last();
        if let Some(path) = self.empty_directories.windows(2).find(repeated).and_then(<[_]>::first) {
            return Err(comes_twice(path));
        }
        let mut checked = "";
        for (path, _) in self.inventory.files() {
            if parent(path) != checked {
                checked = parent(path);
                self.check_ancestors(path)?;
            }
        }
        self.check_empty_directories()?;
        self.check_names()
    }

    /// Refuses more names in one directory that differ only in case or normalisation than an archive may have.
    fn check_names(&self) -> Result<()> {
        let mut nodes = same_when_folded(|| self.nodes());
        nodes.sort_unstable_by(|left, right| {
            (parent(left.1), &left.0, left.1).cmp(&(parent(right.1), &right.0, right.1))
        });
        nodes.dedup();
        let is_alike = |left: &(String, &str), right: &(String, &str)| {
            (parent(left.1), &left.0) == (parent(right.1), &right.0)
        };
        match nodes.chunk_by(is_alike).find(|alike| alike.len() > MOST_ALIKE + 1).and_then(<[_]>::first) {
            Some((_, path)) => {
                let message = format!(
                    "expected at most {} names like `{path}` in one directory that differ only in case or \
                     normalisation, found more",
                    MOST_ALIKE + 1
                );
                Err(Error::new(ErrorKind::NameClash, *path, message))
            }
            None => Ok(()),
        }
    }

    fn check_empty_directories(&self) -> Result<()> {
        for path in self.empty_directories.iter().map(|path| &**path) {
            self.check_ancestors(path)?;
            if self.inventory.position(path).is_some() {
                let message = format!("`{path}` is both a file and an empty directory");
                return Err(Error::new(ErrorKind::PathConflict, path, message));
            }
            let inside = format!("{path}/");
            let next = self.empty_directories.partition_point(|other| **other < *inside);
            let has_directory =
                self.empty_directories.get(next).is_some_and(|next| next.starts_with(&inside));
            if has_directory || self.inventory.under(&inside).next().is_some() {
                let message = format!("`{path}` is listed as an empty directory, but it has content");
                return Err(Error::new(ErrorKind::PathConflict, path, message));
            }
        }
        Ok(())
    }

    fn check_ancestors(&self, path: &str) -> Result<()> {
        match ancestors(path).find(|ancestor| self.inventory.position(ancestor).is_some()) {
            Some(file) => {
                let message = format!("`{file}` is both a file and the directory of `{path}`");
                Err(Error::new(ErrorKind::PathConflict, file, message))
            }
            None => Ok(()),
        }
    }
}

impl PartialEq for PackageFiles {
    fn eq(&self, other: &Self) -> bool {
        // An inventory may name further directories, which do not belong to the package.
        self.is_bag == other.is_bag
            && self.empty_directories == other.empty_directories
            && self.len() == other.len()
            && self.files().eq(other.files())
    }
}

impl Eq for PackageFiles {}

impl PackageFile {
    /// Returns a file without facts besides path, size and SHA-256.
    #[must_use]
    pub fn new(path: impl Into<Box<str>>, size: u64, sha256: [u8; 32]) -> Self {
        Self { path: path.into(), size, sha256, checksums: Digests::new(), object: None }
    }

    /// Returns the file in the form that a list of files returns.
    #[must_use]
    pub fn view(&self) -> FileView<'_> {
        FileView {
            path: &self.path,
            size: self.size,
            sha256: self.sha256,
            checksums: self.checksums.view(),
            object: self.object.as_deref(),
        }
    }
}

impl<'a> FileView<'a> {
    /// Returns a digest, where it is known.
    #[must_use]
    pub fn digest(&self, algorithm: Algorithm) -> Option<&[u8]> {
        match algorithm {
            Algorithm::Sha256 => Some(&self.sha256),
            _ => self.checksums.get(algorithm),
        }
    }

    /// Returns all digests, SHA-256 among them.
    #[must_use]
    pub fn digests(&self) -> Digests {
        let mut digests = self.checksums.to_digests();
        digests.insert(Algorithm::Sha256, &self.sha256);
        digests
    }

    /// Returns the identifier, where it is known.
    #[must_use]
    pub fn identifier(&self) -> Option<&'a Identifier> {
        self.object?.identifier.as_ref()
    }

    /// Returns the object format identifier, where it is known.
    #[must_use]
    pub fn format_id(&self) -> Option<&'a str> {
        self.object?.format_id.as_deref()
    }
}

const PAYLOAD: &str = "data/";

/// The least text after everything that begins with [`PAYLOAD`].
const AFTER_PAYLOAD: &str = "data0";

/// Returns the key by which files are ordered.
pub(crate) fn order_key(path: &str, is_bag: bool) -> (bool, &str) {
    (is_bag && path.starts_with(PAYLOAD), path)
}

fn comes_twice(path: &str) -> Error {
    Error::new(ErrorKind::Order, path, format!("`{path}` comes twice"))
}

fn view<'a>(path: &'a str, entry: FileEntry<'a>, object: Option<&'a ObjectFacts>) -> FileView<'a> {
    let sha256 = entry.digests.get(Algorithm::Sha256).and_then(|digest| digest.try_into().ok());
    // `check` refuses lists in which a file has no SHA-256.
    let sha256 = sha256.unwrap_or_default();
    FileView { path, size: entry.size, sha256, checksums: entry.digests, object }
}

#[cfg(test)]
mod tests {
    use super::{PackageFile, PackageFiles};
    use crate::{Error, ErrorKind};

    fn files(paths: &[&str], empty: &[&str], is_bag: bool) -> Result<PackageFiles, Error> {
        let files = paths.iter().map(|path| PackageFile::new(*path, 1, [0; 32])).collect();
        PackageFiles::new(files, empty.iter().map(|path| (*path).into()).collect(), is_bag)
    }

    fn order(paths: &[&str], is_bag: bool) -> Vec<Box<str>> {
        files(paths, &[], is_bag).unwrap().files().map(|file| file.path.into()).collect()
    }

    #[test]
    fn tag_files_come_before_the_payload_of_a_bag() {
        let paths = ["tagmanifest-md5.txt", "data/b", "data-x", "data/B/c", "bagit.txt", "metadata/a"];
        assert_eq!(
            order(&paths, true).iter().map(|path| &**path).collect::<Vec<_>>(),
            ["bagit.txt", "data-x", "metadata/a", "tagmanifest-md5.txt", "data/B/c", "data/b"]
        );
        assert!(order(&paths, false).is_sorted());
    }

    #[test]
    fn every_file_is_found_by_its_path() {
        let list = files(&["z", "data/a", "b/c"], &[], true).unwrap();
        for (position, file) in list.files().enumerate() {
            assert_eq!(list.position(file.path), Some(position));
            assert_eq!(list.file(position), Some(file));
        }
        assert_eq!(list.file(3), None);
        assert_eq!(list.position("data"), None);
    }

    #[test]
    fn contradictions_are_refused() {
        let fault = |paths: &[&str], empty: &[&str], is_bag| {
            let error = files(paths, empty, is_bag).unwrap_err();
            (error.kind(), error.subject().to_owned())
        };
        let (twice, conflict) =
            ((ErrorKind::Order, "a".to_owned()), |path: &str| (ErrorKind::PathConflict, path.to_owned()));
        assert_eq!(fault(&["a", "a"], &[], false), twice);
        assert_eq!(fault(&["a", "a-", "a/b"], &[], false), conflict("a"));
        assert_eq!(fault(&["data", "data/b"], &[], true), conflict("data"));
        assert_eq!(fault(&["a"], &["a/b"], false), conflict("a"));
        assert_eq!(fault(&["a"], &["a"], false), conflict("a"));
        assert_eq!(fault(&["data/a/b"], &["data/a"], true), conflict("data/a"));
        assert_eq!(fault(&["x"], &["a", "a/b"], false), conflict("a"));
        assert_eq!(fault(&[], &["a", "a"], false), twice);
        assert_eq!(fault(&["a/../b"], &[], false).0, ErrorKind::Path);
        assert_eq!(fault(&[], &["/b"], false).0, ErrorKind::Path);
        assert!(files(&["a", "a-b", "data/a"], &["data/e", "e", "e-"], true).is_ok());
    }

    #[test]
    fn names_that_fold_alike_are_bounded_in_number() {
        let name =
            |bits: u32| (0..7).map(|bit| if bits >> bit & 1 == 0 { 'a' } else { 'A' }).collect::<String>();
        let names = |count: u32, prefix: fn(u32) -> &'static str| -> Result<PackageFiles, Error> {
            let paths: Vec<String> =
                (0..count).map(|bits| format!("{}{}", prefix(bits), name(bits))).collect();
            files(&paths.iter().map(String::as_str).collect::<Vec<_>>(), &[], false)
        };
        assert!(names(65, |_| "data/").is_ok());
        let error = names(66, |_| "data/").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NameClash, "{error}");
        // Directories count each for themselves, as they do in an archive.
        assert!(names(66, |bits| if bits < 33 { "data/" } else { "Data/" }).is_ok());
    }

    #[test]
    fn facts_may_arrive_in_any_order_and_again() {
        let mut list = files(&["a", "b", "c"], &[], false).unwrap();
        for (position, name) in [(2, "x"), (0, "y"), (2, "z"), (1, "w"), (3, "none")] {
            let facts = super::ObjectFacts { format_id: Some(name.into()), ..Default::default() };
            list.set_object(position, facts);
        }
        let found: Vec<_> = list.files().filter_map(|file| file.format_id()).collect();
        assert_eq!(found, ["y", "w", "z"]);
        assert_eq!(list.file(2).unwrap().format_id(), Some("z"));
    }

    #[test]
    fn names_that_some_file_systems_take_for_one_are_found() {
        let list = files(&["A/x", "a/y", "b", "data/N\u{fa}", "data/Nu\u{301}", "c"], &["C"], true).unwrap();
        let found: Vec<_> =
            list.name_clashes().into_iter().map(|clash| (clash.first, clash.second)).collect();
        let expected = [("A", "a"), ("C", "c"), ("data/Nu\u{301}", "data/N\u{fa}")];
        assert_eq!(found, expected.map(|(first, second)| (first.into(), second.into())));
        assert!(files(&["a/x", "a/y", "a-/x"], &["a/z"], false).unwrap().name_clashes().is_empty());
    }
}
