//! The reading side: entries, plans for ranges, and artifacts of other writers.

use std::collections::BTreeMap;
use std::io::Read;
use std::ops::Range;
use std::sync::LazyLock;

use d1_package::annotations::D1_IDENTIFIER;
use d1_package::{
    ArchiveLayer, Configuration, Error, ErrorKind, Layout, PackageView, PieceEncoding, PlanLimits,
    PlanOptions, ReadPlan,
};
use oci_model::annotations::{ORAS_CONTENT_UNPACK, TITLE};
use oci_model::{Descriptor, Digest, ImageManifest, MediaType};
use oci_pack::MemberReader;
use proptest::prelude::*;

use crate::support::{Built, Content, noise, slice};

/// Reads a range of a file as a caller would, from the blobs of a package.
fn fetch(view: &PackageView, blobs: &BTreeMap<Digest, Vec<u8>>, path: &str, range: Range<u64>) -> Vec<u8> {
    let ReadPlan::Pieces(read) = view.read_plan(path, Some(range.clone())).unwrap() else {
        panic!("{path} has to be searched for");
    };
    assert_eq!(read.range, range);
    let mut bytes = Vec::new();
    for piece in &read.pieces {
        let blob = &blobs[&piece.descriptor.digest];
        let raw = slice(blob, piece.range.clone());
        match &piece.encoding {
            PieceEncoding::Raw => bytes.extend_from_slice(raw),
            PieceEncoding::Members { compression, part } => {
                MemberReader::new(raw, *compression, part).unwrap().read_to_end(&mut bytes).unwrap();
            }
        }
    }
    bytes
}

fn sample() -> Content {
    let mut content = Content::bag([
        ("data/a.csv", b"time,temperature\n".to_vec()),
        ("data/big.nc", noise(7, 3_000_000)),
        ("data/empty", Vec::new()),
        ("data/sub/Größe.txt", "größer".into()),
    ]);
    content.empty_directories.push("data/none".to_owned());
    content
}

fn forms() -> Vec<Built> {
    let limits = PlanLimits { max_blob_bytes: Some(1_000_000), ..PlanLimits::default() };
    let content = sample();
    vec![
        content.build(&PlanOptions::new("dir")),
        content.build(&PlanOptions { layout: Layout::Archive, ..PlanOptions::new("dir") }),
        content.build(&PlanOptions { limits, ..PlanOptions::new("dir") }),
    ]
}

#[test]
fn every_file_is_read_back_from_every_form() {
    let content = sample();
    for built in forms() {
        let view = built.view();
        assert_eq!(view.directory(), "dir");
        assert_eq!(view.empty_directories(), ["data/none".into()]);
        let paths: Vec<&str> = view.entries().map(|entry| entry.path).collect();
        assert_eq!(paths.len(), content.files.len());
        for (path, bytes) in &content.files {
            assert_eq!(&fetch(&view, &built.blobs, path, 0..bytes.len() as u64), bytes, "{path}");
            let entry = view.entry(path).unwrap();
            assert_eq!(entry.sha256, Some(crate::support::sha256(bytes)));
            assert_eq!(entry.size, bytes.len() as u64);
        }
    }
}

#[test]
fn a_range_costs_no_more_than_the_members_that_hold_it() {
    let built = &forms()[1];
    let view = built.view();
    let ReadPlan::Pieces(read) = view.read_plan("data/big.nc", Some(2_500_000..2_500_010)).unwrap() else {
        panic!("no pieces");
    };
    let cost: u64 = read.pieces.iter().map(|piece| piece.range.end - piece.range.start).sum();
    assert!(cost < 1_100_000, "{cost}");
    let ReadPlan::Pieces(read) = view.read_plan("data/big.nc", Some(5..5)).unwrap() else {
        panic!("no pieces")
    };
    assert!(read.pieces.is_empty());
}

#[test]
fn ranges_and_paths_that_are_not_there_are_errors() {
    let built = &forms()[0];
    let view = built.view();
    let error = view.read_plan("data/a.csv", Some(10..18)).unwrap_err();
    let text = "expected a range within the 17 bytes of `data/a.csv`, found 10..18";
    assert_eq!((error.kind(), error.to_string()), (ErrorKind::Range, text.to_owned()));
    for range in [Range { start: 5, end: 4 }, u64::MAX..u64::MAX] {
        assert_eq!(view.read_plan("data/a.csv", Some(range)).unwrap_err().kind(), ErrorKind::Range);
    }
    for path in ["data/none", "data", "", "dir/data/a.csv", "data/../data/a.csv"] {
        assert_eq!(view.read_plan(path, None).unwrap_err().kind(), ErrorKind::NotFound, "{path}");
    }
}

proptest! {
    #[test]
    fn any_range_of_any_form_is_right(start in 0_u64..3_000_000, length in 0_u64..2_000_000, form in 0_usize..3) {
        // Building is slow next to reading: once for all cases.
        static FORMS: LazyLock<(Content, Vec<Built>)> = LazyLock::new(|| (sample(), forms()));
        let (content, forms) = &*FORMS;
        let end = (start + length).min(3_000_000);
        let built = &forms[form];
        let found = fetch(&built.view(), &built.blobs, "data/big.nc", start..end);
        prop_assert!(found == slice(&content.files["data/big.nc"], start..end));
    }
}

#[test]
fn a_package_without_its_index_is_still_a_package() {
    let content = sample();
    let limits = PlanLimits { max_blob_bytes: Some(1_000_000), ..PlanLimits::default() };
    let options = PlanOptions { limits, ..PlanOptions::new("dir") };
    let built = content.build_from(content.package_files(), &options, Configuration::Empty);
    assert!(!PackageView::has_index(&built.manifest));
    let view = PackageView::new(built.manifest.clone(), None).unwrap();
    assert_eq!(view.directory(), "dir");
    let paths: Vec<&str> = view.entries().map(|entry| entry.path).collect();
    assert_eq!(paths, ["data/a.csv", "data/big.nc", "data/sub/Größe.txt"]);
    let big = &content.files["data/big.nc"];
    assert_eq!(&fetch(&view, &built.blobs, "data/big.nc", 0..big.len() as u64), big);
    // The rest is in the archive, whose content is unknown.
    let ReadPlan::Search(archives) = view.read_plan("bagit.txt", None).unwrap() else { panic!("no search") };
    assert!(matches!(archives[..], [ArchiveLayer { layer: 0, title: "dir", path: "", .. }]));
    assert_eq!(view.read_plan("../x", None).unwrap_err().kind(), ErrorKind::NotFound);
}

/// Makes the manifest of another writer from titles; a title that ends in `!` is one to unpack.
fn foreign(titles: &[Option<&str>]) -> ImageManifest {
    let mut manifest =
        ImageManifest::new(MediaType::from_static(MediaType::OCTET_STREAM), Descriptor::empty());
    for title in titles {
        let media_type = MediaType::from_static(MediaType::LAYER_TAR_GZIP);
        let mut layer = Descriptor::new(media_type, Digest::sha256_of(b"x"), 1);
        if let Some(title) = title {
            let unpacked = title.strip_suffix('!');
            layer = layer.with_annotation(TITLE, unpacked.unwrap_or(title));
            if unpacked.is_some() {
                layer = layer.with_annotation(ORAS_CONTENT_UNPACK, "true");
            }
        }
        manifest.layers.push(layer);
    }
    manifest
}

fn view_of(titles: &[&str]) -> Result<PackageView, Error> {
    let titles: Vec<Option<&str>> = titles.iter().copied().map(Some).collect();
    PackageView::new(foreign(&titles), None)
}

#[test]
fn titles_of_other_writers_are_files_and_archives() {
    let view = view_of(&["pkg!", "pkg/data/a.csv"]).unwrap();
    assert_eq!(view.directory(), "pkg");
    assert_eq!(view.entries().map(|entry| entry.path).collect::<Vec<_>>(), ["data/a.csv"]);

    let view = view_of(&["pkg!", "b.csv", "./a//x.csv"]).unwrap();
    assert_eq!(view.directory(), "");
    assert_eq!(view.entries().map(|entry| entry.path).collect::<Vec<_>>(), ["a/x.csv", "b.csv"]);
    assert_eq!(view.archives()[0].path, "pkg");
    assert!(matches!(view.read_plan("pkg/x", None).unwrap(), ReadPlan::Search(_)));
    assert_eq!(view.read_plan("pkgs/x", None).unwrap_err().kind(), ErrorKind::NotFound);

    // `oras push .` and layers without a title.
    let view = PackageView::new(foreign(&[Some(".!"), None]), None).unwrap();
    assert_eq!((view.directory(), view.archives().len()), ("", 1));
    assert!(matches!(view.read_plan("any/file", None).unwrap(), ReadPlan::Search(_)));
    assert_eq!(view.entries().count(), 0);
}

#[test]
fn titles_that_would_leave_the_directory_are_refused() {
    for title in ["../x", "/etc/passwd", "a/../../x", "C:\\x", "~/x", "a\0b", "a\\..\\b", "../x!", "/x!"] {
        let error = view_of(&["ok", title]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Path, "{title}: {error}");
        assert!(error.to_string().starts_with("layer 1 "), "{error}");
    }
}

#[test]
fn titles_that_contradict_each_other_are_refused() {
    for titles in [
        &["a", "a"][..],
        &["a", "./a"],
        &["a", "a/b"],
        &["a/b", "a"],
        &["a", "a!"],
        &["a", "a/b!"],
        &["."],
        &["a", ""],
    ] {
        let error = view_of(titles).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PathConflict, "{titles:?}: {error}");
    }
    assert!(view_of(&["a!", "a/./!", "a/b"]).is_ok());
}

#[test]
fn parts_have_to_be_complete_and_in_order() {
    let part = |number: u32, count: u32| {
        (format!("d/x.part-{number:04}-of-{count:04}"), format!("{number}/{count}"))
    };
    let view = |parts: &[(String, String)]| {
        let titles: Vec<Option<&str>> = parts.iter().map(|(title, _)| Some(title.as_str())).collect();
        let mut manifest = foreign(&titles);
        for (layer, (_, mark)) in manifest.layers.iter_mut().zip(parts) {
            *layer = layer.clone().with_annotation(d1_package::PART_ANNOTATION, mark.clone());
        }
        PackageView::new(manifest, None)
    };
    assert_eq!(view(&[part(1, 2), part(2, 2)]).unwrap().entry("d/x").unwrap().size, 2);
    for parts in [
        vec![part(1, 2)],
        vec![part(2, 2)],
        vec![part(2, 2), part(1, 2)],
        vec![part(1, 2), part(2, 3)],
        vec![part(1, 2), part(1, 2)],
        vec![part(0, 2)],
        vec![part(3, 2)],
        vec![("d/x".to_owned(), "1/1".to_owned())],
        vec![(part(1, 1).0, "1".to_owned())],
        vec![(part(1, 1).0, "1/x".to_owned())],
    ] {
        assert_eq!(view(&parts).unwrap_err().kind(), ErrorKind::Part, "{parts:?}");
    }
}

#[test]
fn files_are_found_by_their_identifiers() {
    let mut manifest = foreign(&[Some("a"), Some("b")]);
    manifest.layers[1] = manifest.layers[1].clone().with_annotation(D1_IDENTIFIER, "doi:10.1/x");
    manifest.annotations.insert(D1_IDENTIFIER.to_owned(), "doi:10.1/package".to_owned());
    let view = PackageView::new(manifest, None).unwrap();
    assert_eq!(view.entry_by_identifier("doi:10.1/x").unwrap().path, "b");
    assert_eq!(view.entry_by_identifier("doi:10.1/y"), None);
    assert_eq!(view.identifier(), Some("doi:10.1/package"));
}

#[test]
fn the_index_of_another_manifest_is_refused() {
    let forms = forms();
    let index = forms[0].package.index.clone();
    let error = PackageView::new(forms[1].manifest.clone(), Some(index)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Layers);
}

#[test]
fn a_bag_that_the_index_does_not_name_is_a_bag() {
    let built = Content::bag([("data/a", b"a".to_vec())]).build(&PlanOptions::new("dir"));
    assert_eq!(built.view().bag(), built.package.index.bag().copied());
    // The order of a plain directory is another one.
    let mut content = Content::bag([("data/a", b"a".to_vec())]);
    content.is_bag = false;
    let mut silent = content.build(&PlanOptions::new("dir"));
    assert_eq!(silent.view().bag(), None);
    silent.manifest.artifact_type = Some("application/bagit-1.0".parse().unwrap());
    let bag = silent.view().bag().unwrap();
    assert_eq!(bag, *built.package.index.bag().unwrap());
    // Either alone makes no bag.
    let mut plain = Content::plain([("a", b"a".to_vec())]).build(&PlanOptions::new("dir"));
    plain.manifest.artifact_type = Some("application/bagit-1.0".parse().unwrap());
    assert_eq!(plain.view().bag(), None);
}
