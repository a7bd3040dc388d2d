//! What clients of HTTP services need to finish their transfers.
#![doc = include_str!("../README.md")]

mod client;
mod content_range;
mod error;
mod incoming;
mod place;
mod rate;
mod retry;
mod retry_after;
mod secret;
mod settings;
mod tls;

pub use client::HttpClient;
pub use content_range::{ContentRange, parse_content_range, parse_digits, parse_unsatisfied_range};
pub use error::{SettingsError, TransferError};
pub use incoming::{Incoming, header};
pub use place::{RefusedPlace, check_reach, check_step, is_loopback, resolve, same_origin, without_query};
pub use rate::RequestRate;
pub use retry::{Failures, Retry, RetryPolicy, RetryRules, jittered};
pub use retry_after::{parse_duration, parse_retry_after};
pub use secret::Secret;
pub use settings::{ClientCertificate, HttpSettings, Proxies};

/// The URL type of this crate's functions.
pub use reqwest::Url;
