//! Packages by the key in a URL, and the URLs of packages and their files.

use d1_catalog::{CatalogPackage, PackageKey};
use d1_model::encode_path_segment;
use oci_model::Digest;

use crate::answer::{Kind, Refused};
use crate::app::App;

/// Returns the package that a key names: a digest, an identifier, or a tag.
///
/// # Errors
///
/// `NotFound`; `NotAuthorized` if nothing in it is public.
pub(crate) async fn package(app: &App, key: &str) -> Result<CatalogPackage, Refused> {
    let wanted = key.to_owned();
    let repositories: Vec<String> = app.store.repositories.keys().cloned().collect();
    let found = app.store.ask(move |catalog| {
        if let Ok(digest) = wanted.parse::<Digest>() {
            return catalog.package(&PackageKey::Digest(&digest));
        }
        if let Some(package) = catalog.package(&PackageKey::Identifier(&wanted))? {
            return Ok(Some(package));
        }
        for repository in &repositories {
            let tag = PackageKey::Tag { repository, tag: &wanted };
            if let Some(package) = catalog.package(&tag)? {
                return Ok(Some(package));
            }
        }
        Ok(None)
    });
    found.await?.ok_or_else(|| Refused::not_found("no package here has this name"))
}

/// Returns whether everybody may read all of a package.
pub(crate) fn is_readable(package: &CatalogPackage) -> bool {
    package.is_public || !package.has_system_metadata
}

/// Returns the refusal of a package without any file that everybody may read.
pub(crate) fn not_public() -> Refused {
    Refused::new(Kind::NotAuthorized, "the package is not public")
}

/// Returns the key of a package in URLs that stay when the package changes: its tag.
pub(crate) fn key(package: &CatalogPackage) -> String {
    encode_path_segment(package.summary.tag.as_str())
}

/// Returns the path of a file or directory in a URL, percent-encoded.
pub(crate) fn encoded_path(path: &str) -> String {
    let segments: Vec<String> = path.split('/').map(encode_path_segment).collect();
    segments.join("/")
}

/// Returns the URL of the page of a package.
pub(crate) fn page_url(base_url: &str, package: &CatalogPackage) -> String {
    format!("{base_url}/p/{}/", key(package))
}

/// Returns the URL of a file. `key` is the package's key, percent-encoded.
pub(crate) fn file_url(base_url: &str, key: &str, path: &str) -> String {
    format!("{base_url}/p/{key}/{}", encoded_path(path))
}

/// Returns the URL of a content by its SHA-256.
pub(crate) fn hash_url(base_url: &str, sha256: &[u8; 32]) -> String {
    format!("{base_url}/hash/sha256/{}", hex::encode(sha256))
}

/// Returns the URL of an object by its PID.
pub(crate) fn object_url(base_url: &str, pid: &str) -> String {
    format!("{base_url}/o/{}", encode_path_segment(pid))
}

/// Returns whether a path is that of system metadata in a bag.
pub(crate) fn is_system_metadata(path: &str) -> bool {
    path.starts_with("metadata/sysmeta/")
}
