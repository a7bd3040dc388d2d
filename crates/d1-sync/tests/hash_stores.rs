//! HashStores moved into stores that count and fail.

use std::path::PathBuf;
use std::sync::Arc;

use d1_model::{ChecksumAlgorithm, Identifier};
use d1_sync::{ImportOptions, ImportReport, Result, import_hashstore};
use d1_testnode::{Content, HashStoreFolder, StoredObject};
use d1_transfer::{Observer, Silent};
use futures::TryStreamExt;
use oci_model::{ManifestRef, MediaType};
use registry_backend::{ErrorKind, MemoryBackend, RegistryBackend, RegistryBackendExt};
use registry_conformance::{CountingBackend, Fault, FaultAction, FaultyBackend, Operation};
use tempfile::TempDir;

const OBJECTS: u64 = 6;

fn memory() -> Arc<MemoryBackend> {
    Arc::new(MemoryBackend::new())
}

fn silent() -> Arc<dyn Observer> {
    Arc::new(Silent)
}

/// Makes a store of objects with checksums by two algorithms, two of them of equal content.
fn hash_store(place: &TempDir, count: u64) -> (PathBuf, Vec<Identifier>) {
    let root = place.path().join("hashstore");
    let store = HashStoreFolder::create(&root).unwrap();
    let mut identifiers = Vec::new();
    for number in 0..count {
        let seed = if number == 1 { 0 } else { number };
        let content = Content::Generated { seed, size: 3000 + seed };
        let algorithm = if number % 2 == 0 { ChecksumAlgorithm::Md5 } else { ChecksumAlgorithm::Sha256 };
        let identifier: Identifier = format!("object.{number}").parse().unwrap();
        let object = StoredObject::with_algorithm(identifier.clone(), "text/csv", content, &algorithm);
        store.put(&object.unwrap()).unwrap();
        identifiers.push(identifier);
    }
    (root, identifiers)
}

async fn import(backend: &dyn RegistryBackend, root: &std::path::Path) -> Result<ImportReport> {
    import_hashstore(backend, root, &ImportOptions::default(), &silent()).await
}

/// Makes sure that everything that a tag names is whole, and returns how many tags there are.
async fn whole(backend: &MemoryBackend, identifiers: &[Identifier]) -> usize {
    let mut found = 0;
    for identifier in identifiers {
        let at = ManifestRef::Tag(identifier.tag().parse().unwrap());
        if backend.stat_manifest(&at).await.unwrap().is_none() {
            continue;
        }
        found += 1;
        let (_, manifest) = backend.read_image_manifest(&at).await.unwrap();
        backend.read_blob_to_memory(&manifest.layers[0], 1 << 20).await.unwrap();
    }
    found
}

#[tokio::test]
async fn what_is_there_is_only_asked_for() {
    let place = tempfile::tempdir().unwrap();
    let (root, _) = hash_store(&place, OBJECTS);
    let counting = CountingBackend::new(memory());
    let first = import(&counting, &root).await.unwrap();
    assert_eq!((first.imported, first.system_metadata), (OBJECTS, OBJECTS), "{first:?}");
    assert_eq!(first.sent_blobs, OBJECTS - 1 + OBJECTS, "equal content is sent once: {first:?}");
    counting.reset();
    let second = import(&counting, &root).await.unwrap();
    assert_eq!((second.already_there, second.sent_blobs), (OBJECTS, 0), "{second:?}");
    let asked = usize::try_from(OBJECTS).unwrap() * 2;
    // One more call lists the tags, since withdrawn objects stay out.
    let calls =
        [counting.calls().len(), counting.count(Operation::StatManifest), counting.count(Operation::Tags)];
    assert_eq!(calls, [asked + 1, asked, 1]);
}

#[tokio::test]
async fn any_call_may_fail_and_the_next_import_completes() {
    let place = tempfile::tempdir().unwrap();
    let (root, identifiers) = hash_store(&place, OBJECTS);
    use Operation::{StatManifest, WriteBlob, WriteManifest};
    let actions = [
        FaultAction::Fail(ErrorKind::Unavailable),
        FaultAction::FailAfterwards(ErrorKind::Unavailable),
        FaultAction::Fail(ErrorKind::Denied),
    ];
    for operation in [StatManifest, WriteBlob, WriteManifest] {
        for action in actions {
            for number in 1..=4 {
                let about = format!("{operation:?} {action:?} {number}");
                let store = memory();
                let faulty =
                    FaultyBackend::new(Arc::clone(&store) as _).with(Fault::nth(operation, number, action));
                match import(&faulty, &root).await {
                    Ok(report) => {
                        assert_eq!(report.objects, OBJECTS, "{about}: {report:?}");
                        assert_eq!(report.faults.len(), 1, "{about}: {report:?}");
                        assert!(report.faults[0].identifier.is_some(), "{about}: {report:?}");
                    }
                    Err(_) => assert!(matches!(action, FaultAction::Fail(ErrorKind::Denied)), "{about}"),
                }
                whole(&store, &identifiers).await;
                let rest = import(&*store, &root).await.unwrap();
                assert!(rest.faults.is_empty() && rest.objects == OBJECTS, "{about}: {rest:?}");
                assert_eq!(whole(&store, &identifiers).await, identifiers.len(), "{about}");
                let kind = MediaType::from_static("application/vnd.dataone.system-metadata+xml");
                for identifier in &identifiers {
                    let at = ManifestRef::Tag(identifier.tag().parse().unwrap());
                    let object = store.read_manifest(&at).await.unwrap();
                    let documents = store.referrers(object.digest(), Some(&kind));
                    let documents: Vec<_> = documents.try_collect().await.unwrap();
                    assert_eq!(documents.len(), 1, "{about}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_repository_that_takes_nothing_ends_the_import() {
    let place = tempfile::tempdir().unwrap();
    let (root, _) = hash_store(&place, 60);
    for kind in [ErrorKind::Unavailable, ErrorKind::Denied] {
        let fault = Fault::always(Operation::WriteBlob, FaultAction::Fail(kind));
        let counting = Arc::new(CountingBackend::new(memory()));
        let faulty = FaultyBackend::new(Arc::clone(&counting) as _).with(fault);
        assert!(import(&faulty, &root).await.is_err(), "{kind:?}");
        let asked = counting.count(Operation::StatManifest);
        assert!(asked < 40, "{kind:?}: it went on for {asked} objects");
    }
}
