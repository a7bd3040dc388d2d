//! A network in which nothing lasts: everything at once, at a hundredth of the size that people meet.
//!
//! At this size a chunk that is refused has been sent whole before the refusal is read, and a tenth of all is refused: that
//! is what the bound of 1.4 times the bytes allows for. At full size, 2 GiB cut every 100 MiB, 1.06 times the bytes were sent.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use distribution_client::{
    ClientOptions, Credential, FixedCredential, Registry, Secret, Segments, UploadStrategy,
};
use futures::TryStreamExt;
use registry_backend::{Access, BlobSource as _, WriteHint, verified};
use registry_testkit::PseudoRandomSource;
use registry_testkit::scripted::{
    Action, Answer, Auth, BearerAuth, Config, Fault, Preset, ScriptedRegistry, User, When,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::rig::{MIB, profile};

const SIZE: u64 = 20 * MIB;

/// A way to a server that is cut each time so many bytes have passed, in one connection or in all together.
#[derive(Clone)]
struct Cutter {
    server: SocketAddr,
    each: bool,
    left: Arc<AtomicI64>,
    passed: Arc<AtomicU64>,
    cuts: Arc<AtomicU64>,
}

const BYTES_BETWEEN_CUTS: i64 = 1024 * 1024;

impl Cutter {
    async fn start(server: &str, each: bool) -> (String, Self) {
        let cutter = Self {
            server: server.parse().unwrap(),
            each,
            left: Arc::new(AtomicI64::new(BYTES_BETWEEN_CUTS)),
            passed: Arc::default(),
            cuts: Arc::default(),
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let accepting = cutter.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let mut cutter = accepting.clone();
                if cutter.each {
                    cutter.left = Arc::new(AtomicI64::new(BYTES_BETWEEN_CUTS));
                }
                tokio::spawn(async move { cutter.connect(client).await });
            }
        });
        (host, cutter)
    }

    async fn connect(&self, client: TcpStream) {
        let Ok(server) = TcpStream::connect(self.server).await else { return };
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        // Whichever way is cut, both end.
        tokio::select! {
            () = self.pass(from_client, to_server) => {}
            () = self.pass(from_server, to_client) => {}
        }
    }

    async fn pass(&self, mut from: tokio::net::tcp::OwnedReadHalf, mut to: tokio::net::tcp::OwnedWriteHalf) {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            self.passed.fetch_add(count as u64, Ordering::Relaxed);
            let count = i64::try_from(count).unwrap();
            if self.left.fetch_sub(count, Ordering::Relaxed) < count {
                self.left.store(BYTES_BETWEEN_CUTS, Ordering::Relaxed);
                self.cuts.fetch_add(1, Ordering::Relaxed);
                return;
            }
            if to.write_all(&buffer[..usize::try_from(count).unwrap()]).await.is_err() {
                return;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_ends_right_and_moves_little_more_than_it_has_to() {
    let auth = BearerAuth::new(vec![User::new("alice", "s3cret")]).with_lifetime(Duration::from_millis(200));
    let refused = Fault::anywhere(When::Every(10), Action::Answer(Answer::html(503)));
    let config = Config::new(Preset::Strict).with_auth(Auth::Bearer(auth)).with_fault(refused);
    let registry = ScriptedRegistry::start(config).await.unwrap();
    let (host, cutter) = Cutter::start(registry.host(), false).await;

    let mut profile = profile();
    profile.uploads = vec![UploadStrategy::Put, UploadStrategy::Chunks { bytes: 16 * MIB / 100 }];
    profile.segments = Some(Segments { from_bytes: MIB, bytes: 4 * MIB / 100, parallel: 3 });
    let credential = Credential::Password { username: "alice".to_owned(), password: Secret::new("s3cret") };
    let options = ClientOptions::default().with_credentials(FixedCredential::new(&host, credential));
    let client = Registry::new(&host, profile, &options).unwrap();
    let repository = client.repository("owner/name".parse().unwrap(), Access::Create);

    let source = PseudoRandomSource::new(1, SIZE);
    repository.write_blob(&source, &WriteHint::default()).await.unwrap();
    let pushed = cutter.passed.swap(0, Ordering::Relaxed);
    assert!(cutter.cuts.swap(0, Ordering::Relaxed) > 10);
    assert!(pushed < SIZE * 14 / 10, "{pushed} bytes passed for {SIZE}");

    let read = repository.read_blob(source.digest(), None).await.unwrap();
    let mut stream = verified(read, source.digest()).unwrap();
    while stream.try_next().await.unwrap().is_some() {}
    let pulled = cutter.passed.load(Ordering::Relaxed);
    assert!(cutter.cuts.load(Ordering::Relaxed) > 10);
    assert!(pulled < SIZE * 14 / 10, "{pulled} bytes passed for {SIZE}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_connections_break_after_so_many_bytes_none_has_that_many() {
    // A registry that forgets an upload when it is cut: one cut chunk would be the end of it.
    let registry = ScriptedRegistry::start(Config::new(Preset::Old)).await.unwrap();
    let (host, cutter) = Cutter::start(registry.host(), true).await;
    let mut profile = profile();
    profile.uploads = vec![UploadStrategy::Put, UploadStrategy::Chunks { bytes: 16 * MIB / 100 }];
    let client = Registry::new(&host, profile, &ClientOptions::default()).unwrap();
    let repository = client.repository("owner/name".parse().unwrap(), Access::Create);
    let source = PseudoRandomSource::new(1, SIZE);
    repository.write_blob(&source, &WriteHint::default()).await.unwrap();
    assert!(cutter.cuts.load(Ordering::Relaxed) <= 2);
}
