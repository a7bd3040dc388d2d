//! The names that an archive has used. Finds repeats, clashes, and paths through files or links.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use hashbrown::HashTable;
use safe_files::folded;

/// The kind of the entry at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NodeKind {
    Directory,
    File,
    SymbolicLink,
}

/// The reason why a path is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NameFault {
    /// The path is in use.
    Duplicate,
    /// The path leads through this path, which is not a directory.
    Through(String),
    /// All names together are longer than [`MOST_TEXT`].
    TooMuchText,
    /// Too many paths differ from it only by case or Unicode normalisation: searching them would take too long.
    TooManyAlike,
}

/// All names of an archive, with one node for each component: about 30 bytes and the name for each file.
pub(crate) struct ArchiveNames {
    names: Names,
    /// Nodes by the hash of parent and folded name.
    places: HashTable<u32>,
}

/// Nodes, each with its name.
struct Names {
    nodes: Vec<Node>,
    /// All names, one after the other.
    text: String,
    random: RandomState,
}

struct Node {
    parent: u32,
    start: u32,
    length: u16,
    kind: NodeKind,
    /// Size of a file in bytes.
    size: u64,
}

/// The most bytes of all names together.
pub(crate) const MOST_TEXT: usize = 256 << 20;

const ROOT: u32 = 0;
/// The most names in one directory that differ from a name only by case or Unicode normalisation.
pub const MOST_ALIKE: usize = 64;

impl ArchiveNames {
    pub(crate) fn new() -> Self {
        let root = Node { parent: ROOT, start: 0, length: 0, kind: NodeKind::Directory, size: 0 };
        let names = Names { nodes: vec![root], text: String::new(), random: RandomState::new() };
        Self { names, places: HashTable::new() }
    }

    /// Number of paths, including implied directories.
    pub(crate) fn len(&self) -> u64 {
        self.names.nodes.len() as u64 - 1
    }

    /// Adds a path without a size, and the directories above it. A directory may come again.
    ///
    /// Returns an earlier path that differs only by case or Unicode normalisation.
    pub(crate) fn insert(&mut self, path: &str, kind: NodeKind) -> Result<Option<String>, NameFault> {
        self.insert_sized(path, kind, 0)
    }

    /// Takes the path of a file, as [`insert`](Self::insert) does.
    pub(crate) fn insert_file(&mut self, path: &str, size: u64) -> Result<Option<String>, NameFault> {
        self.insert_sized(path, NodeKind::File, size)
    }

    fn insert_sized(&mut self, path: &str, kind: NodeKind, size: u64) -> Result<Option<String>, NameFault> {
        let mut earlier = None;
        let mut parent = ROOT;
        let mut components = path.split('/').peekable();
        while let Some(name) = components.next() {
            let is_last = components.peek().is_none();
            let wanted = if is_last { kind } else { NodeKind::Directory };
            let (node, is_new, clash) = self.find_or_add(parent, name, wanted)?;
            earlier = clash.map(|clash| self.names.path(clash)).or(earlier);
            let found = self.names.get(node).map_or(NodeKind::File, |node| node.kind);
            if !is_last && found != NodeKind::Directory {
                return Err(NameFault::Through(self.names.path(node)));
            }
            if is_last && !is_new && (found, kind) != (NodeKind::Directory, NodeKind::Directory) {
                return Err(NameFault::Duplicate);
            }
            parent = node;
        }
        if let Some(node) = self.names.nodes.get_mut(parent as usize) {
            node.size = size;
        }
        Ok(earlier)
    }

    /// Returns the size of the file at a path, or `None` if something else or nothing is there.
    pub(crate) fn file_size(&self, path: &str) -> Option<u64> {
        let mut node = ROOT;
        for name in path.split('/') {
            node = self.lookup(node, name).exact?;
        }
        self.names.get(node).filter(|node| node.kind == NodeKind::File).map(|node| node.size)
    }

    /// Returns the node of a name and whether it is new. For a new node, also returns another node whose name
    /// folds to the same.
    fn find_or_add(
        &mut self,
        parent: u32,
        name: &str,
        kind: NodeKind,
    ) -> Result<(u32, bool, Option<u32>), NameFault> {
        let found = self.lookup(parent, name);
        if let Some(exact) = found.exact {
            return Ok((exact, false, None));
        }
        if found.alike > MOST_ALIKE {
            return Err(NameFault::TooManyAlike);
        }
        let node = self.names.add(parent, name, kind).ok_or(NameFault::TooMuchText)?;
        self.places.insert_unique(found.hash, node, |node| self.names.hash_of(*node));
        Ok((node, true, found.clash))
    }

    fn lookup(&self, parent: u32, name: &str) -> Lookup {
        let folded_name = folded(name);
        let hash = self.names.hash(parent, &folded_name);
        let mut lookup = Lookup { exact: None, clash: None, alike: 0, hash };
        for &candidate in self.places.iter_hash(hash) {
            if self.names.get(candidate).is_none_or(|node| node.parent != parent) {
                continue;
            }
            let found = self.names.name(candidate);
            if found == name {
                lookup.exact = Some(candidate);
                break;
            }
            if folded(found) == folded_name {
                lookup.clash = Some(candidate);
                lookup.alike += 1;
            }
        }
        lookup
    }
}

impl Names {
    fn add(&mut self, parent: u32, name: &str, kind: NodeKind) -> Option<u32> {
        // The entry limit keeps the number of nodes far below this, and a component is at most 4096 bytes long.
        let node = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        let length = u16::try_from(name.len()).unwrap_or(u16::MAX);
        if self.text.len() + name.len() > MOST_TEXT {
            return None;
        }
        let start = u32::try_from(self.text.len()).ok()?;
        self.nodes.push(Node { parent, start, length, kind, size: 0 });
        self.text.push_str(name);
        Some(node)
    }

    fn get(&self, node: u32) -> Option<&Node> {
        self.nodes.get(node as usize)
    }

    fn name(&self, node: u32) -> &str {
        let node = self.get(node);
        let range = node.map(|node| node.start as usize..node.start as usize + usize::from(node.length));
        range.and_then(|range| self.text.get(range)).unwrap_or_default()
    }

    fn hash(&self, parent: u32, folded: &str) -> u64 {
        self.random.hash_one((parent, folded))
    }

    fn hash_of(&self, node: u32) -> u64 {
        let parent = self.get(node).map_or(ROOT, |node| node.parent);
        self.hash(parent, &folded(self.name(node)))
    }

    fn path(&self, mut node: u32) -> String {
        let mut names = Vec::new();
        while node != ROOT {
            names.push(self.name(node));
            node = self.get(node).map_or(ROOT, |node| node.parent);
        }
        names.reverse();
        names.join("/")
    }
}

/// The result of looking a name up.
struct Lookup {
    /// The node with exactly this name.
    exact: Option<u32>,
    /// A node whose name folds to the same.
    clash: Option<u32>,
    /// Number of such nodes.
    alike: usize,
    /// The hash of a new node, if there is none.
    hash: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(entries: &[(&str, NodeKind)]) -> ArchiveNames {
        let mut names = ArchiveNames::new();
        for (path, kind) in entries {
            names.insert(path, *kind).unwrap();
        }
        names
    }

    #[test]
    fn directories_may_repeat_and_nothing_else() {
        use NodeKind::{Directory, File, SymbolicLink};

        let cases = [
            ("d", Directory, Ok(())),
            ("d/f", File, Err(NameFault::Duplicate)),
            ("d/f", Directory, Err(NameFault::Duplicate)),
            ("d/f", SymbolicLink, Err(NameFault::Duplicate)),
            ("d", File, Err(NameFault::Duplicate)),
            ("d/f/g", File, Err(NameFault::Through("d/f".into()))),
            ("d/l/g/h", File, Err(NameFault::Through("d/l".into()))),
            ("x/l", SymbolicLink, Ok(())),
        ];
        for (path, kind, expected) in cases {
            let mut names = names(&[("d/f", File), ("d/l", SymbolicLink)]);
            assert_eq!(names.insert(path, kind).map(|_| ()), expected, "{path} {kind:?}");
        }
    }

    #[test]
    fn names_that_fold_alike_clash_once_each() {
        let cases = [
            ("Data/a", "data/b"),
            ("data/a.csv", "data/A.CSV"),
            ("gr\u{f6}\u{df}e", "GRO\u{308}SSE"),
            ("e\u{301}", "\u{e9}"),
            ("\u{3c3}", "\u{3c2}"),
            ("file", "\u{fb01}le"),
        ];
        for (earlier, path) in cases {
            let mut names = names(&[(earlier, NodeKind::File)]);
            let clash = names.insert(path, NodeKind::File).unwrap().unwrap();
            assert!(earlier.starts_with(&clash), "{clash}");
            assert_eq!(names.insert(path, NodeKind::File), Err(NameFault::Duplicate));
        }
        let mut names = names(&[("Data/a", NodeKind::File), ("data/b", NodeKind::File)]);
        assert_eq!(names.insert("data/c", NodeKind::File).unwrap(), None);
        assert_eq!(names.len(), 5);
    }

    #[test]
    fn the_size_of_a_file_at_an_exact_path_is_known() {
        let mut names = names(&[("d/l", NodeKind::SymbolicLink)]);
        names.insert_file("d/f", 7).unwrap();
        assert_eq!(names.file_size("d/f"), Some(7));
        for path in ["d", "d/l", "D/f", "d/g"] {
            assert_eq!(names.file_size(path), None, "{path}");
        }
    }

    #[test]
    fn names_that_fold_alike_are_bounded_in_number() {
        let mut names = ArchiveNames::new();
        let mut variants = (0..1000_u32)
            .map(|bits| (0..10).map(|bit| if bits >> bit & 1 == 0 { 'a' } else { 'A' }).collect::<String>());
        let refused = variants.position(|name| names.insert(&name, NodeKind::File).is_err());
        assert_eq!(refused, Some(MOST_ALIKE + 1));
    }
}
