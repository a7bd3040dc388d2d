//! Reading the resource map of a package and the system metadata of its members, before any data move.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bagit::{Algorithm, AlgorithmSet, Digests, FileToHash, HashOptions, HashOutcome, NoProgress};
use d1_client::{Document, ErrorKind as NodeErrorKind};
use d1_model::{
    Identifier, MAX_RESOURCE_MAP_BYTES, Oddity, RESOURCE_MAP_FORMAT_ID, Replica, ReplicationStatus,
    ResourceMap, SystemMetadata,
};
use d1_package::{BagNames, ObjectRecord, ObjectToPlace, bag_directory, identifier_of_package};
use d1_transfer::parts::{Meter, run_blocking};
use futures::{FutureExt, StreamExt, stream};

use crate::difference::DifferenceKind;
use crate::error::{Error, MemberFault, Result};
use crate::node::{DataOneSource, Downloading, download, write};
use crate::package::{
    DescribedObject, DescribedPackage, MANIFEST_ALGORITHMS, SkippedMember, has_all, read_digests,
};

/// How many system metadata documents are requested at once. The client also limits requests to each node.
const DOCUMENTS_AT_ONCE: usize = 8;
/// How many nodes of an object are remembered.
const MOST_HOLDERS: usize = 16;

/// The members that a copy includes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Selection {
    /// Whether to include private members.
    pub(crate) include_private: bool,
    /// Whether to leave out members that no node has. Otherwise the package is refused.
    pub(crate) skip_missing: bool,
}

/// Reads the map and all system metadata of a package, and writes them to their paths in the bag below a
/// directory.
///
/// # Errors
///
/// [`Error::Node`] if the map cannot be read. [`Error::NotPublic`] if the map is private. [`Error::Members`]
/// with all faults of members.
pub(crate) async fn describe(
    source: &DataOneSource,
    map: &Identifier,
    selection: Selection,
    staging: &Path,
    meter: &Meter,
) -> Result<DescribedPackage> {
    let document = source.system_metadata(map).await?;
    let system_metadata = document.value.clone();
    let uploaded = document.value.date_uploaded.as_ref().and_then(d1_model::DateTime::instant);
    let mut describing =
        Describing { names: BagNames::new(), staging, objects: Vec::new(), holders: HashSet::new() };
    let resource_map = describing.map(source, document, selection, meter).await?;
    let skipped = describing.members(source, &resource_map, selection).await?;
    let mut objects = describing.objects;
    let declared = objects.iter().filter_map(|object| algorithm_of(&object.record));
    let algorithms = MANIFEST_ALGORITHMS.into_iter().chain(declared).collect();
    objects = {
        let staging = staging.to_owned();
        run_blocking(move || with_digests(&staging, objects, algorithms)).await?
    };
    let records = || objects.iter().map(|object| &*object.record);
    let own = records().next().map_or(map, |record| &record.identifier).clone();
    let identifier = identifier_of_package(&resource_map, &own, records());
    Ok(DescribedPackage {
        directory: bag_directory(&identifier),
        identifier,
        resource_map: own,
        skipped,
        nested: nested(&objects),
        date: uploaded.map(|instant| instant.strftime("%F").to_string()),
        algorithms,
        objects,
        map: system_metadata,
    })
}

struct Describing<'a> {
    names: BagNames,
    staging: &'a Path,
    objects: Vec<DescribedObject>,
    /// The lists of nodes that have objects. Most objects share one.
    holders: HashSet<Arc<[Box<str>]>>,
}

impl Describing<'_> {
    /// Downloads the map and parses it.
    async fn map(
        &mut self,
        source: &DataOneSource,
        document: Document<SystemMetadata>,
        selection: Selection,
        meter: &Meter,
    ) -> Result<ResourceMap> {
        let identifier = document.value.identifier.clone();
        if !document.value.is_public() && !selection.include_private {
            return Err(Error::NotPublic { identifier });
        }
        if document.value.format_id != RESOURCE_MAP_FORMAT_ID {
            let fault = format!("expected a resource map, found the format `{}`", document.value.format_id);
            return Err(Error::member(identifier, fault));
        }
        if document.value.size > MAX_RESOURCE_MAP_BYTES {
            let fault = format!(
                "a map has {MAX_RESOURCE_MAP_BYTES} bytes at most, this one has {}",
                document.value.size
            );
            return Err(Error::member(identifier, fault));
        }
        let path = self.names.place_system_metadata(&identifier);
        let named_sha256 = source.named_sha256(&identifier).await;
        let written = write_document(self.staging, path, document).await?;
        let object = DescribedObject { named_sha256, ..self.place(written, None, true) };
        let algorithms = MANIFEST_ALGORITHMS.into_iter().chain(algorithm_of(&object.record)).collect();
        let downloading = Downloading { source, staging: self.staging, algorithms, meter, is_new: false };
        download(&downloading, &object).await?;
        let file = self.staging.join(&object.path);
        self.objects.push(object);
        let parsed = run_blocking(move || {
            let opened = std::fs::File::open(&file).map_err(|error| Error::io("open", &file, error))?;
            Ok::<_, Error>(ResourceMap::read(std::io::BufReader::new(opened)))
        });
        match parsed.await? {
            Ok(parsed) => Ok(parsed.value),
            Err(error) => Err(Error::member(identifier, error.to_string())),
        }
    }

    /// Reads the system metadata of all members.
    async fn members(
        &mut self,
        source: &DataOneSource,
        map: &ResourceMap,
        selection: Selection,
    ) -> Result<Vec<SkippedMember>> {
        let own = self.objects.first().map(|object| object.record.identifier.clone());
        let names = &mut self.names;
        let members: Vec<MemberToAsk> = map
            .members()
            .iter()
            // Some maps list themselves as members.
            .filter(|member| Some(member.identifier()) != own.as_ref())
            .map(|member| MemberToAsk {
                identifier: member.identifier().clone(),
                location: member.at_location().map(Into::into),
                path: names.place_system_metadata(member.identifier()),
                named_sha256: None,
            })
            .collect();
        let asking = Asking { source, staging: self.staging, include_private: selection.include_private };
        let asked = stream::iter(members).map(|member| member.ask(asking).boxed());
        let mut asked = std::pin::pin!(asked.buffered(DOCUMENTS_AT_ONCE));
        let (mut skipped, mut faults) = (Vec::new(), Vec::new());
        for uri in map.unidentified_members() {
            let reason = "the map gives no identifier for it".to_owned();
            skipped.push(SkippedMember { identifier: uri.clone(), reason, state: None });
        }
        let mut seen = HashSet::new();
        while let Some(asked) = asked.next().await {
            let (member, answer) = asked?;
            let identifier = &member.identifier;
            let answer = answer.map(|answer| (seen.insert(answer.identifier().clone()), answer));
            match answer {
                Ok((true, Answer::Written(written))) => {
                    let object = self.place(*written, member.location.as_deref(), false);
                    self.objects.push(DescribedObject { named_sha256: member.named_sha256, ..object });
                }
                // The map names the object twice, for example by its series too.
                Ok((false, Answer::Written(written))) => {
                    remove(self.staging.join(&*written.record.path)).await?;
                }
                Ok((false, _)) => {}
                Ok((true, Answer::Private(_))) => skipped.push(not_public(identifier)),
                Ok((true, Answer::Another(other))) => faults.push(MemberFault::invalid(
                    identifier.clone(),
                    format!("the node returned the system metadata of `{other}`"),
                )),
                Err(error) if is_private(&error) && !selection.include_private => {
                    skipped.push(not_public(identifier));
                }
                Err(error) if error.kind() == NodeErrorKind::NotFound && selection.skip_missing => {
                    let reason = "no node has it".to_owned();
                    let state = Some(DifferenceKind::Gone);
                    skipped.push(SkippedMember { identifier: identifier.to_string(), reason, state });
                }
                Err(error) => {
                    faults.push(MemberFault::caused_by(identifier.clone(), &error));
                }
            }
        }
        if faults.is_empty() { Ok(skipped) } else { Err(Error::Members { faults }) }
    }

    /// Gives an object its path.
    fn place(
        &mut self,
        written: WrittenDocument,
        location: Option<&str>,
        is_resource_map: bool,
    ) -> DescribedObject {
        let WrittenDocument { record, oddities, size, digests, modified, nodes } = written;
        let path = self.names.place(&ObjectToPlace {
            identifier: &record.identifier,
            format_id: &record.format_id,
            file_name: record.file_name.as_deref(),
            location,
            is_resource_map,
        });
        DescribedObject {
            record: Arc::new(record),
            oddities,
            document_size: size,
            document_digests: digests,
            modified,
            holders: self.holders(nodes),
            named_sha256: None,
            path,
        }
    }

    /// Returns a list of nodes. Equal lists share their memory.
    fn holders(&mut self, nodes: Vec<Box<str>>) -> Arc<[Box<str>]> {
        let nodes: Arc<[Box<str>]> = nodes.into();
        match self.holders.get(&nodes) {
            Some(known) => Arc::clone(known),
            None => {
                self.holders.insert(Arc::clone(&nodes));
                nodes
            }
        }
    }
}

/// A member whose system metadata are needed.
struct MemberToAsk {
    identifier: Identifier,
    location: Option<Box<str>>,
    /// The path of the document in the bag.
    path: String,
    /// SHA-256 of the content, if the source names contents by it.
    named_sha256: Option<[u8; 32]>,
}

/// Where members are asked for, and which of their documents are written.
#[derive(Clone, Copy)]
struct Asking<'a> {
    source: &'a DataOneSource,
    staging: &'a Path,
    include_private: bool,
}

/// The answer about a member.
enum Answer {
    /// Its system metadata are in the bag.
    Written(Box<WrittenDocument>),
    /// It is private, and private members are left out.
    Private(Identifier),
    /// The node answered with the system metadata of another object.
    Another(Identifier),
}

impl Answer {
    fn identifier(&self) -> &Identifier {
        match self {
            Self::Written(written) => &written.record.identifier,
            Self::Private(identifier) | Self::Another(identifier) => identifier,
        }
    }
}

impl MemberToAsk {
    async fn ask(mut self, asking: Asking<'_>) -> Result<(Self, d1_client::Result<Answer>)> {
        let Asking { source, staging, include_private } = asking;
        let document = match source.system_metadata(&self.identifier).await {
            Ok(document) => document,
            Err(error) => return Ok((self, Err(error))),
        };
        let described = document.value.identifier.clone();
        self.named_sha256 = source.named_sha256(&described).await;
        let answer = if !document.value.is_public() && !include_private {
            Answer::Private(described)
        } else if is_about(&document.value, &self.identifier) {
            Answer::Written(Box::new(
                write_document(staging, std::mem::take(&mut self.path), document).await?,
            ))
        } else {
            Answer::Another(described)
        };
        Ok((self, Ok(answer)))
    }
}

/// System metadata in their place, and the facts that are needed of them.
struct WrittenDocument {
    record: ObjectRecord,
    oddities: Box<[Oddity]>,
    size: u64,
    digests: Digests,
    modified: Option<Box<str>>,
    /// The nodes that have the object.
    nodes: Vec<Box<str>>,
}

/// Algorithms by which documents are hashed as they are written: those of most packages.
const USUAL_ALGORITHMS: [Algorithm; 3] = [Algorithm::Md5, Algorithm::Sha1, Algorithm::Sha256];

/// Writes system metadata to their path below a directory, and hashes them.
async fn write_document(
    staging: &Path,
    path: String,
    document: Document<SystemMetadata>,
) -> Result<WrittenDocument> {
    let staging = staging.to_owned();
    run_blocking(move || {
        let Document { bytes, value, oddities } = document;
        write(&staging.join(&path), &bytes)?;
        let modified = value.date_modified.as_ref().map(|date| date.text().into());
        let nodes = nodes_of(&value);
        let record = ObjectRecord::new(&path, &bytes, value);
        let algorithms = USUAL_ALGORITHMS.into_iter().chain(algorithm_of(&record)).collect();
        let (size, digests) = (bytes.len() as u64, Digests::of(algorithms, &bytes));
        Ok(WrittenDocument { record, oddities: oddities.into(), size, digests, modified, nodes })
    })
    .await
}

/// Returns the objects with the digests of their documents by exactly these algorithms. It blocks.
fn with_digests(
    staging: &Path,
    mut objects: Vec<DescribedObject>,
    algorithms: AlgorithmSet,
) -> Result<Vec<DescribedObject>> {
    let is_lacking = |object: &DescribedObject| !has_all(&object.document_digests, algorithms);
    let lacking = objects.iter().filter(|object| is_lacking(object)).map(|object| FileToHash {
        path: &object.record.path,
        size: object.document_size,
        algorithms,
    });
    let lacking: Vec<FileToHash<'_>> = lacking.collect();
    let mut hashed = bagit::hash_files(staging, &lacking, &HashOptions::default(), &NoProgress)?.into_iter();
    for object in &mut objects {
        let own = &object.document_digests;
        object.document_digests = if own.algorithms() == algorithms {
            continue;
        } else if has_all(own, algorithms) {
            let wanted = own.iter().filter(|(algorithm, _)| algorithms.contains(*algorithm));
            wanted.fold(Digests::new(), |mut kept, (algorithm, digest)| {
                kept.insert(algorithm, digest);
                kept
            })
        } else {
            let path = &object.record.path;
            let outcome = hashed.next().unwrap_or(HashOutcome::Changed);
            read_digests(outcome, || staging.join(&**path))?.1
        };
    }
    Ok(objects)
}

/// Returns the algorithm of the declared checksum of an object, if it can be compared.
fn algorithm_of(record: &ObjectRecord) -> Option<Algorithm> {
    d1_package::algorithm_to_compare(&record.checksum)
}

/// Returns the nodes that have an object: those that are responsible for it come first.
fn nodes_of(meta: &SystemMetadata) -> Vec<Box<str>> {
    let complete = |replica: &&Replica| replica.status == ReplicationStatus::Completed;
    let replicas = meta.replicas.iter().filter(complete).map(|replica| &replica.member_node);
    let first = meta.authoritative_member_node.iter().chain(&meta.origin_member_node);
    let mut nodes: Vec<Box<str>> = Vec::new();
    for node in first.chain(replicas).take(MOST_HOLDERS) {
        if !nodes.iter().any(|known| **known == **node) {
            nodes.push(node.as_str().into());
        }
    }
    nodes
}

/// Tells whether system metadata describe the requested object or series.
fn is_about(meta: &SystemMetadata, asked: &Identifier) -> bool {
    meta.identifier == *asked || meta.series_id.as_ref() == Some(asked)
}

fn is_private(error: &d1_client::Error) -> bool {
    matches!(error.kind(), NodeErrorKind::NotAuthorized | NodeErrorKind::InvalidToken)
}

fn not_public(identifier: &Identifier) -> SkippedMember {
    let reason = "it is private".to_owned();
    SkippedMember { identifier: identifier.to_string(), reason, state: Some(DifferenceKind::Private) }
}

fn nested(objects: &[DescribedObject]) -> Vec<Identifier> {
    let members = objects.iter().skip(1).map(|object| &*object.record);
    let maps = members.filter(|record| &*record.format_id == RESOURCE_MAP_FORMAT_ID);
    maps.map(|record| record.identifier.clone()).collect()
}

async fn remove(path: PathBuf) -> Result<()> {
    run_blocking(move || std::fs::remove_file(&path).map_err(|error| Error::io("remove", &path, error))).await
}
