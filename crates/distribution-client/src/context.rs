//! The purpose of a request: its words in errors, and its retries.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http_transfer::{
    RetryPolicy, RetryRules, SendError, Session, TransferError, Url, Wait, WaitObserver, without_query,
};
use registry_backend::{Error, ErrorKind, Result, Retry};

/// An operation and its target.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    pub(crate) operation: &'static str,
    pub(crate) target: String,
}

impl Context {
    pub(crate) fn new(operation: &'static str, target: impl fmt::Display) -> Self {
        Self { operation, target: target.to_string() }
    }

    pub(crate) fn error(&self, kind: ErrorKind) -> Error {
        Error::new(kind, self.operation, &self.target)
    }

    /// Returns the error for a request without an answer. `own` is the URL of the service, and `session` knows which servers have
    /// answered.
    pub(crate) fn send_error(&self, error: SendError, own: &Url, session: &Session) -> Error {
        let origin = own.origin().ascii_serialization();
        // A slash after the port: `https://host:5000` must not stand for `https://host:50001`.
        let reason = error.reason("registry", &format!("{origin}/"));
        match error {
            SendError::Transfer { place, error: TransferError::Connect(cause) }
                if Url::parse(&place).is_ok_and(|place| !session.has_answered(&place)) =>
            {
                let error = self.error(ErrorKind::Unavailable).because(reason).with_retry(Retry::Yes);
                error.caused_by(NeverReached(cause))
            }
            SendError::Transfer { error, .. } => self.transfer(error).because(reason),
            SendError::ContentTooLong { .. } | SendError::ContentTooShort { .. } => {
                self.error(ErrorKind::Invalid).because(reason)
            }
            _ => self.protocol(reason),
        }
    }

    /// Returns the error for an answer that broke off.
    pub(crate) fn transfer(&self, error: TransferError) -> Error {
        let retry = if error.may_pass() { Retry::Yes } else { Retry::No };
        let kind = match error {
            TransferError::PrivateName { .. } | TransferError::Encoding(_) => ErrorKind::Protocol,
            _ => ErrorKind::Unavailable,
        };
        let failed = self.error(kind).because(error.reason("registry")).with_retry(retry);
        match error.into_cause() {
            Some(cause) => failed.caused_by(cause),
            None => failed,
        }
    }

    /// Returns the error for an answer that the protocol does not allow.
    pub(crate) fn protocol(&self, reason: impl Into<String>) -> Error {
        self.error(ErrorKind::Protocol).because(reason)
    }
}

/// The cause of a failed connection to a server that has never answered, such as one at a wrong address.
#[derive(Debug)]
struct NeverReached(reqwest::Error);

impl fmt::Display for NeverReached {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl std::error::Error for NeverReached {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

/// Counts failures without progress.
pub(crate) type Failures = http_transfer::Failures<Retries>;

/// The rules for retries at one server, and the observer of waits.
#[derive(Clone, Debug)]
pub(crate) struct Retries {
    pub(crate) rules: RetryRules,
    pub(crate) session: Arc<Session>,
    /// The server that is asked.
    pub(crate) url: Url,
    pub(crate) observer: WaitObserver,
    /// The time limit for the head of an answer to a request without content.
    pub(crate) answer_limit: Duration,
}

impl Retries {
    /// Begins to count failures.
    pub(crate) fn failures(&self) -> Failures {
        Failures::new(self.clone())
    }

    /// Tries an operation until it succeeds, or fails for good.
    pub(crate) async fn retry<T, R>(&self, attempt: impl FnMut() -> R) -> Result<T>
    where
        R: Future<Output = Result<T>>,
    {
        self.failures().retry(attempt).await
    }
}

impl RetryPolicy for Retries {
    type Error = Error;

    fn rules(&self) -> &RetryRules {
        &self.rules
    }

    fn retry(&self, error: &Error) -> http_transfer::Retry {
        match error.retry() {
            Retry::No => http_transfer::Retry::No,
            Retry::Yes => http_transfer::Retry::Yes,
            Retry::After(stated) => http_transfer::Retry::After(stated),
        }
    }

    fn is_rate_limited(&self, error: &Error) -> bool {
        error.kind() == ErrorKind::RateLimited
    }

    fn patience(&self, error: &Error) -> Duration {
        let is_new = error.kind() == ErrorKind::Unavailable && !self.session.has_answered(&self.url);
        let source = std::error::Error::source(error);
        if is_new || source.is_some_and(|source| source.is::<NeverReached>()) {
            self.rules.first_patience
        } else {
            self.rules.patience
        }
    }

    fn note_wait(&self, error: &Error, wait: Duration, is_stated: bool) {
        let shown = without_query(&self.url);
        let server = self.url.host_str().unwrap_or(&shown);
        self.observer.note(&Wait::new(server, error, wait, is_stated));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use http_transfer::SessionSettings;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn errors_of_backends_say_whether_to_try_again_and_waits_are_reported() {
        let url = Url::parse("https://r.example/v2/").unwrap();
        let session = Arc::new(Session::new(&SessionSettings::new(&url)).unwrap());
        let mut rules = RetryRules::default();
        rules.attempts = 6;
        let hour = Retry::After(Duration::from_secs(3600));
        for (kind, retry, expected) in [
            (ErrorKind::Conflict, Retry::No, 1),
            (ErrorKind::Conflict, hour, 1),
            (ErrorKind::Conflict, Retry::Yes, 6),
            (ErrorKind::RateLimited, Retry::After(Duration::from_micros(35)), 6),
        ] {
            let (tries, start) = (AtomicU32::new(0), tokio::time::Instant::now());
            let waits = Arc::new(AtomicU32::new(0));
            let observer = {
                let waits = waits.clone();
                WaitObserver::new(move |wait| {
                    assert_eq!(wait.server, "r.example");
                    waits.fetch_add(1, Ordering::Relaxed);
                })
            };
            let (session, url) = (session.clone(), url.clone());
            let answer_limit = Duration::from_secs(1);
            let retries = Retries { rules: rules.clone(), session, url, observer, answer_limit };
            let result: Result<()> = retries
                .retry(|| async {
                    tries.fetch_add(1, Ordering::Relaxed);
                    Err(Error::new(kind, "test", "x").with_retry(retry))
                })
                .await;
            assert!(result.is_err());
            assert_eq!((tries.into_inner(), waits.load(Ordering::Relaxed)), (expected, expected - 1));
            // Waits of 1, 2, 4, 8 and 16 seconds.
            assert_eq!(start.elapsed() >= rules.limited_wait * 31, kind == ErrorKind::RateLimited);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_has_never_answered_is_not_waited_for_long() {
        let url = Url::parse("https://r.example/v2/").unwrap();
        let session = Arc::new(Session::new(&SessionSettings::new(&url)).unwrap());
        let (rules, observer) = (RetryRules::default(), WaitObserver::default());
        let retries = Retries { rules, session, url, observer, answer_limit: Duration::from_secs(1) };
        let start = tokio::time::Instant::now();
        let result: Result<()> = retries
            .retry(|| async { Err(Error::new(ErrorKind::Unavailable, "test", "x").with_retry(Retry::Yes)) })
            .await;
        assert!(result.is_err() && start.elapsed() <= RetryRules::default().first_patience);
    }
}
