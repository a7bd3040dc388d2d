//! Reading the resource map of a package and the system metadata of its members, before any data move.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use d1_client::{Document, ErrorKind as NodeErrorKind};
use d1_model::{
    Identifier, MAX_RESOURCE_MAP_BYTES, RESOURCE_MAP_FORMAT_ID, Replica, ReplicationStatus, ResourceMap,
    SystemMetadata,
};
use d1_package::{BagNames, ObjectRecord, ObjectToPlace, bag_directory, identifier_of_package};
use d1_transfer::parts::Meter;
use futures::{FutureExt, StreamExt, stream};

use crate::error::{Error, MemberFault, Result};
use crate::node::{DataOneSource, Downloading, download};
use crate::package::{DescribedObject, DescribedPackage, MANIFEST_ALGORITHMS, SkippedMember};

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
    let objects = describing.objects;
    let records = || objects.iter().map(|object| &object.record);
    let own = records().next().map_or(map, |record| &record.identifier).clone();
    let identifier = identifier_of_package(&resource_map, &own, records());
    let declared = records().filter_map(|record| d1_package::algorithm_to_compare(&record.checksum));
    Ok(DescribedPackage {
        directory: bag_directory(&identifier),
        identifier,
        resource_map: own,
        skipped,
        nested: nested(&objects),
        date: uploaded.map(|instant| instant.strftime("%F").to_string()),
        algorithms: MANIFEST_ALGORITHMS.into_iter().chain(declared).collect(),
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
        let object = self.place(document, &path, None, true)?;
        let object = DescribedObject { named_sha256, ..object };
        let algorithms = MANIFEST_ALGORITHMS.into_iter();
        let declared = d1_package::algorithm_to_compare(&object.record.checksum);
        let algorithms = algorithms.chain(declared).collect();
        let downloading = Downloading { source, staging: self.staging, algorithms, meter };
        download(&downloading, &object).await?;
        let file = self.staging.join(&object.path);
        self.objects.push(object);
        let parsed = d1_transfer::parts::run_blocking(move || {
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
        let asked = stream::iter(members).map(|member| member.ask(source.clone()).boxed());
        let mut asked = std::pin::pin!(asked.buffered(DOCUMENTS_AT_ONCE));
        let (mut skipped, mut faults) = (Vec::new(), Vec::new());
        for uri in map.unidentified_members() {
            let reason = "the map gives no identifier for it".to_owned();
            skipped.push(SkippedMember { identifier: uri.clone(), reason });
        }
        let mut seen = HashSet::new();
        while let Some((MemberToAsk { identifier, location, path, named_sha256 }, answer)) =
            asked.next().await
        {
            let identifier = &identifier;
            match answer {
                Ok(document) if !seen.insert(document.value.identifier.clone()) => {}
                Ok(document) if document.value.is_public() || selection.include_private => {
                    match is_about(&document.value, identifier) {
                        true => {
                            let object = self.place(document, &path, location.as_deref(), false)?;
                            self.objects.push(DescribedObject { named_sha256, ..object });
                        }
                        false => faults.push(MemberFault::invalid(
                            identifier.clone(),
                            format!(
                                "the node returned the system metadata of `{}`",
                                document.value.identifier
                            ),
                        )),
                    }
                }
                Ok(_) => skipped.push(not_public(identifier)),
                Err(error) if is_private(&error) && !selection.include_private => {
                    skipped.push(not_public(identifier));
                }
                Err(error) if error.kind() == NodeErrorKind::NotFound && selection.skip_missing => {
                    let reason = "no node has it".to_owned();
                    skipped.push(SkippedMember { identifier: identifier.to_string(), reason });
                }
                Err(error) => {
                    faults.push(MemberFault::caused_by(identifier.clone(), &error));
                }
            }
        }
        if faults.is_empty() { Ok(skipped) } else { Err(Error::Members { faults }) }
    }

    /// Gives an object its paths, and writes its system metadata.
    fn place(
        &mut self,
        document: Document<SystemMetadata>,
        path: &str,
        location: Option<&str>,
        is_resource_map: bool,
    ) -> Result<DescribedObject> {
        write(&self.staging.join(path), &document.bytes)?;
        let document_size = document.bytes.len() as u64;
        let modified = document.value.date_modified.as_ref().map(|date| date.text().into());
        let holders = self.holders(&document.value);
        let record = ObjectRecord::new(path, &document.bytes, document.value);
        let path = self.names.place(&ObjectToPlace {
            identifier: &record.identifier,
            format_id: &record.format_id,
            file_name: record.file_name.as_deref(),
            location,
            is_resource_map,
        });
        Ok(DescribedObject { record, document_size, modified, holders, named_sha256: None, path })
    }

    /// Returns the nodes that have an object: those that are responsible for it come first.
    fn holders(&mut self, meta: &SystemMetadata) -> Arc<[Box<str>]> {
        let complete = |replica: &&Replica| replica.status == ReplicationStatus::Completed;
        let replicas = meta.replicas.iter().filter(complete).map(|replica| &replica.member_node);
        let first = meta.authoritative_member_node.iter().chain(&meta.origin_member_node);
        let mut nodes: Vec<Box<str>> = Vec::new();
        for node in first.chain(replicas).take(MOST_HOLDERS) {
            if !nodes.iter().any(|known| **known == **node) {
                nodes.push(node.as_str().into());
            }
        }
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

impl MemberToAsk {
    async fn ask(mut self, source: DataOneSource) -> (Self, d1_client::Result<Document<SystemMetadata>>) {
        let answer = source.system_metadata(&self.identifier).await;
        if let Ok(document) = &answer {
            self.named_sha256 = source.named_sha256(&document.value.identifier).await;
        }
        (self, answer)
    }
}

/// Tells whether system metadata describe the requested object or series.
fn is_about(meta: &SystemMetadata, asked: &Identifier) -> bool {
    meta.identifier == *asked || meta.series_id.as_ref() == Some(asked)
}

fn is_private(error: &d1_client::Error) -> bool {
    matches!(error.kind(), NodeErrorKind::NotAuthorized | NodeErrorKind::InvalidToken)
}

fn not_public(identifier: &Identifier) -> SkippedMember {
    SkippedMember { identifier: identifier.to_string(), reason: "it is private".to_owned() }
}

fn nested(objects: &[DescribedObject]) -> Vec<Identifier> {
    let members = objects.iter().skip(1).map(|object| &object.record);
    let maps = members.filter(|record| &*record.format_id == RESOURCE_MAP_FORMAT_ID);
    maps.map(|record| record.identifier.clone()).collect()
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(|error| Error::io("create", parent, error))?;
    }
    std::fs::write(path, bytes).map_err(|error| Error::io("write", path, error))
}
