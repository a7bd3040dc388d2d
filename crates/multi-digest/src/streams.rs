//! Readers and writers that hash and count the bytes that pass through them.

use std::io::{self, Read, Write};

use crate::hasher::MultiHasher;

/// Receives the bytes of one stream in order, such as a hasher.
///
/// `()` ignores them, so that a [`HashingReader`] only counts.
pub trait Update {
    /// Takes the next bytes.
    fn update(&mut self, bytes: &[u8]);
}

impl Update for MultiHasher {
    fn update(&mut self, bytes: &[u8]) {
        Self::update(self, bytes);
    }
}

impl Update for () {
    fn update(&mut self, _: &[u8]) {}
}

/// Hashes and counts the bytes that are read through it.
///
/// ```
/// use std::io::Read;
///
/// use multi_digest::HashingReader;
///
/// let mut reader = HashingReader::counting(&b"some bytes"[..]);
/// reader.read_exact(&mut [0; 4])?;
/// assert_eq!(reader.length(), 4);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct HashingReader<R, H = MultiHasher> {
    inner: R,
    hasher: H,
    length: u64,
}

impl<R> HashingReader<R, ()> {
    /// Returns a reader that only counts the bytes.
    pub fn counting(inner: R) -> Self {
        Self::new(inner, ())
    }
}

impl<R, H> HashingReader<R, H> {
    /// Returns a reader that feeds the bytes of `inner` to `hasher`.
    pub fn new(inner: R, hasher: H) -> Self {
        Self { inner, hasher, length: 0 }
    }

    /// Returns the number of bytes read so far.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Returns the hasher, which has seen every byte read so far.
    pub fn into_hasher(self) -> H {
        self.hasher
    }
}

impl<R: Read, H: Update> Read for HashingReader<R, H> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(buffer.get(..count).unwrap_or_default());
        self.length = self.length.saturating_add(count as u64);
        Ok(count)
    }
}

/// Hashes and counts the bytes that are written through it.
///
/// ```
/// use std::io::Write;
///
/// use multi_digest::{Algorithm, Digests, HashingWriter, MultiHasher};
///
/// let mut writer = HashingWriter::new(Vec::new(), MultiHasher::new(Algorithm::Md5.into()));
/// writer.write_all(b"abc")?;
/// let (written, hasher) = writer.into_parts();
/// assert_eq!(written, b"abc");
/// assert_eq!(hasher.finish(), Digests::of(Algorithm::Md5.into(), b"abc"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct HashingWriter<W, H = MultiHasher> {
    inner: W,
    hasher: H,
    length: u64,
}

impl<W> HashingWriter<W, ()> {
    /// Returns a writer that only counts the bytes.
    pub fn counting(inner: W) -> Self {
        Self::new(inner, ())
    }
}

impl<W, H> HashingWriter<W, H> {
    /// Returns a writer that passes bytes on to `inner` and feeds those that `inner` accepted to `hasher`.
    pub fn new(inner: W, hasher: H) -> Self {
        Self { inner, hasher, length: 0 }
    }

    /// Returns the number of bytes that the inner writer has accepted.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Returns the inner writer, and the hasher, which has seen every byte that the writer accepted.
    pub fn into_parts(self) -> (W, H) {
        (self.inner, self.hasher)
    }
}

impl<W: Write, H: Update> Write for HashingWriter<W, H> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.hasher.update(bytes.get(..count).unwrap_or_default());
        self.length = self.length.saturating_add(count as u64);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Algorithm, AlgorithmSet, Digests};

    fn md5() -> AlgorithmSet {
        Algorithm::Md5.into()
    }

    #[test]
    fn a_reader_hashes_and_counts_every_byte() {
        let mut reader = HashingReader::new(&b"some bytes"[..], MultiHasher::new(md5()));
        io::copy(&mut reader, &mut io::sink()).unwrap();
        assert_eq!(reader.length(), 10);
        assert_eq!(reader.into_hasher().finish(), Digests::of(md5(), b"some bytes"));
    }

    #[test]
    fn a_writer_hashes_only_the_bytes_that_were_accepted() {
        let mut room = [0; 6];
        let mut writer = HashingWriter::new(&mut room[..], MultiHasher::new(md5()));
        assert!(writer.write_all(b"some bytes").is_err());
        assert_eq!(writer.length(), 6);
        assert_eq!(writer.into_parts().1.finish(), Digests::of(md5(), b"some b"));
    }
}
