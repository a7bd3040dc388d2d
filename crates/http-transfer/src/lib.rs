//! Finishes HTTP transfers: budgets, retries, redirects, resumed bodies, time limits.
#![doc = include_str!("../README.md")]

mod budget;
mod connection;
mod destination;
mod error;
mod headers;
mod incoming;
mod outgoing;
mod resume;
mod retry;
mod secret;
mod session;
mod tls;
mod words;

pub use budget::{BudgetRules, Load};
pub use connection::{Proxies, SessionSettings};
pub use destination::{
    Network, RefusedDestination, check_destination, check_redirect, is_loopback, redacted, resolve,
    same_origin, without_query,
};
pub use error::{Awaited, SendError, SettingsError, TlsError, TlsFault, TransferError};
pub use headers::{
    ContentRange, header, parse_content_range, parse_digits, parse_duration, parse_retry_after,
    parse_unsatisfied_range,
};
pub use incoming::{Answer, Incoming, Received};
pub use outgoing::Content;
pub use resume::{BodyFault, Opened, RangeAnswer, RangeBody, RangeSource, ResumingRead, range_header};
pub use retry::{Failures, Retry, RetryPolicy, RetryRules, Wait, WaitObserver, jittered};
pub use secret::Secret;
pub use session::{Exchange, Payload, Redirects, Request, Session};
pub use tls::ClientCertificate;
pub use words::{html_title, looks_like_html, shortened};

pub use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
pub use reqwest::{Method, StatusCode, Url};

// Crates whose types are in this crate's signatures.
pub use {bytes, futures};
