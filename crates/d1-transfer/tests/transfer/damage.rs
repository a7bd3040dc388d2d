//! Damage of any blob is caught and named, and never given out.

use std::sync::Arc;

use d1_package::{LayerKind, Layout, MAX_INLINE_INDEX_BYTES, Place as Where};
use d1_transfer::{
    Error, OpenPackage, VerifyOptions, VerifyReport, open_package, push_directory, read_file, verify,
};
use oci_model::{Descriptor, Digest};
use oci_pack::Compression;
use registry_backend::{MemoryBackend, RegistryBackend};

use crate::altered::{Altered, whole};
use crate::support::{
    Place, at, faults, memory, memory_with, noise, paths, pull_to, pull_with, push, push_options, silent,
    text, tree,
};

async fn verify_deep(backend: &dyn RegistryBackend) -> VerifyReport {
    let mut options = VerifyOptions::default();
    options.deep = true;
    verify(backend, &at("v1"), &options, &silent()).await.unwrap()
}

/// Returns the names by which damage of a blob may be told: paths of its files, its title, its digest.
fn names(package: &OpenPackage, blob: &Descriptor) -> Vec<String> {
    let layers = &package.view.manifest().layers;
    let is_blob = |layer: u32| layers[layer as usize].digest == blob.digest;
    let mut names = vec![blob.digest.to_string()];
    names.extend(blob.annotation(oci_model::annotations::TITLE).map(str::to_owned));
    for entry in package.view.entries() {
        let holds = match entry.place {
            Where::Archive { layer, .. } | Where::Object { layer } => is_blob(layer),
            Where::Parts { first, count } => (first..first + count).any(is_blob),
        };
        names.extend(holds.then(|| entry.path.to_owned()));
    }
    names
}

/// Flips bytes of every blob of `v1`, at every position class: the ends, and evenly in between.
async fn assert_caught(backend: Arc<MemoryBackend>, place: &Place, positions: usize, about: &str) {
    let package = open_package(&*backend, &at("v1")).await.unwrap();
    let manifest = package.view.manifest();
    let has_index = package.view.index().is_some();
    for blob in manifest.layers.iter().chain([&manifest.config]).filter(|blob| blob.size > 0) {
        let size = usize::try_from(blob.size).unwrap();
        let steps = (0..positions).map(|step| step * (size - 1) / (positions - 1).max(1));
        for position in steps.chain([size.saturating_sub(9), size / 2]) {
            let about = format!("{about}: byte {position} of {size} in {:?}", blob.annotations);
            let altered = Altered::flipped(backend.clone(), &blob.digest, position).await;
            let is_unused = blob.digest == manifest.config.digest && !has_index;
            let output = place.path("damaged");
            let pulled = pull_to(&altered, &output).await;
            if is_unused {
                pulled.unwrap();
            } else {
                let names = names(&package, blob);
                let found = faults(pulled);
                assert!(found.iter().all(|fault| names.contains(&fault.path)), "{about}: {found:?}");
                assert!(tree(&output).is_empty(), "{about}");
            }
            let _ = std::fs::remove_dir_all(&output);
            if blob.digest == manifest.config.digest && has_index {
                continue;
            }
            let names = names(&package, blob);
            let report = verify_deep(&altered).await;
            let told = |path: &String| names.contains(path) || path == blob.media_type.as_str();
            assert!(!report.valid && !report.faults.is_empty(), "{about}");
            assert!(report.faults.iter().all(|fault| told(&fault.path)), "{about}: {:?}", report.faults);
        }
    }
}

#[tokio::test]
async fn a_flipped_byte_anywhere_is_caught_and_named() {
    let place = Place::new();
    let bag = place.bag("bag", &[("a.csv", text(1, 3000)), ("none", Vec::new()), ("b/c.nc", noise(2, 3000))]);
    for layout in [Layout::Objects, Layout::Archive] {
        for compression in [Compression::Gzip, Compression::Zstd, Compression::None] {
            let backend = memory();
            let mut options = push_options();
            (options.layout, options.compression) = (layout, compression);
            push_directory(&*backend, &bag, &options, &silent()).await.unwrap();
            assert_caught(backend, &place, 40, &format!("{layout} {compression}")).await;
        }
    }
}

#[tokio::test]
async fn a_flipped_byte_in_a_part_is_caught_and_named_with_and_without_an_index() {
    let place = Place::new();
    let source =
        place.write("plain", &[("a.nc", noise(1, 9000)), ("b.nc", noise(2, 500)), ("empty/", Vec::new())]);
    for index in [true, false] {
        let backend = memory_with(|capabilities| capabilities.part_bytes = Some(4000));
        let mut options = push_options();
        options.index = index;
        push_directory(&*backend, &source, &options, &silent()).await.unwrap();
        assert_caught(backend, &place, 12, &format!("index: {index}")).await;
    }
}

#[tokio::test]
async fn a_flipped_byte_is_caught_where_no_ranges_are_read() {
    let place = Place::new();
    let bag = place.bag("bag", &[("a.csv", text(1, 3000)), ("b.csv", text(2, 3000))]);
    let backend = memory_with(|capabilities| capabilities.range_reads = false);
    let mut options = push_options();
    options.layout = Layout::Archive;
    push_directory(&*backend, &bag, &options, &silent()).await.unwrap();
    assert_caught(backend, &place, 20, "no ranges").await;
}

#[tokio::test]
async fn of_an_archive_exactly_the_damaged_files_are_named() {
    let place = Place::new();
    let files: Vec<String> = (0..60).map(|number| format!("{number:02}.nc")).collect();
    let payload: Vec<_> =
        (0..).zip(&files).map(|(seed, name)| (name.as_str(), noise(seed, 70_000))).collect();
    let bag = place.bag("bag", &payload);
    let backend = memory();
    let mut options = push_options();
    (options.layout, options.compression) = (Layout::Archive, Compression::None);
    push_directory(&*backend, &bag, &options, &silent()).await.unwrap();
    let package = open_package(&*backend, &at("v1")).await.unwrap();
    let layer = package.view.manifest().layers[0].digest.clone();
    let offset = |path: &str| match package.view.entry(path).unwrap().place {
        Where::Archive { offset, .. } => usize::try_from(offset).unwrap(),
        other => panic!("{path} is at {other:?}"),
    };
    // First and last bytes, files next to each other, and the last file of all.
    let damaged = [("data/07.nc", 0), ("data/08.nc", 69_999), ("data/33.nc", 35_000), ("data/59.nc", 69_999)];
    let mut altered = Altered::new(backend.clone());
    let mut bytes = whole(&*backend, &layer).await;
    for (path, position) in damaged {
        bytes[offset(path) + position] ^= 1;
    }
    altered = altered.with(&layer, Some(bytes));
    let expected: Vec<&str> = damaged.iter().map(|(path, _)| *path).collect();
    assert_eq!(paths(&verify_deep(&altered).await.faults), expected);
    let all = pull_with(&altered, &place.path("out"), |options| options.keep_going = true).await;
    assert_eq!(paths(&faults(all)), expected);
    // The first that was noticed ends the pull.
    assert_eq!(paths(&faults(pull_to(&altered, &place.path("out")).await)), [expected[0]]);
}

#[tokio::test]
async fn of_a_compressed_archive_only_files_in_damaged_members_are_named() {
    let place = Place::new();
    let files: Vec<String> = (0..90).map(|number| format!("{number:02}.nc")).collect();
    let payload: Vec<_> =
        (0..).zip(&files).map(|(seed, name)| (name.as_str(), noise(seed, 70_000))).collect();
    let bag = place.bag("bag", &payload);
    for compression in [Compression::Gzip, Compression::Zstd] {
        let backend = memory();
        let mut options = push_options();
        (options.layout, options.compression) = (Layout::Archive, compression);
        push_directory(&*backend, &bag, &options, &silent()).await.unwrap();
        let package = open_package(&*backend, &at("v1")).await.unwrap();
        let blob = &package.view.manifest().layers[0];
        let LayerKind::Archive(record) = &package.view.index().unwrap().layers()[0].kind else {
            panic!("an archive")
        };
        let member = record.members[2];
        let position = usize::try_from(member.offset + member.length / 3).unwrap();
        let altered = Altered::flipped(backend.clone(), &blob.digest, position).await;
        let named = verify_deep(&altered).await.faults;
        let tar = member.tar_offset..member.tar_offset + member.tar_length;
        let in_member = |path: &str| match package.view.entry(path).map(|entry| (entry.place, entry.size)) {
            Some((Where::Archive { offset, .. }, size)) => offset < tar.end && offset + size > tar.start,
            _ => false,
        };
        assert!(!named.is_empty() && named.len() < 40, "{compression}: {named:?}");
        assert!(named.iter().all(|fault| in_member(&fault.path)), "{compression}: {named:?}");
        // The files beside it can be had.
        for path in ["data/00.nc", "data/89.nc"] {
            read_file(&altered, &package, path, None, std::io::sink()).await.unwrap();
        }
        let first = faults(read_file(&altered, &package, &named[0].path, None, std::io::sink()).await);
        assert_eq!(paths(&first), [named[0].path.as_str()]);
        if compression == Compression::Gzip {
            // The time in a member's header belongs to no file.
            let position = usize::try_from(member.offset + 5).unwrap();
            let altered = Altered::flipped(backend, &blob.digest, position).await;
            assert_eq!(paths(&verify_deep(&altered).await.faults), ["bag"]);
        }
    }
}

#[tokio::test]
async fn keep_going_lists_all_damaged_objects() {
    let place = Place::new();
    let payload: Vec<_> = [("a.nc", 1), ("b.nc", 2), ("c.nc", 3), ("d.nc", 4)]
        .map(|(name, seed)| (name, noise(seed, 5000)))
        .to_vec();
    let bag = place.bag("bag", &payload);
    let backend = memory();
    push(&*backend, &bag).await.unwrap();
    let digest = |seed| Digest::sha256_of(&noise(seed, 5000));
    let altered = Altered::flipped(backend.clone(), &digest(1), 0).await;
    let altered = altered.flip(&digest(2), 4999).await;
    let altered = altered.with(&digest(4), None);
    let pulled = pull_with(&altered, &place.path("out"), |options| options.keep_going = true).await;
    assert_eq!(paths(&faults(pulled)), ["data/a.nc", "data/b.nc", "data/d.nc"]);
    assert!(tree(&place.path("out")).is_empty());
    assert_eq!(paths(&verify_deep(&altered).await.faults), ["data/a.nc", "data/b.nc", "data/d.nc"]);
    // Without it, there is one, and what is right is not received again afterwards.
    assert_eq!(faults(pull_to(&altered, &place.path("out")).await).len(), 1);
    let pulled = pull_to(&*backend, &place.path("out")).await.unwrap();
    assert!(pulled.kept_files >= 1, "{pulled:?}");
    assert!(tree(&place.path("out/bag")) == tree(&bag));
}

#[tokio::test]
async fn blobs_that_are_missing_or_of_another_size_are_damage_of_their_files() {
    let place = Place::new();
    let content = noise(1, 5000);
    let bag = place.bag("bag", &[("a.nc", content.clone()), ("b.nc", noise(2, 100))]);
    let backend = memory();
    let pushed = push(&*backend, &bag).await.unwrap();
    let package = open_package(&*backend, &at("v1")).await.unwrap();
    let archive = pushed.layers[0].digest.clone();
    let (mut longer, shorter) = (content.clone(), content[..4000].to_vec());
    longer.push(0);
    let object = Digest::sha256_of(&content);
    let cases = [
        (&object, None, "data/a.nc"),
        (&object, Some(longer), "data/a.nc"),
        (&object, Some(shorter), "data/a.nc"),
        (&archive, None, "bag"),
        (&archive, Some(vec![0; 10]), "bag"),
    ];
    for (number, (digest, content, path)) in cases.into_iter().enumerate() {
        let altered = Altered::new(backend.clone()).with(digest, content);
        let output = place.path(&number.to_string());
        assert_eq!(paths(&faults(pull_to(&altered, &output).await)), [path]);
        assert_eq!(paths(&verify_deep(&altered).await.faults), [path]);
        let shallow = verify(&altered, &at("v1"), &VerifyOptions::default(), &silent()).await.unwrap();
        assert_eq!(paths(&shallow.faults), [path]);
        if path.starts_with("data") {
            let read = read_file(&altered, &package, path, None, std::io::sink()).await;
            assert!(matches!(read, Err(Error::Backend(_))), "{read:?}");
        }
    }
}

#[tokio::test]
async fn an_index_that_is_not_the_stated_one_is_not_believed() {
    let place = Place::new();
    let backend = memory();
    push(&*backend, &place.bag("bag", &[("a.nc", noise(1, 5000))])).await.unwrap();
    let package = open_package(&*backend, &at("v1")).await.unwrap();
    let config = &package.view.manifest().config;
    let size = usize::try_from(config.size).unwrap();
    let bytes = whole(&*backend, &config.digest).await;
    let space = bytes.iter().position(|byte| *byte == b'1').unwrap();
    for position in [0, space, size / 2, size - 1] {
        let altered = Altered::flipped(backend.clone(), &config.digest, position).await;
        let output = place.path(&position.to_string());
        assert_eq!(paths(&faults(pull_to(&altered, &output).await)), [config.digest.as_str()]);
        let verified = verify(&altered, &at("v1"), &VerifyOptions::default(), &silent()).await;
        assert_eq!(paths(&faults(verified)), [config.digest.as_str()]);
        // Reading a file needs only the copy in the manifest.
        assert_eq!(open_package(&altered, &at("v1")).await.unwrap().view.index(), package.view.index());
    }
}

#[tokio::test]
async fn an_index_too_large_for_the_manifest_is_proven_when_it_is_read() {
    let place = Place::new();
    let backend = memory();
    let names: Vec<String> = (0..400).map(|number| format!("{number}.csv")).collect();
    let files: Vec<_> = (0..).zip(&names).map(|(seed, name)| (name.as_str(), noise(seed, 10))).collect();
    push(&*backend, &place.bag("bag", &files)).await.unwrap();
    let package = open_package(&*backend, &at("v1")).await.unwrap();
    let config = &package.view.manifest().config;
    assert!(config.size > MAX_INLINE_INDEX_BYTES && config.data.is_none(), "{config:?}");
    let altered = Altered::flipped(backend.clone(), &config.digest, 1000).await;
    assert_eq!(paths(&faults(open_package(&altered, &at("v1")).await)), [config.digest.as_str()]);
}
