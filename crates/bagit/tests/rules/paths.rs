//! Section 2.8 of the checklist: paths that escape, clash, or do not work everywhere; and the faults of DataONE.

use bagit::{Algorithm, Severity};

use crate::bag::{ALGORITHMS, Accept, Bag, Front};
use crate::{Case, case, check_all, graded};

#[test]
fn paths_in_manifests_that_could_escape() {
    const ESCAPES: [&str; 14] = [
        "/etc/passwd",
        "../x",
        "data/../../x",
        "data/sub/../a.csv",
        "~/x",
        "~root/x",
        "C:\\x",
        "c:/x",
        "\\\\?\\UNC\\s\\x",
        "\\x",
        "%HomeDrive%\\x",
        "*/etc/passwd",
        "./../x",
        "data\\..\\x",
    ];
    for path in ESCAPES {
        for version in ["0.97", "1.0"] {
            let mut bag = Bag::good(version);
            bag.edit("manifest-md5.txt", |text| format!("{text}{}  {path}\n", "0".repeat(32)));
            bag.seal();
            for accept in [Accept::Strict, Accept::Repairable] {
                let report = bag.validate(Front::Memory, accept);
                let refused = ["path-escapes", "path-outside-payload"];
                let codes: Vec<&str> = report.errors().map(|fault| fault.code.as_str()).collect();
                assert!(
                    codes.len() == 1 && refused.contains(&codes[0]),
                    "{version} {path}: {:?}",
                    report.faults
                );
                assert!(path.starts_with('*') || codes == ["path-escapes"], "{path}");
            }
        }
    }
}

#[test]
fn names_that_look_dangerous_and_are_not() {
    const CASES: &[Case] = &[
        case("P1 dots within a name", "1.0", &[], |bag| bag.add_payload("data/a..b", "odd")),
        case("P1 three dots", "1.0", &[], |bag| bag.add_payload("data/.../x", "odd")),
        case("P1 a tilde within data", "1.0", &[], |bag| bag.add_payload("data/~x", "odd")),
        case("P5 hidden files are payload", "1.0", &[], |bag| bag.add_payload("data/.hidden", "odd")),
        case("P5 hidden files must be listed", "1.0", &["E payload-file-unlisted"], |bag| {
            bag.put("data/.hidden", "odd");
            bag.reoxum();
        }),
    ];
    // Three dots end with one, which Windows drops.
    let (dots, others): (Vec<&Case>, Vec<&Case>) = CASES.iter().partition(|case| case.name.contains("three"));
    for case in others {
        check_all(std::slice::from_ref(case));
    }
    let mut bag = Bag::good("1.0");
    (dots[0].mutate)(&mut bag);
    bag.seal();
    assert_eq!(
        bag.validate(Front::Tar, Accept::Strict).faults.iter().map(graded).collect::<Vec<_>>(),
        ["W name-not-portable"]
    );
}

#[test]
fn names_that_clash_or_do_not_work_everywhere() {
    const CASES: &[Case] = &[
        case("P3 case", "1.0", &["W names-differ-in-case"], |bag| bag.add_payload("data/A.CSV", "odd")),
        case("P3 case of directories", "1.0", &["W names-differ-in-case"], |bag| {
            bag.add_payload("data/SUB/b c.csv", "odd");
        }),
        case(
            "P3 case of a listed file that is missing",
            "1.0",
            &["E payload-file-missing", "W names-differ-in-case"],
            |bag| {
                for algorithm in ALGORITHMS {
                    let line = bag.line(algorithm, "data/A.CSV");
                    bag.edit(&format!("manifest-{algorithm}.txt"), |text| text + &line);
                }
            },
        ),
        case("P3 normalisation", "1.0", &["W names-differ-in-normalisation"], |bag| {
            bag.add_payload("data/N\u{fa}\u{f1}ez", "odd");
            bag.add_payload("data/Nu\u{301}n\u{303}ez", "even");
        }),
        case("P3 a manifest in another normalisation", "1.0", &["W normalisation-mismatch"; 2], |bag| {
            bag.add_payload("data/N\u{fa}\u{f1}ez", "odd");
            bag.edit_manifests(|text| text.replace("N\u{fa}\u{f1}ez", "Nu\u{301}n\u{303}ez"));
        }),
        case("P4 a character of Windows", "1.0", &["W name-not-portable"], |bag| {
            bag.add_payload("data/a:b", "odd");
        }),
        case("P4 a name of Windows", "1.0", &["W name-not-portable"], |bag| {
            bag.add_payload("data/aux.csv", "odd");
        }),
        case("P5 files of operating systems", "1.0", &["W system-file"; 2], |bag| {
            bag.add_payload("data/.DS_Store", "odd");
            bag.add_payload("data/sub/Thumbs.db", "even");
        }),
        case("P6 an empty directory", "1.0", &["W empty-directory"], |bag| {
            bag.directories.insert("data/sub/hollow".to_owned());
        }),
        case("a bag in the bag", "1.0", &["I nested-bag"], |bag| {
            bag.add_payload("data/inner/bagit.txt", "odd");
        }),
    ];
    check_all(CASES);
}

#[test]
fn inventories_with_unsafe_names_are_refused() {
    for path in ["data/../x", "/data/x", "metadata/../../x", "data/x\0"] {
        let bag = Bag::good("1.0");
        let mut scan = bag.scan(Front::Memory);
        scan.inventory.insert_file(path, 1, bagit::Digests::new());
        let report = bagit::check(&scan.inventory, &scan.tag_files, &Accept::Repairable.options());
        assert!(report.has(bagit::FaultCode::PathEscapes), "{path}: {:?}", report.faults);
    }
}

/// Faults of DataONE's producers: errors strictly, warnings where they are accepted, and nothing else either way.
#[test]
fn repairable_faults_are_tolerated_on_request_only() {
    type Mutate = fn(&mut Bag);
    let cases: [(&str, &str, &str, Mutate); 7] = [
        ("old Metacat", "1.0", "manifest-name-case", |bag| {
            bag.rename("manifest-md5.txt", "manifest-MD5.txt");
        }),
        ("SpeedBagIt drops one of two equal files", "1.0", "duplicate-content-unlisted", |bag| {
            bag.put("data/0-duplicate-a.csv", "depth,temperature\n15,7.2\n");
            bag.reoxum();
        }),
        ("GMN prefixes paths", "0.97", "base-dir-prefix", |bag| {
            bag.edit("manifest-md5.txt", |text| text.replace("  data/", "\turn%3Auuid%3A2/data/"));
        }),
        ("GMN prefixes paths of tag files", "0.97", "base-dir-prefix", |bag| {
            bag.seal_for_good();
            bag.edit("tagmanifest-md5.txt", |text| text.replace("  ", "\tpid/"));
        }),
        ("datapack counts entries at the top", "0.97", "oxum-counts-top-level", |bag| {
            bag.put("bag-info.txt", "Payload-Oxum: 58.2\n");
        }),
        ("datapack counts tag files too", "0.97", "oxum-counts-top-level", |bag| {
            bag.put("bag-info.txt", "Payload-Oxum: 64.4\n");
        }),
        ("datapack does not list the manifest", "1.0", "tag-manifest-incomplete", |bag| {
            bag.seal_for_good();
            bag.remove("tagmanifest-sha256.txt");
            bag.remove("manifest-sha256.txt");
            let lines = |text: String| -> String {
                text.split_inclusive('\n').filter(|line| !line.contains("manifest-")).collect()
            };
            bag.edit("tagmanifest-md5.txt", lines);
        }),
    ];
    for (name, version, code, mutate) in cases {
        let mut bag = Bag::good(version);
        mutate(&mut bag);
        bag.seal();
        for front in Front::ALL {
            for (accept, severity) in
                [(Accept::Strict, Severity::Error), (Accept::Repairable, Severity::Warning)]
            {
                let report = bag.validate(front, accept);
                let found: Vec<_> =
                    report.faults.iter().map(|fault| (fault.code.as_str(), fault.severity)).collect();
                assert_eq!(found, [(code, severity)], "{name} {front:?}: {:#?}", report.faults);
                assert_eq!(report.valid, accept == Accept::Repairable, "{name}");
            }
        }
    }
}

#[test]
fn an_oxum_that_overflowed_is_known_by_its_number() {
    let cases = [
        (2_200_000_000_u64, "-2094967296.1", "oxum-int-overflow"),
        (2_200_000_000, "-2094967297.1", "oxum-malformed"),
        (2_200_000_000, "-2094967296.2", "oxum-malformed"),
        (5_000_000_000, "705032704.1", "oxum-int-overflow"),
        (5_000_000_000, "705032705.1", "oxum-mismatch"),
        (2_147_483_647, "-1.1", "oxum-malformed"),
    ];
    for (size, oxum, code) in cases {
        let mut bag = Bag::good("1.0");
        bag.files.retain(|path, _| !path.starts_with("data/"));
        bag.put("data/big.bin", "stands for something large");
        bag.relist();
        bag.put("bag-info.txt", &format!("Payload-Oxum: {oxum}\n"));
        bag.seal();
        let mut scan = bag.scan(Front::Memory);
        let digests = scan.inventory.file("data/big.bin").unwrap().digests.to_digests();
        scan.inventory.insert_file("data/big.bin", size, digests);
        for accept in [Accept::Strict, Accept::Repairable] {
            let report = bagit::check(&scan.inventory, &scan.tag_files, &accept.options());
            let codes: Vec<&str> = report.faults.iter().map(|fault| fault.code.as_str()).collect();
            assert_eq!(codes, [code], "{size} {oxum}");
            assert_eq!(report.valid, accept == Accept::Repairable && code == "oxum-int-overflow");
        }
    }
}

#[test]
fn equal_content_is_tolerated_only_beside_a_file_that_is_listed() {
    let mut bag = Bag::good("1.0");
    bag.put("data/x.csv", "one and the same");
    bag.put("data/y.csv", "one and the same");
    bag.reoxum();
    bag.seal();
    let report = bag.validate(Front::Memory, Accept::Repairable);
    assert_eq!(report.faults.iter().map(graded).collect::<Vec<_>>(), ["E payload-file-unlisted"; 2]);
    assert_eq!(report.algorithms, [Algorithm::Md5, Algorithm::Sha256]);
}

#[test]
fn names_of_interrupted_work_are_no_content() {
    const CASES: &[Case] = &[
        case("below the payload", "1.0", &["E work-directory"], |bag| {
            bag.add_payload("data/inner/.bagit-commit/x.csv", "x");
        }),
        case("beside the payload, in any case", "1.0", &["E work-directory"], |bag| {
            bag.put(".BagIt-In-Place/x.txt", "x");
        }),
        case("a longer name is fine", "1.0", &[], |bag| bag.add_payload("data/.bagit-commit.txt", "x")),
    ];
    check_all(CASES);
}
