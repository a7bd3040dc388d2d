//! The conformance suite on real registries, with the exact list of the checks that each cannot fulfil.

use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::Arc;

use ferro_blob_store::InMemoryBlobStore;
use ferro_oci_server::AppState;
use ferro_oci_server::registry::InMemoryRegistryMeta;
use registry_conformance::conformance::{EmptyRepository, Need, Report, checks_that_need, run_suite};

use crate::support::Client;
use crate::support::docker_registry::{Authentication, DockerRegistry};
use crate::support::token_server::TokenServer;

#[tokio::test(flavor = "multi_thread")]
async fn docker_registry_without_authentication() {
    let Some(registry) = DockerRegistry::start(&Authentication::None) else { return };
    let client = Client::new(&registry.host, None);
    check(&run_on(&client, DOCKER_LACKS).await, DOCKER_LACKS);
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_registry_with_basic_authentication() {
    let folder = tempfile::tempdir().unwrap();
    let users = folder.path().join("users");
    let made = Command::new("htpasswd").args(["-Bbc"]).arg(&users).args(["alice", "s3cret"]).status();
    if !made.is_ok_and(|status| status.success()) {
        println!("skipped: `htpasswd` is not installed");
        return;
    }
    let Some(registry) = DockerRegistry::start(&Authentication::Basic(&users)) else { return };
    let client = Client::new(&registry.host, Some(("alice", "s3cret")));
    check(&run_on(&client, DOCKER_LACKS).await, DOCKER_LACKS);
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_registry_with_tokens_of_five_seconds() {
    let tokens = TokenServer::start("alice", "s3cret").await;
    let folder = tempfile::tempdir().unwrap();
    let certificate = folder.path().join("certificate.pem");
    std::fs::write(&certificate, &tokens.certificate_pem).unwrap();
    let authentication = Authentication::Bearer { realm: tokens.realm.clone(), certificate: &certificate };
    let Some(registry) = DockerRegistry::start(&authentication) else { return };
    let client = Client::new(&registry.host, Some(("alice", "s3cret")));
    let report = run_on(&client, DOCKER_LACKS).await;
    check(&report, DOCKER_LACKS);
    let repositories = (report.passed.len() + report.skipped.len()) as u64;
    assert!(
        tokens.issued() <= 3 * repositories,
        "{} tokens for {repositories} repositories",
        tokens.issued()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_with_native_referrers() {
    // It keeps the blobs of all repositories in one place: each check gets a registry of its own.
    let report = run_suite(|| async {
        let client = Client::new(&start_ferro().await, None);
        repository(&client, FERRO_LACKS).await
    })
    .await;
    check(&report, FERRO_LACKS);
}

async fn start_ferro() -> String {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let state = AppState::new(Arc::new(InMemoryBlobStore::new()), Arc::new(InMemoryRegistryMeta::new()));
    tokio::spawn(async move { axum::serve(listener, ferro_oci_server::router(state)).await });
    host
}

/// Version 2.8 stores what is sent with a SHA-512 digest under the SHA-256 one.
const DOCKER_LACKS: &[Need] = &[Need::Sha512, Need::BlobLimit, Need::Pruner];

/// It answers to a range with the whole blob, and takes manifests with SHA-256 digests only.
const FERRO_LACKS: &[Need] = &[Need::RangeReads, Need::Sha512, Need::BlobLimit, Need::Pruner];

async fn run_on(client: &Client, lacks: &[Need]) -> Report {
    run_suite(|| repository(client, lacks)).await
}

async fn repository(client: &Client, lacks: &[Need]) -> EmptyRepository {
    let name = client.unused_name();
    EmptyRepository::shared(client.open(&name).await).with_second(client.second(&name)).lacking(lacks)
}

/// Asserts that nothing failed, and that exactly the checks were skipped that need what the registry lacks.
fn check(report: &Report, lacks: &[Need]) {
    assert!(report.failed.is_empty(), "{report}");
    assert_eq!(report.skipped_names(), checks_that_need(lacks), "{report}");
}
