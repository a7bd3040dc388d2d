//! A link to a server: a proxy on the loopback interface that counts bytes and can be slow.
//!
//! It replaces `tc netem`, which needs root and support by the kernel, and is the same on every machine.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The slowness of a link.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Slowness {
    /// The travel time of each byte, in each direction.
    pub(super) delay: Duration,
    /// The rate that all connections share in one direction; 0 means no limit.
    pub(super) bytes_per_second: u64,
}

/// A running link. It accepts no more connections after the value is dropped.
pub(super) struct Link {
    pub(super) address: SocketAddr,
    up: Arc<Direction>,
    down: Arc<Direction>,
    is_over: Arc<AtomicBool>,
}

/// The largest piece that travels at once: little over a millisecond at 100 Mbit/s.
const PIECE: usize = 16 * 1024;

/// The most pieces of a connection in transit: 2 MiB, more than 100 ms of 100 Mbit/s can hold.
const PIECES: usize = 128;

/// One direction of the link, which all connections share.
struct Direction {
    slowness: Slowness,
    bytes: AtomicU64,
    free_at: Mutex<Instant>,
}

impl Link {
    /// Makes a link to the server at this address.
    pub(super) fn to(server: SocketAddr, slowness: Slowness) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let link = Self {
            address: listener.local_addr()?,
            up: Arc::new(Direction::new(slowness)),
            down: Arc::new(Direction::new(slowness)),
            is_over: Arc::default(),
        };
        let (up, down, is_over) = (Arc::clone(&link.up), Arc::clone(&link.down), Arc::clone(&link.is_over));
        thread::spawn(move || {
            for client in listener.incoming() {
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
                // The client reports a connection that fails.
                let _ = client.and_then(|client| connect(client, server, &up, &down));
            }
        });
        Ok(link)
    }

    /// Returns the bytes that clients have sent and received until now.
    pub(super) fn bytes(&self) -> (u64, u64) {
        (self.up.bytes.load(Ordering::Relaxed), self.down.bytes.load(Ordering::Relaxed))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // Wakes the thread that listens.
        let _ = TcpStream::connect(self.address);
    }
}

fn connect(
    client: TcpStream,
    server: SocketAddr,
    up: &Arc<Direction>,
    down: &Arc<Direction>,
) -> io::Result<()> {
    let server = TcpStream::connect(server)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    // The kernel answers the handshake at once: the first request waits for its round trip instead.
    let handshake = 2 * up.slowness.delay;
    carry(client.try_clone()?, server.try_clone()?, up, handshake);
    carry(server, client, down, Duration::ZERO);
    Ok(())
}

/// Carries bytes from one end to the other. Two threads let pieces overlap in transit.
fn carry(from: TcpStream, to: TcpStream, direction: &Arc<Direction>, handshake: Duration) {
    let (sender, receiver) = sync_channel(PIECES);
    let direction = Arc::clone(direction);
    let open_at = Instant::now() + handshake;
    thread::spawn(move || take(from, &direction, open_at, &sender));
    thread::spawn(move || deliver(&receiver, to));
}

fn take(
    mut from: TcpStream,
    direction: &Direction,
    open_at: Instant,
    sender: &SyncSender<(Instant, Vec<u8>)>,
) {
    let mut piece = vec![0; PIECE];
    while let Ok(length @ 1..) = from.read(&mut piece) {
        sleep_until(open_at);
        let due = direction.admit(length as u64);
        let bytes = piece.get(..length).unwrap_or_default().to_vec();
        if sender.send((due, bytes)).is_err() {
            break;
        }
    }
}

fn deliver(receiver: &Receiver<(Instant, Vec<u8>)>, mut to: TcpStream) {
    for (due, bytes) in receiver {
        sleep_until(due);
        if to.write_all(&bytes).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

impl Direction {
    fn new(slowness: Slowness) -> Self {
        Self { slowness, bytes: AtomicU64::new(0), free_at: Mutex::new(Instant::now()) }
    }

    /// Waits until the link has room for `length` bytes and returns their time of arrival.
    fn admit(&self, length: u64) -> Instant {
        self.bytes.fetch_add(length, Ordering::Relaxed);
        let micros = (length * 1_000_000).checked_div(self.slowness.bytes_per_second).unwrap_or(0);
        let gone_at = {
            let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
            *free_at = (*free_at).max(Instant::now()) + Duration::from_micros(micros);
            *free_at
        };
        sleep_until(gone_at);
        gone_at + self.slowness.delay
    }
}

fn sleep_until(then: Instant) {
    thread::sleep(then.saturating_duration_since(Instant::now()));
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
    use std::thread;
    use std::time::{Duration, Instant};

    use super::{Link, Slowness};

    /// Sends this many bytes through the link to a server that answers with one byte.
    fn send(slowness: Slowness, length: usize) -> (Link, Duration) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let link = Link::to(listener.local_addr().unwrap(), slowness).unwrap();
        let server = thread::spawn(move || {
            let (mut connection, _) = listener.accept().unwrap();
            let mut got = Vec::new();
            connection.read_to_end(&mut got).unwrap();
            connection.write_all(b"!").unwrap();
            got
        });
        let sent: Vec<u8> = (0..=u8::MAX).cycle().take(length).collect();
        let start = Instant::now();
        let mut client = TcpStream::connect(link.address).unwrap();
        client.write_all(&sent).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        let elapsed = start.elapsed();
        assert_eq!((server.join().unwrap(), answer), (sent, b"!".to_vec()));
        (link, elapsed)
    }

    #[test]
    fn bytes_pass_unchanged_and_are_counted() {
        let (link, _) = send(Slowness::default(), 100_000);
        assert_eq!(link.bytes(), (100_000, 1));
    }

    #[test]
    fn a_slow_link_takes_at_least_the_time_it_must() {
        let slowness = Slowness { delay: Duration::from_millis(20), bytes_per_second: 1_000_000 };
        let (_link, elapsed) = send(slowness, 100_000);
        // A handshake, 100 ms for the bytes, and the way there and back.
        assert!(elapsed >= Duration::from_millis(40 + 100 + 40), "{elapsed:?}");
    }
}
