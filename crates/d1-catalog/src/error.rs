//! Errors of searches and catalogues.

use std::error::Error as StdError;
use std::path::PathBuf;

use d1_model::Identifier;
use oci_model::Digest;

/// The result of a search.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The reason why a search failed, or a catalogue cannot be used.
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
    /// The catalogue that the repository publishes cannot be used.
    #[error("the published catalogue is invalid: {reason}")]
    Published {
        /// The fault.
        reason: String,
    },
    /// The search needs a catalogue of the repository.
    #[error("a search of the content of metadata needs a catalogue")]
    NeedsCatalog,
    /// The file of a catalogue is something else.
    #[error("expected a catalogue of d1oci, found another file: {}", path.display())]
    NotACatalog {
        /// The file.
        path: PathBuf,
    },
    /// A newer version of the program made the catalogue.
    #[error("expected a catalogue of version {supported} or earlier, found version {found}: {}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Version of its schema.
        found: i32,
        /// The newest version that this program knows.
        supported: i32,
    },
    /// The catalogue is damaged. It can be deleted and built again.
    #[error("the catalogue {} is damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The fault.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The catalogue cannot be read or written.
    #[error("cannot {operation} the catalogue {}", path.display())]
    Catalog {
        /// The operation that failed.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// Whether another process used it for too long.
        is_busy: bool,
        /// The reason.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The catalogue does not know where the bytes of a file are. The package does.
    #[error("the catalogue does not know the place of `{path}`")]
    NeedsPackage {
        /// The file.
        path: String,
    },
}

impl Error {
    /// Returns whether another process uses the catalogue, so that a later attempt can succeed.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Catalog { is_busy: true, .. })
    }
}

impl From<registry_backend::Error> for Error {
    fn from(error: registry_backend::Error) -> Self {
        Self::Transfer(error.into())
    }
}
