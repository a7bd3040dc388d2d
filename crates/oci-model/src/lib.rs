//! OCI digests, references, descriptors and manifests, with canonical bytes.
#![doc = include_str!("../README.md")]

pub mod annotations;
mod descriptor;
mod digest;
mod manifest;
mod media_type;
mod reference;
mod tag;

pub use descriptor::{Annotations, Descriptor, Platform};
pub use digest::{Digest, DigestAlgorithm, DigestError, DigestHasher};
pub use manifest::{
    ArtifactManifest, ImageIndex, ImageManifest, MANIFEST_READ_LIMIT, Manifest, ManifestError, RawManifest,
};
pub use media_type::{MediaType, MediaTypeError};
pub use reference::{Location, ManifestRef, Reference, ReferenceError, RepositoryName};
pub use tag::{Tag, TagError};

// Crates whose types are in this crate's signatures.
pub use serde_json;
