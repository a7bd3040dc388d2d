//! Sections 2.6 and 2.7 of the checklist: the metadata file and `fetch.txt`.

use bagit::{FaultCode, Verdict};

use crate::bag::{Accept, Bag, Front};
use crate::{Case, case, check_all};

fn add_info(bag: &mut Bag, text: &str) {
    let added = text.to_owned();
    bag.edit("bag-info.txt", |text| text + &added);
}

#[test]
fn metadata() {
    const CASES: &[Case] = &[
        case("I1 unknown and repeated elements", "1.0", &[], |bag| {
            add_info(bag, "X: 1\nX: 2\nContact-Name: a\nContact-Name: b\n");
        }),
        case("I2 no colon", "1.0", &["E info-line-malformed"], |bag| add_info(bag, "nonsense\n")),
        case("I2 no label", "1.0", &["E info-line-malformed"], |bag| add_info(bag, ": value\n")),
        case("I2 white space before the colon", "1.0", &["E info-whitespace"], |bag| {
            add_info(bag, "Label : value\n");
        }),
        case("I2 none after the colon", "1.0", &["E info-whitespace"], |bag| add_info(bag, "Label:value\n")),
        case("I2 any white space before 1.0", "0.97", &[], |bag| {
            add_info(bag, "Label \t:\t  value\nOther:value\n");
        }),
        case("I3 continuation lines", "1.0", &[], |bag| {
            add_info(bag, "External-Description: one\n  two\n\tthree\n");
        }),
        case("I3 a continuation of nothing", "1.0", &["E info-line-malformed"], |bag| {
            bag.edit("bag-info.txt", |text| format!("  lost\n{text}"));
        }),
        case("I4 labels of any case", "1.0", &["E oxum-mismatch"], |bag| {
            bag.put("bag-info.txt", "PAYLOAD-OXUM: 1.1\n");
        }),
        case("I5 what should not repeat", "1.0", &["W info-repeated"; 4], |bag| {
            add_info(bag, "Bag-Size: 1 B\nBag-Size: 2 B\nBag-Group-Identifier: a\nBag-Group-Identifier: b\n");
            add_info(
                bag,
                "Bagging-Date: 2026-11-24\nbagging-date: 2026-11-24\nBag-Count: 1 of 2\nBag-Count: 2 of ?\n",
            );
        }),
        case("I5 a date of another form", "1.0", &["W bagging-date-malformed"], |bag| {
            add_info(bag, "Bagging-Date: 24.11.2026\n");
        }),
        case("I5 a count of another form", "1.0", &["W bag-count-malformed"], |bag| {
            add_info(bag, "Bag-Count: one\n");
        }),
        case("I6 Oxum twice", "1.0", &["E oxum-repeated"], |bag| add_info(bag, "Payload-Oxum: 58.3\n")),
        case("I6 Oxum with one number", "1.0", &["E oxum-malformed"], |bag| {
            bag.put("bag-info.txt", "Payload-Oxum: 58\n");
        }),
        case("I6 a negative Oxum", "1.0", &["E oxum-malformed"], |bag| {
            bag.put("bag-info.txt", "Payload-Oxum: -58.3\n");
        }),
        case("I6 wrong bytes", "1.0", &["E oxum-mismatch"], |bag| {
            bag.put("bag-info.txt", "Payload-Oxum: 57.3\n");
        }),
        case("I6 wrong files", "1.0", &["E oxum-mismatch"], |bag| {
            bag.put("bag-info.txt", "Payload-Oxum: 58.40\n");
        }),
    ];
    check_all(CASES);
}

#[test]
fn a_wrong_oxum_hides_no_checksum() {
    let mut bag = Bag::good("1.0");
    bag.put("data/a.csv", "other content of another size\n");
    bag.remove("data/sub/d.txt");
    bag.seal();
    let report = bag.validate(Front::Directory, Accept::Strict);
    for code in [FaultCode::PayloadChecksumMismatch, FaultCode::PayloadFileMissing, FaultCode::OxumMismatch] {
        assert!(report.has(code), "{:#?}", report.faults);
    }
}

const URL: &str = "https://example.org/x";

/// Adds a line to `fetch.txt`.
fn fetch(bag: &mut Bag, line: &str) {
    let before = bag.files.get("fetch.txt").map(|_| bag.text("fetch.txt")).unwrap_or_default();
    bag.put("fetch.txt", &format!("{before}{line}\n"));
}

#[test]
fn fetch_files() {
    const CASES: &[Case] = &[
        case("F1 a present file", "1.0", &[], |bag| fetch(bag, &format!("{URL} 25 data/a.csv"))),
        case("F1 two fields", "1.0", &["E fetch-line-malformed"], |bag| {
            fetch(bag, &format!("{URL} data/a.csv"));
        }),
        case("F1 a length that is not a number", "1.0", &["E fetch-line-malformed"], |bag| {
            fetch(bag, &format!("{URL} x data/a.csv"));
        }),
        case("F1 a relative URL", "1.0", &["E fetch-url-not-absolute"], |bag| fetch(bag, "x/y - data/a.csv")),
        case("F1 an encoded path", "1.0", &[], |bag| {
            bag.add_payload("data/100%.csv", "odd");
            bag.edit_manifests(|text| text.replace("100%", "100%25"));
            fetch(bag, &format!("{URL} - data/100%25.csv"));
        }),
        case("F2 a file in no manifest", "1.0", &["E fetch-not-in-manifest"], |bag| {
            fetch(bag, &format!("{URL} - data/new.csv"));
        }),
        case(
            "F2 a file in one manifest",
            "1.0",
            &["E fetch-not-in-manifest", "E payload-file-fetchable"],
            |bag| {
                bag.remove("data/a.csv");
                bag.edit("manifest-md5.txt", |text| text.split_inclusive('\n').skip(1).collect());
                fetch(bag, &format!("{URL} 25 data/a.csv"));
            },
        ),
        case("F2 a tag file", "1.0", &["E fetch-lists-tag-file"], |bag| {
            fetch(bag, &format!("{URL} - metadata/eml.xml"));
        }),
        case("F2 a missing file", "1.0", &["E payload-file-fetchable"], |bag| {
            bag.remove("data/a.csv");
            fetch(bag, &format!("{URL} 25 data/a.csv"));
        }),
        case("F2 a missing file of unknown size", "1.0", &["E payload-file-fetchable"], |bag| {
            bag.remove("data/a.csv");
            fetch(bag, &format!("{URL} - data/a.csv"));
        }),
        case("F3 another size than promised", "1.0", &["W fetch-length-mismatch"], |bag| {
            fetch(bag, &format!("{URL} 24 data/a.csv"));
        }),
        case("F3 a path that escapes", "1.0", &["E path-escapes"], |bag| {
            fetch(bag, &format!("{URL} - data/../../x"));
        }),
        case("F3 an absolute path", "0.97", &["E path-escapes"], |bag| {
            fetch(bag, &format!("{URL} - /data/a.csv"));
        }),
        case("F3 a directory", "1.0", &["E path-is-directory"], |bag| {
            fetch(bag, &format!("{URL} - data/sub"));
        }),
        case("listed twice", "1.0", &["W fetch-duplicate-entry"], |bag| {
            fetch(bag, &format!("{URL} - data/a.csv"));
            fetch(bag, &format!("{URL} - data/a.csv"));
        }),
        case("an undecodable fetch.txt", "1.0", &["E tag-file-undecodable"], |bag| {
            bag.files.insert("fetch.txt".to_owned(), b"\xFF".to_vec());
        }),
    ];
    check_all(CASES);
}

#[test]
fn a_bag_whose_missing_files_can_be_fetched_is_not_just_invalid() {
    let mut bag = Bag::good("1.0");
    bag.remove("data/a.csv");
    fetch(&mut bag, &format!("{URL} 25 data/a.csv"));
    bag.seal();
    let report = bag.validate(Front::Tar, Accept::Strict);
    assert_eq!((report.verdict, report.complete, report.valid), (Verdict::IncompleteFetchable, false, false));
    bag.remove("data/sub/d.txt");
    assert_eq!(bag.validate(Front::Tar, Accept::Strict).verdict, Verdict::Invalid);
}
