//! Opens the package of a command.

use std::sync::Arc;

use d1_catalog::{Purpose, check_identifier, locate};
use d1_model::Identifier;
use d1_transfer::{Observer, OpenPackage, open_package};
use oci_model::{ManifestRef, Reference};
use registry_backend::{Access, RegistryBackend};

use crate::context::Context;
use crate::failure::Failure;

/// A package and its repository.
pub(crate) struct Opened {
    pub(crate) backend: Box<dyn RegistryBackend>,
    pub(crate) package: OpenPackage,
    /// Its reference by digest, which stays valid when tags move.
    pub(crate) reference: String,
}

/// Opens the package that a reference names, or that has this identifier in the repository or an object with it.
pub(crate) async fn open(
    context: &Context,
    reference: &Reference,
    identifier: Option<&Identifier>,
    purpose: Purpose,
) -> Result<Opened, Failure> {
    let location = &reference.location;
    context.check_scheme(location)?;
    let backend = context.open(location, Access::Read).await?;
    let target = find_target(context, &*backend, reference, identifier, purpose, &context.observer()).await?;
    let package = open_package(&*backend, &target).await?;
    let reference = format!("{location}@{}", package.raw.digest());
    Ok(Opened { backend, package, reference })
}

/// Returns the manifest that a reference names, or that has this identifier in the repository or an object with it.
pub(crate) async fn target(
    context: &Context,
    backend: &dyn RegistryBackend,
    reference: &Reference,
    identifier: Option<&Identifier>,
    observer: &Arc<dyn Observer>,
) -> Result<ManifestRef, Failure> {
    find_target(context, backend, reference, identifier, Purpose::Package, observer).await
}

async fn find_target(
    context: &Context,
    backend: &dyn RegistryBackend,
    reference: &Reference,
    identifier: Option<&Identifier>,
    purpose: Purpose,
    observer: &Arc<dyn Observer>,
) -> Result<ManifestRef, Failure> {
    match (&reference.target, identifier) {
        (Some(target), Some(identifier)) => {
            let digest = check_identifier(backend, target, identifier).await?;
            Ok(ManifestRef::Digest(digest))
        }
        (Some(target), None) => Ok(target.clone()),
        (None, Some(identifier)) => {
            let located = locate(backend, identifier, purpose, observer).await?;
            Ok(ManifestRef::Digest(located.digest))
        }
        (None, None) => context.required_target(reference).cloned(),
    }
}
