//! A described package as a bag: its tag files, and what pushing it needs to know.

use std::path::Path;

use bagit::{
    Algorithm, AlgorithmSet, BagBuilder, BagInfo, Digests, FileToHash, HashOutcome, Inventory, NoProgress,
    Scan,
};

use super::describe::{DescribedObject, DescribedPackage, MANIFEST_ALGORITHMS};
use crate::{Error, Result};

/// Directory of the payload in a bag, as paths begin with it.
const PAYLOAD: &str = "data/";

/// The digests of everything that is known before the bag's own tag files.
#[derive(Debug)]
pub(super) struct PackageDigests {
    /// Of each object.
    pub(super) objects: Vec<Digests>,
    /// Of each object's system metadata document.
    pub(super) documents: Vec<Digests>,
}

impl PackageDigests {
    /// Returns digests of the right length that are not the right ones: sizes of tag files do not depend on them.
    pub(super) fn placeholders(package: &DescribedPackage) -> Self {
        let placeholder = Digests::of(package.algorithms, b"");
        let all = vec![placeholder; package.objects.len()];
        Self { objects: all.clone(), documents: all }
    }
}

/// Hashes the system metadata documents below a directory.
pub(super) fn hash_documents(directory: &Path, package: &DescribedPackage) -> Result<Vec<Digests>> {
    let to_hash: Vec<FileToHash<'_>> = package
        .objects
        .iter()
        .map(|object| FileToHash {
            path: &object.record.path,
            size: object.document_size,
            algorithms: package.algorithms,
        })
        .collect();
    let outcomes = bagit::hash_files(directory, &to_hash, 0, &NoProgress);
    let hashed = outcomes.into_iter().zip(&package.objects).map(|(outcome, object)| match outcome {
        HashOutcome::Hashed { digests, .. } => Ok(digests),
        HashOutcome::Unreadable(error) => Err(Error::io("read", directory.join(&*object.record.path), error)),
        HashOutcome::Changed | HashOutcome::Vanished => {
            Err(Error::content(&*object.record.path, "it changed while it was read"))
        }
    });
    hashed.collect()
}

/// Makes the tag files of the package's bag. The same package always gets the same ones: the date is that of the map.
pub(super) fn make_bag(package: &DescribedPackage, digests: &PackageDigests) -> Result<Scan> {
    let (mut payload, mut tags) = (Inventory::new(), Inventory::new());
    let mut put = |path: &str, size: u64, digests: &Digests| match path.strip_prefix(PAYLOAD) {
        Some(below) => payload.insert_file(below, size, digests.clone()),
        None => tags.insert_file(path, size, digests.clone()),
    };
    for (object, digests) in package.objects.iter().zip(&digests.objects) {
        put(&object.path, object.record.size, digests);
    }
    for (object, digests) in package.objects.iter().zip(&digests.documents) {
        put(&object.record.path, object.document_size, digests);
    }
    let mut info = BagInfo::new();
    info.push("External-Identifier", package.identifier.as_str())?;
    info.push("Internal-Sender-Identifier", package.resource_map.as_str())?;
    let mut builder = BagBuilder::new().algorithms(MANIFEST_ALGORITHMS).info(info);
    if let Some(date) = &package.date {
        builder = builder.bagging_date(date);
    }
    let mut scan = builder.around(payload, &tags)?;
    for (name, bytes) in scan.tag_files.held() {
        scan.inventory.insert_file(name, bytes.len() as u64, Digests::of(package.algorithms, bytes));
    }
    Ok(scan)
}

/// Returns the SHA-256 among digests that were computed with it.
pub(super) fn sha256_of(digests: &Digests) -> Option<[u8; 32]> {
    digests.get(Algorithm::Sha256).and_then(|digest| digest.try_into().ok())
}

/// Tells whether digests are known by all these algorithms.
pub(super) fn has_all(digests: &Digests, algorithms: AlgorithmSet) -> bool {
    algorithms.iter().all(|algorithm| digests.get(algorithm).is_some())
}

/// Returns what an object is called in messages.
pub(super) fn name_of(object: &DescribedObject) -> &str {
    object.record.identifier.as_str()
}
