//! Content and headers that are not what they should be.

use registry_conformance::scripted::{Action, Config, Credentials, Fault, Preset, Route, Server, When};

use crate::client::{Session, artifact, blob_uri, code, header};

async fn with(preset: Preset, route: Route, action: Action) -> Session {
    Session::start(Config::new(preset).with_fault(Fault::new(route, When::Nth(1), action))).await
}

#[tokio::test]
async fn ranges_are_served_where_the_registry_does() {
    let digest_of = async |session: &Session| session.push(b"content").await;
    for (range, status, content_range, expected) in [
        ("bytes=2-4", 206, Some("bytes 2-4/7"), "nte"),
        ("bytes=5-", 206, Some("bytes 5-6/7"), "nt"),
        ("bytes=-2", 206, Some("bytes 5-6/7"), "nt"),
        ("bytes=0-99", 206, Some("bytes 0-6/7"), "content"),
        ("bytes=4-2", 200, None, "content"),
    ] {
        let session = Session::preset(Preset::Strict).await;
        let digest = digest_of(&session).await;
        let answer = session.request("GET", &blob_uri(&digest)).header("range", range).send().await.unwrap();
        assert_eq!(answer.status(), status, "{range}");
        assert_eq!(header(&answer, "content-range").as_deref(), content_range);
        assert_eq!(answer.text().await.unwrap(), expected);
    }
    let session = Session::preset(Preset::Strict).await;
    let digest = digest_of(&session).await;
    let answer = session.request("GET", &blob_uri(&digest)).header("range", "bytes=7-").send().await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), header(&answer, "content-range").unwrap().as_str()),
        (416, "bytes */7")
    );
    let session =
        Session::start(Config::new(Preset::Strict).with_behaviour(|it| it.blobs.ranges = false)).await;
    let digest = digest_of(&session).await;
    let answer =
        session.request("GET", &blob_uri(&digest)).header("range", "bytes=2-4").send().await.unwrap();
    assert_eq!((answer.status().as_u16(), header(&answer, "accept-ranges")), (200, None));
}

#[tokio::test]
async fn a_range_may_be_ignored_or_shifted() {
    for (action, status, content_range, expected) in [
        (Action::IgnoreRange, 200, None, "content"),
        (Action::ShiftContent(1), 206, Some("bytes 3-4/7"), "te"),
    ] {
        let session = with(Preset::Strict, Route::BlobGet, action).await;
        let digest = session.push(b"content").await;
        let answer =
            session.request("GET", &blob_uri(&digest)).header("range", "bytes=2-4").send().await.unwrap();
        assert_eq!(answer.status(), status);
        assert_eq!(header(&answer, "content-range").as_deref(), content_range);
        assert_eq!(answer.text().await.unwrap(), expected);
    }
}

#[tokio::test]
async fn answers_are_corrupted_and_shortened() {
    for (action, length, expected) in
        [(Action::CorruptAnswer { at: 1 }, "7", "cnntent"), (Action::ShortenAnswer { to: 3 }, "3", "con")]
    {
        let session = with(Preset::Strict, Route::BlobGet, action).await;
        let digest = session.push(b"content").await;
        let answer = session.blob(&digest).await;
        assert_eq!(header(&answer, "content-length").unwrap(), length);
        assert_eq!(answer.text().await.unwrap(), expected);
    }
}

#[tokio::test]
async fn headers_are_replaced_and_removed() {
    let digest = "docker-content-digest";
    for (action, expected) in [
        (Action::SetHeader(digest, "sha256:00".to_owned()), Some("sha256:00")),
        (Action::RemoveHeader(digest), None),
    ] {
        let session = with(Preset::Strict, Route::ManifestPut, action).await;
        let raw = artifact(&session.registry, "one", None);
        let answer = session.put_manifest("v1", &raw).await;
        assert_eq!(header(&answer, digest).as_deref(), expected);
    }
    let session =
        with(Preset::Strict, Route::BlobHead, Action::SetHeader("content-length", "9".to_owned())).await;
    let digest = session.push(b"content").await;
    let answer = session.send("HEAD", &blob_uri(&digest)).await;
    assert_eq!(header(&answer, "content-length").unwrap(), "9");
}

#[tokio::test]
async fn a_short_accept_says_what_was_kept() {
    for (bytes, range) in [(3, Some("0-2")), (0, Some("0-0"))] {
        let session = with(Preset::Strict, Route::UploadPatch, Action::AcceptOnly { bytes }).await;
        let location = session.start_upload().await;
        let answer = session.chunk(&location, 0, b"content").send().await.unwrap();
        assert_eq!((answer.status().as_u16(), header(&answer, "range").as_deref()), (202, range));
        let kept = usize::try_from(bytes).unwrap();
        let answer = session.chunk(&location, kept, &b"content"[kept..]).send().await.unwrap();
        assert_eq!(header(&answer, "range").unwrap(), "0-6");
        assert_eq!(session.commit(&location, b"content", b"").send().await.unwrap().status(), 201);
    }
}

#[tokio::test]
async fn the_range_of_an_answer_may_be_off_by_one() {
    for (by, range) in [(1, "0-7"), (-1, "0-5")] {
        let session = with(Preset::Strict, Route::UploadPatch, Action::ShiftRangeHeader(by)).await;
        let location = session.start_upload().await;
        let answer = session.chunk(&location, 0, b"content").send().await.unwrap();
        assert_eq!(header(&answer, "range").unwrap(), range);
        assert_eq!(session.commit(&location, b"content", b"").send().await.unwrap().status(), 201);
    }
}

#[tokio::test]
async fn what_arrives_changed_has_another_digest() {
    let session = with(Preset::Strict, Route::UploadCommit, Action::CorruptRequest { at: 6 }).await;
    let location = session.start_upload().await;
    let answer = session.commit(&location, b"content", b"content").send().await.unwrap();
    assert_eq!(code(answer).await, "DIGEST_INVALID");
}

#[tokio::test]
async fn an_upload_may_go_to_another_host_without_credentials() {
    let session = with(Preset::Strict, Route::UploadStart, Action::ForeignLocation).await;
    let location = session.start_upload().await;
    assert!(location.starts_with(&format!("http://{}/", session.registry.storage_host())));
    let refused = session.request("PATCH", &location).bearer_auth("token").body("cont").send().await.unwrap();
    assert_eq!(refused.status(), 400);
    let answer = session.request("PATCH", &location).body("cont").send().await.unwrap();
    assert_eq!(answer.status(), 202);
    let location = header(&answer, "location").unwrap();
    assert!(location.starts_with(&format!("http://{}/", session.registry.storage_host())));
    assert_eq!(session.commit(&location, b"content", b"ent").send().await.unwrap().status(), 201);
    let last = session.registry.requests().pop().unwrap();
    assert_eq!((last.server, last.credentials.clone()), (Server::Storage, Credentials::None));
}

#[tokio::test]
async fn a_link_may_have_expired_when_it_is_given() {
    let session = with(Preset::Quay, Route::BlobGet, Action::ExpiredLink).await;
    let digest = session.push(b"content").await;
    for status in [403, 200] {
        let answer = session.blob(&digest).await;
        assert_eq!(answer.status(), 302);
        let link = header(&answer, "location").unwrap();
        assert!(answer.text().await.unwrap().contains(&link), "the page for people has the link");
        assert_eq!(session.send("GET", &link).await.status(), status);
    }
}

#[tokio::test]
async fn unreferenced_blobs_may_be_collected_before_the_manifest() {
    let session = with(Preset::Quay, Route::ManifestPut, Action::CollectFirst).await;
    let raw = artifact(&session.registry, "one", None);
    assert_eq!(code(session.put_manifest("v1", &raw).await).await, "MANIFEST_INVALID");
    let raw = artifact(&session.registry, "one", None);
    assert_eq!(session.put_manifest("v1", &raw).await.status(), 201);
}

#[tokio::test]
async fn a_fallback_tag_may_be_no_index() {
    let session = Session::preset(Preset::Old).await;
    let subject = artifact(&session.registry, "subject", None);
    let fallback = format!("sha256-{}", subject.digest().encoded());
    session.put_manifest(&fallback, &subject).await;
    let answer =
        session.send("GET", &format!("/v2/{}/manifests/{fallback}", crate::client::REPOSITORY)).await;
    assert_eq!(header(&answer, "content-type").unwrap(), "application/vnd.oci.image.manifest.v1+json");
}

#[tokio::test]
async fn several_faults_of_one_request_all_show() {
    let fault = |action| Fault::new(Route::Ping, When::Always, action);
    let config = Config::new(Preset::Strict)
        .with_fault(fault(Action::SetHeader("warning", "299 - \"old\"".to_owned())))
        .with_fault(fault(Action::CorruptAnswer { at: 0 }));
    let session = Session::start(config).await;
    let answer = session.send("GET", "/v2/").await;
    assert_eq!(header(&answer, "warning").unwrap(), "299 - \"old\"");
    assert_eq!(answer.text().await.unwrap(), "z}");
}
