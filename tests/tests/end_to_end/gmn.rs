//! A real Generic Member Node (GMN) that is replicated, changed in ten ways, and replicated again.
//!
//! It runs where `target/peers/gmn` is a virtual environment with `dataone-gmn` 3.5 and PostgreSQL is installed:
//! `python3 -m venv target/peers/gmn && target/peers/gmn/bin/pip install dataone-gmn==3.5.2 'Django<5'`.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::{fs, thread, time};

use d1oci_tests::{d1oci, run, skipped};
use tempfile::TempDir;

const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/gmn");

/// A running node with its database. Everything ends with the value.
struct Gmn {
    python: PathBuf,
    directory: TempDir,
    processes: Vec<Child>,
    reader: String,
    writer: String,
}

impl Gmn {
    /// Starts a node without objects, or says that it cannot.
    fn start() -> Option<Self> {
        let python = Path::new(WORKSPACE).join("target/peers/gmn/bin/python");
        let programs = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let mut programs = programs.map(|version| version.path().join("bin"));
        let programs = programs.find(|programs| programs.join("initdb").exists());
        let (true, Some(programs)) = (python.exists(), programs) else {
            skipped("no Generic Member Node in target/peers/gmn, or no PostgreSQL");
            return None;
        };
        let directory = tempfile::tempdir().unwrap();
        let mut gmn =
            Self { python, directory, processes: Vec::new(), reader: String::new(), writer: String::new() };
        gmn.start_database(&programs);
        gmn.writer = gmn.serve("write");
        gmn.reader = gmn.serve("read");
        Some(gmn)
    }

    /// PostgreSQL does not run as root.
    fn as_postgres(program: &Path) -> Command {
        if !rustix::process::getuid().is_root() {
            return Command::new(program);
        }
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
        command
    }

    fn start_database(&mut self, programs: &Path) {
        let directory = self.directory.path();
        if rustix::process::getuid().is_root() {
            run(Command::new("chown").arg("postgres").arg(directory)).success();
        }
        let data = directory.join("database");
        let make = ["--auth=trust", "--username=postgres", "--no-sync", "-D"];
        run(Self::as_postgres(&programs.join("initdb")).args(make).arg(&data)).success();
        let mut server = Self::as_postgres(&programs.join("postgres"));
        server.args(["-F", "-c", "listen_addresses=", "-k"]).arg(directory).arg("-D").arg(&data);
        server.stdout(Stdio::null()).stderr(Stdio::null());
        self.processes.push(server.spawn().unwrap());
        for _ in 0..600 {
            let ready = run(Command::new(programs.join("pg_isready")).arg("-h").arg(directory));
            if ready.code == 0 {
                return;
            }
            thread::sleep(time::Duration::from_millis(100));
        }
        panic!("PostgreSQL does not start");
    }

    fn script(&self, name: &str) -> Command {
        let mut command = Command::new(&self.python);
        command.arg(Path::new(SCRIPTS).join(name)).env("PYTHONPATH", SCRIPTS);
        command.env("PYTHONDONTWRITEBYTECODE", "1").env("GMN_DIRECTORY", self.directory.path());
        command
    }

    /// Starts a process that serves the node, and returns its base URL.
    fn serve(&mut self, role: &str) -> String {
        let mut command = self.script("serve.py");
        command.arg(role).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let output: ChildStdout = child.stdout.take().unwrap();
        self.processes.push(child);
        let mut port = String::new();
        BufReader::new(output).read_line(&mut port).unwrap();
        assert!(!port.is_empty(), "GMN does not start");
        format!("http://127.0.0.1:{}", port.trim())
    }

    /// Fills the node with packages, or changes them.
    fn drive(&self, action: &str) {
        run(self.script("drive.py").args([&self.writer, action])).success();
    }
}

impl Drop for Gmn {
    fn drop(&mut self) {
        for process in self.processes.iter_mut().rev() {
            // A process that ended by itself is fine.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// Returns `kind identifier` of each difference between the repository and the node.
fn differences(place: &Path, node: &str) -> BTreeSet<String> {
    let compare = ["compare", "oci:store", "--node", node, "--format", "json"];
    let report = d1oci(place, &compare).stdout;
    fs::write(place.join("differences.jsonl"), &report).unwrap();
    let lines = String::from_utf8(report).unwrap();
    let lines = lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let differences = lines.filter(|line| line["outcome"] == "difference");
    let text = |line: &serde_json::Value, key: &str| line[key].as_str().unwrap().to_owned();
    differences.map(|line| format!("{} {}", text(&line, "kind"), text(&line, "identifier"))).collect()
}

fn set(texts: &[&str]) -> BTreeSet<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// Returns what comes after this prefix in the paths of all requests that a log with `-vv` names.
fn requested(log: &str, prefix: &str) -> BTreeSet<String> {
    let paths = log.split(prefix).skip(1);
    paths.filter_map(|rest| rest.split(['"', '?', ' ', '\n']).next()).map(str::to_owned).collect()
}

#[test]
fn a_real_node_is_replicated_changed_and_replicated_again() {
    let Some(gmn) = Gmn::start() else { return };
    gmn.drive("fill");
    let (place, node) = (tempfile::tempdir().unwrap(), gmn.reader.as_str());
    let place = place.path();
    let replicate = ["-vv", "replicate", "oci:store", "--node", node, "--journal", "journal"];
    let first = d1oci(place, &replicate).success();
    assert!(first.text().contains("11 packages replicated"), "{}", first.text());
    assert_eq!(differences(place, node), set(&[]));

    gmn.drive("change");
    let second = d1oci(place, &replicate).success();
    assert!(second.text().contains("8 packages replicated, 1 unchanged"), "{}", second.text());
    // The bytes of changed or new objects alone are requested. The maps of all packages are too, once, because a new object of a
    // series is in none that the journal knows.
    let objects = requested(&second.stderr, "/v2/object/");
    let data: BTreeSet<String> = objects.into_iter().filter(|pid| !pid.contains(".map")).collect();
    assert_eq!(data, set(&["p6.data.0.v2", "new", "new.data.0", "new.data.1", "series.2"]));
    let documents = requested(&second.stderr, "/v2/meta/");
    assert!(!documents.iter().any(|pid| pid.starts_with("p8") || pid.starts_with("p9")), "{documents:?}");
    let left = ["gone p2.data.0", "missing series.1", "private p1.data.0"];
    assert_eq!(differences(place, node), set(&left));

    // Objects that the node no longer gives to everybody are withdrawn on request, and do not come back.
    let withdraw =
        ["withdraw", "oci:store", "--from-compare", "differences.jsonl", "--reason", "test", "--yes"];
    d1oci(place, &withdraw).success();
    d1oci(place, &[&replicate[..], &["--skip-missing"]].concat()).success();
    assert_eq!(differences(place, node), set(&["missing series.1"]));
    d1oci(place, &["cat", "oci:store", "--id", "p1.data.1"]).success();
    d1oci(place, &["verify", "--all", "--deep", "--sysmeta", "oci:store"]).success();
}
