//! Comparing objects with the system metadata documents themselves, not with the index.

use std::collections::BTreeMap;
use std::sync::Arc;

use bagit::{Algorithm, AlgorithmSet, Digests};
use d1_model::{Checksum, SystemMetadata};
use d1_package::{Entry, Mismatch, PackageFile};
use registry_backend::RegistryBackend;
use serde::Serialize;

use crate::attached::{AttachedDocuments, newest_attached};
use crate::error::{ContentFault, Result};
use crate::event::{Event, Observer};
use crate::package::OpenPackage;
use crate::receive::file::KeptBytes;
use crate::receive::files::{CameFiles, FileSet};

/// The result of comparing objects with their system metadata.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct SystemMetadataAudit {
    /// Number of objects whose size and checksum are as declared.
    pub verified: u64,
    /// Objects that differ from their system metadata, or cannot be compared.
    pub faults: Vec<ContentFault>,
    /// Every object, with its declared and its computed checksum.
    pub objects: Vec<AuditedObject>,
}

/// An object that was compared with its system metadata.
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
    /// The declared size, if it differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub declared_size: Option<u64>,
    /// Algorithm of the declared checksum, as DataONE spells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<String>,
    /// The declared checksum.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub declared: Option<String>,
    /// The computed checksum, by the same algorithm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub computed: Option<String>,
    /// The verdict.
    pub verdict: ObjectVerdict,
    /// The reason, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A verdict about one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ObjectVerdict {
    /// Size and checksum match the declaration.
    Verified,
    /// Size, checksum or identifier differ from the declaration.
    Mismatch,
    /// The content could not be read, or is damaged.
    Damaged,
    /// The declaration cannot be read, or its algorithm is unknown.
    Unverifiable,
    /// There is no declaration.
    Undeclared,
}

/// The declaration about one object.
struct Declared {
    identifier: Option<String>,
    size: Option<u64>,
    checksum: Checksum,
}

/// Tells whether an entry is an object that is compared.
pub(super) fn is_object(entry: &Entry<'_>, attached: Option<&Attached>) -> bool {
    entry.object.is_some() || attached.is_some()
}

/// Compares all objects with their declarations.
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
            // Damage is among the faults of the package.
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

/// Returns the objects whose documents use algorithms that were not computed, and these algorithms. The index
/// did not mention them.
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

/// Returns the declaration of an object: from its document in the package, from the attached document, or from
/// the index or annotations.
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
        None => judge(ObjectVerdict::Damaged, "its content could not be read, or is damaged".to_owned()),
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

/// Returns the first difference between a received object and its declaration.
fn mismatch(entry: &Entry<'_>, digests: &Digests, declared: &Declared) -> Option<Mismatch> {
    let sha256 = digests.get(Algorithm::Sha256).and_then(|found| found.try_into().ok());
    let mut file = PackageFile::new(entry.path, entry.size, sha256.unwrap_or_default());
    file.checksums = digests.clone();
    let size = declared.size.unwrap_or(entry.size);
    d1_package::system_metadata_mismatches(size, &declared.checksum, &file.view()).into_iter().next()
}

/// The newest attached document, or the reason why none can be read.
pub type Attached = Result<Box<SystemMetadata>, String>;

/// Returns the newest system metadata attached to an artifact with one file, as [`newest_attached`] finds them.
///
/// # Errors
///
/// If the store fails.
pub async fn attached(
    backend: &dyn RegistryBackend,
    package: &OpenPackage,
    observer: &Arc<dyn Observer>,
) -> Result<Option<Attached>> {
    let view = &package.view;
    if view.index().is_some() || view.entries().count() != 1 {
        return Ok(None);
    }
    let AttachedDocuments { newest, mut faults } = newest_attached(backend, package).await?;
    faults.iter().for_each(|fault| observer.event(&Event::Warning(fault)));
    Ok(match newest {
        Some(newest) => Some(Ok(Box::new(newest.facts))),
        None => faults.pop().map(Err),
    })
}
