//! Names of objects: their paths in a new bag, and the file names that other producers may have given them.

use std::collections::{HashMap, HashSet};

use d1_model::{FormatType, Identifier, ObjectFormatList, RESOURCE_MAP_FORMAT_ID};
use oci_model::Digest;
use safe_files::{folded, path_fault, portability_fault};

/// The directory of system metadata.
const SYSTEM_METADATA: &str = "metadata/sysmeta";
/// The longest name of a file or directory, in bytes: the limit of common file systems, less the mark of a repeat.
const LONGEST_NAME: usize = 230;
/// The number of hexadecimal digits of its SHA-256 that replace the rest of a cut name.
const HASH_DIGITS: usize = 16;

/// The facts about an object without a path.
#[derive(Clone, Copy, Debug)]
pub struct ObjectToPlace<'a> {
    /// Its identifier.
    pub identifier: &'a Identifier,
    /// Its format.
    pub format_id: &'a str,
    /// The file name that its system metadata suggest. It is not safe.
    pub file_name: Option<&'a str>,
    /// Its location in the resource map (`prov:atLocation`). It is not safe.
    pub location: Option<&'a str>,
    /// Whether it is the resource map of this package.
    pub is_resource_map: bool,
}

/// Assigns paths in a bag to the objects of one package, in the layout of Metacat's package download: data under
/// `data/`, documents under `metadata/`. The same objects in the same order always get the same paths.
///
/// A name comes from `prov:atLocation`, else from the file name, else from the identifier, as in Metacat's
/// `PackageDownloaderV2`. Names are made safe and unique: no path leads out of the bag, no path is a directory of
/// another, and no two paths are equal on a file system that ignores case or normalisation.
///
/// ```
/// use d1_package::{BagNames, ObjectToPlace};
///
/// let mut names = BagNames::new();
/// let identifiers = ["urn:uuid:1".parse()?, "urn:uuid:2".parse()?];
/// let places = identifiers.each_ref().map(|identifier| {
///     names.place(&ObjectToPlace {
///         identifier,
///         format_id: "text/csv",
///         file_name: Some("../temperature.csv"),
///         location: None,
///         is_resource_map: false,
///     })
/// });
/// assert!(places.iter().all(|place| place.starts_with("data/") && !place.contains("/../")));
/// assert_ne!(places[0], places[1]);
/// # Ok::<(), d1_model::IdentifierError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct BagNames {
    files: HashSet<String>,
    directories: HashSet<String>,
    /// The number of the next repeat to try of each name that was taken: all lower ones are taken too.
    repeats: HashMap<String, u64>,
}

impl BagNames {
    /// Starts without paths.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Assigns a path to an object.
    pub fn place(&mut self, object: &ObjectToPlace<'_>) -> String {
        let format = ObjectFormatList::builtin().get(object.format_id);
        let extension = format.and_then(|format| format.extension.as_deref());
        if object.is_resource_map {
            return self.claim("metadata", "oai-ore.xml");
        }
        if format.is_some_and(|format| format.format_type == FormatType::Metadata) {
            return self.claim_numbered("metadata", "science-metadata", extension.unwrap_or("xml"));
        }
        let located = object.location.map(safe_location).filter(|place| !place.is_empty());
        if let Some(location) = located {
            let (directory, name) = match location.rsplit_once('/') {
                Some((directory, name)) => (format!("data/{directory}"), name),
                None => ("data".to_owned(), location.as_str()),
            };
            return self.claim(&directory, name);
        }
        let name = match object.file_name.filter(|name| !name.trim().is_empty()) {
            Some(name) => safe_name(&with_letters(name)),
            None => {
                let kind = if object.format_id == RESOURCE_MAP_FORMAT_ID { "RESOURCE" } else { "DATA" };
                let extension = extension.map(|extension| format!(".{extension}")).unwrap_or_default();
                safe_name(&format!("{}-{kind}{extension}", key(object.identifier.as_str())))
            }
        };
        self.claim("data", &name)
    }

    /// Assigns a path to the system metadata of an object.
    pub fn place_system_metadata(&mut self, identifier: &Identifier) -> String {
        self.claim(SYSTEM_METADATA, &safe_name(&format!("sysmeta-{}.xml", key(identifier.as_str()))))
    }

    fn claim(&mut self, directory: &str, name: &str) -> String {
        self.first_free(directory, name, |number| format!("{number}-duplicate-{name}"))
    }

    fn claim_numbered(&mut self, directory: &str, stem: &str, extension: &str) -> String {
        let name = format!("{stem}.{extension}");
        self.first_free(directory, &name, |number| format!("{stem}({}).{extension}", number + 1))
    }

    /// Uses the name, or the first of its repeats that is free. A directory whose path is already a file gets another name
    /// itself.
    fn first_free(&mut self, directory: &str, name: &str, repeat: impl Fn(u64) -> String) -> String {
        let directory = self.free_directory(directory);
        let path = format!("{directory}/{name}");
        if self.take(&path) {
            return path;
        }
        let key = folded(&path);
        let mut number = self.repeats.get(&key).copied().unwrap_or_default();
        loop {
            let path = format!("{directory}/{}", repeat(number));
            number += 1;
            if self.take(&path) {
                self.repeats.insert(key, number);
                return path;
            }
        }
    }

    /// Takes a path, if it is free.
    fn take(&mut self, path: &str) -> bool {
        let folded = folded(path);
        !self.directories.contains(&folded) && self.files.insert(folded)
    }

    fn free_directory(&mut self, directory: &str) -> String {
        let mut free = String::new();
        for component in directory.split('/') {
            let base = if free.is_empty() { component.to_owned() } else { format!("{free}/{component}") };
            free.clone_from(&base);
            while self.files.contains(&folded(&free)) {
                free.push('_');
            }
            self.directories.insert(folded(&free));
        }
        free
    }
}

/// Returns the name of the directory that a package unpacks into: `dataset_` and the identifier's tag, without
/// `doi_`.
///
/// ```
/// let identifier = "doi:10.18739/A2D795C92".parse()?;
/// assert_eq!(d1_package::bag_directory(&identifier), "dataset_10.18739_A2D795C92");
/// # Ok::<(), d1_model::IdentifierError>(())
/// ```
#[must_use]
pub fn bag_directory(identifier: &Identifier) -> String {
    let tag = identifier.tag();
    format!("dataset_{}", tag.strip_prefix("doi_").unwrap_or(&tag))
}

/// Makes a location safe, component by component, and drops those that lead elsewhere.
fn safe_location(location: &str) -> String {
    let mut components: Vec<String> = Vec::new();
    for component in location.split(['/', '\\']) {
        let kept: String = component.chars().filter(|character| is_kept(*character)).collect();
        // A component whose characters are all dropped still counts.
        let kept = if kept.trim().is_empty() && !component.trim().is_empty() { "_" } else { kept.trim() };
        if !matches!(kept, "" | "." | "..") {
            components.push(safe_name(kept));
        }
    }
    // Some producers write locations relative to the payload directory, others relative to the bag.
    if components.len() > 1 && components.first().is_some_and(|first| first == "data") {
        components.remove(0);
    }
    let mut place = components.join("/");
    if path_fault(&format!("data/{place}")).is_some() {
        place = safe_name(&components.concat());
    }
    place
}

/// Returns a file name with `_` for each character that some file system refuses, or that hides others.
fn with_letters(name: &str) -> String {
    name.chars().map(|character| if is_kept(character) { character } else { '_' }).collect()
}

/// Returns whether a character of a suggested name is kept. Letters of all scripts are.
fn is_kept(character: char) -> bool {
    // Marks that change the direction of text, join letters or hide them.
    let is_invisible = matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    !character.is_control() && !is_invisible && !"<>:\"/\\|?*".contains(character)
}

/// Makes a name safe: short enough, and without a special meaning on Windows.
fn safe_name(name: &str) -> String {
    let trimmed = name.trim_matches(|character: char| character == ' ').trim_end_matches('.');
    let mut safe = if trimmed.is_empty() { "_".to_owned() } else { trimmed.to_owned() };
    if safe.len() > LONGEST_NAME {
        let (stem, extension) = match safe.rsplit_once('.') {
            Some((stem, extension)) if extension.len() <= 16 => (stem, format!(".{extension}")),
            _ => (safe.as_str(), String::new()),
        };
        let hash =
            Digest::sha256_of(name.as_bytes()).encoded().get(..HASH_DIGITS).unwrap_or_default().to_owned();
        let room = LONGEST_NAME.saturating_sub(hash.len() + extension.len() + 1);
        let end = stem.char_indices().map(|(start, letter)| start + letter.len_utf8());
        let stem = stem.get(..end.take_while(|end| *end <= room).last().unwrap_or(0)).unwrap_or_default();
        safe = format!("{stem}-{hash}{extension}");
    }
    if safe.starts_with('~') || portability_fault(&safe).is_some() {
        safe.insert(0, '_');
    }
    safe
}

/// Suffixes by which producers mark the kind of an object in names made from identifiers.
const KIND_MARKS: [&str; 3] = ["-DATA", "-METADATA", "-RESOURCE"];

/// Returns the keys by which a file's name may match a `fileName` or an identifier, the most exact first.
///
/// Producers replace characters that they consider unsafe, put `0-duplicate-` before repeated names, and name
/// files `IDENTIFIER-DATA.csv` if the system metadata have no file name.
pub(super) fn keys_of_path(path: &str) -> Vec<String> {
    let name = path.rsplit('/').next().unwrap_or_default();
    let mut keys = vec![key(name)];
    if let Some((number, rest)) = name.split_once("-duplicate-")
        && !number.is_empty()
        && number.bytes().all(|byte| byte.is_ascii_digit())
    {
        keys.push(key(rest));
    }
    if let Some((stem, _)) = name.rsplit_once('.') {
        keys.push(key(stem));
        keys.extend(KIND_MARKS.iter().filter_map(|mark| stem.strip_suffix(mark)).map(key));
    }
    keys.extend(KIND_MARKS.iter().filter_map(|mark| name.strip_suffix(mark)).map(key));
    keys
}

/// Returns a text sanitised as producers do it: `_` for every character outside `[A-Za-z0-9.-]`.
pub(crate) fn key(text: &str) -> String {
    let is_kept = |character: char| character.is_ascii_alphanumeric() || matches!(character, '.' | '-');
    text.chars().map(|character| if is_kept(character) { character } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(
        names: &mut BagNames,
        identifier: &str,
        file_name: Option<&str>,
        location: Option<&str>,
    ) -> String {
        let identifier = identifier.parse().unwrap();
        let (format_id, is_resource_map) = ("text/csv", false);
        names.place(&ObjectToPlace {
            identifier: &identifier,
            format_id,
            file_name,
            location,
            is_resource_map,
        })
    }

    #[test]
    fn names_are_those_of_the_package_download() {
        let mut names = BagNames::new();
        assert_eq!(place(&mut names, "a:1", Some("a b é.csv"), Some("x/y z.csv")), "data/x/y z.csv");
        assert_eq!(place(&mut names, "a:1", Some("a b é.csv"), None), "data/a b é.csv");
        assert_eq!(
            place(&mut names, "a:1", Some("a b e\u{301}.csv"), None),
            "data/0-duplicate-a b e\u{301}.csv"
        );
        assert_eq!(place(&mut names, "a:1", Some("A B É.csv"), None), "data/1-duplicate-A B É.csv");
        assert_eq!(place(&mut names, "a:1", Some("🌊 tide.csv"), None), "data/🌊 tide.csv");
        assert_eq!(place(&mut names, "a:1", Some("a/b:c\u{202e}\n.csv"), None), "data/a_b_c__.csv");
        assert_eq!(place(&mut names, "urn:uuid:1", None, None), "data/urn_uuid_1-DATA.csv");
        assert_eq!(place(&mut names, "a:1", None, Some("data/deep/x.csv")), "data/deep/x.csv");
    }

    #[test]
    fn nothing_leads_out_of_the_bag() {
        for location in [
            "../../etc/passwd",
            "/etc/passwd",
            "..\\..\\x",
            "C:\\x",
            "~/x",
            "a/../../b",
            "\u{202e}",
            "%HOME%/x",
        ] {
            let mut names = BagNames::new();
            let path = place(&mut names, "a", None, Some(location));
            assert!(path.starts_with("data/") && path_fault(&path).is_none(), "{location} {path}");
        }
        let mut names = BagNames::new();
        for name in ["..", ".", "~", "con", " . ", "aux.csv"] {
            let path = place(&mut names, "a", Some(name), None);
            assert!(path_fault(&path).is_none() && portability_fault(&path).is_none(), "{name} {path}");
        }
    }

    #[test]
    fn no_place_is_the_directory_of_another() {
        let mut names = BagNames::new();
        assert_eq!(place(&mut names, "a", None, Some("X")), "data/X");
        assert_eq!(place(&mut names, "a", None, Some("x/y")), "data/x_/y");
        assert_eq!(place(&mut names, "a", None, Some("x_")), "data/0-duplicate-x_");
        assert_eq!(place(&mut names, "a", None, Some("x/y")), "data/x_/0-duplicate-y");
    }

    #[test]
    fn many_objects_of_one_name_get_consecutive_numbers() {
        let mut names = BagNames::new();
        assert_eq!(place(&mut names, "a", Some("7-duplicate-x.csv"), None), "data/7-duplicate-x.csv");
        assert_eq!(place(&mut names, "a", Some("x.csv"), None), "data/x.csv");
        for number in (0..20_000).filter(|number| *number != 7) {
            let expected = format!("data/{number}-duplicate-X.csv");
            assert_eq!(place(&mut names, "a", Some("X.csv"), None), expected);
        }
        assert_eq!(names.repeats.values().copied().collect::<Vec<_>>(), [20_000]);
    }

    #[test]
    fn long_names_are_cut_and_stay_different() {
        let mut names = BagNames::new();
        let long = |last: char| format!("{}{last}.csv", "x".repeat(400));
        let first = place(&mut names, "a", Some(&long('a')), None);
        let second = place(&mut names, "a", Some(&long('b')), None);
        assert!(first != second && first.len() < 250 && first.ends_with(".csv"), "{first}");
        let wide = place(&mut names, "a", Some(&format!("{}.csv", "🌊".repeat(200))), None);
        assert!(wide.len() < 250 && wide.ends_with(".csv"), "{wide}");
    }

    #[test]
    fn documents_lie_under_metadata() {
        let mut names = BagNames::new();
        let identifier: Identifier = "doi:10.1/a".parse().unwrap();
        let eml = "https://eml.ecoinformatics.org/eml-2.2.0";
        let mut object = ObjectToPlace {
            identifier: &identifier,
            format_id: eml,
            file_name: Some("x.xml"),
            location: None,
            is_resource_map: false,
        };
        assert_eq!(names.place(&object), "metadata/science-metadata.xml");
        assert_eq!(names.place(&object), "metadata/science-metadata(1).xml");
        (object.format_id, object.is_resource_map) = (RESOURCE_MAP_FORMAT_ID, true);
        assert_eq!(names.place(&object), "metadata/oai-ore.xml");
        assert_eq!(names.place_system_metadata(&identifier), "metadata/sysmeta/sysmeta-doi_10.1_a.xml");
        assert_eq!(bag_directory(&identifier), "dataset_10.1_a");
    }

    #[test]
    fn names_of_real_producers_are_found() {
        for (path, wanted) in [
            ("data/a b.csv", "a b.csv"),
            ("data/sub/0-duplicate-plot.py", "plot.py"),
            ("data/urn_uuid_1-DATA.csv", "urn:uuid:1"),
            ("data/doi_10.1_x-METADATA", "doi:10.1/x"),
            ("data/peggym.133.1", "peggym.133.1"),
            ("data/peggym.133.1.xml", "peggym.133.1"),
        ] {
            assert!(keys_of_path(path).contains(&key(wanted)), "{path}");
        }
        assert!(!keys_of_path("data/x-duplicate-y").contains(&key("y")));
    }
}
