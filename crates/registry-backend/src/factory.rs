//! Choosing and opening the backend for a location.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use oci_model::Location;

use crate::{Error, ErrorKind, RegistryBackend, Result};

/// Opens repositories of one kind.
///
/// ```
/// use async_trait::async_trait;
/// use oci_model::{Location, Reference};
/// use registry_backend::{
///     Access, BackendFactory, Backends, Fit, MemoryBackend, OpenOptions, RegistryBackend, Result,
/// };
///
/// #[derive(Debug)]
/// struct Forgetful;
///
/// #[async_trait]
/// impl BackendFactory for Forgetful {
///     fn name(&self) -> &'static str {
///         "forgetful"
///     }
///
///     fn about(&self) -> &'static str {
///         "memory of this process: forget:NAME"
///     }
///
///     fn fit(&self, location: &Location) -> Fit {
///         match location {
///             Location::Other { scheme, .. } if scheme == "forget" => Fit::Exact,
///             _ => Fit::No,
///         }
///     }
///
///     async fn open(&self, _: &Location, _: &OpenOptions) -> Result<Box<dyn RegistryBackend>> {
///         Ok(Box::new(MemoryBackend::new()))
///     }
/// }
///
/// # futures::executor::block_on(async {
/// let backends = Backends::default().with(Forgetful);
/// let reference: Reference = "forget:anything:v1".parse()?;
/// let opened = backends.open(&reference.location, &OpenOptions::new(Access::Create)).await?;
/// assert_eq!(opened.to_string(), "memory");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[async_trait]
pub trait BackendFactory: fmt::Debug + Send + Sync {
    /// Returns the name: that of the crate and its feature, without the `backend-` in front.
    fn name(&self) -> &'static str;

    /// Returns one line for people: the locations that it serves.
    fn about(&self) -> &'static str;

    /// Returns how well it fits a location.
    fn fit(&self, location: &Location) -> Fit;

    /// Opens the repository at the location.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) if the access needs a repository that does not exist; the store's errors.
    async fn open(&self, location: &Location, options: &OpenOptions) -> Result<Box<dyn RegistryBackend>>;
}

/// How well a backend fits a location.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fit {
    /// It cannot serve the location.
    No,
    /// It can serve the location if the user asks for it by name.
    OnRequest,
    /// It can serve the location if no other backend fits better.
    General,
    /// It is made for the location.
    Exact,
}

/// Options for opening a repository.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OpenOptions {
    /// How the caller is going to use it.
    pub access: Access,
    /// Whether the list of tags and manifests may be read once and remembered. A command that ends soon need not see the changes
    /// that others make meanwhile. Changes by the same value are always seen.
    pub remembers_lists: bool,
}

/// How a caller is going to use a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading only; the repository must exist.
    Read,
    /// Reading and writing; the repository must exist.
    Modify,
    /// Reading and writing; a repository that does not exist is created.
    Create,
}

impl OpenOptions {
    /// Returns options for this access.
    pub fn new(access: Access) -> Self {
        Self { access, remembers_lists: false }
    }

    /// Lets the list of tags and manifests be read once and remembered.
    #[must_use]
    pub fn remembering_lists(mut self) -> Self {
        self.remembers_lists = true;
        self
    }
}

/// The backends of a program: a value that its `main` builds, to which anyone can add their own. Clones share the
/// factories.
#[derive(Clone, Debug, Default)]
pub struct Backends {
    factories: Vec<Arc<dyn BackendFactory>>,
    absent: Vec<Absent>,
}

#[derive(Clone, Debug)]
struct Absent {
    feature: &'static str,
    fits: fn(&Location) -> bool,
}

impl Backends {
    /// Adds a kind of backend.
    #[must_use]
    pub fn with(mut self, factory: impl BackendFactory + 'static) -> Self {
        self.factories.push(Arc::new(factory));
        self
    }

    /// Notes a kind of backend that this program lacks. The error for its locations names the feature that adds it.
    #[must_use]
    pub fn without(mut self, feature: &'static str, fits: fn(&Location) -> bool) -> Self {
        self.absent.push(Absent { feature, fits });
        self
    }

    /// Lists the kinds of backend in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = &dyn BackendFactory> {
        self.factories.iter().map(AsRef::as_ref)
    }

    /// Lists the features of the kinds that this program lacks.
    pub fn absent_features(&self) -> impl Iterator<Item = &'static str> {
        self.absent.iter().map(|absent| absent.feature)
    }

    /// Tells whether a backend serves the location without being asked for by name.
    pub fn serves(&self, location: &Location) -> bool {
        self.best(location).is_some()
    }

    /// Opens the repository at the location with the backend that fits best; among equals, the one added first.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](ErrorKind::Unsupported) if no backend fits: the error names the backends of this program and the
    /// feature that adds the missing one. The errors of the backend.
    pub async fn open(&self, location: &Location, options: &OpenOptions) -> Result<Box<dyn RegistryBackend>> {
        match self.best(location) {
            Some(factory) => factory.open(location, options).await,
            None => Err(self.no_backend(location)),
        }
    }

    /// Opens the repository with the backend of this name, even if another fits better.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](ErrorKind::Unsupported) if no backend has this name, or it cannot serve the location.
    pub async fn open_with(
        &self,
        name: &str,
        location: &Location,
        options: &OpenOptions,
    ) -> Result<Box<dyn RegistryBackend>> {
        match self.iter().find(|factory| factory.name() == name) {
            Some(factory) if factory.fit(location) > Fit::No => factory.open(location, options).await,
            Some(_) => Err(self.other_backend(name, location)),
            None => Err(self.no_backend(location)),
        }
    }

    fn best(&self, location: &Location) -> Option<&dyn BackendFactory> {
        // `max_by_key` prefers the last among equals, hence the reversal.
        let best = self.factories.iter().rev().max_by_key(|factory| factory.fit(location))?;
        (best.fit(location) > Fit::OnRequest).then_some(best.as_ref())
    }

    /// Returns the error for a backend that does not serve the location.
    fn other_backend(&self, name: &str, location: &Location) -> Error {
        let fits = self.iter().filter(|factory| factory.fit(location) > Fit::No);
        let fits: Vec<&str> = fits.map(BackendFactory::name).collect();
        if fits.is_empty() {
            return self.no_backend(location);
        }
        let reason = format!("the backend {name} does not serve it; choose {}", fits.join(" or "));
        Error::new(ErrorKind::Unsupported, "open", location).because(reason)
    }

    fn no_backend(&self, location: &Location) -> Error {
        let mut names: Vec<_> = self.iter().map(BackendFactory::name).collect();
        if names.is_empty() {
            names.push("none");
        }
        let mut reason = format!("no backend of this program serves it (it has {})", names.join(", "));
        if let Some(absent) = self.absent.iter().find(|absent| (absent.fits)(location)) {
            reason += &format!("; build with `--features {}` to add one", absent.feature);
        }
        Error::new(ErrorKind::Unsupported, "open", location).because(reason)
    }
}
