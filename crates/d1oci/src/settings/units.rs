//! Sizes, times and counts as people write them in the configuration file.

use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// A size in bytes: a number, or a text with a unit such as `512 MiB` or `10 GB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size(pub(super) u64);

/// A time in whole seconds, more than none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seconds(pub(super) Duration);

/// A number of tries, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attempts(pub(super) u32);

impl Seconds {
    /// Puts a time that was set in place of the usual one.
    pub(super) fn replace(set: Option<Self>, time: &mut Duration) {
        if let Some(Self(set)) = set {
            *time = set;
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a number of bytes, or a text such as `512 MiB`")]
enum Written {
    Bytes(u64),
    Text(String),
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = match Written::deserialize(deserializer)? {
            Written::Bytes(bytes) => Some(bytes),
            Written::Text(text) => parse_size(&text),
        };
        let size = bytes.filter(|bytes| *bytes > 0).map(Self);
        size.ok_or_else(|| D::Error::custom("a size is a number of bytes, or a text such as `512 MiB`"))
    }
}

fn parse_size(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 9] = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
        ("kB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
        ("B", 1),
    ];
    let (number, factor) = UNITS
        .iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)))
        .unwrap_or((text, 1));
    number.trim().parse::<u64>().ok()?.checked_mul(factor)
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// A day: whoever wants to wait longer has mistaken the unit.
        const LONGEST: u64 = 86_400;
        match u64::deserialize(deserializer)? {
            seconds @ 1..=LONGEST => Ok(Self(Duration::from_secs(seconds))),
            _ => Err(D::Error::custom("a time is a number of seconds between 1 and 86400")),
        }
    }
}

impl<'de> Deserialize<'de> for Attempts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// With the longest waits in between, these take half an hour.
        const MOST: u32 = 100;
        match u32::deserialize(deserializer)? {
            attempts @ 1..=MOST => Ok(Self(attempts)),
            _ => Err(D::Error::custom("`attempts` is between 1 and 100")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_units() {
        for (text, expected) in [
            ("1", Some(1)),
            ("16 MiB", Some(16 << 20)),
            ("16MiB", Some(16 << 20)),
            ("10 GB", Some(10_000_000_000)),
            ("5 kB", Some(5000)),
            ("7 B", Some(7)),
            ("16 mib", None),
            ("MiB", None),
            ("-1", None),
            ("1.5 GiB", None),
            ("99999999999 TiB", None),
        ] {
            assert_eq!(parse_size(text), expected, "{text}");
        }
    }
}
