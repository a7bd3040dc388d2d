//! A proxy before an HTTP server that throttles, answers itself, loses answers, and cuts them.

use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How many bytes are passed on at once.
const PIECE: usize = 16 * 1024;

/// A running proxy. It ends when the value is dropped.
#[derive(Debug)]
pub struct StoreProxy {
    address: SocketAddr,
    link: Arc<Link>,
}

/// A fault of single requests.
#[derive(Clone, Debug)]
pub struct StoreFault {
    /// The method of the requests.
    pub method: &'static str,
    /// A part of their path, query or headers.
    pub part: &'static str,
    /// How many of them.
    pub times: usize,
    /// The effect.
    pub kind: FaultKind,
}

/// The effect of a fault.
#[derive(Clone, Copy, Debug)]
pub enum FaultKind {
    /// The proxy answers with this status and code, and the server does not see the request.
    Answer(u16, &'static str),
    /// The server answers, and the client does not get the answer.
    LoseAnswer,
    /// The connection breaks after so many bytes of the answer.
    CutAfter(u64),
    /// The connection breaks after so many bytes of the request's content.
    CutRequestAfter(u64),
}

#[derive(Debug, Default)]
struct Link {
    faults: Mutex<Vec<StoreFault>>,
    /// Bytes per second in both directions together; 0 for no limit.
    rate: AtomicU64,
    /// When the link has passed on the bytes that it took.
    free_at: Mutex<Option<Instant>>,
    sent: AtomicU64,
    received: AtomicU64,
    /// How long each request waits before the server sees it, in milliseconds.
    delay: AtomicU64,
    /// Requests that have come and not been answered: now, and the most at one time.
    open: AtomicUsize,
    most_open: AtomicUsize,
    requests: Mutex<Vec<String>>,
    ended: AtomicBool,
}

impl StoreProxy {
    /// Starts a proxy before the server at this host and port.
    ///
    /// # Panics
    ///
    /// If it cannot be started.
    pub fn start(server: &str) -> Self {
        let server: SocketAddr = server.parse().expect("it is an address");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        let link = Arc::<Link>::default();
        let shared = link.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if shared.ended.load(Ordering::Relaxed) {
                    return;
                }
                let link = shared.clone();
                thread::spawn(move || {
                    let open = link.open.fetch_add(1, Ordering::Relaxed) + 1;
                    link.most_open.fetch_max(open, Ordering::Relaxed);
                    // A connection that breaks is part of the test.
                    let _ = link.serve(client, server);
                    link.open.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        Self { address, link }
    }

    /// Returns its host and port.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Lets so many bytes pass in a second from now on.
    pub fn throttle(&self, bytes_per_second: u64) {
        self.link.rate.store(bytes_per_second, Ordering::Relaxed);
    }

    /// Lets each request wait so long from now on.
    pub fn delay(&self, each: Duration) {
        self.link.delay.store(u64::try_from(each.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Returns how many requests waited for their answers at one time at most, and forgets it.
    pub fn take_most_open(&self) -> usize {
        self.link.most_open.swap(0, Ordering::Relaxed)
    }

    /// Adds a fault.
    pub fn add(&self, method: &'static str, part: &'static str, times: usize, kind: FaultKind) {
        self.link.faults().push(StoreFault { method, part, times, kind });
    }

    /// Returns how many faults have not come to their end.
    pub fn faults_left(&self) -> usize {
        self.link.faults().iter().filter(|fault| fault.times > 0).count()
    }

    /// Returns how many bytes of content clients have sent.
    pub fn sent(&self) -> u64 {
        self.link.sent.load(Ordering::Relaxed)
    }

    /// Returns how many bytes of answers clients have got, heads included.
    pub fn received(&self) -> u64 {
        self.link.received.load(Ordering::Relaxed)
    }

    /// Returns the requests so far, as method, path and query, and forgets them.
    pub fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut *self.link.requests.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for StoreProxy {
    fn drop(&mut self) {
        self.link.ended.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

impl Link {
    fn faults(&self) -> MutexGuard<'_, Vec<StoreFault>> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes one request on, and closes the connection.
    fn serve(&self, client: TcpStream, server: SocketAddr) -> io::Result<()> {
        let mut answers = client.try_clone()?;
        let mut requests = BufReader::new(client);
        let (mut head, mut length, mut line) = (String::new(), 0, String::new());
        while requests.read_line(&mut line)? > 2 {
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or_default();
            }
            head.push_str(&line);
            line.clear();
        }
        let mut words = head.split_whitespace();
        let request = format!("{} {}", words.next().unwrap_or_default(), words.next().unwrap_or_default());
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).push(request);
        thread::sleep(Duration::from_millis(self.delay.load(Ordering::Relaxed)));
        let fault = self.fault(&head);
        if let Some(FaultKind::Answer(status, code)) = fault {
            self.pass(&mut requests, &mut io::sink(), length, true)?;
            let body = format!(
                "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>by the test</Message></Error>"
            );
            let head = format!(
                "HTTP/1.1 {status} Fault\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            return answers.write_all(format!("{head}{body}").as_bytes());
        }
        let mut server = TcpStream::connect(server)?;
        server.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes())?;
        if let Some(FaultKind::CutRequestAfter(bytes)) = fault {
            return self.pass(&mut requests, &mut server, bytes.min(length), true);
        }
        self.pass(&mut requests, &mut server, length, true)?;
        match fault {
            Some(FaultKind::LoseAnswer) => io::copy(&mut server, &mut io::sink()).map(drop),
            Some(FaultKind::CutAfter(bytes)) => self.pass(&mut server, &mut answers, bytes, false),
            _ => self.pass(&mut server, &mut answers, u64::MAX, false),
        }
    }

    /// Returns the fault of the request with this head, and counts it.
    fn fault(&self, head: &str) -> Option<FaultKind> {
        let mut faults = self.faults();
        let fits = |fault: &&mut StoreFault| {
            fault.times > 0 && head.starts_with(fault.method) && head.contains(fault.part)
        };
        let fault = faults.iter_mut().find(fits)?;
        fault.times -= 1;
        Some(fault.kind)
    }

    fn pass(
        &self,
        from: &mut impl Read,
        to: &mut impl Write,
        bytes: u64,
        is_content: bool,
    ) -> io::Result<()> {
        let (mut left, mut piece) = (bytes, [0; PIECE]);
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
            let read = from.read(&mut piece[..most])?;
            if read == 0 {
                // A client that is gone before the end of its content gets no answer, and the server learns that it is gone.
                return if is_content { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) };
            }
            left -= read as u64;
            let counter = if is_content { &self.sent } else { &self.received };
            counter.fetch_add(read as u64, Ordering::Relaxed);
            self.wait(read);
            to.write_all(&piece[..read])?;
        }
        Ok(())
    }

    /// Waits as long as so many bytes take.
    fn wait(&self, bytes: usize) {
        let rate = self.rate.load(Ordering::Relaxed);
        if rate == 0 {
            return;
        }
        let now = Instant::now();
        let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        let start = free_at.filter(|free| *free > now).unwrap_or(now);
        let end = start + Duration::from_secs(1).mul_f64(bytes as f64 / rate as f64);
        *free_at = Some(end);
        drop(free_at);
        thread::sleep(end.saturating_duration_since(now));
    }
}
