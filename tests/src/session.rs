//! A home directory, a registry, and command lines as people type them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use registry_conformance::scripted::{Auth, Config, Preset, User};
use tempfile::TempDir;

use crate::binary::{Outcome, bare_d1oci, run, run_with_input};
use crate::peers::peer;
use crate::{DockerRegistry, Scripted};

/// The kind of registry of a test. [`on_every_registry`](crate::on_every_registry) runs a test on all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistryKind {
    /// Debian's `docker-registry`.
    Docker,
    /// A scripted registry that behaves like another.
    Scripted(Preset),
}

/// A running registry. It ends when the value is dropped.
#[derive(Debug)]
pub struct RunningRegistry {
    kind: RegistryKind,
    server: Server,
}

#[derive(Debug)]
enum Server {
    Docker(DockerRegistry),
    Scripted(Scripted),
}

impl RegistryKind {
    /// Starts a registry with one user, or without logins, or reports that the test is skipped.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub fn start(self, login: Option<(&str, &str)>) -> Option<RunningRegistry> {
        let server = match (self, login) {
            (Self::Docker, None) => Server::Docker(DockerRegistry::start_open()?),
            (Self::Docker, Some((name, password))) => {
                Server::Docker(DockerRegistry::start(name, password, None)?)
            }
            (Self::Scripted(preset), login) => {
                let bearer = |(name, password)| Auth::bearer(vec![User::new(name, password)]);
                let auth = login.map_or(Auth::None, bearer);
                Server::Scripted(Scripted::start(Config::new(preset).with_auth(auth)))
            }
        };
        Some(RunningRegistry { kind: self, server })
    }

    /// Returns the settings that select its backend.
    fn settings(self) -> &'static str {
        match self {
            // The backend requires GitHub's REST interface. The tests send it nothing.
            Self::Scripted(Preset::Ghcr) => "backend = \"ghcr\"\napi = \"http://127.0.0.1:9/api\"",
            Self::Scripted(Preset::Quay) => "backend = \"quay\"",
            _ => "backend = \"generic\"",
        }
    }
}

impl RunningRegistry {
    /// Returns its host and port.
    pub fn host(&self) -> String {
        match &self.server {
            Server::Docker(registry) => registry.host(),
            Server::Scripted(registry) => registry.host().to_owned(),
        }
    }

    /// Returns the scripted registry with its log, if it is one.
    pub fn scripted(&self) -> Option<&Scripted> {
        match &self.server {
            Server::Docker(_) => None,
            Server::Scripted(registry) => Some(registry),
        }
    }

    /// Returns its section of the configuration.
    fn settings(&self) -> String {
        format!("[host.\"{}\"]\n{}\n", self.host(), self.kind.settings())
    }
}

/// A home directory whose configuration names the kinds of registries.
#[derive(Debug)]
pub struct Session {
    home: TempDir,
    host: String,
}

impl Session {
    /// Returns an empty home directory with the settings of these registries. The first is `HOST`.
    ///
    /// # Panics
    ///
    /// If it cannot be made.
    pub fn new(registries: &[&RunningRegistry]) -> Self {
        let home = tempfile::tempdir().expect("a folder can be made");
        let configuration = home.path().join(".config/d1oci");
        fs::create_dir_all(&configuration).expect("the directory can be made");
        let settings: String = registries.iter().map(|registry| registry.settings()).collect();
        fs::write(configuration.join("config.toml"), settings).expect("the file can be written");
        Self { home, host: registries.first().map(|registry| registry.host()).unwrap_or_default() }
    }

    /// Returns the home directory.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Returns a path below the home directory.
    pub fn path(&self, path: &str) -> PathBuf {
        self.home().join(path)
    }

    /// Returns host and port of the registry.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Runs a command line. `HOST` stands for the registry.
    pub fn line(&self, line: &str) -> Outcome {
        self.piped("", line)
    }

    /// Runs a command line with a standard input.
    ///
    /// # Panics
    ///
    /// If the line does not begin with `d1oci`.
    pub fn piped(&self, input: &str, line: &str) -> Outcome {
        let line = line.strip_prefix("d1oci ").expect("the line runs d1oci");
        run_with_input(&mut self.command(line), input)
    }

    /// Returns the command `d1oci` with these arguments, with `HOST` for the registry.
    pub fn command(&self, arguments: &str) -> Command {
        let mut command = bare_d1oci(self.home());
        command.args(self.words(arguments));
        command
    }

    /// Runs another program to its success, or reports that the test is skipped.
    ///
    /// # Panics
    ///
    /// If it fails.
    pub fn other(&self, program: &str, arguments: &str) -> Option<Outcome> {
        let mut command = Command::new(peer(program)?);
        command.env("HOME", self.home()).env_remove("DOCKER_CONFIG").current_dir(self.home());
        Some(run(command.args(self.words(arguments))).success())
    }

    fn words(&self, line: &str) -> Vec<String> {
        line.replace("HOST", &self.host).split_whitespace().map(str::to_owned).collect()
    }
}

/// Makes a test of each function for each kind of registry.
#[macro_export]
macro_rules! on_every_registry {
    ($($fact:ident),+ $(,)?) => {
        $crate::on_registry!(docker_registry, $crate::RegistryKind::Docker, $($fact),+);
        $crate::on_registry!(strict, $crate::RegistryKind::Scripted($crate::Preset::Strict), $($fact),+);
        $crate::on_registry!(ghcr, $crate::RegistryKind::Scripted($crate::Preset::Ghcr), $($fact),+);
        $crate::on_registry!(quay, $crate::RegistryKind::Scripted($crate::Preset::Quay), $($fact),+);
    };
}

/// Makes a module of tests of functions that take a kind of registry.
#[macro_export]
macro_rules! on_registry {
    ($name:ident, $kind:expr, $($fact:ident),+) => {
        mod $name {
            $(
                #[test]
                fn $fact() {
                    super::$fact($kind);
                }
            )+
        }
    };
}
