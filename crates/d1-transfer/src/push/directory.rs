//! Pushing a directory: a bag, or a plain one.

use std::path::Path;
use std::sync::Arc;

use d1_package::{AssembledPackage, ManifestOptions, ReplacedArchives};
use oci_model::{Descriptor, ManifestRef};
use oci_pack::Compression;
use registry_backend::{BlobSource, BytesSource, ErrorKind, RegistryBackend};

use super::layers::{MadeLayers, Material};
use super::prepare::{Prepared, prepare};
use super::publish::{Artifact, publish};
use crate::blocking::{run_blocking, run_while_wanted};
use crate::open::open_archives;
use crate::progress::total;
use crate::spool::{Spool, SpoolSource};
use crate::{Error, Event, Observer, PushOptions, PushReport, Result};

/// Pushes a directory as a package. A bag is checked first; nothing is stored if it is not valid.
///
/// # Errors
///
/// [`Error::InvalidBag`] with all faults; [`Error::Content`] if files cannot be pushed; [`Error::Options`] if what is stored could
/// not be read again; if the package does not fit the store's limits; if a file changes while it is pushed; if the store fails. No tag
/// has moved then.
pub async fn push_directory(
    backend: &dyn RegistryBackend,
    directory: &Path,
    options: &PushOptions,
    observer: &Arc<dyn Observer>,
) -> Result<PushReport> {
    if !options.index && options.compression != Compression::Gzip {
        let reason = "only archives compressed with gzip can be recognised in a package without an index";
        return Err(Error::Options { reason });
    }
    match push(backend, directory, options, observer).await {
        Err(Error::Backend(error)) if error.kind() == ErrorKind::Incomplete && !options.repack => {
            // An archive was to be taken over that the store has lost.
            observer.event(&Event::Warning(&format!("{error}; everything is made anew")));
            let options = PushOptions { repack: true, ..options.clone() };
            push(backend, directory, &options, observer).await
        }
        result => result,
    }
}

async fn push(
    backend: &dyn RegistryBackend,
    directory: &Path,
    options: &PushOptions,
    observer: &Arc<dyn Observer>,
) -> Result<PushReport> {
    let limits = backend.capabilities().into();
    let prepared = {
        let (directory, options, observer) = (directory.to_owned(), options.clone(), Arc::clone(observer));
        run_blocking(move || prepare(&directory, &options, limits, &observer)).await?
    };
    push_prepared(backend, prepared, options, observer).await
}

/// Packs, describes and stores a package that is laid out.
///
/// # Errors
///
/// As [`push_directory`], except for faults of the files.
pub async fn push_prepared(
    backend: &dyn RegistryBackend,
    prepared: Prepared,
    options: &PushOptions,
    observer: &Arc<dyn Observer>,
) -> Result<PushReport> {
    let options = options.with_default_tag(prepared.facts.identifier.as_ref());
    let replaced = if options.repack { None } else { replaced_archives(backend, &options).await };
    let max_manifest_bytes = backend.capabilities().max_manifest_bytes;
    let artifact = {
        let (options, observer) = (options.clone(), Arc::clone(observer));
        run_while_wanted(move |given_up| {
            let Prepared { plan, files, sources, .. } = &prepared;
            let reusable = |known| d1_package::reusable_archives(plan, files, &known, options.compression);
            let reusable = replaced.map(reusable).unwrap_or_default();
            let material = Material { plan, files, sources, options: &options };
            let made = material.make(reusable, &observer, given_up)?;
            artifact(prepared, made, &options, max_manifest_bytes)
        })
        .await?
    };
    publish(backend, artifact, &options, observer).await
}

/// Reads what the index of the package that the first tag names says of archives; that there is none, or that it cannot be read,
/// only means more work.
async fn replaced_archives(backend: &dyn RegistryBackend, options: &PushOptions) -> Option<ReplacedArchives> {
    let tag = options.tags.first()?;
    match open_archives(backend, &ManifestRef::Tag(tag.clone())).await {
        Ok(archives) => archives,
        Err(Error::Backend(error)) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            tracing::info!(%tag, error, "nothing is taken over from what is replaced");
            None
        }
    }
}

/// Puts the package together: index, manifest, and the blobs that have to be stored.
fn artifact(
    prepared: Prepared,
    made: MadeLayers,
    options: &PushOptions,
    max_manifest_bytes: u64,
) -> Result<Artifact> {
    let Prepared { plan, files, facts, created, .. } = prepared;
    let MadeLayers { contents, mut blobs, mut spool } = made;
    let count = files.len() as u64;
    let bytes = total(files.files().map(|file| file.size));
    let assembled = d1_package::assemble(&plan, files, contents, facts)?;
    let (configuration, blob) = configuration(&assembled, options.index, &mut spool)?;
    blobs.push(blob);
    let manifest_options = manifest_options(&assembled, options, created, max_manifest_bytes);
    let manifest = assembled.manifest_with(configuration, &manifest_options);
    let manifest = manifest?;
    let identifier = assembled.facts.identifier.map(|identifier| identifier.to_string());
    Ok(Artifact { manifest, blobs, files: count, bytes, identifier })
}

fn configuration(
    assembled: &AssembledPackage,
    index: bool,
    spool: &mut Spool,
) -> Result<(Descriptor, Box<dyn BlobSource>)> {
    if !index {
        return Ok((Descriptor::empty(), Box::new(BytesSource::new(Descriptor::EMPTY_CONTENT))));
    }
    let mut writer = spool.layer();
    let written = assembled.index.write(&mut writer);
    let descriptor = written.map_err(|error| Error::io("write", "the index", error))?;
    let (digest, size) = (descriptor.digest.clone(), descriptor.size);
    let source = SpoolSource { layer: writer.finish(), digest, size };
    Ok((descriptor, Box::new(source)))
}

fn manifest_options(
    assembled: &AssembledPackage,
    options: &PushOptions,
    created: Option<String>,
    max_manifest_bytes: u64,
) -> ManifestOptions {
    let artifact_type = options.artifact_type.clone().unwrap_or_else(|| assembled.facts.artifact_type());
    let mut manifest_options = ManifestOptions::new(artifact_type);
    manifest_options.created = created;
    manifest_options.annotations = options.annotations.clone();
    manifest_options.max_manifest_bytes = max_manifest_bytes;
    manifest_options
}
