//! Bodies that are cut, delayed or changed on the way.

use std::io;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_LENGTH;
use axum::response::Response;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};

/// The bytes of a body, in or out.
pub type Pieces = BoxStream<'static, io::Result<Bytes>>;

/// Returns the pieces of a body.
pub fn pieces(body: Body) -> Pieces {
    body.into_data_stream().map_err(io::Error::other).boxed()
}

/// Ends after this many bytes, or in the error if one is given. Does not read further.
pub fn cut<E: Send + 'static>(
    pieces: BoxStream<'static, Result<Bytes, E>>,
    bytes: u64,
    error: Option<E>,
) -> BoxStream<'static, Result<Bytes, E>> {
    let kept = futures::stream::unfold((pieces, bytes), |(mut pieces, left)| async move {
        if left == 0 {
            return None;
        }
        let mut piece = match pieces.next().await? {
            Ok(piece) => piece,
            Err(error) => return Some((Err(error), (pieces, 0))),
        };
        piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        let left = left - piece.len() as u64;
        Some((Ok(piece), (pieces, left)))
    });
    kept.chain(futures::stream::iter(error.map(Err))).boxed()
}

/// Breaks the connection after this many bytes.
pub fn broken_after(pieces: Pieces, bytes: u64) -> Pieces {
    // The pause lets the bytes before the cut leave the process.
    let pause = futures::stream::once(tokio::task::yield_now()).map(|()| Ok(Bytes::new()));
    let broken = futures::stream::iter([Err(io::Error::from(io::ErrorKind::ConnectionReset))]);
    cut(pieces, bytes, None).chain(pause).chain(broken).boxed()
}

/// Stays open after this many bytes and yields no more.
pub fn stalled_after(pieces: Pieces, bytes: u64) -> Pieces {
    cut(pieces, bytes, None).chain(futures::stream::pending()).boxed()
}

/// Reads everything and yields only this many bytes.
pub fn kept_to(pieces: Pieces, bytes: u64) -> Pieces {
    let mut left = bytes;
    let kept = pieces.map_ok(move |mut piece| {
        piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        left -= piece.len() as u64;
        piece
    });
    kept.boxed()
}

/// Yields pieces of this many bytes, with a pause before each.
pub fn slowed(pieces: Pieces, bytes: usize, pause: Duration) -> Pieces {
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

/// Flips the lowest bit of the byte at one offset, or of all bytes. The first byte of the stream has the offset `start`.
pub fn flipped<E: Send + 'static>(
    pieces: BoxStream<'static, Result<Bytes, E>>,
    start: u64,
    at: Option<u64>,
) -> BoxStream<'static, Result<Bytes, E>> {
    let mut offset = start;
    let flipped = pieces.map_ok(move |piece| {
        let mut bytes = piece.to_vec();
        for byte in &mut bytes {
            if at.is_none_or(|at| at == offset) {
                *byte ^= 1;
            }
            offset += 1;
        }
        Bytes::from(bytes)
    });
    flipped.boxed()
}

/// Passes the pieces and calls `count` with the number of bytes of each.
pub fn counted(pieces: Pieces, count: impl Fn(usize) + Send + 'static) -> Pieces {
    pieces.inspect_ok(move |piece| count(piece.len())).boxed()
}

/// Changes the body of an answer. The length of the original body is announced if it is known.
pub fn stream(response: Response, change: impl FnOnce(Pieces) -> Pieces) -> Response {
    let (mut parts, body) = response.into_parts();
    let exact = HttpBody::size_hint(&body).exact();
    if let (None, Some(length)) = (parts.headers.get(CONTENT_LENGTH), exact) {
        parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    Response::from_parts(parts, Body::from_stream(change(pieces(body))))
}

/// Cuts the body of an answer and announces the shorter length.
pub fn shortened(response: Response, bytes: u64) -> Response {
    let mut response = stream(response, |pieces| cut(pieces, bytes, None));
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(bytes));
    response
}

/// Removes the `Content-Length` of an answer and streams its body in chunks.
pub fn without_length(response: Response) -> Response {
    let mut response = stream(response, |pieces| pieces);
    response.headers_mut().remove(CONTENT_LENGTH);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letters() -> Pieces {
        futures::stream::iter(["abc", "def"].map(|piece| Ok(Bytes::from_static(piece.as_bytes())))).boxed()
    }

    async fn read(pieces: Pieces) -> (Vec<u8>, bool) {
        let mut pieces = pieces;
        let mut bytes = Vec::new();
        loop {
            match pieces.next().await {
                None => return (bytes, true),
                Some(Ok(piece)) => bytes.extend_from_slice(&piece),
                Some(Err(_)) => return (bytes, false),
            }
        }
    }

    #[tokio::test]
    async fn bodies_are_spoiled_as_asked() {
        assert_eq!(read(cut(letters(), 4, None)).await, (b"abcd".to_vec(), true));
        assert_eq!(read(broken_after(letters(), 4)).await, (b"abcd".to_vec(), false));
        assert_eq!(read(kept_to(letters(), 2)).await, (b"ab".to_vec(), true));
        assert_eq!(read(flipped(letters(), 0, Some(3))).await, (b"abceef".to_vec(), true));
        assert_eq!(read(flipped(letters(), 10, Some(10))).await, (b"`bcdef".to_vec(), true));
        assert_eq!(read(slowed(letters(), 1, Duration::ZERO)).await, (b"abcdef".to_vec(), true));
        let shortened = shortened(Response::new(Body::from("abcdef")), 2);
        assert_eq!(shortened.headers()[CONTENT_LENGTH], "2");
        assert_eq!(read(pieces(shortened.into_body())).await, (b"ab".to_vec(), true));
    }
}
