//! Whether the manifest of a plan keeps its limit, before there is anything to put into it.

use oci_model::{Descriptor, Digest, ImageManifest, MediaType};
use oci_pack::{Compression, archive_title, manifest_size};

use super::{PlanOptions, PlannedLayer};
use crate::manifest::{archive_descriptor, object_descriptor, part_descriptor};
use crate::{PackageFiles, UNKNOWN_ARTIFACT_TYPE};

/// Room for the configuration, the type of the artifact, and annotations of the manifest: four identifiers of 800
/// characters, a title, and a user's own.
const RESERVE: u64 = 32 << 10;

/// Returns the largest size that the manifest of these layers can have, in bytes.
pub(super) fn manifest_bound(layers: &[PlannedLayer], files: &PackageFiles, options: &PlanOptions) -> u64 {
    let artifact_type = MediaType::from_static(UNKNOWN_ARTIFACT_TYPE);
    let mut manifest = ImageManifest::new(artifact_type, Descriptor::empty());
    manifest.layers =
        layers.iter().filter_map(|layer| placeholder(layer, files, &options.directory)).collect();
    manifest_size(&manifest).saturating_add(RESERVE)
}

/// Returns a descriptor as long as the layer's can get.
fn placeholder(layer: &PlannedLayer, files: &PackageFiles, directory: &str) -> Option<Descriptor> {
    let digest = Digest::from_sha256([0; 32]);
    Some(match layer {
        PlannedLayer::Archive(archive) => {
            let title = archive_title(directory, archive.number);
            archive_descriptor(Compression::Gzip, &digest, u64::MAX, &digest, &title)
        }
        PlannedLayer::Object { file } => object_descriptor(directory, &files.file(*file)?),
        PlannedLayer::Part { file, number, count, .. } => {
            let path = files.file(*file)?.path;
            part_descriptor(directory, path, (*number, *count), digest, u64::MAX)
        }
    })
}
