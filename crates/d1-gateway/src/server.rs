//! The server: connections with limits, requests from their arrival to their logged answer, and a graceful stop.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::{Body, HttpBody};
use axum::http::header::CONTENT_LENGTH;
use axum::http::{Method, Request as HttpRequest};
use axum::response::Response;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::answer::{self, Kind, Refused};
use crate::app::App;
use crate::event::{Access, Event};
use crate::request::Request;
use crate::routes;
use crate::stall::Patient;

/// The largest head of a request, in bytes.
const LARGEST_HEAD: usize = 32 << 10;
/// The most headers of a request.
const MOST_HEADERS: usize = 100;
/// The largest body of a request, in bytes.
const LARGEST_BODY: usize = 256 << 10;
/// How long a client may take to send a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(20);
/// How long to wait after the system refused a connection, for example because no file descriptor is free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The answer to a client with too many connections.
const TOO_MANY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// Serves a socket until `stop` ends. Then running requests may end, within the time that the options state.
pub(crate) async fn serve(
    app: Arc<App>,
    listener: TcpListener,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let connections = Arc::new(Semaphore::new(app.options.max_connections));
    let clients = Clients::default();
    let graceful = GracefulShutdown::new();
    let mut stop = pin!(stop);
    loop {
        let permit = tokio::select! {
            () = &mut stop => break,
            permit = Arc::clone(&connections).acquire_owned() => permit.map_err(io::Error::other)?,
        };
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                app.observer.event(&Event::Warning(&format!("cannot accept a connection: {error}")));
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let is_proxy = app.options.trusted_proxies.iter().any(|network| network.contains(peer.ip()));
        let most = if is_proxy { usize::MAX } else { app.options.max_connections_per_client };
        match clients.enter(peer.ip(), most) {
            Some(place) => connection(&app, stream, peer, (permit, place), &graceful),
            None => refuse(stream),
        }
    }
    drop(listener);
    let _ = tokio::time::timeout(app.options.stop_timeout, graceful.shutdown()).await;
    Ok(())
}

/// Refuses a connection before a request is read.
fn refuse(mut stream: TcpStream) {
    tokio::spawn(async move {
        let _ = stream.write_all(TOO_MANY).await;
        let _ = stream.shutdown().await;
    });
}

/// Serves a connection on a task of its own.
fn connection(
    app: &Arc<App>,
    stream: TcpStream,
    peer: SocketAddr,
    places: (OwnedSemaphorePermit, Place),
    graceful: &GracefulShutdown,
) {
    // Without this small answers are only slower.
    let _ = stream.set_nodelay(true);
    let service = {
        let app = Arc::clone(app);
        service_fn(move |request: HttpRequest<Incoming>| {
            let app = Arc::clone(&app);
            async move { Ok::<_, Infallible>(respond(app, request, peer.ip()).await) }
        })
    };
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(app.options.header_timeout)
        .max_buf_size(LARGEST_HEAD)
        .max_headers(MOST_HEADERS);
    let io = TokioIo::new(Patient::new(stream, app.options.stall_timeout));
    let serving = graceful.watch(builder.serve_connection(io, service));
    let app = Arc::clone(app);
    tokio::spawn(async move {
        app.metrics.connections.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        // A client that breaks its connection is not worth a message: the access log shows the cut.
        let _ = serving.await;
        app.metrics.connections.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
        drop(places);
    });
}

/// Answers a request.
async fn respond(app: Arc<App>, request: HttpRequest<Incoming>, peer: IpAddr) -> Response {
    let started = Instant::now();
    let (parts, body) = request.into_parts();
    let target = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let request = Request::of(parts.method.clone(), &parts.uri, parts.headers, peer, &app.options);
    let mut response = match &request {
        Err(error) => routes::refuse(None, &Refused::invalid(error.0)),
        Ok(request) if request.method == Method::OPTIONS => answer::options(),
        Ok(request) => match form(request, body).await {
            Ok(form) => routes::answer(&app, request, form).await,
            Err(refused) => routes::refuse(Some((&app, request)), &refused),
        },
    };
    answer::finish(request.as_ref().ok(), &mut response);
    app.header_case.spell(response.extensions_mut());
    if parts.method == Method::HEAD {
        *response.body_mut() = Body::empty();
    }
    let request = request.ok();
    let log = AccessLog {
        client: request.as_ref().map_or(peer, |request| request.client),
        agent: request.as_ref().and_then(|request| request.header("user-agent")).map(str::to_owned),
        method: parts.method,
        target,
        status: response.status().as_u16(),
        length: response.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok()),
        started,
        app,
    };
    response.map(|body| Body::new(Logged { body, log, sent: 0, is_complete: false }))
}

/// Reads the body of a request that may have one.
async fn form(request: &Request, body: Incoming) -> Result<Bytes, Refused> {
    if request.method != Method::POST {
        return Ok(Bytes::new());
    }
    let read = Limited::new(body, LARGEST_BODY).collect();
    match tokio::time::timeout(BODY_TIMEOUT, read).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(Refused::new(Kind::TooLarge, format!("expected a body of at most {LARGEST_BODY} bytes")))
        }
        _ => Err(Refused::invalid("the body did not arrive")),
    }
}

/// The connections of each client.
#[derive(Clone, Debug, Default)]
struct Clients(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// The place of one connection of a client.
struct Place {
    clients: Clients,
    address: IpAddr,
}

impl Clients {
    fn enter(&self, address: IpAddr, most: usize) -> Option<Place> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Place { clients: self.clone(), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.clients.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

/// The facts of a request for the access log.
struct AccessLog {
    app: Arc<App>,
    client: IpAddr,
    agent: Option<String>,
    method: Method,
    target: String,
    status: u16,
    length: Option<u64>,
    started: Instant,
}

/// A body that is logged when it ends.
struct Logged {
    body: Body,
    log: AccessLog,
    sent: u64,
    is_complete: bool,
}

impl HttpBody for Logged {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => self.sent += frame.data_ref().map_or(0, |data| data.len() as u64),
            Some(Err(_)) => {}
            None => self.is_complete = true,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Logged {
    fn drop(&mut self) {
        let log = &self.log;
        let is_whole = self.is_complete || self.body.is_end_stream() || log.length == Some(self.sent);
        let cut = !is_whole;
        log.app.metrics.answered(log.status);
        log.app.metrics.sent_bytes.add(self.sent);
        log.app.metrics.cut.add(u64::from(cut));
        log.app.observer.event(&Event::Access(&Access {
            client: log.client,
            method: log.method.as_str(),
            target: &log.target,
            status: log.status,
            bytes: self.sent,
            milliseconds: u64::try_from(log.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            cut,
            agent: log.agent.as_deref(),
        }));
    }
}
