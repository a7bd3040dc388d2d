//! What is known of a file before it comes.

use bagit::{Algorithm, Digests};
use d1_package::{Entry, PackageView};
use oci_model::Digest;

use super::Wanted;
use crate::progress::total;
use crate::{ContentFault, Error, Result};

/// A file that is wanted, and what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    /// Position in the package.
    pub(crate) position: usize,
    /// Path below the package's directory.
    pub(crate) path: String,
    /// Size in bytes.
    pub(crate) size: u64,
    /// SHA-256, where it is known.
    pub(crate) sha256: Option<[u8; 32]>,
    /// Whether its bytes are wanted in memory as well.
    pub(crate) kept: bool,
}

impl Expected {
    /// Takes over what a package says of a file.
    pub(crate) fn of(position: usize, entry: &Entry<'_>, kept: bool) -> Self {
        Self { position, path: entry.path.to_owned(), size: entry.size, sha256: entry.sha256, kept }
    }

    /// Compares what came with what is known, and says what is wrong.
    pub(crate) fn check(&self, size: u64, digests: &Digests) -> Result<(), String> {
        if size != self.size {
            return Err(self.wrong_size(size));
        }
        let Some(wanted) = self.sha256 else { return Ok(()) };
        let found: Option<[u8; 32]> = digests.get(Algorithm::Sha256).and_then(|found| found.try_into().ok());
        if found == Some(wanted) {
            return Ok(());
        }
        let found = found.map_or_else(|| "none".to_owned(), |found| Digest::from_sha256(found).to_string());
        Err(format!("its bytes have the digest {found}, not {}", Digest::from_sha256(wanted)))
    }

    /// Says that a file has another size.
    pub(crate) fn wrong_size(&self, found: u64) -> String {
        format!("it has {found} bytes, not the {} that the package says", self.size)
    }

    /// Returns the fault of this file.
    pub(crate) fn fault(&self, message: impl Into<String>) -> ContentFault {
        ContentFault { path: self.path.clone(), message: message.into() }
    }
}

/// How many bytes of files are kept in memory at most: what [`bagit`] reads of one tag file.
const MOST_KEPT_BYTES: u64 = 1 << 30;

/// Refuses to keep more in memory than is reasonable, whatever the index says of its tag files.
///
/// # Errors
///
/// [`Error::Content`] naming the largest of the files.
pub(crate) fn check_kept_size(view: &PackageView, wanted: &Wanted) -> Result<()> {
    let kept: Vec<Entry<'_>> = wanted.kept.iter().filter_map(|position| view.entry_at(*position)).collect();
    let size = total(kept.iter().map(|entry| entry.size));
    if size <= MOST_KEPT_BYTES {
        return Ok(());
    }
    let largest = kept.iter().max_by_key(|entry| (entry.size, entry.path)).map_or("", |entry| entry.path);
    Err(Error::content(
        largest,
        format!("it and the other tag files have {size} bytes; a bag is judged by at most {MOST_KEPT_BYTES}"),
    ))
}
