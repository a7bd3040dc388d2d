//! Errors of searches.

use d1_model::Identifier;
use oci_model::Digest;

/// The result of a search.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The reason why a search failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The repository could not be read.
    #[error(transparent)]
    Transfer(#[from] d1_transfer::Error),
    /// Nothing in the repository has this identifier.
    #[error("nothing in {place} has the identifier `{identifier}`")]
    NotInRepository {
        /// The identifier.
        identifier: Identifier,
        /// The repository.
        place: String,
    },
    /// An artifact has another identifier than the caller expects.
    #[error("expected an artifact with the identifier `{identifier}`, found {found}")]
    OtherArtifact {
        /// The identifier from the caller.
        identifier: Identifier,
        /// The digest of the artifact, and the identifier that it states.
        found: String,
    },
    /// Several artifacts have one identifier, and none replaces all the others.
    #[error("`{identifier}` stands for {} artifacts", candidates.len())]
    Ambiguous {
        /// The identifier.
        identifier: Identifier,
        /// Tag, digest and identifier of each.
        candidates: Vec<String>,
    },
    /// The artifact states no identifier, so it cannot be a version of anything.
    #[error("{digest} states no DataONE identifier")]
    NoIdentifier {
        /// The manifest.
        digest: Digest,
    },
}

impl From<registry_backend::Error> for Error {
    fn from(error: registry_backend::Error) -> Self {
        Self::Transfer(error.into())
    }
}
