//! A server on a free port of the loopback interface, for one side of a row: Debian's `docker-registry`, or VersityGW for buckets.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use super::link::{Link, Slowness};
use super::rows::Network;
use crate::error::{Result, about, at};

/// The keys of the server of buckets.
const KEYS: (&str, &str) = ("benchmark", "benchmark-secret");

/// Returns the program of the server that a row needs.
pub(super) fn program(network: Network) -> Option<&'static str> {
    match network {
        Network::None => None,
        Network::Loopback | Network::Slow | Network::Distant => Some("docker-registry"),
        Network::Bucket => Some("versitygw"),
    }
}

/// A running registry; it ends with the value, and with this process.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) link: Link,
    network: Network,
    /// The directory of its storage, which may be removed at any time.
    pub(super) data: PathBuf,
    log: PathBuf,
    shell: Child,
}

/// Traffic on the wire.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Wire {
    pub(super) requests: u64,
    /// Bytes that the command sent and received, including the headers of requests and answers.
    pub(super) sent: u64,
    pub(super) received: u64,
}

impl Server {
    /// Starts the program with its files below this directory.
    pub(super) fn start(program: &Path, directory: &Path, network: Network) -> Result<Self> {
        fs::create_dir_all(directory).map_err(at(directory))?;
        let name = self::program(network).unwrap_or("no server");
        let config = directory.join("config.yml");
        // Another process may take the port in between: try again.
        for _ in 0..5 {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(about(name))?;
            let address = listener.local_addr().map_err(about(name))?;
            drop(listener);
            let data = directory.join("data");
            let shell = if network == Network::Bucket {
                let bucket = data.join("bench");
                fs::create_dir_all(&bucket).map_err(at(&bucket))?;
                start_buckets(program, &data, address)?
            } else {
                fs::write(&config, configuration(&data, address)).map_err(at(&config))?;
                start(program, &config)?
            };
            let link = Link::to(address, slowness(network)).map_err(about("the link"))?;
            let log = directory.join("config.yml.log");
            let server = Self { address, link, network, data, log, shell };
            if server.is_ready() {
                return Ok(server);
            }
        }
        Err(format!("{name} does not start in {}", directory.display()).into())
    }

    /// Returns the address for measured commands.
    pub(super) fn measured(&self) -> SocketAddr {
        match self.network {
            Network::Slow | Network::Distant => self.counted(),
            Network::None | Network::Loopback | Network::Bucket => self.address,
        }
    }

    /// Returns the address for commands whose traffic is counted.
    pub(super) fn counted(&self) -> SocketAddr {
        match self.network {
            // Connections to it reach this machine, and no program takes it for a loopback address.
            Network::Distant => (Ipv4Addr::UNSPECIFIED, self.link.address.port()).into(),
            _ => self.link.address,
        }
    }

    /// Returns the variables by which commands find the server.
    pub(super) fn environment(&self) -> Vec<(&'static str, String)> {
        if self.network != Network::Bucket {
            return Vec::new();
        }
        let (key, secret) = KEYS;
        let endpoint = format!("http://{}", self.address);
        let own = [
            ("AWS_ACCESS_KEY_ID", key),
            ("AWS_SECRET_ACCESS_KEY", secret),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ENDPOINT_URL", &endpoint),
            // The server speaks plain HTTP, and rclone 1.60 fails where further authorities are named.
            ("AWS_CA_BUNDLE", ""),
            ("RCLONE_CONFIG", "/dev/null"),
            ("RCLONE_S3_PROVIDER", "Other"),
            ("RCLONE_S3_ENV_AUTH", "true"),
            ("RCLONE_S3_ENDPOINT", &endpoint),
        ];
        own.map(|(name, value)| (name, value.to_owned())).to_vec()
    }

    /// Returns the traffic since the start. The server of buckets writes no log.
    pub(super) fn wire(&self) -> Result<Wire> {
        if self.network == Network::Bucket {
            return Ok(Wire::default());
        }
        // The registry writes the line about a request after its answer.
        thread::sleep(Duration::from_millis(100));
        let log = fs::read_to_string(&self.log).map_err(at(&self.log))?;
        let (sent, received) = self.link.bytes();
        Ok(Wire { requests: requests_in(&log), sent, received })
    }

    fn is_ready(&self) -> bool {
        (0..200).any(|_| {
            thread::sleep(Duration::from_millis(25));
            TcpStream::connect(self.address).is_ok()
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        // The process has ended in any case.
        let _ = self.shell.wait();
    }
}

impl Wire {
    /// Returns the difference to an earlier state.
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(before.requests),
            sent: self.sent.saturating_sub(before.sent),
            received: self.received.saturating_sub(before.received),
        }
    }
}

/// The slow link has 50 ms each way and 100 Mbit/s, the distant registry 10 ms each way.
fn slowness(network: Network) -> Slowness {
    match network {
        Network::Slow => Slowness { delay: Duration::from_millis(50), bytes_per_second: 12_500_000 },
        Network::Distant => Slowness { delay: Duration::from_millis(10), bytes_per_second: 0 },
        Network::None | Network::Loopback | Network::Bucket => Slowness::default(),
    }
}

fn start(program: &Path, config: &Path) -> Result<Child> {
    // The shell ends the registry when its input closes, even if this process is killed.
    let script = "\"$0\" serve \"$1\" >\"$1.log\" 2>\"$1.err\" & child=$!; cat >/dev/null; kill $child; wait";
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(program).arg(config).stdin(Stdio::piped());
    command.spawn().map_err(about("sh"))
}

fn start_buckets(program: &Path, data: &Path, address: SocketAddr) -> Result<Child> {
    let script =
        "\"$0\" --port \"$1\" posix \"$2\" >/dev/null 2>&1 & child=$!; cat >/dev/null; kill $child; wait";
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(program).arg(address.to_string()).arg(data).stdin(Stdio::piped());
    command.env("ROOT_ACCESS_KEY", KEYS.0).env("ROOT_SECRET_KEY", KEYS.1);
    command.spawn().map_err(about("sh"))
}

fn configuration(data: &Path, address: SocketAddr) -> String {
    format!(
        "version: 0.1\n\
         log: {{level: error}}\n\
         storage:\n  filesystem: {{rootdirectory: {}}}\n  delete: {{enabled: true}}\n\
         http: {{addr: \"{address}\", secret: example}}\n",
        data.display()
    )
}

/// Counts the lines about requests, in the log format of Apache.
fn requests_in(log: &str) -> u64 {
    log.lines().filter(|line| line.contains("] \"") && line.contains(" HTTP/1.1\" ")).count() as u64
}

#[cfg(test)]
mod tests {
    use super::{Wire, requests_in};

    #[test]
    fn requests_are_counted_in_the_log() {
        let log = "127.0.0.1 - - [28/Nov/2026:09:00:26 +0000] \"GET /v2/bag/manifests/v1 HTTP/1.1\" 404 92 \"\" \"a/1\"\n\
                   time=\"2026\" level=error msg=\"something else\"\n\
                   127.0.0.1 - - [28/Nov/2026:09:00:26 +0000] \"PUT /v2/bag/manifests/v1 HTTP/1.1\" 201 0 \"\" \"a/1\"\n";
        assert_eq!(requests_in(log), 2);
    }

    #[test]
    fn earlier_traffic_does_not_count() {
        let wire = |requests, sent, received| Wire { requests, sent, received };
        assert_eq!(wire(5, 60, 700).since(wire(1, 10, 100)), wire(4, 50, 600));
    }
}
