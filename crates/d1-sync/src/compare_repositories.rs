//! Comparison of two repositories of packages by the digests of their content.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use d1_package::annotations::{D1_IDENTIFIER, D1_RESOURCE_MAP};
use d1_package::{ArtifactState, Entry, PackageView, content_digest, is_tombstone};
use d1_transfer::parts::{Met, concerns_content, walk};
use d1_transfer::{Event, Observer, open_package, with_causes};
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use oci_model::{Digest, Manifest, ManifestRef};
use registry_backend::ErrorKind::NotFound;
use registry_backend::RegistryBackend;
use serde::Serialize;

use crate::difference::DifferenceKind;
use crate::error::{Error, Result};

/// How many pairs of packages are opened at once.
const AT_ONCE: usize = 8;

/// One difference between two repositories.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct PackageDifference {
    /// The kind of the difference.
    pub kind: DifferenceKind,
    /// The resource map of the package, else its identifier, else its tag.
    pub package: String,
    /// Identifier of the member that differs, or the path of a file without one. It is absent if the package differs as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// The two states, in words.
    pub detail: String,
}

/// The result of a comparison of two repositories.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct RepositoryComparison {
    /// Number of tagged packages in the repository.
    pub packages: u64,
    /// Number of tagged packages in the other repository.
    pub others: u64,
    /// Number of packages with the same manifest in both.
    pub identical: u64,
    /// Number of packages with equal content in the same state, and different manifests.
    pub equal: u64,
    /// Number of artifacts of either repository that could not be read.
    pub unreadable: u64,
    /// Number of differences of each kind.
    pub differences: BTreeMap<DifferenceKind, u64>,
}

/// Compares the tagged packages of two repositories, and calls `tell` for each difference, in the order of the packages.
///
/// Packages with the same resource map are compared, and those without one by identifier or tag. Packages with the same content
/// digest (docs/artifact-format.md section 6.5) differ only if one of them is archived, replaced or has private objects: nothing more
/// is read of them than the manifests. Of packages with other content, the indexes are read, and members compared. Other changes
/// of system metadata do not count. Nothing is changed. It holds some 500 bytes in memory for each package.
///
/// # Errors
///
/// If one of the stores fails.
pub async fn compare_repositories(
    here: &dyn RegistryBackend,
    there: &dyn RegistryBackend,
    observer: &Arc<dyn Observer>,
    tell: &mut (dyn FnMut(&PackageDifference) + Send),
) -> Result<RepositoryComparison> {
    let mine = read_packages(here, observer).map(|found| match found {
        // A repository that does not exist yet lacks everything.
        Err(Error::Transfer(d1_transfer::Error::Backend(error))) if error.kind() == NotFound => {
            Ok(Packages::default())
        }
        found => found,
    });
    let (mine, mut theirs) = futures::try_join!(mine, read_packages(there, observer))?;
    let mut report = RepositoryComparison {
        packages: mine.count(),
        others: theirs.count(),
        unreadable: mine.unreadable + theirs.unreadable,
        ..RepositoryComparison::default()
    };
    let mut unequal = Vec::new();
    for (name, versions) in mine.packages {
        let others = theirs.packages.remove(&name).unwrap_or_default();
        unequal.extend(pair(name, versions, others, &mut report));
    }
    for (name, others) in theirs.packages {
        unequal.extend(pair(name, Vec::new(), others, &mut report));
    }
    unequal.sort_by(|one, other| one.name.cmp(&other.name));
    let stores = Stores { here, there, withdrawn_here: mine.withdrawn, withdrawn_there: theirs.withdrawn };
    let compared = stream::iter(unequal).map(|pair| stores.compare(pair).boxed());
    let mut compared = std::pin::pin!(compared.buffered(AT_ONCE));
    while let Some((name, found)) = compared.next().await {
        match found {
            Ok(found) if found.is_empty() => report.equal += 1,
            Ok(found) => {
                for difference in found {
                    *report.differences.entry(difference.kind).or_default() += 1;
                    tell(&difference);
                }
            }
            Err(Error::Transfer(error)) if error.of_store().is_none_or(|e| concerns_content(e.kind())) => {
                report.unreadable += 1;
                let reason = with_causes(&error);
                observer.event(&Event::Warning(&format!("`{name}` is not compared: {reason}")));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(report)
}

/// The packages of a repository.
#[derive(Default)]
struct Packages {
    /// By resource map, identifier or tag. Several tags can keep several versions of one resource map.
    packages: BTreeMap<String, Vec<Version>>,
    /// Identifiers with a tombstone.
    withdrawn: HashSet<String>,
    unreadable: u64,
}

impl Packages {
    fn count(&self) -> u64 {
        self.packages.values().map(|versions| versions.len() as u64).sum()
    }
}

/// A package, as its manifest describes it.
struct Version {
    digest: Digest,
    state: ArtifactState,
}

async fn read_packages(backend: &dyn RegistryBackend, observer: &Arc<dyn Observer>) -> Result<Packages> {
    let mut found = Packages::default();
    let mut met = walk(backend, None);
    while let Some(met) = met.try_next().await? {
        let tagged = match met {
            Met::Artifact(tagged) => tagged,
            Met::Unreadable { tag, error } => {
                found.unreadable += 1;
                let reason = with_causes(&error);
                observer.event(&Event::Warning(&format!("`{tag}` is not compared: {reason}")));
                continue;
            }
        };
        let annotations = tagged.manifest.annotations();
        let identifier = annotations.get(D1_IDENTIFIER);
        if matches!(&tagged.manifest, Manifest::Image(image) if is_tombstone(image.artifact_type.as_ref())) {
            found.withdrawn.extend(identifier.cloned());
            continue;
        }
        let name = annotations.get(D1_RESOURCE_MAP).or(identifier).cloned();
        let version = Version { digest: tagged.raw.digest().clone(), state: ArtifactState::of(annotations) };
        found.packages.entry(name.unwrap_or_else(|| tagged.tag.to_string())).or_default().push(version);
    }
    Ok(found)
}

/// Two versions of one package that are not equal, or one that the other repository lacks.
struct Pair {
    name: String,
    here: Option<Version>,
    there: Option<Version>,
}

/// Pairs the versions of one package. Counts those that are equal, and returns the others.
fn pair(
    name: String,
    mut here: Vec<Version>,
    mut there: Vec<Version>,
    report: &mut RepositoryComparison,
) -> Vec<Pair> {
    let is_identical = |one: &Version, other: &Version| one.digest == other.digest;
    report.identical += remove_pairs(&mut here, &mut there, is_identical);
    let is_equal = |one: &Version, other: &Version| one.state.is_equal_content_in_equal_state(&other.state);
    report.equal += remove_pairs(&mut here, &mut there, is_equal);
    let count = here.len().max(there.len());
    let (mut here, mut there) = (here.into_iter(), there.into_iter());
    (0..count).map(|_| Pair { name: name.clone(), here: here.next(), there: there.next() }).collect()
}

/// Removes a version from both lists for each pair that is the same. Returns the number of pairs.
fn remove_pairs(
    here: &mut Vec<Version>,
    there: &mut Vec<Version>,
    is_same: impl Fn(&Version, &Version) -> bool,
) -> u64 {
    let before = here.len();
    here.retain(|version| match there.iter().position(|other| is_same(version, other)) {
        Some(position) => {
            there.remove(position);
            false
        }
        None => true,
    });
    (before - here.len()) as u64
}

/// The two repositories.
struct Stores<'a> {
    here: &'a dyn RegistryBackend,
    there: &'a dyn RegistryBackend,
    withdrawn_here: HashSet<String>,
    withdrawn_there: HashSet<String>,
}

impl Stores<'_> {
    /// Returns the name of the package and its differences.
    async fn compare(&self, pair: Pair) -> (String, Result<Vec<PackageDifference>>) {
        let Pair { name, here, there } = pair;
        let found = match (here, there) {
            (Some(here), Some(there)) => self.compare_versions(&name, &here, &there).await,
            (Some(_), None) => Ok(vec![self.only_here(&name, None)]),
            (None, _) => Ok(vec![self.missing(&name, None)]),
        };
        (name, found)
    }

    async fn compare_versions(
        &self,
        name: &str,
        here: &Version,
        there: &Version,
    ) -> Result<Vec<PackageDifference>> {
        let mut found = Vec::new();
        let digests = (&here.state.content_digest, &there.state.content_digest);
        if digests.0.is_none() || digests.0 != digests.1 {
            let mine = open_package(self.here, &ManifestRef::Digest(here.digest.clone())).await?;
            let others = open_package(self.there, &ManifestRef::Digest(there.digest.clone())).await?;
            found = self.compare_members(name, &mine.view, &others.view);
        }
        let state = state_difference(&here.state, &there.state);
        found.extend(state.map(|(kind, detail)| difference(kind, name, None, detail)));
        Ok(found)
    }

    fn compare_members(&self, name: &str, here: &PackageView, there: &PackageView) -> Vec<PackageDifference> {
        // Tag files and system metadata of a package of objects are not members: they differ between nodes.
        let only_objects = match (stated_content(here), stated_content(there)) {
            (Some(one), Some(other)) if one == other => return Vec::new(),
            (None, None) => false,
            _ => true,
        };
        let (mine, mut others) = (members(here, only_objects), members(there, only_objects));
        let mut found = Vec::new();
        for (member, entry) in mine {
            match others.remove(member) {
                None => found.push(self.only_here(name, Some(member))),
                Some(other) => found.extend(
                    content_difference(&entry, &other)
                        .map(|detail| difference(DifferenceKind::Content, name, Some(member), detail)),
                ),
            }
        }
        found.extend(others.into_keys().map(|member| self.missing(name, Some(member))));
        found
    }

    fn only_here(&self, name: &str, member: Option<&str>) -> PackageDifference {
        let detail = absence("the other repository", &self.withdrawn_there, name, member);
        difference(DifferenceKind::OnlyHere, name, member, detail)
    }

    fn missing(&self, name: &str, member: Option<&str>) -> PackageDifference {
        let detail = absence("this repository", &self.withdrawn_here, name, member);
        difference(DifferenceKind::Missing, name, member, detail)
    }
}

/// Says why a repository lacks a package or a member of it.
fn absence(repository: &str, withdrawn: &HashSet<String>, name: &str, member: Option<&str>) -> String {
    match (withdrawn.contains(member.unwrap_or(name)), member) {
        (true, _) => format!("it was withdrawn from {repository}"),
        (false, None) => format!("{repository} lacks the package"),
        (false, Some(_)) => format!("the package in {repository} lacks it"),
    }
}

fn difference(kind: DifferenceKind, name: &str, member: Option<&str>, detail: String) -> PackageDifference {
    PackageDifference { kind, package: name.to_owned(), member: member.map(str::to_owned), detail }
}

/// Returns the content digest of a package, calculated from its index.
fn stated_content(package: &PackageView) -> Option<Digest> {
    let index = package.index()?;
    content_digest(index.files(), index.resource_map())
}

/// Returns the members of a package by identifier. Without `only_objects`, it returns all files; those without an identifier by path.
fn members(package: &PackageView, only_objects: bool) -> BTreeMap<&str, Entry<'_>> {
    let map = package.index().and_then(|index| index.resource_map());
    let members = package.entries().filter_map(|entry| {
        let identifier = entry.object.and_then(|object| object.identifier.as_ref());
        match identifier {
            Some(identifier) if only_objects && Some(identifier) == map => None,
            Some(identifier) => Some((identifier.as_str(), entry)),
            None => (!only_objects).then_some((entry.path, entry)),
        }
    });
    members.collect()
}

/// Compares bytes and declared checksums of a member. A SHA-256 that one of the packages does not state counts as equal.
fn content_difference(here: &Entry<'_>, there: &Entry<'_>) -> Option<String> {
    if here.size != there.size {
        return Some(format!("it has {} bytes here, and {} there", here.size, there.size));
    }
    if let (Some(one), Some(other)) = (here.sha256, there.sha256)
        && one != other
    {
        return Some(format!("its SHA-256 is {} here, and {} there", hex::encode(one), hex::encode(other)));
    }
    let declared = |entry: &Entry<'_>| {
        let checksum = entry.object.and_then(|object| object.declared_checksum.as_ref());
        checksum.map_or_else(|| "none".to_owned(), ToString::to_string)
    };
    let (one, other) = (declared(here), declared(there));
    let is_other = !one.eq_ignore_ascii_case(&other);
    is_other.then(|| format!("its declared checksum is {one} here, and {other} there"))
}

/// Compares the states of two versions of a package.
fn state_difference(here: &ArtifactState, there: &ArtifactState) -> Option<(DifferenceKind, String)> {
    let (archived, not_public) = (here.archived == there.archived, here.not_public == there.not_public);
    if archived && not_public && here.obsoleted_by == there.obsoleted_by {
        return None;
    }
    let kind = if there.not_public > here.not_public {
        DifferenceKind::Private
    } else if there.archived && !here.archived {
        DifferenceKind::Archived
    } else if there.obsoleted_by.is_some() && here.obsoleted_by.is_none() {
        DifferenceKind::Obsoleted
    } else {
        DifferenceKind::Changed
    };
    let words = |state: &ArtifactState| match state.to_string() {
        words if words.is_empty() => "current and public".to_owned(),
        words => words,
    };
    Some((kind, format!("it is {} here, and {} there", words(here), words(there))))
}
