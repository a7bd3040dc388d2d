//! The command of a round, and its effects.

use std::path::Path;

use super::chance::Chance;
use super::check::REPOSITORY;
use super::world::{Beginnings, FETCHED, PACKAGE};
use crate::{d1oci, tree};

/// One command.
#[derive(Clone, Debug)]
pub(super) enum Task {
    /// A bag is pushed into the layout or the registry.
    Push { bag: &'static str, to: Side, tag: &'static str, layout: &'static str },
    /// A package is pulled from the layout or the registry.
    Pull { tag: &'static str, from: Side },
    /// A package is copied from one to the other.
    Copy { tag: &'static str, from: Side, to: &'static str },
    /// One file is read from the layout or the registry.
    Read { from: Side },
    /// Unreferenced content is removed from the layout.
    Prune,
    /// A package is fetched from a node.
    Fetch,
    /// A package is replicated from a node into the layout or the registry, with a journal or without.
    Replicate { to: Side, journal: bool },
}

/// A store of packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Layout,
    Registry,
}

/// The file for commands that read one file.
const ONE_FILE: &str = "data/large.csv";

impl Side {
    fn other(self) -> Self {
        if self == Self::Layout { Self::Registry } else { Self::Layout }
    }
}

impl Task {
    pub(super) fn choose(chance: &mut Chance) -> Self {
        let side = if chance.percent(40) { Side::Layout } else { Side::Registry };
        let tag = chance.one_of(&["first", "second"]);
        match chance.below(26) {
            0..8 => Self::Push {
                bag: chance.one_of(&["second", "third"]),
                to: side,
                tag: chance.one_of(&["second", "new"]),
                layout: chance.one_of(&["objects", "archive"]),
            },
            8..14 => Self::Pull { tag: chance.one_of(&["first", "second", "second"]), from: side },
            14..17 => Self::Copy { tag, from: side, to: chance.one_of(&["new", "copied"]) },
            17..19 => Self::Read { from: side },
            19 => Self::Prune,
            20..22 => Self::Fetch,
            _ => Self::Replicate { to: side, journal: chance.percent(50) },
        }
    }

    /// Returns the arguments. `ROOM` is the directory of the layout and the results, `HOST` the registry, `NODE` the node's URL.
    pub(super) fn arguments(&self, beginnings: &Beginnings) -> Vec<String> {
        let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        match self {
            Self::Push { bag, to, tag, layout } => {
                let bag = beginnings.bag(bag).to_string_lossy().into_owned();
                list(&["push", &reference(*to, tag), &bag, "--layout", layout])
            }
            Self::Pull { tag, from } => list(&["pull", &reference(*from, tag), "-o", "ROOM/out"]),
            Self::Copy { tag, from, to } => {
                list(&["copy", &reference(*from, tag), &reference(from.other(), to)])
            }
            Self::Read { from } => list(&["cat", &reference(*from, "second"), ONE_FILE, "-o", "ROOM/one"]),
            Self::Prune => list(&["prune", "oci:ROOM/store", "--grace", "0", "--untagged"]),
            Self::Fetch => list(&["fetch", PACKAGE, "-o", "ROOM/out", "--overwrite", "--node", "NODE"]),
            Self::Replicate { to, journal } => {
                let mut words = list(&["replicate", &repository(*to), PACKAGE, "--node", "NODE"]);
                if *journal {
                    words.extend(list(&["--journal", "ROOM/journal.jsonl"]));
                }
                words
            }
        }
    }

    /// Returns whether the command needs a registry or a node.
    pub(super) fn is_remote(&self) -> bool {
        match self {
            Self::Push { to: side, .. } | Self::Pull { from: side, .. } | Self::Read { from: side } => {
                *side == Side::Registry
            }
            Self::Prune => false,
            Self::Copy { .. } | Self::Fetch | Self::Replicate { .. } => true,
        }
    }

    /// Returns the tags that the command writes, and their store.
    pub(super) fn writes(&self, beginnings: &Beginnings) -> Option<(Side, Vec<String>)> {
        match self {
            Self::Push { to, tag, .. } => Some((*to, vec![(*tag).to_owned()])),
            Self::Copy { from, to, .. } => Some((from.other(), vec![(*to).to_owned()])),
            Self::Replicate { to, .. } => Some((*to, beginnings.replicated().to_vec())),
            Self::Pull { .. } | Self::Read { .. } | Self::Prune | Self::Fetch => None,
        }
    }

    /// Returns the bag of the written tags.
    pub(super) fn result(&self) -> Option<&'static str> {
        match self {
            Self::Push { bag, .. } => Some(bag),
            Self::Copy { tag, .. } => Some(tag),
            Self::Replicate { .. } => Some(FETCHED),
            Self::Pull { .. } | Self::Read { .. } | Self::Prune | Self::Fetch => None,
        }
    }

    /// Finds a wrong file under a final name.
    pub(super) fn wrong_files(&self, beginnings: &Beginnings, room: &Path) -> Result<(), String> {
        match self {
            Self::Pull { .. } | Self::Fetch => {
                let bag = self.pulled();
                let (out, bag) = (room.join("out").join(bag), beginnings.tree(bag));
                let found = if out.exists() { tree(&out) } else { return Ok(()) };
                match found.iter().find(|(path, content)| bag.get(*path) != Some(content)) {
                    Some((path, _)) => Err(format!("the pulled `{path}` is wrong")),
                    None => Ok(()),
                }
            }
            Self::Read { .. } => {
                let Ok(content) = std::fs::read(room.join("one")) else { return Ok(()) };
                let is_right = beginnings.tree("second").get(ONE_FILE) == Some(&Some(content));
                if is_right { Ok(()) } else { Err(format!("`{ONE_FILE}` that was read is wrong")) }
            }
            Self::Push { .. } | Self::Copy { .. } | Self::Prune | Self::Replicate { .. } => Ok(()),
        }
    }

    /// Returns the bag that the command writes into a directory.
    fn pulled(&self) -> &'static str {
        match self {
            Self::Pull { tag, .. } => tag,
            _ => FETCHED,
        }
    }

    /// Finds a missing result of a command that reported success.
    pub(super) fn missing_result(
        &self,
        beginnings: &Beginnings,
        room: &Path,
        check: &dyn Fn(&str, &Path) -> Result<(), String>,
    ) -> Result<(), String> {
        self.wrong_files(beginnings, room)?;
        match self {
            Self::Push { .. } | Self::Copy { .. } | Self::Replicate { .. } => {
                let Some(((side, tags), bag)) = self.writes(beginnings).zip(self.result()) else {
                    return Ok(());
                };
                for tag in tags {
                    let fresh = tempfile::tempdir().map_err(|error| error.to_string())?;
                    check(&reference(side, &tag), fresh.path())?;
                    let pulled = fresh.path().join(bag);
                    if !pulled.exists() || tree(&pulled) != *beginnings.tree(bag) {
                        return Err(format!("`{tag}` does not give back the bag `{bag}`"));
                    }
                }
                Ok(())
            }
            Self::Pull { .. } | Self::Fetch => {
                let out = tree(&room.join("out"));
                if let Some(left) = out.keys().find(|path| path.starts_with('.')) {
                    return Err(format!("`{left}` is left behind"));
                }
                let bag = self.pulled();
                let is_whole = tree(&room.join("out").join(bag)) == *beginnings.tree(bag);
                if is_whole { Ok(()) } else { Err("the result is not the bag".to_owned()) }
            }
            Self::Read { .. } if !room.join("one").exists() => Err("nothing was read".to_owned()),
            Self::Prune => {
                let store = room.join("store").to_string_lossy().into_owned();
                let verified = d1oci(room, &["verify", "--deep", &format!("oci:{store}:first")]);
                if verified.code == 0 { Ok(()) } else { Err(verified.stderr) }
            }
            Self::Read { .. } => Ok(()),
        }
    }
}

/// Returns a reference with placeholders.
fn reference(side: Side, tag: &str) -> String {
    format!("{}:{tag}", repository(side))
}

fn repository(side: Side) -> String {
    match side {
        Side::Layout => "oci:ROOM/store".to_owned(),
        Side::Registry => format!("HOST/{REPOSITORY}"),
    }
}
