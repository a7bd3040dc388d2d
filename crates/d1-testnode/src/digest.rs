//! Checksums of contents.

use std::io;

use d1_model::{Checksum, ChecksumAlgorithm};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};

use crate::content::Content;

/// How many bytes are read at once.
const PIECE: u64 = 1024 * 1024;

/// Computes the checksum of a content, or `None` for an algorithm that this node does not know.
///
/// # Errors
///
/// If the content's file cannot be read.
pub fn checksum_of(content: &Content, algorithm: &ChecksumAlgorithm) -> io::Result<Option<Checksum>> {
    let digest = match algorithm {
        ChecksumAlgorithm::Md5 => digest_of::<Md5>(content)?,
        ChecksumAlgorithm::Sha1 => digest_of::<Sha1>(content)?,
        ChecksumAlgorithm::Sha256 => digest_of::<Sha256>(content)?,
        ChecksumAlgorithm::Sha384 => digest_of::<Sha384>(content)?,
        ChecksumAlgorithm::Sha512 => digest_of::<Sha512>(content)?,
        _ => return Ok(None),
    };
    Ok(Some(Checksum::from_digest(algorithm.clone(), &digest)))
}

fn digest_of<D: Digest>(content: &Content) -> io::Result<Vec<u8>> {
    let mut digest = D::new();
    let size = content.size();
    let mut start = 0;
    while start < size {
        let end = size.min(start.saturating_add(PIECE));
        digest.update(content.piece(start..end)?);
        start = end;
    }
    Ok(digest.finalize().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_checksums_come_out() {
        let content = Content::text("abc");
        for (algorithm, expected) in [
            (ChecksumAlgorithm::Md5, "900150983cd24fb0d6963f7d28e17f72"),
            (ChecksumAlgorithm::Sha1, "a9993e364706816aba3e25717850c26c9cd0d89d"),
            (ChecksumAlgorithm::Sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ] {
            assert_eq!(checksum_of(&content, &algorithm).unwrap().unwrap().value(), expected);
        }
        let unknown = ChecksumAlgorithm::from_name("Adler-32");
        assert_eq!(checksum_of(&content, &unknown).unwrap(), None);
    }
}
