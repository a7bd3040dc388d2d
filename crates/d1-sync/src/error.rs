//! Errors of moves between DataONE and a store.

use std::fmt;
use std::path::PathBuf;

use d1_model::Identifier;
use oci_model::Tag;
use serde::Serialize;

/// The result of an operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The reason why an operation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A transfer failed.
    #[error(transparent)]
    Transfer(#[from] d1_transfer::Error),
    /// System metadata cannot be read.
    #[error("cannot read the system metadata in `{}`", path.display())]
    SystemMetadata {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: d1_model::Error,
    },
    /// System metadata are those of another object.
    #[error("expected the system metadata of `{given}`, found those of `{stated}`")]
    OtherIdentifier {
        /// The identifier from the caller.
        given: String,
        /// The identifier in the system metadata.
        stated: String,
    },
    /// The tag of an identifier names another artifact.
    #[error("the tag {tag} of `{identifier}` names {what}")]
    TagTaken {
        /// The tag.
        tag: Tag,
        /// The identifier.
        identifier: String,
        /// The artifact that the tag names, in words.
        what: String,
    },
    /// A directory cannot be read as a HashStore.
    #[error("cannot read `{}` as a HashStore: {reason}", directory.display())]
    NotAHashStore {
        /// The directory.
        directory: PathBuf,
        /// The reason.
        reason: String,
    },
    /// The target path already exists.
    #[error("`{}` already exists", path.display())]
    TargetExists {
        /// The path.
        path: PathBuf,
    },
    /// A DataONE node failed.
    #[cfg(feature = "d1-client")]
    #[error(transparent)]
    Node(#[from] d1_client::Error),
    /// An object is in no package.
    #[error("`{identifier}`{} is in no package", of_format(format_id.as_deref()))]
    NoPackage {
        /// The object.
        identifier: Identifier,
        /// Its format, where the node states it. A resource map has the format of OAI-ORE.
        format_id: Option<String>,
    },
    /// An object is in several packages.
    #[error("`{identifier}` is in {} packages", resource_maps.len())]
    SeveralPackages {
        /// The object.
        identifier: Identifier,
        /// The resource maps of the packages.
        resource_maps: Vec<Identifier>,
    },
    /// An object or a resource map is private.
    #[error("`{identifier}` is private")]
    NotPublic {
        /// The object, or the resource map.
        identifier: Identifier,
    },
    /// Members of a package cannot be read, or differ from their system metadata.
    #[error("{}", MembersSummary(faults))]
    Members {
        /// The faults, member by member.
        faults: Vec<MemberFault>,
    },
    /// A journal cannot be used.
    #[error("cannot use the journal `{}`: {reason}", path.display())]
    Journal {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
}

/// A member of a package that cannot be read, or differs from its system metadata.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MemberFault {
    /// The member.
    pub identifier: Identifier,
    /// The fault, in words.
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

    /// Turns a fault of a member into a value, so that it can be collected with others.
    #[cfg(feature = "d1-client")]
    pub(crate) fn unless_of_member<T>(result: Result<T>) -> Result<Result<T>> {
        match result {
            Err(error) if !matches!(error, Self::Members { .. }) => Err(error),
            result => Ok(result),
        }
    }

    /// Returns the values of all members, or all their faults. Any other error comes first.
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
            [only] => {
                write!(formatter, "the member `{}` cannot be copied: {}", only.identifier, only.message)
            }
            all => write!(formatter, "{} members cannot be copied", all.len()),
        }
    }
}

fn of_format(format_id: Option<&str>) -> String {
    format_id.map(|format_id| format!(" (format `{format_id}`)")).unwrap_or_default()
}
