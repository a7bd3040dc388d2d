//! Damaged and lost blobs: noticed by a push, and replaced by pushes, copies and repairs.

use std::sync::Arc;

use d1_package::Layout;
use d1_transfer::{
    CopyOptions, FileToPush, PushOptions, VerifyOptions, VerifyReport, attach_files, copy, push_directory,
    push_files, repair, verify, verify_all,
};
use futures::TryStreamExt;
use oci_model::{Descriptor, ImageIndex, Manifest, ManifestRef, RawManifest};
use registry_backend::{MemoryBackend, RegistryBackend, RegistryBackendExt};

use crate::altered::Altered;
use crate::support::{Place, at, memory, noise, push, push_options, silent, text};

fn bag(place: &Place) -> std::path::PathBuf {
    place.bag("bag", &[("large.nc", noise(1, 300_000)), ("small.csv", text(2, 900))])
}

async fn layers(backend: &dyn RegistryBackend) -> Vec<Descriptor> {
    backend.read_image_manifest(&at("v1")).await.unwrap().1.layers
}

async fn deep(backend: &dyn RegistryBackend) -> VerifyReport {
    let mut options = VerifyOptions::default();
    options.deep = true;
    verify(backend, &at("v1"), &options, &silent()).await.unwrap()
}

#[tokio::test]
async fn a_push_to_the_same_tag_sends_what_is_lost() {
    let place = Place::new();
    let (bag, inner) = (bag(&place), memory());
    for layout in [Layout::Objects, Layout::Archive] {
        let mut options = push_options();
        options.layout = layout;
        push_directory(&*inner, &bag, &options, &silent()).await.unwrap();
        for layer in layers(&*inner).await {
            let cut = noise(3, 10);
            for content in [None, Some(cut)] {
                let is_lost = content.is_none();
                let damaged = Altered::new(inner.clone()).with(&layer.digest, content);
                let report = push_directory(&damaged, &bag, &options, &silent()).await.unwrap();
                assert!(!report.unchanged, "{layout:?} {is_lost}");
                assert!(!is_lost || deep(&damaged).await.valid, "{layout:?}");
            }
        }
        let again = push_directory(&*inner, &bag, &options, &silent()).await.unwrap();
        assert!(again.unchanged && again.sent_blobs == 0);
    }
}

#[tokio::test]
async fn a_push_that_repairs_replaces_damaged_blobs() {
    let place = Place::new();
    let (bag, inner) = (bag(&place), memory());
    push(&*inner, &bag).await.unwrap();
    for layer in layers(&*inner).await {
        let damaged = Altered::flipped(inner.clone(), &layer.digest, 20).await;
        assert!(push(&damaged, &bag).await.unwrap().unchanged, "only a read finds this damage");
        assert!(!deep(&damaged).await.valid);
        let mut options = push_options();
        options.repair = true;
        push_directory(&damaged, &bag, &options, &silent()).await.unwrap();
        assert!(deep(&damaged).await.valid, "{}", layer.digest);
    }
}

#[tokio::test]
async fn a_copy_that_repairs_replaces_damaged_blobs() {
    let place = Place::new();
    let (source, target) = (memory(), memory());
    let bag = bag(&place);
    for backend in [&source, &target] {
        push(&**backend, &bag).await.unwrap();
    }
    let layer = layers(&*target).await.remove(0);
    let damaged = Altered::flipped(target, &layer.digest, 20).await;
    let mut options = CopyOptions::default();
    copy(&*source, &at("v1"), &damaged, &options, &silent()).await.unwrap();
    assert!(!deep(&damaged).await.valid);
    options.repair = true;
    copy(&*source, &at("v1"), &damaged, &options, &silent()).await.unwrap();
    assert!(deep(&damaged).await.valid);
}

#[tokio::test]
async fn a_repair_takes_each_blob_from_the_first_replica_that_has_it() {
    let place = Place::new();
    let (store, first, second) = (memory(), memory(), memory());
    let bag = bag(&place);
    for backend in [&store, &first, &second] {
        push(&**backend, &bag).await.unwrap();
    }
    let layers = layers(&*store).await;
    let (one, two) = (&layers[0].digest, &layers[1].digest);
    let damaged = Altered::flipped(store.clone(), one, 20).await.with(two, None);
    // The first replica has one blob, and the other one damaged.
    let first = Altered::flipped(first, one, 20).await;
    let report = repair(&damaged, &[&first, &*second], &silent()).await.unwrap();
    assert_eq!(report.repaired.len(), 2, "{report:?}");
    assert!(report.faults.is_empty() && deep(&damaged).await.valid);

    let damaged = Altered::flipped(store, one, 20).await;
    let report = repair(&damaged, &[&first, &MemoryBackend::new()], &silent()).await.unwrap();
    assert_eq!((report.repaired.len(), report.faults.len()), (0, 1), "{report:?}");
    assert!(report.faults[0].message.contains(one.as_str()));
}

async fn all(backend: &dyn RegistryBackend) -> Vec<(String, bool)> {
    let mut options = VerifyOptions::default();
    options.deep = true;
    let found: Vec<_> = verify_all(backend, &options, &silent()).try_collect().await.unwrap();
    let name = |tag: Option<oci_model::Tag>| tag.map_or_else(String::new, |tag| tag.to_string());
    found.into_iter().map(|artifact| (name(artifact.tag.clone()), artifact.is_valid())).collect()
}

fn file(place: &Place, name: &str, seed: u64) -> FileToPush {
    let path = place.write("files", &[(name, text(seed, 500))]).join(name);
    FileToPush { path, title: name.to_owned(), media_type: None }
}

#[tokio::test]
async fn a_deep_audit_covers_referrers() {
    let (place, inner) = (Place::new(), memory());
    push(&*inner, &bag(&place)).await.unwrap();
    let untagged = PushOptions::new(std::env::temp_dir());
    let note = [file(&place, "note.txt", 7)];
    let attached = attach_files(&*inner, &at("v1"), &note, &untagged, &silent()).await.unwrap();
    assert_eq!(all(&*inner).await, [("v1".to_owned(), true), (String::new(), true)]);
    let damaged = Altered::new(inner).with(&attached.layers[0].digest, None);
    assert_eq!(all(&damaged).await, [("v1".to_owned(), true), (String::new(), false)]);
}

/// Stores an image index of two single files, and returns their manifests.
async fn index(backend: &dyn RegistryBackend, place: &Place) -> Vec<RawManifest> {
    let mut children = Vec::new();
    for (name, seed) in [("a.csv", 1), ("b.csv", 2)] {
        let untagged = PushOptions::new(std::env::temp_dir());
        let pushed = push_files(backend, &[file(place, name, seed)], &untagged, &silent()).await.unwrap();
        children.push(backend.read_manifest(&ManifestRef::Digest(pushed.digest)).await.unwrap());
    }
    let listed = children.iter().map(RawManifest::descriptor).collect();
    let raw = RawManifest::from_index(&ImageIndex::new(listed));
    backend.write_manifest(&at("v1"), &raw).await.unwrap();
    children
}

#[tokio::test]
async fn an_image_index_is_verified_child_by_child() {
    let (place, inner) = (Place::new(), memory());
    let children = index(&*inner, &place).await;
    let report = deep(&*inner).await;
    assert!(report.valid && report.children.len() == 2, "{report:?}");
    assert_eq!((report.files, report.bytes), (2, 1000));
    assert_eq!(all(&*inner).await.len(), 3);

    let Ok(Manifest::Image(child)) = children[1].parse() else { panic!("not an image") };
    let damaged = Altered::flipped(inner.clone(), &child.layers[0].digest, 20).await;
    let report = deep(&damaged).await;
    assert_eq!(report.children.iter().map(|child| child.valid).collect::<Vec<_>>(), [true, false]);
    assert!(!report.valid);
    assert_eq!(all(&damaged).await.iter().filter(|(_, valid)| !valid).count(), 1);
}

#[tokio::test]
async fn the_file_of_a_single_file_artifact_counts() {
    let (place, backend): (Place, Arc<MemoryBackend>) = (Place::new(), memory());
    push_files(&*backend, &[file(&place, "a.csv", 1)], &push_options(), &silent()).await.unwrap();
    let report = verify(&*backend, &at("v1"), &VerifyOptions::default(), &silent()).await.unwrap();
    assert_eq!((report.valid, report.files, report.bytes), (true, 1, 500));
}
