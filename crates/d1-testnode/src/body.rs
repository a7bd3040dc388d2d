//! What happens to bodies on their way.

use std::io;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};

use crate::content::Pieces;

/// The pieces of a body.
pub(crate) fn pieces(body: Body) -> Pieces {
    body.into_data_stream().map_err(io::Error::other).boxed()
}

/// Ends after so many bytes.
pub(crate) fn cut(pieces: Pieces, bytes: u64) -> Pieces {
    let mut left = bytes;
    let kept = pieces.map_ok(move |mut piece| {
        piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        left -= piece.len() as u64;
        piece
    });
    // What comes after the end is not even read.
    kept.try_take_while(|piece| std::future::ready(Ok(!piece.is_empty()))).boxed()
}

/// Ends in an error after so many bytes.
pub(crate) fn broken_after(pieces: Pieces, bytes: u64) -> Pieces {
    // The pause lets what came before leave the process.
    let pause = futures::stream::once(tokio::task::yield_now()).map(|()| Ok(Bytes::new()));
    let broken = futures::stream::iter([Err(io::Error::from(io::ErrorKind::ConnectionReset))]);
    cut(pieces, bytes).chain(pause).chain(broken).boxed()
}

/// Stays open after so many bytes, and gives none.
pub(crate) fn stalled_after(pieces: Pieces, bytes: u64) -> Pieces {
    cut(pieces, bytes).chain(futures::stream::pending()).boxed()
}

/// Comes in pieces of so many bytes, with a pause before each.
pub(crate) fn slowed(pieces: Pieces, bytes: usize, pause: Duration) -> Pieces {
    pieces
        .map_ok(move |mut piece| {
            let small = std::iter::from_fn(move || {
                (!piece.is_empty()).then(|| piece.split_to(piece.len().min(bytes.max(1))))
            });
            futures::stream::iter(small.map(Ok))
        })
        .try_flatten()
        .and_then(move |piece| async move {
            tokio::time::sleep(pause).await;
            Ok(piece)
        })
        .boxed()
}

/// Changes the byte at one place, or all of them.
pub(crate) fn changed(pieces: Pieces, at: Option<u64>) -> Pieces {
    let mut position = 0_u64;
    pieces
        .map_ok(move |piece| {
            let mut bytes = piece.to_vec();
            for byte in &mut bytes {
                if at.is_none_or(|at| at == position) {
                    *byte ^= 1;
                }
                position += 1;
            }
            Bytes::from(bytes)
        })
        .boxed()
}
