//! Connections that break, stall and hang, and answers that come instead of the right ones.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::StreamExt;
use registry_conformance::scripted::{
    Action, Answer, Config, CutPatch, Fault, Preset, RetryAfter, Route, When,
};

use crate::client::{REPOSITORY, Session, artifact, blob_uri, code, header, tag};

async fn with(preset: Preset, route: Route, action: Action) -> Session {
    Session::start(Config::new(preset).with_fault(Fault::new(route, When::Nth(1), action))).await
}

#[tokio::test]
async fn a_dropped_patch_leaves_what_the_registry_keeps() {
    for (rule, expected) in [
        (CutPatch::KeepsBytes, Some("0-1")),
        (CutPatch::LosesBytes, Some("0-0")),
        (CutPatch::CancelsUpload, None),
    ] {
        let fault = Fault::new(Route::UploadPatch, When::Nth(1), Action::Drop { after: 2 });
        let config = Config::new(Preset::Strict).with_behaviour(|it| it.uploads.cut_patch = rule);
        let session = Session::start(config.with_fault(fault)).await;
        let location = session.start_upload().await;
        session.request("PATCH", &location).body("content").send().await.unwrap_err();
        let status = session.send("GET", &location).await;
        assert_eq!(header(&status, "range").as_deref(), expected, "{rule:?}");
        assert_eq!(session.registry.open_uploads(), usize::from(rule != CutPatch::CancelsUpload));
    }
}

#[tokio::test]
async fn a_dropped_put_stores_nothing() {
    let session = with(Preset::Ghcr, Route::UploadCommit, Action::Drop { after: 3 }).await;
    let location = session.start_upload().await;
    session.commit(&location, b"content", b"content").send().await.unwrap_err();
    assert_eq!((session.stored(b"content"), session.registry.open_uploads()), (None, 0));
    assert_eq!(session.registry.requests().last().unwrap().status, None);
    session.push(b"content").await;
}

#[tokio::test]
async fn a_commit_may_land_without_an_answer() {
    let session = with(Preset::Ghcr, Route::UploadCommit, Action::DropAfterwards).await;
    let location = session.start_upload().await;
    session.commit(&location, b"content", b"content").send().await.unwrap_err();
    assert_eq!(session.stored(b"content"), Some(7));
    let again = session.commit(&location, b"content", b"content").send().await.unwrap();
    assert_eq!(code(again).await, "BLOB_UPLOAD_UNKNOWN");
}

#[tokio::test]
async fn a_commit_may_land_and_be_reported_as_failed() {
    let action = Action::AnswerAfterwards(Answer::html(502));
    let session = with(Preset::Quay, Route::UploadCommit, action).await;
    let location = session.start_upload().await;
    let answer = session.commit(&location, b"content", b"content").send().await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), header(&answer, "content-type").unwrap().as_str()),
        (502, "text/html")
    );
    assert_eq!(session.stored(b"content"), Some(7));
}

#[tokio::test]
async fn a_commit_may_be_lost_and_be_reported_as_done() {
    let session = with(Preset::Ghcr, Route::UploadCommit, Action::Pretend).await;
    let location = session.start_upload().await;
    let answer = session.commit(&location, b"content", b"content").send().await.unwrap();
    assert_eq!((answer.status().as_u16(), session.stored(b"content")), (201, None));
}

#[tokio::test]
async fn a_manifest_may_be_lost_too() {
    let session = with(Preset::Ghcr, Route::ManifestPut, Action::Pretend).await;
    let raw = artifact(&session.registry, "one", None);
    assert_eq!(session.put_manifest("v1", &raw).await.status(), 201);
    assert_eq!(session.registry.manifest(REPOSITORY, &tag("v1")), None);
}

#[tokio::test]
async fn a_held_answer_comes_when_it_is_released() {
    let session = Arc::new(with(Preset::Strict, Route::UploadCommit, Action::Hold).await);
    let location = session.start_upload().await;
    let request = session.commit(&location, b"content", b"content");
    let pending = tokio::spawn(request.send());
    while session.stored(b"content").is_none() {
        tokio::task::yield_now().await;
    }
    assert!(!pending.is_finished());
    session.registry.release();
    assert_eq!(pending.await.unwrap().unwrap().status(), 201);
}

#[tokio::test]
async fn a_delayed_answer_is_the_right_one() {
    let session = with(Preset::Strict, Route::Ping, Action::Delay(Duration::from_millis(1))).await;
    assert_eq!(session.send("GET", "/v2/").await.status(), 200);
}

#[tokio::test]
async fn a_stalled_request_is_never_answered() {
    let session = Arc::new(with(Preset::Strict, Route::UploadPatch, Action::StallRequest { after: 3 }).await);
    let location = session.start_upload().await;
    let pending = tokio::spawn(session.request("PATCH", &location).body("content").send());
    while session.registry.requests().last().is_none_or(|request| request.received < 3) {
        tokio::task::yield_now().await;
    }
    // Another connection is served meanwhile, and sees how far the upload is.
    let status = session.send("GET", &location).await;
    assert_eq!(header(&status, "range").unwrap(), "0-2");
    assert!(!pending.is_finished());
    pending.abort();
}

#[tokio::test]
async fn a_stalled_answer_gives_its_first_bytes() {
    let session = with(Preset::Strict, Route::BlobGet, Action::StallAnswer { after: 3 }).await;
    let digest = session.push(b"content").await;
    let answer = session.blob(&digest).await;
    assert_eq!(header(&answer, "content-length").unwrap(), "7");
    let mut stream = answer.bytes_stream();
    assert_eq!(stream.next().await.unwrap().unwrap(), "con");
    assert!(futures::poll!(stream.next()).is_pending());
}

#[tokio::test]
async fn a_cut_answer_gives_its_first_bytes_and_an_error() {
    let session = with(Preset::Strict, Route::BlobGet, Action::CutAnswer { after: 3 }).await;
    let digest = session.push(b"content").await;
    let mut stream = session.blob(&digest).await.bytes_stream();
    assert_eq!(stream.next().await.unwrap().unwrap(), "con");
    assert!(stream.next().await.unwrap().is_err());
    let rest = session.request("GET", &blob_uri(&digest)).header("range", "bytes=3-").send().await.unwrap();
    assert_eq!((rest.status().as_u16(), rest.text().await.unwrap().as_str()), (206, "tent"));
}

#[tokio::test]
async fn a_cut_happens_on_the_storage_host_as_well() {
    let session = with(Preset::Ghcr, Route::Storage, Action::CutAnswer { after: 3 }).await;
    let digest = session.push(b"content").await;
    let link = header(&session.blob(&digest).await, "location").unwrap();
    assert!(session.send("GET", &link).await.bytes().await.is_err());
    assert_eq!(session.send("GET", &link).await.bytes().await.unwrap(), "content");
}

#[tokio::test]
async fn every_form_of_too_many_requests_is_given() {
    let date = Duration::from_secs(3600);
    for (form, expected) in [
        (RetryAfter::Absent, None),
        (RetryAfter::Seconds(7), Some("7")),
        (RetryAfter::Garbage, Some("soon")),
        (RetryAfter::MicrosecondsInText(35), None),
    ] {
        let session = with(Preset::Ghcr, Route::Ping, Action::Answer(Answer::too_many_requests(form))).await;
        let answer = session.send("GET", "/v2/").await;
        assert_eq!((answer.status().as_u16(), header(&answer, "retry-after").as_deref()), (429, expected));
        let text = answer.text().await.unwrap();
        assert_eq!(text.contains("retry-after: 35µs"), form == RetryAfter::MicrosecondsInText(35), "{text}");
        assert_eq!(session.send("GET", "/v2/").await.status(), 200);
    }
    let answer = Answer::too_many_requests(RetryAfter::Date(date));
    let session = with(Preset::Ghcr, Route::Ping, Action::Answer(answer)).await;
    let value = header(&session.send("GET", "/v2/").await, "retry-after").unwrap();
    assert!(httpdate::parse_http_date(&value).unwrap() > SystemTime::now() + date / 2);
}

#[tokio::test]
async fn refusals_have_the_words_of_the_vendors() {
    for (answer, status, words) in [
        (Answer::secondary_rate_limit(), 403, "secondary rate limit"),
        (Answer::quota_exceeded(), 403, "Quota has been exceeded"),
        (Answer::write_denied(), 403, "write_package"),
        (Answer::error(400, "DIGEST_INVALID", "no"), 400, "DIGEST_INVALID"),
        (Answer::html(503), 503, "<html>"),
        (Answer::status(500), 500, "UNKNOWN"),
    ] {
        let session = with(Preset::Quay, Route::UploadStart, Action::Answer(answer)).await;
        let answer =
            session.request("POST", &format!("/v2/{REPOSITORY}/blobs/uploads/")).send().await.unwrap();
        assert_eq!(answer.status(), status);
        assert!(answer.text().await.unwrap().contains(words), "{words}");
        assert_eq!(session.registry.open_uploads(), 0);
    }
}

#[tokio::test]
async fn one_request_in_three_of_all_kinds_can_fail() {
    let fault = Fault::anywhere(When::Every(3), Action::Answer(Answer::status(503)));
    let session = Session::start(Config::new(Preset::Strict).with_fault(fault)).await;
    let mut statuses = Vec::new();
    for uri in ["/v2/", "/v2/a/tags/list", "/v2/", "/v2/", "/v2/", "/v2/a/tags/list"] {
        statuses.push(session.send("GET", uri).await.status().as_u16());
    }
    assert_eq!(statuses, [200, 404, 503, 200, 200, 503]);
}

#[tokio::test]
async fn an_early_answer_to_a_large_body_is_read() {
    let action = Action::Answer(Answer::status(503));
    let session = with(Preset::Strict, Route::UploadCommit, action).await;
    let location = session.start_upload().await;
    let content = vec![1; 900_000];
    let answer = session.commit(&location, &content, &content).send().await.unwrap();
    assert_eq!(answer.status(), 503);
    assert_eq!(session.commit(&location, &content, &content).send().await.unwrap().status(), 201);
}

#[tokio::test]
async fn an_upload_may_be_forgotten() {
    let session = with(Preset::Strict, Route::UploadPatch, Action::ForgetUpload).await;
    let location = session.start_upload().await;
    let answer = session.request("PATCH", &location).body("content").send().await.unwrap();
    assert_eq!((answer.status().as_u16(), code(answer).await.as_str()), (404, "BLOB_UPLOAD_UNKNOWN"));
}

#[tokio::test]
async fn nothing_answers_after_the_value_is_gone() {
    let session = Session::preset(Preset::Strict).await;
    assert_eq!(session.send("GET", "/v2/").await.status(), 200);
    let url = session.registry.url() + "/v2/";
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    assert!(client.get(&url).send().await.is_ok());
    drop(session);
    // The task ends when it is looked at next.
    let mut answered = true;
    for _ in 0..100 {
        tokio::task::yield_now().await;
        answered = client.get(&url).send().await.is_ok();
        if !answered {
            break;
        }
    }
    assert!(!answered);
}
