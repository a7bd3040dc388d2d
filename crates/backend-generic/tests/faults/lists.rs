//! Lists: pages without end, links that lead away, referrers where there is no interface for them.

use futures::TryStreamExt;
use oci_model::{Descriptor, Digest, ImageIndex, ImageManifest, ManifestRef, MediaType, RawManifest};
use registry_backend::{BytesSource, ErrorKind, RegistryBackendExt, Result, WriteHint};
use registry_conformance::scripted::{
    Action, Answer, Config, Fault, Preset, ReferrersBehaviour, Route, When,
};

use crate::rig::{NAME, Rig};

async fn tags(rig: &Rig) -> Result<Vec<String>> {
    let mut tags: Vec<_> =
        rig.backend().tags().map_ok(|entry| entry.tag.as_str().to_owned()).try_collect().await?;
    tags.sort();
    Ok(tags)
}

/// Stores an artifact that refers to a subject.
async fn attach(rig: &Rig, subject: &RawManifest, number: u32) -> Result<RawManifest> {
    let empty = BytesSource::new(Descriptor::EMPTY_CONTENT);
    rig.repository.write_blob(&empty, &WriteHint::default()).await?;
    let mut manifest = ImageManifest::new("text/csv".parse().unwrap(), Descriptor::empty());
    manifest.annotations.insert("number".to_owned(), number.to_string());
    manifest.subject = Some(subject.descriptor());
    let raw = RawManifest::from_image(&manifest);
    rig.backend().write_manifest(&raw.digest().clone().into(), &raw).await?;
    Ok(raw)
}

fn subject() -> RawManifest {
    RawManifest::from_image(&ImageManifest::new("text/plain".parse().unwrap(), Descriptor::empty()))
}

fn fallback_tag(subject: &RawManifest) -> ManifestRef {
    ManifestRef::Tag(subject.digest().as_str().replace(':', "-").parse().unwrap())
}

async fn referrers(rig: &Rig, subject: &RawManifest) -> Result<Vec<Descriptor>> {
    rig.backend().referrers(subject.digest(), None).try_collect().await
}

#[tokio::test]
async fn all_tags_are_listed_in_every_dialect() {
    for preset in Preset::ALL {
        let config = Config::new(preset).with_behaviour(|behaviour| {
            behaviour.tags.page = behaviour.tags.page.map(|_| 3);
            behaviour.tags.quoted_link = preset != Preset::Strict;
        });
        let rig = Rig::start(config).await;
        assert_eq!(tags(&rig).await.unwrap_err().kind(), ErrorKind::NotFound, "{preset}");
        let expected: Vec<_> = (0..10).map(|number| format!("tag-{number}")).collect();
        for tag in &expected {
            rig.registry.put_manifest(NAME, &ManifestRef::Tag(tag.parse().unwrap()), &subject());
        }
        assert_eq!(tags(&rig).await.unwrap(), expected, "{preset}");
    }
}

#[tokio::test]
async fn tags_come_after_many_pages_of_tags_that_hold_referrers() {
    let config = Config::new(Preset::Old).with_behaviour(|behaviour| behaviour.tags.page = Some(2));
    let rig = Rig::start(config).await;
    for number in 0..60 {
        let tag = fallback_tag(&RawManifest::new(
            format!("{number}").into_bytes(),
            MediaType::from_static(MediaType::IMAGE_MANIFEST),
        ));
        rig.registry.put_manifest(NAME, &tag, &subject());
    }
    // They stand after the others, which begin with `sha256-`.
    for tag in ["v1", "v2"] {
        rig.registry.put_manifest(NAME, &ManifestRef::Tag(tag.parse().unwrap()), &subject());
    }
    assert_eq!(tags(&rig).await.unwrap(), ["v1", "v2"]);
}

#[tokio::test]
async fn the_subjects_of_a_registry_without_the_interface_are_known_from_its_tags() {
    for (preset, is_known) in
        [(Preset::Old, true), (Preset::Ghcr, true), (Preset::Strict, false), (Preset::Quay, false)]
    {
        let rig = Rig::start(Config::new(preset)).await;
        attach(&rig, &subject(), 1).await.unwrap();
        let subjects = rig.backend().subjects().await.unwrap();
        assert_eq!(subjects.is_some(), is_known, "{preset}");
        if let Some(may_be_one) = subjects {
            assert!(may_be_one(subject().digest()), "{preset}");
            assert!(!may_be_one(&Digest::sha256_of(b"another")), "{preset}");
        }
    }
}

#[tokio::test]
async fn a_list_that_breaks_off_is_not_that_of_a_missing_repository() {
    let gone = Action::Answer(Answer::error(404, "NAME_UNKNOWN", "repository name not known to registry"));
    let config = Config::new(Preset::Strict)
        .with_behaviour(|behaviour| behaviour.tags.page = Some(2))
        .with_fault(Fault::new(Route::Tags, When::Nth(3), gone));
    let rig = Rig::start(config).await;
    let count = async || {
        let listed: Result<Vec<_>> = rig.backend().tags_if_any().try_collect().await;
        listed.map(|tags| tags.len())
    };
    assert_eq!(count().await.unwrap(), 0, "a missing repository has no tags");
    for tag in ["a", "b", "c"] {
        rig.registry.put_manifest(NAME, &ManifestRef::Tag(tag.parse().unwrap()), &subject());
    }
    // The first page comes, the second does not.
    assert_eq!(count().await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(count().await.unwrap(), 3);
}

#[tokio::test]
async fn a_list_without_end_ends_in_an_error() {
    let loops = |target: &str| Action::SetHeader("link", format!("<{target}>; rel=\"next\""));
    for action in [
        loops("/v2/owner/name/tags/list?n=1000"),
        loops("http://localhost:1/v2/owner/name/tags/list"),
        loops("https://elsewhere.example/v2/"),
        Action::EndlessPages,
    ] {
        let rig = Rig::with(Route::Tags, When::Always, action.clone()).await;
        rig.registry.put_manifest(NAME, &ManifestRef::Tag("v1".parse().unwrap()), &subject());
        let error = tags(&rig).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{action:?}: {error}");
        assert!(rig.registry.count(Route::Tags) < 2000, "{action:?}");
    }
}

#[tokio::test]
async fn referrers_are_listed_in_every_dialect() {
    for preset in Preset::ALL {
        let rig = Rig::start(Config::new(preset)).await;
        let subject = subject();
        assert!(referrers(&rig, &subject).await.unwrap().is_empty(), "{preset}");
        let mut expected = Vec::new();
        for number in 0..12 {
            expected.push(attach(&rig, &subject, number).await.unwrap().digest().clone());
        }
        let mut found: Vec<_> =
            referrers(&rig, &subject).await.unwrap().into_iter().map(|found| found.digest).collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{preset}");
    }
}

#[tokio::test]
async fn a_redirect_to_a_web_page_means_no_interface() {
    let config = Config::new(Preset::Ghcr)
        .with_behaviour(|behaviour| behaviour.referrers = ReferrersBehaviour::RedirectedAway);
    let rig = Rig::start(config).await;
    let subject = subject();
    let referrer = attach(&rig, &subject, 1).await.unwrap();
    let found = referrers(&rig, &subject).await.unwrap();
    assert_eq!(found.iter().map(|found| &found.digest).collect::<Vec<_>>(), [referrer.digest()]);
}

#[tokio::test]
async fn another_writer_of_the_fallback_tag_loses_nothing() {
    let subject = subject();
    let rig = Rig::start(Config::new(Preset::Old)).await;
    let other = attach(&rig, &subject, 1).await.unwrap();
    let tag = fallback_tag(&subject);
    let theirs = rig.registry.manifest(NAME, &tag).unwrap();
    // Their list overwrites ours, without our entry. This happens twice.
    for number in [2, 4] {
        let store =
            Action::StoreFirst { repository: NAME.to_owned(), at: tag.clone(), manifest: theirs.clone() };
        rig.registry.add_fault(Fault::new(Route::ManifestGet, When::Nth(number), store));
    }
    let ours = attach(&rig, &subject, 2).await.unwrap();
    let found = referrers(&rig, &subject).await.unwrap();
    let found: Vec<_> = found.iter().map(|found| &found.digest).collect();
    assert_eq!(found, [other.digest(), ours.digest()]);
}

#[tokio::test]
async fn an_entry_whose_manifest_is_gone_is_taken_out() {
    let subject = subject();
    let gone = Descriptor { digest: oci_model::Digest::sha256_of(b"gone"), ..subject.descriptor() };
    let rig = Rig::start(Config::new(Preset::Old)).await;
    let index = RawManifest::from_index(&ImageIndex::new(vec![gone]));
    rig.registry.put_manifest(NAME, &fallback_tag(&subject), &index);
    let ours = attach(&rig, &subject, 1).await.unwrap();
    let found = referrers(&rig, &subject).await.unwrap();
    assert_eq!(found.iter().map(|found| &found.digest).collect::<Vec<_>>(), [ours.digest()]);
}

#[tokio::test]
async fn what_else_is_under_the_fallback_tag_is_not_overwritten() {
    let rig = Rig::start(Config::new(Preset::Old)).await;
    let subject = subject();
    let tag = fallback_tag(&subject);
    rig.registry.put_manifest(NAME, &tag, &subject);
    assert!(referrers(&rig, &subject).await.unwrap().is_empty());
    let error = attach(&rig, &subject, 1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert_eq!(rig.registry.manifest(NAME, &tag).as_ref(), Some(&subject));
}

#[tokio::test]
async fn an_unreachable_interface_is_no_reason_to_say_that_there_are_none() {
    for (action, kind) in [
        (Action::Answer(Answer::status(503)), ErrorKind::Unavailable),
        (Action::Answer(Answer::status(403)), ErrorKind::Denied),
        (Action::CorruptAnswer { at: 3 }, ErrorKind::Protocol),
    ] {
        let rig = Rig::with(Route::Referrers, When::Always, action).await;
        let error = referrers(&rig, &subject()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
}

#[tokio::test]
async fn a_blob_that_was_collected_is_named_when_the_manifest_is_written() {
    for preset in Preset::ALL {
        let rig = Rig::start(Config::new(preset)).await;
        let empty = BytesSource::new(Descriptor::EMPTY_CONTENT);
        rig.repository.write_blob(&empty, &WriteHint::default()).await.unwrap();
        rig.registry.add_fault(Fault::new(Route::ManifestPut, When::Nth(1), Action::CollectFirst));
        let raw = subject();
        let error = rig.backend().write_manifest(&raw.digest().clone().into(), &raw).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Incomplete, "{preset}: {error}");
        assert!(error.to_string().contains(Descriptor::empty().digest.as_str()), "{preset}: {error}");
    }
}
