//! Reading blobs: by range, resumed where the connection broke, large ones in parallel.

mod part;

use std::ops::Range;

use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use oci_model::Digest;
use registry_backend::{BlobRead, ErrorKind, Result};

use crate::context::Context;
use crate::profile::Segments;
use crate::repository::Repository;
use part::{Opened, Part};

impl Repository {
    /// Opens a blob, or a range of its bytes, for reading. A connection that breaks is made again where it stopped.
    ///
    /// # Errors
    ///
    /// As [`read_blob`](registry_backend::RegistryBackend::read_blob) states.
    pub async fn read_blob(&self, digest: &Digest, range: Option<Range<u64>>) -> Result<BlobRead> {
        let context = self.context("read blob", digest);
        if range.as_ref().is_some_and(|range| range.start >= range.end) {
            return self.read_nothing(digest, range.unwrap_or_default(), &context).await;
        }
        let part = Part::new(self.clone(), digest.clone(), context.clone());
        let segments = self.profile().segments;
        // The start of a blob of unknown size: as much as a segment has, which is the whole of most blobs.
        let (first, last) = match (&range, segments) {
            (Some(range), _) => (range.start, Some(range.end)),
            (None, Some(segments)) if self.profile().capabilities.range_reads => (0, Some(segments.bytes)),
            (None, _) => (0, None),
        };
        let opened = match part.open(first, last).await? {
            Some(opened) => opened,
            // Nothing lies there: an empty blob, or a range outside.
            None => return self.read_nothing(digest, range.unwrap_or_default(), &context).await,
        };
        let size = opened.size;
        if let Some(range) = range {
            if range.end > size {
                return Err(outside(&range, size, &context));
            }
            let range = if opened.is_unranged { 0..size } else { range };
            let stream = self.bytes(part, opened, range.clone(), segments);
            return Ok(BlobRead { range, blob_size: size, stream });
        }
        let stream = self.bytes(part, opened, 0..size, segments);
        Ok(BlobRead { range: 0..size, blob_size: size, stream })
    }

    /// The answer to a range without bytes, which HTTP cannot express.
    async fn read_nothing(&self, digest: &Digest, range: Range<u64>, context: &Context) -> Result<BlobRead> {
        let size = self.stat_blob(digest).await?;
        let size = size.ok_or_else(|| context.error(ErrorKind::NotFound))?;
        if range.start != range.end || range.end > size {
            return Err(outside(&range, size, context));
        }
        Ok(BlobRead { range, blob_size: size, stream: stream::empty().boxed() })
    }

    fn bytes(
        &self,
        part: Part,
        opened: Opened,
        range: Range<u64>,
        segments: Option<Segments>,
    ) -> BoxStream<'static, Result<bytes::Bytes>> {
        let first_end = opened.range.end.min(range.end);
        let rest = first_end..range.end;
        let parallel = segments.filter(|segments| {
            !opened.is_unranged && segments.parallel > 1 && rest.end - rest.start >= segments.from_bytes
        });
        let first = part.clone().read(range.start..first_end, Some(opened));
        if rest.is_empty() {
            return first;
        }
        let rest = match parallel {
            None => part.read(rest, None),
            Some(Segments { bytes, parallel, .. }) => stream::iter(cut(rest, bytes))
                .map(move |segment| part.clone().collect(segment))
                .buffered(parallel)
                .map_ok(|pieces| stream::iter(pieces.into_iter().map(Ok)))
                .try_flatten()
                .boxed(),
        };
        first.chain(rest).boxed()
    }
}

/// Cuts a range into pieces of this size.
fn cut(range: Range<u64>, bytes: u64) -> impl Iterator<Item = Range<u64>> + Send {
    let step = bytes.max(1);
    let mut next = range.start;
    std::iter::from_fn(move || {
        let start = next;
        next = start.saturating_add(step).min(range.end);
        (start < range.end).then_some(start..next)
    })
}

fn outside(range: &Range<u64>, size: u64, context: &Context) -> registry_backend::Error {
    let reason = format!("bytes {} to {} do not lie within its {size} bytes", range.start, range.end);
    context.error(ErrorKind::Invalid).because(reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn pieces_cover_the_range(start in 0_u64..100, length in 0_u64..100, bytes in 0_u64..30) {
            let range = start..start + length;
            let mut next = range.start;
            for piece in cut(range.clone(), bytes) {
                proptest::prop_assert_eq!(piece.start, next);
                proptest::prop_assert!(piece.end > piece.start && piece.end - piece.start <= bytes.max(1));
                next = piece.end;
            }
            proptest::prop_assert_eq!(next, range.end.max(range.start));
        }
    }
}
