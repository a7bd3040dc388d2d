//! The result of checking a bag.

use serde::Serialize;

use crate::algorithm::Algorithm;
use crate::fault::{Fault, FaultCode, Severity};
use crate::version::Version;

/// Sums up a check in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Complete, and every checksum is right.
    Valid,
    /// Nothing is wrong except that files are missing that `fetch.txt` says where to get.
    IncompleteFetchable,
    /// A rule is broken.
    Invalid,
}

/// Holds everything that a check found out; it serialises to the documented JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The declared version, where it could be read.
    pub version: Option<Version>,
    /// The declared encoding of tag files, where it could be read.
    pub encoding: Option<String>,
    /// The verdict in one word.
    pub verdict: Verdict,
    /// Whether every required and listed part is there and well formed (RFC 8493, section 3).
    pub complete: bool,
    /// Whether the bag is complete and every checksum is right (RFC 8493, section 3).
    pub valid: bool,
    /// The number of payload files present.
    pub payload_files: u64,
    /// The bytes of the payload files present.
    pub payload_bytes: u64,
    /// The algorithms of the payload manifests that could be checked.
    pub algorithms: Vec<Algorithm>,
    /// All faults, in a stable order.
    pub faults: Vec<Fault>,
}

impl Report {
    /// Walks the faults that make the bag invalid.
    pub fn errors(&self) -> impl Iterator<Item = &Fault> {
        self.of_severity(Severity::Error)
    }

    /// Walks the faults that were tolerated.
    pub fn warnings(&self) -> impl Iterator<Item = &Fault> {
        self.of_severity(Severity::Warning)
    }

    /// Says whether a fault with this code was found.
    #[must_use]
    pub fn has(&self, code: FaultCode) -> bool {
        self.faults.iter().any(|fault| fault.code == code)
    }

    fn of_severity(&self, severity: Severity) -> impl Iterator<Item = &Fault> {
        self.faults.iter().filter(move |fault| fault.severity == severity)
    }
}

/// Derives the three verdicts from a list of faults: complete, valid, and the one word.
pub(crate) fn judge(faults: &[Fault]) -> (bool, bool, Verdict) {
    let errors = || faults.iter().filter(|fault| fault.severity == Severity::Error);
    let complete = errors().all(|fault| fault.code.concerns_fixity());
    let valid = errors().next().is_none();
    let fetchable = errors().all(|fault| fault.code == FaultCode::PayloadFileFetchable);
    let verdict = match (valid, fetchable) {
        (true, _) => Verdict::Valid,
        (false, true) => Verdict::IncompleteFetchable,
        (false, false) => Verdict::Invalid,
    };
    (complete, valid, verdict)
}

#[cfg(test)]
mod tests {
    use super::{Verdict, judge};
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
        for (faults, expected) in cases {
            assert_eq!(judge(&faults), expected, "{faults:?}");
        }
    }
}
