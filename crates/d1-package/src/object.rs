//! Artifacts without a package: single files, and a DataONE object with its system metadata.

use bagit::Algorithm;
use d1_model::{Identifier, ObjectFormatList, SystemMetadata};
use oci_model::annotations::{CREATED, TITLE};
use oci_model::{Annotations, Descriptor, Digest, ImageManifest, MediaType, RawManifest};
use oci_pack::ManifestBuilder;
use registry_backend::Capabilities;
use safe_files::path_fault;

use crate::annotations::{D1_IDENTIFIER, D1_NOT_PUBLIC, D1_OBSOLETES, D1_SERIES_ID};
use crate::dataone::{algorithm_to_compare, declared_algorithm, sanitised};
use crate::error::{Error, Result};
use crate::files::ObjectFacts;
use crate::manifest::object_annotations;
use crate::media::{SYSTEM_METADATA_ARTIFACT_TYPE, UNKNOWN_ARTIFACT_TYPE, media_type_of};

/// A file that is pushed by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SingleFile {
    /// Title: the name under which the file is pulled, a clean relative path.
    pub title: String,
    /// Media type. Without it, format and title decide.
    pub media_type: Option<MediaType>,
    /// Digest of the content.
    pub digest: Digest,
    /// Size of the content in bytes.
    pub size: u64,
    /// The facts about the file in DataONE documents.
    pub object: ObjectFacts,
}

/// Options of a manifest of single files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SingleFileOptions {
    /// Type of the artifact. Without one, the common media type of all files is used, if they have one.
    pub artifact_type: Option<MediaType>,
    /// The manifest that the artifact refers to.
    pub subject: Option<Descriptor>,
    /// Date and time for `org.opencontainers.image.created`, RFC 3339. Without one, the annotation is absent.
    pub created: Option<String>,
    /// Further annotations. They override those that follow from the content.
    pub annotations: Annotations,
    /// The largest manifest in bytes.
    pub max_manifest_bytes: u64,
}

/// Returns the manifest of an artifact whose layers are these files, in this order. Without files, the artifact is
/// empty.
///
/// The configuration is the empty one. The annotations of an only file are on the manifest too.
///
/// # Errors
///
/// If the manifest is too large, or two files have the same title.
///
/// ```
/// use d1_package::{ObjectFacts, SingleFile, SingleFileOptions, single_files_manifest};
/// use oci_model::{Digest, Manifest};
///
/// let file = SingleFile {
///     title: "temperature.csv".to_owned(),
///     media_type: None,
///     digest: Digest::sha256_of(b"15,7.2\n"),
///     size: 7,
///     object: ObjectFacts::default(),
/// };
/// let manifest = single_files_manifest(&[file], &SingleFileOptions::default())?;
/// let Manifest::Image(manifest) = manifest.parse()? else { return Err("expected an image manifest".into()) };
/// // The type of the artifact is that of its only file.
/// assert_eq!(manifest.artifact_type, Some("text/csv".parse()?));
/// assert_eq!(manifest.layers[0].size, 7);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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

/// Returns the common media type.
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

/// Media type of system metadata, from the list of object formats.
const SYSTEM_METADATA_MEDIA_TYPE: &str = "text/xml";

/// Longest file name on common file systems, in bytes.
const LONGEST_NAME: usize = 255;

/// Longest part of an identifier in a file name, in bytes.
const LONGEST_IDENTIFIER: usize = 200;

/// Returns an object as a single file. Everything follows from its system metadata and the digest, so the object
/// is not read.
///
/// A declared checksum that cannot be verified is left out.
#[must_use]
pub fn object_file(document: &SystemMetadata, digest: Digest, size: u64) -> SingleFile {
    let verifiable = declared_algorithm(&document.checksum).is_some();
    SingleFile {
        title: object_title(document),
        media_type: None,
        digest,
        size,
        object: ObjectFacts {
            identifier: Some(document.identifier.clone()),
            format_id: Some(document.format_id.as_str().into()),
            declared_checksum: verifiable.then(|| document.checksum.clone()),
            ..ObjectFacts::default()
        },
    }
}

/// Returns the manifest of an object that is pushed by itself. Annotations of the options override those that
/// follow from the system metadata.
///
/// # Errors
///
/// If the manifest is too large.
pub fn object_manifest(
    file: &SingleFile,
    document: Option<&SystemMetadata>,
    options: &SingleFileOptions,
) -> Result<RawManifest> {
    let mut options = options.clone();
    let text = |identifier: &Option<Identifier>| identifier.as_ref().map(ToString::to_string);
    let facts = document.map(|document| {
        let not_public = (!document.is_public()).then(|| 1.to_string());
        [
            (D1_SERIES_ID, text(&document.series_id)),
            (D1_OBSOLETES, text(&document.obsoletes)),
            (D1_NOT_PUBLIC, not_public),
        ]
    });
    for (key, value) in facts.into_iter().flatten() {
        if let Some(value) = value {
            options.annotations.entry(key.to_owned()).or_insert(value);
        }
    }
    single_files_manifest(std::slice::from_ref(file), &options)
}

/// Returns the manifest of an object's system metadata, which refers to the object. Its creation time is the time
/// of the last change of the system metadata, if they state it.
///
/// # Errors
///
/// If the manifest is too large.
pub fn system_metadata_manifest(
    object: &Descriptor,
    document: &SystemMetadata,
    digest: Digest,
    size: u64,
    max_manifest_bytes: u64,
) -> Result<RawManifest> {
    let file = SingleFile {
        title: system_metadata_name(&document.identifier),
        media_type: Some(MediaType::from_static(SYSTEM_METADATA_MEDIA_TYPE)),
        digest,
        size,
        object: ObjectFacts { identifier: Some(document.identifier.clone()), ..ObjectFacts::default() },
    };
    let modified = document.date_modified.as_ref().and_then(d1_model::DateTime::instant);
    let options = SingleFileOptions {
        artifact_type: Some(MediaType::from_static(SYSTEM_METADATA_ARTIFACT_TYPE)),
        // The subject has only the fields that identify it. Its annotations belong to itself.
        subject: Some(Descriptor::new(object.media_type.clone(), object.digest.clone(), object.size)),
        created: modified.map(|instant| instant.to_string()),
        max_manifest_bytes,
        ..SingleFileOptions::default()
    };
    single_files_manifest(&[file], &options)
}

/// Returns the layer of an artifact that is this object pushed by itself. Returns `None` for any other artifact,
/// such as a package with the same identifier.
#[must_use]
pub fn object_layer_of<'a>(manifest: &'a ImageManifest, identifier: &Identifier) -> Option<&'a Descriptor> {
    let is_named = |value: Option<&str>| value == Some(identifier.as_str());
    let [layer] = manifest.layers.as_slice() else { return None };
    let is_object = manifest.config.digest == Descriptor::empty().digest
        && manifest.subject.is_none()
        && is_named(manifest.annotations.get(D1_IDENTIFIER).map(String::as_str))
        && is_named(layer.annotation(D1_IDENTIFIER))
        && layer.annotation(TITLE).is_some();
    is_object.then_some(layer)
}

/// Returns the algorithm besides SHA-256 that the check of an object against its system metadata needs.
#[must_use]
pub fn object_algorithm(document: &SystemMetadata) -> Option<Algorithm> {
    algorithm_to_compare(&document.checksum).filter(|algorithm| *algorithm != Algorithm::Sha256)
}

/// Returns the file name of an object: the one from its system metadata if it is safe, else one made from its
/// identifier.
fn object_title(document: &SystemMetadata) -> String {
    if let Some(name) = document.file_name.as_deref().filter(|name| is_file_name(name)) {
        return name.to_owned();
    }
    let name = name_of(&document.identifier);
    let format = ObjectFormatList::builtin().get(&document.format_id);
    match format.and_then(|format| format.extension.as_deref()).filter(|extension| is_file_name(extension)) {
        Some(extension) if !name.ends_with(&format!(".{extension}")) => format!("{name}.{extension}"),
        _ => name,
    }
}

/// Returns the file name of an object's system metadata, as in Metacat's bags: `sysmeta-`, the identifier with `_`
/// for every character outside `[A-Za-z0-9.-]`, and `.xml`.
fn system_metadata_name(identifier: &Identifier) -> String {
    format!("sysmeta-{}.xml", name_of(identifier))
}

/// Returns a file name for an identifier, cut to leave room for more. It is neither reversible nor unique.
fn name_of(identifier: &Identifier) -> String {
    let name: String = sanitised(identifier.as_str()).chars().take(LONGEST_IDENTIFIER).collect();
    // Such names are hidden files, or directories.
    if name.starts_with('.') { name.replacen('.', "_", 1) } else { name }
}

fn is_file_name(name: &str) -> bool {
    name.len() <= LONGEST_NAME
        && path_fault(name).is_none()
        && !name.chars().any(|character| matches!(character, '/' | '\\') || character.is_control())
}

#[cfg(test)]
mod tests {
    use d1_model::{Checksum, SystemMetadata};
    use oci_model::{Descriptor, Digest, Manifest};

    use super::*;

    const DOCUMENT: &str = r#"<v2:systemMetadata xmlns:v2="http://ns.dataone.org/service/types/v2.0">
        <identifier>urn:uuid:bd3d29b6-b25d-46ab-91a0-1938cd7ccadd</identifier><formatId>text/csv</formatId><size>3</size>
        <checksum algorithm="MD5">900150983cd24fb0d6963f7d28e17f72</checksum><rightsHolder>x</rightsHolder>
        <obsoletes>a.1</obsoletes><dateSysMetadataModified>2024-05-06T07:08:09.000+00:00</dateSysMetadataModified>
        <seriesId>a</seriesId></v2:systemMetadata>"#;

    fn document() -> SystemMetadata {
        SystemMetadata::parse(DOCUMENT.as_bytes()).unwrap().value
    }

    fn title(name: &str) -> String {
        object_title(&SystemMetadata { file_name: Some(name.to_owned()), ..document() })
    }

    #[test]
    fn file_names_are_taken_if_they_are_some() {
        assert_eq!(title("Größe in m.csv"), "Größe in m.csv");
        let from_identifier = "urn_uuid_bd3d29b6-b25d-46ab-91a0-1938cd7ccadd.csv";
        for name in ["", "..", ".", "a/b", "../a", "a\\b", "C:x", "~/x", "a\nb", &"x".repeat(256)] {
            assert_eq!(title(name), from_identifier, "{name:?}");
        }
        assert_eq!(object_title(&document()), from_identifier);
    }

    #[test]
    fn identifiers_become_file_names() {
        for (identifier, name) in [
            ("doi:10.1/Aß".to_owned(), "doi_10.1_A_".to_owned()),
            ("..".to_owned(), "_.".to_owned()),
            ("../../x".to_owned(), "_._.._x".to_owned()),
            ("x".repeat(800), "x".repeat(200)),
        ] {
            let found = system_metadata_name(&identifier.parse().unwrap());
            assert_eq!(found, format!("sysmeta-{name}.xml"));
            assert!(is_file_name(&found));
        }
    }

    #[test]
    fn the_manifest_says_what_the_system_metadata_say() {
        let digest = Digest::sha256_of(b"abc");
        let file = object_file(&document(), digest.clone(), 3);
        let raw = object_manifest(&file, Some(&document()), &SingleFileOptions::default()).unwrap();
        let Manifest::Image(manifest) = raw.parse().unwrap() else { panic!() };
        let annotations: Vec<_> =
            manifest.annotations.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let expected = [
            ("org.dataone.checksum", "MD5:900150983cd24fb0d6963f7d28e17f72"),
            ("org.dataone.format-id", "text/csv"),
            ("org.dataone.identifier", "urn:uuid:bd3d29b6-b25d-46ab-91a0-1938cd7ccadd"),
            // The document has no access policy.
            ("org.dataone.not-public", "1"),
            ("org.dataone.obsoletes", "a.1"),
            ("org.dataone.series-id", "a"),
        ];
        assert_eq!(annotations, expected);
        assert_eq!(manifest.artifact_type.as_ref().unwrap().as_str(), "text/csv");
        let layer = object_layer_of(&manifest, &document().identifier).unwrap();
        assert_eq!((&layer.digest, layer.size), (&digest, 3));
        assert!(object_layer_of(&manifest, &"other".parse().unwrap()).is_none());
    }

    #[test]
    fn system_metadata_refer_to_the_object_and_are_dated() {
        let object = Descriptor::empty().with_annotation("not", "copied");
        let raw =
            system_metadata_manifest(&object, &document(), Digest::sha256_of(b"x"), 1, 1 << 20).unwrap();
        let Manifest::Image(manifest) = raw.parse().unwrap() else { panic!() };
        let subject = manifest.subject.unwrap();
        assert!(subject.annotations.is_empty() && subject.digest == object.digest);
        assert_eq!(manifest.annotations["org.opencontainers.image.created"], "2024-05-06T07:08:09Z");
        assert_eq!(manifest.artifact_type.unwrap().as_str(), SYSTEM_METADATA_ARTIFACT_TYPE);
    }

    #[test]
    fn a_checksum_that_cannot_be_verified_is_not_stated() {
        let mut document = document();
        assert_eq!(object_algorithm(&document), Some(Algorithm::Md5));
        document.checksum = "CRC32:00ff00ff".parse::<Checksum>().unwrap();
        assert_eq!(object_algorithm(&document), None);
        assert_eq!(object_file(&document, Digest::sha256_of(b""), 0).object.declared_checksum, None);
    }
}
