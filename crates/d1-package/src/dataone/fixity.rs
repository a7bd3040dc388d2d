//! Compares a file with the size and checksum in its system metadata.

use bagit::Algorithm;
use d1_model::Checksum;

use crate::FileView;

/// A difference between a file and its system metadata.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Mismatch {
    /// The sizes differ.
    #[error("the system metadata declare {declared} bytes, the file has {found}")]
    Size {
        /// Declared size in bytes.
        declared: u64,
        /// Size of the file in bytes.
        found: u64,
    },
    /// The checksums differ.
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
    /// The declared value is impossible for its algorithm: it has another length, or is not hexadecimal.
    #[error("{}", impossible(declared, *looks_like, *is_right))]
    Impossible {
        /// Declared checksum.
        declared: Checksum,
        /// The algorithm whose digests have the length of the value.
        looks_like: Option<Algorithm>,
        /// Whether the value is the digest of the file by that algorithm; `None` if the file was not hashed by it.
        is_right: Option<bool>,
    },
    /// The declared algorithm cannot be computed.
    #[error("the declared checksum {declared} cannot be verified")]
    Unverifiable {
        /// Declared checksum.
        declared: Checksum,
    },
}

/// Compares a file with the size and checksum that its system metadata declare. Returns an empty list if they
/// agree.
///
/// ```
/// use d1_model::Checksum;
/// use d1_package::{Mismatch, PackageFile, system_metadata_mismatches};
/// use oci_model::Digest;
///
/// let sha256 = Digest::sha256_of(b"15,7.2\n").sha256_bytes().ok_or("no SHA-256")?;
/// let file = PackageFile::new("data/temperature.csv", 7, sha256);
/// let declared: Checksum = format!("SHA-256:{}", hex::encode(sha256)).parse()?;
/// assert!(system_metadata_mismatches(7, &declared, &file.view()).is_empty());
/// let found = system_metadata_mismatches(8, &declared, &file.view());
/// assert!(matches!(found[..], [Mismatch::Size { declared: 8, found: 7 }]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn system_metadata_mismatches(
    declared_size: u64,
    declared: &Checksum,
    file: &FileView<'_>,
) -> Vec<Mismatch> {
    let mut mismatches = Vec::new();
    if declared_size != file.size {
        mismatches.push(Mismatch::Size { declared: declared_size, found: file.size });
    }
    let Some((algorithm, expected)) = computable(declared) else {
        mismatches.push(not_comparable(declared, file));
        return mismatches;
    };
    match file.digest(algorithm) {
        None => mismatches.push(Mismatch::NotHashed { algorithm }),
        Some(found) if found != expected => mismatches.push(Mismatch::Checksum {
            declared: declared.clone(),
            found: Checksum::from_digest(declared.algorithm().clone(), found),
        }),
        Some(_) => {}
    }
    mismatches
}

impl Mismatch {
    /// Returns whether only the name of the checksum's algorithm is wrong: the value is the file's digest by
    /// another one.
    #[must_use]
    pub fn is_mislabelled(&self) -> bool {
        matches!(self, Self::Impossible { is_right: Some(true), .. })
    }
}

/// Explains why a declared checksum cannot be compared.
fn not_comparable(declared: &Checksum, file: &FileView<'_>) -> Mismatch {
    let declared = declared.clone();
    if declared.algorithm().digest_length().is_none() {
        return Mismatch::Unverifiable { declared };
    }
    let looks_like = suspected_algorithm(&declared);
    let found = looks_like.and_then(|algorithm| file.digest(algorithm));
    let is_right = found.map(|digest| declared.matches_digest(digest));
    Mismatch::Impossible { declared, looks_like, is_right }
}

fn impossible(declared: &Checksum, looks_like: Option<Algorithm>, is_right: Option<bool>) -> String {
    let start = format!("the system metadata declare {declared}, which no {} can be", declared.algorithm());
    match (looks_like, is_right) {
        (None, _) => start,
        (Some(algorithm), None) => format!("{start}: it has the length of {algorithm}"),
        (Some(algorithm), Some(true)) => {
            format!(
                "{start}: it is the {algorithm} of the file, so the file is whole and only the algorithm's name is wrong"
            )
        }
        (Some(algorithm), Some(false)) => {
            format!(
                "{start}: it has the length of {algorithm}, and is not the {algorithm} of the file either"
            )
        }
    }
}

/// Returns the algorithm that a comparison with a declared checksum needs: the declared one, or the one that an
/// impossible value looks like.
///
/// ```
/// use bagit::Algorithm;
/// use d1_package::algorithm_to_compare;
///
/// // Nodes declare such checksums: the value is an MD5.
/// let mislabelled = "SHA-256:d41d8cd98f00b204e9800998ecf8427e".parse()?;
/// assert_eq!(algorithm_to_compare(&mislabelled), Some(Algorithm::Md5));
/// # Ok::<(), d1_model::ChecksumError>(())
/// ```
#[must_use]
pub fn algorithm_to_compare(checksum: &Checksum) -> Option<Algorithm> {
    declared_algorithm(checksum).or_else(|| suspected_algorithm(checksum))
}

fn suspected_algorithm(checksum: &Checksum) -> Option<Algorithm> {
    checksum.looks_like()?.name().parse().ok()
}

/// Returns the algorithm of a checksum that can be computed and compared.
pub(crate) fn declared_algorithm(checksum: &Checksum) -> Option<Algorithm> {
    computable(checksum).map(|(algorithm, _)| algorithm)
}

/// Returns the algorithm and the digest of a checksum, if this crate can compute and compare it.
pub(super) fn computable(checksum: &Checksum) -> Option<(Algorithm, Vec<u8>)> {
    let algorithm = checksum.algorithm().name().parse().ok()?;
    let digest = hex::decode(checksum.value()).ok()?;
    checksum.is_well_formed().then_some((algorithm, digest))
}

#[cfg(test)]
mod tests {
    use bagit::{Algorithm, Digests};

    use super::{Mismatch, system_metadata_mismatches};
    use crate::PackageFile;

    #[test]
    fn each_difference_is_named() {
        let mut file =
            PackageFile::new("a", 4, oci_model::Digest::sha256_of(b"test").sha256_bytes().unwrap());
        file.checksums = Digests::of([Algorithm::Sha1].into_iter().collect(), b"test");
        let right = "SHA-1:A94A8FE5CCB19BA61C4C0873D391E987982FBBD3".parse().unwrap();
        assert_eq!(system_metadata_mismatches(4, &right, &file.view()), []);
        let wrong = "SHA-1:b94a8fe5ccb19ba61c4c0873d391e987982fbbd3".parse().unwrap();
        let found = system_metadata_mismatches(5, &wrong, &file.view());
        assert!(matches!(found[..], [Mismatch::Size { declared: 5, found: 4 }, Mismatch::Checksum { .. }]));
        let sha256 =
            "SHA-256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".parse().unwrap();
        assert_eq!(system_metadata_mismatches(4, &sha256, &file.view()), []);
        let md5 = "MD5:098f6bcd4621d373cade4e832627b4f6".parse().unwrap();
        let not_hashed = Mismatch::NotHashed { algorithm: Algorithm::Md5 };
        assert_eq!(system_metadata_mismatches(4, &md5, &file.view()), [not_hashed]);
        let declared: d1_model::Checksum = "CRC32:00ff00ff".parse().unwrap();
        let expected = Mismatch::Unverifiable { declared: declared.clone() };
        assert_eq!(system_metadata_mismatches(4, &declared, &file.view()), [expected]);
    }

    #[test]
    fn an_impossible_checksum_is_told_from_a_wrong_one() {
        let mut file =
            PackageFile::new("a", 4, oci_model::Digest::sha256_of(b"test").sha256_bytes().unwrap());
        file.checksums = Digests::of([Algorithm::Sha1].into_iter().collect(), b"test");
        let right = "a94a8fe5ccb19ba61c4c0873d391e987982fbbd3";
        for (declared, text, is_mislabelled) in [
            (format!("MD5:{right}"), "only the algorithm's name is wrong", true),
            (format!("MD5:b{}", &right[1..]), "and is not the sha1 of the file either", false),
            (format!("SHA-256:{}", "0".repeat(32)), "it has the length of md5", false),
            ("MD5:098f6bcd".to_owned(), "which no MD5 can be", false),
            ("MD5:zz".to_owned(), "which no MD5 can be", false),
        ] {
            let declared: d1_model::Checksum = declared.parse().unwrap();
            let found = system_metadata_mismatches(4, &declared, &file.view());
            let [mismatch] = &found[..] else { panic!("{found:?}") };
            assert!(mismatch.to_string().contains(text), "{mismatch}");
            assert_eq!(mismatch.is_mislabelled(), is_mislabelled, "{declared}");
            assert!(matches!(mismatch, Mismatch::Impossible { .. }));
        }
    }
}
