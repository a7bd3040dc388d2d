//! Registries of others, started for one test: Debian's `docker-registry` with its own users, and others without logins.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::binary::run;
use crate::peers::peer;

/// A running registry. It ends when the value is dropped.
#[derive(Debug)]
pub struct DockerRegistry {
    address: SocketAddr,
    folder: TempDir,
    shell: Child,
}

impl DockerRegistry {
    /// Starts a registry with one user, or reports that the test is skipped. With a folder that has `certificate.pem` and
    /// `key.pem`, it uses TLS.
    ///
    /// # Panics
    ///
    /// If it is installed but does not start.
    pub fn start(username: &str, password: &str, tls: Option<&Path>) -> Option<Self> {
        let htpasswd = peer("htpasswd")?;
        let folder = tempfile::tempdir().expect("a folder can be made");
        let users = run(Command::new(htpasswd).args(["-Bbn", username, password])).success();
        fs::write(folder.path().join(USERS), users.stdout).expect("the file can be written");
        Self::start_in(folder, tls)
    }

    /// Starts a registry without logins, or reports that the test is skipped.
    ///
    /// # Panics
    ///
    /// If it is installed but does not start.
    pub fn start_open() -> Option<Self> {
        Self::start_in(tempfile::tempdir().expect("a folder can be made"), None)
    }

    fn start_in(folder: TempDir, tls: Option<&Path>) -> Option<Self> {
        let registry = peer("docker-registry")?;
        // Another process may take the port in between: try again.
        let started = (0..5).find_map(|_| {
            let address = free_address();
            let config = folder.path().join("config.yml");
            fs::write(&config, configuration(folder.path(), address, tls)).expect("the file can be written");
            let shell = start(Command::new(&registry).arg("serve").arg(&config), folder.path());
            is_ready(address).then_some((address, shell))
        });
        let (address, shell) = started.expect("docker-registry starts");
        Some(Self { address, folder, shell })
    }

    /// Returns the directories of upload sessions that are open. After a session was cancelled, its directory may stay, with the state
    /// of hashes alone.
    pub fn open_uploads(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut pending = vec![self.folder.path().join("data")];
        while let Some(directory) = pending.pop() {
            for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
                match directory.ends_with("_uploads") {
                    true if entry.path().join("startedat").exists() => found.push(entry.path()),
                    true => {}
                    false if entry.path().is_dir() => pending.push(entry.path()),
                    false => {}
                }
            }
        }
        found
    }

    /// Returns the file that holds the bytes of a blob.
    ///
    /// # Panics
    ///
    /// If the digest is not a SHA-256.
    pub fn blob(&self, digest: &str) -> PathBuf {
        let hex = digest.strip_prefix("sha256:").expect("a SHA-256");
        let blobs = self.folder.path().join("data/docker/registry/v2/blobs/sha256");
        blobs.join(&hex[..2]).join(hex).join("data")
    }

    /// Returns its host and port.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Returns its port with another name of the same machine.
    pub fn other_name(&self) -> String {
        format!("localhost:{}", self.address.port())
    }
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        end(&mut self.shell);
    }
}

fn end(shell: &mut Child) {
    drop(shell.stdin.take());
    let _ = shell.wait();
}

/// A registry that others wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistryProgram {
    /// Debian's `docker-registry`, distribution 2.8.
    Docker2,
    /// `registry` of distribution 3.
    Distribution3,
    /// `olareg`.
    Olareg,
}

/// A registry that others wrote, without logins. It ends when the value is dropped.
#[derive(Debug)]
pub struct RealRegistry {
    program: RegistryProgram,
    path: PathBuf,
    address: SocketAddr,
    folder: TempDir,
    shell: Child,
}

impl RealRegistry {
    /// Starts a registry, or reports that the test is skipped.
    ///
    /// # Panics
    ///
    /// If it is installed but does not start.
    pub fn start(program: RegistryProgram) -> Option<Self> {
        let path = peer(match program {
            RegistryProgram::Docker2 => "docker-registry",
            RegistryProgram::Distribution3 => "registry",
            RegistryProgram::Olareg => "olareg",
        })?;
        let folder = tempfile::tempdir().expect("a folder can be made");
        // Another process may take the port in between: try again.
        let started = (0..5).find_map(|_| {
            let address = free_address();
            let shell = program.start(&path, folder.path(), address);
            is_ready(address).then_some((address, shell))
        });
        let (address, shell) = started.expect("the registry starts");
        Some(Self { program, path, address, folder, shell })
    }

    /// Returns its host and port.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Ends the process of the registry. Its content stays.
    pub fn stop(&mut self) {
        end(&mut self.shell);
    }

    /// Starts the process again, at the same address with the same content.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub fn start_again(&mut self) {
        self.shell = self.program.start(&self.path, self.folder.path(), self.address);
        assert!(is_ready(self.address), "the registry starts again");
    }
}

impl Drop for RealRegistry {
    fn drop(&mut self) {
        end(&mut self.shell);
    }
}

impl RegistryProgram {
    fn start(self, program: &Path, folder: &Path, address: SocketAddr) -> Child {
        let mut command = Command::new(program);
        command.arg("serve");
        match self {
            Self::Docker2 | Self::Distribution3 => {
                let config = folder.join("config.yml");
                fs::write(&config, configuration(folder, address, None)).expect("the file can be written");
                command.arg(config);
            }
            Self::Olareg => {
                let (host, port) = (address.ip().to_string(), address.port().to_string());
                command.args(["--addr", &host, "--port", &port, "--dir"]).arg(folder.join("data"));
            }
        }
        start(&command, folder)
    }
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    listener.local_addr().expect("it has an address")
}

/// Starts a registry in a shell, with a log in this folder.
fn start(registry: &Command, folder: &Path) -> Child {
    // The shell ends the registry when its input closes, however the test ends.
    let script = "\"$@\" >>\"$0\" 2>&1 & child=$!; cat >/dev/null; kill $child; wait";
    let mut command = Command::new("sh");
    command
        .args(["-c", script])
        .arg(folder.join("log"))
        .arg(registry.get_program())
        .args(registry.get_args());
    // Distribution 3 sends traces unless it is told not to.
    command.env("OTEL_TRACES_EXPORTER", "none").stdin(Stdio::piped());
    command.spawn().expect("a shell starts")
}

fn is_ready(address: SocketAddr) -> bool {
    (0..400).any(|_| {
        std::thread::sleep(Duration::from_millis(25));
        TcpStream::connect(address).is_ok()
    })
}

/// The file of users. Without it everybody has all rights.
const USERS: &str = "users";

fn configuration(folder: &Path, address: SocketAddr, tls: Option<&Path>) -> String {
    let users = folder.join(USERS);
    let auth = match users.is_file() {
        true => format!("auth: {{htpasswd: {{realm: example, path: {}}}}}\n", users.display()),
        false => String::new(),
    };
    let folder = folder.display();
    let tls = tls.map(Path::display).map_or_else(String::new, |place| {
        format!(", tls: {{certificate: {place}/certificate.pem, key: {place}/key.pem}}")
    });
    format!(
        "version: 0.1\n\
         log: {{level: error, accesslog: {{disabled: true}}}}\n\
         storage:\n  filesystem: {{rootdirectory: {folder}/data}}\n  delete: {{enabled: true}}\n\
         http: {{addr: \"{address}\", secret: example{tls}}}\n\
         {auth}"
    )
}
