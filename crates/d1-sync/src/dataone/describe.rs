//! What is in a package: its resource map, and the system metadata of all its members, before any data move.

use std::collections::HashSet;
use std::path::Path;

use bagit::{Algorithm, AlgorithmSet, Digests};
use d1_client::{Document, ErrorKind as NodeErrorKind};
use d1_model::{
    Checksum, Identifier, MAX_RESOURCE_MAP_BYTES, RESOURCE_MAP_FORMAT_ID, ResourceMap, SystemMetadata,
};
use d1_package::{BagNames, ObjectRecord, ObjectToPlace, PackageFile, bag_directory, identifier_of_package};
use d1_transfer::Event;
use d1_transfer::parts::Meter;
use futures::{FutureExt, StreamExt, stream};

use super::download::{Downloading, download};
use super::report::SkippedMember;
use super::source::DataOneSource;
use crate::{Error, MemberFault, Result};

/// How many system metadata documents are asked for at once; the client has its own limits for each node.
const DOCUMENTS_AT_ONCE: usize = 8;

/// Which members belong into a copy.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Selection {
    /// Members that not everybody may read.
    pub(super) include_private: bool,
    /// Leave out members that no node has, instead of refusing the package.
    pub(super) skip_missing: bool,
}

/// A package of which everything is known but the bytes of its data.
#[derive(Debug)]
pub(super) struct DescribedPackage {
    pub(super) identifier: Identifier,
    pub(super) resource_map: Identifier,
    /// Name of the bag's directory.
    pub(super) directory: String,
    /// The map first, then the members in its order.
    pub(super) objects: Vec<DescribedObject>,
    pub(super) skipped: Vec<SkippedMember>,
    /// Resource maps of packages within this one.
    pub(super) nested: Vec<Identifier>,
    /// The day on which the map was uploaded: `Bagging-Date` of a bag that comes out the same every time.
    pub(super) date: Option<String>,
    /// The algorithms by which every object is hashed: those of the bag's manifests, and those that system metadata use.
    pub(super) algorithms: AlgorithmSet,
    /// When the map's system metadata were changed last.
    pub(super) modified: Option<String>,
}

/// An object of a package, and its places in the bag.
#[derive(Clone, Debug)]
pub(super) struct DescribedObject {
    /// What its system metadata say; the path is theirs.
    pub(super) record: ObjectRecord,
    /// Size of the system metadata document in bytes.
    pub(super) document_size: u64,
    /// Where its content lies in the bag.
    pub(super) path: String,
}

/// The algorithms of the bag's manifests: the layers' own, and the one that most of DataONE uses.
pub(super) const MANIFEST_ALGORITHMS: [Algorithm; 2] = [Algorithm::Md5, Algorithm::Sha256];

/// Reads the map and all system metadata of a package, and writes them into a directory, where the bag will have them.
///
/// # Errors
///
/// [`Error::Node`] if the map cannot be had; [`Error::NotPublic`] if not everybody may read it; [`Error::Members`] with everything
/// that is wrong with members.
pub(super) async fn describe(
    source: &DataOneSource,
    map: &Identifier,
    selection: Selection,
    staging: &Path,
    meter: &Meter,
) -> Result<DescribedPackage> {
    let document = source.system_metadata(map).await?;
    let modified = document.value.date_modified.as_ref().map(|date| date.text().to_owned());
    let uploaded = document.value.date_uploaded.as_ref().and_then(d1_model::DateTime::instant);
    let mut describing = Describing { names: BagNames::new(), staging, objects: Vec::new() };
    let resource_map = describing.map(source, document, selection, meter).await?;
    let skipped = describing.members(source, &resource_map, selection).await?;
    let objects = describing.objects;
    let records = || objects.iter().map(|object| &object.record);
    let own = records().next().map_or(map, |record| &record.identifier).clone();
    let identifier = identifier_of_package(&resource_map, &own, records());
    let declared = records().filter_map(|record| record.checksum.algorithm().name().parse().ok());
    Ok(DescribedPackage {
        directory: bag_directory(&identifier),
        identifier,
        resource_map: own,
        skipped,
        nested: nested(&objects),
        date: uploaded.map(|instant| instant.strftime("%F").to_string()),
        algorithms: MANIFEST_ALGORITHMS.into_iter().chain(declared).collect(),
        objects,
        modified,
    })
}

impl DescribedPackage {
    /// Returns the size of all objects in bytes.
    pub(super) fn bytes(&self) -> u64 {
        d1_transfer::parts::total(self.objects.iter().map(|object| object.record.size))
    }

    /// Tells of what was left out.
    pub(super) fn warn_of_skipped(&self, observer: &dyn d1_transfer::Observer) {
        for SkippedMember { identifier, reason } in &self.skipped {
            observer.event(&Event::Warning(&format!("`{identifier}` is left out: {reason}")));
        }
    }
}

impl DescribedObject {
    /// Says what is wrong with content of this size and these digests.
    pub(super) fn fault(&self, size: u64, digests: &Digests) -> Option<MemberFault> {
        let sha256 = digests.get(Algorithm::Sha256).and_then(|digest| digest.try_into().ok());
        let mut file = PackageFile::new(self.path.as_str(), size, sha256.unwrap_or_default());
        file.checksums = digests.clone();
        let ObjectRecord { size, checksum, .. } = &self.record;
        let mismatch =
            d1_package::system_metadata_mismatches(*size, checksum, &file.view()).into_iter().next()?;
        Some(self.wrong(mismatch.to_string()))
    }

    /// Returns a fault of this object.
    pub(super) fn wrong(&self, message: impl Into<String>) -> MemberFault {
        MemberFault { identifier: self.record.identifier.clone(), message: message.into() }
    }

    /// Returns the SHA-256 that the system metadata declare, if they do.
    pub(super) fn declared_sha256(&self) -> Option<[u8; 32]> {
        let checksum: &Checksum = &self.record.checksum;
        let is_sha256 = checksum.algorithm().name().parse() == Ok(Algorithm::Sha256);
        let mut digest = [0; 32];
        (is_sha256 && hex::decode_to_slice(checksum.value(), &mut digest).is_ok()).then_some(digest)
    }
}

struct Describing<'a> {
    names: BagNames,
    staging: &'a Path,
    objects: Vec<DescribedObject>,
}

impl Describing<'_> {
    /// Reads the map, whose bytes are content like any other.
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
            let fault = format!("it is no resource map, but has the format `{}`", document.value.format_id);
            return Err(Error::member(identifier, fault));
        }
        if document.value.size > MAX_RESOURCE_MAP_BYTES {
            let fault = format!("a map of {} bytes is larger than is read", document.value.size);
            return Err(Error::member(identifier, fault));
        }
        let path = self.names.place_system_metadata(&identifier);
        let object = self.place(document, &path, None, true)?;
        let algorithms = MANIFEST_ALGORITHMS.into_iter();
        let declared = object.record.checksum.algorithm().name().parse();
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
            // Some maps are members of themselves.
            .filter(|member| Some(member.identifier()) != own.as_ref())
            .map(|member| MemberToAsk {
                identifier: member.identifier().clone(),
                location: member.at_location().map(Into::into),
                path: names.place_system_metadata(member.identifier()),
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
        while let Some((MemberToAsk { identifier, location, path }, answer)) = asked.next().await {
            let identifier = &identifier;
            match answer {
                Ok(document) if !seen.insert(document.value.identifier.clone()) => {}
                Ok(document) if document.value.is_public() || selection.include_private => {
                    match is_about(&document.value, identifier) {
                        true => {
                            let object = self.place(document, &path, location.as_deref(), false)?;
                            self.objects.push(object);
                        }
                        false => faults.push(MemberFault {
                            identifier: identifier.clone(),
                            message: format!("the node answers about `{}`", document.value.identifier),
                        }),
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
                    faults.push(MemberFault { identifier: identifier.clone(), message: error.to_string() });
                }
            }
        }
        if faults.is_empty() { Ok(skipped) } else { Err(Error::Members { faults }) }
    }

    /// Gives an object its places, and writes its system metadata to theirs.
    fn place(
        &mut self,
        document: Document<SystemMetadata>,
        path: &str,
        location: Option<&str>,
        is_resource_map: bool,
    ) -> Result<DescribedObject> {
        write(&self.staging.join(path), &document.bytes)?;
        let document_size = document.bytes.len() as u64;
        let record = ObjectRecord::new(path, &document.bytes, document.value);
        let path = self.names.place(&ObjectToPlace {
            identifier: &record.identifier,
            format_id: &record.format_id,
            file_name: record.file_name.as_deref(),
            location,
            is_resource_map,
        });
        Ok(DescribedObject { record, document_size, path })
    }
}

/// A member whose system metadata are to be read.
struct MemberToAsk {
    identifier: Identifier,
    location: Option<Box<str>>,
    /// Where the document will lie.
    path: String,
}

impl MemberToAsk {
    async fn ask(self, source: DataOneSource) -> (Self, d1_client::Result<Document<SystemMetadata>>) {
        let answer = source.system_metadata(&self.identifier).await;
        (self, answer)
    }
}

/// Tells whether system metadata are those of the object or series that was asked for.
fn is_about(meta: &SystemMetadata, asked: &Identifier) -> bool {
    meta.identifier == *asked || meta.series_id.as_ref() == Some(asked)
}

fn is_private(error: &d1_client::Error) -> bool {
    matches!(error.kind(), NodeErrorKind::NotAuthorized | NodeErrorKind::InvalidToken)
}

fn not_public(identifier: &Identifier) -> SkippedMember {
    SkippedMember { identifier: identifier.to_string(), reason: "it is not public".to_owned() }
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
