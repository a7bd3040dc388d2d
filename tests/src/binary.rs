//! Running the binary that this workspace builds.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

/// The outcome of a command.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Its exit code; -1 if a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error, as text.
    pub stderr: String,
}

/// Returns the path of the `d1oci` binary, built from this tree.
///
/// # Panics
///
/// If it does not build.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| build("d1oci"))
}

/// Returns the path of `xtask`, built from this tree, to make data sets.
///
/// # Panics
///
/// If it does not build.
pub fn xtask() -> &'static Path {
    static XTASK: OnceLock<PathBuf> = OnceLock::new();
    XTASK.get_or_init(|| build("xtask"))
}

/// The directory of programs that were built before the tests. `cargo xtask test` sets it.
const PROGRAMS: &str = "D1OCI_TEST_PROGRAMS";

/// Builds the binary that has the name of its package, unless it was built before the tests.
fn build(name: &str) -> PathBuf {
    if let Some(programs) = std::env::var_os(PROGRAMS) {
        return Path::new(&programs).join(name);
    }
    let cargo = option_env!("CARGO").unwrap_or("cargo");
    let mut build = Command::new(cargo);
    build.args(["build", "--quiet", "--workspace", "--bin", name, "--message-format=json"]);
    let output = build.current_dir(workspace()).stderr(Stdio::inherit()).output().expect("cargo runs");
    assert!(output.status.success(), "{name} does not build");
    let messages = String::from_utf8(output.stdout).expect("cargo writes UTF-8");
    let executable = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .find_map(|message| {
            (message["target"]["name"] == name).then(|| message["executable"].as_str().map(PathBuf::from))?
        });
    executable.expect("cargo names the executable")
}

/// Runs `d1oci` in a directory.
///
/// # Panics
///
/// If it cannot be started.
pub fn d1oci<S: AsRef<OsStr>>(directory: &Path, arguments: &[S]) -> Outcome {
    let mut command = Command::new(binary());
    // The developer's environment must not change the outcome of a test.
    command.env_remove("SOURCE_DATE_EPOCH").current_dir(directory).args(arguments);
    run(&mut command)
}

/// Returns the command `d1oci` with an environment of two variables: a home directory, and a `PATH` that begins with its
/// directory `bin`.
pub fn bare_d1oci(home: &Path) -> Command {
    let mut command = Command::new(binary());
    let path = format!("{}:{}", home.join("bin").display(), std::env::var("PATH").unwrap_or_default());
    command.env_clear().env("HOME", home).env("PATH", path).current_dir(home);
    command
}

/// Runs a command to its end with a standard input.
///
/// # Panics
///
/// If it cannot be started.
pub fn run_with_input(command: &mut Command, input: &str) -> Outcome {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    // A command that needs no input may have ended already.
    let _ = child.stdin.take().expect("it has one").write_all(input.as_bytes());
    Outcome::from(child.wait_with_output().expect("it ends"))
}

/// Runs a command to its end.
///
/// # Panics
///
/// If it cannot be started.
pub fn run(command: &mut Command) -> Outcome {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    Outcome::from(output)
}

impl Outcome {
    /// Returns standard output as text.
    ///
    /// # Panics
    ///
    /// If it is not UTF-8.
    pub fn text(&self) -> String {
        String::from_utf8(self.stdout.clone()).expect("standard output is UTF-8")
    }

    /// Returns standard output as JSON.
    ///
    /// # Panics
    ///
    /// If it is not JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Returns the outcome of a command that succeeded.
    ///
    /// # Panics
    ///
    /// If it did not.
    #[track_caller]
    pub fn success(self) -> Self {
        assert_eq!(self.code, 0, "{}\n{}", self.stderr, String::from_utf8_lossy(&self.stdout));
        self
    }

    /// Returns the outcome of a command that failed with this exit code and did not panic.
    ///
    /// # Panics
    ///
    /// If it did not.
    #[track_caller]
    pub fn failure(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}\n{}", self.stderr, String::from_utf8_lossy(&self.stdout));
        assert!(self.stderr.contains("error: ") || self.stderr.contains("{\"error\":{"), "{}", self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        self
    }
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Returns the root of the workspace.
pub(crate) fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}
