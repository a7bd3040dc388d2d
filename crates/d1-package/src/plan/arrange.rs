//! Arranging files into layers.

use super::{Plan, PlanError, PlanOptions};
use crate::PackageFiles;

pub(super) fn arrange(files: &PackageFiles, options: &PlanOptions) -> Result<Plan, PlanError> {
    let _ = (files, options);
    todo!()
}
