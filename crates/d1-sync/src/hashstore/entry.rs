//! One object of a HashStore with what belongs to it, found to fit together as far as that can be seen without reading it.

use std::path::PathBuf;

use bagit::Algorithm;
use d1_model::{Checksum, ChecksumAlgorithm, Identifier, MAX_SYSTEM_METADATA_BYTES};
use d1_package::{SingleFile, object_algorithm, object_file};
use oci_model::Digest;

use super::ImportFault;
use super::layout::{HashStore, is_name};
use crate::object::Document;

/// An object that can be imported.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) identifier: Identifier,
    /// Path of the object in the store, and where that is.
    pub(super) place: String,
    pub(super) path: PathBuf,
    pub(super) document: Document,
    pub(super) file: SingleFile,
    /// The algorithm by which it has to be hashed while it is read, if its name does not prove the declared checksum.
    pub(super) algorithm: Option<Algorithm>,
}

/// Reads what belongs to an object. It blocks.
///
/// # Errors
///
/// If its references, system metadata and object do not fit together.
pub(super) fn read(store: &HashStore, name: &str, identifier: &Identifier) -> Result<Entry, ImportFault> {
    let text = identifier.as_str();
    check_reference(store, name, text)?;
    let document = system_metadata(store, identifier)?;
    let place = store.object(name);
    let fault = |message: String| ImportFault::of(text, place.clone(), message);
    // The name comes from the store, and is part of a path only after it was looked at.
    let digest = format!("sha256:{name}").parse::<Digest>().ok().filter(|_| is_name(name));
    let digest = digest.ok_or_else(|| fault("it is no SHA-256".to_owned()))?;
    let (_, size) = store.open_file(&place).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => fault("its object is not there".to_owned()),
        _ => fault(error.to_string()),
    })?;
    let says = &document.says;
    if size != says.size {
        let message = format!("the system metadata declare {} bytes, the object has {size}", says.size);
        return Err(fault(message));
    }
    let file = object_file(says, digest, size);
    if *says.checksum.algorithm() == ChecksumAlgorithm::Sha256 && !says.checksum.matches_hex(name) {
        let named = Checksum::new(ChecksumAlgorithm::Sha256, name);
        return Err(fault(format!(
            "the system metadata declare {}, the object is named {named}",
            says.checksum
        )));
    }
    let (identifier, path) = (identifier.clone(), store.root().join(&place));
    Ok(Entry { identifier, path, algorithm: object_algorithm(says), place, document, file })
}

fn check_reference(store: &HashStore, name: &str, identifier: &str) -> Result<(), ImportFault> {
    let path = store.reference(identifier);
    let fault = |message: String| ImportFault::of(identifier, path.clone(), message);
    match store.read_reference(&path) {
        Ok(Some(named)) if named == name => Ok(()),
        Ok(Some(named)) => {
            Err(fault(format!("{} lists it, but this names the object {named}", store.list(name))))
        }
        Ok(None) => Err(fault(format!("{} lists it, but this is not there", store.list(name)))),
        Err(error) => Err(fault(error.to_string())),
    }
}

fn system_metadata(store: &HashStore, identifier: &Identifier) -> Result<Document, ImportFault> {
    let path = store.system_metadata(identifier.as_str());
    let fault = |message: String| ImportFault::of(identifier.as_str(), path.clone(), message);
    let bytes = store.read_file(&path, MAX_SYSTEM_METADATA_BYTES as u64);
    let bytes = bytes.map_err(|error| fault(error.to_string()))?;
    let bytes = bytes.ok_or_else(|| fault("it has no system metadata".to_owned()))?;
    let document = Document::parse(bytes).map_err(|error| fault(error.to_string()))?;
    match document.says.identifier == *identifier {
        true => Ok(document),
        false => Err(fault(format!("its system metadata are those of `{}`", document.says.identifier))),
    }
}
