//! Opening the package that a command is about.

use d1_model::Identifier;
use d1_transfer::{OpenPackage, open_package};
use oci_model::{ManifestRef, Reference, annotations};
use registry_backend::{Access, RegistryBackend};

use crate::context::{Context, required_target};
use crate::failure::{ExitStatus, Failure};

/// A package and where it is.
pub(crate) struct Opened {
    pub(crate) backend: Box<dyn RegistryBackend>,
    pub(crate) package: OpenPackage,
    /// How to name it from now on, whatever its tag will name.
    pub(crate) reference: String,
}

/// Opens the package that a reference names, or that has this identifier in the repository.
pub(crate) async fn open(
    context: &Context,
    reference: &Reference,
    identifier: Option<&Identifier>,
) -> Result<Opened, Failure> {
    let target = target(reference, identifier)?;
    let location = &reference.location;
    let backend = context.open(location, Access::Read).await?;
    let package = open_package(&*backend, &target).await?;
    if let (None, Some(wanted)) = (&reference.target, identifier) {
        check_identifier(&package, wanted, &target)?;
    }
    let reference = format!("{location}@{}", package.raw.digest());
    Ok(Opened { backend, package, reference })
}

/// Returns the manifest that a reference names, or that an identifier is tagged by.
pub(crate) fn target(reference: &Reference, identifier: Option<&Identifier>) -> Result<ManifestRef, Failure> {
    match (&reference.target, identifier) {
        (Some(target), _) => Ok(target.clone()),
        (None, Some(identifier)) => identifier
            .tag()
            .parse()
            .map(ManifestRef::Tag)
            .map_err(|error: oci_model::TagError| Failure::new(ExitStatus::Invalid, error)),
        (None, None) => required_target(reference).cloned(),
    }
}

/// Makes sure that what an identifier's tag names is what has the identifier.
fn check_identifier(package: &OpenPackage, wanted: &Identifier, target: &ManifestRef) -> Result<(), Failure> {
    let stated = package.view.manifest().annotations.get(annotations::D1_IDENTIFIER);
    match stated {
        Some(stated) if stated == wanted.as_str() => Ok(()),
        Some(stated) => Err(Failure::new(
            ExitStatus::NotFound,
            format!("the tag {target} of `{wanted}` names `{stated}`, which is something else"),
        )),
        None => Err(Failure::new(
            ExitStatus::NotFound,
            format!("the tag {target} of `{wanted}` names an artifact that states no identifier"),
        )),
    }
}
