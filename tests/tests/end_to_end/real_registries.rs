//! Registries that others wrote, behind a proxy that counts and cuts: killed pushes, cut connections, and outages.

use std::fs;
use std::process::Command;
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use d1oci_tests::{FaultKind, Outcome, RealRegistry, RegistryProgram, Session, StoreProxy, measured};

use crate::bucket_requests::write_large;
use crate::buckets::{number_from, start_until};

const MIB: u64 = 1024 * 1024;

/// The registries, and whether each tells how much of an upload it has after a request was cut.
const REGISTRIES: [(RegistryProgram, bool); 3] = [
    // It ends the upload (distribution 2.8, `blobUploadHandler.ResumeBlobUpload`).
    (RegistryProgram::Docker2, false),
    (RegistryProgram::Distribution3, true),
    (RegistryProgram::Olareg, true),
];

/// A registry behind a proxy, and a home directory.
struct Rig {
    registry: RealRegistry,
    proxy: StoreProxy,
    session: Session,
}

impl Rig {
    fn start(program: RegistryProgram) -> Option<Self> {
        let registry = RealRegistry::start(program)?;
        let proxy = StoreProxy::start(&registry.host());
        Some(Self { registry, proxy, session: Session::new(&[]) })
    }

    /// Returns the command `d1oci`, with `HOST` for the proxy.
    fn command(&self, arguments: &str) -> Command {
        self.session.command(&arguments.replace("HOST", &self.proxy.host()))
    }

    fn line(&self, arguments: &str) -> Outcome {
        d1oci_tests::run(&mut self.command(arguments))
    }

    /// Pushes a file, and returns how many bytes of requests that took.
    fn push(&self) -> u64 {
        let before = self.proxy.sent();
        self.line("push HOST/a/b:v1 large.bin").success();
        self.proxy.sent() - before
    }

    #[track_caller]
    fn has_all(&self) {
        self.line("pull HOST/a/b:v1 -o got").success();
        let file = |name| fs::read(self.session.path(name)).unwrap();
        assert!(file("got/large.bin") == file("large.bin"), "the registry has other bytes");
    }
}

#[test]
fn a_killed_push_sends_the_rest_where_the_registry_tells_how_much_it_has() {
    let mebibytes = number_from("D1OCI_TEST_PUSH_MIB", 64);
    let size = mebibytes as u64 * MIB;
    for (program, tells) in REGISTRIES {
        let Some(rig) = Rig::start(program) else { continue };
        write_large(&rig.session.path("large.bin"), mebibytes);
        rig.proxy.throttle((size / 8).max(32 * MIB));
        // In the middle of a chunk.
        let half = size / 2 + 3 * MIB;
        let mut first =
            start_until(&|| rig.proxy.sent(), &mut rig.command("push HOST/a/b:v1 large.bin"), half);
        first.kill().unwrap();
        first.wait().unwrap();
        rig.proxy.throttle(0);
        // The registry notices that the connection is gone.
        sleep(Duration::from_millis(500));
        let before = rig.proxy.sent();
        let second = rig.push();
        measured(&format!(
            "{program:?}: of {size} bytes, {before} sent before the kill and {second} after it"
        ));
        match tells {
            true => assert!(second * 10 <= size * 6, "{program:?}: {second} of {size} bytes are sent again"),
            false => assert!(second >= size, "{program:?}: {second} of {size} bytes are sent again"),
        }
        rig.has_all();
    }
}

#[test]
fn a_push_goes_on_where_its_connection_was_cut_if_the_registry_tells_where() {
    let mebibytes = 64;
    let size = mebibytes as u64 * MIB;
    for (program, tells) in REGISTRIES {
        let Some(rig) = Rig::start(program) else { continue };
        write_large(&rig.session.path("large.bin"), mebibytes);
        // Five of the sixteen mebibytes of the third chunk.
        rig.proxy.add("PATCH", "content-range: 33554432-", 1, FaultKind::CutRequestAfter(5 * MIB));
        let sent = rig.push();
        assert_eq!(rig.proxy.faults_left(), 0, "{program:?}: no chunk was cut");
        measured(&format!("{program:?}: {sent} bytes sent for {size} with one cut at {}", 37 * MIB));
        let most = if tells { size / 10 * 11 } else { size + 38 * MIB };
        assert!(sent <= most, "{program:?}: {sent} bytes are sent for {size}");
        rig.has_all();
    }
}

#[test]
fn a_killed_copy_to_a_layout_receives_the_rest() {
    let mebibytes = 64;
    let size = mebibytes as u64 * MIB;
    let Some(rig) = Rig::start(RegistryProgram::Docker2) else { return };
    write_large(&rig.session.path("large.bin"), mebibytes);
    rig.push();
    rig.proxy.throttle(32 * MIB);
    let line = "copy HOST/a/b:v1 oci:copied:v1";
    let mut first = start_until(&|| rig.proxy.received(), &mut rig.command(line), size / 2 + 3 * MIB);
    first.kill().unwrap();
    first.wait().unwrap();
    rig.proxy.throttle(0);
    let before = rig.proxy.received();
    rig.line(line).success();
    let second = rig.proxy.received() - before;
    assert!(second * 10 <= size * 6, "{second} of {size} bytes are received again");
    rig.line("verify --deep oci:copied:v1").success();
}

#[test]
fn transfers_survive_the_restart_of_a_registry() {
    let outage = Duration::from_secs(number_from("D1OCI_TEST_OUTAGE_SECONDS", 3) as u64);
    let works = [
        "push HOST/owner/other:v1 other.bin",
        "pull HOST/owner/source:v1 -o got",
        "copy HOST/owner/source:v1 oci:copied:v1",
        "mirror HOST/owner/source oci:mirrored",
    ];
    scope(|threads| {
        for program in [RegistryProgram::Docker2, RegistryProgram::Distribution3] {
            for work in works {
                threads.spawn(move || survives(program, work, outage));
            }
        }
    });
}

/// Ends a registry while a command moves 16 MiB at 4 MiB a second, and starts it again after some time.
fn survives(program: RegistryProgram, work: &str, outage: Duration) {
    let Some(mut rig) = Rig::start(program) else { return };
    if work.starts_with("push") {
        write_large(&rig.session.path("other.bin"), 16);
    } else {
        write_large(&rig.session.path("source.bin"), 16);
        rig.line("push HOST/owner/source:v1 source.bin").success();
    }
    rig.proxy.throttle(4 * MIB);
    let mut command = rig.command(work);
    let began = Instant::now();
    let outcome = scope(|threads| {
        let working = threads.spawn(|| d1oci_tests::run(&mut command));
        sleep(Duration::from_millis(1500));
        assert!(!working.is_finished(), "{program:?}: {work} ended before the outage");
        rig.registry.stop();
        sleep(outage);
        rig.registry.start_again();
        working.join().unwrap().success()
    });
    let took = began.elapsed().as_secs_f64();
    measured(&format!("{program:?}: {work}: {took:.1} s with an outage of {} s", outage.as_secs()));
    assert!(outcome.stderr.contains("the next try is in"), "{program:?}: {work}: {}", outcome.stderr);
}
