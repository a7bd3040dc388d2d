//! The annotation keys of DataONE facts, on manifests and layers (docs/artifact-format.md).

/// The DataONE identifier (PID) of a package or object, exactly as DataONE has it.
pub const D1_IDENTIFIER: &str = "org.dataone.identifier";
/// The identifier of a package's resource map.
pub const D1_RESOURCE_MAP: &str = "org.dataone.resource-map";
/// The DataONE series identifier (SID).
pub const D1_SERIES_ID: &str = "org.dataone.series-id";
/// The identifier of the version that this one replaces.
pub const D1_OBSOLETES: &str = "org.dataone.obsoletes";
/// The licence of a package from an RO-Crate: an address or a text.
pub const D1_LICENSE: &str = "org.dataone.license";
/// Digest of the identities of all members. Packages with equal content have the same one (docs/artifact-format.md
/// section 6.5).
pub const D1_CONTENT_DIGEST: &str = "org.dataone.content-digest";
/// `true` if the object that gave the package its identifier is archived.
pub const D1_ARCHIVED: &str = "org.dataone.archived";
/// The identifier of the version that replaces this one.
pub const D1_OBSOLETED_BY: &str = "org.dataone.obsoleted-by";
/// The number of objects in the artifact that not everybody may read.
pub const D1_NOT_PUBLIC: &str = "org.dataone.not-public";
/// The object format identifier, which is not a media type.
pub const D1_FORMAT_ID: &str = "org.dataone.format-id";
/// The checksum that system metadata declares, `ALGORITHM:hex`.
pub const D1_CHECKSUM: &str = "org.dataone.checksum";
