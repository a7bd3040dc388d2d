//! The payload files of a bag of each kind: their names, sizes and series.

use clap::ValueEnum;

use super::random::Random;
use super::series::Measurement;
use crate::error::Result;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;

/// The moorings of the data set.
const SITES: [&str; 8] = ["CP", "T3", "UP18", "NB2", "HR7", "SL", "EB11", "WK4"];

/// The depths of the instruments, in metres.
const DEPTHS: [u32; 4] = [15, 25, 40, 60];

/// The latest year, and the number of years before the data set adds moorings.
const YEARS: (u32, u64) = (2024, 16);

/// A kind of bag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Temperatures at several depths of several moorings, described as a DataONE package
    Mooring,
    /// Many small files in many directories
    Small,
}

/// The size of a payload. A missing number takes the default of the kind.
#[derive(Debug, Clone, Copy, Default)]
pub struct Extent {
    /// The total size of all payload files in bytes.
    pub size: Option<u64>,
    /// The number of payload files.
    pub files: Option<u64>,
}

/// One payload file before it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PlannedFile {
    /// Its path in the bag.
    pub(super) path: String,
    /// Its size in bytes.
    pub(super) size: u64,
    /// The series in it.
    pub(super) measurement: Measurement,
}

impl Kind {
    /// Returns the kind's name.
    #[must_use]
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Mooring => "mooring",
            Self::Small => "small",
        }
    }

    /// Plans the payload; fails when it has no file.
    pub(super) fn plan(self, extent: Extent, seed: u64) -> Result<Vec<PlannedFile>> {
        let files = extent.files.unwrap_or(if self == Self::Small { 20_000 } else { 64 });
        if files == 0 {
            return Err("expected at least one payload file, found --files 0".into());
        }
        let usual_size = if self == Self::Small { files.saturating_mul(4 * KIB) } else { GIB };
        let size = extent.size.unwrap_or(usual_size);
        let shares = (0..files).map(|index| size / files + u64::from(index < size % files));
        Ok(shares.zip(0..).map(|(size, index)| self.file(index, size, seed)).collect())
    }

    fn file(self, index: u64, size: u64, seed: u64) -> PlannedFile {
        let item_seed = Random::of_item(seed, index).next_u64();
        let (name, measurement) = series_of(index, item_seed);
        let path = match self {
            Self::Mooring => format!("data/{name}"),
            Self::Small => {
                let (station, season) = (index / 100, index / 25 % 4 + 1);
                format!("data/stations/{station:04}/season-{season}/{index:07}_{name}")
            }
        };
        PlannedFile { path, size, measurement }
    }
}

/// Returns the name and the measurement of one series of the data set, such as `CP_2024_25m_Temp.csv`.
fn series_of(index: u64, seed: u64) -> (String, Measurement) {
    let (depths, sites) = (DEPTHS.len() as u64, SITES.len() as u64);
    let pick = |index: u64, length: u64| usize::try_from(index % length).unwrap_or_default();
    let depth = DEPTHS[pick(index, depths)];
    let site = SITES[pick(index / depths, sites)];
    let (latest, years) = YEARS;
    let year = latest - u32::try_from(index / (depths * sites) % years).unwrap_or_default();
    // More series than sites, depths and years make up are more moorings at the same sites.
    let mooring = match index / (depths * sites * years) {
        0 => String::new(),
        more => format!("-{}", more + 1),
    };
    (format!("{site}{mooring}_{year}_{depth}m_Temp.csv"), Measurement { year, depth, seed })
}

/// Reads a size such as `1GiB`, `300 MB` or `4096`.
///
/// # Errors
///
/// Fails when the text is not a whole number and a unit, or the size is 2^63 bytes or more.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.len() - text.trim_start_matches(|character: char| character.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim() {
        "" | "B" => 1,
        "kB" => 1000,
        "MB" => 1000_u64.pow(2),
        "GB" => 1000_u64.pow(3),
        "TB" => 1000_u64.pow(4),
        "KiB" => KIB,
        "MiB" => MIB,
        "GiB" => GIB,
        "TiB" => 1024 * GIB,
        unit => return Err(format!("no unit {unit:?}: B, kB, MB, GB, TB, KiB, MiB, GiB or TiB")),
    };
    let number: u64 = number.parse().map_err(|error| format!("{number:?}: {error}"))?;
    let fits = |size: &u64| i64::try_from(*size).is_ok();
    number.checked_mul(factor).filter(fits).ok_or_else(|| "too large".to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use clap::ValueEnum;

    use super::{Extent, Kind, parse_size};

    #[test]
    fn every_kind_has_the_size_and_the_files_that_are_asked_for() {
        for kind in Kind::value_variants() {
            for size in [0, 1, 1_000_003, 90 << 20] {
                let plan = kind.plan(Extent { size: Some(size), files: Some(700) }, 1).unwrap();
                assert_eq!(plan.iter().map(|file| file.size).sum::<u64>(), size, "{kind:?}");
                let paths: HashSet<_> = plan.iter().map(|file| &file.path).collect();
                assert_eq!(paths.len(), 700, "{kind:?}");
                assert!(paths.iter().all(|path| path.starts_with("data/")), "{kind:?}");
            }
            assert!(kind.plan(Extent { size: None, files: Some(0) }, 1).is_err(), "{kind:?}");
        }
    }

    #[test]
    fn the_mooring_data_set_has_the_usual_names() {
        let plan = Kind::Mooring.plan(Extent::default(), 1).unwrap();
        let names: Vec<_> = plan.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(names[0], "data/CP_2024_15m_Temp.csv");
        assert_eq!(names[9], "data/UP18_2024_25m_Temp.csv");
        assert_eq!(names[63], "data/WK4_2023_60m_Temp.csv");
    }

    #[test]
    fn seeds_and_files_differ_in_content() {
        let plan = |seed| Kind::Mooring.plan(Extent::default(), seed).unwrap();
        let (one, other) = (plan(1), plan(2));
        assert_eq!(one, plan(1));
        assert!(one.iter().zip(&other).all(|(one, other)| one.measurement != other.measurement));
        assert_ne!(one[0].measurement, one[32].measurement);
    }

    #[test]
    fn sizes_are_read_with_their_units() {
        let cases = [("0", 0), ("4096", 4096), ("1GiB", 1 << 30), ("300 MB", 300_000_000), ("2KiB", 2048)];
        for (text, expected) in cases {
            assert_eq!(parse_size(text), Ok(expected), "{text}");
        }
        for text in ["", "GiB", "1.5GiB", "-1", "1gib", "1 G", "99999999TiB", "8388608TiB"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
