//! What happens to bodies on their way.

use std::io;

use axum::body::Body;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};

use super::spool::Pieces;
use crate::spoil::cut;

/// The pieces of a body.
pub(super) fn pieces(body: Body) -> Pieces {
    body.into_data_stream().map_err(io::Error::other).boxed()
}

/// Ends in an error after so many bytes.
pub(super) fn broken_after(pieces: Pieces, bytes: u64) -> Pieces {
    // The pause lets what came before leave the process.
    let pause = futures::stream::once(tokio::task::yield_now()).map(|()| Ok(Bytes::new()));
    let broken = futures::stream::iter([Err(io::Error::from(io::ErrorKind::ConnectionReset))]);
    cut(pieces, bytes, None).chain(pause).chain(broken).boxed()
}

/// Stays open after so many bytes, and gives none.
pub(super) fn stalled_after(pieces: Pieces, bytes: u64) -> Pieces {
    cut(pieces, bytes, None).chain(futures::stream::pending()).boxed()
}

/// Reads all, and gives only so many bytes.
pub(super) fn kept_to(pieces: Pieces, bytes: u64) -> Pieces {
    let mut left = bytes;
    let kept = pieces.map_ok(move |mut piece| {
        piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        left -= piece.len() as u64;
        piece
    });
    kept.boxed()
}
