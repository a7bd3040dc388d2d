//! A scripted node with packages, clients of it, and stores to replicate into.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use d1_client::{ClientOptions, NodeClient};
use d1_model::{ChecksumAlgorithm, Identifier};
use d1_sync::{
    BatchOptions, BatchOutcome, DataOneSource, Error, Journal, NodeSelection, ReplicateOptions,
    ReplicateReport, Result, Wanted, replicate, replicate_all, replicate_node,
};
use d1_testnode::{Behaviour, Catalog, Content, Package, ScriptedNode, StoredObject};
use d1_transfer::{Observer, PullOptions, Silent, pull};
use futures::StreamExt;
use oci_model::{ManifestRef, Tag};
use registry_backend::RegistryBackend;

pub(crate) const EML: &str = "https://eml.ecoinformatics.org/eml-2.2.0";

pub(crate) fn id(text: &str) -> Identifier {
    text.parse().unwrap()
}

/// Returns an observer that ignores everything.
pub(crate) fn silent() -> Arc<dyn Observer> {
    Arc::new(Silent)
}

/// Returns the content of a data object by its number.
pub(crate) fn content(number: u64) -> Vec<u8> {
    format!("depth,temperature\n{number},7.2\n").repeat(20 + usize::try_from(number).unwrap()).into_bytes()
}

/// Puts a data object into the catalog, with a checksum by this algorithm.
pub(crate) fn put_data(
    catalog: &mut Catalog,
    identifier: &str,
    bytes: Vec<u8>,
    algorithm: &ChecksumAlgorithm,
) {
    let content = Content::Memory(bytes.into());
    let object = StoredObject::with_algorithm(id(identifier), "text/csv", content, algorithm).unwrap();
    let name = format!("{}.csv", identifier.replace([':', '/'], "_"));
    catalog.put(object.edited(|meta| meta.file_name = Some(name.clone()))).unwrap();
}

/// Puts a package of data objects `NAME.data.N` and metadata `NAME` with the map `NAME.map` into the catalog.
pub(crate) fn put_package(catalog: &mut Catalog, name: &str, data: &[String], obsoletes: Option<&str>) {
    let text = format!("<eml packageId=\"{name}\"><title>{name}</title></eml>\n");
    let metadata = StoredObject::new(id(name), EML, Content::text(&text)).unwrap();
    catalog.put(metadata.edited(|meta| meta.obsoletes = obsoletes.map(id))).unwrap();
    let identifiers = data.iter().map(|identifier| id(identifier));
    let mut package = Package::new(id(&format!("{name}.map")), id(name), identifiers);
    package.obsoletes = obsoletes.map(|before| id(&format!("{before}.map")));
    catalog.put_package(&package).unwrap();
}

/// Returns a catalog of one package with so many data objects, whose checksums are by different algorithms.
pub(crate) fn catalog(name: &str, count: u64) -> (Catalog, Vec<String>) {
    let mut catalog = Catalog::default();
    let algorithms = [ChecksumAlgorithm::Md5, ChecksumAlgorithm::Sha1, ChecksumAlgorithm::Sha256];
    let mut data = Vec::new();
    for (number, algorithm) in (0..count).zip(algorithms.iter().cycle()) {
        let identifier = format!("{name}.data.{number}");
        put_data(&mut catalog, &identifier, content(number), algorithm);
        data.push(identifier);
    }
    put_package(&mut catalog, name, &data, None);
    (catalog, data)
}

/// Returns options of a client that does not wait long.
pub(crate) fn impatient() -> ClientOptions {
    let mut options = ClientOptions::default();
    options.budget.requests_per_second = 100_000.0;
    options.retry.attempts = 3;
    options.retry.first_wait = Duration::from_millis(1);
    options.retry.longest_wait = Duration::from_millis(2);
    options.times.silence = Duration::from_secs(5);
    options
}

pub(crate) fn member(node: &ScriptedNode) -> DataOneSource {
    DataOneSource::Node(NodeClient::new(&node.member_url(), &impatient()).unwrap())
}

pub(crate) fn network(node: &ScriptedNode) -> DataOneSource {
    DataOneSource::Network(NodeClient::new(&node.coordinating_url(), &impatient()).unwrap())
}

pub(crate) async fn copy_package(
    backend: &dyn RegistryBackend,
    source: &DataOneSource,
    map: &str,
) -> Result<ReplicateReport> {
    replicate(backend, source, &id(map), &options(), None, &silent()).await
}

pub(crate) fn options() -> ReplicateOptions {
    ReplicateOptions::new(std::env::temp_dir())
}

/// The outcome for each package. A skipped package has no report.
pub(crate) type Outcomes = BTreeMap<String, std::result::Result<Option<ReplicateReport>, Error>>;

/// Notes the outcome for a package.
fn note(outcomes: &Mutex<Outcomes>, identifier: &Identifier, outcome: BatchOutcome) {
    let outcome = match outcome {
        BatchOutcome::Replicated(report) => Ok(Some(*report)),
        BatchOutcome::Failed(error) => Err(error),
        _ => Ok(None),
    };
    outcomes.lock().unwrap().insert(identifier.to_string(), outcome);
}

/// Runs a batch over these identifiers, and returns the outcomes.
pub(crate) async fn batch(
    backend: &dyn RegistryBackend,
    source: &DataOneSource,
    pids: &[&str],
    options: &BatchOptions,
    journal: Option<&Journal>,
) -> Outcomes {
    let outcomes = Mutex::default();
    let done = |identifier: &Identifier, outcome| note(&outcomes, identifier, outcome);
    let wanted: Vec<_> = pids
        .iter()
        .map(|pid| Ok(Wanted { identifier: id(pid), is_resource_map: false, modified: None }))
        .collect();
    let wanted = futures::stream::iter(wanted).boxed();
    replicate_all(backend, source, wanted, options, journal, &silent(), &done).await.unwrap();
    outcomes.into_inner().unwrap()
}

/// Replicates the whole node, and returns the outcomes.
pub(crate) async fn whole_node(
    backend: &dyn RegistryBackend,
    source: &DataOneSource,
    journal: Option<&Journal>,
) -> Outcomes {
    node_packages(backend, source, &NodeSelection::default(), &BatchOptions::new(options()), journal).await
}

/// Replicates packages of the node, and returns the outcomes.
pub(crate) async fn node_packages(
    backend: &dyn RegistryBackend,
    source: &DataOneSource,
    selection: &NodeSelection,
    options: &BatchOptions,
    journal: Option<&Journal>,
) -> Outcomes {
    let outcomes = Mutex::default();
    let done = |identifier: &Identifier, outcome| note(&outcomes, identifier, outcome);
    replicate_node(backend, source, selection, options, journal, &silent(), &done).await.unwrap();
    outcomes.into_inner().unwrap()
}

/// Changes the system metadata of an object now.
pub(crate) fn change(
    node: &ScriptedNode,
    identifier: &str,
    edit: impl FnOnce(&mut d1_model::SystemMetadata),
) {
    let now = d1_model::DateTime::from_instant(jiff::Timestamp::now());
    node.change(|catalog| {
        catalog.edit(&id(identifier), |meta| {
            edit(meta);
            meta.date_modified = Some(now);
        })
    })
    .unwrap();
}

/// Returns a node of this dialect.
pub(crate) async fn node_of(catalog: Catalog, behaviour: &Behaviour) -> ScriptedNode {
    let config = d1_testnode::Config { catalog, behaviour: behaviour.clone(), ..Default::default() };
    ScriptedNode::start(config).await.unwrap()
}

/// The dialects of the two implementations that nodes run.
pub(crate) fn dialects() -> [Behaviour; 2] {
    [Behaviour::default(), Behaviour::gmn()]
}

/// Returns what a package's tag gives when it is pulled, files by path.
pub(crate) async fn pulled(backend: &dyn RegistryBackend, identifier: &str) -> BTreeMap<String, Vec<u8>> {
    let directory = tempfile::tempdir().unwrap();
    let tag: Tag = id(identifier).tag().parse().unwrap();
    let (at, to) = (ManifestRef::Tag(tag), directory.path().join("pulled"));
    let report = pull(backend, &at, &to, &PullOptions::default(), &silent()).await.unwrap();
    assert!(report.bag.is_some_and(|bag| bag.valid));
    files(&to.join(report.directory))
}

/// Returns the files below a directory.
pub(crate) fn files(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut pending = vec![root.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                found.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// Tells whether a package is tagged.
pub(crate) async fn is_tagged(backend: &dyn RegistryBackend, identifier: &str) -> bool {
    let tag: Tag = id(identifier).tag().parse().unwrap();
    backend.stat_manifest(&ManifestRef::Tag(tag)).await.unwrap().is_some()
}
