//! The version of a bag, and the rules that depend on it.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// A BagIt version as `bagit.txt` declares it, such as `1.0` or `0.97`.
///
/// ```
/// use bagit::Version;
///
/// assert_eq!("0.97".parse(), Ok(Version::V0_97));
/// assert!("1.0.0".parse::<Version>().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// The number before the dot.
    pub major: u16,
    /// The number after the dot.
    pub minor: u16,
}

impl Version {
    /// The version of RFC 8493. This crate writes it.
    pub const V1_0: Self = Self { major: 1, minor: 0 };
    /// The last draft before RFC 8493.
    pub const V0_97: Self = Self { major: 0, minor: 97 };
    /// The first draft in which `bag-info.txt` replaces `package-info.txt`.
    pub const V0_96: Self = Self { major: 0, minor: 96 };

    /// Says whether this crate knows the rules of this version (0.93 to 0.97, and 1.0).
    #[must_use]
    pub fn is_supported(self) -> bool {
        self == Self::V1_0 || (self.major == 0 && (93..=97).contains(&self.minor))
    }

    /// Says whether the rules of RFC 8493 apply. They apply to later versions too.
    #[must_use]
    pub fn is_rfc(self) -> bool {
        self >= Self::V1_0
    }

    /// Returns the name of the metadata file: `package-info.txt` up to 0.95, then `bag-info.txt`.
    #[must_use]
    pub fn info_file_name(self) -> &'static str {
        if self < Self::V0_96 { "package-info.txt" } else { "bag-info.txt" }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)
    }
}

/// Reports a text that is not `digits.digits` (RFC 8493, section 2.1.1).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a version of the form M.N, found `{0}`")]
pub struct VersionError(String);

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let number = |digits: &str| {
            let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            plain.then(|| digits.parse::<u16>().ok()).flatten()
        };
        text.split_once('.')
            .and_then(|(major, minor)| Some(Self { major: number(major)?, minor: number(minor)? }))
            .ok_or_else(|| VersionError(text.to_owned()))
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::Version;

    #[test]
    fn only_digits_dot_digits_is_a_version() {
        let cases = [
            ("1.0", Some((1, 0))),
            ("0.97", Some((0, 97))),
            (".97", None),
            ("1", None),
            ("1.", None),
            ("1.0 ", None),
            ("+1.0", None),
            ("1.0.0", None),
            ("99999999999.0", None),
        ];
        for (text, expected) in cases {
            let version = text.parse::<Version>().ok().map(|version| (version.major, version.minor));
            assert_eq!(version, expected, "{text}");
        }
    }

    #[test]
    fn supported_versions_and_their_info_files() {
        let cases =
            [("0.92", false), ("0.93", true), ("0.97", true), ("1.0", true), ("1.1", false), ("2.0", false)];
        for (text, supported) in cases {
            assert_eq!(text.parse::<Version>().is_ok_and(Version::is_supported), supported, "{text}");
        }
        assert_eq!(Version { major: 0, minor: 95 }.info_file_name(), "package-info.txt");
        assert_eq!(Version::V0_96.info_file_name(), "bag-info.txt");
    }
}
