//! The least client that the tests need: it follows nothing and repeats nothing.

use oci_model::{Descriptor, Digest, ImageManifest, ManifestRef, MediaType, RawManifest};
use registry_conformance::scripted::{Config, Preset, ScriptedRegistry};
use reqwest::{Client, Method, RequestBuilder, Response};

/// A registry with a client for it.
pub(crate) struct Session {
    pub(crate) registry: ScriptedRegistry,
    client: Client,
}

pub(crate) const REPOSITORY: &str = "owner/name";
pub(crate) const ALL_MANIFESTS: &str =
    "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json";

impl Session {
    pub(crate) async fn start(config: Config) -> Self {
        // The HTTP client wants one even where nothing is encrypted; the first one stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy();
        let registry = ScriptedRegistry::start(config).await.unwrap();
        Self { registry, client: client.build().unwrap() }
    }

    pub(crate) async fn preset(preset: Preset) -> Self {
        Self::start(Config::new(preset)).await
    }

    /// A request for a path or URL.
    pub(crate) fn request(&self, method: &str, uri: &str) -> RequestBuilder {
        let url = if uri.starts_with('/') { self.registry.url() + uri } else { uri.to_owned() };
        self.client.request(method.parse::<Method>().unwrap(), url)
    }

    /// A request without anything else.
    pub(crate) async fn send(&self, method: &str, uri: &str) -> Response {
        self.request(method, uri).header("accept", ALL_MANIFESTS).send().await.unwrap()
    }

    /// Opens an upload and returns its location.
    pub(crate) async fn start_upload(&self) -> String {
        let uri = format!("/v2/{REPOSITORY}/blobs/uploads/");
        let answer = self.request("POST", &uri).header("content-length", "0").send().await.unwrap();
        assert_eq!(answer.status(), 202);
        header(&answer, "location").unwrap()
    }

    /// `PUT` with the digest of `whole` and this content.
    pub(crate) fn commit(&self, location: &str, whole: &[u8], content: &[u8]) -> RequestBuilder {
        let uri = with_field(location, &format!("digest={}", Digest::sha256_of(whole)));
        self.request("PUT", &uri).body(content.to_vec())
    }

    /// `PATCH` with `Content-Range`.
    pub(crate) fn chunk(&self, location: &str, start: usize, content: &[u8]) -> RequestBuilder {
        let range = format!("{start}-{}", (start + content.len()).saturating_sub(1));
        self.request("PATCH", location).header("content-range", range).body(content.to_vec())
    }

    /// Uploads a blob with one `PUT`.
    pub(crate) async fn push(&self, content: &[u8]) -> Digest {
        let location = self.start_upload().await;
        assert_eq!(self.commit(&location, content, content).send().await.unwrap().status(), 201);
        Digest::sha256_of(content)
    }

    /// Asks for a blob.
    pub(crate) async fn blob(&self, digest: &Digest) -> Response {
        self.send("GET", &blob_uri(digest)).await
    }

    /// Puts a manifest under a tag or digest.
    pub(crate) async fn put_manifest(&self, name: &str, raw: &RawManifest) -> Response {
        let uri = format!("/v2/{REPOSITORY}/manifests/{name}");
        let request = self.request("PUT", &uri).header("content-type", raw.media_type().as_str());
        request.body(raw.bytes().to_vec()).send().await.unwrap()
    }

    /// The size of a blob in the registry, past HTTP.
    pub(crate) fn stored(&self, content: &[u8]) -> Option<u64> {
        self.registry.blob_size(REPOSITORY, &Digest::sha256_of(content))
    }
}

pub(crate) fn blob_uri(digest: &Digest) -> String {
    format!("/v2/{REPOSITORY}/blobs/{digest}")
}

pub(crate) fn with_field(location: &str, field: &str) -> String {
    let separator = if location.contains('?') { '&' } else { '?' };
    format!("{location}{separator}{field}")
}

pub(crate) fn header(answer: &Response, name: &str) -> Option<String> {
    Some(answer.headers().get(name)?.to_str().unwrap().to_owned())
}

/// The code of the first error in a body.
pub(crate) async fn code(answer: Response) -> String {
    let body: serde_json::Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    body["errors"][0]["code"].as_str().unwrap().to_owned()
}

/// A manifest without layers; the registry gets its configuration.
pub(crate) fn artifact(
    registry: &ScriptedRegistry,
    note: &str,
    subject: Option<&RawManifest>,
) -> RawManifest {
    registry.put_blob(REPOSITORY, Descriptor::EMPTY_CONTENT).unwrap();
    let artifact_type = MediaType::from_static("application/vnd.example.thing");
    let mut manifest = ImageManifest::new(artifact_type, Descriptor::empty());
    manifest.annotations.insert("note".to_owned(), note.to_owned());
    manifest.subject = subject.map(RawManifest::descriptor);
    RawManifest::from_image(&manifest)
}

pub(crate) fn tag(text: &str) -> ManifestRef {
    ManifestRef::Tag(text.parse().unwrap())
}
