//! The result of a check, and the collection of its faults in bounded memory.

use std::collections::BTreeMap;

use multi_digest::Algorithm;
use serde::Serialize;

use crate::fault::{Fault, FaultCode, Severity};
use crate::version::Version;

/// Says how much a validation looks at. Each level includes the ones before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Level {
    /// Compares the number of payload files and bytes with `Payload-Oxum`. Reads no manifest and no payload.
    Fast,
    /// Compares the files with the manifests and `fetch.txt`. Reads tag files only.
    Completeness,
    /// Compares every checksum too. Only this level can find a bag valid.
    #[default]
    Full,
}

/// Sums up a check in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Verdict {
    /// The bag is complete and every checksum is right.
    Valid,
    /// The bag has no fault at the level of the check, and no checksum was compared.
    Unproven,
    /// The only faults are missing files that `fetch.txt` promises.
    IncompleteFetchable,
    /// The bag breaks a rule.
    Invalid,
}

/// Holds the findings of a check. It serialises to the documented JSON.
///
/// A report needs a few megabytes at most. It counts the faults that it leaves out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The declared version, where `bagit.txt` has a readable one.
    pub version: Option<Version>,
    /// The declared encoding of tag files, where `bagit.txt` has one.
    pub encoding: Option<String>,
    /// How much was checked.
    pub level: Level,
    /// The verdict in one word.
    pub verdict: Verdict,
    /// Whether every required and listed part is present and well formed (RFC 8493, section 3). Never true at [`Level::Fast`].
    pub complete: bool,
    /// Whether the bag is complete and every checksum is right (RFC 8493, section 3). True at [`Level::Full`] only.
    pub valid: bool,
    /// The number of payload files present.
    pub payload_files: u64,
    /// The bytes of the payload files present.
    pub payload_bytes: u64,
    /// The algorithms of the payload manifests that could be checked.
    pub algorithms: Vec<Algorithm>,
    /// The faults in a stable order: the first of each code and severity, and as many others as [`Faults`] keeps.
    pub faults: Vec<Fault>,
    /// The faults that are not in `faults`, counted by severity.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub omitted: BTreeMap<Severity, u64>,
}

impl Report {
    /// Iterates over the kept faults that make the bag invalid.
    pub fn errors(&self) -> impl Iterator<Item = &Fault> {
        self.of_severity(Severity::Error)
    }

    /// Iterates over the kept warnings: broken recommendations and tolerated faults.
    pub fn warnings(&self) -> impl Iterator<Item = &Fault> {
        self.of_severity(Severity::Warning)
    }

    /// Returns the number of faults that make the bag invalid, with those that are omitted.
    #[must_use]
    pub fn error_count(&self) -> u64 {
        let omitted = self.omitted.get(&Severity::Error).copied().unwrap_or(0);
        omitted.saturating_add(self.errors().count() as u64)
    }

    /// Says whether the check found a fault with this code.
    #[must_use]
    pub fn has(&self, code: FaultCode) -> bool {
        // The first fault of each code is always kept.
        self.faults.iter().any(|fault| fault.code == code)
    }

    fn of_severity(&self, severity: Severity) -> impl Iterator<Item = &Fault> {
        self.faults.iter().filter(move |fault| fault.severity == severity)
    }
}

/// Collects faults in bounded memory.
///
/// It keeps the first fault of each code and severity, then others up to 10,000 faults and 4 MiB of text, and counts the rest. It cuts
/// long messages and paths.
///
/// ```
/// use bagit::{Fault, FaultCode, Faults};
///
/// let mut faults = Faults::default();
/// for number in 0..1_000_000 {
///     faults.push(Fault::new(FaultCode::ManifestLineMalformed, None, format!("line {number}")));
/// }
/// assert_eq!(faults.count(), 1_000_000);
/// assert!(faults.kept().len() <= 10_000);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    kept: Vec<Fault>,
    text_bytes: usize,
    counts: BTreeMap<(FaultCode, Severity), u64>,
}

/// A state of [`Faults`] to which it can return.
pub(crate) struct Checkpoint {
    kept: usize,
    text_bytes: usize,
    counts: BTreeMap<(FaultCode, Severity), u64>,
}

const MOST_FAULTS: usize = 10_000;
const MOST_TEXT_BYTES: usize = 4 << 20;
/// A path of this length cannot be opened on any common system.
const LONGEST_PATH: usize = 4096;
const LONGEST_MESSAGE: usize = 2000;

impl Faults {
    /// Adds a fault.
    pub fn push(&mut self, mut fault: Fault) {
        let count = self.counts.entry((fault.code, fault.severity)).or_default();
        *count = count.saturating_add(1);
        let is_first = *count == 1;
        cut(&mut fault.message, LONGEST_MESSAGE);
        fault.path.iter_mut().for_each(|path| cut(path, LONGEST_PATH));
        let bytes = fault.message.len() + fault.path.as_ref().map_or(0, String::len);
        let fits = self.kept.len() < MOST_FAULTS && self.text_bytes + bytes <= MOST_TEXT_BYTES;
        if is_first || fits {
            self.text_bytes += bytes;
            self.kept.push(fault);
        }
    }

    /// Adds all faults of another collection, also those that it did not keep.
    pub fn append(&mut self, other: &Self, mut change: impl FnMut(Fault) -> Fault) {
        let mut omitted = other.counts.clone();
        for fault in &other.kept {
            if let Some(count) = omitted.get_mut(&(fault.code, fault.severity)) {
                *count = count.saturating_sub(1);
            }
            self.push(change(fault.clone()));
        }
        for ((code, severity), count) in omitted.into_iter().filter(|(_, count)| *count > 0) {
            let example = change(Fault::new(code, None, "").with_severity(severity));
            let counted = self.counts.entry((code, example.severity)).or_default();
            *counted = counted.saturating_add(count);
        }
    }

    /// Returns the kept faults in the order in which they came.
    #[must_use]
    pub fn kept(&self) -> &[Fault] {
        &self.kept
    }

    /// Returns the number of all faults, kept or not.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Returns the number of faults that are not kept, by severity.
    #[must_use]
    pub fn omitted(&self) -> BTreeMap<Severity, u64> {
        let mut omitted = BTreeMap::<Severity, u64>::new();
        for ((_, severity), count) in &self.counts {
            let sum = omitted.entry(*severity).or_default();
            *sum = sum.saturating_add(*count);
        }
        for fault in &self.kept {
            if let Some(count) = omitted.get_mut(&fault.severity) {
                *count = count.saturating_sub(1);
            }
        }
        omitted.retain(|_, count| *count > 0);
        omitted
    }

    /// Says whether there is no fault.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Iterates over the codes of the faults that make a bag invalid.
    pub(crate) fn error_codes(&self) -> impl Iterator<Item = FaultCode> {
        self.counts.keys().filter(|(_, severity)| *severity == Severity::Error).map(|(code, _)| *code)
    }

    pub(crate) fn checkpoint(&self) -> Checkpoint {
        Checkpoint { kept: self.kept.len(), text_bytes: self.text_bytes, counts: self.counts.clone() }
    }

    /// Discards the faults that came after a checkpoint.
    pub(crate) fn return_to(&mut self, checkpoint: Checkpoint) {
        self.kept.truncate(checkpoint.kept);
        self.text_bytes = checkpoint.text_bytes;
        self.counts = checkpoint.counts;
    }

    pub(crate) fn into_kept(self) -> Vec<Fault> {
        self.kept
    }
}

impl Extend<Fault> for Faults {
    fn extend<I: IntoIterator<Item = Fault>>(&mut self, faults: I) {
        faults.into_iter().for_each(|fault| self.push(fault));
    }
}

/// Cuts a text at a number of bytes, and marks the cut.
fn cut(text: &mut String, longest: usize) {
    if text.len() > longest {
        let end = (0..=longest).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text.shrink_to_fit();
}

/// Derives complete, valid and the verdict from the faults of a check.
pub(crate) fn judge(faults: &Faults, level: Level) -> (bool, bool, Verdict) {
    let no_errors = faults.error_codes().next().is_none();
    let complete = level >= Level::Completeness && faults.error_codes().all(FaultCode::concerns_fixity);
    let fetchable = faults.error_codes().all(|code| code == FaultCode::PayloadFileFetchable);
    let valid = no_errors && level == Level::Full;
    let verdict = match (valid, no_errors, fetchable) {
        (true, ..) => Verdict::Valid,
        (false, true, _) => Verdict::Unproven,
        (false, false, true) => Verdict::IncompleteFetchable,
        (false, false, false) => Verdict::Invalid,
    };
    (complete, valid, verdict)
}

#[cfg(test)]
mod tests {
    use super::{Faults, Level, Verdict, judge};
    use crate::fault::{Fault, FaultCode, Severity};

    #[test]
    fn verdicts_follow_from_the_errors_alone() {
        let fault = |code| Fault::new(code, None, "");
        let cases = [
            (vec![], (true, true, Verdict::Valid)),
            (vec![fault(FaultCode::SystemFile)], (true, true, Verdict::Valid)),
            (vec![fault(FaultCode::PayloadChecksumMismatch)], (true, false, Verdict::Invalid)),
            (vec![fault(FaultCode::PayloadFileMissing)], (false, false, Verdict::Invalid)),
            (vec![fault(FaultCode::PayloadFileFetchable)], (false, false, Verdict::IncompleteFetchable)),
            (
                vec![fault(FaultCode::PayloadFileFetchable), fault(FaultCode::OxumMismatch)],
                (false, false, Verdict::Invalid),
            ),
            (
                vec![fault(FaultCode::BaseDirPrefix).with_severity(Severity::Warning)],
                (true, true, Verdict::Valid),
            ),
        ];
        for (list, expected) in cases {
            let mut faults = Faults::default();
            faults.extend(list.clone());
            assert_eq!(judge(&faults, Level::Full), expected, "{list:?}");
        }
        let none = Faults::default();
        assert_eq!(judge(&none, Level::Completeness), (true, false, Verdict::Unproven));
        assert_eq!(judge(&none, Level::Fast), (false, false, Verdict::Unproven));
    }

    #[test]
    fn faults_are_bounded_and_the_first_of_each_code_is_kept() {
        let mut faults = Faults::default();
        let long = "x".repeat(100_000);
        for _ in 0..20_000 {
            faults.push(Fault::new(FaultCode::ManifestLineMalformed, Some(&long), long.clone()));
        }
        faults.push(Fault::new(FaultCode::PayloadChecksumMismatch, Some("data/x"), "wrong"));
        faults.push(Fault::new(FaultCode::PayloadChecksumMismatch, Some("data/y"), "wrong"));
        assert_eq!(faults.count(), 20_002);
        let held: usize = faults.kept().iter().map(|fault| fault.message.capacity() + 4096).sum();
        assert!(held < 10 << 20, "{held}");
        assert!(faults.kept().iter().any(|fault| fault.path.as_deref() == Some("data/x")));
        let omitted = 20_002 - faults.kept().len() as u64;
        assert_eq!(faults.omitted().into_iter().collect::<Vec<_>>(), [(Severity::Error, omitted)]);
    }

    #[test]
    fn an_appended_collection_brings_its_counts() {
        let mut many = Faults::default();
        many.extend((0..15_000).map(|_| Fault::new(FaultCode::BaseDirPrefix, None, "x")));
        let mut all = Faults::default();
        all.append(&many, |fault| fault.with_severity(Severity::Warning));
        assert_eq!((all.count(), all.kept().len()), (15_000, 10_000));
        assert!(all.error_codes().next().is_none());
    }

    #[test]
    fn returning_to_a_checkpoint_discards_what_came_after() {
        let mut faults = Faults::default();
        faults.push(Fault::new(FaultCode::SystemFile, None, "x"));
        let before = faults.clone();
        let checkpoint = faults.checkpoint();
        faults.push(Fault::new(FaultCode::OxumMismatch, None, "x"));
        faults.return_to(checkpoint);
        assert_eq!(faults, before);
    }
}
