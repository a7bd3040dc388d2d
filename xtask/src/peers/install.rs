//! Installs peers with the tools of their languages.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::directory;
use crate::error::{Result, about, at};
use crate::{console, process, workspace};

/// The longest installation: a longer one waits for a server that does not answer.
const LIMIT: Duration = Duration::from_secs(600);

/// The way to install a program.
#[derive(Debug, Clone, Copy)]
pub(super) enum Method {
    /// `go install` of this package.
    Go(&'static str),
    /// `go build` of a program of this module, at this version, with its path in the module. `go install` also asks for the list of the
    /// module's versions, which not every proxy has.
    GoModule(&'static str, &'static str, &'static str),
    /// `pip install` of these requirements, separated by spaces, into a virtual environment.
    Python(&'static str),
    /// `npm install` of these packages, separated by spaces. The first one has the program.
    Node(&'static str),
    /// The package of this name from Debian.
    Debian(&'static str),
}

impl fmt::Display for Method {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Go(package) => write!(formatter, "go install {package}"),
            Self::GoModule(module, version, program) => {
                write!(formatter, "go install {module}/{program}@{version}")
            }
            Self::Python(requirement) => write!(formatter, "pip install {requirement}"),
            Self::Node(packages) => write!(formatter, "npm install {packages}"),
            Self::Debian(package) => write!(formatter, "apt-get install {package}"),
        }
    }
}

/// How many installations run at once, besides that of Debian packages. Most of the time they wait for the network.
const AT_ONCE: usize = 3;

/// Installs these programs, several at once. Reports each failure and continues.
pub(super) fn all(programs: impl Iterator<Item = (&'static str, Method)>) {
    let (debian, others): (Vec<_>, Vec<_>) =
        programs.partition(|(_, method)| matches!(method, Method::Debian(_)));
    let others = Mutex::new(others.into_iter());
    thread::scope(|scope| {
        scope.spawn(|| install_all_debian(&debian));
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((program, method)) = next(&others) {
                    if let Err(error) = install(program, method) {
                        console::note(format_args!("could not install {program}: {error}"));
                    }
                }
            });
        }
    });
}

fn next<T>(items: &Mutex<impl Iterator<Item = T>>) -> Option<T> {
    items.lock().unwrap_or_else(PoisonError::into_inner).next()
}

fn install(program: &str, method: Method) -> Result<()> {
    match method {
        Method::Go(package) => install_go(package),
        Method::GoModule(module, version, path) => build_go(program, module, version, path),
        Method::Python(requirement) => install_python(program, requirement),
        Method::Node(packages) => install_node(program, packages),
        Method::Debian(package) => install_debian(&[package]),
    }
}

fn install_all_debian(programs: &[(&str, Method)]) {
    let package = |(_, method): &(&str, Method)| match method {
        Method::Debian(package) => Some(*package),
        Method::Go(_) | Method::GoModule(..) | Method::Python(_) | Method::Node(_) => None,
    };
    let packages: Vec<&str> = programs.iter().filter_map(package).collect();
    if let Err(error) = install_debian(&packages) {
        console::note(format_args!("could not install {}: {error}", packages.join(", ")));
    }
}

fn install_go(package: &str) -> Result<()> {
    let directory = directory();
    fs::create_dir_all(&directory).map_err(at(&directory))?;
    run_limited(Command::new("go").args(["install", package]).env("GOBIN", &directory))
}

fn build_go(program: &str, module: &str, version: &str, path: &str) -> Result<()> {
    let directory = directory();
    fs::create_dir_all(&directory).map_err(at(&directory))?;
    let peers = workspace::target("peers");
    let place = peers.join("go").join(program);
    fs::create_dir_all(&place).map_err(at(&place))?;
    let own = place.join("go.mod");
    let text = format!("module peer\n\ngo 1.25.0\n\nrequire {module} {version}\n");
    fs::write(&own, text).map_err(at(&own))?;
    let output = directory.canonicalize().map_err(at(&directory))?.join(program);
    let mut build = Command::new("go");
    build.args(["build", "-mod=mod", "-o"]).arg(output).arg(format!("{module}/{path}"));
    run_limited(build.current_dir(&place))
}

fn install_python(program: &str, requirement: &str) -> Result<()> {
    let directory = directory();
    fs::create_dir_all(&directory).map_err(at(&directory))?;
    // An environment and links into it have absolute paths: several checkouts may share the directory by links, and only
    // its own path stays. An environment of an earlier path does not run, and is cleared.
    let peers = workspace::target("peers");
    let environment = peers.canonicalize().map_err(at(&peers))?.join("python").join(program);
    run_limited(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment))?;
    let pip = environment.join("bin").join("pip");
    run_limited(Command::new(pip).args(["install", "--quiet"]).args(requirement.split(' ')))?;
    link(&environment.join("bin").join(program), program)
}

fn install_node(program: &str, packages: &str) -> Result<()> {
    let peers = workspace::target("peers");
    fs::create_dir_all(directory()).map_err(at(&peers))?;
    let prefix = peers.canonicalize().map_err(at(&peers))?.join("node").join(program);
    fs::create_dir_all(&prefix).map_err(at(&prefix))?;
    let install = ["install", "--no-fund", "--no-audit", "--loglevel=error", "--prefix"];
    run_limited(Command::new("npm").args(install).arg(&prefix).args(packages.split(' ')))?;
    link(&prefix.join("node_modules/.bin").join(program), program)
}

/// Puts a program into the directory of peers.
fn link(installed: &Path, program: &str) -> Result<()> {
    let link = directory().join(program);
    if link.symlink_metadata().is_ok() {
        fs::remove_file(&link).map_err(at(&link))?;
    }
    std::os::unix::fs::symlink(installed, &link).map_err(at(&link))
}

fn install_debian(packages: &[&str]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    if process::read(Command::new("id").arg("-u"))?.trim() != "0" {
        return Err("only root can install Debian packages".into());
    }
    run_limited(Command::new("apt-get").args(["update", "-qq"]))?;
    let install = ["install", "-y", "-qq", "--no-install-recommends"];
    run_limited(Command::new("apt-get").args(install).args(packages).env("DEBIAN_FRONTEND", "noninteractive"))
}

/// Runs the command with its output on standard error, and kills it after [`LIMIT`].
fn run_limited(command: &mut Command) -> Result<()> {
    let line = process::command_line(command);
    console::note(format_args!("$ {line}"));
    let output = std::io::stderr();
    let mut child = command.stdin(Stdio::null()).stdout(output).spawn().map_err(about(&line))?;
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().map_err(about(&line))? {
            return if status.success() { Ok(()) } else { Err(format!("{line}: {status}").into()) };
        }
        if start.elapsed() > LIMIT {
            child.kill().and_then(|()| child.wait()).map_err(about(&line))?;
            return Err(format!("{line}: ended after {} s", LIMIT.as_secs()).into());
        }
        thread::sleep(Duration::from_millis(100));
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::{install_debian, run_limited};

    #[test]
    fn failures_are_reported() {
        assert!(run_limited(&mut Command::new("false")).unwrap_err().to_string().starts_with("false: "));
        assert!(run_limited(&mut Command::new("no program has this name")).is_err());
        assert!(run_limited(&mut Command::new("true")).is_ok());
        assert!(install_debian(&[]).is_ok());
    }
}
