//! Debian's `docker-registry`, started on a free port with a configuration of its own.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

/// A running registry; it ends with the value, or with the test's process.
pub(crate) struct DockerRegistry {
    pub(crate) host: String,
    _folder: TempDir,
    shell: Child,
}

/// How it asks who is there.
pub(crate) enum Authentication<'a> {
    None,
    /// The file of users as `htpasswd` writes it.
    Basic(&'a Path),
    /// The place of the token server and the file with its certificate.
    Bearer {
        realm: String,
        certificate: &'a Path,
    },
}

impl DockerRegistry {
    /// Starts it, or tells that it is not installed.
    pub(crate) fn start(authentication: &Authentication<'_>) -> Option<Self> {
        let installed = Command::new("docker-registry").arg("--version").stdout(Stdio::null()).status();
        if !installed.is_ok_and(|status| status.success()) {
            println!("skipped: `docker-registry` is not installed");
            return None;
        }
        // Another process may take the port in between; then it is tried again.
        (0..5).find_map(|_| Self::try_start(authentication))
    }

    fn try_start(authentication: &Authentication<'_>) -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let config = folder.path().join("config.yml");
        write(&config, &configuration(folder.path(), address, authentication));
        // The shell ends the registry when its input closes, which it does however the test ends.
        let script =
            "docker-registry serve \"$0\" >\"$0.log\" 2>&1 & child=$!; cat >/dev/null; kill $child; wait";
        let shell =
            Command::new("sh").args(["-c", script]).arg(&config).stdin(Stdio::piped()).spawn().unwrap();
        let registry = Self { host: address.to_string(), _folder: folder, shell };
        registry.wait_until_ready(address).then_some(registry)
    }

    fn wait_until_ready(&self, address: SocketAddr) -> bool {
        (0..200).any(|_| {
            std::thread::sleep(Duration::from_millis(25));
            TcpStream::connect(address).is_ok()
        })
    }
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

fn configuration(folder: &Path, address: SocketAddr, authentication: &Authentication<'_>) -> String {
    let mut text = format!(
        "version: 0.1\n\
         log: {{level: error, accesslog: {{disabled: true}}}}\n\
         storage:\n  filesystem: {{rootdirectory: {}}}\n  delete: {{enabled: true}}\n\
         http: {{addr: \"{address}\", secret: example}}\n",
        folder.join("data").display()
    );
    match authentication {
        Authentication::None => {}
        Authentication::Basic(users) => {
            text += &format!("auth: {{htpasswd: {{realm: example, path: {}}}}}\n", users.display());
        }
        Authentication::Bearer { realm, certificate } => {
            text += &format!(
                "auth: {{token: {{realm: \"{realm}\", service: example-registry, issuer: example-issuer, \
                 rootcertbundle: {}}}}}\n",
                certificate.display()
            );
        }
    }
    text
}

fn write(path: &Path, text: &str) {
    std::fs::File::create(path).unwrap().write_all(text.as_bytes()).unwrap();
}
