//! Facts of the registry as a whole: names of presets, the log, and large blobs.

use oci_model::Digest;
use registry_conformance::pseudo_random;
use registry_conformance::scripted::{Credentials, Preset, Route, Server};

use crate::client::{Session, blob_uri, header};

#[test]
fn presets_have_names() {
    for preset in Preset::ALL {
        assert_eq!(preset.name().parse(), Ok(preset));
        assert_eq!(preset.to_string(), preset.name());
    }
    let error = "harbor".parse::<Preset>().unwrap_err();
    assert_eq!(error, "`harbor` is not a preset: there are `strict`, `ghcr`, `quay`, `quay-disk`, `old`");
}

#[tokio::test]
async fn a_large_blob_comes_back() {
    for preset in Preset::ALL {
        let session = Session::preset(preset).await;
        let content = pseudo_random(1, 5_000_001);
        let digest = session.push(&content).await;
        let head = session.send("HEAD", &blob_uri(&digest)).await;
        assert_eq!(header(&head, "content-length").unwrap(), "5000001", "{preset}");
        let mut answer = session.blob(&digest).await;
        if let Some(link) = header(&answer, "location") {
            answer = session.send("GET", &link).await;
        }
        assert!(answer.bytes().await.unwrap() == content, "{preset}");
    }
}

#[tokio::test]
async fn an_absent_blob_is_not_found() {
    for preset in Preset::ALL {
        let session = Session::preset(preset).await;
        let uri = blob_uri(&Digest::sha256_of(b"absent"));
        assert_eq!(session.send("HEAD", &uri).await.status(), 404, "{preset}");
        assert_eq!(session.send("GET", &uri).await.status(), 404, "{preset}");
    }
}

#[tokio::test]
async fn the_log_has_what_was_asked_and_answered() {
    let session = Session::preset(Preset::Strict).await;
    session.push(b"content").await;
    let request = session.request("GET", "/v2/?x=1").header("X-Test", "yes").bearer_auth("abc");
    request.send().await.unwrap().text().await.unwrap();
    let requests = session.registry.requests();
    let [post, put, ping] = requests.as_slice() else { panic!("{requests:?}") };
    assert_eq!((post.route, post.method.as_str(), post.status), (Route::UploadStart, "POST", Some(202)));
    assert_eq!((put.route, put.received, put.status), (Route::UploadCommit, 7, Some(201)));
    assert_eq!((ping.uri.as_str(), ping.header("x-test"), ping.sent), ("/v2/?x=1", Some("yes"), 2));
    assert_eq!((ping.server, ping.host.as_str()), (Server::Registry, session.registry.host()));
    assert_eq!(ping.credentials, Credentials::Bearer { token: "abc".to_owned() });
    assert_eq!((session.registry.received(), session.registry.sent()), (7, 2));
    assert_eq!(session.registry.count(Route::Ping), 1);
    session.registry.forget_requests();
    assert_eq!((session.registry.requests().len(), session.registry.received()), (0, 0));
}

#[tokio::test]
async fn what_is_nowhere_is_not_found() {
    let session = Session::preset(Preset::Strict).await;
    for uri in ["/", "/v1/", "/v2/_nothing", "/v2/a/b"] {
        assert_eq!(session.send("GET", uri).await.status(), 404, "{uri}");
    }
}
