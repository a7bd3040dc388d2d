//! Exact spelling of the header names in a hyper server's answers.
#![doc = include_str!("../README.md")]

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::http::Extensions;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The spelling of header names, in the form that hyper keeps for messages that it passes on.
#[derive(Clone, Debug)]
pub struct HeaderCase(Extensions);

impl HeaderCase {
    /// Learns the spelling of these names.
    ///
    /// Hyper notes the spelling of a request's names, and spells the same names in an answer alike. So this sends it a
    /// request with all of them, without a socket.
    ///
    /// # Errors
    ///
    /// If a name is not a header name, so that the request does not arrive.
    pub async fn learn(names: &[&str]) -> io::Result<Self> {
        let mut request = "GET / HTTP/1.1\r\nConnection: close\r\n".to_owned();
        for name in names {
            let value = if name.eq_ignore_ascii_case("content-length") { "0" } else { "x" };
            request += &format!("{name}: {value}\r\n");
        }
        request += "\r\n";
        let (mut client, server) = tokio::io::duplex(request.len().max(1024));
        let noted: Arc<Mutex<Option<Extensions>>> = Arc::default();
        let service = service_fn(|request: Request<Incoming>| {
            *noted.lock().unwrap_or_else(PoisonError::into_inner) = Some(request.extensions().clone());
            async { Ok::<_, Infallible>(Response::new(NoBody)) }
        });
        client.write_all(request.as_bytes()).await?;
        let mut builder = http1::Builder::new();
        builder.preserve_header_case(true);
        let serving = builder.serve_connection(TokioIo::new(server), service);
        let mut answer = Vec::new();
        let (served, read) = tokio::join!(serving, client.read_to_end(&mut answer));
        read?;
        served.map_err(io::Error::other)?;
        let noted = noted.lock().unwrap_or_else(PoisonError::into_inner).take();
        noted.map(Self).ok_or_else(|| io::Error::other("the request with the names did not arrive"))
    }

    /// Spells the names of the answer that has these extensions.
    pub fn spell(&self, extensions: &mut Extensions) {
        extensions.extend(self.0.clone());
    }
}

/// An empty body.
struct NoBody;

impl Body for NoBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Poll::Ready(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_has_the_learned_spelling() {
        let case = HeaderCase::learn(&["DataONE-GMN", "ETag"]).await.unwrap();
        let (mut client, server) = tokio::io::duplex(4096);
        let service = service_fn(|_: Request<Incoming>| {
            let mut response = Response::new(NoBody);
            for name in ["dataone-gmn", "etag", "x-other"] {
                response.headers_mut().insert(name, "x".parse().unwrap());
            }
            case.spell(response.extensions_mut());
            async { Ok::<_, Infallible>(response) }
        });
        client.write_all(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n").await.unwrap();
        let builder = http1::Builder::new();
        let mut answer = String::new();
        let serving = builder.serve_connection(TokioIo::new(server), service);
        let (served, read) = tokio::join!(serving, client.read_to_string(&mut answer));
        assert!(served.is_ok() && read.is_ok());
        for line in ["\r\nDataONE-GMN: x\r\n", "\r\nETag: x\r\n", "\r\nx-other: x\r\n"] {
            assert!(answer.contains(line), "{answer}");
        }
    }

    #[tokio::test]
    async fn a_name_that_is_none_is_an_error() {
        assert!(HeaderCase::learn(&["not a name"]).await.is_err());
    }
}
