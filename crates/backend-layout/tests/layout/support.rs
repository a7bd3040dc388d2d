//! The few steps that the tests share.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use backend_layout::LayoutBackend;
use futures::TryStreamExt;
use oci_model::annotations::REF_NAME;
use oci_model::{Descriptor, Digest, ImageIndex, ImageManifest, ManifestRef, MediaType, RawManifest, Tag};
use registry_backend::{
    Access, BlobSource, BytesSource, PruneOptions, PruneReport, RegistryBackend, RepositoryAdmin, Result,
    WriteHint,
};
use tempfile::TempDir;

pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// A path for a layout in a folder of its own, which is not there yet.
pub(crate) fn new_place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("layout");
    (folder, path)
}

pub(crate) async fn open(path: &Path, access: Access) -> LayoutBackend {
    LayoutBackend::open_directory(path, access).await.unwrap()
}

/// A new layout in a folder of its own.
pub(crate) async fn new_layout() -> (TempDir, PathBuf, LayoutBackend) {
    let (folder, path) = new_place();
    let layout = open(&path, Access::Create).await;
    (folder, path, layout)
}

pub(crate) fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}

pub(crate) fn at(text: &str) -> ManifestRef {
    ManifestRef::Tag(tag(text))
}

pub(crate) fn by_digest(raw: &RawManifest) -> ManifestRef {
    ManifestRef::Digest(raw.digest().clone())
}

pub(crate) async fn store_blob(layout: &LayoutBackend, content: &str) -> Descriptor {
    let source = BytesSource::new(content.to_owned());
    layout.write_blob(&source, &WriteHint::default()).await.unwrap();
    Descriptor::new(MediaType::from_static("text/plain"), source.digest().clone(), source.size())
}

/// Stores the blobs of an artifact with one layer of this content, and returns its manifest.
pub(crate) async fn artifact(layout: &LayoutBackend, content: &str) -> ImageManifest {
    store_blob(layout, "{}").await;
    let mut manifest = ImageManifest::new("application/x-test".parse().unwrap(), Descriptor::empty());
    manifest.layers.push(store_blob(layout, content).await);
    manifest
}

pub(crate) async fn store_artifact(layout: &LayoutBackend, tag: &str, content: &str) -> RawManifest {
    let raw = RawManifest::from_image(&artifact(layout, content).await);
    layout.write_manifest(&at(tag), &raw).await.unwrap();
    raw
}

pub(crate) async fn store_untagged(layout: &LayoutBackend, content: &str) -> RawManifest {
    let raw = RawManifest::from_image(&artifact(layout, content).await);
    layout.write_manifest(&by_digest(&raw), &raw).await.unwrap();
    raw
}

pub(crate) async fn store_referrer(
    layout: &LayoutBackend,
    subject: &RawManifest,
    content: &str,
) -> RawManifest {
    let mut manifest = artifact(layout, content).await;
    manifest.subject = Some(subject.descriptor());
    let raw = RawManifest::from_image(&manifest);
    layout.write_manifest(&by_digest(&raw), &raw).await.unwrap();
    raw
}

pub(crate) fn index_of(manifests: &[&RawManifest]) -> RawManifest {
    RawManifest::from_index(&ImageIndex::new(manifests.iter().map(|raw| raw.descriptor()).collect()))
}

pub(crate) async fn tags(layout: &LayoutBackend) -> Vec<String> {
    layout.tags().map_ok(|entry| entry.tag.as_str().to_owned()).try_collect().await.unwrap()
}

pub(crate) async fn referrers(layout: &LayoutBackend, subject: &Digest) -> Vec<Digest> {
    layout.referrers(subject, None).map_ok(|found| found.digest).try_collect().await.unwrap()
}

pub(crate) async fn read_blob(layout: &LayoutBackend, digest: &Digest) -> Vec<u8> {
    let read = layout.read_blob(digest, None).await.unwrap();
    let pieces: Vec<_> = read.stream.try_collect().await.unwrap();
    pieces.concat()
}

pub(crate) fn prune_options(untagged: bool, grace: Duration) -> PruneOptions {
    let mut options = PruneOptions::default();
    options.untagged = untagged;
    options.grace = grace;
    options
}

pub(crate) async fn prune(layout: &LayoutBackend, options: &PruneOptions) -> Result<PruneReport> {
    layout.pruner().unwrap().prune(options).await
}

pub(crate) fn removed(report: &PruneReport) -> Vec<Digest> {
    report.removed.iter().map(|pruned| pruned.digest.clone()).collect()
}

/// Where a layout has a blob.
pub(crate) fn blob_path(root: &Path, digest: &Digest) -> PathBuf {
    root.join("blobs").join(digest.algorithm_name()).join(digest.encoded())
}

/// Makes a file look as if it had been written this long ago.
pub(crate) fn age(path: &Path, by: Duration) {
    let file = fs::File::open(path).unwrap();
    file.set_modified(SystemTime::now() - by).unwrap();
}

/// Makes all blobs look as if they had been written this long ago.
pub(crate) fn age_blobs(root: &Path, by: Duration) {
    for entry in fs::read_dir(root.join("blobs/sha256")).unwrap() {
        age(&entry.unwrap().path(), by);
    }
}

pub(crate) fn index_text(root: &Path) -> String {
    fs::read_to_string(root.join("index.json")).unwrap()
}

/// Replaces the index by what another program could have written.
pub(crate) fn write_index(root: &Path, entries: &[String]) {
    let text = format!("{{\n  \"schemaVersion\": 2,\n  \"manifests\": [{}]\n}}", entries.join(","));
    fs::write(root.join("index.json"), text).unwrap();
}

/// An entry as another program could have written it.
pub(crate) fn entry(raw: &RawManifest, name: Option<&str>) -> String {
    let mut descriptor = raw.descriptor();
    if let Some(name) = name {
        descriptor.annotations.insert(REF_NAME.to_owned(), name.to_owned());
    }
    serde_json::to_string(&descriptor).unwrap()
}

/// All files below a folder with their content, in order.
pub(crate) fn tree(root: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut left = vec![root.to_path_buf()];
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else {
                let content = fs::read(&path).unwrap();
                found.push((path.strip_prefix(root).unwrap().to_path_buf(), content));
            }
        }
    }
    found.sort();
    found
}

/// Says that a test could not do its work here.
#[expect(clippy::print_stdout, reason = "what is skipped says so in the output of the test")]
pub(crate) fn skipped(why: &str) {
    println!("skipped: {why}");
}
