//! The store behind a gateway: the catalogue says where content is, the repositories have it.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use d1_catalog::{BlobPiece, Catalog, CatalogFile, CatalogObject, CatalogPackage, DocumentPlace};
use d1_transfer::parts::run_blocking;
use d1_transfer::{ByteRange, open_package, read_file};
use oci_model::ManifestRef;
use registry_backend::{ErrorKind, RegistryBackend, Retry};

use crate::answer::{Kind, Refused};
use crate::cache::Cache;
use crate::content::{self, ContentError, ContentStream, Reader, Wanted};
use crate::event::{Event, Observer};
use crate::metrics::Metrics;

/// The largest content that is kept in memory, in bytes. It is also verified before its first byte is sent.
pub(crate) const LARGEST_CACHED: u64 = 1 << 20;

/// The largest document that is read into memory, in bytes: system metadata, metadata.
pub(crate) const LARGEST_DOCUMENT: u64 = 16 << 20;

/// The repositories and their catalogue.
pub(crate) struct Store {
    pub(crate) catalog: Arc<Catalog>,
    /// By the name that the catalogue uses.
    pub(crate) repositories: HashMap<String, Arc<dyn RegistryBackend>>,
    pub(crate) reader: Reader,
    pub(crate) cache: Cache,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) reporter: Reporter,
}

/// Tells the operator about failures, and the client as much as it may know.
#[derive(Clone)]
pub(crate) struct Reporter {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) observer: Arc<dyn Observer>,
}

impl Store {
    /// Asks the catalogue, in a thread that may block.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Catalog) -> d1_catalog::Result<T> + Send + 'static,
    ) -> Result<T, Refused> {
        let catalog = Arc::clone(&self.catalog);
        run_blocking(move || question(&catalog)).await.map_err(|error| self.reporter.catalog_failed(&error))
    }

    /// Returns a public object by its PID or SID.
    ///
    /// # Errors
    ///
    /// `NotFound` if the repositories do not have it, `NotAuthorized` if it is not public.
    pub(crate) async fn object(&self, identifier: &str) -> Result<CatalogObject, Refused> {
        let wanted = identifier.to_owned();
        let found = self.ask(move |catalog| catalog.object(&wanted)).await?;
        match found {
            None => Err(no_object(identifier)),
            Some(object) if object.is_public() => Ok(object),
            Some(_) => Err(not_public(identifier)),
        }
    }

    /// Returns whether everybody may read a file of a package.
    ///
    /// Public objects are readable everywhere. Other files, such as manifests, tell names and checksums of all objects:
    /// they are readable if all objects are public, or if the package has no system metadata at all.
    pub(crate) async fn may_read(
        &self,
        package: &CatalogPackage,
        file: &CatalogFile,
    ) -> Result<bool, Refused> {
        if !package.has_system_metadata || package.is_public {
            return Ok(true);
        }
        let Some(pid) = file.pid.clone() else { return Ok(false) };
        let object = self.ask(move |catalog| catalog.object_by_pid(&pid)).await?;
        Ok(object.is_some_and(|object| object.is_public()))
    }

    /// Starts reading a range of a file.
    pub(crate) async fn read(&self, file: &CatalogFile, range: Range<u64>) -> Result<ContentStream, Refused> {
        self.read_of(file, range, None).await
    }

    /// Starts reading one of many files. `pieces` are those of the whole file, if they are known.
    pub(crate) async fn read_of(
        &self,
        file: &CatalogFile,
        range: Range<u64>,
        pieces: Option<Vec<BlobPiece>>,
    ) -> Result<ContentStream, Refused> {
        let whole = range == (0..file.size);
        if range.is_empty() {
            return Ok(content::in_memory(Bytes::new()));
        }
        if let (Some(sha256), true) = (file.sha256(), file.size <= LARGEST_CACHED) {
            let bytes = self.small(file, sha256, pieces).await?;
            return Ok(content::in_memory(content::slice(&bytes, &range)));
        }
        let stream = match self.wanted(file, range.clone(), pieces.filter(|_| whole)).await {
            Ok(Some(wanted)) => self.reader.read(wanted).await,
            Ok(None) => self.search(file, range).await,
            Err(error) => Err(error),
        };
        stream.map_err(|error| self.content_failed(&error))
    }

    /// Starts reading a whole file from its repository, whether or not it is in memory.
    pub(crate) async fn read_again(&self, file: &CatalogFile) -> Result<ContentStream, Refused> {
        let stream = match self.wanted(file, 0..file.size, None).await {
            Ok(Some(wanted)) => self.reader.without_copies().read(wanted).await,
            Ok(None) => self.search(file, 0..file.size).await,
            Err(error) => Err(error),
        };
        stream.map_err(|error| self.content_failed(&error))
    }

    /// Returns a whole file of at most [`LARGEST_DOCUMENT`] bytes, verified.
    pub(crate) async fn read_document(&self, file: &CatalogFile) -> Result<Bytes, Refused> {
        if file.size > LARGEST_DOCUMENT {
            return Err(Refused::new(Kind::ServiceFailure, "the stored document is too large"));
        }
        let mut stream = self.read(file, 0..file.size).await?;
        let mut bytes = Vec::new();
        while let Some(chunk) = stream.recv().await {
            bytes.extend_from_slice(&chunk.map_err(|error| self.content_failed(&error))?);
        }
        Ok(bytes.into())
    }

    /// Returns the system metadata document of an object, as it is stored.
    pub(crate) async fn system_metadata(&self, object: &CatalogObject) -> Result<Bytes, Refused> {
        match &object.system_metadata_place {
            None => Err(Refused::not_found("the object has no system metadata").about(&object.pid)),
            Some(DocumentPlace::File(file)) => self.read_document(file).await,
            Some(DocumentPlace::Referrer { repository, blob, size, .. }) => {
                if *size > LARGEST_DOCUMENT {
                    return Err(Refused::new(Kind::ServiceFailure, "the stored document is too large"));
                }
                let load = async {
                    let backend = self.backend(repository)?;
                    let piece = d1_catalog::BlobPiece {
                        blob: blob.clone(),
                        blob_size: *size,
                        range: 0..*size,
                        encoding: d1_package::PieceEncoding::Raw,
                        decoded: *size,
                    };
                    let sha256 = blob.sha256_bytes();
                    let pieces = vec![piece];
                    let wanted = Wanted { backend, pieces, length: *size, sha256, is_one_of_many: false };
                    self.reader.read_all(wanted).await
                };
                let read = match blob.sha256_bytes() {
                    Some(sha256) => self.cache.get_or_load(sha256, load).await,
                    None => load.await,
                };
                read.map_err(|error| self.content_failed(&error))
            }
            Some(_) => Err(Refused::new(Kind::ServiceFailure, "the system metadata cannot be read")),
        }
    }

    /// Returns small content, from memory if it is there.
    async fn small(
        &self,
        file: &CatalogFile,
        sha256: [u8; 32],
        pieces: Option<Vec<BlobPiece>>,
    ) -> Result<Bytes, Refused> {
        if let Some(bytes) = self.cache.get(&sha256) {
            self.metrics.cache_hits.add(1);
            return Ok(bytes);
        }
        self.metrics.cache_misses.add(1);
        let load = async {
            match self.wanted(file, 0..file.size, pieces).await? {
                Some(wanted) => self.reader.read_all(wanted).await,
                None => {
                    let mut stream = self.search(file, 0..file.size).await?;
                    let mut bytes = Vec::new();
                    while let Some(chunk) = stream.recv().await {
                        bytes.extend_from_slice(&chunk?);
                    }
                    Ok(bytes.into())
                }
            }
        };
        self.cache.get_or_load(sha256, load).await.map_err(|error| self.content_failed(&error))
    }

    fn backend(&self, name: &str) -> Result<Arc<dyn RegistryBackend>, ContentError> {
        let known = self.repositories.get(name).map(Arc::clone);
        known.ok_or_else(|| ContentError::UnknownRepository(name.to_owned()))
    }

    /// Returns the pieces to read, or `None` if only a search of the package's archives finds the file.
    async fn wanted(
        &self,
        file: &CatalogFile,
        range: Range<u64>,
        known: Option<Vec<BlobPiece>>,
    ) -> Result<Option<Wanted>, ContentError> {
        let backend = self.backend(&file.repository)?;
        let length = range.end - range.start;
        let sha256 = file.sha256().filter(|_| range == (0..file.size));
        let is_one_of_many = known.is_some();
        let pieces = match known {
            Some(pieces) => Ok(pieces),
            None => {
                let (catalog, wanted) = (Arc::clone(&self.catalog), file.clone());
                run_blocking(move || catalog.pieces(&wanted, Some(range))).await
            }
        };
        match pieces {
            Ok(pieces) => Ok(Some(Wanted { backend, pieces, length, sha256, is_one_of_many })),
            Err(d1_catalog::Error::NeedsPackage { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads a file of archives without an index: the archives are streamed until the file comes.
    async fn search(&self, file: &CatalogFile, range: Range<u64>) -> Result<ContentStream, ContentError> {
        let backend = self.backend(&file.repository)?;
        let place = self.reader.streamed().await?;
        let package = open_package(&*backend, &ManifestRef::Digest(file.manifest.clone())).await?;
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        let path = file.path.clone();
        self.metrics.store_bytes.add(range.end - range.start);
        tokio::spawn(async move {
            let _place = place;
            let range = ByteRange { start: range.start, end: Some(range.end) };
            let output = content::ChunkWriter(sender.clone());
            if let Err(error) = read_file(&*backend, &package, &path, Some(range), output).await {
                let _ = sender.send(Err(error.into())).await;
            }
        });
        Ok(receiver)
    }

    /// Returns the refusal for failed content.
    pub(crate) fn content_failed(&self, error: &ContentError) -> Refused {
        self.reporter.content_failed(error)
    }
}

impl Reporter {
    /// Tells the operator about failed content, and returns the refusal for the client.
    pub(crate) fn content_failed(&self, error: &ContentError) -> Refused {
        self.metrics.store_failures.add(1);
        self.observer.event(&Event::Warning(&d1_transfer::with_causes(error)));
        let store = match error {
            ContentError::Store(error) => Some(error),
            ContentError::Transfer(d1_transfer::Error::Backend(error)) => Some(error),
            ContentError::Catalog(error) if error.is_busy() => return unavailable(None),
            ContentError::Busy => return unavailable(None),
            _ => None,
        };
        match store.map(|error| (error.kind(), error.retry())) {
            Some((ErrorKind::Unavailable | ErrorKind::RateLimited | ErrorKind::Denied, retry)) => {
                unavailable(Some(retry))
            }
            // The catalogue is older than the store: the package was deleted since.
            Some((ErrorKind::NotFound, _)) => Refused::not_found("the content is no longer stored"),
            _ => Refused::new(Kind::ServiceFailure, "the stored content cannot be read"),
        }
    }

    fn catalog_failed(&self, error: &d1_catalog::Error) -> Refused {
        self.metrics.store_failures.add(1);
        self.observer.event(&Event::Warning(&d1_transfer::with_causes(error)));
        match error.is_busy() {
            true => unavailable(None),
            false => Refused::new(Kind::ServiceFailure, "the catalogue cannot be read"),
        }
    }
}

fn unavailable(retry: Option<Retry>) -> Refused {
    let mut refused = Refused::new(Kind::Unavailable, "the store is out of reach at the moment");
    if let Some(Retry::After(wait)) = retry {
        refused.retry_seconds = wait.as_secs().clamp(1, 3600);
    }
    refused
}

/// Returns the refusal for an identifier that is not known.
pub(crate) fn no_object(identifier: &str) -> Refused {
    Refused::not_found("no object here has this identifier; a Coordinating Node can resolve it")
        .about(identifier)
}

/// Returns the refusal for content that is not public.
pub(crate) fn not_public(identifier: &str) -> Refused {
    Refused::new(Kind::NotAuthorized, "the object is not public").about(identifier)
}
