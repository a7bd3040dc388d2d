//! Media types: those of the format itself, and those of object layers.

use bagit::Version;
use d1_model::media_type_for;
use oci_model::MediaType;
use oci_pack::Compression;

/// Media type of the configuration blob that holds a package's index.
pub const INDEX_MEDIA_TYPE: &str = "application/vnd.dataone.package.index.v1+json";

/// Artifact type of an object's system metadata, attached to the object as a referrer.
pub const SYSTEM_METADATA_ARTIFACT_TYPE: &str = "application/vnd.dataone.system-metadata+xml";

/// Artifact type of an RO-Crate that is not the payload of a bag.
///
/// The RO-Crate community has no artifact type (docs/decisions/0007-ro-crate.md).
pub const RO_CRATE_ARTIFACT_TYPE: &str = "application/vnd.dataone.ro-crate";

/// Artifact type of the tombstone of a withdrawn object, and media type of its document.
pub const TOMBSTONE_TYPE: &str = "application/vnd.dataone.tombstone.v1+json";

/// Tells whether an artifact of this type is the tombstone of a withdrawn object.
#[must_use]
pub fn is_tombstone(artifact_type: Option<&MediaType>) -> bool {
    artifact_type.is_some_and(|kind| kind.as_str() == TOMBSTONE_TYPE)
}

/// Artifact type of artifacts without a better one. `oras` uses it too.
pub const UNKNOWN_ARTIFACT_TYPE: &str = "application/vnd.unknown.artifact.v1";

/// Annotation of a layer that is one part of a file: `NUMBER/COUNT`, counted from 1.
pub const PART_ANNOTATION: &str = "org.dataone.part";

/// The beginning of the artifact type of a bag. Its version follows.
pub(crate) const BAG_ARTIFACT_TYPE: &str = "application/bagit-";

/// Returns the artifact type of a bag: `application/bagit-1.0`, with the version that the bag declares.
///
/// ```
/// use bagit::Version;
///
/// assert_eq!(d1_package::bag_artifact_type(Version::V1_0).as_str(), "application/bagit-1.0");
/// ```
#[must_use]
pub fn bag_artifact_type(version: Version) -> MediaType {
    let text = format!("{BAG_ARTIFACT_TYPE}{version}");
    // Digits and a dot are allowed in a media type.
    text.parse().unwrap_or_else(|error| unreachable!("{error}"))
}

/// Returns the media type for an object's layer: that of its format, else one by the path's extension, else
/// `application/octet-stream`.
///
/// A `formatId` is not a media type, even if it looks like one: only the list of object formats decides.
///
/// ```
/// use d1_package::media_type_of;
///
/// assert_eq!(media_type_of("data/a.csv", None).as_str(), "text/csv");
/// let eml = Some("https://eml.ecoinformatics.org/eml-2.2.0");
/// assert_eq!(media_type_of("metadata/science-metadata.xml", eml).as_str(), "text/xml");
/// ```
#[must_use]
pub fn media_type_of(path: &str, format_id: Option<&str>) -> MediaType {
    let by_format = format_id.and_then(media_type_for).and_then(|text| text.parse().ok());
    by_format.unwrap_or_else(|| MediaType::from_static(by_extension(path)))
}

/// Returns whether the layer of a file may have this media type. Registries give a meaning to the types of OCI and
/// Docker.
pub(crate) fn is_object_media_type(media_type: &MediaType) -> bool {
    let name = media_type.as_str().to_ascii_lowercase();
    !name.contains("vnd.oci.") && !name.contains("vnd.docker.")
}

/// Returns the compression of archive layers with this media type, or `None` for other types.
#[must_use]
pub fn archive_compression(media_type: &MediaType) -> Option<Compression> {
    let known = [Compression::Gzip, Compression::Zstd, Compression::None];
    known.into_iter().find(|compression| compression.media_type() == *media_type)
}

fn by_extension(path: &str) -> &'static str {
    let name = path.rsplit('/').next().unwrap_or_default();
    let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    let Some(extension) = extension else { return MediaType::OCTET_STREAM };
    EXTENSIONS
        .iter()
        .find(|(_, extensions)| extensions.split(' ').any(|known| known == extension))
        .map_or(MediaType::OCTET_STREAM, |(media_type, _)| media_type)
}

/// Media types, in the spelling of the list of object formats and the IANA registry, and the extensions of their
/// files.
const EXTENSIONS: [(&str, &str); 46] = [
    ("text/csv", "csv"),
    ("text/tab-separated-values", "tsv tab"),
    ("text/plain", "txt text log dat asc readme"),
    ("text/markdown", "md markdown"),
    ("text/html", "html htm"),
    ("text/xml", "xml eml rdf"),
    ("text/turtle", "ttl"),
    ("text/x-python", "py"),
    ("text/x-rsrc", "r"),
    ("text/x-matlab", "m"),
    ("text/yaml", "yaml yml"),
    ("application/R", "rmd qmd"),
    ("application/json", "json"),
    ("application/ld+json", "jsonld"),
    ("application/geo+json", "geojson"),
    ("application/x-ipynb+json", "ipynb"),
    ("application/netcdf", "nc nc4 cdf"),
    ("application/x-hdf5", "h5 hdf5 he5"),
    ("application/x-hdf", "hdf h4"),
    ("application/x-grib", "grb grib grb2 grib2"),
    ("application/x-matlab-data", "mat"),
    ("application/x-rlang-transport", "rds rdata rda"),
    ("application/vnd.apache.parquet", "parquet"),
    ("application/vnd.google-earth.kml+xml", "kml"),
    ("application/vnd.google-earth.kmz", "kmz"),
    ("application/geopackage+sqlite3", "gpkg"),
    ("application/vnd.sqlite3", "sqlite sqlite3 db"),
    ("application/vnd.shp", "shp"),
    ("application/vnd.dbf", "dbf"),
    ("application/fits", "fits fit fts"),
    ("application/pdf", "pdf"),
    ("application/msword", "doc"),
    ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx"),
    ("application/vnd.ms-excel", "xls"),
    ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx"),
    ("application/zip", "zip"),
    ("application/gzip", "gz tgz"),
    ("application/zstd", "zst"),
    ("application/x-bzip2", "bz2"),
    ("application/x-xz", "xz"),
    ("application/x-tar", "tar"),
    ("image/tiff", "tif tiff"),
    ("image/jpeg", "jpg jpeg"),
    ("image/png", "png"),
    ("video/mp4", "mp4"),
    ("audio/wav", "wav"),
];

#[cfg(test)]
mod tests {
    use super::{EXTENSIONS, media_type_of};

    #[test]
    fn the_format_decides_before_the_extension() {
        let cases = [
            ("a.bin", Some("eml://ecoinformatics.org/eml-2.1.1"), "text/xml"),
            ("a.csv", Some("text/csv"), "text/csv"),
            ("a.CSV", None, "text/csv"),
            ("data.d/a", None, "application/octet-stream"),
            ("data/x.tar.gz", None, "application/gzip"),
            ("data/model.nc", Some("no such format"), "application/netcdf"),
            ("a.b c", None, "application/octet-stream"),
        ];
        for (path, format_id, expected) in cases {
            assert_eq!(media_type_of(path, format_id).as_str(), expected, "{path} {format_id:?}");
        }
    }

    #[test]
    fn every_extension_stands_once_and_every_type_is_one() {
        let mut seen = std::collections::HashSet::new();
        for (media_type, extensions) in EXTENSIONS {
            assert!(media_type.parse::<oci_model::MediaType>().is_ok(), "{media_type}");
            for extension in extensions.split(' ') {
                assert!(seen.insert(extension), "{extension}");
            }
        }
    }

    #[test]
    fn no_object_gets_a_type_that_means_something_to_registries() {
        for format in d1_model::ObjectFormatList::builtin().formats() {
            let media_type = media_type_of("x", Some(&format.format_id));
            assert!(!media_type.as_str().contains("vnd.oci") && !media_type.as_str().contains("vnd.docker"));
        }
    }
}
