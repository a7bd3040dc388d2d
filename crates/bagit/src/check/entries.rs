//! One manifest against the files: its lines, its duplicates, its checksums.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};
use std::io;
use std::num::NonZeroU64;

use super::resolve::{Notes, Spelled, Target};
use super::{Checker, ManifestFile};
use crate::algorithm::Algorithm;
use crate::fault::{FaultCode, Severity};
use crate::inventory::EntryKind;
use crate::manifest::{LineFault, ManifestKind, ManifestName, split_line};
use crate::tag_files::TagFile;
use crate::text::{TextEncoding, Utf8Lines, lines, read_utf8_lines};

/// Says which files a manifest lists.
pub(super) struct Listed {
    /// For each file by index, whether it is listed.
    pub(super) present: Vec<bool>,
    /// The listed paths that are not there.
    pub(super) missing: Vec<String>,
}

/// Counts the lines of one manifest with some oddity, so that a million of them make one fault.
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

/// Holds the state of reading one manifest.
struct Reading<'m> {
    manifest: &'m str,
    kind: ManifestKind,
    algorithm: Option<Algorithm>,
    /// For each file by index, the mark of the checksum of the first line that lists it.
    seen: Vec<Option<ChecksumMark>>,
    missing: BTreeMap<String, ChecksumMark>,
    base: Option<String>,
    tallies: Tallies,
}

impl Checker<'_> {
    /// Reads a manifest and compares it with the files; gives nothing if it cannot be read.
    pub(super) fn check_manifest(&mut self, manifest: &ManifestFile<'_>) -> Option<Listed> {
        let mut reading = Reading {
            manifest: manifest.name,
            kind: manifest.kind,
            algorithm: manifest.algorithm,
            seen: vec![None; self.resolver.len()],
            missing: BTreeMap::new(),
            base: None,
            tallies: Tallies::default(),
        };
        let faults_before = self.faults.len();
        match self.check_lines(manifest, &mut reading) {
            Ok(true) => {}
            Ok(false) => return None,
            Err(error) => {
                // What it said up to there counts as little as what would have come.
                self.faults.truncate(faults_before);
                let message = format!("the file cannot be read: {error}");
                self.fault(FaultCode::UnreadableFile, Some(manifest.name), message);
                return None;
            }
        }
        self.report_tallies(&reading);
        Some(Listed {
            present: reading.seen.iter().map(Option::is_some).collect(),
            missing: reading.missing.into_keys().collect(),
        })
    }

    /// Checks all lines of a manifest, and says whether it could be decoded.
    fn check_lines(&mut self, manifest: &ManifestFile<'_>, reading: &mut Reading<'_>) -> io::Result<bool> {
        if self.encoding != TextEncoding::Utf8 || matches!(manifest.file, TagFile::Held(_)) {
            let bytes = manifest.file.bytes()?;
            let Some(text) = self.decode(manifest.name, &bytes) else { return Ok(false) };
            lines(&text).for_each(|(number, line)| self.check_line(reading, number, line));
            return Ok(true);
        }
        let faults_before = self.faults.len();
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
                self.faults.truncate(faults_before);
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
                let message = format!("line {number} is not a checksum and a path: {line:?}");
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
        let mark = checksum_mark(checksum);
        if let Some(first) = reading.missing.get(&path).copied() {
            self.duplicate(reading, number, &path, first == mark);
        }
        reading.missing.insert(path, mark);
    }

    /// Reports what a tag manifest must not list (RFC 8493, section 2.2.1).
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
            let what = format!("has no {algorithm} checksum but {checksum:?}");
            return self.fault(FaultCode::ChecksumMalformed, Some(path), in_line(reading, number, &what));
        };
        match entry.digests.get(algorithm) {
            Some(actual) if actual == expected => {}
            Some(actual) => {
                let code = match reading.kind {
                    ManifestKind::Payload => FaultCode::PayloadChecksumMismatch,
                    ManifestKind::Tag => FaultCode::TagChecksumMismatch,
                };
                let actual = hex::encode(actual);
                let message =
                    format!("{} says {algorithm} {checksum}, the file has {actual}", reading.manifest);
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
            (
                FaultCode::GnuEscapedName,
                &tallies.gnu_escaped,
                "are escaped in the way of GNU md5sum".to_owned(),
            ),
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

/// Stands for a checksum as a line spells it, in any case: a million of them are kept while a manifest is read.
type ChecksumMark = NonZeroU64;

fn checksum_mark(checksum: &str) -> ChecksumMark {
    let mut hasher = DefaultHasher::new();
    checksum.bytes().for_each(|byte| hasher.write_u8(byte.to_ascii_lowercase()));
    NonZeroU64::MIN | hasher.finish()
}

fn in_line(reading: &Reading<'_>, number: usize, what: &str) -> String {
    format!("line {number} of {} {what}", reading.manifest)
}
