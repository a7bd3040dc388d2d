//! Comparing objects with their system metadata: the documents themselves, not what the index says of them.

use std::collections::BTreeMap;

use bagit::{Algorithm, AlgorithmSet, Digests};
use d1_model::{Checksum, SystemMetadata};
use d1_package::{Entry, Mismatch, PackageFile};
use serde::Serialize;

use super::Attached;
use crate::receive::{CameFiles, FileSet, KeptBytes};
use crate::{ContentFault, OpenPackage};

/// Objects compared with their system metadata.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct SystemMetadataAudit {
    /// Number of objects whose size and checksum are as declared.
    pub verified: u64,
    /// Objects that are not what their system metadata declare, or cannot be compared.
    pub faults: Vec<ContentFault>,
    /// Every object, with what is declared of it and what was found.
    pub objects: Vec<AuditedObject>,
}

/// One object of an audit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct AuditedObject {
    /// Path in the package.
    pub path: String,
    /// DataONE identifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identifier: Option<String>,
    /// Size in bytes.
    pub size: u64,
    /// The size that is declared, if it is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub declared_size: Option<u64>,
    /// Algorithm of the declared checksum, as DataONE spells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<String>,
    /// The declared checksum.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub declared: Option<String>,
    /// The checksum of the bytes that were read, by the same algorithm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub computed: Option<String>,
    /// What came of it.
    pub verdict: ObjectVerdict,
    /// What is wrong, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What an audit says of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ObjectVerdict {
    /// Size and checksum of the bytes are as declared.
    Verified,
    /// Size, checksum or identifier are not as declared.
    Mismatch,
    /// The bytes could not be read, or are not those that were stored.
    Damaged,
    /// The declaration cannot be read, or its algorithm is not known.
    Unverifiable,
    /// Nothing is declared.
    Undeclared,
}

/// What is declared of an object.
struct Declared {
    identifier: Option<String>,
    size: Option<u64>,
    checksum: Checksum,
}

/// Tells whether an entry is an object that an audit is about.
pub(super) fn is_object(entry: &Entry<'_>, attached: Option<&Attached>) -> bool {
    entry.object.is_some() || attached.is_some()
}

/// Compares all objects with what is declared of them.
pub(super) fn audit(
    package: &OpenPackage,
    came: &CameFiles,
    kept: &BTreeMap<String, KeptBytes>,
    attached: Option<&Attached>,
) -> SystemMetadataAudit {
    let mut audit = SystemMetadataAudit::default();
    let entries = package.view.entries().enumerate();
    for (position, entry) in entries.filter(|(_, entry)| is_object(entry, attached)) {
        let digests = came.digests(position, &entry);
        let object = audited(&entry, digests.as_ref(), declared(&entry, kept, attached));
        match object.verdict {
            ObjectVerdict::Verified => audit.verified += 1,
            // What is damaged is among the faults of the package.
            ObjectVerdict::Damaged | ObjectVerdict::Undeclared => {}
            ObjectVerdict::Mismatch | ObjectVerdict::Unverifiable => {
                let message = object.message.clone().unwrap_or_default();
                audit.faults.push(ContentFault { path: object.path.clone(), message });
            }
        }
        audit.objects.push(object);
    }
    audit
}

/// Returns the objects whose documents declare a checksum by an algorithm that they were not hashed by, since the index
/// did not tell of it; and these algorithms.
pub(super) fn not_hashed(
    package: &OpenPackage,
    kept: &BTreeMap<String, KeptBytes>,
    hashed: AlgorithmSet,
) -> (FileSet, AlgorithmSet) {
    let (mut files, mut algorithms) = (FileSet::default(), AlgorithmSet::EMPTY);
    let entries = package.view.entries().enumerate();
    for (position, entry) in entries.filter(|(_, entry)| entry.object.is_some()) {
        let Ok(Some(declared)) = declared(&entry, kept, None) else { continue };
        if let Some(algorithm) =
            algorithm_of(&declared.checksum).filter(|algorithm| !hashed.contains(*algorithm))
        {
            files.insert(position);
            algorithms.insert(algorithm);
        }
    }
    (files, algorithms)
}

/// Returns the algorithm of a checksum, if it can be computed.
pub(super) fn algorithm_of(checksum: &Checksum) -> Option<Algorithm> {
    checksum.algorithm().name().parse().ok()
}

/// Returns what is declared of an object: by its document in the package, by the one that is attached to it, or by what was
/// taken over from one into the index or the annotations.
fn declared(
    entry: &Entry<'_>,
    kept: &BTreeMap<String, KeptBytes>,
    attached: Option<&Attached>,
) -> Result<Option<Declared>, String> {
    if let Some(attached) = attached {
        return attached.as_ref().map(|document| Some(Declared::by(document))).map_err(Clone::clone);
    }
    let Some(facts) = entry.object else { return Ok(None) };
    if let Some(path) = facts.system_metadata.as_deref() {
        let document = kept.get(path).and_then(KeptBytes::in_memory);
        let document = document.ok_or("its system metadata could not be read")?;
        let parsed = SystemMetadata::parse(document).map_err(|error| error.to_string())?;
        return Ok(Some(Declared::by(&parsed.value)));
    }
    let checksum = facts.declared_checksum.clone();
    Ok(checksum.map(|checksum| Declared { identifier: None, size: None, checksum }))
}

impl Declared {
    fn by(document: &SystemMetadata) -> Self {
        Self {
            identifier: Some(document.identifier.to_string()),
            size: Some(document.size),
            checksum: document.checksum.clone(),
        }
    }
}

fn audited(
    entry: &Entry<'_>,
    digests: Option<&Digests>,
    declared: Result<Option<Declared>, String>,
) -> AuditedObject {
    let stated = entry.object.and_then(|object| object.identifier.as_ref()).map(ToString::to_string);
    let mut object = AuditedObject {
        path: entry.path.to_owned(),
        identifier: stated.clone(),
        size: entry.size,
        declared_size: None,
        algorithm: None,
        declared: None,
        computed: None,
        verdict: ObjectVerdict::Undeclared,
        message: None,
    };
    let mut judge = |verdict, message: String| {
        object.verdict = verdict;
        object.message = Some(message);
    };
    let declared = match declared {
        Ok(None) => return object,
        Err(message) => {
            judge(ObjectVerdict::Unverifiable, message);
            return object;
        }
        Ok(Some(declared)) => declared,
    };
    match digests {
        None => judge(
            ObjectVerdict::Damaged,
            "its bytes could not be read, or are not those that were stored".to_owned(),
        ),
        Some(digests) => match mismatch(entry, digests, &declared) {
            None => object.verdict = ObjectVerdict::Verified,
            Some(mismatch @ (Mismatch::Size { .. } | Mismatch::Checksum { .. })) => {
                judge(ObjectVerdict::Mismatch, mismatch.to_string());
            }
            Some(other) => judge(ObjectVerdict::Unverifiable, other.to_string()),
        },
    }
    if let (Some(stated), Some(other)) = (&stated, declared.identifier.as_ref().filter(|_| digests.is_some()))
        && stated != other
    {
        object.verdict = ObjectVerdict::Mismatch;
        object.message = Some(format!("its system metadata are those of `{other}`"));
    }
    object.identifier = stated.or(declared.identifier);
    object.declared_size = declared.size.filter(|size| *size != entry.size);
    object.algorithm = Some(declared.checksum.algorithm().name().to_owned());
    object.declared = Some(declared.checksum.value().to_owned());
    let algorithm = algorithm_of(&declared.checksum);
    object.computed = algorithm.and_then(|algorithm| digests?.hex(algorithm));
    object
}

/// Returns the first difference between the bytes that came and what is declared of them.
fn mismatch(entry: &Entry<'_>, digests: &Digests, declared: &Declared) -> Option<Mismatch> {
    let sha256 = digests.get(Algorithm::Sha256).and_then(|found| found.try_into().ok());
    let mut file = PackageFile::new(entry.path, entry.size, sha256.unwrap_or_default());
    file.checksums = digests.clone();
    let size = declared.size.unwrap_or(entry.size);
    d1_package::system_metadata_mismatches(size, &declared.checksum, &file.view()).into_iter().next()
}
