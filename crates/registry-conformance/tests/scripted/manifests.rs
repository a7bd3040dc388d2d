//! Manifests: stored, read, refused, deleted.

use oci_model::{Descriptor, Digest, ImageIndex, ManifestRef, MediaType, RawManifest};
use registry_conformance::scripted::{Config, Preset};

use crate::client::{ALL_MANIFESTS, REPOSITORY, Session, artifact, code, header, tag};

fn uri(name: impl std::fmt::Display) -> String {
    format!("/v2/{REPOSITORY}/manifests/{name}")
}

#[tokio::test]
async fn a_manifest_is_read_back_by_tag_and_by_digest() {
    for preset in Preset::ALL {
        let session = Session::preset(preset).await;
        let raw = artifact(&session.registry, "one", None);
        assert_eq!(session.put_manifest("v1", &raw).await.status(), 201, "{preset}");
        for name in ["v1", raw.digest().as_str()] {
            let answer = session.send("GET", &uri(name)).await;
            assert_eq!(header(&answer, "docker-content-digest").unwrap(), raw.digest().as_str());
            assert_eq!(header(&answer, "content-type").unwrap(), MediaType::IMAGE_MANIFEST);
            assert_eq!(answer.bytes().await.unwrap(), raw.bytes());
            let answer = session.send("HEAD", &uri(name)).await;
            assert_eq!(header(&answer, "content-length").unwrap(), raw.bytes().len().to_string());
        }
        assert_eq!(session.registry.manifest(REPOSITORY, &tag("v1")), Some(raw));
    }
}

#[tokio::test]
async fn what_is_not_right_is_refused_with_its_code() {
    let session = Session::preset(Preset::Strict).await;
    let raw = artifact(&session.registry, "one", None);
    let absent = Descriptor::new(MediaType::from_static("text/csv"), Digest::sha256_of(b"absent"), 6);
    let index = RawManifest::from_index(&ImageIndex::new(vec![absent]));
    let text = |bytes: &[u8], media_type: &'static str| {
        RawManifest::new(bytes.to_vec(), MediaType::from_static(media_type))
    };
    for (name, raw, expected) in [
        ("v1", index, "MANIFEST_BLOB_UNKNOWN"),
        ("v1", text(b"{", MediaType::IMAGE_MANIFEST), "MANIFEST_INVALID"),
        ("v1", text(b"{}", "text/csv"), "MANIFEST_INVALID"),
        ("sha256:00", raw.clone(), "DIGEST_INVALID"),
        (Digest::sha256_of(b"other").as_str(), raw, "DIGEST_INVALID"),
    ] {
        let answer = session.put_manifest(name, &raw).await;
        assert_eq!(answer.status(), 400);
        assert_eq!(code(answer).await, expected);
    }
    assert_eq!(session.registry.tags(REPOSITORY), Vec::<String>::new());
}

#[tokio::test]
async fn a_manifest_above_the_limit_is_refused() {
    for (preset, status) in [(Preset::Strict, 413), (Preset::Old, 400)] {
        let session =
            Session::start(Config::new(preset).with_behaviour(|it| it.manifests.max_bytes = 50)).await;
        let raw = artifact(&session.registry, "one", None);
        assert_eq!(session.put_manifest("v1", &raw).await.status(), status, "{preset}");
    }
}

#[tokio::test]
async fn a_list_of_types_is_kept_to() {
    let types = vec!["application/vnd.oci.image.config.v1+json".to_owned()];
    let config = Config::new(Preset::Quay).with_behaviour(|it| it.manifests.config_types = Some(types));
    let session = Session::start(config).await;
    let raw = artifact(&session.registry, "one", None);
    let answer = session.put_manifest("v1", &raw).await;
    assert!(answer.text().await.unwrap().contains("unknown media type"));
}

#[tokio::test]
async fn the_type_has_to_be_accepted_where_the_registry_looks() {
    for (preset, status) in [(Preset::Strict, 404), (Preset::Ghcr, 200)] {
        let session = Session::preset(preset).await;
        let raw = artifact(&session.registry, "one", None);
        session.registry.put_manifest(REPOSITORY, &tag("v1"), &raw);
        let answer =
            session.request("GET", &uri("v1")).header("accept", "application/json").send().await.unwrap();
        assert_eq!(answer.status(), status, "{preset}");
        for accept in [ALL_MANIFESTS, "*/*", "text/csv, application/vnd.oci.image.manifest.v1+json;q=0.5"] {
            let answer = session.request("GET", &uri("v1")).header("accept", accept).send().await.unwrap();
            assert_eq!(answer.status(), 200, "{preset} {accept}");
        }
    }
}

#[tokio::test]
async fn deleting_a_manifest_takes_its_tags_along() {
    let session = Session::preset(Preset::Strict).await;
    let raw = artifact(&session.registry, "one", None);
    session.registry.put_manifest(REPOSITORY, &tag("v1"), &raw);
    assert_eq!(session.send("DELETE", &uri(raw.digest())).await.status(), 202);
    assert_eq!(session.send("GET", &uri("v1")).await.status(), 404);
    assert_eq!(session.send("DELETE", &uri(raw.digest())).await.status(), 404);
    assert_eq!(session.registry.tags(REPOSITORY), Vec::<String>::new());
}

#[tokio::test]
async fn deleting_is_refused_where_the_registry_does_not() {
    for (preset, by_digest, by_tag, blob) in [
        (Preset::Strict, 202, 202, 202),
        (Preset::Ghcr, 405, 405, 405),
        // The manifest goes with its last tag.
        (Preset::Quay, 404, 202, 405),
        (Preset::Old, 202, 405, 202),
    ] {
        let session = Session::preset(preset).await;
        let raw = artifact(&session.registry, "one", None);
        session.registry.put_manifest(REPOSITORY, &tag("v1"), &raw);
        let blob_uri = crate::client::blob_uri(&Digest::sha256_of(Descriptor::EMPTY_CONTENT));
        assert_eq!(session.send("DELETE", &uri("v1")).await.status(), by_tag, "{preset}");
        assert_eq!(session.send("DELETE", &uri(raw.digest())).await.status(), by_digest, "{preset}");
        assert_eq!(session.send("DELETE", &blob_uri).await.status(), blob, "{preset}");
        let left = session.registry.manifest(REPOSITORY, &ManifestRef::Digest(raw.digest().clone()));
        assert_eq!(left.is_some(), by_digest == 405);
    }
}

#[tokio::test]
async fn the_subject_is_confirmed_only_where_it_is_listed() {
    for (preset, confirmed) in
        [(Preset::Strict, true), (Preset::Ghcr, false), (Preset::Quay, false), (Preset::Old, false)]
    {
        let session = Session::preset(preset).await;
        let subject = artifact(&session.registry, "one", None);
        let referrer = artifact(&session.registry, "two", Some(&subject));
        let answer = session.put_manifest("v1", &referrer).await;
        assert_eq!(answer.status(), 201);
        let stated = header(&answer, "oci-subject");
        assert_eq!(stated.as_deref(), confirmed.then_some(subject.digest().as_str()), "{preset}");
    }
}
