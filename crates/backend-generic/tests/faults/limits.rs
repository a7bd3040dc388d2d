//! Messages of servers to users, and the waits that servers ask for.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use distribution_client::{ClientOptions, WarningSink};
use oci_model::Digest;
use registry_backend::{ErrorKind, Retry};
use registry_conformance::scripted::{Action, Answer, Config, Fault, Preset, RetryAfter, Route, When};

use crate::rig::{Rig, profile};

#[tokio::test]
async fn a_warning_is_passed_on_once() {
    let warning = Action::SetHeader("warning", "299 - \"this registry closes soon\"".to_owned());
    let config = Config::new(Preset::Strict).with_fault(Fault::anywhere(When::Always, warning));
    let heard = Arc::new(Mutex::new(Vec::new()));
    let sink: WarningSink = {
        let heard = heard.clone();
        Arc::new(move |warning| heard.lock().unwrap().push(warning.text.to_owned()))
    };
    let options = move |_: &str| {
        let mut options = ClientOptions::default();
        options.warnings = Some(sink.clone());
        options
    };
    let rig = Rig::with_options(config, profile(), options).await;
    rig.push(1000).await;
    assert_eq!(*heard.lock().unwrap(), ["this registry closes soon"]);
}

#[tokio::test]
async fn a_wait_that_is_too_long_is_left_to_the_caller() {
    let wait = Answer::too_many_requests(RetryAfter::Seconds(86_400));
    let rig = Rig::with(Route::BlobHead, When::Always, Action::Answer(wait)).await;
    let error = rig.backend().stat_blob(&Digest::sha256_of(b"")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RateLimited);
    assert_eq!(error.retry(), Retry::After(Duration::from_secs(86_400)));
    assert_eq!(rig.registry.count(Route::BlobHead), 1);
}

#[tokio::test]
async fn every_form_of_too_many_requests_is_waited_for() {
    for retry_after in [
        RetryAfter::Absent,
        RetryAfter::Seconds(0),
        RetryAfter::Date(Duration::ZERO),
        RetryAfter::Garbage,
        RetryAfter::MicrosecondsInText(35),
    ] {
        let answer = Action::Answer(Answer::too_many_requests(retry_after));
        let rig = Rig::with(Route::BlobHead, When::First(3), answer).await;
        assert_eq!(rig.backend().stat_blob(&Digest::sha256_of(b"")).await.unwrap(), None, "{retry_after:?}");
        assert_eq!(rig.registry.count(Route::BlobHead), 4, "{retry_after:?}");
    }
}

#[tokio::test]
async fn a_registry_that_is_not_there_is_unavailable() {
    let rig = Rig::start(Config::new(Preset::Strict)).await;
    let Rig { registry, repository } = rig;
    drop(registry);
    let error = repository.stat_blob(&Digest::sha256_of(b"")).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Yes), "{error}");
}

#[tokio::test]
async fn a_registry_that_says_nothing_is_unavailable() {
    let rig = Rig::with(Route::BlobHead, When::Always, Action::Hold).await;
    let error = rig.backend().stat_blob(&Digest::sha256_of(b"")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
}

#[tokio::test]
async fn a_manifest_that_is_too_large_is_not_read() {
    let page = Action::Answer(Answer::error(200, "X", &"x".repeat(9 * 1024 * 1024)));
    let rig = Rig::with(Route::ManifestGet, When::Always, page).await;
    let at = Digest::sha256_of(b"").into();
    assert_eq!(rig.backend().read_manifest(&at).await.unwrap_err().kind(), ErrorKind::TooLarge);
}

#[tokio::test]
async fn redirects_without_end_end() {
    let answer = Answer::status(307).with_header("location", "/v2/owner/name/blobs/again");
    let rig = Rig::with(Route::BlobGet, When::Always, Action::Answer(answer)).await;
    let error = rig.repository.read_blob(&Digest::sha256_of(b"x"), None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
    assert!(rig.registry.count(Route::BlobGet) < 10);
}
