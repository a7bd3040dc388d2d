//! Packages and objects are found again by what is known of them.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use bagit::Algorithm;
use d1_catalog::{
    ArtifactKind, Catalog, CatalogedRepository, Error, Found, History, Purpose, Query, UpdateOptions,
    check_identifier, find, history, locate, parse_time,
};
use d1_model::Identifier;
use d1_package::annotations::{D1_IDENTIFIER, D1_OBSOLETES, D1_SERIES_ID};
use d1_package::{ObjectFacts, SingleFile, SingleFileOptions, single_files_manifest};
use d1_transfer::{Event, Observer, PushOptions, Silent, push_directory};
use futures::TryStreamExt;
use oci_model::annotations::{CREATED, DESCRIPTION};
use oci_model::{Digest, ManifestRef, Tag};
use registry_backend::{BytesSource, ErrorKind, MemoryBackend, RegistryBackend, WriteHint};
use registry_conformance::{CountingBackend, Fault, FaultAction, FaultyBackend, Operation};

fn memory() -> Arc<MemoryBackend> {
    Arc::new(MemoryBackend::new())
}

fn silent() -> Arc<dyn Observer> {
    Arc::new(Silent)
}

fn tag(name: &str) -> Tag {
    name.parse().unwrap()
}

fn at(name: &str) -> ManifestRef {
    ManifestRef::Tag(tag(name))
}

/// Notes every warning.
#[derive(Default)]
struct Listener(Mutex<Vec<String>>);

impl Listener {
    fn new() -> Arc<Self> {
        Arc::default()
    }

    fn observer(self: &Arc<Self>) -> Arc<dyn Observer> {
        Arc::clone(self) as _
    }

    fn warnings(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Observer for Listener {
    fn event(&self, event: &Event<'_>) {
        if let Event::Warning(text) = event {
            self.0.lock().unwrap().push((*text).to_owned());
        }
    }
}

fn id(text: &str) -> Identifier {
    text.parse().unwrap()
}

/// Annotations of a package.
#[derive(Clone, Copy, Default)]
struct Facts<'a> {
    tag: Option<&'a str>,
    identifier: Option<&'a str>,
    obsoletes: Option<&'a str>,
    series: Option<&'a str>,
    title: Option<&'a str>,
    created: Option<&'a str>,
}

/// Pushes a package of one file with these annotations, under the identifier's tag or the one that is given.
async fn package(backend: &dyn RegistryBackend, content: &str, facts: Facts<'_>) -> Digest {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("p");
    std::fs::create_dir(&directory).unwrap();
    std::fs::write(directory.join("data.csv"), content).unwrap();
    let mut options = PushOptions::new(std::env::temp_dir());
    let named = facts.identifier.map(|identifier| id(identifier).tag());
    options.tags = facts.tag.map(str::to_owned).or(named).iter().map(|name| tag(name)).collect();
    let annotations = [
        (D1_IDENTIFIER, facts.identifier),
        (D1_OBSOLETES, facts.obsoletes),
        (D1_SERIES_ID, facts.series),
        (DESCRIPTION, facts.title),
        (CREATED, facts.created),
    ];
    options.annotations = annotations
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?.to_owned())))
        .collect();
    push_directory(backend, &directory, &options, &silent()).await.unwrap().digest
}

/// A version of a package, and the one before it.
fn version<'a>(identifier: &'a str, obsoletes: Option<&'a str>) -> Facts<'a> {
    Facts { identifier: Some(identifier), obsoletes, ..Facts::default() }
}

/// Stores an artifact of objects with identifiers and formats.
async fn objects(
    backend: &dyn RegistryBackend,
    name: &str,
    members: &[(&str, &str)],
    of: Facts<'_>,
) -> Digest {
    let mut files = Vec::new();
    for (identifier, format_id) in members {
        let source = BytesSource::new(format!("content of {identifier}"));
        let object = ObjectFacts {
            identifier: Some(id(identifier)),
            format_id: Some((*format_id).into()),
            ..ObjectFacts::default()
        };
        files.push(SingleFile {
            title: format!("{identifier}.csv"),
            media_type: None,
            digest: registry_backend::BlobSource::digest(&source).clone(),
            size: registry_backend::BlobSource::size(&source),
            object,
        });
        backend.write_blob(&source, &WriteHint::default()).await.unwrap();
    }
    backend.write_blob(&BytesSource::new("{}"), &WriteHint::default()).await.unwrap();
    let mut options = SingleFileOptions::default();
    let annotations = [(D1_IDENTIFIER, of.identifier), (D1_OBSOLETES, of.obsoletes)];
    options.annotations = annotations
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?.to_owned())))
        .collect();
    let manifest = single_files_manifest(&files, &options).unwrap();
    backend.write_manifest(&at(name), &manifest).await.unwrap();
    manifest.digest().clone()
}

/// A catalogue in a directory of its own.
struct Catalogue {
    catalog: Catalog,
    _place: tempfile::TempDir,
}

impl Catalogue {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        Self { catalog: Catalog::open(&place.path().join("catalog.sqlite3")).unwrap(), _place: place }
    }

    fn of<'a>(&'a self, backend: &'a dyn RegistryBackend) -> CatalogedRepository<'a> {
        CatalogedRepository { catalog: &self.catalog, backend, name: "test" }
    }
}

/// Searches the repository and a catalogue of it, and compares the results and warnings.
async fn found(backend: &dyn RegistryBackend, change: impl FnOnce(&mut Query)) -> Vec<Found> {
    let mut query = Query::default();
    change(&mut query);
    let found: Vec<_> = find(backend, &query, &silent()).try_collect().await.unwrap();
    let (catalogue, mut cataloged) = (Catalogue::new(), Vec::new());
    let each = &mut |next| {
        cataloged.push(next);
        ControlFlow::Continue(())
    };
    catalogue.of(backend).find(&query, &silent(), each).await.unwrap();
    assert_eq!(cataloged, found, "{query:?}");
    found
}

fn tags(found: &[Found]) -> Vec<&str> {
    found.iter().map(|found| found.artifact.tag.as_str()).collect()
}

async fn some_packages() -> Arc<MemoryBackend> {
    let backend = memory();
    let facts = Facts {
        identifier: Some("doi:10.5072/A1"),
        title: Some("Mooring in the Bering Strait"),
        created: Some("2020-06-01T00:00:00Z"),
        ..Facts::default()
    };
    package(&*backend, "1", facts).await;
    let facts = Facts {
        identifier: Some("doi:10.5072/A2"),
        title: Some("Snow depth"),
        created: Some("2021-06-01"),
        series: Some("snow"),
        ..Facts::default()
    };
    package(&*backend, "2", facts).await;
    objects(&*backend, "three", &[("a.1", "text/csv"), ("b.1", "text/plain")], Facts::default()).await;
    objects(&*backend, "single", &[("c.1", "text/csv")], Facts::default()).await;
    backend
}

#[tokio::test]
async fn without_a_question_every_artifact_is_listed_once() {
    let backend = some_packages().await;
    let raw = backend.read_manifest(&at("three")).await.unwrap();
    backend.write_manifest(&at("zz-alias"), &raw).await.unwrap();
    let found = found(&*backend, |_| {}).await;
    assert_eq!(tags(&found), ["doi_10.5072_A1", "doi_10.5072_A2", "single", "three"]);
    let kinds: Vec<_> = found.iter().map(|found| found.artifact.kind.unwrap()).collect();
    let (package, object) = (ArtifactKind::Package, ArtifactKind::Object);
    assert_eq!(kinds, [package, package, object, ArtifactKind::Artifact]);
}

#[tokio::test]
async fn titles_are_found_by_a_part_in_any_case() {
    let backend = some_packages().await;
    assert_eq!(
        tags(&found(&*backend, |query| query.title = Some("bering".into())).await),
        ["doi_10.5072_A1"]
    );
}

#[tokio::test]
async fn dates_include_the_first_and_exclude_the_last_and_what_has_none() {
    let backend = some_packages().await;
    let between = |from: &'static str, to: &'static str| {
        move |query: &mut Query| (query.from, query.to) = (parse_time(from), parse_time(to))
    };
    let both = ["doi_10.5072_A1", "doi_10.5072_A2"];
    assert_eq!(tags(&found(&*backend, between("2020-06-01", "2022-01-01")).await), both);
    assert_eq!(tags(&found(&*backend, between("2020-06-01", "2021-06-01")).await), both[..1]);
    assert_eq!(tags(&found(&*backend, between("2021-06-01", "")).await), both[1..]);
}

#[tokio::test]
async fn objects_are_found_by_format_in_artifacts_and_by_themselves() {
    let backend = some_packages().await;
    let csv = |query: &mut Query| query.format_id = Some("text/csv".into());
    assert_eq!(tags(&found(&*backend, csv).await), ["single", "three"]);
    let objects = found(&*backend, |query| {
        csv(query);
        query.objects = true;
    })
    .await;
    let identifiers: Vec<_> =
        objects.iter().map(|found| found.object.as_ref().unwrap().identifier.as_deref().unwrap()).collect();
    assert_eq!(identifiers, ["c.1", "a.1"]);
}

#[tokio::test]
async fn artifacts_and_objects_are_found_by_digest() {
    let backend = some_packages().await;
    let digest = Digest::sha256_of(b"content of a.1").sha256_bytes().unwrap();
    let by = |algorithm, digest: &[u8], objects: bool| {
        let digest = digest.to_vec();
        move |query: &mut Query| (query.digest, query.objects) = (Some((algorithm, digest)), objects)
    };
    for objects in [false, true] {
        let found = found(&*backend, by(Algorithm::Sha256, &digest, objects)).await;
        assert_eq!(found[0].object.as_ref().unwrap().identifier.as_deref(), Some("a.1"));
        assert_eq!(tags(&found), ["three"]);
    }
    assert!(found(&*backend, by(Algorithm::Sha256, &[0; 32], false)).await.is_empty());
    assert!(found(&*backend, by(Algorithm::Md5, &digest, false)).await.is_empty());
    let mut query = Query::default();
    query.content.text = Some("snow".to_owned());
    let refused: Result<Vec<_>, _> = find(&*backend, &query, &silent()).try_collect().await;
    assert!(matches!(refused, Err(Error::NeedsCatalog)));
}

#[tokio::test]
async fn an_object_is_found_in_every_artifact_that_holds_it_and_first_under_its_own_tag() {
    let backend = some_packages().await;
    objects(&*backend, &id("b.1").tag(), &[("b.1", "text/plain")], Facts::default()).await;
    let found = found(&*backend, |query| query.identifier = Some(id("b.1"))).await;
    assert_eq!(tags(&found), [id("b.1").tag().as_str(), "three"]);
    assert_eq!(found[1].object.as_ref().unwrap().path, "b.1.csv");
}

#[tokio::test]
async fn a_manifest_is_asked_for_once_for_each_tag_and_a_small_index_comes_with_it() {
    let counting = CountingBackend::new(some_packages().await);
    let search = async |change: fn(&mut Query)| {
        let mut query = Query::default();
        change(&mut query);
        find(&counting, &query, &silent()).try_collect::<Vec<_>>().await.unwrap();
    };
    search(|query| query.title = Some("snow".into())).await;
    assert_eq!((counting.count(Operation::ReadManifest), counting.count(Operation::ReadBlob)), (4, 0));
    search(|query| query.identifier = Some(id("nothing"))).await;
    // One guess by the tag that the identifier would have.
    assert_eq!((counting.count(Operation::ReadManifest), counting.count(Operation::ReadBlob)), (9, 0));
}

#[tokio::test]
async fn what_cannot_be_read_is_a_warning_and_the_rest_is_found() {
    for kind in [ErrorKind::NotFound, ErrorKind::Invalid] {
        let fault = Fault::nth(Operation::ReadManifest, 1, FaultAction::Fail(kind));
        let faulty = FaultyBackend::new(some_packages().await).with(fault);
        let listener = Listener::new();
        let found: Vec<_> =
            find(&faulty, &Query::default(), &listener.observer()).try_collect().await.unwrap();
        assert_eq!((found.len(), listener.warnings().len()), (3, 1), "{kind:?}");

        let fault = Fault::nth(Operation::ReadManifest, 1, FaultAction::Fail(kind));
        let faulty = FaultyBackend::new(some_packages().await).with(fault);
        let (catalogue, listener) = (Catalogue::new(), Listener::new());
        let report =
            catalogue.of(&faulty).update(&UpdateOptions::default(), &listener.observer()).await.unwrap();
        assert_eq!((report.added, report.unreadable, listener.warnings().len()), (3, 1, 1), "{kind:?}");
        let report =
            catalogue.of(&faulty).update(&UpdateOptions::default(), &listener.observer()).await.unwrap();
        assert_eq!((report.added, report.unreadable), (1, 0), "an update reads the artifact again");
    }
}

#[tokio::test]
async fn a_store_that_fails_ends_the_search() {
    let fault = Fault::nth(Operation::ReadManifest, 1, FaultAction::Fail(ErrorKind::Unavailable));
    let faulty = FaultyBackend::new(some_packages().await).with(fault);
    let result: Result<Vec<_>, _> = find(&faulty, &Query::default(), &silent()).try_collect().await;
    assert!(
        matches!(result, Err(Error::Transfer(error)) if error.of_store().unwrap().kind() == ErrorKind::Unavailable)
    );
}

/// Locates an artifact in the repository and by a catalogue of it, and compares the results.
async fn located_for(
    backend: &dyn RegistryBackend,
    identifier: &str,
    purpose: Purpose,
) -> Result<Digest, Error> {
    let located = locate(backend, &id(identifier), purpose, &silent()).await;
    let cataloged = Catalogue::new().of(backend).locate(&id(identifier), purpose, &silent()).await;
    match (&located, &cataloged) {
        (Ok(located), Ok(cataloged)) => assert_eq!(located, cataloged),
        (Err(located), Err(cataloged)) => assert_eq!(format!("{located:?}"), format!("{cataloged:?}")),
        _ => panic!("{located:?} is not {cataloged:?}"),
    }
    located.map(|located| located.digest)
}

async fn located(backend: &dyn RegistryBackend, identifier: &str) -> Result<Digest, Error> {
    located_for(backend, identifier, Purpose::Package).await
}

#[tokio::test]
async fn an_identifier_that_its_tag_confirms_needs_one_request() {
    let backend = memory();
    let digest = package(&*backend, "1", Facts { identifier: Some("x.1"), ..Facts::default() }).await;
    let counting = CountingBackend::new(backend);
    let located = locate(&counting, &id("x.1"), Purpose::Package, &silent()).await.unwrap();
    assert_eq!(located.digest, digest);
    assert_eq!(counting.calls().len(), 1);
}

#[tokio::test]
async fn a_tag_that_names_something_else_is_reported_and_passed_over() {
    let backend = memory();
    let right = Facts { identifier: Some("x.1"), tag: Some("right"), ..Facts::default() };
    let digest = package(&*backend, "1", right).await;
    let (wrong, listener) = (id("x.1").tag(), Listener::new());
    package(&*backend, "2", Facts { identifier: Some("y.1"), tag: Some(&wrong), ..Facts::default() }).await;
    let located = locate(&*backend, &id("x.1"), Purpose::Package, &listener.observer()).await.unwrap();
    assert_eq!(located.digest, digest);
    assert!(listener.warnings()[0].contains("names another artifact, `y.1`"), "{:?}", listener.warnings());
}

#[tokio::test]
async fn of_versions_that_share_an_object_the_newest_is_meant() {
    let backend = memory();
    objects(&*backend, "a", &[("d.1", "text/csv"), ("e.1", "text/csv")], version("v1", None)).await;
    let newest =
        objects(&*backend, "b", &[("d.1", "text/csv"), ("e.3", "text/csv")], version("v3", Some("v2"))).await;
    // The version in between does not hold the object, but leads from one to the other.
    objects(&*backend, "c", &[("f.1", "text/csv"), ("e.2", "text/csv")], version("v2", Some("v1"))).await;
    assert_eq!(located(&*backend, "d.1").await.unwrap(), newest);
}

#[tokio::test]
async fn packages_that_are_no_versions_of_each_other_are_ambiguous_but_equal_bytes_are_not() {
    let backend = memory();
    let first = objects(&*backend, "a", &[("d.1", "text/csv"), ("e.1", "text/csv")], Facts::default()).await;
    objects(&*backend, "b", &[("d.1", "text/csv"), ("e.2", "text/csv")], Facts::default()).await;
    let error = located(&*backend, "d.1").await.unwrap_err();
    assert!(matches!(error, Error::Ambiguous { candidates, .. } if candidates.len() == 2));
    assert_eq!(located_for(&*backend, "d.1", Purpose::Bytes).await.unwrap(), first);
    let error = located(&*backend, "nothing").await.unwrap_err();
    assert!(matches!(error, Error::NotInRepository { .. }));
}

#[tokio::test]
async fn a_series_stands_for_its_head() {
    let backend = memory();
    let of_series = |facts| Facts { series: Some("sid"), ..facts };
    let head = package(&*backend, "2", of_series(version("a-newer", Some("b-older")))).await;
    package(&*backend, "1", of_series(version("b-older", None))).await;
    assert_eq!(located(&*backend, "sid").await.unwrap(), head);
}

#[tokio::test]
async fn a_named_artifact_is_compared_with_the_identifier() {
    let backend = some_packages().await;
    let check = async |name: &str, identifier: &str| {
        check_identifier(&*backend, &at(name), &id(identifier))
            .await
            .map(drop)
            .map_err(|error| error.to_string())
    };
    let tag = id("doi:10.5072/A2").tag();
    assert_eq!(check(&tag, "doi:10.5072/A2").await, Ok(()));
    assert_eq!(check(&tag, "snow").await, Ok(()));
    assert_eq!(check("three", "b.1").await, Ok(()));
    let wrong = check(&tag, "doi:10.5072/A1").await.unwrap_err();
    assert!(wrong.contains("expected an artifact with the identifier `doi:10.5072/A1`"), "{wrong}");
    assert!(wrong.contains("doi:10.5072/A2"), "{wrong}");
    assert!(check("three", "c.1").await.is_err());
}

async fn history_of(backend: &dyn RegistryBackend, identifier: &str) -> History {
    let digest = located(backend, identifier).await.unwrap();
    let at = ManifestRef::Digest(digest);
    let found = history(backend, &at, &silent()).await.unwrap();
    assert_eq!(Catalogue::new().of(backend).history(&at, &silent()).await.unwrap(), found);
    found
}

fn identifiers(history: &History) -> Vec<(&str, bool, bool)> {
    let versions = history.versions.iter();
    versions
        .map(|version| (version.identifier.as_str(), version.stored.is_some(), version.circular))
        .collect()
}

#[tokio::test]
async fn a_history_goes_both_ways_and_counts_what_moved() {
    let backend = memory();
    objects(&*backend, "a", &[("d.1", "text/csv"), ("e.1", "text/csv")], version("v1", None)).await;
    objects(&*backend, "b", &[("d.1", "text/csv"), ("e.2", "text/csv")], version("v2", Some("v1"))).await;
    objects(
        &*backend,
        "c",
        &[("d.1", "text/csv"), ("e.2", "text/csv"), ("f", "text/csv")],
        version("v3", Some("v2")),
    )
    .await;
    objects(&*backend, "other", &[("z", "text/csv")], version("w1", None)).await;
    let history = history_of(&*backend, "v2").await;
    assert_eq!(identifiers(&history), [("v1", true, false), ("v2", true, false), ("v3", true, false)]);
    let asked: Vec<bool> = history.versions.iter().map(|version| version.asked).collect();
    assert_eq!(asked, [false, true, false]);
    let moved = |position: usize| {
        let stored = history.versions[position].stored.as_ref().unwrap();
        (stored.shared_blobs, stored.new_blobs, stored.new_bytes)
    };
    // The empty configuration is a blob too.
    assert_eq!([moved(0), moved(1), moved(2)], [(0, 3, 30), (2, 1, 14), (3, 1, 12)]);
}

#[tokio::test]
async fn gaps_and_forks_are_shown() {
    let backend = memory();
    package(&*backend, "2", version("v2", Some("v1"))).await;
    package(&*backend, "3", version("v3", Some("v2"))).await;
    package(&*backend, "4", version("v3-too", Some("v2"))).await;
    let history = history_of(&*backend, "v3").await;
    let expected = [("v1", false, false), ("v2", true, false), ("v3", true, false), ("v3-too", true, false)];
    assert_eq!(identifiers(&history), expected);
}

#[tokio::test]
async fn a_circle_of_versions_is_shown_once_round() {
    let backend = memory();
    package(&*backend, "1", version("v1", Some("v3"))).await;
    package(&*backend, "2", version("v2", Some("v1"))).await;
    package(&*backend, "3", version("v3", Some("v2"))).await;
    let history = history_of(&*backend, "v2").await;
    assert_eq!(identifiers(&history), [("v3", true, true), ("v1", true, false), ("v2", true, false)]);
    package(&*backend, "4", version("alone", Some("alone"))).await;
    let history = history_of(&*backend, "alone").await;
    assert_eq!(identifiers(&history), [("alone", true, true)]);
}

#[tokio::test]
async fn what_states_no_identifier_has_no_history() {
    let backend = memory();
    package(&*backend, "1", Facts { tag: Some("v1"), ..Facts::default() }).await;
    let error = history(&*backend, &at("v1"), &silent()).await.unwrap_err();
    assert!(matches!(error, Error::NoIdentifier { .. }));
}
