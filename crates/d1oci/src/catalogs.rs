//! The catalogue of a repository: its file, its name for the repository, and whether a command uses it.

use std::path::{Path, PathBuf};

use d1_catalog::{Catalog, Error};
use oci_model::{Digest, Location};
use registry_backend::RegistryBackend;

use crate::environment::Environment;
use crate::failure::Failure;
use crate::output::Printer;

/// Options about the catalogue.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct CatalogOptions {
    /// File of the catalogue, for any number of repositories [default: a file for each repository in the cache directory].
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        conflicts_with = "no_catalog",
        help_heading = "Global options"
    )]
    pub(crate) catalog: Option<PathBuf>,
    /// Search the repository itself, even if there is a catalogue of it.
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) no_catalog: bool,
}

/// A catalogue, and the name of a repository in it.
pub(crate) struct OpenCatalog {
    pub(crate) catalog: Catalog,
    pub(crate) name: String,
}

/// The longest readable part of a file name.
const LONGEST_READABLE: usize = 80;

/// Returns the directory of the catalogues that have no file of their own choice.
pub(crate) fn cache_directory() -> Option<PathBuf> {
    Environment::of_process().below_cache_home("d1oci/catalogs")
}

/// Returns the name of a repository in catalogues: the same from every working directory.
pub(crate) fn repository_name(location: &Location) -> String {
    match location {
        Location::Directory(path) => {
            let path = std::fs::canonicalize(path).or_else(|_| std::path::absolute(path));
            path.map_or_else(|_| location.to_string(), |path| format!("oci:{}", path.display()))
        }
        other => other.to_string(),
    }
}

impl CatalogOptions {
    /// Returns the path of a repository's catalogue.
    pub(crate) fn path(&self, name: &str) -> Result<PathBuf, Failure> {
        if let Some(path) = &self.catalog {
            return Ok(path.clone());
        }
        let directory = cache_directory().ok_or_else(|| {
            Failure::usage("cannot find the cache directory: neither XDG_CACHE_HOME nor HOME is set")
                .with_hint("name a file with `--catalog`")
        })?;
        let readable: String =
            name.chars()
                .map(|character| {
                    if character.is_ascii_alphanumeric() || "-.".contains(character) {
                        character
                    } else {
                        '_'
                    }
                })
                .collect();
        let start = readable.len().saturating_sub(LONGEST_READABLE);
        let digest = Digest::sha256_of(name.as_bytes());
        let readable = readable.get(start..).unwrap_or_default();
        let hash = digest.encoded().get(..16).unwrap_or_default();
        Ok(directory.join(format!("{readable}-{hash}.sqlite3")))
    }

    /// Opens the catalogue of a repository if it exists and holds the repository. One that cannot be used is a warning, unless
    /// the user named it.
    pub(crate) fn existing(
        &self,
        location: &Location,
        printer: Printer,
    ) -> Result<Option<OpenCatalog>, Failure> {
        if self.no_catalog {
            return Ok(None);
        }
        let name = repository_name(location);
        let Ok(path) = self.path(&name) else { return Ok(None) };
        let opened = Catalog::open_existing(&path).and_then(|catalog| match catalog {
            Some(catalog) => Ok(catalog.contains(&name)?.then_some(catalog)),
            None => Ok(None),
        });
        match opened {
            Ok(catalog) => Ok(catalog.map(|catalog| OpenCatalog { catalog, name })),
            Err(error) if self.catalog.is_none() => {
                printer
                    .warning(format_args!("the catalogue is not used: {}", d1_transfer::with_causes(&error)));
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Opens the catalogue of a repository, and makes one if there is none: from the one that the repository publishes,
    /// if `published` allows it. A damaged file in the cache directory is replaced.
    pub(crate) async fn open_or_create(
        &self,
        location: &Location,
        backend: &dyn RegistryBackend,
        published: bool,
        printer: Printer,
    ) -> Result<OpenCatalog, Failure> {
        if self.no_catalog {
            return Err(Failure::usage("this needs a catalogue, but `--no-catalog` forbids it"));
        }
        let name = repository_name(location);
        let path = self.path(&name)?;
        let is_own = self.catalog.is_none();
        if is_own && let Some(parent) = path.parent() {
            crate::files::make_private_directory(parent)
                .map_err(|error| Failure::file("create", parent, error))?;
        }
        if published {
            match Catalog::start_from_published(&path, backend, &name).await {
                Ok(true) => printer.status("started from the catalogue that the repository publishes"),
                Ok(false) => {}
                Err(error @ Error::Published { .. }) => printer.warning(error),
                Err(error) => return Err(error.into()),
            }
        }
        let catalog = match Catalog::open(&path) {
            Err(error @ (Error::Damaged { .. } | Error::NotACatalog { .. })) if is_own => {
                printer.warning(format_args!("{error}: it is built again"));
                remove(&path)?;
                Catalog::open(&path)?
            }
            opened => opened?,
        };
        Ok(OpenCatalog { catalog, name })
    }
}

/// Removes the file of a catalogue.
pub(crate) fn remove(path: &Path) -> Result<(), Failure> {
    Catalog::delete(path).map_err(|error| Failure::file("remove", path, error))
}
