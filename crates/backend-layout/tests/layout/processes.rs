//! Several processes at one layout, and processes that are killed.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use oci_model::Manifest;
use registry_backend::{Access, RegistryBackend, RegistryBackendExt};
use registry_conformance::PseudoRandomSource;

use crate::support::{at, blob_path, new_place, open, prune, prune_options, store_artifact, tags};

/// The variable that marks a process started by a test: `PATH NAME COUNT`.
const TASK: &str = "BACKEND_LAYOUT_TEST_TASK";

/// Starts this program again, to run [`the_other_process`] alone.
fn start(root: &Path, name: &str, count: u32) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "processes::the_other_process", "--test-threads=1"])
        .env(TASK, format!("{}\n{name}\n{count}", root.display()))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// In a process that a test started this is its work: artifacts under tags of its own, each with a blob that takes more
/// than one step to write. Otherwise it does a little of the same here.
#[tokio::test]
async fn the_other_process() {
    let task = std::env::var(TASK).ok();
    let (_folder, path) = new_place();
    let task = task.unwrap_or_else(|| format!("{}\nhere\n2", path.display()));
    let mut parts = task.split('\n');
    let root = parts.next().unwrap();
    let name = parts.next().unwrap();
    let count: u64 = parts.next().unwrap().parse().unwrap();
    let layout = open(Path::new(root), Access::Create).await;
    for number in 0..count {
        let large = PseudoRandomSource::new(number, 3_000_000);
        layout.write_blob(&large, &registry_backend::WriteHint::default()).await.unwrap();
        store_artifact(&layout, &format!("{name}-{number}"), &format!("{name} {number}")).await;
    }
    assert_eq!(tags(&layout).await.iter().filter(|tag| tag.starts_with(name)).count() as u64, count);
}

#[tokio::test]
async fn what_two_processes_write_at_once_is_all_there() {
    let (_folder, root) = new_place();
    let children = ["a", "b", "c"].map(|name| start(&root, name, 25));
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let layout = open(&root, Access::Read).await;
    let mut found = tags(&layout).await;
    found.sort();
    let mut expected: Vec<_> = ["a", "b", "c"]
        .iter()
        .flat_map(|name| (0..25).map(move |number| format!("{name}-{number}")))
        .collect();
    expected.sort();
    assert_eq!(found, expected);
    check_whole(&root).await;
}

#[tokio::test]
async fn a_process_that_is_killed_leaves_a_layout_that_reads() {
    let (_folder, root) = new_place();
    let before = {
        let layout = open(&root, Access::Create).await;
        store_artifact(&layout, "before", "before").await
    };
    for round in 0..30_u64 {
        let mut child = start(&root, &format!("round{round}"), 1000);
        // Any moment will do; they only have to differ.
        std::thread::sleep(Duration::from_micros(5000 + round * 7919 % 60_000));
        child.kill().unwrap();
        child.wait().unwrap();
        check_whole(&root).await;
        assert_eq!(open(&root, Access::Read).await.read_manifest(&at("before")).await.unwrap(), before);
    }
    let layout = open(&root, Access::Modify).await;
    store_artifact(&layout, "after", "after").await;
    prune(&layout, &prune_options(true, Duration::ZERO)).await.unwrap();
    assert_eq!(std::fs::read_dir(root.join("ingest")).unwrap().count(), 0, "left-overs stayed");
    check_whole(&root).await;
}

#[tokio::test]
async fn a_process_that_is_killed_at_the_start_leaves_a_place_for_a_layout() {
    for round in 0..20_u64 {
        let (_folder, root) = new_place();
        let mut child = start(&root, "x", 1000);
        std::thread::sleep(Duration::from_micros(2000 + round * 997 % 20_000));
        child.kill().unwrap();
        child.wait().unwrap();
        store_artifact(&open(&root, Access::Create).await, "after", "after").await;
        check_whole(&root).await;
    }
}

/// Checks that whatever has a tag is there and has the digests that it should have.
async fn check_whole(root: &Path) {
    let layout = open(root, Access::Read).await;
    for tag in tags(&layout).await {
        let raw = layout.read_manifest(&at(&tag)).await.unwrap();
        let Manifest::Image(manifest) = raw.parse().unwrap() else { panic!("{tag} is an index") };
        for blob in manifest.layers.iter().chain([&manifest.config]) {
            layout.read_blob_to_memory(blob, 100_000).await.unwrap();
        }
    }
    // Whatever has a final name is right, referred to or not.
    for entry in std::fs::read_dir(root.join("blobs/sha256")).into_iter().flatten() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let digest = format!("sha256:{name}").parse().unwrap();
        let content = std::fs::read(blob_path(root, &digest)).unwrap();
        assert_eq!(oci_model::Digest::sha256_of(&content), digest);
    }
}
