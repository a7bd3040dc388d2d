//! Errors of transfers.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use d1_model::Identifier;
use oci_model::Digest;
use serde::Serialize;

/// The result of a transfer.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The reason why a transfer failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store failed.
    #[error(transparent)]
    Backend(#[from] registry_backend::Error),
    /// A blob could not be stored.
    #[error("cannot store `{title}`")]
    Upload {
        /// Title of the blob.
        title: String,
        /// The cause.
        source: registry_backend::Error,
    },
    /// A bag could not be read.
    #[error(transparent)]
    BagIt(#[from] bagit::Error),
    /// A bag is not valid.
    #[error("the bag `{}` is not valid", directory.display())]
    InvalidBag {
        /// The directory of the bag.
        directory: PathBuf,
        /// All faults.
        report: Box<bagit::Report>,
    },
    /// A package could not be described, or its description is invalid.
    #[error(transparent)]
    Package(#[from] d1_package::Error),
    /// An archive layer could not be packed.
    #[error(transparent)]
    Pack(#[from] oci_pack::PackError),
    /// Content is damaged.
    #[error("{}", ContentSummary(faults))]
    Content {
        /// The faults, file by file.
        faults: Vec<ContentFault>,
    },
    /// Files have names that no file of a package may have.
    #[error("{}", NamesSummary(faults))]
    UnusableNames {
        /// The files and the reasons, at most a thousand.
        faults: Vec<ContentFault>,
    },
    /// Other files exist at the target.
    #[error("{}", HoldsSummary(paths))]
    TargetHolds {
        /// The files. None of them was changed.
        paths: Vec<PathBuf>,
    },
    /// Another process pulls the same package into the same directory.
    #[error("another process pulls the same package into `{}`", directory.display())]
    Busy {
        /// The output directory.
        directory: PathBuf,
    },
    /// The package has no such file or object.
    #[error("`{wanted}` is not in the package")]
    NotInPackage {
        /// The path, identifier or pattern without a match.
        wanted: String,
    },
    /// The file is a link in an archive and has no content of its own.
    #[error("`{path}` is a link: read its target `{target}` instead")]
    IsLink {
        /// The path.
        path: String,
        /// The target of the link: for a hard link a path in the package, for a symbolic link a path relative
        /// to its directory.
        target: String,
    },
    /// A path to push is neither a directory nor a regular file.
    #[error("`{}` is neither a directory nor a regular file", path.display())]
    NotPushable {
        /// The path.
        path: PathBuf,
    },
    /// Single files of a package without an index cannot be selected.
    #[error("cannot select single files: {digest} has no index")]
    NoIndex {
        /// The manifest.
        digest: Digest,
    },
    /// An object was withdrawn from the repository.
    #[error("`{identifier}` was withdrawn from this repository")]
    Withdrawn {
        /// The object.
        identifier: Identifier,
    },
    /// The options contradict each other.
    #[error("{reason}")]
    Options {
        /// The contradiction.
        reason: &'static str,
    },
    /// Objects that not everybody may read, and the options do not include such objects.
    #[error("{artifact} holds {objects} that not everybody may read", objects = objects(*count))]
    NotPublic {
        /// The digest of the artifact, or the directory.
        artifact: String,
        /// Number of these objects.
        count: usize,
    },
    /// Indexes or referrers nest too deep.
    #[error("{digest} is nested too deep")]
    TooDeep {
        /// The manifest at which the copy stopped.
        digest: Digest,
    },
    /// A file operation failed.
    #[error("cannot {operation} `{}`", path.display())]
    Io {
        /// The operation, as a verb.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// A fault of one file, layer or blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ContentFault {
    /// Path of the file in the package, or title or digest of the layer.
    pub path: String,
    /// The fault, in words.
    pub message: String,
}

impl Error {
    /// Returns the failure of an operation on a file, such as `read`.
    pub fn io(operation: &'static str, path: impl AsRef<Path>, source: io::Error) -> Self {
        Self::Io { operation, path: path.as_ref().to_owned(), source }
    }

    /// Returns the fault of one file or layer.
    pub fn content(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Content { faults: vec![ContentFault { path: path.into(), message: message.into() }] }
    }

    /// Returns the failure of the store, if the store is what failed.
    #[must_use]
    pub fn of_store(&self) -> Option<&registry_backend::Error> {
        match self {
            Self::Backend(error) | Self::Upload { source: error, .. } => Some(error),
            _ => None,
        }
    }
}

/// Returns an error and all its causes in one line. A cause whose text is already in the line, such as that of
/// a transparent error, is left out.
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

fn objects(count: usize) -> String {
    format!("{count} object{}", if count == 1 { "" } else { "s" })
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

struct NamesSummary<'a>(&'a [ContentFault]);

impl fmt::Display for NamesSummary<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [only] => write!(formatter, "a package cannot have the path `{}`: {}", only.path, only.message),
            all => write!(formatter, "a package cannot have the paths of {} files", all.len()),
        }
    }
}

struct HoldsSummary<'a>(&'a [PathBuf]);

impl fmt::Display for HoldsSummary<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [only] => write!(formatter, "`{}` already exists with different content", only.display()),
            [first, rest @ ..] => {
                write!(
                    formatter,
                    "`{}` and {} more already exist with different content",
                    first.display(),
                    rest.len()
                )
            }
            [] => formatter.write_str("other files exist at the target"),
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
