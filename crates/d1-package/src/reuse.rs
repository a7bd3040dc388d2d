//! Recognising archive layers that would come out as they are in the package that is replaced.

use oci_model::Digest;
use oci_pack::Compression;

use crate::{ArchiveRecord, PackageFiles, PackageIndex, Plan};

/// An archive layer that is there already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReusableArchive {
    /// Digest of the blob.
    pub digest: Digest,
    /// Size of the blob in bytes.
    pub size: u64,
    /// What is known of it.
    pub record: ArchiveRecord,
    /// Compression of the blob.
    pub compression: Compression,
    /// Where the content of each file begins in the tar archive, in the order of the files.
    pub data_offsets: Vec<u64>,
}

/// Finds, for each of the plan's archives, a layer of the package that is replaced with the same files in the same
/// order, by path, size and SHA-256, under the same directory and from the same encoder.
///
/// The index that is relied on is a claim, see `docs/decisions/0002-reuse-of-archive-layers.md`.
#[must_use]
pub fn reusable_archives(
    plan: &Plan,
    files: &PackageFiles,
    replaced: &PackageIndex,
    compression: Compression,
) -> Vec<Option<ReusableArchive>> {
    let _ = (plan, files, replaced, compression);
    todo!()
}
