//! What every command needs: the printer, the backends, and how to open what a reference names.

use std::path::PathBuf;
use std::sync::Arc;

use d1_transfer::Observer;
use oci_model::{Location, ManifestRef, Reference, Tag};
use registry_backend::{Access, Backends, OpenOptions, RegistryBackend};

use crate::cli::GlobalOptions;
use crate::failure::Failure;
use crate::output::{Printer, Progress};
#[cfg(feature = "distribution-client")]
use crate::registries::RegistrySetup;

/// The surroundings of a command.
#[derive(Debug)]
pub(crate) struct Context {
    /// Where results and status go.
    pub(crate) printer: Printer,
    /// What there is to open references with.
    pub(crate) backends: Backends,
    /// How much people want to read.
    pub(crate) verbosity: u8,
    /// The backend to use, whatever fits best.
    pub(crate) backend: Option<String>,
    /// How to talk to registries.
    #[cfg(feature = "distribution-client")]
    pub(crate) registries: RegistrySetup,
}

impl Context {
    pub(crate) fn new(options: &GlobalOptions) -> Self {
        let printer = Printer::new(options.format, options.quiet, !options.no_progress);
        Self {
            printer,
            backends: crate::backends::backends(),
            verbosity: options.verbose,
            backend: options.backend.clone(),
            #[cfg(feature = "distribution-client")]
            registries: RegistrySetup::new(options.registry.clone(), printer),
        }
    }

    /// Opens a repository.
    pub(crate) async fn open(
        &self,
        location: &Location,
        access: Access,
    ) -> Result<Box<dyn RegistryBackend>, Failure> {
        #[cfg(feature = "distribution-client")]
        if let Location::Registry { host, .. } = location {
            let place = self.registries.place(host)?;
            let backend = self.backend.as_deref().or(place.backend());
            return open_with(&crate::backends::backends_for(&place), backend, location, access).await;
        }
        open_with(&self.backends, self.backend.as_deref(), location, access).await
    }

    /// Returns a new display of progress.
    pub(crate) fn observer(&self) -> Arc<dyn Observer> {
        Arc::new(Progress::new(self.printer, self.verbosity > 0))
    }
}

async fn open_with(
    backends: &Backends,
    backend: Option<&str>,
    location: &Location,
    access: Access,
) -> Result<Box<dyn RegistryBackend>, Failure> {
    let options = OpenOptions::new(access);
    let opened = match backend {
        Some(name) => backends.open_with(name, location, &options).await,
        None => backends.open(location, &options).await,
    };
    opened.map_err(Failure::from)
}

/// Returns the manifest that a reference names, or a failure that says how to name one.
pub(crate) fn required_target(reference: &Reference) -> Result<&ManifestRef, Failure> {
    reference.target.as_ref().ok_or_else(|| {
        Failure::usage(format!("`{reference}` names no tag or digest")).with_hint(format!(
            "write `{reference}:TAG` or `{reference}@DIGEST`; `d1oci tags {reference}` lists the tags"
        ))
    })
}

/// Returns the repository of a reference that names no artifact in it.
pub(crate) fn repository_only<'a>(reference: &'a Reference, command: &str) -> Result<&'a Location, Failure> {
    let location = &reference.location;
    if reference.target.is_none() {
        return Ok(location);
    }
    Err(Failure::usage(format!("`{reference}` names an artifact, but {command} works on a repository"))
        .with_hint(format!("write `d1oci {command} {location}`")))
}

/// Returns the tag of a reference, or `None` if it has no target; a digest is a failure.
pub(crate) fn tag_only(reference: &Reference) -> Result<Option<&Tag>, Failure> {
    match &reference.target {
        None => Ok(None),
        Some(ManifestRef::Tag(tag)) => Ok(Some(tag)),
        Some(ManifestRef::Digest(_)) => Err(Failure::usage(format!(
            "`{reference}` names a digest, but what is stored there is not known before it is pushed"
        ))
        .with_hint("leave the digest out, or name a tag")),
    }
}

/// Returns the directory for temporary files.
pub(crate) fn temporary_directory() -> PathBuf {
    std::env::temp_dir()
}

/// Returns the time that reproducible builds state in the environment (reproducible-builds.org, "SOURCE_DATE_EPOCH").
pub(crate) fn source_date_epoch() -> Result<Option<jiff::Timestamp>, Failure> {
    let Some(epoch) = std::env::var_os("SOURCE_DATE_EPOCH") else { return Ok(None) };
    let seconds = epoch.to_str().and_then(|text| text.parse().ok());
    let time = seconds.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    time.map(Some)
        .ok_or_else(|| Failure::usage("SOURCE_DATE_EPOCH in the environment is not a number of seconds"))
}
