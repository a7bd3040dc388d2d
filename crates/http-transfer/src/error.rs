//! What keeps a request from its answer, and a client from being set up.

use std::error::Error;
use std::fmt;
use std::time::Duration;

/// Why a client cannot be set up as its settings say.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} cannot be used: {reason}")]
pub struct SettingsError {
    /// The setting, in words: `the client certificate`.
    pub what: &'static str,
    /// What is wrong with it.
    pub reason: String,
}

/// Why an answer did not come, or not to its end.
///
/// None of the errors within shows a URL, which may hold secrets.
#[derive(Debug)]
pub enum TransferError {
    /// The request cannot be written down.
    Request(reqwest::Error),
    /// The server's certificate is not trusted.
    Certificate(reqwest::Error),
    /// There is no connection to the server.
    Connect(reqwest::Error),
    /// The connection broke.
    Broken(reqwest::Error),
    /// Nothing happened for too long.
    Silence {
        /// What the server does all the time, as a verb: `does not answer`.
        what: &'static str,
        /// How long it was waited for.
        limit: Duration,
    },
}

impl SettingsError {
    pub(crate) fn new(what: &'static str, reason: impl fmt::Display) -> Self {
        Self { what, reason: reason.to_string() }
    }
}

impl TransferError {
    /// Tells whether the same request may succeed later.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        !matches!(self, Self::Request(_) | Self::Certificate(_))
    }

    /// Returns the reason in words, with a word for the server, such as `registry`.
    #[must_use]
    pub fn reason(&self, server: &str) -> String {
        match self {
            Self::Request(_) => "the request cannot be made".to_owned(),
            Self::Certificate(_) => format!("the {server}'s certificate is not trusted"),
            Self::Connect(_) => format!("the {server} cannot be reached"),
            Self::Broken(_) => "the connection broke".to_owned(),
            Self::Silence { what, limit } => {
                format!("the {server} {what} for {} seconds", limit.as_secs_f64())
            }
        }
    }

    /// Returns what the connection said, if it said anything.
    #[must_use]
    pub fn into_cause(self) -> Option<reqwest::Error> {
        match self {
            Self::Request(error) | Self::Certificate(error) | Self::Connect(error) | Self::Broken(error) => {
                Some(error)
            }
            Self::Silence { .. } => None,
        }
    }
}

impl From<reqwest::Error> for TransferError {
    fn from(error: reqwest::Error) -> Self {
        let error = error.without_url();
        if is_certificate_problem(&error) {
            Self::Certificate(error)
        } else if error.is_builder() || error.is_request() && error.status().is_some() {
            Self::Request(error)
        } else if error.is_connect() {
            Self::Connect(error)
        } else {
            Self::Broken(error)
        }
    }
}

impl fmt::Display for TransferError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.reason("server"))
    }
}

impl Error for TransferError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Request(error) | Self::Certificate(error) | Self::Connect(error) | Self::Broken(error) => {
                Some(error)
            }
            Self::Silence { .. } => None,
        }
    }
}

fn is_certificate_problem(error: &reqwest::Error) -> bool {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(rustls::Error::InvalidCertificate(_)) = cause.downcast_ref() {
            return true;
        }
        // What an I/O error wraps is not its source but that source's.
        let wrapped = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        source = wrapped.map(|wrapped| wrapped as &dyn Error).or_else(|| cause.source());
    }
    false
}

#[cfg(test)]
mod tests {
    use reqwest::{Method, Url};

    use super::*;
    use crate::{HttpClient, HttpSettings, Proxies};

    #[test]
    fn silence_is_told_with_the_name_of_the_server_and_may_pass() {
        let error = TransferError::Silence { what: "does not answer", limit: Duration::from_millis(1500) };
        assert_eq!(error.reason("node"), "the node does not answer for 1.5 seconds");
        assert_eq!(error.to_string(), "the server does not answer for 1.5 seconds");
        assert!(error.may_pass() && error.into_cause().is_none());
    }

    #[test]
    fn a_request_that_cannot_be_made_is_not_made_again_and_shows_no_url() {
        let settings = HttpSettings {
            user_agent: "test",
            extra_authorities: &[],
            client_certificate: None,
            proxies: &Proxies::default(),
            connect: Duration::ZERO,
            silence: Duration::ZERO,
        };
        let client = HttpClient::new(&settings).unwrap();
        let url = Url::parse("https://u:secret@example.org/?sig=secret").unwrap();
        let request = client.request(Method::GET, url).header("a\nb", "c").build();
        let error = TransferError::from(request.unwrap_err());
        assert!(matches!(error, TransferError::Request(_)) && !error.may_pass());
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    }
}
