//! The suite on the backend in memory.

use registry_backend::MemoryBackend;
use registry_conformance::conformance::{EmptyRepository, Need, checks_that_need};

async fn memory() -> EmptyRepository {
    EmptyRepository::new(MemoryBackend::new())
}

registry_conformance::conformance_tests! {
    memory,
    skipped: checks_that_need(&[Need::BlobLimit, Need::Pruner, Need::SecondValue]),
}
