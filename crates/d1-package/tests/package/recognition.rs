//! Recognising DataONE content: a real package, and what producers and accidents make of others.

use std::collections::BTreeSet;
use std::io::Cursor;
use std::path::Path;

use d1_model::{
    AccessPolicy, AccessRule, Checksum, ChecksumAlgorithm, DateTime, Identifier, Permission,
    RESOURCE_MAP_FORMAT_ID, ResourceMapBuilder, SystemMetadata,
};
use d1_package::{
    Documents, ErrorKind, FormFacts, KnownRecords, ObjectFacts, PackageFiles, PackageOddityCode, PlanOptions,
    read_documents,
};

use crate::support::{Content, sha256, skipped};

const EML: &str = "eml://ecoinformatics.org/eml-2.1.1";

fn documents(content: &Content) -> Documents {
    let listed = content.files.iter().map(|(path, bytes)| (path.as_str(), bytes.len() as u64));
    let mut open = |path: &str| -> std::io::Result<Box<dyn std::io::Read>> {
        Ok(Box::new(Cursor::new(content.files[path].clone())))
    };
    read_documents(listed, content.is_bag, &KnownRecords::new(), &mut open).unwrap()
}

fn recognised(content: &Content) -> (PackageFiles, FormFacts) {
    let documents = documents(content);
    let files = content.package_files_hashed_by(|size| documents.algorithms_for(size));
    let facts = documents.recognise(&files);
    (files, facts)
}

/// Returns the identifier that was found for a path.
fn identifier_of<'a>(found: &'a (PackageFiles, FormFacts), path: &str) -> Option<&'a str> {
    facts_of(found, path)?.identifier.as_ref().map(Identifier::as_str)
}

fn facts_of<'a>((files, facts): &'a (PackageFiles, FormFacts), path: &str) -> Option<&'a ObjectFacts> {
    let position = files.position(path).unwrap_or_else(|| panic!("no file {path}"));
    facts.objects.iter().find(|(file, _)| *file == position).map(|(_, object)| object)
}

/// Returns what was odd, besides departures of documents from their schemas.
fn codes((_, facts): &(PackageFiles, FormFacts)) -> Vec<PackageOddityCode> {
    let codes = facts.oddities.iter().map(|oddity| oddity.code);
    codes.filter(|code| *code != PackageOddityCode::DocumentOddity).collect()
}

fn id(text: &str) -> Identifier {
    text.parse().unwrap()
}

/// Makes system metadata of an object with SHA-256, readable by everybody.
fn metadata(identifier: &str, format_id: &str, bytes: &[u8]) -> SystemMetadata {
    let checksum = Checksum::from_digest(ChecksumAlgorithm::Sha256, &sha256(bytes));
    let mut metadata = SystemMetadata::new(id(identifier), format_id, bytes.len() as u64, checksum, "holder");
    let everybody = AccessRule { subjects: vec!["public".to_owned()], permissions: vec![Permission::Read] };
    metadata.access_policy = Some(AccessPolicy { rules: vec![everybody] });
    metadata
}

fn map(identifier: &str) -> ResourceMapBuilder {
    let modified = DateTime::from_text("2025-11-07T00:00:00.000+00:00");
    ResourceMapBuilder::new(id(identifier), "test", modified)
}

/// A bag of these objects, with system metadata under names that say nothing.
fn bag(objects: &[(&str, &[u8], SystemMetadata)]) -> Content {
    let mut content = Content::bag(objects.iter().map(|(path, bytes, _)| (*path, bytes.to_vec())));
    for (number, (_, _, metadata)) in objects.iter().enumerate() {
        content.files.insert(format!("metadata/sysmeta/{number}"), metadata.to_xml().unwrap());
    }
    content
}

#[test]
fn a_real_package_is_recognised() {
    let samples =
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/samples/dataone/pkg-peggym133"));
    if !samples.exists() {
        skipped("the sample package is not here");
        return;
    }
    let read = |name: &str| std::fs::read(samples.join(name)).unwrap();
    let members = ["data.1.1", "peggym.133.1", "peggym.133.1.resourcemap"];
    let mut content = Content::bag(members.map(|name| (format!("data/{name}"), read(name))));
    for (number, name) in members.iter().enumerate() {
        // The names of system metadata say nothing.
        content.files.insert(format!("metadata/{number}"), read(&format!("{name}.sysmeta.xml")));
    }
    let found = recognised(&content);
    for (name, format_id) in [
        ("data.1.1", "text/csv"),
        ("peggym.133.1", "eml://ecoinformatics.org/eml-2.1.0"),
        ("peggym.133.1.resourcemap", RESOURCE_MAP_FORMAT_ID),
    ] {
        let facts = facts_of(&found, &format!("data/{name}")).unwrap();
        assert_eq!(facts.format_id.as_deref(), Some(format_id), "{name}");
        assert!(facts.declared_checksum.is_some() && facts.system_metadata.is_some(), "{name}");
    }
    assert_eq!(identifier_of(&found, "data/data.1.1"), Some("data.1.1"));
    assert_eq!(found.1.package.identifier.as_ref().map(Identifier::as_str), Some("peggym.133.1"));
    assert!(found.1.package.resource_map.is_some());
    assert!(!found.1.oddities.iter().any(|oddity| oddity.code.is_fault()), "{:?}", found.1.oddities);

    // The facts go into the index and come back from it.
    content.facts = Some(found.1);
    let built = content.build(&PlanOptions::new("pkg"));
    let view = built.view();
    assert_eq!(view.identifier(), Some("peggym.133.1"));
    let entry = view.entry_by_identifier("peggym.133.1").unwrap();
    assert_eq!((entry.path, entry.size), ("data/peggym.133.1", 37_658));
}

#[test]
fn files_without_documents_are_left_alone() {
    let content =
        Content::bag([("data/a.xml", b"<eml:eml xmlns:eml='x'/>".to_vec()), ("data/b", b"b".to_vec())]);
    let documents = documents(&content);
    assert_eq!(documents, Documents::default());
    assert_eq!(documents.recognise(&content.package_files()), FormFacts::default());
}

#[test]
fn only_sizes_that_are_described_are_hashed_by_other_algorithms() {
    let mut described = metadata("a", "text/csv", b"four");
    described.checksum = "MD5:8cd66e2bd48a3ab4d5eb6cd1a4d1f9ee".parse().unwrap();
    let content = bag(&[("data/a", b"four", described)]);
    let documents = documents(&content);
    let names = |size| documents.algorithms_for(size).iter().map(|name| name.name()).collect::<Vec<_>>();
    assert_eq!((names(4), names(5)), (vec!["md5"], vec![]));
}

#[test]
fn the_identifier_is_that_of_the_only_science_metadata() {
    let (data, eml, other) = (b"data".as_slice(), b"<eml/>".as_slice(), b"<eml2/>".as_slice());
    let mut described = metadata("doi:10.1/eml", EML, eml);
    described.series_id = Some(id("series"));
    described.obsoletes = Some(id("doi:10.1/old"));
    let objects = [
        ("data/d.csv", data, metadata("data-1", "text/csv", data)),
        ("metadata/eml.xml", eml, described),
        ("metadata/other.xml", other, metadata("doi:10.1/other", EML, other)),
    ];
    let mut builder = map("map-1").title("Moorings");
    builder.documents(&id("doi:10.1/eml"), &id("data-1"));
    let mut content = bag(&objects[..2]);
    content.files.insert("metadata/oai-ore.xml".to_owned(), builder.clone().build().to_rdf_xml().unwrap());
    let facts = recognised(&content).1.package;
    assert_eq!(facts.identifier, Some(id("doi:10.1/eml")));
    assert_eq!(facts.resource_map, Some(id("map-1")));
    assert_eq!((facts.series_id, facts.obsoletes), (Some(id("series")), Some(id("doi:10.1/old"))));
    assert_eq!(facts.title.as_deref(), Some("Moorings"));

    // With two of them the resource map's identifier counts.
    builder.documents(&id("doi:10.1/other"), &id("data-1"));
    let mut content = bag(&objects);
    content.files.insert("metadata/oai-ore.xml".to_owned(), builder.build().to_rdf_xml().unwrap());
    assert_eq!(recognised(&content).1.package.identifier, Some(id("map-1")));
    // Without a map, it is the only metadata's; with several of them, none.
    assert_eq!(recognised(&bag(&objects[..2])).1.package.identifier, Some(id("doi:10.1/eml")));
    assert_eq!(recognised(&bag(&objects)).1.package.identifier, None);
}

#[test]
fn equal_files_are_told_apart_by_location_then_name_then_identifier() {
    let same = b"same".as_slice();
    let named = |identifier: &str, file_name: Option<&str>| {
        let mut described = metadata(identifier, "text/csv", same);
        described.file_name = file_name.map(str::to_owned);
        described
    };
    let mut content = bag(&[
        ("data/one/x.csv", same, named("id:4", None)),
        ("data/0-duplicate-y_z.csv", same, named("id:3", Some("y z.csv"))),
        ("data/id_2-DATA.csv", same, named("id:2", None)),
        ("data/last", same, named("id:1", Some("no such name"))),
    ]);
    let mut builder = map("map");
    builder.member_at(&id("id:4"), "one/x.csv").member(&id("id:3"));
    content.files.insert("metadata/ore".to_owned(), builder.build().to_rdf_xml().unwrap());
    let found = recognised(&content);
    for (path, expected) in [
        ("data/one/x.csv", "id:4"),
        ("data/0-duplicate-y_z.csv", "id:3"),
        ("data/id_2-DATA.csv", "id:2"),
        ("data/last", "id:1"),
    ] {
        assert_eq!(identifier_of(&found, path), Some(expected), "{path}");
    }
    assert!(!codes(&found).contains(&PackageOddityCode::AmbiguousMatch), "{:?}", found.1.oddities);
}

#[test]
fn what_nothing_tells_apart_is_matched_in_a_stable_order_and_reported() {
    let same = b"same".as_slice();
    let objects = ["id:b", "id:a"].map(|name| metadata(name, "text/csv", same));
    let [first, second] = objects;
    let content = bag(&[("data/x", same, first), ("data/y", same, second)]);
    let found = recognised(&content);
    assert_eq!(identifier_of(&found, "data/x"), Some("id:a"));
    assert_eq!(identifier_of(&found, "data/y"), Some("id:b"));
    assert_eq!(codes(&found), [PackageOddityCode::AmbiguousMatch]);
}

#[test]
fn objects_that_are_not_there_or_not_right_are_reported() {
    let right = b"right".as_slice();
    let mut content = bag(&[("data/good.csv", right, metadata("good", "text/csv", right))]);
    let add = |content: &mut Content, name: &str, described: &SystemMetadata| {
        content.files.insert(format!("metadata/sysmeta/{name}.xml"), described.to_xml().unwrap());
    };
    // Another content under the name that the metadata give.
    let mut changed = metadata("changed", "text/csv", b"before");
    changed.file_name = Some("changed.csv".to_owned());
    content.add("data/changed.csv", "after, and longer");
    add(&mut content, "changed", &changed);
    add(&mut content, "absent", &metadata("absent", "text/csv", b"not here"));
    let mut crc = metadata("crc", "text/csv", b"1234");
    crc.checksum = "CRC32:9be3e0a3".parse().unwrap();
    content.add("data/crc", "1234");
    add(&mut content, "crc", &crc);
    add(&mut content, "repeat", &metadata("good", "text/csv", right));
    content.add(
        "metadata/sysmeta/broken.xml",
        "<d1:systemMetadata xmlns:d1='http://ns.dataone.org/service/types/v1'/>",
    );
    let found = recognised(&content);
    let reported = found.1.oddities.iter().filter(|oddity| oddity.code != PackageOddityCode::DocumentOddity);
    let reported: BTreeSet<(&str, &str)> =
        reported.map(|oddity| (oddity.code.as_str(), &*oddity.path)).collect();
    let expected = [
        ("fixity-mismatch", "data/changed.csv"),
        ("object-missing", "metadata/sysmeta/absent.xml"),
        ("repeated-identifier", "metadata/sysmeta/repeat.xml"),
        ("unreadable-document", "metadata/sysmeta/broken.xml"),
        ("unverifiable-checksum", "data/crc"),
    ];
    assert_eq!(reported, BTreeSet::from(expected));
    assert_eq!(identifier_of(&found, "data/changed.csv"), None);
    assert_eq!(identifier_of(&found, "data/crc"), Some("crc"));
    let faults: Vec<_> = found.1.oddities.iter().filter(|oddity| oddity.code.is_fault()).collect();
    assert_eq!(faults.len(), 1);
    assert!(faults[0].message.contains("6 bytes"), "{}", faults[0]);
}

#[test]
fn a_rewritten_resource_map_is_known_by_what_it_says() {
    let data = b"data".as_slice();
    let mut builder = map("map-1");
    builder.member(&id("data-1"));
    let mut content = bag(&[("data/d.csv", data, metadata("data-1", "text/csv", data))]);
    content.files.insert("metadata/oai-ore.xml".to_owned(), builder.build().to_rdf_xml().unwrap());
    let described = metadata("map-1", RESOURCE_MAP_FORMAT_ID, b"the map as it was uploaded");
    content.files.insert("metadata/sysmeta/map".to_owned(), described.to_xml().unwrap());
    let found = recognised(&content);
    let facts = facts_of(&found, "metadata/oai-ore.xml").unwrap();
    assert_eq!(facts.identifier, Some(id("map-1")));
    assert_eq!(facts.declared_checksum, None);
    assert_eq!(codes(&found), [PackageOddityCode::ResourceMapRewritten]);
}

#[test]
fn a_package_without_system_metadata_is_known_by_its_resource_map() {
    let mut content = Content::bag([("data/sub/d.csv", b"data".to_vec())]);
    let mut builder = map("map-1");
    builder.documents(&id("eml-1"), &id("data-1"));
    builder.member_at(&id("data-1"), "data/sub/d.csv");
    content.files.insert("metadata/oai-ore.xml".to_owned(), builder.build().to_rdf_xml().unwrap());
    let found = recognised(&content);
    assert_eq!(identifier_of(&found, "data/sub/d.csv"), Some("data-1"));
    assert_eq!(identifier_of(&found, "metadata/oai-ore.xml"), Some("map-1"));
    assert_eq!(found.1.package.identifier, Some(id("eml-1")));
    assert_eq!(codes(&found), [PackageOddityCode::MemberMissing]);
}

#[test]
fn of_nested_resource_maps_the_outer_one_is_the_packages() {
    let mut content = Content::bag([("data/x", b"x".to_vec())]);
    let maps = |content: &mut Content, name: &str, identifier: &str, member: &str| {
        let mut builder = map(identifier);
        builder.member(&id(member));
        content.files.insert(format!("metadata/{name}.rdf"), builder.build().to_rdf_xml().unwrap());
    };
    maps(&mut content, "a", "inner", "x");
    maps(&mut content, "b", "outer", "inner");
    let found = recognised(&content);
    assert_eq!(found.1.package.resource_map, Some(id("outer")));
    assert!(!codes(&found).contains(&PackageOddityCode::SeveralResourceMaps));
    maps(&mut content, "c", "beside", "x");
    let found = recognised(&content);
    assert_eq!(found.1.package.resource_map, Some(id("outer")));
    assert!(codes(&found).contains(&PackageOddityCode::SeveralResourceMaps));
}

#[test]
fn system_metadata_beside_the_data_are_found_too() {
    // As GMN packs them; the resource map is found by the size that its system metadata give.
    let mut builder = map("map-1");
    builder.member(&id("data-1"));
    let rdf = builder.build().to_rdf_xml().unwrap();
    let data = b"data".to_vec();
    let content = Content::bag([
        ("data/d.csv".to_owned(), data.clone()),
        ("data/d.csv.sysmeta.xml".to_owned(), metadata("data-1", "text/csv", &data).to_xml().unwrap()),
        ("data/map".to_owned(), rdf.clone()),
        (
            "data/map.sysmeta.xml".to_owned(),
            metadata("map-1", RESOURCE_MAP_FORMAT_ID, &rdf).to_xml().unwrap(),
        ),
    ]);
    let found = recognised(&content);
    assert_eq!(identifier_of(&found, "data/d.csv"), Some("data-1"));
    assert_eq!(found.1.package.resource_map, Some(id("map-1")));
    assert_eq!(codes(&found), []);
}

#[test]
fn objects_that_not_everybody_may_read_are_named() {
    let mut hidden = metadata("hidden", "text/csv", b"data");
    hidden.access_policy = None;
    let content =
        bag(&[("data/d", b"data", hidden), ("data/e", b"open", metadata("open", "text/csv", b"open"))]);
    assert_eq!(recognised(&content).1.not_public, [id("hidden")]);
}

#[test]
fn a_document_that_changes_before_it_is_hashed_is_a_fault() {
    let mut content = bag(&[("data/d", b"data", metadata("d", "text/csv", b"data"))]);
    let documents = documents(&content);
    content.add("metadata/sysmeta/0", "something else");
    let facts = documents.recognise(&content.package_files());
    assert!(facts.oddities.iter().any(|oddity| oddity.code == PackageOddityCode::DocumentChanged));
}

#[test]
fn what_was_not_hashed_is_not_called_wrong() {
    let mut described = metadata("a", "text/csv", b"four");
    described.checksum = "MD5:8cd66e2bd48a3ab4d5eb6cd1a4d1f9ee".parse().unwrap();
    let content = bag(&[("data/a", b"four", described)]);
    let files = content.package_files();
    let found = (files.clone(), documents(&content).recognise(&files));
    assert_eq!(codes(&found), [PackageOddityCode::UnverifiableChecksum]);
    assert_eq!(identifier_of(&found, "data/a"), Some("a"));
    assert_eq!(facts_of(&found, "data/a").unwrap().declared_checksum, None);
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let mut open = |_: &str| -> std::io::Result<Box<dyn std::io::Read>> { Err(std::io::Error::other("no")) };
    let error = read_documents([("metadata/x", 4)], true, &KnownRecords::new(), &mut open).unwrap_err();
    assert_eq!((error.kind(), error.subject()), (ErrorKind::Read, "metadata/x"));
}

#[test]
fn the_state_of_a_package_is_annotated() {
    let data = b"1,2\n";
    let mut described = metadata("doi:10.1/a", EML, b"<eml/>");
    described.archived = Some(true);
    described.obsoleted_by = Some(id("doi:10.1/b"));
    let mut private = metadata("data.1", "text/csv", data);
    private.access_policy = None;
    let mut map = map("map.1");
    map.documents(&id("doi:10.1/a"), &id("data.1"));
    let mut content = bag(&[("data/eml.xml", b"<eml/>", described), ("data/a.csv", data, private)]);
    content.files.insert("metadata/map.xml".to_owned(), map.build().to_rdf_xml().unwrap());
    let (_, facts) = recognised(&content);
    content.facts = Some(facts);
    let built = content.build(&PlanOptions::new("dir"));
    for (key, value) in [
        ("org.dataone.archived", Some("true")),
        ("org.dataone.obsoleted-by", Some("doi:10.1/b")),
        ("org.dataone.not-public", Some("1")),
    ] {
        assert_eq!(built.manifest.annotations.get(key).map(String::as_str), value, "{key}");
    }
}

#[test]
fn a_mislabelled_checksum_is_no_fault_of_the_file() {
    let data = b"1,2\n";
    let mut mislabelled = metadata("data.1", "text/csv", data);
    mislabelled.checksum = Checksum::new(ChecksumAlgorithm::Md5, "0".repeat(40));
    let sha1: bagit::AlgorithmSet = [bagit::Algorithm::Sha1].into_iter().collect();
    mislabelled.file_name = Some("a.csv".to_owned());
    let wrong = bag(&[("data/a.csv", data, mislabelled.clone())]);
    assert_eq!(documents(&wrong).algorithms_for(data.len() as u64), sha1);
    assert_eq!(codes(&recognised(&wrong)), [PackageOddityCode::FixityMismatch]);
    let digest = bagit::Digests::of(sha1, data).hex(bagit::Algorithm::Sha1).unwrap();
    mislabelled.checksum = Checksum::new(ChecksumAlgorithm::Md5, digest);
    let found = recognised(&bag(&[("data/a.csv", data, mislabelled)]));
    assert_eq!(codes(&found), [PackageOddityCode::UnverifiableChecksum]);
    assert!(
        found.1.oddities.iter().any(|oddity| oddity.message.contains("only the algorithm's name is wrong"))
    );
    // The file has its identifier, and states no checksum that it does not have.
    let facts = facts_of(&found, "data/a.csv").unwrap();
    assert_eq!((facts.identifier.as_ref(), facts.declared_checksum.as_ref()), (Some(&id("data.1")), None));
}
