//! Repairing bags: new tag files of version 1.0 for bags whose payload is intact.

use std::fs;
#[cfg(any(feature = "tar", feature = "zip"))]
use std::io::{Read, Seek};
use std::path::Path;

use multi_digest::{Algorithm, AlgorithmSet};
use safe_files::Directory;

use crate::bag::{is_bag, scan_directory};
use crate::bag_info::{BagInfo, is_date};
use crate::check::{CheckOptions, check, payload_algorithms};
use crate::create::{
    Created, Plan, Workplace, copy_files, finish_interrupted, new_directory, proven, publish, write_tag_files,
};
use crate::declaration::{self, Declaration};
use crate::error::{Error, Result};
#[cfg(feature = "tar")]
use crate::fault::FaultCode;
use crate::fault::{Fault, Severity};
use crate::fetch::{self, FetchList};
use crate::inventory::Inventory;
use crate::progress::Progress;
use crate::report::Report;
#[cfg(feature = "tar")]
use crate::scan::unpack_tar;
#[cfg(any(feature = "tar", feature = "zip"))]
use crate::scan::{Format, format};
use crate::scan::{Limits, Scan, ScanOptions};
#[cfg(feature = "zip")]
use crate::scan::{scan_zip, unpack_zip};
use crate::tag_files::TagFiles;
use crate::text::TextEncoding;
use crate::version::Version;

/// Sets how a bag is repaired.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RepairOptions {
    /// The algorithms of the new manifests, besides those of the bag's own manifests. SHA-512 and SHA-256 by default.
    pub algorithms: AlgorithmSet,
    /// The number of threads. 0, the default, stands for one per core.
    pub threads: usize,
    /// The limits for reading the bag.
    pub limits: Limits,
}

impl Default for RepairOptions {
    fn default() -> Self {
        let algorithms = [Algorithm::Sha512, Algorithm::Sha256].into_iter().collect();
        Self { algorithms, threads: 0, limits: Limits::default() }
    }
}

/// The result of a repair.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Repaired {
    /// The report on the bag before the repair, by strict rules.
    pub before: Report,
    /// The bag after the repair.
    pub after: Created,
    /// Whether anything was written. A bag without faults stays as it is.
    pub changed: bool,
}

/// Repairs a bag in its own directory. It replaces tag files at the top of the bag only, and does not touch the payload.
///
/// The bag must match all its payload checksums, and every error must be repairable ([`crate::FaultCode::is_repairable`]). A bag of an
/// older version becomes a bag of version 1.0. The new tag files are complete before the first old one is removed. After an
/// interruption, the same call finishes the work.
///
/// # Errors
/// [`Error::NotABag`], [`Error::NotRepairable`] with all faults, [`Error::ForeignWork`] as for [`crate::BagBuilder::create_in_place`], [`Error::Io`], [`Error::Cancelled`].
///
/// ```
/// use bagit::{BagBuilder, NoProgress, RepairOptions, repair_in_place};
///
/// # let work = tempfile::tempdir()?;
/// # let bag = work.path().join("bag");
/// # std::fs::write(work.path().join("a.csv"), "15,7.2\n")?;
/// BagBuilder::new().payload_file("a.csv", work.path().join("a.csv")).create(&bag, &NoProgress)?;
/// std::fs::rename(bag.join("manifest-sha256.txt"), bag.join("manifest-SHA256.txt"))?;
/// std::fs::remove_file(bag.join("tagmanifest-sha256.txt"))?;
/// std::fs::remove_file(bag.join("tagmanifest-sha512.txt"))?;
///
/// let repaired = repair_in_place(&bag, &RepairOptions::default(), &NoProgress)?;
/// assert!(!repaired.before.valid && repaired.after.report.valid);
/// assert!(bag.join("manifest-sha256.txt").exists());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn repair_in_place(bag: &Path, options: &RepairOptions, progress: &dyn Progress) -> Result<Repaired> {
    let root = fs::canonicalize(bag).map_err(Error::io("open", bag))?;
    let directory = Directory::open(&root).map_err(Error::io("open", bag))?;
    finish_interrupted(&directory)?;
    // A bag in the making has payload there.
    if let Some(leftover) = Workplace::interrupted(&directory)?
        && !leftover.has_payload()?
    {
        leftover.discard()?;
    }
    if !is_bag(&root) {
        return Err(Error::NotABag(bag.to_owned()));
    }
    let scan = scan_directory(&root, &scan_options(options), progress)?;
    let before = judge(&scan)?;
    let algorithms = options.algorithms.union(payload_algorithms(&scan.tag_files));
    let is_right = before.version == Some(Version::V1_0)
        && before.faults.iter().all(|fault| fault.severity == Severity::Info)
        && algorithms.iter().eq(before.algorithms.iter().copied());
    if is_right {
        return Ok(Repaired { after: proven(scan)?, before, changed: false });
    }
    let workplace = Workplace::begin(&directory, &[])?;
    let old = OldTagFiles::new(&scan.tag_files);
    let inventory = old.without_replaced(&scan.inventory);
    let after = finish(&old, inventory, algorithms, workplace.directory())?;
    let is_obsolete = |name: &&str| old.replaces(name) && !after.scan.tag_files.has(name);
    let obsolete: Vec<String> = scan.tag_files.names().filter(is_obsolete).map(str::to_owned).collect();
    workplace.commit(&obsolete)?;
    Ok(Repaired { before, after: after.moved_to(&root), changed: true })
}

/// Writes a repaired copy of a bag into a new directory. The source does not change.
///
/// # Errors
/// As [`repair_in_place`], [`Error::TargetNotEmpty`], and [`Error::Changed`] if the bag changes meanwhile.
pub fn repair_directory(
    bag: &Path,
    target: &Path,
    options: &RepairOptions,
    progress: &dyn Progress,
) -> Result<Repaired> {
    let root = fs::canonicalize(bag).map_err(Error::io("open", bag))?;
    if !is_bag(&root) {
        return Err(Error::NotABag(bag.to_owned()));
    }
    let scan = scan_directory(&root, &scan_options(options), progress)?;
    let before = judge(&scan)?;
    let old = OldTagFiles::new(&scan.tag_files);
    let new = new_directory(target)?;
    let mut plan = Plan::of_directory(&root, &options.limits)?;
    plan.retain(|path| !old.replaces(path));
    let algorithms = options.algorithms.union(payload_algorithms(&scan.tag_files));
    let copied = copy_files(plan, new.directory(), algorithms, options.threads, progress)?;
    same_content(&old.without_replaced(&scan.inventory), &copied)?;
    let after = finish(&old, copied, algorithms, new.directory())?;
    publish(new, target)?;
    Ok(Repaired { before, after: after.moved_to(target), changed: true })
}

/// Writes the repaired bag of a zip file, or of a tar archive with or without gzip compression, into a new directory.
///
/// # Errors
/// As [`repair_directory`], and as [`crate::validate_archive`].
#[cfg(any(feature = "tar", feature = "zip"))]
pub fn repair_archive(
    mut reader: impl Read + Seek,
    target: &Path,
    options: &RepairOptions,
    progress: &dyn Progress,
) -> Result<Repaired> {
    match format(&mut reader)? {
        #[cfg(feature = "zip")]
        Ok(Format::Zip) => repair_zip(reader, target, options, progress),
        #[cfg(feature = "tar")]
        Ok(Format::Tar) => repair_tar(reader, target, options, progress),
        #[cfg(not(all(feature = "tar", feature = "zip")))]
        Ok(format) => Err(crate::scan::unsupported(format)),
        Err(found) => Err(Error::NotAnArchive { found }),
    }
}

/// Unpacks a tar archive, whose entries can come in any order, and repairs the result in its place.
#[cfg(feature = "tar")]
fn repair_tar(
    reader: impl Read,
    target: &Path,
    options: &RepairOptions,
    progress: &dyn Progress,
) -> Result<Repaired> {
    let mut new = new_directory(target)?;
    let scan = unpack_tar(reader, new.directory(), &scan_options(options), progress)?;
    // The second look hashes payload that came before its manifest.
    judge_tolerating(&scan, &|fault| {
        fault.code.is_repairable() || fault.code == FaultCode::ChecksumNotComputed
    })?;
    if let Some(base) = &scan.base_directory {
        new.keep_only(base).map_err(Error::io("open the directory", new.directory().path().join(base)))?;
    }
    drop(scan);
    let repaired = repair_in_place(new.directory().path(), options, progress)?;
    publish(new, target)?;
    Ok(Repaired { after: repaired.after.moved_to(target), changed: true, ..repaired })
}

/// Writes the repaired bag of a zip file into a new directory. A zip file lists its entries, so only files that stay are written.
#[cfg(feature = "zip")]
fn repair_zip(
    mut reader: impl Read + Seek,
    target: &Path,
    options: &RepairOptions,
    progress: &dyn Progress,
) -> Result<Repaired> {
    let scan = scan_zip(&mut reader, &scan_options(options), progress)?;
    let before = judge(&scan)?;
    let old = OldTagFiles::new(&scan.tag_files);
    let new = new_directory(target)?;
    let algorithms = options.algorithms.union(payload_algorithms(&scan.tag_files));
    let judged = old.without_replaced(&scan.inventory);
    let unpacked = unpack_zip(reader, &options.limits, new.directory(), algorithms, &judged, progress)?;
    same_content(&judged, &unpacked)?;
    let after = finish(&old, unpacked, algorithms, new.directory())?;
    publish(new, target)?;
    Ok(Repaired { before, after: after.moved_to(target), changed: true })
}

fn scan_options(options: &RepairOptions) -> ScanOptions {
    ScanOptions {
        threads: options.threads,
        extra_algorithms: options.algorithms,
        limits: options.limits,
        alike: true,
        ..ScanOptions::default()
    }
}

/// Returns the strict report of a bag that can be repaired.
fn judge(scan: &Scan) -> Result<Report> {
    judge_tolerating(scan, &|fault| fault.code.is_repairable())?;
    Ok(check(&scan.inventory, &scan.tag_files, &CheckOptions::default()))
}

/// Refuses a bag with any fault that is not tolerable.
fn judge_tolerating(scan: &Scan, tolerable: &(dyn Fn(&Fault) -> bool + Sync)) -> Result<()> {
    let report = check(&scan.inventory, &scan.tag_files, &CheckOptions::tolerating(tolerable));
    if report.valid { Ok(()) } else { Err(Error::NotRepairable(Box::new(report))) }
}

/// Compares the copied files with the judged ones.
fn same_content(judged: &Inventory, copied: &Inventory) -> Result<()> {
    for (path, entry) in judged.files() {
        let same = copied.file(path).is_some_and(|copy| {
            copy.size == entry.size
                && entry.digests.iter().all(|(algorithm, digest)| {
                    copy.digests.get(algorithm).is_none_or(|copied| copied == digest)
                })
        });
        if !same {
            return Err(Error::Changed(path.into()));
        }
    }
    Ok(())
}

/// Writes the tag files of version 1.0 into `directory`, and checks the new bag.
fn finish(
    old: &OldTagFiles<'_>,
    mut inventory: Inventory,
    algorithms: AlgorithmSet,
    directory: &Directory,
) -> Result<Created> {
    inventory.insert_directory("data");
    let tag_files = write_tag_files(&mut inventory, old.info(), old.fetch(), algorithms, directory)?;
    proven(Scan { inventory, tag_files, base_directory: None })
}

/// The tag files of the bag before the repair.
struct OldTagFiles<'a> {
    files: &'a TagFiles,
    version: Version,
    encoding: TextEncoding,
}

impl<'a> OldTagFiles<'a> {
    fn new(files: &'a TagFiles) -> Self {
        let declaration =
            files.get(declaration::FILE_NAME).map(|bytes| Declaration::parse(bytes).0).unwrap_or_default();
        let encoding = declaration.encoding.as_deref().and_then(TextEncoding::for_label);
        let version = declaration.version.unwrap_or(Version::V1_0);
        Self { files, version, encoding: encoding.unwrap_or(TextEncoding::Utf8) }
    }

    fn text(&self, name: &str) -> Option<String> {
        self.encoding.decode(self.files.get(name)?).map(|decoded| decoded.text.into_owned())
    }

    fn info_name(&self) -> Option<&'static str> {
        let names = [self.version.info_file_name(), "bag-info.txt", "package-info.txt"];
        names.into_iter().find(|name| self.files.get(name).is_some())
    }

    /// Says whether a new file replaces the file at this path. A `package-info.txt` may be just a tag file.
    fn replaces(&self, path: &str) -> bool {
        TagFiles::wants(path) && (path != "package-info.txt" || self.info_name() == Some(path))
    }

    /// Returns the inventory without the replaced files.
    fn without_replaced(&self, inventory: &Inventory) -> Inventory {
        let mut kept = Inventory::new();
        inventory.directories().for_each(|directory| kept.insert_directory(directory));
        for (path, entry) in inventory.files().filter(|(path, _)| !self.replaces(path)) {
            kept.insert_file(path, entry.size, entry.digests.to_digests());
        }
        kept
    }

    /// Returns the elements of the metadata file. Of a date and time, as the DataONE software GMN writes it, the date stays.
    fn info(&self) -> BagInfo {
        let text = self.info_name().and_then(|name| self.text(name)).unwrap_or_default();
        let (mut info, _) = BagInfo::parse(&text, self.version);
        let date = info
            .get("Bagging-Date")
            .and_then(|date| date.get(..10))
            .filter(|date| is_date(date))
            .map(str::to_owned);
        if let Some(date) = date.filter(|_| info.all("Bagging-Date").count() == 1) {
            // An element can hold any date.
            let _ = info.set("Bagging-Date", &date);
        }
        info
    }

    fn fetch(&self) -> Option<String> {
        Some(FetchList::parse(&self.text(fetch::FILE_NAME)?, self.version).0.text())
    }
}
