//! The conformance suite on a registry that behaves as GitHub's, and its packages interface.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{OriginalUri, Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use backend_ghcr::{GithubPackages, profile};
use distribution_client::{
    ClientOptions, Deleted, FixedCredential, ManifestDeleter as _, Profile, Registries, RegistryFactory,
    Secret, VendorPlace, VendorRepository as _, Visibility,
};
use oci_model::{Digest, Location, Reference};
use registry_backend::{Access, BackendFactory as _, ErrorKind, Fit, OpenOptions, RegistryBackend};
use registry_conformance::conformance::{EmptyRepository, Need, checks_that_need, run_suite};
use registry_conformance::scripted::{Auth, Config, Preset, ScriptedRegistry, User};
use serde_json::{Value, json};

const TOKEN: &str = "ghp_example";

fn fast() -> Profile {
    let mut profile = profile();
    profile.retry.attempts = 6;
    profile.retry.first_wait = Duration::from_millis(1);
    profile.retry.limited_wait = Duration::from_millis(1);
    profile.commit_checks = vec![Duration::ZERO];
    profile.budget.requests_per_second = 10_000.0;
    profile
}

fn options(host: &str) -> ClientOptions {
    let credential = profile().token_credential(Secret::new(TOKEN)).unwrap();
    ClientOptions::default().with_credentials(FixedCredential::new(host, credential))
}

fn factory(host: &str, interface: &str) -> RegistryFactory {
    RegistryFactory::new(Arc::new(Registries::new(options(host))), fast()).with_interface(host, interface)
}

fn packages(interface: &str) -> GithubPackages {
    let host = "ghcr.example";
    let repository = "owner/some/name".parse().unwrap();
    let place =
        VendorPlace { interface, host, repository: &repository, profile: &fast(), options: &options(host) };
    GithubPackages::new(&place).unwrap()
}

fn location(host: &str) -> Location {
    Location::Registry { host: host.to_owned(), repository: "owner/some/name".parse().unwrap() }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_backend_conforms_on_a_registry_like_githubs() {
    let lacks = [Need::Sha512, Need::DeleteManifest, Need::DeleteTag, Need::Pruner, Need::SecondValue];
    let report = run_suite(|| async {
        let auth = Auth::bearer(vec![User::new("owner", TOKEN)]);
        let registry = ScriptedRegistry::start(Config::new(Preset::Ghcr).with_auth(auth)).await.unwrap();
        let factory = factory(registry.host(), "http://localhost:1");
        let opened =
            factory.open(&location(registry.host()), &OpenOptions::new(Access::Create)).await.unwrap();
        EmptyRepository::shared(Arc::from(opened)).lacking(&lacks).keeping(registry)
    })
    .await;
    assert!(report.failed.is_empty(), "{report}");
    assert_eq!(report.skipped_names(), checks_that_need(&lacks), "{report}");
}

#[tokio::test]
async fn github_is_opened_and_nothing_else() {
    let factory = RegistryFactory::new(Arc::default(), profile())
        .with_interface("containers.example", "https://example/api/v3");
    for (text, fit, reason) in [
        ("ghcr.io/owner/name", Fit::Exact, ""),
        ("ghcr.io/owner/name/below", Fit::Exact, ""),
        ("containers.example/owner/name", Fit::Exact, ""),
        ("ghcr.io/name", Fit::Exact, "with an owner"),
        ("quay.io/owner/name", Fit::No, "interface of `quay.io` is not known"),
        ("oci:packages", Fit::No, "expected a registry's"),
    ] {
        let location = text.parse::<Reference>().unwrap().location;
        assert_eq!(factory.fit(&location), fit, "{text}");
        match factory.open(&location, &OpenOptions::new(Access::Read)).await {
            Ok(backend) => assert_eq!((backend.to_string().as_str(), reason), (text, "")),
            Err(error) => assert!(!reason.is_empty() && error.to_string().contains(reason), "{error}"),
        }
    }
}

/// GitHub's interface, as far as it is used, with a package that has 150 versions.
#[derive(Default)]
struct Github {
    versions: Mutex<BTreeMap<u64, String>>,
    deleted: Mutex<BTreeMap<u64, String>>,
    asked: Mutex<Vec<String>>,
}

impl Github {
    async fn start(owner_kind: &'static str) -> (String, Arc<Self>) {
        let github = Arc::new(Self::default());
        *github.versions.lock().unwrap() = (1..=150)
            .map(|id| (id, Digest::sha256_of(&[id]).to_string()))
            .map(|(id, d)| (u64::from(id), d))
            .collect();
        let owners = if owner_kind == "Organization" { "orgs" } else { "users" };
        let router = Router::new()
            .route("/users/{owner}", get(move || async move { Json(json!({ "type": owner_kind })) }))
            .route(&format!("/{owners}/{{owner}}/packages/container/{{name}}"), get(package).delete(done))
            .route(&format!("/{owners}/{{owner}}/packages/container/{{name}}/restore"), post(done))
            .route(
                &format!("/{owners}/{{owner}}/packages/container/{{name}}/versions/{{id}}/restore"),
                post(restore_version),
            )
            .route(&format!("/{owners}/{{owner}}/packages/container/{{name}}/versions"), get(versions))
            .route(
                &format!("/{owners}/{{owner}}/packages/container/{{name}}/versions/{{id}}"),
                delete(delete_version),
            )
            .with_state(github.clone());
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let interface = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (interface, github)
    }
}

async fn package(Path((owner, name)): Path<(String, String)>) -> Json<Value> {
    assert_eq!((owner.as_str(), name.as_str()), ("owner", "some/name"));
    Json(json!({
        "visibility": "private", "version_count": 150,
        "html_url": "https://github.com/orgs/owner/packages/container/x",
    }))
}

/// Notes a request that changes the whole package.
async fn done(
    State(github): State<Arc<Github>>,
    method: axum::http::Method,
    OriginalUri(uri): OriginalUri,
) -> StatusCode {
    github.asked.lock().unwrap().push(format!("{method} {uri}"));
    StatusCode::NO_CONTENT
}

async fn restore_version(
    State(github): State<Arc<Github>>,
    Path((_, _, id)): Path<(String, String, u64)>,
) -> StatusCode {
    let Some(name) = github.deleted.lock().unwrap().remove(&id) else { return StatusCode::NOT_FOUND };
    github.versions.lock().unwrap().insert(id, name);
    StatusCode::NO_CONTENT
}

async fn versions(
    State(github): State<Arc<Github>>,
    OriginalUri(uri): OriginalUri,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    github.asked.lock().unwrap().push(uri.to_string());
    if headers.get("authorization").is_none_or(|value| value != &format!("Bearer {TOKEN}")) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let query = query.unwrap_or_default();
    let is_second = query.contains("&page=2") || query.starts_with("page=2");
    let state = if query.contains("state=deleted") { &github.deleted } else { &github.versions };
    let versions = state.lock().unwrap();
    let page: Vec<Value> = versions
        .iter()
        .skip(if is_second { 100 } else { 0 })
        .take(100)
        .map(|(id, name)| json!({ "id": id, "name": name, "metadata": { "container": { "tags": [id.to_string()] } } }))
        .collect();
    let link = format!("<{}?page=2>; rel=\"next\"", uri.path());
    if is_second { Json(page).into_response() } else { ([("link", link)], Json(page)).into_response() }
}

async fn delete_version(
    State(github): State<Arc<Github>>,
    Path((_, _, id)): Path<(String, String, u64)>,
) -> Response {
    if id == 1 {
        let message = "You cannot delete the last tagged version of a package.";
        return (StatusCode::BAD_REQUEST, Json(json!({ "message": message }))).into_response();
    }
    match github.versions.lock().unwrap().remove(&id) {
        Some(name) => {
            github.deleted.lock().unwrap().insert(id, name);
            StatusCode::NO_CONTENT.into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

#[tokio::test]
async fn versions_are_found_and_deleted_for_organizations_and_users() {
    for kind in ["Organization", "User"] {
        let (interface, github) = Github::start(kind).await;
        let packages = packages(&interface);
        let versions = packages.versions().await.unwrap();
        assert_eq!(versions.len(), 150);
        assert_eq!((versions[149].id, versions[149].tags.as_slice()), (150, ["150".to_owned()].as_slice()));
        assert!(github.asked.lock().unwrap()[0].contains("/some%2Fname/versions"));

        packages.delete_manifest(&versions[120].digest).await.unwrap();
        assert_eq!(packages.versions().await.unwrap().len(), 149);
        let error = packages.delete_manifest(&versions[120].digest).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        let error = packages.delete_manifest(&versions[0].digest).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(error.to_string().contains("delete the package instead"), "{error}");
    }
}

#[tokio::test]
async fn the_page_for_changing_visibility_is_named() {
    let (interface, _) = Github::start("Organization").await;
    let packages = packages(&interface);
    let facts = packages.show().await.unwrap();
    let page = "https://github.com/orgs/owner/packages/container/x/settings";
    assert_eq!((facts.visibility.as_str(), facts.visibility_page.as_deref()), ("private", Some(page)));
    assert_eq!(facts.versions, Some(150));
    let error = packages.set_visibility(Visibility::Public).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains(page), "{error}");
}

#[tokio::test]
async fn packages_and_versions_are_deleted_and_restored() {
    let (interface, github) = Github::start("User").await;
    let packages = packages(&interface);
    let deleted = Digest::sha256_of(&[121]);
    packages.delete_manifest(&deleted).await.unwrap();
    let restored = packages.restore(&Deleted::Manifest(deleted.clone())).await.unwrap();
    assert_eq!(restored, Some(deleted.clone()));
    assert_eq!(packages.versions().await.unwrap().len(), 150);
    let error = packages.restore(&Deleted::Manifest(deleted)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    let tag = "v1".parse().unwrap();
    let error = packages.restore(&Deleted::Tag(tag, None)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    packages.delete().await.unwrap();
    packages.restore(&Deleted::Repository).await.unwrap();
    let asked = github.asked.lock().unwrap().clone();
    let package = "/users/owner/packages/container/some%2Fname";
    assert_eq!(asked[asked.len() - 2..], [format!("DELETE {package}"), format!("POST {package}/restore")]);
}

#[tokio::test]
async fn deleting_goes_through_the_interface() {
    use oci_model::{Descriptor, ImageManifest, RawManifest};
    let registry = ScriptedRegistry::start(Config::new(Preset::Ghcr)).await.unwrap();
    let (interface, github) = Github::start("Organization").await;
    let backend: Box<dyn RegistryBackend> = factory(registry.host(), &interface)
        .open(&location(registry.host()), &OpenOptions::new(Access::Modify))
        .await
        .unwrap();
    let manifest = ImageManifest::new("text/csv".parse().unwrap(), Descriptor::empty());
    let raw = RawManifest::from_image(&manifest);
    registry.put_manifest("owner/some/name", &raw.digest().clone().into(), &raw);
    github.versions.lock().unwrap().insert(7000, raw.digest().to_string());
    backend.admin().unwrap().delete_manifest(raw.digest()).await.unwrap();
    assert!(!github.versions.lock().unwrap().contains_key(&7000));
}
