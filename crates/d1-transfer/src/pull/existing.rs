//! Files that need not be received: they stand at their final place, or an earlier attempt has received them.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bagit::{AlgorithmSet, FileToHash, HashOutcome};
use oci_model::Digest;

use super::staging::{Staging, existing, refuse_links};
use crate::names::join;
use crate::progress::{HashProgress, total};
use crate::receive::{Expected, Received};
use crate::{BlobOutcome, Error, Event, Observer, Result};

/// Files that were found, with their digests.
#[derive(Debug, Default)]
pub(crate) struct Existing {
    files: Vec<Received>,
    paths: HashSet<String>,
    /// Files whose bytes are wanted, and where each stands.
    kept: Vec<(String, PathBuf)>,
}

impl Existing {
    /// Tells whether a file was found.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.paths.contains(path)
    }

    /// Returns the number of files that were found.
    pub(crate) fn count(&self) -> u64 {
        self.paths.len() as u64
    }

    /// Reads the files whose bytes are wanted.
    pub(crate) fn read_kept(&self) -> Result<Vec<(String, Vec<u8>)>> {
        let read = |(path, place): &(String, PathBuf)| match fs::read(place) {
            Ok(bytes) => Ok((path.clone(), bytes)),
            Err(error) => Err(Error::io("read", place, error)),
        };
        self.kept.iter().map(read).collect()
    }

    /// Returns all files.
    pub(crate) fn into_files(self) -> Vec<Received> {
        self.files
    }
}

/// Looks for wanted files at their final places and in the staging directory.
pub(crate) struct Search {
    pub(crate) staging: Arc<Staging>,
    /// The package's directory, below the output directory.
    pub(crate) directory: String,
    pub(crate) algorithms: AlgorithmSet,
    /// Whether files at their final places count. If not, they are only not in the way when they are right.
    pub(crate) use_placed: bool,
    /// Whether what is in the way may be replaced.
    pub(crate) overwrite: bool,
    pub(crate) observer: Arc<dyn Observer>,
}

impl Search {
    /// Hashes files that may be right; in the staging directory nothing else is left. It blocks.
    ///
    /// # Errors
    ///
    /// [`Error::TargetHolds`] with all files that are in the way, unless they may be replaced.
    pub(crate) fn run(&self, wanted: &[Expected]) -> Result<Existing> {
        let output = self.staging.output();
        let (at_place, mut in_the_way) = self.candidates(wanted)?;
        let mut found = Existing::default();
        let wrong = self.hash(output, &at_place, &mut found);
        in_the_way.extend(wrong);
        if !in_the_way.is_empty() && !self.overwrite {
            in_the_way.sort();
            return Err(Error::TargetHolds { paths: in_the_way });
        }
        if !self.use_placed {
            found = Existing::default();
        }
        let missing = || wanted.iter().filter(|file| !found.has(&file.path) && file.sha256.is_some());
        let staged = self.staging.keep_only(&missing().map(|file| self.full_path(file)).collect())?;
        let staged: Vec<&Expected> =
            missing().filter(|file| staged.contains(&self.full_path(file))).collect();
        for path in self.hash(&self.staging.files(), &staged, &mut found) {
            fs::remove_file(&path).map_err(|error| Error::io("remove", &path, error))?;
        }
        wanted.iter().filter(|file| found.has(&file.path)).for_each(|file| self.tell(file));
        Ok(found)
    }

    /// Divides what stands at the final places into files that may be right and things in the way. Where the digest is not
    /// known, that is seen when the file has come.
    fn candidates<'w>(&self, wanted: &'w [Expected]) -> Result<(Vec<&'w Expected>, Vec<PathBuf>)> {
        let output = self.staging.output();
        let (mut candidates, mut in_the_way) = (Vec::new(), Vec::new());
        // A package directory that is not there saves looking for each file.
        let root = self.directory.split('/').next().unwrap_or_default();
        if !root.is_empty() && existing(&output.join(root))?.is_none() {
            return Ok((candidates, in_the_way));
        }
        let mut known_parent = None;
        for file in wanted {
            let path = self.full_path(file);
            let parent = path.rsplit_once('/').map(|(parent, _)| parent.to_owned());
            if parent != known_parent {
                refuse_links(output, &path)?;
                known_parent = parent;
            }
            let place = output.join(&path);
            match existing(&place)? {
                None => {}
                Some(found) if found.is_file() && found.len() == file.size => {
                    candidates.extend(file.sha256.map(|_| file));
                }
                Some(_) => in_the_way.push(place),
            }
        }
        Ok((candidates, in_the_way))
    }

    /// Hashes files below a root; adds those that are right, and returns where the others stand.
    fn hash(&self, root: &Path, files: &[&Expected], found: &mut Existing) -> Vec<PathBuf> {
        if files.is_empty() {
            return Vec::new();
        }
        let paths: Vec<String> = files.iter().map(|file| self.full_path(file)).collect();
        let to_hash: Vec<FileToHash<'_>> = paths
            .iter()
            .zip(files)
            .map(|(path, file)| FileToHash { path, size: file.size, algorithms: self.algorithms })
            .collect();
        let bytes = total(files.iter().map(|file| file.size));
        let progress = HashProgress::over(&self.observer, files.len() as u64, bytes);
        let outcomes = bagit::hash_files(root, &to_hash, 0, &progress);
        let mut wrong = Vec::new();
        for ((file, path), outcome) in files.iter().zip(&paths).zip(outcomes) {
            let place = root.join(path);
            match outcome {
                HashOutcome::Hashed { size, digests } if file.check(size, &digests).is_ok() => {
                    found.paths.insert(file.path.clone());
                    found.kept.extend(file.kept.then(|| (file.path.clone(), place)));
                    found.files.push(Received { path: file.path.clone(), size, digests });
                }
                _ => wrong.push(place),
            }
        }
        wrong
    }

    fn tell(&self, file: &Expected) {
        if let Some(sha256) = file.sha256 {
            let (title, digest) = (&file.path, &Digest::from_sha256(sha256));
            let outcome = BlobOutcome::Kept;
            self.observer.event(&Event::Blob { title, digest, size: file.size, outcome });
        }
    }

    fn full_path(&self, file: &Expected) -> String {
        join(&self.directory, &file.path)
    }
}
