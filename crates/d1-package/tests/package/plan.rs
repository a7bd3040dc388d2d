//! The plan: every file once, limits kept, the same for any order.

use d1_package::{
    ErrorKind, Layout, PackageFile, PackageFiles, Plan, PlanLimits, PlanOptions, PlannedLayer, plan,
};
use oci_pack::{EntryList, archive_title, tar_layout};
use proptest::prelude::*;

fn files(sizes: &[(&str, u64)], empty: &[&str], is_bag: bool) -> PackageFiles {
    let files = sizes.iter().map(|(path, size)| PackageFile::new(*path, *size, [0; 32])).collect();
    PackageFiles::new(files, empty.iter().map(|path| (*path).into()).collect(), is_bag).unwrap()
}

fn options(layout: Layout, max_layers: usize, max_blob_bytes: Option<u64>) -> PlanOptions {
    let limits = PlanLimits { max_layers, max_blob_bytes, ..PlanLimits::default() };
    PlanOptions { layout, limits, ..PlanOptions::new("dir") }
}

/// Writes a plan as text: paths instead of positions.
fn text(plan: &Plan, files: &PackageFiles) -> Vec<String> {
    let path = |file: usize| files.file(file).unwrap().path;
    let layer = |layer: &PlannedLayer| match layer {
        PlannedLayer::Archive(archive) => {
            let names: Vec<&str> = archive.files.iter().map(|file| path(*file as usize)).collect();
            let mark = if archive.empty_directories { "+" } else { "" };
            format!("archive {}{mark}: {}", archive_title("dir", archive.number), names.join(" "))
        }
        PlannedLayer::Object { file } => format!("object {}", path(*file)),
        PlannedLayer::Part { file, number, count, range } => {
            format!("part {} {number}/{count} {}..{}", path(*file), range.start, range.end)
        }
    };
    plan.layers.iter().map(layer).collect()
}

#[test]
fn a_small_bag_has_its_payload_as_objects() {
    let list = files(
        &[
            ("data/b.csv", 10),
            ("data/a.csv", 9_000_000),
            ("data/empty", 0),
            ("bagit.txt", 55),
            ("metadata/x.xml", 7),
        ],
        &["data/none"],
        true,
    );
    let found = plan(&list, &options(Layout::Objects, 400, None)).unwrap();
    assert_eq!(
        text(&found, &list),
        ["archive dir+: bagit.txt metadata/x.xml data/empty", "object data/a.csv", "object data/b.csv"]
    );
    let found = plan(&list, &options(Layout::Archive, 400, None)).unwrap();
    assert_eq!(
        text(&found, &list),
        ["archive dir+: bagit.txt metadata/x.xml data/a.csv data/b.csv data/empty"]
    );
}

#[test]
fn many_small_payload_files_share_an_archive_of_their_own() {
    let names: Vec<String> = (0..65).map(|number| format!("data/{number:03}")).collect();
    let mut sizes: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 256 << 10)).collect();
    sizes[0].1 -= 1;
    sizes.push(("bagit.txt", 55));
    let list = files(&sizes, &[], true);
    let found = text(&plan(&list, &options(Layout::Objects, 400, None)).unwrap(), &list);
    assert_eq!(found[..3], ["archive dir+: bagit.txt", "archive dir/.: data/000", "object data/001"]);
    assert_eq!(found.len(), 2 + 64);
    // With 64 payload files, none is small.
    let list = files(&sizes[..64], &[], true);
    assert_eq!(plan(&list, &options(Layout::Objects, 400, None)).unwrap().layers.len(), 64);
}

#[test]
fn the_threshold_rises_until_the_layers_are_few_enough() {
    let sizes: Vec<(String, u64)> =
        (0..20_u64).map(|number| (format!("data/{number:02}"), (number + 1) << 20)).collect();
    let sizes: Vec<(&str, u64)> = sizes.iter().map(|(path, size)| (path.as_str(), *size)).collect();
    let list = files(&sizes, &[], true);
    for (max_layers, objects) in [(400, 20), (20, 20), (19, 17), (18, 17), (17, 13), (6, 5), (5, 0), (1, 0)] {
        let found = plan(&list, &options(Layout::Objects, max_layers, None)).unwrap();
        let is_object = |layer: &&PlannedLayer| matches!(layer, PlannedLayer::Object { .. });
        let found_objects = found.layers.iter().filter(is_object).count();
        assert_eq!(found_objects, objects, "{max_layers}");
        assert!(found.layers.len() <= max_layers);
    }
}

#[test]
fn the_threshold_rises_until_the_manifest_is_small_enough() {
    let names: Vec<String> = (0..60).map(|number| format!("data/{number:02}-{}", "x".repeat(1000))).collect();
    let sizes: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 300 << 10)).collect();
    let list = files(&sizes, &[], true);
    let mut options = options(Layout::Objects, 400, None);
    assert_eq!(plan(&list, &options).unwrap().layers.len(), 60);
    options.limits.max_manifest_bytes = 64 << 10;
    assert_eq!(plan(&list, &options).unwrap().layers.len(), 1);
    options.limits.max_manifest_bytes = 100;
    let error = plan(&list, &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ManifestTooLarge);
    assert!(error.to_string().starts_with("the store takes manifests of 100 bytes"), "{error}");
}

#[test]
fn files_larger_than_a_blob_are_cut() {
    let list = files(&[("data/big", 2_500_000), ("data/fits", 1_000_000), ("data/small", 5)], &[], true);
    for layout in [Layout::Objects, Layout::Archive] {
        let found = text(&plan(&list, &options(layout, 400, Some(1_000_000))).unwrap(), &list);
        let parts = [
            "part data/big 1/3 0..1000000",
            "part data/big 2/3 1000000..2000000",
            "part data/big 3/3 2000000..2500000",
            // It is no larger than a blob, but its archive would be.
            "object data/fits",
        ];
        let small = if layout == Layout::Archive { "archive dir+: data/small" } else { "object data/small" };
        assert!(parts.iter().all(|part| found.iter().any(|layer| layer == part)), "{found:?}");
        assert!(found.iter().any(|layer| layer == small), "{found:?}");
    }
}

#[test]
fn an_archive_ends_before_it_is_larger_than_a_blob() {
    let list =
        files(&[("data/a", 400_000), ("data/b", 400_000), ("data/c", 400_000), ("t", 1)], &["e"], true);
    let found = plan(&list, &options(Layout::Archive, 400, Some(1_000_000))).unwrap();
    assert_eq!(text(&found, &list), ["archive dir+: t data/a data/b", "archive dir/.: data/c"]);
}

#[test]
fn what_cannot_fit_is_refused() {
    let list = files(&[("data/big", 100_000_000)], &[], true);
    let too_many = |part: u64, list: &PackageFiles| {
        let error = plan(list, &options(Layout::Objects, 9, Some(part))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooManyLayers);
        error.to_string()
    };
    let text = |layers: u64| format!("the store takes 9 layers, and the package needs at least {layers}");
    assert_eq!(too_many(10_000_000, &list), text(10));
    assert_eq!(too_many(1, &list), text(100_000_000));
    let list = files(&[("data/big", u64::MAX)], &[], true);
    assert!(plan(&list, &options(Layout::Objects, 9, None)).is_ok());
    assert_eq!(too_many(1, &list), text(u64::MAX));
    let list = files(&[], &["a"], false);
    let error = plan(&list, &options(Layout::Objects, 9, Some(100))).unwrap_err();
    assert_eq!((error.kind(), error.subject()), (ErrorKind::BlobLimit, "dir"));
    for directory in ["", ".", "a/..", "/a", "a/"] {
        let options = PlanOptions::new(directory);
        let kind = plan(&list, &options).unwrap_err().kind();
        assert_eq!(kind, ErrorKind::Path, "{directory}");
    }
}

#[test]
fn a_package_without_files_is_a_directory() {
    let list = files(&[], &[], false);
    let found = plan(&list, &options(Layout::Objects, 9, None)).unwrap();
    assert_eq!(text(&found, &list), ["archive dir+: "]);
    let PlannedLayer::Archive(archive) = &found.layers[0] else { panic!("no archive") };
    assert_eq!(found.entries(archive, &list).count(), 1);
}

#[test]
fn empty_directories_follow_the_files_of_the_first_archive() {
    let list = files(&[("a/x", 1), ("b", 1)], &["a/e", "c/d/e", "c/f"], false);
    let found = plan(&list, &options(Layout::Archive, 9, None)).unwrap();
    let PlannedLayer::Archive(archive) = &found.layers[0] else { panic!("no archive") };
    let entries = found.entries(archive, &list);
    let names: Vec<String> = entries.entries().map(|entry| entry.path.clone()).collect();
    let expected =
        ["dir", "dir/a", "dir/a/x", "dir/b", "dir/a/e", "dir/c", "dir/c/d", "dir/c/d/e", "dir/c/f"];
    assert_eq!(names, expected);
    let files: Vec<_> = (0..10).map(|entry| entries.file(entry)).collect();
    assert_eq!(files, [None, None, Some(0), Some(1), None, None, None, None, None, None]);
}

prop_compose! {
    fn any_files()(
        found in proptest::collection::btree_map("(data/)?[a-c]{1,2}(/[a-cÄ]{1,3}){0,2}", 0_u64..3_000_000, 0..120),
        is_bag: bool,
    ) -> (Vec<(String, u64)>, bool) {
        // A path is a file or a directory, never both.
        let is_directory = |path: &str| found.keys().any(|other| other.starts_with(&format!("{path}/")));
        let kept = found.iter().filter(|(path, _)| !is_directory(path) && *path != "data");
        (kept.map(|(path, size)| (path.clone(), *size)).collect(), is_bag)
    }
}

proptest! {
    #[test]
    fn every_file_has_one_place_within_the_limits(
        (sizes, is_bag) in any_files(),
        archive: bool,
        max_layers in 3_usize..40,
        max_blob_bytes in proptest::option::of(100_000_u64..4_000_000),
        rotation in 0_usize..100,
    ) {
        let layout = if archive { Layout::Archive } else { Layout::Objects };
        let options = options(layout, max_layers, max_blob_bytes);
        let named: Vec<(&str, u64)> = sizes.iter().map(|(path, size)| (path.as_str(), *size)).collect();
        let list = files(&named, &[], is_bag);
        let found = plan(&list, &options);

        let mut turned = named.clone();
        turned.rotate_left(rotation % named.len().max(1));
        turned.reverse();
        let other = files(&turned, &[], is_bag);
        let told = |plan: Result<Plan, d1_package::Error>| plan.map_err(|error| error.to_string());
        let found = told(found);
        prop_assert_eq!(&told(plan(&other, &options)), &found);

        let Ok(found) = found else { return Ok(()) };
        prop_assert!(found.layers.len() <= max_layers);
        let mut covered: Vec<u64> = vec![0; list.len()];
        let mut seen = vec![false; list.len()];
        let limit = max_blob_bytes.unwrap_or(u64::MAX);
        for layer in &found.layers {
            match layer {
                PlannedLayer::Archive(archive) => {
                    prop_assert!(archive.files.is_sorted());
                    let entries = found.entries(archive, &list);
                    // The layout refuses entries before their directories.
                    prop_assert!(tar_layout(&entries).unwrap().size <= limit);
                    for file in &archive.files {
                        covered[*file as usize] += list.file(*file as usize).unwrap().size;
                        prop_assert!(!std::mem::replace(&mut seen[*file as usize], true));
                    }
                }
                PlannedLayer::Object { file } => {
                    prop_assert!(list.file(*file).unwrap().size <= limit);
                    covered[*file] += list.file(*file).unwrap().size;
                    prop_assert!(!std::mem::replace(&mut seen[*file], true));
                }
                PlannedLayer::Part { file, range, number, .. } => {
                    prop_assert_eq!(range.start, covered[*file]);
                    prop_assert!(range.end - range.start <= limit && range.start < range.end);
                    prop_assert_eq!(*number > 1, std::mem::replace(&mut seen[*file], true));
                    covered[*file] = range.end;
                }
            }
        }
        let expected: Vec<u64> = list.files().map(|file| file.size).collect();
        prop_assert_eq!(covered, expected);
        prop_assert!(seen.into_iter().all(|seen| seen));
    }
}
