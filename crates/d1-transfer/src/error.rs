//! What can go wrong in a transfer.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use oci_model::Digest;
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
