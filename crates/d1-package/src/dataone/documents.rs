//! Finding and reading the DataONE documents of a package, before its files are hashed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, Read};
use std::sync::Arc;

use bagit::{Algorithm, AlgorithmSet};
use d1_model::{
    Checksum, Identifier, MAX_RESOURCE_MAP_BYTES, MAX_SYSTEM_METADATA_BYTES, Oddity, OddityCode,
    RESOURCE_MAP_FORMAT_ID, ResourceMap, SystemMetadata, looks_like_resource_map, looks_like_system_metadata,
};
use multi_digest::{HashingReader, MultiHasher};
use oci_model::Digest;

use super::fixity::algorithm_to_compare;
use crate::error::{Error, ErrorKind, Result};
use crate::oddity::{OddityList, PackageOddity, PackageOddityCode};

/// Opens the file of the package at a path.
pub type OpenFile<'a> = dyn FnMut(&str) -> io::Result<Box<dyn Read>> + 'a;

/// System metadata that the caller has read already, by path: the facts, and the departures from the schemas.
pub type KnownRecords<'a> = HashMap<&'a str, (&'a Arc<ObjectRecord>, &'a [Oddity])>;

/// The DataONE documents of a package.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Documents {
    /// The system metadata, in the order of the files.
    pub system_metadata: Vec<Arc<ObjectRecord>>,
    /// The resource maps, in the order of the files.
    pub resource_maps: Vec<ResourceMapRecord>,
    /// The oddities of the documents.
    pub(super) oddities: Vec<PackageOddity>,
    /// For each size of a described object, the algorithms of its checksums.
    algorithms: BTreeMap<u64, AlgorithmSet>,
}

/// The facts about one object from its system metadata that a package needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectRecord {
    /// Path of the document in the package.
    pub path: Box<str>,
    /// SHA-256 of the document.
    pub sha256: [u8; 32],
    /// Identifier of the object.
    pub identifier: Identifier,
    /// Object format identifier.
    pub format_id: Box<str>,
    /// Size of the object in bytes.
    pub size: u64,
    /// Checksum of the object.
    pub checksum: Checksum,
    /// Series identifier.
    pub series_id: Option<Identifier>,
    /// The version before the object.
    pub obsoletes: Option<Identifier>,
    /// The version after the object.
    pub obsoleted_by: Option<Identifier>,
    /// Whether the object is archived.
    pub archived: bool,
    /// The suggested file name of the object. It is not safe as a path.
    pub file_name: Option<Box<str>>,
    /// Whether everybody may read the object.
    pub is_public: bool,
}

/// A resource map of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceMapRecord {
    /// Path of the document in the package.
    pub path: Box<str>,
    /// SHA-256 of the document.
    pub sha256: [u8; 32],
    /// The map.
    pub map: ResourceMap,
}

impl ObjectRecord {
    /// Returns the names of the object in resource maps: its identifier, then that of its series.
    pub(super) fn names(&self) -> impl Iterator<Item = &Identifier> {
        std::iter::once(&self.identifier).chain(&self.series_id)
    }
}

/// Reads the DataONE documents among these files, given as path and size.
///
/// In a bag, it looks at every tag file, whatever its name. In the payload and in plain directories, it looks at
/// files whose names end in `.xml` or `.rdf`, and at files with the size of an object that system metadata call a
/// resource map. A document that looks like one but cannot be read is an oddity. Known records are not read again.
///
/// # Errors
///
/// If a file cannot be opened or read.
pub fn read_documents<'p>(
    files: impl IntoIterator<Item = (&'p str, u64)>,
    is_bag: bool,
    known: &KnownRecords<'_>,
    open: &mut OpenFile<'_>,
) -> Result<Documents> {
    let mut reading = Reading {
        documents: Documents::default(),
        oddities: OddityList::default(),
        repeats: BTreeMap::new(),
    };
    let mut others = Vec::new();
    for (path, size) in files.into_iter().filter(|(_, size)| *size <= MAX_RESOURCE_MAP_BYTES) {
        let is_tag_file = is_bag && !path.starts_with("data/");
        if let Some((record, oddities)) = known.get(path) {
            reading.note(path, oddities);
            reading.documents.system_metadata.push(Arc::clone(record));
        } else if is_tag_file || is_named_like_xml(path) {
            reading.look_at(path, open)?;
        } else {
            others.push((path, size));
        }
    }
    let map_sizes: BTreeSet<u64> = reading.map_sizes().collect();
    for (path, _) in others.into_iter().filter(|(_, size)| map_sizes.contains(size)) {
        reading.look_at(path, open)?;
    }
    Ok(reading.finish())
}

impl Documents {
    /// Returns the algorithms besides SHA-256 that a file of `size` bytes needs for the match with its system
    /// metadata. Most files need none.
    #[must_use]
    pub fn algorithms_for(&self, size: u64) -> AlgorithmSet {
        self.algorithms.get(&size).copied().unwrap_or(AlgorithmSet::EMPTY)
    }

    /// Moves all paths into a directory, given with a slash at its end.
    pub(crate) fn move_into(&mut self, directory: &str) {
        let paths = self.system_metadata.iter_mut().map(|record| &mut Arc::make_mut(record).path);
        let paths = paths.chain(self.resource_maps.iter_mut().map(|record| &mut record.path));
        paths.chain(self.oddities.iter_mut().map(|oddity| &mut oddity.path)).for_each(|path| {
            *path = format!("{directory}{path}").into();
        });
    }
}

/// How many bytes of a file are searched to recognise a document.
const HEAD_LENGTH: u64 = 64 << 10;

/// A name does not prove the type of a file. It only keeps other payload from being opened.
fn is_named_like_xml(path: &str) -> bool {
    let extension = path.rsplit_once('.').map_or("", |(_, extension)| extension);
    extension.eq_ignore_ascii_case("xml") || extension.eq_ignore_ascii_case("rdf")
}

struct Reading {
    documents: Documents,
    oddities: OddityList,
    /// Departures from the schemas: the first document, its message, and the number of documents.
    repeats: BTreeMap<OddityCode, (Box<str>, String, usize)>,
}

impl Reading {
    fn look_at(&mut self, path: &str, open: &mut OpenFile<'_>) -> Result<()> {
        let failed = |source: io::Error| {
            Error::new(ErrorKind::Read, path, format!("cannot read `{path}`")).because(source)
        };
        let mut reader = open(path).map_err(failed)?;
        let mut head = Vec::new();
        reader.by_ref().take(HEAD_LENGTH).read_to_end(&mut head).map_err(failed)?;
        if looks_like_system_metadata(&head) {
            let limit = (MAX_SYSTEM_METADATA_BYTES as u64).saturating_add(1);
            reader.take(limit.saturating_sub(HEAD_LENGTH)).read_to_end(&mut head).map_err(failed)?;
            self.add_system_metadata(path, &head);
        } else if looks_like_resource_map(&head) {
            let rest = reader.take(MAX_RESOURCE_MAP_BYTES);
            self.add_resource_map(path, head.chain(rest)).map_err(failed)?;
        }
        Ok(())
    }

    fn add_system_metadata(&mut self, path: &str, bytes: &[u8]) {
        match SystemMetadata::parse(bytes) {
            Ok(parsed) => {
                self.note(path, &parsed.oddities);
                let record = ObjectRecord::new(path, bytes, parsed.value);
                self.documents.system_metadata.push(Arc::new(record));
            }
            Err(error) => self.oddities.add(PackageOddityCode::UnreadableDocument, path, error.to_string()),
        }
    }

    fn add_resource_map(&mut self, path: &str, reader: impl Read) -> io::Result<()> {
        let mut hashing = HashingReader::new(reader, MultiHasher::new(Algorithm::Sha256.into()));
        match ResourceMap::read(&mut hashing) {
            Ok(parsed) => {
                io::copy(&mut hashing, &mut io::sink())?;
                let digests = hashing.into_hasher().finish();
                let sha256 = digests.get(Algorithm::Sha256).and_then(|digest| digest.try_into().ok());
                self.note(path, &parsed.oddities);
                self.documents.resource_maps.push(ResourceMapRecord {
                    path: path.into(),
                    sha256: sha256.unwrap_or_default(),
                    map: parsed.value,
                });
            }
            Err(error) if error.kind() == d1_model::ErrorKind::Io => return Err(io::Error::other(error)),
            Err(error) => self.oddities.add(PackageOddityCode::UnreadableDocument, path, error.to_string()),
        }
        Ok(())
    }

    /// Notes a departure from a schema. All documents often share it, so it is listed once.
    fn note(&mut self, path: &str, oddities: &[Oddity]) {
        let mut seen = BTreeSet::new();
        for oddity in oddities {
            if seen.insert(oddity.code) {
                let first = || (path.into(), oddity.to_string(), 0);
                self.repeats.entry(oddity.code).or_insert_with(first).2 += 1;
            }
        }
    }

    /// Returns the sizes of the objects that system metadata call resource maps.
    fn map_sizes(&self) -> impl Iterator<Item = u64> {
        let records = self.documents.system_metadata.iter();
        records.filter(|record| &*record.format_id == RESOURCE_MAP_FORMAT_ID).map(|record| record.size)
    }

    fn finish(mut self) -> Documents {
        for (path, message, count) in self.repeats.into_values() {
            let others = if count > 1 { format!(" (in {count} documents)") } else { String::new() };
            self.oddities.add(PackageOddityCode::DocumentOddity, &path, format!("{message}{others}"));
        }
        let mut documents = self.documents;
        documents.oddities = self.oddities.into_vec();
        for record in &documents.system_metadata {
            let algorithm = algorithm_to_compare(&record.checksum);
            if let Some(algorithm) = algorithm.filter(|algorithm| *algorithm != Algorithm::Sha256) {
                documents.algorithms.entry(record.size).or_default().insert(algorithm);
            }
        }
        documents
    }
}

impl ObjectRecord {
    /// Reads the facts that a package needs from a system metadata document at a path.
    #[must_use]
    pub fn new(path: &str, bytes: &[u8], document: SystemMetadata) -> Self {
        Self {
            path: path.into(),
            sha256: Digest::sha256_of(bytes).sha256_bytes().unwrap_or_default(),
            is_public: document.is_public(),
            identifier: document.identifier,
            format_id: document.format_id.into(),
            size: document.size,
            checksum: document.checksum,
            series_id: document.series_id,
            obsoletes: document.obsoletes,
            obsoleted_by: document.obsoleted_by,
            archived: document.archived == Some(true),
            file_name: document.file_name.map(Into::into),
        }
    }
}
