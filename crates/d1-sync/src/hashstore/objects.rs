//! The objects of a HashStore, by what its references say: each with its identifiers, and what leads nowhere.

use std::collections::{HashMap, HashSet};
use std::fs;

use d1_model::{Identifier, MAX_SYSTEM_METADATA_BYTES, SystemMetadata};

use super::ImportFault;
use super::layout::{HashStore, LIST_LIMIT, hex_of};
use super::walk::{Found, walk};

/// Content, and the identifiers that it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StoredContent {
    /// SHA-256 in hexadecimal: the name of the object.
    pub(super) name: String,
    pub(super) identifiers: Vec<Identifier>,
}

/// Lists all objects of a store until `send` says that nobody wants more, then what its references lead nowhere. It blocks.
pub(super) fn all(store: &HashStore, send: &mut dyn FnMut(Result<StoredContent, ImportFault>) -> bool) {
    let mut seen: HashSet<[u8; 32]> = HashSet::new();
    let mut wanted = true;
    walk(store, "refs/cids", &mut |found| {
        match found {
            Found::Odd(fault) => wanted = send(Err(fault)),
            Found::Name(name) => {
                let (identifiers, faults) = list(store, &name);
                seen.extend(identifiers.iter().filter_map(|identifier| hash_of(identifier.as_str())));
                wanted = faults.into_iter().all(|fault| send(Err(fault)));
                if !identifiers.is_empty() {
                    wanted = wanted && send(Ok(StoredContent { name, identifiers }));
                }
            }
        }
        wanted
    });
    if !wanted {
        return;
    }
    walk(store, "refs/pids", &mut |found| match found {
        Found::Odd(fault) => send(Err(fault)),
        Found::Name(name) => {
            let is_known = bytes_of(&name).is_some_and(|hash| seen.contains(&hash));
            is_known || send(Err(unlisted(store, &name)))
        }
    });
}

/// Finds objects by their identifiers. It blocks.
pub(super) fn some(store: &HashStore, identifiers: &[Identifier]) -> (Vec<StoredContent>, Vec<ImportFault>) {
    let (mut order, mut faults) = (Vec::new(), Vec::new());
    let mut found: HashMap<String, Vec<Identifier>> = HashMap::new();
    for identifier in identifiers {
        let path = store.reference(identifier.as_str());
        let fault = |message: &str| ImportFault::of(identifier.as_str(), path.clone(), message);
        match store.read_reference(&path) {
            Ok(Some(name)) if !list(store, &name).0.contains(identifier) => {
                faults.push(fault(&format!("{} does not list it", store.list(&name))));
            }
            Ok(Some(name)) => {
                let known = found.entry(name.clone()).or_default();
                if known.is_empty() {
                    order.push(name);
                }
                if !known.contains(identifier) {
                    known.push(identifier.clone());
                }
            }
            Ok(None) => faults.push(fault("the store has no object of this identifier")),
            Err(error) => faults.push(fault(&error.to_string())),
        }
    }
    let of_name = |name: String| {
        let identifiers = found.remove(&name).unwrap_or_default();
        StoredContent { name, identifiers }
    };
    (order.into_iter().map(of_name).collect(), faults)
}

/// Counts objects and their bytes, as far as the references say. It blocks.
pub(super) fn measure(store: &HashStore) -> (u64, u64) {
    let (mut count, mut bytes) = (0, 0_u64);
    walk(store, "refs/cids", &mut |found| {
        if let Found::Name(name) = found {
            count += 1;
            let size =
                fs::symlink_metadata(store.root().join(store.object(&name))).map_or(0, |file| file.len());
            bytes = bytes.saturating_add(size);
        }
        true
    });
    (count, bytes)
}

/// Reads the identifiers of an object.
fn list(store: &HashStore, name: &str) -> (Vec<Identifier>, Vec<ImportFault>) {
    let path = store.list(name);
    let bytes = match store.read_file(&path, LIST_LIMIT) {
        Ok(bytes) => bytes.unwrap_or_default(),
        Err(error) => return (Vec::new(), vec![ImportFault::at(path, error.to_string())]),
    };
    let (mut identifiers, mut faults) = (Vec::new(), Vec::new());
    let mut seen = HashSet::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end_matches('\r');
        match text.parse::<Identifier>() {
            _ if text.is_empty() => {}
            Ok(identifier) if seen.insert(identifier.clone()) => identifiers.push(identifier),
            Ok(_) => {}
            Err(error) => faults.push(ImportFault::at(path.clone(), error.to_string())),
        }
    }
    if identifiers.is_empty() && faults.is_empty() {
        faults.push(ImportFault::at(path, "it lists no identifier"));
    }
    (identifiers, faults)
}

/// Says what is wrong with the reference of an identifier that no object lists.
fn unlisted(store: &HashStore, hashed: &str) -> ImportFault {
    let path = store.reference_of_hash(hashed);
    let message = match store.read_reference(&path) {
        Ok(Some(name)) => format!("it names the object {name}, but {} does not list it", store.list(&name)),
        Ok(None) => "it is not there any more".to_owned(),
        Err(error) => error.to_string(),
    };
    ImportFault { identifier: identifier_of(store, hashed), path, message }
}

/// Finds the identifier with a hash, by its system metadata.
fn identifier_of(store: &HashStore, hashed: &str) -> Option<String> {
    let directory = store.documents(hashed);
    let entries = fs::read_dir(store.root().join(&directory)).ok()?;
    // There is one, and seldom a second one of another kind.
    entries.take(8).find_map(|entry| {
        let path = format!("{directory}/{}", entry.ok()?.file_name().to_str()?);
        let bytes = store.read_file(&path, MAX_SYSTEM_METADATA_BYTES as u64).ok()??;
        let identifier = SystemMetadata::parse(&bytes).ok()?.value.identifier.to_string();
        (hex_of(&identifier) == hashed).then_some(identifier)
    })
}

fn hash_of(identifier: &str) -> Option<[u8; 32]> {
    bytes_of(&hex_of(identifier))
}

fn bytes_of(name: &str) -> Option<[u8; 32]> {
    format!("sha256:{name}").parse::<oci_model::Digest>().ok()?.sha256_bytes()
}
