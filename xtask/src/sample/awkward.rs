//! Files with names and sizes that tools get wrong.

use super::plan::{Content, PlannedFile, series_of};
use super::random::Random;
use crate::error::Result;

/// The directory that holds nothing.
pub(super) const EMPTY_DIRECTORY: &str = "data/empty directory/with nothing in it";

/// Relative sizes; zero is an empty file.
const WEIGHTS: [u64; 7] = [1, 40, 0, 3, 100, 1, 12];

/// Names that every file system of Unix can hold and every tool should.
const NAMES: [&str; 38] = [
    // Spaces.
    "with space.csv",
    "two  spaces  and more.csv",
    " leading space.txt",
    "directory with space/ and another/file.csv",
    // Not ASCII: composed and decomposed (names that are the same in neither form), and beyond the first plane.
    "Søndre Strømfjord/temperatur – målt.csv",
    "composed-caf\u{e9}.csv",
    "decomposed-re\u{301}sume\u{301}.csv",
    "данные/температура.csv",
    "データ/水温.csv",
    "ข้อมูล.csv",
    "נתונים.csv",
    "\u{2070e}.csv",
    "\u{1f30a} tide.csv",
    "a\u{200b}zero width space.txt",
    // Dots and dashes.
    ".hidden",
    ".hidden directory/.hidden file",
    "..two dots.txt",
    "...",
    "trailing dot.",
    "-leading-dash.txt",
    "--",
    // What shells, URLs, manifests and XML give a meaning.
    "it's \"quoted\".csv",
    "back`tick`.txt",
    "$5 worth.txt",
    "star*question?[bracket].txt",
    "semi;colon&ampersand.txt",
    "a<b>c|d.txt",
    "colon:in:name.txt",
    "hash#mark.txt",
    "plus+equals=at@.txt",
    "~tilde",
    // Names that mean something elsewhere.
    "bagit.txt",
    "manifest-sha256.txt",
    "metadata/sysmeta/sysmeta-doi_10.5072_X.xml",
    "data/data/data",
    // The same bytes twice.
    "duplicate/one.bin",
    "duplicate/two.bin",
    "no extension",
];

/// Names that some tools are known to get wrong: BagIt writes `%`, line feed and carriage return in an encoded form, a
/// manifest may lose blanks at the end of a line, some expand variables, and not every file system tells case or
/// backslash apart.
const HOSTILE_NAMES: [&str; 10] = [
    "100%.csv",
    "%25.csv",
    "%2e%2e.txt",
    "line\nfeed.txt",
    "carriage\rreturn.txt",
    "tab\tin name.txt",
    "trailing space ",
    "back\\slash.txt",
    "$HOME.txt",
    "DATA/data/data",
];

/// Plans the awkward files, and after them as many ordinary ones as are asked for.
pub(super) fn plan(size: u64, files: u64, seed: u64, hostile_names: bool) -> Result<Vec<PlannedFile>> {
    let mut names: Vec<String> = NAMES.into_iter().map(str::to_owned).collect();
    names.extend(long_names());
    if hostile_names {
        names.extend(HOSTILE_NAMES.map(str::to_owned));
    }
    let awkward = names.len() as u64;
    if files < awkward {
        return Err(format!("a bag of kind awkward has at least {awkward} files").into());
    }
    let ordinary = |index| format!("ordinary/{:02}/{index:05}_{}", index % 7, series_of(index, 0).0);
    names.extend((awkward..files).map(ordinary));
    let sizes = sizes(size, &names);
    let planned = names.into_iter().zip(sizes).zip(0..);
    Ok(planned.map(|((name, size), index)| file(&name, size, index, seed)).collect())
}

/// Returns names at the limits of tar's headers (100 and 155 bytes) and of file systems (255), and a deep path.
fn long_names() -> Vec<String> {
    let fill = |letter: &str, length: usize| letter.repeat(length);
    vec![
        format!("{}.csv", fill("a", 97)),
        format!("{}.csv", fill("b", 251)),
        format!("{}.csv", "ø".repeat(125)),
        format!("{}/{}.csv", fill("c", 155), fill("d", 96)),
        format!("{}/{}/{}.csv", fill("e", 200), fill("f", 200), fill("g", 200)),
        format!("{}leaf.csv", "deep/".repeat(60)),
    ]
}

/// Divides the size by the weights, so that every file that is not empty has something where there is enough.
fn sizes(size: u64, names: &[String]) -> Vec<u64> {
    let weight = |(name, weight): (&String, u64)| if is_duplicate(name) { 1 } else { weight };
    let weights: Vec<u64> = names.iter().zip(WEIGHTS.into_iter().cycle()).map(weight).collect();
    let total: u64 = weights.iter().sum();
    let share = |weight: &u64| {
        let share = u128::from(size) * u128::from(*weight) / u128::from(total.max(1));
        u64::try_from(share).unwrap_or_default()
    };
    let mut sizes: Vec<u64> = weights.iter().map(share).collect();
    let rest = size - sizes.iter().sum::<u64>();
    if let Some(first) = sizes.first_mut() {
        *first += rest;
    }
    sizes
}

fn file(name: &str, size: u64, index: u64, seed: u64) -> PlannedFile {
    let item_seed = if is_duplicate(name) { seed } else { Random::of_item(seed, index).next_u64() };
    let content = if name.ends_with(".csv") {
        Content::Series(series_of(index, item_seed).1)
    } else {
        Content::Random(item_seed)
    };
    PlannedFile { path: format!("data/{name}"), size, content }
}

fn is_duplicate(name: &str) -> bool {
    name.starts_with("duplicate/")
}
