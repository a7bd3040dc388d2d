//! The objects of a node, and how they belong together.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::{fs, io};

use d1_model::{
    DateTime, FormatType, Identifier, ObjectFormatList, RESOURCE_MAP_FORMAT_ID, ResourceMap,
    ResourceMapBuilder, head_of_series,
};
use jiff::Timestamp;

use crate::content::Content;
use crate::object::{FIRST_UPLOAD, StoredObject};
use crate::package::Package;

/// The end of the names of files that hold system metadata.
const SYSTEM_METADATA: &str = ".sysmeta.xml";

/// The objects of a node.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    objects: HashMap<Identifier, Arc<StoredObject>>,
    /// The order of lists: by the time of the last change.
    by_date: BTreeSet<(Option<Timestamp>, Identifier)>,
    by_series: BTreeMap<Identifier, BTreeSet<Identifier>>,
    relations: HashMap<Identifier, Relations>,
    /// The order of arrival.
    arrivals: HashMap<Identifier, u64>,
    /// How many objects were ever put here.
    count: u64,
}

/// How an object belongs to others, as a search index has it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Relations {
    pub(crate) maps: BTreeSet<Identifier>,
    pub(crate) documents: BTreeSet<Identifier>,
    pub(crate) documented_by: BTreeSet<Identifier>,
}

impl Catalog {
    /// Reads a folder: each file `NAME` with its system metadata in `NAME.sysmeta.xml`. Other files do not count.
    ///
    /// # Errors
    ///
    /// If something cannot be read, or a file named so is not system metadata.
    pub fn read_directory(directory: &Path) -> io::Result<Self> {
        let mut catalog = Self::default();
        let mut names: Vec<_> = fs::read_dir(directory)?
            .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
            .collect::<io::Result<_>>()?;
        names.sort_unstable();
        for name in &names {
            let document = directory.join(format!("{name}{SYSTEM_METADATA}"));
            if document.is_file() {
                let content = Content::file(directory.join(name))?;
                let object = StoredObject::with_document(fs::read(document)?, content);
                catalog.put(object.map_err(io::Error::other)?)?;
            }
        }
        Ok(catalog)
    }

    /// Adds an object; it replaces one with the same identifier. Objects without dates get one: the first of 2024 and a
    /// minute later for each object. A resource map relates the objects that it names.
    ///
    /// # Errors
    ///
    /// If the file of a resource map cannot be read.
    pub fn put(&mut self, mut object: StoredObject) -> io::Result<()> {
        if object.meta.format_id == RESOURCE_MAP_FORMAT_ID
            && let Ok(map) = ResourceMap::parse(&object.content.bytes()?)
        {
            self.relate(&object.meta.identifier.clone(), &map.value);
        }
        self.remove(&object.meta.identifier.clone());
        object.date(self.count);
        self.arrivals.insert(object.meta.identifier.clone(), self.count);
        self.count += 1;
        let identifier = object.meta.identifier.clone();
        self.by_date.insert((instant(&object), identifier.clone()));
        if let Some(series) = &object.meta.series_id {
            self.by_series.entry(series.clone()).or_default().insert(identifier.clone());
        }
        self.objects.insert(identifier, Arc::new(object));
        Ok(())
    }

    /// Adds the resource map of a package. The map that it obsoletes is marked as obsolete.
    ///
    /// # Errors
    ///
    /// If the map cannot be written.
    pub fn put_package(&mut self, package: &Package) -> io::Result<()> {
        let modified = Timestamp::from_second(FIRST_UPLOAD).map_err(io::Error::other)?;
        let modified = DateTime::from_instant(modified);
        let mut builder = ResourceMapBuilder::new(package.map.clone(), "d1-testnode", modified)
            .title(format!("Package {}", package.map));
        builder.documents(&package.metadata, &package.metadata);
        for (identifier, location) in &package.data {
            builder.documents(&package.metadata, identifier);
            if let Some(location) = location {
                builder.member_at(identifier, location);
            }
        }
        for nested in &package.nested {
            builder.member(nested);
        }
        let document = builder.build().to_rdf_xml().map_err(io::Error::other)?;
        let content = Content::Memory(document.into());
        let map = StoredObject::new(package.map.clone(), RESOURCE_MAP_FORMAT_ID, content)?;
        self.put(map.edited(|meta| meta.obsoletes = package.obsoletes.clone()))?;
        if let Some(before) = &package.obsoletes {
            self.edit(before, |meta| meta.obsoleted_by = Some(package.map.clone()))?;
        }
        Ok(())
    }

    /// Changes the system metadata of an object, if it is here.
    ///
    /// # Errors
    ///
    /// If the file of a resource map cannot be read.
    pub fn edit(
        &mut self,
        identifier: &Identifier,
        edit: impl FnOnce(&mut d1_model::SystemMetadata),
    ) -> io::Result<()> {
        match self.objects.get(identifier) {
            Some(object) => self.put(StoredObject::clone(object).edited(edit)),
            None => Ok(()),
        }
    }

    /// Removes an object, and tells whether it existed. Maps still name it.
    pub fn remove(&mut self, identifier: &Identifier) -> bool {
        let Some(object) = self.objects.remove(identifier) else { return false };
        self.by_date.remove(&(instant(&object), identifier.clone()));
        if let Some(members) =
            object.meta.series_id.as_ref().and_then(|series| self.by_series.get_mut(series))
        {
            members.remove(identifier);
        }
        true
    }

    /// Returns an object by its own identifier.
    #[must_use]
    pub fn get(&self, identifier: &Identifier) -> Option<&Arc<StoredObject>> {
        self.objects.get(identifier)
    }

    /// Returns an object by its own identifier, or the head of a series.
    #[must_use]
    pub fn find(&self, identifier: &Identifier) -> Option<&Arc<StoredObject>> {
        self.get(identifier).or_else(|| {
            let members: Vec<_> = self.series(identifier).map(|object| object.meta.clone()).collect();
            self.get(&head_of_series(&members)?.identifier)
        })
    }

    /// Returns all objects in the order of their dates.
    pub fn objects(&self) -> impl Iterator<Item = &Arc<StoredObject>> {
        self.by_date.iter().filter_map(|(_, identifier)| self.objects.get(identifier))
    }

    /// Returns how many objects are here.
    #[must_use]
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Tells whether nothing is here.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// Returns the objects of a series.
    pub(crate) fn series(&self, series: &Identifier) -> impl Iterator<Item = &Arc<StoredObject>> {
        let members = self.by_series.get(series);
        members.into_iter().flatten().filter_map(|identifier| self.objects.get(identifier))
    }

    /// Returns a number that tells the order in which objects arrived.
    pub(crate) fn arrival(&self, identifier: &Identifier) -> Option<u64> {
        self.arrivals.get(identifier).copied()
    }

    pub(crate) fn relations(&self, identifier: &Identifier) -> Option<&Relations> {
        self.relations.get(identifier)
    }

    fn relate(&mut self, identifier: &Identifier, map: &ResourceMap) {
        for (position, member) in map.members().iter().enumerate() {
            let own = member.identifier();
            self.relations.entry(own.clone()).or_default().maps.insert(identifier.clone());
            for other in map.documented_by(position) {
                self.relations
                    .entry(own.clone())
                    .or_default()
                    .documented_by
                    .insert(other.identifier().clone());
                let documents = &mut self.relations.entry(other.identifier().clone()).or_default().documents;
                documents.insert(own.clone());
            }
        }
    }
}

/// Returns what kind of format an object has; what is not on the list counts as data.
pub(crate) fn format_type(object: &StoredObject) -> &'static FormatType {
    ObjectFormatList::builtin()
        .get(&object.meta.format_id)
        .map_or(&FormatType::Data, |format| &format.format_type)
}

pub(crate) fn instant(object: &StoredObject) -> Option<Timestamp> {
    object.meta.date_modified.as_ref().and_then(DateTime::instant)
}
