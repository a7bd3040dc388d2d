//! A client of OCI registries that finishes its transfers.
#![doc = include_str!("../README.md")]

mod auth;
mod backend;
mod blobs;
mod body;
mod budget;
mod context;
mod credentials;
mod delete;
mod download;
mod fallback_tag;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod http;
mod manifests;
mod options;
mod pages;
mod profile;
mod referrers;
mod refusal;
mod registries;
mod registry;
mod repository;
mod rest;
mod retry;
mod secret;
mod tags;
mod tls;
mod transport;
mod upload;

pub use credentials::{Credential, CredentialSource, FixedCredential, NoCredentials};
pub use delete::ManifestDeleter;
pub use http::warning::{RegistryWarning, WarningSink};
pub use options::{ClientCertificate, ClientOptions, Proxies, Scheme};
pub use profile::{
    BudgetRules, MountRule, Profile, ReferrersMode, RetryRules, Segments, TimeLimits, UploadStrategy,
};
pub use refusal::{Refusal, Verdict};
pub use registries::Registries;
pub use registry::Registry;
pub use repository::Repository;
pub use rest::{RestApi, RestMethod};
pub use secret::Secret;
