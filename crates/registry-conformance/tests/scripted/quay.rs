//! Quay as it was measured, on S3 and on a local disk.

use std::time::Duration;

use oci_model::{Descriptor, Digest, ImageManifest, MediaType, RawManifest};
use registry_conformance::scripted::{Auth, BearerAuth, Config, Preset, User};

use crate::client::{REPOSITORY, Session, artifact, blob_uri, code, header, tag, with_field};

const BOTH: [Preset; 2] = [Preset::Quay, Preset::QuayDisk];
const HOUR: Duration = Duration::from_secs(3600);

fn uri(name: impl std::fmt::Display) -> String {
    format!("/v2/{REPOSITORY}/manifests/{name}")
}

async fn with_auth(preset: Preset) -> Session {
    let auth = BearerAuth::new(vec![User::new("curator", "secret")]);
    Session::start(Config::new(preset).with_auth(Auth::Bearer(auth))).await
}

async fn token(session: &Session, query: &str) -> (u16, String) {
    let uri = format!("/v2/auth?{query}");
    let answer = session.request("GET", &uri).basic_auth("curator", Some("secret")).send().await.unwrap();
    let status = answer.status().as_u16();
    let body: serde_json::Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    (status, body["token"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn an_absent_repository_looks_private_until_a_token_for_pushing_creates_it() {
    for preset in BOTH {
        let session = with_auth(preset).await;
        let tags = format!("/v2/{REPOSITORY}/tags/list");
        let (status, pull) = token(&session, &format!("scope=repository:{REPOSITORY}:pull")).await;
        assert_eq!(status, 200);
        let answer = session.request("GET", &tags).bearer_auth(&pull).send().await.unwrap();
        assert_eq!(answer.status(), 401);
        assert!(!header(&answer, "www-authenticate").unwrap().contains("error="));
        let (status, push) = token(&session, &format!("scope=repository:{REPOSITORY}:pull,push")).await;
        assert_eq!(status, 200);
        let answer = session.request("GET", &tags).bearer_auth(&push).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }
}

#[tokio::test]
async fn several_scopes_need_several_parameters() {
    let session = with_auth(Preset::Quay).await;
    assert_eq!(token(&session, "scope=repository:a/b:pull%20repository:a/c:pull").await.0, 400);
    assert_eq!(token(&session, "scope=repository:a/b:pull&scope=repository:a/c:pull").await.0, 200);
}

#[tokio::test]
async fn several_patches_leave_wrong_bytes_under_a_right_digest() {
    for (preset, ranged, is_spoiled) in [
        (Preset::Quay, true, true),
        (Preset::Quay, false, false),
        (Preset::QuayDisk, true, false),
        (Preset::QuayDisk, false, true),
    ] {
        let session = Session::preset(preset).await;
        let location = session.start_upload().await;
        for (start, part) in [(0, b"cont".as_slice()), (4, b"ent")] {
            let request = match ranged {
                true => session.chunk(&location, start, part),
                false => session.request("PATCH", &location).body(part.to_vec()),
            };
            assert_eq!(request.send().await.unwrap().status(), 202);
        }
        assert_eq!(session.commit(&location, b"content", b"").send().await.unwrap().status(), 201);
        let digest = Digest::sha256_of(b"content");
        let head = session.send("HEAD", &blob_uri(&digest)).await;
        assert_eq!(header(&head, "content-length").unwrap(), "7", "{preset} {ranged}");
        let mut answer = session.blob(&digest).await;
        if let Some(link) = header(&answer, "location") {
            answer = session.send("GET", &link).await;
        }
        assert_eq!(answer.bytes().await.unwrap() != "content", is_spoiled, "{preset} {ranged}");
    }
}

#[tokio::test]
async fn the_driver_decides_how_blobs_are_served() {
    for (preset, status) in [(Preset::Quay, 302), (Preset::QuayDisk, 200)] {
        let session = Session::preset(preset).await;
        let digest = session.push(b"content").await;
        let answer =
            session.request("GET", &blob_uri(&digest)).header("range", "bytes=0-1").send().await.unwrap();
        assert_eq!(answer.status(), status);
    }
}

#[tokio::test]
async fn a_content_range_with_a_unit_is_an_invalid_request() {
    for preset in BOTH {
        let session = Session::preset(preset).await;
        let location = session.start_upload().await;
        let request = session.request("PATCH", &location).header("content-range", "bytes 0-6/7");
        let answer = request.body("content").send().await.unwrap();
        assert_eq!((answer.status().as_u16(), code(answer).await.as_str()), (400, "INVALID_REQUEST"));
    }
}

#[tokio::test]
async fn a_large_manifest_meets_the_proxy() {
    let session = Session::preset(Preset::Quay).await;
    let media_type = MediaType::from_static(MediaType::IMAGE_MANIFEST);
    let answer = session.put_manifest("v1", &RawManifest::new(vec![b' '; 1024 * 1024 + 1], media_type)).await;
    assert_eq!(answer.status(), 413);
    assert!(answer.text().await.unwrap().starts_with("<html>"));
}

#[tokio::test]
async fn accept_matters_by_tag_alone() {
    let session = Session::preset(Preset::Quay).await;
    let raw = artifact(&session.registry, "one", None);
    session.registry.put_manifest(REPOSITORY, &tag("v1"), &raw);
    for (name, accept, status) in [
        ("v1".to_owned(), raw.media_type().as_str(), 200),
        ("v1".to_owned(), "*/*", 404),
        (raw.digest().to_string(), "text/csv", 200),
    ] {
        let answer = session.request("GET", &uri(&name)).header("accept", accept).send().await.unwrap();
        assert_eq!(answer.status(), status, "{name} {accept}");
    }
}

#[tokio::test]
async fn a_missing_blob_is_named_in_the_detail_alone() {
    let session = Session::preset(Preset::Quay).await;
    let manifest = ImageManifest::new(MediaType::from_static("text/csv"), Descriptor::empty());
    let answer = session.put_manifest("v1", &RawManifest::from_image(&manifest)).await;
    assert_eq!(answer.status(), 400);
    let body: serde_json::Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    let error = &body["errors"][0];
    assert_eq!(
        (error["code"].as_str(), error["message"].as_str()),
        (Some("MANIFEST_INVALID"), Some("manifest invalid"))
    );
    assert!(error["detail"]["message"].as_str().unwrap().starts_with("Unknown blob "));
}

#[tokio::test]
async fn a_manifest_without_a_tag_disappears() {
    let session = Session::preset(Preset::Quay).await;
    let by_digest = artifact(&session.registry, "by digest", None);
    let first = artifact(&session.registry, "first", None);
    let second = artifact(&session.registry, "second", None);
    assert_eq!(session.put_manifest(by_digest.digest().as_str(), &by_digest).await.status(), 201);
    assert_eq!(session.put_manifest("v1", &first).await.status(), 201);
    session.registry.pass_time(HOUR - Duration::from_secs(60));
    assert_eq!(session.send("GET", &uri(by_digest.digest())).await.status(), 200);
    session.registry.pass_time(Duration::from_secs(120));
    assert_eq!(session.send("GET", &uri(by_digest.digest())).await.status(), 404);
    assert_eq!(session.send("GET", &uri(first.digest())).await.status(), 200);
    // A digest whose tag moves is gone at once.
    assert_eq!(session.put_manifest("v1", &second).await.status(), 201);
    assert_eq!(session.send("GET", &uri(first.digest())).await.status(), 404);
    assert_eq!(session.send("DELETE", &uri("v1")).await.status(), 202);
    assert_eq!(code(session.send("GET", &uri("v1")).await).await, "TAG_EXPIRED");
}

#[tokio::test]
async fn a_manifest_with_a_subject_stays_and_cannot_be_deleted() {
    let session = Session::preset(Preset::Quay).await;
    let subject = artifact(&session.registry, "one", None);
    let referrer = artifact(&session.registry, "two", Some(&subject));
    session.registry.put_manifest(REPOSITORY, &tag("v1"), &subject);
    assert_eq!(session.put_manifest(referrer.digest().as_str(), &referrer).await.status(), 201);
    session.registry.pass_time(10 * HOUR);
    assert_eq!(session.send("GET", &uri(referrer.digest())).await.status(), 200);
    assert_eq!(session.send("DELETE", &uri(referrer.digest())).await.status(), 404);
    assert_eq!(session.send("GET", &uri(referrer.digest())).await.status(), 200);
}

#[tokio::test]
async fn a_referrer_without_an_artifact_type_is_listed_without_one() {
    let session = Session::preset(Preset::Quay).await;
    let subject = artifact(&session.registry, "one", None);
    session.registry.put_manifest(REPOSITORY, &tag("v1"), &subject);
    let config = session.registry.put_blob(REPOSITORY, b"config").unwrap();
    let config = Descriptor::new(MediaType::from_static("text/csv"), config, 6);
    let mut manifest = ImageManifest::new(MediaType::from_static("text/csv"), config.clone());
    manifest.config = config;
    manifest.artifact_type = None;
    manifest.subject = Some(subject.descriptor());
    assert_eq!(session.put_manifest("v2", &RawManifest::from_image(&manifest)).await.status(), 201);
    let answer = session.send("GET", &format!("/v2/{REPOSITORY}/referrers/{}", subject.digest())).await;
    assert!(header(&answer, "oci-subject").is_none());
    let body: serde_json::Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert!(body["manifests"][0].get("artifactType").is_none(), "{body}");
}

#[tokio::test]
async fn an_unknown_manifest_type_is_not_supported() {
    let session = Session::preset(Preset::Quay).await;
    let raw = RawManifest::new(b"{}".to_vec(), MediaType::from_static("text/csv"));
    assert_eq!(session.put_manifest("v1", &raw).await.status(), 415);
}

#[tokio::test]
async fn a_wrong_digest_ends_the_upload() {
    for preset in BOTH {
        let session = Session::preset(preset).await;
        let location = session.start_upload().await;
        let answer = session.commit(&location, b"content", b"CONTENT").send().await.unwrap();
        assert_eq!((answer.status().as_u16(), code(answer).await.as_str()), (400, "BLOB_UPLOAD_INVALID"));
        assert_eq!(session.registry.open_uploads(), 0);
        let again = with_field(&location, "digest=sha256:00");
        assert_eq!(session.send("PUT", &again).await.status(), 404);
    }
}

#[tokio::test]
async fn a_mount_from_the_same_repository_renews_the_lease_of_a_blob_and_head_does_not() {
    for method in ["POST", "HEAD"] {
        let session = Session::preset(Preset::Quay).await;
        let digest = session.push(b"content").await;
        session.registry.pass_time(HOUR - Duration::from_secs(60));
        session.registry.collect_garbage();
        let mount = format!("/v2/{REPOSITORY}/blobs/uploads/?mount={digest}&from={REPOSITORY}");
        let (uri, status) = if method == "POST" { (mount, 201) } else { (blob_uri(&digest), 200) };
        assert_eq!(session.send(method, &uri).await.status(), status);
        session.registry.pass_time(Duration::from_secs(120));
        // A blob without a lease is there until the next collection.
        assert_eq!(session.send("HEAD", &blob_uri(&digest)).await.status(), 200);
        session.registry.collect_garbage();
        assert_eq!(session.registry.blob_size(REPOSITORY, &digest).is_some(), method == "POST", "{method}");
    }
}

#[tokio::test]
async fn a_manifest_of_two_thousand_layers_is_taken() {
    let session = Session::preset(Preset::Quay).await;
    session.push(Descriptor::EMPTY_CONTENT).await;
    let layer = Descriptor::new(MediaType::from_static("text/csv"), session.push(b"content").await, 7);
    let mut manifest = ImageManifest::new(MediaType::from_static("text/csv"), Descriptor::empty());
    manifest.layers = vec![layer; 2000];
    assert_eq!(session.put_manifest("v1", &RawManifest::from_image(&manifest)).await.status(), 201);
}
