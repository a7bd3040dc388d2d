//! Failures as people and programs see them: the error, its details and causes, a hint, and an exit code.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use d1_catalog::Error as CatalogError;
use d1_sync::{Error as SyncError, MemberFault, MemberFaultKind};
use d1_transfer::Error as TransferError;
use oci_model::{Location, Reference};
use registry_backend::{Error as BackendError, ErrorKind, Retry};
use serde::Serialize;

use crate::typed::Typed;

/// The exit codes of the program, except 0 and those of signals (docs/exit-codes.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum ExitStatus {
    /// Content is invalid: a bag, a package, a digest.
    Invalid = 1,
    /// The command line or the configuration makes no sense.
    Usage = 2,
    /// A named thing does not exist.
    NotFound = 3,
    /// The caller lacks the right.
    Denied = 4,
    /// The network, a registry or a node failed.
    Network = 5,
    /// The operating system refused an operation on a local file.
    LocalIo = 6,
    /// SIGINT stopped the command.
    Interrupted = 130,
    /// SIGTERM stopped the command.
    Terminated = 143,
}

/// A command that did not succeed.
#[derive(Debug)]
pub(crate) struct Failure {
    status: ExitStatus,
    error: Box<dyn Error + Send + Sync>,
    details: Vec<String>,
    hints: Vec<String>,
    stdout_closed: bool,
}

/// A failure as JSON.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    level: Option<&'static str>,
    error: Body<'a>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    kind: ExitStatus,
    exit_code: u8,
    message: String,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    details: &'a [String],
    causes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

/// The number of details in text; JSON has them all.
const DETAILS_SHOWN: usize = 50;

impl Failure {
    /// Returns a failure with this exit status.
    pub(crate) fn new(status: ExitStatus, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let error = error.into();
        let status = match status {
            // A local file can be the cause of an error about content.
            ExitStatus::Invalid if comes_from_system(error.as_ref()) => ExitStatus::LocalIo,
            status => status,
        };
        Self { status, error, details: Vec::new(), hints: Vec::new(), stdout_closed: false }
    }

    /// Returns a failure of the caller's own making.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(ExitStatus::Usage, message.into())
    }

    /// Returns the failure to write to standard output.
    pub(crate) fn output(error: io::Error) -> Self {
        let stdout_closed = error.kind() == io::ErrorKind::BrokenPipe;
        let error = FileError { message: "cannot write to standard output".to_owned(), source: error };
        Self { stdout_closed, ..Self::new(ExitStatus::LocalIo, error) }
    }

    /// Returns the failure to read from standard input.
    pub(crate) fn input(error: io::Error) -> Self {
        let message = "cannot read standard input".to_owned();
        Self::new(ExitStatus::LocalIo, FileError { message, source: error })
    }

    /// Returns the failure of an operation on a local file.
    pub(crate) fn file(operation: &str, path: &Path, error: io::Error) -> Self {
        let message = format!("cannot {operation} `{}`", path.display());
        Self::new(ExitStatus::LocalIo, FileError { message, source: error })
    }

    /// Returns the failure with advice.
    #[must_use]
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Returns the failure with advice, if there is any.
    #[must_use]
    fn with_hints(mut self, hint: Option<&'static str>) -> Self {
        self.hints.extend(hint.map(str::to_owned));
        self
    }

    /// Returns the failure with this advice in place of general advice.
    #[must_use]
    pub(crate) fn advising(mut self, hint: impl Into<String>) -> Self {
        self.hints = vec![hint.into()];
        self
    }

    /// Returns the failure with the words of the user in its advice.
    #[must_use]
    pub(crate) fn in_words_of(mut self, typed: &Typed) -> Self {
        self.hints.iter_mut().for_each(|hint| *hint = typed.put_into(hint));
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

    /// Tells whether the reader of standard output has gone away, which is not a failure of the program.
    pub(crate) fn is_closed_stdout(&self) -> bool {
        self.stdout_closed
    }

    /// Returns the failure as lines of text.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("error: {}", self.error)];
        lines.extend(self.details.iter().take(DETAILS_SHOWN).map(|detail| format!("  {detail}")));
        if let Some(more) = self.details.len().checked_sub(DETAILS_SHOWN).filter(|more| *more > 0) {
            lines.push(format!("  … and {more} more (`--format json` lists all)"));
        }
        lines.extend(self.causes().into_iter().map(|cause| format!("caused by: {cause}")));
        lines.extend(self.hints.iter().map(|hint| format!("hint: {hint}")));
        lines
    }

    /// Returns the failure as one line of JSON. In a log, it has the time.
    pub(crate) fn json_at(&self, log_time: Option<String>) -> String {
        let body = Body {
            kind: self.status,
            exit_code: self.status as u8,
            message: self.error.to_string(),
            details: &self.details,
            causes: self.causes(),
            hint: (!self.hints.is_empty()).then(|| self.hints.join("; ")),
        };
        // Texts and lists of texts always have a form in JSON.
        let level = log_time.as_ref().map(|_| "error");
        serde_json::to_string(&Document { time: log_time, level, error: body }).unwrap_or_default()
    }

    /// Returns the causes, without those that repeat the text before, as causes of transparent wrappers do, and without the
    /// layers of the HTTP library.
    fn causes(&self) -> Vec<String> {
        let mut causes = Vec::new();
        let mut last = self.error.to_string();
        let mut cause = self.error.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if text != last && !names_a_layer(&text) {
                causes.push(text.clone());
            }
            last = text;
            cause = error.source();
        }
        causes
    }
}

/// Tells whether the HTTP library names one of its own layers. They tell a user nothing, and which of them are there depends on
/// timing.
fn names_a_layer(cause: &str) -> bool {
    cause.starts_with("client error (") || matches!(cause, "operation was canceled" | "connection error")
}

/// Tells whether the operating system, not a decoder, reported an error in the chain of causes.
fn comes_from_system(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.downcast_ref::<io::Error>().is_some_and(|error| error.raw_os_error().is_some()) {
            return true;
        }
        next = error.source();
    }
    false
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
        formatter.write_str(&self.lines().join("\n"))
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status as u8)
    }
}

/// Returns the option that answers a mistake with TLS.
#[cfg(feature = "distribution-client")]
pub(crate) fn tls_hint(error: &(dyn Error + 'static)) -> Option<&'static str> {
    use distribution_client::{TlsError, TlsFault};
    let causes = std::iter::successors(Some(error), |error: &&(dyn Error + 'static)| (*error).source());
    let fault = causes.filter_map(|error| error.downcast_ref::<TlsError>()).map(|error| error.fault).next();
    // Servers with TLS answer plain HTTP in words of their own: those of Go's library, and of nginx and Apache.
    let said = error.to_string();
    let wants_tls = [
        "HTTP request to an HTTPS server",
        "plain HTTP request was sent to HTTPS port",
        "speaking plain HTTP to an SSL",
    ];
    let fault =
        fault.or_else(|| wants_tls.iter().any(|words| said.contains(words)).then_some(TlsFault::NotHttp));
    match fault? {
        TlsFault::NoTls => Some("`--plain-http` talks to a registry without TLS"),
        TlsFault::NotHttp => Some("`--plain-http=false` talks to a registry with TLS on this machine"),
        TlsFault::UnknownAuthority => {
            Some("`--ca-file` names the file of the authority that signed the certificate, as PEM")
        }
        TlsFault::OtherName => Some("name the registry by a name that its certificate has"),
        TlsFault::Expired => {
            Some("check the clock of this machine; otherwise the registry needs a new certificate")
        }
        TlsFault::ClientCertificate => {
            Some("`--cert-file` and `--key-file` name your certificate and its key")
        }
        _ => None,
    }
}

#[cfg(not(feature = "distribution-client"))]
fn tls_hint(_: &(dyn Error + 'static)) -> Option<&'static str> {
    None
}

impl From<BackendError> for Failure {
    fn from(error: BackendError) -> Self {
        let status = backend_status(&error);
        let hint = tls_hint(&error).or_else(|| backend_hint(&error));
        let hint = hint.map(|hint| in_words_of(error.target(), hint));
        let failure = Self::new(status, error);
        hint.into_iter().fold(failure, Self::with_hint)
    }
}

/// Returns advice about the target of an operation, such as `sha256:… in quay.io/a/b`, with its repository and its host.
fn in_words_of(target: &str, advice: &str) -> String {
    let place = target.rsplit(" in ").next().unwrap_or_default();
    let login = host_of(place).map_or("login".to_owned(), |host| format!("login {host}"));
    let advice = advice.replace("login HOST", &login);
    match place.parse::<Reference>().map(|reference| reference.location) {
        Ok(Location::Other { .. }) | Err(_) => advice,
        Ok(location) => advice.replace("REPOSITORY", &location.to_string()),
    }
}

/// Returns the host of the registry at a place.
fn host_of(place: &str) -> Option<&str> {
    let host = place.split('/').next()?;
    let is_host = host.contains('.') || host.starts_with("localhost");
    (is_host && !host.contains([' ', '@'])).then_some(host)
}

/// Returns the exit status for a backend's failure.
pub(crate) fn backend_status(error: &BackendError) -> ExitStatus {
    let reads = error.operation().starts_with("read") || error.operation().starts_with("verify");
    match error.kind() {
        // An artifact names the blob, so the repository has lost content.
        ErrorKind::NotFound if error.operation() == "read blob" => ExitStatus::Invalid,
        ErrorKind::NotFound => ExitStatus::NotFound,
        ErrorKind::Denied if comes_from_system(error) => ExitStatus::LocalIo,
        ErrorKind::Denied => ExitStatus::Denied,
        ErrorKind::Invalid if error.operation().starts_with("use the settings") => ExitStatus::Usage,
        ErrorKind::Invalid | ErrorKind::Incomplete => ExitStatus::Invalid,
        // Content that is larger than its description allows, or more than the store accepts.
        ErrorKind::TooLarge if reads => ExitStatus::Invalid,
        ErrorKind::Unsupported if error.operation() == "open" => ExitStatus::Usage,
        ErrorKind::Io => ExitStatus::LocalIo,
        ErrorKind::Conflict if error.operation().starts_with("lock") => ExitStatus::LocalIo,
        _ => ExitStatus::Network,
    }
}

fn backend_hint(error: &BackendError) -> Option<&'static str> {
    match error.kind() {
        ErrorKind::NotFound if error.operation() == "open" => {
            Some("`d1oci push` creates a layout where none exists, in a bucket that exists")
        }
        ErrorKind::NotFound if error.operation().starts_with("list") => None,
        ErrorKind::NotFound if error.operation() == "read blob" => Some(
            "the repository has lost the blob: `d1oci repair REPOSITORY`, with a replica behind `--from`, brings it back",
        ),
        ErrorKind::NotFound => Some("`d1oci tags REPOSITORY` lists the tags"),
        ErrorKind::Incomplete => Some("run the same push again: it sends the missing content"),
        ErrorKind::Conflict => Some("wait for the other process to end, then run the same command again"),
        // Buckets have no logins.
        ErrorKind::Denied if error.to_string().contains("docs/buckets.md") => None,
        ErrorKind::Denied if !comes_from_system(error) => {
            Some("`d1oci login HOST` logs in; docs/configuration.md lists the other places of credentials")
        }
        ErrorKind::Unavailable | ErrorKind::RateLimited if error.retry() != Retry::No => {
            Some("run the same command again later: it moves only the missing content")
        }
        _ => None,
    }
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
            CatalogError::OtherArtifact { .. } => (
                ExitStatus::NotFound,
                Vec::new(),
                Some("leave the tag out to search the repository for the identifier"),
            ),
            CatalogError::Ambiguous { candidates, .. } => (
                ExitStatus::Usage,
                candidates.clone(),
                Some("name one of them behind `REPOSITORY`, by its tag or digest"),
            ),
            other => {
                let (status, hint) = catalog_status(other);
                (status, Vec::new(), hint)
            }
        };
        match error {
            CatalogError::Transfer(error) => error.into(),
            error => Self::new(status, error).with_details(details).with_hints(hint),
        }
    }
}

/// The advice for content that was withdrawn from the target.
pub(crate) const WITHDRAWN_HINT: &str =
    "`d1oci inspect --id` shows the tombstone; `--include-withdrawn` stores the object nevertheless";

/// Returns the exit status for a catalogue that cannot be used, and advice.
fn catalog_status(error: &CatalogError) -> (ExitStatus, Option<&'static str>) {
    match error {
        CatalogError::NotACatalog { .. } => (ExitStatus::Usage, Some("name another file with `--catalog`")),
        CatalogError::Newer { .. } => {
            (ExitStatus::Usage, Some("use the newer d1oci, or name another file with `--catalog`"))
        }
        CatalogError::Damaged { .. } => {
            (ExitStatus::Invalid, Some("delete the file; `d1oci catalog update` builds it again"))
        }
        CatalogError::Catalog { is_busy: true, .. } => {
            (ExitStatus::LocalIo, Some("another d1oci uses the catalogue: try again later"))
        }
        CatalogError::Catalog { .. } => (ExitStatus::LocalIo, None),
        CatalogError::NeedsCatalog => {
            (ExitStatus::Usage, Some("`d1oci catalog update REPOSITORY` builds one"))
        }
        _ => (ExitStatus::Invalid, None),
    }
}

/// Returns the exit status for the failure of a transfer.
pub(crate) fn transfer_status(error: &TransferError) -> ExitStatus {
    match error {
        TransferError::Backend(error) => backend_status(error),
        TransferError::Upload { source, .. } => backend_status(source),
        TransferError::NotInPackage { .. } => ExitStatus::NotFound,
        TransferError::NotPublic { .. } => ExitStatus::Denied,
        TransferError::NotPushable { .. } | TransferError::Options { .. } => ExitStatus::Usage,
        TransferError::Withdrawn { .. } => ExitStatus::Denied,
        TransferError::Package(error) if error.kind() == d1_package::ErrorKind::Range => ExitStatus::Usage,
        TransferError::TargetHolds { .. } | TransferError::Busy { .. } | TransferError::Io { .. } => {
            ExitStatus::LocalIo
        }
        _ => ExitStatus::Invalid,
    }
}

fn transfer_details(error: &TransferError) -> Vec<String> {
    match error {
        TransferError::InvalidBag { report, .. } => report.errors().map(ToString::to_string).collect(),
        TransferError::Content { faults } | TransferError::UnusableNames { faults } if faults.len() > 1 => {
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
            "`d1oci bag validate` explains the faults; `d1oci bag repair` fixes those of DataONE's own tools; \
             `--no-verify` pushes the directory as it is",
        ),
        TransferError::TargetHolds { .. } => Some(
            "choose another directory with `-o`, or replace the files with `--overwrite`, which leaves devices and FIFOs alone",
        ),
        TransferError::UnusableNames { .. } => Some(
            "`push --bag` stores the directory as the payload of a bag, where such names are below `data/`",
        ),
        TransferError::Busy { .. } => {
            Some("wait for the other process to end, or choose another directory with `-o`")
        }
        TransferError::Withdrawn { .. } => Some(WITHDRAWN_HINT),
        TransferError::NotInPackage { .. } => Some("`d1oci ls REFERENCE` lists the files of the package"),
        TransferError::NotPublic { .. } => {
            Some("`--include-private` includes them, if the readers of the target may read them")
        }
        TransferError::Upload { source, .. } => backend_hint(source),
        _ => None,
    }
}

/// Returns the exit status for the failure of a replication, an import or an export.
pub(crate) fn sync_status(error: &SyncError) -> ExitStatus {
    match error {
        SyncError::Transfer(error) => transfer_status(error),
        SyncError::NoPackage { .. } => ExitStatus::NotFound,
        SyncError::NotPublic { .. } | SyncError::Withdrawn { .. } => ExitStatus::Denied,
        #[cfg(feature = "d1-client")]
        SyncError::Node(error) => node_status(error),
        SyncError::Members { faults } => members_status(faults),
        SyncError::SeveralPackages { .. } | SyncError::Journal { .. } => ExitStatus::Usage,
        SyncError::TargetExists { .. } => ExitStatus::LocalIo,
        _ => ExitStatus::Invalid,
    }
}

/// Returns the exit status for the gravest fault of a member.
fn members_status(faults: &[MemberFault]) -> ExitStatus {
    match faults.iter().map(|fault| fault.kind).max() {
        Some(MemberFaultKind::NotFound) => ExitStatus::NotFound,
        Some(MemberFaultKind::Denied) => ExitStatus::Denied,
        Some(MemberFaultKind::Network) => ExitStatus::Network,
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
        SyncError::TagTaken { .. } => Some(
            "`d1oci inspect` shows that artifact; another tag behind `REPOSITORY` stores the object beside it",
        ),
        SyncError::NotAHashStore { .. } => {
            Some("name the directory that holds `hashstore.yaml`, `objects`, `refs` and `metadata`")
        }
        SyncError::SeveralPackages { .. } => Some("name the resource map of the package that you want"),
        SyncError::Withdrawn { .. } => Some(WITHDRAWN_HINT),
        SyncError::NotPublic { .. } => {
            Some("`--include-private` includes it, if you may read it and keep it")
        }
        SyncError::Members { .. } => Some(
            "run the same command again: it reads only the missing members; `--skip-missing` leaves out members that no \
             node has",
        ),
        SyncError::Journal { .. } => Some("name another file with `--journal`"),
        #[cfg(feature = "d1-client")]
        SyncError::Node(error) => node_hint(error),
        _ => None,
    }
}

/// Returns the exit status for a node's failure.
#[cfg(feature = "d1-client")]
fn node_status(error: &d1_client::Error) -> ExitStatus {
    use d1_client::ErrorKind;
    match error.kind() {
        ErrorKind::NotFound => ExitStatus::NotFound,
        ErrorKind::NotAuthorized | ErrorKind::InvalidToken => ExitStatus::Denied,
        ErrorKind::Settings | ErrorKind::InvalidRequest => ExitStatus::Usage,
        ErrorKind::Content => ExitStatus::Invalid,
        _ => ExitStatus::Network,
    }
}

#[cfg(feature = "d1-client")]
fn node_hint(error: &d1_client::Error) -> Option<&'static str> {
    use d1_client::ErrorKind;
    match error.kind() {
        ErrorKind::NotAuthorized | ErrorKind::InvalidToken => Some(
            "private content needs a token: in a file that `--token-file` names, or in the variable `D1OCI_DATAONE_TOKEN`",
        ),
        ErrorKind::NotImplemented => Some("name the resource map of the package, or ask another node"),
        ErrorKind::Unavailable | ErrorKind::RateLimited if error.retry() != d1_client::Retry::No => {
            Some("run the same command again later: it moves only the missing content")
        }
        _ => None,
    }
}

impl From<bagit::Error> for Failure {
    fn from(error: bagit::Error) -> Self {
        let status = match &error {
            bagit::Error::TargetNotEmpty(_) | bagit::Error::ForeignWork(_) => ExitStatus::LocalIo,
            _ => ExitStatus::Invalid,
        };
        Self::new(status, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transfer(error: TransferError) -> u8 {
        Failure::from(error).status() as u8
    }

    #[test]
    fn a_system_error_behind_content_is_local_io() {
        let full = || io::Error::from_raw_os_error(28);
        let corrupt = || io::Error::new(io::ErrorKind::InvalidData, "corrupt deflate stream");
        let bag = |source| bagit::Error::Io { action: "read", path: "a.tar.gz".into(), source };
        assert_eq!(Failure::from(bag(full())).status(), ExitStatus::LocalIo);
        assert_eq!(Failure::from(bag(corrupt())).status(), ExitStatus::Invalid);
        assert_eq!(transfer(TransferError::BagIt(bag(full()))), 6);
        assert_eq!(transfer(TransferError::BagIt(bag(corrupt()))), 1);
    }

    #[test]
    fn layers_of_the_http_library_are_not_causes() {
        let cause = io::Error::other("client error (Canceled)");
        let failure =
            Failure::from(BackendError::new(ErrorKind::Unavailable, "list tags", "x").caused_by(cause));
        assert_eq!(failure.causes(), [""; 0]);
        assert!(["operation was canceled", "connection error"].into_iter().all(names_a_layer));
        assert!(!names_a_layer("error sending request") && !names_a_layer("connection error: reset"));
    }

    #[test]
    fn only_a_closed_standard_output_counts_as_closed() {
        let pipe = || io::Error::from(io::ErrorKind::BrokenPipe);
        assert!(Failure::output(pipe()).is_closed_stdout());
        let network = BackendError::new(ErrorKind::Unavailable, "write blob", "x").caused_by(pipe());
        assert!(!Failure::from(network).is_closed_stdout());
        assert!(!Failure::file("write", Path::new("pipe"), pipe()).is_closed_stdout());
    }

    #[test]
    fn backend_errors_have_the_documented_codes() {
        let denied = io::Error::from_raw_os_error(13);
        for (error, code) in [
            (BackendError::new(ErrorKind::TooLarge, "write blob", "x"), 5),
            (BackendError::new(ErrorKind::TooLarge, "read manifest", "x"), 1),
            (BackendError::new(ErrorKind::Unsupported, "delete tag", "x"), 5),
            (BackendError::new(ErrorKind::Unsupported, "open", "x"), 2),
            (BackendError::new(ErrorKind::Denied, "open", "x").caused_by(denied), 6),
            (BackendError::new(ErrorKind::Denied, "open", "x"), 4),
            (BackendError::new(ErrorKind::Conflict, "attach to", "x"), 5),
            (BackendError::new(ErrorKind::Conflict, "lock the index of", "x"), 6),
        ] {
            assert_eq!(backend_status(&error) as u8, code, "{error:?}");
        }
    }

    #[test]
    fn a_failure_as_json_has_kind_message_causes_and_hint() {
        let failure = Failure::file("read", Path::new("a\n"), io::Error::other("why")).with_hint("do this");
        let json: serde_json::Value = serde_json::from_str(&failure.json_at(None)).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"error": {
                "kind": "localIo", "exitCode": 6, "message": "cannot read `a\n`", "causes": ["why"], "hint": "do this"
            }})
        );
    }
}
