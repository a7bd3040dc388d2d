//! Where a layout in a directory has what.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oci_model::Digest;

use crate::storage::{INDEX_FILE, LAYOUT_FILE};

/// The paths of one layout.
#[derive(Clone, Debug)]
pub(super) struct Paths {
    root: Arc<Path>,
}

impl Paths {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root: root.into() }
    }

    /// The directory of the layout.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn layout_file(&self) -> PathBuf {
        self.root.join(LAYOUT_FILE)
    }

    pub(super) fn index(&self) -> PathBuf {
        self.root.join(INDEX_FILE)
    }

    pub(super) fn blobs(&self) -> PathBuf {
        self.root.join("blobs")
    }

    /// Where a blob is: the grammar of digests lets neither part be a path of its own (image-spec descriptor.md).
    pub(super) fn blob(&self, digest: &Digest) -> PathBuf {
        self.blobs().join(digest.algorithm_name()).join(digest.encoded())
    }

    /// Where files gather that have no final name yet.
    pub(super) fn ingest(&self) -> PathBuf {
        self.root.join("ingest")
    }

    pub(super) fn lock(&self) -> PathBuf {
        self.root.join(Self::LOCK)
    }

    /// The name of the file that is locked.
    pub(super) const LOCK: &str = ".index.lock";
}

impl fmt::Display for Paths {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "oci:{}", self.root.display())
    }
}
