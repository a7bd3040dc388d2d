//! Manifests: found, read and stored as bytes.

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use http_transfer::{Answer, HeaderValue, Method, StatusCode, parse_digits};
use oci_model::{Descriptor, Digest, MANIFEST_READ_LIMIT, Manifest, ManifestRef, MediaType, RawManifest};
use registry_backend::{ErrorKind, Result, Retry};
use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};

use crate::context::Context;
use crate::download::refuses_head;
use crate::registry::{Call, SMALL_ANSWER, Sent};
use crate::repository::{Doing, Repository};

/// All manifest types that the client understands. Docker's registry answers 404 for an index if its type is not named
/// (distribution-spec, "Pulling manifests").
const ACCEPTED: HeaderValue = HeaderValue::from_static(
    "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, */*;q=0.1",
);

/// How many blobs are looked for at once.
const PARALLEL_CHECKS: usize = 4;

impl Repository {
    /// Returns the descriptor of a manifest, or `None` if it is not there.
    ///
    /// # Errors
    ///
    /// If the registry cannot be asked.
    pub async fn stat_manifest(&self, at: &ManifestRef) -> Result<Option<Descriptor>> {
        let context = self.context("find manifest", at);
        let call = self.manifest_call(Method::HEAD, at, Doing::Read, &context)?.with_header(ACCEPT, ACCEPTED);
        let answer = self.registry().exchange(&call, Sent::Nothing, SMALL_ANSWER, &context).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        if refuses_head(answer.status) {
            return self.descriptor_by_reading(at).await;
        }
        let answer = self.registry().expect(answer, &[StatusCode::OK], &context)?;
        let size = answer.header(CONTENT_LENGTH.as_str()).and_then(parse_digits);
        let digest = match at {
            ManifestRef::Digest(digest) => Some(digest.clone()),
            ManifestRef::Tag(_) => stated_digest(&answer),
        };
        match (media_type(&answer), digest, size) {
            (Some(media_type), Some(digest), Some(size)) => {
                Ok(Some(Descriptor::new(media_type, digest, size)))
            }
            _ => self.descriptor_by_reading(at).await,
        }
    }

    /// Computes a descriptor from the bytes, where the registry does not state it.
    async fn descriptor_by_reading(&self, at: &ManifestRef) -> Result<Option<Descriptor>> {
        match self.read_manifest(at).await {
            Ok(manifest) => Ok(Some(manifest.descriptor())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns a manifest's bytes, verified.
    ///
    /// # Errors
    ///
    /// As [`read_manifest`](registry_backend::RegistryBackend::read_manifest) states.
    pub async fn read_manifest(&self, at: &ManifestRef) -> Result<RawManifest> {
        let context = self.context("read manifest", at);
        let call = self.manifest_call(Method::GET, at, Doing::Read, &context)?.with_header(ACCEPT, ACCEPTED);
        let answer = self.registry().exchange(&call, Sent::Nothing, MANIFEST_READ_LIMIT, &context).await?;
        let answer = self.registry().expect(answer, &[StatusCode::OK], &context)?;
        let media_type = media_type(&answer).or_else(|| own_media_type(&answer.body));
        let media_type = media_type
            .ok_or_else(|| context.protocol("the registry does not state the manifest's media type"))?;
        let bytes = answer.body.to_vec();
        let expected = match at {
            ManifestRef::Digest(digest) => Some(digest.clone()),
            // A digest of an unknown algorithm cannot be checked.
            ManifestRef::Tag(_) => stated_digest(&answer).filter(|digest| digest.algorithm().is_some()),
        };
        match expected {
            None => Ok(RawManifest::new(bytes, media_type)),
            Some(expected) => RawManifest::verified(bytes, media_type, &expected).map_err(|error| {
                context.error(ErrorKind::Invalid).because(error.to_string()).caused_by(error)
            }),
        }
    }

    /// Stores a manifest, and lists it among the referrers of its subject.
    ///
    /// # Errors
    ///
    /// As [`write_manifest`](registry_backend::RegistryBackend::write_manifest) states.
    pub async fn write_manifest(&self, at: &ManifestRef, manifest: &RawManifest) -> Result<()> {
        let context = self.context("write manifest", at);
        let limit = self.profile().capabilities.max_manifest_bytes;
        if manifest.bytes().len() as u64 > limit {
            let reason =
                format!("it has {} bytes, and the registry takes at most {limit}", manifest.bytes().len());
            return Err(context.error(ErrorKind::TooLarge).because(reason));
        }
        let parsed = manifest.parse();
        let parsed = parsed
            .map_err(|error| context.error(ErrorKind::Invalid).because(error.to_string()).caused_by(error))?;
        if matches!(at, ManifestRef::Digest(digest) if digest != manifest.digest()) {
            return Err(context
                .error(ErrorKind::Invalid)
                .because(format!("the manifest is {}", manifest.digest())));
        }
        if !self.profile().checks_manifest_content {
            self.check_manifest_content(manifest, &parsed, &context).await?;
        }
        let mut failures = self.registry().failures();
        let answer = loop {
            match self.put_manifest(at, manifest, &context).await {
                Ok(answer) => break answer,
                // Registries sometimes miss existing blobs for a moment (GHCR: infobloxopen/konk issue 626; Docker's
                // registry while another writer stores the same blob). So the client looks for all of them.
                Err(error) if error.kind() == ErrorKind::Incomplete => {
                    parsed.blobs().into_iter().for_each(|blob| self.forget(&blob.digest));
                    self.check_manifest_content(manifest, &parsed, &context).await?;
                    failures.wait_after(error.with_retry(Retry::Yes)).await?;
                }
                Err(error) => return Err(error),
            }
        };
        self.list_among_referrers(manifest, &parsed, &answer).await
    }

    /// Sends a manifest, without the updates around it.
    pub(crate) async fn put_manifest(
        &self,
        at: &ManifestRef,
        manifest: &RawManifest,
        context: &Context,
    ) -> Result<Answer> {
        let call = self.manifest_call(Method::PUT, at, Doing::Write, context)?;
        let content_type = HeaderValue::from_str(manifest.media_type().as_str());
        let content_type = content_type.map_err(|_| {
            context.error(ErrorKind::Invalid).because("its media type does not fit into a header")
        })?;
        let call = call.with_header(CONTENT_TYPE, content_type);
        let body = Bytes::copy_from_slice(manifest.bytes());
        let answer = self.registry().exchange(&call, Sent::Bytes(&body), SMALL_ANSWER, context).await?;
        let good = [StatusCode::CREATED, StatusCode::OK, StatusCode::ACCEPTED, StatusCode::NO_CONTENT];
        let answer = self.registry().expect(answer, &good, context)?;
        check_stored(&answer, manifest.digest(), context)?;
        Ok(answer)
    }

    pub(crate) fn manifest_call(
        &self,
        method: Method,
        at: &ManifestRef,
        doing: Doing,
        context: &Context,
    ) -> Result<Call> {
        self.call(method, format_args!("manifests/{at}"), doing, context)
    }

    /// Checks that all content of a manifest is there, for registries that do not. A manifest that is already there was
    /// accepted with its content.
    async fn check_manifest_content(
        &self,
        manifest: &RawManifest,
        parsed: &Manifest,
        context: &Context,
    ) -> Result<()> {
        let unknown: Vec<&Descriptor> = parsed
            .blobs()
            .into_iter()
            // Content with other places may be missing here (image-spec descriptor.md, "urls").
            .filter(|blob| blob.urls.is_empty() && !self.remembers(&blob.digest))
            .collect();
        if unknown.is_empty() && parsed.children().is_empty() {
            return Ok(());
        }
        if self.stat_manifest(&manifest.digest().clone().into()).await?.is_some() {
            return Ok(());
        }
        let blobs = unknown.into_iter().map(|blob| self.missing(blob, false));
        let children = parsed.children().iter().map(|child| self.missing(child, true));
        let checks: Vec<_> =
            blobs.map(futures::FutureExt::boxed).chain(children.map(futures::FutureExt::boxed)).collect();
        let mut missing = stream::iter(checks).buffer_unordered(PARALLEL_CHECKS);
        while let Some(found) = missing.try_next().await? {
            if let Some(digest) = found {
                return Err(context.error(ErrorKind::Incomplete).because(format!("{digest} is missing")));
            }
        }
        Ok(())
    }

    async fn missing(&self, content: &Descriptor, is_manifest: bool) -> Result<Option<Digest>> {
        let digest = &content.digest;
        let is_there = if is_manifest {
            self.stat_manifest(&digest.clone().into()).await?.is_some()
        } else {
            self.stat_blob(digest).await?.is_some()
        };
        Ok((!is_there).then(|| digest.clone()))
    }
}

/// The `Content-Type` without parameters (distribution-spec, "Pulling manifests").
fn media_type(answer: &Answer) -> Option<MediaType> {
    let value = answer.header(CONTENT_TYPE.as_str())?;
    let media_type = MediaType::received(value.split(';').next()?.trim());
    (media_type.is_manifest() || media_type.is_index()).then_some(media_type)
}

/// The media type inside the manifest, for registries that serve everything as plain JSON.
fn own_media_type(body: &[u8]) -> Option<MediaType> {
    let value: serde_json::Value = serde_json::from_slice(body).ok()?;
    let media_type = MediaType::received(value.get("mediaType")?.as_str()?);
    (media_type.is_manifest() || media_type.is_index()).then_some(media_type)
}

fn stated_digest(answer: &Answer) -> Option<Digest> {
    answer.header("docker-content-digest").and_then(|value| value.trim().parse().ok())
}

/// Checks that the registry stored content under its digest: Docker's registry stores content with a SHA-512 digest under
/// the SHA-256 one.
pub(crate) fn check_stored(answer: &Answer, digest: &Digest, context: &Context) -> Result<()> {
    match answer.header("docker-content-digest") {
        Some(stored) if stored != digest.as_str() && !stored.is_empty() => {
            let reason = format!("the registry stores it under another digest, {stored}");
            Err(context.error(ErrorKind::Unsupported).because(reason))
        }
        _ => Ok(()),
    }
}
