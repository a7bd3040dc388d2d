//! What is done while things go wrong, and what must be true when it is done.

use std::path::Path;

use super::chance::Chance;
use super::world::{Beginnings, REPOSITORY};
use crate::{d1oci, tree};

/// One command. Further ones, such as those that talk to DataONE nodes, are more variants of this.
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
    /// What nothing refers to is removed from the layout.
    Prune,
}

/// Where packages are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Layout,
    Registry,
}

/// The file that is read alone.
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
        match chance.below(20) {
            0..8 => Self::Push {
                bag: chance.one_of(&["second", "third"]),
                to: side,
                tag: chance.one_of(&["second", "new"]),
                layout: chance.one_of(&["objects", "archive"]),
            },
            8..14 => Self::Pull { tag: chance.one_of(&["first", "second", "second"]), from: side },
            14..17 => Self::Copy { tag, from: side, to: chance.one_of(&["new", "copied"]) },
            17..19 => Self::Read { from: side },
            _ => Self::Prune,
        }
    }

    /// Returns the arguments; `ROOM` is where the layout and what is pulled are, and `HOST` the registry's.
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
        }
    }

    /// Returns the tag that the command writes, and where.
    pub(super) fn writes(&self) -> Option<(Side, &'static str)> {
        match self {
            Self::Push { to, tag, .. } => Some((*to, tag)),
            Self::Copy { from, to, .. } => Some((from.other(), to)),
            Self::Pull { .. } | Self::Read { .. } | Self::Prune => None,
        }
    }

    /// Returns the bag that is under the written tag afterwards.
    pub(super) fn result(&self) -> Option<&'static str> {
        match self {
            Self::Push { bag, .. } => Some(bag),
            Self::Copy { tag, .. } => Some(tag),
            Self::Pull { .. } | Self::Read { .. } | Self::Prune => None,
        }
    }

    /// Finds something wrong under a final name, whatever the command has said.
    pub(super) fn wrong_files(&self, beginnings: &Beginnings, room: &Path) -> Result<(), String> {
        match self {
            Self::Pull { tag, .. } => {
                let (out, bag) = (room.join("out").join(tag), beginnings.tree(tag));
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
            Self::Push { .. } | Self::Copy { .. } | Self::Prune => Ok(()),
        }
    }

    /// Finds out that what the command said to have done is not done.
    pub(super) fn missing_result(
        &self,
        beginnings: &Beginnings,
        room: &Path,
        check: &dyn Fn(&str, &Path) -> Result<(), String>,
    ) -> Result<(), String> {
        self.wrong_files(beginnings, room)?;
        match self {
            Self::Push { .. } | Self::Copy { .. } => {
                let (Some((side, tag)), Some(bag)) = (self.writes(), self.result()) else { return Ok(()) };
                let fresh = tempfile::tempdir().map_err(|error| error.to_string())?;
                check(&reference(side, tag), fresh.path())?;
                let pulled = fresh.path().join(bag);
                if pulled.exists() && tree(&pulled) == *beginnings.tree(bag) {
                    Ok(())
                } else {
                    Err(format!("`{tag}` does not give back the bag `{bag}`"))
                }
            }
            Self::Pull { tag, .. } => {
                let out = tree(&room.join("out"));
                if let Some(left) = out.keys().find(|path| path.starts_with('.')) {
                    return Err(format!("`{left}` is left behind"));
                }
                let is_whole = tree(&room.join("out").join(tag)) == *beginnings.tree(tag);
                if is_whole { Ok(()) } else { Err("what was pulled is not the bag".to_owned()) }
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

/// Returns a reference with places for what the round knows.
fn reference(side: Side, tag: &str) -> String {
    match side {
        Side::Layout => format!("oci:ROOM/store:{tag}"),
        Side::Registry => format!("HOST/{REPOSITORY}:{tag}"),
    }
}
