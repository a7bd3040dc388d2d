//! Pushed packages of every kind come back equal.

use std::path::Path;

use d1_package::Layout;
use d1_transfer::{VerifyOptions, list_files, open_package, push_directory, read_file, verify};
use oci_pack::Compression;
use registry_backend::RegistryBackend;

use crate::support::{
    Place, Tree, at, leftovers, memory_with, noise, pull_to, push_options, silent, text, tree,
};

/// Returns directories of all kinds; bags are named so.
fn packages(place: &Place) -> Vec<&'static str> {
    let same = noise(1, 5000);
    let mixed = vec![
        ("a/b/c/deep.csv", text(1, 3000)),
        ("a/b/c.csv", text(2, 70_000)),
        ("a-.txt", text(3, 10)),
        ("a/same one", same.clone()),
        ("same two", same.clone()),
        ("x/same three", same),
        ("none.csv", Vec::new()),
        ("none too.csv", Vec::new()),
        ("größe/日本.nc", noise(2, 130_000)),
        ("a/empty/", Vec::new()),
        (
            "0123456789012345678901234567890123456789012345678901234567890123456789/0123456789012345678901234567890",
            text(4, 600),
        ),
    ];
    place.bag("bag", &mixed);
    place.write("plain", &mixed);
    let names: Vec<String> = (0..80).map(|number| format!("s{}/{number:03}.csv", number % 7)).collect();
    let many: Vec<_> = (0..).zip(&names).map(|(seed, name)| (name.as_str(), text(seed, 1500))).collect();
    place.bag("bag-of-many", &many);
    place.write("nothing", &[]);
    place.write("only-directories", &[("a/b/", Vec::new()), ("c/", Vec::new())]);
    place.write("only-empty-files", &[("a", Vec::new()), ("b/c", Vec::new())]);
    place.write("one", &[("file", noise(3, 9000))]);
    vec!["bag", "plain", "bag-of-many", "nothing", "only-directories", "only-empty-files", "one"]
}

/// Pulls, verifies, lists and reads every file of `v1`, and compares everything with the source.
async fn assert_equal(backend: &dyn RegistryBackend, place: &Place, name: &str, about: &str) {
    let source = tree(&place.path(name));
    let output = place.path("out");
    pull_to(backend, &output).await.unwrap_or_else(|error| panic!("{about}: {error:?}"));
    assert!(tree(&output.join(name)) == source, "{about}");
    assert_eq!(leftovers(&output), Vec::<std::path::PathBuf>::new(), "{about}");
    std::fs::remove_dir_all(&output).unwrap();

    let mut options = VerifyOptions::default();
    for deep in [false, true] {
        options.deep = deep;
        let report = verify(backend, &at("v1"), &options, &silent()).await.unwrap();
        assert!(report.valid, "{about}: {report:?}");
    }
    let package = open_package(backend, &at("v1")).await.unwrap();
    // Without an index, a package of single files has no directory that is its own.
    let prefix = if package.view.directory().is_empty() { format!("{name}/") } else { String::new() };
    let files = source.into_iter().filter_map(|(path, content)| Some((format!("{prefix}{path}"), content?)));
    let files: Vec<(String, Vec<u8>)> = files.collect();
    let listing = list_files(backend, &package).await.unwrap();
    let mut listed: Vec<_> = listing.iter().collect();
    listed.sort_by(|left, right| left.path.cmp(&right.path));
    assert!(
        listed.iter().map(|file| &file.path).eq(files.iter().map(|(path, _)| path)),
        "{about}: {listed:?}"
    );
    assert!(
        listed.iter().map(|file| file.size).eq(files.iter().map(|(_, bytes)| bytes.len() as u64)),
        "{about}"
    );
    for (path, content) in files.iter().rev().take(12) {
        let read = read_file(backend, &package, path, None, Vec::new()).await;
        assert!(
            read.unwrap_or_else(|error| panic!("{about}: {path}: {error}")) == *content,
            "{about}: {path}"
        );
    }
}

#[tokio::test]
async fn in_both_layouts_and_all_compressions() {
    let place = Place::new();
    for name in packages(&place) {
        for layout in [Layout::Objects, Layout::Archive] {
            for compression in [Compression::Gzip, Compression::Zstd, Compression::None] {
                let backend = memory_with(|_| {});
                let mut options = push_options();
                (options.layout, options.compression) = (layout, compression);
                push_directory(&*backend, &place.path(name), &options, &silent()).await.unwrap();
                assert_equal(&*backend, &place, name, &format!("{name} {layout} {compression}")).await;
            }
        }
    }
}

#[tokio::test]
async fn in_parts_and_several_archives() {
    let place = Place::new();
    for name in packages(&place) {
        for layout in [Layout::Objects, Layout::Archive] {
            for (part_bytes, index) in [(50_000, true), (50_000, false), (6000, true), (6000, false)] {
                let backend = memory_with(|capabilities| capabilities.part_bytes = Some(part_bytes));
                let mut options = push_options();
                (options.layout, options.index) = (layout, index);
                let pushed = push_directory(&*backend, &place.path(name), &options, &silent()).await.unwrap();
                let about = format!("{name} {layout} {part_bytes} {index}");
                assert!(pushed.layers.iter().all(|layer| layer.size <= part_bytes), "{about}");
                assert_equal(&*backend, &place, name, &about).await;
            }
        }
    }
}

#[tokio::test]
async fn without_an_index() {
    let place = Place::new();
    for name in packages(&place) {
        for layout in [Layout::Objects, Layout::Archive] {
            let backend = memory_with(|_| {});
            let mut options = push_options();
            (options.layout, options.index) = (layout, false);
            push_directory(&*backend, &place.path(name), &options, &silent()).await.unwrap();
            assert_equal(&*backend, &place, name, &format!("{name} {layout}")).await;
        }
    }
}

#[tokio::test]
async fn as_a_bag_that_is_made_on_the_way() {
    let place = Place::new();
    packages(&place);
    for (name, part_bytes) in [("plain", None), ("one", Some(60)), ("one", None), ("nothing", None)] {
        let backend = memory_with(|capabilities| {
            (capabilities.part_bytes, capabilities.max_layers) = (part_bytes, 1000)
        });
        let mut options = push_options();
        options.make_bag = true;
        let pushed = push_directory(&*backend, &place.path(name), &options, &silent()).await.unwrap();
        assert_eq!(pushed.artifact_type.as_str(), "application/bagit-1.0");
        let output = place.path("bagged");
        let pulled = pull_to(&*backend, &output).await.unwrap();
        assert!(pulled.bag.unwrap().valid, "{name}");
        assert!(payload(&output.join(name)) == files(&place.path(name)), "{name}");
        std::fs::remove_dir_all(&output).unwrap();
    }
}

fn payload(bag: &Path) -> Tree {
    files(&bag.join("data"))
}

fn files(directory: &Path) -> Tree {
    tree(directory).into_iter().filter(|(_, content)| content.is_some()).collect()
}

#[tokio::test]
async fn from_a_store_that_reads_no_ranges() {
    let place = Place::new();
    packages(&place);
    for layout in [Layout::Objects, Layout::Archive] {
        let backend = memory_with(|capabilities| capabilities.range_reads = false);
        let mut options = push_options();
        options.layout = layout;
        push_directory(&*backend, &place.path("bag"), &options, &silent()).await.unwrap();
        let backend = crate::altered::Altered::new(backend);
        assert_equal(&backend, &place, "bag", &layout.to_string()).await;
    }
}
