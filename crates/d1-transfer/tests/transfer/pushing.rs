//! Refusals and warnings of a push.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use d1_package::Layout;
use d1_transfer::{
    Error, Event, FileToPush, Phase, PullOptions, PushOptions, attach_files, open_package, pull,
    push_directory, push_files,
};
use oci_pack::Compression;
use registry_backend::RegistryBackend;
use registry_conformance::{CountingBackend, Operation};

use crate::support::{
    Listener, Place, at, chain, faults, memory, memory_with, noise, paths, pull_to, push, push_options,
    silent, tag, text, tree,
};

/// A change of a file during a push.
type Change = fn(&Path);

const CHANGES: [(&str, Change); 4] = [
    ("grows", |path| fs::write(path, noise(1, 9001)).unwrap()),
    ("shrinks", |path| fs::write(path, noise(1, 8999)).unwrap()),
    ("changes", |path| fs::write(path, noise(2, 9000)).unwrap()),
    ("vanishes", |path| fs::remove_file(path).unwrap()),
];

/// Returns options, and the store that they are for, with which a file ends up as object, part or archive entry.
fn forms() -> Vec<(&'static str, PushOptions, Arc<registry_backend::MemoryBackend>)> {
    let mut archive = push_options();
    archive.layout = Layout::Archive;
    let parts = memory_with(|capabilities| capabilities.part_bytes = Some(4000));
    vec![
        ("object", push_options(), memory()),
        ("archive", archive, memory()),
        ("parts", push_options(), parts),
    ]
}

#[tokio::test]
async fn a_file_that_changes_after_it_was_hashed_fails_the_push_and_is_named() {
    for phase in [Phase::Check, Phase::Pack] {
        for (name, change) in CHANGES {
            for (form, options, backend) in forms() {
                // Archives are packed when the second phase ends.
                if phase == Phase::Pack && form == "archive" {
                    continue;
                }
                let place = Place::new();
                let bag = place.bag("bag", &[("other.csv", text(1, 50)), ("victim.nc", noise(1, 9000))]);
                let victim = bag.join("data/victim.nc");
                let listener = Listener::reacting(move |event| {
                    if matches!(event, Event::Ended { phase: ended } if *ended == phase) {
                        change(&victim);
                    }
                });
                let about = format!("{form} {name} after {phase:?}");
                let error =
                    push_directory(&*backend, &bag, &options, &listener.observer()).await.unwrap_err();
                assert!(chain(&error).contains("victim.nc"), "{about}: {}", chain(&error));
                assert_eq!(backend.stat_manifest(&at("v1")).await.unwrap(), None, "{about}");
                listener.assert_balanced(&about);
            }
        }
    }
}

#[tokio::test]
async fn a_single_file_that_changes_after_it_was_hashed_fails_the_push_and_is_named() {
    for (name, change) in CHANGES {
        let (place, backend) = (Place::new(), memory());
        let path = place.write("files", &[("victim.nc", noise(1, 9000))]).join("victim.nc");
        let victim = path.clone();
        let listener = Listener::reacting(move |event| {
            if matches!(event, Event::Ended { phase: Phase::Check }) {
                change(&victim);
            }
        });
        let files = [FileToPush { path, title: "victim.nc".to_owned(), media_type: None }];
        let error = push_files(&*backend, &files, &push_options(), &listener.observer()).await.unwrap_err();
        assert!(chain(&error).contains("victim.nc"), "{name}: {}", chain(&error));
        assert_eq!(backend.stat_manifest(&at("v1")).await.unwrap(), None, "{name}");
    }
}

#[tokio::test]
async fn a_bag_with_faults_is_refused_with_all_of_them_before_anything_is_asked() {
    let place = Place::new();
    let bag = place.bag("bag", &[("a.csv", text(1, 300)), ("b.csv", text(2, 300)), ("c.csv", text(3, 300))]);
    fs::write(bag.join("data/a.csv"), "changed").unwrap();
    fs::remove_file(bag.join("data/b.csv")).unwrap();
    fs::write(bag.join("data/extra.xml"), "<x/>").unwrap();
    symlink("/etc/hostname", bag.join("data/link.xml")).unwrap();
    drop(UnixListener::bind(bag.join("data/socket")).unwrap());
    let backend = CountingBackend::new(memory());
    let refused = push_directory(&backend, &bag, &push_options(), &silent()).await;
    let Err(Error::InvalidBag { report, .. }) = refused else { panic!("it should be refused") };
    let named: Vec<_> = report.errors().filter_map(|fault| fault.path.as_deref()).collect();
    for path in ["data/a.csv", "data/b.csv", "data/extra.xml", "data/link.xml", "data/socket"] {
        assert!(named.contains(&path), "{path}: {named:?}");
    }
    assert_eq!(backend.calls(), []);
    // A package holds only regular files, verified or not.
    let mut options = push_options();
    options.verify = false;
    let unusable = push_directory(&backend, &bag, &options, &silent()).await;
    assert_eq!(paths(&faults(unusable)), ["data/link.xml", "data/socket"]);
    assert_eq!(backend.calls(), []);
    for path in ["data/link.xml", "data/socket"] {
        fs::remove_file(bag.join(path)).unwrap();
    }
    let listener = Listener::new();
    push_directory(&backend, &bag, &options, &listener.observer()).await.unwrap();
    assert!(
        listener.warnings().iter().any(|text| text.contains("pushing the bag with")),
        "{:?}",
        listener.warnings()
    );
}

#[tokio::test]
async fn a_plain_directory_with_something_that_is_no_file_is_refused() {
    let place = Place::new();
    let source = place.write("plain", &[("a", b"a".to_vec())]);
    symlink("nowhere", source.join("dangling")).unwrap();
    drop(UnixListener::bind(source.join("socket")).unwrap());
    assert_eq!(paths(&faults(push(&*memory(), &source).await)), ["dangling", "socket"]);
    for path in ["dangling", "socket"] {
        fs::remove_file(source.join(path)).unwrap();
    }
    symlink("a", source.join("link")).unwrap();
    let (backend, listener) = (memory(), Listener::new());
    push_directory(&*backend, &source, &push_options(), &listener.observer()).await.unwrap();
    assert!(listener.warnings().iter().any(|text| text.contains("link")), "{:?}", listener.warnings());
    pull_to(&*backend, &place.path("out")).await.unwrap();
    assert_eq!(fs::read(place.path("out/plain/link")).unwrap(), b"a");
}

#[tokio::test]
async fn names_that_some_systems_take_for_one_are_told() {
    let place = Place::new();
    let source = place.write("plain", &[("a.csv", text(1, 9)), ("A.csv", text(2, 9)), ("b/x", text(3, 9))]);
    let (backend, listener) = (memory(), Listener::new());
    push_directory(&*backend, &source, &push_options(), &listener.observer()).await.unwrap();
    assert!(listener.warnings().iter().any(|text| text.contains("A.csv") && text.contains("a.csv")));
    pull_to(&*backend, &place.path("out")).await.unwrap();
    assert!(tree(&place.path("out/plain")) == tree(&source));
}

#[tokio::test]
async fn what_does_not_exist_or_is_no_file_is_named() {
    let place = Place::new();
    place.write("files", &[("a", b"a".to_vec())]);
    let missing = push(&*memory(), &place.path("none")).await;
    assert!(matches!(missing, Err(Error::Io { path, .. }) if path == place.path("none")));
    let single =
        |name: &str| [FileToPush { path: place.path(name), title: "x".to_owned(), media_type: None }];
    let missing = push_files(&*memory(), &single("none"), &push_options(), &silent()).await;
    assert!(matches!(missing, Err(Error::Io { path, .. }) if path == place.path("none")));
    let directory = push_files(&*memory(), &single("files"), &push_options(), &silent()).await;
    assert!(matches!(directory, Err(Error::NotPushable { path }) if path == place.path("files")));
}

fn files(place: &Place, titles: &[&str]) -> Vec<FileToPush> {
    let path: PathBuf = place.write("files", &[("x", b"x".to_vec())]).join("x");
    let file = |title: &&str| FileToPush { path: path.clone(), title: (*title).to_owned(), media_type: None };
    titles.iter().map(file).collect()
}

#[tokio::test]
async fn titles_under_which_files_could_not_be_pulled_are_refused() {
    let place = Place::new();
    for titles in
        [&["../x"][..], &["/x"], &["a/../../x"], &[""], &["."], &["a", "a"], &["a", "a/b"], &["a", "./a"]]
    {
        let backend = CountingBackend::new(memory());
        let refused = push_files(&backend, &files(&place, titles), &push_options(), &silent()).await;
        assert!(matches!(refused, Err(Error::Package(_))), "{titles:?}: {refused:?}");
        assert_eq!(backend.calls(), []);
    }
    let backend = memory();
    let titles = ["a", "b/c", "b/d", "urn:uuid:1"];
    push_files(&*backend, &files(&place, &titles), &push_options(), &silent()).await.unwrap();
    pull_to(&*backend, &place.path("out")).await.unwrap();
    let pulled: Vec<String> = tree(&place.path("out")).into_keys().collect();
    assert_eq!(pulled, ["a", "b", "b/c", "b/d", "urn:uuid:1"]);
}

#[tokio::test]
async fn attached_files_refer_to_their_subject() {
    let place = Place::new();
    let (backend, mut options) = (memory(), push_options());
    let absent = attach_files(&*backend, &at("v1"), &[], &options, &silent()).await;
    assert!(
        matches!(absent, Err(Error::Backend(error)) if error.kind() == registry_backend::ErrorKind::NotFound)
    );
    let subject = push(&*backend, &place.write("plain", &[("a", text(1, 10))])).await.unwrap();
    options.tags.clear();
    let attached =
        attach_files(&*backend, &at("v1"), &files(&place, &["note"]), &options, &silent()).await.unwrap();
    options.artifact_type = Some("application/x-mark".parse().unwrap());
    let bare = attach_files(&*backend, &at("v1"), &[], &options, &silent()).await.unwrap();
    let referrers = futures::TryStreamExt::try_collect::<Vec<_>>(backend.referrers(&subject.digest, None));
    let mut referrers: Vec<_> = referrers.await.unwrap().into_iter().map(|found| found.digest).collect();
    let mut expected = [attached.digest, bare.digest.clone()].to_vec();
    referrers.sort();
    expected.sort();
    assert_eq!(referrers, expected);
    // An artifact without files can be pulled: nothing comes.
    let (at, output) = (oci_model::ManifestRef::Digest(bare.digest), place.path("out"));
    let pulled = pull(&*backend, &at, &output, &PullOptions::default(), &silent()).await.unwrap();
    assert_eq!(pulled.files, 0);
    assert_eq!(tree(&place.path("out")).len(), 0);
}

#[tokio::test]
async fn archives_that_could_not_be_recognised_again_are_refused() {
    let place = Place::new();
    let source = place.write("plain", &[("a", text(1, 10))]);
    for compression in [Compression::Zstd, Compression::None] {
        let backend = CountingBackend::new(memory());
        let mut options = push_options();
        (options.index, options.compression) = (false, compression);
        let refused = push_directory(&backend, &source, &options, &silent()).await;
        assert!(matches!(refused, Err(Error::Options { .. })), "{refused:?}");
        assert_eq!(backend.calls(), []);
    }
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_sent_and_writes_nothing() {
    let place = Place::new();
    let bag =
        place.bag("bag", &[("a.nc", noise(1, 5000)), ("b.nc", noise(1, 5000)), ("c.csv", text(2, 400))]);
    let mut options = push_options();
    options.dry_run = true;
    let counting = CountingBackend::new(memory());
    let dry = push_directory(&counting, &bag, &options, &silent()).await.unwrap();
    assert_eq!(counting.count(Operation::WriteBlob) + counting.count(Operation::WriteManifest), 0);
    options.dry_run = false;
    let backend = memory();
    let pushed = push_directory(&*backend, &bag, &options, &silent()).await.unwrap();
    assert_eq!(
        (dry.digest, dry.sent_blobs, dry.sent_bytes),
        (pushed.digest, pushed.sent_blobs, pushed.sent_bytes)
    );
    options.dry_run = true;
    let again = push_directory(&*backend, &bag, &options, &silent()).await.unwrap();
    assert_eq!((again.unchanged, again.sent_blobs, again.sent_bytes), (true, 0, 0));
}

#[tokio::test]
async fn every_tag_names_the_package_and_one_that_differs_is_moved() {
    let place = Place::new();
    let (first, second) =
        (place.bag("first", &[("a", text(1, 9))]), place.bag("second", &[("a", text(2, 9))]));
    let (backend, mut options) = (memory(), push_options());
    options.tags = vec![tag("v1"), tag("latest")];
    push_directory(&*backend, &first, &options, &silent()).await.unwrap();
    options.tags = vec![tag("latest")];
    let moved = push_directory(&*backend, &second, &options, &silent()).await.unwrap();
    options.tags = vec![tag("latest"), tag("v2")];
    let tagged = push_directory(&*backend, &second, &options, &silent()).await.unwrap();
    assert_eq!((tagged.unchanged, tagged.sent_blobs), (false, 0));
    for (name, directory) in [("v1", "first"), ("latest", "second"), ("v2", "second")] {
        let package = open_package(&*backend, &at(name)).await.unwrap();
        assert_eq!(package.view.directory(), directory, "{name}");
    }
    options.tags.clear();
    let untagged = push_directory(&*backend, &second, &options, &silent()).await.unwrap();
    assert_eq!((untagged.unchanged, untagged.digest), (true, moved.digest));
}

#[tokio::test]
async fn the_store_sets_the_limits() {
    let place = Place::new();
    let payload: Vec<(String, Vec<u8>)> = (0..20).map(|n| (format!("{n}.nc"), noise(n, 2000))).collect();
    let payload: Vec<_> = payload.iter().map(|(name, content)| (name.as_str(), content.clone())).collect();
    let bag = place.bag("bag", &payload);
    let backend = memory_with(|capabilities| capabilities.max_layers = 5);
    let pushed = push(&*backend, &bag).await.unwrap();
    assert!(pushed.layers.len() <= 5);
    pull_to(&*backend, &place.path("out")).await.unwrap();
    assert!(tree(&place.path("out/bag")) == tree(&bag));
    let small = memory_with(|capabilities| capabilities.max_manifest_bytes = 300);
    assert!(matches!(push(&*small, &bag).await, Err(Error::Package(_))));
}

/// Returns the metadata document of a crate with one described file.
fn crate_document(sha256: &str) -> Vec<u8> {
    let document = format!(
        r#"{{ "@context": "https://w3id.org/ro/crate/1.2/context", "@graph": [
        {{ "@id": "ro-crate-metadata.json", "@type": "CreativeWork", "about": {{ "@id": "./" }},
           "conformsTo": {{ "@id": "https://w3id.org/ro/crate/1.2" }} }},
        {{ "@id": "./", "@type": "Dataset", "name": "Moorings", "description": "Temperatures", "license": "CC-BY",
           "datePublished": "2024-05-06", "hasPart": [ {{ "@id": "a.csv" }} ] }},
        {{ "@id": "a.csv", "@type": "File", "encodingFormat": "text/x-mooring", "sha256": "{sha256}" }} ] }}"#
    );
    document.into_bytes()
}

#[tokio::test]
async fn a_crate_describes_its_package_and_its_problems_fail_only_a_strict_push() {
    let (place, backend) = (Place::new(), memory());
    // The SHA-256 of `abc`.
    let right = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let files = [("ro-crate-metadata.json", crate_document(right)), ("a.csv", b"abc".to_vec())];
    let directory = place.write("crate", &files);
    fs::write(directory.join("notes.txt"), "no entity describes this").unwrap();

    let listener = Listener::new();
    push_directory(&*backend, &directory, &push_options(), &listener.observer()).await.unwrap();
    assert!(
        listener.warnings().iter().any(|warning| warning.contains("notes.txt")),
        "{:?}",
        listener.warnings()
    );
    let package = open_package(&*backend, &at("v1")).await.unwrap();
    let manifest = package.view.manifest();
    assert_eq!(manifest.artifact_type.as_ref().unwrap().as_str(), d1_package::RO_CRATE_ARTIFACT_TYPE);
    assert_eq!(manifest.annotations["org.opencontainers.image.created"], "2024-05-06T00:00:00Z");
    assert_eq!(manifest.annotations["org.opencontainers.image.description"], "Moorings");
    assert_eq!(manifest.annotations["org.dataone.license"], "CC-BY");
    assert!(manifest.layers.iter().any(|layer| layer.media_type.as_str() == "text/x-mooring"));

    let mut strict = push_options();
    strict.strict_crate = true;
    let found = faults(push_directory(&*backend, &directory, &strict, &silent()).await);
    assert_eq!(paths(&found), ["notes.txt"]);
    fs::remove_file(directory.join("notes.txt")).unwrap();
    push_directory(&*backend, &directory, &strict, &silent()).await.unwrap();
}

#[tokio::test]
async fn a_checksum_that_a_crate_states_wrongly_fails_the_push() {
    for payload in ["", "data/"] {
        let (place, backend) = (Place::new(), memory());
        let document = crate_document(&"0".repeat(64));
        let directory = match payload {
            "" => place.write("crate", &[("ro-crate-metadata.json", document), ("a.csv", b"abc".to_vec())]),
            _ => place.bag("bag", &[("ro-crate-metadata.json", document), ("a.csv", b"abc".to_vec())]),
        };
        let found = faults(push_directory(&*backend, &directory, &push_options(), &silent()).await);
        assert_eq!(paths(&found), [format!("{payload}a.csv")]);
        let mut unverified = push_options();
        unverified.verify = false;
        push_directory(&*backend, &directory, &unverified, &silent()).await.unwrap();
    }
}
