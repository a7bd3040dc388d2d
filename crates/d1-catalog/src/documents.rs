//! Reading the documents of a package: system metadata, resource maps and science metadata, with few requests.

use std::collections::HashSet;
use std::io::Read;

use d1_metadata::{MAX_DOCUMENT_BYTES, ScienceMetadata};
use d1_model::{
    FormatType, Identifier, MAX_RESOURCE_MAP_BYTES, MAX_SYSTEM_METADATA_BYTES, ObjectFormatList, ResourceMap,
    SystemMetadata,
};
use d1_package::{
    Entry, Form, LayerKind, PackageIndex, PackageView, Place, archive_compression, object_layer_of,
};
use d1_transfer::parts::{AttachedDocument, concerns_content, newest_attached, read_blocking, read_range};
use d1_transfer::{OpenPackage, with_causes};
use oci_model::Digest;
use oci_pack::{MemberReader, members_covering};
use registry_backend::RegistryBackend;

use crate::error::Result;

/// The documents of an artifact, read and parsed.
#[derive(Debug, Default)]
pub(crate) struct Documents {
    /// System metadata, with the path of the document.
    pub(crate) system_metadata: Vec<(String, SystemMetadata)>,
    /// System metadata of a single object.
    pub(crate) attached: Option<AttachedDocument>,
    /// The statements of resource maps: the identifiers of a document and of the object that it describes.
    pub(crate) relations: Vec<(Identifier, Identifier)>,
    /// Science metadata, with the path of the document.
    pub(crate) science: Vec<(String, ScienceMetadata)>,
    /// The reasons why documents cannot be read.
    pub(crate) faults: Vec<String>,
}

/// A document to read.
struct Wanted<'a> {
    entry: Entry<'a>,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    SystemMetadata,
    ResourceMap,
    Science,
}

/// Bytes of a tar archive that are read for nothing, rather than making another request.
const LARGEST_GAP: u64 = 1 << 20;

/// How many bytes of documents are read with one request.
const LONGEST_RUN: u64 = 32 << 20;

/// How many documents of one package are read.
const MOST_DOCUMENTS: usize = 1 << 20;

/// How many faults of one package are noted.
const MOST_FAULTS: usize = 20;

/// Reads the documents of a package. A damaged document is a fault, not an error.
///
/// # Errors
///
/// If the store fails.
pub(crate) async fn read_documents(
    backend: &dyn RegistryBackend,
    package: &OpenPackage,
) -> Result<Documents> {
    let mut documents = Documents::default();
    if is_single_object(package) {
        documents.attached = attached(backend, package).await?;
    }
    documents.read(backend, package, wanted(&package.view)).await?;
    Ok(documents)
}

/// The science metadata of a package.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct ScienceDocuments {
    /// The path of each document, and its content.
    pub documents: Vec<(String, ScienceMetadata)>,
    /// The faults of documents that are damaged, missing or cannot be parsed, in words. At most twenty.
    pub faults: Vec<String>,
}

/// Reads the science metadata of a package. A damaged document is a fault, not an error.
///
/// # Errors
///
/// If the store fails.
pub async fn science_metadata(
    backend: &dyn RegistryBackend,
    package: &OpenPackage,
) -> Result<ScienceDocuments> {
    let mut wanted = wanted(&package.view);
    wanted.retain(|wanted| wanted.kind == Kind::Science);
    let mut documents = Documents::default();
    documents.read(backend, package, wanted).await?;
    Ok(ScienceDocuments { documents: documents.science, faults: documents.faults })
}

impl Documents {
    async fn read(
        &mut self,
        backend: &dyn RegistryBackend,
        package: &OpenPackage,
        mut wanted: Vec<Wanted<'_>>,
    ) -> Result<()> {
        wanted.sort_by_key(|wanted| position(&wanted.entry.place));
        let mut rest = wanted.as_slice();
        while let Some(first) = rest.first() {
            let (run, after) = rest.split_at(run_length(rest));
            rest = after;
            let read = match first.entry.place {
                Place::Archive { layer, .. } => from_archive(backend, &package.view, layer, run).await,
                _ => whole(backend, package, first).await,
            };
            match read {
                Ok(contents) => run.iter().zip(contents).for_each(|(wanted, bytes)| self.add(wanted, &bytes)),
                Err(error) if error.of_store().is_none_or(|error| concerns_content(error.kind())) => {
                    self.note(format!("cannot read `{}`: {}", first.entry.path, with_causes(&error)));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn note(&mut self, fault: String) {
        if self.faults.len() < MOST_FAULTS {
            self.faults.push(fault);
        }
    }

    fn add(&mut self, wanted: &Wanted<'_>, bytes: &[u8]) {
        let path = wanted.entry.path;
        if wanted.entry.sha256.is_some_and(|sha256| Digest::sha256_of(bytes) != Digest::from_sha256(sha256)) {
            self.note(format!("the content of `{path}` has another digest than the index states"));
            return;
        }
        match wanted.kind {
            Kind::SystemMetadata => match SystemMetadata::parse(bytes) {
                Ok(parsed) => self.system_metadata.push((path.to_owned(), parsed.value)),
                Err(error) => self.note(format!("cannot read `{path}`: {error}")),
            },
            Kind::ResourceMap => match ResourceMap::parse(bytes) {
                Ok(parsed) => self.add_map(&parsed.value),
                Err(error) => self.note(format!("cannot read `{path}`: {error}")),
            },
            Kind::Science => match d1_metadata::read(bytes) {
                Ok(metadata) => self.science.push((path.to_owned(), metadata)),
                // Many formats of metadata are in use, and most of them are not read.
                Err(d1_metadata::Error::UnknownFormat { .. }) => {}
                Err(error) => self.note(format!("cannot read `{path}`: {error}")),
            },
        }
    }

    fn add_map(&mut self, map: &ResourceMap) {
        let members = map.members();
        for (documenting, documented) in map.relations() {
            let (Some(documenting), Some(documented)) = (members.get(documenting), members.get(documented))
            else {
                continue;
            };
            self.relations.push((documenting.identifier().clone(), documented.identifier().clone()));
        }
    }
}

/// Returns the documents to read.
fn wanted(view: &PackageView) -> Vec<Wanted<'_>> {
    let formats = ObjectFormatList::builtin();
    let is_crate = Form::of(view.entries().map(|entry| entry.path)) == Form::RoCrate;
    let described: HashSet<&str> =
        view.entries().filter_map(|entry| entry.object?.system_metadata.as_deref()).collect();
    let map = view.index().and_then(PackageIndex::resource_map);
    let kind = |entry: &Entry<'_>| {
        if described.contains(entry.path) {
            return Some((Kind::SystemMetadata, MAX_SYSTEM_METADATA_BYTES as u64));
        }
        if is_crate && entry.path == RO_CRATE_METADATA || entry.path == CRATE_IN_A_BAG {
            return Some((Kind::Science, MAX_DOCUMENT_BYTES as u64));
        }
        let identifier = entry.object.and_then(|object| object.identifier.as_ref());
        if map.is_some() && identifier == map {
            return Some((Kind::ResourceMap, MAX_RESOURCE_MAP_BYTES));
        }
        let format_id = entry.object.and_then(|object| object.format_id.as_deref())?;
        match formats.get(format_id)?.format_type {
            FormatType::Metadata => Some((Kind::Science, MAX_DOCUMENT_BYTES as u64)),
            FormatType::Resource => Some((Kind::ResourceMap, MAX_RESOURCE_MAP_BYTES)),
            _ => None,
        }
    };
    let wanted = view.entries().filter_map(|entry| {
        let (kind, most) = kind(&entry)?;
        (entry.size <= most).then_some(Wanted { entry, kind })
    });
    wanted.take(MOST_DOCUMENTS).collect()
}

/// The document of an RO-Crate.
const RO_CRATE_METADATA: &str = "ro-crate-metadata.json";

/// The document of an RO-Crate that is the payload of a bag.
const CRATE_IN_A_BAG: &str = "data/ro-crate-metadata.json";

/// Orders documents by the place of their bytes.
fn position(place: &Place) -> (u32, u64) {
    match *place {
        Place::Archive { layer, offset } => (layer, offset),
        Place::Object { layer } | Place::Parts { first: layer, .. } => (layer, 0),
    }
}

/// Returns how many of the documents are near enough to each other for one request.
fn run_length(wanted: &[Wanted<'_>]) -> usize {
    let Some(Wanted { entry: first, .. }) = wanted.first() else { return 0 };
    let Place::Archive { layer, offset: start } = first.place else { return 1 };
    let mut end = start.saturating_add(first.size);
    let mut length = 1;
    for Wanted { entry, .. } in wanted.iter().skip(1) {
        let Place::Archive { layer: of, offset } = entry.place else { break };
        let next_end = offset.saturating_add(entry.size);
        let is_near = of == layer && offset >= end && offset - end <= LARGEST_GAP;
        if !is_near || next_end - start > LONGEST_RUN {
            break;
        }
        end = next_end;
        length += 1;
    }
    length
}

/// Reads files that lie close to each other in an archive.
async fn from_archive(
    backend: &dyn RegistryBackend,
    view: &PackageView,
    layer: u32,
    run: &[Wanted<'_>],
) -> Result<Vec<Vec<u8>>, d1_transfer::Error> {
    let span = |wanted: &Wanted<'_>| {
        let (_, start) = position(&wanted.entry.place);
        start..start.saturating_add(wanted.entry.size)
    };
    let (Some(first), Some(last)) = (run.first(), run.last()) else { return Ok(Vec::new()) };
    let path = first.entry.path.to_owned();
    let damaged = |message: String| d1_transfer::Error::content(path.clone(), message);
    let (start, end) = (span(first).start, span(last).end);
    let record = view.index().and_then(|index| index.layers().get(layer as usize));
    let descriptor = view.manifest().layers.get(layer as usize);
    let compression = descriptor.and_then(|descriptor| archive_compression(&descriptor.media_type));
    let (Some(LayerKind::Archive(archive)), Some(descriptor), Some(compression)) =
        (record.map(|record| &record.kind), descriptor, compression)
    else {
        return Err(damaged("its archive has no list of members".to_owned()));
    };
    let part = members_covering(&archive.members, start..end).map_err(|error| damaged(error.to_string()))?;
    let range = part.compressed.clone();
    let stream = read_range(backend, &descriptor.digest, descriptor.size, range).await?;
    let bytes = read_blocking(stream, move |reader| {
        let mut bytes = Vec::new();
        MemberReader::new(reader, compression, &part)?.read_to_end(&mut bytes).map(|_| bytes)
    })
    .await?
    .map_err(|error| damaged(error.to_string()))?;
    let slice = |wanted: &Wanted<'_>| {
        let span = span(wanted);
        let from = usize::try_from(span.start - start).unwrap_or(usize::MAX);
        let to = usize::try_from(span.end - start).unwrap_or(usize::MAX);
        bytes.get(from..to).map(<[u8]>::to_vec).unwrap_or_default()
    };
    Ok(run.iter().map(slice).collect())
}

/// Reads one file that is a layer, or several.
async fn whole(
    backend: &dyn RegistryBackend,
    package: &OpenPackage,
    wanted: &Wanted<'_>,
) -> Result<Vec<Vec<u8>>, d1_transfer::Error> {
    let bytes = d1_transfer::read_file(backend, package, wanted.entry.path, None, Vec::new()).await?;
    Ok(vec![bytes])
}

fn is_single_object(package: &OpenPackage) -> bool {
    let identifier = package.view.identifier().and_then(|text| text.parse::<Identifier>().ok());
    identifier.is_some_and(|identifier| object_layer_of(package.view.manifest(), &identifier).is_some())
}

/// Reads the newest system metadata that refer to a single object.
pub(crate) async fn attached(
    backend: &dyn RegistryBackend,
    package: &OpenPackage,
) -> Result<Option<AttachedDocument>> {
    let identifier = package.view.identifier().unwrap_or_default();
    let newest = newest_attached(backend, package).await?.newest;
    Ok(newest.filter(|newest| newest.facts.identifier.as_str() == identifier))
}
