//! One repository of a registry: its requests, and the knowledge about its blobs.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use http_transfer::{Method, Url};
use oci_model::{Digest, RepositoryName};
use registry_backend::{Access, Result};

use crate::auth::Scopes;
use crate::context::Context;
use crate::profile::Profile;
use crate::registry::{Call, Registry};
use crate::vendor::{ManifestDeleter, TagLister};

/// A repository of a registry. Clones share their knowledge about it.
#[derive(Clone)]
pub struct Repository {
    registry: Registry,
    name: RepositoryName,
    access: Access,
    deleter: Option<Arc<dyn ManifestDeleter>>,
    lister: Option<Arc<dyn TagLister>>,
    known: Arc<Mutex<HashSet<Digest>>>,
}

/// The purpose of a request, which decides the rights that its token needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doing {
    Read,
    Write,
    Delete,
}

/// The most blobs that are remembered to be there.
const MOST_KNOWN: usize = 100_000;

impl Registry {
    /// Returns a repository of the registry.
    pub fn repository(&self, name: RepositoryName, access: Access) -> Repository {
        Repository {
            registry: self.clone(),
            name,
            access,
            deleter: None,
            lister: None,
            known: Arc::default(),
        }
    }
}

impl Repository {
    /// Returns the repository with the vendor's own way to delete manifests.
    #[must_use]
    pub fn with_deleter(mut self, deleter: Arc<dyn ManifestDeleter>) -> Self {
        self.deleter = Some(deleter);
        self
    }

    /// Returns the repository with the vendor's list of tags with digests.
    #[must_use]
    pub fn with_lister(mut self, lister: Arc<dyn TagLister>) -> Self {
        self.lister = Some(lister);
        self
    }

    /// Returns the registry.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Returns the name.
    pub fn name(&self) -> &RepositoryName {
        &self.name
    }

    pub(crate) fn deleter(&self) -> Option<&dyn ManifestDeleter> {
        self.deleter.as_deref()
    }

    pub(crate) fn lister(&self) -> Option<Arc<dyn TagLister>> {
        self.lister.clone()
    }

    pub(crate) fn profile(&self) -> &Profile {
        self.registry.profile()
    }

    pub(crate) fn context(&self, operation: &'static str, target: impl fmt::Display) -> Context {
        Context::new(operation, format_args!("{target} in {self}"))
    }

    /// Returns the URL of something in the repository: `blobs/…`, `manifests/…`.
    pub(crate) fn url(&self, path: fmt::Arguments<'_>, context: &Context) -> Result<Url> {
        self.registry.url(&format!("{}/{path}", self.name), context)
    }

    /// Returns a request for something in the repository.
    pub(crate) fn call(
        &self,
        method: Method,
        path: fmt::Arguments<'_>,
        doing: Doing,
        context: &Context,
    ) -> Result<Call> {
        Ok(Call::new(method, self.url(path, context)?, self.scopes(doing)))
    }

    pub(crate) fn scopes(&self, doing: Doing) -> Scopes {
        let actions = match (doing, self.access) {
            // Quay creates a repository when it gives a token for `push` (endpoints/v2/v2auth.py:403): looking asks for less.
            (Doing::Read, Access::Read | Access::Modify) => "pull",
            // One token serves a whole push. A registry gives fewer rights to a caller who has fewer.
            (Doing::Read | Doing::Write, _) => "pull,push",
            (Doing::Delete, _) => self.profile().delete_actions,
        };
        Scopes::repository(&self.name, actions)
    }

    /// Notes that a blob is there.
    pub(crate) fn remember(&self, digest: &Digest) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_KNOWN {
            known.clear();
        }
        known.insert(digest.clone());
    }

    /// Takes it back.
    pub(crate) fn forget(&self, digest: &Digest) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(digest);
    }

    pub(crate) fn remembers(&self, digest: &Digest) -> bool {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).contains(digest)
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.registry.host(), self.name)
    }
}

impl fmt::Debug for Repository {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Repository")
            .field("registry", &self.registry)
            .field("name", &self.name)
            .field("access", &self.access)
            .finish_non_exhaustive()
    }
}
