//! The suite on wrapped backends, and what the wrappers see and do.

use std::sync::Arc;

use futures::TryStreamExt;
use oci_model::{Descriptor, ImageManifest, ManifestRef, RawManifest};
use registry_backend::{
    BytesSource, ErrorKind, MemoryBackend, RegistryBackend, RegistryBackendExt, Result, Retry, WriteHint,
    Written,
};
use registry_conformance::conformance::{EmptyRepository, Need, checks_that_need};
use registry_conformance::{Call, CountingBackend, Fault, FaultAction, FaultyBackend, Operation};

fn memory() -> EmptyRepository {
    EmptyRepository::new(MemoryBackend::new())
}

const MISSING: [Need; 3] = [Need::BlobLimit, Need::Pruner, Need::SecondValue];

mod counting {
    use super::{CountingBackend, MISSING, checks_that_need, memory};

    registry_conformance::conformance_tests! {
        || async { memory().wrapped(CountingBackend::new) },
        skipped: checks_that_need(&MISSING),
    }
}

mod faulty_without_faults {
    use super::{FaultyBackend, MISSING, checks_that_need, memory};

    registry_conformance::conformance_tests! {
        || async { memory().wrapped(FaultyBackend::new) },
        skipped: checks_that_need(&MISSING),
    }
}

async fn with_blob(content: &'static [u8]) -> (Arc<MemoryBackend>, Descriptor) {
    let backend = Arc::new(MemoryBackend::new());
    let source = BytesSource::new(content);
    backend.write_blob(&source, &WriteHint::default()).await.unwrap();
    let digest = oci_model::Digest::sha256_of(content);
    (backend, Descriptor::new("text/csv".parse().unwrap(), digest, content.len() as u64))
}

async fn read(backend: &dyn RegistryBackend, blob: &Descriptor) -> Result<Vec<u8>> {
    let pieces: Vec<_> = backend.read_blob(&blob.digest, None).await?.stream.try_collect().await?;
    Ok(pieces.concat())
}

#[test]
fn bytes_are_counted_when_they_are_read() {
    futures::executor::block_on(async {
        let (inner, blob) = with_blob(b"0123456789").await;
        let backend = CountingBackend::new(inner);
        drop(backend.read_blob(&blob.digest, None).await.unwrap());
        assert_eq!(backend.bytes_read().get(&blob.digest), None);
        let part = backend.read_blob(&blob.digest, Some(2..5)).await.unwrap();
        part.stream.try_collect::<Vec<_>>().await.unwrap();
        assert_eq!(backend.bytes_read().get(&blob.digest), Some(&3));
        assert_eq!(backend.count(Operation::ReadBlob), 2);
        let target = blob.digest.to_string();
        assert_eq!(
            backend.calls(),
            [
                Call { operation: Operation::ReadBlob, target: target.clone(), range: None },
                Call { operation: Operation::ReadBlob, target, range: Some(2..5) },
            ]
        );
        backend.reset();
        assert_eq!((backend.calls(), backend.bytes_read().len()), (Vec::new(), 0));
    });
}

#[test]
fn only_what_was_sent_counts_as_uploaded() {
    futures::executor::block_on(async {
        let (inner, blob) = with_blob(b"there").await;
        let backend = CountingBackend::new(inner);
        for content in [&b"there"[..], b"new"] {
            backend.write_blob(&BytesSource::new(content), &WriteHint::default()).await.unwrap();
        }
        assert_eq!(backend.uploaded(), [oci_model::Digest::sha256_of(b"new")]);
        assert!(!backend.uploaded().contains(&blob.digest));
    });
}

#[test]
fn manifests_count_by_their_digest() {
    futures::executor::block_on(async {
        let (inner, _) = with_blob(Descriptor::EMPTY_CONTENT).await;
        let raw = RawManifest::from_image(&ImageManifest::new("a/b".parse().unwrap(), Descriptor::empty()));
        let tag = ManifestRef::Tag("v1".parse().unwrap());
        let backend = CountingBackend::new(inner);
        backend.write_manifest(&tag, &raw).await.unwrap();
        backend.read_manifest(&tag).await.unwrap();
        assert_eq!(backend.bytes_read().get(raw.digest()), Some(&(raw.bytes().len() as u64)));
    });
}

#[test]
fn the_named_call_fails_and_no_other() {
    futures::executor::block_on(async {
        let (inner, blob) = with_blob(b"content").await;
        let fault = Fault::nth(Operation::StatBlob, 2, FaultAction::Fail(ErrorKind::Unavailable));
        let backend = FaultyBackend::new(inner).with(fault);
        assert_eq!(backend.stat_blob(&blob.digest).await.unwrap(), Some(7));
        assert_eq!(backend.stat_blob(&blob.digest).await.unwrap_err().retry(), Retry::Yes);
        assert_eq!(backend.stat_blob(&blob.digest).await.unwrap(), Some(7));
        assert_eq!(read(&backend, &blob).await.unwrap(), b"content");
    });
}

#[test]
fn a_call_that_fails_afterwards_has_done_its_work() {
    futures::executor::block_on(async {
        let fault = Fault::always(Operation::WriteBlob, FaultAction::FailAfterwards(ErrorKind::Unavailable));
        let backend = FaultyBackend::new(Arc::new(MemoryBackend::new())).with(fault);
        let source = BytesSource::new(&b"content"[..]);
        assert!(backend.write_blob(&source, &WriteHint::default()).await.is_err());
        assert_eq!(backend.stat_blob(&oci_model::Digest::sha256_of(b"content")).await.unwrap(), Some(7));
    });
}

#[test]
fn reads_are_cut_ended_and_changed() {
    futures::executor::block_on(async {
        let (inner, blob) = with_blob(b"content").await;
        let spoiled =
            |action| FaultyBackend::new(inner.clone()).with(Fault::always(Operation::ReadBlob, action));
        let cut = read(&spoiled(FaultAction::CutStream(3)), &blob).await.unwrap_err();
        assert_eq!(cut.kind(), ErrorKind::Unavailable);
        assert_eq!(read(&spoiled(FaultAction::EndStream(3)), &blob).await.unwrap(), b"con");
        assert_eq!(read(&spoiled(FaultAction::FlipByte(1)), &blob).await.unwrap(), b"cnntent");
        for action in [FaultAction::EndStream(3), FaultAction::FlipByte(6)] {
            let error = spoiled(action).read_blob_to_memory(&blob, 100).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{action:?}");
        }
    });
}

#[test]
fn what_a_store_reads_of_a_source_is_spoiled() {
    futures::executor::block_on(async {
        for (action, kind) in [
            (FaultAction::CutStream(3), ErrorKind::Unavailable),
            (FaultAction::EndStream(3), ErrorKind::Invalid),
            (FaultAction::FlipByte(3), ErrorKind::Invalid),
        ] {
            let fault = Fault::nth(Operation::WriteBlob, 1, action);
            let backend = FaultyBackend::new(Arc::new(MemoryBackend::new())).with(fault);
            let source = BytesSource::new(&b"content"[..]);
            let error = backend.write_blob(&source, &WriteHint::default()).await.unwrap_err();
            assert_eq!(error.kind(), kind, "{action:?}");
            let again = backend.write_blob(&source, &WriteHint::default()).await.unwrap();
            assert_eq!(again, Written::Uploaded);
        }
    });
}

#[test]
fn lists_fail_before_or_after_their_items() {
    futures::executor::block_on(async {
        let (inner, _) = with_blob(Descriptor::EMPTY_CONTENT).await;
        let raw = RawManifest::from_image(&ImageManifest::new("a/b".parse().unwrap(), Descriptor::empty()));
        inner.write_manifest(&ManifestRef::Tag("v1".parse().unwrap()), &raw).await.unwrap();
        for (action, items) in [
            (FaultAction::Fail(ErrorKind::Unavailable), 0),
            (FaultAction::FailAfterwards(ErrorKind::Unavailable), 1),
        ] {
            let backend = FaultyBackend::new(inner.clone()).with(Fault::always(Operation::Tags, action));
            let seen: Vec<Result<_>> = futures::StreamExt::collect(backend.tags()).await;
            assert_eq!(seen.iter().filter(|item| item.is_ok()).count(), items);
            assert!(seen.last().is_some_and(Result::is_err));
        }
    });
}

#[test]
#[should_panic(expected = "moves no bytes")]
fn a_fault_that_could_not_show_is_refused() {
    let _ = Fault::always(Operation::Tags, FaultAction::FlipByte(0));
}
