//! Links in the places where a command writes, and the file that they lead to.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// The content of the file that no command may change.
const CONTENT: &str = "not yours";

/// Names that a careless program would use for its results, staging and temporary files.
const NAMES: [&str; 9] = [
    "one.d1oci-part",
    ".one.part",
    "one.tmp",
    "journal.jsonl.tmp",
    "out/one",
    "store/ingest/planted.partial",
    "store/index.json.tmp",
    "store/blobs/sha256/index.tmp",
    "store/.index.json.part",
];

/// The planted links.
pub(super) struct Planted {
    /// A directory outside of the room, with one file.
    outside: PathBuf,
    links: Vec<PathBuf>,
}

impl Planted {
    /// Plants soft and hard links in a room.
    pub(super) fn in_room(room: &Path, place: &Path) -> io::Result<Self> {
        let outside = place.join("outside");
        fs::create_dir(&outside)?;
        let victim = outside.join("victim");
        fs::write(&victim, CONTENT)?;
        let mut links = Vec::new();
        for (number, name) in NAMES.iter().enumerate() {
            let link = room.join(name);
            if let Some(parent) = link.parent() {
                fs::create_dir_all(parent)?;
            }
            // A hard link needs the same file system, which a small disk is not.
            if number % 2 == 1 || fs::hard_link(&victim, &link).is_err() {
                symlink(&victim, &link)?;
            }
            links.push(link);
        }
        Ok(Self { outside, links })
    }

    /// Checks that nothing went through a link, and removes the links.
    pub(super) fn check(&self) -> Result<(), String> {
        let names: Vec<_> = crate::tree(&self.outside).into_iter().collect();
        if names != [("victim".to_owned(), Some(CONTENT.as_bytes().to_vec()))] {
            return Err(format!("the command wrote through a planted link: {:?}", names.first()));
        }
        for link in &self.links {
            // A command may remove one that looks like a temporary file of its own.
            let _ = fs::remove_file(link);
        }
        Ok(())
    }
}
