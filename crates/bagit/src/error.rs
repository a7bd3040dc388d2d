//! The error of this crate: the operation that failed, its target, and the reason.

use std::io;
use std::path::PathBuf;

use crate::fault::Fault;
use crate::report::Report;

/// Reports why a bag could not be read, created or repaired. Faults of a bag are not errors: they are in its [`Report`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused an operation.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// The operation, as a verb.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// An archive cannot be read at all.
    #[error("cannot read the {format} archive: {message}")]
    Archive {
        /// `tar` or `zip`.
        format: &'static str,
        /// The reason.
        message: String,
        /// The error of the library that reads the format, where it has one.
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// A file is not an archive that this crate reads.
    #[error("the file is not a zip or tar archive: it is {found}")]
    NotAnArchive {
        /// The kind of the file, such as `an HTML page that begins with …`.
        found: String,
    },
    /// The input exceeds a limit of [`crate::Limits`].
    #[error("{what} is over the limit of {limit}")]
    Limit {
        /// The quantity.
        what: String,
        /// The limit.
        limit: u64,
    },
    /// The target of a new bag exists and is not an empty directory.
    #[error("{} exists and is not empty", .0.display())]
    TargetNotEmpty(PathBuf),
    /// A directory has the name of an interrupted work on a bag, and this crate did not make it for this bag.
    #[error(
        "{} looks like an interrupted work on the bag, but was not made for this bag: move it away if it is not needed",
        .0.display()
    )]
    ForeignWork(PathBuf),
    /// The source of a new bag is a bag already.
    #[error("{} is a bag already", .0.display())]
    AlreadyBag(PathBuf),
    /// The source of a repair is not a bag.
    #[error("{} is not a bag", .0.display())]
    NotABag(PathBuf),
    /// Some files cannot go into a bag.
    #[error("{} cannot go into a bag: {}", plural(faults), first(faults))]
    Unbaggable {
        /// The files with the reasons: all of them, up to the bounds of [`crate::Faults`].
        faults: Vec<Fault>,
    },
    /// A file changed or vanished while the program worked with it.
    #[error("{} changed while it was read", .0.display())]
    Changed(PathBuf),
    /// A metadata element has a label or value that `bag-info.txt` cannot hold.
    #[error("the metadata element `{label}` cannot be written: {reason}")]
    Tag {
        /// The label.
        label: String,
        /// The reason.
        reason: String,
    },
    /// A bag is not valid, or not of version 1.0.
    #[error("the bag is not a valid bag of version 1.0 ({} faults)", .0.error_count())]
    NotValid(Box<Report>),
    /// A bag cannot be repaired, because only its owner can judge its faults.
    #[error("the bag has faults that cannot be repaired ({} in all)", .0.error_count())]
    NotRepairable(Box<Report>),
    /// The caller cancelled the work ([`crate::Progress::is_cancelled`]).
    #[error("the work was cancelled")]
    Cancelled,
}

impl Error {
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}

fn plural(faults: &[Fault]) -> String {
    if faults.len() == 1 { "a file".to_owned() } else { format!("{} files", faults.len()) }
}

fn first(faults: &[Fault]) -> String {
    faults.first().map(Fault::to_string).unwrap_or_default()
}

/// The result of the operations of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
