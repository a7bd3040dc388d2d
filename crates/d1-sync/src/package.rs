//! A package of a DataONE node: its members, their places in a bag, and the tag files of the bag.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bagit::{
    Algorithm, AlgorithmSet, BagBuilder, BagInfo, Digests, DigestsView, EntryKind, FileEntry, FileToHash,
    HashOptions, HashOutcome, Inventory, NoProgress, Scan,
};
use d1_model::{Checksum, DateTime, Identifier, Oddity, SystemMetadata};
use d1_package::{ObjectRecord, PackageFile};
use d1_transfer::Event;
use serde::Serialize;

use crate::difference::DifferenceKind;
use crate::error::{Error, MemberFault, Result};
use crate::journal::DatedMember;

/// A package before its data are downloaded.
#[derive(Debug)]
pub(crate) struct DescribedPackage {
    pub(crate) identifier: Identifier,
    pub(crate) resource_map: Identifier,
    /// Name of the bag's directory.
    pub(crate) directory: String,
    /// The map, then the members in the order of the map.
    pub(crate) objects: Vec<DescribedObject>,
    pub(crate) skipped: Vec<SkippedMember>,
    /// Resource maps of nested packages.
    pub(crate) nested: Vec<Identifier>,
    /// The day on which the map was uploaded. As `Bagging-Date` it gives the same bag every time.
    pub(crate) date: Option<String>,
    /// The algorithms for every object: those of the bag's manifests, and those of the system metadata.
    pub(crate) algorithms: AlgorithmSet,
    /// The system metadata of the map.
    pub(crate) map: SystemMetadata,
}

/// An object of a package, and its paths in the bag.
#[derive(Clone, Debug)]
pub(crate) struct DescribedObject {
    /// Its system metadata. The path is that of the document.
    pub(crate) record: Arc<ObjectRecord>,
    /// Departures of the system metadata document from the schemas.
    pub(crate) oddities: Box<[Oddity]>,
    /// Size of the system metadata document in bytes.
    pub(crate) document_size: u64,
    /// Digests of the system metadata document by all algorithms of the package.
    pub(crate) document_digests: Digests,
    /// When its system metadata last changed.
    pub(crate) modified: Option<Box<str>>,
    /// The nodes that have it, by its system metadata.
    pub(crate) holders: Arc<[Box<str>]>,
    /// SHA-256 of its content, if the source names contents by it.
    pub(crate) named_sha256: Option<[u8; 32]>,
    /// Path of its content in the bag.
    pub(crate) path: String,
}

/// An object that is read.
#[derive(Clone, Debug)]
pub(crate) struct ObjectToRead {
    pub(crate) identifier: Identifier,
    /// Size of the whole object in bytes, if it is known.
    pub(crate) size: Option<u64>,
    /// The nodes that have it, by its system metadata.
    pub(crate) holders: Arc<[Box<str>]>,
}

/// The algorithms of the bag's manifests: SHA-256, which layers use, and MD5, which most of DataONE uses.
pub(crate) const MANIFEST_ALGORITHMS: [Algorithm; 2] = [Algorithm::Md5, Algorithm::Sha256];

impl DescribedPackage {
    /// Returns the size of all objects in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        d1_transfer::parts::total(self.objects.iter().map(|object| object.record.size))
    }

    /// Returns when the system metadata of the map last changed.
    pub(crate) fn modified(&self) -> Option<&str> {
        self.map.date_modified.as_ref().map(DateTime::text)
    }

    /// Returns all members with the dates of their system metadata. Those that are left out have no date.
    pub(crate) fn dated_members(&self) -> Vec<DatedMember> {
        let copied =
            self.objects.iter().map(|object| (object.record.identifier.clone(), object.modified.clone()));
        let left_out =
            self.skipped.iter().filter_map(|skipped| Some((skipped.identifier.parse().ok()?, None)));
        copied.chain(left_out).collect()
    }

    /// Returns how many members are gone, private, archived or obsoleted. Each counts once, in this order.
    pub(crate) fn states(&self) -> BTreeMap<DifferenceKind, u64> {
        let copied = self.objects.iter().filter_map(|object| match &*object.record {
            ObjectRecord { is_public: false, .. } => Some(DifferenceKind::Private),
            ObjectRecord { archived: true, .. } => Some(DifferenceKind::Archived),
            ObjectRecord { obsoleted_by: Some(_), .. } => Some(DifferenceKind::Obsoleted),
            _ => None,
        });
        let left_out = self.skipped.iter().filter_map(|skipped| skipped.state);
        let mut states = BTreeMap::new();
        copied.chain(left_out).for_each(|state| *states.entry(state).or_default() += 1);
        states
    }

    /// Warns about members that are left out.
    pub(crate) fn warn_of_skipped(&self, observer: &dyn d1_transfer::Observer) {
        for SkippedMember { identifier, reason, .. } in &self.skipped {
            observer.event(&Event::Warning(&format!("`{identifier}` is left out: {reason}")));
        }
    }
}

impl DescribedObject {
    /// Compares content of this size and these digests with the system metadata.
    pub(crate) fn fault(&self, size: u64, digests: &Digests) -> Option<MemberFault> {
        let sha256 = digests.get(Algorithm::Sha256).and_then(|digest| digest.try_into().ok());
        let mut file = PackageFile::new(self.path.as_str(), size, sha256.unwrap_or_default());
        file.checksums = digests.clone();
        let ObjectRecord { size, checksum, .. } = &*self.record;
        let mismatch =
            d1_package::system_metadata_mismatches(*size, checksum, &file.view()).into_iter().next()?;
        Some(self.wrong(mismatch.to_string()))
    }

    /// Returns a fault of this object.
    pub(crate) fn wrong(&self, message: impl Into<String>) -> MemberFault {
        MemberFault::invalid(self.record.identifier.clone(), message)
    }

    /// Returns what a source needs to read the object.
    pub(crate) fn to_read(&self) -> ObjectToRead {
        let ObjectRecord { identifier, size, .. } = &*self.record;
        let holders = Arc::clone(&self.holders);
        ObjectToRead { identifier: identifier.clone(), size: Some(*size), holders }
    }

    /// Returns the SHA-256 by which the source names the content, or the one in the system metadata.
    pub(crate) fn expected_sha256(&self) -> Option<[u8; 32]> {
        self.named_sha256.or_else(|| self.declared_sha256())
    }

    fn declared_sha256(&self) -> Option<[u8; 32]> {
        let checksum: &Checksum = &self.record.checksum;
        let is_sha256 = checksum.algorithm().name().parse() == Ok(Algorithm::Sha256);
        let mut digest = [0; 32];
        (is_sha256 && hex::decode_to_slice(checksum.value(), &mut digest).is_ok()).then_some(digest)
    }
}

/// A member of a package that was left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SkippedMember {
    /// The member's identifier, or its URI if the map gives no identifier.
    pub identifier: String,
    /// The reason, in words.
    pub reason: String,
    /// The state of the object at the node, if that is the reason: gone or private.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<DifferenceKind>,
}

/// Writes the tag files of the package's bag into its directory, and lists the whole bag. `digests` are those of the objects. The date
/// is that of the map, so the same package always gets the same files. It blocks.
pub(crate) fn make_bag<'d>(
    package: &DescribedPackage,
    digests: impl Iterator<Item = DigestsView<'d>>,
    bag: &Path,
) -> Result<Scan> {
    let mut inventory = Inventory::new();
    let mut put = |path: &str, size: u64, digests: DigestsView<'_>| {
        inventory.insert(path, FileEntry { size, digests, kind: EntryKind::File });
    };
    for object in &package.objects {
        put(&object.record.path, object.document_size, object.document_digests.view());
    }
    for (object, digests) in package.objects.iter().zip(digests) {
        put(&object.path, object.record.size, digests);
    }
    let mut info = BagInfo::new();
    info.push("External-Identifier", package.identifier.as_str())?;
    info.push("Internal-Sender-Identifier", package.resource_map.as_str())?;
    let mut builder = BagBuilder::new().algorithms(MANIFEST_ALGORITHMS).info(info);
    if let Some(date) = &package.date {
        builder = builder.bagging_date(date);
    }
    let mut scan = builder.write_tag_files(inventory, bag)?;
    hash_tag_files(&mut scan, package.algorithms, bag)?;
    Ok(scan)
}

/// Adds the digests of the tag files by all algorithms of the package. Large manifests are on disk alone.
fn hash_tag_files(scan: &mut Scan, algorithms: AlgorithmSet, bag: &Path) -> Result<()> {
    let names: Vec<(&str, u64)> = scan
        .tag_files
        .names()
        .map(|name| (name, scan.inventory.file(name).map_or(0, |entry| entry.size)))
        .collect();
    let files: Vec<FileToHash<'_>> =
        names.iter().map(|(path, size)| FileToHash { path, size: *size, algorithms }).collect();
    let hashed = bagit::hash_files(bag, &files, &HashOptions::default(), &NoProgress)?;
    for ((name, _), outcome) in names.into_iter().zip(hashed) {
        let (size, digests) = read_digests(outcome, || bag.join(name))?;
        scan.inventory.insert_file(name, size, digests);
    }
    Ok(())
}

/// Returns the size and the digests of a file in the staging directory.
pub(crate) fn read_digests(outcome: HashOutcome, path: impl Fn() -> PathBuf) -> Result<(u64, Digests)> {
    match outcome {
        HashOutcome::Hashed { size, digests } => Ok((size, digests)),
        HashOutcome::Unreadable(error) => Err(Error::io("read", path(), error)),
        _ => Err(Error::content(path().display().to_string(), "it changed while being read")),
    }
}

/// Returns the SHA-256 digest.
pub(crate) fn sha256_of(digests: &Digests) -> Option<[u8; 32]> {
    digests.get(Algorithm::Sha256).and_then(|digest| digest.try_into().ok())
}

/// Tells whether digests by all these algorithms are known.
pub(crate) fn has_all(digests: &Digests, algorithms: AlgorithmSet) -> bool {
    algorithms.iter().all(|algorithm| digests.get(algorithm).is_some())
}

/// Returns the name of an object in messages.
pub(crate) fn name_of(object: &DescribedObject) -> &str {
    object.record.identifier.as_str()
}
