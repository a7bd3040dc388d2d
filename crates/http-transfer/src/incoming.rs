//! An answer as it comes, under a limit of silence.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::StatusCode;
use reqwest::header::HeaderMap;

use crate::error::TransferError;

/// The head of an answer, and its body as it comes.
#[derive(Debug)]
pub struct Incoming {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    response: reqwest::Response,
    silence: Duration,
}

impl Incoming {
    pub(crate) fn new(response: reqwest::Response, silence: Duration) -> Self {
        Self { status: response.status(), headers: response.headers().clone(), response, silence }
    }

    /// Returns the next bytes of the body, `None` at its end.
    ///
    /// # Errors
    ///
    /// If the connection breaks, or nothing comes for too long.
    pub async fn next(&mut self) -> Result<Option<Bytes>, TransferError> {
        match tokio::time::timeout(self.silence, self.response.chunk()).await {
            Ok(chunk) => Ok(chunk?),
            Err(_) => Err(TransferError::Silence { what: "sends nothing more", limit: self.silence }),
        }
    }

    /// Returns the rest of the body and `true` if it has at most `limit` bytes, else its start, which is longer than
    /// `limit`, and `false`.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next).
    pub async fn collect(&mut self, limit: u64) -> Result<(Bytes, bool), TransferError> {
        let mut body = BytesMut::new();
        while let Some(chunk) = self.next().await? {
            body.extend_from_slice(&chunk);
            if body.len() as u64 > limit {
                return Ok((body.freeze(), false));
            }
        }
        Ok((body.freeze(), true))
    }

    /// Returns a header's text, as [`header`] does.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }
}

/// Returns the text of a header, without whitespace at its ends.
///
/// RFC 9110 section 5.5 has ASCII in mind, but some servers write texts of other languages as they are: what is UTF-8 is
/// read.
#[must_use]
pub fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| std::str::from_utf8(value.as_bytes()).ok()).map(str::trim)
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderMap, HeaderValue};

    use super::header;

    #[test]
    fn headers_are_read_as_servers_write_them() {
        let mut headers = HeaderMap::new();
        headers.insert("a", HeaderValue::from_static(" 5 "));
        headers.insert("b", HeaderValue::from_bytes("Größe".as_bytes()).unwrap());
        headers.insert("c", HeaderValue::from_bytes(b"\xff").unwrap());
        assert_eq!(header(&headers, "A"), Some("5"));
        assert_eq!(header(&headers, "b"), Some("Größe"));
        assert_eq!(header(&headers, "c"), None);
        assert_eq!(header(&headers, "d"), None);
    }
}
