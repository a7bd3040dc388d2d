//! A replica that stays true while the node changes.

use d1_model::{ChecksumAlgorithm, Identifier};
use d1_sync::{BatchOptions, Journal, NodeSelection};
use d1_testnode::{Call, Package};
use oci_model::{ManifestRef, Tag};
use registry_backend::{MemoryBackend, RegistryBackend};

use crate::support::*;

/// Returns the resource map of the package that the tag of an identifier names.
async fn map_under(backend: &dyn RegistryBackend, identifier: &str) -> Identifier {
    let tag: Tag = id(identifier).tag().parse().unwrap();
    let package = d1_transfer::open_package(backend, &ManifestRef::Tag(tag)).await.unwrap();
    package.view.index().unwrap().resource_map().unwrap().clone()
}

/// Adds a second resource map of the package `p`.
fn second_map(node: &d1_testnode::ScriptedNode, data: &[String], obsoletes: Option<&str>) {
    node.change(|catalog| {
        let members = data.iter().map(|identifier| id(identifier));
        let mut package = Package::new(id("p.map.2"), id("p"), members);
        package.obsoletes = obsoletes.map(id);
        catalog.put_package(&package)
    })
    .unwrap();
}

#[tokio::test]
async fn the_identifiers_tag_names_the_current_map_whatever_the_order() {
    for behaviour in dialects() {
        for order in [["p.map", "p.map.2"], ["p.map.2", "p.map"]] {
            let (catalog, data) = catalog("p", 2);
            let node = node_of(catalog, &behaviour).await;
            second_map(&node, &data, Some("p.map"));
            let backend = MemoryBackend::new();
            for map in order {
                copy_package(&backend, &member(&node), map).await.unwrap();
            }
            assert_eq!(map_under(&backend, "p").await, id("p.map.2"), "{order:?}");
            // Again: nothing moves.
            for map in order {
                assert!(copy_package(&backend, &member(&node), map).await.unwrap().unchanged);
            }
            assert_eq!(map_under(&backend, "p").await, id("p.map.2"), "{order:?}");
            for map in order {
                assert_eq!(map_under(&backend, map).await, id(map));
            }
        }
    }
}

#[tokio::test]
async fn of_two_current_maps_the_one_uploaded_last_gets_the_tag() {
    let (catalog, data) = catalog("p", 2);
    let node = node_of(catalog, &dialects()[0]).await;
    second_map(&node, &data, None);
    for _ in 0..10 {
        let backend = MemoryBackend::new();
        whole_node(&backend, &member(&node), None).await;
        assert_eq!(map_under(&backend, "p").await, id("p.map.2"));
    }
}

#[tokio::test]
async fn a_change_of_a_member_is_seen() {
    for behaviour in dialects() {
        let (mut catalog, _) = catalog("p", 3);
        let (others, _) = self::catalog("q", 3);
        for object in others.objects() {
            catalog.put(object.as_ref().clone()).unwrap();
        }
        let node = node_of(catalog, &behaviour).await;
        let (backend, place) = (MemoryBackend::new(), tempfile::tempdir().unwrap());
        let journal = Journal::open(&place.path().join("journal"), "memory").unwrap();
        whole_node(&backend, &member(&node), Some(&journal)).await;
        change(&node, "p.data.1", |meta| meta.archived = Some(true));
        node.forget_requests();
        let outcomes = whole_node(&backend, &member(&node), Some(&journal)).await;
        assert_eq!(outcomes.keys().collect::<Vec<_>>(), ["p.map"], "{behaviour:?}");
        assert!(outcomes.values().all(|outcome| matches!(outcome, Ok(Some(report)) if !report.unchanged)));
        let document = pulled(&backend, "p").await.remove("metadata/sysmeta/sysmeta-p.data.1.xml").unwrap();
        assert!(String::from_utf8(document).unwrap().contains("<archived>true"));
        // Nothing changed since: the node gets requests for its list alone.
        node.forget_requests();
        assert!(whole_node(&backend, &member(&node), Some(&journal)).await.is_empty());
        let questions = node.count(Call::List) + node.count(Call::Ping);
        assert_eq!((node.requests().len(), node.count(Call::List)), (questions, 2));
        // Without a journal, `from` leads to the same package.
        change(&node, "q.data.2", |meta| meta.archived = Some(true));
        let mut selection = NodeSelection::default();
        selection.from = Some(d1_model::DateTime::from_instant(
            jiff::Timestamp::now() - jiff::SignedDuration::from_mins(1),
        ));
        let outcomes =
            node_packages(&backend, &member(&node), &selection, &BatchOptions::new(options()), None).await;
        assert!(outcomes["q.map"].as_ref().unwrap().as_ref().is_some_and(|report| !report.unchanged));
    }
}

#[tokio::test]
async fn a_package_that_lost_its_tag_is_copied_again() {
    let (catalog, _) = catalog("p", 2);
    let node = node_of(catalog, &dialects()[0]).await;
    let (backend, place) = (MemoryBackend::new(), tempfile::tempdir().unwrap());
    let journal = Journal::open(&place.path().join("journal"), "memory").unwrap();
    whole_node(&backend, &member(&node), Some(&journal)).await;
    let empty = MemoryBackend::new();
    whole_node(&empty, &member(&node), Some(&journal)).await;
    assert!(is_tagged(&empty, "p").await);
}

#[tokio::test]
async fn changes_during_the_replication_are_not_missed() {
    let (catalog, data) = catalog("p", 2);
    let node = std::sync::Arc::new(node_of(catalog, &dialects()[0]).await);
    let backend = MemoryBackend::new();
    let (changing, data) = (std::sync::Arc::clone(&node), data.clone());
    let changed = std::sync::atomic::AtomicBool::new(false);
    let done = |_: &Identifier, _| {
        if !changed.swap(true, std::sync::atomic::Ordering::SeqCst) {
            change(&changing, &data[0], |meta| meta.archived = Some(true));
            changing
                .change(|catalog| {
                    put_data(catalog, "late", content(9), &ChecksumAlgorithm::Md5);
                    put_package(catalog, "late.package", &["late".to_owned()], None);
                    Ok::<_, std::io::Error>(())
                })
                .unwrap();
            for late in ["late", "late.package", "late.package.map"] {
                change(&changing, late, |_| {});
            }
        }
    };
    d1_sync::replicate_node(
        &backend,
        &member(&node),
        &NodeSelection::default(),
        &BatchOptions::new(options()),
        None,
        &silent(),
        &done,
    )
    .await
    .unwrap();
    assert!(is_tagged(&backend, "late.package").await);
    let document = pulled(&backend, "p").await.remove("metadata/sysmeta/sysmeta-p.data.0.xml").unwrap();
    assert!(String::from_utf8(document).unwrap().contains("<archived>true"));
}

#[tokio::test]
async fn a_complete_copy_is_not_replaced_by_a_poorer_one() {
    for behaviour in dialects() {
        let (catalog, data) = catalog("p", 3);
        let node = node_of(catalog, &behaviour).await;
        let backend = MemoryBackend::new();
        let first = copy_package(&backend, &member(&node), "p.map").await.unwrap();
        // One member disappears, one becomes private.
        for harm in ["gone", "private"] {
            let victim = id(&data[1]);
            let whole = node.look(|catalog| catalog.get(&victim).unwrap().as_ref().clone());
            node.change(|catalog| match harm {
                "gone" => Ok(_ = catalog.remove(&victim)),
                _ => catalog.put(whole.clone().private()),
            })
            .unwrap();
            let mut options = options();
            options.skip_missing = true;
            let report =
                d1_sync::replicate(&backend, &member(&node), &id("p.map"), &options, None, &silent()).await;
            let report = report.unwrap();
            assert_eq!(report.digest, first.digest, "{harm}");
            assert_eq!(report.kept.iter().map(|kept| &*kept.identifier).collect::<Vec<_>>(), [&*data[1]]);
            assert_eq!(pulled(&backend, "p").await["data/p.data.1.csv"], content(1));
            node.change(|catalog| catalog.put(whole)).unwrap();
        }
    }
}

#[tokio::test]
async fn any_object_leads_to_its_package_without_a_search_index() {
    let (catalog, data) = catalog("p", 3);
    let node = node_of(catalog, &d1_testnode::Behaviour::gmn()).await;
    let backend = MemoryBackend::new();
    let pids = [&*data[0], &*data[2], "p", "p.map"];
    let outcomes = batch(&backend, &member(&node), &pids, &BatchOptions::new(options()), None).await;
    assert!(outcomes.values().all(Result::is_ok), "{outcomes:?}");
    assert!(is_tagged(&backend, "p").await);
    assert_eq!(node.count_of(Call::Get, &id("p.map")), 2, "once for the index of maps, once for the package");
}

#[tokio::test]
async fn volatile_parts_alone_make_no_new_package_unless_asked() {
    for behaviour in dialects() {
        let (catalog, data) = catalog("p", 3);
        let node = node_of(catalog, &behaviour).await;
        let (backend, place) = (MemoryBackend::new(), tempfile::tempdir().unwrap());
        let journal = Journal::open(&place.path().join("journal"), "memory").unwrap();
        whole_node(&backend, &member(&node), Some(&journal)).await;
        let first = map_digest(&backend).await;
        // A replica was verified.
        let verified = |meta: &mut d1_model::SystemMetadata| {
            meta.serial_version = Some(meta.serial_version.unwrap_or_default() + 1);
            meta.replicas = vec![d1_model::Replica {
                member_node: "urn:node:OTHER".to_owned(),
                status: d1_model::ReplicationStatus::Completed,
                verified: d1_model::DateTime::from_text("2026-01-02T03:04:05Z"),
            }];
        };
        change(&node, &data[1], verified);
        let outcomes = whole_node(&backend, &member(&node), Some(&journal)).await;
        assert!(outcomes["p.map"].as_ref().unwrap().as_ref().unwrap().unchanged, "{behaviour:?}");
        assert_eq!(map_digest(&backend).await, first);
        // The journal has the new date, so nothing is asked again.
        node.forget_requests();
        assert!(whole_node(&backend, &member(&node), Some(&journal)).await.is_empty());
        assert_eq!(node.count(Call::Meta), 0);
        let mut asked = options();
        asked.volatile_changes = true;
        let report =
            d1_sync::replicate(&backend, &member(&node), &id("p.map"), &asked, None, &silent()).await;
        assert!(!report.unwrap().unchanged);
        assert_ne!(map_digest(&backend).await, first);
        // Any other part counts, also beside volatile ones.
        change(&node, &data[1], |meta| {
            verified(meta);
            meta.rights_holder = "somebody else".to_owned();
        });
        assert!(!copy_package(&backend, &member(&node), "p.map").await.unwrap().unchanged);
    }
}

/// Returns the digest of the package `p`.
async fn map_digest(backend: &dyn RegistryBackend) -> oci_model::Digest {
    let tag: Tag = id("p").tag().parse().unwrap();
    backend.stat_manifest(&ManifestRef::Tag(tag)).await.unwrap().unwrap().digest
}

#[tokio::test]
async fn a_node_without_search_is_asked_for_its_index_once() {
    let (catalog, data) = catalog("p", 6);
    let node = node_of(catalog, &d1_testnode::Behaviour::gmn()).await;
    let backend = MemoryBackend::new();
    let pids: Vec<&str> = data.iter().map(String::as_str).collect();
    let mut one = BatchOptions::new(options());
    one.parallel = 1;
    let outcomes = batch(&backend, &member(&node), &pids, &one, None).await;
    assert!(outcomes.values().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(node.count(Call::Search), 1);
    // By format: the node lists the objects, and their maps were read once.
    let mut selection = NodeSelection::default();
    selection.format_id = Some(EML.to_owned());
    let empty = MemoryBackend::new();
    node.forget_requests();
    let outcomes = node_packages(&empty, &member(&node), &selection, &one, None).await;
    assert_eq!(outcomes.keys().collect::<Vec<_>>(), ["p.map"]);
    assert!(outcomes["p.map"].is_ok() && is_tagged(&empty, "p").await);
    assert_eq!((node.count(Call::Search), node.count_of(Call::Get, &id("p.map"))), (1, 2));
}

#[tokio::test]
async fn a_coordinating_nodes_index_finds_packages_whose_objects_come_from_the_node() {
    let (catalog, data) = catalog("p", 3);
    let node = node_of(catalog.clone(), &d1_testnode::Behaviour::gmn()).await;
    let other = node_of(catalog, &d1_testnode::Behaviour::default()).await;
    let client = |url: &str| d1_client::NodeClient::new(url, &impatient()).unwrap();
    let (own, index) = (client(&node.member_url()), client(&other.coordinating_url()));
    let source = d1_sync::DataOneSource::NodeWithIndex { node: own, index };
    let backend = MemoryBackend::new();
    let outcomes = batch(&backend, &source, &[&data[1]], &BatchOptions::new(options()), None).await;
    assert!(outcomes.values().all(Result::is_ok), "{outcomes:?}");
    assert!(is_tagged(&backend, "p").await);
    assert_eq!((node.count(Call::Search), node.count(Call::List)), (0, 0), "its maps are not read");
    assert_eq!((other.count(Call::Meta), other.count(Call::Get)), (0, 0), "objects come from the node");
    // The index does not know a new object yet.
    node.change(|catalog| {
        put_data(catalog, "new", content(9), &ChecksumAlgorithm::Md5);
        put_package(catalog, "new.package", &["new".to_owned()], None);
    });
    let outcomes = batch(&backend, &source, &["new"], &BatchOptions::new(options()), None).await;
    assert!(outcomes.values().all(Result::is_ok), "{outcomes:?}");
    assert!(is_tagged(&backend, "new.package").await);
}

#[tokio::test]
async fn objects_of_the_network_are_located_by_one_list_of_nodes() {
    let (catalog, data) = catalog("p", 5);
    let node = node_of(catalog, &dialects()[0]).await;
    let backend = MemoryBackend::new();
    copy_package(&backend, &network(&node), "p.map").await.unwrap();
    assert_eq!((node.count(Call::Resolve), node.count(Call::Node)), (0, 1));
    assert_eq!(data.iter().map(|pid| node.count_of(Call::Get, &id(pid))).sum::<usize>(), 5);
    // Where the list lacks the node, each object is resolved.
    let (mut catalog, data) = self::catalog("q", 2);
    for pid in data.iter().map(|pid| id(pid)).chain([id("q"), id("q.map")]) {
        catalog
            .edit(&pid, |meta| {
                meta.origin_member_node = Some("urn:node:UNKNOWN".to_owned());
                meta.authoritative_member_node = None;
            })
            .unwrap();
    }
    let node = node_of(catalog, &dialects()[0]).await;
    copy_package(&backend, &network(&node), "q.map").await.unwrap();
    assert_eq!(node.count(Call::Resolve), 4);
}

#[tokio::test]
async fn an_object_without_bytes_needs_no_request() {
    for behaviour in dialects() {
        let (mut catalog, mut data) = catalog("p", 2);
        put_data(&mut catalog, "empty", Vec::new(), &ChecksumAlgorithm::Md5);
        data.push("empty".to_owned());
        put_package(&mut catalog, "p", &data, None);
        let node = node_of(catalog, &behaviour).await;
        let backend = MemoryBackend::new();
        copy_package(&backend, &member(&node), "p.map").await.unwrap();
        assert_eq!(node.count_of(Call::Get, &id("empty")), 0, "{behaviour:?}");
        assert_eq!(pulled(&backend, "p").await["data/empty.csv"], b"");
        // The checksum of something else is not believed.
        change(&node, "empty", |meta| {
            meta.checksum = "MD5:900150983cd24fb0d6963f7d28e17f72".parse().unwrap();
        });
        assert!(copy_package(&MemoryBackend::new(), &member(&node), "p.map").await.is_err());
    }
}
