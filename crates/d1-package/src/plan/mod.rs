//! Deciding which files become layers of their own and which go into archives.

mod archives;
mod arrange;
mod limits;
mod manifest_room;

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use crate::{Error, ErrorKind, PackageFiles, Result, path_fault};

pub use self::archives::ArchiveEntries;
pub use self::limits::PlanLimits;

/// How a package is laid out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Layout {
    /// Payload files as layers of their own; tag files, empty files and many small files in archives.
    #[default]
    Objects,
    /// Everything in archives.
    Archive,
}

/// How to plan a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanOptions {
    /// Name of the directory that the package unpacks into.
    pub directory: String,
    /// Layout.
    pub layout: Layout,
    /// What the store can take.
    pub limits: PlanLimits,
}

/// What goes into which layer.
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
        /// Which bytes of the file.
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

/// A text that names no layout.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a layout: use `objects` or `archive`")]
pub struct LayoutError(String);

/// Plans the layers of a package: a pure function of the files and the options.
///
/// # Errors
///
/// If the directory's name is not a clean relative path, or the package exceeds the limits in any layout.
pub fn plan(files: &PackageFiles, options: &PlanOptions) -> Result<Plan> {
    if let Some(fault) = path_fault(&options.directory) {
        let message = format!("`{}` cannot be a package's directory: {fault}", options.directory);
        return Err(Error::new(ErrorKind::Path, options.directory.as_str(), message));
    }
    arrange::arrange(files, options)
}

impl PlanOptions {
    /// Returns the default layout and limits for a package that unpacks into `directory`.
    #[must_use]
    pub fn new(directory: impl Into<String>) -> Self {
        Self { directory: directory.into(), layout: Layout::default(), limits: PlanLimits::default() }
    }
}

impl Plan {
    /// Returns the archives in order; they are the first layers.
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
