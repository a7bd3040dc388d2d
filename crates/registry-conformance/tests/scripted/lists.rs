//! Tags and referrers, page by page.

use oci_model::{Descriptor, Digest, ImageIndex, ManifestRef, MediaType, RawManifest};
use registry_conformance::scripted::{Action, Config, Fault, Preset, ReferrersBehaviour, Route, When};
use serde_json::{Value, json};

use crate::client::{REPOSITORY, Session, artifact, code, header, tag};

/// Reads pages until there is no link to another, at most ten; returns the bodies and the first link.
async fn pages(session: &Session, uri: &str) -> (Vec<Value>, Option<String>) {
    let (mut bodies, mut first_link, mut next) = (Vec::new(), None, Some(uri.to_owned()));
    while let Some(uri) = next.take().filter(|_| bodies.len() < 10) {
        let answer = session.send("GET", &uri).await;
        assert_eq!(answer.status(), 200);
        let link = header(&answer, "link");
        next = link.as_ref().map(|link| link[1..link.find('>').unwrap()].to_owned());
        first_link = first_link.or(link);
        bodies.push(serde_json::from_str(&answer.text().await.unwrap()).unwrap());
    }
    (bodies, first_link)
}

fn tags_uri(query: &str) -> String {
    format!("/v2/{REPOSITORY}/tags/list{query}")
}

async fn with_tags(config: Config, tags: &[&str]) -> Session {
    let session = Session::start(config).await;
    let raw = artifact(&session.registry, "one", None);
    for name in tags {
        session.registry.put_manifest(REPOSITORY, &tag(name), &raw);
    }
    session
}

#[tokio::test]
async fn tags_come_in_the_order_and_pages_of_each_registry() {
    for (preset, uri, expected) in [
        (Preset::Strict, "?n=2", vec![json!(["a", "b"]), json!(["c"])]),
        (Preset::Ghcr, "?n=2", vec![json!(["c", "a"]), json!(["b"])]),
        (Preset::Old, "?n=2", vec![json!(["a", "b", "c"])]),
        (Preset::Strict, "?last=a", vec![json!(["b", "c"])]),
        (Preset::Strict, "?n=0", vec![json!([])]),
    ] {
        let session = with_tags(Config::new(preset), &["c", "a", "b"]).await;
        let (bodies, _) = pages(&session, &tags_uri(uri)).await;
        let tags: Vec<_> = bodies.into_iter().map(|body| body["tags"].clone()).collect();
        assert_eq!(tags, expected, "{preset} {uri}");
    }
}

#[tokio::test]
async fn links_have_the_form_of_each_registry() {
    let session = with_tags(Config::new(Preset::Strict), &["a", "b"]).await;
    let (_, link) = pages(&session, &tags_uri("?n=1")).await;
    assert_eq!(link.unwrap(), format!("<{}?n=1&last=a>; rel=\"next\"", tags_uri("")));
    let config = Config::new(Preset::Quay).with_behaviour(|it| {
        it.tags.absolute_link = true;
        it.tags.quoted_link = false;
    });
    let session = with_tags(config, &["a", "b"]).await;
    let (_, link) = pages(&session, &tags_uri("?n=1")).await;
    let url = session.registry.url();
    assert_eq!(link.unwrap(), format!("<{url}{}?n=1&last=a>; rel=next", tags_uri("")));
}

#[tokio::test]
async fn no_tags_are_told_in_each_registrys_way() {
    for (preset, expected) in [(Preset::Strict, json!([])), (Preset::Old, Value::Null)] {
        let session = Session::preset(preset).await;
        let answer = session.send("GET", &tags_uri("")).await;
        assert_eq!((answer.status().as_u16(), code(answer).await.as_str()), (404, "NAME_UNKNOWN"));
        session.registry.put_blob(REPOSITORY, b"x").unwrap();
        let (bodies, _) = pages(&session, &tags_uri("")).await;
        assert_eq!(bodies[0]["tags"], expected, "{preset}");
    }
}

#[tokio::test]
async fn endless_pages_do_not_end() {
    let fault = Fault::new(Route::Tags, When::Always, Action::EndlessPages);
    let session = with_tags(Config::new(Preset::Strict).with_fault(fault), &["a"]).await;
    let (bodies, _) = pages(&session, &tags_uri("")).await;
    assert_eq!(bodies.len(), 10);
    let uris: std::collections::HashSet<_> =
        session.registry.requests().into_iter().map(|request| request.uri).collect();
    assert_eq!(uris.len(), 10, "no page is asked for twice");
}

fn referrers_uri(subject: &Digest, query: &str) -> String {
    format!("/v2/{REPOSITORY}/referrers/{subject}{query}")
}

async fn with_referrers(config: Config, count: usize) -> (Session, RawManifest, Vec<RawManifest>) {
    let session = Session::start(config).await;
    let subject = artifact(&session.registry, "subject", None);
    session.registry.put_manifest(REPOSITORY, &tag("v1"), &subject);
    let referrers: Vec<_> =
        (0..count).map(|number| artifact(&session.registry, &number.to_string(), Some(&subject))).collect();
    for raw in &referrers {
        session.registry.put_manifest(REPOSITORY, &ManifestRef::Digest(raw.digest().clone()), raw);
    }
    (session, subject, referrers)
}

#[tokio::test]
async fn referrers_come_in_pages_with_what_the_specification_wants() {
    let (session, subject, referrers) = with_referrers(Config::new(Preset::Strict), 25).await;
    let (bodies, _) = pages(&session, &referrers_uri(subject.digest(), "")).await;
    assert_eq!(bodies.len(), 3);
    let mut found: Vec<Descriptor> = Vec::new();
    for body in bodies {
        assert_eq!(body["mediaType"], MediaType::IMAGE_INDEX);
        let index: ImageIndex = serde_json::from_value(body).unwrap();
        found.extend(index.manifests);
    }
    assert_eq!(found.len(), referrers.len());
    let first = found.iter().find(|it| it.digest == *referrers[7].digest()).unwrap();
    assert_eq!(first.annotation("note"), Some("7"));
    assert_eq!(first.artifact_type.as_ref().unwrap(), &"application/vnd.example.thing");
}

#[tokio::test]
async fn the_filter_is_applied_and_confirmed() {
    let (session, subject, _) = with_referrers(Config::new(Preset::Strict), 12).await;
    let uri = referrers_uri(subject.digest(), "?artifactType=application/vnd.example.thing");
    let answer = session.send("GET", &uri).await;
    assert_eq!(header(&answer, "oci-filters-applied").unwrap(), "artifactType");
    assert_eq!(pages(&session, &uri).await.0.len(), 2);
    let uri = referrers_uri(subject.digest(), "?artifactType=text/csv");
    assert_eq!(
        pages(&session, &uri).await.0,
        [json!({
            "schemaVersion": 2, "mediaType": MediaType::IMAGE_INDEX, "manifests": []
        })]
    );
}

#[tokio::test]
async fn an_unknown_subject_is_answered_in_each_registrys_way() {
    let absent = Digest::sha256_of(b"absent");
    for (preset, status) in
        [(Preset::Strict, 200), (Preset::Quay, 400), (Preset::Ghcr, 404), (Preset::Old, 404)]
    {
        let session = Session::preset(preset).await;
        assert_eq!(session.send("GET", &referrers_uri(&absent, "")).await.status(), status, "{preset}");
    }
}

#[tokio::test]
async fn the_redirect_away_leads_to_another_host() {
    let config =
        Config::new(Preset::Ghcr).with_behaviour(|it| it.referrers = ReferrersBehaviour::RedirectedAway);
    let session = Session::start(config).await;
    let answer = session.send("GET", &referrers_uri(&Digest::sha256_of(b"x"), "")).await;
    assert_eq!(answer.status(), 303);
    assert!(header(&answer, "location").unwrap().contains(session.registry.storage_host()));
}

#[tokio::test]
async fn quay_lists_what_the_fallback_tag_lists_too() {
    let (session, subject, referrers) = with_referrers(Config::new(Preset::Quay), 1).await;
    let other = artifact(&session.registry, "other", None);
    let index = ImageIndex::new(vec![other.descriptor(), referrers[0].descriptor()]);
    let fallback = format!("sha256-{}", subject.digest().encoded());
    session.registry.put_manifest(REPOSITORY, &tag(&fallback), &RawManifest::from_index(&index));
    let (bodies, _) = pages(&session, &referrers_uri(subject.digest(), "")).await;
    assert_eq!(bodies[0]["manifests"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn another_writer_can_be_first() {
    let session = Session::preset(Preset::Old).await;
    let first = artifact(&session.registry, "first", None);
    let second = artifact(&session.registry, "second", None);
    let action =
        Action::StoreFirst { repository: REPOSITORY.to_owned(), at: tag("v1"), manifest: first.clone() };
    session.registry.add_fault(Fault::new(Route::ManifestPut, When::Nth(1), action));
    assert_eq!(session.put_manifest("v1", &second).await.status(), 201);
    assert_eq!(session.registry.manifest(REPOSITORY, &tag("v1")), Some(second));
    let first = ManifestRef::Digest(first.digest().clone());
    assert!(session.registry.manifest(REPOSITORY, &first).is_some());
}
