//! Invariants of layouts and registries after any fault: all content under a final name is correct.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use oci_model::annotations::REF_NAME;
use oci_model::{Digest, ImageIndex, ManifestRef, MediaType, RawManifest, Tag};
use registry_conformance::scripted::ScriptedRegistry;

/// The repository of the registry.
pub(super) const REPOSITORY: &str = "torture/packages";

/// The manifest of each tag.
pub(super) type Tags = BTreeMap<String, Digest>;

/// Checks every blob, every entry and every manifest of a layout, and returns its tags.
pub(super) fn layout_tags(store: &Path) -> Result<Tags, String> {
    let say = |error: &dyn std::fmt::Display| format!("{}: {error}", store.display());
    let index = fs::read(store.join("index.json")).map_err(|error| say(&error))?;
    let index: ImageIndex = serde_json::from_slice(&index).map_err(|error| say(&error))?;
    let blobs = store.join("blobs/sha256");
    for entry in fs::read_dir(&blobs).map_err(|error| say(&error))? {
        let name = entry.map_err(|error| say(&error))?.file_name().to_string_lossy().into_owned();
        let content = fs::read(blobs.join(&name)).map_err(|error| say(&error))?;
        if Digest::sha256_of(&content).encoded() != name {
            return Err(format!("the blob {name} has other content ({} bytes)", content.len()));
        }
    }
    let mut tags = Tags::new();
    for entry in &index.manifests {
        let read = fs::read(blobs.join(entry.digest.encoded()));
        let bytes = read.map_err(|error| format!("manifest {}: {error}", entry.digest))?;
        check_parts(&RawManifest::new(bytes, entry.media_type.clone()), |digest| {
            fs::metadata(blobs.join(digest.encoded())).ok().map(|found| found.len())
        })?;
        if let Some(tag) = entry.annotation(REF_NAME) {
            tags.insert(tag.to_owned(), entry.digest.clone());
        }
    }
    Ok(tags)
}

/// Checks every tagged manifest of the registry, and returns its tags.
pub(super) fn registry_tags(registry: &ScriptedRegistry) -> Result<Tags, String> {
    let mut tags = Tags::new();
    for name in registry.tags(REPOSITORY) {
        let tag: Tag = name.parse().map_err(|error| format!("{error}"))?;
        let found = registry.manifest(REPOSITORY, &ManifestRef::from(tag));
        let manifest = found.ok_or_else(|| format!("the tag `{name}` has no manifest"))?;
        check_parts(&manifest, |digest| registry.blob_size(REPOSITORY, digest))?;
        tags.insert(name, manifest.digest().clone());
    }
    Ok(tags)
}

fn check_parts(manifest: &RawManifest, size_of: impl Fn(&Digest) -> Option<u64>) -> Result<(), String> {
    if manifest.media_type() != MediaType::IMAGE_MANIFEST {
        return Ok(());
    }
    let parsed = manifest.parse().map_err(|error| error.to_string())?;
    for part in parsed.blobs() {
        match size_of(&part.digest) {
            Some(size) if size == part.size => {}
            found => {
                let (digest, wanted) = (&part.digest, part.size);
                return Err(format!("{} wants {digest} of {wanted} bytes: {found:?}", manifest.digest()));
            }
        }
    }
    Ok(())
}

/// Checks that no tag has changed, except those that the command writes.
pub(super) fn unchanged(before: &Tags, after: &Tags, except: &[String]) -> Result<(), String> {
    let without = |tags: &Tags| -> Tags {
        let others = tags.iter().filter(|(tag, _)| !except.contains(tag));
        others.map(|(tag, digest)| (tag.clone(), digest.clone())).collect()
    };
    if let Some(tag) = except.iter().find(|tag| before.contains_key(*tag) && !after.contains_key(*tag)) {
        return Err(format!("the tag `{tag}` is gone"));
    }
    if without(before) == without(after) {
        Ok(())
    } else {
        Err(format!("other tags changed: {before:?} became {after:?}"))
    }
}
