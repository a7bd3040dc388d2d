//! A listening socket, and the server behind it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use axum::body::Body;
use axum::http::Request;
use axum::response::Response;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// A socket on `127.0.0.1`.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    address: SocketAddr,
}

/// A running server, which ends when the value is dropped.
#[derive(Debug)]
pub struct Server {
    task: JoinHandle<()>,
}

impl Listener {
    /// Opens a socket on this port of `127.0.0.1`; 0 takes any free port.
    ///
    /// # Errors
    ///
    /// If the port is not free.
    pub async fn bind(port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// Returns address and port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers requests with `handler` on a task of its own. `None` closes the connection without an answer.
    pub fn serve<H, R>(self, handler: H) -> Server
    where
        H: Fn(Request<Body>) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Option<Response>> + Send + 'static,
    {
        Server { task: tokio::spawn(accept(self.listener, handler)) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The task owns its connections: all of them end.
        self.task.abort();
    }
}

async fn accept<H, R>(listener: TcpListener, handler: H)
where
    H: Fn(Request<Body>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Option<Response>> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    connections.spawn(connection(stream, handler.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection<H, R>(stream: TcpStream, handler: H)
where
    H: Fn(Request<Body>) -> R,
    R: Future<Output = Option<Response>>,
{
    // Without this small answers are only slower.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request: Request<hyper::body::Incoming>| {
        let answer = handler(request.map(Body::new));
        async move { answer.await.ok_or_else(|| io::Error::from(io::ErrorKind::ConnectionAborted)) }
    });
    // Faults break connections: nobody needs to hear of it.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}
