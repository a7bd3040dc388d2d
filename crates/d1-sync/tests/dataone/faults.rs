//! Whatever goes wrong at a node: nothing wrong is stored, the member is named, and the next run finishes.

use d1_model::Identifier;
use d1_sync::{BatchOptions, Error};
use d1_testnode::{Action, Answer, Behaviour, Call, Config, Fault, LocationEntry, ScriptedNode, Versions};
use registry_backend::MemoryBackend;

use crate::support::*;

/// Replicates two packages, one of them with this fault in a member, then again without the fault.
async fn fault_of_a_member(fault: impl Fn(&Identifier) -> Fault) {
    let (mut first, data) = catalog("bad", 4);
    let (second, _) = catalog("good", 2);
    for object in second.objects() {
        first.put(object.as_ref().clone()).unwrap();
    }
    let node = ScriptedNode::serve(first).await.unwrap();
    // One with an MD5, one with a SHA-1, one with a SHA-256: they take different ways.
    for victim in &data[..3] {
        let (backend, victim) = (MemoryBackend::new(), id(victim));
        node.add_fault(fault(&victim));
        let options = BatchOptions::new(options());
        let pids = ["bad.map", "good.map"];
        let outcomes = batch(&backend, &member(&node), &pids, &options, None).await;
        let error = outcomes["bad.map"].as_ref().unwrap_err();
        let Error::Members { faults } = error else { panic!("{victim}: {error}") };
        assert_eq!(faults.iter().map(|fault| &fault.identifier).collect::<Vec<_>>(), [&victim]);
        assert!(outcomes["good.map"].is_ok(), "the rest of the batch completes");
        assert!(is_tagged(&backend, "good").await && !is_tagged(&backend, "bad").await);
        node.clear_faults();
        let outcomes = batch(&backend, &member(&node), &pids, &options, None).await;
        assert!(outcomes.values().all(Result::is_ok), "{outcomes:?}");
        assert_eq!(pulled(&backend, "bad").await["data/bad.data.2.csv"], content(2));
    }
}

#[tokio::test]
async fn a_member_that_is_not_there() {
    fault_of_a_member(|victim| {
        Fault::new(Call::Get, Action::Answer(Answer::error("NotFound", 404, "1020"))).of(victim)
    })
    .await;
}

#[tokio::test]
async fn system_metadata_that_are_not_there() {
    fault_of_a_member(|victim| {
        Fault::new(Call::Meta, Action::Answer(Answer::error("NotFound", 404, "1060"))).of(victim)
    })
    .await;
}

#[tokio::test]
async fn a_wrong_checksum() {
    fault_of_a_member(|victim| Fault::new(Call::Meta, Action::WrongChecksum).of(victim)).await;
}

#[tokio::test]
async fn changed_bytes() {
    fault_of_a_member(|victim| Fault::new(Call::Get, Action::CorruptAnswer { at: 11 }).of(victim)).await;
}

#[tokio::test]
async fn a_body_that_is_too_short_and_says_so() {
    fault_of_a_member(|victim| Fault::new(Call::Get, Action::ShortenAnswer { to: 40 }).of(victim)).await;
}

#[tokio::test]
async fn a_body_that_ends_early() {
    fault_of_a_member(|victim| Fault::new(Call::Get, Action::EndAnswer { after: 40 }).of(victim)).await;
}

#[tokio::test]
async fn an_error_document_under_the_status_of_success() {
    fault_of_a_member(|victim| {
        let answer = Answer::error("ServiceFailure", 500, "1030").with_status(200);
        Fault::new(Call::Get, Action::Answer(answer)).of(victim)
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_always_breaks() {
    fault_of_a_member(|victim| Fault::new(Call::Get, Action::CutAnswer { after: 0 }).of(victim)).await;
}

/// Replicates from a node that behaves in this way.
async fn works_with(behaviour: Behaviour) {
    let (catalog, _) = catalog("odd", 3);
    let node = ScriptedNode::start(Config { catalog, behaviour, ..Config::default() }).await.unwrap();
    let backend = MemoryBackend::new();
    let report = copy_package(&backend, &network(&node), "odd.map").await.unwrap();
    assert_eq!(report.objects, 5);
    assert_eq!(pulled(&backend, "odd").await["data/odd.data.2.csv"].len(), content(2).len());
}

#[tokio::test]
async fn a_node_without_ranges() {
    works_with(Behaviour { ranges: false, ..Behaviour::default() }).await;
}

#[tokio::test]
async fn a_node_of_version_2_alone_without_search() {
    works_with(Behaviour { search: false, versions: Versions::V2, ..Behaviour::default() }).await;
}

#[tokio::test]
async fn a_location_that_is_dead_first() {
    let dead =
        LocationEntry { node: "urn:node:DEAD".to_owned(), base_url: "http://127.0.0.1:9/mn".to_owned() };
    works_with(Behaviour { locations_first: vec![dead], ..Behaviour::default() }).await;
}

#[tokio::test]
async fn a_node_of_version_1_alone() {
    let (catalog, data) = catalog("old", 3);
    // The documents lack everything that version 1 cannot express.
    let mut old = d1_testnode::Catalog::default();
    for object in catalog.objects() {
        let object = object.as_ref().clone();
        old.put(object.edited(|meta| {
            meta.schema_version = d1_model::SchemaVersion::V1;
            meta.file_name = None;
        }))
        .unwrap();
    }
    let behaviour = Behaviour { versions: Versions::V1, search: false, ..Behaviour::default() };
    let node = ScriptedNode::start(Config { catalog: old, behaviour, ..Config::default() }).await.unwrap();
    let backend = MemoryBackend::new();
    copy_package(&backend, &member(&node), "old.map").await.unwrap();
    let path = format!("data/{}-DATA.csv", data[1]);
    assert_eq!(pulled(&backend, "old").await[&path], content(1));
}

#[tokio::test]
async fn members_that_no_node_has_are_left_out_where_that_is_wanted() {
    let (mut catalog, data) = catalog("gap", 3);
    catalog.remove(&id(&data[1]));
    let node = ScriptedNode::serve(catalog).await.unwrap();
    let backend = MemoryBackend::new();
    let error = copy_package(&backend, &member(&node), "gap.map").await.unwrap_err();
    assert!(matches!(error, Error::Members { .. }));
    let mut options = options();
    options.skip_missing = true;
    let report =
        d1_sync::replicate(&backend, &member(&node), &id("gap.map"), &options, None, &silent()).await;
    let report = report.unwrap();
    assert_eq!((report.objects, report.skipped.len()), (4, 1));
    assert_eq!(report.skipped[0].identifier, data[1]);
}
