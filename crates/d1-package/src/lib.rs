//! The package format of d1oci: bags and DataONE metadata as OCI manifests, and back.
#![doc = include_str!("../README.md")]

pub mod annotations;
mod assemble;
mod content_digest;
mod dataone;
mod error;
mod facts;
mod files;
mod forms;
mod index;
mod manifest;
mod media;
mod object;
mod oddity;
mod path;
mod plan;
mod reuse;
mod ro_crate;
mod state;
mod view;

pub use crate::assemble::{AssembledPackage, LayerContent, assemble};
pub use crate::content_digest::content_digest;
pub use crate::dataone::{
    Accept, BagNames, Documents, KnownRecords, Mismatch, ObjectRecord, ObjectToPlace, OpenFile,
    ResourceMapRecord, algorithm_to_compare, bag_directory, identifier_of_package, is_known_fault,
    read_documents, system_metadata_mismatches,
};
pub use crate::error::{Error, ErrorKind, Result};
pub use crate::facts::{Form, FormFacts, PackageFacts};
pub use crate::files::{FileView, MAX_EMPTY_DIRECTORIES, NameClash, ObjectFacts, PackageFile, PackageFiles};
pub use crate::forms::{Survey, Validation};
pub use crate::index::{
    ArchiveRecord, BagRecord, LayerKind, LayerRecord, MAX_INDEX_BYTES, MAX_INLINE_INDEX_BYTES, PackageIndex,
    Place, ReplacedArchives,
};
pub use crate::manifest::{Configuration, ManifestOptions};
pub use crate::media::{
    INDEX_MEDIA_TYPE, PART_ANNOTATION, RO_CRATE_ARTIFACT_TYPE, SYSTEM_METADATA_ARTIFACT_TYPE, TOMBSTONE_TYPE,
    UNKNOWN_ARTIFACT_TYPE, archive_compression, bag_artifact_type, is_tombstone, media_type_of,
};
pub use crate::object::{
    SingleFile, SingleFileOptions, object_algorithm, object_file, object_layer_of, object_manifest,
    single_files_manifest, system_metadata_manifest,
};
pub use crate::oddity::{PackageOddity, PackageOddityCode};
pub use crate::plan::{
    ArchiveEntries, Layout, LayoutError, Plan, PlanLimits, PlanOptions, PlannedArchive, PlannedLayer, plan,
};
pub use crate::reuse::{ReusableArchive, reusable_archives};
pub use crate::state::{ArtifactState, ObjectState};
pub use crate::view::{ArchiveLayer, Entry, PackageView, Piece, PieceEncoding, PlannedRead, ReadPlan};
pub use safe_files::{LONGEST_PATH, PathFault, path_fault};

// Crates whose types are in this crate's signatures.
pub use {bagit, d1_model, oci_model, oci_pack};
