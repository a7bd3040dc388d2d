//! Errors: a client that cannot be set up, and requests without an answer.

use std::error::Error;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use crate::destination::RefusedDestination;

/// Says which setting of a client is unusable, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot use {what}: {reason}")]
pub struct SettingsError {
    /// The setting in words, such as `the client certificate`.
    pub what: &'static str,
    /// The fault.
    pub reason: String,
}

impl SettingsError {
    pub(crate) fn new(what: &'static str, reason: impl fmt::Display) -> Self {
        Self { what, reason: reason.to_string() }
    }
}

/// Says why an answer did not arrive, or not completely.
///
/// The errors inside never show a URL: URLs can hold secrets.
#[derive(Debug)]
#[non_exhaustive]
pub enum TransferError {
    /// The request cannot be written as HTTP.
    Request(reqwest::Error),
    /// Client and server do not agree on an encrypted connection.
    Tls(TlsError),
    /// A server named a host whose addresses all belong to private networks.
    PrivateName {
        /// The host's name.
        name: String,
        /// One of its addresses.
        address: IpAddr,
    },
    /// No connection to the server. The request was not sent.
    Connect(reqwest::Error),
    /// The connection broke after the request may have been sent.
    Broken(reqwest::Error),
    /// Nothing happened within a time limit.
    Timeout {
        /// The event that did not happen.
        awaited: Awaited,
        /// The time limit.
        limit: Duration,
    },
    /// The body has a content encoding that cannot be undone.
    Encoding(String),
}

/// A connection that TLS refuses, or that lacks TLS where it is expected.
#[derive(Debug)]
pub struct TlsError {
    /// The mistake.
    pub fault: TlsFault,
    source: reqwest::Error,
}

/// The usual mistakes with TLS. None of them goes away by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsFault {
    /// The server does not speak TLS.
    NoTls,
    /// A request without TLS met a server that does not answer in HTTP. It may expect TLS.
    NotHttp,
    /// No trusted authority signed the server's certificate.
    UnknownAuthority,
    /// The certificate is for another name.
    OtherName,
    /// The certificate is not valid at this time.
    Expired,
    /// The server's certificate has another fault.
    Certificate,
    /// The server refuses the client without a certificate, or its certificate.
    ClientCertificate,
    /// The server refuses the handshake.
    Refused,
}

impl TlsFault {
    /// Finds the mistake behind an error of the HTTP library.
    fn of(error: &reqwest::Error) -> Option<Self> {
        use rustls::{AlertDescription as Alert, CertificateError, Error as Tls};
        let is_plain = error.url().is_some_and(|url| url.scheme() == "http");
        if is_plain && find_cause::<hyper::Error>(error).is_some_and(hyper::Error::is_parse) {
            return Some(Self::NotHttp);
        }
        Some(match find_cause::<Tls>(error)? {
            Tls::InvalidMessage(_) if error.is_connect() => Self::NoTls,
            Tls::InvalidCertificate(CertificateError::UnknownIssuer) => Self::UnknownAuthority,
            // A certificate that signed itself, as most tools make it.
            Tls::InvalidCertificate(CertificateError::Other(other))
                if format!("{other:?}").contains("CaUsedAsEndEntity") =>
            {
                Self::UnknownAuthority
            }
            Tls::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            ) => Self::OtherName,
            Tls::InvalidCertificate(
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. },
            ) => Self::Expired,
            Tls::InvalidCertificate(_) => Self::Certificate,
            Tls::AlertReceived(
                Alert::CertificateRequired
                | Alert::BadCertificate
                | Alert::CertificateExpired
                | Alert::CertificateRevoked
                | Alert::CertificateUnknown
                | Alert::UnknownCA
                | Alert::AccessDenied,
            ) => Self::ClientCertificate,
            Tls::AlertReceived(Alert::HandshakeFailure | Alert::ProtocolVersion) if error.is_connect() => {
                Self::Refused
            }
            _ => return None,
        })
    }

    /// Returns the mistake in words, with a word for the server such as `registry`.
    #[must_use]
    pub fn reason(self, server: &str) -> String {
        match self {
            Self::NoTls => format!("the {server} does not speak TLS on this port"),
            Self::NotHttp => format!("the {server} does not answer in plain HTTP: this port may expect TLS"),
            Self::UnknownAuthority => {
                format!("the {server}'s certificate is not trusted: its authority is unknown here")
            }
            Self::OtherName => format!("the {server}'s certificate is not trusted: it is for another name"),
            Self::Expired => {
                format!(
                    "the {server}'s certificate is not trusted: it is not valid at the time of this machine"
                )
            }
            Self::Certificate => format!("the {server}'s certificate is not trusted"),
            Self::ClientCertificate => {
                format!("the {server} accepts only clients with a certificate that it trusts")
            }
            Self::Refused => format!("the {server} refuses the TLS handshake"),
        }
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(formatter)
    }
}

impl Error for TlsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}

/// Names the event that a time limit is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Awaited {
    /// The head of an answer.
    Answer,
    /// The next bytes of an answer's body.
    Body,
    /// A useful amount of an answer's body: it moves, but too slowly.
    Rate,
    /// The connection taking more of the content that is sent.
    Upload,
    /// The answer after all content was sent.
    Confirmation,
}

impl TransferError {
    /// Tells whether the same request can succeed later.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Request(_) | Self::Tls(_) | Self::PrivateName { .. } | Self::Encoding(_) => false,
            Self::Connect(_) | Self::Broken(_) | Self::Timeout { .. } => true,
        }
    }

    /// Tells whether the server may have received the request. A request that changes something is repeated
    /// only if the server did not receive it.
    #[must_use]
    pub fn may_have_been_sent(&self) -> bool {
        !matches!(self, Self::Request(_) | Self::Tls(_) | Self::PrivateName { .. } | Self::Connect(_))
    }

    /// Returns the reason in words, with a word for the server such as `registry`.
    #[must_use]
    pub fn reason(&self, server: &str) -> String {
        match self {
            Self::Request(_) => "the request cannot be written as HTTP".to_owned(),
            Self::Tls(error) => error.fault.reason(server),
            Self::PrivateName { name, address } => format!(
                "the public {server} names the host {name}, whose address {address} belongs to a private network"
            ),
            Self::Connect(_) => format!("cannot connect to the {server}"),
            Self::Broken(_) => format!("the connection to the {server} broke"),
            Self::Timeout { awaited, limit } => {
                let seconds = limit.as_secs_f64();
                match awaited {
                    Awaited::Answer => format!("no answer from the {server} within {seconds} s"),
                    Awaited::Body => format!("no more data from the {server} within {seconds} s"),
                    Awaited::Rate => format!("hardly any data from the {server} within {seconds} s"),
                    Awaited::Upload => format!("the {server} accepted no more content within {seconds} s"),
                    Awaited::Confirmation => {
                        format!("the {server} did not confirm the content within {seconds} s")
                    }
                }
            }
            Self::Encoding(encoding) => format!(
                "the answer has the content encoding `{encoding}`, which was not asked for: \
                 a proxy in front of the {server} may add it"
            ),
        }
    }

    /// Returns the connection's own error, if there is one.
    #[must_use]
    pub fn into_cause(self) -> Option<Box<dyn Error + Send + Sync>> {
        match self {
            Self::Tls(error) => Some(error.into()),
            Self::Request(error) | Self::Connect(error) | Self::Broken(error) => Some(error.into()),
            Self::PrivateName { .. } | Self::Timeout { .. } | Self::Encoding(_) => None,
        }
    }
}

impl From<reqwest::Error> for TransferError {
    fn from(error: reqwest::Error) -> Self {
        let fault = TlsFault::of(&error);
        let error = error.without_url();
        if let Some(PrivateName { name, address }) = find_cause::<PrivateName>(&error) {
            return Self::PrivateName { name: name.clone(), address: *address };
        }
        if let Some(fault) = fault {
            Self::Tls(TlsError { fault, source: error })
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
            Self::Tls(error) => Some(error),
            Self::Request(error) | Self::Connect(error) | Self::Broken(error) => Some(error),
            Self::PrivateName { .. } | Self::Timeout { .. } | Self::Encoding(_) => None,
        }
    }
}

/// A name that resolves to private addresses only, reported by the resolver through the HTTP library.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} has the private address {address}")]
pub(crate) struct PrivateName {
    pub(crate) name: String,
    pub(crate) address: IpAddr,
}

/// Says why [`Session::send`](crate::Session::send) has no answer to return.
#[derive(Debug)]
#[non_exhaustive]
pub enum SendError {
    /// The transfer failed.
    Transfer {
        /// The place that was asked, without its query.
        place: String,
        /// The failure.
        error: TransferError,
    },
    /// The server redirects to a place that must not be followed.
    Refused {
        /// The place, without its query.
        place: String,
        /// Why it must not be followed.
        reason: RefusedDestination,
    },
    /// The server redirects too many times.
    Redirects {
        /// The last place, without its query.
        place: String,
    },
    /// The server redirects content to another host.
    ContentRedirected {
        /// The place, without its query.
        place: String,
    },
    /// The content has more bytes than its stated size.
    ContentTooLong {
        /// The stated size in bytes.
        stated: u64,
    },
    /// The content ends before its stated size.
    ContentTooShort {
        /// How many bytes are missing.
        missing: u64,
    },
}

impl SendError {
    /// Returns the reason in words, with a word for the server such as `registry`. `own` is the URL of the service:
    /// a failure at another server names that server.
    #[must_use]
    pub fn reason(&self, server: &str, own: &str) -> String {
        match self {
            Self::Transfer { place, error } if place.starts_with(own) => error.reason(server),
            Self::Transfer { place, error } => {
                format!("{} at {place}, where the {server} leads", error.reason("server"))
            }
            Self::Refused { place, reason } => {
                format!("it redirects to where it should not, {place}: {reason}")
            }
            Self::Redirects { place } => format!("it redirects without end, last to {place}"),
            Self::ContentRedirected { place } => format!("it redirects content to another host, {place}"),
            Self::ContentTooLong { stated } => format!("the source has more than its stated {stated} bytes"),
            Self::ContentTooShort { missing } => {
                format!("the source ends {missing} bytes before its stated size")
            }
        }
    }
}

/// Finds an error of a type among the causes of another.
pub(crate) fn find_cause<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(found) = cause.downcast_ref() {
            return Some(found);
        }
        // `source` of an I/O error skips the error that it wraps.
        let wrapped = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        source = wrapped.map(|wrapped| wrapped as &dyn Error).or_else(|| cause.source());
        if let Some(found) = wrapped.and_then(|wrapped| wrapped.downcast_ref()) {
            return Some(found);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_name_the_server_and_may_pass() {
        let limit = Duration::from_millis(1500);
        let error = TransferError::Timeout { awaited: Awaited::Answer, limit };
        assert_eq!(error.reason("node"), "no answer from the node within 1.5 s");
        assert_eq!(error.to_string(), "no answer from the server within 1.5 s");
        assert!(error.may_pass() && error.may_have_been_sent() && error.into_cause().is_none());
    }

    #[test]
    fn a_failure_elsewhere_names_the_place() {
        let limit = Duration::from_secs(2);
        let failed = |place: &str| SendError::Transfer {
            place: place.to_owned(),
            error: TransferError::Timeout { awaited: Awaited::Body, limit },
        };
        let own = "https://r.example:5000/";
        assert_eq!(
            failed("https://r.example:5000/v2/").reason("registry", own),
            "no more data from the registry within 2 s"
        );
        assert_eq!(
            failed("https://r.example/v2/").reason("registry", own),
            "no more data from the server within 2 s at https://r.example/v2/, where the registry leads"
        );
    }

    #[test]
    fn a_malformed_request_is_not_repeated_and_shows_no_url() {
        let client = reqwest::Client::builder().tls_backend_preconfigured(
            rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(rustls::RootCertStore::empty())
                .with_no_client_auth(),
        );
        let request = client.build().unwrap().get("https://u:secret@example.org/?sig=secret");
        let error = TransferError::from(request.header("a\nb", "c").build().unwrap_err());
        assert!(matches!(error, TransferError::Request(_)));
        assert!(!error.may_pass() && !error.may_have_been_sent());
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    }
}
