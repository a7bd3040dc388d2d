//! The conformance suite on a registry that behaves as Quay, and its REST interface.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::{Json, Router};
use backend_quay::{QuayApi, profile};
use distribution_client::{
    ClientOptions, Credential, Deleted, FixedCredential, Profile, Registries, RegistryFactory, Secret,
    VendorPlace, VendorRepository as _, Visibility,
};
use oci_model::{Descriptor, Digest, ImageManifest, Location, MediaType, RawManifest, Reference, Tag};
use registry_backend::{
    Access, BackendFactory as _, BlobSource as _, BytesSource, ErrorKind, Fit, OpenOptions, WriteHint,
    Written,
};
use registry_conformance::conformance::{EmptyRepository, Need, checks_that_need, run_suite};
use registry_conformance::scripted::{Auth, Config, Preset, Route, ScriptedRegistry, User};
use serde_json::{Value, json};

fn fast() -> Profile {
    let mut profile = profile().at("quay.example");
    profile.retry.attempts = 6;
    profile.retry.first_wait = Duration::from_millis(1);
    profile.commit_checks = vec![Duration::ZERO];
    profile.budget.requests_per_second = 10_000.0;
    profile
}

fn options(host: &str, username: &str, password: &str) -> ClientOptions {
    let credential = Credential::Password { username: username.to_owned(), password: Secret::new(password) };
    ClientOptions::default().with_credentials(FixedCredential::new(host, credential))
}

const REPOSITORY: &str = "namespace/name/below";

fn location(host: &str) -> Location {
    Location::Registry { host: host.to_owned(), repository: REPOSITORY.parse().unwrap() }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_backend_conforms_on_a_registry_like_quay() {
    let lacks = [Need::Sha512, Need::Pruner, Need::SecondValue, Need::KeptDigests, Need::DeleteReferrers];
    let report = run_suite(|| async {
        let auth = Auth::bearer(vec![User::new("namespace+robot", "s3cret")]);
        let config = Config::new(Preset::Quay).with_auth(auth);
        let registry = ScriptedRegistry::start(config).await.unwrap();
        // An absent repository looks private.
        registry.create_repository(REPOSITORY);
        let options = options(registry.host(), "namespace+robot", "s3cret");
        let factory = RegistryFactory::new(Arc::new(Registries::new(options)), fast());
        let opened =
            factory.open(&location(registry.host()), &OpenOptions::new(Access::Create)).await.unwrap();
        EmptyRepository::shared(Arc::from(opened)).lacking(&lacks).keeping(registry)
    })
    .await;
    assert!(report.failed.is_empty(), "{report}");
    assert_eq!(report.skipped_names(), checks_that_need(&lacks), "{report}");
}

#[tokio::test]
async fn a_blob_that_is_already_there_gets_a_new_lease_by_one_request() {
    let registry = ScriptedRegistry::start(Config::new(Preset::Quay)).await.unwrap();
    let factory = RegistryFactory::new(Arc::default(), fast());
    let backend = factory.open(&location(registry.host()), &OpenOptions::new(Access::Create)).await.unwrap();
    let content = BytesSource::new(b"content".to_vec());
    let hint = WriteHint::default();
    assert_eq!(backend.write_blob(&content, &hint).await.unwrap(), Written::Uploaded);
    // Twice as long as the lease: a push that takes long, or one that was interrupted and begins again, writes its blobs again.
    for _ in 0..2 {
        registry.pass_time(Duration::from_secs(3000));
        registry.collect_garbage();
        registry.forget_requests();
        assert_eq!(backend.write_blob(&content, &hint).await.unwrap(), Written::AlreadyThere);
        let asked: Vec<_> = registry.requests().into_iter().map(|request| request.route).collect();
        assert_eq!(asked, [Route::Mount]);
    }
    registry.pass_time(Duration::from_secs(3000));
    registry.collect_garbage();
    let config = Descriptor::new(MediaType::from_static("text/csv"), content.digest().clone(), 7);
    let manifest = RawManifest::from_image(&ImageManifest::new(MediaType::from_static("text/csv"), config));
    let tag: Tag = "v1".parse().unwrap();
    backend.write_manifest(&tag.into(), &manifest).await.unwrap();
}

#[tokio::test]
async fn quay_is_opened_and_others_on_request() {
    let factory = RegistryFactory::new(Arc::default(), profile()).with_host("quay.example");
    for (text, fit) in [
        ("quay.io/namespace/name", Fit::Exact),
        ("quay.example/namespace/name", Fit::Exact),
        ("registry.example/namespace/name", Fit::OnRequest),
        ("oci:packages", Fit::No),
    ] {
        let location = text.parse::<Reference>().unwrap().location;
        assert_eq!(factory.fit(&location), fit, "{text}");
        let opened = factory.open(&location, &OpenOptions::new(Access::Read)).await;
        assert_eq!(opened.is_ok(), fit > Fit::No, "{text}");
    }
}

type Asked = Arc<Mutex<Vec<(String, Value)>>>;

/// An interface that agrees to everything, but for a repository that is not there.
async fn start() -> (String, Asked) {
    let asked = Asked::default();
    let router = Router::new().fallback(answer).with_state(asked.clone());
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (host, asked)
}

async fn answer(State(asked): State<Asked>, request: Request) -> (StatusCode, Json<Value>) {
    assert_eq!(request.headers().get("authorization").unwrap(), "Bearer oauth-token");
    let line = format!("{} {}", request.method(), request.uri());
    let body = axum::body::to_bytes(request.into_body(), 10_000).await.unwrap();
    asked.lock().unwrap().push((line.clone(), serde_json::from_slice(&body).unwrap_or_default()));
    if line.contains("/absent") {
        return (StatusCode::NOT_FOUND, Json(json!({ "error_message": "Not Found", "title": "not_found" })));
    }
    let answer = match line {
        line if line.contains("includeTags") => json!({
            "is_public": false, "description": "data", "can_write": true, "tag_expiration_s": 1_209_600,
        }),
        line if line.contains("specificTag") => json!({ "tags": [
            { "name": "v1", "manifest_digest": digest(2).to_string() },
            { "name": "v1", "manifest_digest": digest(1).to_string() },
        ] }),
        _ => json!({ "success": true }),
    };
    (StatusCode::OK, Json(answer))
}

fn digest(number: u8) -> Digest {
    Digest::sha256_of(&[number])
}

fn api(host: &str, repository: &str) -> registry_backend::Result<QuayApi> {
    let options = options(host, "$oauthtoken", "oauth-token");
    let scheme = if options.speaks_plainly_to(host) { "http" } else { "https" };
    let interface = &format!("{scheme}://{host}/api/v1");
    let profile = &fast();
    let repository = &repository.parse().unwrap();
    QuayApi::new(&VendorPlace { interface, host, repository, profile, options: &options })
}

#[tokio::test]
async fn the_interface_is_asked_as_quay_documents_it() {
    let (host, asked) = start().await;
    let api_of = |repository| api(&host, repository).unwrap();
    let api = api_of(REPOSITORY);
    let tag: Tag = "v1".parse().unwrap();
    api.create(Visibility::Private, "data").await.unwrap();
    api.set_visibility(Visibility::Public).await.unwrap();
    api.set_tag_expiry(&tag, Some(UNIX_EPOCH + Duration::from_secs(1_800_000_000))).await.unwrap();
    api.set_tag_expiry(&tag, None).await.unwrap();
    let facts = api.show().await.unwrap();
    assert_eq!((facts.visibility.as_str(), facts.is_writable), ("private", Some(true)));
    assert_eq!(facts.restorable_seconds, Some(1_209_600));
    assert_eq!(facts.page, Some(format!("http://{host}/repository/{REPOSITORY}")));
    let restored = api.restore(&Deleted::Tag(tag.clone(), None)).await.unwrap();
    assert_eq!(restored, Some(digest(2)), "the newest");
    api.restore(&Deleted::Tag(tag, Some(digest(1)))).await.unwrap();
    let whole = api.restore(&Deleted::Repository).await.unwrap_err();
    assert_eq!(whole.kind(), ErrorKind::Unsupported);
    api.delete().await.unwrap();
    let error = api_of("namespace/absent").delete().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let asked: Vec<_> = asked.lock().unwrap().clone();
    let repository = "/api/v1/repository/namespace/name/below";
    let restored = |number| json!({ "manifest_digest": digest(number).to_string() });
    let expected = [
        (
            "POST /api/v1/repository".to_owned(),
            json!({
                "namespace": "namespace", "repository": "name/below", "visibility": "private",
                "description": "data", "repo_kind": "image",
            }),
        ),
        (format!("POST {repository}/changevisibility"), json!({ "visibility": "public" })),
        (format!("PUT {repository}/tag/v1"), json!({ "expiration": 1_800_000_000 })),
        (format!("PUT {repository}/tag/v1"), json!({ "expiration": null })),
        (format!("GET {repository}?includeTags=false"), Value::Null),
        (format!("GET {repository}/tag/?specificTag=v1&onlyActiveTags=false&limit=100"), Value::Null),
        (format!("POST {repository}/tag/v1/restore"), restored(2)),
        (format!("POST {repository}/tag/v1/restore"), restored(1)),
        (format!("DELETE {repository}"), Value::Null),
        ("DELETE /api/v1/repository/namespace/absent".to_owned(), Value::Null),
    ];
    assert_eq!(asked, expected);
}

#[test]
fn a_token_is_not_sent_in_the_open() {
    let options = options("quay.example", "$oauthtoken", "oauth-token");
    let place = VendorPlace {
        interface: "http://quay.example/api/v1",
        host: "quay.example",
        repository: &REPOSITORY.parse().unwrap(),
        profile: &fast(),
        options: &options,
    };
    let error = QuayApi::new(&place).unwrap_err();
    assert!(error.to_string().contains("https only"), "{error}");
}
