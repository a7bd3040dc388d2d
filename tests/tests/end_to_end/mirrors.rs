//! Mirrors of repositories: only what is missing or moved is copied, and what the source lacks is deleted on request.

use std::fs;

use d1oci_tests::{Preset, RegistryKind, Session};
use oci_model::ManifestRef;
use registry_conformance::scripted::Route;
use serde_json::Value;

/// Fills a repository with three tags, one of them with a referrer.
fn fill(session: &Session, repository: &str) {
    for (name, content) in [("a.txt", "one"), ("b.txt", "two"), ("c.txt", "three")] {
        fs::write(session.path(name), content).unwrap();
    }
    session.line(&format!("d1oci push {repository}:v1 a.txt")).success();
    session.line(&format!("d1oci push {repository}:v2 b.txt")).success();
    session.line(&format!("d1oci push {repository}:other c.txt")).success();
    session.line(&format!("d1oci attach {repository}:v1 b.txt --artifact-type text/plain")).success();
}

fn mirror(session: &Session, line: &str) -> Value {
    session.line(&format!("d1oci mirror --format json {line}")).success().json()
}

fn tags(report: &Value, field: &str) -> Vec<String> {
    let tag = |entry: &Value| entry["tag"].as_str().or(entry.as_str()).unwrap().to_owned();
    report[field].as_array().unwrap().iter().map(tag).collect()
}

fn resolved(session: &Session, repository: &str, tag: &str) -> String {
    session.line(&format!("d1oci resolve {repository}:{tag}")).success().text()
}

#[test]
fn a_repository_is_mirrored_between_stores_of_all_kinds() {
    for preset in [Preset::Strict, Preset::Ghcr, Preset::Quay, Preset::Old] {
        let registry = RegistryKind::Scripted(preset).start(None).unwrap();
        let session = Session::new(&[&registry]);
        fill(&session, "oci:source");
        for (from, to) in [
            ("oci:source", "HOST/owner/first"),
            ("HOST/owner/first", "HOST/owner/second"),
            ("HOST/owner/second", "oci:replica"),
        ] {
            let report = mirror(&session, &format!("{from} {to}"));
            assert_eq!(tags(&report, "copied"), ["other", "v1", "v2"], "{preset} {to}");
            let again = mirror(&session, &format!("{from} {to}"));
            assert_eq!((again["unchanged"].as_u64(), again["sentBytes"].as_u64()), (Some(3), Some(0)));
        }
        for tag in ["v1", "v2", "other"] {
            assert_eq!(resolved(&session, "oci:replica", tag), resolved(&session, "oci:source", tag));
        }
        let found = session.line("d1oci discover oci:replica:v1").success().text();
        assert!(found.contains("text/plain"), "{preset}: {found}");
    }
}

#[test]
fn only_what_changed_is_copied_and_what_the_source_lacks_is_deleted_on_request() {
    let registry = RegistryKind::Scripted(Preset::Strict).start(None).unwrap();
    let session = Session::new(&[&registry]);
    fill(&session, "oci:source");
    mirror(&session, "oci:source HOST/owner/target");
    session.line("d1oci push HOST/owner/target:surplus a.txt").success();
    session.line("d1oci push oci:source:v2 c.txt").success();
    session.line("d1oci delete oci:source:other").success();
    let line = "--delete oci:source HOST/owner/target";
    let planned = mirror(&session, &format!("--dry-run {line}"));
    assert_eq!(planned["dryRun"].as_bool(), Some(true));
    let before = session.line("d1oci tags HOST/owner/target").success().text();
    assert_eq!(before.lines().count(), 4, "{before}");
    let done = mirror(&session, line);
    for report in [&planned, &done] {
        assert_eq!(tags(report, "copied"), ["v2"]);
        assert_eq!(tags(report, "deleted"), ["other", "surplus"]);
        assert!(report["copied"][0]["former"].is_string(), "{report}");
    }
    assert_eq!(session.line("d1oci tags HOST/owner/target").success().text(), "v1\nv2\n");
    // An empty source must not empty the target.
    session.line("d1oci push oci:empty:gone a.txt").success();
    session.line("d1oci delete oci:empty:gone").success();
    session.line("d1oci mirror --delete oci:empty HOST/owner/target").failure(2);
    assert_eq!(session.line("d1oci tags HOST/owner/target").success().text(), "v1\nv2\n");
}

#[test]
fn an_unchanged_mirror_takes_one_request_for_each_tag_at_most() {
    let registry = RegistryKind::Scripted(Preset::Strict).start(None).unwrap();
    let session = Session::new(&[&registry]);
    let scripted = registry.scripted().unwrap();
    fill(&session, "oci:source");
    let requests = || {
        let count =
            [Route::ManifestHead, Route::ManifestGet, Route::BlobHead].map(|route| scripted.count(route));
        scripted.forget_requests();
        count
    };
    mirror(&session, "--trust-target oci:source HOST/owner/one");
    requests();
    // A layout lists its digests, and the program remembers those of a registry's tags on request.
    mirror(&session, "--trust-target oci:source HOST/owner/one");
    assert_eq!(requests(), [0, 0, 0]);
    mirror(&session, "oci:source HOST/owner/one");
    assert_eq!(requests(), [3, 0, 0]);
    mirror(&session, "HOST/owner/one oci:replica");
    requests();
    mirror(&session, "HOST/owner/one oci:replica");
    assert_eq!(requests(), [3, 0, 0]);
    // A journal knows the digests of the target.
    let line = "--journal mirror.jsonl HOST/owner/one HOST/owner/two";
    mirror(&session, line);
    requests();
    let again = mirror(&session, line);
    assert_eq!(again["unchanged"].as_u64(), Some(3));
    assert_eq!(requests(), [3, 0, 0]);
    session.line("d1oci mirror --journal mirror.jsonl HOST/owner/one oci:third").failure(6);
}

#[test]
fn a_new_tag_takes_two_requests_in_a_registry_that_keeps_referrers_under_tags() {
    let registry = RegistryKind::Scripted(Preset::Old).start(None).unwrap();
    let session = Session::new(&[&registry]);
    let scripted = registry.scripted().unwrap();
    fill(&session, "HOST/owner/one");
    scripted.forget_requests();
    let report = mirror(&session, "HOST/owner/one HOST/owner/two");
    assert_eq!(tags(&report, "copied"), ["other", "v1", "v2"]);
    let counts =
        [Route::ManifestHead, Route::ManifestGet, Route::ManifestPut].map(|route| scripted.count(route));
    // Each tag is read and written. v1 is written by digest too, before its list of referrers is read, its referrer is read and
    // written, and the list of the target is looked for, written and read back.
    assert_eq!(counts, [0, 3 + 2 + 2, 3 + 1 + 1 + 1], "{:?}", scripted.requests());
    let found = session.line("d1oci discover HOST/owner/two:v1").success().text();
    assert!(found.contains("text/plain"), "{found}");
}

#[test]
fn a_new_tag_takes_three_requests_in_a_registry_with_the_interface_for_referrers() {
    let registry = RegistryKind::Scripted(Preset::Strict).start(None).unwrap();
    let session = Session::new(&[&registry]);
    let scripted = registry.scripted().unwrap();
    fill(&session, "HOST/owner/one");
    scripted.forget_requests();
    mirror(&session, "HOST/owner/one HOST/owner/two");
    let routes = [Route::ManifestHead, Route::ManifestGet, Route::Referrers, Route::ManifestPut];
    // Each tag is read, its referrers are listed, and it is written. v1 is written by digest too, and its referrer is read, asked about
    // and written. One more list tells whether the registry has the interface.
    assert_eq!(routes.map(|route| scripted.count(route)), [0, 3 + 1, 3 + 1 + 1, 3 + 1 + 1]);
    let found = session.line("d1oci discover HOST/owner/two:v1").success().text();
    assert!(found.contains("text/plain"), "{found}");
}

#[test]
fn a_mirror_within_a_registry_takes_one_request_for_each_unchanged_tag() {
    let registry = RegistryKind::Scripted(Preset::Strict).start(None).unwrap();
    let session = Session::new(&[&registry]);
    let scripted = registry.scripted().unwrap();
    fill(&session, "HOST/owner/one");
    let line = "--trust-target HOST/owner/one HOST/owner/two";
    mirror(&session, line);
    scripted.forget_requests();
    assert_eq!(mirror(&session, line)["unchanged"].as_u64(), Some(3));
    assert_eq!((scripted.count(Route::ManifestHead), scripted.count(Route::ManifestGet)), (3, 0));
    assert_eq!(scripted.count(Route::Tags), 2);
    // A command that changes the target makes the next run look.
    session.line("d1oci push HOST/owner/two:v1 c.txt").success();
    session.line("d1oci delete HOST/owner/two:v2 --yes").success();
    assert_eq!(tags(&mirror(&session, line), "copied"), ["v1", "v2"]);
    assert_eq!(resolved(&session, "HOST/owner/two", "v1"), resolved(&session, "HOST/owner/one", "v1"));
    // Without the option, a change that somebody else made is seen.
    let at = |tag: &str| ManifestRef::Tag(tag.parse().unwrap());
    let other = scripted.manifest("owner/one", &at("other")).unwrap();
    scripted.put_manifest("owner/two", &at("v1"), &other);
    assert_eq!(tags(&mirror(&session, "HOST/owner/one HOST/owner/two"), "copied"), ["v1"]);
}

#[test]
fn patterns_choose_tags_and_a_failed_tag_does_not_stop_the_others() {
    let session = Session::new(&[]);
    fill(&session, "oci:source");
    let chosen = mirror(&session, "--tag v* --no-referrers oci:source oci:chosen");
    assert_eq!(tags(&chosen, "copied"), ["v1", "v2"]);
    assert_eq!(
        session.line("d1oci discover oci:chosen:v1").success().text().matches("text/plain").count(),
        0
    );
    let late = mirror(&session, "--tag v* --all-referrers oci:source oci:chosen");
    assert_eq!(late["unchanged"].as_u64(), Some(2));
    assert!(session.line("d1oci discover oci:chosen:v1").success().text().contains("text/plain"));
    // Damage the content of one tag.
    let manifest = session.line("d1oci manifest fetch oci:source:v2").success().json();
    let layer = manifest["layers"][0]["digest"].as_str().unwrap().replace("sha256:", "");
    fs::remove_file(session.path(&format!("source/blobs/sha256/{layer}"))).unwrap();
    let failed = session.line("d1oci mirror --format json --no-referrers oci:source oci:replica");
    assert_ne!(failed.code, 0);
    assert!(failed.stderr.contains("1 tag failed"), "{}", failed.stderr);
    let report = failed.json();
    assert_eq!(tags(&report, "failed"), ["v2"]);
    assert_eq!(tags(&report, "copied"), ["other", "v1"]);
}

#[test]
fn lists_with_digests_save_a_request_for_each_tag() {
    let registry = RegistryKind::Scripted(Preset::Quay).start(None).unwrap();
    let session = Session::new(&[&registry]);
    fill(&session, "HOST/owner/source");
    mirror(&session, "HOST/owner/source oci:replica");
    let scripted = registry.scripted().unwrap();
    scripted.forget_requests();
    let again = mirror(&session, "HOST/owner/source oci:replica");
    assert_eq!(again["unchanged"], 3);
    let routes: Vec<Route> = scripted.requests().iter().map(|request| request.about.route).collect();
    assert!(!routes.contains(&Route::ManifestHead) && !routes.contains(&Route::ManifestGet), "{routes:?}");
    assert!(routes.contains(&Route::QuayTags) && !routes.contains(&Route::Tags), "{routes:?}");
}

#[test]
fn tags_that_are_copied_at_once_send_a_shared_blob_once() {
    let registry = RegistryKind::Scripted(Preset::Strict).start(None).unwrap();
    let session = Session::new(&[&registry]);
    fs::write(session.path("shared.bin"), vec![7; 3_000_000]).unwrap();
    for number in 1..=8 {
        fs::write(session.path("own.txt"), format!("file {number}")).unwrap();
        session.line(&format!("d1oci push oci:source:v{number} shared.bin own.txt")).success();
    }
    let report = mirror(&session, "oci:source HOST/owner/name");
    assert_eq!(tags(&report, "copied").len(), 8);
    // The shared file, eight others, and the empty configuration.
    assert_eq!(registry.scripted().unwrap().count(Route::UploadCommit), 10);
}

#[test]
fn withdrawn_objects_come_back_only_if_the_user_says_so() {
    const OBJECT: &str = "urn:uuid:00000000-0000-4000-8000-000000000001";
    const PACKAGE: &str = "urn:uuid:00000000-0000-4000-8000-000000000002";
    let session = Session::new(&[]);
    fs::create_dir(session.path("package")).unwrap();
    fs::write(session.path("object.csv"), "15,7.2\n").unwrap();
    fs::write(session.path("package/other.csv"), "20,6.9\n").unwrap();
    session.line(&format!("d1oci push oci:source object.csv --id {OBJECT}")).success();
    session.line(&format!("d1oci push oci:source package --id {PACKAGE}")).success();
    mirror(&session, "oci:source oci:target");
    for (identifier, source) in [(OBJECT, "object.csv"), (PACKAGE, "package")] {
        let withdraw = format!("d1oci withdraw oci:target {identifier} --reason asked --yes");
        session.line(&withdraw).success();
        let tag = identifier.replace(':', "_");
        for line in [
            format!("push oci:target {source} --id {identifier}"),
            format!("copy oci:source:{tag} oci:target"),
            "mirror oci:source oci:target".to_owned(),
            "mirror --delete oci:source oci:target".to_owned(),
        ] {
            let refused = session.line(&format!("d1oci {line}")).failure(4);
            assert!(refused.stderr.contains("was withdrawn"), "{line}: {}", refused.stderr);
            assert!(refused.stderr.contains("--include-withdrawn"), "{line}: {}", refused.stderr);
        }
        let gone = session.line(&format!("d1oci cat oci:target --id {identifier}")).failure(3);
        assert!(gone.stderr.contains("was withdrawn"), "{}", gone.stderr);
    }
    // Tombstones hold no withdrawn object, and are copied.
    mirror(&session, "oci:target oci:third");
    session.line(&format!("d1oci push oci:target package --id {PACKAGE} --include-withdrawn")).success();
    mirror(&session, "--include-withdrawn oci:source oci:target");
    session.line(&format!("d1oci cat oci:target --id {OBJECT}")).success();
}

#[test]
fn a_repair_goes_on_without_replicas_that_do_not_exist() {
    let session = Session::new(&[]);
    fill(&session, "oci:store");
    mirror(&session, "oci:store oci:replica");
    let digest = fs::read_dir(session.path("store/blobs/sha256")).unwrap().next().unwrap().unwrap().path();
    fs::write(digest, "damaged").unwrap();
    let repaired = session.line("d1oci repair oci:store --from oci:none oci:replica").success();
    assert!(repaired.stderr.contains("oci:none does not exist"), "{}", repaired.stderr);
    session.line("d1oci verify --all --deep oci:store").success();
}
