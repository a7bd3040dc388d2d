//! The first pass of a push: all files are hashed, a bag is checked, and the package is laid out.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bagit::{
    Algorithm, AlgorithmSet, Bag, BagInfo, Fault, Inventory, KnownDigests, Report, Scan, ScanOptions,
    Severity, TagFiles, Version,
};
use d1_model::Identifier;
use d1_package::Accept;
use d1_package::{
    BagRecord, PackageFacts, PackageFiles, PackageOddity, Plan, PlanLimits, PlanOptions, Survey, Validation,
};
use oci_model::Digest;

use crate::error::{ContentFault, Error, Result};
use crate::event::{Event, HashProgress, Observer};
use crate::push::PushOptions;
use crate::push::layers::{Sources, TagFilePlace};

/// A package that is laid out, ready for [`push_prepared`](super::push_prepared).
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
    /// Identifier of the resource map, if the caller knows it. Otherwise the documents decide.
    pub resource_map: Option<Identifier>,
}

impl Prepared {
    /// Recognises DataONE objects among the files, and decides which files share a layer.
    ///
    /// # Errors
    ///
    /// Fails if the files do not fit into a package.
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
        let sources = Sources::new(directory.clone(), tag_files, scan.tag_files, stored);
        warn_of_clashes(&files, observer);
        let found = survey.facts(&files);
        // The documents of a large package need the memory.
        drop(survey);
        if let (false, count @ 1..) = (options.include_private, found.not_public.len()) {
            return Err(Error::NotPublic { artifact: format!("`{}`", directory.display()), count });
        }
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
    let Checked { mut scan, report, mut survey } =
        check_directory(&directory, checking, options.known.as_deref(), observer)?;
    if made {
        let builder = bagit::BagBuilder::new().algorithms(algorithms.iter());
        scan = builder.around(scan.inventory, &Inventory::new())?;
        survey = survey.into_payload();
    }
    let is_bag = made || report.is_some();
    refuse_names(&scan.inventory)?;
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

/// Refuses all files at once whose names no file of a package may have.
fn refuse_names(inventory: &Inventory) -> Result<()> {
    const MOST_NAMED: usize = 1000;
    let fault = |path: &str| {
        let reason = d1_package::path_fault(path)?;
        Some(ContentFault { path: path.to_owned(), message: reason.to_string() })
    };
    let faults: Vec<_> = inventory.files().filter_map(|(path, _)| fault(path)).take(MOST_NAMED).collect();
    if faults.is_empty() { Ok(()) } else { Err(Error::UnusableNames { faults }) }
}

/// The manifests of a bag that a push makes: RFC 8493 section 2.4 recommends SHA-512, and layers are named by SHA-256.
fn made_bag_algorithms() -> AlgorithmSet {
    [Algorithm::Sha256, Algorithm::Sha512].into_iter().collect()
}

/// Returns the files of a directory as the files of a package.
///
/// # Errors
///
/// Fails if a path cannot be the path of a file in a package.
pub fn package_files(inventory: Inventory, is_bag: bool) -> Result<PackageFiles> {
    let is_empty = |path: &&str| !inventory.has_anything_under(path);
    let empty = inventory.added_directories().filter(is_empty).map(Into::into).collect();
    Ok(PackageFiles::of_inventory(inventory, empty, is_bag)?)
}

fn warn_of_clashes(files: &PackageFiles, observer: &Arc<dyn Observer>) {
    for clash in files.name_clashes() {
        let text = format!("some systems do not distinguish `{}` and `{}`", clash.first, clash.second);
        observer.event(&Event::Warning(&text));
    }
}

/// Returns the bag's `Bagging-Date` as a time. It keeps the manifest the same whenever it is made.
fn bagging_date(tag_files: &TagFiles) -> Option<String> {
    let text = std::str::from_utf8(tag_files.get("bag-info.txt")?).ok()?;
    let (info, _) = BagInfo::parse(text, Version::V1_0);
    let date = info.get_unfolded("Bagging-Date")?;
    bagit::is_date(&date).then(|| format!("{date}T00:00:00Z"))
}

/// A directory whose files have been hashed.
#[derive(Debug)]
pub(crate) struct Checked {
    /// Files with sizes and digests.
    pub(crate) scan: Scan,
    /// The result of validating a bag. Absent for a plain directory.
    pub(crate) report: Option<Report>,
    /// The form of the directory, and the documents that describe it.
    pub(crate) survey: Survey,
}

/// Options of the check.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checking {
    /// Whether a bag must be valid.
    pub(crate) verify: bool,
    /// Whose faults are tolerated.
    pub(crate) accept: Accept,
    /// Whether each problem of an RO-Crate is an error.
    pub(crate) strict_crate: bool,
    /// Algorithms besides those of the manifests and of the system metadata.
    pub(crate) algorithms: AlgorithmSet,
}

/// Hashes all files of a directory whose digests are not known, each in one read, and validates it if it is a bag. It blocks.
///
/// # Errors
///
/// [`Error::InvalidBag`] with all faults. [`Error::Content`] for files that cannot be pushed.
pub(crate) fn check_directory(
    directory: &Path,
    checking: Checking,
    known: Option<&dyn KnownDigests>,
    observer: &Arc<dyn Observer>,
) -> Result<Checked> {
    let survey = survey(directory)?;
    let mut options = ScanOptions::default();
    // The checksums in documents are computed in the same read.
    options.extra_algorithms = checking.algorithms.union(survey.algorithms());
    options.extra_algorithms.insert(Algorithm::Sha256);
    let bag = Bag::open(directory, &options.limits)?;
    let scan = bag.hash_unless_known(&options, known, &HashProgress::new(observer))?;
    let observations = scan.inventory.observations().kept();
    let check_options = checking.accept.check_options();
    let Validation { report, oddities, .. } =
        survey.validate(&scan.inventory, &scan.tag_files, &check_options);
    match &report {
        Some(report) => judge(directory, report, checking.verify, observer)?,
        None => warn(observations.iter().filter(|fault| fault.severity == Severity::Warning), observer),
    }
    refuse_unusable(observations)?;
    judge_crate(&oddities, checking, observer)?;
    Ok(Checked { scan, report, survey })
}

fn survey(directory: &Path) -> Result<Survey> {
    let files = regular_files(directory);
    let mut open = |path: &str| -> io::Result<Box<dyn Read>> {
        Ok(Box::new(Readable(File::open(directory.join(path)).ok())))
    };
    let listed = files.iter().map(|(path, size)| (path.as_str(), *size));
    Ok(Survey::read(listed, &mut open)?)
}

/// Reads a file up to the first error. An unreadable file is not a document here; hashing reports it later.
struct Readable(Option<File>);

impl Read for Readable {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(self.0.as_mut().map_or(0, |file| file.read(buffer).unwrap_or(0)))
    }
}

/// Lists regular files with their sizes, in byte order. Hashing reports unreadable directories later.
fn regular_files(directory: &Path) -> Vec<(String, u64)> {
    let mut files = Vec::new();
    let mut pending: Vec<(PathBuf, String)> = vec![(directory.to_owned(), String::new())];
    while let Some((directory, prefix)) = pending.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let (Ok(kind), Some(name)) = (entry.file_type(), entry.file_name().to_str().map(str::to_owned))
            else {
                continue;
            };
            let path = format!("{prefix}{name}");
            if kind.is_dir() {
                pending.push((entry.path(), format!("{path}/")));
            } else if let (true, Ok(metadata)) = (kind.is_file(), entry.metadata()) {
                files.push((path, metadata.len()));
            }
        }
    }
    files.sort();
    files
}

fn warn<'f>(faults: impl Iterator<Item = &'f Fault>, observer: &Arc<dyn Observer>) {
    faults.for_each(|fault| observer.event(&Event::Warning(&fault.to_string())));
}

fn judge(directory: &Path, report: &Report, verify: bool, observer: &Arc<dyn Observer>) -> Result<()> {
    warn(report.warnings(), observer);
    if report.valid {
        return Ok(());
    }
    if verify {
        return Err(Error::InvalidBag { directory: directory.to_owned(), report: Box::new(report.clone()) });
    }
    let message = format!("pushing the bag with {} faults", report.error_count());
    observer.event(&Event::Warning(&message));
    Ok(())
}

/// Reports the problems of an RO-Crate. A wrong checksum ends a push that verifies, and any problem a strict one.
fn judge_crate(oddities: &[PackageOddity], checking: Checking, observer: &Arc<dyn Observer>) -> Result<()> {
    oddities.iter().for_each(|oddity| observer.event(&Event::Warning(&oddity.to_string())));
    let is_error =
        |oddity: &&PackageOddity| checking.strict_crate || checking.verify && oddity.code.is_fault();
    let faults: Vec<ContentFault> = oddities
        .iter()
        .filter(is_error)
        .map(|oddity| ContentFault { path: oddity.path.to_string(), message: oddity.message.clone() })
        .collect();
    if faults.is_empty() { Ok(()) } else { Err(Error::Content { faults }) }
}

/// Refuses files that cannot be read or are not regular.
fn refuse_unusable(observations: &[Fault]) -> Result<()> {
    let mut faults: Vec<ContentFault> = observations
        .iter()
        .filter(|fault| fault.severity == Severity::Error)
        .map(|fault| ContentFault {
            path: fault.path.clone().unwrap_or_default(),
            message: fault.message.clone(),
        })
        .collect();
    faults.sort_by(|left, right| left.path.cmp(&right.path));
    if faults.is_empty() { Ok(()) } else { Err(Error::Content { faults }) }
}
