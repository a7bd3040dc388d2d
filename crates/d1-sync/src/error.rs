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
    /// The object was withdrawn from the repository.
    #[error("`{identifier}` was withdrawn from this repository")]
    Withdrawn {
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
#[non_exhaustive]
pub struct MemberFault {
    /// The member.
    pub identifier: Identifier,
    /// The fault, in words.
    pub message: String,
    /// The kind of fault.
    pub kind: MemberFaultKind,
}

/// The kind of a member's fault. The gravest is the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum MemberFaultKind {
    /// The node does not have it.
    NotFound,
    /// The node does not let the caller read it.
    Denied,
    /// The node or the network failed.
    Network,
    /// Its content is invalid.
    Invalid,
}

#[cfg(feature = "d1-client")]
impl MemberFault {
    /// Returns a fault of the content of a member.
    pub(crate) fn invalid(identifier: Identifier, message: impl Into<String>) -> Self {
        Self { identifier, message: message.into(), kind: MemberFaultKind::Invalid }
    }

    /// Returns the fault of a member that could not be read.
    pub(crate) fn caused_by(identifier: Identifier, error: &(dyn std::error::Error + 'static)) -> Self {
        Self { identifier, message: error.to_string(), kind: MemberFaultKind::of(error) }
    }
}

#[cfg(feature = "d1-client")]
impl MemberFaultKind {
    /// Returns the kind of the first error of a node or store among the causes.
    fn of(error: &(dyn std::error::Error + 'static)) -> Self {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<d1_client::Error>() {
                return Self::of_node(error.kind());
            }
            if let Some(error) = error.downcast_ref::<registry_backend::Error>() {
                return Self::of_stream(error.kind());
            }
            cause = error.source();
        }
        Self::Invalid
    }

    fn of_node(kind: d1_client::ErrorKind) -> Self {
        use d1_client::ErrorKind;
        match kind {
            ErrorKind::NotFound => Self::NotFound,
            ErrorKind::NotAuthorized | ErrorKind::InvalidToken => Self::Denied,
            ErrorKind::Content | ErrorKind::TooLarge => Self::Invalid,
            _ => Self::Network,
        }
    }

    fn of_stream(kind: registry_backend::ErrorKind) -> Self {
        use registry_backend::ErrorKind;
        match kind {
            ErrorKind::NotFound => Self::NotFound,
            ErrorKind::Denied => Self::Denied,
            ErrorKind::Invalid | ErrorKind::TooLarge | ErrorKind::Incomplete => Self::Invalid,
            _ => Self::Network,
        }
    }
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
        Self::Members { faults: vec![MemberFault::invalid(identifier, message)] }
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
