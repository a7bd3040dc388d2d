//! The suite itself: it has to find what is wrong with a backend.

use std::sync::Arc;

use registry_backend::{ErrorKind, MemoryBackend};
use registry_conformance::conformance::{CHECKS, EmptyRepository, Need, Report, checks_that_need, run_suite};
use registry_conformance::{Fault, FaultAction, FaultyBackend, Operation};

fn run(fixture: impl Fn() -> EmptyRepository) -> Report {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(run_suite(|| async { fixture() }))
}

fn faulty(operation: Operation, action: FaultAction) -> Report {
    run(|| {
        let inner = Arc::new(MemoryBackend::new());
        EmptyRepository::new(FaultyBackend::new(inner).with(Fault::always(operation, action)))
    })
}

#[test]
fn every_check_has_a_name_of_its_own() {
    let names: std::collections::HashSet<_> = CHECKS.iter().map(|check| check.name).collect();
    assert_eq!(names.len(), CHECKS.len());
}

#[test]
fn the_report_lists_every_check_once() {
    let report = run(|| EmptyRepository::new(MemoryBackend::new()).lacking(&[Need::Sha512]));
    assert_eq!(report.failed, []);
    let skipped = checks_that_need(&[Need::BlobLimit, Need::Pruner, Need::SecondValue, Need::Sha512]);
    let mut names = report.skipped_names();
    names.sort_unstable();
    let mut expected = skipped;
    expected.sort_unstable();
    assert_eq!(names, expected);
    assert_eq!(report.passed.len() + report.skipped.len(), CHECKS.len());
    assert!(report.to_string().contains("skipped a_sha512_blob_is_stored: the store lacks SHA-512 digests"));
}

#[test]
fn each_operation_that_fails_is_found() {
    use Operation::{
        DeleteManifest, DeleteTag, ReadBlob, ReadManifest, Referrers, StatBlob, StatManifest, Tags,
        WriteBlob, WriteManifest,
    };
    for (operation, check) in [
        (StatBlob, "an_absent_blob_is_no_error"),
        (ReadBlob, "the_empty_blob_is_stored"),
        (WriteBlob, "a_blob_of_one_byte_is_stored"),
        (StatManifest, "an_absent_manifest_is_no_error"),
        (ReadManifest, "a_tagged_manifest_is_read_by_tag"),
        (WriteManifest, "each_tag_is_listed_once"),
        (Tags, "an_empty_repository_has_no_tags"),
        (Referrers, "an_absent_subject_has_no_referrers"),
        (DeleteManifest, "a_deleted_manifest_is_gone"),
        (DeleteTag, "a_deleted_tag_is_gone"),
    ] {
        let report = faulty(operation, FaultAction::Fail(ErrorKind::Unavailable));
        assert!(report.failed_names().contains(&check), "{operation}: {report}");
    }
}

#[test]
fn changed_bytes_are_found() {
    let report = faulty(Operation::ReadBlob, FaultAction::FlipByte(0));
    assert!(report.failed_names().contains(&"a_blob_of_one_byte_is_stored"), "{report}");
    assert!(report.failed_names().contains(&"the_middle_of_a_blob_is_read"), "{report}");
}

#[test]
fn missing_bytes_are_found() {
    let report = faulty(Operation::ReadBlob, FaultAction::EndStream(5));
    assert!(report.failed_names().contains(&"the_announced_range_is_the_one_that_comes"), "{report}");
}

#[test]
fn a_lost_answer_is_found() {
    let report = faulty(Operation::WriteManifest, FaultAction::FailAfterwards(ErrorKind::Unavailable));
    assert!(report.failed_names().contains(&"a_tag_moves"), "{report}");
}
