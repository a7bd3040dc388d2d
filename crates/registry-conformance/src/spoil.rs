//! Streams of bytes that are cut, shortened or changed on the way.

use async_trait::async_trait;
use oci_model::Digest;
use registry_backend::{BlobSource, ByteStream, ErrorKind, Result};
use scripted_http::body::{cut, flipped};

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
        Some(FaultAction::FlipByte(at)) => flipped(stream, start, Some(at)),
        Some(FaultAction::Fail(_) | FaultAction::FailAfterwards(_)) | None => stream,
    }
}
