//! Bags created in every way and after every interruption.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use safe_files::Directory;

use super::workplace::{COMMIT_NAME, PARTIAL_NAME, Workplace};
use super::{BagBuilder, Created};
use crate::scan::ScanOptions;
use crate::{
    Algorithm, BagInfo, CheckOptions, Error, FaultCode, NoProgress, RepairOptions, Report, repair_in_place,
    validate_directory,
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
    let states: [(&str, Interrupt); 7] = [
        ("workplace made, and not even its marker written", |bag| {
            Directory::open(bag).unwrap().create_private_directory(PARTIAL_NAME).unwrap();
        }),
        ("workplace made", |bag| _ = begin(bag)),
        ("half of the payload moved", |bag| move_to_workplace(&begin(bag), bag, &["sub"])),
        ("payload moved and some tag files written", |bag| {
            let workplace = begin(bag);
            move_to_workplace(&workplace, bag, &["sub", "a.csv", "empty.txt"]);
            workplace.directory().create_file("manifest-sha256.txt").unwrap().write_all(b"half").unwrap();
        }),
        ("ready to commit", |bag| _ = ready(bag, &[])),
        ("half of the content moved up", |bag| {
            let _ = ready(bag, &[]);
            for name in ["data", "manifest-sha256.txt", "bag-info.txt"] {
                fs::rename(bag.join(COMMIT_NAME).join(name), bag.join(name)).unwrap();
            }
        }),
        ("all but the last step of the commit done", |bag| {
            BagBuilder::new().create_in_place(bag, &NoProgress).unwrap();
            Directory::open(bag).unwrap().create_private_directory(COMMIT_NAME).unwrap();
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

/// Begins the work of a call that is interrupted later.
fn begin(bag: &Path) -> Workplace {
    let names: Vec<String> =
        fs::read_dir(bag).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    Workplace::begin(&Directory::open(bag).unwrap(), &names).unwrap()
}

fn move_to_workplace(workplace: &Workplace, bag: &Path, names: &[&str]) {
    let data = workplace.directory().path().join("data");
    fs::create_dir_all(&data).unwrap();
    names.iter().for_each(|name| fs::rename(bag.join(name), data.join(name)).unwrap());
}

/// Makes a bag in place, and takes it back to the state before the last moves.
fn ready(bag: &Path, obsolete: &[String]) -> Workplace {
    BagBuilder::new().create_in_place(bag, &NoProgress).unwrap();
    let workplace = Workplace::begin(&Directory::open(bag).unwrap(), &[]).unwrap();
    for entry in fs::read_dir(bag).unwrap().map(|entry| entry.unwrap()) {
        let name = entry.file_name();
        if name != PARTIAL_NAME && !obsolete.iter().any(|obsolete| *name == **obsolete) {
            fs::rename(entry.path(), workplace.directory().path().join(name)).unwrap();
        }
    }
    workplace.complete(obsolete).unwrap()
}

#[test]
fn a_directory_with_our_name_from_anybody_else_is_not_touched() {
    type Plant = fn(&Path);
    let plants: [(&str, Plant); 6] = [
        ("a directory of the user", |bag| write(bag, ".bagit-in-place/mine.txt", "mine")),
        ("payload without a marker", |bag| write(bag, ".bagit-in-place/data/mine.txt", "mine")),
        ("an old list of files to remove", |bag| write(bag, ".bagit-commit/.obsolete", "a.csv")),
        ("a copy of a directory that was made for this bag", |bag| {
            let workplace = begin(bag);
            let (made, name) = (bag.join(PARTIAL_NAME), workplace.directory().path().file_name().unwrap());
            assert_eq!(name, PARTIAL_NAME);
            let copy = bag.join("copy");
            fs::create_dir(&copy).unwrap();
            for entry in fs::read_dir(&made).unwrap().map(|entry| entry.unwrap()) {
                fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
            }
            fs::write(copy.join("x"), "x").unwrap();
            fs::rename(&made, bag.parent().unwrap().join("kept")).unwrap();
            fs::rename(copy, made).unwrap();
        }),
        ("a directory that was made for another bag", |bag| {
            let other = bag.parent().unwrap().join("other");
            sample(&other);
            move_to_workplace(&begin(&other), &other, &["sub"]);
            fs::rename(other.join(PARTIAL_NAME), bag.join(PARTIAL_NAME)).unwrap();
        }),
        ("a complete directory whose content was changed", |bag| {
            let workplace = ready(bag, &[]);
            let path = workplace.directory().path().with_file_name(COMMIT_NAME).join("bagit.txt");
            fs::write(path, "changed").unwrap();
        }),
    ];
    for (name, plant) in plants {
        let work = tempfile::tempdir().unwrap();
        let bag = work.path().join("bag");
        sample(&bag);
        plant(&bag);
        let before = tree(work.path());
        for result in [
            BagBuilder::new().create_in_place(&bag, &NoProgress).map(|_| ()),
            repair_in_place(&bag, &RepairOptions::default(), &NoProgress).map(|_| ()),
        ] {
            assert!(matches!(result, Err(Error::ForeignWork(_))), "{name}: {result:?}");
            assert_eq!(tree(work.path()), before, "{name}");
        }
    }
}

#[cfg(unix)]
#[test]
fn links_with_our_names_are_not_followed() {
    use std::os::unix::fs::symlink;
    for name in [PARTIAL_NAME, COMMIT_NAME] {
        let work = tempfile::tempdir().unwrap();
        let bag = work.path().join("bag");
        sample(&bag);
        write(work.path(), "private/id_rsa", "secret");
        symlink("../private", bag.join(name)).unwrap();
        let before = tree(work.path());
        let result = BagBuilder::new().create_in_place(&bag, &NoProgress);
        assert!(matches!(result, Err(Error::ForeignWork(_))), "{name}: {result:?}");
        let result = repair_in_place(&bag, &RepairOptions::default(), &NoProgress);
        assert!(matches!(result, Err(Error::ForeignWork(_))), "{name}: {result:?}");
        assert_eq!(tree(work.path()), before, "{name}");
    }
}

#[cfg(unix)]
#[test]
fn a_workplace_that_others_can_write_is_not_trusted() {
    use std::os::unix::fs::PermissionsExt;
    let work = tempfile::tempdir().unwrap();
    sample(work.path());
    let workplace = begin(work.path());
    move_to_workplace(&workplace, work.path(), &["sub"]);
    fs::set_permissions(work.path().join(PARTIAL_NAME), fs::Permissions::from_mode(0o777)).unwrap();
    let result = BagBuilder::new().create_in_place(work.path(), &NoProgress);
    assert!(matches!(result, Err(Error::ForeignWork(_))), "{result:?}");
}

#[test]
fn an_interrupted_repair_is_finished_by_the_next() {
    let work = tempfile::tempdir().unwrap();
    let (whole, half) = (work.path().join("whole"), work.path().join("half"));
    let broken = |bag: &Path| {
        sample(bag);
        BagBuilder::new().bagging_date("2026-11-24").create_in_place(bag, &NoProgress).unwrap();
        fs::rename(bag.join("manifest-sha256.txt"), bag.join("manifest-SHA256.txt")).unwrap();
        fs::remove_file(bag.join("tagmanifest-sha256.txt")).unwrap();
        fs::remove_file(bag.join("tagmanifest-sha512.txt")).unwrap();
    };
    let options = RepairOptions::default();
    broken(&whole);
    repair_in_place(&whole, &options, &NoProgress).unwrap();
    let expected = tree(&whole);
    assert!(expected.contains_key("manifest-sha256.txt") && !expected.contains_key("manifest-SHA256.txt"));
    // The tag files were still being written.
    broken(&half);
    let workplace = Workplace::begin(&Directory::open(&half).unwrap(), &[]).unwrap();
    workplace.directory().create_file("manifest-md5.txt").unwrap().write_all(b"half").unwrap();
    repair_in_place(&half, &options, &NoProgress).unwrap();
    assert_eq!(tree(&half), expected);
    // The directory was complete, and some files had moved up.
    for moved in [&[][..], &["manifest-sha256.txt", "tagmanifest-sha256.txt"]] {
        fs::remove_dir_all(&half).unwrap();
        broken(&half);
        let workplace = Workplace::begin(&Directory::open(&half).unwrap(), &[]).unwrap();
        for (name, bytes) in expected.iter().filter(|(name, _)| crate::TagFiles::wants(name)) {
            let mut file = workplace.directory().create_file(name).unwrap();
            file.write_all(bytes.as_ref().unwrap()).unwrap();
        }
        drop(workplace.complete(&["manifest-SHA256.txt".to_owned()]).unwrap());
        for name in moved {
            fs::rename(half.join(COMMIT_NAME).join(name), half.join(name)).unwrap();
        }
        repair_in_place(&half, &options, &NoProgress).unwrap();
        assert_eq!(tree(&half), expected);
    }
}

#[cfg(unix)]
#[test]
fn what_becomes_a_link_after_the_look_gives_no_bytes_from_outside() {
    use std::os::unix::fs::symlink;
    use std::sync::Mutex;
    // Another process replaces a directory, or a file, between the listing and the reading.
    for victim in ["sub", "sub/x.csv"] {
        let outside = if victim == "sub" { "../outside" } else { "../../outside/x.csv" };
        for in_place in [false, true] {
            let work = tempfile::tempdir().unwrap();
            let (source, target) = (work.path().join("source"), work.path().join("bag"));
            write(work.path(), "outside/x.csv", "secret");
            write(&source, "sub/x.csv", "public");
            let swapped = Mutex::new(false);
            let swap = |event: crate::ProgressEvent<'_>| {
                let mut swapped = swapped.lock().unwrap();
                if matches!(event, crate::ProgressEvent::Started { .. }) && !*swapped {
                    *swapped = true;
                    fs::rename(source.join(victim), work.path().join("kept")).unwrap();
                    symlink(outside, source.join(victim)).unwrap();
                }
            };
            let builder = BagBuilder::new().threads(1);
            let result = match in_place {
                true => builder.create_in_place(&source, &swap),
                false => builder.payload_directory(&source).create(&target, &swap),
            };
            assert!(
                matches!(result, Err(Error::Io { action: "read", .. })),
                "{victim} {in_place}: {result:?}"
            );
            assert!(*swapped.lock().unwrap() && !target.exists() && !source.join("bagit.txt").exists());
        }
    }
}

#[cfg(unix)]
#[test]
fn a_single_file_that_becomes_a_link_is_not_read() {
    use std::os::unix::fs::symlink;
    let work = tempfile::tempdir().unwrap();
    let (file, target) = (work.path().join("x.csv"), work.path().join("bag"));
    write(work.path(), "secret.csv", "secret");
    write(work.path(), "x.csv", "public");
    let swap = |event: crate::ProgressEvent<'_>| {
        if matches!(event, crate::ProgressEvent::Planned { .. }) {
            fs::remove_file(&file).unwrap();
            symlink("secret.csv", &file).unwrap();
        }
    };
    let result = BagBuilder::new().payload_file("x.csv", &file).create(&target, &swap);
    assert!(matches!(result, Err(Error::Io { .. })), "{result:?}");
    assert!(!target.exists());
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
    let workplace = begin(&bag);
    fs::create_dir(workplace.directory().path().join("data")).unwrap();
    fs::write(workplace.directory().path().join("data/a.csv"), "moved\n").unwrap();
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
    let name = |number: usize| format!("{number:04}-{}.csv", "x".repeat(200));
    for number in 0..3_500 {
        fs::write(source.join(name(number)), number.to_string()).unwrap();
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
        assert!(again.valid && again.payload_files == 3_500, "{:?}", again.faults);
        let found =
            validate_directory(bag, &ScanOptions::default(), &CheckOptions::default(), &NoProgress).unwrap();
        assert!(found.valid && found.payload_files == 3_500, "{:?}", found.faults);
    }
}
