//! Files that need not be received: they are at their final place, or an earlier attempt received them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bagit::{AlgorithmSet, FileToHash, HashOptions, HashOutcome};
use oci_model::Digest;

use crate::error::{Error, Result};
use crate::event::{BlobOutcome, Event, HashProgress, Observer, total};
use crate::names::{below, join};
use crate::package::OpenPackage;
use crate::receive::Wanted;
use crate::receive::files::{CameFiles, Expected, FileSet};
use crate::staging::{Staging, existing, is_replaceable, refuse_links};

/// Files that already exist.
#[derive(Debug, Default)]
pub(crate) struct Existing {
    files: FileSet,
    came: CameFiles,
    /// Files whose bytes are needed, and their paths on disk.
    kept: Vec<(String, PathBuf)>,
}

impl Existing {
    /// Returns the positions of the files.
    pub(crate) fn files(&self) -> &FileSet {
        &self.files
    }

    /// Reads the files whose bytes are needed.
    pub(crate) fn read_kept(&self) -> Result<Vec<(String, Vec<u8>)>> {
        let read = |(path, place): &(String, PathBuf)| match fs::read(place) {
            Ok(bytes) => Ok((path.clone(), bytes)),
            Err(error) => Err(Error::io("read", place, error)),
        };
        self.kept.iter().map(read).collect()
    }

    /// Returns the files as if they had been received.
    pub(crate) fn into_came(self) -> CameFiles {
        self.came
    }
}

/// Looks for wanted files at their final places and in the staging directory.
pub(crate) struct Search {
    pub(crate) staging: Arc<Staging>,
    pub(crate) package: Arc<OpenPackage>,
    pub(crate) wanted: Arc<Wanted>,
    pub(crate) algorithms: AlgorithmSet,
    /// Whether files at their final places count. Otherwise they are received again, but do not block the pull
    /// if they are right.
    pub(crate) use_placed: bool,
    /// Whether other files at the target may be replaced.
    pub(crate) overwrite: bool,
    pub(crate) observer: Arc<dyn Observer>,
}

impl Search {
    /// Hashes the candidates, and removes everything else from the staging directory. It blocks.
    ///
    /// # Errors
    ///
    /// [`Error::TargetHolds`] with all other files at the target, unless they may be replaced. Also if the work is cancelled.
    pub(crate) fn run(&self) -> Result<Existing> {
        let output = self.staging.output();
        let (at_place, mut in_the_way) = self.candidates()?;
        let mut found = Existing::default();
        let wrong = self.hash(output, &at_place, &mut found)?;
        in_the_way.extend(wrong);
        if !in_the_way.is_empty() && !self.overwrite {
            in_the_way.sort();
            return Err(Error::TargetHolds { paths: in_the_way });
        }
        if !self.use_placed {
            found = Existing::default();
        }
        let mut staged = Vec::new();
        self.staging.keep_only(&mut |path| {
            let may_be_right = self.missing_at(path, &found);
            staged.extend(may_be_right);
            may_be_right.is_some()
        })?;
        staged.sort_unstable();
        for path in self.hash(&self.staging.files(), &staged, &mut found)? {
            fs::remove_file(&path).map_err(|error| Error::io("remove", &path, error))?;
        }
        found.files.iter().filter_map(|position| self.expected(position)).for_each(|file| self.tell(&file));
        Ok(found)
    }

    fn expected(&self, position: usize) -> Option<Expected> {
        self.wanted.expected(&self.package.view, position)
    }

    /// Returns the position of a wanted file at a path, if the file was not found yet and has a known digest.
    fn missing_at(&self, path: &str, found: &Existing) -> Option<usize> {
        let view = &self.package.view;
        let position = view.position(below(view.directory(), path)?)?;
        let is_missing = self.wanted.files.has(position) && !found.files.has(position);
        (is_missing && view.entry_at(position)?.sha256.is_some()).then_some(position)
    }

    /// Divides the files at the final places into candidates and obstacles. A file without a known digest is
    /// compared after it was received.
    fn candidates(&self) -> Result<(Vec<usize>, Vec<PathBuf>)> {
        let (view, output) = (&self.package.view, self.staging.output());
        let (mut candidates, mut in_the_way) = (Vec::new(), Vec::new());
        // Without a package directory, no file can exist.
        let root = view.directory().split('/').next().unwrap_or_default();
        if !root.is_empty() && existing(&output.join(root))?.is_none() {
            return Ok((candidates, in_the_way));
        }
        let mut known_parent = None;
        for position in self.wanted.files.iter() {
            let Some(file) = view.entry_at(position) else { continue };
            let path = join(view.directory(), file.path);
            let parent = path.rsplit_once('/').map(|(parent, _)| parent.to_owned());
            if parent != known_parent {
                refuse_links(output, &path)?;
                known_parent = parent;
            }
            let place = output.join(&path);
            match existing(&place)? {
                None => {}
                Some(found) if found.is_file() && found.len() == file.size => {
                    candidates.extend(file.sha256.map(|_| position));
                }
                // Nothing replaces a device or a FIFO, whatever the user wants.
                Some(found) if !is_replaceable(&found) && !found.is_dir() => {
                    return Err(Error::TargetHolds { paths: vec![place] });
                }
                Some(_) => in_the_way.push(place),
            }
        }
        Ok((candidates, in_the_way))
    }

    /// Hashes files below a root. Adds the right ones, and returns the paths of the others.
    fn hash(&self, root: &Path, positions: &[usize], found: &mut Existing) -> Result<Vec<PathBuf>> {
        let mut wrong = Vec::new();
        if positions.is_empty() {
            return Ok(wrong);
        }
        let view = &self.package.view;
        let sizes = positions.iter().filter_map(|position| view.entry_at(*position)).map(|file| file.size);
        let progress = HashProgress::over(&self.observer, positions.len() as u64, total(sizes));
        let root = root.join(view.directory());
        for batch in positions.chunks(bagit::FILES_AT_ONCE) {
            wrong.extend(self.hash_batch(&root, batch, found, &progress)?);
        }
        Ok(wrong)
    }

    /// Hashes some files below the package's directory.
    fn hash_batch(
        &self,
        root: &Path,
        positions: &[usize],
        found: &mut Existing,
        progress: &HashProgress,
    ) -> Result<Vec<PathBuf>> {
        let files = positions.iter().filter_map(|position| self.expected(*position));
        let files: Vec<Expected> = files.collect();
        let to_hash: Vec<FileToHash<'_>> = files
            .iter()
            .map(|file| FileToHash { path: &file.path, size: file.size, algorithms: self.algorithms })
            .collect();
        let outcomes = bagit::hash_files(root, &to_hash, &HashOptions::default(), progress)?;
        let mut wrong = Vec::new();
        for (file, outcome) in files.iter().zip(outcomes) {
            let place = root.join(&file.path);
            let entry = self.package.view.entry_at(file.position);
            match (outcome, entry) {
                (HashOutcome::Hashed { size, digests }, Some(entry))
                    if file.check(size, &digests).is_ok() =>
                {
                    found.files.insert(file.position);
                    found.came.note(file.position, &entry, &digests);
                    found.kept.extend(file.kept.then(|| (file.path.clone(), place)));
                }
                _ => wrong.push(place),
            }
        }
        Ok(wrong)
    }

    fn tell(&self, file: &Expected) {
        if let Some(sha256) = file.sha256 {
            let (title, digest) = (&file.path, &Digest::from_sha256(sha256));
            let outcome = BlobOutcome::Kept;
            self.observer.event(&Event::Blob { title, digest, size: file.size, outcome });
        }
    }
}
