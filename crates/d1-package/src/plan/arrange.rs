//! Arranges files into layers: chooses files for archives, ends archives, and keeps the limits.

use oci_model::{Descriptor, Digest, ImageManifest, MediaType};
use oci_pack::{Compression, archive_title, manifest_size};
use safe_files::ancestors;

use super::{Layout, Plan, PlanOptions, PlannedArchive, PlannedLayer};
use crate::error::{Error, ErrorKind, Result};
use crate::files::{FileView, PackageFiles};
use crate::manifest::{archive_descriptor, object_descriptor, part_descriptor};
use crate::media::UNKNOWN_ARTIFACT_TYPE;

/// In a package with more payload files than this, small ones go into archives.
const FEW_PAYLOAD_FILES: usize = 64;

/// Payload files below this size are small, in bytes.
const SMALL_FILE: u64 = 256 << 10;

/// Finds the lowest threshold that keeps the limits, doubling from [`SMALL_FILE`].
pub(super) fn arrange(files: &PackageFiles, options: &PlanOptions) -> Result<Plan> {
    let payload_files = files.files().filter(|file| files.is_payload(file.path)).count();
    let mut threshold = match options.layout {
        Layout::Objects if payload_files <= FEW_PAYLOAD_FILES => 0,
        Layout::Objects => SMALL_FILE,
        Layout::Archive => u64::MAX,
    };
    let largest = files.files().map(|file| file.size).max().unwrap_or(0);
    loop {
        let is_last = threshold > largest || threshold == u64::MAX;
        let attempt = Arrangement::new(files, options, threshold).layers();
        match attempt.and_then(|layers| check_limits(layers, files, options)) {
            Ok(layers) => return Ok(Plan { directory: options.directory.clone(), layers }),
            Err(error) if is_last || !needs_fewer_layers(&error) => return Err(error),
            Err(_) => {}
        }
        threshold = threshold.saturating_mul(2).max(SMALL_FILE);
    }
}

fn needs_fewer_layers(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::TooManyLayers | ErrorKind::ManifestTooLarge)
}

fn check_limits(
    layers: Vec<PlannedLayer>,
    files: &PackageFiles,
    options: &PlanOptions,
) -> Result<Vec<PlannedLayer>> {
    let limit = options.limits.max_manifest_bytes;
    let size = manifest_bound(&layers, files, options);
    if size <= limit {
        return Ok(layers);
    }
    let message = format!("the store takes manifests of {limit} bytes, and this one needs about {size}");
    Err(Error::new(ErrorKind::ManifestTooLarge, "", message))
}

/// One attempt: files below the threshold go into archives.
struct Arrangement<'a> {
    files: &'a PackageFiles,
    options: &'a PlanOptions,
    threshold: u64,
    /// Largest tar archive whose compressed form cannot exceed the limit.
    archive_limit: u64,
    archives: Vec<PlannedArchive>,
    /// Positions of the files outside archives.
    others: Vec<usize>,
}

/// The destination of a file, if it fits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Group {
    /// The archives with tag files and empty files. They change when metadata change.
    Metadata,
    /// The archives with small payload files.
    Payload,
    /// A layer of its own.
    Object,
}

impl<'a> Arrangement<'a> {
    fn new(files: &'a PackageFiles, options: &'a PlanOptions, threshold: u64) -> Self {
        // Incompressible bytes grow by 5 bytes for a stored block of 64 KiB and 18 for a member of at least 256
        // KiB: far less than 1 in 1024. The last member may be small, so its growth is counted in full.
        let limit = options.limits.max_blob_bytes.unwrap_or(u64::MAX);
        let archive_limit = (limit - limit / 1024).saturating_sub(64);
        Self { files, options, threshold, archive_limit, archives: Vec::new(), others: Vec::new() }
    }

    fn layers(mut self) -> Result<Vec<PlannedLayer>> {
        let count = self.layers_of_files();
        if count > self.options.limits.max_layers as u64 {
            return Err(self.too_many(count));
        }
        self.fill(Group::Metadata);
        self.fill(Group::Payload);
        self.hold_empty_directories()?;
        let mut layers: Vec<_> =
            std::mem::take(&mut self.archives).into_iter().map(PlannedLayer::Archive).collect();
        for file in &self.others {
            layers.extend(self.layers_of(*file));
        }
        if layers.len() > self.options.limits.max_layers {
            return Err(self.too_many(layers.len() as u64));
        }
        Ok(layers)
    }

    /// Counts the layers for files outside archives, without making them.
    fn layers_of_files(&mut self) -> u64 {
        let mut count = 0_u64;
        for (position, file) in self.files.files().enumerate() {
            if self.group(&file) == Group::Object {
                self.others.push(position);
                count = count.saturating_add(self.options.limits.parts_of(file.size).len() as u64);
            }
        }
        count
    }

    fn group(&self, file: &FileView<'_>) -> Group {
        if !self.fits_alone(file) {
            Group::Object
        } else if self.options.layout == Layout::Archive
            || !self.files.is_payload(file.path)
            || file.size == 0
        {
            Group::Metadata
        } else if file.size < self.threshold {
            Group::Payload
        } else {
            Group::Object
        }
    }

    fn fits_alone(&self, file: &FileView<'_>) -> bool {
        let mut room = ArchiveRoom::new(self.options);
        room.add(file.path, file.size) <= self.archive_limit
    }

    /// Fills archives with the files of a group, in order.
    fn fill(&mut self, group: Group) {
        let mut room = self.next_room();
        let mut current: Vec<u32> = Vec::new();
        for (position, file) in (0_u32..).zip(self.files.files()) {
            if self.group(&file) != group {
                continue;
            }
            if room.add(file.path, file.size) > self.archive_limit {
                self.close(std::mem::take(&mut current));
                room = self.next_room();
                room.add(file.path, file.size);
            }
            current.push(position);
        }
        if !current.is_empty() {
            self.close(current);
        }
    }

    /// Returns the room of the next archive. The first one holds the empty directories.
    fn next_room(&self) -> ArchiveRoom<'a> {
        let mut room = ArchiveRoom::new(self.options);
        if self.archives.is_empty() {
            for path in self.files.empty_directories() {
                room.add(path, 0);
            }
        }
        room
    }

    fn close(&mut self, files: Vec<u32>) {
        let number = self.archives.len();
        self.archives.push(PlannedArchive { number, files, empty_directories: number == 0 });
    }

    /// Makes the archive of a package without files, or with empty directories but no other archive.
    fn hold_empty_directories(&mut self) -> Result<()> {
        let is_needed = !self.files.empty_directories().is_empty() || self.files.is_empty();
        if !is_needed {
            return Ok(());
        }
        if let Some(limit) =
            self.options.limits.max_blob_bytes.filter(|_| self.empty_size() > self.archive_limit)
        {
            let message =
                format!("the store takes blobs of {limit} bytes, and the empty directories need more");
            return Err(Error::new(ErrorKind::BlobLimit, self.options.directory.as_str(), message));
        }
        if self.archives.is_empty() {
            self.close(Vec::new());
        }
        Ok(())
    }

    /// Returns the size of an archive of the empty directories alone.
    fn empty_size(&self) -> u64 {
        Self::new(self.files, self.options, self.threshold).next_room().size
    }

    fn layers_of(&self, position: usize) -> Vec<PlannedLayer> {
        let size = self.files.file(position).map_or(0, |file| file.size);
        if !self.options.limits.needs_parts(size) {
            return vec![PlannedLayer::Object { file: position }];
        }
        let parts = self.options.limits.parts_of(size);
        // Plans with more parts than layers were refused before.
        let count = u32::try_from(parts.len()).unwrap_or(u32::MAX);
        (1..=count)
            .zip(parts)
            .map(|(number, range)| PlannedLayer::Part { file: position, number, count, range })
            .collect()
    }

    fn too_many(&self, layers: u64) -> Error {
        let limit = self.options.limits.max_layers;
        let message = format!("the store takes {limit} layers, and the package needs at least {layers}");
        Error::new(ErrorKind::TooManyLayers, "", message)
    }
}

/// Bounds the size of a tar archive while entries are added.
struct ArchiveRoom<'a> {
    size: u64,
    /// Length of the directory's name with its slash.
    prefix: u64,
    is_ascii: bool,
    /// The path added last. Entries of one directory are consecutive.
    previous: &'a str,
}

const BLOCK: u64 = 512;

impl<'a> ArchiveRoom<'a> {
    fn new(options: &PlanOptions) -> Self {
        let prefix = options.directory.len() as u64 + 1;
        let mut room = Self { size: 2 * BLOCK, prefix, is_ascii: options.directory.is_ascii(), previous: "" };
        room.add_entry("", 0);
        room
    }

    /// Adds a file, or a directory of size 0, and the directories that lead to it. Returns the size of the
    /// archive.
    fn add(&mut self, path: &'a str, size: u64) -> u64 {
        self.add_ancestors(path);
        self.add_entry(path, size)
    }

    fn add_ancestors(&mut self, path: &'a str) {
        for directory in ancestors(path) {
            let is_known = self.previous.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'));
            if !is_known {
                self.add_entry(directory, 0);
            }
        }
        self.previous = path;
    }

    fn add_entry(&mut self, path: &str, size: u64) -> u64 {
        let name = self.prefix + path.len() as u64;
        let is_plain = name <= 100 && self.is_ascii && path.is_ascii() && size < 8 << 30;
        // An extended header and its records: the path, the size, and their framing.
        let header = if is_plain { BLOCK } else { 2 * BLOCK + round_up(name + 64) };
        self.size = self.size.saturating_add(header).saturating_add(round_up(size));
        self.size
    }
}

fn round_up(size: u64) -> u64 {
    size.div_ceil(BLOCK).saturating_mul(BLOCK)
}

/// Room for the configuration, the type of the artifact, and annotations of the manifest: four identifiers of 800
/// characters, a title, and the user's annotations.
const RESERVE: u64 = 32 << 10;

/// Returns the largest size that the manifest of these layers can have, in bytes.
fn manifest_bound(layers: &[PlannedLayer], files: &PackageFiles, options: &PlanOptions) -> u64 {
    let artifact_type = MediaType::from_static(UNKNOWN_ARTIFACT_TYPE);
    let mut manifest = ImageManifest::new(artifact_type, Descriptor::empty());
    manifest.layers =
        layers.iter().filter_map(|layer| placeholder(layer, files, &options.directory)).collect();
    manifest_size(&manifest).saturating_add(RESERVE)
}

/// Returns a descriptor with the largest size that the layer's descriptor can have.
fn placeholder(layer: &PlannedLayer, files: &PackageFiles, directory: &str) -> Option<Descriptor> {
    let digest = Digest::from_sha256([0; 32]);
    Some(match layer {
        PlannedLayer::Archive(archive) => {
            let title = archive_title(directory, archive.number);
            archive_descriptor(Compression::Gzip, &digest, u64::MAX, &digest, &title)
        }
        PlannedLayer::Object { file } => object_descriptor(directory, &files.file(*file)?),
        PlannedLayer::Part { file, number, count, .. } => {
            let path = files.file(*file)?.path;
            part_descriptor(directory, path, (*number, *count), digest, u64::MAX)
        }
    })
}
