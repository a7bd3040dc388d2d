//! Reading an RO-Crate: its title, identifier, licence, authors and date, and its statements about files.
//!
//! The rules are those of RO-Crate 1.1 and 1.2 for attached crates (<https://w3id.org/ro/crate/1.2>). The document
//! is read as JSON, not as general linked data, which the specification permits. Its size, depth and number of
//! entities are bounded, because it comes from outside.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io::Read;

use bagit::{Algorithm, AlgorithmSet, FileEntry, Inventory};
use d1_model::{DateTime, Identifier};
use oci_model::MediaType;
use safe_files::{PathFault, path_fault};
use serde::de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::PackageOddityCode;
use crate::media::is_object_media_type;
use crate::oddity::OddityList;

/// The name of the document that describes a crate.
pub(crate) const METADATA_FILE: &str = "ro-crate-metadata.json";

/// The largest document that is read, in bytes. It describes some 50,000 files.
pub(crate) const MAX_METADATA_BYTES: u64 = 16 << 20;

/// The most entities of a document that are read.
const MAX_ENTITIES: usize = 200_000;

/// The longest text of a crate that becomes an annotation, in bytes.
const LONGEST_TEXT: usize = 2048;

/// The prefix of the permalinks of the specification's versions.
const SPECIFICATION: &str = "https://w3id.org/ro/crate/";

/// An RO-Crate, as its metadata document describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RoCrate {
    /// The version of the specification, such as `1.2`.
    version: Option<Box<str>>,
    title: Option<String>,
    description: bool,
    identifier: Option<Identifier>,
    licenses: Vec<Box<str>>,
    authors: Vec<Box<str>>,
    published: Option<Box<str>>,
    /// The statements about files, ordered by path.
    files: Vec<FileStatement>,
    /// The directories that entities describe, each with a slash at its end.
    directories: HashSet<Box<str>>,
    /// Paths that `hasPart` links to the root, directly or through other datasets.
    parts: HashSet<Box<str>>,
    /// References that lead out of the crate.
    outside: Vec<Box<str>>,
}

/// The statements of a crate about one of its files.
#[derive(Clone, Debug, PartialEq, Eq)]
struct FileStatement {
    path: Box<str>,
    media_type: Option<MediaType>,
    size: Option<u64>,
    checksums: Vec<(Algorithm, Box<str>)>,
}

impl RoCrate {
    /// Reads a metadata document.
    ///
    /// # Errors
    ///
    /// If the text is not JSON in the form of RO-Crate, or describes no root.
    pub(crate) fn read(reader: impl Read) -> Result<Self, String> {
        let mut bytes = Vec::new();
        let limit = MAX_METADATA_BYTES;
        reader.take(limit + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        if bytes.len() as u64 > limit {
            return Err(format!("expected at most {limit} bytes, found more"));
        }
        let document: Document = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
        Graph::new(document.graph).describe()
    }

    /// Returns the title.
    pub(crate) fn title(&self) -> Option<&str> {
        self.title.as_deref()
    }

    /// Returns the identifier. The DOI of a `doi.org` address is an identifier of the form `doi:10.…`.
    pub(crate) fn identifier(&self) -> Option<&Identifier> {
        self.identifier.as_ref()
    }

    /// Returns the licences as an SPDX expression, if each has an SPDX identifier.
    pub(crate) fn spdx_license(&self) -> Option<String> {
        let identifiers: Option<Vec<String>> = self.licenses.iter().map(|license| spdx(license)).collect();
        identifiers.filter(|identifiers| !identifiers.is_empty()).map(|identifiers| identifiers.join(" AND "))
    }

    /// Returns the licences as the crate states them: addresses or texts.
    pub(crate) fn license(&self) -> Option<String> {
        joined(&self.licenses)
    }

    /// Returns the authors, each a name and, where it is an address, an identifier in parentheses.
    pub(crate) fn authors(&self) -> Option<String> {
        joined(&self.authors)
    }

    /// Returns the date of publication as RFC 3339, if the crate states it to the day.
    pub(crate) fn published(&self) -> Option<String> {
        let text = self.published.as_deref()?;
        if bagit::is_date(text) {
            return Some(format!("{text}T00:00:00Z"));
        }
        DateTime::from_text(text).instant().map(|instant| instant.to_string())
    }

    /// Returns the algorithms of all checksums that the crate states.
    pub(crate) fn algorithms(&self) -> AlgorithmSet {
        self.files.iter().flat_map(|file| &file.checksums).map(|(algorithm, _)| *algorithm).collect()
    }

    /// Returns the paths of files below the crate's root, with the media types that the crate states.
    pub(crate) fn media_types(&self) -> impl Iterator<Item = (&str, &MediaType)> {
        self.files.iter().filter_map(|file| Some((&*file.path, file.media_type.as_ref()?)))
    }

    /// Compares the crate with the files below `root`, which is empty or ends in a slash.
    pub(crate) fn check(&self, root: &str, inventory: &Inventory, oddities: &mut OddityList) {
        let document = format!("{root}{METADATA_FILE}");
        self.check_root(&document, oddities);
        for reference in &self.outside {
            let message = format!("`{reference}` leads out of the crate");
            oddities.add(PackageOddityCode::CratePart, &document, message);
        }
        for file in &self.files {
            let path = format!("{root}{}", file.path);
            match inventory.file(&path) {
                Some(entry) => file.check(&path, entry, oddities),
                None => {
                    let message = format!("the crate describes `{}`, but no file has that path", file.path);
                    oddities.add(PackageOddityCode::CratePart, &document, message);
                }
            }
            if !self.is_part(&file.path) {
                let message = "the crate describes the file, but no `hasPart` links to it".to_owned();
                oddities.add(PackageOddityCode::CratePartUnlinked, &path, message);
            }
        }
        self.check_parts(root, &document, inventory, oddities);
        for (path, _) in inventory.under(root) {
            let inside = path.strip_prefix(root).unwrap_or(path);
            if !self.describes(inside) {
                let message = "no entity of the crate describes the file".to_owned();
                oddities.add(PackageOddityCode::CrateFileUndescribed, path, message);
            }
        }
    }

    /// Reports missing required properties.
    fn check_root(&self, document: &str, oddities: &mut OddityList) {
        let known = |version: &str| matches!(version, "1.0" | "1.1" | "1.2");
        if !self.version.as_deref().is_some_and(known) {
            let found = self.version.as_deref().unwrap_or("none");
            let message = format!("expected a version of RO-Crate up to 1.2 in `conformsTo`, found {found}");
            oddities.add(PackageOddityCode::CrateProperty, document, message);
        }
        let required = [
            ("name", self.title.is_some()),
            ("description", self.description),
            ("datePublished", self.published.is_some()),
            ("license", !self.licenses.is_empty()),
        ];
        for (name, _) in required.into_iter().filter(|(_, is_there)| !is_there) {
            let message = format!("the crate's root has no `{name}`");
            oddities.add(PackageOddityCode::CrateProperty, document, message);
        }
    }

    /// Reports parts that do not exist.
    fn check_parts(&self, root: &str, document: &str, inventory: &Inventory, oddities: &mut OddityList) {
        let described = |path: &str| self.files.binary_search_by(|file| (*file.path).cmp(path)).is_ok();
        let mut missing: Vec<&str> = self.parts.iter().map(|path| &**path).collect();
        missing.retain(|path| {
            let there = match path.strip_suffix('/') {
                Some(directory) => inventory.has_directory(&format!("{root}{directory}")),
                None => described(path) || inventory.file(&format!("{root}{path}")).is_some(),
            };
            !there
        });
        missing.sort_unstable();
        for path in missing {
            let message = format!("`hasPart` names `{path}`, but no file or directory has that path");
            oddities.add(PackageOddityCode::CratePart, document, message);
        }
    }

    /// Returns whether `hasPart` links a file to the root, by its path or by a directory around it.
    fn is_part(&self, path: &str) -> bool {
        self.parts.contains(path) || around(path).any(|directory| self.parts.contains(directory))
    }

    /// Returns whether an entity describes a file, or a directory around it.
    fn describes(&self, path: &str) -> bool {
        path == METADATA_FILE
            || path == "ro-crate-preview.html"
            || path.starts_with("ro-crate-preview_files/")
            || self.files.binary_search_by(|file| (*file.path).cmp(path)).is_ok()
            || around(path).any(|directory| self.directories.contains(directory))
    }
}

impl FileStatement {
    /// Compares the statements with the file.
    fn check(&self, path: &str, entry: FileEntry<'_>, oddities: &mut OddityList) {
        if let Some(size) = self.size.filter(|size| *size != entry.size) {
            let message = format!("the crate states {size} bytes, the file has {}", entry.size);
            oddities.add(PackageOddityCode::CrateSize, path, message);
        }
        for (algorithm, stated) in &self.checksums {
            let Some(found) = entry.digests.hex(*algorithm) else { continue };
            if !found.eq_ignore_ascii_case(stated) {
                let message = format!("the crate states the {algorithm} {stated}, the file has {found}");
                oddities.add(PackageOddityCode::CrateChecksum, path, message);
            }
        }
    }
}

/// The metadata document.
#[derive(Deserialize)]
struct Document {
    #[serde(rename = "@graph", deserialize_with = "entities")]
    graph: Vec<Entity>,
}

/// The properties of an entity that are read. All others are skipped.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Entity {
    #[serde(rename = "@id")]
    id: Values,
    #[serde(rename = "@type")]
    types: Values,
    about: Values,
    #[serde(rename = "conformsTo")]
    conforms_to: Values,
    name: Values,
    description: Values,
    identifier: Values,
    #[serde(rename = "cite-as")]
    cite_as: Values,
    license: Values,
    author: Values,
    creator: Values,
    #[serde(rename = "datePublished")]
    published: Values,
    #[serde(rename = "hasPart")]
    parts: Values,
    #[serde(rename = "encodingFormat")]
    encoding_format: Values,
    #[serde(rename = "contentSize")]
    content_size: Values,
    value: Values,
    url: Values,
    md5: Values,
    sha1: Values,
    sha224: Values,
    sha256: Values,
    sha384: Values,
    sha512: Values,
}

/// The values of a property, each a text or the `@id` of a reference.
#[derive(Debug, Default)]
struct Values(Vec<Box<str>>);

impl Values {
    fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    fn first(&self) -> Option<&str> {
        self.iter().next()
    }
}

impl Entity {
    fn id(&self) -> &str {
        self.id.first().unwrap_or_default()
    }

    fn is_a(&self, class: &str) -> bool {
        self.types.iter().any(|found| found == class)
    }

    fn checksums(&self) -> Vec<(Algorithm, Box<str>)> {
        let stated = [
            (Algorithm::Md5, &self.md5),
            (Algorithm::Sha1, &self.sha1),
            (Algorithm::Sha224, &self.sha224),
            (Algorithm::Sha256, &self.sha256),
            (Algorithm::Sha384, &self.sha384),
            (Algorithm::Sha512, &self.sha512),
        ];
        stated
            .into_iter()
            .filter_map(|(algorithm, values)| Some((algorithm, clipped(values.first()?).into())))
            .collect()
    }
}

/// The entities by their `@id`.
struct Graph {
    entities: Vec<Entity>,
    by_id: HashMap<Box<str>, usize>,
}

impl Graph {
    fn new(entities: Vec<Entity>) -> Self {
        let mut by_id = HashMap::with_capacity(entities.len());
        for (number, entity) in entities.iter().enumerate() {
            by_id.entry(relative(entity.id()).into()).or_insert(number);
        }
        Self { entities, by_id }
    }

    fn get(&self, id: &str) -> Option<&Entity> {
        self.entities.get(*self.by_id.get(relative(id))?)
    }

    fn describe(&self) -> Result<RoCrate, String> {
        let descriptor =
            self.get(METADATA_FILE).ok_or_else(|| format!("there is no entity `{METADATA_FILE}`"))?;
        let root = descriptor.about.first().and_then(|id| self.get(id));
        let root = root.ok_or("no entity is the root that the descriptor is `about`")?;
        if !root.is_a("Dataset") {
            return Err("the root is not a `Dataset`".to_owned());
        }
        let version = descriptor.conforms_to.iter().find_map(|uri| uri.strip_prefix(SPECIFICATION));
        let mut described = RoCrate {
            version: version.map(|version| clipped(version.trim_end_matches('/')).into()),
            title: root.name.first().map(clipped),
            description: root.description.first().is_some(),
            identifier: self.identifier(root),
            licenses: root.license.iter().map(|license| clipped(license).into()).collect(),
            authors: root.author.iter().chain(root.creator.iter()).map(|id| self.agent(id)).collect(),
            published: root.published.first().map(Into::into),
            ..RoCrate::default()
        };
        let mut seen = HashSet::new();
        described.authors.retain(|author| seen.insert(author.clone()));
        self.link_parts(root, &mut described);
        self.add_data_entities(root, &mut described);
        Ok(described)
    }

    /// Finds a persistent identifier of the crate.
    fn identifier(&self, root: &Entity) -> Option<Identifier> {
        let referred = |id: &str| {
            let entity = self.get(id);
            let stated = entity.and_then(|entity| entity.value.first().or_else(|| entity.url.first()));
            as_identifier(stated.unwrap_or(id))
        };
        let own = Some(root.id()).filter(|id| is_absolute(id));
        root.identifier.iter().chain(root.cite_as.iter()).chain(own).find_map(referred)
    }

    /// Returns the name of a person or organisation, with its address where it has one.
    fn agent(&self, id: &str) -> Box<str> {
        let name = self.get(id).and_then(|entity| entity.name.first());
        match name {
            Some(name) if is_absolute(id) => format!("{} ({})", clipped(name), clipped(id)).into(),
            other => clipped(other.unwrap_or(id)).into(),
        }
    }

    /// Follows `hasPart` from the root. Each entity is visited once.
    fn link_parts(&self, root: &Entity, described: &mut RoCrate) {
        let mut pending = vec![root];
        let mut visited: HashSet<&str> = [root.id()].into();
        while let Some(dataset) = pending.pop() {
            for id in dataset.parts.iter() {
                match local_path(id) {
                    Ok(Some(path)) => _ = described.parts.insert(path.into()),
                    Ok(None) => {}
                    Err(_) => described.outside.push(clipped(id).into()),
                }
                if let Some(part) = self.get(id).filter(|part| visited.insert(part.id())) {
                    pending.push(part);
                }
            }
        }
    }

    /// Collects the statements about files and directories.
    fn add_data_entities(&self, root: &Entity, described: &mut RoCrate) {
        for entity in self.entities.iter().filter(|entity| entity.id() != root.id()) {
            let Ok(Some(path)) = local_path(entity.id()) else { continue };
            if entity.is_a("Dataset") {
                let path = if path.ends_with('/') { path } else { format!("{path}/") };
                described.directories.insert(path.into());
            } else if entity.is_a("File") {
                described.files.push(FileStatement {
                    path: path.into(),
                    media_type: entity.encoding_format.iter().find_map(media_type),
                    size: entity.content_size.first().and_then(|size| size.parse().ok()),
                    checksums: entity.checksums(),
                });
            }
        }
        described.files.sort_by(|left, right| left.path.cmp(&right.path));
        described.files.dedup_by(|later, first| later.path == first.path);
    }
}

/// Walks the directories around a path, each with a slash at its end.
fn around(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').filter_map(|(slash, _)| path.get(..=slash))
}

/// Returns an `@id` without the `./` that some writers put before it.
fn relative(id: &str) -> &str {
    match id.strip_prefix("./") {
        Some(rest) if !rest.is_empty() => rest,
        _ => id,
    }
}

/// Returns whether a reference is an absolute URI (RFC 3986 section 3.1).
fn is_absolute(id: &str) -> bool {
    let Some((scheme, _)) = id.split_once(':') else { return false };
    scheme.starts_with(|character: char| character.is_ascii_alphabetic())
        && scheme.chars().all(|character| character.is_ascii_alphanumeric() || "+-.".contains(character))
}

/// Returns the path that a reference names in the crate, with a slash at its end for a directory.
///
/// References to the web, to the root and to entities other than files name no path.
///
/// # Errors
///
/// If the path leads out of the crate.
fn local_path(id: &str) -> Result<Option<String>, PathFault> {
    let id = relative(id);
    if id.is_empty() || id.starts_with('#') || matches!(id, "." | "./") || is_absolute(id) {
        return Ok(None);
    }
    let decoded = d1_model::decode_path_segment(id).unwrap_or_else(|_| id.to_owned());
    let clean = decoded.strip_suffix('/').unwrap_or(&decoded);
    path_fault(clean).map_or(Ok(Some(decoded.clone())), Err)
}

/// Reads a media type, without its parameters.
fn media_type(text: &str) -> Option<MediaType> {
    let name = text.split(';').next().unwrap_or_default().trim();
    let is_type = name.split('/').filter(|half| !half.is_empty()).count() == 2 && !is_absolute(name);
    name.parse().ok().filter(|media_type| is_type && is_object_media_type(media_type))
}

/// Reads an identifier. The address of a DOI becomes `doi:10.…`.
fn as_identifier(text: &str) -> Option<Identifier> {
    let resolvers =
        ["https://doi.org/", "http://doi.org/", "https://dx.doi.org/", "http://dx.doi.org/", "doi.org/"];
    let doi = resolvers.iter().find_map(|resolver| text.strip_prefix(resolver));
    match doi {
        Some(doi) => format!("doi:{doi}").parse().ok(),
        None => text.parse().ok(),
    }
}

/// Returns the SPDX identifier that the address of a licence names.
fn spdx(license: &str) -> Option<String> {
    let address = license.strip_prefix("https://").or_else(|| license.strip_prefix("http://"))?;
    let address = address.strip_prefix("www.").unwrap_or(address);
    let is_name = |name: &str| {
        !name.is_empty()
            && name.chars().all(|character| character.is_ascii_alphanumeric() || "+-.".contains(character))
    };
    if let Some(name) = address.strip_prefix("spdx.org/licenses/") {
        let name = name.trim_end_matches('/');
        let name = name.strip_suffix(".html").or_else(|| name.strip_suffix(".json")).unwrap_or(name);
        return is_name(name).then(|| name.to_owned());
    }
    let path = address.strip_prefix("creativecommons.org/")?.trim_end_matches('/');
    // A licence version for one country has its own identifier, or none.
    match *path.split('/').collect::<Vec<_>>() {
        ["licenses", terms, version] | ["licenses", terms, version, "legalcode"]
            if is_name(terms) && is_name(version) =>
        {
            Some(format!("CC-{}-{version}", terms.to_ascii_uppercase()))
        }
        ["publicdomain", "zero", "1.0"] | ["publicdomain", "zero", "1.0", "legalcode"] => {
            Some("CC0-1.0".to_owned())
        }
        _ => None,
    }
}

/// Joins as many texts for an annotation as fit whole.
fn joined(texts: &[Box<str>]) -> Option<String> {
    let mut line = String::new();
    for text in texts {
        if line.len() + text.len() + 2 > LONGEST_TEXT {
            line.push_str(", …");
            break;
        }
        let separator = if line.is_empty() { "" } else { ", " };
        line.push_str(separator);
        line.push_str(text);
    }
    (!line.is_empty()).then_some(line)
}

/// Returns a text on one line that fits into an annotation.
fn clipped(text: &str) -> String {
    let mut line = String::new();
    for word in text.split_whitespace() {
        let separator = if line.is_empty() { "" } else { " " };
        if line.len() + separator.len() + word.len() + '…'.len_utf8() > LONGEST_TEXT / 2 {
            line.push('…');
            break;
        }
        line.push_str(separator);
        line.extend(word.chars().filter(|character| !character.is_control()));
    }
    line
}

/// Reads the entities one by one, at most [`MAX_ENTITIES`].
fn entities<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Entity>, D::Error> {
    struct Entities;
    impl<'de> Visitor<'de> for Entities {
        type Value = Vec<Entity>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("a list of entities")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Vec<Entity>, A::Error> {
            let mut entities = Vec::new();
            while let Some(entity) = sequence.next_element()? {
                if entities.len() == MAX_ENTITIES {
                    let limit = format_args!("expected at most {MAX_ENTITIES} entities, found more");
                    return Err(A::Error::custom(limit));
                }
                entities.push(entity);
            }
            Ok(entities)
        }
    }
    deserializer.deserialize_seq(Entities)
}

/// Reads a text, a number, a reference, or a list of them. Anything else counts as absent.
impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collected;
        impl<'de> Visitor<'de> for Collected {
            type Value = Values;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("the value of a property")
            }

            fn visit_str<E>(self, text: &str) -> Result<Values, E> {
                Ok(Values(vec![text.into()]))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Values, E> {
                Ok(Values(vec![number.to_string().into()]))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Values, E> {
                Ok(Values(vec![number.to_string().into()]))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Values, E> {
                Ok(Values(vec![number.to_string().into()]))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Values, E> {
                Ok(Values::default())
            }

            fn visit_unit<E>(self) -> Result<Values, E> {
                Ok(Values::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Values, A::Error> {
                let mut values = Values::default();
                while let Some(key) = map.next_key::<Box<str>>()? {
                    match &*key {
                        "@id" | "@value" => values.0.extend(map.next_value::<Values>()?.0),
                        _ => _ = map.next_value::<IgnoredAny>()?,
                    }
                }
                Ok(values)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Values, A::Error> {
                let mut values = Values::default();
                while let Some(found) = sequence.next_element::<Values>()? {
                    values.0.extend(found.0);
                }
                Ok(values)
            }
        }
        deserializer.deserialize_any(Collected)
    }
}
