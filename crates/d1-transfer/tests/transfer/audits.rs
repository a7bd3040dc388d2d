//! Objects are compared with their system metadata, in packages, by themselves, and in whole repositories.

use std::sync::Arc;

use bagit::{Algorithm, AlgorithmSet, Digests};
use d1_model::{Checksum, ChecksumAlgorithm, DateTime, SystemMetadata};
use d1_package::annotations::D1_IDENTIFIER;
use d1_package::{
    ObjectFacts, SYSTEM_METADATA_ARTIFACT_TYPE, SingleFile, SingleFileOptions, single_files_manifest,
};
use d1_transfer::parts::newest_attached;
use d1_transfer::{
    ObjectVerdict, SystemMetadataAudit, VerifyOptions, VerifyReport, open_package, push_directory, verify,
    verify_all,
};
use futures::TryStreamExt;
use oci_model::{Descriptor, Digest, ManifestRef};
use registry_backend::{BlobSource, BytesSource, ErrorKind, MemoryBackend, RegistryBackend, WriteHint};
use registry_conformance::{CountingBackend, Fault, FaultAction, FaultyBackend, Operation};

use crate::support::{Place, at, memory, noise, push_options, silent, tag};

/// Returns system metadata of this content; a day makes them newer or older than others.
fn document(identifier: &str, content: &[u8], algorithm: Algorithm, day: u8) -> SystemMetadata {
    let set: AlgorithmSet = [algorithm].into_iter().collect();
    let hex = Digests::of(set, content).hex(algorithm).unwrap();
    let checksum = Checksum::new(ChecksumAlgorithm::from_name(algorithm.name()), hex);
    let size = content.len() as u64;
    let mut document =
        SystemMetadata::new(identifier.parse().unwrap(), "text/csv", size, checksum, "somebody");
    document.date_modified = Some(DateTime::from_text(format!("2024-01-{day:02}T00:00:00Z")));
    document
}

async fn store(backend: &dyn RegistryBackend, content: &[u8]) -> (Digest, u64) {
    let source = BytesSource::new(content.to_vec());
    backend.write_blob(&source, &WriteHint::default()).await.unwrap();
    (source.digest().clone(), source.size())
}

async fn artifact(
    backend: &dyn RegistryBackend,
    at: Option<ManifestRef>,
    title: &str,
    content: &[u8],
    options: SingleFileOptions,
) -> Descriptor {
    store(backend, b"{}").await;
    let (digest, size) = store(backend, content).await;
    let file = SingleFile {
        title: title.to_owned(),
        media_type: None,
        digest,
        size,
        object: ObjectFacts::default(),
    };
    let manifest = single_files_manifest(&[file], &options).unwrap();
    let at = at.unwrap_or_else(|| ManifestRef::Digest(manifest.digest().clone()));
    backend.write_manifest(&at, &manifest).await.unwrap();
    manifest.descriptor()
}

/// Stores an object by itself, under the tag `v1`.
async fn object(backend: &dyn RegistryBackend, identifier: &str, content: &[u8]) -> Descriptor {
    let mut options = SingleFileOptions::default();
    options.annotations.insert(D1_IDENTIFIER.to_owned(), identifier.to_owned());
    artifact(backend, Some(at("v1")), "data.csv", content, options).await
}

async fn attach(backend: &dyn RegistryBackend, subject: &Descriptor, document: &[u8]) {
    let options = SingleFileOptions {
        artifact_type: Some(SYSTEM_METADATA_ARTIFACT_TYPE.parse().unwrap()),
        subject: Some(subject.clone()),
        ..SingleFileOptions::default()
    };
    artifact(backend, None, "sysmeta.xml", document, options).await;
}

async fn audited(backend: &dyn RegistryBackend) -> (VerifyReport, SystemMetadataAudit) {
    let mut options = VerifyOptions::default();
    options.system_metadata = true;
    let report = verify(backend, &at("v1"), &options, &silent()).await.unwrap();
    let audit = report.system_metadata.clone().unwrap();
    (report, audit)
}

/// Pushes a bag with an object and its system metadata.
async fn bag(content: &[u8], document: &SystemMetadata) -> Arc<MemoryBackend> {
    let (place, backend) = (Place::new(), memory());
    let document = document.to_xml().unwrap();
    let bag = place.bag("bag", &[("data.csv", content.to_vec()), ("sysmeta.xml", document)]);
    let mut options = push_options();
    // The document has no access policy.
    options.include_private = true;
    push_directory(&*backend, &bag, &options, &silent()).await.unwrap();
    backend
}

#[tokio::test]
async fn an_object_of_a_package_is_read_and_compared_in_its_own_algorithm() {
    let content = noise(1, 300_000);
    for algorithm in [Algorithm::Md5, Algorithm::Sha1, Algorithm::Sha384] {
        let document = document("a.1", &content, algorithm, 1);
        let counting = CountingBackend::new(bag(&content, &document).await);
        let (report, audit) = audited(&counting).await;
        assert!(report.valid && !report.deep && report.read_bytes >= 300_000, "{report:?}");
        let [object] = audit.objects.as_slice() else { panic!("{audit:?}") };
        assert_eq!((audit.verified, object.verdict), (1, ObjectVerdict::Verified));
        assert_eq!(object.algorithm.as_deref(), Some(document.checksum.algorithm().name()));
        assert_eq!(object.computed.as_deref(), Some(document.checksum.value()));
    }
}

#[tokio::test]
async fn damage_that_no_other_check_reads_is_found() {
    let content = noise(1, 300_000);
    let backend = bag(&content, &document("a.1", &content, Algorithm::Md5, 1)).await;
    let raw = backend.read_manifest(&at("v1")).await.unwrap();
    let oci_model::Manifest::Image(manifest) = raw.parse().unwrap() else { panic!() };
    let layer = manifest.layers.iter().position(|layer| layer.size == 300_000).unwrap();
    assert!(layer > 0);
    let flip = Fault::always(Operation::ReadBlob, FaultAction::FlipByte(200_000));
    let faulty = FaultyBackend::new(backend).with(flip);
    let shallow = verify(&faulty, &at("v1"), &VerifyOptions::default(), &silent()).await.unwrap();
    assert!(shallow.valid);
    let (report, audit) = audited(&faulty).await;
    assert!(!report.valid);
    assert_eq!(audit.objects[0].verdict, ObjectVerdict::Damaged);
    assert_eq!(audit.verified, 0);
}

#[tokio::test]
async fn an_object_by_itself_is_compared_with_the_newest_document_that_is_attached() {
    let backend = memory();
    let subject = object(&*backend, "a.1", b"content").await;
    let (report, audit) = audited(&*backend).await;
    assert!(report.valid && audit.objects.is_empty(), "{audit:?}");
    attach(&*backend, &subject, &document("a.1", b"other", Algorithm::Md5, 1).to_xml().unwrap()).await;
    let (report, audit) = audited(&*backend).await;
    assert!(!report.valid);
    assert_eq!(audit.objects[0].verdict, ObjectVerdict::Mismatch);
    attach(&*backend, &subject, &document("a.1", b"content", Algorithm::Sha512, 2).to_xml().unwrap()).await;
    // A document about another object does not count if there is one about this object.
    attach(&*backend, &subject, &document("b.1", b"other", Algorithm::Md5, 3).to_xml().unwrap()).await;
    let (report, audit) = audited(&*backend).await;
    assert!(report.valid, "{report:?}");
    assert_eq!(audit.objects[0].algorithm.as_deref(), Some("SHA-512"));
    assert_eq!(audit.objects[0].identifier.as_deref(), Some("a.1"));
}

#[tokio::test]
async fn of_documents_of_one_date_the_higher_serial_version_counts() {
    let backend = memory();
    let subject = object(&*backend, "a.1", b"content").await;
    for (serial, content) in [(3, &b"content"[..]), (2, b"older"), (1, b"oldest")] {
        let mut document = document("a.1", content, Algorithm::Md5, 1);
        document.serial_version = Some(serial);
        attach(&*backend, &subject, &document.to_xml().unwrap()).await;
    }
    assert!(audited(&*backend).await.0.valid);
}

#[tokio::test]
async fn a_document_that_cannot_be_read_or_compared_is_no_proof() {
    let backend = memory();
    let subject = object(&*backend, "a.1", b"content").await;
    attach(&*backend, &subject, b"<systemMetadata/>").await;
    let (report, audit) = audited(&*backend).await;
    assert_eq!((report.valid, audit.objects[0].verdict), (false, ObjectVerdict::Unverifiable));
    let mut unknown = document("a.1", b"content", Algorithm::Md5, 1);
    unknown.checksum = Checksum::new(ChecksumAlgorithm::from_name("CRC32"), "00ff00ff");
    attach(&*backend, &subject, &unknown.to_xml().unwrap()).await;
    let (report, audit) = audited(&*backend).await;
    assert_eq!((report.valid, audit.objects[0].verdict), (false, ObjectVerdict::Unverifiable));
}

#[tokio::test]
async fn a_repository_is_verified_to_its_end_whatever_is_found() {
    let backend = bag(b"content", &document("a.1", b"content", Algorithm::Md5, 1)).await;
    for name in ["a0", "b0"] {
        let options = SingleFileOptions::default();
        artifact(&*backend, Some(ManifestRef::Tag(tag(name))), "data.csv", name.as_bytes(), options).await;
    }
    let fault = Fault::nth(Operation::ReadManifest, 1, FaultAction::Fail(ErrorKind::Invalid));
    let faulty = FaultyBackend::new(backend).with(fault);
    let mut options = VerifyOptions::default();
    options.system_metadata = true;
    let found: Vec<_> = verify_all(&faulty, &options, &silent()).try_collect().await.unwrap();
    let verdicts: Vec<_> = found
        .iter()
        .map(|artifact| (artifact.tag.as_ref().map_or("", |tag| tag.as_str()), artifact.is_valid()))
        .collect();
    assert_eq!(verdicts, [("a0", false), ("b0", true), ("v1", true)]);
    assert!(found[0].error.is_some() && found[0].report.is_none());
}

/// Attaches a document with the annotation of its creation.
async fn attach_created(
    backend: &dyn RegistryBackend,
    subject: &Descriptor,
    document: &SystemMetadata,
    created: &str,
) {
    let options = SingleFileOptions {
        artifact_type: Some(SYSTEM_METADATA_ARTIFACT_TYPE.parse().unwrap()),
        subject: Some(subject.clone()),
        created: Some(created.to_owned()),
        ..SingleFileOptions::default()
    };
    artifact(backend, None, "sysmeta.xml", &document.to_xml().unwrap(), options).await;
}

#[tokio::test]
async fn the_newest_document_counts_whatever_the_dates_of_the_artifacts_say() {
    let backend = memory();
    let subject = object(&*backend, "a.1", b"content").await;
    let dated = |date: &str, serial| {
        let mut document = document("a.1", b"content", Algorithm::Md5, 1);
        document.date_modified = Some(DateTime::from_text(date));
        document.serial_version = Some(serial);
        document
    };
    // An old document that was attached late, two documents of one date, and one that is older than its artifact.
    attach_created(&*backend, &subject, &dated("2020-01-01T00:00:00Z", 9), "2026-05-05T00:00:00Z").await;
    for serial in [10, 2] {
        attach_created(&*backend, &subject, &dated("2024-02-02T00:00:00Z", serial), "2024-02-02T00:00:00Z")
            .await;
    }
    for year in 2010..2018 {
        let date = format!("{year}-01-01T00:00:00Z");
        attach_created(&*backend, &subject, &dated(&date, 99), &date).await;
    }
    let counting = CountingBackend::new(backend);
    let package = open_package(&counting, &at("v1")).await.unwrap();
    let before = counting.count(Operation::ReadBlob);
    let found = newest_attached(&counting, &package).await.unwrap();
    assert_eq!(found.newest.unwrap().facts.serial_version, Some(10));
    assert_eq!(counting.count(Operation::ReadBlob) - before, 3, "older artifacts are not read");
}
