//! Opens the package of a command.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use d1_catalog::{CatalogedRepository, Error as CatalogError, Purpose, check_identifier, locate};
use d1_model::Identifier;
use d1_package::is_tombstone;
use d1_transfer::parts::concerns_content;
use d1_transfer::{ListedFile, Observer, OpenPackage, open_package};
use oci_model::annotations::DESCRIPTION;
use oci_model::{Descriptor, Digest, Manifest, ManifestRef, RawManifest, Reference};
use registry_backend::{Access, Error as BackendError, ErrorKind, RegistryBackend};

use crate::catalogs::OpenCatalog;
use crate::context::Context;
use crate::failure::{ExitStatus, Failure};
use crate::near::found;
use crate::output::human;
use crate::spellings::meant_in;

/// The bound on the content of archives from strangers.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct RatioArgument {
    /// The most bytes of content for each byte of an archive that has no index [default: 250].
    #[arg(long, value_name = "N")]
    pub(crate) max_ratio: Option<u64>,
}

/// A package and its repository.
pub(crate) struct Opened {
    pub(crate) backend: Box<dyn RegistryBackend>,
    pub(crate) package: OpenPackage,
    /// Its reference by digest, which stays valid when tags move.
    pub(crate) reference: String,
    /// The identifier by which it was found, as the package spells it.
    pub(crate) identifier: Option<Identifier>,
}

/// An artifact that a reference or an identifier names.
struct Target {
    at: ManifestRef,
    /// The identifier by which it was found, as the repository spells it.
    identifier: Option<Identifier>,
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
    let package = open_package(&*backend, &target.at).await;
    let package = found(&*backend, reference, package).await?;
    if let Some(identifier) = &target.identifier {
        refuse_tombstone(&package, identifier)?;
    }
    let reference = format!("{location}@{}", package.raw.digest());
    Ok(Opened { backend, package, reference, identifier: target.identifier })
}

/// Refuses the tombstone of a withdrawn object in place of the object.
fn refuse_tombstone(package: &OpenPackage, identifier: &Identifier) -> Result<(), Failure> {
    let manifest = package.view.manifest();
    if !is_tombstone(manifest.artifact_type.as_ref()) {
        return Ok(());
    }
    let reason =
        manifest.annotations.get(DESCRIPTION).map(|reason| format!(". {reason}")).unwrap_or_default();
    Err(Failure::new(
        ExitStatus::NotFound,
        format!("`{identifier}` was withdrawn from this repository{reason}"),
    )
    .with_hint("`d1oci inspect` of its tag shows the tombstone"))
}

/// An artifact that is a package or lists others.
pub(crate) enum Artifact {
    /// A package.
    Package(Box<OpenPackage>),
    /// An image index.
    Index {
        /// The index, as it is stored.
        raw: RawManifest,
        /// The index, parsed.
        manifest: Box<Manifest>,
    },
}

/// An artifact and its repository.
pub(crate) struct OpenedArtifact {
    pub(crate) backend: Box<dyn RegistryBackend>,
    pub(crate) artifact: Artifact,
    /// Its reference by digest, which stays valid when tags move.
    pub(crate) reference: String,
}

/// Opens an artifact as [`open`] does. It may be an image index.
pub(crate) async fn open_any(
    context: &Context,
    reference: &Reference,
    identifier: Option<&Identifier>,
) -> Result<OpenedArtifact, Failure> {
    let location = &reference.location;
    context.check_scheme(location)?;
    let backend = context.open(location, Access::Read).await?;
    let target = target(context, &*backend, reference, identifier, &context.observer()).await?;
    let artifact = read_artifact(&*backend, &target).await;
    let artifact = found(&*backend, reference, artifact).await?;
    let digest = match &artifact {
        Artifact::Package(package) => package.raw.digest(),
        Artifact::Index { raw, .. } => raw.digest(),
    };
    Ok(OpenedArtifact { reference: format!("{location}@{digest}"), backend, artifact })
}

/// Reads the package or image index that a manifest is.
pub(crate) async fn read_artifact(
    backend: &dyn RegistryBackend,
    at: &ManifestRef,
) -> Result<Artifact, d1_transfer::Error> {
    let raw = backend.read_manifest(at).await?;
    let manifest = raw
        .parse()
        .map_err(|error| BackendError::new(ErrorKind::Invalid, "read manifest", at).caused_by(error))?;
    let image = match manifest {
        Manifest::Image(image) => image,
        Manifest::Artifact(artifact) => artifact.into(),
        manifest => return Ok(Artifact::Index { raw, manifest: Box::new(manifest) }),
    };
    Ok(Artifact::Package(Box::new(OpenPackage::of_manifest(backend, raw, image).await?)))
}

/// How many artifacts of one image index a command reads.
const MOST_CHILDREN: usize = 10_000;

/// The artifacts that an image index lists, and those that indexes in it list, each once.
pub(crate) struct Children<'a> {
    backend: &'a dyn RegistryBackend,
    index: Digest,
    pending: VecDeque<Descriptor>,
    seen: HashSet<Digest>,
}

impl<'a> Children<'a> {
    /// Begins with the children of an index.
    ///
    /// # Errors
    ///
    /// If there are too many.
    pub(crate) fn of(
        backend: &'a dyn RegistryBackend,
        index: &RawManifest,
        manifest: &Manifest,
    ) -> Result<Self, Failure> {
        let index = index.digest().clone();
        let seen = HashSet::from([index.clone()]);
        let mut children = Self { backend, index, pending: VecDeque::new(), seen };
        children.add(manifest)?;
        Ok(children)
    }

    fn add(&mut self, manifest: &Manifest) -> Result<(), Failure> {
        for child in manifest.children() {
            if self.seen.insert(child.digest.clone()) {
                self.pending.push_back(child.clone());
            }
        }
        if self.seen.len() <= MOST_CHILDREN {
            return Ok(());
        }
        let reason = format!("expected at most {MOST_CHILDREN} artifacts, found more");
        Err(BackendError::new(ErrorKind::TooLarge, "read the image index", &self.index)
            .because(reason)
            .into())
    }

    /// Reads the next artifact, or returns why its content cannot be read.
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub(crate) async fn next(
        &mut self,
    ) -> Result<Option<(Descriptor, Result<Artifact, d1_transfer::Error>)>, Failure> {
        let Some(child) = self.pending.pop_front() else { return Ok(None) };
        let read = read_artifact(self.backend, &ManifestRef::Digest(child.digest.clone())).await;
        match &read {
            Ok(Artifact::Index { manifest, .. }) => self.add(manifest)?,
            Ok(Artifact::Package(_)) => {}
            Err(error) if error.of_store().is_none_or(|error| concerns_content(error.kind())) => {}
            Err(_) => return read.map(|_| None).map_err(Into::into),
        }
        Ok(Some((child, read)))
    }
}

/// Returns the failure of a command that could not read some artifacts of an image index.
pub(crate) fn unreadable(failed: u64, reference: &Reference) -> Result<(), Failure> {
    if failed == 0 {
        return Ok(());
    }
    let count = human::count(failed, "artifact");
    Err(Failure::new(ExitStatus::Invalid, format!("cannot read {count} of the image index `{reference}`")))
}

/// Returns the manifest that a reference names, or that has this identifier in the repository or an object with it.
pub(crate) async fn target(
    context: &Context,
    backend: &dyn RegistryBackend,
    reference: &Reference,
    identifier: Option<&Identifier>,
    observer: &Arc<dyn Observer>,
) -> Result<ManifestRef, Failure> {
    Ok(find_target(context, backend, reference, identifier, Purpose::Package, observer).await?.at)
}

async fn find_target(
    context: &Context,
    backend: &dyn RegistryBackend,
    reference: &Reference,
    identifier: Option<&Identifier>,
    purpose: Purpose,
    observer: &Arc<dyn Observer>,
) -> Result<Target, Failure> {
    let Some(typed) = identifier else {
        return Ok(Target { at: context.required_target(reference)?.clone(), identifier: None });
    };
    let catalog = match &reference.target {
        None => context.catalogs.existing(&reference.location, context.printer)?,
        Some(_) => None,
    };
    let mut first_error = None;
    for identifier in meant_in(backend, typed).await {
        let digest = match (&reference.target, &catalog) {
            (Some(target), _) => check_identifier(backend, target, &identifier).await,
            (None, Some(OpenCatalog { catalog, name })) => {
                let repository = CatalogedRepository { catalog, backend, name };
                repository.locate(&identifier, purpose, observer).await.map(|located| located.digest)
            }
            (None, None) => {
                locate(backend, &identifier, purpose, observer).await.map(|located| located.digest)
            }
        };
        match digest {
            Ok(digest) => {
                return Ok(Target { at: ManifestRef::Digest(digest), identifier: Some(identifier) });
            }
            Err(error @ (CatalogError::NotInRepository { .. } | CatalogError::OtherArtifact { .. })) => {
                first_error.get_or_insert(error);
            }
            Err(error) => return Err(error.into()),
        }
    }
    // The typed identifier is among those that were looked for, so there was an error.
    Err(first_error.map_or_else(|| Failure::usage("expected an identifier"), Failure::from))
}

/// Returns the state of an object in words, with space before it, or nothing for a current public object.
pub(crate) fn state_of_file(file: &ListedFile) -> String {
    let archived = file.archived.then(|| "archived".to_owned());
    let obsoleted_by = file.obsoleted_by.as_ref().map(|newer| format!("replaced by {newer}"));
    let not_public = file.not_public.then(|| "not public".to_owned());
    let all: Vec<String> = [archived, obsoleted_by, not_public].into_iter().flatten().collect();
    if all.is_empty() { String::new() } else { format!("  {}", all.join(", ")) }
}
