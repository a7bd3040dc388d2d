//! Bags in directories: what they hold, without or with hashing, and whether they are valid.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use multi_digest::{AlgorithmSet, Digests};

use crate::bag_info::BagInfo;
use crate::check::{CheckOptions, check};
use crate::declaration::{self, Declaration};
use crate::error::{Error, Result};
use crate::fault::{Fault, FaultCode};
use crate::fetch::{self, FetchList};
use crate::inventory::{EntryKind, FileEntry, Inventory};
use crate::known::KnownDigests;
use crate::progress::{Progress, ProgressEvent, check_cancelled};
use crate::read_files::{FILES_AT_ONCE, FileToHash, HashOptions, HashOutcome, Root, hash_files};
use crate::report::{Level, Report};
use crate::scan::{Limits, Scan, ScanOptions, walk};
use crate::tag_files::TagFiles;
use crate::text::TextEncoding;
use crate::version::Version;

/// A bag in a directory: its list of files and its tag files. Nothing is hashed.
///
/// ```
/// use bagit::{Bag, BagBuilder, BagInfo, Limits, NoProgress};
///
/// # let work = tempfile::tempdir()?;
/// # let bag = work.path().join("bag");
/// # std::fs::write(work.path().join("a.csv"), "15,7.2\n")?;
/// let mut info = BagInfo::new();
/// info.push("Contact-Name", "Mooring Group")?;
/// BagBuilder::new().info(info).payload_file("a.csv", work.path().join("a.csv")).create(&bag, &NoProgress)?;
///
/// let bag = Bag::open(&bag, &Limits::default())?;
/// assert_eq!(bag.info().get("Contact-Name"), Some("Mooring Group"));
/// let payload: Vec<_> = bag.inventory().payload().map(|(path, entry)| (path, entry.size)).collect();
/// assert_eq!(payload, [("data/a.csv", 7)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Bag {
    root: PathBuf,
    inventory: Inventory,
    tag_files: TagFiles,
    declaration: Declaration,
}

impl Bag {
    /// Lists a directory, which may be a bag or not, and reads the tag files that the rules need.
    ///
    /// # Errors
    /// [`Error::Io`] if the directory cannot be read, [`Error::Limit`] if it exceeds a limit.
    pub fn open(directory: &Path, limits: &Limits) -> Result<Self> {
        let root = fs::canonicalize(directory).map_err(Error::io("open", directory))?;
        let open = Root::below(&root).map_err(Error::io("open", directory))?;
        let mut inventory = walk(&open, limits)?;
        let tag_files = read_tag_files(&open, &mut inventory, limits);
        let declaration = tag_files.get(declaration::FILE_NAME);
        let declaration = declaration.map(|bytes| Declaration::parse(bytes).0).unwrap_or_default();
        Ok(Self { root, inventory, tag_files, declaration })
    }

    /// Returns the directory, as an absolute path without links.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.root
    }

    /// Returns the version and encoding that `bagit.txt` declares.
    #[must_use]
    pub fn declaration(&self) -> &Declaration {
        &self.declaration
    }

    /// Returns the metadata of the bag. It is empty if the bag has none, or none that can be decoded.
    #[must_use]
    pub fn info(&self) -> BagInfo {
        let version = self.version();
        let text = self.text(version.info_file_name());
        text.map(|text| BagInfo::parse(&text, version).0).unwrap_or_default()
    }

    /// Returns the entries of `fetch.txt`. It is empty if the bag has none.
    #[must_use]
    pub fn fetch_list(&self) -> FetchList {
        let text = self.text(fetch::FILE_NAME);
        text.map(|text| FetchList::parse(&text, self.version()).0).unwrap_or_default()
    }

    /// Returns the files and directories with their sizes, without digests.
    #[must_use]
    pub fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    /// Returns the tag files that the rules need.
    #[must_use]
    pub fn tag_files(&self) -> &TagFiles {
        &self.tag_files
    }

    /// Hashes all files in parallel by the algorithms that the manifests need.
    ///
    /// Links, devices, and files that cannot be read or change meanwhile become observations of the inventory.
    ///
    /// # Errors
    /// [`Error::Cancelled`].
    pub fn hash(self, options: &ScanOptions, progress: &dyn Progress) -> Result<Scan> {
        self.hash_unless_known(options, None, progress)
    }

    /// As [`Bag::hash`], but reads no file whose digests are known from an earlier run.
    ///
    /// # Errors
    /// [`Error::Cancelled`].
    pub fn hash_unless_known(
        self,
        options: &ScanOptions,
        known: Option<&dyn KnownDigests>,
        progress: &dyn Progress,
    ) -> Result<Scan> {
        check_cancelled(progress)?;
        let Self { root, mut inventory, tag_files, .. } = self;
        let (payload, tags) = options.algorithms(&tag_files);
        for (path, bytes) in tag_files.held() {
            inventory.insert_file(path, bytes.len() as u64, Digests::of(tags, bytes));
        }
        let in_memory = |path: &str| tag_files.get(path).is_some();
        let algorithms = |path: &str| if path.starts_with("data/") { payload } else { tags };
        let prefix = Prefix { of_paths: "", root: &root, threads: options.threads, known };
        hash_all(&prefix, &mut inventory, in_memory, algorithms, progress)?;
        Ok(Scan { inventory, tag_files, base_directory: None })
    }

    fn version(&self) -> Version {
        self.declaration.version.unwrap_or(Version::V1_0)
    }

    fn text(&self, name: &str) -> Option<String> {
        let label = self.declaration.encoding.as_deref();
        let encoding = label.map_or(Some(TextEncoding::Utf8), TextEncoding::for_label)?;
        encoding.decode(self.tag_files.get(name)?).map(|decoded| decoded.text.into_owned())
    }
}

/// Says whether a directory claims to be a bag: it has a file `bagit.txt`.
#[must_use]
pub fn is_bag(directory: &Path) -> bool {
    directory.join(declaration::FILE_NAME).is_file()
}

/// Lists the files of a bag in a directory and hashes them: [`Bag::open`], then [`Bag::hash`].
///
/// # Errors
/// As these two.
pub fn scan_directory(root: &Path, options: &ScanOptions, progress: &dyn Progress) -> Result<Scan> {
    Bag::open(root, &options.limits)?.hash(options, progress)
}

/// Lists and hashes all files below any directory, whether it is a bag or not. Faults become observations.
///
/// # Errors
/// As [`scan_directory`].
pub fn hash_directory(
    root: &Path,
    algorithms: AlgorithmSet,
    options: &ScanOptions,
    progress: &dyn Progress,
) -> Result<Inventory> {
    let root = fs::canonicalize(root).map_err(Error::io("open", root))?;
    let mut inventory = walk(&Root::below(&root).map_err(Error::io("open", &root))?, &options.limits)?;
    let prefix = Prefix { of_paths: "", root: &root, threads: options.threads, known: None };
    hash_all(&prefix, &mut inventory, |_| false, |_| algorithms, progress)?;
    Ok(inventory)
}

/// Validates a bag in a directory. Only [`Level::Full`] reads the payload.
///
/// # Errors
/// As [`scan_directory`].
///
/// ```
/// use bagit::{BagBuilder, CheckOptions, Level, NoProgress, ScanOptions, Verdict, validate_directory};
///
/// # let work = tempfile::tempdir()?;
/// # let bag = work.path().join("bag");
/// # std::fs::write(work.path().join("a.csv"), "15,7.2\n")?;
/// BagBuilder::new().payload_file("a.csv", work.path().join("a.csv")).create(&bag, &NoProgress)?;
/// let scan = ScanOptions::default();
///
/// let quick = CheckOptions::default().with_level(Level::Completeness);
/// let report = validate_directory(&bag, &scan, &quick, &NoProgress)?;
/// assert_eq!((report.verdict, report.complete), (Verdict::Unproven, true));
///
/// let report = validate_directory(&bag, &scan, &CheckOptions::default(), &NoProgress)?;
/// assert_eq!(report.verdict, Verdict::Valid);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn validate_directory(
    root: &Path,
    options: &ScanOptions,
    check_options: &CheckOptions<'_>,
    progress: &dyn Progress,
) -> Result<Report> {
    let bag = Bag::open(root, &options.limits)?;
    if check_options.level < Level::Full {
        check_cancelled(progress)?;
        return Ok(check(&bag.inventory, &bag.tag_files, check_options));
    }
    let scan = bag.hash(options, progress)?;
    Ok(check(&scan.inventory, &scan.tag_files, check_options))
}

/// Adds the tag files that the rules need. Large manifests stay on disk.
fn read_tag_files(root: &Root, inventory: &mut Inventory, limits: &Limits) -> TagFiles {
    let mut tag_files = TagFiles::new();
    let is_wanted = |path: &str, kind: EntryKind| kind == EntryKind::File && TagFiles::wants(path);
    let wanted: Vec<(String, u64)> = inventory
        .files()
        .filter(|(path, entry)| is_wanted(path, entry.kind))
        .map(|(path, entry)| (path.to_owned(), entry.size))
        .collect();
    for (path, size) in wanted {
        if let Err((code, message)) = read_tag_file(root, &path, size, &mut tag_files, limits) {
            inventory.insert_unreadable(&path, size);
            inventory.observe(Fault::new(code, Some(&path), message));
        }
    }
    tag_files
}

fn read_tag_file(
    root: &Root,
    path: &str,
    size: u64,
    tag_files: &mut TagFiles,
    limits: &Limits,
) -> std::result::Result<(), (FaultCode, String)> {
    let failed = |error| (FaultCode::UnreadableFile, format!("the file cannot be read: {error}"));
    let too_large = || {
        let message = format!("the file is over the limit of {} bytes", limits.tag_file_bytes);
        (FaultCode::TagFileTooLarge, message)
    };
    if size > limits.held_manifest_bytes && TagFiles::may_stay_on_disk(path) {
        if size > limits.tag_file_bytes {
            return Err(too_large());
        }
        return tag_files.insert_file(path, &root.full(path)).map_err(failed);
    }
    let bytes = read_bounded(root, path, limits.tag_file_bytes).map_err(failed)?;
    tag_files.insert(path, bytes.ok_or_else(too_large)?);
    Ok(())
}

fn read_bounded(root: &Root, path: &str, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    root.open_file(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= limit).then_some(bytes))
}

/// Hashes all files whose bytes are not in memory.
fn hash_all(
    prefix: &Prefix<'_>,
    inventory: &mut Inventory,
    in_memory: impl Fn(&str) -> bool,
    algorithms: impl Fn(&str) -> AlgorithmSet,
    progress: &dyn Progress,
) -> Result<()> {
    let is_on_disk = |path: &str, entry: FileEntry<'_>| entry.kind == EntryKind::File && !in_memory(path);
    let chosen = inventory.files().enumerate().filter(|(_, (path, entry))| is_on_disk(path, *entry));
    let positions: Vec<usize> = chosen.map(|(position, _)| position).collect();
    hash_positions(inventory, &positions, prefix, algorithms, progress, |inventory, position, outcome| {
        note(inventory, position, outcome);
        Ok(())
    })
}

/// The place of the files of an inventory.
pub(crate) struct Prefix<'a> {
    /// The beginning of the paths in the inventory that the paths below the root do not have.
    pub(crate) of_paths: &'a str,
    pub(crate) root: &'a Path,
    pub(crate) threads: usize,
    /// Digests from earlier runs.
    pub(crate) known: Option<&'a dyn KnownDigests>,
}

/// Hashes files of an inventory, some at a time, and passes the outcome of each to `note`.
///
/// # Errors
/// The first error of `note`, or [`Error::Cancelled`].
pub(crate) fn hash_positions(
    inventory: &mut Inventory,
    positions: &[usize],
    prefix: &Prefix<'_>,
    algorithms: impl Fn(&str) -> AlgorithmSet,
    progress: &dyn Progress,
    mut note: impl FnMut(&mut Inventory, usize, HashOutcome) -> Result<()>,
) -> Result<()> {
    let found = positions.iter().filter_map(|position| inventory.get(*position));
    let bytes = found.map(|(_, entry)| entry.size).fold(0, u64::saturating_add);
    progress.event(ProgressEvent::Planned { files: positions.len() as u64, bytes });
    let options = HashOptions::default().with_threads(prefix.threads).with_known(prefix.known);
    for batch in positions.chunks(FILES_AT_ONCE) {
        let found = batch.iter().filter_map(|position| inventory.get(*position));
        let file = |(path, entry): (_, FileEntry<'_>)| FileToHash {
            path: str::strip_prefix(path, prefix.of_paths).unwrap_or(path),
            size: entry.size,
            algorithms: algorithms(path),
        };
        let files: Vec<FileToHash<'_>> = found.map(file).collect();
        let outcomes = hash_files(prefix.root, &files, &options, progress)?;
        for (position, outcome) in batch.iter().zip(outcomes) {
            note(inventory, *position, outcome)?;
        }
    }
    Ok(())
}

/// Adds the outcome of hashing a file to the inventory.
fn note(inventory: &mut Inventory, position: usize, outcome: HashOutcome) {
    let (code, message) = match outcome {
        HashOutcome::Hashed { size, digests } => {
            let entry = FileEntry { size, digests: digests.view(), kind: EntryKind::File };
            return inventory.set(position, entry);
        }
        HashOutcome::Unreadable(error) => {
            (FaultCode::UnreadableFile, format!("the file cannot be read: {error}"))
        }
        HashOutcome::Changed => (FaultCode::FileChanged, "the file changed while it was read".to_owned()),
        HashOutcome::Vanished => {
            (FaultCode::FileVanished, "the file vanished before or while it was read".to_owned())
        }
    };
    let Some((path, entry)) = inventory.get(position) else { return };
    let fault = Fault::new(code, Some(path), message);
    let unreadable = FileEntry { size: entry.size, kind: EntryKind::Unreadable, ..FileEntry::default() };
    inventory.set(position, unreadable);
    inventory.observe(fault);
}
