//! What has to be received: files that have blobs of their own, and archives with the files that are wanted of them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use d1_package::{ArchiveLayer, Entry, PackageView, Place};
use oci_model::{Descriptor, Digest};

use super::file::FileBlobs;

/// A file that is wanted, and what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    /// Path below the package's directory.
    pub(crate) path: String,
    /// Size in bytes.
    pub(crate) size: u64,
    /// SHA-256, where it is known.
    pub(crate) sha256: Option<[u8; 32]>,
}

/// One thing to receive; jobs do not depend on each other.
#[derive(Clone, Debug)]
pub(crate) enum Job {
    /// Files with the same bytes, which are received once.
    File { blobs: FileBlobs, expected: Vec<Expected> },
    /// A whole archive, of which these files are wanted; all if nothing is known of it.
    Archive { layer: ArchiveJob, expected: Option<Arc<HashMap<String, Expected>>> },
    /// A single file of an archive.
    Range { expected: Expected },
}

/// An archive layer, owned.
#[derive(Clone, Debug)]
pub(crate) struct ArchiveJob {
    pub(crate) descriptor: Descriptor,
    pub(crate) title: String,
    /// Where it unpacks, below the package's directory.
    pub(crate) path: String,
    /// Size of all files in it in bytes, where it is known.
    pub(crate) content_size: Option<u64>,
}

impl Job {
    /// Returns the number of bytes that move.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::File { blobs, .. } => blobs.pieces.iter().map(|(_, size)| size).sum(),
            Self::Archive { layer, .. } => layer.descriptor.size,
            Self::Range { expected } => expected.size,
        }
    }

    /// Returns the number of files, as far as it is known.
    pub(crate) fn files(&self) -> u64 {
        match self {
            Self::File { expected, .. } => expected.len() as u64,
            Self::Archive { expected, .. } => expected.as_ref().map_or(1, |expected| expected.len() as u64),
            Self::Range { .. } => 1,
        }
    }
}

/// Divides the wanted files into jobs; `ranges` is whether single files can be read out of archives.
pub(crate) fn jobs(view: &PackageView, wanted: &HashSet<&str>, ranges: bool) -> Vec<Job> {
    let layers = &view.manifest().layers;
    let blob = |layer: u32| layers.get(layer as usize).map(|layer| (layer.digest.clone(), layer.size));
    let mut files: BTreeMap<Vec<(Digest, u64)>, Vec<Expected>> = BTreeMap::new();
    let mut archives: BTreeMap<u32, Vec<Expected>> = BTreeMap::new();
    let mut content: HashMap<u32, u64> = HashMap::new();
    for entry in view.entries() {
        if let Place::Archive { layer, .. } = entry.place {
            *content.entry(layer).or_default() += entry.size;
        }
        if !wanted.contains(entry.path) {
            continue;
        }
        match entry.place {
            Place::Archive { layer, .. } => archives.entry(layer).or_default().push(expected(&entry)),
            Place::Object { layer } => {
                files.entry(blob(layer).into_iter().collect()).or_default().push(expected(&entry))
            }
            Place::Parts { first, count } => {
                let pieces = (first..first.saturating_add(count)).filter_map(blob).collect();
                files.entry(pieces).or_default().push(expected(&entry));
            }
        }
    }
    let mut jobs = archive_jobs(view, archives, &content, ranges);
    jobs.extend(files.into_iter().map(|(pieces, expected)| {
        let path = expected.first().map(|expected| expected.path.clone()).unwrap_or_default();
        Job::File { blobs: FileBlobs { path, pieces }, expected }
    }));
    // The largest first, so that the end is not one large blob alone.
    jobs.sort_by_key(|job| std::cmp::Reverse(job.bytes()));
    jobs
}

fn archive_jobs(
    view: &PackageView,
    mut wanted: BTreeMap<u32, Vec<Expected>>,
    content: &HashMap<u32, u64>,
    ranges: bool,
) -> Vec<Job> {
    let mut jobs = Vec::new();
    for archive in view.archives() {
        let number = u32::try_from(archive.layer).unwrap_or(u32::MAX);
        let Some(expected) = wanted.remove(&number) else {
            if view.index().is_none() {
                jobs.push(Job::Archive { layer: archive_job(&archive, None), expected: None });
            }
            continue;
        };
        let all = content.get(&number).copied().unwrap_or_default();
        let some: u64 = expected.iter().map(|file| file.size).sum();
        // Reading files one by one costs a request and up to two members more for each: it pays for few files of many.
        if ranges && some.saturating_add(expected.len() as u64 * 1_000_000) < all / 2 {
            jobs.extend(expected.into_iter().map(|expected| Job::Range { expected }));
            continue;
        }
        let below = |file: Expected| {
            let name = match archive.path {
                "" => file.path.clone(),
                place => file.path.get(place.len() + 1..).unwrap_or_default().to_owned(),
            };
            (name, file)
        };
        let expected = Arc::new(expected.into_iter().map(below).collect());
        jobs.push(Job::Archive { layer: archive_job(&archive, Some(all)), expected: Some(expected) });
    }
    jobs
}

fn archive_job(archive: &ArchiveLayer<'_>, content_size: Option<u64>) -> ArchiveJob {
    ArchiveJob {
        descriptor: archive.descriptor.clone(),
        title: archive.title.to_owned(),
        path: archive.path.to_owned(),
        content_size,
    }
}

/// Takes over what is known of a file.
pub(crate) fn expected(entry: &Entry<'_>) -> Expected {
    Expected { path: entry.path.to_owned(), size: entry.size, sha256: entry.sha256 }
}
