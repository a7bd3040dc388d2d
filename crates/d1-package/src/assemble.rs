//! From a plan and the layers that were made from it to the index and the layers' descriptors.

use d1_model::Identifier;
use oci_model::{Descriptor, Digest, RawManifest};
use oci_pack::{ManifestBuildError, PackedArchive};

use crate::{BagRecord, ManifestOptions, PackageFiles, PackageIndex, Plan, ReusableArchive};

/// What came of one planned layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LayerContent {
    /// The archive was packed.
    Packed(PackedArchive),
    /// The archive is taken over from the package that is replaced.
    Reused(ReusableArchive),
    /// The layer is a file, of which everything is known.
    Object,
    /// The layer is a part of a file.
    Part {
        /// Digest of the part.
        digest: Digest,
    },
}

/// What is known of the package as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackageFacts {
    /// What `bagit.txt` and the names of the manifests say; `None` for a plain directory.
    pub bag: Option<BagRecord>,
    /// Identifier of the package.
    pub identifier: Option<Identifier>,
    /// Identifier of the resource map.
    pub resource_map: Option<Identifier>,
    /// Series identifier of the package.
    pub series_id: Option<Identifier>,
    /// Identifier of the version that this one replaces.
    pub obsoletes: Option<Identifier>,
    /// Title of the package for people.
    pub title: Option<String>,
}

/// A package of which everything is known: its index and its layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssembledPackage {
    /// The index.
    pub index: PackageIndex,
    /// Descriptors of the layers.
    pub layers: Vec<Descriptor>,
    /// What is known of the package as a whole.
    pub facts: PackageFacts,
}

/// Layers that are not what was planned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AssembleError {
    /// There are more or fewer layers than planned, or one is of another kind.
    #[error("layer {layer} is not of the kind that was planned")]
    Layer {
        /// Position of the layer.
        layer: usize,
    },
    /// A file had another size or digest when it was packed than before.
    #[error("`{path}` changed while it was packed")]
    FileChanged {
        /// Path of the file.
        path: String,
    },
}

/// Puts a package together; `contents` has one entry for each planned layer.
///
/// # Errors
///
/// If the contents are not those of the plan, or a file changed between hashing and packing.
pub fn assemble(
    plan: &Plan,
    files: PackageFiles,
    contents: Vec<LayerContent>,
    facts: PackageFacts,
) -> Result<AssembledPackage, AssembleError> {
    let _ = (plan, files, contents, facts);
    todo!()
}

impl AssembledPackage {
    /// Returns the manifest.
    ///
    /// # Errors
    ///
    /// If it is larger than `options.max_manifest_bytes`.
    pub fn manifest(&self, options: &ManifestOptions) -> Result<RawManifest, ManifestBuildError> {
        let _ = options;
        todo!()
    }
}
