//! Withdrawal of objects from a repository, with a tombstone for each.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use d1_model::Identifier;
use d1_package::annotations::{D1_IDENTIFIER, D1_RESOURCE_MAP};
use d1_package::{
    ObjectFacts, SingleFile, SingleFileOptions, TOMBSTONE_TYPE, is_tombstone, single_files_manifest,
};
use d1_transfer::parts::{Met, ReferrerBudget, concerns_content, referrers, tombstone_tag, walk};
use d1_transfer::{Event, Observer, OpenPackage};
use futures::TryStreamExt;
use oci_model::annotations::DESCRIPTION;
use oci_model::{Annotations, Descriptor, Digest, Manifest, ManifestRef, MediaType, RawManifest, Tag};
use registry_backend::{BlobSource, BytesSource, RegistryBackend, WriteHint};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How deep referrers of referrers are followed.
const DEEPEST: usize = 8;

/// The document of a tombstone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Tombstone {
    /// Identifier of the withdrawn object.
    pub identifier: Identifier,
    /// When it was withdrawn, RFC 3339.
    pub date: String,
    /// Why it was withdrawn.
    pub reason: String,
}

/// How to withdraw.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WithdrawOptions {
    /// The time of the withdrawal, RFC 3339.
    pub date: String,
    /// The reason, for readers of the tombstone.
    pub reason: String,
    /// Whether to report only what would be removed.
    pub dry_run: bool,
}

impl WithdrawOptions {
    /// Returns options that remove, with this date and reason.
    #[must_use]
    pub fn new(date: String, reason: String) -> Self {
        Self { date, reason, dry_run: false }
    }
}

/// The result of a withdrawal or a dry run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct WithdrawReport {
    /// The artifacts that hold a withdrawn object.
    pub artifacts: Vec<WithdrawnArtifact>,
    /// Identifiers that no artifact holds, and that were not withdrawn before. They get no tombstone.
    pub not_held: Vec<Identifier>,
    /// The tags of the tombstones.
    pub tombstones: Vec<Tag>,
}

/// An artifact that holds a withdrawn object, or refers to one that does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct WithdrawnArtifact {
    /// Digest of the manifest.
    pub digest: Digest,
    /// The tag by which it was found. Artifacts without a tag have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<Tag>,
    /// Identifier of the package or object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identifier: Option<String>,
    /// Why the store did not remove it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// Removes every artifact that holds one of these objects, with its tags and referrers, and leaves tombstones.
///
/// A package that holds a withdrawn object is removed as a whole, because its manifest names the object's bytes. The
/// next replication copies the package without that object. Bytes stay until the repository is pruned. Artifacts that
/// the store cannot remove are reported with the reason.
///
/// # Errors
///
/// If the repository cannot be read, or a tombstone cannot be written. Then nothing is removed.
pub async fn withdraw(
    backend: &dyn RegistryBackend,
    identifiers: &[Identifier],
    options: &WithdrawOptions,
    observer: &Arc<dyn Observer>,
) -> Result<WithdrawReport> {
    let wanted: BTreeSet<&str> = identifiers.iter().map(Identifier::as_str).collect();
    let mut search = Search {
        backend,
        wanted,
        found: Vec::new(),
        held: BTreeSet::new(),
        seen: HashSet::new(),
        budget: ReferrerBudget::default(),
    };
    search.all(observer).await?;
    let Search { found: mut artifacts, held, .. } = search;
    let mut report = WithdrawReport::default();
    let mut tombstones = Vec::new();
    for identifier in identifiers {
        let tag = tag_of(identifier)?;
        let was_withdrawn = backend.stat_manifest(&ManifestRef::Tag(tag.clone())).await?.is_some();
        if !held.contains(identifier.as_str()) && !was_withdrawn {
            report.not_held.push(identifier.clone());
            continue;
        }
        if !options.dry_run {
            // The first date and reason stay. An earlier withdrawal may have ended before it moved the object's tag.
            let tombstone = match was_withdrawn {
                true => backend.read_manifest(&ManifestRef::Tag(tag.clone())).await?,
                false => write_tombstone(backend, identifier, &tag, options).await?,
            };
            tombstones.push((identifier, tombstone));
        }
        report.tombstones.push(tag);
    }
    if !options.dry_run {
        // Referrers were found after their subjects, and go first.
        for artifact in artifacts.iter_mut().rev() {
            artifact.failure = remove(backend, &artifact.digest).await;
        }
        // The object's tag leads to the reason.
        for (identifier, tombstone) in tombstones {
            if let Ok(tag) = identifier.tag().parse() {
                backend.write_manifest(&ManifestRef::Tag(tag), &tombstone).await?;
            }
        }
    }
    report.artifacts = artifacts;
    Ok(report)
}

fn tag_of(identifier: &Identifier) -> Result<Tag> {
    tombstone_tag(identifier).ok_or_else(|| Error::content(identifier.as_str(), "it has no tag"))
}

struct Search<'a> {
    backend: &'a dyn RegistryBackend,
    wanted: BTreeSet<&'a str>,
    found: Vec<WithdrawnArtifact>,
    /// The identifiers that an artifact holds.
    held: BTreeSet<String>,
    seen: HashSet<Digest>,
    budget: ReferrerBudget,
}

impl Search<'_> {
    /// Looks through all artifacts: those with tags, and those without where the store lists them.
    async fn all(&mut self, observer: &Arc<dyn Observer>) -> Result<()> {
        let backend = self.backend;
        let mut artifacts = walk(backend, None);
        while let Some(met) = artifacts.try_next().await? {
            match met {
                Met::Artifact(tagged) => self.look_at(Some(tagged.tag), tagged.raw, tagged.manifest).await?,
                Met::Unreadable { tag, error } => {
                    let warning = format!("`{tag}` is not searched: {error}");
                    observer.event(&Event::Warning(&warning));
                }
            }
        }
        let Some(pruner) = backend.admin().and_then(|admin| admin.pruner()) else { return Ok(()) };
        let listed: Vec<Descriptor> = pruner.listed().try_collect().await?;
        for Descriptor { digest, .. } in listed {
            if self.seen.contains(&digest) {
                continue;
            }
            match backend.read_manifest(&ManifestRef::Digest(digest.clone())).await {
                Ok(raw) => {
                    if let Ok(manifest) = raw.parse() {
                        self.look_at(None, raw, manifest).await?;
                    }
                }
                Err(error) if concerns_content(error.kind()) => {
                    observer.event(&Event::Warning(&format!("`{digest}` is not searched: {error}")));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    async fn look_at(&mut self, tag: Option<Tag>, raw: RawManifest, manifest: Manifest) -> Result<()> {
        if !self.seen.insert(raw.digest().clone()) {
            return Ok(());
        }
        let Manifest::Image(image) = manifest else { return Ok(()) };
        if is_tombstone(image.artifact_type.as_ref()) {
            return Ok(());
        }
        let digest = raw.digest().clone();
        let identifier = image.annotations.get(D1_IDENTIFIER).cloned();
        let stated = [D1_IDENTIFIER, D1_RESOURCE_MAP].map(|key| image.annotations.get(key).cloned());
        let mut held: BTreeSet<String> = stated.into_iter().flatten().collect();
        match OpenPackage::of_manifest(self.backend, raw, image).await {
            Ok(package) => {
                let objects = package.view.entries().filter_map(|entry| entry.object?.identifier.as_ref());
                held.extend(objects.map(ToString::to_string));
            }
            Err(d1_transfer::Error::Backend(error)) if !concerns_content(error.kind()) => {
                return Err(error.into());
            }
            // Of a damaged package, the annotations count.
            Err(_) => {}
        }
        held.retain(|identifier| self.wanted.contains(identifier.as_str()));
        if held.is_empty() {
            return Ok(());
        }
        self.held.extend(held);
        self.found.push(WithdrawnArtifact { digest: digest.clone(), tag, identifier, failure: None });
        self.add_referrers(digest).await
    }

    async fn add_referrers(&mut self, subject: Digest) -> Result<()> {
        let mut subjects = vec![subject];
        for _ in 0..DEEPEST {
            let mut next = Vec::new();
            for subject in subjects {
                for referrer in referrers(self.backend, &subject, None, &self.budget).await? {
                    if self.seen.insert(referrer.digest.clone()) {
                        let digest = referrer.digest.clone();
                        self.found.push(WithdrawnArtifact {
                            digest,
                            tag: None,
                            identifier: None,
                            failure: None,
                        });
                        next.push(referrer.digest);
                    }
                }
            }
            subjects = next;
        }
        Ok(())
    }
}

/// Removes a manifest with its tags. Returns the reason if the store does not do it.
async fn remove(backend: &dyn RegistryBackend, digest: &Digest) -> Option<String> {
    let Some(admin) = backend.admin() else { return Some("the store cannot delete".to_owned()) };
    match admin.delete_manifest(digest).await {
        Ok(()) => None,
        Err(error) if error.kind() == registry_backend::ErrorKind::NotFound => None,
        Err(error) => Some(d1_transfer::with_causes(&error)),
    }
}

async fn write_tombstone(
    backend: &dyn RegistryBackend,
    identifier: &Identifier,
    tag: &Tag,
    options: &WithdrawOptions,
) -> Result<RawManifest> {
    let (date, reason) = (options.date.clone(), options.reason.clone());
    let document = Tombstone { identifier: identifier.clone(), date, reason };
    let bytes =
        serde_json::to_vec(&document).map_err(|error| Error::io("write", "the tombstone", error.into()))?;
    let content = BytesSource::new(bytes);
    let kind = MediaType::from_static(TOMBSTONE_TYPE);
    let file = SingleFile {
        title: "tombstone.json".to_owned(),
        media_type: Some(kind.clone()),
        digest: content.digest().clone(),
        size: content.size(),
        object: ObjectFacts { identifier: Some(identifier.clone()), ..ObjectFacts::default() },
    };
    let mut annotations = Annotations::new();
    annotations.insert(DESCRIPTION.to_owned(), format!("Withdrawn: {}", options.reason));
    let manifest_options = SingleFileOptions {
        artifact_type: Some(kind),
        created: Some(options.date.clone()),
        annotations,
        ..SingleFileOptions::default()
    };
    let raw = single_files_manifest(&[file], &manifest_options)?;
    backend.write_blob(&BytesSource::new(Descriptor::EMPTY_CONTENT), &WriteHint::default()).await?;
    backend.write_blob(&content, &WriteHint::default()).await?;
    backend.write_manifest(&ManifestRef::Tag(tag.clone()), &raw).await?;
    Ok(raw)
}
