//! The exact spelling of header names. The Java client of DataONE looks headers up by it, though HTTP says that it does
//! not matter (RFC 9110 section 5.1).

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use scripted_http::axum::body::Body;
use scripted_http::axum::http::Extensions;
use scripted_http::axum::response::Response;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The names as nodes spell them.
const NAMES: [&str; 20] = [
    "Accept-Ranges",
    "Content-Length",
    "Content-Range",
    "Content-Type",
    "DataONE-Checksum",
    "DataONE-Exception-Description",
    "DataONE-Exception-DetailCode",
    "DataONE-Exception-Identifier",
    "DataONE-Exception-Name",
    "DataONE-Exception-PID",
    "DataONE-FormatId",
    "DataONE-GMN",
    "DataONE-ObjectFormat",
    "DataONE-ObsoletedBy",
    "DataONE-Obsoletes",
    "DataONE-SerialVersion",
    "DataONE-SeriesId",
    "Date",
    "Last-Modified",
    "Location",
];

/// Holds the spelling of header names in the form that hyper keeps it for messages that it passes on.
#[derive(Clone, Debug)]
pub(crate) struct HeaderCase(Extensions);

impl HeaderCase {
    /// Learns the names. Hyper offers no way to state them, but notes those of a request and spells a response with the
    /// same notes alike: so it is given a request with all of them.
    ///
    /// # Errors
    ///
    /// If the request does not arrive.
    pub(crate) async fn learn() -> io::Result<Self> {
        let (mut client, server) = tokio::io::duplex(4096);
        let noted: Arc<Mutex<Option<Extensions>>> = Arc::default();
        let service = service_fn(|request: hyper::Request<hyper::body::Incoming>| {
            *noted.lock().unwrap_or_else(PoisonError::into_inner) = Some(request.extensions().clone());
            async { Ok::<_, io::Error>(Response::new(Body::empty())) }
        });
        let mut request = "GET / HTTP/1.1\r\nConnection: close\r\n".to_owned();
        for name in NAMES {
            let value = if name == "Content-Length" { "0" } else { "x" };
            request += &format!("{name}: {value}\r\n");
        }
        request += "\r\n";
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

    /// Spells the names of an answer.
    pub(crate) fn spell(&self, response: &mut Response) {
        response.extensions_mut().extend(self.0.clone());
    }
}
