//! Failures as people see them: `error`, what is wrong in detail, `caused by`, `hint`, and an exit code.

use std::error::Error;
use std::fmt;
use std::io;
use std::process::ExitCode;

use d1_catalog::Error as CatalogError;
use d1_sync::Error as SyncError;
use d1_transfer::Error as TransferError;
use registry_backend::{Error as BackendError, ErrorKind, Retry};

/// What the exit code of the program tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExitStatus {
    /// Content is invalid: a bag, a package, a digest.
    Invalid = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// What was named is not there.
    NotFound = 3,
    /// The caller may not do this.
    Denied = 4,
    /// The network or the registry failed.
    Network = 5,
    /// A local file could not be read or written.
    LocalIo = 6,
}

/// A command that did not succeed.
#[derive(Debug)]
pub(crate) struct Failure {
    status: ExitStatus,
    error: Box<dyn Error + Send + Sync>,
    details: Vec<String>,
    hints: Vec<String>,
}

/// How many single faults are listed; JSON output has them all.
const DETAILS_SHOWN: usize = 50;

impl Failure {
    /// Returns a failure with this exit status.
    pub(crate) fn new(status: ExitStatus, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { status, error: error.into(), details: Vec::new(), hints: Vec::new() }
    }

    /// Returns a failure of the caller's own making.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(ExitStatus::Usage, message.into())
    }

    /// Returns the failure to write to standard output.
    pub(crate) fn output(error: io::Error) -> Self {
        Self::new(ExitStatus::LocalIo, error)
    }

    /// Returns the failure to read from standard input.
    #[cfg(feature = "d1-client")]
    pub(crate) fn input(error: io::Error) -> Self {
        Self::new(
            ExitStatus::LocalIo,
            FileError { message: "cannot read standard input".to_owned(), source: error },
        )
    }

    /// Returns the failure to do something with a local file.
    pub(crate) fn file(operation: &str, path: &std::path::Path, error: io::Error) -> Self {
        Self::new(
            ExitStatus::LocalIo,
            FileError { message: format!("cannot {operation} `{}`", path.display()), source: error },
        )
    }

    /// Returns the failure with advice.
    #[must_use]
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    #[must_use]
    fn with_hints(mut self, hints: Option<&str>) -> Self {
        self.hints.extend(hints.map(str::to_owned));
        self
    }

    /// Returns the failure with single faults, one a line.
    #[must_use]
    pub(crate) fn with_details(mut self, details: impl IntoIterator<Item = String>) -> Self {
        self.details.extend(details);
        self
    }

    /// Returns the exit status.
    pub(crate) fn status(&self) -> ExitStatus {
        self.status
    }

    /// Tells whether the reader of standard output has gone away, which is no failure of ours.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        let mut cause: Option<&(dyn Error + 'static)> = Some(self.error.as_ref());
        while let Some(error) = cause {
            if error
                .downcast_ref::<io::Error>()
                .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
            {
                return true;
            }
            cause = error.source();
        }
        false
    }
}

#[derive(Debug)]
struct FileError {
    message: String,
    source: io::Error,
}

impl fmt::Display for FileError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl Error for FileError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "error: {}", self.error)?;
        for detail in self.details.iter().take(DETAILS_SHOWN) {
            write!(formatter, "\n  {detail}")?;
        }
        if let Some(more) = self.details.len().checked_sub(DETAILS_SHOWN).filter(|more| *more > 0) {
            write!(formatter, "\n  … and {more} more (`--format json` lists all)")?;
        }
        let mut cause = self.error.source();
        let mut last = self.error.to_string();
        while let Some(error) = cause {
            let text = error.to_string();
            // Transparent wrappers repeat their cause's text.
            if text != last {
                write!(formatter, "\ncaused by: {text}")?;
            }
            last = text;
            cause = error.source();
        }
        for hint in &self.hints {
            write!(formatter, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status as u8)
    }
}

impl From<BackendError> for Failure {
    fn from(error: BackendError) -> Self {
        let status = backend_status(&error);
        let hint = backend_hint(&error);
        let failure = Self::new(status, error);
        match hint {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        }
    }
}

/// Returns the exit status for a backend's failure.
pub(crate) fn backend_status(error: &BackendError) -> ExitStatus {
    match error.kind() {
        ErrorKind::NotFound => ExitStatus::NotFound,
        ErrorKind::Denied => ExitStatus::Denied,
        ErrorKind::Invalid | ErrorKind::Incomplete | ErrorKind::TooLarge => ExitStatus::Invalid,
        ErrorKind::Unsupported => ExitStatus::Usage,
        ErrorKind::Io | ErrorKind::Conflict => ExitStatus::LocalIo,
        _ => ExitStatus::Network,
    }
}

fn backend_hint(error: &BackendError) -> Option<&'static str> {
    match error.kind() {
        ErrorKind::NotFound if error.operation() == "open" => {
            Some("`d1oci push` makes a layout where there is none")
        }
        ErrorKind::NotFound => Some("`d1oci tags REPOSITORY` lists the tags that are there"),
        ErrorKind::Incomplete => Some("run the same push again: it sends what is missing"),
        ErrorKind::Conflict => Some("wait for the other process to end, then run the same command again"),
        ErrorKind::Denied if !is_local(error) => Some(
            "`d1oci login HOST` logs in; docs/configuration.md lists where else credentials are looked for",
        ),
        ErrorKind::Unavailable | ErrorKind::RateLimited if error.retry() != Retry::No => {
            Some("run the same command again later: only what is missing will be moved")
        }
        _ => None,
    }
}

/// Tells whether the operating system is behind a failure, not a registry.
fn is_local(error: &BackendError) -> bool {
    error.source().is_some_and(|source| source.is::<io::Error>())
}

impl From<TransferError> for Failure {
    fn from(error: TransferError) -> Self {
        if let TransferError::Backend(error) = error {
            return error.into();
        }
        let (status, details, hint) =
            (transfer_status(&error), transfer_details(&error), transfer_hint(&error));
        Self::new(status, error).with_details(details).with_hints(hint)
    }
}

impl From<SyncError> for Failure {
    fn from(error: SyncError) -> Self {
        if let SyncError::Transfer(error) = error {
            return error.into();
        }
        let (status, details, hint) = (sync_status(&error), sync_details(&error), sync_hint(&error));
        Self::new(status, error).with_details(details).with_hints(hint)
    }
}

impl From<CatalogError> for Failure {
    fn from(error: CatalogError) -> Self {
        let (status, details, hint) = match &error {
            CatalogError::NotInRepository { .. } => (
                ExitStatus::NotFound,
                Vec::new(),
                Some("only artifacts with a tag are found; `d1oci find REPOSITORY` lists them"),
            ),
            CatalogError::Ambiguous { candidates, .. } => (
                ExitStatus::Usage,
                candidates.clone(),
                Some("name one of them: `REPOSITORY:TAG` or `REPOSITORY@DIGEST`"),
            ),
            _ => (ExitStatus::Invalid, Vec::new(), None),
        };
        match error {
            CatalogError::Transfer(error) => error.into(),
            error => Self::new(status, error).with_details(details).with_hints(hint),
        }
    }
}

fn transfer_status(error: &TransferError) -> ExitStatus {
    match error {
        TransferError::Backend(error) => backend_status(error),
        TransferError::Upload { source, .. } => backend_status(source),
        TransferError::BagIt(error) => bag_status(error),
        TransferError::NotInPackage { .. } => ExitStatus::NotFound,
        TransferError::NotPushable { .. } => ExitStatus::Usage,
        TransferError::TargetHolds { .. } | TransferError::Busy { .. } | TransferError::Io { .. } => {
            ExitStatus::LocalIo
        }
        _ => ExitStatus::Invalid,
    }
}

fn transfer_details(error: &TransferError) -> Vec<String> {
    match error {
        TransferError::InvalidBag { report, .. } => {
            report.errors().map(crate::commands::bag::fault_line).collect()
        }
        TransferError::Content { faults } if faults.len() > 1 => {
            faults.iter().map(|fault| format!("{}: {}", fault.path, fault.message)).collect()
        }
        TransferError::TargetHolds { paths } if paths.len() > 1 => {
            paths.iter().map(|path| path.display().to_string()).collect()
        }
        _ => Vec::new(),
    }
}

fn transfer_hint(error: &TransferError) -> Option<&'static str> {
    match error {
        TransferError::InvalidBag { .. } => Some(
            "`d1oci bag validate` explains the faults, `d1oci bag repair` fixes those of DataONE's own tools, and \
             `--no-verify` pushes the directory as it is",
        ),
        TransferError::TargetHolds { .. } => {
            Some("choose another directory with `-o`, or replace the files with `--overwrite`")
        }
        TransferError::Busy { .. } => {
            Some("wait for the other process to end, or choose another directory with `-o`")
        }
        TransferError::NotInPackage { .. } => Some("`d1oci ls REFERENCE` lists the files of the package"),
        TransferError::Upload { source, .. } => backend_hint(source),
        _ => None,
    }
}

fn sync_status(error: &SyncError) -> ExitStatus {
    match error {
        SyncError::NoPackage { .. } => ExitStatus::NotFound,
        SyncError::NotPublic { .. } => ExitStatus::Denied,
        #[cfg(feature = "d1-client")]
        SyncError::Node(error) => crate::nodes::status(error),
        SyncError::SeveralPackages { .. } | SyncError::Journal { .. } => ExitStatus::Usage,
        SyncError::TargetExists { .. } => ExitStatus::LocalIo,
        _ => ExitStatus::Invalid,
    }
}

fn sync_details(error: &SyncError) -> Vec<String> {
    match error {
        SyncError::Members { faults } if faults.len() > 1 => {
            faults.iter().map(|fault| format!("{}: {}", fault.identifier, fault.message)).collect()
        }
        SyncError::SeveralPackages { resource_maps, .. } => {
            resource_maps.iter().map(ToString::to_string).collect()
        }
        _ => Vec::new(),
    }
}

fn sync_hint(error: &SyncError) -> Option<&'static str> {
    match error {
        SyncError::TargetExists { .. } => Some("choose another place with `-o`; nothing is overwritten"),
        SyncError::OtherIdentifier { .. } => {
            Some("leave `--id` out, or give the system metadata of this object")
        }
        SyncError::TagTaken { .. } => {
            Some("`d1oci inspect` shows what that is; `REPOSITORY:TAG` gives the object another tag")
        }
        SyncError::NotAHashStore { .. } => {
            Some("name the directory that holds `hashstore.yaml`, `objects`, `refs` and `metadata`")
        }
        SyncError::SeveralPackages { .. } => Some("name the resource map of the package that you want"),
        SyncError::NotPublic { .. } => {
            Some("`--include-private` takes it all the same, where you may read it and may keep it")
        }
        SyncError::Members { .. } => Some(
            "run the same command again: only what is missing is read; `--skip-missing` leaves out members that no node has",
        ),
        SyncError::Journal { .. } => Some("name another file with `--journal`"),
        #[cfg(feature = "d1-client")]
        SyncError::Node(error) => crate::nodes::hint(error),
        _ => None,
    }
}

/// Returns the exit status for a bag that could not be read.
fn bag_status(error: &bagit::Error) -> ExitStatus {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<io::Error>() {
            return ExitStatus::LocalIo;
        }
        cause = error.source();
    }
    ExitStatus::Invalid
}

impl From<bagit::Error> for Failure {
    fn from(error: bagit::Error) -> Self {
        Self::new(bag_status(&error), error)
    }
}
