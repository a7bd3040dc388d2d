//! The annotation keys that this project reads and writes.

/// Date and time at which the artifact was made, RFC 3339 (image-spec annotations.md).
pub const CREATED: &str = "org.opencontainers.image.created";
/// Name of a layer's file or directory, as `oras` uses it (image-spec annotations.md).
pub const TITLE: &str = "org.opencontainers.image.title";
/// Tag of a descriptor in the `index.json` of an image layout (image-spec annotations.md).
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// Text for people that describes the artifact (image-spec annotations.md).
pub const DESCRIPTION: &str = "org.opencontainers.image.description";
/// Version of the packaged content (image-spec annotations.md).
pub const VERSION: &str = "org.opencontainers.image.version";
/// Digest of the uncompressed tar archive of a directory layer (`oras`).
pub const ORAS_CONTENT_DIGEST: &str = "io.deis.oras.content.digest";
/// `true` on a layer that `oras` unpacks into a directory.
pub const ORAS_CONTENT_UNPACK: &str = "io.deis.oras.content.unpack";
/// The DataONE identifier (PID) of a package or object, exactly as it is.
pub const D1_IDENTIFIER: &str = "org.dataone.identifier";
/// The identifier of a package's resource map.
pub const D1_RESOURCE_MAP: &str = "org.dataone.resource-map";
/// The DataONE series identifier (SID).
pub const D1_SERIES_ID: &str = "org.dataone.series-id";
/// The identifier of the version that this one replaces.
pub const D1_OBSOLETES: &str = "org.dataone.obsoletes";
/// The object format identifier, which is not a media type.
pub const D1_FORMAT_ID: &str = "org.dataone.format-id";
/// The checksum that system metadata declares, `ALGORITHM:hex`.
pub const D1_CHECKSUM: &str = "org.dataone.checksum";
