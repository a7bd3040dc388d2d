//! The surroundings of a command: the printer, the backends, and how to open what a reference names.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Args;
use d1_transfer::{Event, Observer};
#[cfg(feature = "distribution-client")]
use oci_model::Digest;
use oci_model::{Location, ManifestRef, Reference, Tag};
#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
use registry_backend::BackendFactory as _;
use registry_backend::{Access, Backends, OpenOptions, RegistryBackend};
use tokio::sync::Notify;

#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
use crate::buckets::BucketSetup;
use crate::catalogs::CatalogOptions;
use crate::failure::Failure;
use crate::output::progress::{Progress, Screen};
use crate::output::{Format, LogFormat, Printer};
#[cfg(feature = "distribution-client")]
use crate::registries::{RegistryOptions, RegistrySetup};

/// Options of every command.
#[derive(Clone, Debug, Args)]
pub(crate) struct GlobalOptions {
    /// Form of results on standard output, and of errors.
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORM",
        help_heading = "Global options"
    )]
    pub(crate) format: Format,
    /// Write only results, warnings and errors.
    #[arg(
        short,
        long,
        global = true,
        conflicts_with = "verbose",
        overrides_with = "quiet",
        help_heading = "Global options"
    )]
    pub(crate) quiet: bool,
    /// Report more: each blob (-v), each request (-vv).
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Global options")]
    pub(crate) verbose: u8,
    /// Write the time before each status line, warning and error, or write them as JSON; for unattended runs.
    #[arg(long, global = true, value_enum, value_name = "FORM", help_heading = "Global options")]
    pub(crate) log_format: Option<LogFormat>,
    /// The same as `-vv`.
    #[arg(long, global = true, hide = true)]
    pub(crate) debug: bool,
    /// Show no progress.
    #[arg(long, global = true, overrides_with = "no_progress", help_heading = "Global options")]
    pub(crate) no_progress: bool,
    /// Use this backend instead of the one that fits best; `d1oci backends` lists them.
    #[arg(long, global = true, value_name = "NAME", help_heading = "Global options")]
    pub(crate) backend: Option<String>,
    #[command(flatten)]
    pub(crate) catalogs: CatalogOptions,
    #[cfg(feature = "distribution-client")]
    #[command(flatten)]
    pub(crate) registry: RegistryOptions,
}

/// The surroundings of a command.
#[derive(Debug)]
pub(crate) struct Context {
    /// Writes results and status.
    pub(crate) printer: Printer,
    screen: Screen,
    /// The backends that are not registries.
    backends: Backends,
    verbosity: u8,
    /// Set when a signal interrupts the command.
    pub(crate) is_stopped: Arc<AtomicBool>,
    /// Notified when a signal asks a command to end that ends by itself.
    pub(crate) stop: Notify,
    /// The backend to use, even if another fits better.
    backend: Option<String>,
    /// The files of catalogues.
    pub(crate) catalogs: CatalogOptions,
    /// How to talk to registries.
    #[cfg(feature = "distribution-client")]
    pub(crate) registries: RegistrySetup,
    /// How to talk to buckets.
    #[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
    pub(crate) buckets: BucketSetup,
}

impl Context {
    pub(crate) fn new(
        options: &GlobalOptions,
        backends: Backends,
        #[cfg(feature = "distribution-client")] profiles: Vec<distribution_client::Profile>,
    ) -> Self {
        let printer = Printer::new(options.format, options.quiet, !options.no_progress);
        let printer = printer.with_log(options.log_format);
        let screen = Screen::new(printer);
        Self {
            #[cfg(feature = "distribution-client")]
            registries: RegistrySetup::new(profiles, options.registry.clone(), screen.clone()),
            printer,
            screen,
            backends,
            verbosity: options.verbose,
            is_stopped: Arc::default(),
            stop: Notify::new(),
            backend: options.backend.clone(),
            #[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
            buckets: BucketSetup::default(),
            catalogs: options.catalogs.clone(),
        }
    }

    /// Opens a repository for a command that ends soon: it need not see the changes of others.
    pub(crate) async fn open(
        &self,
        location: &Location,
        access: Access,
    ) -> Result<Box<dyn RegistryBackend>, Failure> {
        self.open_with(location, &OpenOptions::new(access).remembering_lists()).await
    }

    /// Opens a repository for a command that works on the current state all the time.
    pub(crate) async fn open_current(
        &self,
        location: &Location,
        access: Access,
    ) -> Result<Box<dyn RegistryBackend>, Failure> {
        self.open_with(location, &OpenOptions::new(access)).await
    }

    /// Opens the target of a mirror run without forgetting the digests that earlier runs remember.
    pub(crate) async fn open_mirrored(
        &self,
        location: &Location,
    ) -> Result<Box<dyn RegistryBackend>, Failure> {
        self.open_backend(location, &OpenOptions::new(Access::Create).remembering_lists()).await
    }

    async fn open_with(
        &self,
        location: &Location,
        options: &OpenOptions,
    ) -> Result<Box<dyn RegistryBackend>, Failure> {
        if let (true, Some(remembered)) = (options.access != Access::Read, self.mirrored(location)) {
            // A directory that remains counts for a week.
            let _ = std::fs::remove_dir_all(remembered);
        }
        self.open_backend(location, options).await
    }

    /// Returns the directory in which mirror runs remember the digests of the tags of a registry's repository; `None` for a layout, which
    /// lists them, and for a user without a home directory.
    pub(crate) fn mirrored(&self, to: &Location) -> Option<PathBuf> {
        #[cfg(feature = "distribution-client")]
        if let Location::Registry { .. } = to {
            let name = Digest::sha256_of(to.to_string().as_bytes());
            let directory = self.registries.environment.below_state_home("d1oci/mirrors");
            return directory.map(|directory| directory.join(name.encoded()));
        }
        #[cfg(not(feature = "distribution-client"))]
        let _ = to;
        None
    }

    async fn open_backend(
        &self,
        location: &Location,
        options: &OpenOptions,
    ) -> Result<Box<dyn RegistryBackend>, Failure> {
        #[cfg(feature = "distribution-client")]
        if let Location::Registry { host, .. } = location {
            let place = self.registries.place(host)?;
            let backends = place.add_to(self.backends.clone());
            return match self.backend.as_deref().or(place.backend()) {
                Some(name) => Ok(backends.open_with(name, location, options).await?),
                None => Ok(backends.open(location, options).await?),
            };
        }
        #[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
        if let (Location::Bucket { .. }, None | Some("layout")) = (location, self.backend.as_deref()) {
            return Ok(self.bucket(location)?.open(location, options).await?);
        }
        Ok(match &self.backend {
            Some(name) => self.backends.open_with(name, location, options).await?,
            None => self.backends.open(location, options).await?,
        })
    }

    #[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
    fn bucket(&self, location: &Location) -> Result<backend_layout::LayoutFactory, Failure> {
        self.buckets.factory(
            location,
            #[cfg(feature = "distribution-client")]
            &self.registries,
        )
    }

    /// Returns all backends of this program, registries included.
    pub(crate) fn all_backends(&self) -> Backends {
        #[cfg(feature = "distribution-client")]
        return self.registries.add_to(self.backends.clone());
        #[cfg(not(feature = "distribution-client"))]
        self.backends.clone()
    }

    /// Tells whether the user asked for details.
    pub(crate) fn is_verbose(&self) -> bool {
        self.verbosity > 0
    }

    /// Returns a new display of progress.
    pub(crate) fn observer(&self) -> Arc<dyn Observer> {
        Arc::new(Progress::new(self.screen.clone(), self.is_verbose()).until(Arc::clone(&self.is_stopped)))
    }

    /// Returns an observer that shows warnings only.
    pub(crate) fn warnings(&self) -> Arc<dyn Observer> {
        struct Warnings(Screen);

        impl Observer for Warnings {
            fn event(&self, event: &Event<'_>) {
                if let Event::Warning(text) = event {
                    self.0.line(|printer| printer.warning(text));
                }
            }
        }

        Arc::new(Warnings(self.screen.clone()))
    }

    /// Refuses a location whose scheme no backend knows. Such a text is often a name without a host.
    pub(crate) fn check_scheme(&self, location: &Location) -> Result<(), Failure> {
        match location {
            Location::Other { scheme, .. } if self.backend.is_none() && !self.backends.serves(location) => {
                Err(Failure::usage(format!("no backend of this program knows the scheme of `{location}`"))
                    .with_hint(format!(
                        "`{scheme}` is not a registry's host: write `oci:{location}` for an image layout, or the host first, as in \
                         `ghcr.io/{scheme}`"
                    )))
            }
            _ => Ok(()),
        }
    }

    /// Returns the manifest that a reference names, or a failure that says how to name one.
    pub(crate) fn required_target<'a>(&self, reference: &'a Reference) -> Result<&'a ManifestRef, Failure> {
        self.check_scheme(&reference.location)?;
        reference.target.as_ref().ok_or_else(|| {
            Failure::usage(format!("`{reference}` names no tag and no digest"))
                .with_hint(format!("name one behind `{reference}`: `d1oci tags {reference}` lists the tags"))
        })
    }

    /// Returns the repository of a reference that names no artifact in it.
    pub(crate) fn repository_only<'a>(
        &self,
        reference: &'a Reference,
        command: &str,
    ) -> Result<&'a Location, Failure> {
        let location = &reference.location;
        self.check_scheme(location)?;
        if reference.target.is_none() {
            return Ok(location);
        }
        Err(Failure::usage(format!("`{reference}` names an artifact, but {command} works on a repository"))
            .with_hint(format!("write `d1oci {command} {location}`")))
    }

    /// Returns the tag of a reference, or `None` if it has no target; a digest is a failure.
    pub(crate) fn tag_only<'a>(&self, reference: &'a Reference) -> Result<Option<&'a Tag>, Failure> {
        self.check_scheme(&reference.location)?;
        match &reference.target {
            None => Ok(None),
            Some(ManifestRef::Tag(tag)) => Ok(Some(tag)),
            Some(ManifestRef::Digest(_)) => Err(Failure::usage(format!(
                "`{reference}` names a digest, but the content decides the digest when it is stored"
            ))
            .with_hint("leave the digest out, or name a tag")),
        }
    }
}

/// Returns the directory for temporary files.
pub(crate) fn temporary_directory() -> PathBuf {
    std::env::temp_dir()
}

/// Returns the time for reproducible builds that the environment states (reproducible-builds.org, "SOURCE_DATE_EPOCH").
pub(crate) fn source_date_epoch() -> Result<Option<jiff::Timestamp>, Failure> {
    let Some(epoch) = std::env::var_os("SOURCE_DATE_EPOCH") else { return Ok(None) };
    let seconds = epoch.to_str().and_then(|text| text.parse().ok());
    let time = seconds.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    time.map(Some).ok_or_else(|| Failure::usage("expected a number of seconds in SOURCE_DATE_EPOCH"))
}
