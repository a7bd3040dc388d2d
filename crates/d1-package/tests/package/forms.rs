//! The forms of a directory: which one it has, and the facts and faults of RO-Crates.

use std::collections::BTreeMap;
use std::io::Cursor;

use bagit::{Algorithm, AlgorithmSet, CheckOptions, TagFiles};
use d1_package::{Form, FormFacts, PackageFacts, PackageOddityCode, RO_CRATE_ARTIFACT_TYPE, Survey};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::Content;

const DOCUMENT: &str = "ro-crate-metadata.json";

/// A crate of two files in the form of RO-Crate 1.2.
fn complete() -> Value {
    json!({
        "@context": "https://w3id.org/ro/crate/1.2/context",
        "@graph": [
            { "@id": "ro-crate-metadata.json", "@type": "CreativeWork", "about": { "@id": "./" },
              "conformsTo": { "@id": "https://w3id.org/ro/crate/1.2" } },
            { "@id": "./", "@type": ["Dataset", "LearningResource"], "name": "Moorings\n of 2024", "description": "Temperatures",
              "datePublished": "2024-05-06", "license": { "@id": "https://creativecommons.org/licenses/by/4.0/" },
              "identifier": { "@id": "https://doi.org/10.5072/A2MOORING" },
              "author": [{ "@id": "https://orcid.org/0000-0000-0000-0001" }, "A. N. Other"],
              "hasPart": [{ "@id": "a%20b.csv" }, { "@id": "raw/" }] },
            { "@id": "https://orcid.org/0000-0000-0000-0001", "@type": "Person", "name": "Ada" },
            { "@id": "a%20b.csv", "@type": "File", "encodingFormat": ["text/csv; header=present", { "@id": "https://x/y" }],
              "contentSize": "3", "md5": "900150983CD24FB0D6963F7D28E17F72" },
            { "@id": "raw/", "@type": "Dataset", "hasPart": { "@id": "./raw/c.bin" } },
            { "@id": "./raw/c.bin", "@type": "File", "encodingFormat": "application/x-netcdf", "contentSize": 1,
              "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
            { "@id": "https://example.org/far.csv", "@type": "File" }
        ]
    })
}

/// A directory, or with a prefix of `data/` the payload of a bag, with these files and this crate.
fn content(prefix: &str, document: &str, files: &[(&str, &str)]) -> Content {
    let mut all: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    all.insert(format!("{prefix}{DOCUMENT}"), document.into());
    all.extend(files.iter().map(|(path, text)| (format!("{prefix}{path}"), (*text).into())));
    if prefix.is_empty() { Content::plain(all) } else { Content::bag(all) }
}

fn survey(content: &Content) -> Survey {
    let listed = content.files.iter().map(|(path, bytes)| (path.as_str(), bytes.len() as u64));
    let mut open = |path: &str| -> std::io::Result<Box<dyn std::io::Read>> {
        Ok(Box::new(Cursor::new(content.files[path].clone())))
    };
    Survey::read(listed, &mut open).unwrap()
}

fn facts(content: &Content, survey: &Survey) -> FormFacts {
    survey.facts(&content.package_files_hashed_by(|_| survey.algorithms()))
}

/// Returns the code and the path of each problem.
fn problems(content: &Content) -> Vec<(PackageOddityCode, String)> {
    let survey = survey(content);
    let files = content.package_files_hashed_by(|_| survey.algorithms());
    let mut inventory = bagit::Inventory::new();
    for file in files.files() {
        inventory.insert_file(file.path, file.size, file.digests());
    }
    let validation = survey.validate(&inventory, &TagFiles::default(), &CheckOptions::default());
    validation.oddities.into_iter().map(|oddity| (oddity.code, oddity.path.into_string())).collect()
}

const FILES: [(&str, &str); 2] = [("a b.csv", "abc"), ("raw/c.bin", "c")];

#[test]
fn the_form_follows_from_the_files() {
    assert_eq!(Form::of(["a", "data/ro-crate-metadata.json"]), Form::Directory);
    assert_eq!(Form::of(["ro-crate-metadata.json", "a"]), Form::RoCrate);
    assert_eq!(Form::of(["ro-crate-metadata.json", "bagit.txt"]), Form::Bag);
    assert_eq!(Form::of(["data/bagit.txt"]), Form::Directory);
}

#[test]
fn a_crate_supplies_the_facts_of_its_package() {
    for prefix in ["", "data/"] {
        let mut document = complete();
        document["@graph"][5]["sha256"] = Value::Null;
        let content = content(prefix, &document.to_string(), &FILES);
        let survey = survey(&content);
        assert_eq!(survey.form(), if prefix.is_empty() { Form::RoCrate } else { Form::Bag });
        let md5: AlgorithmSet = [Algorithm::Md5].into_iter().collect();
        assert_eq!(survey.algorithms(), md5);
        let found = facts(&content, &survey);
        let expected = PackageFacts {
            form: survey.form(),
            identifier: Some("doi:10.5072/A2MOORING".parse().unwrap()),
            title: Some("Moorings of 2024".to_owned()),
            spdx_license: Some("CC-BY-4.0".to_owned()),
            license: Some("https://creativecommons.org/licenses/by/4.0/".to_owned()),
            authors: Some("Ada (https://orcid.org/0000-0000-0000-0001), A. N. Other".to_owned()),
            ..PackageFacts::default()
        };
        assert_eq!(found.package, expected);
        assert_eq!(found.published.as_deref(), Some("2024-05-06T00:00:00Z"));
        let files = content.package_files();
        let types: Vec<_> = found
            .objects
            .iter()
            .map(|(position, object)| {
                (files.file(*position).unwrap().path, object.media_type.as_ref().unwrap().as_str())
            })
            .collect();
        let [first, second] = [format!("{prefix}a b.csv"), format!("{prefix}raw/c.bin")];
        assert_eq!(types, [(first.as_str(), "text/csv"), (second.as_str(), "application/x-netcdf")]);
        assert_eq!(problems(&content), []);
    }
}

#[test]
fn the_package_of_a_crate_states_its_facts() {
    let mut content = content("", &complete().to_string(), &FILES);
    let survey = survey(&content);
    let FormFacts { package, objects, .. } = facts(&content, &survey);
    content.form_facts = Some((package, objects));
    let built = content.build(&d1_package::PlanOptions::new("dir"));
    let artifact_type = built.package.facts.artifact_type();
    assert_eq!(artifact_type.as_str(), RO_CRATE_ARTIFACT_TYPE);
    let annotations: Vec<_> =
        built.manifest.annotations.iter().map(|(key, value)| (&**key, &**value)).collect();
    assert_eq!(
        annotations,
        [
            ("org.dataone.identifier", "doi:10.5072/A2MOORING"),
            ("org.dataone.license", "https://creativecommons.org/licenses/by/4.0/"),
            ("org.opencontainers.image.authors", "Ada (https://orcid.org/0000-0000-0000-0001), A. N. Other"),
            ("org.opencontainers.image.description", "Moorings of 2024"),
            ("org.opencontainers.image.licenses", "CC-BY-4.0"),
        ]
    );
    // The media type is that of the layer, and comes back from the index.
    let view = built.view();
    let entry = view.entry("raw/c.bin").unwrap();
    assert_eq!(entry.object.unwrap().media_type.as_ref().unwrap().as_str(), "application/x-netcdf");
    let layer =
        built.manifest.layers.iter().find(|layer| layer.media_type.as_str() == "application/x-netcdf");
    assert!(layer.is_some());
}

#[test]
fn each_problem_is_reported_once() {
    use PackageOddityCode as Code;
    let whole = |change: &dyn Fn(&mut Value), files: &[(&str, &str)]| {
        let mut document = complete();
        document["@graph"][5]["sha256"] = Value::Null;
        change(&mut document);
        problems(&content("", &document.to_string(), files))
    };
    let told = |code: Code, path: &str| vec![(code, path.to_owned())];
    assert_eq!(whole(&|_| {}, &FILES), []);
    let root = |field: &'static str| {
        move |document: &mut Value| _ = document["@graph"][1].as_object_mut().unwrap().remove(field)
    };
    for field in ["name", "description", "datePublished", "license"] {
        assert_eq!(whole(&root(field), &FILES), told(Code::CrateProperty, DOCUMENT), "{field}");
    }
    let extra = [FILES[0], FILES[1], ("notes.txt", "x")];
    assert_eq!(whole(&|_| {}, &extra), told(Code::CrateFileUndescribed, "notes.txt"));
    let preview = [FILES[0], FILES[1], ("ro-crate-preview.html", "x"), ("raw/more.bin", "x")];
    assert_eq!(whole(&|_| {}, &preview), []);
    assert_eq!(whole(&|_| {}, &FILES[1..]), told(Code::CratePart, DOCUMENT));
    let unlinked = |document: &mut Value| document["@graph"][1]["hasPart"] = json!([{ "@id": "raw/" }]);
    assert_eq!(whole(&unlinked, &FILES), told(Code::CratePartUnlinked, "a b.csv"));
    let size = |document: &mut Value| document["@graph"][3]["contentSize"] = json!("4");
    assert_eq!(whole(&size, &FILES), told(Code::CrateSize, "a b.csv"));
    let outside =
        |document: &mut Value| document["@graph"][4]["hasPart"] = json!(["raw/c.bin", "../../etc/passwd"]);
    assert_eq!(whole(&outside, &FILES), told(Code::CratePart, DOCUMENT));
    let checksum = |document: &mut Value| document["@graph"][3]["sha1"] = json!("00");
    let found = whole(&checksum, &FILES);
    assert_eq!(found, told(Code::CrateChecksum, "a b.csv"));
    assert!(found[0].0.is_fault());
    for version in [json!("https://w3id.org/ro/crate/9.9"), Value::Null] {
        let change = |document: &mut Value| document["@graph"][0]["conformsTo"] = version.clone();
        assert_eq!(whole(&change, &FILES), told(Code::CrateProperty, DOCUMENT));
    }
}

#[test]
fn a_document_that_is_not_a_crate_is_reported_and_the_directory_is_still_one() {
    let deep = "[".repeat(100_000);
    let no_root = r#"{"@graph":[{"@id":"ro-crate-metadata.json","about":{"@id":"./"}}]}"#;
    let loops = r#"{"@graph":[{"@id":"ro-crate-metadata.json","about":"./"},{"@id":"./","@type":"Dataset",
        "hasPart":["./","x/"]},{"@id":"x/","@type":"Dataset","hasPart":["./","x/"]}]}"#;
    for document in ["", "{}", "[]", "null", r#"{"@graph":[]}"#, r#"{"@graph":{}}"#, no_root, &deep, "\u{0}"]
    {
        let content = content("", document, &[]);
        let found = problems(&content);
        assert_eq!(found, [(PackageOddityCode::CrateUnreadable, DOCUMENT.to_owned())], "{document:.20}");
        let found = facts(&content, &survey(&content));
        assert_eq!(found.package, PackageFacts { form: Form::RoCrate, ..PackageFacts::default() });
    }
    assert!(
        !problems(&content("", loops, &[]))
            .iter()
            .any(|(code, _)| *code == PackageOddityCode::CrateUnreadable)
    );
}

#[test]
fn licences_are_spdx_only_where_their_address_says_so() {
    let license = |license: Value| {
        let mut document = complete();
        document["@graph"][1]["license"] = license;
        let content = content("", &document.to_string(), &FILES);
        let found = facts(&content, &survey(&content)).package;
        (found.spdx_license, found.license)
    };
    let spdx = |license: &str| (Some(license.to_owned()), true);
    for (stated, expected) in [
        ("http://spdx.org/licenses/CC0-1.0", spdx("CC0-1.0")),
        ("https://spdx.org/licenses/MIT.html", spdx("MIT")),
        ("https://creativecommons.org/publicdomain/zero/1.0/", spdx("CC0-1.0")),
        ("https://creativecommons.org/licenses/by-nc-sa/3.0/au/", (None, true)),
        ("CC-BY", (None, true)),
        ("https://spdx.org/licenses/a b", (None, true)),
    ] {
        let (found, text) = license(json!({ "@id": stated }));
        assert_eq!((found, text.is_some()), expected, "{stated}");
    }
    let both =
        json!([{ "@id": "https://spdx.org/licenses/MIT" }, { "@id": "http://spdx.org/licenses/Apache-2.0" }]);
    assert_eq!(license(both).0.as_deref(), Some("MIT AND Apache-2.0"));
}

#[test]
fn dataone_documents_say_more_than_a_crate() {
    let mut content = content("data/", &complete().to_string(), &FILES);
    let before = facts(&content, &survey(&content)).package.title;
    let modified = d1_model::DateTime::from_text("2025-11-07T00:00:00.000+00:00");
    let mut map = d1_model::ResourceMapBuilder::new("map.1".parse().unwrap(), "test", modified);
    map.member(&"a.1".parse().unwrap());
    content.files.insert("metadata/map.xml".to_owned(), map.build().to_rdf_xml().unwrap());
    let found = facts(&content, &survey(&content)).package;
    assert_eq!((before.is_some(), found.title, found.license), (true, None, None));
    assert_eq!(found.identifier.unwrap().as_str(), "map.1");
}

#[test]
fn the_payload_of_a_bag_that_is_made_keeps_its_facts() {
    let plain = content("", &complete().to_string(), &FILES);
    let survey = survey(&plain).into_payload();
    let bag = content("data/", &complete().to_string(), &FILES);
    let found = facts(&bag, &survey);
    assert_eq!((found.package.form, found.objects.len()), (Form::Bag, 2));
}

proptest! {
    #[test]
    fn any_json_is_read_without_panic(text in "[\\[\\]{}\",:@a-z0-9./# -]{0,200}", position in any::<prop::sample::Index>(), byte in any::<u8>()) {
        _ = survey(&content("", &text, &[]));
        let mut damaged = complete().to_string().into_bytes();
        let at = position.index(damaged.len());
        damaged[at] = byte;
        let mut broken = content("", "", &FILES);
        broken.files.insert(DOCUMENT.to_owned(), damaged);
        let survey = survey(&broken);
        let files = broken.package_files_hashed_by(|_| survey.algorithms());
        let found = survey.facts(&files);
        prop_assert!(found.objects.iter().all(|(position, _)| *position < files.len()));
    }

    #[test]
    fn properties_of_any_shape_are_read(values in proptest::collection::vec(shape(), 6)) {
        let mut document = complete();
        let fields = ["name", "license", "author", "hasPart", "identifier", "datePublished"];
        for (field, value) in fields.into_iter().zip(values) {
            document["@graph"][1][field] = value;
        }
        let content = content("", &document.to_string(), &FILES);
        prop_assert!(problems(&content).iter().all(|(code, _)| *code != PackageOddityCode::CrateUnreadable));
        let found = facts(&content, &survey(&content)).package;
        for text in [found.title, found.license, found.authors, found.spdx_license].into_iter().flatten() {
            prop_assert!(text.len() <= 4096 && !text.contains(char::is_control), "{}", text);
        }
    }
}

/// Any value that a property may have.
fn shape() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,40}".prop_map(Value::from),
        "[a-z./#:%]{0,12}".prop_map(|id| json!({ "@id": id })),
        "\\PC{1000,1500}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("@?[a-z]{1,5}", inner, 0..4)
                .prop_map(|map| map.into_iter().collect()),
        ]
    })
}

#[test]
fn a_crate_that_is_too_large_is_not_read() {
    let large = format!("{{\"@graph\":[\"{}\"]}}", "x".repeat(17 << 20));
    assert_eq!(
        problems(&content("", &large, &[])),
        [(PackageOddityCode::CrateUnreadable, DOCUMENT.to_owned())]
    );
    let many = format!("{{\"@graph\":[{}{{}}]}}", "{},".repeat(200_001));
    assert_eq!(
        problems(&content("", &many, &[])),
        [(PackageOddityCode::CrateUnreadable, DOCUMENT.to_owned())]
    );
}
