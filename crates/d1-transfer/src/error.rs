//! What can go wrong in a transfer.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use d1_model::Identifier;
use oci_model::{Digest, Tag};
use serde::Serialize;

/// The result of a transfer.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A transfer that did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store failed.
    #[error(transparent)]
    Backend(#[from] registry_backend::Error),
    /// A blob could not be stored.
    #[error("cannot store `{title}`")]
    Upload {
        /// What the blob is known by.
        title: String,
        /// Why not.
        source: registry_backend::Error,
    },
    /// A bag could not be read.
    #[error(transparent)]
    BagIt(#[from] bagit::Error),
    /// A bag breaks the rules.
    #[error("the bag `{}` is not valid", directory.display())]
    InvalidBag {
        /// Where it is.
        directory: PathBuf,
        /// Everything that is wrong with it.
        report: Box<bagit::Report>,
    },
    /// A package could not be described, or its description is wrong.
    #[error(transparent)]
    Package(#[from] d1_package::Error),
    /// An archive layer could not be made.
    #[error(transparent)]
    Pack(#[from] oci_pack::PackError),
    /// Content that was received is not what it should be.
    #[error("{}", ContentSummary(faults))]
    Content {
        /// What is wrong, file by file.
        faults: Vec<ContentFault>,
    },
    /// Files stand where the package's files should go.
    #[error("{}", HoldsSummary(paths))]
    TargetHolds {
        /// The files, none of which was touched.
        paths: Vec<PathBuf>,
    },
    /// Another process pulls the same into the same directory.
    #[error("another process pulls the same package into `{}`", directory.display())]
    Busy {
        /// The output directory.
        directory: PathBuf,
    },
    /// The package has no such file or object.
    #[error("`{wanted}` is not in the package")]
    NotInPackage {
        /// The path, identifier or pattern that nothing matches.
        wanted: String,
    },
    /// Nothing in the repository has this identifier.
    #[error("nothing in {place} has the identifier `{identifier}`")]
    NotInRepository {
        /// The identifier.
        identifier: Identifier,
        /// The repository.
        place: String,
    },
    /// Several artifacts have one identifier, and none is a version of the others.
    #[error("`{identifier}` stands for {} artifacts", candidates.len())]
    Ambiguous {
        /// The identifier.
        identifier: Identifier,
        /// Tag, digest and identifier of each.
        candidates: Vec<String>,
    },
    /// The artifact states no identifier, so it is no version of anything.
    #[error("{digest} states no DataONE identifier")]
    NoIdentifier {
        /// The manifest.
        digest: Digest,
    },
    /// The file is a link in an archive, which has no content of its own.
    #[error("`{path}` is a link to `{target}`: read that instead")]
    IsLink {
        /// The path.
        path: String,
        /// Where it leads: for a hard link a path in the package, for a symbolic link a path as seen from its directory.
        target: String,
    },
    /// What is to be pushed is neither a directory nor a regular file.
    #[error("`{}` is neither a directory nor a regular file", path.display())]
    NotPushable {
        /// The path.
        path: PathBuf,
    },
    /// Files of a package without an index cannot be selected.
    #[error("{digest} has no index, so single files of its archives cannot be selected")]
    NoIndex {
        /// The manifest.
        digest: Digest,
    },
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
    /// The options contradict each other.
    #[error("{reason}")]
    Options {
        /// Which, and why.
        reason: &'static str,
    },
    /// A package nests deeper than is followed.
    #[error("{digest} is nested deeper than is followed")]
    TooDeep {
        /// The manifest at which copying stopped.
        digest: Digest,
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
    /// A file operation failed.
    #[error("cannot {operation} `{}`", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Something wrong with one file, layer or blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ContentFault {
    /// Path of the file in the package, or title or digest of the layer.
    pub path: String,
    /// What is wrong with it, in words.
    pub message: String,
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
    pub(crate) fn io(operation: &'static str, path: impl AsRef<Path>, source: io::Error) -> Self {
        Self::Io { operation, path: path.as_ref().to_owned(), source }
    }

    pub(crate) fn content(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Content { faults: vec![ContentFault { path: path.into(), message: message.into() }] }
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

/// Returns an error and all its causes in one line, for reports that have one line for each failure. A cause whose words
/// stand there already, as those of transparent errors do, is left out.
#[must_use]
pub fn with_causes(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let next = inner.to_string();
        if !text.contains(&next) {
            text += ": ";
            text += &next;
        }
        cause = inner.source();
    }
    text
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

struct ContentSummary<'a>(&'a [ContentFault]);

impl fmt::Display for ContentSummary<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [only] => write!(formatter, "`{}` is damaged: {}", only.path, only.message),
            all => write!(formatter, "{} files or layers are damaged", all.len()),
        }
    }
}

struct HoldsSummary<'a>(&'a [PathBuf]);

impl fmt::Display for HoldsSummary<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [only] => write!(formatter, "`{}` is there already and is something else", only.display()),
            [first, rest @ ..] => {
                write!(
                    formatter,
                    "`{}` and {} more are there already and are something else",
                    first.display(),
                    rest.len()
                )
            }
            [] => formatter.write_str("the target holds other files"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_stand_in_one_line_and_once() {
        let cause = io::Error::other("no space");
        let transparent = Error::Backend(registry_backend::Error::io("write", "blob", cause));
        assert_eq!(with_causes(&transparent), format!("{transparent}: no space"));
        let upload = Error::Upload {
            title: "a.csv".to_owned(),
            source: registry_backend::Error::io("write", "blob", io::Error::other("no space")),
        };
        let text = with_causes(&upload);
        assert!(
            text.starts_with("cannot store `a.csv`: cannot write blob") && text.ends_with("no space"),
            "{text}"
        );
    }
}
