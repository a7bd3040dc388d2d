//! Telling compressions apart by their first bytes, and undoing them.

use std::io::{self, BufRead, Read};

use crate::Compression;
use crate::member_decoder::MemberDecoder;
use crate::tar_block::is_header_or_zero;
use crate::tar_header::BLOCK;

/// A decompressor over any buffered reader; several members or frames in a row are one stream.
pub(crate) enum Decoder<R: BufRead> {
    Gzip(Box<MemberDecoder<R>>),
    Zstd(zstd::stream::read::Decoder<'static, R>),
    None(R),
}

impl<R: BufRead> Decoder<R> {
    pub(crate) fn new(compression: Compression, reader: R) -> io::Result<Self> {
        Ok(match compression {
            Compression::Gzip => Self::Gzip(Box::new(MemberDecoder::new(reader))),
            Compression::Zstd => Self::Zstd(zstd::stream::read::Decoder::with_buffer(reader)?),
            Compression::None => Self::None(reader),
        })
    }
}

impl<R: BufRead> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Gzip(decoder) => decoder.read(buffer),
            Self::Zstd(decoder) => decoder.read(buffer),
            Self::None(reader) => reader.read(buffer),
        }
    }
}

/// Number of bytes at the start of a stream that [`detect`] wants to see.
pub(crate) const DETECTION_LENGTH: usize = BLOCK;

/// Returns the compression of a stream that begins with `head`, if it is an archive at all.
pub(crate) fn detect(head: &[u8]) -> Option<Compression> {
    match head {
        [0x1f, 0x8b, ..] => Some(Compression::Gzip),
        // A frame, or a skippable frame (RFC 8878 section 3.1).
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Compression::Zstd),
        _ => head.first_chunk::<BLOCK>().is_some_and(is_header_or_zero).then_some(Compression::None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EntryKind;
    use crate::tar_header::header_bytes;

    #[test]
    fn the_first_bytes_tell() {
        let tar = header_bytes("a", EntryKind::File { size: 1 });
        assert_eq!(detect(&tar), Some(Compression::None));
        assert_eq!(detect(&[0; BLOCK]), Some(Compression::None));
        assert_eq!(detect(&[0x1f, 0x8b]), Some(Compression::Gzip));
        assert_eq!(detect(&zstd::encode_all(&b""[..], 1).unwrap()), Some(Compression::Zstd));
        assert_eq!(detect(&[0x53, 0x2a, 0x4d, 0x18, 0]), Some(Compression::Zstd));
        assert_eq!(detect(b""), None);
        assert_eq!(detect(&tar[..511]), None);
        assert_eq!(detect(&b"PK\x03\x04".repeat(128)), None);
        let mut damaged = tar;
        damaged[0] = b'b';
        assert_eq!(detect(&damaged), None);
    }
}
