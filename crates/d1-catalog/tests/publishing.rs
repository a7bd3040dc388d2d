//! A published catalogue is checked before anyone starts from it.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use d1_catalog::{CATALOG_ARTIFACT_TYPE, CATALOG_TAG, Catalog, CatalogedRepository, Error};
use d1_transfer::{FileToPush, Observer, PushOptions, Silent, push_directory, push_files};
use flate2::Compression;
use flate2::write::GzEncoder;
use registry_backend::{MemoryBackend, RegistryBackend};

fn silent() -> Arc<dyn Observer> {
    Arc::new(Silent)
}

fn options(tag: &str) -> PushOptions {
    let mut options = PushOptions::new(std::env::temp_dir());
    options.tags = vec![tag.parse().unwrap()];
    options
}

/// Publishes these bytes in place of a catalogue.
async fn publish(backend: &dyn RegistryBackend, bytes: &[u8]) {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("catalog");
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    std::fs::write(&path, encoder.finish().unwrap()).unwrap();
    let media_type = Some(CATALOG_ARTIFACT_TYPE.parse().unwrap());
    let file = FileToPush { path, title: "catalog".to_owned(), media_type };
    push_files(backend, &[file], &options(CATALOG_TAG), &silent()).await.unwrap();
}

/// Returns a repository with one package and its published catalogue.
async fn published() -> MemoryBackend {
    let backend = MemoryBackend::new();
    let place = tempfile::tempdir().unwrap();
    std::fs::create_dir(place.path().join("p")).unwrap();
    std::fs::write(place.path().join("p/a.csv"), "1\n").unwrap();
    push_directory(&backend, &place.path().join("p"), &options("v1"), &silent()).await.unwrap();
    let catalog = Catalog::open(&place.path().join("catalog")).unwrap();
    let repository = CatalogedRepository { catalog: &catalog, backend: &backend, name: "mine" };
    repository.publish(&options("ignored"), &silent()).await.unwrap();
    backend
}

async fn start(path: &Path, backend: &dyn RegistryBackend) -> Result<bool, Error> {
    Catalog::start_from_published(path, backend, "yours").await
}

#[tokio::test]
async fn a_reader_starts_from_it_under_a_name_of_its_own() {
    let (backend, place) = (published().await, tempfile::tempdir().unwrap());
    let path = place.path().join("catalog");
    assert!(start(&path, &backend).await.unwrap());
    let catalog = Catalog::open(&path).unwrap();
    assert!(catalog.contains("yours").unwrap() && !catalog.contains("mine").unwrap());
    assert_eq!(catalog.repositories().unwrap()[0].files, 1);
    assert!(!start(&path, &backend).await.unwrap(), "an existing file stays");
    assert!(!start(&place.path().join("other"), &MemoryBackend::new()).await.unwrap());
}

#[tokio::test]
async fn a_foreign_schema_is_refused() {
    let (backend, place) = (published().await, tempfile::tempdir().unwrap());
    let path = place.path().join("catalog");
    let made = place.path().join("made");
    for hostile in [
        "CREATE TRIGGER t AFTER UPDATE ON repository BEGIN DELETE FROM artifact; END",
        "DROP TABLE crc; CREATE VIEW crc AS SELECT randomblob(100000000) AS sha256, 1 AS crc32",
        "INSERT INTO repository (name) VALUES ('second')",
        "PRAGMA user_version = 99",
        "PRAGMA application_id = 1",
    ] {
        Catalog::delete(&made).unwrap();
        drop(Catalog::open(&made).unwrap());
        let connection = rusqlite::Connection::open(&made).unwrap();
        connection.execute_batch("INSERT INTO repository (name) VALUES ('published')").unwrap();
        connection.execute_batch(hostile).unwrap();
        connection.pragma_update(None, "journal_mode", "delete").unwrap();
        drop(connection);
        publish(&backend, &std::fs::read(&made).unwrap()).await;
        let refused = start(&path, &backend).await;
        assert!(
            matches!(refused, Err(Error::Published { .. } | Error::Newer { .. } | Error::NotACatalog { .. })),
            "{hostile}: {refused:?}"
        );
        assert!(!path.exists(), "{hostile}");
    }
    publish(&backend, b"not SQLite").await;
    assert!(start(&path, &backend).await.is_err() && !path.exists());
    publish(&backend, &vec![0; 1 << 20]).await;
    assert!(matches!(start(&path, &backend).await, Err(Error::Published { .. })), "it grows too much");
}
