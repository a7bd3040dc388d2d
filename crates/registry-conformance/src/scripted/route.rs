//! The operation of the protocol that a request asks for.

use std::fmt;

use percent_encoding::percent_decode_str;
use scripted_http::Query;
use scripted_http::axum::http::Method;

/// An operation of the distribution protocol, of the token endpoint or of the storage host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    /// `GET /v2/`.
    Ping,
    /// A token is asked for.
    Token,
    /// `HEAD` of a blob.
    BlobHead,
    /// `GET` of a blob.
    BlobGet,
    /// `DELETE` of a blob.
    BlobDelete,
    /// `POST` that opens an upload.
    UploadStart,
    /// `POST` that asks for a mount.
    Mount,
    /// `PATCH` of an upload.
    UploadPatch,
    /// `PUT` that commits an upload.
    UploadCommit,
    /// `GET` of an upload's progress.
    UploadStatus,
    /// `DELETE` of an upload.
    UploadCancel,
    /// `HEAD` of a manifest.
    ManifestHead,
    /// `GET` of a manifest.
    ManifestGet,
    /// `PUT` of a manifest.
    ManifestPut,
    /// `DELETE` of a manifest or tag.
    ManifestDelete,
    /// `GET` of the repositories, which the distribution specification leaves out.
    Catalog,
    /// `GET` of the tags.
    Tags,
    /// `GET` of the tags by Quay's own interface.
    QuayTags,
    /// `GET` of the referrers.
    Referrers,
    /// A blob is asked of the storage host, to which the registry redirects.
    Storage,
    /// Anything else.
    Unknown,
}

/// A request's route with what its path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) route: Route,
    /// The repository; empty where there is none.
    pub(super) repository: String,
    /// Digest, tag or upload; empty where there is none.
    pub(super) name: String,
}

/// The path on the storage host under which blobs are.
pub(super) const STORAGE_PATH: &str = "/storage/";

impl Target {
    /// Finds the route of a request.
    pub(super) fn of(method: &Method, path: &str, query: &Query, token_path: &str) -> Self {
        let path = percent_decode_str(path).decode_utf8_lossy();
        let new = |route, repository: &[&str], name: &str| Self {
            route,
            repository: repository.join("/"),
            name: name.to_owned(),
        };
        if path == token_path {
            return new(Route::Token, &[], "");
        }
        if let Some(digest) = path.strip_prefix(STORAGE_PATH) {
            return new(Route::Storage, &[], digest);
        }
        let parts: Vec<&str> = path.split('/').collect();
        match parts.as_slice() {
            ["", "v2"] | ["", "v2", ""] => new(Route::Ping, &[], ""),
            ["", "v2", "_catalog"] => new(Route::Catalog, &[], ""),
            ["", "v2", repository @ .., "blobs", "uploads" | "upload", id] => {
                new(upload_route(method, id, query), repository, id)
            }
            ["", "v2", repository @ .., "blobs", "uploads"] => {
                new(upload_route(method, "", query), repository, "")
            }
            ["", "v2", repository @ .., "blobs", digest] => new(blob_route(method), repository, digest),
            ["", "v2", repository @ .., "manifests", name] => new(manifest_route(method), repository, name),
            ["", "v2", repository @ .., "tags", "list"] => new(Route::Tags, repository, ""),
            ["", "api", "v1", "repository", repository @ .., "tag", ""] => {
                new(Route::QuayTags, repository, "")
            }
            ["", "v2", repository @ .., "referrers", digest] => new(Route::Referrers, repository, digest),
            _ => new(Route::Unknown, &[], ""),
        }
    }
}

fn upload_route(method: &Method, id: &str, query: &Query) -> Route {
    match (method.as_str(), id) {
        ("POST", "") if query.get("mount").is_some() => Route::Mount,
        ("POST", "") => Route::UploadStart,
        (_, "") => Route::Unknown,
        ("PATCH", _) => Route::UploadPatch,
        ("PUT", _) => Route::UploadCommit,
        ("GET", _) => Route::UploadStatus,
        ("DELETE", _) => Route::UploadCancel,
        _ => Route::Unknown,
    }
}

fn blob_route(method: &Method) -> Route {
    match method.as_str() {
        "HEAD" => Route::BlobHead,
        "GET" => Route::BlobGet,
        "DELETE" => Route::BlobDelete,
        _ => Route::Unknown,
    }
}

fn manifest_route(method: &Method) -> Route {
    match method.as_str() {
        "HEAD" => Route::ManifestHead,
        "GET" => Route::ManifestGet,
        "PUT" => Route::ManifestPut,
        "DELETE" => Route::ManifestDelete,
        _ => Route::Unknown,
    }
}

impl fmt::Display for Route {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(method: &str, uri: &str) -> (Route, String, String) {
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        let method = method.parse().unwrap();
        let Target { route, repository, name } = Target::of(&method, path, &Query::of_url(query), "/token");
        (route, repository, name)
    }

    #[test]
    fn every_route_is_found() {
        for (method, uri, route, repository, name) in [
            ("GET", "/v2/", Route::Ping, "", ""),
            ("GET", "/token?scope=x", Route::Token, "", ""),
            ("HEAD", "/v2/a/b/blobs/sha256%3A00", Route::BlobHead, "a/b", "sha256:00"),
            ("GET", "/v2/a/blobs/sha256:00", Route::BlobGet, "a", "sha256:00"),
            ("DELETE", "/v2/a/blobs/sha256:00", Route::BlobDelete, "a", "sha256:00"),
            ("POST", "/v2/a/blobs/uploads/", Route::UploadStart, "a", ""),
            ("POST", "/v2/a/b/c/blobs/uploads/?mount=x&from=y", Route::Mount, "a/b/c", ""),
            ("PATCH", "/v2/a/blobs/upload/7", Route::UploadPatch, "a", "7"),
            ("PUT", "/v2/a/blobs/uploads/7?digest=x", Route::UploadCommit, "a", "7"),
            ("GET", "/v2/a/blobs/uploads/7", Route::UploadStatus, "a", "7"),
            ("DELETE", "/v2/a/blobs/uploads/7", Route::UploadCancel, "a", "7"),
            ("HEAD", "/v2/tags/manifests/v1", Route::ManifestHead, "tags", "v1"),
            ("PUT", "/v2/a/manifests/v1", Route::ManifestPut, "a", "v1"),
            ("DELETE", "/v2/a/manifests/sha256:00", Route::ManifestDelete, "a", "sha256:00"),
            ("GET", "/v2/_catalog?n=2", Route::Catalog, "", ""),
            ("GET", "/v2/a/tags/list?n=2", Route::Tags, "a", ""),
            ("GET", "/api/v1/repository/a/b/tag/?limit=100", Route::QuayTags, "a/b", ""),
            ("GET", "/v2/a/referrers/sha256:00", Route::Referrers, "a", "sha256:00"),
            ("GET", "/storage/sha256:00?sig=1", Route::Storage, "", "sha256:00"),
            ("PUT", "/v2/a/blobs/uploads/", Route::Unknown, "a", ""),
            ("GET", "/", Route::Unknown, "", ""),
        ] {
            assert_eq!(of(method, uri), (route, repository.to_owned(), name.to_owned()), "{method} {uri}");
        }
    }
}
