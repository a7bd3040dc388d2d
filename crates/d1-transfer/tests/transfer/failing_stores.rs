//! A store that fails at any call leaves nothing wrong behind, and the next attempt completes.

use std::path::Path;
use std::sync::Arc;

use d1_package::Layout;
use d1_transfer::{CopyOptions, PullOptions, Result, VerifyOptions, copy, pull, push_directory, verify};
use oci_model::Digest;
use registry_backend::{ErrorKind, MemoryBackend, RegistryBackend};
use registry_conformance::{Fault, FaultAction, FaultyBackend, Operation};

use crate::altered::Altered;
use crate::support::{
    Listener, Place, at, leftovers, memory, memory_with, noise, pull_to, push, push_options, silent, tag,
    text, tree,
};

fn package(place: &Place) -> std::path::PathBuf {
    place.bag("bag", &[("a.csv", text(1, 3000)), ("b/c.nc", noise(2, 20_000)), ("b/d.nc", noise(3, 9000))])
}

/// Every way in which a call of an operation can fail.
fn actions(operation: Operation) -> Vec<FaultAction> {
    let mut actions =
        vec![FaultAction::Fail(ErrorKind::Unavailable), FaultAction::FailAfterwards(ErrorKind::Unavailable)];
    if operation.moves_bytes() {
        let places = [0, 1, 700, 5000];
        actions.extend(places.map(FaultAction::CutStream));
        actions.extend(places.map(FaultAction::EndStream));
        actions.extend(places.map(FaultAction::FlipByte));
    }
    actions
}

/// More calls than any of these transfers makes.
const MOST_CALLS: u32 = 40;

async fn digest_of_tag(backend: &dyn RegistryBackend) -> Option<Digest> {
    backend.stat_manifest(&at("v1")).await.unwrap().map(|found| found.digest)
}

async fn assert_valid(backend: &dyn RegistryBackend, about: &str) {
    let mut options = VerifyOptions::default();
    options.deep = true;
    let report = verify(backend, &at("v1"), &options, &silent()).await.unwrap();
    assert!(report.valid, "{about}: {report:?}");
}

#[tokio::test]
async fn pushing() {
    let place = Place::new();
    let (bag, older) = (package(&place), place.bag("older", &[("a.csv", text(9, 500))]));
    for (layout, replaces) in [(Layout::Objects, false), (Layout::Archive, true)] {
        let mut options = push_options();
        options.layout = layout;
        let mut failures = 0;
        use Operation::{ReadBlob, ReadManifest, StatBlob, StatManifest, WriteBlob, WriteManifest};
        for operation in [StatManifest, ReadManifest, ReadBlob, StatBlob, WriteBlob, WriteManifest] {
            for action in actions(operation) {
                for number in 1..MOST_CALLS {
                    let about = format!("{layout}: {operation} {number}: {action:?}");
                    let backend = memory();
                    if replaces {
                        push(&*backend, &older).await.unwrap();
                    }
                    let before = digest_of_tag(&*backend).await;
                    let faulty =
                        FaultyBackend::new(backend.clone()).with(Fault::nth(operation, number, action));
                    let listener = Listener::new();
                    let result = push_directory(&faulty, &bag, &options, &listener.observer()).await;
                    listener.assert_balanced(&about);
                    let after = digest_of_tag(&*backend).await;
                    match &result {
                        Ok(pushed) => assert_eq!(after.as_ref(), Some(&pushed.digest), "{about}"),
                        // A lost answer does not undo what was done.
                        Err(_) if operation == WriteManifest => {}
                        Err(_) => assert_eq!(after, before, "{about}"),
                    }
                    if after != before {
                        assert_valid(&*backend, &about).await;
                    }
                    push_directory(&*backend, &bag, &options, &silent()).await.unwrap();
                    assert_valid(&*backend, &about).await;
                    failures += u32::from(result.is_err());
                    if result.is_ok() && number > 6 {
                        break;
                    }
                }
            }
        }
        assert!(failures > 25, "{failures} pushes failed");
    }
}

#[tokio::test]
async fn pulling() {
    let place = Place::new();
    let bag = package(&place);
    let expected = tree(&bag);
    let parts = |bytes| move || memory_with(|capabilities| capabilities.part_bytes = bytes);
    let stores: [(&str, Arc<MemoryBackend>, bool); 3] = [
        ("objects", parts(None)(), true),
        ("parts", parts(Some(7000))(), true),
        ("no index", parts(Some(7000))(), false),
    ];
    let mut failures = 0;
    for (name, backend, index) in stores {
        let mut options = push_options();
        options.index = index;
        push_directory(&*backend, &bag, &options, &silent()).await.unwrap();
        for operation in [Operation::ReadManifest, Operation::ReadBlob] {
            for action in actions(operation) {
                for number in 1..MOST_CALLS {
                    let about = format!("{name}: {operation} {number}: {action:?}");
                    let output = place.path("out");
                    let faulty =
                        FaultyBackend::new(backend.clone()).with(Fault::nth(operation, number, action));
                    let listener = Listener::new();
                    let options = PullOptions::default();
                    let result = pull(&faulty, &at("v1"), &output, &options, &listener.observer()).await;
                    listener.assert_balanced(&about);
                    assert_nothing_wrong(&result, &output, &expected, &about);
                    pull_to(&*backend, &output).await.unwrap_or_else(|error| panic!("{about}: {error}"));
                    assert!(tree(&output.join("bag")) == expected, "{about}");
                    assert_eq!(leftovers(&output).len(), 0, "{about}");
                    std::fs::remove_dir_all(&output).unwrap();
                    failures += u32::from(result.is_err());
                    if result.is_ok() && number > 12 {
                        break;
                    }
                }
            }
        }
    }
    assert!(failures > 100, "{failures} pulls failed");
}

fn assert_nothing_wrong<T>(result: &Result<T>, output: &Path, expected: &crate::support::Tree, about: &str) {
    match result {
        Ok(_) => assert!(tree(&output.join("bag")) == *expected, "{about}"),
        Err(_) => assert!(tree(output).is_empty(), "{about}: {:?}", tree(output).keys()),
    }
}

#[tokio::test]
async fn copying() {
    let place = Place::new();
    let bag = package(&place);
    let from = memory();
    push(&*from, &bag).await.unwrap();
    let mut options = CopyOptions::default();
    (options.tags, options.referrers) = (vec![tag("v1")], true);
    let mut failures = 0;
    use Operation::{ReadBlob, ReadManifest, Referrers, WriteBlob, WriteManifest};
    for (operation, is_source) in [
        (ReadManifest, true),
        (ReadBlob, true),
        (Referrers, true),
        (WriteBlob, false),
        (WriteManifest, false),
    ] {
        for action in actions(operation) {
            for number in 1..MOST_CALLS {
                let about = format!("{operation} {number}: {action:?}");
                let to = memory();
                let fault = Fault::nth(operation, number, action);
                let inner: Arc<dyn RegistryBackend> = if is_source { from.clone() } else { to.clone() };
                let faulty = FaultyBackend::new(inner).with(fault);
                let result = match is_source {
                    true => copy(&faulty, &at("v1"), &*to, &options, &silent()).await,
                    false => copy(&*from, &at("v1"), &faulty, &options, &silent()).await,
                };
                match (&result, digest_of_tag(&*to).await) {
                    (Ok(_), None) => panic!("{about}: no tag"),
                    (Err(_), Some(_)) if operation != WriteManifest => panic!("{about}: a tag"),
                    (_, Some(_)) => assert_valid(&*to, &about).await,
                    (Err(_), None) => {}
                }
                copy(&*from, &at("v1"), &*to, &options, &silent()).await.unwrap();
                assert_valid(&*to, &about).await;
                failures += u32::from(result.is_err());
                if result.is_ok() && number > 6 {
                    break;
                }
            }
        }
    }
    assert!(failures > 40, "{failures} copies failed");
}

#[tokio::test]
async fn an_archive_that_was_to_be_taken_over_and_is_lost_is_made_anew() {
    let place = Place::new();
    let bag = package(&place);
    let backend = memory();
    let first = push(&*backend, &bag).await.unwrap();
    let store = Altered::new(backend).with(&first.layers[0].digest, None);
    // The tag files are the same; another payload file makes another package around them.
    std::fs::write(bag.join("data/a.csv"), text(4, 3000)).unwrap();
    let mut options = push_options();
    options.verify = false;
    let listener = Listener::new();
    let second = push_directory(&store, &bag, &options, &listener.observer()).await.unwrap();
    assert_eq!(second.layers[0], first.layers[0]);
    assert!(
        listener.warnings().iter().any(|warning| warning.contains("packed again")),
        "{:?}",
        listener.warnings()
    );
    assert_eq!(store.stat_blob(&first.layers[0].digest).await.unwrap(), Some(first.layers[0].size));
}

#[tokio::test]
async fn making_everything_anew_restores_what_was_lost() {
    let place = Place::new();
    let bag = package(&place);
    let backend = memory();
    let pushed = push(&*backend, &bag).await.unwrap();
    let mut options = push_options();
    for layer in &pushed.layers {
        let store = Altered::new(backend.clone()).with(&layer.digest, None);
        let shallow = VerifyOptions::default();
        assert!(!verify(&store, &at("v1"), &shallow, &silent()).await.unwrap().valid);
        options.repack = true;
        let again = push_directory(&store, &bag, &options, &silent()).await.unwrap();
        assert_eq!((again.digest, again.unchanged, again.sent_blobs), (pushed.digest.clone(), false, 1));
        assert_valid(&store, &layer.title).await;
    }
}
