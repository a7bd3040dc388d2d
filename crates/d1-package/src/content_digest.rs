//! A digest that packages of equal content share, whatever their origin.

use std::collections::BTreeSet;

use d1_model::Identifier;
use oci_model::{Digest, DigestAlgorithm, DigestHasher};

use crate::PackageFiles;

/// Returns the digest of the identities of all members of a package, or `None` if it has no DataONE objects.
///
/// It depends only on the identifier, declared checksum and SHA-256 of each member. It does not depend on system
/// metadata, on the names of files, or on the resource map, which nodes serialise in different ways.
/// docs/artifact-format.md, section 6.5, specifies the form.
///
/// ```
/// use d1_package::{ObjectFacts, PackageFile, PackageFiles, content_digest};
///
/// let package = |path: &str| {
///     let mut file = PackageFile::new(path, 3, [7; 32]);
///     file.object = Some(Box::new(ObjectFacts { identifier: "doi:10.5072/A".parse().ok(), ..Default::default() }));
///     PackageFiles::new(vec![file], Vec::new(), false)
/// };
/// let (here, there) = (package("a.csv")?, package("another name.csv")?);
/// assert_eq!(content_digest(&here, None), content_digest(&there, None));
/// # Ok::<(), d1_package::Error>(())
/// ```
#[must_use]
pub fn content_digest(files: &PackageFiles, resource_map: Option<&Identifier>) -> Option<Digest> {
    let members: BTreeSet<String> = files
        .files()
        .filter_map(|file| {
            let object = file.object?;
            let identifier =
                object.identifier.as_ref().filter(|identifier| Some(*identifier) != resource_map)?;
            let sha256 = hex::encode(file.sha256);
            Some(match &object.declared_checksum {
                Some(checksum) => {
                    let value = checksum.value().to_ascii_lowercase();
                    format!("{identifier} {} {value} {sha256}\n", checksum.algorithm())
                }
                None => format!("{identifier} - - {sha256}\n"),
            })
        })
        .collect();
    if members.is_empty() {
        return None;
    }
    let mut hasher = DigestHasher::new(DigestAlgorithm::Sha256);
    members.iter().for_each(|member| hasher.update(member.as_bytes()));
    Some(hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::content_digest;
    use crate::{ObjectFacts, PackageFile, PackageFiles};

    /// Makes a package from the path, identifier and declared checksum of each file.
    fn files(members: &[(&str, &str, &str)]) -> PackageFiles {
        let files = members.iter().map(|(path, identifier, checksum)| {
            let mut file = PackageFile::new(*path, 1, [1; 32]);
            file.object = Some(Box::new(ObjectFacts {
                identifier: identifier.parse().ok(),
                declared_checksum: checksum.parse().ok(),
                format_id: Some(path.to_owned().into()),
                ..ObjectFacts::default()
            }));
            file
        });
        PackageFiles::new(files.collect(), Vec::new(), false).unwrap()
    }

    #[test]
    fn only_identifiers_and_checksums_count() {
        let map = "map".parse().unwrap();
        let digest = |members: &[(&str, &str, &str)]| content_digest(&files(members), Some(&map));
        let one = digest(&[("a", "pid.1", "MD5:00"), ("b", "pid.2", "SHA-1:0A"), ("c", "map", "MD5:01")]);
        let renamed = digest(&[("x", "pid.2", "sha1:0a"), ("y", "map", ""), ("z", "pid.1", "MD5:00")]);
        assert!(one.is_some() && one == renamed);
        for other in [
            digest(&[("a", "pid.1", "MD5:00")]),
            digest(&[("a", "pid.1", "MD5:02"), ("b", "pid.2", "SHA-1:0a")]),
            digest(&[("a", "pid.1", "SHA-1:00"), ("b", "pid.2", "SHA-1:0a")]),
            digest(&[("a", "pid.3", "MD5:00"), ("b", "pid.2", "SHA-1:0a")]),
            digest(&[("a", "pid.1", ""), ("b", "pid.2", "SHA-1:0a")]),
        ] {
            assert_ne!(one, other);
        }
        assert_eq!(digest(&[("c", "map", "")]), None);
        assert_eq!(content_digest(&files(&[("c", "", "")]), None), None);
    }

    #[test]
    fn the_form_is_the_documented_one() {
        let text = format!("doi:10.1/a MD5 00ff {}\n", "01".repeat(32));
        let found = content_digest(&files(&[("a", "doi:10.1/a", "md5:00FF")]), None);
        assert_eq!(found, Some(oci_model::Digest::sha256_of(text.as_bytes())));
    }
}
