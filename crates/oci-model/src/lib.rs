//! OCI digests, references, descriptors and manifests, with canonical bytes.
#![doc = include_str!("../README.md")]

pub mod annotations;
mod descriptor;
mod digest;
mod manifest;
mod media_type;
mod raw;
mod reference;
mod tag;

pub use descriptor::{Annotations, Descriptor, Platform};
pub use digest::{Digest, DigestAlgorithm, DigestError, DigestHasher};
pub use manifest::{ImageIndex, ImageManifest, Manifest};
pub use media_type::{MediaType, MediaTypeError};
pub use raw::{MANIFEST_READ_LIMIT, ManifestError, RawManifest};
pub use reference::{Location, ManifestRef, Reference, ReferenceError, RepositoryName};
pub use tag::{Tag, TagError};
