//! Downloads that break, and go on.

use std::time::Duration;

use distribution_client::Segments;
use registry_backend::{BlobRead, ErrorKind};
use registry_conformance::pseudo_random;
use registry_conformance::scripted::{
    Action, Answer, Config, Fault, Preset, RetryAfter, Route, Server, When,
};

use crate::rig::{MIB, Rig, profile};

const SIZE: usize = 3 * 1024 * 1024 + 5;

#[tokio::test]
async fn every_failure_of_a_read_is_mended() {
    let faults = [
        (When::Nth(1), Action::CutAnswer { after: MIB }),
        (When::First(3), Action::CutAnswer { after: 100_000 }),
        (When::Nth(1), Action::StallAnswer { after: MIB }),
        (When::Nth(1), Action::Answer(Answer::html(503))),
        (When::Nth(1), Action::Answer(Answer::too_many_requests(RetryAfter::Seconds(0)))),
        (When::Nth(1), Action::DropAfterwards),
        (When::Nth(1), Action::IgnoreRange),
    ];
    for (when, action) in faults {
        println!("{when:?} {action:?}");
        let rig = Rig::with(Route::BlobGet, when, action).await;
        let digest = rig.seed(SIZE);
        rig.pull(&digest).await.unwrap();
        assert!(rig.registry.sent() <= SIZE as u64 + 2 * MIB, "{} bytes were sent", rig.registry.sent());
    }
}

#[tokio::test]
async fn a_registry_without_ranges_sends_all_again_and_the_content_is_right() {
    let mut config = Config::new(Preset::Strict).with_behaviour(|behaviour| behaviour.blobs.ranges = false);
    config = config.with_fault(Fault::new(Route::BlobGet, When::First(2), Action::CutAnswer { after: MIB }));
    let rig = Rig::start(config).await;
    let digest = rig.seed(SIZE);
    rig.pull(&digest).await.unwrap();
    assert_eq!(rig.registry.count(Route::BlobGet), 3);
}

#[tokio::test]
async fn large_blobs_come_in_segments() {
    let mut profile = profile();
    profile.segments = Some(Segments { from_bytes: MIB, bytes: 300_000, parallel: 3 });
    for fault in [
        None,
        Some(Fault::new(Route::BlobGet, When::Every(3), Action::CutAnswer { after: 1000 })),
        Some(Fault::new(Route::BlobGet, When::Every(4), Action::Answer(Answer::status(503)))),
    ] {
        for preset in [Preset::Strict, Preset::Ghcr] {
            let mut config = Config::new(preset);
            config.faults.extend(fault.clone());
            let rig = Rig::with_profile(config, profile.clone()).await;
            let digest = rig.seed(SIZE);
            rig.pull(&digest).await.unwrap();
            let range = 1000..SIZE as u64 - 1;
            let read = rig.repository.read_blob(&digest, Some(range.clone())).await.unwrap();
            let expected = &pseudo_random(7, SIZE)[1000..SIZE - 1];
            assert!(bytes(read).await == expected, "{preset} {fault:?}");
        }
    }
}

#[tokio::test]
async fn a_link_is_used_again_until_it_expires() {
    let mut profile = profile();
    profile.segments = Some(Segments { from_bytes: MIB, bytes: 300_000, parallel: 2 });
    let rig = Rig::with_profile(Config::new(Preset::Ghcr), profile.clone()).await;
    let digest = rig.seed(SIZE);
    rig.pull(&digest).await.unwrap();
    assert_eq!(rig.registry.count(Route::BlobGet), 1, "the registry redirects once");
    assert!(rig.registry.count(Route::Storage) > 1);

    let config = Config::new(Preset::Ghcr)
        .with_behaviour(|behaviour| behaviour.blobs.link_lifetime = Duration::from_millis(30))
        .with_fault(Fault::new(Route::Storage, When::Always, Action::Delay(Duration::from_millis(20))));
    let rig = Rig::with_profile(config, profile).await;
    let digest = rig.seed(SIZE);
    rig.pull(&digest).await.unwrap();
    assert!(rig.registry.count(Route::BlobGet) > 1, "links expire on the way");
}

#[tokio::test]
async fn an_expired_link_is_asked_for_again() {
    for preset in [Preset::Ghcr, Preset::Quay] {
        let config =
            Config::new(preset).with_fault(Fault::new(Route::BlobGet, When::First(2), Action::ExpiredLink));
        let rig = Rig::start(config).await;
        let digest = rig.seed(SIZE);
        rig.pull(&digest).await.unwrap();
        assert!(rig.registry.count(Route::BlobGet) >= 3);
    }
}

#[tokio::test]
async fn no_credentials_reach_the_storage_host() {
    use registry_conformance::scripted::{Auth, User};
    for auth in
        [Auth::Basic(vec![User::new("alice", "s3cret")]), Auth::bearer(vec![User::new("alice", "s3cret")])]
    {
        for preset in [Preset::Ghcr, Preset::Quay] {
            let config = Config::new(preset).with_auth(auth.clone());
            let rig = Rig::with_login(config, "alice", "s3cret").await;
            let digest = rig.seed(SIZE);
            rig.pull(&digest).await.unwrap();
            let requests = rig.registry.requests();
            let storage: Vec<_> =
                requests.iter().filter(|request| request.server == Server::Storage).collect();
            assert!(!storage.is_empty());
            assert!(storage.iter().all(|request| request.header("authorization").is_none()), "{storage:?}");
        }
    }
}

#[tokio::test]
async fn what_a_registry_lies_about_is_found_out() {
    let cases = [
        (Action::CorruptAnswer { at: 7 }, ErrorKind::Invalid),
        (Action::ShortenAnswer { to: 1000 }, ErrorKind::Unavailable),
        (Action::ShiftContent(10), ErrorKind::Protocol),
        (Action::CutAnswer { after: 0 }, ErrorKind::Unavailable),
        (Action::SetHeader("content-range", "bytes 0-1/2".to_owned()), ErrorKind::Protocol),
        (Action::SetHeader("content-range", "nonsense".to_owned()), ErrorKind::Protocol),
        (Action::Answer(Answer::html(404)), ErrorKind::NotFound),
        (Action::Answer(Answer::status(403)), ErrorKind::Denied),
    ];
    for (action, expected) in cases {
        let rig = Rig::with(Route::BlobGet, When::Always, action.clone()).await;
        let digest = rig.seed(50_000);
        let error = rig.pull(&digest).await.unwrap_err();
        assert_eq!(error.kind(), expected, "{action:?}: {error}");
        assert!(rig.registry.requests().len() < 20, "{action:?}");
    }
}

#[tokio::test]
async fn a_manifest_is_read_whole_and_right_or_not_at_all() {
    use oci_model::{Descriptor, ImageManifest, ManifestRef, RawManifest};
    let manifest = ImageManifest::new("text/csv".parse().unwrap(), Descriptor::empty());
    let raw = RawManifest::from_image(&manifest);
    let by_digest = ManifestRef::Digest(raw.digest().clone());
    let by_tag = ManifestRef::Tag("v1".parse().unwrap());
    for (when, action, expected) in [
        (When::Nth(1), Action::CutAnswer { after: 10 }, None),
        (When::Nth(1), Action::Answer(Answer::html(502)), None),
        (When::Always, Action::RemoveHeader("docker-content-digest"), None),
        (When::Always, Action::SetHeader("content-type", "application/json; charset=utf-8".to_owned()), None),
        (When::Always, Action::CorruptAnswer { at: 5 }, Some(ErrorKind::Invalid)),
        (When::Always, Action::ShortenAnswer { to: 10 }, Some(ErrorKind::Invalid)),
        (When::Always, Action::Answer(Answer::html(200)), Some(ErrorKind::Protocol)),
    ] {
        for at in [&by_digest, &by_tag] {
            let rig = Rig::with(Route::ManifestGet, when, action.clone()).await;
            rig.registry.put_manifest(crate::rig::NAME, &by_tag, &raw);
            let read = rig.backend().read_manifest(at).await;
            match expected {
                None => assert_eq!(read.unwrap(), raw, "{action:?}"),
                Some(kind) => assert_eq!(read.unwrap_err().kind(), kind, "{action:?}"),
            }
        }
    }
}

async fn bytes(read: BlobRead) -> Vec<u8> {
    use futures::TryStreamExt;
    let pieces: Vec<_> = read.stream.try_collect().await.unwrap();
    pieces.concat()
}
