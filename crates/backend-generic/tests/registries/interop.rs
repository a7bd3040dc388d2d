//! Other clients and this one read each other's content byte for byte.

use std::path::Path;
use std::process::Command;

use futures::TryStreamExt;
use oci_model::{Annotations, Descriptor, ImageManifest, ManifestRef, RawManifest};
use registry_backend::{BytesSource, RegistryBackend, RegistryBackendExt as _, WriteHint};
use registry_conformance::pseudo_random;

use crate::support::Client;
use crate::support::docker_registry::{Authentication, DockerRegistry};

const NAME: &str = "group/dataset";

/// Runs a program and returns its output, or `None` if it is not installed.
fn run(folder: &Path, program: &str, arguments: &[&str]) -> Option<Vec<u8>> {
    // `cargo xtask peers` puts them there.
    let own = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/peers/bin")).join(program);
    let place = if own.is_file() { own.as_path() } else { Path::new(program) };
    let output = match Command::new(place).args(arguments).current_dir(folder).output() {
        Ok(output) => output,
        Err(_) => {
            println!("skipped: `{program}` is not installed");
            return None;
        }
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
    Some(output.stdout)
}

fn tag(text: &str) -> ManifestRef {
    ManifestRef::Tag(text.parse().unwrap())
}

/// Stores an artifact with one file.
async fn push(backend: &dyn RegistryBackend, content: &[u8]) -> RawManifest {
    let empty = BytesSource::new(Descriptor::EMPTY_CONTENT);
    backend.write_blob(&empty, &WriteHint::default()).await.unwrap();
    let file = BytesSource::new(content.to_vec());
    backend.write_blob(&file, &WriteHint::default()).await.unwrap();
    let mut manifest =
        ImageManifest::new("application/vnd.example.thing".parse().unwrap(), Descriptor::empty());
    let digest = oci_model::Digest::sha256_of(content);
    let layer = Descriptor::new("text/csv".parse().unwrap(), digest, content.len() as u64);
    manifest.layers.push(layer.with_annotation("org.opencontainers.image.title", "table.csv"));
    manifest.annotations = Annotations::from([("org.example.number".to_owned(), "1".to_owned())]);
    let raw = RawManifest::from_image(&manifest);
    backend.write_manifest(&tag("v1"), &raw).await.unwrap();
    raw
}

#[tokio::test(flavor = "multi_thread")]
async fn other_clients_read_what_is_written() {
    let Some(registry) = DockerRegistry::start(&Authentication::None) else { return };
    let client = Client::new(&registry.host, None);
    let backend = client.open(NAME).await;
    let content = pseudo_random(1, 300_000);
    let raw = push(&*backend, &content).await;
    let folder = tempfile::tempdir().unwrap();
    let reference = format!("{}/{NAME}:v1", registry.host);

    if run(folder.path(), "oras", &["pull", "--plain-http", &reference]).is_some() {
        assert!(std::fs::read(folder.path().join("table.csv")).unwrap() == content);
    }
    if let Some(manifest) = run(folder.path(), "crane", &["manifest", "--insecure", &reference]) {
        assert_eq!(manifest, raw.bytes());
    }
    let docker = format!("docker://{reference}");
    let inspect = ["inspect", "--tls-verify=false", "--raw", &docker];
    if let Some(manifest) = run(folder.path(), "skopeo", &inspect) {
        assert_eq!(manifest, raw.bytes());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_other_clients_write_is_read() {
    let Some(registry) = DockerRegistry::start(&Authentication::None) else { return };
    let client = Client::new(&registry.host, None);
    let backend = client.open(NAME).await;
    let folder = tempfile::tempdir().unwrap();
    let content = pseudo_random(2, 300_000);
    std::fs::write(folder.path().join("table.csv"), &content).unwrap();
    let reference = format!("{}/{NAME}:v2", registry.host);
    let push = [
        "push",
        "--plain-http",
        "--artifact-type",
        "application/vnd.example.thing",
        &reference,
        "table.csv:text/csv",
    ];
    if run(folder.path(), "oras", &push).is_none() {
        return;
    }
    let (raw, manifest) = backend.read_image_manifest(&tag("v2")).await.unwrap();
    let read = backend.read_blob_to_memory(&manifest.layers[0], 1 << 20).await.unwrap();
    assert!(read == content);

    let copy = format!("{}/{NAME}:v3", registry.host);
    if run(folder.path(), "crane", &["copy", "--insecure", &reference, &copy]).is_some() {
        assert_eq!(backend.read_manifest(&tag("v3")).await.unwrap(), raw);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn referrers_of_one_client_are_referrers_of_the_other() {
    let Some(registry) = DockerRegistry::start(&Authentication::None) else { return };
    let client = Client::new(&registry.host, None);
    let backend = client.open(NAME).await;
    let subject = push(&*backend, b"1,2,3").await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("note.txt"), "text").unwrap();
    let reference = format!("{}/{NAME}:v1", registry.host);
    let attach = [
        "attach",
        "--plain-http",
        "--artifact-type",
        "application/vnd.example.theirs",
        &reference,
        "note.txt:text/plain",
    ];
    if run(folder.path(), "oras", &attach).is_none() {
        return;
    }
    let mut ours = ImageManifest::new("application/vnd.example.ours".parse().unwrap(), Descriptor::empty());
    ours.subject = Some(subject.descriptor());
    let ours = RawManifest::from_image(&ours);
    backend.write_manifest(&ours.digest().clone().into(), &ours).await.unwrap();

    let found: Vec<Descriptor> = backend.referrers(subject.digest(), None).try_collect().await.unwrap();
    let mut kinds: Vec<_> = found.iter().filter_map(|found| found.artifact_type.as_ref()).collect();
    kinds.sort();
    assert_eq!(kinds, ["application/vnd.example.ours", "application/vnd.example.theirs"]);

    let discover = ["discover", "--plain-http", "--format", "json", &reference];
    let seen = run(folder.path(), "oras", &discover).unwrap();
    let seen: serde_json::Value = serde_json::from_slice(&seen).unwrap();
    let listed = seen["referrers"].as_array().or(seen["manifests"].as_array()).unwrap();
    assert_eq!(listed.len(), 2, "{seen}");
}
