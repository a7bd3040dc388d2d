//! Comparing a file with what its system metadata declare.

use bagit::Algorithm;
use d1_model::Checksum;

use crate::PackageFile;

/// A difference between a file and what system metadata declare of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Mismatch {
    /// The size is another.
    #[error("the system metadata declare {declared} bytes, the file has {found}")]
    Size {
        /// Declared size in bytes.
        declared: u64,
        /// Size of the file in bytes.
        found: u64,
    },
    /// The checksum is another.
    #[error("the system metadata declare {declared}, the file has {found}")]
    Checksum {
        /// Declared checksum.
        declared: Checksum,
        /// Checksum of the file.
        found: Checksum,
    },
    /// The file was not hashed by the declared algorithm.
    #[error("the file was not hashed by {algorithm}, by which its system metadata declare a checksum")]
    NotHashed {
        /// The algorithm.
        algorithm: Algorithm,
    },
    /// The declared algorithm is not one that can be computed, or the checksum is not hexadecimal of its length.
    #[error("the declared checksum {declared} cannot be verified")]
    Unverifiable {
        /// Declared checksum.
        declared: Checksum,
    },
}

/// Compares a file with the size and checksum that its system metadata declare; nothing is returned if they are right.
#[must_use]
pub fn system_metadata_mismatches(
    declared_size: u64,
    declared: &Checksum,
    file: &PackageFile,
) -> Vec<Mismatch> {
    let _ = (declared_size, declared, file);
    todo!()
}
