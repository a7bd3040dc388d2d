//! The suite of the contract, on every kind of storage.

use std::sync::Arc;

use backend_layout::LayoutBackend;
use backend_layout::object_store::memory::InMemory;
use backend_layout::object_store::path::Path;
use registry_backend::Access;
use registry_conformance::conformance::{EmptyRepository, Need, checks_that_need};

mod directory {
    use super::{Access, EmptyRepository, LayoutBackend, Need, checks_that_need};

    async fn directory() -> EmptyRepository {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("layout");
        let first = LayoutBackend::open_directory(&path, Access::Create).await.unwrap();
        let second = LayoutBackend::open_directory(&path, Access::Create).await.unwrap();
        EmptyRepository::new(first).with_second(second).keeping(folder)
    }

    registry_conformance::conformance_tests! {
        directory,
        skipped: checks_that_need(&[Need::BlobLimit]),
    }
}

mod object_store {
    use super::{Access, Arc, EmptyRepository, InMemory, LayoutBackend, Need, Path, checks_that_need};

    async fn object_store() -> EmptyRepository {
        let store = Arc::new(InMemory::new());
        let prefix = Path::from("some/where");
        let first =
            LayoutBackend::with_store(store.clone(), prefix.clone(), "first", Access::Create).await.unwrap();
        let second = LayoutBackend::with_store(store, prefix, "second", Access::Create).await.unwrap();
        EmptyRepository::new(first).with_second(second)
    }

    registry_conformance::conformance_tests! {
        object_store,
        skipped: checks_that_need(&[Need::BlobLimit]),
    }
}
