//! Comparing objects with the system metadata in the package: the documents themselves, not what the index says of them.

use std::collections::BTreeMap;

use d1_package::{ObjectFacts, PackageFile};
use serde::Serialize;

use super::Came;
use crate::{ContentFault, OpenPackage};

/// Objects compared with their system metadata.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SystemMetadataAudit {
    /// Number of objects whose size and checksum are as declared.
    pub verified: u64,
    /// Objects that are not what their system metadata declare, or cannot be compared.
    pub faults: Vec<ContentFault>,
}

/// Compares all objects that have system metadata in the package.
pub(super) fn audit(
    package: &OpenPackage,
    came: &Came<'_>,
    kept: &BTreeMap<String, Vec<u8>>,
) -> SystemMetadataAudit {
    let mut audit = SystemMetadataAudit::default();
    let Some(index) = package.view.index() else { return audit };
    for (file, _) in index.entries() {
        let Some(facts) = file.object.as_deref() else { continue };
        let Some(document) = facts.system_metadata.as_deref() else { continue };
        let mut file = file.clone();
        if let Some(digests) = came.get(&*file.path) {
            file.checksums = (*digests).clone();
        }
        match compare(&file, facts, kept.get(document).map(Vec::as_slice)) {
            Ok(()) => audit.verified += 1,
            Err(message) => audit.faults.push(ContentFault { path: file.path.to_string(), message }),
        }
    }
    audit
}

fn compare(file: &PackageFile, facts: &ObjectFacts, document: Option<&[u8]>) -> Result<(), String> {
    let document = document.ok_or("its system metadata could not be read")?;
    let parsed = d1_model::SystemMetadata::parse(document).map_err(|error| error.to_string())?.value;
    if facts.identifier.as_ref().is_some_and(|identifier| *identifier != parsed.identifier) {
        return Err(format!("its system metadata are those of `{}`", parsed.identifier));
    }
    let mismatches = d1_package::system_metadata_mismatches(parsed.size, &parsed.checksum, file);
    match mismatches.first() {
        None => Ok(()),
        Some(mismatch) => Err(mismatch.to_string()),
    }
}
