//! Dividing the wanted files into jobs: files with blobs of their own, archives, and single files of archives.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use d1_package::{ArchiveLayer, PackageView, Place, ReadPlan};
use oci_model::{Descriptor, Digest};

use crate::event::total;
use crate::receive::Wanted;
use crate::receive::files::Expected;

/// A unit of work. Jobs do not depend on each other.
#[derive(Clone, Debug)]
pub(crate) enum Job {
    /// Files with equal bytes, which are received once.
    Files { blobs: Vec<Blob>, files: Vec<Expected> },
    /// A whole archive. Only the files at these positions are wanted, or all if the archive has no index.
    Archive { layer: ArchiveJob, files: Option<Arc<Vec<u32>>> },
    /// A single file of an archive.
    Range { file: Expected, bytes: u64 },
}

/// A blob that holds all or some bytes of a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Blob {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

/// An archive layer.
#[derive(Clone, Debug)]
pub(crate) struct ArchiveJob {
    /// Position of the layer in the manifest.
    pub(crate) layer: usize,
    pub(crate) descriptor: Descriptor,
    pub(crate) title: String,
    /// The directory that it unpacks into, relative to the package's directory.
    pub(crate) path: String,
    /// Size of all its files in bytes, if it is known.
    pub(crate) content_size: Option<u64>,
}

impl Job {
    /// Returns the number of bytes to receive.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::Files { blobs, .. } => total(blobs.iter().map(|blob| blob.size)),
            Self::Archive { layer, .. } => layer.descriptor.size,
            Self::Range { bytes, .. } => *bytes,
        }
    }

    /// Returns the number of files, as far as it is known.
    pub(crate) fn files(&self) -> u64 {
        match self {
            Self::Files { files, .. } => files.len() as u64,
            Self::Archive { files, .. } => files.as_ref().map_or(1, |files| files.len() as u64),
            Self::Range { .. } => 1,
        }
    }
}

/// Returns the position of the file at a path, if it is one of these positions, which are sorted.
pub(super) fn position_among(view: &PackageView, positions: &[u32], path: &str) -> Option<usize> {
    let position = view.position(path)?;
    positions.binary_search(&u32::try_from(position).ok()?).ok().map(|_| position)
}

/// Divides the wanted files into jobs. `ranges` says whether the store can read single files of archives.
pub(crate) fn jobs(view: &PackageView, wanted: &Wanted, ranges: bool) -> Vec<Job> {
    let layers = &view.manifest().layers;
    let blob = |layer: u32| {
        let layer = layers.get(layer as usize)?;
        Some(Blob { digest: layer.digest.clone(), size: layer.size })
    };
    let mut files: BTreeMap<Vec<Blob>, Vec<Expected>> = BTreeMap::new();
    let mut archives: HashMap<u32, ArchiveContent> = HashMap::new();
    for (position, entry) in view.entries().enumerate() {
        let is_wanted = wanted.files.has(position);
        let blobs: Vec<Blob> = match entry.place {
            Place::Archive { layer, .. } => {
                let content = archives.entry(layer).or_default();
                content.size = content.size.saturating_add(entry.size);
                if is_wanted {
                    content.wanted_size = content.wanted_size.saturating_add(entry.size);
                    // An index has fewer files than this type can count.
                    content.wanted.extend(u32::try_from(position));
                }
                continue;
            }
            Place::Object { layer } => blob(layer).into_iter().collect(),
            Place::Parts { first, count } => (first..).take(count as usize).filter_map(blob).collect(),
        };
        if is_wanted {
            let file = Expected::of(position, &entry, wanted.kept.contains(&position));
            files.entry(blobs).or_default().push(file);
        }
    }
    let mut jobs: Vec<Job> = files.into_iter().map(|(blobs, files)| Job::Files { blobs, files }).collect();
    for archive in view.archives() {
        let number = u32::try_from(archive.layer).unwrap_or(u32::MAX);
        match archives.remove(&number) {
            Some(content) => content.add_jobs(view, &archive, wanted, ranges, &mut jobs),
            None if wanted.unlisted => {
                let files = view.index().map(|_| Arc::default());
                let content_size = files.as_ref().map(|_| 0);
                jobs.push(Job::Archive { layer: archive_job(&archive, content_size), files });
            }
            None => {}
        }
    }
    // The largest jobs come first, so that none of them runs alone at the end.
    jobs.sort_by_key(|job| std::cmp::Reverse(job.bytes()));
    jobs
}

/// The files of an archive, by the index.
#[derive(Default)]
struct ArchiveContent {
    /// Size of all its files in bytes.
    size: u64,
    /// Positions of the wanted files, and their size in bytes.
    wanted: Vec<u32>,
    wanted_size: u64,
}

/// The cost of reading a single file of an archive besides its size, in bytes: a request, and parts of two
/// members.
const COST_OF_A_RANGE: u64 = 1_000_000;

impl ArchiveContent {
    fn add_jobs(
        self,
        view: &PackageView,
        archive: &ArchiveLayer<'_>,
        wanted: &Wanted,
        ranges: bool,
        jobs: &mut Vec<Job>,
    ) {
        if self.wanted.is_empty() {
            return;
        }
        let cost = COST_OF_A_RANGE.saturating_mul(self.wanted.len() as u64);
        // Reading files one by one pays for a few of many files.
        if ranges && self.wanted_size.saturating_add(cost) < self.size / 2 {
            let files = self.wanted.iter().filter_map(|position| wanted.expected(view, *position as usize));
            jobs.extend(files.map(|file| Job::Range { bytes: moved(view, &file), file }));
            return;
        }
        let files = Some(Arc::new(self.wanted));
        jobs.push(Job::Archive { layer: archive_job(archive, Some(self.size)), files });
    }
}

/// Returns how many bytes a single file of an archive costs.
fn moved(view: &PackageView, file: &Expected) -> u64 {
    match view.read_plan(&file.path, None) {
        Ok(ReadPlan::Pieces(planned)) => {
            total(planned.pieces.iter().map(|piece| piece.range.end - piece.range.start))
        }
        _ => file.size,
    }
}

fn archive_job(archive: &ArchiveLayer<'_>, content_size: Option<u64>) -> ArchiveJob {
    ArchiveJob {
        layer: archive.layer,
        descriptor: archive.descriptor.clone(),
        title: archive.title.to_owned(),
        path: archive.path.to_owned(),
        content_size,
    }
}
