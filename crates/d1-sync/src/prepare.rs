//! Laying out a replicated package: which objects become blobs, and the package once all digests are known.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bagit::{Digests, Scan, Version};
use d1_model::RESOURCE_MAP_FORMAT_ID;
use d1_package::{KnownRecords, PlanLimits, PlanOptions, PlannedLayer, Survey};
use d1_transfer::parts::{HashedDirectory, Prepared, TagFilePlace, package_files};
use d1_transfer::{Observer, PushOptions};
use oci_model::Digest;

use crate::error::Result;
use crate::package::{DescribedObject, DescribedPackage, make_bag};

/// The way of an object into the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Through the staging directory: into an archive, or as a document that has to be parsed.
    Staged,
    /// Directly, as one blob.
    Blob,
    /// Directly, in parts.
    Parts(Vec<Range<u64>>),
}

/// An object in the staging directory or in the store.
#[derive(Debug)]
pub(crate) struct Moved {
    pub(crate) digests: Digests,
    /// The digests of its parts, if it is in the store.
    pub(crate) stored: Option<Vec<Digest>>,
    pub(crate) received: bool,
    pub(crate) sent_bytes: u64,
}

/// Decides which objects become blobs of their own. Only names and sizes matter. It blocks.
pub(crate) fn ways(
    package: &DescribedPackage,
    options: &PushOptions,
    limits: PlanLimits,
    staging: &Path,
) -> Result<Vec<Way>> {
    let files = {
        // The sizes of tag files depend only on the length of the digests. The bag gets others later.
        let placeholder = Digests::of(package.algorithms, b"");
        let scan = make_bag(package, package.objects.iter().map(|_| placeholder.view()), staging)?;
        package_files(scan.inventory, true)?
    };
    let mut plan_options = PlanOptions::new(package.directory.clone());
    (plan_options.layout, plan_options.limits) = (options.layout, limits);
    let plan = d1_package::plan(&files, &plan_options)?;
    let mut ways: BTreeMap<&str, Way> = BTreeMap::new();
    let path = |file: usize| files.file(file).map_or("", |file| file.path);
    for layer in &plan.layers {
        match layer {
            PlannedLayer::Archive(_) => {}
            PlannedLayer::Object { file } => _ = ways.insert(path(*file), Way::Blob),
            PlannedLayer::Part { file, range, .. } => {
                match ways.entry(path(*file)).or_insert_with(|| Way::Parts(Vec::new())) {
                    Way::Parts(ranges) => ranges.push(range.clone()),
                    other => *other = Way::Parts(vec![range.clone()]),
                }
            }
        }
    }
    let way = |object: &DescribedObject| match ways.get(object.path.as_str()) {
        // The maps of nested packages are parsed later.
        Some(way) if &*object.record.format_id != RESOURCE_MAP_FORMAT_ID => way.clone(),
        _ => Way::Staged,
    };
    Ok(package.objects.iter().map(way).collect())
}

/// A package whose objects have moved.
pub(crate) struct Preparing {
    pub(crate) package: Arc<DescribedPackage>,
    /// Each object of the package.
    pub(crate) moved: Arc<Vec<Moved>>,
    pub(crate) staging: PathBuf,
    pub(crate) options: PushOptions,
    pub(crate) limits: PlanLimits,
    pub(crate) observer: Arc<dyn Observer>,
}

impl Preparing {
    /// Makes the bag of the package and lays it out. It blocks.
    pub(crate) fn prepare(self) -> Result<Prepared> {
        let Self { package, moved, staging, options, limits, observer } = self;
        let scan = make_bag(&package, moved.iter().map(|moved| moved.digests.view()), &staging)?;
        let survey = survey(&package, &staging, &scan)?;
        let stored = package.objects.iter().zip(&*moved);
        let stored = stored.filter_map(|(object, moved)| Some((object.path.clone(), moved.stored.clone()?)));
        let hashed = HashedDirectory {
            directory: staging,
            name: package.directory.clone(),
            scan,
            survey,
            bag: Some(Version::V1_0),
            tag_files: TagFilePlace::Directory,
            stored: stored.collect(),
            resource_map: Some(package.resource_map.clone()),
        };
        Ok(Prepared::new(hashed, &options, limits, &observer)?)
    }
}

/// Reads the documents of the package as a push of its bag would. The system metadata were read before, and objects that
/// streamed through are not documents.
fn survey(package: &DescribedPackage, staging: &Path, scan: &Scan) -> Result<Survey> {
    let mut open = |path: &str| -> io::Result<Box<dyn Read>> {
        match std::fs::File::open(staging.join(path)) {
            Ok(file) => Ok(Box::new(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Box::new(io::empty())),
            Err(error) => Err(error),
        }
    };
    let mut known = KnownRecords::with_capacity(package.objects.len());
    for DescribedObject { record, oddities, .. } in &package.objects {
        known.insert(&record.path, (record, oddities));
    }
    let listed = scan.inventory.files().map(|(path, file)| (path, file.size));
    Ok(Survey::read_unknown(listed, &known, &mut open)?)
}
