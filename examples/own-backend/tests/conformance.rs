//! The shelf keeps every promise of the contract.

use own_backend::Shelf;
use registry_backend::Access;
use registry_conformance::conformance::{EmptyRepository, Need, checks_that_need};

async fn shelf() -> EmptyRepository {
    let folder = tempfile::tempdir().unwrap();
    let first = Shelf::open(folder.path(), Access::Create).unwrap();
    let second = Shelf::open(folder.path(), Access::Create).unwrap();
    EmptyRepository::new(first).with_second(second).keeping(folder)
}

registry_conformance::conformance_tests! {
    shelf,
    skipped: checks_that_need(&[Need::BlobLimit, Need::Pruner]),
}
