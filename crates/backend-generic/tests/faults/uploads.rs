//! Uploads that are interrupted, refused, lost, and finished all the same.

use std::pin::pin;
use std::time::Duration;

use distribution_client::{ClientOptions, Profile, Registry, UploadStrategy};
use registry_backend::{Access, BlobSource as _, ErrorKind, WriteHint, Written};
use registry_conformance::scripted::{
    Action, Answer, Config, CutPatch, Fault, Preset, RetryAfter, Route, When,
};
use registry_conformance::{PseudoRandomSource, TestSource};

use crate::rig::{MIB, NAME, Rig, digest, profile};

const SIZE: u64 = 3 * MIB + 5;

fn chunked(bytes: u64) -> Profile {
    let mut profile = profile();
    profile.uploads = vec![UploadStrategy::Chunks { bytes }];
    profile
}

fn with(strategies: &[UploadStrategy]) -> Profile {
    let mut profile = profile();
    profile.uploads = strategies.to_vec();
    profile
}

fn strict(route: Route, when: When, action: Action) -> Config {
    Config::new(Preset::Strict).with_fault(Fault::new(route, when, action))
}

#[tokio::test]
async fn every_failure_of_a_request_is_mended() {
    use Route::{BlobHead, UploadCommit, UploadStart};
    let faults = [
        (UploadStart, When::Nth(1), Action::Answer(Answer::html(502))),
        (UploadStart, When::Nth(1), Action::DropAfterwards),
        (BlobHead, When::First(2), Action::Answer(Answer::status(503))),
        (UploadCommit, When::Nth(1), Action::Answer(Answer::status(503))),
        (UploadCommit, When::Nth(1), Action::Answer(Answer::html(504))),
        (UploadCommit, When::Nth(1), Action::Answer(Answer::error(404, "BLOB_UPLOAD_UNKNOWN", "gone"))),
        (UploadCommit, When::Nth(1), Action::ForgetUpload),
        (UploadCommit, When::Nth(1), Action::Drop { after: MIB }),
        (UploadCommit, When::First(2), Action::Drop { after: 100 }),
        (UploadCommit, When::Nth(1), Action::Drop { after: 0 }),
        (UploadCommit, When::Nth(1), Action::StallRequest { after: MIB }),
        (UploadCommit, When::Nth(1), Action::CorruptRequest { at: 17 }),
        (UploadCommit, When::Nth(1), Action::Answer(Answer::status(413))),
        (
            UploadCommit,
            When::Nth(1),
            Action::Answer(Answer::too_many_requests(RetryAfter::MicrosecondsInText(35))),
        ),
        (UploadCommit, When::Nth(1), Action::Answer(Answer::too_many_requests(RetryAfter::Garbage))),
        (UploadCommit, When::Nth(1), Action::Answer(Answer::secondary_rate_limit())),
        (UploadStart, When::Nth(1), Action::Answer(Answer::too_many_requests(RetryAfter::Seconds(0)))),
        (
            UploadStart,
            When::Nth(1),
            Action::Answer(Answer::too_many_requests(RetryAfter::Date(Duration::ZERO))),
        ),
    ];
    for (route, when, action) in faults {
        println!("{route} {when:?} {action:?}");
        let rig = Rig::with(route, when, action).await;
        rig.push(SIZE).await;
    }
}

/// The runtime has one thread, so every count of polls stops the upload at another point; one of them is right after the request that
/// opens the session was handed over.
#[tokio::test]
async fn an_interrupted_upload_leaves_no_session_wherever_it_stops() {
    let mut stopped = 0;
    for polls in 1..24 {
        let rig = Rig::start(Config::new(Preset::Strict)).await;
        let client = Registry::new(rig.registry.host(), profile(), &ClientOptions::default()).unwrap();
        let repository = client.repository(NAME.parse().unwrap(), Access::Create);
        let source = PseudoRandomSource::new(7, SIZE);
        let hint = WriteHint::default();
        {
            let mut upload = pin!(repository.write_blob(&source, &hint));
            let mut is_done = false;
            for poll in 0..polls {
                if poll > 0 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                is_done = is_done || futures::poll!(upload.as_mut()).is_ready();
            }
            stopped += usize::from(!is_done);
        }
        client.cancel_uploads().await;
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert_eq!(rig.registry.open_uploads(), 0, "after {polls} polls");
    }
    assert!(stopped > 4, "{stopped}");
}

#[tokio::test]
async fn a_commit_that_landed_is_not_repeated() {
    for action in [
        Action::AnswerAfterwards(Answer::status(500)),
        Action::AnswerAfterwards(Answer::error(404, "BLOB_UPLOAD_UNKNOWN", "gone")),
        Action::DropAfterwards,
        Action::Hold,
    ] {
        let rig = Rig::with(Route::UploadCommit, When::Always, action.clone()).await;
        rig.push(SIZE).await;
        assert_eq!(rig.registry.count(Route::UploadCommit), 1, "{action:?}");
    }
}

#[tokio::test]
async fn a_commit_that_is_confirmed_and_lost_is_found_missing_by_the_manifest() {
    let rig = Rig::with(Route::UploadCommit, When::Nth(1), Action::Pretend).await;
    let source = PseudoRandomSource::new(1, 100);
    rig.repository.write_blob(&source, &WriteHint::default()).await.unwrap();
    assert_eq!(rig.registry.blob_size(NAME, digest(&source)), None);
}

#[tokio::test]
async fn an_interrupted_chunk_continues_where_the_registry_stopped() {
    let faults = [
        (Route::UploadPatch, When::Nth(2), Action::Drop { after: MIB / 2 }),
        (Route::UploadPatch, When::Nth(2), Action::StallRequest { after: MIB / 2 }),
        (Route::UploadPatch, When::Nth(2), Action::Answer(Answer::status(503))),
        (Route::UploadPatch, When::Nth(2), Action::DropAfterwards),
        (Route::UploadPatch, When::Nth(2), Action::AnswerAfterwards(Answer::status(502))),
        (Route::UploadPatch, When::Nth(2), Action::AcceptOnly { bytes: MIB / 3 }),
        (Route::UploadPatch, When::Nth(2), Action::Answer(Answer::status(416))),
        (Route::UploadPatch, When::Always, Action::ShiftRangeHeader(1)),
        (Route::UploadPatch, When::Always, Action::RemoveHeader("range")),
        (Route::UploadPatch, When::Always, Action::SetHeader("range", format!("0-{}", MIB - 1))),
        (Route::UploadStatus, When::Nth(1), Action::Answer(Answer::status(503))),
    ];
    for (route, when, action) in faults {
        println!("{route} {when:?} {action:?}");
        let rig = Rig::with_profile(strict(route, when, action), chunked(MIB)).await;
        rig.push(SIZE).await;
        assert_eq!(rig.registry.count(Route::UploadStart), 1);
        assert!(rig.registry.received() <= SIZE + MIB + 1, "{} bytes were sent", rig.registry.received());
    }
}

#[tokio::test]
async fn chunks_get_through_though_every_other_is_refused() {
    let refused = Action::Answer(Answer::html(503));
    let rig = Rig::with_profile(strict(Route::UploadPatch, When::Every(2), refused), chunked(MIB)).await;
    rig.push(20 * MIB).await;
    assert_eq!(rig.registry.count(Route::UploadStart), 1);
}

#[tokio::test]
async fn a_session_that_is_lost_starts_over() {
    for cut_patch in [CutPatch::CancelsUpload, CutPatch::LosesBytes, CutPatch::KeepsBytes] {
        let config = strict(Route::UploadPatch, When::Nth(3), Action::Drop { after: 10 });
        let config = config.with_behaviour(|behaviour| behaviour.uploads.cut_patch = cut_patch);
        let rig = Rig::with_profile(config, chunked(MIB)).await;
        rig.push(SIZE).await;
        let starts = rig.registry.count(Route::UploadStart);
        assert_eq!(starts, 1 + usize::from(cut_patch == CutPatch::CancelsUpload), "{cut_patch:?}");
    }
}

#[tokio::test]
async fn a_commit_of_chunks_that_fails_is_repeated_without_the_content() {
    for action in [Action::Answer(Answer::status(503)), Action::Drop { after: 0 }] {
        let rig = Rig::with_profile(strict(Route::UploadCommit, When::Nth(1), action), chunked(MIB)).await;
        rig.push(SIZE).await;
        assert_eq!(rig.registry.received(), SIZE);
    }
}

#[tokio::test]
async fn a_smaller_chunk_than_the_registry_takes_grows() {
    let config =
        Config::new(Preset::Strict).with_behaviour(|behaviour| behaviour.uploads.chunk_min_bytes = Some(MIB));
    let rig = Rig::with_profile(config, chunked(1000)).await;
    rig.push(SIZE).await;
    assert_eq!(rig.registry.count(Route::UploadPatch), 4);
}

#[tokio::test]
async fn a_strategy_that_is_refused_gives_way_to_the_next() {
    let all = [UploadStrategy::Put, UploadStrategy::Patch, UploadStrategy::Chunks { bytes: MIB }];
    for (from, action) in [
        (0, Action::Answer(Answer::status(413))),
        (0, Action::Answer(Answer::status(411))),
        (0, Action::Answer(Answer::status(501))),
    ] {
        let rig =
            Rig::with_profile(strict(Route::UploadCommit, When::Nth(1), action), with(&all[from..])).await;
        rig.push(SIZE).await;
        assert_eq!(rig.registry.count(Route::UploadPatch), 1);
    }
    let patch_fails = strict(Route::UploadPatch, When::Nth(1), Action::Answer(Answer::status(416)));
    let rig = Rig::with_profile(patch_fails, with(&all[1..])).await;
    rig.push(SIZE).await;
    assert_eq!(rig.registry.count(Route::UploadPatch), 5);
}

#[tokio::test]
async fn every_strategy_stores_blobs_of_every_size() {
    for strategy in [UploadStrategy::Put, UploadStrategy::Patch, UploadStrategy::Chunks { bytes: 1000 }] {
        for preset in Preset::ALL {
            for size in [0, 1, 999, 1000, 1001, 5000] {
                let mut profile = with(&[strategy]);
                profile.checks_manifest_content = true;
                let rig = Rig::with_profile(Config::new(preset), profile).await;
                rig.push(size).await;
                assert_eq!(rig.registry.open_uploads(), 0, "{preset} {strategy:?} {size}");
            }
        }
    }
}

#[tokio::test]
async fn an_upload_elsewhere_takes_no_credentials_along() {
    let config = strict(Route::UploadStart, When::Always, Action::ForeignLocation);
    let config = config.with_auth(registry_conformance::scripted::Auth::Basic(vec![
        registry_conformance::scripted::User::new("alice", "s3cret"),
    ]));
    let rig = Rig::with_login(config, "alice", "s3cret").await;
    let source = PseudoRandomSource::new(1, 1000);
    // The storage host takes no uploads: only that nothing is shown to it counts here.
    let _ = rig.repository.write_blob(&source, &WriteHint::default()).await;
    let requests = rig.registry.requests();
    let foreign: Vec<_> =
        requests.iter().filter(|request| request.host == rig.registry.storage_host()).collect();
    assert!(!foreign.is_empty());
    for request in foreign {
        assert_eq!(request.header("authorization"), None, "{} {}", request.method, request.uri);
    }
}

#[tokio::test]
async fn a_registry_that_never_confirms_ends_in_an_error() {
    for action in [
        Action::Answer(Answer::status(503)),
        Action::Drop { after: 1000 },
        Action::CorruptRequest { at: 0 },
        Action::Answer(Answer::status(416)),
        Action::Answer(Answer::quota_exceeded()),
    ] {
        let rig = Rig::with(Route::UploadCommit, When::Always, action.clone()).await;
        rig.registry.add_fault(Fault::new(Route::UploadPatch, When::Always, action.clone()));
        let source = PseudoRandomSource::new(1, 5000);
        let error = rig.repository.write_blob(&source, &WriteHint::default()).await.unwrap_err();
        assert!(error.to_string().contains(digest(&source).as_str()), "{error}");
        assert!(
            rig.registry.requests().len() < 60,
            "{} requests for {action:?}",
            rig.registry.requests().len()
        );
    }
}

#[tokio::test]
async fn a_full_namespace_is_told_at_once() {
    let rig = Rig::with(Route::UploadStart, When::Always, Action::Answer(Answer::quota_exceeded())).await;
    let source = PseudoRandomSource::new(1, 5000);
    let error = rig.repository.write_blob(&source, &WriteHint::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.to_string().contains("Quota has been exceeded"), "{error}");
    assert_eq!(rig.registry.count(Route::UploadStart), 1);
}

#[tokio::test]
async fn a_failed_source_gives_its_session_up() {
    for strategy in [UploadStrategy::Put, UploadStrategy::Patch, UploadStrategy::Chunks { bytes: 10 }] {
        let rig = Rig::with_profile(Config::new(Preset::Strict), with(&[strategy])).await;
        let source = TestSource::new("content of some length").failing_after(15, ErrorKind::Io);
        let error = rig.repository.write_blob(&source, &WriteHint::default()).await.unwrap_err();
        assert_eq!(error.operation(), TestSource::FAILING_OPERATION);
        assert_eq!(rig.registry.open_uploads(), 0, "{strategy:?}");
    }
}

#[tokio::test]
async fn a_blob_is_mounted_where_it_can_be_and_sent_where_not() {
    for (preset, from, expected) in [
        (Preset::Strict, "owner/other", Written::Mounted),
        (Preset::Ghcr, "owner/other", Written::Mounted),
        (Preset::Ghcr, "somebody/else", Written::Uploaded),
        (Preset::Quay, "somebody/else", Written::Mounted),
        (Preset::Strict, "owner/absent", Written::Uploaded),
        (Preset::Strict, NAME, Written::Uploaded),
    ] {
        let rig = Rig::start(Config::new(preset)).await;
        let source = PseudoRandomSource::new(3, 1000);
        if from != "owner/absent" && from != NAME {
            let bytes = registry_conformance::pseudo_random(3, 1000);
            rig.registry.put_blob(from, &bytes).unwrap();
        }
        let hint = WriteHint::default().with_mount_from(from.parse().unwrap());
        let written = rig.repository.write_blob(&source, &hint).await.unwrap();
        assert_eq!(written, expected, "{preset} {from}");
        assert_eq!(rig.registry.blob_size(NAME, digest(&source)), Some(source.size()));
        assert_eq!(rig.registry.open_uploads(), 0, "{preset} {from}");
    }
}
