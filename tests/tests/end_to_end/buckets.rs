//! Layouts in buckets, on real servers, some behind a proxy with faults.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use backend_layout::{BucketOptions, LayoutFactory};
use d1oci_tests::{FaultKind, ObjectStore, Outcome, Session, StoreKind, StoreProxy, payload, run};
use oci_model::Reference;
use registry_backend::{Access, BackendFactory as _, OpenOptions};
use registry_conformance::CountingBackend;
use registry_conformance::conformance::{EmptyRepository, run_suite};

pub(crate) const MIB: usize = 1024 * 1024;

/// A home directory, and the settings of a server or of a proxy before it.
pub(crate) struct Rig {
    pub(crate) store: ObjectStore,
    pub(crate) proxy: StoreProxy,
    pub(crate) session: Session,
}

impl Rig {
    pub(crate) fn start(kind: StoreKind) -> Option<Self> {
        let store = kind.start()?;
        let proxy = StoreProxy::start(&store.host());
        let rig = Self { store, proxy, session: Session::new(&[]) };
        rig.configure("silence-timeout = 5\npatience = 60\n");
        Some(rig)
    }

    /// Writes the settings of the bucket.
    pub(crate) fn configure(&self, settings: &str) {
        let url = self.store.url("");
        let text = format!("[bucket.\"{}\"]\npart-size = \"5 MiB\"\n{settings}", url.trim_end_matches('/'));
        fs::write(self.session.path(".config/d1oci/config.toml"), text).unwrap();
    }

    /// Returns the command `d1oci`, with `URL` for the layout.
    pub(crate) fn command(&self, line: &str) -> Command {
        let mut command = self.session.command(&line.replace("URL", &self.store.url("some/where")));
        command.envs(self.store.settings(&self.proxy.host()));
        command
    }

    pub(crate) fn line(&self, line: &str) -> Outcome {
        run(&mut self.command(line))
    }

    /// Makes a directory with one large file and a small one.
    pub(crate) fn package(&self, name: &str, seed: u64, size: usize) {
        fs::create_dir_all(self.session.path(name)).unwrap();
        fs::write(self.session.path(name).join("large.bin"), payload(seed, size)).unwrap();
        fs::write(self.session.path(name).join("small.csv"), "a,b\n1,2\n").unwrap();
    }

    #[track_caller]
    pub(crate) fn pulls(&self, tag: &str, name: &str) {
        let got = format!("got-{tag}");
        self.line(&format!("pull URL:{tag} -o {got}")).success();
        let (got, pushed) = (self.session.path(&got).join(name), self.session.path(name));
        for file in ["large.bin", "small.csv"] {
            assert!(
                fs::read(got.join(file)).unwrap() == fs::read(pushed.join(file)).unwrap(),
                "{tag}: {file}"
            );
        }
    }
}

#[test]
fn every_store_keeps_the_promises_of_the_contract() {
    // Moto answers one request at a time, and its answers are those of VersityGW.
    for kind in [StoreKind::Versity, StoreKind::Azurite] {
        let Some(store) = kind.start() else { continue };
        let mut options = BucketOptions::default();
        let settings = store.settings(&store.host()).into_iter();
        options.settings = settings.map(|(key, value)| (key.to_ascii_lowercase(), value)).collect();
        let factory = LayoutFactory::new().with_buckets(options);
        let number = AtomicUsize::new(0);
        let fixture = || async {
            let prefix = number.fetch_add(1, Ordering::Relaxed);
            let at: Reference = store.url(&format!("suite-{prefix}")).parse().unwrap();
            let options = OpenOptions::new(Access::Create);
            let first = factory.open(&at.location, &options).await.unwrap();
            let second = factory.open(&at.location, &options).await.unwrap();
            EmptyRepository::shared(first.into()).with_second(CountingBackend::new(second.into()))
        };
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let report = runtime.block_on(run_suite(fixture));
        assert!(report.is_success(), "{kind:?}: {report}");
        assert!(report.passed.len() > 100, "{kind:?}: {report}");
    }
}

/// Runs a test on every server that is installed.
pub(crate) fn on_every_store(test: impl Fn(&Rig)) {
    StoreKind::ALL.into_iter().filter_map(Rig::start).for_each(|rig| test(&rig));
}

#[test]
fn a_package_goes_to_every_store_and_comes_back() {
    on_every_store(|rig| {
        rig.package("one", 1, 12 * MIB);
        rig.line("push URL:v1 one").success();
        rig.pulls("v1", "one");
        rig.line("verify URL:v1").success();
        assert_eq!(rig.line("tags URL").success().text().trim(), "v1");
        let again = rig.line("push URL:v2 one --format json").success();
        assert_eq!(again.json()["sentBytes"], 0, "{}", again.text());
        rig.line("copy URL:v1 oci:copied:v1").success();
        rig.line("copy oci:copied:v1 URL:v3").success();
        rig.line("delete URL:v1 --yes");
        rig.line("prune URL").success();
        rig.pulls("v3", "one");
    });
}

#[test]
fn the_store_is_tried_once_and_a_dry_run_does_not_try_it() {
    on_every_store(|rig| {
        rig.package("one", 1, MIB);
        rig.line("push URL:v1 one").success();
        assert!(rig.proxy.take_requests().iter().any(|request| request.contains("/ingest/probe-")));
        rig.line("push URL:v2 one").success();
        rig.line("prune URL --dry-run").success();
        let requests = rig.proxy.take_requests();
        assert!(!requests.iter().any(|request| request.contains("/ingest/probe-")), "{requests:?}");
    });
}

#[test]
fn a_transfer_may_take_longer_than_every_time_limit() {
    on_every_store(|rig| {
        rig.configure("silence-timeout = 2\ncommit-timeout = 30\npatience = 4\n");
        rig.package("slow", 2, 24 * MIB);
        rig.proxy.throttle(6 * MIB as u64);
        rig.line("push URL:v1 slow").success();
        rig.pulls("v1", "slow");
        rig.line("verify URL:v1").success();
    });
}

#[test]
fn a_body_that_breaks_off_is_read_on() {
    on_every_store(|rig| {
        rig.package("one", 3, 12 * MIB);
        rig.line("push URL:v1 one").success();
        rig.proxy.add("GET", "/blobs/", 6, FaultKind::CutAfter(2 * MIB as u64));
        rig.pulls("v1", "one");
        assert_eq!(rig.proxy.faults_left(), 0);
    });
}

#[test]
fn refusals_that_pass_and_lost_answers_do_no_harm() {
    on_every_store(|rig| {
        rig.package("one", 4, 12 * MIB);
        rig.proxy.add("PUT", "/blobs/", 2, FaultKind::Answer(503, "SlowDown"));
        rig.proxy.add("PUT", "/blobs/", 2, FaultKind::LoseAnswer);
        rig.proxy.add("PUT", "/index.json", 1, FaultKind::Answer(409, "ConditionalRequestConflict"));
        rig.proxy.add("PUT", "/index.json", 1, FaultKind::LoseAnswer);
        rig.proxy.add("PUT", "/index.json", 2, FaultKind::Answer(412, "PreconditionFailed"));
        rig.proxy.add("PUT", "/ingest/", 1, FaultKind::LoseAnswer);
        rig.proxy.add("POST", "uploadId", 1, FaultKind::LoseAnswer);
        rig.proxy.add("PUT", "comp=blocklist", 1, FaultKind::LoseAnswer);
        rig.line("push URL:v1 one").success();
        rig.line("push URL:v2 one").success();
        rig.pulls("v1", "one");
        rig.line("verify URL:v2").success();
        assert_eq!(rig.line("tags URL").success().text().split_whitespace().count(), 2);
    });
}

#[test]
fn two_pushes_that_share_a_large_blob_both_succeed() {
    on_every_store(|rig| {
        rig.package("one", 5, 30 * MIB);
        fs::create_dir(rig.session.path("two")).unwrap();
        fs::hard_link(rig.session.path("one/large.bin"), rig.session.path("two/large.bin")).unwrap();
        let pushes = ["push URL:v1 one", "push URL:v2 two"];
        let pushes = pushes.map(|line| rig.command(line).stderr(Stdio::piped()).spawn().unwrap());
        for push in pushes {
            let output = push.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        rig.pulls("v1", "one");
        rig.line("verify URL:v2").success();
    });
}

/// Starts a push and waits until the server has received so many bytes.
pub(crate) fn push_until(rig: &Rig, line: &str, bytes: u64) -> std::process::Child {
    start_until(&|| rig.proxy.sent(), &mut rig.command(line), bytes)
}

/// Starts a command, and waits until it has moved so many bytes.
pub(crate) fn start_until(moved: &dyn Fn() -> u64, command: &mut Command, bytes: u64) -> std::process::Child {
    let before = moved();
    let push = command.stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let (mut sent, mut end) = (before, Instant::now() + Duration::from_secs(300));
    while sent - before < bytes {
        let now = moved();
        if now > sent {
            (sent, end) = (now, Instant::now() + Duration::from_secs(60));
        }
        assert!(Instant::now() < end, "only {} bytes arrive", sent - before);
        sleep(Duration::from_millis(2));
    }
    push
}

#[test]
fn a_killed_push_sends_the_rest_of_its_blob() {
    for kind in [StoreKind::Versity, StoreKind::Google] {
        let Some(rig) = Rig::start(kind) else { continue };
        let size = 60 * MIB;
        rig.package("one", 6, size);
        rig.proxy.throttle(20 * MIB as u64);
        let mut push = push_until(&rig, "push URL:v1 one", (size / 2) as u64);
        push.kill().unwrap();
        push.wait().unwrap();
        rig.proxy.throttle(0);
        sleep(Duration::from_millis(500));
        let before = rig.proxy.sent();
        rig.line("push URL:v1 one").success();
        let sent = rig.proxy.sent() - before;
        // Parts that were under way are sent again.
        assert!(sent <= (size / 2 + 20 * MIB) as u64, "{kind:?}: {sent} of {size} bytes are sent again");
        rig.pulls("v1", "one");
        if kind == StoreKind::Google {
            rig.package("two", 7, 20 * MIB);
            rig.proxy.throttle(20 * MIB as u64);
            let mut push = push_until(&rig, "push URL:v2 two", 12 * MIB as u64);
            push.kill().unwrap();
            push.wait().unwrap();
            assert_eq!(rig.store.open_uploads(), 1);
            sleep(Duration::from_secs(2));
            rig.line("prune URL --grace 1s").success();
            assert_eq!(rig.store.open_uploads(), 0);
            rig.line("copy URL:v1 URL-copied:v1").success();
            rig.line("verify URL-copied:v1 --deep").success();
        }
    }
}

/// Returns the number in a variable of the environment, by which a person asks for a longer test.
pub(crate) fn number_from(variable: &str, usual: usize) -> usize {
    std::env::var(variable).ok().map_or(usual, |text| text.parse().expect("it is a number"))
}

#[test]
fn pushes_that_are_killed_interrupted_and_refused_leave_nothing_after_a_prune() {
    let Some(rig) = Rig::start(StoreKind::Moto) else { return };
    rig.proxy.throttle(20 * MIB as u64);
    let mut killed = 0;
    for round in 0..number_from("D1OCI_TEST_BUCKET_KILLS", 4) {
        rig.package("one", 100 + round as u64, 16 * MIB);
        match round % 4 {
            0 => {
                let mut push = push_until(&rig, "push URL:v1 one", 8 * MIB as u64);
                run(Command::new("kill").args(["-INT", &push.id().to_string()])).success();
                assert_eq!(push.wait().unwrap().code(), Some(130));
            }
            1 => {
                rig.proxy.add("PUT", "partNumber=3", 1, FaultKind::Answer(403, "AccessDenied"));
                rig.line("push URL:v1 one").failure(4);
            }
            _ => {
                let mut push = push_until(&rig, "push URL:v1 one", 8 * MIB as u64);
                push.kill().unwrap();
                push.wait().unwrap();
                killed += 1;
            }
        }
        assert_eq!(rig.store.open_uploads(), killed, "round {round}");
    }
    rig.proxy.throttle(0);
    sleep(Duration::from_secs(2));
    let counted = rig.line("prune URL --grace 1s --dry-run --format json").success().json();
    assert!(counted["partialFiles"].as_u64() >= Some(killed as u64), "{counted}");
    assert_eq!(rig.store.open_uploads(), killed);
    rig.line("prune URL --grace 1s").success();
    assert_eq!(rig.store.open_uploads(), 0);
    let left = rig.store.objects();
    assert!(!left.iter().any(|key| key.contains("/ingest/probe-") || key.contains("/lease-")), "{left:?}");
}

#[test]
fn two_pushes_that_create_a_layout_leave_it_whole() {
    on_every_store(|rig| {
        for number in 0..2 {
            let url = rig.store.url(&format!("race-{number}"));
            rig.package("one", 1, MIB);
            rig.package("two", 2, MIB);
            let push = |tag: &str| {
                let mut command = rig.session.command(&format!("push {url}:{tag} {tag}"));
                command.envs(rig.store.settings(&rig.proxy.host())).stderr(Stdio::piped()).spawn().unwrap()
            };
            for push in [push("one"), push("two")] {
                let output = push.wait_with_output().unwrap();
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            }
        }
    });
}

#[test]
fn a_refused_creation_is_tried_again_and_a_missing_index_does_not_hide_content() {
    let Some(rig) = Rig::start(StoreKind::Moto) else { return };
    rig.package("one", 1, MIB);
    rig.proxy.add("PUT", "/index.json", 2, FaultKind::Answer(409, "ConditionalRequestConflict"));
    rig.line("push URL:v1 one").success();
    rig.pulls("v1", "one");
    rig.store.remove("some/where/index.json");
    let said = rig.line("push URL:v2 one").failure(1).stderr;
    assert!(said.contains("`index.json` is missing") && said.contains("--relist"), "{said}");
}

#[test]
fn a_layout_without_an_index_lists_its_artifacts_again() {
    let Some(rig) = Rig::start(StoreKind::Moto) else { return };
    fs::write(rig.session.path("note.txt"), "about it").unwrap();
    for (seed, name) in [(1, "one"), (2, "two")] {
        rig.package(name, seed, MIB);
    }
    rig.line("push URL:v1 one").success();
    rig.line("push URL two --id urn:uuid:1b4e28ba-2fa1-11d2-883f-0016d3cca427").success();
    rig.line("attach URL:v1 --artifact-type text/x-note note.txt").success();
    let before = rig.line("resolve URL:v1").success().text();
    for place in ["URL", "oci:copied"] {
        if place == "URL" {
            rig.store.remove("some/where/index.json");
        } else {
            rig.line("mirror URL oci:copied").success();
            fs::remove_file(rig.session.path("copied/index.json")).unwrap();
        }
        let report = rig.line(&format!("repair {place} --relist --format json")).success().json();
        assert_eq!(report["manifests"], 3, "{report}");
        assert_eq!(report["tagged"][0]["tag"], "urn_uuid_1b4e28ba-2fa1-11d2-883f-0016d3cca427", "{report}");
        if place == "URL" {
            assert!(before.contains(report["untagged"][0]["digest"].as_str().unwrap()), "{report}");
            let digest = before.trim();
            assert_eq!(
                rig.line(&format!("discover URL@{digest} --format json"))
                    .success()
                    .text()
                    .matches("text/x-note")
                    .count(),
                1
            );
            rig.line(&format!("tag URL@{digest} v1")).success();
            rig.pulls("v1", "one");
        }
        rig.line(&format!("verify {place} --all --deep")).success();
        let again = rig.line(&format!("repair {place} --relist --format json")).success().json();
        assert_eq!(again["tagged"].as_array().map(Vec::len), Some(0), "{again}");
    }
}

#[test]
fn bad_settings_are_named_and_do_not_end_in_a_panic() {
    let session = Session::new(&[]);
    let secret = "hidden-secret";
    let good = [("AWS_ACCESS_KEY_ID", "key"), ("AWS_SECRET_ACCESS_KEY", secret)];
    for (name, value, code, part) in [
        ("AWS_ENDPOINT_URL", "127.0.0.1:9000", 2, "`AWS_ENDPOINT_URL`"),
        ("AWS_ENDPOINT_URL", "http://192.0.2.1:9", 2, "AWS_ALLOW_HTTP"),
        ("AWS_SESSION_TOKEN", "hidden-secret\nx", 2, "`AWS_SESSION_TOKEN`"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/does/not/exist", 2, "`AWS_WEB_IDENTITY_TOKEN_FILE`"),
    ] {
        let mut command = session.command("tags s3://b/p");
        let said = run(command.envs(good).env(name, value)).failure(code).stderr;
        assert!(said.contains(part) && !said.contains(secret), "{said}");
    }
    let mut command = session.command("tags s3://b/p");
    let said = run(command.env("AWS_PROFILE", "lab")).failure(4).stderr;
    assert!(said.contains("aws configure export-credentials --profile 'lab'"), "{said}");
    let mut command = session.command("tags az://b/p");
    let said = run(command.env("AZURE_STORAGE_ACCOUNT_KEY", "no base64")).failure(2).stderr;
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn white_space_around_a_key_does_no_harm() {
    let Some(rig) = Rig::start(StoreKind::Versity) else { return };
    rig.package("one", 1, MIB);
    let mut command = rig.command("push URL:v1 one");
    for (name, value) in rig.store.settings(&rig.proxy.host()) {
        command.env(name, format!(" {value}\r\n"));
    }
    run(&mut command).success();
}

#[test]
fn a_refusal_is_explained() {
    let Some(rig) = Rig::start(StoreKind::Versity) else { return };
    rig.package("one", 1, MIB);
    rig.line("push URL:v1 one").success();
    for (variable, value, part) in [
        ("AWS_ACCESS_KEY_ID", "nobody", "AWS_ACCESS_KEY_ID"),
        ("AWS_SECRET_ACCESS_KEY", "wrong", "AWS_SECRET_ACCESS_KEY"),
    ] {
        let said = run(rig.command("tags URL").env(variable, value)).failure(4).stderr;
        assert!(said.contains(part) && !said.contains("<Code>"), "{said}");
    }
    let url = rig.store.url("").replace("packages", "nosuchbucket");
    for line in [format!("tags {url}p"), format!("push {url}p:v1 one")] {
        let said = rig.line(&line).failure(3).stderr;
        assert!(said.contains("the bucket does not exist"), "{said}");
    }
    for (status, code, exit, part) in [
        (403, "RequestTimeTooSkewed", 4, "clock"),
        (301, "PermanentRedirect", 2, "AWS_REGION"),
        (403, "AccessDenied", 4, "docs/buckets.md"),
    ] {
        rig.proxy.add("GET", "/oci-layout", 1, FaultKind::Answer(status, code));
        let said = rig.line("tags URL").failure(exit).stderr;
        assert!(said.contains(part), "{code}: {said}");
    }
    rig.proxy.add("GET", "list-type", 1, FaultKind::Answer(403, "AccessDenied"));
    let said = rig.line("push URL-new:v1 one").failure(4).stderr;
    assert!(said.contains("docs/buckets.md"), "a refused list: {said}");
    let mut command = rig.session.command("tags s3://packages/some/where");
    let said = run(command.env("AWS_ENDPOINT_URL", format!("http://{}", rig.proxy.host()))).failure(4).stderr;
    assert!(said.contains("no credentials") && said.contains("AWS_SKIP_SIGNATURE"), "{said}");
    rig.line("push s3://packages/a%2520b:v1 one").success();
    rig.line("tags s3://packages/a%2520b").success();
    rig.line("tags s3://packages/a%20b").failure(3);
    let traced = rig.line("tags URL -vv").success().stderr;
    assert!(traced.contains("/oci-layout") && !traced.contains("secretoftests"), "{traced}");
}
