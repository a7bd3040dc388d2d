//! A power cut right after success loses nothing: each command syncs its results before it reports them.

use std::path::{Path, PathBuf};

use d1_testnode::{HashStoreFolder, Scale, ScriptedNode, StoredObject};
use d1oci_tests::{
    BagBuilder, DockerRegistry, PowerDisk, Tree, bare_d1oci, d1oci, payload, run, skipped, tree,
};
use tokio::runtime::Runtime;

/// A bag whose files are larger than the file system keeps in its inodes.
fn bag(seed: u64) -> BagBuilder {
    let large = format!("data/large-{seed}.csv");
    BagBuilder::new().payload_files(12, 9_000).file(&large, payload(seed, 700_000))
}

/// A command, and the state before it. Each has its own directory on the disk.
struct Case<'a> {
    prepare: &'a dyn Fn(&Path),
    arguments: &'a [&'a str],
}

impl<'a> Case<'a> {
    fn new(prepare: &'a dyn Fn(&Path), arguments: &'a [&'a str]) -> Self {
        Self { prepare, arguments }
    }

    /// Runs the command and cuts the power. Returns the files that the disk then lacks or has wrong.
    fn lost(&self, disk: &PowerDisk, place: &str) -> Vec<String> {
        let arguments = self.arguments;
        let directory = disk.path().join(place);
        let before = files(&directory);
        // The directory is also the home directory, in which credentials are.
        run(bare_d1oci(&directory).args(arguments)).success();
        let cut = disk.after_power_cut().unwrap();
        let (expected, found) = (files(&directory), files(&cut.path().join(place)));
        assert!(expected != before, "{arguments:?} changes nothing");
        let size = |content: Option<&Option<Vec<u8>>>| content.and_then(Option::as_ref).map(Vec::len);
        let lost =
            expected.iter().filter(|(path, content)| found.get(*path) != Some(content)).map(|(path, _)| {
                let (wanted, there) = (size(expected.get(path)), size(found.get(path)));
                format!("{arguments:?}: `{path}`: expected {wanted:?} bytes, found {there:?}")
            });
        let back = found.keys().filter(|path| !expected.contains_key(*path));
        lost.chain(back.map(|path| format!("{arguments:?}: the removed file `{path}` is back"))).collect()
    }
}

/// Prepares all cases on one disk, and cuts the power after each.
#[track_caller]
fn assert_durable(cases: &[Case<'_>]) {
    let disk = match PowerDisk::make() {
        Ok(disk) => disk,
        Err(reason) => return skipped(&format!("a power cut: {reason}")),
    };
    for (number, case) in cases.iter().enumerate() {
        let place = disk.path().join(number.to_string());
        std::fs::create_dir(&place).unwrap();
        (case.prepare)(&place);
    }
    disk.sync().unwrap();
    let lost: Vec<_> =
        cases.iter().enumerate().flat_map(|(number, case)| case.lost(&disk, &number.to_string())).collect();
    assert!(lost.is_empty(), "{}", lost.join("\n"));
}

/// Returns the files of a tree, without directories and locks.
fn files(place: &Path) -> Tree {
    let is_lock = |path: &str| path.rsplit('/').next().is_some_and(|name| name.ends_with("lock"));
    tree(place).into_iter().filter(|(path, content)| content.is_some() && !is_lock(path)).collect()
}

/// Makes a bag and a layout that holds it.
fn prepare_store(place: &Path) {
    bag(1).write(&place.join("bag"));
    d1oci(place, &["push", "oci:store:v1", "bag"]).success();
}

/// Makes a layout with a damaged blob, and a replica.
fn prepare_damaged_store(place: &Path) {
    prepare_store(place);
    d1oci(place, &["copy", "oci:store:v1", "oci:replica:v1"]).success();
    std::fs::write(largest_blob(place), "damaged").unwrap();
}

/// Makes a layout that lacks a blob.
fn prepare_incomplete_store(place: &Path) {
    prepare_store(place);
    std::fs::remove_file(largest_blob(place)).unwrap();
}

fn largest_blob(place: &Path) -> PathBuf {
    let blobs = std::fs::read_dir(place.join("store/blobs/sha256")).unwrap();
    let paths = blobs.map(|blob| blob.unwrap().path());
    paths.max_by_key(|path| path.metadata().unwrap().len()).expect("the layout has blobs")
}

/// Makes a bag with the faults of a Member Node: paths with a prefix, and no tag manifest.
fn prepare_faulty_bag(place: &Path) {
    let bag = bag(1).write(&place.join("bag"));
    for algorithm in ["md5", "sha256"] {
        let manifest = bag.join(format!("manifest-{algorithm}.txt"));
        let text = std::fs::read_to_string(&manifest).unwrap();
        std::fs::write(manifest, text.replace("  data/", "\tpid%3A1/data/")).unwrap();
        std::fs::remove_file(bag.join(format!("tagmanifest-{algorithm}.txt"))).unwrap();
    }
}

/// Makes a layout with an artifact that lost its tag.
fn prepare_untagged_artifact(place: &Path) {
    prepare_store(place);
    std::fs::write(place.join("new.csv"), payload(5, 90_000)).unwrap();
    d1oci(place, &["push", "oci:store:v1", "new.csv"]).success();
}

const OBJECT: &str = "urn:uuid:00000000-0000-4000-8000-000000000001";

/// Makes a layout with an object.
fn prepare_object(place: &Path) {
    std::fs::write(place.join("object.csv"), payload(5, 90_000)).unwrap();
    d1oci(place, &["push", "oci:store", "object.csv", "--id", OBJECT]).success();
}

fn prepare_plain_directory(place: &Path) {
    std::fs::create_dir_all(place.join("plain/deep/er")).unwrap();
    for (name, seed) in [("a.csv", 1), ("deep/b.csv", 2), ("deep/er/c.csv", 3)] {
        std::fs::write(place.join("plain").join(name), payload(seed, 50_000)).unwrap();
    }
}

fn nothing(_: &Path) {}

#[test]
fn written_stores_and_files_survive_a_power_cut() {
    let bag_alone = |place: &Path| drop(bag(1).write(&place.join("bag")));
    let store = &prepare_store;
    assert_durable(&[
        Case::new(&bag_alone, &["push", "oci:store:v1", "bag"]),
        Case::new(store, &["push", "oci:store:v2", "bag", "--layout", "archive"]),
        Case::new(store, &["copy", "oci:store:v1", "oci:other:v1"]),
        Case::new(store, &["tag", "oci:store:v1", "v2"]),
        Case::new(store, &["attach", "oci:store:v1", "--artifact-type", "text/csv", "bag/data/large-1.csv"]),
        Case::new(&prepare_incomplete_store, &["push", "oci:store:v1", "bag"]),
        Case::new(&prepare_damaged_store, &["push", "oci:store:v1", "bag", "--repair"]),
        Case::new(&prepare_damaged_store, &["repair", "oci:store", "--from", "oci:replica"]),
        Case::new(store, &["pull", "oci:store:v1", "-o", "out"]),
        Case::new(store, &["pull", "oci:store:v1", "-o", "pulled", "--include", "data/*"]),
        Case::new(store, &["export", "oci:store:v1", "-o", "out"]),
        Case::new(store, &["export", "oci:store:v1", "-o", "out.zip"]),
        Case::new(store, &["cat", "oci:store:v1", "data/large-1.csv", "-o", "one.csv"]),
        Case::new(
            store,
            &["cat", "oci:store:v1", "data/large-1.csv", "--range", "5-90000", "-o", "part.csv"],
        ),
        Case::new(store, &["verify", "--all", "oci:store", "--report", "report.csv"]),
        Case::new(store, &["manifest", "fetch", "oci:store:v1", "-o", "manifest.json"]),
    ]);
}

#[test]
fn mirrored_and_removed_content_survives_a_power_cut() {
    assert_durable(&[
        Case::new(&prepare_store, &["mirror", "oci:store", "oci:other", "--journal", "journal"]),
        Case::new(&prepare_untagged_artifact, &["prune", "oci:store", "--untagged", "--grace", "0s"]),
        Case::new(&prepare_object, &["withdraw", "oci:store", OBJECT, "--reason", "asked", "--yes"]),
    ]);
}

#[test]
fn bags_survive_a_power_cut() {
    assert_durable(&[
        Case::new(&prepare_plain_directory, &["bag", "create", "plain", "bag"]),
        Case::new(&prepare_plain_directory, &["bag", "create", "--in-place", "plain"]),
        Case::new(&prepare_faulty_bag, &["bag", "repair", "bag", "repaired"]),
        Case::new(&prepare_faulty_bag, &["bag", "repair", "--in-place", "bag"]),
    ]);
}

#[test]
fn packages_of_a_node_survive_a_power_cut() {
    let scale = Scale { packages: 2, objects: 6, smallest: 2_000, largest: 300_000, seed: 7 };
    let runtime = Runtime::new().unwrap();
    let node = runtime.block_on(ScriptedNode::serve(scale.catalog().unwrap())).unwrap();
    let (url, identifier) = (node.member_url(), "doi:10.5072/SCALE7.0");
    let hash_store = |place: &Path| {
        let store = HashStoreFolder::create(&place.join("hashstore")).unwrap();
        let content = d1_testnode::Content::Generated { seed: 5, size: 90_000 };
        let object = StoredObject::new("doi:10.5072/A2ONE".parse().unwrap(), "text/csv", content).unwrap();
        store.put(&object).unwrap();
    };
    assert_durable(&[
        Case::new(&nothing, &["fetch", identifier, "-o", "out", "--node", &url]),
        Case::new(
            &nothing,
            &["replicate", "oci:store", identifier, "--node", &url, "--journal", "journal.jsonl"],
        ),
        Case::new(&hash_store, &["import", "oci:store", "--hashstore", "hashstore"]),
    ]);
}

#[test]
fn a_login_survives_a_power_cut() {
    let Some(registry) = DockerRegistry::start("curator", "s3cret", None) else { return };
    let host = registry.host();
    // The credentials file is in the home directory, which is the directory of the case.
    let login = ["login", &host, "--username", "curator", "--password", "s3cret"];
    assert_durable(&[Case::new(&nothing, &login)]);
}

/// Shows that the disk of these tests loses what nobody has synced.
#[test]
fn a_power_cut_loses_files_that_are_not_synced() {
    let disk = match PowerDisk::make() {
        Ok(disk) => disk,
        Err(reason) => return skipped(&format!("a power cut: {reason}")),
    };
    std::fs::write(disk.path().join("kept"), payload(1, 90_000)).unwrap();
    disk.sync().unwrap();
    std::fs::write(disk.path().join("lost"), payload(1, 90_000)).unwrap();
    let cut = tree(&disk.after_power_cut().unwrap().path());
    assert_eq!(cut.get("kept"), Some(&Some(payload(1, 90_000))));
    assert_ne!(cut.get("lost"), Some(&Some(payload(1, 90_000))));
}
