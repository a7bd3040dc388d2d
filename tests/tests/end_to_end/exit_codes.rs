//! The exit codes of docs/exit-codes.md: a test for each row, from the built program.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use d1_testnode::{
    Action as NodeAction, Answer as NodeAnswer, Call, Config as NodeConfig, Fault as NodeFault, Scale,
    ScriptedNode,
};
use d1oci_tests::{BagBuilder, DockerRegistry, Preset, Scripted, Session, payload, run, skipped};
use registry_conformance::scripted::{Action, Answer, Config, Fault, Route, When};
use tokio::runtime::Runtime;

/// Runs command lines, and reports all that end with another code.
#[track_caller]
fn all_end_with(session: &Session, code: i32, lines: &[&str]) {
    let outcomes = lines.iter().map(|line| (line, session.line(&format!("d1oci {line}"))));
    let wrong: Vec<_> = outcomes
        .filter(|(_, outcome)| outcome.code != code)
        .map(|(line, outcome)| format!("{} {line}: {}", outcome.code, outcome.stderr))
        .collect();
    assert!(wrong.is_empty(), "expected {code}, found\n{}", wrong.join("\n"));
}

/// Returns a home directory with a valid bag `bag` in the layout `oci:store` under the tag `v1`.
fn with_store() -> Session {
    let session = Session::new(&[]);
    BagBuilder::new().payload_files(3, 500).file("data/a.csv", payload(1, 5000)).write(&session.path("bag"));
    session.line("d1oci push oci:store:v1 bag").success();
    session
}

#[test]
fn code_0_also_if_the_reader_closes_standard_output() {
    let session = with_store();
    all_end_with(
        &session,
        0,
        &[
            "tags oci:store",
            "verify --deep oci:store:v1",
            "delete -f oci:none:v1",
            "delete -f oci:store:none",
        ],
    );
    let mut shell = Command::new("bash");
    shell.args(["-c", "set -o pipefail; \"$0\" cat oci:store:v1 data/a.csv | head -c 1"]);
    run(shell.arg(d1oci_tests::binary()).current_dir(session.home())).success();
}

#[test]
fn code_1_means_that_content_is_invalid() {
    let session = with_store();
    let broken = BagBuilder::new().payload_files(2, 100).write(&session.path("broken"));
    fs::remove_file(broken.join("data/series-0/file-00000.csv")).unwrap();
    fs::write(session.path("table.csv"), "a,b\n1,2\n").unwrap();
    let mut gzip = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    gzip.extend(payload(3, 1000));
    fs::write(session.path("damaged.tar.gz"), gzip).unwrap();
    all_end_with(
        &session,
        1,
        &[
            "bag validate broken",
            "push oci:store:v2 broken",
            "bag validate table.csv",
            "bag validate damaged.tar.gz",
            "verify damaged.tar.gz",
        ],
    );
    // A blob with other bytes under its digest.
    let listing = session.line("d1oci inspect oci:store:v1 --format json").success().json();
    for layer in listing["layers"].as_array().unwrap() {
        let blob = session.path("store/blobs").join(layer["digest"].as_str().unwrap().replace(':', "/"));
        let size = usize::try_from(fs::metadata(&blob).unwrap().len()).unwrap();
        fs::remove_file(&blob).unwrap();
        fs::write(&blob, vec![b'x'; size]).unwrap();
    }
    all_end_with(
        &session,
        1,
        &[
            "verify --deep oci:store:v1",
            "verify --all --deep oci:store",
            "pull oci:store:v1 -o out",
            "cat oci:store:v1 data/a.csv -o a.csv",
        ],
    );
}

#[test]
fn code_1_for_an_object_that_differs_from_its_system_metadata() {
    let node = Node::start();
    let session = Session::new(&[]);
    node.node.add_fault(NodeFault::new(Call::Get, NodeAction::OtherContent));
    all_end_with(&session, 1, &[&node.fetch(), &node.replicate()]);
}

#[test]
fn code_2_means_that_the_command_line_or_configuration_makes_no_sense() {
    let session = with_store();
    fs::write(session.path("empty.pem"), "no certificate\n").unwrap();
    all_end_with(
        &session,
        2,
        &[
            "push --no-such-option oci:store:v1 bag",
            "push --unpack oci:store:v1 bag",
            "push oci:store:v2 bag --max-ratio 9",
            "attach oci:store:v1 bag --artifact-type text/plain",
            "export oci:store:v1 -o bag.tar",
            "export oci:store:v1 -o bag.TAR.GZ",
            "no-such-command",
            "ls nonsense",
            "ls oci:store",
            "ls nonsense://x/y:v1",
            "find oci:store --from yesterday",
            "bag create bag new --date yesterday",
            "bag repair --in-place empty.pem",
            "export oci:store:v1 -o -",
            "--cert-file empty.pem --key-file empty.pem tags registry.example/a/b",
            "cat oci:store:v1 data/a.csv --range 9-1",
            "cat oci:store:v1 data/a.csv --range 5001-",
            "--ca-file empty.pem tags 127.0.0.1:1/a/b",
            "--backend no-such-backend tags oci:store",
        ],
    );
    fs::write(session.path(".config/d1oci/config.toml"), "[host.\"127.0.0.1:1\"]\nno-such-setting = 1\n")
        .unwrap();
    all_end_with(&session, 2, &["tags 127.0.0.1:1/a/b"]);
}

#[test]
fn code_4_for_content_that_was_withdrawn() {
    let session = with_store();
    fs::write(session.path("object.csv"), "15,7.2\n").unwrap();
    let push = "push oci:target object.csv --id urn:uuid:1";
    all_end_with(&session, 0, &[push, "withdraw oci:target urn:uuid:1 --reason asked --yes"]);
    all_end_with(&session, 4, &[push]);
}

#[test]
fn code_3_means_that_something_named_does_not_exist() {
    let node = Node::start();
    let session = with_store();
    let fetch = format!("fetch no.such.object --node {} -o bags", node.node.member_url());
    let mut lines = vec![
        "cat oci:store:v1 data/no-such-file",
        "mirror oci:store oci:mirrored -t none*",
        "cat oci:store --id doi:10.5072/none",
        "export oci:store --id doi:10.5072/none -o new",
        "ls oci:store:v1 --id doi:10.5072/none",
        "find oci:store --id doi:10.5072/none",
        &fetch,
    ];
    let of_nothing = commands_on("oci:nothing", "oci:store:none");
    lines.extend(of_nothing.iter().map(String::as_str));
    all_end_with(&session, 3, &lines);
    assert!(!session.path("nothing").exists(), "looking made a layout");
}

#[test]
fn code_3_for_a_repository_that_the_registry_does_not_have() {
    let Some(docker) = DockerRegistry::start_open() else { return };
    let scripted: Vec<_> = Preset::ALL.iter().map(|preset| Scripted::start(Config::new(*preset))).collect();
    let hosts = scripted.iter().map(|registry| registry.host().to_owned()).chain([docker.host()]);
    let session = with_store();
    for host in hosts {
        let repository = format!("{host}/no/such");
        let lines = commands_on(&repository, &format!("{repository}:v1"));
        all_end_with(&session, 3, &lines.iter().map(String::as_str).collect::<Vec<_>>());
    }
}

/// Returns the command lines that read from a repository, and from an artifact.
fn commands_on(repository: &str, artifact: &str) -> Vec<String> {
    let on_repository = [
        "tags R",
        "find R",
        "find R --title x",
        "verify --all R",
        "verify --all --deep --sysmeta R",
        "repair R --from oci:store",
        "ls R --id doi:10.5072/none",
        "cat R --id doi:10.5072/none",
        "history R --id doi:10.5072/none",
    ];
    let on_artifact = [
        "verify A",
        "ls A",
        "inspect A",
        "cat A data/a.csv",
        "pull A -o out",
        "export A -o new",
        "resolve A",
        "discover A",
        "history A",
        "manifest fetch A",
        "copy A oci:other:v1",
        "tag A v2",
        "delete A",
        "attach A --artifact-type text/plain bag/bagit.txt",
    ];
    let on_repository = on_repository.iter().map(|line| line.replace('R', repository));
    on_repository.chain(on_artifact.iter().map(|line| line.replace('A', artifact))).collect()
}

#[test]
fn code_4_means_denied() {
    let session = with_store();
    let refused = |route, answer| {
        let fault = Fault::new(route, When::Always, Action::Answer(answer));
        Scripted::start(Config::new(Preset::Strict).with_fault(fault))
    };
    let immutable = [
        Answer::immutable_tag(),
        Answer::error(412, "PRECONDITION", "Failed to process request due to 'v1' configured as immutable."),
        Answer::error(
            400,
            "TAG_INVALID",
            "tag 'v1' cannot be overwritten because the repository is immutable",
        ),
    ];
    for answer in immutable {
        let registry = refused(Route::ManifestPut, answer);
        all_end_with(&session, 4, &[&format!("push {}/a/b:v1 bag", registry.host())]);
    }
    let registry = refused(Route::UploadStart, Answer::write_denied());
    all_end_with(&session, 4, &[&format!("push {}/a/b:v1 bag", registry.host())]);
    if let Some(registry) = DockerRegistry::start("curator", "s3cret", None) {
        let repository = format!("{}/a/b", registry.host());
        all_end_with(&session, 4, &[&format!("tags {repository}"), &format!("push {repository}:v1 bag")]);
    }
    let node = Node::start();
    let refused = NodeAction::Answer(NodeAnswer::error("NotAuthorized", 401, "1000"));
    node.node.add_fault(NodeFault::new(Call::Get, refused));
    all_end_with(&session, 4, &[&node.fetch(), &node.replicate()]);
}

#[test]
fn code_3_for_a_member_that_the_node_does_not_have() {
    let node = Node::start();
    let session = Session::new(&[]);
    let absent = NodeAction::Answer(NodeAnswer::error("NotFound", 404, "1020"));
    node.node.add_fault(NodeFault::new(Call::Get, absent));
    all_end_with(&session, 3, &[&node.fetch(), &node.replicate()]);
}

#[test]
fn code_5_means_that_the_network_or_the_registry_failed() {
    let session = with_store();
    patient_for_a_moment(&session);
    all_end_with(
        &session,
        5,
        &[
            "tags 127.0.0.1:9/a/b",
            "push 127.0.0.1:9/a/b:v1 bag",
            "fetch x --node http://127.0.0.1:9/mn -o bags",
            "replicate oci:store x --node http://127.0.0.1:9/mn",
        ],
    );
    for status in [405, 413] {
        let fault = Fault::new(Route::UploadStart, When::Always, Action::Answer(Answer::status(status)));
        let registry = Scripted::start(Config::new(Preset::Strict).with_fault(fault));
        all_end_with(&session, 5, &[&format!("push {}/a/b:v1 bag", registry.host())]);
    }
}

/// Makes the program give up at once where it would wait for an outage to end.
fn patient_for_a_moment(session: &Session) {
    let settings = "[host.\"127.0.0.1:9\"]\nattempts = 1\n\n[dataone]\nattempts = 1\n";
    fs::write(session.path(".config/d1oci/config.toml"), settings).unwrap();
}

/// Another writer of the list of referrers always comes last.
#[test]
fn code_5_for_a_conflict_with_other_writers_of_a_registry() {
    let session = with_store();
    let registry = Scripted::start(Config::new(Preset::Old));
    let reference = format!("{}/a/b:v1", registry.host());
    session.line(&format!("d1oci push {reference} bag")).success();
    fs::write(session.path("note.txt"), "x").unwrap();
    let attach = format!("attach {reference} --artifact-type text/plain note.txt");
    let subject = registry.manifest("a/b", &"v1".parse::<oci_model::Tag>().unwrap().into()).unwrap();
    let list: oci_model::Tag = subject.digest().as_str().replace(':', "-").parse().unwrap();
    let theirs = oci_model::RawManifest::from_index(&oci_model::ImageIndex::new(Vec::new()));
    let store = Action::StoreFirst { repository: "a/b".to_owned(), at: list.into(), manifest: theirs };
    registry.add_fault(Fault::new(Route::ManifestGet, When::Always, store));
    all_end_with(&session, 5, &[&attach]);
}

#[test]
fn code_6_means_that_the_operating_system_refused() {
    let session = with_store();
    fs::write(session.path("file"), "x").unwrap();
    fs::create_dir(session.path("plain")).unwrap();
    all_end_with(
        &session,
        6,
        &[
            "push oci:store:v2 no-such-file",
            "push oci:file/store:v1 bag",
            "cat oci:store:v1 data/a.csv -o /dev/full",
            "cat oci:store:v1 data/a.csv -o file/a.csv",
            "pull oci:store:v1 -o file/out",
            "bag create plain file/new",
        ],
    );
    let mut full = session.command("cat oci:store:v1 data/a.csv");
    let null = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let status = full.stdout(null).stderr(std::process::Stdio::null()).status().unwrap();
    assert_eq!(status.code(), Some(6), "a full standard output");
    let mut shell = Command::new("bash");
    shell.args(["-c", "ulimit -n 9; exec \"$0\" push oci:new:v1 bag"]).arg(d1oci_tests::binary());
    assert_eq!(run(shell.current_dir(session.home())).code, 6, "too few file descriptors");
}

#[test]
fn code_6_while_another_process_holds_a_lock() {
    let session = with_store();
    session.line("d1oci mirror oci:store oci:copy --journal mirrored").success();
    let digest = session.line("d1oci resolve oci:store:v1").success().text();
    let staging = format!("out/.d1oci-pull-{}", &digest.trim()["sha256:".len()..][..12]);
    fs::create_dir_all(session.path(&staging)).unwrap();
    let hold = |path: &str| {
        let file = fs::OpenOptions::new().create(true).append(true).open(session.path(path)).unwrap();
        file.lock().unwrap();
        file
    };
    let held = [hold("mirrored"), hold(&format!("{staging}/lock"))];
    let lines = ["mirror oci:store oci:copy --journal mirrored", "pull oci:store:v1 -o out"];
    all_end_with(&session, 6, &lines);
    drop(held);
    all_end_with(&session, 0, &lines);
}

#[test]
fn code_6_for_a_credential_helper_that_does_not_run() {
    let Some(registry) = DockerRegistry::start("curator", "s3cret", None) else { return };
    let session = Session::new(&[]);
    fs::create_dir(session.path(".docker")).unwrap();
    let helpers = format!(r#"{{"credHelpers": {{"{}": "no-such-helper"}}}}"#, registry.host());
    fs::write(session.path(".docker/config.json"), helpers).unwrap();
    all_end_with(&session, 6, &[&format!("tags {}/a/b", registry.host())]);
}

/// The first user id that is not root, for a test of permissions.
const NOBODY: u32 = 65534;

#[test]
fn code_6_without_permission_on_a_layout() {
    let session = with_store();
    if !rustix::process::getuid().is_root() {
        skipped("only root can become a user without permission");
        return;
    }
    fs::set_permissions(session.path("store"), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    fs::set_permissions(session.home(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let program = session.path("d1oci");
    fs::copy(d1oci_tests::binary(), &program).unwrap();
    for line in ["tags oci:store", "verify oci:store:v1", "push oci:store:v2 bag"] {
        let mut command = Command::new(&program);
        command.args(line.split(' ')).current_dir(session.home()).uid(NOBODY).gid(NOBODY);
        let outcome = run(&mut command);
        assert_eq!(outcome.code, 6, "{line}: {}", outcome.stderr);
    }
}

/// A node with one package.
struct Node {
    node: ScriptedNode,
    package: String,
    _runtime: Runtime,
}

impl Node {
    fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let scale = Scale { packages: 1, objects: 3, smallest: 100, largest: 300, seed: 7 };
        let config = NodeConfig { catalog: scale.catalog().unwrap(), ..NodeConfig::default() };
        let node = runtime.block_on(ScriptedNode::start(config)).unwrap();
        Self { node, package: scale.map(0).to_string(), _runtime: runtime }
    }

    fn fetch(&self) -> String {
        format!("fetch {} --node {} -o bags", self.package, self.node.member_url())
    }

    fn replicate(&self) -> String {
        format!("replicate oci:replica {} --node {}", self.package, self.node.member_url())
    }
}
