//! Servers of object stores on the loopback interface, started for one test.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::google_face;
use crate::peers::peer;

/// The account of Azurite, and its key, which its documentation publishes.
const AZURE_ACCOUNT: &str = "devstoreaccount1";
const AZURE_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// The keys of the S3 servers.
const KEY: &str = "keyoftests";
const SECRET: &str = "secretoftests";

/// The name of the bucket.
const BUCKET: &str = "packages";

/// The name of a second bucket, which all servers but Azurite have.
const OTHER_BUCKET: &str = "others";

/// The kind of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// `VersityGW`, which checks signatures.
    Versity,
    /// `moto`, which believes every signature.
    Moto,
    /// `Azurite`.
    Azurite,
    /// `moto` behind Google's names for headers: no server speaks the part of Google's interface that layouts use.
    Google,
}

/// A running server with an empty bucket. It ends when the value is dropped.
#[derive(Debug)]
pub struct ObjectStore {
    kind: StoreKind,
    address: SocketAddr,
    /// The address at which clients reach it.
    front: SocketAddr,
    shell: Child,
    _folder: TempDir,
}

impl StoreKind {
    /// All kinds of servers as they are.
    pub const ALL: [Self; 3] = [Self::Versity, Self::Moto, Self::Azurite];

    /// Starts a server, or reports that the test is skipped.
    ///
    /// # Panics
    ///
    /// If it is installed but does not start.
    pub fn start(self) -> Option<ObjectStore> {
        let program = match self {
            Self::Versity => "versitygw",
            Self::Moto | Self::Google => "moto_server",
            Self::Azurite => "azurite-blob",
        };
        let program = peer(program)?;
        let folder = tempfile::tempdir().expect("a folder can be made");
        // Another process may take the port in between: try again.
        let started = (0..5).find_map(|_| {
            let address = free_address();
            let shell = self.run(&program, folder.path(), address);
            is_ready(address).then_some((address, shell))
        });
        let (address, shell) = started.expect("the server starts");
        let front = match self {
            Self::Google => google_face::start(address, signature()),
            _ => address,
        };
        let store = ObjectStore { kind: self, address, front, shell, _folder: folder };
        store.make_bucket();
        Some(store)
    }

    fn run(self, program: &Path, folder: &Path, address: SocketAddr) -> Child {
        let (host, port) = (address.ip().to_string(), address.port().to_string());
        // The shell ends the server when its input closes, however the test ends.
        let script = "\"$0\" \"$@\" >/dev/null 2>&1 & child=$!; cat >/dev/null; kill $child; wait";
        let mut command = Command::new("sh");
        command.args(["-c", script]).arg(program).current_dir(folder).stdin(Stdio::piped());
        match self {
            Self::Versity => {
                for bucket in [BUCKET, OTHER_BUCKET] {
                    fs::create_dir_all(folder.join("buckets").join(bucket)).expect("the folder can be made");
                }
                command.env("ROOT_ACCESS_KEY", KEY).env("ROOT_SECRET_KEY", SECRET);
                command.args(["--port", &format!("{host}:{port}"), "posix", "buckets"])
            }
            Self::Moto | Self::Google => command.args(["-H", &host, "-p", &port]),
            Self::Azurite => command.args([
                "--blobHost",
                &host,
                "--blobPort",
                &port,
                "--silent",
                "--skipApiVersionCheck",
                "--location",
                ".",
            ]),
        };
        command.spawn().expect("a shell starts")
    }
}

impl ObjectStore {
    /// Returns its host and port.
    pub fn host(&self) -> String {
        self.front.to_string()
    }

    /// Returns a URL below the bucket, without a tag.
    pub fn url(&self, prefix: &str) -> String {
        let scheme = match self.kind {
            StoreKind::Azurite => "az",
            StoreKind::Google => "gs",
            StoreKind::Moto | StoreKind::Versity => "s3",
        };
        format!("{scheme}://{BUCKET}/{prefix}")
    }

    /// Returns a URL below the second bucket.
    pub fn other_url(&self, prefix: &str) -> String {
        self.url(prefix).replace(&format!("//{BUCKET}/"), &format!("//{OTHER_BUCKET}/"))
    }

    /// Returns the settings by which a program reaches the server, or something before it, at this host and port.
    pub fn settings(&self, host: &str) -> Vec<(&'static str, String)> {
        if self.kind == StoreKind::Azurite {
            return vec![
                ("AZURE_STORAGE_ACCOUNT_NAME", AZURE_ACCOUNT.to_owned()),
                ("AZURE_STORAGE_ACCOUNT_KEY", AZURE_KEY.to_owned()),
                ("AZURE_STORAGE_ENDPOINT", format!("http://{host}/{AZURE_ACCOUNT}")),
            ];
        }
        if self.kind == StoreKind::Google {
            return vec![
                ("GOOGLE_BEARER_TOKEN", "tokenoftests".to_owned()),
                ("GOOGLE_BASE_URL", format!("http://{host}")),
            ];
        }
        vec![
            ("AWS_ACCESS_KEY_ID", KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ENDPOINT_URL", format!("http://{host}")),
        ]
    }

    /// Returns how many uploads in parts the server has that did not end. Only moto believes the signature of a test.
    ///
    /// # Panics
    ///
    /// If the server is another one.
    pub fn open_uploads(&self) -> usize {
        assert!(self.is_moto());
        self.ask("GET", &format!("/{BUCKET}?uploads")).matches("<UploadId>").count()
    }

    /// Returns the keys of all objects, as the server lists them.
    ///
    /// # Panics
    ///
    /// If the server is another one than moto.
    pub fn objects(&self) -> Vec<String> {
        assert!(self.is_moto());
        let listing = self.ask("GET", &format!("/{BUCKET}?list-type=2"));
        let keys = listing.split("<Key>").skip(1).filter_map(|rest| rest.split("</Key>").next());
        keys.map(str::to_owned).collect()
    }

    /// Removes an object.
    ///
    /// # Panics
    ///
    /// If the server is another one than moto.
    pub fn remove(&self, key: &str) {
        assert!(self.is_moto());
        self.ask("DELETE", &format!("/{BUCKET}/{key}"));
    }

    fn is_moto(&self) -> bool {
        matches!(self.kind, StoreKind::Moto | StoreKind::Google)
    }

    fn make_bucket(&self) {
        match self.kind {
            StoreKind::Versity => {}
            StoreKind::Moto | StoreKind::Google => {
                for bucket in [BUCKET, OTHER_BUCKET] {
                    self.ask("PUT", &format!("/{bucket}"));
                }
            }
            StoreKind::Azurite => self.make_container(),
        }
    }

    /// Makes the container with a shared access signature for the account: a signature that covers no request.
    fn make_container(&self) {
        let query = shared_access_query();
        let answer = self.ask("PUT", &format!("/{AZURE_ACCOUNT}/{BUCKET}?restype=container&{query}"));
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    }

    fn ask(&self, method: &str, path: &str) -> String {
        let mut connection = TcpStream::connect(self.address).expect("the server accepts");
        let host = self.address.to_string();
        let signature = if self.is_moto() { signature() } else { String::new() };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nx-ms-version: 2021-12-02\r\n{signature}Connection: close\r\n\r\n"
        );
        connection.write_all(request.as_bytes()).expect("the server reads");
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).expect("the server answers");
        String::from_utf8_lossy(&answer).into_owned()
    }
}

impl Drop for ObjectStore {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

/// The header with a signature for moto, which looks at its form alone.
fn signature() -> String {
    format!(
        "Authorization: AWS4-HMAC-SHA256 Credential={KEY}/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, \
         Signature=x\r\n"
    )
}

/// A shared access signature of the account that ends in the year 2100. It was computed once with the published key.
fn shared_access_query() -> &'static str {
    "sv=2021-12-02&ss=b&srt=sco&sp=rwdlacup&se=2100-01-01T00:00:00Z&spr=https,http&sig=wDeasUx7a2efISwed6l%2FHVawJ6vRZk485UbsP11%2Be5I%3D"
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    listener.local_addr().expect("it has an address")
}

fn is_ready(address: SocketAddr) -> bool {
    (0..1200).any(|_| {
        std::thread::sleep(Duration::from_millis(25));
        TcpStream::connect(address).is_ok()
    })
}
