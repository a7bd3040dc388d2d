//! Packages from the files of a HashStore, without a node.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use d1_sync::{
    BatchOptions, BatchOutcome, CompareReport, DataOneSource, Difference, DifferenceKind, HashStoreSource,
    ImportOptions, compare, import_hashstore, import_packages,
};
use d1_testnode::{Catalog, HashStoreFolder, ScriptedNode};
use registry_backend::{MemoryBackend, RegistryBackend};
use registry_conformance::{CountingBackend, Operation};

use crate::support::*;

/// Writes all objects of a catalog into a HashStore.
fn stored(root: &Path, catalog: &Catalog) -> HashStoreFolder {
    let store = HashStoreFolder::create(root).unwrap();
    catalog.objects().for_each(|object| store.put(object).unwrap());
    store
}

/// Imports all packages, and returns their digests by resource map. No package may fail.
async fn imported(backend: &dyn RegistryBackend, root: &Path) -> (BTreeMap<String, String>, usize) {
    let store = HashStoreSource::open(root).await.unwrap();
    let found = Mutex::<BTreeMap<String, String>>::default();
    let done = |map: &d1_model::Identifier, outcome| match outcome {
        BatchOutcome::Replicated(report) => {
            _ = found.lock().unwrap().insert(map.to_string(), report.digest.to_string());
        }
        other => panic!("{map}: {other:?}"),
    };
    let options = BatchOptions::new(options());
    let members = import_packages(backend, &store, &options, &silent(), &done).await;
    (found.into_inner().unwrap(), members.len())
}

#[tokio::test]
async fn packages_get_the_digests_that_a_replication_gives_them() {
    let (mut catalog, data) = catalog("p", 5);
    put_package(&mut catalog, "q", &data[1..3], None);
    put_data(&mut catalog, "alone", content(8), &d1_model::ChecksumAlgorithm::Sha1);
    let place = tempfile::tempdir().unwrap();
    stored(place.path(), &catalog);
    let node = ScriptedNode::serve(catalog).await.unwrap();
    let (backend, replica) = (Arc::new(MemoryBackend::new()), MemoryBackend::new());
    let counting = CountingBackend::new(Arc::clone(&backend) as _);
    let (packages, members) = imported(&counting, place.path()).await;
    assert_eq!((packages.len(), members), (2, 9));
    assert_eq!(counting.count(Operation::ReadBlob), 0, "no object is read back from the repository");
    for (map, digest) in &packages {
        let report = copy_package(&replica, &member(&node), map).await.unwrap();
        assert_eq!(&report.digest.to_string(), digest, "{map}");
    }
    assert_eq!(pulled(&*backend, "p").await["data/p.data.3.csv"], content(3));
    // The other objects become artifacts of their own.
    let store = HashStoreSource::open(place.path()).await.unwrap();
    let options = BatchOptions::new(self::options());
    let mut rest = ImportOptions::default();
    rest.except = import_packages(&*backend, &store, &options, &silent(), &|_, _| ()).await;
    let report = import_hashstore(&*backend, place.path(), &rest, &silent()).await.unwrap();
    assert_eq!((report.objects, report.imported), (1, 1), "{report:?}");
    assert!(is_tagged(&*backend, "alone").await);
}

async fn compared(
    backend: &dyn RegistryBackend,
    root: &Path,
) -> (CompareReport, BTreeMap<String, DifferenceKind>) {
    let mut found = BTreeMap::new();
    let mut tell =
        |difference: &Difference| _ = found.insert(difference.identifier.to_string(), difference.kind);
    let source = DataOneSource::HashStore(HashStoreSource::open(root).await.unwrap());
    let report = compare(backend, &source, &silent(), &mut tell).await.unwrap();
    (report, found)
}

#[tokio::test]
async fn a_store_is_compared_with_its_copy() {
    let (mut catalog, data) = catalog("p", 4);
    let place = tempfile::tempdir().unwrap();
    let store = stored(place.path(), &catalog);
    let backend = MemoryBackend::new();
    imported(&backend, place.path()).await;
    let (report, found) = compared(&backend, place.path()).await;
    assert_eq!((report.objects, report.listed, report.equal), (6, 6, 6), "{found:?}");
    // One object is deleted: its system metadata stay. One becomes private, one is archived, one is new.
    let name = |pid: &str| {
        let object = catalog.get(&id(pid)).unwrap();
        let checksum = d1_testnode::checksum_of(object.content(), &d1_model::ChecksumAlgorithm::Sha256);
        checksum.unwrap().unwrap().value().to_owned()
    };
    std::fs::remove_file(store.object(&name(&data[0]))).unwrap();
    std::fs::remove_file(store.reference(&data[0])).unwrap();
    std::fs::remove_file(store.list(&name(&data[0]))).unwrap();
    let rewrite = |object: &d1_testnode::StoredObject| {
        let document = object.system_metadata().to_xml().unwrap();
        std::fs::write(store.system_metadata(object.identifier().as_str()), document).unwrap();
    };
    rewrite(&catalog.get(&id(&data[1])).unwrap().as_ref().clone().private().edited(|meta| {
        meta.date_modified = Some(d1_model::DateTime::from_text("2030-01-01T00:00:00Z"));
    }));
    rewrite(&catalog.get(&id(&data[2])).unwrap().as_ref().clone().edited(|meta| {
        meta.archived = Some(true);
        meta.date_modified = Some(d1_model::DateTime::from_text("2030-01-01T00:00:00Z"));
    }));
    put_data(&mut catalog, "new", content(9), &d1_model::ChecksumAlgorithm::Md5);
    store.put(catalog.get(&id("new")).unwrap()).unwrap();
    let (_, found) = compared(&backend, place.path()).await;
    let expected = [
        ("new", DifferenceKind::Missing),
        (&*data[0], DifferenceKind::Gone),
        (&*data[1], DifferenceKind::Private),
        (&*data[2], DifferenceKind::Archived),
    ];
    let expected = expected.into_iter().map(|(pid, kind)| (pid.to_owned(), kind)).collect();
    assert_eq!(found, expected);
    let report =
        import_hashstore(&backend, place.path(), &ImportOptions::default(), &silent()).await.unwrap();
    assert_eq!(report.without_object, [data[0].clone()]);
    assert_eq!(report.not_public, [data[1].clone()]);
}

#[tokio::test]
async fn a_damaged_member_costs_its_package_alone() {
    let (mut catalog, data) = catalog("p", 3);
    put_data(&mut catalog, "other", content(7), &d1_model::ChecksumAlgorithm::Md5);
    put_package(&mut catalog, "q", &["other".to_owned()], None);
    let place = tempfile::tempdir().unwrap();
    let store = stored(place.path(), &catalog);
    let checksum = d1_testnode::checksum_of(
        catalog.get(&id(&data[1])).unwrap().content(),
        &d1_model::ChecksumAlgorithm::Sha256,
    );
    let path = store.object(checksum.unwrap().unwrap().value());
    let size = usize::try_from(std::fs::metadata(&path).unwrap().len()).unwrap();
    std::fs::write(path, vec![b'x'; size]).unwrap();
    let source = HashStoreSource::open(place.path()).await.unwrap();
    let failed = Mutex::new(Vec::new());
    let done = |map: &d1_model::Identifier, outcome| {
        if let BatchOutcome::Failed(error) = outcome {
            failed.lock().unwrap().push(format!("{map}: {error}"));
        }
    };
    let backend = MemoryBackend::new();
    import_packages(&backend, &source, &BatchOptions::new(options()), &silent(), &done).await;
    let failed = failed.into_inner().unwrap();
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert!(failed[0].starts_with("p.map: ") && failed[0].contains(&data[1]), "{failed:?}");
    assert!(is_tagged(&backend, "q").await && !is_tagged(&backend, "p").await);
}
