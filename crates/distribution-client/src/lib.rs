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
mod tags;
mod transport;
mod upload;

pub use credentials::{Credential, CredentialSource, FixedCredential, NoCredentials};
pub use delete::ManifestDeleter;
pub use http::warning::{RegistryWarning, WarningSink};
pub use http_transfer::{ClientCertificate, Proxies, RetryRules, Secret};
pub use options::{ClientOptions, Scheme};
pub use profile::{
    BudgetRules, LoginFacts, MountRule, Profile, ReferrersMode, Segments, TimeLimits, TokenSource,
    UploadStrategy, VendorInterface, VendorPlace,
};
pub use refusal::{Refusal, Verdict};
pub use registries::{Registries, RegistryFactory};
pub use registry::Registry;
pub use repository::Repository;
pub use rest::{RestApi, RestMethod};
