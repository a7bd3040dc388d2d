//! The annotation keys of the image specification and of `oras`.

/// Date and time at which the artifact was made, RFC 3339 (image-spec annotations.md).
pub const CREATED: &str = "org.opencontainers.image.created";
/// Name of a layer's file or directory, as `oras` uses it (image-spec annotations.md).
pub const TITLE: &str = "org.opencontainers.image.title";
/// Tag of a descriptor in the `index.json` of an image layout (image-spec annotations.md).
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// Human-readable description of the artifact (image-spec annotations.md).
pub const DESCRIPTION: &str = "org.opencontainers.image.description";
/// Names and addresses of the authors (image-spec annotations.md).
pub const AUTHORS: &str = "org.opencontainers.image.authors";
/// Licences of the content as an SPDX expression (image-spec annotations.md).
pub const LICENSES: &str = "org.opencontainers.image.licenses";
/// Version of the packaged content (image-spec annotations.md).
pub const VERSION: &str = "org.opencontainers.image.version";
/// Digest of the uncompressed tar archive of a directory layer (`oras`).
pub const ORAS_CONTENT_DIGEST: &str = "io.deis.oras.content.digest";
/// `true` on a layer that `oras` unpacks into a directory.
pub const ORAS_CONTENT_UNPACK: &str = "io.deis.oras.content.unpack";
