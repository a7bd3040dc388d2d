//! A file that notes line by line what a replication has stored, so that the next run continues after it.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bagit::{Algorithm, Digests};
use d1_model::Identifier;
use oci_model::Digest;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The journal of replications into one repository: a file of JSON lines that only grows.
///
/// It lists the stored objects, the complete packages with the dates of their members, and how far the node's list
/// was read. The replication asks the repository about every listed object, so a lost journal costs only time.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: File,
    objects: HashMap<Identifier, (u64, Digests)>,
    packages: HashMap<Identifier, DonePackage>,
    /// The packages of each member, by their resource maps, with the date of the member's system metadata.
    members: HashMap<Identifier, Vec<DatedMember>>,
    /// Until when the list of each scope was read.
    listed: HashMap<String, String>,
}

/// A member of a package, and when its system metadata last changed. A member that was left out has no date. In
/// [`State`], the identifier is that of the package's resource map instead.
pub(crate) type DatedMember = (Identifier, Option<Box<str>>);

/// A complete package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DonePackage {
    /// Digest of its manifest.
    pub(crate) digest: Digest,
    /// When the system metadata of its map last changed.
    pub(crate) modified: Option<String>,
}

/// The longest line that is read, in bytes. An identifier has at most 800 characters of 4 bytes each.
const LONGEST_LINE: u64 = 64 << 10;
/// How many members one line names. Escaped as JSON, an identifier takes at most twice its bytes.
const MEMBERS_OF_A_LINE: usize = 8;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", untagged)]
enum Line {
    Head { journal: u32, repository: String },
    Object { object: Identifier, size: u64, digests: Vec<(String, String)> },
    Package { package: Identifier, digest: Digest, modified: Option<String> },
    Members { of: Identifier, members: Vec<DatedMember> },
    Listed { listed: String, until: String },
}

impl Journal {
    /// Opens the journal of a repository, or creates it. An incomplete last line is dropped.
    ///
    /// # Errors
    ///
    /// [`Error::Transfer`] if the file cannot be used. [`Error::Journal`] if it is not a journal, belongs to
    /// another repository, or is in use by another process.
    ///
    /// ```
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("replication.jsonl");
    /// let journal = d1_sync::Journal::open(&path, "ghcr.io/owner/name")?;
    /// drop(journal);
    /// // A journal belongs to one repository.
    /// assert!(d1_sync::Journal::open(&path, "ghcr.io/owner/other").is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(path: &Path, repository: &str) -> Result<Self> {
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let file = opened.map_err(|error| Error::io("open", path, error))?;
        let kind = file.metadata().map_err(|error| Error::io("open", path, error))?;
        if !kind.is_file() {
            return Err(unusable(path, "it is not a regular file"));
        }
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(unusable(path, "another process uses it")),
            Err(TryLockError::Error(error)) => return Err(Error::io("lock", path, error)),
        }
        let mut state = State {
            file,
            objects: HashMap::new(),
            packages: HashMap::new(),
            members: HashMap::new(),
            listed: HashMap::new(),
        };
        let end = state.read(path, repository)?;
        let failed = |error| Error::io("write", path, error);
        state.file.set_len(end).map_err(failed)?;
        state.file.seek(SeekFrom::Start(end)).map_err(failed)?;
        let journal = Self { path: path.to_owned(), state: Mutex::new(state) };
        if end == 0 {
            let head = head(repository)?;
            journal.state().file.write_all(&head).map_err(failed)?;
        }
        Ok(journal)
    }

    pub(crate) fn object(&self, identifier: &Identifier) -> Option<(u64, Digests)> {
        self.state().objects.get(identifier).cloned()
    }

    pub(crate) fn package(&self, map: &Identifier) -> Option<DonePackage> {
        self.state().packages.get(map).cloned()
    }

    /// Notes a stored object.
    pub(crate) fn note_object(&self, identifier: &Identifier, size: u64, digests: &Digests) -> Result<()> {
        let mut state = self.state();
        let noted = (size, digests.clone());
        if state.objects.get(identifier) == Some(&noted) {
            return Ok(());
        }
        let digests = digests.iter().map(|(name, digest)| (name.to_string(), hex::encode(digest))).collect();
        self.append(&mut state, &Line::Object { object: identifier.clone(), size, digests })?;
        state.objects.insert(identifier.clone(), noted);
        Ok(())
    }

    /// Returns the resource maps of all complete packages.
    pub(crate) fn packages(&self) -> Vec<Identifier> {
        self.state().packages.keys().cloned().collect()
    }

    /// Returns the resource maps of the packages that were copied when the object had another date. Returns `None` if
    /// no package has the object.
    pub(crate) fn outdated(&self, object: &Identifier, modified: Option<&str>) -> Option<Vec<Identifier>> {
        let state = self.state();
        let packages = state.members.get(object)?;
        let is_other = |noted: &Option<Box<str>>| modified.is_none() || noted.as_deref() != modified;
        Some(packages.iter().filter(|(_, noted)| is_other(noted)).map(|(map, _)| map.clone()).collect())
    }

    /// Notes a complete package. The members are noted before the package, so a package is complete only with them.
    pub(crate) fn note_package(
        &self,
        map: &Identifier,
        done: DonePackage,
        members: &[DatedMember],
    ) -> Result<()> {
        let mut state = self.state();
        let is_noted = |(member, date): &DatedMember| {
            let noted = state.members.get(member);
            noted.is_some_and(|noted| noted.iter().any(|(of, noted)| of == map && noted == date))
        };
        if state.packages.get(map) == Some(&done) && members.iter().all(is_noted) {
            return Ok(());
        }
        for members in members.chunks(MEMBERS_OF_A_LINE) {
            let line = Line::Members { of: map.clone(), members: members.to_vec() };
            self.append(&mut state, &line)?;
            state.take(line);
        }
        let DonePackage { digest, modified } = done.clone();
        self.append(&mut state, &Line::Package { package: map.clone(), digest, modified })?;
        state.file.sync_data().map_err(|error| Error::io("write", &self.path, error))?;
        state.packages.insert(map.clone(), done);
        Ok(())
    }

    /// Returns until when the list of this scope was read and all its packages were copied.
    pub(crate) fn listed_until(&self, scope: &str) -> Option<String> {
        self.state().listed.get(scope).cloned()
    }

    /// Notes until when the list of a scope was read. All packages until then must be complete.
    pub(crate) fn note_listed(&self, scope: &str, until: &str) -> Result<()> {
        let mut state = self.state();
        let line = Line::Listed { listed: scope.to_owned(), until: until.to_owned() };
        self.append(&mut state, &line)?;
        state.file.sync_data().map_err(|error| Error::io("write", &self.path, error))?;
        state.take(line);
        Ok(())
    }

    fn append(&self, state: &mut State, line: &Line) -> Result<()> {
        let failed = |error| Error::io("write", &self.path, error);
        state.file.write_all(&self::line(line)?).map_err(failed)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Reads all complete lines, and returns the offset where the last one ends.
    fn read(&mut self, path: &Path, repository: &str) -> Result<u64> {
        let file = self.file.try_clone().map_err(|error| Error::io("read", path, error))?;
        let mut reader = BufReader::new(file);
        let mut end = 0;
        loop {
            let mut text = Vec::new();
            let read = Read::take(&mut reader, LONGEST_LINE).read_until(b'\n', &mut text);
            read.map_err(|error| Error::io("read", path, error))?;
            if text.last() != Some(&b'\n') {
                // Only the beginning of a head line can come from a run that was cut off.
                if end == 0 && !head(repository)?.starts_with(&text) {
                    return Err(unusable(path, "it is not the journal of a replication"));
                }
                return Ok(end);
            }
            match (end, serde_json::from_slice::<Line>(&text)) {
                (0, Ok(Line::Head { journal: 1, repository: of })) if of == repository => {}
                (0, Ok(Line::Head { journal: 1, repository: of })) => {
                    return Err(unusable(
                        path,
                        &format!("expected the journal of `{repository}`, found that of `{of}`"),
                    ));
                }
                (0, _) => return Err(unusable(path, "it is not the journal of a replication")),
                (_, Ok(line)) => self.take(line),
                // After a power failure, a line may hold anything.
                (_, Err(error)) => tracing::info!(%error, "a line of the journal cannot be parsed"),
            }
            end += text.len() as u64;
        }
    }

    fn take(&mut self, line: Line) {
        match line {
            Line::Head { .. } => {}
            Line::Object { object, size, digests } => {
                let mut known = Digests::new();
                for (name, text) in digests {
                    if let (Ok(algorithm), Ok(digest)) = (name.parse::<Algorithm>(), hex::decode(&text)) {
                        known.insert(algorithm, &digest);
                    }
                }
                self.objects.insert(object, (size, known));
            }
            Line::Package { package, digest, modified } => {
                self.packages.insert(package, DonePackage { digest, modified });
            }
            Line::Members { of, members } => {
                for (member, date) in members {
                    let packages = self.members.entry(member).or_default();
                    match packages.iter_mut().find(|(map, _)| *map == of) {
                        Some((_, noted)) => *noted = date,
                        None => packages.push((of.clone(), date)),
                    }
                }
            }
            Line::Listed { listed, until } => _ = self.listed.insert(listed, until),
        }
    }
}

/// Returns the first line of the journal of a repository.
fn head(repository: &str) -> Result<Vec<u8>> {
    line(&Line::Head { journal: 1, repository: repository.to_owned() })
}

fn line(line: &Line) -> Result<Vec<u8>> {
    let mut text =
        serde_json::to_vec(line).map_err(|error| Error::io("write", "the journal", error.into()))?;
    text.push(b'\n');
    Ok(text)
}

fn unusable(path: &Path, reason: &str) -> Error {
    Error::Journal { path: path.to_owned(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digests(text: &str) -> Digests {
        Digests::of([Algorithm::Md5, Algorithm::Sha256].into_iter().collect(), text.as_bytes())
    }

    #[test]
    fn what_was_noted_is_there_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let (object, map): (Identifier, Identifier) = ("a/b".parse().unwrap(), "map".parse().unwrap());
        let done = DonePackage { digest: Digest::sha256_of(b"m"), modified: Some("2024".to_owned()) };
        let journal = Journal::open(&path, "oci:store").unwrap();
        journal.note_object(&object, 1, &digests("x")).unwrap();
        let member = (object.clone(), Some("2024-02".into()));
        journal.note_package(&map, done.clone(), &[member]).unwrap();
        journal.note_listed("node", "2024-03").unwrap();
        assert!(matches!(Journal::open(&path, "oci:store"), Err(Error::Journal { .. })), "it is in use");
        drop(journal);
        let journal = Journal::open(&path, "oci:store").unwrap();
        assert_eq!(journal.object(&object), Some((1, digests("x"))));
        assert_eq!(journal.package(&map), Some(done));
        assert_eq!(journal.outdated(&object, Some("2024-02")), Some(Vec::new()));
        assert_eq!(journal.outdated(&object, Some("2024-05")), Some(vec![map.clone()]));
        assert_eq!(journal.outdated(&map, Some("2024-05")), None);
        assert_eq!(journal.listed_until("node").as_deref(), Some("2024-03"));
        assert_eq!(journal.listed_until("other"), None);
        drop(journal);
        assert!(matches!(Journal::open(&path, "oci:other"), Err(Error::Journal { .. })));
    }

    #[test]
    fn a_line_that_was_cut_off_is_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let (first, second): (Identifier, Identifier) = ("a".parse().unwrap(), "b".parse().unwrap());
        let journal = Journal::open(&path, "r").unwrap();
        journal.note_object(&first, 1, &digests("x")).unwrap();
        journal.note_object(&second, 1, &digests("y")).unwrap();
        drop(journal);
        let text = std::fs::read(&path).unwrap();
        std::fs::write(&path, &text[..text.len() - 5]).unwrap();
        let journal = Journal::open(&path, "r").unwrap();
        assert!(journal.object(&first).is_some() && journal.object(&second).is_none());
        journal.note_object(&second, 2, &digests("z")).unwrap();
        drop(journal);
        assert_eq!(Journal::open(&path, "r").unwrap().object(&second), Some((2, digests("z"))));
    }

    #[test]
    fn other_files_are_refused_and_stay_as_they_are() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notes");
        let long = "x".repeat(usize::try_from(LONGEST_LINE).unwrap() + 1);
        for text in
            ["my notes\n", "my notes", "{\"journal\":1", "{\"journal\":2,\"repository\":\"r\"}", &long]
        {
            std::fs::write(&path, text).unwrap();
            let opened = Journal::open(&path, "r");
            if text == "{\"journal\":1" {
                assert!(opened.is_ok(), "a head that was cut off is completed");
                continue;
            }
            assert!(matches!(opened, Err(Error::Journal { .. })), "{text}");
            assert_eq!(std::fs::read(&path).unwrap(), text.as_bytes());
        }
        assert!(matches!(Journal::open(Path::new("/dev/zero"), "r"), Err(Error::Journal { .. })));
    }
}
