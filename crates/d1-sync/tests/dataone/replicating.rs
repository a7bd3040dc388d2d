//! Replicating packages into stores.

use std::collections::BTreeSet;
use std::sync::Arc;

use d1_model::ChecksumAlgorithm;
use d1_sync::{Journal, replicate};
use d1_testnode::{Call, Catalog, Content, Package, ScriptedNode};
use d1_transfer::{VerifyOptions, verify};
use oci_model::{ManifestRef, Tag};
use registry_backend::{Capabilities, MemoryBackend};
use registry_conformance::{CountingBackend, Operation};

use crate::support::*;

#[tokio::test]
async fn every_member_is_verified_and_comes_back() {
    let (catalog, data) = catalog("doi:10.5072/R1", 4);
    let node = ScriptedNode::serve(catalog).await.unwrap();
    let backend = MemoryBackend::new();
    let report = copy_package(&backend, &network(&node), "doi:10.5072/R1.map").await.unwrap();
    assert_eq!((report.objects, report.received_objects, report.kept_objects), (6, 6, 0));
    let files = pulled(&backend, "doi:10.5072/R1").await;
    for number in 0..4 {
        let path = format!("data/doi_10.5072_R1.data.{number}.csv");
        assert_eq!(files[&path], content(number));
    }
    let tag: Tag = id("doi:10.5072/R1.map").tag().parse().unwrap();
    let mut options = VerifyOptions::default();
    (options.deep, options.system_metadata) = (true, true);
    let verified = verify(&backend, &ManifestRef::Tag(tag), &options, &silent()).await.unwrap();
    assert!(verified.valid);
    assert_eq!(verified.system_metadata.unwrap().verified, 6);
    for identifier in &data {
        assert_eq!(node.count_of(Call::Get, &id(identifier)), 1, "each object is read once");
    }
}

#[tokio::test]
async fn a_second_replication_moves_nothing() {
    let (catalog, _) = catalog("r2", 4);
    let node = ScriptedNode::serve(catalog).await.unwrap();
    let backend = CountingBackend::new(Arc::new(MemoryBackend::new()));
    let first = copy_package(&backend, &member(&node), "r2.map").await.unwrap();
    node.forget_requests();
    backend.reset();
    let second = copy_package(&backend, &member(&node), "r2.map").await.unwrap();
    assert!(second.unchanged && second.digest == first.digest);
    assert_eq!(backend.count(Operation::WriteBlob), 0);
    assert_eq!(backend.count(Operation::ReadBlob), 0, "the index is in the manifest");
    assert_eq!(node.count(Call::Get), 1, "the map, to know what is in it");
    assert_eq!(second.sent_bytes, 0);
}

#[tokio::test]
async fn of_two_versions_that_share_nine_of_ten_objects_one_moves() {
    for algorithm in [ChecksumAlgorithm::Md5, ChecksumAlgorithm::Sha256] {
        let mut catalog = Catalog::default();
        let shared: Vec<String> = (0..9).map(|number| format!("shared.{number}")).collect();
        for (number, identifier) in (0..).zip(&shared) {
            put_data(&mut catalog, identifier, content(number), &algorithm);
        }
        let mut versions = [shared.clone(), shared.clone()];
        for (version, data) in versions.iter_mut().enumerate() {
            let own = format!("own.{version}");
            put_data(&mut catalog, &own, content(50 + version as u64), &algorithm);
            data.push(own);
        }
        put_package(&mut catalog, "v1", &versions[0], None);
        put_package(&mut catalog, "v2", &versions[1], Some("v1"));
        let node = ScriptedNode::serve(catalog).await.unwrap();
        let backend = CountingBackend::new(Arc::new(MemoryBackend::new()));
        copy_package(&backend, &member(&node), "v1.map").await.unwrap();
        node.forget_requests();
        backend.reset();
        let report = copy_package(&backend, &member(&node), "v2.map").await.unwrap();
        let read: BTreeSet<_> = node
            .requests()
            .into_iter()
            .filter(|request| request.call == Call::Get)
            .filter_map(|request| Some(request.identifier.as_ref()?.to_string()))
            .collect();
        let own = ["v2.map", "v2", "own.1"].map(str::to_owned).into();
        assert_eq!(read, own, "documents of their own, and one object");
        assert_eq!(report.kept_objects, 9);
        // The object, the archive of tag files, and the index.
        assert_eq!(backend.uploaded().len(), 3);
    }
}

#[tokio::test]
async fn objects_in_archives_come_from_the_repository_too() {
    let (mut catalog, mut data) = catalog("r3", 80);
    let node = {
        put_data(&mut catalog, "r3.more", content(90), &ChecksumAlgorithm::Md5);
        data.push("r3.more".to_owned());
        put_package(&mut catalog, "r3b", &data, Some("r3"));
        ScriptedNode::serve(catalog).await.unwrap()
    };
    let backend = MemoryBackend::new();
    copy_package(&backend, &member(&node), "r3.map").await.unwrap();
    node.forget_requests();
    let report = copy_package(&backend, &member(&node), "r3b.map").await.unwrap();
    assert_eq!((node.count(Call::Get), report.kept_objects), (3, 80));
    assert_eq!(pulled(&backend, "r3b").await["data/r3.data.7.csv"], content(7));
}

#[tokio::test]
async fn a_journal_spares_objects_of_a_package_that_was_not_finished() {
    let (catalog, data) = catalog("r4", 4);
    let node = ScriptedNode::serve(catalog).await.unwrap();
    let backend = MemoryBackend::new();
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("journal.jsonl");
    let gone = node.look(|catalog| catalog.get(&id(&data[3])).unwrap().as_ref().clone());
    // Its system metadata are there, the object is not.
    let fault = d1_testnode::Fault::new(Call::Get, d1_testnode::Action::Drop).of(gone.identifier());
    node.add_fault(fault);
    let journal = Journal::open(&path, "memory").unwrap();
    let run = async |journal: &Journal| {
        replicate(&backend, &member(&node), &id("r4.map"), &options(), Some(journal), &silent()).await
    };
    run(&journal).await.unwrap_err();
    assert!(!is_tagged(&backend, "r4").await);
    drop(journal);
    node.clear_faults();
    node.forget_requests();
    let journal = Journal::open(&path, "memory").unwrap();
    let report = run(&journal).await.unwrap();
    assert_eq!(report.kept_objects, 3);
    for kept in &data[..3] {
        assert_eq!(node.count_of(Call::Get, &id(kept)), 0, "{kept}");
    }
    assert!(is_tagged(&backend, "r4").await);
}

#[tokio::test]
async fn objects_larger_than_the_spool_are_read_twice_and_never_on_disk() {
    let (mut catalog, _) = catalog("r5", 1);
    let large = Content::Generated { seed: 1, size: 3 << 20 };
    let object =
        d1_testnode::StoredObject::with_algorithm(id("large"), "text/csv", large, &ChecksumAlgorithm::Md5);
    catalog.put(object.unwrap()).unwrap();
    catalog.put_package(&Package::new(id("r5.map"), id("r5"), [id("r5.data.0"), id("large")])).unwrap();
    let node = ScriptedNode::serve(catalog).await.unwrap();
    let backend = MemoryBackend::new();
    let mut options = options();
    options.spool_bytes = 1 << 20;
    replicate(&backend, &member(&node), &id("r5.map"), &options, None, &silent()).await.unwrap();
    assert_eq!(node.count_of(Call::Get, &id("large")), 2);
    assert_eq!(pulled(&backend, "r5").await["data/large-DATA.csv"].len(), 3 << 20);
}

#[tokio::test]
async fn objects_larger_than_a_blob_are_stored_in_parts() {
    let (mut catalog, _) = catalog("r6", 1);
    let large = Content::Generated { seed: 1, size: (3 << 20) + 5 };
    let bytes = large.bytes().unwrap();
    let object =
        d1_testnode::StoredObject::with_algorithm(id("large"), "text/csv", large, &ChecksumAlgorithm::Sha1);
    catalog.put(object.unwrap()).unwrap();
    catalog.put_package(&Package::new(id("r6.map"), id("r6"), [id("r6.data.0"), id("large")])).unwrap();
    let node = ScriptedNode::serve(catalog).await.unwrap();
    let mut capabilities = Capabilities::default();
    (capabilities.max_blob_bytes, capabilities.part_bytes) = (Some(1 << 20), Some(1 << 20));
    let backend = MemoryBackend::with_capabilities(capabilities);
    copy_package(&backend, &member(&node), "r6.map").await.unwrap();
    assert!(pulled(&backend, "r6").await["data/large-DATA.csv"] == bytes);
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "the line is meant for whoever runs the tests")]
async fn the_objects_of_a_real_package_come_back_byte_for_byte() {
    let samples = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/samples/dataone/pkg-peggym133");
    let samples = std::path::Path::new(samples);
    if !samples.exists() {
        println!("skipped: there are no sample documents");
        return;
    }
    let behaviour = d1_testnode::Behaviour { token: Some("t".to_owned()), ..Default::default() };
    let catalog = Catalog::read_directory(samples).unwrap();
    let config = d1_testnode::Config { catalog, behaviour, ..Default::default() };
    let node = ScriptedNode::start(config).await.unwrap();
    let mut client = impatient();
    client.token = Some(d1_client::Secret::new("t"));
    let source =
        d1_sync::DataOneSource::Node(d1_client::NodeClient::new(&node.member_url(), &client).unwrap());
    let backend = MemoryBackend::new();
    let mut options = options();
    options.include_private = true;
    replicate(&backend, &source, &id("peggym.133.1.resourcemap"), &options, None, &silent()).await.unwrap();
    let files = pulled(&backend, "peggym.133.1").await;
    for (path, original) in [
        ("data/data.1.1-DATA.csv", "data.1.1"),
        ("metadata/science-metadata.xml", "peggym.133.1"),
        ("metadata/oai-ore.xml", "peggym.133.1.resourcemap"),
        ("metadata/sysmeta/sysmeta-data.1.1.xml", "data.1.1.sysmeta.xml"),
    ] {
        assert!(files[path] == std::fs::read(samples.join(original)).unwrap(), "{path}");
    }
}
