//! From a path as a manifest spells it to the file that it means.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::HashMap;

use safe_files::{PathFault, leaves, normalised, without_dots};

use crate::inventory::{FileEntry, Inventory};
use crate::manifest::ManifestKind;
use crate::path::{decode, has_stray_percent};
use crate::version::Version;

/// Finds files by the paths of manifests.
pub(super) struct Resolver<'a> {
    inventory: &'a Inventory,
    version: Version,
    /// From the normalised form of a name to its file, where it is the only one of that form.
    by_normalised: OnceCell<HashMap<Cow<'a, str>, Option<usize>>>,
}

/// Says what a path means.
pub(super) enum Target {
    /// The file with this index.
    File(usize),
    /// A directory.
    Directory,
    /// Nothing that is there; the path as it would be.
    Missing(String),
    /// A path that could leave the bag, and why.
    Escapes(PathFault),
    /// In a payload manifest, a path that is not under `data/`.
    Outside,
}

/// Notes how a path had to be read to find its target.
#[derive(Default)]
pub(super) struct Notes {
    pub(super) marker: bool,
    pub(super) not_canonical: bool,
    pub(super) base_directory: bool,
    pub(super) legacy_percent: bool,
    pub(super) normalised: bool,
}

/// Holds a path as it stands in a manifest.
#[derive(Clone, Copy)]
pub(super) struct Spelled<'p> {
    pub(super) path: &'p str,
    /// Its escapes are undone already.
    pub(super) plain: bool,
    pub(super) kind: ManifestKind,
}

impl<'a> Resolver<'a> {
    pub(super) fn new(inventory: &'a Inventory, version: Version) -> Self {
        Self { inventory, version, by_normalised: OnceCell::new() }
    }

    /// Gives a file by its place in the bytewise order, which names it during a check.
    pub(super) fn file(&self, index: usize) -> Option<(&'a str, FileEntry<'a>)> {
        self.inventory.get(index)
    }

    pub(super) fn len(&self) -> usize {
        self.inventory.len()
    }

    /// Walks the indices of the files under `data/`, or of the others.
    pub(super) fn indices(&self, kind: ManifestKind) -> impl Iterator<Item = (usize, &'a str)> + use<'a> {
        let wanted = move |path: &str| path.starts_with("data/") == (kind == ManifestKind::Payload);
        let files = self.inventory.files().enumerate();
        files.filter(move |(_, (path, _))| wanted(path)).map(|(index, (path, _))| (index, path))
    }

    pub(super) fn find(&self, path: &str) -> Option<usize> {
        self.inventory.position(path)
    }

    /// Resolves a path; `base` remembers the directory that this manifest writes before its paths.
    pub(super) fn resolve(&self, spelled: Spelled<'_>, base: &mut Option<String>) -> (Target, Notes) {
        let mut notes = Notes::default();
        if let Some(reason) = leaves(spelled.path) {
            return (Target::Escapes(reason), notes);
        }
        let in_scope = spelled.kind == ManifestKind::Tag || spelled.path.starts_with("data/");
        if in_scope && let Some(index) = self.lookup(spelled, &mut notes) {
            return (Target::File(index), notes);
        }
        let unmarked = without_marker(spelled);
        notes.marker = unmarked.is_some();
        let path = without_dots(unmarked.unwrap_or(spelled.path));
        notes.not_canonical = path != unmarked.unwrap_or(spelled.path);
        let (path, based) = self.without_base(Spelled { path: &path, ..spelled }, base);
        notes.base_directory = based;
        (self.locate(Spelled { path, ..spelled }, &mut notes), notes)
    }

    fn locate(&self, spelled: Spelled<'_>, notes: &mut Notes) -> Target {
        let plain = self.decoded(spelled);
        // What was stripped may have hidden it: `*/x`, `a/../x` behind an escape.
        if let Some(reason) = leaves(&plain) {
            return Target::Escapes(reason);
        }
        let directory = plain.trim_end_matches('/');
        if spelled.kind == ManifestKind::Payload && !plain.starts_with("data/") && directory != "data" {
            return Target::Outside;
        }
        if let Some(index) = self.lookup(spelled, notes) {
            return Target::File(index);
        }
        if plain.ends_with('/') || self.inventory.has_directory(directory) {
            return Target::Directory;
        }
        Target::Missing(plain.into_owned())
    }

    /// Finds a file by its decoded name, else by its literal name, else by its normalised name.
    fn lookup(&self, spelled: Spelled<'_>, notes: &mut Notes) -> Option<usize> {
        let decoded = self.decoded(spelled);
        if let Some(index) = self.find(&decoded) {
            notes.legacy_percent = !spelled.plain && self.version.is_rfc() && has_stray_percent(spelled.path);
            return Some(index);
        }
        if let Some(index) = self.find(spelled.path) {
            notes.legacy_percent = true;
            return Some(index);
        }
        if decoded.is_ascii() {
            return None;
        }
        let index = self.by_normalised().get(&normalised(&decoded)).copied().flatten()?;
        notes.normalised = true;
        Some(index)
    }

    fn decoded<'p>(&self, spelled: Spelled<'p>) -> Cow<'p, str> {
        if spelled.plain { Cow::Borrowed(spelled.path) } else { decode(spelled.path, self.version) }
    }

    fn by_normalised(&self) -> &HashMap<Cow<'a, str>, Option<usize>> {
        self.by_normalised.get_or_init(|| {
            let mut map = HashMap::new();
            for (index, (path, _)) in
                self.inventory.files().enumerate().filter(|(_, (path, _))| !path.is_ascii())
            {
                map.entry(normalised(path)).and_modify(|only| *only = None).or_insert(Some(index));
            }
            map
        })
    }

    /// Strips the bag's own directory, which GMN writes before each path.
    fn without_base<'p>(&self, spelled: Spelled<'p>, base: &mut Option<String>) -> (&'p str, bool) {
        let path = spelled.path;
        let Some((first, rest)) = path.split_once('/') else { return (path, false) };
        let known = base.as_deref().is_none_or(|base| base == first);
        let fits = match spelled.kind {
            ManifestKind::Payload => !path.starts_with("data/") && rest.starts_with("data/"),
            ManifestKind::Tag => self.find(path).is_none() && self.find(rest).is_some(),
        };
        if !known || !fits {
            return (path, false);
        }
        base.get_or_insert_with(|| first.to_owned());
        (rest, true)
    }
}

/// Strips the `*` of md5sum's binary mode, if what follows can be a path of the manifest.
fn without_marker(spelled: Spelled<'_>) -> Option<&str> {
    let rest = spelled.path.strip_prefix('*')?;
    let fits = spelled.kind == ManifestKind::Tag || without_dots(rest).starts_with("data/");
    fits.then_some(rest)
}
