//! Uploads that go right, in every form, and those that the registry refuses by itself.

use futures::StreamExt;
use oci_model::{Digest, DigestAlgorithm, DigestHasher};
use registry_conformance::scripted::{Config, CutPatch, Preset, Route};

use crate::client::{REPOSITORY, Session, code, header, with_field};

#[tokio::test]
async fn one_put_stores_a_blob_on_every_preset() {
    for preset in Preset::ALL {
        let session = Session::preset(preset).await;
        let location = session.start_upload().await;
        let answer = session.commit(&location, b"content", b"content").send().await.unwrap();
        assert_eq!(answer.status(), 201, "{preset}");
        let digest = Digest::sha256_of(b"content");
        assert_eq!(header(&answer, "docker-content-digest").unwrap(), digest.as_str());
        assert_eq!(session.stored(b"content"), Some(7));
        assert_eq!(session.registry.open_uploads(), 0);
    }
}

#[tokio::test]
async fn one_patch_and_a_put_store_a_blob_on_every_preset() {
    for preset in Preset::ALL {
        let session = Session::preset(preset).await;
        let location = session.start_upload().await;
        let answer = session.request("PATCH", &location).body("content").send().await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), header(&answer, "range").unwrap().as_str()),
            (202, "0-6"),
            "{preset}"
        );
        let location = header(&answer, "location").unwrap();
        assert_eq!(session.commit(&location, b"content", b"").send().await.unwrap().status(), 201);
        assert_eq!(session.stored(b"content"), Some(7));
    }
}

#[tokio::test]
async fn chunks_and_a_put_store_a_blob_on_every_preset() {
    for preset in Preset::ALL {
        let session = Session::preset(preset).await;
        let mut location = session.start_upload().await;
        for (start, chunk) in [(0, &b"cont"[..]), (4, b"en")] {
            let answer = session.chunk(&location, start, chunk).send().await.unwrap();
            assert_eq!(answer.status(), 202, "{preset}");
            location = header(&answer, "location").unwrap();
        }
        assert_eq!(session.commit(&location, b"content", b"t").send().await.unwrap().status(), 201);
        assert_eq!(session.stored(b"content"), Some(7));
    }
}

#[tokio::test]
async fn one_post_is_enough_only_where_it_is_said() {
    for (preset, status) in
        [(Preset::Strict, 201), (Preset::Quay, 201), (Preset::Ghcr, 202), (Preset::Old, 202)]
    {
        let session = Session::preset(preset).await;
        let digest = Digest::sha256_of(b"content");
        let uri = format!("/v2/{REPOSITORY}/blobs/uploads/?digest={digest}");
        let answer = session.request("POST", &uri).body("content").send().await.unwrap();
        assert_eq!(answer.status(), status, "{preset}");
        assert_eq!(session.stored(b"content").is_some(), status == 201);
    }
}

#[tokio::test]
async fn the_empty_blob_is_stored() {
    let session = Session::preset(Preset::Strict).await;
    let digest = session.push(b"").await;
    let answer = session.blob(&digest).await;
    assert_eq!(header(&answer, "content-length").unwrap(), "0");
    assert_eq!(answer.bytes().await.unwrap(), "");
}

#[tokio::test]
async fn a_sha512_blob_is_stored_where_the_algorithm_is_known() {
    let mut hasher = DigestHasher::new(DigestAlgorithm::Sha512);
    hasher.update(b"content");
    let digest = hasher.finish();
    for (preset, status) in [(Preset::Strict, 201), (Preset::Quay, 400)] {
        let session = Session::preset(preset).await;
        let uri = with_field(&session.start_upload().await, &format!("digest={digest}"));
        let answer = session.request("PUT", &uri).body("content").send().await.unwrap();
        assert_eq!(answer.status(), status, "{preset}");
        assert_eq!(session.registry.blob_size(REPOSITORY, &digest).is_some(), status == 201);
    }
}

#[tokio::test]
async fn another_digest_is_refused_and_nothing_is_stored() {
    for preset in Preset::ALL {
        let session = Session::preset(preset).await;
        let location = session.start_upload().await;
        let answer = session.commit(&location, b"content", b"CONTENT").send().await.unwrap();
        assert_eq!(answer.status(), 400, "{preset}");
        let is_quay = matches!(preset, Preset::Quay | Preset::QuayDisk);
        assert_eq!(code(answer).await, if is_quay { "BLOB_UPLOAD_INVALID" } else { "DIGEST_INVALID" });
        assert_eq!((session.stored(b"content"), session.stored(b"CONTENT")), (None, None));
    }
}

#[tokio::test]
async fn a_chunk_at_another_place_is_refused_where_ranges_are_read() {
    for (preset, status, range) in [
        (Preset::Strict, 416, Some("0-3")),
        (Preset::Ghcr, 416, Some("0-3")),
        // One too high, as Quay has it.
        (Preset::Quay, 416, Some("0-4")),
        (Preset::Old, 202, Some("0-6")),
    ] {
        let session = Session::preset(preset).await;
        let location = session.start_upload().await;
        let answer = session.chunk(&location, 0, b"cont").send().await.unwrap();
        let location = header(&answer, "location").unwrap();
        let answer = session.chunk(&location, 9, b"ent").send().await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), header(&answer, "range").as_deref()),
            (status, range),
            "{preset}"
        );
    }
}

#[tokio::test]
async fn quay_skips_what_overlaps() {
    let session = Session::preset(Preset::Quay).await;
    let location = session.start_upload().await;
    session.chunk(&location, 0, b"cont").send().await.unwrap();
    let answer = session.chunk(&location, 2, b"ntent").send().await.unwrap();
    assert_eq!(header(&answer, "range").unwrap(), "0-6");
    assert_eq!(session.commit(&location, b"content", b"").send().await.unwrap().status(), 201);
}

#[tokio::test]
async fn ghcr_refuses_large_bodies_with_a_range_and_no_others() {
    let session = Session::preset(Preset::Ghcr).await;
    let large = vec![7; 4 * 1024 * 1024 + 1];
    let location = session.start_upload().await;
    let answer = session.chunk(&location, 0, &large).send().await.unwrap();
    assert_eq!(answer.status(), 416);
    assert!(answer.text().await.unwrap().contains("4.00MiB"));
    let answer = session.chunk(&location, 0, &large[1..]).send().await.unwrap();
    assert_eq!(answer.status(), 202);
    session.push(&large).await;
}

#[tokio::test]
async fn the_progress_of_an_upload_is_told_in_each_registrys_way() {
    for (preset, status, range, has_location) in [
        (Preset::Strict, 204, Some("0-3"), true),
        (Preset::Quay, 204, Some("bytes=0-4"), false),
        (Preset::Old, 204, Some("0-3"), true),
        (Preset::Ghcr, 404, None, false),
    ] {
        let session = Session::preset(preset).await;
        let location = session.start_upload().await;
        let answer = session.chunk(&location, 0, b"cont").send().await.unwrap();
        let answer = session.send("GET", &header(&answer, "location").unwrap()).await;
        assert_eq!(answer.status(), status, "{preset}");
        assert_eq!(header(&answer, "range").as_deref(), range, "{preset}");
        assert_eq!(header(&answer, "location").is_some(), has_location, "{preset}");
    }
}

#[tokio::test]
async fn what_a_new_upload_answers_is_each_registrys_own() {
    for (preset, range, absolute, word) in [
        (Preset::Strict, None, false, "/blobs/uploads/"),
        (Preset::Ghcr, Some("0-0"), false, "/blobs/upload/"),
        (Preset::Quay, Some("bytes=0--1"), true, "/blobs/uploads/"),
        (Preset::Old, Some("0-0"), true, "/blobs/uploads/"),
    ] {
        let session = Session::preset(preset).await;
        let uri = format!("/v2/{REPOSITORY}/blobs/uploads/");
        let answer = session.request("POST", &uri).header("content-length", "0").send().await.unwrap();
        let location = header(&answer, "location").unwrap();
        assert_eq!(header(&answer, "range").as_deref(), range, "{preset}");
        assert_eq!(location.starts_with(&session.registry.url()), absolute, "{preset}: {location}");
        assert!(location.contains(word), "{preset}: {location}");
    }
}

#[tokio::test]
async fn the_query_of_a_location_has_to_be_kept() {
    let session = Session::preset(Preset::Strict).await;
    let location = session.start_upload().await;
    let bare = location.split('?').next().unwrap();
    assert_eq!(session.request("PATCH", bare).body("content").send().await.unwrap().status(), 404);
    assert_eq!(session.request("PATCH", &location).body("content").send().await.unwrap().status(), 202);
}

#[tokio::test]
async fn an_old_location_ends_the_upload_where_the_state_changes() {
    let session = Session::preset(Preset::Old).await;
    let first = session.start_upload().await;
    let answer = session.request("PATCH", &first).body("cont").send().await.unwrap();
    let second = header(&answer, "location").unwrap();
    assert_ne!(first, second);
    assert_eq!(session.request("PATCH", &first).body("ent").send().await.unwrap().status(), 404);
    assert_eq!(session.request("PATCH", &second).body("ent").send().await.unwrap().status(), 404);
    assert_eq!(session.registry.open_uploads(), 0);
}

#[tokio::test]
async fn small_chunks_are_refused_where_a_smallest_one_is_announced() {
    let config = Config::new(Preset::Strict).with_behaviour(|it| it.uploads.chunk_min_bytes = Some(4));
    let session = Session::start(config).await;
    let location = session.start_upload().await;
    let answer = session.chunk(&location, 0, b"con").send().await.unwrap();
    assert_eq!(answer.status(), 202);
    let answer = session.chunk(&location, 3, b"tent").send().await.unwrap();
    assert_eq!(code(answer).await, "SIZE_INVALID");
}

#[tokio::test]
async fn a_blob_above_the_limit_is_refused() {
    let config = Config::new(Preset::Strict).with_behaviour(|it| it.uploads.max_blob_bytes = Some(6));
    let session = Session::start(config).await;
    let location = session.start_upload().await;
    assert_eq!(session.commit(&location, b"content", b"content").send().await.unwrap().status(), 413);
    assert_eq!((session.stored(b"content"), session.registry.open_uploads()), (None, 0));
}

#[tokio::test]
async fn a_body_may_come_in_chunks_without_a_length() {
    let session = Session::preset(Preset::Strict).await;
    let location = session.start_upload().await;
    let stream = futures::stream::iter([Ok::<_, std::io::Error>("content")]);
    let chunked = session.request("PATCH", &location).body(reqwest::Body::wrap_stream(stream));
    assert_eq!(chunked.send().await.unwrap().status(), 202);
    assert_eq!(session.commit(&location, b"content", b"").send().await.unwrap().status(), 201);
    assert_eq!(session.stored(b"content"), Some(7));
}

#[tokio::test]
async fn an_upload_can_be_cancelled() {
    let session = Session::preset(Preset::Strict).await;
    let location = session.start_upload().await;
    assert_eq!(session.send("DELETE", &location).await.status(), 204);
    assert_eq!(session.request("PATCH", &location).body("x").send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn blobs_are_mounted_where_the_registry_does() {
    for (preset, from, status) in [
        (Preset::Strict, "other/place", 201),
        (Preset::Ghcr, "other/place", 202),
        (Preset::Ghcr, "owner/place", 201),
        (Preset::Quay, "other/place", 201),
        (Preset::Quay, "absent/place", 202),
    ] {
        let session = Session::preset(preset).await;
        for place in ["other/place", "owner/place"] {
            session.registry.put_blob(place, b"content").unwrap();
        }
        let digest = Digest::sha256_of(b"content");
        let uri = format!("/v2/{REPOSITORY}/blobs/uploads/?mount={digest}&from={from}");
        let answer = session.request("POST", &uri).header("content-length", "0").send().await.unwrap();
        assert_eq!(answer.status(), status, "{preset} from {from}");
        assert_eq!(session.stored(b"content").is_some(), status == 201);
        assert_eq!(session.registry.count(Route::Mount), 1);
    }
}

#[tokio::test]
async fn a_mount_needs_no_source_where_the_registry_finds_one() {
    for (preset, status) in [(Preset::Strict, 201), (Preset::Quay, 202)] {
        let session = Session::preset(preset).await;
        let digest = session.registry.put_blob("some/where", b"content").unwrap();
        let uri = format!("/v2/{REPOSITORY}/blobs/uploads/?mount={digest}");
        let answer = session.request("POST", &uri).header("content-length", "0").send().await.unwrap();
        assert_eq!(answer.status(), status, "{preset}");
    }
}

/// A client that goes away in the middle of a `PATCH`, without any fault.
#[tokio::test]
async fn a_client_that_goes_away_leaves_what_the_rule_says() {
    for (rule, range) in [
        (CutPatch::KeepsBytes, Some("0-6")),
        (CutPatch::LosesBytes, Some("0-3")),
        (CutPatch::CancelsUpload, None),
    ] {
        let config = Config::new(Preset::Strict).with_behaviour(|it| it.uploads.cut_patch = rule);
        let session = Session::start(config).await;
        let location = session.start_upload().await;
        session.request("PATCH", &location).body("cont").send().await.unwrap();
        let (leave, left) = tokio::sync::oneshot::channel::<()>();
        let gone = futures::stream::once(left).map(|_| Err(std::io::Error::other("gone")));
        let body = reqwest::Body::wrap_stream(futures::stream::iter([Ok("ent")]).chain(gone));
        let request = session.request("PATCH", &location).header("content-length", "100").body(body);
        let pending = tokio::spawn(request.send());
        while !session.registry.requests().iter().any(|request| request.received == 3) {
            tokio::task::yield_now().await;
        }
        leave.send(()).unwrap();
        pending.await.unwrap().unwrap_err();
        // The registry finds out that nobody is there when it looks, which is soon.
        let mut seen = None;
        for _ in 0..1000 {
            seen = header(&session.send("GET", &location).await, "range");
            if seen.as_deref() == range {
                break;
            }
        }
        assert_eq!(seen.as_deref(), range, "{rule:?}");
    }
}
