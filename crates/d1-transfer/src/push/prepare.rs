//! Everything about a directory that has to be known before anything is packed or sent.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bagit::{Algorithm, AlgorithmSet, BagInfo, Inventory, TagFiles, Version};
use bytes::Bytes;
use d1_package::{BagRecord, PackageFacts, PackageFiles, Plan, PlanLimits, PlanOptions};

use super::check::{Checked, Checking, check_directory};
use super::sources::Sources;
use crate::{Error, Event, Observer, PushOptions, Result};

/// A directory that has been hashed, checked and laid out.
pub(crate) struct Prepared {
    pub(crate) plan: Plan,
    pub(crate) files: PackageFiles,
    pub(crate) facts: PackageFacts,
    pub(crate) created: Option<String>,
    pub(crate) sources: Sources,
}

/// Hashes, checks and lays out a directory. It blocks.
///
/// # Errors
///
/// As [`push_directory`](crate::push_directory), as far as the store has no part in it.
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
    let checking = Checking { verify: options.verify, accept: options.accept, algorithms };
    let Checked { mut scan, report, documents } = check_directory(&directory, checking, observer)?;
    if made {
        let builder = bagit::BagBuilder::new().algorithms(algorithms.iter());
        scan = builder.around(scan.inventory, &Inventory::new())?;
    }
    let is_bag = made || report.is_some();
    let version = report.and_then(|report| report.version).unwrap_or(Version::V1_0);
    let algorithms = bagit::payload_algorithms(&scan.tag_files);
    let created = options.created.clone().or_else(|| bagging_date(&scan.tag_files));
    let sources = match made {
        true => Sources::payload(directory, made_files(scan.tag_files)),
        false => Sources::directory(directory),
    };
    let mut files = package_files(scan.inventory, is_bag)?;
    warn_of_clashes(&files, observer);
    let found = documents.recognise(&files);
    found.oddities.iter().for_each(|oddity| observer.event(&Event::Warning(&oddity.to_string())));
    for (position, object) in found.objects {
        files.set_object(position, object);
    }
    let facts = PackageFacts {
        bag: is_bag.then_some(BagRecord { version, algorithms }),
        identifier: options.identifier.clone().or(found.identifier),
        resource_map: found.resource_map,
        series_id: found.series_id,
        obsoletes: found.obsoletes,
        title: found.title,
    };
    let mut plan_options = PlanOptions::new(name);
    (plan_options.layout, plan_options.limits) = (options.layout, limits);
    let plan = d1_package::plan(&files, &plan_options).map_err(d1_package::Error::from)?;
    Ok(Prepared { plan, files, facts, created, sources })
}

/// The manifests of a bag that is made on the way: what RFC 8493 section 2.4 recommends, and what the layers' digests are.
fn made_bag_algorithms() -> AlgorithmSet {
    [Algorithm::Sha256, Algorithm::Sha512].into_iter().collect()
}

/// Returns tag files that are made on the way, as sources have them.
pub(crate) fn made_files(tag_files: TagFiles) -> BTreeMap<String, Bytes> {
    tag_files.into_held().map(|(path, bytes)| (path, bytes.into())).collect()
}

pub(crate) fn package_files(inventory: Inventory, is_bag: bool) -> Result<PackageFiles> {
    let is_empty = |path: &&str| !inventory.has_anything_under(path);
    let empty = inventory.added_directories().filter(is_empty).map(Into::into).collect();
    Ok(PackageFiles::of_inventory(inventory, empty, is_bag).map_err(d1_package::Error::from)?)
}

pub(crate) fn warn_of_clashes(files: &PackageFiles, observer: &Arc<dyn Observer>) {
    for clash in files.name_clashes() {
        let text = format!("`{}` and `{}` are one file on some systems", clash.first, clash.second);
        observer.event(&Event::Warning(&text));
    }
}

/// Returns the bag's `Bagging-Date` as a time, for a manifest that is the same whenever it is made.
pub(crate) fn bagging_date(tag_files: &TagFiles) -> Option<String> {
    let text = std::str::from_utf8(tag_files.get("bag-info.txt")?).ok()?;
    let (info, _) = BagInfo::parse(text, Version::V1_0);
    let date = info.get_unfolded("Bagging-Date")?;
    bagit::is_date(&date).then(|| format!("{date}T00:00:00Z"))
}
