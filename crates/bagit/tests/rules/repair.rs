//! Repairs: the faults of DataONE's producers become correct bags of version 1.0, everything else is refused.

use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::path::Path;

use bagit::{
    Algorithm, BagInfo, CheckOptions, Error, NoProgress, RepairOptions, Repaired, ScanOptions, Version,
    repair_archive, repair_directory, repair_in_place, validate_directory,
};

use crate::bag::{Bag, digest};

fn files(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut pending = vec![root.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
            } else {
                all.insert(
                    path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(),
                    fs::read(&path).unwrap(),
                );
            }
        }
    }
    all
}

/// Writes the bag that GMN makes of two objects: prefixed paths, tabs, each file in the manifest of its own algorithm.
fn gmn() -> Bag {
    let mut bag = Bag::good("0.97");
    bag.files.retain(|path, _| path.starts_with("data/") || path == "bagit.txt");
    let prefixed = |algorithm, path: &str, bag: &Bag| {
        format!("{}\tpid%3A1/{path}\n", digest(algorithm, &bag.files[path]))
    };
    let md5 = prefixed(Algorithm::Md5, "data/a.csv", &bag);
    let sha1: String = ["data/sub/b c.csv", "data/sub/d.txt"]
        .iter()
        .map(|path| prefixed(Algorithm::Sha1, path, &bag))
        .collect();
    bag.put("manifest-md5.txt", &md5);
    bag.put("manifest-sha1.txt", &sha1);
    bag.put(
        "bag-info.txt",
        "Payload-Oxum: 58.3\nBagging-Date: 2026-11-24T10:11:12.000+00:00\nBag-Size: 58.00 B\n",
    );
    bag.put("pid-mapping.txt", "pid:2\tpid%3A1/data/a.csv\n");
    let tags = ["bag-info.txt", "bagit.txt", "pid-mapping.txt", "manifest-md5.txt", "manifest-sha1.txt"];
    let text: String = tags.iter().map(|path| prefixed(Algorithm::Sha1, path, &bag)).collect();
    bag.put("tagmanifest-sha1.txt", &text);
    bag.sealed = true;
    bag
}

fn repairable() -> Vec<(&'static str, &'static str, Bag)> {
    let mut all = Vec::new();
    let mut add = |name, code, version, mutate: fn(&mut Bag)| {
        let mut bag = Bag::good(version);
        mutate(&mut bag);
        bag.seal();
        all.push((name, code, bag));
    };
    add("old Metacat", "manifest-name-case", "1.0", |bag| {
        bag.remove("manifest-sha256.txt");
        bag.rename("manifest-md5.txt", "manifest-MD5.txt");
    });
    add("SpeedBagIt", "duplicate-content-unlisted", "1.0", |bag| {
        bag.put("data/0-duplicate-a.csv", "depth,temperature\n15,7.2\n");
        bag.reoxum();
    });
    add("datapack", "oxum-counts-top-level", "0.97", |bag| {
        bag.put("bag-info.txt", "Payload-Oxum: 58.2\nBag-Size: 58.000000 B\nContact-Name: Q\n");
        bag.seal_for_good();
        bag.edit("tagmanifest-md5.txt", |text| {
            text.split_inclusive('\n').filter(|line| !line.contains("manifest-")).collect()
        });
        bag.remove("tagmanifest-sha256.txt");
    });
    add("names with percent signs", "percent-legacy-name", "1.0", |bag| {
        bag.add_payload("data/100%.csv", "odd");
    });
    all.push(("GMN", "base-dir-prefix", gmn()));
    all
}

fn check_repaired(name: &str, code: &str, bag: &Bag, root: &Path, repaired: &Repaired) {
    let report =
        validate_directory(root, &ScanOptions::default(), &CheckOptions::default(), &NoProgress).unwrap();
    assert!(report.valid, "{name}: {:#?}", report.faults);
    assert_eq!(report, repaired.after.report, "{name}");
    assert_eq!(report.version, Some(Version::V1_0), "{name}");
    assert!(report.faults.is_empty(), "{name}: {:#?}", report.faults);
    assert!(
        repaired.before.faults.iter().any(|fault| fault.code.as_str() == code),
        "{name}: {:#?}",
        repaired.before.faults
    );
    let after = files(root);
    for (path, bytes) in bag.files.iter().filter(|(path, _)| !bagit::TagFiles::wants(path)) {
        assert_eq!(after.get(path), Some(bytes), "{name}: {path}");
    }
    for algorithm in repaired.before.algorithms.iter().chain(&[Algorithm::Sha256, Algorithm::Sha512]) {
        assert!(report.algorithms.contains(algorithm), "{name}: {algorithm}");
    }
    assert!(
        !after.keys().any(|path| path.contains("MD5") || path.starts_with(".bagit")),
        "{name}: {:?}",
        after.keys()
    );
}

#[test]
fn repairable_faults_are_repaired_in_every_way() {
    for (name, code, bag) in repairable() {
        let work = tempfile::tempdir().unwrap();
        let (source, copy, unpacked) =
            (work.path().join("pid"), work.path().join("copy"), work.path().join("unpacked"));
        bag.write(&source);
        let options = RepairOptions::default();
        let repaired = repair_directory(&source, &copy, &options, &NoProgress).unwrap();
        check_repaired(name, code, &bag, &copy, &repaired);
        assert_eq!(files(&source), bag.files, "{name}: the source stays as it is");
        for base in ["", "pid/"] {
            for archive in [bag.zip(base), bag.tar(base)] {
                let repaired =
                    repair_archive(Cursor::new(archive), &unpacked, &options, &NoProgress).unwrap();
                check_repaired(name, code, &bag, &unpacked, &repaired);
                assert_eq!(files(&unpacked), files(&copy), "{name} in {base:?}");
                fs::remove_dir_all(&unpacked).unwrap();
            }
        }
        let repaired = repair_in_place(&source, &options, &NoProgress).unwrap();
        assert!(repaired.changed);
        check_repaired(name, code, &bag, &source, &repaired);
        assert_eq!(files(&source), files(&copy), "{name}");
        let again = repair_in_place(&source, &options, &NoProgress).unwrap();
        assert!(!again.changed && again.before.faults.is_empty(), "{name}");
        assert_eq!(fs::read_dir(work.path()).unwrap().count(), 2, "{name}: nothing else is left");
    }
}

#[test]
fn a_tag_file_with_the_name_of_an_older_version_is_kept() {
    let mut bag = Bag::good("1.0");
    bag.rename("manifest-md5.txt", "manifest-MD5.txt");
    bag.put("package-info.txt", "just a note\n");
    bag.seal();
    let work = tempfile::tempdir().unwrap();
    bag.write(work.path());
    repair_in_place(work.path(), &RepairOptions::default(), &NoProgress).unwrap();
    assert_eq!(fs::read(work.path().join("package-info.txt")).unwrap(), b"just a note\n");
    let old = Bag::good("0.93");
    let work = tempfile::tempdir().unwrap();
    old.write(work.path());
    repair_in_place(work.path(), &RepairOptions::default(), &NoProgress).unwrap();
    let info = fs::read_to_string(work.path().join("bag-info.txt")).unwrap();
    assert!(
        info.starts_with("Source-Organization: Mooring Group\n")
            && !work.path().join("package-info.txt").exists()
    );
}

#[test]
fn elements_of_the_metadata_are_kept() {
    let work = tempfile::tempdir().unwrap();
    gmn().write(work.path());
    repair_in_place(work.path(), &RepairOptions::default(), &NoProgress).unwrap();
    let (info, _) =
        BagInfo::parse(&fs::read_to_string(work.path().join("bag-info.txt")).unwrap(), Version::V1_0);
    let labels: Vec<&str> = info.iter().map(|(label, _)| label).collect();
    assert_eq!(labels, ["Payload-Oxum", "Bagging-Date", "Bag-Size"]);
    assert_eq!(info.get("Bagging-Date"), Some("2026-11-24"));
    assert_eq!(info.get("Payload-Oxum"), Some("58.3"));
}

#[test]
fn an_oxum_that_overflowed_does_not_stand_in_the_way() {
    let mut bag = Bag::good("1.0");
    bag.put("bag-info.txt", "Payload-Oxum: -2094967296.1\n");
    // A hole of 2.2 GB costs nothing on disk; its MD5 was computed elsewhere.
    bag.files.retain(|path, _| !path.starts_with("data/") && !path.starts_with("manifest-sha256"));
    bag.put("manifest-md5.txt", "7c9ef8d12b8b6a6b4f4fc9d2bd1f5d2c  data/big.bin\n");
    bag.seal();
    let mut scan = bag.scan(crate::Front::Memory);
    let mut digests = bagit::Digests::new();
    digests.insert(
        Algorithm::Md5,
        &[0x7c, 0x9e, 0xf8, 0xd1, 0x2b, 0x8b, 0x6a, 0x6b, 0x4f, 0x4f, 0xc9, 0xd2, 0xbd, 0x1f, 0x5d, 0x2c],
    );
    scan.inventory.insert_file("data/big.bin", 2_200_000_000, digests);
    let accept = crate::bag::Accept::Repairable.options();
    let report = bagit::check(&scan.inventory, &scan.tag_files, &accept);
    assert!(report.valid && report.has(bagit::FaultCode::OxumIntOverflow), "{:#?}", report.faults);
}

#[test]
fn bags_with_other_faults_are_refused_and_left_alone() {
    type Mutate = fn(&mut Bag);
    let cases: [(&str, Mutate); 5] = [
        ("payload-checksum-mismatch", |bag| bag.edit("data/a.csv", |text| text.replace('7', "8"))),
        ("payload-file-unlisted", |bag| bag.put("data/new.csv", "new")),
        ("payload-file-missing", |bag| bag.remove("data/a.csv")),
        ("path-escapes", |bag| {
            bag.edit("manifest-md5.txt", |text| format!("{text}{}  data/../../x\n", "0".repeat(32)));
        }),
        ("tag-checksum-mismatch", |bag| {
            bag.seal_for_good();
            bag.edit("metadata/eml.xml", |text| text + " ");
        }),
    ];
    for (code, mutate) in cases {
        let mut bag = Bag::good("1.0");
        bag.rename("manifest-sha256.txt", "manifest-SHA256.txt");
        mutate(&mut bag);
        bag.seal();
        let work = tempfile::tempdir().unwrap();
        let (source, target) = (work.path().join("bag"), work.path().join("target"));
        bag.write(&source);
        let options = RepairOptions::default();
        for result in [
            repair_in_place(&source, &options, &NoProgress),
            repair_directory(&source, &target, &options, &NoProgress),
            repair_archive(Cursor::new(bag.zip("")), &target, &options, &NoProgress),
            repair_archive(Cursor::new(bag.tar("bag/")), &target, &options, &NoProgress),
        ] {
            let Err(Error::NotRepairable(report)) = result else { panic!("{code}: {result:?}") };
            assert!(report.errors().any(|fault| fault.code.as_str() == code), "{code}: {:#?}", report.faults);
        }
        assert_eq!(files(&source), bag.files);
        assert_eq!(fs::read_dir(work.path()).unwrap().count(), 1);
    }
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(
        repair_in_place(empty.path(), &RepairOptions::default(), &NoProgress),
        Err(Error::NotABag(_))
    ));
}

#[test]
fn a_zip_that_would_write_outside_is_never_unpacked() {
    let mut bag = Bag::good("1.0");
    bag.seal_for_good();
    let mut writer = zip::ZipWriter::new_append(Cursor::new(bag.zip("bag/"))).unwrap();
    writer.start_file("bag/data/../../../x.csv", zip::write::SimpleFileOptions::default()).unwrap();
    let bytes = writer.finish().unwrap().into_inner();
    let work = tempfile::tempdir().unwrap();
    let target = work.path().join("a/b/target");
    let result = repair_archive(Cursor::new(bytes), &target, &RepairOptions::default(), &NoProgress);
    assert!(matches!(result, Err(Error::NotRepairable(_))), "{result:?}");
    assert_eq!(fs::read_dir(work.path()).unwrap().count(), 0);
}
