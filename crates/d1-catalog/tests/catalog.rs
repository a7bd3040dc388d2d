//! A catalogue holds what the repository holds, and follows its changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bagit::Algorithm;
use d1_catalog::{
    Catalog, CatalogObject, DocumentPlace, Error, ObjectFilter, PackageFilter, PackageKey, SearchQuery,
    UpdateOptions, UpdateReport,
};
use d1_metadata::BoundingBox;
use d1_model::{
    AccessPolicy, AccessRule, Checksum, DateTime, PUBLIC_SUBJECT, Permission, ResourceMapBuilder,
    SystemMetadata,
};
use d1_transfer::{Observer, PushOptions, Silent, push_directory};
use oci_model::{Digest, Tag};
use registry_backend::{MemoryBackend, RegistryBackend};

const EML: &str = "https://eml.ecoinformatics.org/eml-2.2.0";

/// A member of a package.
struct Member {
    pid: &'static str,
    path: &'static str,
    format_id: &'static str,
    content: String,
    obsoletes: Option<&'static str>,
    series: Option<&'static str>,
    public: bool,
    day: u32,
}

fn member(pid: &'static str, path: &'static str, format_id: &'static str, content: &str) -> Member {
    Member {
        pid,
        path,
        format_id,
        content: content.to_owned(),
        obsoletes: None,
        series: None,
        public: true,
        day: 1,
    }
}

fn system_metadata(member: &Member) -> SystemMetadata {
    let digest = Digest::sha256_of(member.content.as_bytes());
    let checksum: Checksum = format!("SHA-256:{}", digest.encoded()).parse().unwrap();
    let size = member.content.len() as u64;
    let mut facts =
        SystemMetadata::new(member.pid.parse().unwrap(), member.format_id, size, checksum, "CN=someone");
    let date = DateTime::from_text(format!("2024-03-{:02}T12:00:00.000+00:00", member.day));
    facts.serial_version = Some(3);
    facts.date_uploaded = Some(date.clone());
    facts.date_modified = Some(date);
    facts.obsoletes = member.obsoletes.map(|pid| pid.parse().unwrap());
    facts.series_id = member.series.map(|sid| sid.parse().unwrap());
    facts.authoritative_member_node = Some("urn:node:TEST".to_owned());
    if member.public {
        let rule =
            AccessRule { subjects: vec![PUBLIC_SUBJECT.to_owned()], permissions: vec![Permission::Read] };
        facts.access_policy = Some(AccessPolicy { rules: vec![rule] });
    }
    facts
}

/// Writes a directory with members, their system metadata and a resource map, and pushes it.
async fn push(backend: &dyn RegistryBackend, tag: &str, map: &str, members: &[Member]) -> Digest {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("package");
    for (number, member) in members.iter().enumerate() {
        write(&root, member.path, member.content.as_bytes());
        let document = system_metadata(member).to_xml().unwrap();
        write(&root, &format!("metadata/sysmeta/{number}.xml"), &document);
    }
    let mut builder =
        ResourceMapBuilder::new(map.parse().unwrap(), "test", DateTime::from_text("2024-03-01T00:00:00Z"));
    let (metadata, data) = members.split_first().unwrap();
    builder.member(&metadata.pid.parse().unwrap());
    for member in data {
        builder.member(&member.pid.parse().unwrap());
        builder.documents(&metadata.pid.parse().unwrap(), &member.pid.parse().unwrap());
    }
    write(&root, "metadata/oai-ore.xml", &builder.build().to_rdf_xml().unwrap());
    let mut options = PushOptions::new(std::env::temp_dir());
    options.tags = vec![tag.parse::<Tag>().unwrap()];
    options.include_private = true;
    push_directory(backend, &root, &options, &silent()).await.unwrap().digest
}

fn write(root: &Path, path: &str, bytes: &[u8]) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn silent() -> Arc<dyn Observer> {
    Arc::new(Silent)
}

struct Place {
    _directory: tempfile::TempDir,
    path: PathBuf,
}

fn place() -> Place {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("catalog.sqlite3");
    Place { _directory: directory, path }
}

async fn update(catalog: &Catalog, backend: &dyn RegistryBackend) -> UpdateReport {
    catalog.update(backend, &UpdateOptions::default(), &silent()).await.unwrap()
}

fn eml(title: &str) -> String {
    format!(
        "<eml:eml xmlns:eml='{EML}' packageId='x' system='y'><dataset><title>{title}</title></dataset></eml:eml>"
    )
}

/// Two versions of a package.
async fn two_versions(backend: &dyn RegistryBackend) -> (Digest, Digest) {
    let first = [
        Member { series: Some("series.1"), ..member("meta.1", "science-metadata.xml", EML, &eml("First")) },
        member("data.1", "data/deep/temperature.csv", "text/csv", "15,7.2\n"),
        Member { public: false, ..member("data.2", "data/salinity.csv", "text/csv", "15,34.9\n") },
    ];
    let second = [
        Member {
            obsoletes: Some("meta.1"),
            series: Some("series.1"),
            day: 2,
            ..member("meta.2", "science-metadata.xml", EML, &eml("Second"))
        },
        Member { day: 3, ..member("data.1", "data/deep/temperature.csv", "text/csv", "15,7.2\n") },
    ];
    (push(backend, "v1", "map.1", &first).await, push(backend, "v2", "map.2", &second).await)
}

fn pids(objects: &[CatalogObject]) -> Vec<&str> {
    objects.iter().map(|object| object.pid.as_str()).collect()
}

#[tokio::test]
async fn objects_are_found_by_identifier_and_series() {
    let (backend, place) = (MemoryBackend::new(), place());
    let (first, second) = two_versions(&backend).await;
    let catalog = Catalog::open(&place.path).unwrap();
    let report = update(&catalog, &backend).await;
    assert_eq!((report.tags, report.added, report.unchanged, report.removed), (2, 2, 0, 0));

    let data = catalog.object("data.1").unwrap().unwrap();
    assert_eq!(data.file.manifest, second, "the copy with the newest system metadata stands for the object");
    assert_eq!((data.file.path.as_str(), data.file.size), ("data/deep/temperature.csv", 7));
    assert_eq!(data.file.sha256(), Digest::sha256_of(b"15,7.2\n").sha256_bytes());
    assert!(data.is_public() && !data.conflict);
    let facts = data.system_metadata.as_ref().unwrap();
    assert_eq!((facts.serial_version, facts.format_id.as_str(), facts.size), (Some(3), "text/csv", 7));
    assert_eq!(facts.authoritative_node.as_deref(), Some("urn:node:TEST"));
    assert_eq!(facts.date_modified.unwrap().to_string(), "2024-03-03T12:00:00Z");
    let Some(DocumentPlace::File(document)) = data.system_metadata_place else { panic!("no document") };
    assert_eq!(document.path, "metadata/sysmeta/1.xml");
    assert_eq!(catalog.copies("data.1").unwrap().len(), 2);

    let old = catalog.object("meta.1").unwrap().unwrap();
    assert_eq!((old.file.manifest, old.obsoleted_by.as_deref()), (first, Some("meta.2")));
    assert_eq!(catalog.object("series.1").unwrap().unwrap().pid, "meta.2");
    assert!(catalog.object_by_pid("series.1").unwrap().is_none());
    assert!(!catalog.object("data.2").unwrap().unwrap().is_public());
    assert!(catalog.object("unknown").unwrap().is_none());

    let relations = catalog.relations("data.1").unwrap();
    assert_eq!(relations.documented_by, ["meta.1", "meta.2"]);
    assert_eq!(relations.resource_maps, ["map.1", "map.2"]);
    assert_eq!(catalog.relations("meta.1").unwrap().documents, ["data.1", "data.2"]);
}

#[tokio::test]
async fn pages_of_objects_are_ordered_and_filtered() {
    let (backend, place) = (MemoryBackend::new(), place());
    two_versions(&backend).await;
    let catalog = Catalog::open(&place.path).unwrap();
    update(&catalog, &backend).await;
    let with_facts = |mut filter: ObjectFilter, start, count| {
        filter.node = Some("urn:node:TEST".to_owned());
        let page = catalog.objects(&filter, start, count).unwrap();
        (page.total, pids(&page.items).join(" "))
    };
    let all = ObjectFilter::default;
    assert_eq!(with_facts(all(), 0, 10), (4, "data.2 meta.1 meta.2 data.1".to_owned()));
    assert_eq!(with_facts(all(), 1, 2), (4, "meta.1 meta.2".to_owned()));
    assert_eq!(with_facts(all(), 9, 2), (4, String::new()));
    let mut filter = all();
    filter.public_only = true;
    filter.from = Some("2024-03-01T12:00:00Z".parse().unwrap());
    filter.to = Some("2024-03-03T12:00:00Z".parse().unwrap());
    assert_eq!(with_facts(filter.clone(), 0, 10), (2, "meta.1 meta.2".to_owned()));
    filter.from = Some("2024-03-01T12:00:00.0001Z".parse().unwrap());
    assert_eq!(with_facts(filter, 0, 10), (1, "meta.2".to_owned()));
    let mut filter = all();
    filter.identifier = Some("series.1".to_owned());
    filter.format_id = Some(EML.to_owned());
    assert_eq!(with_facts(filter.clone(), 0, 10), (2, "meta.1 meta.2".to_owned()));
    filter.format_id = Some("text/csv".to_owned());
    assert_eq!(with_facts(filter, 0, 0), (0, String::new()));
}

#[tokio::test]
async fn packages_directories_and_files_are_listed() {
    let (backend, place) = (MemoryBackend::new(), place());
    let (first, second) = two_versions(&backend).await;
    let catalog = Catalog::open(&place.path).unwrap();
    update(&catalog, &backend).await;
    let package = catalog.package(&PackageKey::Identifier("map.1")).unwrap().unwrap();
    assert_eq!(package.summary.digest, first);
    assert_eq!((package.files, package.tags.as_slice()), (7, ["v1".to_owned()].as_slice()));
    assert!(package.has_system_metadata && !package.is_public);
    for key in [
        PackageKey::Id(package.id),
        PackageKey::Digest(&first),
        PackageKey::Tag { repository: &backend.to_string(), tag: "v1" },
        PackageKey::Identifier("meta.1"),
    ] {
        assert_eq!(catalog.package(&key).unwrap().unwrap(), package, "{key:?}");
    }
    assert_eq!(catalog.package(&PackageKey::Identifier("series.1")).unwrap().unwrap().summary.digest, second);
    let versions = catalog.versions(&package).unwrap();
    let digests: Vec<_> = versions.iter().map(|version| &version.summary.digest).collect();
    assert_eq!(digests, [&first, &second]);
    assert_eq!(catalog.packages_of_object("data.1").unwrap().len(), 2);
    let mut filter = PackageFilter::default();
    assert_eq!(catalog.packages(&filter, 0, 1).unwrap().total, 2);
    (filter.current_only, filter.public_only) = (true, true);
    let current = catalog.packages(&filter, 0, 10).unwrap();
    assert_eq!((current.total, &current.items[0].summary.digest), (1, &second));

    let root = catalog.directory(package.id, "").unwrap().unwrap();
    assert_eq!((root.files, root.bytes), (7, package.bytes));
    let directories = catalog.subdirectories(&root, 0, 10).unwrap();
    let names: Vec<_> =
        directories.items.iter().map(|directory| (&*directory.path, directory.files)).collect();
    assert_eq!(names, [("data", 2), ("metadata", 4)]);
    let here = catalog.files_in(&root, 0, 10).unwrap();
    assert_eq!((here.total, here.items[0].path.as_str()), (1, "science-metadata.xml"));
    let data = catalog.directory(package.id, "data").unwrap().unwrap();
    let below = catalog.files(&data, None, 10).unwrap();
    let paths: Vec<_> = below.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["data/deep/temperature.csv", "data/salinity.csv"]);
    assert_eq!(catalog.files(&data, Some(below[0].id), 10).unwrap(), below[1..]);
    assert_eq!(catalog.files(&root, None, 100).unwrap().len(), 7);
    let file = catalog.file(package.id, "data/salinity.csv").unwrap().unwrap();
    assert_eq!(
        (file.pid.as_deref(), file.media_type.as_str(), file.name()),
        (Some("data.2"), "text/csv", "salinity.csv")
    );
    assert!(catalog.file(package.id, "data").unwrap().is_none());
}

#[tokio::test]
async fn content_is_found_by_hash_and_its_place_is_known() {
    let (backend, place) = (MemoryBackend::new(), place());
    two_versions(&backend).await;
    let catalog = Catalog::open(&place.path).unwrap();
    update(&catalog, &backend).await;
    let sha256 = Digest::sha256_of(b"15,7.2\n").sha256_bytes().unwrap();
    let found = catalog.locations(Algorithm::Sha256, &sha256).unwrap();
    assert_eq!(found.len(), 2);
    catalog.note_crc32(&sha256, 0xdead_beef).unwrap();
    assert_eq!(catalog.locations(Algorithm::Sha256, &sha256).unwrap()[1].crc32, Some(0xdead_beef));
    assert!(catalog.locations(Algorithm::Sha512, &sha256).unwrap().is_empty());
    for file in &found {
        let package = d1_transfer::open_package(&backend, &file.manifest.clone().into()).await.unwrap();
        for range in [None, Some(0..7), Some(2..5), Some(7..7)] {
            let pieces = catalog.pieces(file, range.clone()).unwrap();
            let plan = package.view.read_plan(&file.path, range).unwrap();
            let d1_package::ReadPlan::Pieces(planned) = plan else { panic!("no plan") };
            let expected: Vec<_> = planned
                .pieces
                .into_iter()
                .map(|piece| {
                    (piece.descriptor.digest.clone(), piece.descriptor.size, piece.range, piece.encoding)
                })
                .collect();
            let found: Vec<_> = pieces
                .into_iter()
                .map(|piece| (piece.blob, piece.blob_size, piece.range, piece.encoding))
                .collect();
            assert_eq!(found, expected);
        }
        assert!(matches!(catalog.pieces(file, Some(3..8)), Err(Error::NeedsPackage { .. })));
    }
}

#[tokio::test]
async fn an_update_follows_new_moved_and_removed_tags() {
    let (backend, place) = (MemoryBackend::new(), place());
    let (first, second) = two_versions(&backend).await;
    let catalog = Catalog::open(&place.path).unwrap();
    update(&catalog, &backend).await;
    let generation = catalog.generation().unwrap();
    let again = update(&catalog, &backend).await;
    assert_eq!((again.added, again.unchanged, again.removed), (0, 2, 0));
    assert_eq!(catalog.generation().unwrap(), generation, "an update without changes changes nothing");

    let admin = backend.admin().unwrap();
    admin.delete_tag(&"v2".parse().unwrap()).await.unwrap();
    let raw = backend.read_manifest(&first.clone().into()).await.unwrap();
    backend.write_manifest(&"another".parse::<Tag>().unwrap().into(), &raw).await.unwrap();
    let report = update(&catalog, &backend).await;
    assert_eq!((report.added, report.unchanged, report.removed), (0, 1, 1));
    assert!(catalog.generation().unwrap() > generation);
    assert!(catalog.package(&PackageKey::Digest(&second)).unwrap().is_none());
    assert!(catalog.object("meta.2").unwrap().is_none());
    assert_eq!(catalog.object("data.1").unwrap().unwrap().file.manifest, first);
    assert_eq!(catalog.object("series.1").unwrap().unwrap().pid, "meta.1");
    assert_eq!(catalog.package(&PackageKey::Digest(&first)).unwrap().unwrap().tags.len(), 2);
    let status = catalog.repositories().unwrap();
    assert_eq!((status[0].tags, status[0].packages, status[0].objects), (2, 1, 4));
    assert!(catalog.drop_repository(&backend.to_string()).unwrap());
    assert!(catalog.object("data.1").unwrap().is_none());
    assert!(!catalog.drop_repository("another").unwrap());
}

#[tokio::test]
async fn a_second_object_with_the_same_identifier_is_a_conflict() {
    let (backend, place) = (MemoryBackend::new(), place());
    let honest = [member("data.1", "a.csv", "text/csv", "1\n")];
    let hostile = [Member { day: 9, ..member("data.1", "a.csv", "text/csv", "2\n") }];
    let expected = push(&backend, "honest", "map.1", &honest).await;
    push(&backend, "hostile", "map.2", &hostile).await;
    let catalog = Catalog::open(&place.path).unwrap();
    update(&catalog, &backend).await;
    let object = catalog.object("data.1").unwrap().unwrap();
    assert!(object.conflict);
    assert_eq!(object.file.manifest, expected, "the object that was uploaded first keeps the identifier");
}

fn full_eml() -> String {
    format!(
        r#"<eml:eml xmlns:eml='{EML}' packageId='meta.9'><dataset><title>Sea ice at the mooring</title>
        <creator><individualName><givenName>Åsa</givenName><surName>Nansen</surName></individualName>
        <userId directory='https://orcid.org'>https://orcid.org/0000-0002-1825-0097</userId></creator>
        <abstract><para>Thickness of floes, measured by sonar.</para></abstract>
        <keywordSet><keyword>cryosphere</keyword></keywordSet>
        <coverage><geographicCoverage><geographicDescription>Chukchi Sea</geographicDescription><boundingCoordinates>
        <westBoundingCoordinate>175</westBoundingCoordinate><eastBoundingCoordinate>-165</eastBoundingCoordinate>
        <northBoundingCoordinate>72</northBoundingCoordinate><southBoundingCoordinate>68</southBoundingCoordinate>
        </boundingCoordinates></geographicCoverage><temporalCoverage><rangeOfDates>
        <beginDate><calendarDate>2019-10</calendarDate></beginDate><endDate><calendarDate>2020</calendarDate></endDate>
        </rangeOfDates></temporalCoverage></coverage>
        <dataTable><entityName>floes.csv</entityName><attributeList><attribute><attributeName>draft_m</attributeName>
        <attributeDefinition>Keel depth</attributeDefinition></attribute></attributeList></dataTable></dataset></eml:eml>"#
    )
}

/// Returns the titles of the hits.
fn titles(catalog: &Catalog, query: &SearchQuery) -> Vec<String> {
    let page = catalog.search(query, 0, 10).unwrap();
    assert_eq!(page.total, page.items.len() as u64);
    page.items.into_iter().map(|hit| hit.metadata.title.unwrap_or_default()).collect()
}

fn by_text(text: &str) -> SearchQuery {
    let mut query = SearchQuery::default();
    query.text = Some(text.to_owned());
    query
}

fn by_box(west: f64, south: f64, east: f64, north: f64) -> SearchQuery {
    let mut query = SearchQuery::default();
    query.bbox = Some(BoundingBox { west, south, east, north, description: None });
    query
}

#[tokio::test]
async fn documents_are_found_by_their_content() {
    let (backend, place) = (MemoryBackend::new(), place());
    two_versions(&backend).await;
    let member = member("meta.9", "science-metadata.xml", EML, &full_eml());
    let digest = push(&backend, "ice", "map.9", &[member]).await;
    let catalog = Catalog::open(&place.path).unwrap();
    update(&catalog, &backend).await;
    const ICE: &str = "Sea ice at the mooring";
    for text in [
        "ICE",
        "\"sea ice\"",
        "asa nansen",
        "cryo*",
        "sonar floes",
        "chukchi",
        "draft_m",
        "meta.9",
        "keel -bird",
    ] {
        assert_eq!(titles(&catalog, &by_text(text)), [ICE], "{text}");
    }
    for text in ["\"ice sea\"", "ice -sonar", "cryo", "", "-ice", "NOT", "\"", "title:ice"] {
        assert_eq!(titles(&catalog, &by_text(text)), [""; 0], "{text}");
    }
    assert_eq!(titles(&catalog, &by_box(178.0, 70.0, 179.0, 71.0)), [ICE]);
    assert_eq!(titles(&catalog, &by_box(-170.0, 60.0, -160.0, 69.0)), [ICE]);
    assert_eq!(titles(&catalog, &by_box(170.0, 60.0, -170.0, 80.0)), [ICE]);
    assert!(titles(&catalog, &by_box(-10.0, 60.0, 10.0, 80.0)).is_empty());
    let between = |from: &str, to: &str| {
        let mut query = SearchQuery::default();
        (query.from, query.to) = (Some(from.parse().unwrap()), Some(to.parse().unwrap()));
        titles(&catalog, &query).len()
    };
    assert_eq!(between("2020-12-31", "2022-01-01"), 1);
    assert_eq!(between("2021-01-01", "2022-01-01"), 0);
    assert_eq!(between("2010-01-01", "2019-10-01"), 1);
    assert_eq!(between("2010-01-01", "2019-09-30"), 0);
    let mut query = SearchQuery::default();
    query.creator = Some("nansen".to_owned());
    assert_eq!(titles(&catalog, &query), [ICE]);
    query.creator = Some("https://orcid.org/0000-0002-1825-0097".to_owned());
    assert_eq!(titles(&catalog, &query), [ICE]);
    query.text = Some("bird".to_owned());
    assert!(titles(&catalog, &query).is_empty());

    let hit = catalog.search(&by_text("ice"), 0, 1).unwrap().items.remove(0);
    assert_eq!((hit.package.summary.digest, hit.pid.as_deref()), (digest, Some("meta.9")));
    assert!(hit.score.unwrap() > 0.0);
    let stored = catalog.science_metadata(hit.package.id).unwrap();
    assert_eq!(stored[0].path.as_deref(), Some("science-metadata.xml"));
    assert_eq!(catalog.science_metadata_of("meta.9").unwrap().as_ref(), Some(&stored[0].metadata));
    let mut query = SearchQuery::default();
    assert_eq!(titles(&catalog, &query).len(), 3);
    query.current_only = true;
    assert_eq!(titles(&catalog, &query).len(), 2);

    backend.admin().unwrap().delete_tag(&"ice".parse().unwrap()).await.unwrap();
    update(&catalog, &backend).await;
    assert!(titles(&catalog, &by_text("ice")).is_empty());
    assert!(titles(&catalog, &by_box(-180.0, -90.0, 180.0, 90.0)).is_empty());
}

#[test]
fn other_newer_and_damaged_files_are_refused() {
    let place = place();
    fs::write(&place.path, "not a database, but a text of some length that no one wants to lose").unwrap();
    assert!(matches!(Catalog::open(&place.path), Err(Error::NotACatalog { .. })));
    assert!(fs::read_to_string(&place.path).unwrap().starts_with("not a database"));
    fs::remove_file(&place.path).unwrap();
    assert!(Catalog::open_existing(&place.path).unwrap().is_none());

    drop(Catalog::open(&place.path).unwrap());
    let mut bytes = fs::read(&place.path).unwrap();
    bytes[60..64].copy_from_slice(&99_i32.to_be_bytes());
    fs::write(&place.path, &bytes).unwrap();
    assert!(matches!(Catalog::open(&place.path), Err(Error::Newer { found: 99, .. })));
    bytes[60..64].copy_from_slice(&1_i32.to_be_bytes());
    bytes[4096..].fill(0xff);
    fs::write(&place.path, &bytes).unwrap();
    let damaged = Catalog::open(&place.path).and_then(|catalog| catalog.repositories());
    assert!(matches!(damaged, Err(Error::Damaged { .. })), "{damaged:?}");
}

/// Parquet files say the same as JSON Lines.
#[cfg(feature = "parquet")]
mod parquet_export {
    use bytes::Bytes;
    use d1_catalog::{ExportForm, ExportTable, jiff};
    use parquet::basic::LogicalType;
    use parquet::file::reader::{FileReader as _, SerializedFileReader};
    use parquet::record::Field;
    use serde_json::{Value, json};

    use super::*;

    fn value(column: &str, field: &Field) -> Value {
        match field {
            Field::Null => Value::Null,
            Field::Bool(value) => json!(value),
            Field::Long(value) => json!(value),
            Field::Double(value) => json!(value),
            Field::Str(text) if column == "metadata" => serde_json::from_str(text).unwrap(),
            Field::Str(text) => json!(text),
            Field::TimestampMillis(time) => {
                json!(jiff::Timestamp::from_millisecond(*time).unwrap().to_string())
            }
            other => panic!("expected a value of the export, found {other:?}"),
        }
    }

    fn read(file: Vec<u8>) -> Vec<Value> {
        let reader = SerializedFileReader::new(Bytes::from(file)).unwrap();
        let rows = reader.get_row_iter(None).unwrap().map(|row| {
            let row = row.unwrap();
            let fields = row.get_column_iter().map(|(name, field)| (name.clone(), value(name, field)));
            Value::Object(fields.collect())
        });
        rows.collect()
    }

    #[tokio::test]
    async fn has_the_rows_of_json_lines() {
        let (backend, place) = (MemoryBackend::new(), place());
        two_versions(&backend).await;
        let catalog = Catalog::open(&place.path).unwrap();
        update(&catalog, &backend).await;
        for table in ExportTable::ALL {
            let (mut file, mut lines) = (Vec::new(), Vec::new());
            let count = catalog.export(table, ExportForm::Parquet, &mut file).unwrap();
            assert_eq!(count, catalog.export(table, ExportForm::JsonLines, &mut lines).unwrap());
            let mut rows = read(file);
            let lines = String::from_utf8(lines).unwrap();
            let expected: Vec<Value> =
                lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            assert!(!expected.is_empty(), "{table:?}");
            if table == ExportTable::Documents {
                // The columns of CSV come in addition.
                assert_eq!((&rows[0]["title"], &rows[1]["title"]), (&json!("First"), &json!("Second")));
                for row in &mut rows {
                    row.as_object_mut().unwrap().retain(|name, _| expected[0].get(name).is_some());
                }
            }
            assert_eq!(rows, expected, "{table:?}");
        }
    }

    #[tokio::test]
    async fn has_typed_columns() {
        let (backend, place) = (MemoryBackend::new(), place());
        two_versions(&backend).await;
        let catalog = Catalog::open(&place.path).unwrap();
        update(&catalog, &backend).await;
        let types = |table| {
            let mut file = Vec::new();
            catalog.export(table, ExportForm::Parquet, &mut file).unwrap();
            let reader = SerializedFileReader::new(Bytes::from(file)).unwrap();
            let schema = reader.metadata().file_metadata().schema_descr_ptr();
            let columns = schema.columns().iter().map(|column| {
                let kind = match column.logical_type_ref() {
                    Some(LogicalType::String) => "text".to_owned(),
                    Some(LogicalType::Json) => "json".to_owned(),
                    Some(LogicalType::Timestamp(_)) => "time".to_owned(),
                    _ => column.physical_type().to_string(),
                };
                format!("{} {kind}", column.name())
            });
            columns.filter(|column| !column.ends_with(" text")).collect::<Vec<_>>()
        };
        assert_eq!(
            types(ExportTable::Packages),
            ["stored_bytes INT64", "files INT64", "bytes INT64", "archived BOOLEAN", "public BOOLEAN"]
        );
        assert_eq!(
            types(ExportTable::Objects),
            ["size INT64", "public BOOLEAN", "archived BOOLEAN", "date_uploaded time", "date_modified time"]
        );
        assert_eq!(types(ExportTable::Files), ["size INT64"]);
        assert_eq!(
            types(ExportTable::Documents),
            ["west DOUBLE", "south DOUBLE", "east DOUBLE", "north DOUBLE", "metadata json"]
        );
    }
}
