//! Taking over archive layers from the package that is replaced.

use d1_package::{
    LayerContent, Layout, PackageFacts, PlanOptions, PlannedLayer, ReplacedArchives, assemble, plan,
    reusable_archives,
};
use oci_pack::Compression;

use crate::support::{Built, Content};

fn small_files(count: usize) -> Content {
    Content::bag((0..count).map(|number| (format!("data/{number:03}"), vec![b'x'; number])))
}

fn options(layout: Layout) -> PlanOptions {
    PlanOptions { layout, ..PlanOptions::new("dir") }
}

/// Reads what tells which archives of a package can be taken over.
fn replaced(before: &Built) -> ReplacedArchives {
    ReplacedArchives::read(&before.index[..], &before.manifest).unwrap()
}

/// Tells for each archive of a package whether it would be taken over.
fn reused(before: &Built, content: &Content, options: &PlanOptions, compression: Compression) -> Vec<bool> {
    let files = content.package_files();
    let plan = plan(&files, options).unwrap();
    let found = reusable_archives(&plan, &files, &replaced(before), compression);
    found.iter().map(Option::is_some).collect()
}

#[test]
fn unchanged_archives_are_taken_over_and_give_the_same_package() {
    let content = small_files(100);
    for layout in [Layout::Objects, Layout::Archive] {
        let before = content.build(&options(layout));
        let files = content.package_files();
        let plan = plan(&files, &options(layout)).unwrap();
        let mut found = reusable_archives(&plan, &files, &replaced(&before), Compression::Gzip).into_iter();
        let contents = plan.layers.iter().map(|layer| match layer {
            PlannedLayer::Archive(_) => LayerContent::Reused(found.next().unwrap().unwrap()),
            _ => LayerContent::Object,
        });
        let facts = PackageFacts { bag: before.package.facts.bag, ..PackageFacts::default() };
        let after = assemble(&plan, files, contents.collect(), facts).unwrap();
        assert_eq!(after, before.package);
    }
}

#[test]
fn only_the_archive_that_changed_is_packed_again() {
    let before = small_files(100).build(&options(Layout::Objects));
    let mut content = small_files(100);
    content.add("bag-info.txt", "Contact-Name: another\n");
    assert_eq!(reused(&before, &content, &options(Layout::Objects), Compression::Gzip), [false, true]);
    let mut content = small_files(100);
    content.files.insert("data/007".to_owned(), vec![b'y'; 7]);
    assert_eq!(reused(&before, &content, &options(Layout::Objects), Compression::Gzip), [true, false]);
}

#[test]
fn every_difference_counts() {
    let content = Content::plain([("a", b"a".to_vec()), ("b", b"b".to_vec())]);
    let before = content.build(&options(Layout::Archive));
    let is_reused = |content: &Content, options: &PlanOptions, compression| {
        reused(&before, content, options, compression) == [true]
    };
    assert!(is_reused(&content, &options(Layout::Archive), Compression::Gzip));
    assert!(!is_reused(&content, &options(Layout::Archive), Compression::Zstd));
    let other = PlanOptions { directory: "other".to_owned(), ..options(Layout::Archive) };
    assert!(!is_reused(&content, &other, Compression::Gzip));
    let mut changed = content.clone();
    changed.empty_directories.push("e".to_owned());
    assert!(!is_reused(&changed, &options(Layout::Archive), Compression::Gzip));
    for (path, bytes) in [("a", b"b".to_vec()), ("a", b"aa".to_vec()), ("c", b"c".to_vec())] {
        let mut changed = content.clone();
        changed.files.insert(path.to_owned(), bytes);
        assert!(!is_reused(&changed, &options(Layout::Archive), Compression::Gzip), "{path}");
    }
    let mut renamed = content;
    let bytes = renamed.files.remove("b").unwrap();
    renamed.files.insert("bb".to_owned(), bytes);
    assert!(!is_reused(&renamed, &options(Layout::Archive), Compression::Gzip));
}
