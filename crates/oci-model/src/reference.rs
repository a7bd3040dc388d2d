//! References: a repository, and perhaps one manifest in it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::{Digest, Tag};

/// A repository, and perhaps one manifest in it: `ghcr.io/o/n[:tag|@digest]`, `oci:DIR[:tag|@digest]`,
/// `s3://bucket/prefix[:tag|@digest]`, or `SCHEME:ADDRESS[:tag|@digest]` for any other scheme.
///
/// In a text with both a tag and a digest, the digest counts, as everywhere in the field.
///
/// ```
/// use oci_model::{Location, Reference};
///
/// let reference: Reference = "oci:packages:v1".parse()?;
/// assert_eq!(reference.location, Location::Directory("packages".into()));
/// assert_eq!(reference.to_string(), "oci:packages:v1");
///
/// let other: Reference = "tape:vault/7:v1".parse()?;
/// assert_eq!(other.location, Location::Other { scheme: "tape".into(), address: "vault/7".into() });
/// # Ok::<(), oci_model::ReferenceError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    /// The repository.
    pub location: Location,
    /// The manifest in it, if one is named.
    pub target: Option<ManifestRef>,
}

/// The place of a repository.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Location {
    /// A repository of a registry.
    Registry {
        /// Host, with its port if one is given: `ghcr.io`, `localhost:5000`, `[::1]:5000`.
        host: String,
        /// Name of the repository.
        repository: RepositoryName,
    },
    /// An image layout in a directory.
    Directory(PathBuf),
    /// An image layout in a bucket of an object store.
    Bucket {
        /// `s3`, `gs` or `az`; `https` for the URL of a public bucket at one of their vendors.
        scheme: String,
        /// The whole URL without a trailing slash: `s3://bucket/prefix`.
        url: String,
    },
    /// A repository of any other kind, for a backend that knows the scheme.
    Other {
        /// Small letters, digits, `+` and `-`, beginning with a letter: `tape` in `tape:vault/7`.
        scheme: String,
        /// The rest without tag and digest: `vault/7`. Its last part, after the last `/`, has no colon.
        address: String,
    },
}

/// One manifest of a repository.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ManifestRef {
    /// The manifest to which the tag points now.
    Tag(Tag),
    /// The manifest with this digest.
    Digest(Digest),
}

/// A repository's name, such as `owner/name` (distribution-spec, "Pulling manifests").
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepositoryName(Box<str>);

/// A text that is not a reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a reference: {reason}")]
pub struct ReferenceError {
    text: String,
    reason: String,
}

/// URL schemes of object stores that can hold an image layout.
const BUCKET_SCHEMES: [&str; 3] = ["s3", "gs", "az"];

/// Schemes that people write before a registry's host, where none belongs.
const WEB_SCHEMES: [&str; 3] = ["http", "https", "docker"];

/// Places of container images that only container tools read (containers-transports(5)).
const CONTAINER_SCHEMES: [&str; 4] = ["containers-storage", "dir", "docker-archive", "docker-daemon"];

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        parse(text).map_err(|reason| ReferenceError { text: text.chars().take(300).collect(), reason })
    }
}

fn parse(text: &str) -> Result<Reference, String> {
    refuse_foreign_scheme(text)?;
    let (base, digest) = match text.rsplit_once('@') {
        // A directory may have an `@` in its name: only `ALGORITHM:HEX` behind it is a digest.
        Some((base, digest)) if digest.contains(':') && !digest.contains('/') => {
            let digest: Digest = digest.parse().map_err(|error| format!("{error}"))?;
            (base, Some(ManifestRef::Digest(digest)))
        }
        _ => (text, None),
    };
    let (base, tag) = split_tag(base)?;
    let target = digest.or(tag.map(ManifestRef::Tag));
    Ok(Reference { location: parse_location(base)?, target })
}

/// Splits `:tag` off the end. The colon stands behind the last slash, and is not the one behind a scheme or before a port.
fn split_tag(base: &str) -> Result<(&str, Option<Tag>), String> {
    let Some((before, after)) = base.rsplit_once(':') else { return Ok((base, None)) };
    let is_after_scheme = is_scheme(before) && split_scheme(base).is_some();
    let is_port = !before.contains('/') && split_scheme(base).is_none();
    if after.contains('/') || is_after_scheme || is_port {
        return Ok((base, None));
    }
    match after.parse() {
        Ok(tag) => Ok((before, Some(tag))),
        Err(error) => Err(format!("{error}")),
    }
}

/// Splits a scheme off the front. A host with a port, such as `localhost:5000/a`, has none.
fn split_scheme(base: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = base.split_once(':').filter(|(scheme, _)| is_scheme(scheme))?;
    let first = rest.split('/').next().unwrap_or_default();
    let is_port = !first.is_empty() && first.bytes().all(|byte| byte.is_ascii_digit());
    let is_known = scheme == "oci" || BUCKET_SCHEMES.contains(&scheme);
    (is_known || !is_port).then_some((scheme, rest))
}

/// Unlike RFC 3986 section 3.1, a scheme has no dot here: a text with a dot is a host.
fn is_scheme(text: &str) -> bool {
    let rest = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-".contains(&byte);
    text.starts_with(|first: char| first.is_ascii_lowercase()) && text.bytes().all(rest)
}

fn parse_location(base: &str) -> Result<Location, String> {
    check_bucket_scheme(base)?;
    let Some((scheme, rest)) = split_scheme(base) else { return parse_registry(base) };
    match scheme {
        "https" if is_public_bucket(rest) => parse_bucket(scheme, base),
        "oci" if rest.is_empty() => Err("`oci:` needs a directory, as in `oci:packages`".to_owned()),
        "oci" => Ok(Location::Directory(rest.into())),
        scheme if BUCKET_SCHEMES.contains(&scheme) => parse_bucket(scheme, base),
        scheme => parse_other(scheme, rest),
    }
}

/// Refuses the way in which another program writes a place, with the text to write here.
fn refuse_foreign_scheme(text: &str) -> Result<(), String> {
    let Some((scheme, rest)) = split_scheme(text) else { return Ok(()) };
    if scheme == "https" && is_public_bucket(rest) {
        return Ok(());
    }
    let place = rest.strip_prefix("//").unwrap_or(rest);
    match scheme {
        scheme if WEB_SCHEMES.contains(&scheme) => {
            Err(format!("expected a registry without a scheme: write `{}`", place.trim_end_matches('/')))
        }
        "ocidir" => Err(format!("expected `oci:` for an image layout, found `ocidir:`: write `oci:{place}`")),
        scheme if CONTAINER_SCHEMES.contains(&scheme) => {
            Err(format!("expected an image layout: `skopeo copy {text} oci:layout` makes one"))
        }
        _ => Ok(()),
    }
}

/// Other programs' names of the schemes of buckets.
const FOREIGN_SCHEMES: [(&str, &str); 10] = [
    ("abfs", "az"),
    ("abfss", "az"),
    ("adl", "az"),
    ("azure", "az"),
    ("wasb", "az"),
    ("wasbs", "az"),
    ("gcp", "gs"),
    ("gcs", "gs"),
    ("s3a", "s3"),
    ("s3n", "s3"),
];

/// Refuses the scheme of a bucket in another spelling, with the right one.
fn check_bucket_scheme(base: &str) -> Result<(), String> {
    let Some((written, _)) = base.split_once("://") else { return Ok(()) };
    let small = written.to_ascii_lowercase();
    let foreign = FOREIGN_SCHEMES.iter().find(|(foreign, _)| *foreign == small).map(|(_, ours)| *ours);
    let own = BUCKET_SCHEMES.iter().find(|own| **own == small).copied();
    match foreign.or(own.filter(|own| *own != written)) {
        Some(right) => Err(format!("expected `{right}://`, found `{written}://`")),
        None => Ok(()),
    }
}

/// Tells whether the rest of an `https:` URL is at a server of public buckets: S3, Google Cloud Storage or Azure Blob Storage.
fn is_public_bucket(rest: &str) -> bool {
    let host = rest.strip_prefix("//").and_then(|rest| rest.split('/').next()).unwrap_or_default();
    let is_s3 =
        host.strip_suffix(".amazonaws.com").is_some_and(|host| host.split('.').any(|part| part == "s3"));
    is_s3 || host == "storage.googleapis.com" || host.ends_with(".blob.core.windows.net")
}

fn parse_bucket(scheme: &str, base: &str) -> Result<Location, String> {
    let rest = base.strip_prefix(scheme).and_then(|rest| rest.strip_prefix("://"));
    let bucket = rest.and_then(|rest| rest.split('/').next()).unwrap_or_default();
    let Some(rest) = rest.filter(|_| !bucket.is_empty()) else {
        return Err(format!("`{scheme}:` needs a bucket's name, as in `{scheme}://bucket/prefix`"));
    };
    if rest.contains([':', '@']) {
        return Err(format!("expected `{scheme}://BUCKET/PREFIX` without `:` and `@`"));
    }
    let url = base.trim_end_matches('/').to_owned();
    Ok(Location::Bucket { scheme: scheme.to_owned(), url })
}

fn parse_other(scheme: &str, address: &str) -> Result<Location, String> {
    if address.is_empty() {
        return Err(format!("`{scheme}:` needs an address behind it"));
    }
    if address.rsplit('/').next().is_some_and(|last| last.contains(':')) {
        return Err(format!("the last part of an address after `{scheme}:` has no colon"));
    }
    Ok(Location::Other { scheme: scheme.to_owned(), address: address.to_owned() })
}

fn parse_registry(base: &str) -> Result<Location, String> {
    const FORMS: &str =
        "write `HOST/NAME`, as in `ghcr.io/owner/name`, or `oci:DIRECTORY` for an image layout";
    let Some((host, name)) = base.split_once('/') else {
        return Err(format!("it has no repository name; {FORMS}"));
    };
    if !is_host(host) {
        return Err(format!(
            "expected a registry's host (a name with a dot or a port, or `localhost`), found `{host}`; {FORMS}"
        ));
    }
    let repository = name.parse().map_err(|error: ReferenceError| error.reason)?;
    Ok(Location::Registry { host: host.to_owned(), repository })
}

fn is_host(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) if address.parse::<std::net::Ipv6Addr>().is_ok() => {
            return port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        }
        Some(_) => return false,
        None => host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port))),
    };
    let labels = name
        .split('.')
        .all(|label| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
    labels && port.is_none_or(is_port) && (name.contains('.') || port.is_some() || name == "localhost")
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port > 0)
}

impl RepositoryName {
    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RepositoryName {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if text.len() <= 255 && text.split('/').all(is_path_component) {
            return Ok(Self(text.into()));
        }
        let reason = "a repository's name consists of lower-case letters, digits and single `.`, `_`, `-` between \
                      them, in parts divided by `/`";
        Err(ReferenceError { text: text.chars().take(300).collect(), reason: reason.to_owned() })
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*` (distribution-spec, "Pulling manifests").
fn is_path_component(component: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = component.as_bytes();
    let (Some(&first), Some(&last)) = (bytes.first(), bytes.last()) else { return false };
    let separators_fit = component.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit()).all(|gap| {
        gap.is_empty() || gap == "." || gap == "_" || gap == "__" || gap.bytes().all(|b| b == b'-')
    });
    word(first) && word(last) && separators_fit
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target {
            None => write!(formatter, "{}", self.location),
            Some(ManifestRef::Tag(tag)) => write!(formatter, "{}:{tag}", self.location),
            Some(ManifestRef::Digest(digest)) => write!(formatter, "{}@{digest}", self.location),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry { host, repository } => write!(formatter, "{host}/{repository}"),
            Self::Directory(path) => {
                let path = path.display().to_string();
                // Without the slash, the text behind the colon would be a tag.
                let end =
                    if path.rsplit('/').next().is_some_and(|name| name.contains(':')) { "/" } else { "" };
                write!(formatter, "oci:{path}{end}")
            }
            Self::Bucket { url, .. } => formatter.write_str(url),
            Self::Other { scheme, address } => write!(formatter, "{scheme}:{address}"),
        }
    }
}

impl fmt::Display for ManifestRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => formatter.write_str(tag.as_str()),
            Self::Digest(digest) => formatter.write_str(digest.as_str()),
        }
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl From<Tag> for ManifestRef {
    fn from(tag: Tag) -> Self {
        Self::Tag(tag)
    }
}

impl From<Digest> for ManifestRef {
    fn from(digest: Digest) -> Self {
        Self::Digest(digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_with_a_colon_in_its_name_keeps_it() {
        let digest = Digest::sha256_of(b"a");
        let text = format!("oci:a/b:c:v1@{digest}");
        let reference: Reference = text.parse().unwrap();
        assert_eq!(reference.location, Location::Directory("a/b:c".into()));
        assert_eq!(reference.to_string(), format!("oci:a/b:c/@{digest}"));
        assert_eq!(reference.to_string().parse::<Reference>().unwrap(), reference);
    }

    const DIGEST: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

    #[test]
    fn every_form_reads_and_writes_back() {
        let with_digest = format!("oci:a/b@{DIGEST}");
        for text in [
            "ghcr.io/owner/name",
            "ghcr.io/owner/name:dataset_10.18739_A2D795C92",
            "localhost:5000/a/b:t",
            "localhost/a",
            "[::1]:5000/a/b:t",
            "127.0.0.1:5000/a__b/c--d.e",
            "oci:packages",
            "oci:packages:v1",
            "oci:/data/my packages/ä:v1",
            "oci:a:b/c",
            "oci:2024/a",
            "oci:a@b",
            "oci:../x",
            "s3://bucket/prefix:v1",
            "https://bucket.s3.us-west-2.amazonaws.com/prefix:v1",
            "https://s3.us-west-2.amazonaws.com/bucket/prefix:v1",
            "https://storage.googleapis.com/bucket/prefix",
            "https://account.blob.core.windows.net/container/prefix",
            "gs://bucket",
            "tape:vault/7:v1",
            "tape:vault",
            "x-store://host:9000/vault/:v1",
            &with_digest,
        ] {
            assert_eq!(text.parse::<Reference>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_reference_splits_into_location_and_target() {
        let reference: Reference = "oci:a:b/c:v1".parse().unwrap();
        assert_eq!(reference.location, Location::Directory("a:b/c".into()));
        assert_eq!(reference.target, Some(ManifestRef::Tag("v1".parse().unwrap())));
        let both: Reference = format!("quay.io/n/r:latest@{DIGEST}").parse().unwrap();
        assert_eq!(both.target, Some(ManifestRef::Digest(DIGEST.parse().unwrap())));
        let port: Reference = "localhost:5000/a".parse().unwrap();
        assert_eq!(port.target, None);
        assert!(matches!(port.location, Location::Registry { .. }));
        let other: Reference = "tape:vault/7:v1".parse().unwrap();
        assert_eq!(
            other.location,
            Location::Other { scheme: "tape".to_owned(), address: "vault/7".to_owned() }
        );
        assert_eq!(other.target, Some(ManifestRef::Tag("v1".parse().unwrap())));
    }

    #[test]
    fn a_text_that_is_not_a_reference_is_refused_with_a_reason() {
        for (text, reason) in [
            ("", "no repository name"),
            ("name", "no repository name"),
            ("owner/name", "expected a registry's host"),
            ("ghcr.io/Owner/name", "lower-case"),
            ("ghcr.io/a..b/c", "lower-case"),
            ("ghcr.io/a/", "lower-case"),
            ("ghcr.io/a:-x", "not a tag"),
            ("ghcr.io/a@sha256:00", "not a digest"),
            ("localhost:99999/a", "expected a registry's host"),
            ("tape:7:v1", "no repository name"),
            ("https://ghcr.io/a", "without a scheme"),
            ("docker://ghcr.io/a:v1", "without a scheme: write `ghcr.io/a:v1`"),
            ("ocidir://store:v1", "write `oci:store:v1`"),
            ("docker-daemon:a:v1", "skopeo copy docker-daemon:a:v1"),
            ("tape:", "needs an address"),
            ("tape:a:b:c", "no colon"),
            ("oci:", "needs a directory"),
            ("s3://", "needs a bucket"),
            ("S3://bucket/x", "expected `s3://`, found `S3://`"),
            ("gcs://bucket/x", "expected `gs://`"),
            ("abfss://container/x", "expected `az://`"),
            ("https://ghcr.io/a/b", "without a scheme"),
            ("s3:///x", "needs a bucket"),
            ("s3:bucket", "needs a bucket"),
        ] {
            let error = text.parse::<Reference>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_reference_means_the_same_when_written(text in "(oci:|s3://|ghcr.io/|tape:|)[a-z./:@_-]{0,30}") {
            if let Ok(reference) = text.parse::<Reference>() {
                proptest::prop_assert_eq!(reference.to_string().parse::<Reference>(), Ok(reference));
            }
        }
    }
}
