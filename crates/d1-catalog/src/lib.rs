//! Finds DataONE packages, objects and versions in OCI repositories.
#![doc = include_str!("../README.md")]

mod artifact;
mod cataloged;
#[cfg(feature = "parquet")]
mod columns;
mod documents;
mod error;
mod export;
mod find;
mod history;
mod locate;
mod members;
mod objects;
mod packages;
mod publish;
mod records;
mod rows;
mod search;
mod store;
mod update;
mod write;

pub use artifact::{ArtifactKind, ArtifactSummary};
pub use cataloged::CatalogedRepository;
pub use documents::{ScienceDocuments, science_metadata};
pub use error::{Error, Result};
pub use export::{ExportForm, ExportTable};
pub use find::{Found, Query, find, parse_time};
pub use history::{History, StoredVersion, Version, history};
pub use locate::{Located, Purpose, check_identifier, locate};
pub use objects::{ObjectFilter, Relations};
pub use packages::{PackageFilter, PackageKey, Totals};
pub use publish::{CATALOG_ARTIFACT_TYPE, CATALOG_TAG};
pub use rows::{
    BlobPiece, CatalogDirectory, CatalogFile, CatalogObject, CatalogPackage, DocumentPlace, FileId, ObjectId,
    PackageId, Page, RepositoryStatus, SystemMetadataFacts,
};
pub use search::{SearchHit, SearchOrder, SearchQuery, StoredMetadata};
pub use store::Catalog;
pub use update::{UpdateOptions, UpdateReport};

// Crates whose types are in this crate's signatures.
pub use {bagit, d1_metadata, d1_model, d1_package, d1_transfer, futures, jiff, oci_model, registry_backend};
