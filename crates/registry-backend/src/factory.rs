//! Choosing and opening the backend for a location.

use std::fmt;

use async_trait::async_trait;
use oci_model::Location;

use crate::{Error, ErrorKind, RegistryBackend, Result};

/// Opens the backends of one kind.
#[async_trait]
pub trait BackendFactory: fmt::Debug + Send + Sync {
    /// Returns the name, which is also that of the crate and its feature without the `backend-` in front.
    fn name(&self) -> &'static str;

    /// Returns one line for people: which locations it is for.
    fn about(&self) -> &'static str;

    /// Tells how well it fits a location.
    fn fit(&self, location: &Location) -> Fit;

    /// Opens the repository at the location.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) if it is to be read and is not there; whatever keeps it from being used.
    async fn open(&self, location: &Location, options: &OpenOptions) -> Result<Box<dyn RegistryBackend>>;
}

/// How well a backend fits a location.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fit {
    /// Not at all.
    No,
    /// It can serve it, if nothing fits better.
    General,
    /// It is made for it.
    Exact,
}

/// How a repository is opened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OpenOptions {
    /// What is going to be done with it.
    pub access: Access,
}

/// What is going to be done with a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Only reading; the repository has to be there.
    Read,
    /// Reading and writing; the repository has to be there.
    Modify,
    /// Writing; the repository is made if it is not there.
    Create,
}

impl OpenOptions {
    /// Returns options for this access.
    pub fn new(access: Access) -> Self {
        Self { access }
    }
}

/// The backends that a program has: a value built by its `main`, in which anyone can put their own.
#[derive(Debug, Default)]
pub struct Backends {
    factories: Vec<Box<dyn BackendFactory>>,
    absent: Vec<Absent>,
}

#[derive(Debug)]
struct Absent {
    feature: &'static str,
    fits: fn(&Location) -> bool,
}

impl Backends {
    /// Adds a kind of backend.
    #[must_use]
    pub fn with(mut self, factory: impl BackendFactory + 'static) -> Self {
        self.factories.push(Box::new(factory));
        self
    }

    /// Notes a kind of backend that this program was built without, for the error to name the feature that adds it.
    #[must_use]
    pub fn without(mut self, feature: &'static str, fits: fn(&Location) -> bool) -> Self {
        self.absent.push(Absent { feature, fits });
        self
    }

    /// Lists the kinds of backend in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = &dyn BackendFactory> {
        self.factories.iter().map(AsRef::as_ref)
    }

    /// Lists the features of the kinds that this program was built without.
    pub fn absent_features(&self) -> impl Iterator<Item = &'static str> {
        self.absent.iter().map(|absent| absent.feature)
    }

    /// Opens the repository at the location with the backend that fits best; among equals, the one added first.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](ErrorKind::Unsupported) if no backend fits, naming those there are and the feature that would
    /// add one; what the backend returns.
    pub async fn open(&self, location: &Location, options: &OpenOptions) -> Result<Box<dyn RegistryBackend>> {
        match self.best(location) {
            Some(factory) => factory.open(location, options).await,
            None => Err(self.no_backend(location)),
        }
    }

    /// Opens the repository with the backend of this name, whatever fits best.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](ErrorKind::Unsupported) if there is none of this name or it cannot serve the location.
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
        (best.fit(location) > Fit::No).then_some(best.as_ref())
    }

    /// Returns the error of a backend that was chosen for a location which it does not serve.
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
        let mut reason = format!("no backend of this program serves it (there are: {})", names.join(", "));
        if let Some(absent) = self.absent.iter().find(|absent| (absent.fits)(location)) {
            reason += &format!("; build with `--features {}` to add one", absent.feature);
        }
        Error::new(ErrorKind::Unsupported, "open", location).because(reason)
    }
}
