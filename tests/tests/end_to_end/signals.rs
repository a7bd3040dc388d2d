//! A command that a signal interrupts stops, cancels its uploads, deletes its temporary files and says how to continue. A command that is
//! killed leaves files, which the next one removes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use d1_testnode::{Content, HashStoreFolder, Scale, ScriptedNode, StoredObject};
use d1oci_tests::{BagBuilder, DockerRegistry, Outcome, Scripted, bare_d1oci, payload, run};
use registry_conformance::scripted::{Config, Preset};
use rustix::process::{Pid, Signal, kill_process};
use tokio::runtime::Runtime;

/// The bytes of the large file of each package.
const LARGE: usize = 24_000_000;

/// How long a command may take to stop.
const PATIENCE: Duration = Duration::from_secs(120);

/// A command that can be interrupted in the middle.
struct Case<'a> {
    arguments: &'a [&'a str],
    /// The place of the signal: after so many bytes that the command has read from files and written to them.
    after_bytes: u64,
    /// The hint of the message, for a command that keeps its work.
    hint: &'a str,
}

impl<'a> Case<'a> {
    const fn new(arguments: &'a [&'a str], after_bytes: u64) -> Self {
        Self { arguments, after_bytes, hint: "" }
    }

    const fn resumes(arguments: &'a [&'a str], after_bytes: u64) -> Self {
        Self { arguments, after_bytes, hint: "run the same command again" }
    }

    /// Interrupts the command, kills it, and then lets it end.
    fn check(&self, place: &Path) {
        self.check_interruptions(place);
        assert_eq!(self.interrupted(place, Signal::KILL).code, -1, "{:?}", self.arguments);
        run(&mut self.command(place)).success();
        assert_eq!(temporary_files(place, Kept::Nothing), [""; 0], "{:?} after KILL", self.arguments);
    }

    /// Interrupts the command by each signal.
    fn check_interruptions(&self, place: &Path) {
        for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
            let outcome = self.interrupted(place, signal);
            assert_eq!(outcome.code, code, "{:?} {signal:?}: {}", self.arguments, outcome.stderr);
            assert!(outcome.stderr.contains("error: interrupted by a signal"), "{}", outcome.stderr);
            assert!(outcome.stderr.contains(self.hint), "{:?}: {}", self.arguments, outcome.stderr);
            assert_eq!(
                temporary_files(place, Kept::ForTheNextRun),
                [""; 0],
                "{:?} {signal:?}",
                self.arguments
            );
        }
    }

    fn command(&self, place: &Path) -> Command {
        let mut command = bare_d1oci(place);
        command.args(self.arguments).env("TMPDIR", place.join("temporary"));
        command
    }

    /// Runs the command, sends it a signal in the middle, and waits for its end.
    fn interrupted(&self, place: &Path, signal: Signal) -> Outcome {
        let stderr = place.join("temporary/stderr");
        let mut command = self.command(place);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(&stderr).unwrap());
        let mut child = command.spawn().expect("the binary starts");
        while child.try_wait().unwrap().is_none() && moved_bytes(&child) < self.after_bytes {
            sleep(Duration::from_micros(200));
        }
        // A command that was too fast for the signal shows it by its exit code.
        send(&child, signal);
        let status = end_of(&mut child);
        let said = fs::read(&stderr).unwrap();
        fs::remove_file(stderr).unwrap();
        let stderr = String::from_utf8_lossy(&said).into_owned();
        Outcome { code: status.unwrap_or(-1), stdout: Vec::new(), stderr }
    }
}

/// Sends a signal to a command, which may have ended.
fn send(child: &Child, signal: Signal) {
    let _ = kill_process(Pid::from_child(child), signal);
}

/// Waits for the end of a command. Returns its exit code, or `None` if a signal ended it.
fn end_of(child: &mut Child) -> Option<i32> {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        if Instant::now() > end {
            child.kill().unwrap();
            panic!("the command does not stop");
        }
        sleep(Duration::from_millis(2));
    }
}

/// Returns how many bytes a process has read from files and written to them (proc(5), `/proc/pid/io`).
fn moved_bytes(child: &Child) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/io", child.id())).unwrap_or_default();
    let value =
        |line: &str| line.strip_prefix("rchar: ").or(line.strip_prefix("wchar: "))?.parse::<u64>().ok();
    text.lines().filter_map(value).sum()
}

/// The temporary files that may be there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kept {
    Nothing,
    ForTheNextRun,
}

/// Returns the paths of temporary files.
fn temporary_files(place: &Path, kept: Kept) -> Vec<String> {
    let is_temporary = |path: &str| {
        path.starts_with("temporary/")
            || path.contains("/ingest/")
            || path.split('/').any(|name| {
                let is_kept = name.starts_with(".d1oci-pull-") && kept == Kept::ForTheNextRun;
                let prefixes = [".d1oci-", ".part-", ".bagit-", ".plain.", ".made.", ".repaired."];
                prefixes.iter().any(|prefix| name.starts_with(prefix)) && !is_kept
            })
    };
    let mut found = Vec::new();
    let mut pending = vec![place.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let entry = entry.unwrap();
            let path = entry.path().strip_prefix(place).unwrap().to_string_lossy().into_owned();
            found.extend(Some(path).filter(|path| is_temporary(path)));
            if entry.file_type().unwrap().is_dir() {
                pending.push(entry.path());
            }
        }
    }
    found
}

/// A bag with a large file, and a layout that has it.
fn prepare() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    fs::create_dir(place.path().join("temporary")).unwrap();
    let bag = BagBuilder::new().payload_files(8, 9_000).file("data/large.csv", payload(1, LARGE));
    bag.write(&place.path().join("bag"));
    run(bare_d1oci(place.path()).args(["push", "oci:store:v1", "bag"])).success();
    place
}

#[test]
fn commands_on_layouts_stop_cleanly() {
    let place = prepare();
    for case in [
        Case::resumes(&["push", "oci:pushed:v1", "bag"], 30_000_000),
        Case::resumes(&["push", "oci:packed:v1", "bag", "--layout", "archive"], 30_000_000),
        Case::resumes(&["copy", "oci:store:v1", "oci:copied:v1"], 20_000_000),
        Case::resumes(&["mirror", "oci:store", "oci:mirrored"], 20_000_000),
        Case::resumes(&["pull", "oci:store:v1", "-o", "pulled"], 12_000_000),
        Case::new(&["export", "oci:store:v1", "-o", "exported"], 60_000_000),
        Case::new(&["export", "oci:store:v1", "-o", "exported.zip"], 80_000_000),
        Case::new(&["cat", "oci:store:v1", "data/large.csv", "-o", "one.csv"], 20_000_000),
        Case::new(&["verify", "--deep", "oci:store:v1"], 3_000_000),
        Case::new(&["verify", "--all", "--deep", "oci:store", "--report", "report.csv"], 3_000_000),
        Case::new(&["bag", "validate", "bag"], 3_000_000),
    ] {
        case.check(place.path());
    }
}

#[test]
fn commands_on_bags_stop_cleanly() {
    let place = prepare();
    fs::rename(place.path().join("bag/data"), place.path().join("plain")).unwrap();
    Case::new(&["bag", "create", "plain", "made"], 10_000_000).check(place.path());
    // A bag with the faults of a Member Node: paths with a prefix, and no tag manifest.
    let faulty = place.path().join("made");
    for algorithm in ["md5", "sha1", "sha256", "sha512"] {
        let manifest = faulty.join(format!("manifest-{algorithm}.txt"));
        if let Ok(text) = fs::read_to_string(&manifest) {
            fs::write(manifest, text.replace("  data/", "\tpid%3A1/data/")).unwrap();
        }
        let _ = fs::remove_file(faulty.join(format!("tagmanifest-{algorithm}.txt")));
    }
    Case::new(&["bag", "repair", "made", "repaired"], 10_000_000).check(place.path());
}

#[test]
fn commands_on_nodes_stop_cleanly() {
    let place = prepare();
    let scale = Scale { packages: 1, objects: 4, smallest: 6_000_000, largest: 9_000_000, seed: 7 };
    let runtime = Runtime::new().unwrap();
    let node = runtime.block_on(ScriptedNode::serve(scale.catalog().unwrap())).unwrap();
    let (url, identifier) = (node.member_url(), "doi:10.5072/SCALE7.0");
    let store = HashStoreFolder::create(&place.path().join("hashstore")).unwrap();
    for number in 0..3 {
        let content = Content::Generated { seed: number, size: 9_000_000 };
        let name = format!("doi:10.5072/A2ONE{number}").parse().unwrap();
        store.put(&StoredObject::new(name, "text/csv", content).unwrap()).unwrap();
    }
    for case in [
        Case::resumes(&["fetch", identifier, "-o", "fetched", "--node", &url], 4_000_000),
        Case::resumes(&["replicate", "oci:replica", identifier, "--node", &url, "--journal", "j"], 4_000_000),
        Case::resumes(&["import", "oci:imported", "--hashstore", "hashstore"], 12_000_000),
    ] {
        case.check(place.path());
    }
}

/// Interrupts uploads to a registry, and then lets them end. `is_clean` looks for open uploads.
fn check_uploads(host: &str, is_clean: &dyn Fn() -> bool) {
    let place = prepare();
    let reference = |name: &str| format!("{host}/signals/{name}:v1");
    let (pushed, packed, copied) = (reference("pushed"), reference("packed"), reference("copied"));
    for case in [
        Case::resumes(&["push", &pushed, "bag"], 52_000_000),
        Case::resumes(&["push", &packed, "bag", "--layout", "archive"], 40_000_000),
        Case::resumes(&["copy", "oci:store:v1", &copied], 6_000_000),
    ] {
        for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
            let outcome = case.interrupted(place.path(), signal);
            assert_eq!(outcome.code, code, "{:?}: {}", case.arguments, outcome.stderr);
            assert!(outcome.stderr.contains(case.hint), "{}", outcome.stderr);
            assert!(is_clean(), "{:?} {signal:?} leaves uploads open", case.arguments);
            assert_eq!(temporary_files(place.path(), Kept::Nothing), [""; 0], "{:?}", case.arguments);
        }
        run(&mut case.command(place.path())).success();
    }
}

#[test]
fn interrupted_uploads_are_cancelled() {
    let registry = Scripted::start(Config::new(Preset::Strict));
    check_uploads(registry.host(), &|| registry.open_uploads() == 0);
}

/// Docker's registry 2 cannot cancel an upload whose content was interrupted. It removes these itself.
#[test]
fn uploads_to_dockers_registry_are_cancelled_unless_their_content_was_interrupted() {
    let Some(registry) = DockerRegistry::start_open() else { return };
    let has_content = |upload: &PathBuf| fs::metadata(upload.join("data")).is_ok_and(|data| data.len() > 0);
    check_uploads(&registry.host(), &|| registry.open_uploads().iter().all(has_content));
}

#[test]
fn commands_that_wait_for_a_registry_or_a_lock_stop() {
    // This server takes connections and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let repository = format!("{}/a/b", silent.local_addr().unwrap());
    let tagged = format!("{repository}:v1");
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("a.csv"), "15,7.2\n").unwrap();
    run(bare_d1oci(place.path()).args(["push", "oci:store:v1", "a.csv"])).success();
    for arguments in [
        &["mirror", &repository, "oci:mirrored"][..],
        &["compare", &repository, "--node", "http://127.0.0.1:9/mn/v2"],
        &["withdraw", &repository, "urn:uuid:1"],
        &["find", &repository],
        &["history", &tagged],
        &["verify", "--all", &repository],
        &["delete", &tagged],
        &["discover", &tagged],
        &["repair", &repository, "--from", "oci:store"],
    ] {
        let mut command = bare_d1oci(place.path());
        let mut child = command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let _connection = silent.accept().unwrap();
        send(&child, Signal::INT);
        assert_eq!(end_of(&mut child), Some(130), "{arguments:?}");
    }
    let lock = fs::OpenOptions::new().create(true).append(true).open(place.path().join("store/.index.lock"));
    let lock = lock.unwrap();
    lock.lock().unwrap();
    // Without a blob to remove, pruning needs no lock.
    fs::write(place.path().join("store/blobs/sha256").join("a".repeat(64)), "stray").unwrap();
    for arguments in [&["prune", "oci:store", "--grace", "0s"][..], &["tag", "oci:store:v1", "v2"]] {
        let mut child = bare_d1oci(place.path()).args(arguments).stderr(Stdio::null()).spawn().unwrap();
        // The command soon waits for the lock.
        sleep(Duration::from_millis(500));
        send(&child, Signal::TERM);
        assert_eq!(end_of(&mut child), Some(143), "{arguments:?}");
    }
}

#[test]
fn a_second_signal_ends_the_command_at_once() {
    // This server takes the connection and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let place = tempfile::tempdir().unwrap();
    let reference = format!("{}/a/b", silent.local_addr().unwrap());
    let mut child =
        bare_d1oci(place.path()).args(["tags", &reference]).stderr(Stdio::null()).spawn().unwrap();
    let _connection = silent.accept().unwrap();
    for _ in 0..2 {
        send(&child, Signal::TERM);
        sleep(Duration::from_millis(20));
    }
    assert_eq!(end_of(&mut child), Some(143));
}

#[test]
fn a_command_that_reads_standard_input_stops() {
    let place = tempfile::tempdir().unwrap();
    for arguments in [
        &["replicate", "oci:store", "-"][..],
        &["login", "registry.example", "--username", "curator", "--password-stdin"],
    ] {
        let mut command = bare_d1oci(place.path());
        command.args(arguments).stdin(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        // The thread that waits for signals starts before the command.
        sleep(Duration::from_millis(500));
        send(&child, Signal::INT);
        assert_eq!(end_of(&mut child), Some(130), "{arguments:?}");
    }
}

#[test]
fn a_command_that_waits_for_the_reader_of_a_pipe_stops_at_the_first_signal() {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("a.csv"), payload(1, 300_000)).unwrap();
    run(bare_d1oci(place.path()).args(["push", "oci:store:v1", "a.csv"])).success();
    let pipe = place.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for arguments in [
        &["cat", "oci:store:v1", "-o", "pipe"][..],
        &["manifest", "fetch", "oci:store:v1", "-o", "pipe"],
        &["verify", "oci:store:v1", "--report", "pipe"],
    ] {
        let mut child = bare_d1oci(place.path())
            .args(arguments)
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        sleep(Duration::from_millis(500));
        send(&child, Signal::INT);
        assert_eq!(end_of(&mut child), Some(130), "{arguments:?}");
    }
    // A pipe that is to be read is refused, before anybody waits.
    for arguments in [
        &["bag", "validate", "pipe"][..],
        &["bag", "repair", "pipe", "new"],
        &["push", "--unpack", "oci:x:v1", "pipe"],
    ] {
        let refused = run(bare_d1oci(place.path()).args(arguments));
        assert_eq!(refused.code, 6, "{arguments:?}: {}", refused.stderr);
    }
}
