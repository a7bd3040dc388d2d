//! The error of this crate: what could not be done, and where.

use std::io;
use std::path::PathBuf;

use crate::fault::Fault;
use crate::report::Report;

/// Reports why a bag could not be read, made or repaired. Faults of a bag are not errors: they are in its [`Report`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// What it was tried on.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// An archive cannot be read at all.
    #[error("cannot read the {format} archive: {message}")]
    Archive {
        /// `tar` or `zip`.
        format: &'static str,
        /// What is wrong with it.
        message: String,
        /// Why it failed, where another library knows.
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The input holds more than a limit of [`crate::Limits`] allows.
    #[error("{what} is over the limit of {limit}")]
    Limit {
        /// What there is too much of.
        what: String,
        /// The limit.
        limit: u64,
    },
    /// The target of a new bag exists and holds something.
    #[error("{} exists and is not empty", .0.display())]
    TargetNotEmpty(PathBuf),
    /// The source is a bag already.
    #[error("{} is a bag already", .0.display())]
    AlreadyBag(PathBuf),
    /// The source of a repair is not a bag.
    #[error("{} is not a bag", .0.display())]
    NotABag(PathBuf),
    /// Files cannot go into a bag.
    #[error("{} cannot go into a bag: {}", plural(faults), first(faults))]
    Unbaggable {
        /// All of them, with the reasons.
        faults: Vec<Fault>,
    },
    /// A file changed or vanished between two looks at it.
    #[error("{} changed while it was read", .0.display())]
    Changed(PathBuf),
    /// A metadata element cannot be written.
    #[error("the metadata element `{label}` cannot be written: {reason}")]
    Tag {
        /// Its label.
        label: String,
        /// Why not.
        reason: String,
    },
    /// A bag is not valid, or not of version 1.0.
    #[error("the bag is not a valid one of version 1.0 ({} faults)", .0.errors().count())]
    NotValid(Box<Report>),
    /// A bag is not repaired, because it has faults that only its owner can judge.
    #[error("the bag has faults that cannot be repaired ({} in all)", .0.errors().count())]
    NotRepairable(Box<Report>),
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

/// Gives the result of this crate's operations.
pub type Result<T, E = Error> = std::result::Result<T, E>;
