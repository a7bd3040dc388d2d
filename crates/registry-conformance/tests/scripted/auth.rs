//! Basic, tokens, scopes: who is let in, and who is asked for what.

use std::time::Duration;

use oci_model::Digest;
use registry_conformance::scripted::{
    Action, Auth, BearerAuth, Config, Credentials, Fault, Preset, Route, Server, User, When,
};
use reqwest::Response;
use serde_json::Value;

use crate::client::{REPOSITORY, Session, artifact, blob_uri, header, tag};

fn users() -> Vec<User> {
    vec![User::new("writer", "secret"), User::reader("reader", "read-only")]
}

async fn bearer(preset: Preset) -> Session {
    Session::start(Config::new(preset).with_auth(Auth::bearer(users()))).await
}

async fn token_answer(session: &Session, path: &str, scope: &str, user: Option<(&str, &str)>) -> Response {
    let request = session.request("GET", &format!("{path}?service=x&scope={scope}"));
    match user {
        Some((name, password)) => request.basic_auth(name, Some(password)),
        None => request,
    }
    .send()
    .await
    .unwrap()
}

async fn token(session: &Session, scope: &str, user: Option<(&str, &str)>) -> String {
    let answer = token_answer(session, "/token", scope, user).await;
    let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    body["token"].as_str().unwrap().to_owned()
}

async fn with_token(session: &Session, method: &str, uri: &str, token: &str) -> Response {
    session.request(method, uri).bearer_auth(token).header("content-length", "0").send().await.unwrap()
}

const WRITER: Option<(&str, &str)> = Some(("writer", "secret"));
const READER: Option<(&str, &str)> = Some(("reader", "read-only"));

fn start_uri() -> String {
    format!("/v2/{REPOSITORY}/blobs/uploads/")
}

#[tokio::test]
async fn basic_lets_in_whom_it_knows() {
    let session = Session::start(Config::new(Preset::Old).with_auth(Auth::Basic(users()))).await;
    let answer = session.send("GET", "/v2/").await;
    assert_eq!(answer.status(), 401);
    assert_eq!(header(&answer, "www-authenticate").unwrap(), "Basic realm=\"scripted registry\"");
    for (user, password, method, uri, status) in [
        ("writer", "secret", "GET", "/v2/", 200),
        ("writer", "wrong", "GET", "/v2/", 401),
        ("somebody", "secret", "GET", "/v2/", 401),
        ("writer", "secret", "POST", &*start_uri(), 202),
        ("reader", "read-only", "POST", &*start_uri(), 403),
    ] {
        let request = session.request(method, uri).basic_auth(user, Some(password));
        let answer = request.header("content-length", "0").send().await.unwrap();
        assert_eq!(answer.status(), status, "{user} {method} {uri}");
    }
}

#[tokio::test]
async fn the_challenge_names_realm_service_and_scope() {
    for (preset, method, uri, expected) in [
        (Preset::Strict, "GET", "/v2/", ""),
        (Preset::Ghcr, "GET", "/v2/", ",scope=\"repository:user/image:pull\""),
        (Preset::Strict, "GET", "/v2/a/b/tags/list", ",scope=\"repository:a/b:pull\""),
        (Preset::Strict, "POST", "/v2/a/b/blobs/uploads/", ",scope=\"repository:a/b:pull,push\""),
        (Preset::Strict, "DELETE", "/v2/a/b/manifests/v1", ",scope=\"repository:a/b:delete\""),
        (Preset::Quay, "DELETE", "/v2/a/b/manifests/v1", ",scope=\"repository:a/b:pull,push\""),
    ] {
        let session = bearer(preset).await;
        let path = if preset == Preset::Quay { "/v2/auth" } else { "/token" };
        let (url, host) = (session.registry.url(), session.registry.host());
        let answer = session.send(method, uri).await;
        let challenge = header(&answer, "www-authenticate").unwrap();
        assert_eq!(challenge, format!("Bearer realm=\"{url}{path}\",service=\"{host}\"{expected}"), "{uri}");
    }
}

#[tokio::test]
async fn a_token_is_good_for_its_scope_only() {
    let session = bearer(Preset::Strict).await;
    let pull = token(&session, &format!("repository:{REPOSITORY}:pull"), WRITER).await;
    let push = token(&session, &format!("repository:{REPOSITORY}:pull,push"), WRITER).await;
    let other = token(&session, "repository:other/name:pull,push", WRITER).await;
    let head = blob_uri(&Digest::sha256_of(b"absent"));
    for (method, uri, token, status) in [
        ("HEAD", &head, &pull, 404),
        ("POST", &start_uri(), &pull, 401),
        ("POST", &start_uri(), &push, 202),
        ("HEAD", &head, &other, 401),
        ("GET", &"/v2/".to_owned(), &other, 200),
        ("HEAD", &head, &"invented".to_owned(), 401),
    ] {
        let answer = with_token(&session, method, uri, token).await;
        assert_eq!(answer.status(), status, "{method} {uri} {token}");
    }
}

#[tokio::test]
async fn a_reader_gets_a_smaller_token_without_a_word() {
    for (preset, path, status) in
        [(Preset::Strict, "/token", 401), (Preset::Quay, "/v2/auth", 401), (Preset::Ghcr, "/token", 403)]
    {
        let session = bearer(preset).await;
        let answer =
            token_answer(&session, path, &format!("repository:{REPOSITORY}:pull,push"), READER).await;
        assert_eq!(answer.status(), 200);
        let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        let answer = with_token(&session, "POST", &start_uri(), body["token"].as_str().unwrap()).await;
        assert_eq!(answer.status(), status, "{preset}");
    }
}

#[tokio::test]
async fn the_answer_has_the_fields_of_each_registry() {
    for (preset, path, expected) in [
        (Preset::Strict, "/token", vec!["access_token", "expires_in", "token"]),
        (Preset::Ghcr, "/token", vec!["token"]),
        (Preset::Quay, "/v2/auth", vec!["token"]),
    ] {
        let session = bearer(preset).await;
        let answer = token_answer(&session, path, "repository:a/b:pull", WRITER).await;
        let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        let fields: Vec<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(fields, expected, "{preset}");
    }
}

#[tokio::test]
async fn wrong_passwords_and_scopes_are_refused() {
    let session = bearer(Preset::Quay).await;
    for (scope, user, status) in [
        ("repository:a/b:pull", Some(("writer", "wrong")), 401),
        ("repository:a/b:pull", None, 401),
        ("repository:a/b:delete", WRITER, 400),
        ("registry:catalog:*x", WRITER, 400),
        ("repository:a/b:*", WRITER, 200),
    ] {
        assert_eq!(token_answer(&session, "/v2/auth", scope, user).await.status(), status, "{scope}");
    }
}

#[tokio::test]
async fn any_name_is_good_for_ghcr() {
    let session = bearer(Preset::Ghcr).await;
    let answer = token_answer(&session, "/token", "repository:a/b:pull", Some(("anybody", "secret"))).await;
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn anonymous_tokens_are_for_pulling() {
    let auth = Auth::Bearer(BearerAuth::new(users()).with_anonymous_pull());
    let session = Session::start(Config::new(Preset::Strict).with_auth(auth)).await;
    let token = token(&session, &format!("repository:{REPOSITORY}:pull,push"), None).await;
    let head = blob_uri(&Digest::sha256_of(b"absent"));
    assert_eq!(with_token(&session, "HEAD", &head, &token).await.status(), 404);
    assert_eq!(with_token(&session, "POST", &start_uri(), &token).await.status(), 401);
}

#[tokio::test]
async fn several_scopes_in_one_token_allow_a_mount() {
    let session = bearer(Preset::Strict).await;
    let digest = session.registry.put_blob("other/name", b"content").unwrap();
    let own = format!("repository:{REPOSITORY}:pull,push");
    let both = format!("{own}&scope=repository:other/name:pull");
    let uri = format!("{}?mount={digest}&from=other/name", start_uri());
    for (scope, status) in [(own, 202), (both, 201)] {
        let token = token(&session, &scope, WRITER).await;
        assert_eq!(with_token(&session, "POST", &uri, &token).await.status(), status, "{scope}");
    }
}

#[tokio::test]
async fn tokens_expire_by_use_by_time_and_on_request() {
    let scope = format!("repository:{REPOSITORY}:pull");
    let status = async |session: &Session, token: &str| {
        with_token(session, "GET", "/v2/", token).await.status().as_u16()
    };
    let with = |bearer: BearerAuth| Config::new(Preset::Strict).with_auth(Auth::Bearer(bearer));

    let session = Session::start(with(BearerAuth::new(users()).with_uses(2))).await;
    let used = token(&session, &scope, WRITER).await;
    for expected in [200, 200, 401] {
        assert_eq!(status(&session, &used).await, expected);
    }
    let session = Session::start(with(BearerAuth::new(users()).with_lifetime(Duration::ZERO))).await;
    let late = token(&session, &scope, WRITER).await;
    assert_eq!(status(&session, &late).await, 401);

    let session = bearer(Preset::Strict).await;
    let expired = token(&session, &scope, WRITER).await;
    assert_eq!(status(&session, &expired).await, 200);
    session.registry.expire_tokens();
    let answer = with_token(&session, "GET", "/v2/", &expired).await;
    assert!(header(&answer, "www-authenticate").unwrap().ends_with("error=\"invalid_token\""));
    let renewed = token(&session, &scope, WRITER).await;
    assert_eq!(status(&session, &renewed).await, 200);
}

#[tokio::test]
async fn refresh_tokens_give_access_tokens() {
    let session = bearer(Preset::Strict).await;
    let post = async |form: String| {
        let request = session.request("POST", "/token").body(form);
        let answer =
            request.header("content-type", "application/x-www-form-urlencoded").send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_str::<Value>(&answer.text().await.unwrap()).unwrap())
    };
    let scope = format!("scope=repository%3A{REPOSITORY}%3Apull%2Cpush");
    let form = format!("grant_type=password&username=writer&password=secret&access_type=offline&{scope}");
    let (status, body) = post(form).await;
    assert_eq!(status, 200);
    let refresh = body["refresh_token"].as_str().unwrap();
    session.registry.expire_tokens();
    let (_, body) = post(format!("grant_type=refresh_token&refresh_token={refresh}&{scope}")).await;
    let access = body["access_token"].as_str().unwrap();
    assert_eq!(with_token(&session, "POST", &start_uri(), access).await.status(), 202);
    assert_eq!(post("grant_type=refresh_token&refresh_token=invented".to_owned()).await.0, 401);
    let session = bearer(Preset::Ghcr).await;
    assert_eq!(session.request("POST", "/token").body("").send().await.unwrap().status(), 405);
}

#[tokio::test]
async fn tokens_may_come_from_another_host() {
    let auth = Auth::Bearer(BearerAuth::new(users()).on_other_host());
    let session = Session::start(Config::new(Preset::Strict).with_auth(auth)).await;
    let answer = session.send("GET", "/v2/").await;
    let realm = format!("http://{}/token", session.registry.storage_host());
    assert!(header(&answer, "www-authenticate").unwrap().contains(&realm));
    let answer = session.request("GET", &realm).basic_auth("writer", Some("secret")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let request = session.registry.requests().pop().unwrap();
    assert_eq!((request.server, request.route), (Server::Storage, Route::Token));
    assert_eq!(request.credentials, Credentials::Basic { user: "writer".to_owned() });
}

#[tokio::test]
async fn the_storage_host_wants_a_signature_and_nothing_else() {
    let session = bearer(Preset::Ghcr).await;
    let digest = session.registry.put_blob(REPOSITORY, b"content").unwrap();
    let token = token(&session, &format!("repository:{REPOSITORY}:pull"), WRITER).await;
    let answer = with_token(&session, "GET", &blob_uri(&digest), &token).await;
    assert_eq!(answer.status(), 307);
    let link = header(&answer, "location").unwrap();
    assert!(link.starts_with(&format!("http://{}/", session.registry.storage_host())));
    assert_eq!(session.send("GET", &link).await.text().await.unwrap(), "content");
    assert_eq!(session.send("HEAD", &link).await.status(), 403);
    assert_eq!(with_token(&session, "GET", &link, &token).await.status(), 400);
    assert_eq!(session.send("GET", &link.replace("signature-", "signature-9")).await.status(), 403);
    session.registry.expire_links();
    assert_eq!(session.send("GET", &link).await.status(), 403);
    let leaked = session
        .registry
        .requests()
        .into_iter()
        .filter(|request| request.server == Server::Storage && request.credentials != Credentials::None);
    assert_eq!(leaked.count(), 1);
}

#[tokio::test]
async fn a_token_can_be_refused_in_the_middle() {
    let session = bearer(Preset::Strict).await;
    session.registry.add_fault(Fault::new(Route::Tags, When::Nth(2), Action::Unauthorized));
    let raw = artifact(&session.registry, "one", None);
    session.registry.put_manifest(REPOSITORY, &tag("v1"), &raw);
    let token = token(&session, &format!("repository:{REPOSITORY}:pull"), WRITER).await;
    let uri = format!("/v2/{REPOSITORY}/tags/list");
    // The request without a token does not count.
    assert_eq!(session.send("GET", &uri).await.status(), 401);
    for expected in [200, 401, 200] {
        let answer = with_token(&session, "GET", &uri, &token).await;
        assert_eq!(answer.status(), expected);
        let challenge = header(&answer, "www-authenticate").unwrap_or_default();
        assert_eq!(challenge.contains(&format!("repository:{REPOSITORY}:pull\"")), expected == 401);
    }
}
