//! Many packages: shares, journals, packages within packages.

use std::collections::BTreeSet;

use d1_sync::{BatchOptions, Journal};
use d1_testnode::{Call, Catalog, Package, Scale, ScriptedNode};
use registry_backend::MemoryBackend;

use crate::support::*;

#[tokio::test]
async fn shares_are_disjoint_and_leave_nothing_out() {
    let scale = Scale { packages: 24, objects: 4, smallest: 10, largest: 500, seed: 3 };
    let node = ScriptedNode::serve(scale.catalog().unwrap()).await.unwrap();
    let backend = MemoryBackend::new();
    let maps: Vec<String> = (0..24).map(|package| scale.map(package).to_string()).collect();
    let pids: Vec<&str> = maps.iter().map(String::as_str).collect();
    let mut all = BTreeSet::new();
    for share in 0..3 {
        let mut options = BatchOptions::new(options());
        options.shard = Some((share, 3));
        let outcomes = batch(&backend, &member(&node), &pids, &options, None).await;
        assert!(outcomes.values().all(Result::is_ok), "{outcomes:?}");
        for identifier in outcomes.into_keys() {
            assert!(all.insert(identifier));
        }
    }
    assert_eq!(all.len(), 24);
    for package in 0..24 {
        assert!(is_tagged(&backend, scale.metadata(package).as_str()).await);
    }
}

#[tokio::test]
async fn what_the_journal_says_is_done_is_not_asked_for_again() {
    let scale = Scale { packages: 3, objects: 4, smallest: 10, largest: 500, seed: 4 };
    let node = ScriptedNode::serve(scale.catalog().unwrap()).await.unwrap();
    let backend = MemoryBackend::new();
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("journal");
    let maps: Vec<String> = (0..3).map(|package| scale.map(package).to_string()).collect();
    let pids: Vec<&str> = maps.iter().map(String::as_str).collect();
    let options = BatchOptions::new(options());
    let journal = Journal::open(&path, "memory").unwrap();
    batch(&backend, &member(&node), &pids, &options, Some(&journal)).await;
    drop(journal);
    node.forget_requests();
    let journal = Journal::open(&path, "memory").unwrap();
    let outcomes = batch(&backend, &member(&node), &pids, &options, Some(&journal)).await;
    assert!(outcomes.values().all(|outcome| matches!(outcome, Ok(None))), "{outcomes:?}");
    assert_eq!((node.count(Call::Get), node.count(Call::Meta)), (0, 3), "one question for each map");
    // A repository that lost it gets it again, whatever the journal says.
    let empty = MemoryBackend::new();
    let outcomes = batch(&empty, &member(&node), &pids, &options, Some(&journal)).await;
    assert!(outcomes.values().all(|outcome| matches!(outcome, Ok(Some(_)))), "{outcomes:?}");
}

#[tokio::test]
async fn packages_within_packages_are_packages_of_their_own() {
    let (mut catalog, data) = catalog("inner", 2);
    put_package(&mut catalog, "outer", &data[..1], None);
    let mut outer = Package::new(id("outer.map"), id("outer"), [id(&data[0])]);
    outer.nested = vec![id("inner.map")];
    catalog.put_package(&outer).unwrap();
    // And one that contains its own container.
    let mut inner = Package::new(id("inner.map"), id("inner"), data.iter().map(|text| id(text)));
    inner.nested = vec![id("outer.map")];
    catalog.put_package(&inner).unwrap();
    let node = ScriptedNode::serve(catalog).await.unwrap();
    let backend = MemoryBackend::new();
    let mut options = BatchOptions::new(options());
    options.nested = true;
    let outcomes = batch(&backend, &member(&node), &["outer.map"], &options, None).await;
    assert!(outcomes.values().all(Result::is_ok), "{outcomes:?}");
    assert!(is_tagged(&backend, "outer").await && is_tagged(&backend, "inner").await);
}

#[tokio::test]
async fn an_object_in_many_packages_is_stored_once() {
    let mut catalog = Catalog::default();
    put_data(&mut catalog, "common", content(1), &d1_model::ChecksumAlgorithm::Sha256);
    for number in 0..4 {
        put_package(&mut catalog, &format!("m{number}"), &["common".to_owned()], None);
    }
    let node = ScriptedNode::serve(catalog).await.unwrap();
    let backend = MemoryBackend::new();
    let mut options = BatchOptions::new(options());
    options.parallel = 1;
    let outcomes =
        batch(&backend, &member(&node), &["m0.map", "m1.map", "m2.map", "m3.map"], &options, None).await;
    assert!(outcomes.values().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(node.count_of(Call::Get, &id("common")), 1);
}
