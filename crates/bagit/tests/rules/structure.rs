//! Sections 2.1 and 2.2 of the checklist: the declaration, the required parts, the text of tag files.

use crate::bag::{ALGORITHMS, Bag};
use crate::{Case, case, check_all, outside_archives};

fn declare(bag: &mut Bag, text: &str) {
    bag.put("bagit.txt", text);
}

#[test]
fn structure_and_declaration() {
    const CASES: &[Case] = &[
        case("B1 no bagit.txt", "1.0", &["E bagit-txt-missing"], |bag| bag.remove("bagit.txt")),
        case(
            "B1 no payload manifest",
            "1.0",
            &["E payload-manifest-missing", "I tag-manifest-algorithms"],
            |bag| {
                ALGORITHMS.iter().for_each(|algorithm| bag.remove(&format!("manifest-{algorithm}.txt")));
            },
        ),
        outside_archives(case("B1 no data directory", "1.0", &["E payload-directory-missing"], |bag| {
            bag.files.retain(|path, _| !path.starts_with("data/"));
            bag.relist();
            bag.reoxum();
        })),
        case("B1, M9 an empty data directory is fine", "1.0", &[], |bag| {
            bag.files.retain(|path, _| !path.starts_with("data/"));
            bag.directories.insert("data".to_owned());
            bag.relist();
            bag.reoxum();
        }),
        case("B2 one line", "1.0", &["E bagit-txt-malformed"], |bag| declare(bag, "BagIt-Version: 1.0\n")),
        case("B2 three lines", "1.0", &["E bagit-txt-malformed"], |bag| {
            bag.edit("bagit.txt", |text| text + "Contact: x\n");
        }),
        case("B2 no end of line at the end, CRLF", "1.0", &[], |bag| {
            declare(bag, "BagIt-Version: 1.0\r\nTag-File-Character-Encoding: UTF-8");
        }),
        case("B3 byte-order mark", "1.0", &["E bagit-txt-bom"], |bag| {
            bag.edit("bagit.txt", |text| format!("\u{feff}{text}"));
        }),
        case("B3 not UTF-8", "1.0", &["E bagit-txt-not-utf8"], |bag| {
            bag.files.insert(
                "bagit.txt".to_owned(),
                b"BagIt-Version: 1.0\nTag-File-Character-Encoding: \xE9\n".to_vec(),
            );
        }),
        case("B3 white space before a colon", "1.0", &["E bagit-txt-whitespace"], |bag| {
            bag.edit("bagit.txt", |text| text.replace("Version:", "Version :"));
        }),
        case("B3 white space at the end", "1.0", &["E bagit-txt-whitespace"], |bag| {
            bag.edit("bagit.txt", |text| text.replace("UTF-8", "UTF-8 "));
        }),
        case("B3 white space before 1.0", "0.97", &["W bagit-txt-whitespace"], |bag| {
            bag.edit("bagit.txt", |text| text.replace(": ", " :  "));
        }),
        case("B4 malformed version", "1.0", &["E version-malformed"], |bag| {
            bag.edit("bagit.txt", |text| text.replace("1.0", "v1.0"));
        }),
        case("B4 unknown minor version", "1.0", &["E version-unsupported"], |bag| {
            bag.edit("bagit.txt", |text| text.replace("1.0", "1.1"));
        }),
        case("B4 unknown major version", "1.0", &["E version-unsupported"], |bag| {
            bag.edit("bagit.txt", |text| text.replace("1.0", "2.0"));
        }),
        case("B4 a label in lower case", "1.0", &["W bagit-txt-label-case"], |bag| {
            bag.edit("bagit.txt", |text| text.replace("Version", "version"));
        }),
    ];
    check_all(CASES);
}

#[test]
fn encodings_and_metadata_file_names() {
    const CASES: &[Case] = &[
        case("B5 unsupported encoding", "1.0", &["E encoding-unsupported"], |bag| {
            bag.edit("bagit.txt", |text| text.replace("UTF-8", "EBCDIC"));
        }),
        case("B5 another encoding than UTF-8", "1.0", &["I encoding-not-utf8"], |bag| {
            bag.edit("bagit.txt", |text| text.replace("UTF-8", "ISO-8859-1"));
        }),
        case("B6 bag-info.txt before 0.96", "0.95", &["W info-file-name"], |bag| {
            bag.rename("package-info.txt", "bag-info.txt");
        }),
        case("B6 package-info.txt since 0.96", "0.97", &["W info-file-name"], |bag| {
            bag.rename("bag-info.txt", "package-info.txt");
        }),
        case("B6 no metadata file at all is fine", "1.0", &[], |bag| bag.remove("bag-info.txt")),
    ];
    check_all(CASES);
}

#[test]
fn text_of_tag_files() {
    const CASES: &[Case] = &[
        case("T1 mixed ends of lines", "1.0", &[], |bag| {
            bag.edit_manifests(|text| text.replacen('\n', "\r\n", 1).replacen("csv\n", "csv\r", 1));
        }),
        case("T1 no end of line at the end", "1.0", &[], |bag| {
            bag.edit_manifests(|text| text.trim_end().to_owned());
        }),
        case("T1 other characters do not end lines", "1.0", &[], |bag| {
            bag.add_payload("data/a\u{85}b\u{2028}c.csv", "odd");
        }),
        case("T2 undecodable bytes", "1.0", &["E tag-file-undecodable"], |bag| {
            bag.files.get_mut("bag-info.txt").unwrap().extend_from_slice(b"Contact-Name: \xE9\n");
        }),
        case("T2 byte-order mark", "1.0", &["E tag-file-bom"], |bag| {
            bag.edit("bag-info.txt", |text| format!("\u{feff}{text}"));
        }),
        case("T2 byte-order mark before 1.0", "0.97", &["W tag-file-bom"], |bag| {
            bag.edit("bag-info.txt", |text| format!("\u{feff}{text}"));
        }),
        case("T2 a manifest without .txt is none", "1.0", &["W manifest-name-extension"], |bag| {
            bag.put("manifest-sha1", "nothing");
        }),
        case("T2 UTF-16 with a mark", "1.0", &["I encoding-not-utf8"], |bag| {
            bag.edit("bagit.txt", |text| text.replace("UTF-8", "UTF-16"));
            let names: Vec<String> = bag
                .files
                .keys()
                .filter(|name| name.starts_with("manifest-") || *name == "bag-info.txt")
                .cloned()
                .collect();
            for name in names {
                let units = format!("\u{feff}{}", bag.text(&name));
                bag.files.insert(name, units.encode_utf16().flat_map(u16::to_be_bytes).collect());
            }
            bag.seal_for_good();
            for algorithm in ALGORITHMS {
                let name = format!("tagmanifest-{algorithm}.txt");
                let units = format!("\u{feff}{}", bag.text(&name));
                bag.files.insert(name, units.encode_utf16().flat_map(u16::to_le_bytes).collect());
            }
        }),
    ];
    check_all(CASES);
}
