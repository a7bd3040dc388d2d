//! The files of an index as they come, put at once into the form in which they are kept: a million of them pass through here.

use std::fmt;

use bagit::Inventory;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::document::FileDocument;
use super::{IndexError, IndexErrorKind, Place};
use crate::ObjectFacts;
use crate::files::order_key;
use crate::path::{PathFault, path_fault};

/// The files with their places, and the first of each thing that is wrong with them.
#[derive(Default)]
pub(super) struct FileList {
    pub(super) inventory: Inventory,
    pub(super) places: Vec<Place>,
    /// What DataONE knows of files, by position.
    pub(super) objects: Vec<(usize, ObjectFacts)>,
    /// A path that cannot stand in a package: it was not kept.
    unsafe_path: Option<(Box<str>, PathFault)>,
    /// A file whose place does not read.
    misplaced: Option<Box<str>>,
    /// A file that does not come after the one before it, in the order of a plain directory and in that of a bag.
    unordered: [Option<Box<str>>; 2],
    previous: Box<str>,
}

impl FileList {
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
        let place = document.place();
        if place.is_none() && self.misplaced.is_none() {
            self.misplaced = Some(document.path.clone());
        }
        self.inventory.insert_file(&document.path, document.size, document.digests());
        self.previous.clone_from(&document.path);
        let position = self.places.len();
        self.places.push(place.unwrap_or(Place::Object { layer: u32::MAX }));
        self.objects.extend(document.into_object().map(|object| (position, object)));
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

impl<'de> Deserialize<'de> for FileList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Files;
        impl<'de> Visitor<'de> for Files {
            type Value = FileList;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list of files")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<FileList, A::Error> {
                let mut list = FileList::default();
                while let Some(document) = sequence.next_element::<FileDocument>()? {
                    list.add(document);
                }
                Ok(list)
            }
        }
        deserializer.deserialize_seq(Files)
    }
}
