//! The compressions of archive layers, and the pinned encoders that write them.

use std::fmt;
use std::io;
use std::sync::LazyLock;

use libdeflater::{CompressionLvl, Compressor};
use oci_model::MediaType;
use zstd::bulk;
use zstd::zstd_safe::CParameter;

/// Compression of an archive layer.
///
/// ```
/// use oci_pack::Compression;
///
/// assert_eq!(Compression::Zstd.name(), "zstd");
/// assert_eq!(Compression::Gzip.media_type().as_str(), "application/vnd.oci.image.layer.v1.tar+gzip");
/// ```
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
        // A dependent may link another version than this crate was tested with.
        static ZSTD: LazyLock<String> =
            LazyLock::new(|| format!("zstd-{}/3/1MiB", zstd::zstd_safe::version_string()));
        match self {
            Self::Gzip => "libdeflate-1.26/5/1MiB",
            Self::Zstd => &ZSTD,
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

/// Largest number of tar bytes in one member.
pub(crate) const MEMBER_LENGTH: usize = 1 << 20;

/// How every gzip member begins: no name, no time, unknown system, as Go writes it (RFC 1952 section 2.3).
pub(crate) const MEMBER_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

const GZIP_LEVEL: i32 = 5;
const PROBE_LEVEL: i32 = 1;
const ZSTD_LEVEL: i32 = 3;

/// A member is probed by this many samples of this size, if it has twice as much.
const SAMPLE_COUNT: usize = 8;
const SAMPLE_LENGTH: usize = 4096;

/// A compressor for members, with its working memory.
pub(crate) enum MemberEncoder {
    Gzip(Box<GzipEncoder>),
    Zstd(Box<bulk::Compressor<'static>>),
    None,
}

pub(crate) struct GzipEncoder {
    pinned: Compressor,
    probe: Compressor,
    store: Compressor,
    samples: Vec<u8>,
}

impl MemberEncoder {
    /// Returns an encoder for the compression.
    pub(crate) fn new(compression: Compression) -> io::Result<Self> {
        Ok(match compression {
            Compression::Gzip => Self::Gzip(Box::new(GzipEncoder::new()?)),
            Compression::Zstd => {
                let mut compressor = bulk::Compressor::new(ZSTD_LEVEL)?;
                compressor.set_parameter(CParameter::ChecksumFlag(true))?;
                Self::Zstd(Box::new(compressor))
            }
            Compression::None => Self::None,
        })
    }

    /// Replaces `output` by the member that holds `content`.
    pub(crate) fn encode(&mut self, content: &[u8], output: &mut Vec<u8>) -> io::Result<()> {
        output.clear();
        match self {
            Self::Gzip(encoder) => encoder.encode(content, output),
            Self::Zstd(compressor) => {
                output.reserve(zstd::zstd_safe::compress_bound(content.len()));
                compressor.compress_to_buffer(content, output).map(|_| ())
            }
            Self::None => {
                output.extend_from_slice(content);
                Ok(())
            }
        }
    }
}

impl GzipEncoder {
    fn new() -> io::Result<Self> {
        let at_level = |level| {
            CompressionLvl::new(level)
                .map(Compressor::new)
                .map_err(|error| io::Error::other(format!("libdeflate: {error:?}")))
        };
        Ok(Self {
            pinned: at_level(GZIP_LEVEL)?,
            probe: at_level(PROBE_LEVEL)?,
            store: at_level(0)?,
            samples: Vec::new(),
        })
    }

    fn encode(&mut self, content: &[u8], output: &mut Vec<u8>) -> io::Result<()> {
        let pays = self.compression_pays(content);
        let compressor = if pays { &mut self.pinned } else { &mut self.store };
        output.resize(compressor.gzip_compress_bound(content.len()), 0);
        let length = compressor.gzip_compress(content, output).map_err(refused)?;
        output.truncate(length);
        // libdeflate notes a low level in the header; all members have one header.
        if let Some(header) = output.first_chunk_mut() {
            *header = MEMBER_HEADER;
        }
        Ok(())
    }

    /// Tells from samples of the content alone whether compression gains more than a thirty-second part.
    fn compression_pays(&mut self, content: &[u8]) -> bool {
        if content.len() < 2 * SAMPLE_COUNT * SAMPLE_LENGTH {
            return true;
        }
        self.samples.clear();
        let stride = content.len() / SAMPLE_COUNT;
        for stretch in content.chunks_exact(stride).take(SAMPLE_COUNT) {
            self.samples.extend(stretch.iter().take(SAMPLE_LENGTH));
        }
        let mut output = vec![0; self.probe.deflate_compress_bound(self.samples.len())];
        match self.probe.deflate_compress(&self.samples, &mut output) {
            Ok(length) => length < self.samples.len() - self.samples.len() / 32,
            Err(_) => true,
        }
    }
}

fn refused(error: libdeflater::CompressionError) -> io::Error {
    io::Error::other(format!("libdeflate: {error}"))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::test_data::noise;

    fn encoded(compression: Compression, content: &[u8]) -> Vec<u8> {
        let mut output = vec![7; 3];
        MemberEncoder::new(compression).unwrap().encode(content, &mut output).unwrap();
        output
    }

    #[test]
    fn every_member_has_the_header_that_go_writes_and_reads_back() {
        let text = b"2026-01-01T00:00:00Z,4.25\n".repeat(20_000);
        for content in [&b""[..], b"a", &text, &noise(1, MEMBER_LENGTH)] {
            let member = encoded(Compression::Gzip, content);
            assert_eq!(member[..10], MEMBER_HEADER);
            let mut back = Vec::new();
            flate2::read::GzDecoder::new(&member[..]).read_to_end(&mut back).unwrap();
            assert!(back == content);
        }
    }

    #[test]
    fn noise_is_stored_and_text_is_not() {
        let noisy = noise(2, MEMBER_LENGTH);
        let mut encoder = GzipEncoder::new().unwrap();
        assert!(!encoder.compression_pays(&noisy));
        assert!(encoder.compression_pays(&b"some words and numbers\n".repeat(10_000)));
        assert!(encoded(Compression::Gzip, &noisy).len() < MEMBER_LENGTH + 200);
    }

    #[test]
    fn zstd_members_read_back() {
        let content = b"0.125,".repeat(9999);
        let member = encoded(Compression::Zstd, &content);
        assert!(member.len() < content.len() / 10);
        assert!(zstd::decode_all(&member[..]).unwrap() == content);
    }

    #[test]
    fn the_version_in_the_identity_is_the_one_that_is_linked() {
        let version = zstd::zstd_safe::version_string();
        assert!(Compression::Zstd.encoder().starts_with(&format!("zstd-{version}/")), "{version}");
    }
}
