//! The bytes that move, counted at the store.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;

use d1_package::Layout;
use d1_transfer::{
    ByteRange, CopyOptions, VerifyOptions, copy, open_package, push_directory, push_files, read_file, verify,
};
use oci_model::Digest;
use registry_backend::MemoryBackend;
use registry_conformance::{CountingBackend, Fault, FaultAction, FaultyBackend, Operation};

use crate::support::{
    Place, at, leftovers, memory, memory_with, noise, pull_to, pull_with, push, push_options, silent, tag,
    text, tree,
};

const WRITES: [Operation; 2] = [Operation::WriteBlob, Operation::WriteManifest];

fn counting(backend: &Arc<MemoryBackend>) -> CountingBackend {
    CountingBackend::new(backend.clone())
}

fn total(backend: &CountingBackend) -> u64 {
    backend.bytes_read().values().sum()
}

fn mixed(place: &Place) -> std::path::PathBuf {
    let names: Vec<String> = (0..80).map(|number| format!("small/{number:03}.csv")).collect();
    let mut payload: Vec<_> =
        (0..).zip(&names).map(|(seed, name)| (name.as_str(), noise(seed, 40_000))).collect();
    payload.push(("large.nc", noise(99, 3_000_000)));
    place.bag("bag", &payload)
}

#[tokio::test]
async fn one_file_costs_the_manifest_with_the_index_and_that_file() {
    let place = Place::new();
    let bag = mixed(&place);
    for layout in [Layout::Objects, Layout::Archive] {
        let backend = memory();
        let mut options = push_options();
        options.layout = layout;
        push_directory(&*backend, &bag, &options, &silent()).await.unwrap();
        for (path, range, most) in [
            ("data/large.nc", None, 3_000_000),
            ("data/large.nc", Some((1_500_000, 1_500_100)), 100),
            ("data/small/042.csv", None, 40_000),
            ("data/small/042.csv", Some((0, 0)), 0),
        ] {
            let counting = counting(&backend);
            let package = open_package(&counting, &at("v1")).await.unwrap();
            let opened = total(&counting);
            assert_eq!(opened, package.raw.bytes().len() as u64);
            let range = range.map(|(start, end)| ByteRange { start, end: Some(end) });
            let content = fs::read(bag.join(path)).unwrap();
            let read = read_file(&counting, &package, path, range, Vec::new()).await.unwrap();
            let wanted = match range {
                Some(ByteRange { start, end }) => content
                    .get(usize::try_from(start).unwrap()..usize::try_from(end.unwrap()).unwrap())
                    .unwrap(),
                None => &content,
            };
            assert!(read == wanted, "{layout} {path} {range:?}");
            let is_object = layout == Layout::Objects && path.ends_with(".nc");
            // In an archive, the members around the file come as a whole: each holds about 1 MiB.
            let members = if is_object || most == 0 { 0 } else { 2 << 20 };
            let moved = total(&counting) - opened;
            assert!((most..=most + members).contains(&moved), "{layout} {path} {range:?}: {moved}");
            assert_eq!(counting.count(Operation::StatBlob), 0);
        }
    }
}

#[tokio::test]
async fn a_second_push_writes_nothing_and_asks_for_the_tag_and_whether_each_blob_is_there() {
    let place = Place::new();
    let bag = mixed(&place);
    for layout in [Layout::Objects, Layout::Archive] {
        let (backend, mut options) = (memory(), push_options());
        options.layout = layout;
        let first = push_directory(&*backend, &bag, &options, &silent()).await.unwrap();
        let counting = counting(&backend);
        let second = push_directory(&counting, &bag, &options, &silent()).await.unwrap();
        assert_eq!((second.digest, second.unchanged, second.sent_bytes), (first.digest, true, 0));
        assert!(WRITES.iter().all(|operation| counting.count(*operation) == 0));
        let blobs: BTreeSet<_> = first.layers.iter().map(|layer| &layer.digest).collect();
        assert_eq!(counting.count(Operation::StatBlob), blobs.len() + 1, "each layer and the configuration");
        let package = open_package(&*backend, &at("v1")).await.unwrap();
        let (manifest, index) = (package.raw.digest(), &package.view.manifest().config.digest);
        assert!(counting.bytes_read().keys().all(|digest| digest == manifest || digest == index));
    }
}

#[tokio::test]
async fn changed_metadata_leave_the_objects_where_they_are() {
    let place = Place::new();
    let bag = mixed(&place);
    let backend = memory();
    push(&*backend, &bag).await.unwrap();
    let info = bag.join("bag-info.txt");
    fs::write(&info, fs::read_to_string(&info).unwrap() + "Contact-Name: Q\n").unwrap();
    let mut options = push_options();
    options.verify = false;
    let counting = counting(&backend);
    let pushed = push_directory(&counting, &bag, &options, &silent()).await.unwrap();
    // The archive with the tag files, and the index; the archive with the small files is taken over.
    assert_eq!((counting.uploaded().len(), pushed.sent_blobs), (2, 2));
    let changed = &pushed.layers[0];
    assert_eq!(counting.uploaded().iter().filter(|digest| **digest == changed.digest).count(), 1);
}

#[tokio::test]
async fn equal_content_is_sent_and_received_once() {
    let place = Place::new();
    let content = noise(5, 100_000);
    let source = place.write("plain", &[("a", content.clone()), ("b/c", content.clone()), ("d", content)]);
    let (backend, other) = (memory(), memory());
    let counting_push = counting(&backend);
    let pushed = push(&counting_push, &source).await.unwrap();
    assert_eq!((pushed.sent_blobs, counting_push.uploaded().len()), (2, 2), "the content and the index");
    let counting_copy = counting(&backend);
    copy(&counting_copy, &at("v1"), &*other, &CopyOptions::default(), &silent()).await.unwrap();
    assert_eq!(counting_copy.bytes_read()[&pushed.layers[0].digest], 100_000);
    let counting_pull = counting(&backend);
    let pulled = pull_to(&counting_pull, &place.path("out")).await.unwrap();
    assert_eq!((pulled.files, pulled.received_bytes), (3, 100_000));
    assert_eq!(counting_pull.bytes_read()[&pushed.layers[0].digest], 100_000);
    assert!(tree(&place.path("out/plain")) == tree(&source));
}

#[tokio::test]
async fn what_is_there_already_is_not_received_again() {
    let place = Place::new();
    let bag = mixed(&place);
    let backend = memory();
    push(&*backend, &bag).await.unwrap();
    let output = place.path("out");
    pull_to(&*backend, &output).await.unwrap();
    let again = pull_to(&*backend, &output).await.unwrap();
    assert_eq!((again.received_bytes, again.kept_files), (0, again.files));

    fs::remove_file(output.join("bag/data/small/007.csv")).unwrap();
    let counting = counting(&backend);
    let mended = pull_to(&counting, &output).await.unwrap();
    assert_eq!(mended.kept_files, mended.files - 1);
    assert!(tree(&output.join("bag")) == tree(&bag));
    // One file of an archive of three megabytes.
    assert!((40_000..2_000_000).contains(&mended.received_bytes), "{}", mended.received_bytes);
}

#[tokio::test]
async fn an_interrupted_object_is_taken_up_where_it_was() {
    let place = Place::new();
    let bag = place.bag("bag", &[("large.nc", noise(1, 900_000)), ("other.nc", noise(2, 50_000))]);
    for part_bytes in [None, Some(250_000)] {
        let backend = memory_with(|capabilities| {
            (capabilities.part_bytes, capabilities.parallel_blobs) = (part_bytes, 1)
        });
        push(&*backend, &bag).await.unwrap();
        let output = place.path("out");
        // The largest comes first; the index is the first blob that is read.
        let cut = Fault::nth(Operation::ReadBlob, 2, FaultAction::CutStream(100_000));
        let interrupted = pull_to(&FaultyBackend::new(backend.clone()).with(cut), &output).await;
        assert!(interrupted.is_err() && tree(&output).is_empty());
        let counting = counting(&backend);
        let pulled = pull_to(&counting, &output).await.unwrap();
        assert!(tree(&output.join("bag")) == tree(&bag));
        let package = open_package(&*backend, &at("v1")).await.unwrap();
        let blobs: u64 = package.view.manifest().layers.iter().map(|layer| layer.size).sum();
        assert_eq!(pulled.received_bytes, blobs - 100_000, "{part_bytes:?}");
        fs::remove_dir_all(&output).unwrap();
    }
}

#[tokio::test]
async fn a_beginning_that_is_wrong_is_received_again() {
    let place = Place::new();
    let content = noise(1, 900_000);
    let single = place.write("files", &[("large.nc", content)]).join("large.nc");
    for (part_bytes, index) in [(None, true), (Some(250_000), true), (Some(250_000), false)] {
        let backend = memory_with(|capabilities| {
            (capabilities.part_bytes, capabilities.parallel_blobs) = (part_bytes, 1)
        });
        let mut options = push_options();
        options.index = index;
        push_directory(&*backend, &place.path("files"), &options, &silent()).await.unwrap();
        for change in
            [|bytes: &mut Vec<u8>| bytes[70_000] ^= 1, |bytes: &mut Vec<u8>| bytes.resize(950_000, 0)]
        {
            let output = place.path("out");
            let number = if index { 2 } else { 1 };
            let cut = Fault::nth(Operation::ReadBlob, number, FaultAction::CutStream(100_000));
            assert!(pull_to(&FaultyBackend::new(backend.clone()).with(cut), &output).await.is_err());
            let part = only_file(&leftovers(&output)[0].join("parts"));
            let mut bytes = fs::read(&part).unwrap();
            assert_eq!(bytes.len(), 100_000);
            change(&mut bytes);
            fs::write(&part, bytes).unwrap();
            pull_to(&*backend, &output).await.unwrap();
            assert!(fs::read(output.join("files/large.nc")).unwrap() == fs::read(&single).unwrap());
            fs::remove_dir_all(&output).unwrap();
        }
    }
}

fn only_file(directory: &std::path::Path) -> std::path::PathBuf {
    let files: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

#[tokio::test]
async fn an_interrupted_archive_keeps_the_files_that_came() {
    let place = Place::new();
    let bag = mixed(&place);
    let backend = memory_with(|capabilities| capabilities.parallel_blobs = 1);
    let mut options = push_options();
    options.layout = Layout::Archive;
    push_directory(&*backend, &bag, &options, &silent()).await.unwrap();
    let output = place.path("out");
    let cut = Fault::nth(Operation::ReadBlob, 2, FaultAction::CutStream(5_000_000));
    assert!(pull_to(&FaultyBackend::new(backend.clone()).with(cut), &output).await.is_err());
    let pulled = pull_to(&*backend, &output).await.unwrap();
    assert!(pulled.kept_files > 5 && pulled.kept_files < pulled.files, "{}", pulled.kept_files);
    assert!(tree(&output.join("bag")) == tree(&bag));
}

#[tokio::test]
async fn what_another_selection_has_left_stays_for_it_and_is_not_published() {
    let place = Place::new();
    let bag = place
        .bag("bag", &[("a.nc", noise(1, 90_000)), ("b.nc", noise(2, 60_000)), ("c.nc", noise(3, 50_000))]);
    let backend = memory_with(|capabilities| capabilities.parallel_blobs = 1);
    push(&*backend, &bag).await.unwrap();
    let output = place.path("out");
    let cut = Fault::nth(Operation::ReadBlob, 3, FaultAction::CutStream(10));
    assert!(pull_to(&FaultyBackend::new(backend.clone()).with(cut), &output).await.is_err());
    let part =
        pull_with(&*backend, &output, |options| crate::support::include(options, &["data/c.nc"])).await;
    assert_eq!(part.unwrap().files, 1);
    let names: Vec<String> = tree(&output).into_keys().collect();
    assert_eq!(names, ["bag", "bag/data", "bag/data/c.nc"]);
    // `a.nc` waits in the staging directory of the whole, `c.nc` stands at its place.
    let whole = pull_to(&*backend, &output).await.unwrap();
    assert_eq!(whole.kept_files, 2);
    assert!(tree(&output.join("bag")) == tree(&bag));
}

#[tokio::test]
async fn verifying_reads_tag_files_alone_unless_every_byte_is_wanted() {
    let place = Place::new();
    let bag = mixed(&place);
    let backend = memory();
    push(&*backend, &bag).await.unwrap();
    let package = open_package(&*backend, &at("v1")).await.unwrap();
    let layers = &package.view.manifest().layers;
    let opening = package.view.manifest().config.size + package.raw.bytes().len() as u64;
    let mut options = VerifyOptions::default();
    let shallow = counting(&backend);
    let report = verify(&shallow, &at("v1"), &options, &silent()).await.unwrap();
    assert_eq!((report.valid, report.read_bytes), (true, layers[0].size));
    assert_eq!(total(&shallow), opening + layers[0].size);
    assert_eq!(shallow.count(Operation::StatBlob), layers.len() + 1);
    options.deep = true;
    let deep = counting(&backend);
    let report = verify(&deep, &at("v1"), &options, &silent()).await.unwrap();
    let all: u64 = layers.iter().map(|layer| layer.size).sum();
    assert_eq!((report.valid, report.read_bytes), (true, all));
    assert_eq!(total(&deep), opening + all);
}

#[tokio::test]
async fn archives_without_an_index_are_read_only_if_every_byte_is_wanted() {
    let place = Place::new();
    let bag = mixed(&place);
    let (backend, mut options) = (memory(), push_options());
    (options.layout, options.index) = (Layout::Archive, false);
    push_directory(&*backend, &bag, &options, &silent()).await.unwrap();
    let counting = counting(&backend);
    let mut options = VerifyOptions::default();
    assert!(verify(&counting, &at("v1"), &options, &silent()).await.unwrap().valid);
    assert_eq!(counting.count(Operation::ReadBlob), 0);
    options.deep = true;
    let report = verify(&counting, &at("v1"), &options, &silent()).await.unwrap();
    let package = open_package(&*backend, &at("v1")).await.unwrap();
    let manifest = package.view.manifest();
    let blobs: u64 = manifest.layers.iter().chain([&manifest.config]).map(|blob| blob.size).sum();
    assert_eq!((report.valid, report.read_bytes), (true, blobs), "the configuration is read as well");
}

#[tokio::test]
async fn a_second_copy_sends_nothing() {
    let place = Place::new();
    let bag = mixed(&place);
    let (from, to) = (memory(), memory());
    push(&*from, &bag).await.unwrap();
    let mut options = CopyOptions::default();
    options.tags = vec![tag("v1"), tag("again")];
    let first = copy(&*from, &at("v1"), &*to, &options, &silent()).await.unwrap();
    assert!(first.sent_bytes > 3_000_000);
    let counting = counting(&from);
    let second = copy(&counting, &at("v1"), &*to, &options, &silent()).await.unwrap();
    assert_eq!((second.sent_bytes, counting.count(Operation::ReadBlob)), (0, 0));
    pull_to(&*to, &place.path("out")).await.unwrap();
    assert!(tree(&place.path("out/bag")) == tree(&bag));
}

#[tokio::test]
async fn blobs_that_may_have_been_collected_meanwhile_are_looked_up_again() {
    let place = Place::new();
    let source = place.write("plain", &[("a", text(1, 100)), ("b", text(2, 100))]);
    for (lifetime, looks) in [(None, 1), (Some(std::time::Duration::ZERO), 2)] {
        let backend = memory_with(|capabilities| capabilities.unreferenced_blob_lifetime = lifetime);
        let pushing = counting(&backend);
        let pushed = push(&pushing, &source).await.unwrap();
        assert_eq!(pushing.count(Operation::WriteBlob), 3 * looks);
        assert_eq!((pushed.sent_blobs, pushing.uploaded().len()), (3, 3));
        let files =
            [d1_transfer::FileToPush { path: source.join("a"), title: "other".to_owned(), media_type: None }];
        let single = counting(&backend);
        push_files(&single, &files, &push_options(), &silent()).await.unwrap();
        assert_eq!(single.count(Operation::WriteBlob), 2 * looks);
        let other = memory_with(|capabilities| capabilities.unreferenced_blob_lifetime = lifetime);
        let to = counting(&other);
        copy(&*backend, &at("v1"), &to, &CopyOptions::default(), &silent()).await.unwrap();
        assert_eq!(to.count(Operation::WriteBlob), 2 * looks);
    }
}

#[tokio::test]
async fn a_file_is_known_by_its_digest_under_the_right_name() {
    let place = Place::new();
    let content = text(7, 500);
    let source = place.write("plain", &[("a", content.clone())]);
    let pushed = push(&*memory(), &source).await.unwrap();
    assert_eq!(pushed.layers[0].digest, Digest::sha256_of(&content));
    assert_eq!(pushed.layers[0].title, "plain/a");
}
