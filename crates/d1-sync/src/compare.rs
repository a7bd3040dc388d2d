//! Comparison of a repository with DataONE: withdrawn, changed and missing objects.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use d1_client::{ErrorKind, ObjectFilter};
use d1_model::{Checksum, DateTime, Identifier, MAX_SYSTEM_METADATA_BYTES, ObjectInfo, SystemMetadata};
use d1_transfer::parts::{Met, Tagged, attached, concerns_content, walk};
use d1_transfer::{Event, Observer, OpenPackage, read_file};
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use oci_model::{Digest, Manifest};
use registry_backend::ErrorKind::NotFound;
use registry_backend::RegistryBackend;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::node::DataOneSource;

/// How many documents are read at once.
const AT_ONCE: usize = 8;
/// How many changed objects wait before the node is asked about them.
const CHANGED_AT_ONCE: usize = 1000;

/// The kind of a difference between the copy of an object and DataONE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum DifferenceKind {
    /// The node that held the object no longer has it.
    Gone,
    /// The object is no longer public.
    Private,
    /// The object is archived now.
    Archived,
    /// A newer version replaces the object now.
    Obsoleted,
    /// The object has another size or checksum.
    Content,
    /// Other system metadata changed, except for their volatile parts.
    Changed,
    /// The repository lacks the object.
    Missing,
    /// The object belongs to another node, and this node does not have it.
    OnlyHere,
}

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

/// The copy of an object.
struct Held {
    size: u64,
    checksum: Checksum,
    /// When the copied system metadata changed last.
    modified: Option<Timestamp>,
    archived: bool,
    obsoleted: bool,
    is_public: bool,
    /// Digest of the system metadata without their volatile parts.
    stable: Option<[u8; 32]>,
    /// The number of its package.
    package: usize,
    /// The number of the node that is responsible for it.
    node: Option<usize>,
    /// Whether the node lists it.
    is_listed: bool,
}

impl Holdings {
    /// Adds an object with its system metadata. Of several copies, the one with the newest system metadata counts.
    fn add(&mut self, meta: SystemMetadata, package: usize) {
        let modified = meta.date_modified.as_ref().and_then(DateTime::instant);
        if self.objects.get(&meta.identifier).is_some_and(|held| held.modified >= modified) {
            return;
        }
        let (is_public, stable) = (meta.is_public(), stable_digest(&meta));
        let node = meta.authoritative_member_node.or(meta.origin_member_node);
        let node = node.map(|node| match self.nodes.iter().position(|known| *known == node) {
            Some(number) => number,
            None => {
                self.nodes.push(node);
                self.nodes.len() - 1
            }
        });
        let held = Held {
            size: meta.size,
            checksum: meta.checksum,
            modified,
            archived: meta.archived == Some(true),
            obsoleted: meta.obsoleted_by.is_some(),
            is_public,
            stable,
            package,
            node,
            is_listed: false,
        };
        self.objects.insert(meta.identifier, held);
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
        let mut artifacts = walk(backend, None);
        loop {
            let met = match artifacts.try_next().await {
                Ok(Some(met)) => met,
                Ok(None) => break,
                // A repository that does not exist yet lacks everything.
                Err(d1_transfer::Error::Backend(error)) if error.kind() == NotFound => break,
                Err(error) => return Err(error.into()),
            };
            let (tag, failure) = match met {
                Met::Artifact(tagged) => {
                    let tag = tagged.tag.clone();
                    (tag, self.read_package(backend, *tagged, observer).await?)
                }
                Met::Unreadable { tag, error } => (tag, Some(error.to_string())),
            };
            if let Some(failure) = failure {
                self.report.unreadable += 1;
                observer.event(&Event::Warning(&format!("`{tag}` is not compared: {failure}")));
            }
        }
        self.report.objects = self.holdings.objects.len() as u64;
        Ok(())
    }

    /// Reads all system metadata of a package. Returns the reason if that is impossible.
    async fn read_package(
        &mut self,
        backend: &dyn RegistryBackend,
        tagged: Tagged,
        observer: &Arc<dyn Observer>,
    ) -> Result<Option<String>> {
        let Tagged { tag, raw, manifest } = tagged;
        let Manifest::Image(image) = manifest else { return Ok(None) };
        let package = match OpenPackage::of_manifest(backend, raw, image).await {
            Ok(package) => package,
            Err(d1_transfer::Error::Backend(error)) if !concerns_content(error.kind()) => {
                return Err(error.into());
            }
            Err(error) => return Ok(Some(error.to_string())),
        };
        let number = self.holdings.packages.len();
        self.holdings.packages.push(package.view.identifier().map_or_else(|| tag.to_string(), str::to_owned));
        // The system metadata of an object by itself refer to it.
        if let Some(attached) = attached(backend, &package, observer).await? {
            return Ok(attached.map(|meta| self.holdings.add(*meta, number)).err());
        }
        let is_document = |path: &str| path.starts_with("metadata/") && path.ends_with(".xml");
        let paths: Vec<String> = package
            .view
            .entries()
            .filter(|entry| is_document(entry.path) && entry.size <= MAX_SYSTEM_METADATA_BYTES as u64)
            .map(|entry| entry.path.to_owned())
            .collect();
        let package = &package;
        let read =
            |path: String| async move { read_file(backend, package, &path, None, Vec::new()).await }.boxed();
        let mut documents = std::pin::pin!(stream::iter(paths).map(read).buffered(AT_ONCE));
        while let Some(document) = documents.next().await {
            match document {
                Ok(bytes) => {
                    // Metadata of other standards are not system metadata.
                    if let Ok(parsed) = SystemMetadata::parse(&bytes) {
                        self.holdings.add(parsed.value, number);
                    }
                }
                Err(error) if error.of_store().is_some_and(|error| !concerns_content(error.kind())) => {
                    return Err(error.into());
                }
                Err(error) => return Ok(Some(error.to_string())),
            }
        }
        Ok(None)
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
        if let Some(detail) = content_differs(held, object.size, object.checksum.as_ref()) {
            self.difference(DifferenceKind::Content, &object.identifier, Some(package), &detail);
        } else if object.date_modified.as_ref().and_then(DateTime::instant) == held.modified {
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
        let held = self.holdings.objects.get(identifier).map(|held| (held.is_public, held.package));
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
            Some(now) => match state_difference(held, now) {
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

/// Compares size and checksum. A checksum by another algorithm does not count.
fn content_differs(held: &Held, size: Option<u64>, checksum: Option<&Checksum>) -> Option<String> {
    if let Some(size) = size.filter(|size| *size != held.size) {
        return Some(format!("the copy has {} bytes, the node states {size}", held.size));
    }
    let checksum = checksum.filter(|stated| stated.algorithm() == held.checksum.algorithm())?;
    let is_other = !checksum.value().eq_ignore_ascii_case(held.checksum.value());
    is_other.then(|| format!("the copy has {}, the node states {checksum}", held.checksum))
}

/// Compares the copied state of an object with its state now.
fn state_difference(held: &Held, now: &SystemMetadata) -> Option<(DifferenceKind, String)> {
    if let Some(detail) = content_differs(held, Some(now.size), Some(&now.checksum)) {
        return Some((DifferenceKind::Content, detail));
    }
    if held.is_public && !now.is_public() {
        return Some((
            DifferenceKind::Private,
            "it is no longer public, but its copy is still here".to_owned(),
        ));
    }
    if !held.archived && now.archived == Some(true) {
        return Some((DifferenceKind::Archived, "it is archived now".to_owned()));
    }
    match &now.obsoleted_by {
        Some(newer) if !held.obsoleted => {
            return Some((DifferenceKind::Obsoleted, format!("`{newer}` replaces it now")));
        }
        _ => {}
    }
    let is_same = held.stable.is_some() && held.stable == stable_digest(now);
    (!is_same).then(|| (DifferenceKind::Changed, "its system metadata changed since the copy".to_owned()))
}

/// Returns the digest of system metadata without their volatile parts, if they can be written.
fn stable_digest(meta: &SystemMetadata) -> Option<[u8; 32]> {
    Digest::sha256_of(&meta.without_volatile_parts().to_xml().ok()?).sha256_bytes()
}
