//! Counts the transfers: after a kill only the missing blobs move, and for unchanged content none.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use d1oci_tests::{BagBuilder, Outcome, Scripted, bare_d1oci, payload, run_with_input, tree};
use registry_conformance::scripted::{Action, Auth, Config, Fault, Preset, Route, User, When};
use tempfile::TempDir;

/// The objects of the bag, each above the size below which files are gathered in archives.
const OBJECTS: usize = 20;
const OBJECT_BYTES: usize = 400_000;
/// More than the index and the archive with the tag files have.
const SMALL_BLOBS: u64 = 60_000;
/// The blobs that move at once.
const PARALLEL: u32 = 4;

/// A home directory with a bag of twenty objects, and a scripted registry.
struct Rig {
    home: TempDir,
    registry: Scripted,
}

impl Rig {
    fn new(config: Config) -> Self {
        let registry = Scripted::start(config);
        let home = tempfile::tempdir().unwrap();
        let settings = format!("[host.\"{}\"]\nparallel = {PARALLEL}\n", registry.host());
        fs::create_dir_all(home.path().join(".config/d1oci")).unwrap();
        fs::write(home.path().join(".config/d1oci/config.toml"), settings).unwrap();
        let objects = (0..OBJECTS).fold(BagBuilder::new(), |bag, number| {
            bag.file(&format!("data/object-{number:02}.csv"), payload(number as u64, OBJECT_BYTES))
        });
        objects.write(&home.path().join("bag"));
        Self { home, registry }
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = bare_d1oci(self.home.path());
        command.args(arguments.replace("HOST", self.registry.host()).split(' '));
        command
    }

    fn d1oci(&self, arguments: &str) -> Outcome {
        run_with_input(&mut self.command(arguments), "").success()
    }

    /// Starts a command and kills it with SIGKILL once a condition holds.
    fn kill_when(&self, arguments: &str, condition: impl Fn() -> bool) {
        let mut command = self.command(arguments);
        let mut child =
            command.stdin(Stdio::null()).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        let began = Instant::now();
        while !condition() {
            assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
            // A bound for a test that fails.
            assert!(began.elapsed() < Duration::from_secs(120), "it never comes to that");
            sleep(Duration::from_millis(5));
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Returns what was asked for, in its order.
    fn asked(&self) -> Vec<(Route, String)> {
        self.registry.requests().into_iter().map(|request| (request.route, request.uri)).collect()
    }
}

#[test]
fn after_a_killed_push_only_what_was_missing_is_sent() {
    // After seven blobs, four get stuck half-way.
    let stuck = |config: Config, number| {
        let action = Action::StallRequest { after: OBJECT_BYTES as u64 / 2 };
        config.with_fault(Fault::new(Route::UploadCommit, When::Nth(number), action))
    };
    let rig = Rig::new((8..8 + PARALLEL).fold(Config::new(Preset::Strict), stuck));
    rig.kill_when("push HOST/a/b:v1 bag", || {
        rig.registry.commits() == 7 && rig.registry.count(Route::UploadCommit) == 7 + PARALLEL as usize
    });
    assert!(rig.registry.tags("a/b").is_empty());
    rig.registry.forget_requests();

    rig.d1oci("push HOST/a/b:v1 bag");
    // Twenty objects, an archive with the tag files, the index.
    assert_eq!(rig.registry.commits(), OBJECTS + 2 - 7);
    assert_eq!(rig.registry.count(Route::BlobHead), OBJECTS + 2);
    rig.d1oci("pull HOST/a/b:v1 -o out");
    assert!(tree(&rig.home.path().join("out/bag")) == tree(&rig.home.path().join("bag")));
}

#[test]
fn after_a_killed_pull_only_what_was_missing_is_received() {
    // The first request is for the index; after ten layers, four get stuck half-way.
    let stuck = |config: Config, number| {
        let action = Action::StallAnswer { after: OBJECT_BYTES as u64 / 2 };
        config.with_fault(Fault::new(Route::BlobGet, When::Nth(number), action))
    };
    let rig = Rig::new((12..12 + PARALLEL).fold(Config::new(Preset::Strict), stuck));
    rig.d1oci("push HOST/a/b:v1 bag");
    rig.registry.forget_requests();
    let stuck = 11 + PARALLEL as usize;
    rig.kill_when("pull HOST/a/b:v1 -o out", || {
        rig.registry.count(Route::BlobGet) == stuck && {
            let sent = rig.registry.sent();
            sleep(Duration::from_millis(200));
            sent == rig.registry.sent()
        }
    });
    assert!(!rig.home.path().join("out/bag").exists());
    let kept = bytes_below(&rig.home.path().join("out"));
    assert!(kept > 9 * OBJECT_BYTES as u64, "{kept}");
    rig.registry.forget_requests();

    let pulled = rig.d1oci("pull HOST/a/b:v1 -o out --format json").json();
    let requests = rig.registry.requests();
    let blobs: Vec<_> = requests.iter().filter(|request| request.route == Route::BlobGet).collect();
    let moved: u64 = blobs.iter().map(|request| request.sent).sum();
    let missing = (OBJECTS * OBJECT_BYTES) as u64 - kept;
    assert!(moved < missing + SMALL_BLOBS, "{moved} bytes were received where {missing} were missing");
    assert!(blobs.iter().any(|request| request.status == Some(206)), "nothing was gone on with");
    assert!(pulled["receivedBytes"].as_u64().unwrap() <= moved, "{pulled}");
    assert!(tree(&rig.home.path().join("out/bag")) == tree(&rig.home.path().join("bag")));
}

fn bytes_below(directory: &Path) -> u64 {
    tree(directory).into_values().flatten().map(|content| content.len() as u64).sum()
}

#[test]
fn of_an_unchanged_package_each_blob_is_only_looked_for() {
    let rig = Rig::new(Config::new(Preset::Strict));
    rig.d1oci("push HOST/a/b:v1 bag");
    rig.registry.forget_requests();
    let again = rig.d1oci("push HOST/a/b:v1 bag");
    assert!(again.text().starts_with("Unchanged "), "{again:?}");
    // By the index in the manifest the archive with the small files is known to be unchanged without being made.
    let manifest = || "/v2/a/b/manifests/v1".to_owned();
    let (looks, others): (Vec<_>, Vec<_>) =
        rig.asked().into_iter().partition(|(route, _)| *route == Route::BlobHead);
    // At the end the manifest is read again: it may be damaged.
    assert_eq!(others, [(Route::ManifestGet, manifest()), (Route::ManifestGet, manifest())]);
    assert_eq!(looks.len(), OBJECTS + 2, "twenty objects, an archive with the tag files, the index");
}

#[test]
fn of_an_unchanged_file_each_blob_is_only_looked_for() {
    let rig = Rig::new(Config::new(Preset::Strict));
    rig.d1oci("push HOST/a/b:v1 bag/data/object-00.csv");
    rig.registry.forget_requests();
    let again = rig.d1oci("push HOST/a/b:v1 bag/data/object-00.csv");
    assert!(again.text().starts_with("Unchanged "), "{again:?}");
    let (looks, others): (Vec<_>, Vec<_>) =
        rig.asked().into_iter().partition(|(route, _)| *route == Route::BlobHead);
    assert_eq!(others, [(Route::ManifestGet, "/v2/a/b/manifests/v1".to_owned())]);
    assert_eq!(looks.len(), 2, "the file and the empty configuration");
}

#[test]
fn blobs_that_are_there_are_only_looked_for() {
    let rig = Rig::new(Config::new(Preset::Strict));
    rig.d1oci("push HOST/a/b:v1 bag");
    rig.registry.forget_requests();
    let again = rig.d1oci("push HOST/a/b:v2 bag -a org.example.number=2");
    assert!(again.text().contains("0 blobs sent (0 B)"), "{again:?}");
    assert_eq!(rig.registry.count(Route::BlobHead), OBJECTS + 2);
    assert_eq!(rig.registry.blob_transfers(), 0);
    assert_eq!(rig.registry.count(Route::ManifestPut), 1);
}

#[test]
fn a_copy_within_a_registry_mounts_and_has_one_client() {
    let auth = Auth::bearer(vec![User::new("dataone+dataone", "s3cret")]);
    let rig = Rig::new(Config::new(Preset::Strict).with_auth(auth));
    let mut login = rig.command("login HOST -u dataone+dataone --password-stdin");
    run_with_input(&mut login, "s3cret").success();
    rig.d1oci("push HOST/a/b:v1 bag");
    rig.registry.forget_requests();
    rig.d1oci("copy HOST/a/b:v1 HOST/c/d:v1");
    // The program learns the registry's login scheme once, for both repositories.
    let requests = rig.registry.requests();
    assert_eq!(requests.iter().filter(|request| request.status == Some(401)).count(), 1);
    assert_eq!(rig.registry.count(Route::Mount), OBJECTS + 2);
    assert_eq!(rig.registry.count(Route::UploadStart), 0);
}
