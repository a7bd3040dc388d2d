//! Artifacts of single files, without a package around them.

use oci_model::annotations::{CREATED, TITLE};
use oci_model::{Annotations, Descriptor, Digest, MediaType, RawManifest};
use oci_pack::ManifestBuilder;
use registry_backend::Capabilities;

use crate::manifest::object_annotations;
use crate::{Error, ObjectFacts, Result, UNKNOWN_ARTIFACT_TYPE, media_type_of};

/// A file that is pushed by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SingleFile {
    /// Title: the name under which the file is pulled, a clean relative path.
    pub title: String,
    /// Media type; without it, it is guessed from the format and the title.
    pub media_type: Option<MediaType>,
    /// Digest of the content.
    pub digest: Digest,
    /// Size of the content in bytes.
    pub size: u64,
    /// What DataONE knows of the file.
    pub object: ObjectFacts,
}

/// How to write the manifest of single files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SingleFileOptions {
    /// Type of the artifact; without it, it is the media type that all files have, if they have one.
    pub artifact_type: Option<MediaType>,
    /// The manifest that the artifact refers to.
    pub subject: Option<Descriptor>,
    /// Date and time for `org.opencontainers.image.created`, RFC 3339; without it the annotation is absent.
    pub created: Option<String>,
    /// Further annotations; they win over those that follow from the content.
    pub annotations: Annotations,
    /// The largest manifest in bytes.
    pub max_manifest_bytes: u64,
}

/// Returns the manifest of an artifact whose layers are these files, in this order; without files, of an empty
/// artifact.
///
/// The configuration is the empty one. The annotations of the only file stand on the manifest as well.
///
/// # Errors
///
/// If the manifest is too large, or two files have one title.
pub fn single_files_manifest(files: &[SingleFile], options: &SingleFileOptions) -> Result<RawManifest> {
    let media_types: Vec<MediaType> = files.iter().map(media_type).collect();
    let artifact_type = options.artifact_type.clone().or_else(|| common(&media_types));
    let artifact_type = artifact_type.unwrap_or_else(|| MediaType::from_static(UNKNOWN_ARTIFACT_TYPE));
    let mut annotations = match files {
        [only] => object_annotations(&only.object),
        _ => Annotations::new(),
    };
    annotations.extend(options.created.iter().map(|created| (CREATED.to_owned(), created.clone())));
    annotations.extend(options.annotations.clone());
    let layers = files.iter().zip(media_types).map(|(file, media_type)| {
        let mut layer = Descriptor::new(media_type, file.digest.clone(), file.size);
        layer.annotations = object_annotations(&file.object);
        layer.with_annotation(TITLE, file.title.clone())
    });
    let mut builder = ManifestBuilder::new(artifact_type, Descriptor::empty()).layers(layers);
    if let Some(subject) = &options.subject {
        builder = builder.subject(subject.clone());
    }
    annotations
        .into_iter()
        .fold(builder, |builder, (key, value)| builder.annotation(&key, value))
        .build(options.max_manifest_bytes)
        .map_err(Error::from)
}

fn media_type(file: &SingleFile) -> MediaType {
    let format_id = file.object.format_id.as_deref();
    file.media_type.clone().unwrap_or_else(|| media_type_of(&file.title, format_id))
}

/// Returns the media type that all have.
fn common(media_types: &[MediaType]) -> Option<MediaType> {
    let (first, others) = media_types.split_first()?;
    others.iter().all(|other| other == first).then(|| first.clone())
}

impl Default for SingleFileOptions {
    fn default() -> Self {
        Self {
            artifact_type: None,
            subject: None,
            created: None,
            annotations: Annotations::new(),
            max_manifest_bytes: Capabilities::PORTABLE_MANIFEST_BYTES,
        }
    }
}
