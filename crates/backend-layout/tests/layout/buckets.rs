//! Behaviour of object stores alone: conditional puts, ages without locks, uploads in parts.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use backend_layout::LayoutBackend;
use backend_layout::object_store::path::Path;
use backend_layout::object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use futures::TryStreamExt;
use oci_model::RawManifest;
use registry_backend::{
    Access, BlobSource, BytesSource, ErrorKind, RegistryBackend, Result, WriteHint, Written,
};
use registry_conformance::{PseudoRandomSource, TestSource};

use crate::odd_store::{ConditionalPut, OddStore};
use crate::support::{
    HOUR, artifact, at, by_digest, prune, prune_options, read_blob, removed, store_artifact, store_blob, tags,
};

async fn try_open(store: &Arc<OddStore>, access: Access) -> Result<LayoutBackend> {
    LayoutBackend::with_store(store.clone(), Path::from("a/b"), "bucket", access).await
}

async fn open(store: &Arc<OddStore>, access: Access) -> LayoutBackend {
    try_open(store, access).await.unwrap()
}

async fn objects(store: &OddStore) -> Vec<String> {
    let found: Vec<_> =
        store.inner.list(None).map_ok(|meta| meta.location.to_string()).try_collect().await.unwrap();
    found
}

fn blob(content: &str) -> Path {
    Path::from("a/b/blobs/sha256").join(BytesSource::new(content.to_owned()).digest().encoded())
}

#[tokio::test]
async fn a_store_without_conditional_put_is_refused_for_writing() {
    for conditional in [ConditionalPut::Unsupported, ConditionalPut::Ignored] {
        let store = Arc::new(OddStore::new(conditional));
        for access in [Access::Create, Access::Modify] {
            if access == Access::Modify {
                let layout = LayoutBackend::with_store(
                    Arc::new(store.inner.clone()),
                    Path::from("a/b"),
                    "x",
                    Access::Create,
                );
                store_artifact(&layout.await.unwrap(), "v1", "a").await;
            }
            let before = objects(&store).await;
            let error = try_open(&store, access).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{conditional:?}: {error}");
            assert!(error.to_string().contains("conditional"), "{error}");
            assert_eq!(objects(&store).await, before);
        }
        assert_eq!(tags(&open(&store, Access::Read).await).await, ["v1"]);
    }
}

#[tokio::test]
async fn the_first_write_makes_the_layout() {
    let store = Arc::new(OddStore::new(ConditionalPut::Works));
    for access in [Access::Read, Access::Modify] {
        assert_eq!(try_open(&store, access).await.unwrap_err().kind(), ErrorKind::NotFound);
    }
    let layout = open(&store, Access::Create).await;
    assert!(tags(&layout).await.is_empty());
    assert!(objects(&store).await.is_empty());
    store_blob(&layout, "a").await;
    let expected = ["a/b/blobs/sha256/", "a/b/index.json", "a/b/oci-layout"];
    for (found, expected) in objects(&store).await.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}");
    }
    assert!(tags(&open(&store, Access::Modify).await).await.is_empty());
}

#[tokio::test]
async fn a_prefix_with_other_objects_is_left_alone() {
    let store = Arc::new(OddStore::new(ConditionalPut::Works));
    store.inner.put(&Path::from("a/b/thesis.doc"), PutPayload::from_static(b"x")).await.unwrap();
    let error = try_open(&store, Access::Create).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("thesis.doc"), "{error}");
}

#[tokio::test]
async fn an_update_that_others_were_faster_with_is_tried_again() {
    let store = Arc::new(OddStore::new(ConditionalPut::Works));
    let layout = open(&store, Access::Create).await;
    store_artifact(&layout, "v1", "a").await;
    store.refusals.store(5, Ordering::Relaxed);
    store_artifact(&layout, "v2", "b").await;
    assert_eq!(tags(&layout).await, ["v1", "v2"]);
}

#[tokio::test(start_paused = true)]
async fn an_update_is_not_tried_for_ever() {
    let store = Arc::new(OddStore::new(ConditionalPut::Works));
    let layout = open(&store, Access::Create).await;
    let raw = store_artifact(&layout, "v1", "a").await;
    store.refusals.store(1000, Ordering::Relaxed);
    let error = layout.write_manifest(&at("v2"), &raw).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(tags(&layout).await, ["v1"]);
}

#[tokio::test]
async fn a_large_blob_goes_up_in_parts_and_only_if_it_is_right() {
    let store = Arc::new(OddStore::new(ConditionalPut::Works));
    let layout = open(&store, Access::Create).await;
    store_blob(&layout, "small").await;
    assert_eq!(store.uploads.load(Ordering::Relaxed), 0);
    let large = PseudoRandomSource::new(1, 20_000_001);
    assert_eq!(layout.write_blob(&large, &WriteHint::default()).await.unwrap(), Written::Uploaded);
    assert_eq!(store.uploads.load(Ordering::Relaxed), 1);
    assert_eq!(read_blob(&layout, large.digest()).await, registry_conformance::pseudo_random(1, 20_000_001));
    let before = objects(&store).await;
    let content = registry_conformance::pseudo_random(2, 20_000_000);
    for source in [
        TestSource::new(content.clone()).in_pieces_of(1_000_000).stating_size(19_999_999),
        TestSource::new(content.clone()).in_pieces_of(1_000_000).stating_size(20_000_001),
        TestSource::new(content).in_pieces_of(1_000_000).failing_after(19_000_000, ErrorKind::Io),
    ] {
        layout.write_blob(&source, &WriteHint::default()).await.unwrap_err();
        assert_eq!(objects(&store).await, before);
    }
    assert_eq!(store.aborts.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn an_old_blob_is_relied_on_only_if_the_index_reaches_it() {
    let store = Arc::new(OddStore::new(ConditionalPut::Works));
    let layout = open(&store, Access::Create).await;
    store_artifact(&layout, "v1", "referenced").await;
    store_blob(&layout, "loose").await;
    store_blob(&layout, "young").await;
    for content in ["referenced", "loose"] {
        store.age(&blob(content), HOUR);
    }
    for (content, expected) in [
        ("referenced", Written::AlreadyThere),
        ("young", Written::AlreadyThere),
        ("loose", Written::Uploaded),
    ] {
        let layout = open(&store, Access::Modify).await;
        let written = layout.write_blob(&BytesSource::new(content), &WriteHint::default()).await.unwrap();
        assert_eq!(written, expected, "{content}");
    }
    let again = layout.write_blob(&BytesSource::new("loose"), &WriteHint::default()).await.unwrap();
    assert_eq!(again, Written::AlreadyThere);
}

#[tokio::test]
async fn a_manifest_does_not_rely_on_what_may_be_pruned() {
    let store = Arc::new(OddStore::new(ConditionalPut::Works));
    let layout = open(&store, Access::Create).await;
    let raw = RawManifest::from_image(&artifact(&layout, "old").await);
    store.age(&blob("old"), HOUR);
    // A writer asks again for blobs that it has not seen in the last minutes.
    let layout = open(&store, Access::Modify).await;
    let error = layout.write_manifest(&at("v1"), &raw).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Incomplete);
    assert!(error.to_string().contains(blob("old").filename().unwrap()), "{error}");
    store_blob(&layout, "old").await;
    layout.write_manifest(&at("v1"), &raw).await.unwrap();
    // Once it is referred to, its age does not matter.
    store.age(&blob("old"), HOUR);
    store.age(&blob("{}"), HOUR);
    let layout = open(&store, Access::Modify).await;
    layout.write_manifest(&at("v2"), &raw).await.unwrap();
}

#[tokio::test]
async fn pruning_goes_by_the_age_of_objects() {
    let store = Arc::new(OddStore::new(ConditionalPut::Works));
    let layout = open(&store, Access::Create).await;
    let kept = store_artifact(&layout, "v1", "kept").await;
    let old = store_blob(&layout, "old").await;
    store_blob(&layout, "young").await;
    for content in ["kept", "{}", "old"] {
        store.age(&blob(content), 2 * HOUR);
    }
    store.inner.put(&Path::from("a/b/blobs/sha256/x/y"), PutPayload::from_static(b"x")).await.unwrap();
    let report = prune(&layout, &prune_options(true, HOUR)).await.unwrap();
    assert_eq!(removed(&report), [old.digest]);
    assert_eq!(report.kept_young, 1);
    assert_eq!(layout.read_manifest(&by_digest(&kept)).await.unwrap(), kept);
}

#[tokio::test]
async fn the_clock_of_the_store_decides() {
    let store = Arc::new(OddStore::new(ConditionalPut::Works));
    // Everything in the store is dated two days back, new objects included.
    store.set_clock_behind(48 * HOUR);
    let layout = open(&store, Access::Create).await;
    store_blob(&layout, "young").await;
    let report = prune(&layout, &prune_options(false, HOUR)).await.unwrap();
    assert_eq!((report.removed.len(), report.kept_young), (0, 1));
    let again = layout.write_blob(&BytesSource::new("young"), &WriteHint::default()).await.unwrap();
    assert_eq!(again, Written::AlreadyThere);
}

#[tokio::test]
async fn a_damaged_index_is_reported() {
    let store = Arc::new(OddStore::new(ConditionalPut::Works));
    let layout = open(&store, Access::Create).await;
    let raw = store_artifact(&layout, "v1", "a").await;
    let index = Path::from("a/b/index.json");
    store.inner.put(&index, PutPayload::from_static(b"{\"manifests\":[")).await.unwrap();
    for error in [
        layout.read_manifest(&at("v1")).await.unwrap_err(),
        layout.write_manifest(&at("v2"), &raw).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
    store.inner.delete(&index).await.unwrap();
    assert_eq!(layout.write_manifest(&at("v2"), &raw).await.unwrap_err().kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn the_layout_in_memory_is_one_of_these() {
    let layout = LayoutBackend::in_memory().await.unwrap();
    let raw = store_artifact(&layout, "v1", "a").await;
    assert_eq!(layout.read_manifest(&at("v1")).await.unwrap(), raw);
    assert_eq!(layout.to_string(), "memory");
}

#[tokio::test]
async fn manifests_that_come_together_share_a_replacement_of_the_index() {
    let store = Arc::new(OddStore::new(ConditionalPut::Works));
    let layout = open(&store, Access::Create).await;
    let mut manifests = Vec::new();
    for number in 0..40 {
        manifests.push(RawManifest::from_image(&artifact(&layout, &number.to_string()).await));
    }
    let before = store.replacements.load(Ordering::Relaxed);
    let names: Vec<_> = (0..40).map(|number| at(&format!("v{number}"))).collect();
    let writes = names.iter().zip(&manifests).map(|(name, manifest)| layout.write_manifest(name, manifest));
    futures::future::try_join_all(writes).await.unwrap();
    assert_eq!(tags(&layout).await.len(), 40);
    // The first to come may replace it for itself alone.
    let replaced = store.replacements.load(Ordering::Relaxed) - before;
    assert!((1..=3).contains(&replaced), "{replaced}");
}

#[tokio::test]
async fn what_is_wrong_with_one_manifest_is_no_fault_of_those_beside_it() {
    let layout = LayoutBackend::in_memory().await.unwrap();
    let good = RawManifest::from_image(&artifact(&layout, "good").await);
    let mut broken = artifact(&layout, "broken").await;
    broken.layers.push(oci_model::Descriptor::new(
        "text/plain".parse().unwrap(),
        oci_model::Digest::sha256_of(b"absent"),
        6,
    ));
    let broken = RawManifest::from_image(&broken);
    let (good_name, other_name, broken_name) = (at("good"), at("other"), at("broken"));
    let (first, second, third) = futures::join!(
        layout.write_manifest(&good_name, &good),
        layout.write_manifest(&broken_name, &broken),
        layout.write_manifest(&other_name, &good),
    );
    assert_eq!(second.unwrap_err().kind(), ErrorKind::Incomplete);
    first.unwrap();
    third.unwrap();
    assert_eq!(tags(&layout).await, ["good", "other"]);
}

/// The leases in the store.
async fn leases(store: &OddStore) -> Vec<Path> {
    let found = objects(store).await.into_iter().filter(|path| path.contains("/lease-"));
    found.map(Path::from).collect()
}

#[tokio::test(start_paused = true)]
async fn a_push_that_takes_longer_than_the_grace_period_keeps_its_blobs() {
    let store = Arc::new(OddStore::new(ConditionalPut::Works));
    let layout = open(&store, Access::Create).await;
    let raw = RawManifest::from_image(&artifact(&layout, "sent first").await);
    assert!(leases(&store).await.is_empty(), "a short push needs no lease");
    tokio::time::sleep(5 * HOUR).await;
    // A second look at the blobs does not send them again.
    for content in ["sent first", "{}"] {
        let written = layout.write_blob(&BytesSource::new(content), &WriteHint::default()).await.unwrap();
        assert_eq!(written, Written::AlreadyThere, "{content}");
    }
    let cleaner = open(&store, Access::Modify).await;
    assert_eq!(removed(&prune(&cleaner, &prune_options(false, HOUR)).await.unwrap()), []);
    layout.write_manifest(&at("v1"), &raw).await.unwrap();
    assert_eq!(tags(&cleaner).await, ["v1"]);
}

#[tokio::test(start_paused = true)]
async fn a_lease_whose_writer_died_expires() {
    let store = Arc::new(OddStore::new(ConditionalPut::Works));
    let layout = open(&store, Access::Create).await;
    let forgotten = store_blob(&layout, "never published").await;
    store.age(&blob("never published"), 3 * HOUR);
    let lease = Path::from("a/b/ingest/lease-1000000000-x");
    store.put(&lease, PutPayload::new()).await.unwrap();
    store.age(&lease, HOUR / 2);
    let options = prune_options(false, HOUR);
    assert_eq!(removed(&prune(&layout, &options).await.unwrap()), []);
    store.age(&lease, 2 * HOUR);
    let report = prune(&layout, &options).await.unwrap();
    assert_eq!(removed(&report), [forgotten.digest]);
    assert_eq!(report.partial_files, 1);
    assert!(leases(&store).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_lease_ends_with_its_writer() {
    let store = Arc::new(OddStore::new(ConditionalPut::Works));
    let layout = open(&store, Access::Create).await;
    store_blob(&layout, "a").await;
    tokio::time::sleep(std::time::Duration::from_secs(700)).await;
    assert_eq!(leases(&store).await.len(), 1);
    drop(layout);
    while !leases(&store).await.is_empty() {
        tokio::task::yield_now().await;
    }
}
