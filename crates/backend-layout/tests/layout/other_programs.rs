//! The real `oras` and `skopeo` read what is written here, and what they write is read.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use futures::TryStreamExt;
use oci_model::{Descriptor, ImageManifest, Manifest, annotations};
use registry_backend::{Access, RegistryBackend, RegistryBackendExt};

use crate::support::{
    HOUR, age_blobs, artifact, at, by_digest, index_text, new_place, open, prune, prune_options, referrers,
    skipped, store_artifact, store_blob, store_referrer, tags,
};

fn run(folder: &Path, arguments: &[&str]) -> Option<Output> {
    match Command::new("oras").args(arguments).current_dir(folder).output() {
        Ok(output) => {
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "oras {arguments:?}: {errors}");
            Some(output)
        }
        Err(_) => {
            skipped("there is no oras");
            None
        }
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
async fn what_oras_pushes_is_read() {
    let (folder, root) = new_place();
    fs::create_dir_all(folder.path().join("data/sub")).unwrap();
    fs::write(folder.path().join("data/sub/a.csv"), "1,2\n").unwrap();
    fs::write(folder.path().join("note.txt"), "note").unwrap();
    let push = [
        "push",
        "--oci-layout",
        "layout:v1",
        "data",
        "note.txt:text/plain",
        "--artifact-type",
        "application/x-a",
    ];
    let Some(_) = run(folder.path(), &push) else { return };
    run(
        folder.path(),
        &["attach", "--oci-layout", "layout:v1", "--artifact-type", "application/x-b", "note.txt"],
    )
    .unwrap();
    run(folder.path(), &["tag", "--oci-layout", "layout:v1", "v2"]).unwrap();
    let layout = open(&root, Access::Modify).await;
    let mut found = tags(&layout).await;
    found.sort();
    assert_eq!(found, ["v1", "v2"]);
    let descriptor = layout.resolve(&at("v1")).await.unwrap();
    assert_eq!(descriptor.artifact_type, Some("application/x-a".parse().unwrap()));
    let (raw, manifest) = layout.read_image_manifest(&at("v1")).await.unwrap();
    let note = manifest
        .layers
        .iter()
        .find(|layer| layer.annotation(annotations::TITLE) == Some("note.txt"))
        .unwrap();
    assert_eq!(layout.read_blob_to_memory(note, 100).await.unwrap(), b"note");
    let about: Vec<Descriptor> = layout.referrers(raw.digest(), None).try_collect().await.unwrap();
    assert_eq!(about.len(), 1);
    assert_eq!(about[0].artifact_type, Some("application/x-b".parse().unwrap()));
    age_blobs(&root, 2 * HOUR);
    assert!(prune(&layout, &prune_options(true, HOUR)).await.unwrap().removed.is_empty());
}

#[tokio::test]
async fn what_is_written_here_is_read_by_oras() {
    let (folder, root) = new_place();
    let layout = open(&root, Access::Create).await;
    let mut manifest = artifact(&layout, "content\n").await;
    manifest.layers[0].annotations.insert(annotations::TITLE.to_owned(), "file.txt".to_owned());
    manifest.annotations.insert("note".to_owned(), "kept".to_owned());
    let raw = oci_model::RawManifest::from_image(&manifest);
    layout.write_manifest(&at("v1"), &raw).await.unwrap();
    let about = store_referrer(&layout, &raw, "about").await;
    let Some(fetched) = run(folder.path(), &["manifest", "fetch", "--oci-layout", "layout:v1"]) else {
        return;
    };
    assert_eq!(fetched.stdout, raw.bytes());
    let discovered =
        run(folder.path(), &["discover", "--oci-layout", "layout:v1", "--format", "json"]).unwrap();
    assert!(text(&discovered).contains(about.digest().as_str()), "{}", text(&discovered));
    let listed = run(folder.path(), &["repo", "tags", "--oci-layout", "layout"]).unwrap();
    assert_eq!(text(&listed).trim(), "v1");
    run(folder.path(), &["pull", "--oci-layout", "layout:v1", "-o", "pulled"]).unwrap();
    assert_eq!(fs::read_to_string(folder.path().join("pulled/file.txt")).unwrap(), "content\n");
}

#[tokio::test]
async fn both_write_into_one_layout_in_turn() {
    let (folder, root) = new_place();
    let layout = open(&root, Access::Create).await;
    let ours = store_artifact(&layout, "ours", "a").await;
    fs::write(folder.path().join("file.txt"), "theirs").unwrap();
    let Some(_) = run(folder.path(), &["push", "--oci-layout", "layout:theirs", "file.txt"]) else { return };
    assert_eq!(layout.read_manifest(&at("ours")).await.unwrap(), ours);
    let about = store_referrer(&layout, &ours, "b").await;
    run(
        folder.path(),
        &["attach", "--oci-layout", "layout:ours", "--artifact-type", "application/x-b", "file.txt"],
    )
    .unwrap();
    assert_eq!(referrers(&layout, ours.digest()).await.len(), 2);
    assert!(referrers(&layout, ours.digest()).await.contains(about.digest()));
    layout.admin().unwrap().delete_tag(&crate::support::tag("theirs")).await.unwrap();
    let mut found = tags(&layout).await;
    found.sort();
    assert_eq!(found, ["ours"]);
    run(folder.path(), &["cp", "--from-oci-layout", "layout:ours", "--to-oci-layout", "copied:ours", "-r"])
        .unwrap();
    let copied = open(&folder.path().join("copied"), Access::Read).await;
    assert_eq!(copied.read_manifest(&by_digest(&about)).await.unwrap(), about);
}

#[tokio::test]
async fn an_index_of_oras_is_read_and_written_to() {
    let (folder, root) = new_place();
    let layout = open(&root, Access::Create).await;
    store_blob(&layout, "{}").await;
    let one = store_artifact(&layout, "one", "1").await;
    let two = store_artifact(&layout, "two", "2").await;
    let create = ["manifest", "index", "create", "--oci-layout", "layout:both", "one", "two"];
    let Some(_) = run(folder.path(), &create) else { return };
    let raw = layout.read_manifest(&at("both")).await.unwrap();
    let Manifest::Index(index) = raw.parse().unwrap() else { panic!("it is not an index") };
    let digests: Vec<_> = index.manifests.iter().map(|child| child.digest.clone()).collect();
    assert_eq!(digests, [one.digest().clone(), two.digest().clone()]);
    let before = index_text(&root);
    layout.write_manifest(&at("both"), &raw).await.unwrap();
    assert_eq!(index_text(&root), before);
    let empty = ImageManifest::new("application/x-c".parse().unwrap(), Descriptor::empty());
    layout.write_manifest(&at("three"), &oci_model::RawManifest::from_image(&empty)).await.unwrap();
    let listed = run(folder.path(), &["repo", "tags", "--oci-layout", "layout"]).unwrap();
    assert_eq!(text(&listed).split_whitespace().count(), 4);
}

#[tokio::test]
async fn skopeo_copies_what_is_written_here_and_what_it_writes_is_read() {
    let (folder, root) = new_place();
    let layout = open(&root, Access::Create).await;
    let ours = store_artifact(&layout, "v1", "content").await;
    let arguments = ["--insecure-policy", "copy", "--preserve-digests", "oci:layout:v1", "oci:copied:v1"];
    let Ok(output) = Command::new("skopeo").args(arguments).current_dir(folder.path()).output() else {
        skipped("there is no skopeo");
        return;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let copied = open(&folder.path().join("copied"), Access::Modify).await;
    assert_eq!(copied.read_manifest(&at("v1")).await.unwrap(), ours);
    store_artifact(&copied, "v2", "more").await;
    assert_eq!(tags(&copied).await, ["v1", "v2"]);
}
