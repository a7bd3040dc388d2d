//! The list of members, and reading a range of the tar archive from the members that hold it.

use std::fmt;
use std::io::{self, BufReader, Read};
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::compression::Compression;
use crate::decoder::Decoder;

/// One independently compressed piece of an archive: a gzip member or a zstd frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Start of the compressed bytes in the blob.
    pub offset: u64,
    /// Number of compressed bytes.
    pub length: u64,
    /// Start of the member's content in the tar archive.
    pub tar_offset: u64,
    /// Number of bytes of the tar archive.
    pub tar_length: u64,
}

/// The bytes of a blob that hold a range of its tar archive. [`MemberReader`] reads them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberRange {
    /// The range in the blob: whole members.
    pub compressed: Range<u64>,
    /// Number of inflated bytes to drop before the wanted ones.
    pub skip: u64,
    /// Number of wanted bytes.
    pub length: u64,
}

/// A list of members that does not cover the wanted range, or contradicts itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MemberError {
    /// The range reaches beyond what the members hold.
    #[error("the members do not hold the tar bytes {start}..{end}")]
    Uncovered {
        /// First wanted byte.
        start: u64,
        /// First byte after the wanted ones.
        end: u64,
    },
    /// Members overlap, leave gaps, or reach beyond the largest number.
    #[error("member {index} does not follow the one before it")]
    Inconsistent {
        /// Position in the list.
        index: usize,
    },
}

/// Returns the compressed range whose members hold `wanted`, a range of the tar archive.
///
/// An empty range needs no bytes.
///
/// # Errors
///
/// If the members do not cover the range, or those that do are not contiguous.
///
/// ```
/// use oci_pack::{Member, members_covering};
///
/// let members = [
///     Member { offset: 0, length: 300, tar_offset: 0, tar_length: 1000 },
///     Member { offset: 300, length: 400, tar_offset: 1000, tar_length: 1000 },
/// ];
/// let covering = members_covering(&members, 1500..1600)?;
/// assert_eq!((covering.compressed, covering.skip, covering.length), (300..700, 500, 100));
/// # Ok::<(), oci_pack::MemberError>(())
/// ```
pub fn members_covering(members: &[Member], wanted: Range<u64>) -> Result<MemberRange, MemberError> {
    let uncovered = MemberError::Uncovered { start: wanted.start, end: wanted.end };
    if wanted.end < wanted.start {
        return Err(uncovered);
    }
    let length = wanted.end - wanted.start;
    if length == 0 {
        return Ok(MemberRange { compressed: 0..0, skip: 0, length: 0 });
    }
    let first = members.partition_point(|member| member.tar_offset <= wanted.start).checked_sub(1);
    let (Some(first), Some(covering)) = (first, first.and_then(|first| members.get(first..))) else {
        return Err(uncovered);
    };
    let Some(begin) = covering.first().copied() else { return Err(uncovered) };
    let (mut next, mut next_tar) = (begin.offset, begin.tar_offset);
    for (position, member) in covering.iter().enumerate() {
        let inconsistent = MemberError::Inconsistent { index: first + position };
        if (member.offset, member.tar_offset) != (next, next_tar) {
            return Err(inconsistent);
        }
        let ends = (next.checked_add(member.length), next_tar.checked_add(member.tar_length));
        let (Some(end), Some(tar_end)) = ends else { return Err(inconsistent) };
        (next, next_tar) = (end, tar_end);
        if next_tar >= wanted.end {
            let skip = wanted.start - begin.tar_offset;
            return Ok(MemberRange { compressed: begin.offset..next, skip, length });
        }
    }
    Err(uncovered)
}

/// Yields exactly the wanted bytes of the tar archive, given the compressed bytes of a [`MemberRange`].
///
/// The bytes are not verified. A false list of members gives other bytes, and the caller must compare the file's
/// digest.
pub struct MemberReader<R: Read> {
    decoder: Decoder<BufReader<R>>,
    skip: u64,
    left: u64,
}

const READ_LENGTH: usize = 64 << 10;

impl<R: Read> MemberReader<R> {
    /// Returns a reader of the range. `compressed` yields the bytes `covering.compressed` of the blob.
    ///
    /// # Errors
    ///
    /// If the decompressor cannot be set up.
    pub fn new(compressed: R, compression: Compression, covering: &MemberRange) -> io::Result<Self> {
        let buffered = BufReader::with_capacity(READ_LENGTH, compressed);
        let decoder = Decoder::new(compression, buffered)?;
        Ok(Self { decoder, skip: covering.skip, left: covering.length })
    }

    fn skip_to_start(&mut self) -> io::Result<()> {
        let mut scratch = vec![0; READ_LENGTH];
        while self.skip > 0 {
            let wanted = scratch.len().min(usize::try_from(self.skip).unwrap_or(usize::MAX));
            let count = self.decoder.read(scratch.get_mut(..wanted).unwrap_or_default())?;
            if count == 0 {
                return Err(self.ended());
            }
            self.skip -= count as u64;
        }
        Ok(())
    }

    fn ended(&self) -> io::Error {
        let missing = self.skip.saturating_add(self.left);
        let detail = format!("the compressed range ends {missing} bytes before the wanted range does");
        io::Error::new(io::ErrorKind::UnexpectedEof, detail)
    }
}

impl<R: Read> Read for MemberReader<R> {
    /// Reads the next bytes.
    ///
    /// # Errors
    ///
    /// If the compressed bytes cannot be read, are damaged (`InvalidData` or `InvalidInput`), or end too early
    /// (`UnexpectedEof`).
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let Some(buffer) = buffer.get_mut(..wanted).filter(|buffer| !buffer.is_empty()) else {
            return Ok(0);
        };
        if self.skip > 0 {
            self.skip_to_start()?;
        }
        let count = self.decoder.read(buffer)?;
        if count == 0 {
            return Err(self.ended());
        }
        self.left -= count as u64;
        Ok(count)
    }
}

impl<R: Read> fmt::Debug for MemberReader<R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("MemberReader");
        debug.field("skip", &self.skip).field("left", &self.left).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compression::MemberEncoder;

    fn members() -> Vec<Member> {
        [(0, 10, 0, 100), (10, 5, 100, 50), (15, 30, 150, 200)]
            .map(|(offset, length, tar_offset, tar_length)| Member { offset, length, tar_offset, tar_length })
            .to_vec()
    }

    #[test]
    fn whole_members_around_the_range_are_read() {
        let cases = [
            (0..1, 0..10, 0),
            (0..100, 0..10, 0),
            (99..101, 0..15, 99),
            (100..150, 10..15, 0),
            (120..121, 10..15, 20),
            (0..350, 0..45, 0),
            (349..350, 15..45, 199),
        ];
        for (wanted, compressed, skip) in cases {
            let covering = members_covering(&members(), wanted.clone()).unwrap();
            let length = wanted.end - wanted.start;
            assert_eq!(covering, MemberRange { compressed, skip, length }, "{wanted:?}");
        }
    }

    #[test]
    fn an_empty_range_costs_nothing() {
        assert_eq!(members_covering(&members(), 400..400).unwrap().compressed, 0..0);
    }

    #[test]
    fn what_the_members_do_not_hold_is_an_error() {
        for wanted in [349..351, 350..351, 0..u64::MAX, Range { start: 9, end: 8 }] {
            assert!(
                matches!(members_covering(&members(), wanted.clone()), Err(MemberError::Uncovered { .. })),
                "{wanted:?}"
            );
        }
        assert!(members_covering(&[], 0..1).is_err());
    }

    #[test]
    fn members_with_gaps_are_an_error() {
        for change in [
            |member: &mut Member| member.offset += 1,
            |member: &mut Member| member.tar_offset += 1,
            |member: &mut Member| member.length = u64::MAX,
        ] {
            let mut members = members();
            change(&mut members[1]);
            assert_eq!(members_covering(&members, 0..350), Err(MemberError::Inconsistent { index: 1 }));
        }
    }

    fn read(compressed: &[u8], compression: Compression, skip: u64, length: u64) -> io::Result<Vec<u8>> {
        let covering = MemberRange { compressed: 0..compressed.len() as u64, skip, length };
        let mut bytes = Vec::new();
        MemberReader::new(compressed, compression, &covering)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    #[test]
    fn exactly_the_wanted_bytes_come() {
        for compression in [Compression::Gzip, Compression::Zstd, Compression::None] {
            let mut blob = Vec::new();
            for part in [&b"0123456789"[..], b"abcdef"] {
                let mut member = Vec::new();
                MemberEncoder::new(compression).unwrap().encode(part, &mut member).unwrap();
                blob.extend(member);
            }
            assert_eq!(read(&blob, compression, 8, 4).unwrap(), b"89ab", "{compression}");
            assert_eq!(read(&blob, compression, 0, 16).unwrap(), b"0123456789abcdef", "{compression}");
            assert_eq!(read(&[], compression, 0, 0).unwrap(), b"");
            for (skip, length) in [(0, 17), (17, 1), (u64::MAX, u64::MAX)] {
                let error = read(&blob, compression, skip, length).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{compression} {skip} {length}");
            }
        }
    }

    #[test]
    fn damaged_members_are_an_error() {
        assert!(read(b"no gzip at all", Compression::Gzip, 0, 1).is_err());
        assert!(read(b"no zstd at all", Compression::Zstd, 0, 1).is_err());
    }
}
