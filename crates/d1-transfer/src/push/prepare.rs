//! The layout of a package, decided before anything is packed or sent.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bagit::{Algorithm, AlgorithmSet, BagInfo, Inventory, Scan, TagFiles, Version};
use d1_model::Identifier;
use d1_package::{BagRecord, PackageFacts, PackageFiles, Plan, PlanLimits, PlanOptions, Survey};
use oci_model::Digest;

use super::check::{Checked, Checking, check_directory};
use super::sources::Sources;
use crate::{Error, Event, Observer, PushOptions, Result};

/// A package that is laid out: ready to be packed and sent by [`push_prepared`](super::push_prepared).
#[derive(Debug)]
pub struct Prepared {
    pub(crate) plan: Plan,
    pub(crate) files: PackageFiles,
    pub(crate) facts: PackageFacts,
    pub(crate) created: Option<String>,
    pub(crate) sources: Sources,
}

/// A directory whose files are hashed.
#[derive(Debug)]
pub struct HashedDirectory {
    /// The directory that holds the files.
    pub directory: PathBuf,
    /// Name of the package's directory.
    pub name: String,
    /// All files of the package with sizes and digests.
    pub scan: Scan,
    /// The form of the package, and the documents that describe it.
    pub survey: Survey,
    /// Version of the bag, if the package is a bag.
    pub bag: Option<Version>,
    /// Where the tag files of the bag are.
    pub tag_files: TagFilePlace,
    /// Files that the store has already. Each has the digests of its parts if it is stored in parts.
    pub stored: BTreeMap<String, Vec<Digest>>,
    /// Identifier of the resource map, if the caller knows it. Otherwise the documents tell.
    pub resource_map: Option<Identifier>,
}

/// Where the tag files of a bag are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagFilePlace {
    /// In the directory.
    Directory,
    /// In memory, beside the other files of the bag in the directory.
    Memory,
    /// In memory. The directory becomes the payload.
    AroundPayload,
}

impl Prepared {
    /// Recognises DataONE objects among the files, and decides which files share a layer.
    ///
    /// # Errors
    ///
    /// If the files do not fit into a package.
    pub fn new(
        hashed: HashedDirectory,
        options: &PushOptions,
        limits: PlanLimits,
        observer: &Arc<dyn Observer>,
    ) -> Result<Self> {
        let HashedDirectory { directory, name, scan, survey, bag, tag_files, stored, resource_map } = hashed;
        let record =
            bag.map(|version| BagRecord { version, algorithms: bagit::payload_algorithms(&scan.tag_files) });
        let created = options.created.clone().or_else(|| bagging_date(&scan.tag_files));
        let mut files = package_files(scan.inventory, bag.is_some())?;
        let sources = Sources::new(directory, tag_files, scan.tag_files, stored);
        warn_of_clashes(&files, observer);
        let found = survey.facts(&files);
        found.oddities.iter().for_each(|oddity| observer.event(&Event::Warning(&oddity.to_string())));
        for (position, object) in found.objects {
            files.set_object(position, object);
        }
        let created = created.or(found.published);
        let facts = PackageFacts {
            bag: record,
            identifier: options.identifier.clone().or(found.package.identifier),
            resource_map: resource_map.or(found.package.resource_map),
            ..found.package
        };
        let content_digest = d1_package::content_digest(&files, facts.resource_map.as_ref());
        let facts = PackageFacts { content_digest, ..facts };
        let mut plan_options = PlanOptions::new(name);
        (plan_options.layout, plan_options.limits) = (options.layout, limits);
        let plan = d1_package::plan(&files, &plan_options)?;
        Ok(Self { plan, files, facts, created, sources })
    }
}

/// Hashes, checks and lays out a directory. It blocks.
///
/// # Errors
///
/// As [`push_directory`](crate::push_directory), except for failures of the store.
pub(crate) fn prepare(
    directory: &Path,
    options: &PushOptions,
    limits: PlanLimits,
    observer: &Arc<dyn Observer>,
) -> Result<Prepared> {
    let directory = directory.canonicalize().map_err(|error| Error::io("open", directory, error))?;
    let name = directory.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| Error::NotPushable { path: directory.clone() })?.to_owned();
    let made = options.make_bag && !bagit::is_bag(&directory);
    let algorithms = if made { made_bag_algorithms() } else { AlgorithmSet::EMPTY };
    let (verify, accept, strict_crate) = (options.verify, options.accept, options.strict_crate);
    let checking = Checking { verify, accept, strict_crate, algorithms };
    let Checked { mut scan, report, mut survey } = check_directory(&directory, checking, observer)?;
    if made {
        let builder = bagit::BagBuilder::new().algorithms(algorithms.iter());
        scan = builder.around(scan.inventory, &Inventory::new())?;
        survey = survey.into_payload();
    }
    let is_bag = made || report.is_some();
    let version = report.and_then(|report| report.version).unwrap_or(Version::V1_0);
    let hashed = HashedDirectory {
        directory,
        name,
        scan,
        survey,
        bag: is_bag.then_some(version),
        tag_files: if made { TagFilePlace::AroundPayload } else { TagFilePlace::Directory },
        stored: BTreeMap::new(),
        resource_map: None,
    };
    Prepared::new(hashed, options, limits, observer)
}

/// The manifests of a bag that a push makes: RFC 8493 section 2.4 recommends SHA-512, and layers are named by SHA-256.
fn made_bag_algorithms() -> AlgorithmSet {
    [Algorithm::Sha256, Algorithm::Sha512].into_iter().collect()
}

/// Returns the files of a directory as the files of a package.
///
/// # Errors
///
/// If a path cannot be the path of a file in a package.
pub fn package_files(inventory: Inventory, is_bag: bool) -> Result<PackageFiles> {
    let is_empty = |path: &&str| !inventory.has_anything_under(path);
    let empty = inventory.added_directories().filter(is_empty).map(Into::into).collect();
    Ok(PackageFiles::of_inventory(inventory, empty, is_bag)?)
}

fn warn_of_clashes(files: &PackageFiles, observer: &Arc<dyn Observer>) {
    for clash in files.name_clashes() {
        let text = format!("`{}` and `{}` are one file on some systems", clash.first, clash.second);
        observer.event(&Event::Warning(&text));
    }
}

/// Returns the bag's `Bagging-Date` as a time. With it, the manifest is the same whenever it is made.
fn bagging_date(tag_files: &TagFiles) -> Option<String> {
    let text = std::str::from_utf8(tag_files.get("bag-info.txt")?).ok()?;
    let (info, _) = BagInfo::parse(text, Version::V1_0);
    let date = info.get_unfolded("Bagging-Date")?;
    bagit::is_date(&date).then(|| format!("{date}T00:00:00Z"))
}
