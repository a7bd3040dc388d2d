//! The value of a fixture: a backend bound to an empty repository, and the features that its store lacks.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use registry_backend::RegistryBackend;

/// A backend bound to a repository that has nothing in it, and whatever has to live as long.
pub struct EmptyRepository {
    backend: Arc<dyn RegistryBackend>,
    second: Option<Arc<dyn RegistryBackend>>,
    lacks: Vec<Need>,
    keep: Vec<Box<dyn Any + Send + Sync>>,
}

/// A feature of the store that a check needs beyond the plain contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Need {
    /// `capabilities().range_reads`.
    RangeReads,
    /// `capabilities().max_blob_bytes` states a limit.
    BlobLimit,
    /// `admin()` is there, and deletes manifests.
    DeleteManifest,
    /// `admin()` is there, and deletes tags.
    DeleteTag,
    /// `admin().pruner()` is there.
    Pruner,
    /// The store takes SHA-512 digests, which an implementation may (image-spec descriptor.md, "SHA-512").
    Sha512,
    /// `capabilities().keeps_moved_digests`.
    KeptDigests,
    /// `admin()` is there, and `capabilities().deletes_referrers`.
    DeleteReferrers,
    /// The fixture supplies a second value bound to the same repository.
    SecondValue,
}

impl EmptyRepository {
    /// Takes a backend bound to an empty repository.
    pub fn new(backend: impl RegistryBackend + 'static) -> Self {
        Self::shared(Arc::new(backend))
    }

    /// Takes a shared backend bound to an empty repository.
    pub fn shared(backend: Arc<dyn RegistryBackend>) -> Self {
        Self { backend, second: None, lacks: Vec::new(), keep: Vec::new() }
    }

    /// Adds a second value bound to the same repository, as another process would have.
    #[must_use]
    pub fn with_second(mut self, backend: impl RegistryBackend + 'static) -> Self {
        self.second = Some(Arc::new(backend));
        self
    }

    /// Declares what the store behind the backend lacks though the backend does not say so.
    #[must_use]
    pub fn lacking(mut self, needs: &[Need]) -> Self {
        self.lacks.extend_from_slice(needs);
        self
    }

    /// Keeps a value, such as a temporary directory or a server, alive as long as the repository.
    #[must_use]
    pub fn keeping(mut self, value: impl Any + Send + Sync) -> Self {
        self.keep.push(Box::new(value));
        self
    }

    /// Returns the repository with its backend replaced, to put a wrapper around it.
    #[must_use]
    pub fn wrapped<B: RegistryBackend + 'static>(
        mut self,
        wrap: impl Fn(Arc<dyn RegistryBackend>) -> B,
    ) -> Self {
        self.backend = Arc::new(wrap(self.backend));
        self.second = self.second.map(|second| Arc::new(wrap(second)) as Arc<dyn RegistryBackend>);
        self
    }

    /// Returns the backend.
    pub fn backend(&self) -> &Arc<dyn RegistryBackend> {
        &self.backend
    }

    /// Returns the second value bound to the same repository, if there is one.
    pub fn second(&self) -> Option<&Arc<dyn RegistryBackend>> {
        self.second.as_ref()
    }

    /// Tells whether the store offers this.
    pub fn offers(&self, need: Need) -> bool {
        let backend = &self.backend;
        let offered = match need {
            Need::RangeReads => backend.capabilities().range_reads,
            Need::BlobLimit => backend.capabilities().max_blob_bytes.is_some(),
            Need::DeleteManifest | Need::DeleteTag => backend.admin().is_some(),
            Need::Pruner => backend.admin().is_some_and(|admin| admin.pruner().is_some()),
            Need::KeptDigests => backend.capabilities().keeps_moved_digests,
            Need::DeleteReferrers => backend.admin().is_some() && backend.capabilities().deletes_referrers,
            Need::Sha512 => true,
            Need::SecondValue => self.second.is_some(),
        };
        offered && !self.lacks.contains(&need)
    }
}

impl fmt::Debug for EmptyRepository {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { backend, second, lacks, keep } = self;
        formatter
            .debug_struct("EmptyRepository")
            .field("backend", backend)
            .field("second", second)
            .field("lacks", lacks)
            .field("keep", &keep.len())
            .finish()
    }
}

impl fmt::Display for Need {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::RangeReads => "range reads",
            Self::BlobLimit => "a limit for blobs",
            Self::DeleteManifest => "deleting manifests",
            Self::DeleteTag => "deleting tags",
            Self::Pruner => "pruning",
            Self::Sha512 => "SHA-512 digests",
            Self::KeptDigests => "manifests whose tag has moved",
            Self::DeleteReferrers => "deleting manifests with a subject",
            Self::SecondValue => "a second value bound to the repository",
        })
    }
}
