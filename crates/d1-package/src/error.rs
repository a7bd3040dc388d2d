//! One error for callers that do not tell the steps apart.

use crate::{AssembleError, FilesError, IndexError, PlanError, ReadPlanError, RecogniseError, ViewError};

/// Any error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The list of files is no package.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// The files do not fit into a package.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The layers are not what was planned.
    #[error(transparent)]
    Assemble(#[from] AssembleError),
    /// The manifest exceeds its limit, or its titles clash.
    #[error(transparent)]
    Manifest(#[from] oci_pack::ManifestBuildError),
    /// The index is not valid, or contradicts the manifest.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// DataONE documents could not be read.
    #[error(transparent)]
    Recognise(#[from] RecogniseError),
    /// The manifest cannot be read as a package.
    #[error(transparent)]
    View(#[from] ViewError),
    /// A read cannot be planned.
    #[error(transparent)]
    ReadPlan(#[from] ReadPlanError),
}
