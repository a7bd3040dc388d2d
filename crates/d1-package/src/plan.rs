//! Decides which files become layers of their own and which go into archives.

mod archives;
mod arrange;

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use registry_backend::Capabilities;

use crate::{Error, ErrorKind, PackageFiles, Result, path_fault};

pub use self::archives::ArchiveEntries;

/// The layout of a package.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Layout {
    /// Payload files as layers of their own; tag files, empty files and many small files in archives.
    #[default]
    Objects,
    /// Everything in archives.
    Archive,
}

/// Options of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanOptions {
    /// Name of the directory that the package unpacks into.
    pub directory: String,
    /// Layout.
    pub layout: Layout,
    /// The limits of the store.
    pub limits: PlanLimits,
}

/// The layers of a package, and the files in each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Name of the directory that the package unpacks into.
    pub directory: String,
    /// The layers in the order of the manifest: archives first, then objects and parts in the order of the files.
    pub layers: Vec<PlannedLayer>,
}

/// One layer. Files are named by their position in [`PackageFiles::files`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlannedLayer {
    /// An archive.
    Archive(PlannedArchive),
    /// The bytes of one file.
    Object {
        /// Position of the file.
        file: usize,
    },
    /// Some of the bytes of one file that is too large for one blob.
    Part {
        /// Position of the file.
        file: usize,
        /// Number of the part, counted from 1.
        number: u32,
        /// Number of parts of the file.
        count: u32,
        /// The bytes of the file in the part.
        range: Range<u64>,
    },
}

/// One archive layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedArchive {
    /// Number of the archive, counted from 0.
    pub number: usize,
    /// Positions of its files, in order.
    pub files: Vec<u32>,
    /// Whether the package's empty directories are in it.
    pub empty_directories: bool,
}

/// A text that does not name a layout.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a layout: use `objects` or `archive`")]
pub struct LayoutError(String);

/// Plans the layers of a package: a pure function of the files and the options.
///
/// # Errors
///
/// If the directory's name is not a clean relative path, or the package exceeds the limits in any layout.
///
/// ```
/// use d1_package::{PackageFile, PackageFiles, PlanLimits, PlanOptions, PlannedLayer, plan};
///
/// let file = |path: &str, size| PackageFile::new(path, size, [0; 32]);
/// let files = vec![file("data/large.nc", 3_000_000), file("data/notes.txt", 70_000)];
/// let files = PackageFiles::new(files, Vec::new(), false)?;
/// let mut options = PlanOptions::new("dataset");
/// options.limits = PlanLimits { max_blob_bytes: Some(2_000_000), ..options.limits };
///
/// // The large file is cut into two parts.
/// let plan = plan(&files, &options)?;
/// assert!(matches!(plan.layers[0], PlannedLayer::Part { file: 0, number: 1, count: 2, .. }));
/// assert_eq!(plan.layers.len(), 3);
/// # Ok::<(), d1_package::Error>(())
/// ```
pub fn plan(files: &PackageFiles, options: &PlanOptions) -> Result<Plan> {
    if let Some(fault) = path_fault(&options.directory) {
        let message = format!("`{}` cannot be a package's directory: {fault}", options.directory);
        return Err(Error::new(ErrorKind::Path, options.directory.as_str(), message));
    }
    arrange::arrange(files, options)
}

/// Limits that a plan keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanLimits {
    /// The largest number of layers.
    pub max_layers: usize,
    /// The largest manifest in bytes.
    pub max_manifest_bytes: u64,
    /// The largest blob in bytes that the store takes safely, or `None` if any.
    pub max_blob_bytes: Option<u64>,
}

impl PlanLimits {
    /// Returns the ranges of the parts of a file of `size` bytes, or one range if it is not cut. A push hashes
    /// them before the plan.
    pub fn parts_of(&self, size: u64) -> impl ExactSizeIterator<Item = Range<u64>> + use<> {
        // A limit of 0 would never end. The number of parts is bounded by the largest number in a title.
        let part = self.max_blob_bytes.unwrap_or(u64::MAX).max(1);
        let count = size.div_ceil(part).max(1);
        (0..usize::try_from(count).unwrap_or(usize::MAX)).map(move |number| {
            let start = (number as u64).saturating_mul(part);
            start..start.saturating_add(part).min(size)
        })
    }

    /// Returns whether a file of `size` bytes is cut into parts.
    #[must_use]
    pub fn needs_parts(&self, size: u64) -> bool {
        self.max_blob_bytes.is_some_and(|limit| size > limit)
    }
}

impl From<&Capabilities> for PlanLimits {
    fn from(capabilities: &Capabilities) -> Self {
        let blob_limits = [capabilities.part_bytes, capabilities.max_blob_bytes];
        Self {
            max_layers: capabilities.max_layers,
            max_manifest_bytes: capabilities.max_manifest_bytes,
            max_blob_bytes: blob_limits.into_iter().flatten().min(),
        }
    }
}

impl Default for PlanLimits {
    fn default() -> Self {
        Self::from(&Capabilities::default())
    }
}

impl PlanOptions {
    /// Returns the default layout and limits for a package that unpacks into `directory`.
    #[must_use]
    pub fn new(directory: impl Into<String>) -> Self {
        Self { directory: directory.into(), layout: Layout::default(), limits: PlanLimits::default() }
    }
}

impl Plan {
    /// Returns the archives in order. They are the first layers.
    pub fn archives(&self) -> impl Iterator<Item = &PlannedArchive> {
        self.layers.iter().filter_map(|layer| match layer {
            PlannedLayer::Archive(archive) => Some(archive),
            PlannedLayer::Object { .. } | PlannedLayer::Part { .. } => None,
        })
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Objects => "objects",
            Self::Archive => "archive",
        })
    }
}

impl FromStr for Layout {
    type Err = LayoutError;

    fn from_str(text: &str) -> Result<Self, LayoutError> {
        [Self::Objects, Self::Archive]
            .into_iter()
            .find(|layout| layout.to_string() == text)
            .ok_or_else(|| LayoutError(text.to_owned()))
    }
}
