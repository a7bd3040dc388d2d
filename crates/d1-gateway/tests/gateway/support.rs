//! A scripted node, a repository that holds its packages, and a gateway to it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use d1_client::{ClientOptions, NodeClient};
use d1_gateway::d1_catalog::Catalog as SqlCatalog;
use d1_gateway::{Gateway, GatewayOptions, Silent};
use d1_model::{ChecksumAlgorithm, Identifier};
use d1_sync::{DataOneSource, ReplicateOptions, ReplicateReport, replicate};
use d1_testnode::{Catalog, Content, Package, ScriptedNode, StoredObject};
use d1_transfer::Observer;
use registry_backend::{MemoryBackend, RegistryBackend};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

pub(crate) const EML: &str = "https://eml.ecoinformatics.org/eml-2.2.0";

pub(crate) fn id(text: &str) -> Identifier {
    text.parse().unwrap()
}

/// Pushes a directory under a tag into a new repository.
pub(crate) async fn repository_of(directory: &Path, tag: &str) -> Arc<MemoryBackend> {
    let backend = Arc::new(MemoryBackend::new());
    let observer: Arc<dyn Observer> = Arc::new(d1_transfer::Silent);
    let mut options = d1_transfer::PushOptions::new(std::env::temp_dir());
    options.tags = vec![tag.parse().unwrap()];
    Box::pin(d1_transfer::push_directory(&*backend, directory, &options, &observer)).await.unwrap();
    backend
}

/// A running gateway, which ends with the value.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    pub(crate) gateway: Gateway,
    _stop: oneshot::Sender<()>,
    folder: Arc<tempfile::TempDir>,
}

impl Served {
    pub(crate) async fn start(backend: Arc<dyn RegistryBackend>) -> Self {
        Self::with(backend, GatewayOptions::default()).await
    }

    pub(crate) async fn with(backend: Arc<dyn RegistryBackend>, options: GatewayOptions) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let served = Self::over(backend, options, folder).await;
        served.gateway.refresh().await.unwrap();
        served
    }

    /// Serves the content of a catalogue that is already there from another backend.
    pub(crate) async fn with_backend(&self, backend: Arc<dyn RegistryBackend>) -> Self {
        self.with_backend_and_options(backend, GatewayOptions::default()).await
    }

    pub(crate) async fn with_backend_and_options(
        &self,
        backend: Arc<dyn RegistryBackend>,
        options: GatewayOptions,
    ) -> Self {
        Self::over(backend, options, Arc::clone(&self.folder)).await
    }

    async fn over(
        backend: Arc<dyn RegistryBackend>,
        options: GatewayOptions,
        folder: Arc<tempfile::TempDir>,
    ) -> Self {
        let catalog = SqlCatalog::open(&folder.path().join("catalog.sqlite")).unwrap();
        let gateway = Gateway::new(vec![backend], catalog, options, Arc::new(Silent)).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = gateway.clone();
        tokio::spawn(async move {
            let stopped = async move {
                let _ = stopped.await;
            };
            serving.serve(listener, stopped).await.unwrap();
        });
        Self { address, gateway, _stop: stop, folder }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Sends a request as it is, and returns everything that comes until the connection ends.
    pub(crate) async fn raw(&self, request: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        let _ = tokio::time::timeout(Duration::from_secs(600), read).await.expect("an answer");
        answer
    }

    pub(crate) async fn ask(&self, method: &str, target: &str, headers: &str) -> Answer {
        let host = self.address;
        let request =
            format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n");
        Answer::of(&self.raw(request.as_bytes()).await)
    }

    pub(crate) async fn get(&self, target: &str) -> Answer {
        self.ask("GET", target, "").await
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    fn of(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let mut body = bytes[end + 4..].to_vec();
        if head.contains("\r\ntransfer-encoding: chunked") {
            body = unchunked(&body);
        }
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        Self { status, head, body }
    }

    /// Returns the value of a header whose name is spelled exactly so.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.split("\r\n").skip(1);
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

fn unchunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = bytes.windows(2).position(|window| window == b"\r\n") {
        let length = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).unwrap(), 16).unwrap();
        body.extend(&bytes[end + 2..end + 2 + length]);
        bytes = &bytes[end + 2 + length + 2..];
    }
    body
}

pub(crate) fn put_data(catalog: &mut Catalog, identifier: &str, bytes: Vec<u8>, file_name: &str) {
    let content = Content::Memory(bytes.into());
    let object =
        StoredObject::with_algorithm(id(identifier), "text/csv", content, &ChecksumAlgorithm::Sha1).unwrap();
    catalog.put(object.edited(|meta| meta.file_name = Some(file_name.to_owned()))).unwrap();
}

/// Puts the package of these data: metadata `NAME` and map `NAME.map`.
pub(crate) fn put_package(catalog: &mut Catalog, name: &str, data: &[&str], obsoletes: Option<&str>) {
    let text = format!(
        "<eml:eml xmlns:eml=\"{EML}\" packageId=\"{name}\" system=\"test\"><dataset><title>Moorings of {name}</title>\
         <creator><individualName><givenName>Ada</givenName><surName>Fjord</surName></individualName></creator>\
         <abstract><para>Temperature and depth of a mooring in a fjord, every hour of one summer.</para></abstract>\
         <keywordSet><keyword>ocean</keyword></keywordSet></dataset></eml:eml>\n"
    );
    let metadata = StoredObject::new(id(name), EML, Content::text(&text)).unwrap();
    catalog.put(metadata.edited(|meta| meta.obsoletes = obsoletes.map(id))).unwrap();
    let mut package = Package::new(id(&format!("{name}.map")), id(name), data.iter().map(|pid| id(pid)));
    package.obsoletes = obsoletes.map(|before| id(&format!("{before}.map")));
    catalog.put_package(&package).unwrap();
}

pub(crate) fn numbers(count: usize) -> Vec<u8> {
    (0..count).map(|number| format!("{number},{}\n", number * 7 % 1013)).collect::<String>().into_bytes()
}

/// Returns a client that does not wait long.
pub(crate) fn client(url: &str) -> NodeClient {
    let mut options = ClientOptions::default();
    options.budget.requests_per_second = 100_000.0;
    options.retry.attempts = 2;
    options.retry.first_wait = Duration::from_millis(1);
    options.retry.longest_wait = Duration::from_millis(2);
    NodeClient::new(url, &options).unwrap()
}

pub(crate) async fn copy(backend: &dyn RegistryBackend, url: &str, map: &str) -> ReplicateReport {
    let source = DataOneSource::Node(client(url));
    let observer: Arc<dyn Observer> = Arc::new(d1_transfer::Silent);
    let options = ReplicateOptions::new(std::env::temp_dir());
    replicate(backend, &source, &id(map), &options, None, &observer).await.unwrap()
}

/// Returns a repository with these packages of a node.
pub(crate) async fn repository(catalog: Catalog, maps: &[&str]) -> Arc<MemoryBackend> {
    let node = ScriptedNode::serve(catalog).await.unwrap();
    let backend = Arc::new(MemoryBackend::new());
    for map in maps {
        copy(&*backend, &node.member_url(), map).await;
    }
    backend
}

/// Returns a gateway to the package `doi:10.5072/G1` with a small file, an empty one and a large one.
pub(crate) async fn one_package() -> Served {
    let mut catalog = Catalog::default();
    put_data(&mut catalog, "g1.small", b"depth,temperature\n15,7.2\n".to_vec(), "small.csv");
    put_data(&mut catalog, "g1.empty", Vec::new(), "empty.csv");
    put_data(&mut catalog, "g1.large", numbers(400_000), "large.csv");
    put_package(&mut catalog, "doi:10.5072/G1", &["g1.small", "g1.empty", "g1.large"], None);
    Served::start(repository(catalog, &["doi:10.5072/G1.map"]).await).await
}

/// The key of that package in URLs: the tag of its map.
pub(crate) const KEY: &str = "doi_10.5072_G1.map";
