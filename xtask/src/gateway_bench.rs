//! `cargo xtask gateway-bench`: the gateway beside nginx, and beside a DataONE Member Node that already runs.
//!
//! `wrk` asks both sides for the same bytes in turn. The program prints one line for each comparison.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use clap::Args;

use crate::bench::measure::median;
use crate::error::{Result, about, at};
use crate::sample::{Extent, Kind, Sample};
use crate::{console, peers, process};

/// Seconds of one run of `wrk`.
const SECONDS: u32 = 5;

/// Connections of one run of `wrk`.
const CONNECTIONS: u32 = 8;

/// The arguments of `cargo xtask gateway-bench`.
#[derive(Debug, Args)]
#[command(after_help = "\
Needs wrk and nginx. `d1oci replicate` copies the object of --node first, so that both sides serve the same system metadata.

Example: cargo xtask gateway-bench --node http://localhost:8000/mn --pid urn:uuid:1")]
pub struct Arguments {
    /// The program to measure
    #[arg(long, value_name = "FILE", default_value = "target/release/d1oci")]
    pub d1oci: PathBuf,
    /// Runs of each side
    #[arg(long, default_value_t = 3)]
    pub runs: usize,
    /// Base URL of a Member Node to compare with
    #[arg(long, value_name = "URL", requires = "pid")]
    pub node: Option<String>,
    /// Identifier of a resource map on the node
    #[arg(long, requires = "node")]
    pub pid: Option<String>,
}

/// Measures, and prints the results.
///
/// # Errors
///
/// Fails when a program is missing or a server does not answer.
pub fn run(arguments: &Arguments) -> Result<()> {
    let work = tempfile::tempdir()?;
    let find = |name: &str| process::find(name, &peers::directory()).ok_or_else(|| format!("no {name}"));
    let (wrk, nginx) = (find("wrk")?, find("nginx").or_else(|_| find("/usr/sbin/nginx"))?);
    let mut sample = Sample::of_kind(Kind::Mooring);
    sample.extent = Extent { size: Some(10 << 20), files: Some(1) };
    let bag = sample.make_in(work.path())?.bag;
    let store = format!("oci:{}", work.path().join("store").display());
    process::run(Command::new(&arguments.d1oci).args(["push", "--quiet", &store]).arg(&bag))?;
    if let (Some(node), Some(pid)) = (&arguments.node, &arguments.pid) {
        let mut command = Command::new(&arguments.d1oci);
        process::run(command.args(["replicate", "--quiet", "--node", node, pid, &store]))?;
    }
    let gateway = Server::gateway(&arguments.d1oci, &store)?;
    let compare = |what: &str, ours: &str, peer: &str, theirs: &str| -> Result<()> {
        let (mut of_ours, mut of_theirs) = (Vec::new(), Vec::new());
        for _ in 0..arguments.runs {
            of_ours.push(rate(&wrk, ours)?);
            of_theirs.push(rate(&wrk, theirs)?);
        }
        let (own, other) = (median(of_ours), median(of_theirs));
        let ratio = own / other;
        console::result(format_args!("{what}: d1oci {own:.0}/s, {peer} {other:.0}/s, ratio {ratio:.2}"));
        Ok(())
    };
    let files = fs::read_dir(bag.join("data")).map_err(at(&bag))?;
    let file = files.flatten().next().ok_or("the bag has no payload")?.file_name();
    let plain = Server::nginx(&nginx, &bag.join("data"), work.path())?;
    let path = format!("{}/data/{}", package_path(&sample.identifier), file.to_string_lossy());
    compare(
        "a file of 10 MiB",
        &gateway.url(&path),
        "nginx",
        &plain.url(&format!("/{}", file.to_string_lossy())),
    )?;
    if let (Some(node), Some(pid)) = (&arguments.node, &arguments.pid) {
        let path = format!("/v2/meta/{}", encoded(pid));
        compare("system metadata", &gateway.url(&format!("/mn{path}")), "node", &format!("{node}{path}"))?;
    }
    Ok(())
}

/// The gateway's path of a package.
fn package_path(identifier: &str) -> String {
    format!("/p/{}", encoded(identifier))
}

/// Percent-encodes all but letters, digits, and the marks that need no code.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |path, byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            path + &char::from(byte).to_string()
        }
        _ => path + &format!("%{byte:02X}"),
    })
}

/// Runs `wrk`, and returns the requests per second. Any other status than success is an error.
fn rate(wrk: &Path, url: &str) -> Result<f64> {
    let (seconds, connections) = (format!("-d{SECONDS}s"), format!("-c{CONNECTIONS}"));
    let said = process::read(Command::new(wrk).args(["-t1", &connections, &seconds, url]))?;
    if said.contains("Non-2xx") || said.contains("Socket errors") {
        return Err(format!("{url}: {said}").into());
    }
    let line = said.lines().find_map(|line| line.strip_prefix("Requests/sec:"));
    line.and_then(|number| number.trim().parse().ok()).ok_or_else(|| format!("wrk wrote {said:?}").into())
}

/// A server on the loopback interface, which ends with the value.
struct Server {
    address: SocketAddr,
    child: Child,
}

impl Server {
    fn gateway(d1oci: &Path, store: &str) -> Result<Self> {
        Self::start(d1oci, |address, command| {
            command.args(["serve", store, "--quiet", "--listen", &address.to_string()]);
            Ok(())
        })
    }

    fn nginx(nginx: &Path, files: &Path, work: &Path) -> Result<Self> {
        let (config, own) = (work.join("nginx.conf"), work.join("nginx"));
        fs::create_dir_all(&own).map_err(at(&own))?;
        let (root, own) = (files.display(), own.display());
        Self::start(nginx, |address, command| {
            let text = format!(
                "daemon off; worker_processes auto; pid {own}/pid; error_log {own}/errors;\n\
                 events {{ worker_connections 256; }}\n\
                 http {{ access_log off; sendfile on; client_body_temp_path {own}; proxy_temp_path {own};\n\
                 fastcgi_temp_path {own}; uwsgi_temp_path {own}; scgi_temp_path {own};\n\
                 server {{ listen {address}; root {root}; }} }}\n"
            );
            fs::write(&config, text).map_err(at(&config))?;
            command.arg("-c").arg(&config);
            Ok(())
        })
    }

    fn start(program: &Path, prepare: impl Fn(SocketAddr, &mut Command) -> Result<()>) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(about("a port"))?;
        let address = listener.local_addr().map_err(about("a port"))?;
        drop(listener);
        let mut command = Command::new(program);
        prepare(address, &mut command)?;
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let server = Self { address, child: command.spawn().map_err(about(program.display()))? };
        let ready = (0..400).any(|_| {
            thread::sleep(Duration::from_millis(25));
            TcpStream::connect(address).is_ok()
        });
        if ready { Ok(server) } else { Err(format!("{} does not answer", program.display()).into()) }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGTERM, so that nginx ends its workers too.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}
