//! Comparison with a node, and withdrawal.

use std::collections::BTreeMap;
use std::sync::Arc;

use d1_model::ChecksumAlgorithm;
use d1_sync::{
    CompareReport, Difference, DifferenceKind, Error, PackageDifference, RepositoryComparison,
    WithdrawOptions, compare, compare_repositories, replicate, withdraw,
};
use d1_testnode::{Call, Catalog, ScriptedNode};
use oci_model::{ManifestRef, Tag};
use registry_backend::{MemoryBackend, RegistryBackend, RegistryBackendExt};
use registry_conformance::{CountingBackend, Operation};

use crate::support::*;

async fn compared(
    backend: &dyn RegistryBackend,
    node: &ScriptedNode,
) -> (CompareReport, BTreeMap<String, DifferenceKind>) {
    let mut found = BTreeMap::new();
    let mut tell = |difference: &Difference| {
        let before = found.insert(difference.identifier.to_string(), difference.kind);
        assert_eq!(before, None, "{difference:?} is reported twice");
    };
    let report = compare(backend, &member(node), &silent(), &mut tell).await.unwrap();
    assert_eq!(report.differences.values().sum::<u64>(), found.len() as u64);
    (report, found)
}

#[tokio::test]
async fn every_kind_of_difference_is_found() {
    for behaviour in dialects() {
        let (catalog, data) = catalog("p", 7);
        let node = node_of(catalog, &behaviour).await;
        let backend = MemoryBackend::new();
        copy_package(&backend, &member(&node), "p.map").await.unwrap();
        let (report, found) = compared(&backend, &node).await;
        assert_eq!((report.objects, report.listed, report.equal), (9, 9, 9), "{found:?}");
        node.change(|catalog| {
            let private = catalog.get(&id(&data[1])).unwrap().as_ref().clone().private();
            catalog.remove(&id(&data[0]));
            catalog.put(private).unwrap();
            put_data(catalog, "new", content(3), &ChecksumAlgorithm::Md5);
        });
        change(&node, &data[2], |meta| meta.archived = Some(true));
        change(&node, &data[3], |meta| meta.obsoleted_by = Some(id("new")));
        change(&node, &data[4], |meta| meta.size += 1);
        change(&node, &data[5], |meta| meta.rights_holder = "somebody else".to_owned());
        let (report, found) = compared(&backend, &node).await;
        let expected = [
            (&*data[0], DifferenceKind::Gone),
            (&*data[1], DifferenceKind::Private),
            (&*data[2], DifferenceKind::Archived),
            (&*data[3], DifferenceKind::Obsoleted),
            (&*data[4], DifferenceKind::Content),
            (&*data[5], DifferenceKind::Changed),
            ("new", DifferenceKind::Missing),
        ];
        let expected: BTreeMap<_, _> =
            expected.into_iter().map(|(identifier, kind)| (identifier.to_owned(), kind)).collect();
        assert_eq!(found, expected, "{behaviour:?}");
        assert_eq!((report.objects, report.equal, report.unreadable), (9, 3, 0));
    }
}

#[tokio::test]
async fn a_coordinating_node_is_asked_about_each_object() {
    let (catalog, data) = catalog("p", 2);
    let node = ScriptedNode::serve(catalog).await.unwrap();
    let backend = MemoryBackend::new();
    copy_package(&backend, &member(&node), "p.map").await.unwrap();
    node.change(|catalog| catalog.remove(&id(&data[0])));
    let mut found = Vec::new();
    let mut tell = |difference: &Difference| found.push((difference.kind, difference.identifier.to_string()));
    compare(&backend, &network(&node), &silent(), &mut tell).await.unwrap();
    assert_eq!(found, [(DifferenceKind::Gone, data[0].clone())]);
}

#[tokio::test]
async fn a_withdrawn_object_is_removed_and_not_copied_again() {
    let (mut catalog, data) = catalog("p", 3);
    // A second package has one of the objects, a third one has none.
    put_package(&mut catalog, "q", &data[1..2], None);
    put_package(&mut catalog, "r", &[], None);
    let node = ScriptedNode::serve(catalog).await.unwrap();
    let backend = MemoryBackend::new();
    whole_node(&backend, &member(&node), None).await;
    let (victim, date) = (id(&data[1]), "2026-01-02T03:04:05Z".to_owned());
    let mut options = WithdrawOptions::new(date, "the author asked".to_owned());
    options.dry_run = true;
    let report = withdraw(&backend, std::slice::from_ref(&victim), &options, &silent()).await.unwrap();
    assert_eq!(report.artifacts.len(), 2);
    assert!(is_tagged(&backend, "p").await && is_tagged(&backend, "q").await, "a dry run removes nothing");
    options.dry_run = false;
    let report = withdraw(&backend, &[victim.clone(), id("unknown")], &options, &silent()).await.unwrap();
    assert_eq!(report.artifacts.len(), 2);
    assert!(report.artifacts.iter().all(|artifact| artifact.failure.is_none()), "{report:?}");
    assert_eq!((report.not_held, report.tombstones.len()), (vec![id("unknown")], 1));
    assert!(!is_tagged(&backend, "p").await && !is_tagged(&backend, "q").await);
    assert!(is_tagged(&backend, "r").await, "other packages stay");
    // The tag of the object leads to the reason.
    let tag: Tag = victim.tag().parse().unwrap();
    let raw = backend.read_manifest(&ManifestRef::Tag(tag)).await.unwrap();
    let first = raw.digest().clone();
    let layer = raw.parse().unwrap().layers()[0].clone();
    let document = backend.read_blob_to_memory(&layer, 1 << 16).await.unwrap();
    let tombstone: d1_sync::Tombstone = serde_json::from_slice(&document).unwrap();
    assert_eq!((tombstone.identifier, &*tombstone.reason), (victim.clone(), "the author asked"));
    // A withdrawal that ended before it moved the tag is completed by the next one, and the first reason stays.
    backend.admin().unwrap().delete_tag(&victim.tag().parse().unwrap()).await.unwrap();
    let again = WithdrawOptions::new("2026-02-03T04:05:06Z".to_owned(), "another reason".to_owned());
    withdraw(&backend, std::slice::from_ref(&victim), &again, &silent()).await.unwrap();
    let tagged = backend.read_manifest(&ManifestRef::Tag(victim.tag().parse().unwrap())).await.unwrap();
    assert_eq!(tagged.digest(), &first);
    // The packages come back without the object.
    let outcomes = whole_node(&backend, &member(&node), None).await;
    for package in ["p.map", "q.map"] {
        let report = outcomes[package].as_ref().unwrap().as_ref().unwrap();
        assert_eq!(
            report.skipped.iter().map(|skipped| &*skipped.identifier).collect::<Vec<_>>(),
            [victim.as_str()]
        );
    }
    let files = pulled(&backend, "p").await;
    assert!(files.contains_key("data/p.data.0.csv") && !files.contains_key("data/p.data.1.csv"));
    assert!(!files.keys().any(|path| path.contains("sysmeta-p.data.1.xml")));
    // A package whose map or metadata were withdrawn does not come back.
    withdraw(&backend, &[id("p")], &options, &silent()).await.unwrap();
    let outcomes = whole_node(&backend, &member(&node), None).await;
    assert!(matches!(&outcomes["p.map"], Err(Error::Withdrawn { identifier }) if *identifier == id("p")));
}

#[tokio::test]
async fn an_empty_repository_lacks_everything() {
    let (catalog, _) = catalog("p", 2);
    let node = ScriptedNode::serve(catalog).await.unwrap();
    let (report, found) = compared(&MemoryBackend::new(), &node).await;
    assert_eq!((report.objects, report.listed, found.len()), (0, 4, 4));
    assert!(found.values().all(|kind| *kind == DifferenceKind::Missing));
    let node = ScriptedNode::serve(Catalog::default()).await.unwrap();
    let (report, _) = compared(&MemoryBackend::new(), &node).await;
    assert_eq!(report, CompareReport::default());
}

#[tokio::test]
async fn requests_grow_with_packages_and_changes_not_with_objects() {
    let (mut catalog, data) = catalog("p", 40);
    put_package(&mut catalog, "q", &data[..20], None);
    let node = ScriptedNode::serve(catalog).await.unwrap();
    let backend = CountingBackend::new(Arc::new(MemoryBackend::new()));
    whole_node(&backend, &member(&node), None).await;
    for identifier in &data[..3] {
        change(&node, identifier, |meta| meta.serial_version = Some(7));
    }
    node.forget_requests();
    backend.reset();
    let (report, found) = compared(&backend, &node).await;
    assert_eq!((report.objects, report.equal, found.len()), (44, 44, 0));
    // Each of two packages has two tags. Its system metadata come with one request.
    assert_eq!((backend.count(Operation::ReadManifest), backend.count(Operation::ReadBlob)), (2, 2));
    assert_eq!(backend.calls().len(), 5, "{:?}", backend.calls());
    assert_eq!(node.count(Call::Meta), 3);
    assert!(node.requests().len() <= 6, "{:?}", node.requests());
}

#[tokio::test]
async fn a_replication_counts_the_states_of_the_members_that_it_met() {
    let (catalog, data) = catalog("p", 6);
    let node = ScriptedNode::serve(catalog).await.unwrap();
    node.change(|catalog| {
        let private = catalog.get(&id(&data[0])).unwrap().as_ref().clone().private();
        catalog.put(private).unwrap();
        catalog.remove(&id(&data[1]));
    });
    change(&node, &data[2], |meta| meta.archived = Some(true));
    for identifier in &data[3..5] {
        change(&node, identifier, |meta| meta.obsoleted_by = Some(id("new")));
    }
    let mut options = options();
    options.skip_missing = true;
    let backend = MemoryBackend::new();
    let report = replicate(&backend, &member(&node), &id("p.map"), &options, None, &silent()).await.unwrap();
    let expected = [
        (DifferenceKind::Gone, 1),
        (DifferenceKind::Private, 1),
        (DifferenceKind::Archived, 1),
        (DifferenceKind::Obsoleted, 2),
    ];
    assert_eq!(report.states, expected.into());
}

async fn compared_with(
    here: &dyn RegistryBackend,
    there: &dyn RegistryBackend,
) -> (RepositoryComparison, Vec<(DifferenceKind, String, Option<String>)>) {
    let mut found = Vec::new();
    let mut tell = |difference: &PackageDifference| {
        found.push((difference.kind, difference.package.clone(), difference.member.clone()));
    };
    let report = compare_repositories(here, there, &silent(), &mut tell).await.unwrap();
    assert_eq!(report.differences.values().sum::<u64>(), found.len() as u64);
    (report, found)
}

#[tokio::test]
async fn replicas_from_two_nodes_are_compared_by_their_content_digests() {
    for behaviour in dialects() {
        let (mut catalog, data) = catalog("p", 4);
        put_package(&mut catalog, "q", &data[..2], None);
        put_package(&mut catalog, "r", &data[3..], None);
        let (one, other) = (node_of(catalog.clone(), &behaviour).await, node_of(catalog, &behaviour).await);
        // The other node has other volatile parts for all members of `p` and `q`.
        for identifier in &data[..3] {
            change(&other, identifier, |meta| meta.serial_version = Some(9));
        }
        let here = CountingBackend::new(Arc::new(MemoryBackend::new()));
        let there = CountingBackend::new(Arc::new(MemoryBackend::new()));
        whole_node(&here, &member(&one), None).await;
        whole_node(&there, &member(&other), None).await;
        here.reset();
        there.reset();
        let (report, found) = compared_with(&here, &there).await;
        assert_eq!((report.packages, report.others, report.identical, report.equal), (3, 3, 1, 2));
        assert_eq!(found, []);
        for backend in [&here, &there] {
            let reads = (backend.count(Operation::ReadManifest), backend.count(Operation::ReadBlob));
            assert_eq!(reads, (3, 0), "equal content needs only the manifests");
        }

        let mut wider = data[3..].to_vec();
        wider.push("new".to_owned());
        other.change(|catalog| {
            put_data(catalog, "new", content(7), &ChecksumAlgorithm::Md5);
            put_package(catalog, "r", &wider, None);
            put_package(catalog, "s", &data[..1], None);
        });
        change(&other, "q", |meta| meta.archived = Some(true));
        whole_node(&there, &member(&other), None).await;
        let (report, found) = compared_with(&here, &there).await;
        let expected = [
            (DifferenceKind::Archived, "q.map", None),
            (DifferenceKind::Missing, "r.map", Some("new")),
            (DifferenceKind::Missing, "s.map", None),
        ];
        let expected = expected.map(|(kind, name, of)| (kind, name.to_owned(), of.map(str::to_owned)));
        assert_eq!(found, expected, "{behaviour:?}");
        assert_eq!((report.packages, report.others, report.identical, report.equal), (3, 4, 0, 1));
        let (_, found) = compared_with(&there, &here).await;
        let kinds: Vec<_> = found.iter().map(|(kind, ..)| *kind).collect();
        assert_eq!(kinds, [DifferenceKind::Changed, DifferenceKind::OnlyHere, DifferenceKind::OnlyHere]);
        // A repository that does not exist yet lacks everything.
        let (report, found) = compared_with(&MemoryBackend::new(), &there).await;
        assert_eq!((report.packages, found.len()), (0, 4));
    }
}
