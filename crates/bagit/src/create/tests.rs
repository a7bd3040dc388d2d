//! Bags created in every way and after every interruption.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::staging::{COMMIT_NAME, PARTIAL_NAME};
use super::{BagBuilder, Created};
use crate::scan::ScanOptions;
use crate::{
    Algorithm, BagInfo, CheckOptions, Error, FaultCode, NoProgress, Report, is_bag, validate_directory,
};

fn write(root: &Path, path: &str, content: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// Reads a whole tree: paths to contents, directories with nothing in them too.
fn tree(root: &Path) -> BTreeMap<String, Option<Vec<u8>>> {
    let mut all = BTreeMap::new();
    let mut pending = vec![root.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            let is_directory = fs::symlink_metadata(&path).unwrap().is_dir();
            all.insert(name, (!is_directory).then(|| fs::read(&path).unwrap_or_default()));
            if is_directory {
                pending.push(path);
            }
        }
    }
    all
}

fn sample(root: &Path) {
    write(root, "a.csv", "depth,temperature\n");
    write(root, "sub/ü b.csv", "15,7.2\n");
    write(root, "sub/100%0A.csv", "percent\n");
    write(root, "sub/line\nend.csv", "newline\n");
    write(root, "empty.txt", "");
}

fn validate(bag: &Path) -> Report {
    validate_directory(bag, &ScanOptions::default(), &CheckOptions::default(), &NoProgress).unwrap()
}

fn codes(report: &Report) -> Vec<&'static str> {
    report.faults.iter().map(|fault| fault.code.as_str()).collect()
}

/// Checks that what the builder reports is what a fresh look finds.
fn check_created(created: &Created, bag: &Path) {
    let seen = validate(bag);
    assert!(seen.valid, "{:#?}", seen.faults);
    assert_eq!(created.report, seen);
}

#[test]
fn a_copied_bag_is_valid_and_the_source_untouched() {
    let work = tempfile::tempdir().unwrap();
    let (source, target) = (work.path().join("source"), work.path().join("deep/er/bag"));
    sample(&source);
    write(work.path(), "meta/eml.xml", "<eml/>");
    write(work.path(), "meta/sysmeta/a.xml", "<sysmeta/>");
    let before = tree(&source);
    let mut info = BagInfo::new();
    info.push("Source-Organization", "Mooring Group").unwrap();
    info.push("Payload-Oxum", "1.1").unwrap();
    info.push("Contact-Name", "Q").unwrap();
    let created = BagBuilder::new()
        .algorithms(Algorithm::ALL)
        .info(info)
        .bagging_date("2026-11-24")
        .payload_directory(&source)
        .payload_file("extra/one.csv", work.path().join("source/a.csv"))
        .tag_directory("metadata", work.path().join("meta"))
        .tag_file("README.md", work.path().join("meta/eml.xml"))
        .create(&target, &NoProgress)
        .unwrap();
    check_created(&created, &target);
    assert_eq!(tree(&source), before);
    assert_eq!(created.report.payload_files, 6);
    assert_eq!(created.report.algorithms.len(), 6);
    let info = fs::read_to_string(target.join("bag-info.txt")).unwrap();
    let labels: Vec<&str> =
        info.lines().filter_map(|line| line.split_once(':')).map(|(label, _)| label).collect();
    assert_eq!(labels, ["Source-Organization", "Payload-Oxum", "Contact-Name", "Bagging-Date", "Bag-Size"]);
    assert!(info.contains("Payload-Oxum: 59.6\n"), "{info}");
    let manifest = fs::read_to_string(target.join("manifest-md5.txt")).unwrap();
    assert!(
        manifest.contains("data/sub/100%250A.csv") && manifest.contains("data/sub/line%0Aend.csv"),
        "{manifest}"
    );
    assert_eq!(
        fs::read_dir(work.path().join("deep/er")).unwrap().count(),
        1,
        "nothing else is left beside it"
    );
}

#[test]
fn the_same_bag_is_made_in_place() {
    let work = tempfile::tempdir().unwrap();
    let (copied, placed) = (work.path().join("copied"), work.path().join("placed"));
    sample(&placed);
    write(&placed, "data/inner.csv", "a directory that is called data already\n");
    fs::create_dir(placed.join("hollow")).unwrap();
    write(work.path(), "meta/eml.xml", "<eml/>");
    let builder =
        BagBuilder::new().bagging_date("2026-11-24").tag_directory("metadata", work.path().join("meta"));
    builder.clone().payload_directory(&placed).create(&copied, &NoProgress).unwrap();
    let created = builder.create_in_place(&placed, &NoProgress).unwrap();
    check_created(&created, &placed);
    assert_eq!(codes(&created.report), ["name-not-portable", "empty-directory"]);
    assert_eq!(tree(&placed), tree(&copied));
}

#[test]
fn an_empty_directory_makes_a_valid_bag() {
    let work = tempfile::tempdir().unwrap();
    fs::create_dir(work.path().join("empty")).unwrap();
    let bag = work.path().join("bag");
    let created =
        BagBuilder::new().payload_directory(work.path().join("empty")).create(&bag, &NoProgress).unwrap();
    check_created(&created, &bag);
    check_created(
        &BagBuilder::new().create_in_place(&work.path().join("empty"), &NoProgress).unwrap(),
        &work.path().join("empty"),
    );
}

#[test]
fn targets_that_hold_something_and_sources_that_are_bags_are_refused() {
    let work = tempfile::tempdir().unwrap();
    let source = work.path().join("source");
    sample(&source);
    write(work.path(), "full/kept.txt", "kept");
    fs::create_dir(work.path().join("free")).unwrap();
    let builder = BagBuilder::new().payload_directory(&source);
    assert!(matches!(builder.create(&work.path().join("full"), &NoProgress), Err(Error::TargetNotEmpty(_))));
    assert!(matches!(builder.create(&source.join("a.csv"), &NoProgress), Err(Error::TargetNotEmpty(_))));
    let bag = work.path().join("free");
    builder.create(&bag, &NoProgress).unwrap();
    let before = tree(work.path());
    let of_bag = BagBuilder::new().payload_directory(&bag);
    assert!(
        matches!(of_bag.create(&work.path().join("new"), &NoProgress), Err(Error::AlreadyBag(path)) if path == bag)
    );
    assert!(matches!(of_bag.create_in_place(&bag, &NoProgress), Err(Error::AlreadyBag(_))));
    assert_eq!(tree(work.path()), before);
    let created = of_bag.allow_bag(true).create(&work.path().join("new"), &NoProgress).unwrap();
    assert!(created.report.has(FaultCode::NestedBag));
    let created = BagBuilder::new().allow_bag(true).create_in_place(&bag, &NoProgress).unwrap();
    check_created(&created, &bag);
}

#[cfg(unix)]
#[test]
fn what_cannot_go_into_a_bag_is_listed_and_nothing_is_written() {
    use std::ffi::OsStr;
    use std::os::unix::{ffi::OsStrExt, fs::symlink, net::UnixListener};
    let work = tempfile::tempdir().unwrap();
    let source = work.path().join("source");
    sample(&source);
    symlink("a.csv", source.join("link.csv")).unwrap();
    symlink("nowhere", source.join("dangling")).unwrap();
    symlink("sub", source.join("sublink")).unwrap();
    let _socket = UnixListener::bind(source.join("socket")).unwrap();
    fs::write(source.join(OsStr::from_bytes(b"caf\xE9")), "x").unwrap();
    write(&source, "N\u{fa}.csv", "x");
    write(&source, "Nu\u{301}.csv", "y");
    let before = tree(&source.join("sub"));
    let expected = [
        "link-dangling",
        "link-inside",
        "link-to-directory",
        "name-not-utf8",
        "names-differ-in-normalisation",
        "special-file",
    ];
    let builder = BagBuilder::new().payload_directory(&source);
    for result in
        [builder.create(&work.path().join("bag"), &NoProgress), builder.create_in_place(&source, &NoProgress)]
    {
        let Err(Error::Unbaggable { faults }) = result else { panic!("{result:?}") };
        let mut codes: Vec<&str> = faults.iter().map(|fault| fault.code.as_str()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes, expected);
    }
    assert!(!work.path().join("bag").exists() && !source.join(PARTIAL_NAME).exists());
    assert_eq!(fs::read_dir(work.path()).unwrap().count(), 1);
    assert_eq!(tree(&source.join("sub")), before);
}

#[cfg(unix)]
#[test]
fn links_are_followed_on_request_but_not_in_circles() {
    use std::os::unix::fs::symlink;
    let work = tempfile::tempdir().unwrap();
    let source = work.path().join("source");
    sample(&source);
    write(work.path(), "outside/x.csv", "outside");
    symlink(work.path().join("outside"), source.join("linked")).unwrap();
    symlink("../a.csv", source.join("sub/link.csv")).unwrap();
    let bag = work.path().join("bag");
    let builder = BagBuilder::new().payload_directory(&source).dereference(true);
    check_created(&builder.create(&bag, &NoProgress).unwrap(), &bag);
    assert_eq!(fs::read(bag.join("data/linked/x.csv")).unwrap(), b"outside");
    assert!(fs::symlink_metadata(bag.join("data/sub/link.csv")).unwrap().is_file());
    symlink("..", source.join("sub/loop")).unwrap();
    let result = builder.create(&work.path().join("other"), &NoProgress);
    assert!(
        matches!(&result, Err(Error::Unbaggable { faults }) if faults[0].code == FaultCode::LinkToDirectory),
        "{result:?}"
    );
}

#[test]
fn portable_bags_refuse_names_that_others_only_warn_of() {
    for (name, code) in
        [("con.txt", "name-not-portable"), ("a:b", "name-not-portable"), ("A.csv", "names-differ-in-case")]
    {
        let work = tempfile::tempdir().unwrap();
        let source = work.path().join("source");
        write(&source, "a.csv", "x");
        write(&source, name, "y");
        let builder = BagBuilder::new().payload_directory(&source);
        let created = builder.create(&work.path().join("bag"), &NoProgress).unwrap();
        assert_eq!(codes(&created.report), [code]);
        let refused = builder.portable(true).create(&work.path().join("portable"), &NoProgress);
        assert!(matches!(refused, Err(Error::Unbaggable { faults }) if faults[0].code.as_str() == code));
    }
}

#[test]
fn tag_files_cannot_take_the_place_of_others() {
    let work = tempfile::tempdir().unwrap();
    write(work.path(), "x", "x");
    let file = work.path().join("x");
    for place in ["bagit.txt", "manifest-md5.txt", "data/x", "../x", "/x", "metadata/../../x"] {
        let result = BagBuilder::new().tag_file(place, &file).create(&work.path().join("bag"), &NoProgress);
        assert!(matches!(result, Err(Error::Unbaggable { .. })), "{place}: {result:?}");
    }
    let twice = BagBuilder::new().payload_file("x", &file).payload_file("x", &file);
    assert!(matches!(twice.create(&work.path().join("bag"), &NoProgress), Err(Error::Unbaggable { .. })));
    let both = BagBuilder::new().payload_file("x", &file).payload_file("x/y", &file);
    assert!(matches!(both.create(&work.path().join("bag"), &NoProgress), Err(Error::Unbaggable { .. })));
    let dated = BagBuilder::new().bagging_date("today").create(&work.path().join("bag"), &NoProgress);
    assert!(matches!(dated, Err(Error::Tag { .. })));
    assert!(!work.path().join("bag").exists());
}

#[test]
fn an_interrupted_bagging_in_place_goes_on_from_every_state() {
    let work = tempfile::tempdir().unwrap();
    let whole = work.path().join("whole");
    sample(&whole);
    BagBuilder::new().create_in_place(&whole, &NoProgress).unwrap();
    let expected = tree(&whole);
    type Interrupt = fn(&Path);
    let states: [(&str, Interrupt); 5] = [
        ("partial directory made", |bag| fs::create_dir_all(bag.join(PARTIAL_NAME).join("data")).unwrap()),
        ("half of the payload moved", |bag| {
            fs::create_dir_all(bag.join(PARTIAL_NAME).join("data")).unwrap();
            fs::rename(bag.join("sub"), bag.join(PARTIAL_NAME).join("data/sub")).unwrap();
        }),
        ("payload moved and some tag files written", |bag| {
            fs::create_dir_all(bag.join(PARTIAL_NAME).join("data")).unwrap();
            for name in ["sub", "a.csv", "empty.txt"] {
                fs::rename(bag.join(name), bag.join(PARTIAL_NAME).join("data").join(name)).unwrap();
            }
            fs::write(bag.join(PARTIAL_NAME).join("manifest-sha256.txt"), "half").unwrap();
        }),
        ("ready to commit", |bag| {
            BagBuilder::new().create_in_place(bag, &NoProgress).unwrap();
            fs::create_dir(bag.join(COMMIT_NAME)).unwrap();
            for name in ["data", "bagit.txt", "bag-info.txt", "manifest-sha256.txt"] {
                fs::rename(bag.join(name), bag.join(COMMIT_NAME).join(name)).unwrap();
            }
            fs::write(bag.join(COMMIT_NAME).join(".obsolete"), "").unwrap();
        }),
        ("all but the last step of the commit done", |bag| {
            BagBuilder::new().create_in_place(bag, &NoProgress).unwrap();
            fs::create_dir(bag.join(COMMIT_NAME)).unwrap();
        }),
    ];
    for (state, interrupt) in states {
        let bag = work.path().join("bag");
        sample(&bag);
        interrupt(&bag);
        let created = BagBuilder::new()
            .create_in_place(&bag, &NoProgress)
            .unwrap_or_else(|error| panic!("{state}: {error}"));
        check_created(&created, &bag);
        assert_eq!(tree(&bag), expected, "{state}");
        fs::remove_dir_all(&bag).unwrap();
    }
}

#[test]
fn a_directory_of_the_user_with_our_name_is_not_removed() {
    let work = tempfile::tempdir().unwrap();
    sample(work.path());
    write(work.path(), ".bagit-in-place/mine.txt", "mine");
    let before = tree(work.path());
    let result = BagBuilder::new().create_in_place(work.path(), &NoProgress);
    assert!(matches!(result, Err(Error::TargetNotEmpty(_))));
    assert_eq!(tree(work.path()), before);
    assert!(!is_bag(work.path()));
}

#[test]
fn a_failure_in_place_leaves_everything_where_it_was() {
    let work = tempfile::tempdir().unwrap();
    let bag = work.path().join("bag");
    sample(&bag);
    let before = tree(&bag);
    let missing = BagBuilder::new().tag_file("README.md", work.path().join("gone"));
    assert!(matches!(missing.create_in_place(&bag, &NoProgress), Err(Error::Io { .. })));
    assert!(matches!(
        BagBuilder::new().bagging_date("today").create_in_place(&bag, &NoProgress),
        Err(Error::Tag { .. })
    ));
    assert!(matches!(
        BagBuilder::new().algorithms([]).create_in_place(&bag, &NoProgress),
        Err(Error::Unbaggable { .. })
    ));
    assert_eq!(tree(&bag), before);
    // Since the interruption someone has made a second file of a name that has moved already: both stay.
    write(&bag, ".bagit-in-place/data/a.csv", "moved\n");
    let before = tree(&bag);
    let result = BagBuilder::new().create_in_place(&bag, &NoProgress);
    assert!(matches!(&result, Err(Error::Io { path, .. }) if path.ends_with("data/a.csv")), "{result:?}");
    let after = tree(&bag);
    assert_eq!(after.values().flatten().count(), before.values().flatten().count());
    assert_eq!(after["a.csv"], before["a.csv"]);
    assert_eq!(after[".bagit-in-place/data/a.csv"], before[".bagit-in-place/data/a.csv"]);
}

#[test]
fn large_manifests_are_read_from_where_the_bag_is_in_the_end() {
    let work = tempfile::tempdir().unwrap();
    let source = work.path().join("source");
    fs::create_dir(&source).unwrap();
    for number in 0..9_000 {
        fs::write(source.join(format!("{number:04}.csv")), number.to_string()).unwrap();
    }
    let copied = work.path().join("copied");
    let builder = BagBuilder::new().algorithms([Algorithm::Sha512]);
    let copy = builder.clone().payload_directory(source.clone()).create(&copied, &NoProgress).unwrap();
    assert!(fs::metadata(copied.join("manifest-sha512.txt")).unwrap().len() > 1 << 20);
    let in_place = builder.create_in_place(&source, &NoProgress).unwrap();
    assert_eq!(copy.scan.inventory, in_place.scan.inventory);
    for (created, bag) in [(copy, &copied), (in_place, &source)] {
        assert!(created.scan.tag_files.get("manifest-sha512.txt").is_none());
        let again = crate::check(&created.scan.inventory, &created.scan.tag_files, &CheckOptions::default());
        assert!(again.valid && again.payload_files == 9_000, "{:?}", again.faults);
        let found =
            validate_directory(bag, &ScanOptions::default(), &CheckOptions::default(), &NoProgress).unwrap();
        assert!(found.valid && found.payload_files == 9_000, "{:?}", found.faults);
    }
}
