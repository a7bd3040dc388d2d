//! A way to a server on which connections break after so many bytes.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// Passes connections on to a server, counts what passes, and cuts. It ends with the value.
#[derive(Debug)]
pub struct CuttingProxy {
    host: String,
    counts: Counts,
    task: JoinHandle<()>,
}

/// Which bytes are counted up to a cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutAfter {
    /// Those of all connections together.
    AllConnections(u64),
    /// Those of each connection.
    EachConnection(u64),
}

#[derive(Clone, Debug)]
struct Counts {
    between: i64,
    left: Arc<AtomicI64>,
    passed: Arc<AtomicU64>,
    cuts: Arc<AtomicU64>,
}

/// The bytes that are passed on at once.
const PIECE: usize = 16 * 1024;

impl CuttingProxy {
    /// Starts one on `127.0.0.1` in front of the server at this host and port.
    ///
    /// # Errors
    ///
    /// If that is not an address, or there is no free port.
    pub async fn start(server: &str, cut: CutAfter) -> io::Result<Self> {
        let server: SocketAddr = server.parse().map_err(io::Error::other)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let host = listener.local_addr()?.to_string();
        let (CutAfter::AllConnections(bytes) | CutAfter::EachConnection(bytes)) = cut;
        let between = i64::try_from(bytes).unwrap_or(i64::MAX);
        let left = Arc::new(AtomicI64::new(between));
        let counts = Counts { between, left, passed: Arc::default(), cuts: Arc::default() };
        let each = matches!(cut, CutAfter::EachConnection(_));
        let task = tokio::spawn(accept(listener, server, counts.clone(), each));
        Ok(Self { host, counts, task })
    }

    /// Returns host and port, as they stand in a reference.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns how many bytes came, in both directions, since this was last asked.
    pub fn take_passed(&self) -> u64 {
        self.counts.passed.swap(0, Ordering::Relaxed)
    }

    /// Returns how often connections were cut since this was last asked.
    pub fn take_cuts(&self) -> u64 {
        self.counts.cuts.swap(0, Ordering::Relaxed)
    }
}

impl Drop for CuttingProxy {
    fn drop(&mut self) {
        // The task owns the connections.
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, counts: Counts, each: bool) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { continue };
                let mut counts = counts.clone();
                if each {
                    counts.left = Arc::new(AtomicI64::new(counts.between));
                }
                connections.spawn(connect(client, server, counts));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connect(client: TcpStream, server: SocketAddr, counts: Counts) {
    let Ok(server) = TcpStream::connect(server).await else { return };
    // Without it small requests are only slower.
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    // Whichever way is cut, both end.
    tokio::select! {
        () = counts.pass(from_client, to_server) => {}
        () = counts.pass(from_server, to_client) => {}
    }
}

impl Counts {
    async fn pass(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let mut buffer = vec![0; PIECE];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            self.passed.fetch_add(count as u64, Ordering::Relaxed);
            let signed = i64::try_from(count).unwrap_or(i64::MAX);
            if self.left.fetch_sub(signed, Ordering::Relaxed) < signed {
                self.left.store(self.between, Ordering::Relaxed);
                self.cuts.fetch_add(1, Ordering::Relaxed);
                return;
            }
            let Some(piece) = buffer.get(..count) else { return };
            if to.write_all(piece).await.is_err() {
                return;
            }
        }
    }
}
