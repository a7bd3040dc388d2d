//! The shelf, and the factory that opens it.

use std::fmt;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use oci_model::{
    Descriptor, Digest, DigestHasher, Location, Manifest, ManifestRef, MediaType, RawManifest, Tag,
};
use registry_backend::{
    Access, BackendFactory, BlobRead, BlobSource, Capabilities, Error, ErrorKind, Fit, OpenOptions, Pruner,
    RegistryBackend, RepositoryAdmin, Result, TagEntry, WriteHint, Written,
};

/// One repository: the directories `blobs`, `manifests` and `tags`, with a file for each.
#[derive(Debug)]
pub struct Shelf {
    directory: PathBuf,
    capabilities: Capabilities,
    /// One writer at a time: a manifest and its tag belong together.
    writing: Mutex<()>,
}

impl Shelf {
    /// Opens a shelf.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) if the access needs a shelf that does not exist; the errors of the file system.
    pub fn open(directory: &Path, access: Access) -> Result<Self> {
        let failed = |error| Error::io("open", directory.display(), error);
        if access == Access::Create {
            for name in ["blobs", "manifests", "tags"] {
                fs::create_dir_all(directory.join(name)).map_err(failed)?;
            }
        } else if !directory.join("blobs").is_dir() {
            return Err(Error::new(ErrorKind::NotFound, "open", directory.display()));
        }
        let capabilities = Capabilities::default();
        Ok(Self { directory: directory.to_owned(), capabilities, writing: Mutex::default() })
    }

    fn blob(&self, digest: &Digest) -> PathBuf {
        self.directory.join("blobs").join(file_name(digest))
    }

    fn manifest(&self, digest: &Digest) -> PathBuf {
        self.directory.join("manifests").join(file_name(digest))
    }

    fn tag(&self, tag: &Tag) -> PathBuf {
        self.directory.join("tags").join(tag.as_str())
    }

    /// Returns the digest that a reference means, if it exists.
    fn resolve(&self, at: &ManifestRef) -> Result<Option<Digest>> {
        let tag = match at {
            ManifestRef::Digest(digest) => return Ok(Some(digest.clone())),
            ManifestRef::Tag(tag) => tag,
        };
        let invalid = |error| Error::new(ErrorKind::Invalid, "read tag", tag).caused_by(error);
        match read(&self.tag(tag), "read tag", tag)? {
            None => Ok(None),
            Some(bytes) => String::from_utf8_lossy(&bytes).parse().map(Some).map_err(invalid),
        }
    }

    fn find(&self, at: &ManifestRef) -> Result<Option<RawManifest>> {
        let Some(digest) = self.resolve(at)? else { return Ok(None) };
        self.load(&digest)
    }

    /// Reads a manifest: its media type on the first line, then its bytes.
    fn load(&self, digest: &Digest) -> Result<Option<RawManifest>> {
        let Some(bytes) = read(&self.manifest(digest), "read manifest", digest)? else { return Ok(None) };
        let invalid = || Error::new(ErrorKind::Invalid, "read manifest", digest);
        let end = bytes.iter().position(|byte| *byte == b'\n').ok_or_else(invalid)?;
        let media_type = String::from_utf8_lossy(&bytes[..end]).parse::<MediaType>();
        let media_type = media_type.map_err(|error| invalid().caused_by(error))?;
        let verified = RawManifest::verified(bytes[end + 1..].to_vec(), media_type, digest);
        verified.map(Some).map_err(|error| invalid().caused_by(error))
    }

    /// Returns the first blob or child of a manifest that the shelf lacks.
    fn missing(&self, manifest: &Manifest) -> Option<Digest> {
        let blobs = manifest.blobs().into_iter().filter(|blob| !self.blob(&blob.digest).exists());
        let children = manifest.children().iter().filter(|child| !self.manifest(&child.digest).exists());
        blobs.chain(children).map(|missing| missing.digest.clone()).next()
    }

    /// Returns the names of all files in one of the three directories.
    fn names(&self, of: &'static str) -> Result<Vec<String>> {
        let failed = |error| Error::io("list", of, error);
        let entries = fs::read_dir(self.directory.join(of)).map_err(failed)?;
        let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        let mut names = names.collect::<io::Result<Vec<_>>>().map_err(failed)?;
        names.sort();
        Ok(names)
    }

    fn list_referrers(&self, subject: &Digest, kind: Option<&MediaType>) -> Result<Vec<Descriptor>> {
        let mut found = Vec::new();
        for name in self.names("manifests")? {
            let Ok(digest) = name.replacen('-', ":", 1).parse::<Digest>() else { continue };
            let Some(raw) = self.load(&digest)? else { continue };
            let Ok(manifest) = raw.parse() else { continue };
            let own = manifest.effective_artifact_type();
            let refers = manifest.subject().is_some_and(|descriptor| descriptor.digest == *subject);
            if refers && (kind.is_none() || own == kind) {
                let mut descriptor = raw.descriptor();
                descriptor.artifact_type = own.cloned();
                descriptor.annotations = manifest.annotations().clone();
                found.push(descriptor);
            }
        }
        Ok(found)
    }
}

#[async_trait]
impl RegistryBackend for Shelf {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn stat_blob(&self, digest: &Digest) -> Result<Option<u64>> {
        match fs::metadata(self.blob(digest)) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("look up blob", digest, error)),
        }
    }

    async fn read_blob(&self, digest: &Digest, range: Option<Range<u64>>) -> Result<BlobRead> {
        let bytes = read(&self.blob(digest), "read blob", digest)?;
        let bytes = bytes.ok_or_else(|| Error::new(ErrorKind::NotFound, "read blob", digest))?;
        let blob_size = bytes.len() as u64;
        let range = range.unwrap_or(0..blob_size);
        let part = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
        let part = part.filter(|(start, end)| start <= end && *end <= bytes.len());
        let (start, end) = part.ok_or_else(|| {
            Error::new(ErrorKind::Invalid, "read blob", digest)
                .because(format!("expected a range in {blob_size} bytes, found {range:?}"))
        })?;
        let stream = stream::iter([Ok(Bytes::from(bytes).slice(start..end))]).boxed();
        Ok(BlobRead { range, blob_size, stream })
    }

    async fn write_blob(&self, blob: &dyn BlobSource, _hint: &WriteHint) -> Result<Written> {
        let digest = blob.digest();
        let invalid = |reason: String| Error::new(ErrorKind::Invalid, "write blob", digest).because(reason);
        if self.stat_blob(digest).await?.is_some() {
            return Ok(Written::AlreadyThere);
        }
        let hasher = DigestHasher::matching(digest);
        let mut hasher = hasher.ok_or_else(|| Error::new(ErrorKind::Unsupported, "write blob", digest))?;
        let (mut bytes, mut stream) = (Vec::new(), blob.open(0).await?);
        while let Some(chunk) = stream.try_next().await? {
            hasher.update(&chunk);
            bytes.extend_from_slice(&chunk);
            if bytes.len() as u64 > blob.size() {
                return Err(invalid(format!("expected {} bytes, found more", blob.size())));
            }
        }
        if bytes.len() as u64 != blob.size() {
            return Err(invalid(format!("expected {} bytes, found {}", blob.size(), bytes.len())));
        }
        let actual = hasher.finish();
        if actual != *digest {
            return Err(invalid(format!("expected {digest}, found {actual}")));
        }
        write(&self.blob(digest), &bytes, "write blob", digest)?;
        Ok(Written::Uploaded)
    }

    async fn stat_manifest(&self, at: &ManifestRef) -> Result<Option<Descriptor>> {
        Ok(self.find(at)?.map(|raw| raw.descriptor()))
    }

    async fn read_manifest(&self, at: &ManifestRef) -> Result<RawManifest> {
        self.find(at)?.ok_or_else(|| Error::new(ErrorKind::NotFound, "read manifest", at))
    }

    async fn write_manifest(&self, at: &ManifestRef, manifest: &RawManifest) -> Result<()> {
        let fail = |kind| Error::new(kind, "write manifest", at);
        if manifest.bytes().len() as u64 > self.capabilities.max_manifest_bytes {
            return Err(fail(ErrorKind::TooLarge));
        }
        let parsed = manifest.parse().map_err(|error| fail(ErrorKind::Invalid).caused_by(error))?;
        let digest = manifest.digest();
        let _alone = self.writing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(missing) = self.missing(&parsed) {
            return Err(fail(ErrorKind::Incomplete).because(format!("{missing} is missing")));
        }
        let media_type = manifest.media_type().as_str();
        let content = [media_type.as_bytes(), b"\n", manifest.bytes()].concat();
        match at {
            ManifestRef::Digest(named) if named != digest => {
                Err(fail(ErrorKind::Invalid).because(format!("the manifest is {digest}")))
            }
            ManifestRef::Digest(_) => write(&self.manifest(digest), &content, "write manifest", at),
            ManifestRef::Tag(tag) => {
                write(&self.manifest(digest), &content, "write manifest", at)?;
                write(&self.tag(tag), digest.as_str().as_bytes(), "write tag", at)
            }
        }
    }

    fn tags(&self) -> BoxStream<'_, Result<TagEntry>> {
        let tags = self.names("tags").map(|names| {
            let tags = names.into_iter().filter_map(|name| name.parse().ok()).map(TagEntry::new);
            stream::iter(tags.map(Ok).collect::<Vec<_>>())
        });
        stream::once(async { tags }).try_flatten().boxed()
    }

    fn referrers(
        &self,
        subject: &Digest,
        artifact_type: Option<&MediaType>,
    ) -> BoxStream<'_, Result<Descriptor>> {
        let found = self.list_referrers(subject, artifact_type);
        let found = found.map(|found| stream::iter(found.into_iter().map(Ok)));
        stream::once(async { found }).try_flatten().boxed()
    }

    fn admin(&self) -> Option<&dyn RepositoryAdmin> {
        Some(self)
    }
}

#[async_trait]
impl RepositoryAdmin for Shelf {
    async fn delete_manifest(&self, digest: &Digest) -> Result<()> {
        let _alone = self.writing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for name in self.names("tags")? {
            let Ok(tag) = name.parse::<Tag>() else { continue };
            if self.resolve(&tag.clone().into())?.as_ref() == Some(digest) {
                remove(&self.tag(&tag), "delete tag", &tag)?;
            }
        }
        remove(&self.manifest(digest), "delete manifest", digest)
    }

    async fn delete_tag(&self, tag: &Tag) -> Result<()> {
        remove(&self.tag(tag), "delete tag", tag)
    }

    fn pruner(&self) -> Option<&dyn Pruner> {
        None
    }
}

impl fmt::Display for Shelf {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "shelf:{}", self.directory.display())
    }
}

/// A colon is not allowed in file names everywhere.
fn file_name(digest: &Digest) -> String {
    digest.as_str().replacen(':', "-", 1)
}

fn read(path: &Path, operation: &'static str, target: impl fmt::Display) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(operation, target, error)),
    }
}

/// Replaces a file in one step. A reader never sees half of it.
fn write(path: &Path, bytes: &[u8], operation: &'static str, target: impl fmt::Display) -> Result<()> {
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    // A tag has no `+` in it.
    let partial = path.with_file_name(format!("+{}-{number}", std::process::id()));
    let written = fs::write(&partial, bytes).and_then(|()| fs::rename(&partial, path));
    written.map_err(|error| Error::io(operation, target, error))
}

fn remove(path: &Path, operation: &'static str, target: impl fmt::Display) -> Result<()> {
    fs::remove_file(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Error::new(ErrorKind::NotFound, operation, target),
        _ => Error::io(operation, target, error),
    })
}

/// Opens shelves: `shelf:DIRECTORY`.
#[derive(Clone, Copy, Debug)]
pub struct ShelfFactory;

#[async_trait]
impl BackendFactory for ShelfFactory {
    fn name(&self) -> &'static str {
        "shelf"
    }

    fn about(&self) -> &'static str {
        "a directory with a file for each blob, manifest and tag: shelf:DIRECTORY"
    }

    fn fit(&self, location: &Location) -> Fit {
        match location {
            Location::Other { scheme, .. } if scheme == "shelf" => Fit::Exact,
            _ => Fit::No,
        }
    }

    async fn open(&self, location: &Location, options: &OpenOptions) -> Result<Box<dyn RegistryBackend>> {
        match location {
            Location::Other { scheme, address } if scheme == "shelf" => {
                Ok(Box::new(Shelf::open(Path::new(address), options.access)?))
            }
            _ => Err(Error::new(ErrorKind::Unsupported, "open", location)),
        }
    }
}
