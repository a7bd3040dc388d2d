//! Computing a digest over bytes as they pass.

use sha2::Digest as _;

use crate::{Digest, DigestAlgorithm};

/// Computes one digest over a stream of bytes.
#[derive(Clone, Debug)]
pub struct DigestHasher {
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    Sha256(sha2::Sha256),
    Sha512(sha2::Sha512),
}

impl DigestHasher {
    /// Returns a hasher for the algorithm.
    pub fn new(algorithm: DigestAlgorithm) -> Self {
        let state = match algorithm {
            DigestAlgorithm::Sha256 => State::Sha256(sha2::Sha256::new()),
            DigestAlgorithm::Sha512 => State::Sha512(sha2::Sha512::new()),
        };
        Self { state }
    }

    /// Returns a hasher whose result can be compared with `digest`, or `None` if its algorithm cannot be computed.
    pub fn matching(digest: &Digest) -> Option<Self> {
        digest.algorithm().map(Self::new)
    }

    /// Takes in the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.state {
            State::Sha256(state) => state.update(bytes),
            State::Sha512(state) => state.update(bytes),
        }
    }

    /// Returns the digest of all bytes taken in.
    pub fn finish(self) -> Digest {
        match self.state {
            State::Sha256(state) => Digest::from_known(DigestAlgorithm::Sha256, &state.finalize()),
            State::Sha512(state) => Digest::from_known(DigestAlgorithm::Sha512, &state.finalize()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_in_pieces_give_the_digest_of_the_whole() {
        let mut hasher = DigestHasher::new(DigestAlgorithm::Sha256);
        hasher.update(b"{");
        hasher.update(b"}");
        assert_eq!(hasher.finish(), Digest::sha256_of(b"{}"));
    }

    #[test]
    fn the_algorithm_follows_the_digest_to_compare_with() {
        let sha512: Digest = format!("sha512:{}", "0".repeat(128)).parse().unwrap();
        assert!(
            DigestHasher::matching(&sha512).unwrap().finish().as_str().starts_with("sha512:cf83e1357eefb8bd")
        );
        let unknown: Digest = "blake9:00".parse().unwrap();
        assert!(DigestHasher::matching(&unknown).is_none());
    }
}
