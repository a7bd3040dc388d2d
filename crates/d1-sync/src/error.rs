//! What can go wrong between DataONE and a store.

use std::fmt;
use std::path::PathBuf;

use d1_model::Identifier;
use oci_model::Tag;
use serde::Serialize;

/// The result of an operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An operation that did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A transfer failed.
    #[error(transparent)]
    Transfer(#[from] d1_transfer::Error),
    /// System metadata cannot be read.
    #[error("cannot read the system metadata in `{}`", path.display())]
    SystemMetadata {
        /// Where they are.
        path: PathBuf,
        /// Why not.
        source: d1_model::Error,
    },
    /// System metadata are those of another object.
    #[error("the system metadata are those of `{stated}`, not of `{given}`")]
    OtherIdentifier {
        /// The identifier that was given.
        given: String,
        /// The one that the system metadata state.
        stated: String,
    },
    /// The tag that an identifier gives names something else.
    #[error("the tag {tag} of `{identifier}` names {what}")]
    TagTaken {
        /// The tag.
        tag: Tag,
        /// The identifier.
        identifier: String,
        /// What the tag names, in words.
        what: String,
    },
    /// A directory is not a HashStore that can be read.
    #[error("`{}` cannot be read as a HashStore: {reason}", directory.display())]
    NotAHashStore {
        /// The directory.
        directory: PathBuf,
        /// Why not.
        reason: String,
    },
    /// Something stands where a new file or directory should go.
    #[error("`{}` is there already", path.display())]
    TargetExists {
        /// Where.
        path: PathBuf,
    },
    /// A DataONE node failed.
    #[cfg(feature = "d1-client")]
    #[error(transparent)]
    Node(#[from] d1_client::Error),
    /// An object is in no package.
    #[error("`{identifier}` is in no package")]
    NoPackage {
        /// The object.
        identifier: Identifier,
    },
    /// An object is in several packages.
    #[error("`{identifier}` is in {} packages", resource_maps.len())]
    SeveralPackages {
        /// The object.
        identifier: Identifier,
        /// The resource maps of the packages.
        resource_maps: Vec<Identifier>,
    },
    /// Not everybody may read an object, or the resource map of a package.
    #[error("`{identifier}` is not public")]
    NotPublic {
        /// The object, or the resource map.
        identifier: Identifier,
    },
    /// Members of a package cannot be had, or are not what their system metadata declare.
    #[error("{}", MembersSummary(faults))]
    Members {
        /// What is wrong, member by member.
        faults: Vec<MemberFault>,
    },
    /// A journal cannot be used.
    #[error("the journal `{}` cannot be used: {reason}", path.display())]
    Journal {
        /// Where it is.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
}

/// A member of a package that could not be had, or is not what its system metadata say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MemberFault {
    /// The member.
    pub identifier: Identifier,
    /// What is wrong, in words.
    pub message: String,
}

impl Error {
    pub(crate) fn io(
        operation: &'static str,
        path: impl AsRef<std::path::Path>,
        source: std::io::Error,
    ) -> Self {
        d1_transfer::Error::io(operation, path, source).into()
    }

    pub(crate) fn content(path: impl Into<String>, message: impl Into<String>) -> Self {
        d1_transfer::Error::content(path, message).into()
    }

    /// Returns the failure of the store, if the store is what failed.
    #[must_use]
    pub fn of_store(&self) -> Option<&registry_backend::Error> {
        match self {
            Self::Transfer(error) => error.of_store(),
            _ => None,
        }
    }

    #[cfg(feature = "d1-client")]
    pub(crate) fn member(identifier: Identifier, message: impl Into<String>) -> Self {
        Self::Members { faults: vec![MemberFault { identifier, message: message.into() }] }
    }

    /// Lets a fault of a member pass as a value, to be gathered with others.
    #[cfg(feature = "d1-client")]
    pub(crate) fn unless_of_member<T>(result: Result<T>) -> Result<Result<T>> {
        match result {
            Err(error) if !matches!(error, Self::Members { .. }) => Err(error),
            result => Ok(result),
        }
    }

    /// Returns what all members gave, or all that is wrong with them; any other error comes first.
    #[cfg(feature = "d1-client")]
    pub(crate) fn gather_members<T>(results: impl IntoIterator<Item = Result<T>>) -> Result<Vec<T>> {
        let (mut all, mut wrong) = (Vec::new(), Vec::new());
        for result in results {
            match result {
                Ok(value) => all.push(value),
                Err(Self::Members { faults }) => wrong.extend(faults),
                Err(error) => return Err(error),
            }
        }
        if wrong.is_empty() { Ok(all) } else { Err(Self::Members { faults: wrong }) }
    }
}

impl From<registry_backend::Error> for Error {
    fn from(error: registry_backend::Error) -> Self {
        Self::Transfer(error.into())
    }
}

impl From<bagit::Error> for Error {
    fn from(error: bagit::Error) -> Self {
        Self::Transfer(error.into())
    }
}

impl From<d1_package::Error> for Error {
    fn from(error: d1_package::Error) -> Self {
        Self::Transfer(error.into())
    }
}

struct MembersSummary<'a>(&'a [MemberFault]);

impl fmt::Display for MembersSummary<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [only] => write!(formatter, "the member `{}` cannot be taken: {}", only.identifier, only.message),
            all => write!(formatter, "{} members cannot be taken", all.len()),
        }
    }
}
