//! The manifest of a package.

use oci_model::annotations::{AUTHORS, CREATED, DESCRIPTION, LICENSES};
use oci_model::{Annotations, Descriptor, Digest, MediaType};
use oci_pack::{Compression, PackedArchive, archive_layer, object_layer, part_layer, part_title};
use registry_backend::Capabilities;

use crate::annotations::{
    D1_ARCHIVED, D1_CHECKSUM, D1_CONTENT_DIGEST, D1_FORMAT_ID, D1_IDENTIFIER, D1_LICENSE, D1_NOT_PUBLIC,
    D1_OBSOLETED_BY, D1_OBSOLETES, D1_RESOURCE_MAP, D1_SERIES_ID,
};
use crate::{FileView, ObjectFacts, PART_ANNOTATION, PackageFacts, media_type_of};

/// Options of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestOptions {
    /// Type of the artifact, such as `application/bagit-1.0`.
    pub artifact_type: MediaType,
    /// The configuration blob of the manifest.
    pub configuration: Configuration,
    /// Date and time for `org.opencontainers.image.created`, RFC 3339. Without one, the annotation is absent.
    pub created: Option<String>,
    /// Further annotations. They override those that follow from the content.
    pub annotations: Annotations,
    /// The largest manifest in bytes.
    pub max_manifest_bytes: u64,
}

/// The configuration blob of a package's manifest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Configuration {
    /// The index.
    #[default]
    Index,
    /// `{}`, for registries that accept only known types. Such a package has no index.
    Empty,
}

impl ManifestOptions {
    /// Returns options without further annotations.
    #[must_use]
    pub fn new(artifact_type: MediaType) -> Self {
        Self {
            artifact_type,
            configuration: Configuration::default(),
            created: None,
            annotations: Annotations::new(),
            max_manifest_bytes: Capabilities::PORTABLE_MANIFEST_BYTES,
        }
    }
}

/// Returns the descriptor of an archive layer.
pub(crate) fn archive_descriptor(
    compression: Compression,
    digest: &Digest,
    size: u64,
    tar_digest: &Digest,
    title: &str,
) -> Descriptor {
    let archive = PackedArchive {
        compression,
        blob_digest: digest.clone(),
        blob_size: size,
        tar_digest: tar_digest.clone(),
        tar_size: 0,
        members: Vec::new(),
        data_offsets: Vec::new(),
    };
    archive_layer(&archive, title)
}

/// Returns the descriptor of the layer that holds a file.
pub(crate) fn object_descriptor(directory: &str, file: &FileView<'_>) -> Descriptor {
    let stated = file.object.and_then(|object| object.media_type.clone());
    let media_type = stated.unwrap_or_else(|| media_type_of(file.path, file.format_id()));
    let digest = Digest::from_sha256(file.sha256);
    let mut layer = object_layer(directory, file.path, media_type, digest, file.size);
    if let Some(object) = file.object {
        layer.annotations.extend(object_annotations(object));
    }
    layer
}

/// Returns the descriptor of the layer that is part `number`, counted from 1, of `count`.
pub(crate) fn part_descriptor(
    directory: &str,
    path: &str,
    (number, count): (u32, u32),
    digest: Digest,
    size: u64,
) -> Descriptor {
    part_layer(part_title(directory, path, number, count), digest, size)
        .with_annotation(PART_ANNOTATION, format!("{number}/{count}"))
}

/// Returns the annotations of an object.
pub(crate) fn object_annotations(object: &ObjectFacts) -> Annotations {
    let facts = [
        (D1_IDENTIFIER, object.identifier.as_ref().map(ToString::to_string)),
        (D1_FORMAT_ID, object.format_id.as_ref().map(ToString::to_string)),
        (D1_CHECKSUM, object.declared_checksum.as_ref().map(ToString::to_string)),
    ];
    known(facts)
}

/// Returns the annotations of a package.
///
/// Its title becomes a description. An image layout copies a title annotation of the manifest, and `oras` would
/// treat it as a file name and write the manifest there.
pub(crate) fn package_annotations(facts: &PackageFacts, created: Option<&str>) -> Annotations {
    let text = |identifier: &Option<d1_model::Identifier>| identifier.as_ref().map(ToString::to_string);
    known([
        (D1_IDENTIFIER, text(&facts.identifier)),
        (D1_RESOURCE_MAP, text(&facts.resource_map)),
        (D1_SERIES_ID, text(&facts.series_id)),
        (D1_OBSOLETES, text(&facts.obsoletes)),
        (D1_OBSOLETED_BY, text(&facts.obsoleted_by)),
        (D1_ARCHIVED, facts.archived.then(|| true.to_string())),
        (D1_NOT_PUBLIC, (facts.not_public > 0).then(|| facts.not_public.to_string())),
        (D1_CONTENT_DIGEST, facts.content_digest.as_ref().map(ToString::to_string)),
        (D1_LICENSE, facts.license.clone()),
        (AUTHORS, facts.authors.clone()),
        (DESCRIPTION, facts.title.clone()),
        (LICENSES, facts.spdx_license.clone()),
        (CREATED, created.map(str::to_owned)),
    ])
}

fn known<const N: usize>(facts: [(&str, Option<String>); N]) -> Annotations {
    facts.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
}
