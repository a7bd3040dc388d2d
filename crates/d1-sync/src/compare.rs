//! Comparison of a repository with DataONE: withdrawn, changed and missing objects.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use d1_client::{ErrorKind, ObjectFilter};
use d1_model::{Checksum, DateTime, Identifier, MAX_SYSTEM_METADATA_BYTES, ObjectInfo, SystemMetadata};
use d1_transfer::parts::{Met, Tagged, attached, concerns_content, read_small_files, walk};
use d1_transfer::{Event, Observer, OpenPackage};
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use oci_model::{Digest, Manifest, Tag};
use registry_backend::ErrorKind::NotFound;
use registry_backend::RegistryBackend;
use serde::Serialize;

use crate::difference::DifferenceKind;
use crate::error::{Error, Result};
use crate::node::DataOneSource;

/// How many packages are read at once, and how many objects the node is asked about at once.
const AT_ONCE: usize = 8;
/// How many changed objects wait before the node is asked about them.
const CHANGED_AT_ONCE: usize = 1000;

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Difference {
    /// The kind of the difference.
    pub kind: DifferenceKind,
    /// The object.
    pub identifier: Identifier,
    /// The package of the repository that holds the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
    /// The two states, in words.
    pub detail: String,
}

/// The result of a comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct CompareReport {
    /// Number of objects in the repository.
    pub objects: u64,
    /// Number of objects that the node lists.
    pub listed: u64,
    /// Number of objects that are equal in both.
    pub equal: u64,
    /// Number of packages that could not be read.
    pub unreadable: u64,
    /// Number of differences of each kind.
    pub differences: BTreeMap<DifferenceKind, u64>,
}

/// Compares the objects of all tagged packages with DataONE, and calls `tell` for each difference.
///
/// A node or HashStore is asked for its list of objects, and for the system metadata of those that changed. A Coordinating Node is
/// asked about each object of the repository, and objects that the repository lacks are not found. Nothing is changed.
/// Volatile parts of system metadata do not count (docs/artifact-format.md section 6.5). It holds some 200 bytes in memory
/// for each object of the repository, and its identifier.
///
/// The store is asked for each manifest, each index that the manifest does not embed, and the system metadata of each
/// package, which come together. So the requests grow with packages, not with objects.
///
/// # Errors
///
/// If the store or the node fails.
pub async fn compare(
    backend: &dyn RegistryBackend,
    source: &DataOneSource,
    observer: &Arc<dyn Observer>,
    tell: &mut (dyn FnMut(&Difference) + Send),
) -> Result<CompareReport> {
    let mut comparison =
        Comparison { source, holdings: Holdings::default(), report: CompareReport::default(), tell };
    comparison.read_repository(backend, observer).await?;
    let mut node = None;
    if let Some(client) = source.node() {
        node = client.node().await.ok().map(|document| document.value.identifier);
    }
    if !matches!(source, DataOneSource::Network(_)) {
        comparison.read_list().await?;
    }
    comparison.ask_about_unlisted(node.as_deref()).await?;
    Ok(comparison.report)
}

/// The objects of a repository.
#[derive(Default)]
struct Holdings {
    objects: HashMap<Identifier, Held>,
    packages: Vec<String>,
    nodes: Vec<String>,
}

/// The copy of an object, as its system metadata describe it.
struct Copied {
    size: u64,
    checksum: Checksum,
    /// When the copied system metadata changed last.
    modified: Option<Timestamp>,
    archived: bool,
    obsoleted: bool,
    is_public: bool,
    /// Digest of the system metadata without their volatile parts.
    stable: Option<[u8; 32]>,
}

/// The copy of an object, and its place among the holdings.
struct Held {
    copy: Copied,
    /// The number of its package.
    package: usize,
    /// The number of the node that is responsible for it.
    node: Option<usize>,
    /// Whether the node lists it.
    is_listed: bool,
}

/// The copies of the objects of one package, each with the node that is responsible for it.
struct PackageHoldings {
    name: String,
    objects: Vec<(Identifier, Copied, Option<String>)>,
}

impl PackageHoldings {
    fn add(&mut self, meta: SystemMetadata) {
        let copy = Copied {
            size: meta.size,
            modified: meta.date_modified.as_ref().and_then(DateTime::instant),
            archived: meta.archived == Some(true),
            obsoleted: meta.obsoleted_by.is_some(),
            is_public: meta.is_public(),
            stable: stable_digest(&meta),
            checksum: meta.checksum,
        };
        let node = meta.authoritative_member_node.or(meta.origin_member_node);
        self.objects.push((meta.identifier, copy, node));
    }
}

impl Holdings {
    /// Adds the objects of a package. Of several copies, the one with the newest system metadata counts.
    fn add(&mut self, package: PackageHoldings) {
        let number = self.packages.len();
        self.packages.push(package.name);
        for (identifier, copy, node) in package.objects {
            if self.objects.get(&identifier).is_some_and(|known| known.copy.modified >= copy.modified) {
                continue;
            }
            let node = node.map(|node| match self.nodes.iter().position(|known| *known == node) {
                Some(number) => number,
                None => {
                    self.nodes.push(node);
                    self.nodes.len() - 1
                }
            });
            self.objects.insert(identifier, Held { copy, package: number, node, is_listed: false });
        }
    }
}

struct Comparison<'a> {
    source: &'a DataOneSource,
    holdings: Holdings,
    report: CompareReport,
    tell: &'a mut (dyn FnMut(&Difference) + Send),
}

impl Comparison<'_> {
    async fn read_repository(
        &mut self,
        backend: &dyn RegistryBackend,
        observer: &Arc<dyn Observer>,
    ) -> Result<()> {
        let read = |met| read_met(backend, met, observer).boxed();
        let mut packages = walk(backend, None).map_err(Error::from).map_ok(read).try_buffered(AT_ONCE);
        loop {
            match packages.try_next().await {
                Ok(Some(Ok(Some(package)))) => self.holdings.add(package),
                Ok(Some(Ok(None))) => {}
                Ok(Some(Err(Unreadable { tag, failure }))) => {
                    self.report.unreadable += 1;
                    observer.event(&Event::Warning(&format!("`{tag}` is not compared: {failure}")));
                }
                Ok(None) => break,
                // A repository that does not exist yet lacks everything.
                Err(Error::Transfer(d1_transfer::Error::Backend(error))) if error.kind() == NotFound => break,
                Err(error) => return Err(error),
            }
        }
        self.report.objects = self.holdings.objects.len() as u64;
        Ok(())
    }

    /// Compares the list of a node with the repository.
    async fn read_list(&mut self) -> Result<()> {
        let mut listed = self.source.list_objects(&ObjectFilter::default());
        let mut changed = Vec::new();
        while let Some(object) = listed.try_next().await? {
            self.take_listed(&object, &mut changed);
            if changed.len() >= CHANGED_AT_ONCE {
                self.ask_about(std::mem::take(&mut changed), None).await?;
            }
        }
        self.ask_about(changed, None).await
    }

    fn take_listed(&mut self, object: &ObjectInfo, changed: &mut Vec<Identifier>) {
        let Some(held) = self.holdings.objects.get_mut(&object.identifier) else {
            self.report.listed += 1;
            self.difference(DifferenceKind::Missing, &object.identifier, None, "the repository lacks it");
            return;
        };
        // A list that changes can name an object twice.
        if std::mem::replace(&mut held.is_listed, true) {
            return;
        }
        self.report.listed += 1;
        let package = held.package;
        if let Some(detail) = content_differs(&held.copy, object.size, object.checksum.as_ref()) {
            self.difference(DifferenceKind::Content, &object.identifier, Some(package), &detail);
        } else if object.date_modified.as_ref().and_then(DateTime::instant) == held.copy.modified {
            self.report.equal += 1;
        } else {
            changed.push(object.identifier.clone());
        }
    }

    /// Asks about the objects of the repository that the list did not name.
    async fn ask_about_unlisted(&mut self, node: Option<&str>) -> Result<()> {
        let unlisted = self.holdings.objects.iter().filter(|(_, held)| !held.is_listed);
        let mut unlisted: Vec<_> = unlisted.map(|(identifier, _)| identifier.clone()).collect();
        unlisted.sort_unstable();
        self.ask_about(unlisted, node).await
    }

    /// Asks for the system metadata of objects, and compares them.
    async fn ask_about(&mut self, identifiers: Vec<Identifier>, node: Option<&str>) -> Result<()> {
        let source = self.source;
        let ask = |identifier: Identifier| {
            async move { (source.system_metadata(&identifier).await, identifier) }.boxed()
        };
        let mut answers = std::pin::pin!(stream::iter(identifiers).map(ask).buffered(AT_ONCE));
        while let Some((answer, identifier)) = answers.next().await {
            let answer = match answer {
                Ok(document) => Some(document.value),
                Err(error) => match error.kind() {
                    ErrorKind::NotFound => None,
                    ErrorKind::NotAuthorized | ErrorKind::InvalidToken => {
                        self.take_private(&identifier);
                        continue;
                    }
                    _ => return Err(Error::Node(error)),
                },
            };
            self.take_answer(&identifier, answer.as_ref(), node);
        }
        Ok(())
    }

    fn take_private(&mut self, identifier: &Identifier) {
        let held = self.holdings.objects.get(identifier).map(|held| (held.copy.is_public, held.package));
        match held {
            Some((true, package)) => {
                let detail = "the node no longer gives it to everybody, but its copy is still here";
                self.difference(DifferenceKind::Private, identifier, Some(package), detail);
            }
            _ => self.report.equal += 1,
        }
    }

    fn take_answer(&mut self, identifier: &Identifier, now: Option<&SystemMetadata>, node: Option<&str>) {
        let Some(held) = self.holdings.objects.get(identifier) else { return };
        let package = held.package;
        let (kind, detail) = match now {
            None => {
                let of = held.node.and_then(|number| self.holdings.nodes.get(number));
                match (of, node) {
                    (Some(of), Some(node)) if of != node => {
                        (DifferenceKind::OnlyHere, format!("it belongs to {of}, and {node} does not have it"))
                    }
                    _ => (DifferenceKind::Gone, "no node has it, but its copy is still here".to_owned()),
                }
            }
            Some(now) => match state_difference(&held.copy, now) {
                Some(difference) => difference,
                None => {
                    self.report.equal += 1;
                    return;
                }
            },
        };
        self.difference(kind, identifier, Some(package), &detail);
    }

    fn difference(
        &mut self,
        kind: DifferenceKind,
        identifier: &Identifier,
        package: Option<usize>,
        detail: &str,
    ) {
        *self.report.differences.entry(kind).or_default() += 1;
        let package = package.and_then(|number| self.holdings.packages.get(number).cloned());
        let (identifier, detail) = (identifier.clone(), detail.to_owned());
        (self.tell)(&Difference { kind, identifier, package, detail });
    }
}

/// A tag whose package cannot be read, and the reason.
struct Unreadable {
    tag: Tag,
    failure: String,
}

/// Reads all system metadata of a package. Artifacts that are not packages have none.
async fn read_met(
    backend: &dyn RegistryBackend,
    met: Met,
    observer: &Arc<dyn Observer>,
) -> Result<Result<Option<PackageHoldings>, Unreadable>> {
    match met {
        Met::Artifact(tagged) => {
            let tag = tagged.tag.clone();
            match read_package(backend, *tagged, observer).await {
                Ok(read) => Ok(read.map_err(|failure| Unreadable { tag, failure })),
                Err(error) if error.of_store().is_some_and(|error| !concerns_content(error.kind())) => {
                    Err(error.into())
                }
                Err(error) => Ok(Err(Unreadable { tag, failure: error.to_string() })),
            }
        }
        Met::Unreadable { tag, error } => Ok(Err(Unreadable { tag, failure: error.to_string() })),
    }
}

/// The inner error says why the system metadata of an object by itself cannot be read.
async fn read_package(
    backend: &dyn RegistryBackend,
    tagged: Tagged,
    observer: &Arc<dyn Observer>,
) -> d1_transfer::Result<Result<Option<PackageHoldings>, String>> {
    let Tagged { tag, raw, manifest } = tagged;
    let Manifest::Image(image) = manifest else { return Ok(Ok(None)) };
    let package = OpenPackage::of_manifest(backend, raw, image).await?;
    let name = package.view.identifier().map_or_else(|| tag.to_string(), str::to_owned);
    let mut holdings = PackageHoldings { name, objects: Vec::new() };
    // The system metadata of an object by itself refer to it.
    if let Some(attached) = attached(backend, &package, observer).await? {
        return Ok(attached.map(|meta| {
            holdings.add(*meta);
            Some(holdings)
        }));
    }
    let is_document = |path: &str| path.starts_with("metadata/") && path.ends_with(".xml");
    let paths: Vec<String> = package
        .view
        .entries()
        .filter(|entry| is_document(entry.path) && entry.size <= MAX_SYSTEM_METADATA_BYTES as u64)
        .map(|entry| entry.path.to_owned())
        .collect();
    let mut read = read_small_files(backend, &package, paths);
    while let Some(documents) = read.try_next().await? {
        // Metadata of other standards are not system metadata.
        let parsed = documents.iter().filter_map(|(_, bytes)| SystemMetadata::parse(bytes).ok());
        parsed.for_each(|parsed| holdings.add(parsed.value));
    }
    drop(read);
    Ok(Ok(Some(holdings)))
}

/// Compares size and checksum. A checksum by another algorithm does not count.
fn content_differs(copy: &Copied, size: Option<u64>, checksum: Option<&Checksum>) -> Option<String> {
    if let Some(size) = size.filter(|size| *size != copy.size) {
        return Some(format!("the copy has {} bytes, the node states {size}", copy.size));
    }
    let checksum = checksum.filter(|stated| stated.algorithm() == copy.checksum.algorithm())?;
    let is_other = !checksum.value().eq_ignore_ascii_case(copy.checksum.value());
    is_other.then(|| format!("the copy has {}, the node states {checksum}", copy.checksum))
}

/// Compares the copied state of an object with its state now.
fn state_difference(copy: &Copied, now: &SystemMetadata) -> Option<(DifferenceKind, String)> {
    if let Some(detail) = content_differs(copy, Some(now.size), Some(&now.checksum)) {
        return Some((DifferenceKind::Content, detail));
    }
    if copy.is_public && !now.is_public() {
        return Some((
            DifferenceKind::Private,
            "it is no longer public, but its copy is still here".to_owned(),
        ));
    }
    if !copy.archived && now.archived == Some(true) {
        return Some((DifferenceKind::Archived, "it is archived now".to_owned()));
    }
    match &now.obsoleted_by {
        Some(newer) if !copy.obsoleted => {
            return Some((DifferenceKind::Obsoleted, format!("`{newer}` replaces it now")));
        }
        _ => {}
    }
    let is_same = copy.stable.is_some() && copy.stable == stable_digest(now);
    (!is_same).then(|| (DifferenceKind::Changed, "its system metadata changed since the copy".to_owned()))
}

/// Returns the digest of system metadata without their volatile parts, if they can be written.
fn stable_digest(meta: &SystemMetadata) -> Option<[u8; 32]> {
    Digest::sha256_of(&meta.without_volatile_parts().to_xml().ok()?).sha256_bytes()
}
