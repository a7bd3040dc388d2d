//! The files of an index as they come, put at once into the form in which they are kept: a million of them pass through here.

use std::fmt;
use std::marker::PhantomData;

use bagit::Inventory;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::document::FileDocument;
use super::{IndexError, IndexErrorKind, Place};
use crate::files::order_key;
use crate::{ObjectFacts, PathFault, path_fault};

/// What is kept of the files of an index.
pub(super) trait KeepFiles: Default {
    /// Keeps a file; its path can stand in a package.
    fn keep(&mut self, file: FileDocument, place: Place);
}

/// The files of an index, and the first of each thing that is wrong with them.
#[derive(Default)]
pub(super) struct FileList<K> {
    pub(super) kept: K,
    /// A path that cannot stand in a package: it was not kept.
    unsafe_path: Option<(Box<str>, PathFault)>,
    /// A file whose place does not read.
    misplaced: Option<Box<str>>,
    /// A file that does not come after the one before it, in the order of a plain directory and in that of a bag.
    unordered: [Option<Box<str>>; 2],
    previous: Box<str>,
}

/// All that an index says of its files.
#[derive(Default)]
pub(super) struct AllFiles {
    pub(super) inventory: Inventory,
    pub(super) places: Vec<Place>,
    /// What DataONE knows of files, by position.
    pub(super) objects: Vec<(usize, ObjectFacts)>,
}

impl KeepFiles for AllFiles {
    fn keep(&mut self, file: FileDocument, place: Place) {
        self.inventory.insert_file(&file.path, file.size, file.digests());
        let position = self.places.len();
        self.places.push(place);
        self.objects.extend(file.into_object().map(|object| (position, object)));
    }
}

impl<K: KeepFiles> FileList<K> {
    fn add(&mut self, document: FileDocument) {
        // Nothing is kept of a path that is longer than paths are.
        if let Some(fault) = path_fault(&document.path) {
            self.unsafe_path.get_or_insert((document.path, fault));
            return;
        }
        for (is_bag, unordered) in [false, true].into_iter().zip(&mut self.unordered) {
            let (previous, path) = (order_key(&self.previous, is_bag), order_key(&document.path, is_bag));
            if unordered.is_none() && previous >= path {
                *unordered = Some(document.path.clone());
            }
        }
        self.previous.clone_from(&document.path);
        match document.place() {
            Some(place) => self.kept.keep(document, place),
            None => _ = self.misplaced.get_or_insert(document.path),
        }
    }

    /// Checks that places read, and that files and directories are strictly in their order.
    pub(super) fn check(&self, empty_directories: &[Box<str>], is_bag: bool) -> Result<(), IndexError> {
        if let Some((path, fault)) = &self.unsafe_path {
            let detail = format!("`{path}` cannot be in a package: {fault}");
            return Err(IndexError::new(IndexErrorKind::Path, &**path, detail));
        }
        if let Some(path) = &self.misplaced {
            let detail = "it needs either `layer`, `layer` and `offset`, or consecutive `parts`";
            return Err(IndexError::new(IndexErrorKind::Place, &**path, detail));
        }
        let [plain, bag] = &self.unordered;
        let unordered_file = if is_bag { bag } else { plain };
        let unordered_directory = empty_directories.windows(2).find_map(|pair| match pair {
            [left, right] if left >= right => Some(right),
            _ => None,
        });
        match unordered_file.as_ref().or(unordered_directory) {
            Some(path) => {
                let detail = "it comes twice or not in its order (tag files, payload, bytewise)";
                Err(IndexError::new(IndexErrorKind::Order, &**path, detail))
            }
            None => Ok(()),
        }
    }
}

impl<'de, K: KeepFiles> Deserialize<'de> for FileList<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Files<K>(PhantomData<K>);
        impl<'de, K: KeepFiles> Visitor<'de> for Files<K> {
            type Value = FileList<K>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list of files")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<FileList<K>, A::Error> {
                let mut list = FileList::default();
                while let Some(document) = sequence.next_element::<FileDocument>()? {
                    list.add(document);
                }
                Ok(list)
            }
        }
        deserializer.deserialize_seq(Files(PhantomData))
    }
}
