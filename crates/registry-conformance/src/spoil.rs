//! Streams of bytes that are cut, shortened or changed on the way.

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use oci_model::Digest;
use registry_backend::{BlobSource, ByteStream, ErrorKind, Result};

use crate::FaultAction;
use crate::fault::planned;

/// A source whose content is spoiled wherever it is opened.
pub(crate) struct Spoiled<'a> {
    pub(crate) source: &'a dyn BlobSource,
    pub(crate) action: Option<FaultAction>,
}

#[async_trait]
impl BlobSource for Spoiled<'_> {
    fn digest(&self) -> &Digest {
        self.source.digest()
    }

    fn size(&self) -> u64 {
        self.source.size()
    }

    async fn open(&self, offset: u64) -> Result<ByteStream> {
        Ok(spoil(self.source.open(offset).await?, offset, self.action))
    }
}

/// Spoils a stream whose first byte has the place `start`.
pub(crate) fn spoil(stream: ByteStream, start: u64, action: Option<FaultAction>) -> ByteStream {
    match action {
        Some(FaultAction::CutStream(at)) => {
            let error = planned(ErrorKind::Unavailable, "read", "the rest of a stream");
            cut(stream, at.saturating_sub(start), Some(error))
        }
        Some(FaultAction::EndStream(at)) => cut(stream, at.saturating_sub(start), None),
        Some(FaultAction::FlipByte(at)) => flip(stream, start, at),
        Some(FaultAction::Fail(_) | FaultAction::FailAfterwards(_)) | None => stream,
    }
}

/// Gives so many bytes of a stream, then the error if there is one.
pub(crate) fn cut<E: Send + 'static>(
    stream: BoxStream<'static, Result<Bytes, E>>,
    left: u64,
    error: Option<E>,
) -> BoxStream<'static, Result<Bytes, E>> {
    let pieces = futures::stream::unfold((stream, left), |(mut stream, left)| async move {
        if left == 0 {
            return None;
        }
        let mut piece = match stream.next().await? {
            Ok(piece) => piece,
            Err(error) => return Some((Err(error), (stream, 0))),
        };
        piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        let left = left - piece.len() as u64;
        Some((Ok(piece), (stream, left)))
    });
    pieces.chain(futures::stream::iter(error.map(Err))).boxed()
}

/// Changes the lowest bit of the byte at a place in a stream whose first byte has the place `start`.
pub(crate) fn flip<E: Send + 'static>(
    stream: BoxStream<'static, Result<Bytes, E>>,
    start: u64,
    at: u64,
) -> BoxStream<'static, Result<Bytes, E>> {
    let mut place = start;
    let flipped = stream.map(move |piece| {
        let piece = piece?;
        let index = at.checked_sub(place).and_then(|index| usize::try_from(index).ok());
        place += piece.len() as u64;
        let mut bytes = piece.to_vec();
        if let Some(byte) = index.and_then(|index| bytes.get_mut(index)) {
            *byte ^= 1;
        }
        Ok(Bytes::from(bytes))
    });
    flipped.boxed()
}
