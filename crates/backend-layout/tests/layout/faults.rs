//! Damage, and places that are not what they should be.

use std::fs;
use std::path::Path;

use backend_layout::LayoutBackend;
use futures::TryStreamExt;
use oci_model::{Digest, RawManifest};
use registry_backend::{
    Access, BytesSource, Error, ErrorKind, RegistryBackend, RegistryBackendExt, WriteHint, Written,
};
use registry_conformance::TestSource;

use crate::support::{
    HOUR, artifact, at, blob_path, by_digest, index_text, new_layout, new_place, open, prune, prune_options,
    read_blob, store_artifact, store_blob, store_referrer, store_untagged, tags, tree,
};

async fn refusal(path: &Path, access: Access) -> Error {
    LayoutBackend::open_directory(path, access).await.unwrap_err()
}

#[tokio::test]
async fn where_nothing_is_only_creating_opens() {
    let (_folder, root) = new_place();
    for access in [Access::Read, Access::Modify] {
        let error = refusal(&root, access).await;
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains(root.to_str().unwrap()), "{error}");
    }
    let layout = open(&root, Access::Create).await;
    assert!(tags(&layout).await.is_empty());
    assert!(!root.exists(), "opening and reading made something");
}

#[tokio::test]
async fn the_first_write_makes_the_layout() {
    let (_folder, root) = new_place();
    let layout = open(&root.join("deep/er"), Access::Create).await;
    store_blob(&layout, "a").await;
    let root = root.join("deep/er");
    assert_eq!(fs::read_to_string(root.join("oci-layout")).unwrap(), "{\"imageLayoutVersion\":\"1.0.0\"}");
    assert!(tags(&open(&root, Access::Read).await).await.is_empty());
}

#[tokio::test]
async fn a_folder_with_other_files_is_left_alone() {
    let (_folder, root) = new_place();
    fs::create_dir(&root).unwrap();
    let layout = open(&root, Access::Create).await;
    fs::write(root.join("thesis.doc"), "precious").unwrap();
    let late = layout.write_blob(&BytesSource::new("a"), &WriteHint::default()).await.unwrap_err();
    for error in [refusal(&root, Access::Create).await, late] {
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("other files, such as `thesis.doc`"), "{error}");
    }
    assert_eq!(refusal(&root, Access::Modify).await.kind(), ErrorKind::NotFound);
    assert!(!root.join("oci-layout").exists() && !root.join("blobs").exists());
}

#[tokio::test]
async fn what_an_interrupted_start_left_is_completed() {
    let (_folder, root, layout) = new_layout().await;
    store_artifact(&layout, "v1", "a").await;
    fs::remove_file(root.join("oci-layout")).unwrap();
    assert_eq!(refusal(&root, Access::Read).await.kind(), ErrorKind::NotFound);
    let layout = open(&root, Access::Create).await;
    store_artifact(&layout, "v2", "b").await;
    assert_eq!(tags(&open(&root, Access::Read).await).await, ["v1", "v2"]);
}

#[tokio::test]
async fn a_file_is_no_layout() {
    let (_folder, root) = new_place();
    fs::write(&root, "x").unwrap();
    for access in [Access::Read, Access::Create] {
        assert_eq!(refusal(&root, access).await.kind(), ErrorKind::Invalid);
    }
    assert_eq!(refusal(&root.join("below"), Access::Create).await.kind(), ErrorKind::Io);
}

#[tokio::test]
async fn a_layout_of_another_version_is_refused() {
    let (_folder, root, layout) = new_layout().await;
    store_blob(&layout, "a").await;
    for (text, kind) in
        [("{\"imageLayoutVersion\":\"2.0.0\"}", ErrorKind::Unsupported), ("{}", ErrorKind::Invalid)]
    {
        fs::write(root.join("oci-layout"), text).unwrap();
        assert_eq!(refusal(&root, Access::Create).await.kind(), kind);
    }
}

#[tokio::test]
async fn a_damaged_index_is_reported_and_not_replaced() {
    let (_folder, root, layout) = new_layout().await;
    store_artifact(&layout, "v1", "a").await;
    let raw = RawManifest::from_image(&artifact(&layout, "b").await);
    let whole = index_text(&root);
    let mut bytes = whole.clone().into_bytes();
    bytes[3] = 0xFF;
    for damaged in [whole.as_bytes()[..whole.len() / 2].to_vec(), Vec::new(), bytes] {
        fs::write(root.join("index.json"), &damaged).unwrap();
        for error in [
            layout.read_manifest(&at("v1")).await.unwrap_err(),
            layout.write_manifest(&at("v2"), &raw).await.unwrap_err(),
            prune(&layout, &prune_options(false, HOUR)).await.unwrap_err(),
            layout.tags().try_collect::<Vec<_>>().await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
            assert!(error.to_string().contains("index.json"), "{error}");
        }
        assert_eq!(fs::read(root.join("index.json")).unwrap(), damaged);
    }
    fs::remove_file(root.join("index.json")).unwrap();
    assert_eq!(layout.write_manifest(&at("v2"), &raw).await.unwrap_err().kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn any_flipped_byte_of_a_manifest_is_noticed() {
    let (_folder, root, layout) = new_layout().await;
    let raw = store_artifact(&layout, "v1", "a").await;
    let subject = store_referrer(&layout, &raw, "b").await;
    for (damaged, whole) in [(&raw, raw.bytes()), (&subject, subject.bytes())] {
        let path = blob_path(&root, damaged.digest());
        for position in (0..whole.len()).step_by(13) {
            let mut bytes = whole.to_vec();
            bytes[position] ^= 0x20;
            fs::write(&path, &bytes).unwrap();
            let error = layout.read_manifest(&by_digest(damaged)).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(error.to_string().contains(damaged.digest().as_str()), "{error}");
        }
        for wrong_size in [&whole[..whole.len() - 1], b"", &[whole, b" "].concat()] {
            fs::write(&path, wrong_size).unwrap();
            assert_eq!(
                layout.read_manifest(&by_digest(damaged)).await.unwrap_err().kind(),
                ErrorKind::Invalid
            );
        }
        let before = tree(&root);
        let error = prune(&layout, &prune_options(true, std::time::Duration::ZERO)).await.unwrap_err();
        assert!(error.to_string().contains(damaged.digest().as_str()), "{error}");
        assert_eq!(tree(&root), before, "pruning removed something on incomplete knowledge");
        fs::write(&path, whole).unwrap();
    }
    let mut bytes = subject.bytes().to_vec();
    bytes[20] ^= 1;
    fs::write(blob_path(&root, subject.digest()), bytes).unwrap();
    let listed: Result<Vec<_>, _> = layout.referrers(raw.digest(), None).try_collect().await;
    assert_eq!(listed.unwrap_err().kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn a_blob_of_the_wrong_size_is_stored_again() {
    let (_folder, root, layout) = new_layout().await;
    let blob = store_blob(&layout, "content").await;
    // Other programs write blobs in place: what they left half-written has the final name.
    fs::write(blob_path(&root, &blob.digest), "con").unwrap();
    let error = layout.read_blob_to_memory(&blob, 100).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let mut manifest = artifact(&layout, "other").await;
    manifest.layers.push(blob.clone());
    let raw = RawManifest::from_image(&manifest);
    let error = layout.write_manifest(&at("v1"), &raw).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Incomplete);
    assert!(error.to_string().contains(blob.digest.as_str()), "{error}");
    let written = layout.write_blob(&BytesSource::new("content"), &WriteHint::default()).await.unwrap();
    assert_eq!(written, Written::Uploaded);
    layout.write_manifest(&at("v1"), &raw).await.unwrap();
    assert_eq!(read_blob(&layout, &blob.digest).await, b"content");
}

#[tokio::test]
async fn a_refused_source_leaves_nothing_behind() {
    let (_folder, root, layout) = new_layout().await;
    store_blob(&layout, "there").await;
    let before = tree(&root);
    let large = registry_conformance::pseudo_random(1, 3_000_000);
    for source in [
        TestSource::new("content").stating_size(6),
        TestSource::new("content").stating_size(8),
        TestSource::new("content").stating_digest(Digest::sha256_of(b"other")),
        TestSource::new(large.clone()).in_pieces_of(70_000).failing_after(2_000_000, ErrorKind::Io),
        TestSource::new(large).in_pieces_of(70_000).stating_size(2_999_999),
    ] {
        layout.write_blob(&source, &WriteHint::default()).await.unwrap_err();
        assert_eq!(tree(&root), before);
    }
}

#[tokio::test]
async fn the_same_manifest_again_does_not_touch_the_index() {
    let (_folder, root, layout) = new_layout().await;
    let raw = store_artifact(&layout, "v1", "a").await;
    let untagged = store_untagged(&layout, "b").await;
    let stamp = || fs::metadata(root.join("index.json")).unwrap().modified().unwrap();
    let before = (index_text(&root), stamp());
    layout.write_manifest(&at("v1"), &raw).await.unwrap();
    layout.write_manifest(&by_digest(&raw), &raw).await.unwrap();
    layout.write_manifest(&by_digest(&untagged), &untagged).await.unwrap();
    assert_eq!((index_text(&root), stamp()), before);
}

#[tokio::test]
async fn what_is_opened_for_reading_is_not_written_to() {
    let (_folder, root, layout) = new_layout().await;
    let raw = store_artifact(&layout, "v1", "a").await;
    fs::remove_file(root.join(".index.lock")).unwrap();
    let before = tree(&root);
    let layout = open(&root, Access::Read).await;
    let admin = layout.admin().unwrap();
    for error in [
        layout.write_blob(&BytesSource::new("b"), &WriteHint::default()).await.unwrap_err(),
        layout.write_manifest(&at("v2"), &raw).await.unwrap_err(),
        admin.delete_tag(&"v1".parse().unwrap()).await.unwrap_err(),
        admin.delete_manifest(raw.digest()).await.unwrap_err(),
        prune(&layout, &prune_options(false, HOUR)).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    }
    let mut dry = prune_options(true, HOUR);
    dry.dry_run = true;
    prune(&layout, &dry).await.unwrap();
    assert_eq!(layout.read_manifest(&at("v1")).await.unwrap(), raw);
    assert_eq!(tree(&root), before);
}

#[cfg(unix)]
#[tokio::test]
async fn what_is_no_file_is_no_blob() {
    let (_folder, root, layout) = new_layout().await;
    store_blob(&layout, "a").await;
    let digest = Digest::sha256_of(b"pipe");
    let path = blob_path(&root, &digest);
    // Reading a pipe would wait for a writer for ever.
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    if !made.is_ok_and(|status| status.success()) {
        crate::support::skipped("there is no mkfifo");
        return;
    }
    assert_eq!(layout.stat_blob(&digest).await.unwrap(), None);
    assert_eq!(layout.read_blob(&digest, None).await.unwrap_err().kind(), ErrorKind::NotFound);
    prune(&layout, &prune_options(true, std::time::Duration::ZERO)).await.unwrap();
    assert!(path.exists());
}
