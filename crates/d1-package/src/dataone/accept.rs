//! The faults of bags that DataONE's own tools make, and whether they are tolerated.

use bagit::{CheckOptions, Fault, FaultCode};

/// Chooses which faults of a bag are tolerated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Accept {
    /// No fault.
    #[default]
    Strict,
    /// The known faults of DataONE's own tools ([`is_known_fault`]). They become warnings.
    DataOne,
}

impl Accept {
    /// Returns options for a check of a bag.
    ///
    /// ```
    /// use bagit::{Fault, FaultCode};
    /// use d1_package::Accept;
    ///
    /// let fault = Fault::new(FaultCode::BaseDirPrefix, None, "all lines begin with `bag/`");
    /// assert!((Accept::DataOne.check_options().tolerates)(&fault));
    /// assert!(!(Accept::Strict.check_options().tolerates)(&fault));
    /// ```
    #[must_use]
    pub fn check_options(self) -> CheckOptions<'static> {
        match self {
            Self::Strict => CheckOptions::default(),
            Self::DataOne => CheckOptions::tolerating(&is_known_fault),
        }
    }
}

/// Says whether DataONE's own tools are known to make bags with this fault.
///
/// Old Metacat writes names of manifests in upper case. GMN puts the directory of the bag before all paths. `SpeedBagIt` lists equal files
/// once, and its Oxum overflows at 2 GiB. The R package `datapack` counts other files in its Oxum, and its tag manifest lacks the payload
/// manifest.
#[must_use]
pub fn is_known_fault(fault: &Fault) -> bool {
    matches!(
        fault.code,
        FaultCode::ManifestNameCase
            | FaultCode::BaseDirPrefix
            | FaultCode::DuplicateContentUnlisted
            | FaultCode::TagManifestIncomplete
            | FaultCode::OxumIntOverflow
            | FaultCode::OxumCountsTopLevel
    )
}

#[cfg(test)]
mod tests {
    use bagit::{Fault, FaultCode};

    use super::is_known_fault;

    #[test]
    fn the_dataone_faults_are_exactly_the_named_ones() {
        let is_known = |code: &&FaultCode| is_known_fault(&Fault::new(**code, None, ""));
        let named: Vec<&str> = FaultCode::ALL.iter().filter(is_known).map(|code| code.as_str()).collect();
        let expected = [
            "manifest-name-case",
            "base-dir-prefix",
            "duplicate-content-unlisted",
            "tag-manifest-incomplete",
            "oxum-int-overflow",
            "oxum-counts-top-level",
        ];
        assert_eq!(named, expected);
    }
}
