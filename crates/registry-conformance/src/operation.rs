//! The operations of a backend as values, for wrappers to count and to fault.

use std::fmt;

use futures::StreamExt;
use futures::stream::BoxStream;
use oci_model::Descriptor;
use registry_backend::{Error, ErrorKind, Pruner, RegistryBackend, RepositoryAdmin, Result};

/// One operation of [`RegistryBackend`] or its administration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is named after its method")]
pub enum Operation {
    StatBlob,
    ReadBlob,
    WriteBlob,
    StatManifest,
    ReadManifest,
    WriteManifest,
    Tags,
    Referrers,
    DeleteManifest,
    DeleteTag,
    Prune,
}

impl Operation {
    /// Returns the operation in the words of the backends' errors.
    pub fn name(self) -> &'static str {
        match self {
            Self::StatBlob => "stat blob",
            Self::ReadBlob => "read blob",
            Self::WriteBlob => "write blob",
            Self::StatManifest => "stat manifest",
            Self::ReadManifest => "read manifest",
            Self::WriteManifest => "write manifest",
            Self::Tags => "list tags",
            Self::Referrers => "list referrers",
            Self::DeleteManifest => "delete manifest",
            Self::DeleteTag => "delete tag",
            Self::Prune => "prune",
        }
    }

    /// Tells whether the operation moves a stream of bytes.
    pub fn moves_bytes(self) -> bool {
        matches!(self, Self::ReadBlob | Self::WriteBlob)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Returns the administration of a wrapped backend.
pub(crate) fn inner_admin(inner: &dyn RegistryBackend, operation: Operation) -> Result<&dyn RepositoryAdmin> {
    inner.admin().ok_or_else(|| Error::new(ErrorKind::Unsupported, operation.name(), inner))
}

/// Returns the manifests that a wrapped backend lists.
pub(crate) fn listed(inner: &dyn RegistryBackend) -> BoxStream<'_, Result<Descriptor>> {
    match inner_pruner(inner) {
        Ok(pruner) => pruner.listed(),
        Err(error) => futures::stream::iter([Err(error)]).boxed(),
    }
}

/// Returns the pruner of a wrapped backend.
pub(crate) fn inner_pruner(inner: &dyn RegistryBackend) -> Result<&dyn Pruner> {
    let pruner = inner_admin(inner, Operation::Prune)?.pruner();
    pruner.ok_or_else(|| Error::new(ErrorKind::Unsupported, Operation::Prune.name(), inner))
}
