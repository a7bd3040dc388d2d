//! Objects as a HashStore keeps them on disk, laid out as Metacat's are (HashStore 1.1).

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use d1_model::ChecksumAlgorithm;

use crate::content::Content;
use crate::digest::checksum_of;
use crate::object::StoredObject;

/// A HashStore in a directory.
#[derive(Clone, Debug)]
pub struct HashStoreFolder {
    root: PathBuf,
}

const NAMESPACE: &str = "https://ns.dataone.org/service/types/v2.0#SystemMetadata";

/// The file as HashStore writes it, indented and with remarks.
const CONFIGURATION: &str = r#"
        # Default configuration variables for HashStore

        ############### Directory Structure ###############
        # Desired amount of directories when sharding an object to form the permanent address
        store_depth: 3  # WARNING: DO NOT CHANGE UNLESS SETTING UP NEW HASHSTORE
        # Width of directories created when sharding an object to form the permanent address
        store_width: 2  # WARNING: DO NOT CHANGE UNLESS SETTING UP NEW HASHSTORE

        ############### Format of the Metadata ###############
        store_metadata_namespace: "https://ns.dataone.org/service/types/v2.0#SystemMetadata"

        ############### Hash Algorithms ###############
        store_algorithm: "SHA-256"
        store_default_algo_list:
        - "MD5"
        - "SHA-1"
        - "SHA-256"
        - "SHA-384"
        - "SHA-512"
        "#;

impl HashStoreFolder {
    /// Makes an empty store.
    ///
    /// # Errors
    ///
    /// If the directory cannot be written.
    pub fn create(root: &Path) -> io::Result<Self> {
        for directory in ["objects/tmp", "metadata/tmp", "refs/pids", "refs/cids", "refs/tmp"] {
            fs::create_dir_all(root.join(directory))?;
        }
        fs::write(root.join("hashstore.yaml"), CONFIGURATION)?;
        Ok(Self { root: root.to_owned() })
    }

    /// Stores an object with its references and system metadata, right or wrong.
    ///
    /// # Errors
    ///
    /// If a file cannot be read or written, or there is no document.
    pub fn put(&self, object: &StoredObject) -> io::Result<()> {
        let identifier = object.identifier().as_str();
        let name = sha256(object.content())?;
        write(&self.object(&name), &object.content().bytes()?)?;
        write(&self.reference(identifier), name.as_bytes())?;
        let list = self.list(&name);
        fs::create_dir_all(list.parent().unwrap_or(&list))?;
        let mut list = OpenOptions::new().create(true).append(true).open(list)?;
        list.write_all(format!("{identifier}\n").as_bytes())?;
        let document = object.document(false).map_err(io::Error::other)?;
        write(&self.system_metadata(identifier), &document)
    }

    /// Returns where content with this SHA-256 is.
    #[must_use]
    pub fn object(&self, name: &str) -> PathBuf {
        self.sharded("objects", name)
    }

    /// Returns where it stands which content an identifier has.
    #[must_use]
    pub fn reference(&self, identifier: &str) -> PathBuf {
        self.sharded("refs/pids", &sha256_of(identifier))
    }

    /// Returns where it stands which identifiers a content has.
    #[must_use]
    pub fn list(&self, name: &str) -> PathBuf {
        self.sharded("refs/cids", name)
    }

    /// Returns where the system metadata of an identifier are.
    #[must_use]
    pub fn system_metadata(&self, identifier: &str) -> PathBuf {
        let directory = self.sharded("metadata", &sha256_of(identifier));
        directory.join(sha256_of(&format!("{identifier}{NAMESPACE}")))
    }

    fn sharded(&self, top: &str, name: &str) -> PathBuf {
        let (first, rest) = name.split_at(2);
        let (second, rest) = rest.split_at(2);
        let (third, rest) = rest.split_at(2);
        self.root.join(top).join(first).join(second).join(third).join(rest)
    }
}

/// Returns the SHA-256 of a content in hexadecimal: its name in a HashStore.
fn sha256(content: &Content) -> io::Result<String> {
    let checksum = checksum_of(content, &ChecksumAlgorithm::Sha256)?;
    Ok(checksum.map(|checksum| checksum.value().to_owned()).unwrap_or_default())
}

fn sha256_of(text: &str) -> String {
    sha256(&Content::text(text)).unwrap_or_default()
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(path.parent().unwrap_or(path))?;
    fs::write(path, bytes)
}
