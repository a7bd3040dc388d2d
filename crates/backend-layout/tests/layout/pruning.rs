//! Pruning: what stays, what goes, and what others do meanwhile.

use std::fs;
use std::time::Duration;

use oci_model::RawManifest;
use registry_backend::{Access, BytesSource, ErrorKind, RegistryBackend, WriteHint, Written};

use crate::support::{
    HOUR, age, age_blobs, artifact, at, blob_path, by_digest, entry, index_text, new_layout, open, prune,
    prune_options, read_blob, removed, store_artifact, store_blob, store_referrer, store_untagged, tags,
    write_index,
};

#[tokio::test]
async fn a_blob_that_a_push_relies_on_counts_as_new() {
    let (_folder, root, layout) = new_layout().await;
    let relied_on = store_blob(&layout, "relied on").await;
    let forgotten = store_blob(&layout, "forgotten").await;
    age_blobs(&root, 2 * HOUR);
    let written = layout.write_blob(&BytesSource::new("relied on"), &WriteHint::default()).await.unwrap();
    assert_eq!(written, Written::AlreadyThere);
    let report = prune(&layout, &prune_options(false, HOUR)).await.unwrap();
    assert_eq!(removed(&report), [forgotten.digest]);
    assert_eq!(report.kept_young, 1);
    assert_eq!(read_blob(&layout, &relied_on.digest).await, b"relied on");
}

#[tokio::test]
async fn an_untagged_manifest_that_was_stored_again_counts_as_new() {
    let (_folder, root, layout) = new_layout().await;
    let young = store_untagged(&layout, "young").await;
    let old = store_untagged(&layout, "old").await;
    age_blobs(&root, 2 * HOUR);
    // A copy stores a manifest by its digest before it tags it.
    layout.write_manifest(&by_digest(&young), &young).await.unwrap();
    prune(&layout, &prune_options(true, HOUR)).await.unwrap();
    assert_eq!(layout.read_manifest(&by_digest(&young)).await.unwrap(), young);
    assert_eq!(layout.stat_manifest(&by_digest(&old)).await.unwrap(), None);
    assert!(!index_text(&root).contains(old.digest().as_str()));
}

#[tokio::test]
async fn the_subject_of_a_tagged_referrer_stays() {
    let (_folder, root, layout) = new_layout().await;
    let subject = store_untagged(&layout, "subject").await;
    let mut manifest = artifact(&layout, "about").await;
    manifest.subject = Some(subject.descriptor());
    layout.write_manifest(&at("about"), &RawManifest::from_image(&manifest)).await.unwrap();
    age_blobs(&root, 2 * HOUR);
    assert!(prune(&layout, &prune_options(true, HOUR)).await.unwrap().removed.is_empty());
    assert_eq!(layout.read_manifest(&by_digest(&subject)).await.unwrap(), subject);
}

#[tokio::test]
async fn a_subject_that_only_its_referrer_names_stays() {
    let (_folder, root, layout) = new_layout().await;
    let subject = store_artifact(&layout, "v1", "subject").await;
    let about = store_referrer(&layout, &subject, "about").await;
    // Another program may keep the subject as a blob without listing it.
    write_index(&root, &[entry(&about, None)]);
    assert!(tags(&layout).await.is_empty());
    age_blobs(&root, 2 * HOUR);
    assert!(prune(&layout, &prune_options(false, HOUR)).await.unwrap().removed.is_empty());
}

#[tokio::test]
async fn names_that_are_no_tags_keep_their_manifests() {
    let (_folder, root, layout) = new_layout().await;
    let raw = store_artifact(&layout, "v1", "a").await;
    fs::write(root.join("index.json"), index_text(&root).replace("\"v1\"", "\"docker.io/library/x:v1\""))
        .unwrap();
    age_blobs(&root, 2 * HOUR);
    assert!(prune(&layout, &prune_options(true, HOUR)).await.unwrap().removed.is_empty());
    assert_eq!(layout.read_manifest(&by_digest(&raw)).await.unwrap(), raw);
}

#[tokio::test]
async fn more_blobs_than_are_removed_at_once_are_removed() {
    let (_folder, root, layout) = new_layout().await;
    for number in 0..600 {
        store_blob(&layout, &number.to_string()).await;
    }
    let kept = store_artifact(&layout, "v1", "kept").await;
    age_blobs(&root, 2 * HOUR);
    assert_eq!(prune(&layout, &prune_options(false, HOUR)).await.unwrap().removed.len(), 600);
    assert_eq!(layout.read_manifest(&at("v1")).await.unwrap(), kept);
}

#[tokio::test]
async fn left_overs_of_dead_writers_are_removed_when_they_are_old() {
    let (_folder, root, layout) = new_layout().await;
    store_blob(&layout, "a").await;
    let ingest = root.join("ingest");
    let dead = ingest.join("0123.1-0.partial");
    let alive = ingest.join("0123.1-1.partial");
    let young = ingest.join("0123.1-2.partial");
    // The names that `oras` gives.
    let foreign = ingest.join(format!("{}_456", "0".repeat(64)));
    let old_foreign = ingest.join(format!("{}_789", "0".repeat(64)));
    let unknown = ingest.join("thesis.doc");
    for path in [&dead, &alive, &young, &foreign, &old_foreign, &unknown] {
        fs::write(path, "x").unwrap();
    }
    age(&unknown, 48 * HOUR);
    for path in [&dead, &alive, &foreign] {
        age(path, HOUR / 2);
    }
    age(&old_foreign, 2 * HOUR);
    let writer = fs::File::open(&alive).unwrap();
    writer.lock().unwrap();
    let mut options = prune_options(false, Duration::from_secs(60));
    options.dry_run = true;
    assert_eq!(prune(&layout, &options).await.unwrap().partial_files, 2);
    assert!(dead.exists() && old_foreign.exists());
    options.dry_run = false;
    assert_eq!(prune(&layout, &options).await.unwrap().partial_files, 2);
    assert!(!dead.exists() && !old_foreign.exists());
    assert!(alive.exists() && young.exists() && foreign.exists() && unknown.exists());
}

#[cfg(unix)]
#[tokio::test]
async fn blobs_that_other_layouts_may_share_are_not_pruned() {
    for shared in ["blobs", "blobs/sha256"] {
        let (folder, root, layout) = new_layout().await;
        store_blob(&layout, "loose").await;
        let elsewhere = folder.path().join("elsewhere");
        fs::rename(root.join(shared), &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, root.join(shared)).unwrap();
        let error = prune(&layout, &prune_options(false, Duration::ZERO)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let raw = store_artifact(&layout, "v1", "loose").await;
        assert_eq!(layout.read_manifest(&at("v1")).await.unwrap(), raw);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn left_overs_are_not_looked_for_elsewhere() {
    let (folder, root, layout) = new_layout().await;
    store_blob(&layout, "a").await;
    let elsewhere = folder.path().join("elsewhere");
    fs::rename(root.join("ingest"), &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, root.join("ingest")).unwrap();
    let precious = elsewhere.join("precious.partial");
    fs::write(&precious, "x").unwrap();
    age(&precious, 48 * HOUR);
    assert_eq!(prune(&layout, &prune_options(false, HOUR)).await.unwrap().partial_files, 0);
    assert!(precious.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn pushes_beside_pruning_lose_nothing() {
    let (_folder, root, layout) = new_layout().await;
    store_blob(&layout, "{}").await;
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let pruning = {
        let (root, stop) = (root.clone(), stop.clone());
        tokio::spawn(async move {
            let layout = open(&root, Access::Modify).await;
            let mut runs = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                prune(&layout, &prune_options(true, HOUR)).await.unwrap();
                runs += 1;
            }
            runs
        })
    };
    for round in 0..60 {
        // Everything that is there is old, so only what the push does keeps its blobs.
        age_blobs(&root, 2 * HOUR);
        let content = format!("shared {}", round % 3);
        let raw = store_artifact(&layout, &format!("v{}", round % 5), &content).await;
        assert_eq!(layout.read_manifest(&by_digest(&raw)).await.unwrap(), raw);
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(pruning.await.unwrap() > 0);
    for tag in tags(&layout).await {
        let raw = layout.read_manifest(&at(&tag)).await.unwrap();
        let oci_model::Manifest::Image(manifest) = raw.parse().unwrap() else { unreachable!() };
        for blob in manifest.layers.iter().chain([&manifest.config]) {
            assert!(blob_path(&root, &blob.digest).exists(), "{tag} lost {}", blob.digest);
        }
    }
}
