//! Layouts that other programs wrote, as odd as the specification allows.

use std::fs;

use oci_model::annotations::REF_NAME;
use oci_model::{Digest, DigestAlgorithm, DigestHasher, ImageIndex, ManifestRef, MediaType, RawManifest};
use registry_backend::{Access, ErrorKind, RegistryBackend, RegistryBackendExt};

use crate::support::{
    HOUR, age_blobs, artifact, at, blob_path, by_digest, entry, index_of, index_text, new_layout, open,
    prune, prune_options, read_blob, referrers, removed, store_artifact, store_referrer, store_untagged,
    tags, tree, write_index,
};

#[tokio::test]
async fn files_that_the_specification_does_not_know_are_no_error() {
    let (_folder, root, layout) = new_layout().await;
    let raw = store_artifact(&layout, "v1", "a").await;
    for path in ["README", "blobs/README", "blobs/sha256/no-digest", "x/y", "ingest/left"] {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
    }
    fs::create_dir_all(root.join("blobs/sha256").join("0".repeat(64))).unwrap();
    fs::write(root.join("oci-layout"), "{\"imageLayoutVersion\": \"1.0.0\", \"more\": [1]}\n").unwrap();
    let layout = open(&root, Access::Modify).await;
    assert_eq!(layout.read_manifest(&at("v1")).await.unwrap(), raw);
    let before = tree(&root);
    assert!(
        prune(&layout, &prune_options(true, std::time::Duration::ZERO)).await.unwrap().removed.is_empty()
    );
    assert_eq!(tree(&root), before);
}

#[tokio::test]
async fn a_manifest_in_a_nested_index_is_found_by_digest() {
    let (_folder, root, layout) = new_layout().await;
    let leaf = store_artifact(&layout, "leaf", "a").await;
    let inner = index_of(&[&leaf]);
    layout.write_manifest(&by_digest(&inner), &inner).await.unwrap();
    let outer = index_of(&[&inner]);
    layout.write_manifest(&at("outer"), &outer).await.unwrap();
    write_index(&root, &[entry(&outer, Some("outer"))]);
    let layout = open(&root, Access::Modify).await;
    assert_eq!(layout.read_manifest(&by_digest(&leaf)).await.unwrap(), leaf);
    assert_eq!(layout.resolve(&by_digest(&inner)).await.unwrap().size, inner.descriptor().size);
    assert_eq!(tags(&layout).await, ["outer"]);
    assert_eq!(layout.stat_manifest(&at("leaf")).await.unwrap(), None);
    age_blobs(&root, 2 * HOUR);
    assert!(prune(&layout, &prune_options(true, HOUR)).await.unwrap().removed.is_empty());
}

#[tokio::test]
async fn a_part_of_an_index_is_not_deleted_alone() {
    let (_folder, root, layout) = new_layout().await;
    let leaf = store_artifact(&layout, "leaf", "a").await;
    let outer = index_of(&[&leaf]);
    layout.write_manifest(&at("outer"), &outer).await.unwrap();
    let before = index_text(&root);
    let error = layout.admin().unwrap().delete_manifest(leaf.digest()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains(outer.digest().as_str()), "{error}");
    assert_eq!(index_text(&root), before);
}

#[tokio::test]
async fn a_sparse_layout_is_listed_and_what_is_missing_is_not_found() {
    let (_folder, root, layout) = new_layout().await;
    let here = store_artifact(&layout, "here", "a").await;
    let gone = store_artifact(&layout, "gone", "b").await;
    fs::remove_file(blob_path(&root, gone.digest())).unwrap();
    assert_eq!(tags(&layout).await, ["here", "gone"]);
    assert_eq!(layout.stat_manifest(&at("gone")).await.unwrap(), None);
    let error = layout.read_manifest(&at("gone")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("missing"), "{error}");
    // Nobody knows the needs of a missing manifest. Everything else still works.
    age_blobs(&root, 2 * HOUR);
    let report = prune(&layout, &prune_options(false, HOUR)).await.unwrap();
    assert_eq!(removed(&report), [Digest::sha256_of(b"b")]);
    assert_eq!(referrers(&layout, here.digest()).await, Vec::<Digest>::new());
    assert_eq!(layout.read_manifest(&at("here")).await.unwrap(), here);
}

#[tokio::test]
async fn entries_of_unknown_types_and_broken_entries_do_not_matter_to_others() {
    let (_folder, root, layout) = new_layout().await;
    let raw = store_artifact(&layout, "v1", "a").await;
    let xml = crate::support::store_blob(&layout, "<x/>").await;
    let xml = format!(
        "{{\"mediaType\":\"application/xml\",\"size\":{},\"digest\":\"{}\",\"annotations\":{{\"{REF_NAME}\":\"x\"}}}}",
        xml.size, xml.digest
    );
    write_index(&root, &[xml, entry(&raw, Some("v1"))]);
    assert_eq!(tags(&layout).await, ["x", "v1"]);
    assert_eq!(layout.read_manifest(&at("x")).await.unwrap().media_type(), &"application/xml");
    assert!(referrers(&layout, raw.digest()).await.is_empty());
    store_artifact(&layout, "v2", "b").await;
    assert_eq!(tags(&layout).await, ["x", "v1", "v2"]);
    write_index(&root, &["{\"mediaType\":3}".to_owned(), entry(&raw, Some("v1"))]);
    assert_eq!(layout.read_manifest(&at("v1")).await.unwrap(), raw);
    let error = prune(&layout, &prune_options(false, HOUR)).await.unwrap_err();
    assert!(error.to_string().contains("entry 1"), "{error}");
}

#[tokio::test]
async fn referrers_are_found_in_entries_of_other_programs() {
    let (_folder, root, layout) = new_layout().await;
    let subject = store_artifact(&layout, "v1", "a").await;
    let first = store_referrer(&layout, &subject, "b").await;
    let second = store_referrer(&layout, &subject, "c").await;
    let nested = index_of(&[&second]);
    layout.write_manifest(&at("nested"), &nested).await.unwrap();
    write_index(
        &root,
        &[
            entry(&subject, Some("v1")),
            entry(&first, None),
            entry(&first, Some("about")),
            entry(&nested, None),
        ],
    );
    let layout = open(&root, Access::Read).await;
    assert_eq!(referrers(&layout, subject.digest()).await, [first.digest().clone(), second.digest().clone()]);
}

#[tokio::test]
async fn a_wrong_hint_makes_nobody_a_referrer() {
    let (_folder, root, layout) = new_layout().await;
    let subject = store_artifact(&layout, "v1", "a").await;
    let other = store_untagged(&layout, "b").await;
    let text = index_text(&root);
    let lie = format!("\"org.dataone.subject\":\"{}\"", subject.digest());
    fs::write(root.join("index.json"), text.replace("\"org.dataone.subject\":\"none\"", &lie)).unwrap();
    assert!(referrers(&layout, subject.digest()).await.is_empty());
    assert!(layout.stat_manifest(&by_digest(&other)).await.unwrap().is_some());
}

#[tokio::test]
async fn content_under_sha512_is_read_and_kept() {
    let (_folder, root, layout) = new_layout().await;
    let manifest = artifact(&layout, "a").await;
    let bytes = RawManifest::from_image(&manifest).bytes().to_vec();
    let mut hasher = DigestHasher::new(DigestAlgorithm::Sha512);
    hasher.update(&bytes);
    let digest = hasher.finish();
    let path = blob_path(&root, &digest);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, &bytes).unwrap();
    let raw =
        RawManifest::verified(bytes, MediaType::from_static(MediaType::IMAGE_MANIFEST), &digest).unwrap();
    write_index(&root, &[entry(&raw, Some("v1"))]);
    assert_eq!(layout.read_manifest(&at("v1")).await.unwrap(), raw);
    age_blobs(&root, 2 * HOUR);
    crate::support::age(&path, 2 * HOUR);
    assert!(prune(&layout, &prune_options(true, HOUR)).await.unwrap().removed.is_empty());
}

#[tokio::test]
async fn a_manifest_of_an_unknown_json_type_keeps_all_digests_that_it_names() {
    let (_folder, root, layout) = new_layout().await;
    let needed = crate::support::store_blob(&layout, "needed").await;
    let loose = crate::support::store_blob(&layout, "loose").await;
    let text = format!("{{\"blobs\":[{{\"any\":\"{}\"}}]}}", needed.digest);
    let odd = crate::support::store_blob(&layout, &text).await;
    let kind = "application/vnd.example.manifest.v9+json";
    write_index(
        &root,
        &[format!("{{\"mediaType\":\"{kind}\",\"size\":{},\"digest\":\"{}\"}}", odd.size, odd.digest)],
    );
    age_blobs(&root, 2 * HOUR);
    let report = prune(&layout, &prune_options(true, HOUR)).await.unwrap();
    assert_eq!(removed(&report), [loose.digest]);
    assert_eq!(read_blob(&layout, &needed.digest).await, b"needed");
}

#[tokio::test]
async fn fifty_thousand_tags_are_listed_and_changed() {
    let (_folder, root, layout) = new_layout().await;
    let raw = store_artifact(&layout, "v1", "a").await;
    let subject = store_referrer(&layout, &raw, "b").await;
    let one = entry(&raw, Some("TAG"));
    let mut entries: Vec<_> =
        (0..50_000).map(|number| one.replace("TAG", &format!("tag-{number}"))).collect();
    entries.push(entry(&subject, None));
    write_index(&root, &entries);
    assert_eq!(tags(&layout).await.len(), 50_000);
    for number in [0, 25_000, 49_999] {
        assert_eq!(layout.read_manifest(&at(&format!("tag-{number}"))).await.unwrap(), raw);
    }
    assert_eq!(referrers(&layout, raw.digest()).await, [subject.digest().clone()]);
    store_artifact(&layout, "tag-7", "c").await;
    layout.admin().unwrap().delete_tag(&crate::support::tag("tag-8")).await.unwrap();
    assert_eq!(tags(&layout).await.len(), 49_999);
    assert!(prune(&layout, &prune_options(true, HOUR)).await.unwrap().removed.is_empty());
}

#[tokio::test]
async fn indexes_that_contain_each_other_do_not_trap_anyone() {
    // Digests cannot form a ring; entries that lie about what they are can pretend one.
    let (_folder, root, layout) = new_layout().await;
    let raw = store_artifact(&layout, "v1", "a").await;
    let mut lying = index_of(&[&raw]).descriptor();
    let index = RawManifest::from_index(&ImageIndex::new(vec![lying.clone(), raw.descriptor()]));
    layout.write_manifest(&at("v1"), &raw).await.unwrap();
    lying.digest = index.digest().clone();
    lying.size = index.descriptor().size;
    let blob = registry_backend::BytesSource::new(index.bytes().to_vec());
    layout.write_blob(&blob, &registry_backend::WriteHint::default()).await.unwrap();
    write_index(
        &root,
        &[serde_json::to_string(&lying).unwrap(), entry(&index, None), entry(&index, Some("x"))],
    );
    let absent = ManifestRef::Digest(Digest::sha256_of(b"absent"));
    assert_eq!(layout.stat_manifest(&absent).await.unwrap(), None);
    assert_eq!(layout.read_manifest(&by_digest(&raw)).await.unwrap(), raw);
}
