//! Talks to OCI registries, and finishes its transfers.
#![doc = include_str!("../README.md")]

mod auth;
mod backend;
mod catalog;
mod context;
mod credentials;
mod delete;
mod download;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod headers;
mod lists;
mod manifests;
mod options;
mod profile;
mod referrers;
mod refusal;
mod registries;
mod registry;
mod repository;
mod rest;
mod upload;
mod upload_memory;
mod vendor;
mod warning;

pub use credentials::{Credential, CredentialSource, FixedCredential, NoCredentials};
pub use http_transfer::{
    BudgetRules, ClientCertificate, Proxies, RetryRules, Secret, TlsError, TlsFault, Wait, WaitObserver,
};
pub use options::{ClientOptions, Scheme};
pub use profile::{
    LoginFacts, MountRule, Profile, ReferrersMode, Segments, TimeLimits, TokenSource, UploadStrategy,
    VendorInterface, VendorOpener, VendorPlace,
};
pub use refusal::{Refusal, Verdict};
pub use registries::{Registries, RegistryFactory};
pub use registry::Registry;
pub use repository::Repository;
pub use rest::{RestApi, RestMethod};
pub use upload_memory::{UploadMemory, UploadName};
pub use vendor::{
    Deleted, ManifestDeleter, RepositoryFacts, RepositoryLister, TagLister, VendorRepository, Visibility,
};
pub use warning::{RegistryWarning, WarningSink};

// Crates whose types are in this crate's signatures.
pub use {futures, oci_model, registry_backend, serde_json};
