//! Pushing one object: verified against its system metadata in the read that hashes it.

use std::path::PathBuf;
use std::sync::Arc;

use bagit::AlgorithmSet;
use d1_model::Identifier;
use d1_package::{
    Mismatch, ObjectFacts, PackageFile, SingleFile, SingleFileOptions, object_algorithm, object_file,
    object_manifest, system_metadata_mismatches,
};
use d1_transfer::parts::{FileSource, HashedFile, hash_file, run_blocking};
use d1_transfer::{Event, FileToPush, Observer, PushOptions, PushReport};
use oci_model::{Digest, MediaType};
use registry_backend::RegistryBackend;
use serde::Serialize;

use super::document::Document;
use super::place::Wanted;
use super::store::Storing;
use crate::{Error, Result};

/// An object to be pushed by itself.
#[derive(Clone, Debug)]
pub struct ObjectToPush {
    /// Where it is.
    pub path: PathBuf,
    /// Its media type; without it, it is that of its format.
    pub media_type: Option<MediaType>,
    /// Where its system metadata are, if there are any.
    pub system_metadata: Option<PathBuf>,
}

/// What pushing an object did.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ObjectReport {
    /// What became of the object.
    #[serde(flatten)]
    pub object: PushReport,
    /// What became of its system metadata.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_metadata: Option<AttachedSystemMetadata>,
}

/// System metadata in a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AttachedSystemMetadata {
    /// Digest of their manifest, which refers to the object.
    pub digest: Digest,
    /// Whether they were there before.
    pub unchanged: bool,
}

/// Pushes an object as an artifact of its own, and its system metadata as an artifact that refers to it.
///
/// If the store has the object under its identifier already, its manifest stays as it is; newer system metadata are one more
/// referrer.
///
/// # Errors
///
/// [`Error::Content`] if the object is not what its system metadata declare; [`Error::OtherIdentifier`] if they are those of
/// another one; [`Error::NotPublic`] if they do not let everybody read it and the options do not say that it may go;
/// [`Error::TagTaken`] if the identifier's tag names something else; if a file cannot be read, or the store fails.
pub async fn push_object(
    backend: &dyn RegistryBackend,
    object: &ObjectToPush,
    options: &PushOptions,
    observer: &Arc<dyn Observer>,
) -> Result<ObjectReport> {
    let prepared = {
        let (object, options, observer) = (object.clone(), options.clone(), Arc::clone(observer));
        run_blocking(move || prepare(&object, &options, &observer)).await?
    };
    let Prepared { file, document, identifier } = prepared;
    let manifest_options = SingleFileOptions {
        artifact_type: options.artifact_type.clone(),
        subject: None,
        created: options.created.clone(),
        annotations: options.annotations.clone(),
        max_manifest_bytes: backend.capabilities().max_manifest_bytes,
    };
    let says = document.as_ref().map(|document| &document.says);
    let manifest = object_manifest(&file, says, &manifest_options)?;
    let exactly = object.media_type.is_some()
        || options.artifact_type.is_some()
        || options.created.is_some()
        || !options.annotations.is_empty();
    let wanted =
        Wanted { manifest, content: &file.digest, identifier: &identifier, tags: &options.tags, exactly };
    let storing = Storing::begin(backend, observer, 1, file.size);
    let place = storing.find(&wanted).await?;
    let mut report =
        PushReport::new(&place.manifest, &place.tags, (1, file.size), Some(identifier.to_string()))?;
    report.unchanged = place.is_there;
    if options.dry_run {
        if !place.is_there && backend.stat_blob(&file.digest).await?.is_none() {
            (report.sent_blobs, report.sent_bytes) = (1, file.size);
        }
        return Ok(ObjectReport { object: report, system_metadata: None });
    }
    if !place.is_there {
        let source = FileSource::new(object.path.clone(), file.size, 0..file.size, file.digest.clone());
        let sent = storing.send(&source, &file.title).await?;
        storing.publish(&place).await?;
        (report.sent_blobs, report.sent_bytes) = (sent.blobs, sent.bytes);
    }
    storing.done(file.size.saturating_sub(report.sent_bytes));
    let mut system_metadata = None;
    if let Some(document) = &document {
        let attached = storing.attach(&place.manifest.descriptor(), document).await?;
        report.sent_blobs += attached.totals.blobs;
        report.sent_bytes += attached.totals.bytes;
        let unchanged = !attached.is_new;
        system_metadata = Some(AttachedSystemMetadata { digest: attached.digest, unchanged });
    }
    Ok(ObjectReport { object: report, system_metadata })
}

/// An object that was hashed and found to be what it should be.
struct Prepared {
    file: SingleFile,
    document: Option<Document>,
    identifier: Identifier,
}

fn prepare(object: &ObjectToPush, options: &PushOptions, observer: &Arc<dyn Observer>) -> Result<Prepared> {
    let Some(path) = &object.system_metadata else {
        let identifier = options.identifier.clone();
        let reason = "an object without system metadata needs an identifier";
        let identifier = identifier.ok_or(d1_transfer::Error::Options { reason })?;
        let file = undescribed(object, &identifier, observer)?;
        return Ok(Prepared { file, document: None, identifier });
    };
    let document = Document::read(path)?;
    for oddity in &document.oddities {
        observer.event(&Event::Warning(&format!("{}: {oddity}", path.display())));
    }
    let stated = document.says.identifier.clone();
    if let Some(given) = options.identifier.as_ref().filter(|given| **given != stated) {
        return Err(Error::OtherIdentifier { given: given.to_string(), stated: stated.to_string() });
    }
    if !options.include_private && !document.says.is_public() {
        return Err(Error::NotPublic { identifier: stated });
    }
    let algorithms = object_algorithm(&document.says).into_iter().collect();
    let hashed = hash(object, algorithms, observer)?;
    verify(object, &hashed, &document, options.take_mislabelled, observer)?;
    let mut file = object_file(&document.says, hashed.digest, hashed.size);
    file.media_type = object.media_type.clone();
    Ok(Prepared { file, document: Some(document), identifier: stated })
}

/// Returns an object of which its identifier alone is known.
fn undescribed(
    object: &ObjectToPush,
    identifier: &Identifier,
    observer: &Arc<dyn Observer>,
) -> Result<SingleFile> {
    let name = object.path.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| d1_transfer::Error::NotPushable { path: object.path.clone() })?;
    let hashed = hash(object, AlgorithmSet::EMPTY, observer)?;
    Ok(SingleFile {
        title: name.to_owned(),
        media_type: object.media_type.clone(),
        digest: hashed.digest,
        size: hashed.size,
        object: ObjectFacts { identifier: Some(identifier.clone()), ..ObjectFacts::default() },
    })
}

fn hash(object: &ObjectToPush, algorithms: AlgorithmSet, observer: &Arc<dyn Observer>) -> Result<HashedFile> {
    let file = FileToPush { path: object.path.clone(), title: String::new(), media_type: None };
    Ok(hash_file(file, algorithms, observer)?)
}

/// Compares the object with what its system metadata declare, by size and by their own algorithm.
fn verify(
    object: &ObjectToPush,
    hashed: &HashedFile,
    document: &Document,
    take_mislabelled: bool,
    observer: &Arc<dyn Observer>,
) -> Result<()> {
    let mut file = PackageFile::new("", hashed.size, hashed.digest.sha256_bytes().unwrap_or_default());
    file.checksums = hashed.digests.clone();
    let says = &document.says;
    for mismatch in system_metadata_mismatches(says.size, &says.checksum, &file.view()) {
        match mismatch {
            Mismatch::Unverifiable { .. } => observer.event(&Event::Warning(&mismatch.to_string())),
            mismatch if take_mislabelled && mismatch.is_mislabelled() => {
                observer.event(&Event::Warning(&mismatch.to_string()));
            }
            mismatch => return Err(Error::content(object.path.display().to_string(), mismatch.to_string())),
        }
    }
    Ok(())
}
