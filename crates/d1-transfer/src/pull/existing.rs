//! Files that need not be received: they stand at their final place, or an earlier attempt has received them.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bagit::{AlgorithmSet, FileToHash, HashOutcome, ProgressEvent, TagFiles};
use d1_package::Entry;

use super::staging::{Staging, existing, refuse_links};
use crate::receive::{Expected, Received, check_file, join, run_blocking};
use crate::{Error, Event, Observer, OpenPackage, Phase, Result};

/// Files that were found, with their digests.
#[derive(Debug, Default)]
pub(crate) struct Existing {
    files: Vec<Received>,
    paths: HashSet<String>,
    /// The tag files among them, and where each stands.
    tag_files: Vec<(String, PathBuf)>,
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

    /// Reads the tag files that were found.
    pub(crate) fn read_tag_files(&self) -> Result<Vec<(String, Vec<u8>)>> {
        let read = |(path, place): &(String, PathBuf)| match fs::read(place) {
            Ok(bytes) => Ok((path.clone(), bytes)),
            Err(error) => Err(Error::io("read", place, error)),
        };
        self.tag_files.iter().map(read).collect()
    }

    /// Returns all files.
    pub(crate) fn into_files(self) -> Vec<Received> {
        self.files
    }
}

/// Looks for wanted files at their final places and in the staging directory, and hashes those that may be right.
///
/// # Errors
///
/// [`Error::TargetHolds`] with all files that are in the way, unless they may be replaced.
pub(crate) async fn find_existing(
    package: &OpenPackage,
    selected: &HashSet<&str>,
    output: &Path,
    staging: &Arc<Staging>,
    algorithms: AlgorithmSet,
    overwrite: bool,
    observer: &Arc<dyn Observer>,
) -> Result<Existing> {
    let directory = package.view.directory().to_owned();
    let is_selected = |entry: &Entry<'_>| selected.contains(entry.path);
    let wanted: Vec<Expected> = package
        .view
        .entries()
        .filter(is_selected)
        .map(|entry| Expected { path: entry.path.to_owned(), size: entry.size, sha256: entry.sha256 })
        .collect();
    let search = Search {
        output: output.to_owned(),
        staging: Arc::clone(staging),
        directory,
        algorithms,
        overwrite,
        observer: Arc::clone(observer),
    };
    run_blocking(move || search.run(&wanted)).await
}

struct Search {
    output: PathBuf,
    staging: Arc<Staging>,
    directory: String,
    algorithms: AlgorithmSet,
    overwrite: bool,
    observer: Arc<dyn Observer>,
}

impl Search {
    fn run(&self, wanted: &[Expected]) -> Result<Existing> {
        let (at_place, mut in_the_way) = self.candidates(wanted)?;
        let (placed, wrong) = self.hash(&self.output, &at_place);
        in_the_way.extend(wrong.into_iter().map(|path| self.output.join(path)));
        if !in_the_way.is_empty() && !self.overwrite {
            in_the_way.sort();
            return Err(Error::TargetHolds { paths: in_the_way });
        }
        let mut found = Existing::default();
        self.add(&mut found, &self.output, placed);
        let files = self.staging.files();
        let is_staged = |file: &&Expected| {
            let path = files.join(self.full_path(file));
            !found.has(&file.path) && fs::symlink_metadata(path).is_ok_and(|found| found.is_file())
        };
        let left: Vec<&Expected> = wanted.iter().filter(is_staged).collect();
        let (staged, damaged) = self.hash(&files, &left);
        for path in damaged {
            let path = files.join(path);
            fs::remove_file(&path).map_err(|error| Error::io("remove", &path, error))?;
        }
        self.add(&mut found, &files, staged);
        Ok(found)
    }

    fn add(&self, existing: &mut Existing, root: &Path, files: Vec<Received>) {
        for file in &files {
            existing.paths.insert(file.path.clone());
            if TagFiles::wants(&file.path) {
                existing.tag_files.push((file.path.clone(), root.join(join(&self.directory, &file.path))));
            }
        }
        existing.files.extend(files);
    }

    /// Divides what stands at the final places into files that may be right and things in the way.
    fn candidates<'w>(&self, wanted: &'w [Expected]) -> Result<(Vec<&'w Expected>, Vec<PathBuf>)> {
        let (mut candidates, mut in_the_way) = (Vec::new(), Vec::new());
        // A package directory that is not there saves looking for each file.
        let root = self.directory.split('/').next().unwrap_or_default();
        if !root.is_empty() && existing(&self.output.join(root))?.is_none() {
            return Ok((candidates, in_the_way));
        }
        for file in wanted {
            let path = self.full_path(file);
            refuse_links(&self.output, &path)?;
            let place = self.output.join(&path);
            match existing(&place)? {
                None => {}
                Some(found) if found.is_file() && found.len() == file.size && file.sha256.is_some() => {
                    candidates.push(file);
                }
                Some(_) => in_the_way.push(place),
            }
        }
        Ok((candidates, in_the_way))
    }

    /// Hashes files below a root; returns those that are right, and the paths of the others.
    fn hash(&self, root: &Path, files: &[&Expected]) -> (Vec<Received>, Vec<String>) {
        if files.is_empty() {
            return (Vec::new(), Vec::new());
        }
        let paths: Vec<String> = files.iter().map(|file| self.full_path(file)).collect();
        let to_hash: Vec<FileToHash<'_>> = paths
            .iter()
            .zip(files)
            .map(|(path, file)| FileToHash { path, size: file.size, algorithms: self.algorithms })
            .collect();
        let (phase, bytes) = (Phase::Check, files.iter().map(|file| file.size).sum());
        self.observer.event(&Event::Began { phase, items: files.len() as u64, bytes });
        let progress = |event: ProgressEvent<'_>| match event {
            ProgressEvent::Advanced { bytes } => {
                self.observer.event(&Event::Advanced { phase, items: 0, bytes })
            }
            ProgressEvent::Finished { .. } => {
                self.observer.event(&Event::Advanced { phase, items: 1, bytes: 0 })
            }
            _ => {}
        };
        let outcomes = bagit::hash_files(root, &to_hash, 0, &progress);
        self.observer.event(&Event::Ended { phase });
        let (mut right, mut wrong) = (Vec::new(), Vec::new());
        for ((file, path), outcome) in files.iter().zip(&paths).zip(outcomes) {
            match outcome {
                HashOutcome::Hashed { size, digests } if check_file(file, size, &digests).is_ok() => {
                    right.push(Received { path: file.path.clone(), size, digests });
                }
                _ => wrong.push(path.clone()),
            }
        }
        (right, wrong)
    }

    fn full_path(&self, file: &Expected) -> String {
        join(&self.directory, &file.path)
    }
}
