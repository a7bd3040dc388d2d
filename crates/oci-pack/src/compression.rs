//! The compressions an archive layer can have, and the identity of the encoder that writes each.

use std::fmt;

use oci_model::MediaType;

/// Compression of an archive layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Compression {
    /// gzip (RFC 1952), the only one that `oras` 1.3 unpacks.
    #[default]
    Gzip,
    /// Zstandard (RFC 8878).
    Zstd,
    /// None: the tar archive itself.
    None,
}

impl Compression {
    /// Returns the media type of a layer with this compression (image-spec layer.md).
    pub fn media_type(self) -> MediaType {
        MediaType::from_static(match self {
            Self::Gzip => MediaType::LAYER_TAR_GZIP,
            Self::Zstd => MediaType::LAYER_TAR_ZSTD,
            Self::None => MediaType::LAYER_TAR,
        })
    }

    /// Returns the identity of the encoder: name and version, level, and largest member.
    ///
    /// Equal tar bytes give equal compressed bytes as long as this text is equal; golden digests in the tests guard it.
    pub fn encoder(self) -> &'static str {
        match self {
            Self::Gzip => "libdeflate-1.26/5/1MiB",
            Self::Zstd => "zstd-1.5.7/3/1MiB",
            Self::None => "none",
        }
    }

    /// Returns the name as it is given on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::None => "none",
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}
