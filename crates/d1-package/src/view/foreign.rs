//! The content of a package without an index, from its layers alone.

use std::collections::BTreeMap;

use oci_model::annotations::{ORAS_CONTENT_UNPACK, TITLE};
use oci_model::{Descriptor, ImageManifest};
use oci_pack::part_title;
use safe_files::{PathFault, ancestors};

use super::Entry;
use crate::annotations::{D1_CHECKSUM, D1_FORMAT_ID, D1_IDENTIFIER};
use crate::path::clean_title;
use crate::{Error, ErrorKind, ObjectFacts, PART_ANNOTATION, Place, Result};

/// The content of a manifest without an index.
#[derive(Clone, Debug, Default)]
pub(super) struct ForeignContent {
    /// The common directory of everything; empty if there is none.
    pub(super) directory: String,
    /// The files that are layers, by their paths below the directory.
    pub(super) files: Vec<(Box<str>, ForeignFile)>,
    /// The archives: position of the layer, and the directory it unpacks into below the common one.
    pub(super) archives: Vec<(usize, String)>,
}

/// A file in one or more layers.
#[derive(Clone, Debug)]
pub(super) struct ForeignFile {
    size: u64,
    sha256: Option<[u8; 32]>,
    object: Option<ObjectFacts>,
    place: Place,
}

impl ForeignContent {
    pub(super) fn of(manifest: &ImageManifest) -> Result<Self> {
        let mut content = Self::default();
        let (mut parts, mut files) = (PartJoiner::default(), BTreeMap::new());
        for (layer, descriptor) in manifest.layers.iter().enumerate() {
            let Some(title) = descriptor.annotation(TITLE) else { continue };
            let path = clean_title(title).map_err(|fault| unsafe_title(layer, title, fault))?;
            if descriptor.annotation(ORAS_CONTENT_UNPACK) == Some("true") {
                content.archives.push((layer, path));
                continue;
            }
            let number = u32::try_from(layer).unwrap_or(u32::MAX);
            let found = match descriptor.annotation(PART_ANNOTATION) {
                Some(part) => parts.add(number, part, &path, descriptor)?,
                None => Some((path, ForeignFile::of_layer(number, descriptor))),
            };
            let Some((path, file)) = found else { continue };
            if path.is_empty() || files.insert(path.into(), file).is_some() {
                return Err(title_conflict(layer, title));
            }
        }
        parts.finish()?;
        content.files = files.into_iter().collect();
        content.check_conflicts(manifest)?;
        content.find_directory();
        Ok(content)
    }

    pub(super) fn position(&self, path: &str) -> Option<usize> {
        self.files.binary_search_by(|(held, _)| (**held).cmp(path)).ok()
    }

    pub(super) fn entry_at(&self, position: usize) -> Option<Entry<'_>> {
        self.files.get(position).map(|(path, file)| file.entry(path))
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        self.files.iter().map(|(path, file)| file.entry(path))
    }

    /// Refuses files that are also directories, of other files or of archives.
    fn check_conflicts(&self, manifest: &ImageManifest) -> Result<()> {
        let is_file = |path: &str| self.position(path).is_some();
        let below_a_file = |path: &str| ancestors(path).any(is_file);
        let file = self.files.iter().find(|(path, _)| below_a_file(path)).map(|(_, file)| file.layer());
        let archive = self.archives.iter().find(|(_, path)| is_file(path) || below_a_file(path));
        match file.or(archive.map(|(layer, _)| *layer)) {
            Some(layer) => {
                let title = manifest.layers.get(layer).and_then(|descriptor| descriptor.annotation(TITLE));
                Err(title_conflict(layer, title.unwrap_or_default()))
            }
            None => Ok(()),
        }
    }

    /// Removes the common directory of all archives from the paths.
    fn find_directory(&mut self) {
        let Some((_, directory)) = self.archives.first() else { return };
        let inside = format!("{directory}/");
        let is_common = !directory.is_empty()
            && self.archives.iter().all(|(_, path)| path == directory)
            && self.files.iter().all(|(path, _)| path.starts_with(&inside));
        if !is_common {
            return;
        }
        self.directory = directory.clone();
        self.archives.iter_mut().for_each(|(_, path)| path.clear());
        let files = std::mem::take(&mut self.files).into_iter();
        self.files =
            files.filter_map(|(path, file)| Some((path.strip_prefix(&inside)?.into(), file))).collect();
    }
}

impl ForeignFile {
    fn of_layer(layer: u32, descriptor: &Descriptor) -> Self {
        Self {
            size: descriptor.size,
            sha256: descriptor.digest.sha256_bytes(),
            object: annotated_object(descriptor),
            place: Place::Object { layer },
        }
    }

    fn entry<'a>(&'a self, path: &'a str) -> Entry<'a> {
        Entry {
            path,
            size: self.size,
            sha256: self.sha256,
            checksums: None,
            object: self.object.as_ref(),
            place: self.place,
        }
    }

    fn layer(&self) -> usize {
        match self.place {
            Place::Archive { layer, .. } | Place::Object { layer } | Place::Parts { first: layer, .. } => {
                layer as usize
            }
        }
    }
}

/// Reads the annotations of an object. An invalid value counts as absent.
fn annotated_object(descriptor: &Descriptor) -> Option<ObjectFacts> {
    let object = ObjectFacts {
        identifier: descriptor.annotation(D1_IDENTIFIER).and_then(|text| text.parse().ok()),
        format_id: descriptor.annotation(D1_FORMAT_ID).map(Into::into),
        declared_checksum: descriptor.annotation(D1_CHECKSUM).and_then(|text| text.parse().ok()),
        ..ObjectFacts::default()
    };
    (object != ObjectFacts::default()).then_some(object)
}

/// Joins parts that follow each other.
#[derive(Default)]
struct PartJoiner {
    open: Option<OpenFile>,
}

/// A file with some of its parts.
struct OpenFile {
    path: String,
    first: u32,
    found: u32,
    count: u32,
    size: u64,
    layer: u32,
    title: String,
}

impl PartJoiner {
    /// Adds a part. Returns the file after the last one.
    fn add(
        &mut self,
        layer: u32,
        part: &str,
        title: &str,
        descriptor: &Descriptor,
    ) -> Result<Option<(String, ForeignFile)>> {
        let wrong = || misplaced_part(layer, title);
        let numbers = part
            .split_once('/')
            .and_then(|(number, count)| Some((number.parse().ok()?, count.parse().ok()?)));
        let (number, count): (u32, u32) = numbers.ok_or_else(wrong)?;
        let path = path_of_part(title, number, count).ok_or_else(wrong)?;
        let mut open = match self.open.take() {
            None if number == 1 => {
                OpenFile { path, first: layer, found: 0, count, size: 0, layer, title: title.to_owned() }
            }
            Some(open)
                if open.path == path
                    && open.count == count
                    && open.found.checked_add(1) == Some(number)
                    && open.layer.checked_add(1) == Some(layer) =>
            {
                open
            }
            _ => return Err(wrong()),
        };
        open.found = number;
        open.layer = layer;
        open.size = open.size.checked_add(descriptor.size).ok_or_else(wrong)?;
        if open.found < open.count {
            self.open = Some(open);
            return Ok(None);
        }
        let place = Place::Parts { first: open.first, count };
        Ok(Some((open.path, ForeignFile { size: open.size, sha256: None, object: None, place })))
    }

    fn finish(self) -> Result<()> {
        match self.open {
            Some(open) => Err(misplaced_part(open.layer, &open.title)),
            None => Ok(()),
        }
    }
}

/// Removes the part's number from a title.
fn path_of_part(title: &str, number: u32, count: u32) -> Option<String> {
    if number == 0 || number > count {
        return None;
    }
    let marked = part_title("", "", number, count);
    // `part_title` puts a slash between directory and path, which are empty here.
    title.strip_suffix(marked.trim_start_matches('/')).filter(|path| !path.is_empty()).map(str::to_owned)
}

fn unsafe_title(layer: usize, title: &str, fault: PathFault) -> Error {
    let message = format!("layer {layer} has the title `{title}`, which is not safe to write: {fault}");
    Error::new(ErrorKind::Path, title, message)
}

fn title_conflict(layer: usize, title: &str) -> Error {
    let message =
        format!("layer {layer} has the title `{title}`, which another layer has or needs as a directory");
    Error::new(ErrorKind::PathConflict, title, message)
}

fn misplaced_part(layer: u32, title: &str) -> Error {
    let message = format!("layer {layer} (`{title}`) is not the part of a file that belongs at its place");
    Error::new(ErrorKind::Part, title, message)
}
