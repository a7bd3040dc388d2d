//! One manifest against the files: the paths of its lines, its duplicates and its checksums.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};
use std::io;
use std::num::NonZeroU64;

use multi_digest::{Algorithm, Digests};
use safe_files::{PathFault, leaves, normalised, without_dots};

use super::{Checker, ManifestFile};
use crate::fault::{FaultCode, Severity};
use crate::inventory::{EntryKind, FileEntry, Inventory};
use crate::manifest::{LineFault, ManifestKind, ManifestName, split_line};
use crate::report::Level;
use crate::tag_files::TagFile;
use crate::text::{TextEncoding, Utf8Lines, decode_path, has_stray_percent, lines, read_utf8_lines};
use crate::version::Version;

/// The files that a manifest lists.
pub(super) struct Listed {
    /// The listed files by index, in ascending order.
    pub(super) present: Vec<usize>,
    /// The listed paths that are missing.
    pub(super) missing: Inventory,
}

/// Counts the lines of one manifest with one oddity, so that a million lines make one fault.
#[derive(Default)]
struct Tally {
    count: u64,
    first_line: usize,
}

impl Tally {
    fn note(&mut self, happened: bool, line: usize) {
        if happened {
            self.count += 1;
            if self.count == 1 {
                self.first_line = line;
            }
        }
    }
}

#[derive(Default)]
struct Tallies {
    blank: Tally,
    marker: Tally,
    gnu_escaped: Tally,
    not_canonical: Tally,
    base_directory: Tally,
    not_computed: Tally,
}

/// The state of reading one manifest.
struct Reading<'m> {
    manifest: &'m str,
    kind: ManifestKind,
    algorithm: Option<Algorithm>,
    /// For each file by index, the checksum in the last line that lists it.
    seen: Vec<Option<ChecksumMark>>,
    /// The listed paths that are missing. The size of each is the hash of its checksum.
    missing: Inventory,
    base: Option<String>,
    tallies: Tallies,
}

impl Checker<'_> {
    /// Compares a manifest with the files. Returns nothing if the manifest cannot be read.
    pub(super) fn check_manifest(&mut self, manifest: &ManifestFile<'_>) -> Option<Listed> {
        let mut reading = Reading {
            manifest: manifest.name,
            kind: manifest.kind,
            algorithm: manifest.algorithm,
            seen: vec![None; self.resolver.len()],
            missing: Inventory::new(),
            base: None,
            tallies: Tallies::default(),
        };
        let checkpoint = self.faults.checkpoint();
        match self.check_lines(manifest, &mut reading) {
            Ok(true) => {}
            Ok(false) => return None,
            Err(error) => {
                // Discards faults found before the read failed: the manifest counts as unread.
                self.faults.return_to(checkpoint);
                let message = format!("the file cannot be read: {error}");
                self.fault(FaultCode::UnreadableFile, Some(manifest.name), message);
                return None;
            }
        }
        self.report_tallies(&reading);
        Some(Listed {
            present: (0..)
                .zip(&reading.seen)
                .filter(|(_, seen)| seen.is_some())
                .map(|(index, _)| index)
                .collect(),
            missing: reading.missing,
        })
    }

    /// Checks all lines of a manifest, and says whether its text could be decoded.
    fn check_lines(&mut self, manifest: &ManifestFile<'_>, reading: &mut Reading<'_>) -> io::Result<bool> {
        if self.encoding != TextEncoding::Utf8 || matches!(manifest.file, TagFile::Held(_)) {
            let bytes = manifest.file.bytes()?;
            let Some(text) = self.decode(manifest.name, &bytes) else { return Ok(false) };
            lines(&text).for_each(|(number, line)| self.check_line(reading, number, line));
            return Ok(true);
        }
        let checkpoint = self.faults.checkpoint();
        let mut take = |number, line: &str| self.check_line(reading, number, line);
        let read = manifest.file.read(|reader| read_utf8_lines(reader, &mut take))?;
        match read {
            Utf8Lines::All { had_mark } => {
                if had_mark {
                    self.has_mark(manifest.name);
                }
                Ok(true)
            }
            Utf8Lines::NotUtf8 => {
                self.faults.return_to(checkpoint);
                self.undecodable(manifest.name);
                Ok(false)
            }
        }
    }

    fn check_line(&mut self, reading: &mut Reading<'_>, number: usize, line: &str) {
        let raw = match split_line(line) {
            Ok(raw) => raw,
            Err(LineFault::Blank) => return reading.tallies.blank.note(true, number),
            Err(other) => {
                let message = format!("expected a checksum and a path in line {number}, found {line:?}");
                return self.fault(other.code(), Some(reading.manifest), message);
            }
        };
        let spelled = Spelled { path: &raw.path, plain: raw.gnu_escaped, kind: reading.kind };
        let (target, notes) = self.resolver.resolve(spelled, &mut reading.base);
        reading.tallies.gnu_escaped.note(raw.gnu_escaped, number);
        reading.tallies.marker.note(notes.marker, number);
        reading.tallies.not_canonical.note(notes.not_canonical, number);
        reading.tallies.base_directory.note(notes.base_directory, number);
        match target {
            Target::File(index) => self.listed_file(reading, number, raw.checksum, index, &notes),
            Target::Missing(path) => self.listed_missing(reading, number, raw.checksum, path),
            Target::Directory => {
                self.fault(
                    FaultCode::PathIsDirectory,
                    Some(&raw.path),
                    in_line(reading, number, "lists a directory"),
                );
            }
            Target::Escapes(reason) => {
                let what = format!("lists a path that could leave the bag: {reason}");
                self.fault(FaultCode::PathEscapes, Some(&raw.path), in_line(reading, number, &what));
            }
            Target::Outside => {
                let what = "lists a file that is not under data/";
                self.fault(FaultCode::PathOutsidePayload, Some(&raw.path), in_line(reading, number, what));
            }
        }
    }

    fn listed_file(
        &mut self,
        reading: &mut Reading<'_>,
        number: usize,
        checksum: &str,
        index: usize,
        notes: &Notes,
    ) {
        let Some((path, _)) = self.resolver.file(index) else { return };
        if self.refuses_tag_entry(reading, number, path) {
            return;
        }
        if notes.legacy_percent {
            let what = "spells a name with % that was not encoded by the rules of this version";
            self.fault(FaultCode::PercentLegacyName, Some(path), in_line(reading, number, what));
        }
        if notes.normalised {
            let what = "spells the name in another Unicode normalisation than the file has";
            self.fault(FaultCode::NormalisationMismatch, Some(path), in_line(reading, number, what));
        }
        let mark = checksum_mark(checksum);
        let first = reading.seen.get_mut(index).and_then(|slot| slot.replace(mark));
        if let Some(first) = first {
            self.duplicate(reading, number, path, first == mark);
        }
        self.compare(reading, number, checksum, index);
    }

    fn listed_missing(&mut self, reading: &mut Reading<'_>, number: usize, checksum: &str, path: String) {
        if self.refuses_tag_entry(reading, number, &path) {
            return;
        }
        let mark = checksum_mark(checksum).get();
        if let Some(first) = reading.missing.file(&path) {
            self.duplicate(reading, number, &path, first.size == mark);
        }
        reading.missing.insert_file(&path, mark, Digests::new());
    }

    /// Reports a file that a tag manifest must not list (RFC 8493, section 2.2.1).
    fn refuses_tag_entry(&mut self, reading: &Reading<'_>, number: usize, path: &str) -> bool {
        if reading.kind == ManifestKind::Payload {
            return false;
        }
        if path.starts_with("data/") {
            let message = in_line(reading, number, "lists a payload file");
            self.fault(FaultCode::TagManifestListsPayload, Some(path), message);
            return true;
        }
        let is_tag_manifest = ManifestName::parse(path).is_some_and(|name| name.kind == ManifestKind::Tag);
        if is_tag_manifest && !path.contains('/') {
            let message = in_line(reading, number, "lists a tag manifest");
            self.fault(FaultCode::TagManifestListsTagManifest, Some(path), message);
        }
        is_tag_manifest && !path.contains('/')
    }

    fn duplicate(&mut self, reading: &Reading<'_>, number: usize, path: &str, same_checksum: bool) {
        if same_checksum {
            let message = in_line(reading, number, "lists the file again");
            self.error_since_1_0(FaultCode::DuplicateEntry, Some(path), message, Severity::Warning);
        } else {
            let message = in_line(reading, number, "lists the file again with another checksum");
            self.fault(FaultCode::DuplicateEntryConflict, Some(path), message);
        }
    }

    fn compare(&mut self, reading: &mut Reading<'_>, number: usize, checksum: &str, index: usize) {
        let Some(algorithm) = reading.algorithm else { return };
        let Some((path, entry)) = self.resolver.file(index) else { return };
        let mut buffer = [0; 64];
        let expected = buffer.get_mut(..algorithm.digest_length());
        let Some(Ok(expected)) = expected.map(|slot| hex::decode_to_slice(checksum, slot).map(|()| &*slot))
        else {
            let what = format!("has {checksum:?} instead of a checksum of {algorithm}");
            return self.fault(FaultCode::ChecksumMalformed, Some(path), in_line(reading, number, &what));
        };
        if self.options.level < Level::Full {
            return;
        }
        match entry.digests.get(algorithm) {
            Some(actual) if actual == expected => {}
            Some(actual) => {
                let code = match reading.kind {
                    ManifestKind::Payload => FaultCode::PayloadChecksumMismatch,
                    ManifestKind::Tag => FaultCode::TagChecksumMismatch,
                };
                let actual = hex::encode(actual);
                let message =
                    format!("{} lists {algorithm} {checksum}, the file has {actual}", reading.manifest);
                self.fault(code, Some(path), message);
            }
            None => reading.tallies.not_computed.note(entry.kind == EntryKind::File, number),
        }
    }

    fn report_tallies(&mut self, reading: &Reading<'_>) {
        let tallies = &reading.tallies;
        let base = reading.base.as_deref().unwrap_or_default();
        let odd = [
            (FaultCode::ManifestBlankLine, &tallies.blank, "are blank".to_owned()),
            (
                FaultCode::Md5sumBinaryMarker,
                &tallies.marker,
                "have the * of md5sum before the path".to_owned(),
            ),
            (FaultCode::GnuEscapedName, &tallies.gnu_escaped, "have the escapes of GNU md5sum".to_owned()),
            (
                FaultCode::PathNotCanonical,
                &tallies.not_canonical,
                "have a path with ./ or // in it".to_owned(),
            ),
            (
                FaultCode::BaseDirPrefix,
                &tallies.base_directory,
                format!("begin with the bag's directory, {base}/"),
            ),
            (
                FaultCode::ChecksumNotComputed,
                &tallies.not_computed,
                "have a checksum that was not computed".to_owned(),
            ),
        ];
        for (code, tally, what) in odd.into_iter().filter(|(_, tally, _)| tally.count > 0) {
            let message =
                format!("{} lines, the first of them line {}, {what}", tally.count, tally.first_line);
            self.fault(code, Some(reading.manifest), message);
        }
    }
}

/// A hash of a checksum as a line spells it, in any case. A check keeps one for each line of a manifest.
type ChecksumMark = NonZeroU64;

fn checksum_mark(checksum: &str) -> ChecksumMark {
    let mut hasher = DefaultHasher::new();
    checksum.bytes().for_each(|byte| hasher.write_u8(byte.to_ascii_lowercase()));
    NonZeroU64::MIN | hasher.finish()
}

fn in_line(reading: &Reading<'_>, number: usize, what: &str) -> String {
    format!("line {number} of {} {what}", reading.manifest)
}

/// Finds files by the paths of manifests.
pub(super) struct Resolver<'a> {
    inventory: &'a Inventory,
    version: Version,
    /// The file of each normalised name, where only one file has it.
    by_normalised: OnceCell<HashMap<Cow<'a, str>, Option<usize>>>,
}

/// The meaning of a path in a manifest.
pub(super) enum Target {
    /// The file with this index.
    File(usize),
    /// A directory.
    Directory,
    /// No file. The path that it would have.
    Missing(String),
    /// A path that could leave the bag, and the reason.
    Escapes(PathFault),
    /// A path in a payload manifest that is not under `data/`.
    Outside,
}

/// The oddities of a path that led to its target.
#[derive(Default)]
pub(super) struct Notes {
    pub(super) marker: bool,
    pub(super) not_canonical: bool,
    pub(super) base_directory: bool,
    pub(super) legacy_percent: bool,
    pub(super) normalised: bool,
}

/// A path as a manifest spells it.
#[derive(Clone, Copy)]
pub(super) struct Spelled<'p> {
    pub(super) path: &'p str,
    /// Whether the path is decoded already.
    pub(super) plain: bool,
    pub(super) kind: ManifestKind,
}

impl<'a> Resolver<'a> {
    pub(super) fn new(inventory: &'a Inventory, version: Version) -> Self {
        Self { inventory, version, by_normalised: OnceCell::new() }
    }

    /// Returns a file by its index: its position in the inventory.
    pub(super) fn file(&self, index: usize) -> Option<(&'a str, FileEntry<'a>)> {
        self.inventory.get(index)
    }

    pub(super) fn len(&self) -> usize {
        self.inventory.len()
    }

    /// Iterates over the indices of the files under `data/`, or of all others.
    pub(super) fn indices(&self, kind: ManifestKind) -> impl Iterator<Item = (usize, &'a str)> + use<'a> {
        let wanted = move |path: &str| path.starts_with("data/") == (kind == ManifestKind::Payload);
        let files = self.inventory.files().enumerate();
        files.filter(move |(_, (path, _))| wanted(path)).map(|(index, (path, _))| (index, path))
    }

    pub(super) fn find(&self, path: &str) -> Option<usize> {
        self.inventory.position(path)
    }

    /// Finds the file that a path means. `base` is the directory that this manifest puts before its paths.
    pub(super) fn resolve(&self, spelled: Spelled<'_>, base: &mut Option<String>) -> (Target, Notes) {
        let mut notes = Notes::default();
        if let Some(reason) = leaves(spelled.path) {
            return (Target::Escapes(reason), notes);
        }
        let in_scope = spelled.kind == ManifestKind::Tag || spelled.path.starts_with("data/");
        if in_scope && let Some(index) = self.lookup(spelled, &mut notes) {
            return (Target::File(index), notes);
        }
        let unmarked = without_marker(spelled);
        notes.marker = unmarked.is_some();
        let path = without_dots(unmarked.unwrap_or(spelled.path));
        notes.not_canonical = path != unmarked.unwrap_or(spelled.path);
        let (path, based) = self.without_base(Spelled { path: &path, ..spelled }, base);
        notes.base_directory = based;
        (self.locate(Spelled { path, ..spelled }, &mut notes), notes)
    }

    fn locate(&self, spelled: Spelled<'_>, notes: &mut Notes) -> Target {
        let plain = self.decoded(spelled);
        // The stripped or encoded form may have hidden it, as in `*/x`.
        if let Some(reason) = leaves(&plain) {
            return Target::Escapes(reason);
        }
        let directory = plain.trim_end_matches('/');
        if spelled.kind == ManifestKind::Payload && !plain.starts_with("data/") && directory != "data" {
            return Target::Outside;
        }
        if let Some(index) = self.lookup(spelled, notes) {
            return Target::File(index);
        }
        if plain.ends_with('/') || self.inventory.has_directory(directory) {
            return Target::Directory;
        }
        Target::Missing(plain.into_owned())
    }

    /// Finds a file by its decoded name, else by its literal name, else by its normalised name.
    fn lookup(&self, spelled: Spelled<'_>, notes: &mut Notes) -> Option<usize> {
        let decoded = self.decoded(spelled);
        if let Some(index) = self.find(&decoded) {
            notes.legacy_percent = !spelled.plain && self.version.is_rfc() && has_stray_percent(spelled.path);
            return Some(index);
        }
        if let Some(index) = self.find(spelled.path) {
            notes.legacy_percent = true;
            return Some(index);
        }
        if decoded.is_ascii() {
            return None;
        }
        let index = self.by_normalised().get(&normalised(&decoded)).copied().flatten()?;
        notes.normalised = true;
        Some(index)
    }

    fn decoded<'p>(&self, spelled: Spelled<'p>) -> Cow<'p, str> {
        if spelled.plain { Cow::Borrowed(spelled.path) } else { decode_path(spelled.path, self.version) }
    }

    fn by_normalised(&self) -> &HashMap<Cow<'a, str>, Option<usize>> {
        self.by_normalised.get_or_init(|| {
            let mut map = HashMap::new();
            for (index, (path, _)) in
                self.inventory.files().enumerate().filter(|(_, (path, _))| !path.is_ascii())
            {
                map.entry(normalised(path)).and_modify(|only| *only = None).or_insert(Some(index));
            }
            map
        })
    }

    /// Strips the bag's own directory, which the DataONE software GMN puts before each path.
    fn without_base<'p>(&self, spelled: Spelled<'p>, base: &mut Option<String>) -> (&'p str, bool) {
        let path = spelled.path;
        let Some((first, rest)) = path.split_once('/') else { return (path, false) };
        let known = base.as_deref().is_none_or(|base| base == first);
        let fits = match spelled.kind {
            ManifestKind::Payload => !path.starts_with("data/") && rest.starts_with("data/"),
            ManifestKind::Tag => self.find(path).is_none() && self.find(rest).is_some(),
        };
        if !known || !fits {
            return (path, false);
        }
        base.get_or_insert_with(|| first.to_owned());
        (rest, true)
    }
}

/// Strips the `*` of the binary mode of md5sum, if the rest can be a path of the manifest.
fn without_marker(spelled: Spelled<'_>) -> Option<&str> {
    let rest = spelled.path.strip_prefix('*')?;
    let fits = spelled.kind == ManifestKind::Tag || without_dots(rest).starts_with("data/");
    fits.then_some(rest)
}
