//! Sections 2.3 to 2.5 of the checklist: payload manifests, tag manifests, algorithms.

use bagit::Algorithm;

use crate::bag::{ALGORITHMS, Accept, Bag, Front};
use crate::{Case, case, check_all, in_memory};

/// Drops one payload file from both manifests.
fn unlist(bag: &mut Bag, name: &str) {
    bag.edit_manifests(|text| {
        text.lines().filter(|line| !line.ends_with(name)).map(|line| format!("{line}\n")).collect()
    });
}

/// Adds a line for a path to both manifests.
fn list(bag: &mut Bag, path: &str) {
    for algorithm in ALGORITHMS {
        let line = bag.line(algorithm, path);
        bag.edit(&format!("manifest-{algorithm}.txt"), |text| text + &line);
    }
}

#[test]
fn names_and_completeness_of_payload_manifests() {
    const CASES: &[Case] = &[
        case("M1 a manifest in upper case", "1.0", &["E manifest-name-case"], |bag| {
            bag.rename("manifest-md5.txt", "manifest-MD5.txt");
        }),
        case("M1 a spelled-out algorithm", "1.0", &["W manifest-name-alias"], |bag| {
            bag.rename("manifest-sha256.txt", "manifest-sha-256.txt");
        }),
        case("M2 an unlisted file", "1.0", &["E payload-file-unlisted"], |bag| unlist(bag, "a.csv")),
        case("M2 not in every manifest", "1.0", &["E payload-file-not-in-every-manifest"], |bag| {
            bag.edit("manifest-md5.txt", |text| text.split_inclusive('\n').skip(1).collect());
        }),
        case("M2 before 1.0 one manifest is enough", "0.97", &[], |bag| {
            bag.edit("manifest-md5.txt", |text| text.split_inclusive('\n').skip(1).collect());
            bag.edit("manifest-sha256.txt", |text| text.split_inclusive('\n').take(1).collect());
        }),
        case("M2 a listed file is missing", "1.0", &["E payload-file-missing"], |bag| {
            bag.remove("data/a.csv");
            bag.reoxum();
        }),
        case(
            "M8 two manifests for one algorithm",
            "1.0",
            &["W manifest-name-alias", "E manifest-duplicate-algorithm"],
            |bag| {
                let text = bag.text("manifest-md5.txt");
                bag.put("manifest-md-5.txt", &text);
            },
        ),
        case("A2 an unsupported algorithm", "1.0", &["E algorithm-unsupported"], |bag| {
            let text = bag.text("manifest-md5.txt");
            bag.put("manifest-sha3512.txt", &text);
        }),
    ];
    check_all(CASES);
}

#[test]
fn an_unsupported_algorithm_leaves_the_bag_complete_but_unproven() {
    let mut bag = Bag::good("1.0");
    let text = bag.text("manifest-md5.txt");
    bag.put("manifest-sha3512.txt", &text);
    bag.seal();
    let report = bag.validate(Front::Memory, Accept::Strict);
    assert!(report.complete && !report.valid, "{:#?}", report.faults);
}

#[test]
fn lines_of_payload_manifests() {
    const CASES: &[Case] = &[
        case("M3 a line without a path", "1.0", &["E manifest-line-malformed"], |bag| {
            bag.edit("manifest-md5.txt", |text| text + "nonsense\n");
        }),
        case("M3 white space before and tabs between", "1.0", &[], |bag| {
            bag.edit_manifests(|text| text.replace("  data", "\t data"));
        }),
        case("M3 spaces within and behind a name are part of it", "1.0", &["W name-not-portable"], |bag| {
            bag.add_payload("data/ x  y ", "odd");
        }),
        case("M4 a checksum in upper case", "1.0", &[], |bag| {
            bag.edit_manifests(|text| {
                text.lines()
                    .map(|line| {
                        let (checksum, path) = line.split_once(' ').unwrap();
                        format!("{} {path}\n", checksum.to_ascii_uppercase())
                    })
                    .collect()
            });
        }),
        case("M4 a checksum that is too short", "1.0", &["E checksum-malformed"], |bag| {
            bag.edit("manifest-md5.txt", |text| text[2..].to_owned());
        }),
        case("M4 a checksum that is not hexadecimal", "1.0", &["E checksum-malformed"], |bag| {
            bag.edit("manifest-md5.txt", |text| format!("zz{}", &text[2..]));
        }),
        case("M4 a backslash does not separate", "1.0", &["E path-outside-payload"], |bag| {
            bag.edit("manifest-md5.txt", |text| format!("{text}{}  data\\a.csv\n", "0".repeat(32)));
        }),
    ];
    check_all(CASES);
}

#[test]
fn what_payload_manifests_must_not_list() {
    const CASES: &[Case] = &[
        case("M5 a file outside data", "1.0", &["E path-outside-payload"], |bag| {
            let line = bag.line(Algorithm::Md5, "bagit.txt");
            bag.edit("manifest-md5.txt", |text| text + &line);
        }),
        case("M5 a directory", "1.0", &["E path-is-directory"], |bag| {
            bag.edit("manifest-md5.txt", |text| format!("{text}{}  data/sub\n", "0".repeat(32)));
        }),
        case("M5 a directory with a slash", "1.0", &["E path-is-directory"], |bag| {
            bag.edit("manifest-md5.txt", |text| format!("{text}{}  data/other/\n", "0".repeat(32)));
        }),
        case("M5 listed twice", "1.0", &["E duplicate-entry"], |bag| {
            let line = bag.line(Algorithm::Md5, "data/a.csv");
            bag.edit("manifest-md5.txt", |text| text + &line);
        }),
        case("M5 listed twice before 1.0", "0.97", &["W duplicate-entry"], |bag| {
            let line = bag.line(Algorithm::Md5, "data/a.csv");
            bag.edit("manifest-md5.txt", |text| text + &line);
        }),
        case(
            "M5 a missing file listed twice",
            "0.97",
            &["W duplicate-entry", "E payload-file-missing"],
            |bag| {
                let line = bag.line(Algorithm::Md5, "data/gone");
                bag.edit("manifest-md5.txt", |text| text + &line + &line);
            },
        ),
    ];
    check_all(CASES);
}

#[test]
fn oddities_of_checksum_tools() {
    const CASES: &[Case] = &[
        case("M7 a comment", "1.0", &["E manifest-comment-line"], |bag| {
            bag.edit("manifest-md5.txt", |text| format!("# made by hand\n{text}"));
        }),
        case("M7 a blank line", "1.0", &["W manifest-blank-line"], |bag| {
            bag.edit("manifest-md5.txt", |text| format!("\n{text}"));
        }),
        case("M7 the marker of md5sum", "1.0", &["W md5sum-binary-marker"], |bag| {
            bag.edit("manifest-md5.txt", |text| text.replace("  data", " *data"));
        }),
        case("M7 ./ before paths", "1.0", &["W path-not-canonical"], |bag| {
            bag.edit("manifest-md5.txt", |text| text.replace("  data", "  ./data"));
        }),
        case(
            "M7 a name escaped by GNU md5sum",
            "1.0",
            &["W gnu-escaped-name", "W name-not-portable"],
            |bag| {
                bag.add_payload("data/x\ny", "odd");
                for algorithm in ALGORITHMS {
                    let sum = crate::bag::digest(algorithm, b"odd");
                    let name = format!("manifest-{algorithm}.txt");
                    bag.edit(&name, |text| {
                        text.replace(&format!("{sum}  data/x\ny"), &format!("{sum}  data/x%0Ay"))
                    });
                }
                let sum = crate::bag::digest(Algorithm::Md5, b"odd");
                bag.edit("manifest-md5.txt", |text| {
                    text.replace(&format!("{sum}  data/x%0Ay"), &format!("\\{sum}  data/x\\ny"))
                });
            },
        ),
    ];
    check_all(CASES);
}

#[test]
fn wrong_checksums() {
    const CASES: &[Case] = &[
        case(
            "M5 conflicting checksums",
            "1.0",
            &["E duplicate-entry-conflict", "E payload-checksum-mismatch"],
            |bag| {
                bag.edit("manifest-md5.txt", |text| format!("{text}{}  data/a.csv\n", "0".repeat(32)));
            },
        ),
        case("a wrong payload checksum", "1.0", &["E payload-checksum-mismatch"], |bag| {
            bag.edit("manifest-md5.txt", |text| format!("{}{}", "0".repeat(32), &text[32..]));
        }),
        case("a wrong byte is found by every manifest", "1.0", &["E payload-checksum-mismatch"; 2], |bag| {
            bag.edit("data/a.csv", |text| text.replace('7', "8"));
        }),
    ];
    check_all(CASES);
}

#[test]
fn percent_signs_are_read_by_the_rules_of_the_version() {
    const CASES: &[Case] = &[
        case("M6 encoded in 1.0", "1.0", &[], |bag| {
            bag.add_payload("data/100%.csv", "odd");
            bag.edit_manifests(|text| text.replace("100%", "100%25"));
        }),
        case("M6 lower-case escapes", "1.0", &["W name-not-portable"], |bag| {
            bag.add_payload("data/x\ry", "odd");
            bag.edit_manifests(|text| text.replace("x\ry", "x%0dy"));
        }),
        case("M6 not encoded in 1.0", "1.0", &["W percent-legacy-name"; 2], |bag| {
            bag.add_payload("data/100%.csv", "odd");
        }),
        case("M6 an escape that is the literal name", "1.0", &["W percent-legacy-name"; 2], |bag| {
            bag.add_payload("data/100%25.csv", "odd");
        }),
        case("M6 both names exist, the encoded one is meant", "1.0", &["E payload-file-unlisted"], |bag| {
            bag.add_payload("data/100%.csv", "odd");
            bag.edit_manifests(|text| text.replace("100%", "100%25"));
            bag.put("data/100%25.csv", "even");
            bag.reoxum();
        }),
        case("M6 other escapes are literal", "1.0", &["W percent-legacy-name"; 2], |bag| {
            bag.add_payload("data/%7Ex", "odd");
        }),
        case("M6 %25 is literal in 0.97", "0.97", &[], |bag| bag.add_payload("data/100%25.csv", "odd")),
        case("M6 %0A is decoded in 0.97", "0.97", &["W name-not-portable"], |bag| {
            bag.add_payload("data/x\ny", "odd");
            bag.edit_manifests(|text| text.replace("x\ny", "x%0Ay"));
        }),
        case("M6 %0A as a literal name in 0.97", "0.97", &["W percent-legacy-name"; 2], |bag| {
            bag.add_payload("data/x%0Ay", "odd");
        }),
        case("M6 nothing is decoded in 0.96", "0.96", &[], |bag| bag.add_payload("data/x%0Ay%25", "odd")),
    ];
    check_all(CASES);
}

#[test]
fn tag_manifests() {
    const CASES: &[Case] = &[
        case("G1 no tag manifests", "1.0", &[], |bag| {
            bag.files.retain(|path, _| !path.starts_with("tagmanifest"));
            bag.sealed = true;
        }),
        case("G1 a payload manifest is not listed", "1.0", &["E tag-manifest-incomplete"; 2], |bag| {
            bag.seal_for_good();
            bag.edit("tagmanifest-md5.txt", without("manifest-md5.txt"));
            bag.edit("tagmanifest-sha256.txt", without("manifest-md5.txt"));
        }),
        case("G1 before 1.0 that is only a remark", "0.97", &["I tag-manifest-incomplete"; 2], |bag| {
            bag.seal_for_good();
            bag.edit("tagmanifest-md5.txt", without("manifest-md5.txt"));
            bag.edit("tagmanifest-sha256.txt", without("manifest-md5.txt"));
        }),
        case("G1 a tag manifest is listed", "1.0", &["E tag-manifest-lists-tag-manifest"], |bag| {
            bag.seal_for_good();
            let line = bag.line(Algorithm::Md5, "tagmanifest-sha256.txt");
            bag.edit("tagmanifest-md5.txt", |text| text + &line);
        }),
        case("G1 a payload file is listed", "1.0", &["E tag-manifest-lists-payload"], |bag| {
            bag.seal_for_good();
            let line = bag.line(Algorithm::Md5, "data/a.csv");
            bag.edit("tagmanifest-md5.txt", |text| text + &line);
        }),
        case("G1 a tag file that no tag manifest lists", "1.0", &["I tag-file-unlisted"], |bag| {
            bag.seal_for_good();
            bag.put("README.txt", "read me");
        }),
        case("G2 other algorithms than the payload", "1.0", &["I tag-manifest-algorithms"], |bag| {
            bag.seal_for_good();
            bag.remove("tagmanifest-md5.txt");
        }),
        case("G2 the tag manifests differ", "1.0", &["W tag-manifests-differ"], |bag| {
            bag.seal_for_good();
            bag.edit("tagmanifest-md5.txt", without("metadata/eml.xml"));
        }),
        case("G3 a listed tag file is missing", "1.0", &["E tag-file-missing"], |bag| {
            bag.seal_for_good();
            bag.remove("metadata/eml.xml");
        }),
        case("G3 a tag file in a directory is corrupt", "1.0", &["E tag-checksum-mismatch"; 2], |bag| {
            bag.seal_for_good();
            bag.edit("metadata/eml.xml", |text| text.replace("eml", "xml"));
        }),
        case("G3 a payload manifest is corrupt", "1.0", &["E tag-checksum-mismatch"; 2], |bag| {
            bag.seal_for_good();
            bag.edit("manifest-md5.txt", |text| text.replacen('\n', "\r\n", 1));
        }),
        case("G2 tag files need only the tag algorithms", "1.0", &["I tag-manifest-algorithms"], |bag| {
            bag.seal_for_good();
            bag.remove("tagmanifest-sha256.txt");
        }),
    ];
    check_all(CASES);
}

fn without(name: &'static str) -> impl Fn(String) -> String {
    move |text| {
        text.split_inclusive('\n').filter(|line| !line.trim_end().ends_with(&format!("  {name}"))).collect()
    }
}

#[test]
fn digests_that_were_not_computed_prove_nothing() {
    let bag = Bag::good("1.0");
    let mut scan = bag.scan(Front::Memory);
    let bytes = &bag.files["data/a.csv"];
    let only_md5 = bagit::Digests::of([Algorithm::Md5].into_iter().collect(), bytes);
    scan.inventory.insert_file("data/a.csv", bytes.len() as u64, only_md5);
    let report = bagit::check(&scan.inventory, &scan.tag_files, &bagit::CheckOptions::default());
    assert_eq!(report.faults.iter().map(crate::graded).collect::<Vec<_>>(), ["E checksum-not-computed"]);
    assert!(report.complete && !report.valid);
}

#[test]
fn required_algorithms_come_from_the_names_alone() {
    let scan = Bag::good("1.0").scan(Front::Memory);
    assert_eq!(bagit::required_algorithms(&scan.tag_files), [Algorithm::Md5, Algorithm::Sha256]);
    check_all(&[in_memory(case("listing nothing twice", "1.0", &["E payload-file-missing"], |bag| {
        list(bag, "data/gone");
    }))]);
}
