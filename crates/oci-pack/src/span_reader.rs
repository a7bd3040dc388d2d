//! Reading a range of a tar archive from the compressed members that hold it.

use std::fmt;
use std::io::{self, BufReader, Read};

use crate::decode::Decoder;
use crate::{Compression, MemberSpan};

/// Yields exactly the wanted bytes of the tar archive, given the compressed bytes of a [`MemberSpan`].
///
/// What it yields is not verified: a table that lies gives other bytes, which the caller's digest of the file tells.
pub struct SpanReader<R: Read> {
    decoder: Decoder<BufReader<R>>,
    skip: u64,
    left: u64,
}

const READ_LENGTH: usize = 64 << 10;

impl<R: Read> SpanReader<R> {
    /// Returns a reader of the span; `compressed` yields the bytes `span.compressed` of the blob.
    ///
    /// # Errors
    ///
    /// If the decompressor cannot be set up.
    pub fn new(compressed: R, compression: Compression, span: &MemberSpan) -> io::Result<Self> {
        let buffered = BufReader::with_capacity(READ_LENGTH, compressed);
        let decoder = Decoder::new(compression, buffered)?;
        Ok(Self { decoder, skip: span.skip, left: span.length })
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

impl<R: Read> Read for SpanReader<R> {
    /// Reads on.
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

impl<R: Read> fmt::Debug for SpanReader<R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("SpanReader");
        debug.field("skip", &self.skip).field("left", &self.left).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member_encoder::MemberEncoder;

    fn read(compressed: &[u8], compression: Compression, skip: u64, length: u64) -> io::Result<Vec<u8>> {
        let span = MemberSpan { compressed: 0..compressed.len() as u64, skip, length };
        let mut bytes = Vec::new();
        SpanReader::new(compressed, compression, &span)?.read_to_end(&mut bytes)?;
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
