//! Packages from a DataONE node, by the built program: fetched, replicated, and replicated by processes that are killed.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use d1_testnode::{Behaviour, Call, Catalog, Config, Scale, ScriptedNode};
use d1oci_tests::{
    Outcome, RegistryKind, Session, bagit_py_accepts, binary, d1oci, on_every_registry, peer, run, samples,
};
use oci_model::Digest;
use tokio::runtime::Runtime;

/// A node, and the runtime that it lives in.
struct Node {
    node: ScriptedNode,
    _runtime: Runtime,
}

impl Node {
    fn start(catalog: Catalog) -> Self {
        let runtime = Runtime::new().unwrap();
        let behaviour = Behaviour { token: Some(TOKEN.to_owned()), ..Behaviour::default() };
        let config = Config { catalog, behaviour, ..Config::default() };
        let node = runtime.block_on(ScriptedNode::start(config)).unwrap();
        Self { node, _runtime: runtime }
    }

    fn member(&self) -> String {
        self.node.member_url()
    }
}

const TOKEN: &str = "a-token-that-nobody-may-see";

fn scale(packages: u32, objects: u32) -> Scale {
    Scale { packages, objects, smallest: 100, largest: 3000, seed: 7 }
}

fn with_token(directory: &Path, arguments: &[&str]) -> Outcome {
    run(Command::new(binary()).env("D1OCI_DATAONE_TOKEN", TOKEN).current_dir(directory).args(arguments))
}

#[test]
fn a_replication_begins_at_a_day_or_a_time() {
    // The objects of the node changed on the first of January 2024, one each minute.
    let node = Node::start(scale(2, 3).catalog().unwrap());
    let (place, url) = (tempfile::tempdir().unwrap(), node.member());
    let from = |date: &str| {
        let store = format!("oci:{}", date.replace(':', ""));
        let arguments = ["replicate", &store, "--node", &url, "--from", date, "--format", "json"];
        let lines = d1oci(place.path(), &arguments).success().text();
        lines.lines().filter(|line| line.contains("\"outcome\":\"replicated\"")).count()
    };
    assert_eq!(from("2024-01-01"), 2);
    assert_eq!(from("2024-01-01T00:00:00Z"), 2);
    assert_eq!(from("2024-01-01T00:03:00Z"), 1);
    assert_eq!(from("2024-01-31"), 0);
    d1oci(place.path(), &["replicate", "oci:store", "--node", &url, "--from", "soon"]).failure(2);
}

#[test]
fn a_real_package_is_fetched_replicated_and_read_by_its_identifiers() {
    let Some(samples) = samples() else { return };
    let node = Node::start(Catalog::read_directory(&samples.join("dataone/pkg-peggym133")).unwrap());
    let (place, url) = (tempfile::tempdir().unwrap(), node.member());
    let place = place.path();
    // The package is not public.
    d1oci(place, &["fetch", "peggym.133.1", "--node", &url]).failure(4);
    let denied = with_token(place, &["replicate", "oci:store", "peggym.133.1", "--node", &url]).failure(4);
    assert!(denied.text().contains("is private"), "{}", denied.text());

    let fetch = ["fetch", "data.1.1", "--node", &url, "-o", "bags", "--include-private", "--format", "json"];
    let fetched = with_token(place, &fetch).success();
    let bag = place.join(fetched.json()["path"].as_str().unwrap());
    assert!(bagit_py_accepts(&bag), "bagit.py refuses the bag");
    let replicate = ["replicate", "oci:store", "peggym.133.1", "--node", &url, "--include-private", "-vv"];
    let replicated = with_token(place, &replicate).success();
    assert!(!replicated.stderr.contains(TOKEN));
    let push = ["push", "oci:other", bag.to_str().unwrap(), "--include-private", "--format", "json"];
    let pushed = d1oci(place, &push).success();
    let digest = pushed.json()["digest"].as_str().unwrap().to_owned();
    assert!(replicated.text().contains(&digest), "the bag that was fetched is what was replicated");
    let reference = format!("oci:store@{digest}");
    for identifier in ["peggym.133.1", "data.1.1", "peggym.133.1.resourcemap"] {
        let cat = d1oci(place, &["cat", &reference, "--id", identifier]).success();
        let original = std::fs::read(samples.join("dataone/pkg-peggym133").join(identifier)).unwrap();
        assert!(cat.stdout == original, "{identifier}");
    }
    d1oci(place, &["verify", "--deep", "--sysmeta", &reference]).success();
}

/// The sample package is replicated into a repository, and found and exported by each of its identifiers.
fn is_replicated_found_and_exported(session: &Session, repository: &str) {
    let Some(samples) = samples() else { return };
    let package = samples.join("dataone/pkg-peggym133");
    let node = Node::start(Catalog::read_directory(&package).unwrap());
    let arguments = format!("replicate {repository} peggym.133.1 --node {} --include-private", node.member());
    run(session.command(&arguments).env("D1OCI_DATAONE_TOKEN", TOKEN)).success();
    let identifiers = ["peggym.133.1", "peggym.133.1.resourcemap", "data.1.1"];
    for identifier in identifiers {
        let find = format!("d1oci find {repository} --id {identifier} --format json");
        let found = session.line(&find).success().json();
        let found: Vec<_> =
            found["found"].as_array().unwrap().iter().map(|found| found["identifier"].clone()).collect();
        assert_eq!(found, ["peggym.133.1"], "{identifier}");

        session.line(&format!("d1oci export {repository} --id {identifier} -o {identifier}")).success();
        let bag = session.path(identifier);
        assert!(bagit_py_accepts(&bag), "bagit.py refuses the bag");
        let list = format!("d1oci ls {repository} --id {identifier} --format json");
        let listing = session.line(&list).success().json();
        let files = listing["files"].as_array().unwrap();
        for member in identifiers {
            let file = files.iter().find(|file| file["identifier"] == member).unwrap();
            let exported = std::fs::read(bag.join(file["path"].as_str().unwrap())).unwrap();
            assert!(exported == std::fs::read(package.join(member)).unwrap(), "{member}");
        }
    }
}

#[test]
fn a_real_package_in_a_layout_is_found_and_exported() {
    is_replicated_found_and_exported(&Session::new(&[]), "oci:store");
}

on_every_registry!(a_real_package_is_found_and_exported);

fn a_real_package_is_found_and_exported(kind: RegistryKind) {
    let Some(registry) = kind.start(None) else { return };
    is_replicated_found_and_exported(&Session::new(&[&registry]), "HOST/owner/packages");
}

#[test]
fn lists_of_identifiers_come_from_standard_input_and_every_package_is_reported() {
    let scale = scale(3, 4);
    let node = Node::start(scale.catalog().unwrap());
    let (place, url) = (tempfile::tempdir().unwrap(), node.member());
    let mut child = replicate(place.path(), &["oci:store", "-", "--node", &url, "--format", "json"]);
    let list = format!("{}\n# a comment\n\n{}\ndoi:10.5072/NOT.THERE\n", scale.metadata(0), scale.data(1, 0));
    child.stdin.take().unwrap().write_all(list.as_bytes()).unwrap();
    let outcome = Outcome::from(child.wait_with_output().unwrap());
    assert_eq!(outcome.code, 3);
    let lines: Vec<serde_json::Value> =
        outcome.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |wanted: &str| -> BTreeSet<&str> {
        let lines = lines.iter().filter(|line| line["outcome"] == wanted);
        lines.map(|line| line["identifier"].as_str().unwrap_or_default()).collect()
    };
    let metadata = [scale.metadata(0), scale.metadata(1)];
    assert_eq!(of("replicated"), metadata.iter().map(|identifier| identifier.as_str()).collect());
    assert_eq!(of("failed"), BTreeSet::from(["doi:10.5072/NOT.THERE"]));
    let summary = lines.last().unwrap();
    assert_eq!((&summary["replicated"], &summary["failed"]), (&2.into(), &1.into()));
}

#[test]
fn two_shares_that_are_killed_again_and_again_replicate_everything_once() {
    let scale = scale(60, 8);
    let node = Node::start(scale.catalog().unwrap());
    let (place, url) = (tempfile::tempdir().unwrap(), node.member());
    let share = |number: u32| {
        let (shard, journal) = (format!("{number}/2"), format!("journal-{number}"));
        let arguments =
            ["oci:store", "--node", &url, "--shard", &shard, "--journal", &journal, "--rate", "100000"];
        replicate(place.path(), &arguments)
    };
    let mut kills = 0;
    for round in 0_u64..10 {
        let mut children = [share(1), share(2)];
        std::thread::sleep(Duration::from_millis(150 + 97 * (round * 7 % 5)));
        for child in &mut children {
            kills += u32::from(child.try_wait().unwrap().is_none());
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
    assert!(kills > 0, "nothing was killed while it ran");
    for child in [share(1), share(2)] {
        Outcome::from(child.wait_with_output().unwrap()).success();
    }
    let tags = d1oci(place.path(), &["tags", "oci:store", "--format", "json"]).success().json();
    let tags: BTreeSet<String> =
        tags["tags"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap().to_owned()).collect();
    let mut expected = BTreeSet::new();
    for package in 0..60 {
        expected.extend([scale.metadata(package).tag(), scale.map(package).tag()]);
    }
    assert_eq!(tags, expected);
    for package in [0, 17, 59] {
        let reference = format!("oci:store:{}", scale.metadata(package).tag());
        d1oci(place.path(), &["verify", "--deep", "--sysmeta", &reference]).success();
    }
    // Run again: the journals have everything, and the node only gets requests for its list.
    node.node.forget_requests();
    for child in [share(1), share(2)] {
        Outcome::from(child.wait_with_output().unwrap()).success();
    }
    assert_eq!((node.node.count(Call::Get), node.node.count(Call::Meta)), (0, 0));
}

/// The Slurm script of `deploy/` starts three tasks, and then an AWS Batch array and a Kubernetes Job check its work.
#[test]
fn an_array_of_jobs_divides_the_work() {
    let scale = scale(12, 4);
    let node = Node::start(scale.catalog().unwrap());
    let (place, url) = (tempfile::tempdir().unwrap(), node.member());
    let programs = binary().parent().unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let mut tasks: Vec<Child> = (5..8)
        .map(|task| {
            let mut command = Command::new("bash");
            command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/replicate.slurm"));
            command.current_dir(place.path()).env("PATH", &path).env("HOME", place.path());
            command.env("REPOSITORY", "oci:store").env("NODE", &url);
            command.env("SLURM_ARRAY_TASK_ID", task.to_string()).env("SLURM_ARRAY_TASK_MIN", "5");
            command.env("SLURM_ARRAY_TASK_COUNT", "3");
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for task in tasks.drain(..) {
        Outcome::from(task.wait_with_output().unwrap()).success();
    }
    assert_eq!(node.node.count(Call::Get), 12 * 4, "each object is read once");
    let arrays: [(&str, &[(&str, &str)]); 2] =
        [("auto", &[("AWS_BATCH_JOB_ARRAY_SIZE", "2")]), ("auto/2", &[])];
    for ((shard, more), index) in
        arrays.into_iter().zip(["AWS_BATCH_JOB_ARRAY_INDEX", "JOB_COMPLETION_INDEX"])
    {
        let mut unchanged = 0;
        for number in ["0", "1"] {
            let mut command = Command::new(binary());
            command.args(["replicate", "oci:store", "--node", &url, "--shard", shard, "--format", "json"]);
            command.current_dir(place.path()).env(index, number).envs(more.iter().copied());
            let outcome = Outcome::from(command.output().unwrap()).success();
            let summary = outcome.text().lines().last().unwrap().parse::<serde_json::Value>().unwrap();
            assert_eq!((&summary["replicated"], &summary["failed"]), (&0.into(), &0.into()));
            unchanged += summary["unchanged"].as_u64().unwrap();
        }
        assert_eq!(unchanged, 12);
    }
    let outcome = d1oci(place.path(), &["replicate", "oci:store", "--node", &url, "--shard", "auto"]);
    assert_eq!(outcome.code, 2);
    assert!(outcome.stderr.contains("array job"), "{}", outcome.stderr);
}

#[test]
fn withdrawn_objects_are_compared_removed_and_remembered() {
    let scale = scale(3, 5);
    let node = Node::start(scale.catalog().unwrap());
    let (place, url) = (tempfile::tempdir().unwrap(), node.member());
    let run = |arguments: &[&str]| d1oci(place.path(), arguments);
    run(&["replicate", "oci:store", "--node", &url]).success();
    run(&["compare", "oci:store", "--node", &url]).success();
    run(&["mirror", "oci:store", "oci:second"]).success();
    let text = run(&["compare", "oci:store", "--with", "oci:second"]).success().text();
    assert!(text.contains("3 packages here, 3 there: 3 identical"), "{text}");
    let (victim, bytes) = node.node.change(|catalog| {
        let victim = catalog.get(&scale.data(1, 0)).unwrap().as_ref().clone();
        catalog.put(victim.clone().private()).unwrap();
        (scale.data(1, 0), victim.content().bytes().unwrap())
    });
    let outcome = run(&["compare", "oci:store", "--node", &url, "--format", "json"]);
    assert_eq!(outcome.code, 1, "{}", outcome.stderr);
    std::fs::write(place.path().join("differences"), outcome.text()).unwrap();
    let lines: Vec<serde_json::Value> =
        outcome.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["kind"], &lines[0]["identifier"]), (&"private".into(), &victim.as_str().into()));
    assert_eq!(lines.last().unwrap()["differences"]["private"], 1);
    // A replication keeps the copy, and says so.
    let outcome = run(&["replicate", "oci:store", "--node", &url]).success();
    assert!(outcome.text().contains("1 kept as they were"), "{}", outcome.text());
    let withdraw = ["withdraw", "oci:store", "--from-compare", "differences"];
    let outcome = run(&withdraw).success();
    assert!(outcome.text().contains("Would remove") && outcome.stderr.contains("--yes"));
    run(&["compare", "oci:store", "--node", &url]).failure(1);
    run(&[&withdraw[..], &["--yes"]].concat()).failure(2);
    run(&[&withdraw[..], &["--yes", "--reason", "no longer public"]].concat()).success();
    run(&["prune", "oci:store", "--grace", "0s", "--untagged"]).success();
    // Nobody reads the object any more.
    let tag = format!("oci:store:{}", scale.metadata(1).tag());
    run(&["pull", &tag]).failure(3);
    let blobs = place.path().join("store/blobs/sha256");
    let is_there =
        std::fs::read_dir(blobs).unwrap().any(|blob| std::fs::read(blob.unwrap().path()).unwrap() == bytes);
    assert!(!is_there, "the bytes are still in the layout");
    if let Some(oras) = peer("oras") {
        let object = |layout: &str| format!("{layout}@{}", Digest::sha256_of(&bytes));
        let read = |layout: &str| {
            let arguments = ["blob", "fetch", "--oci-layout", &object(layout), "--output", "object"];
            d1oci_tests::run(Command::new(&oras).current_dir(place.path()).args(arguments)).code
        };
        assert_eq!(read("second"), 0, "the mirror still has it");
        assert_ne!(read("store"), 0, "oras reads the withdrawn object");
    }
    let outcome = run(&["cat", "oci:store", "--id", victim.as_str()]).failure(3);
    assert!(outcome.stderr.contains("was withdrawn") && outcome.stderr.contains("no longer public"));
    run(&["withdraw", "oci:store", "no.such.object", "--yes", "--reason", "a typing mistake"]).failure(3);
    let tombstone = format!("oci:store:{}", victim.tag());
    let text = run(&["cat", &tombstone, "tombstone.json"]).success().text();
    assert!(text.contains("no longer public") && text.contains(victim.as_str()), "{text}");
    // The package comes back without it, and then nothing differs.
    let outcome = run(&["replicate", "oci:store", "--node", &url]).success();
    assert!(outcome.stderr.contains("is left out"), "{}", outcome.stderr);
    run(&["verify", "--deep", "--sysmeta", &tag]).success();
    run(&["compare", "oci:store", "--node", &url]).success();
    let outcome = run(&["compare", "oci:store", "--with", "oci:second", "--format", "json"]);
    let lines: Vec<serde_json::Value> =
        outcome.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((outcome.code, lines.len()), (1, 2), "{}", outcome.text());
    assert_eq!((&lines[0]["kind"], &lines[0]["member"]), (&"missing".into(), &victim.as_str().into()));
    assert_eq!(lines[0]["detail"], "it was withdrawn from this repository");
    assert_eq!((&lines[1]["identical"], &lines[1]["differences"]["missing"]), (&2.into(), &1.into()));
}

fn replicate(directory: &Path, arguments: &[&str]) -> Child {
    let mut command = Command::new(binary());
    command.arg("replicate").args(arguments).current_dir(directory);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// States and series of the objects of a node, as the commands that show packages tell them.
#[test]
fn states_and_series_are_seen_and_private_objects_stay_where_they_are() {
    let scale = scale(2, 4);
    let mut catalog = scale.catalog().unwrap();
    let (metadata, map, data) = (scale.metadata(0), scale.map(0), scale.data(0, 0));
    let mut set = |pid: &d1_model::Identifier, edit: &dyn Fn(&mut d1_model::SystemMetadata)| {
        catalog.edit(pid, |meta| edit(meta)).unwrap();
    };
    let series =
        |text: &'static str| move |meta: &mut d1_model::SystemMetadata| meta.series_id = text.parse().ok();
    set(&metadata, &|meta| {
        series("the.package")(meta);
        meta.obsoleted_by = "a.newer.one".parse().ok();
    });
    set(&map, &series("the.map"));
    set(&data, &|meta| {
        series("the.data")(meta);
        meta.archived = Some(true);
    });
    set(&scale.data(0, 1), &|meta| meta.access_policy = None);
    let node = Node::start(catalog);
    let (place, url) = (tempfile::tempdir().unwrap(), node.member());
    let place = place.path();
    with_token(place, &["replicate", "oci:store", "--node", &url, "--include-private"]).success();

    for id in [metadata.as_str(), map.as_str(), "the.package", "the.map", "the.data"] {
        let listing = d1oci(place, &["ls", "oci:store", "--id", id]).success();
        assert!(
            listing.stderr.contains("replaced by a.newer.one, 1 object not public"),
            "{}",
            listing.stderr
        );
        let state = |words: &str| listing.text().lines().any(|line| line.ends_with(words));
        assert!(state("archived") && state("not public") && state("replaced by a.newer.one"), "{id}");
        d1oci(place, &["history", "oci:store", "--id", id]).success();
    }
    let read = |id: &str| d1oci(place, &["cat", "oci:store", "--id", id]).success().stdout;
    for (series, pid) in [("the.package", &metadata), ("the.map", &map), ("the.data", &data)] {
        assert!(read(series) == read(pid.as_str()), "{series}");
    }
    let inspected = d1oci(place, &["inspect", "oci:store", "--id", "the.package"]).success().text();
    let has = |label: &str, value: &str| inspected.contains(&format!("{label:<13} {value}"));
    assert!(has("Series:", "the.package") && has("State:", "replaced by a.newer.one"), "{inspected}");
    let found = d1oci(place, &["find", "oci:store", "--format", "json"]).success().json();
    let mut found = found["found"].as_array().unwrap().iter();
    let found = found.find(|found| found["identifier"] == metadata.as_str()).unwrap();
    assert_eq!((&found["notPublic"], &found["obsoletedBy"]), (&1.into(), &"a.newer.one".into()), "{found}");
    let digest = found["contentDigest"].as_str().unwrap();
    let equal = d1oci(place, &["find", "oci:store", "--content-digest", digest]).success().text();
    assert_eq!(equal.lines().count(), 1, "{equal}");

    let from = format!("oci:store:{}", metadata.tag());
    let refused = d1oci(place, &["copy", &from, "oci:other"]).failure(4);
    assert!(refused.stderr.contains("--include-private"), "{}", refused.stderr);
    let mirrored = d1oci(place, &["mirror", "oci:store", "oci:other"]).success().text();
    assert!(mirrored.contains("2 copied") && mirrored.contains("2 not public"), "{mirrored}");
    d1oci(place, &["find", "oci:other", "--id", metadata.as_str()]).failure(3);
    d1oci(place, &["copy", &from, "oci:other", "--include-private"]).success();
    d1oci(place, &["mirror", "oci:store", "oci:other", "--include-private"]).success();
    d1oci(place, &["verify", "--all", "--deep", "oci:other"]).success();
}

/// A repository that does not exist yet lacks everything.
#[test]
fn a_repository_that_does_not_exist_lacks_everything() {
    let node = Node::start(scale(1, 3).catalog().unwrap());
    let place = tempfile::tempdir().unwrap();
    let compared = d1oci(place.path(), &["compare", "oci:store", "--node", &node.member()]).failure(1);
    assert!(compared.text().contains("0 objects here, 3 listed: 0 equal, 3 missing here"));
    d1oci(place.path(), &["withdraw", "oci:store", "a.1"]).failure(3);
}

/// Returns the arguments of each container in a file of `deploy/`, in order.
fn arguments_of_containers(file: &str) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(file));
    let text = text.unwrap();
    let (mut containers, mut is_list) = (Vec::<Vec<String>>::new(), false);
    for line in text.lines().map(str::trim) {
        match (is_list, line.strip_prefix("- ")) {
            (_, _) if line == "args:" => {
                containers.push(Vec::new());
                is_list = true;
            }
            (true, Some(argument)) => containers.last_mut().unwrap().push(argument.to_owned()),
            _ => is_list = false,
        }
    }
    containers
}

/// The containers of the CronJob: the first one replicates, the second one compares and fails if anything differs.
#[test]
fn the_cron_job_keeps_a_repository_in_step() {
    let scale = scale(2, 4);
    let node = Node::start(scale.catalog().unwrap());
    let place = tempfile::tempdir().unwrap();
    let containers = arguments_of_containers("keep-in-step.yaml");
    let commands: Vec<Vec<String>> = containers
        .iter()
        .map(|arguments| {
            let here = |argument: &String| match argument.split_once('=') {
                _ if argument == "quay.io/owner/name" => "oci:store".to_owned(),
                Some(("--node", _)) => format!("--node={}", node.member()),
                Some(("--journal", _)) => "--journal=journal".to_owned(),
                _ => argument.clone(),
            };
            arguments.iter().map(here).collect()
        })
        .collect();
    assert_eq!(commands.iter().map(|command| &*command[0]).collect::<Vec<_>>(), ["replicate", "compare"]);
    let run = |number: usize| {
        let arguments: Vec<&str> = commands[number].iter().map(String::as_str).collect();
        d1oci(place.path(), &arguments)
    };
    run(0).success();
    run(1).success();
    // The next day: a change is copied, and the log of the comparison names the object that is no longer public.
    let victim = node.node.change(|catalog| {
        let victim = catalog.get(&scale.data(1, 0)).unwrap().as_ref().clone();
        catalog.put(victim.private()).unwrap();
        scale.data(1, 0)
    });
    run(0).success();
    let outcome = run(1).failure(1);
    let line: serde_json::Value = outcome.text().lines().next().unwrap().parse().unwrap();
    assert_eq!((&line["kind"], &line["identifier"]), (&"private".into(), &victim.as_str().into()));
}
