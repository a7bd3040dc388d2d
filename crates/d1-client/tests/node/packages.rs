//! From an identifier to its package.

use d1_client::ErrorKind;
use d1_model::FormatType;
use d1_testnode::{Action, Answer, Behaviour, Call, Catalog, Config, Content, Fault, Package, ScriptedNode};

use crate::support::{coordinating, failed, id, member, object};

const EML: &str = "https://eml.ecoinformatics.org/eml-2.2.0";

/// Two versions of a package with one data object in common, another package of one of the data objects, and an object
/// without a package. Identifiers have what has a meaning in questions.
fn catalog() -> Catalog {
    let mut catalog = Catalog::default();
    for name in ["data\"1\\", "data 2", "data:3", "alone"].map(|name| name.replace(' ', "*")) {
        catalog.put(object(&name, "text/csv", Content::text(&name))).unwrap();
    }
    let first = object("eml.1", EML, Content::text("<eml/>"));
    let second = object("eml.2", EML, Content::text("<eml></eml>"));
    let edit = |object: d1_testnode::StoredObject, before: Option<&str>, after: Option<&str>| {
        object.edited(|meta| {
            meta.series_id = Some(id("series"));
            meta.obsoletes = before.map(id);
            meta.obsoleted_by = after.map(id);
        })
    };
    catalog.put(edit(first, None, Some("eml.2"))).unwrap();
    catalog.put(edit(second, Some("eml.1"), None)).unwrap();
    catalog.put(object("eml.other", EML, Content::text("<eml x='1'/>"))).unwrap();
    let package = Package::new(id("map.1"), id("eml.1"), [id("data\"1\\"), id("data*2")]);
    catalog.put_package(&package).unwrap();
    let next = Package::new(id("map.2"), id("eml.2"), [id("data\"1\\"), id("data:3")]);
    catalog.put_package(&Package { obsoletes: Some(id("map.1")), ..next }).unwrap();
    catalog.put_package(&Package::new(id("map.other"), id("eml.other"), [id("data:3")])).unwrap();
    catalog
}

async fn node(search: bool) -> ScriptedNode {
    let behaviour = Behaviour { search, ..Behaviour::default() };
    ScriptedNode::start(Config { catalog: catalog(), behaviour, ..Config::default() }).await.unwrap()
}

#[tokio::test]
async fn every_kind_of_identifier_leads_to_its_maps() {
    let node = node(true).await;
    for (identifier, object, format_type, maps) in [
        ("map.1", "map.1", FormatType::Resource, vec!["map.1"]),
        ("eml.1", "eml.1", FormatType::Metadata, vec!["map.1"]),
        ("series", "eml.2", FormatType::Metadata, vec!["map.2"]),
        // In both versions: the one that is not obsolete counts.
        ("data\"1\\", "data\"1\\", FormatType::Data, vec!["map.2"]),
        // In an obsolete one only.
        ("data*2", "data*2", FormatType::Data, vec!["map.1"]),
        // In two: a person has to choose.
        ("data:3", "data:3", FormatType::Data, vec!["map.2", "map.other"]),
        ("alone", "alone", FormatType::Data, vec![]),
    ] {
        for client in [coordinating(&node), member(&node)] {
            let found = client.find_packages(&id(identifier)).await.unwrap();
            assert_eq!(found.object, id(object), "{identifier}");
            assert_eq!(found.format_type, Some(format_type.clone()), "{identifier}");
            let maps: Vec<_> = maps.iter().map(|map| id(map)).collect();
            assert_eq!(found.resource_maps, maps, "{identifier}");
        }
    }
    let error = failed(coordinating(&node).find_packages(&id("nothing")).await);
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn without_an_index_a_map_stands_for_itself() {
    let without = node(false).await;
    let found = member(&without).find_packages(&id("map.1")).await.unwrap();
    assert_eq!((found.object, found.resource_maps), (id("map.1"), vec![id("map.1")]));
    let error = failed(member(&without).find_packages(&id("eml.1")).await);
    assert_eq!(error.kind(), ErrorKind::NotImplemented);
    assert!(error.to_string().contains("name a resource map instead"), "{error}");
    // A web server says it in its own way.
    let bare = node(true).await;
    bare.add_fault(Fault::new(Call::Search, Action::Answer(Answer::page(404, "404"))));
    let error = failed(member(&bare).find_packages(&id("eml.1")).await);
    assert_eq!(error.kind(), ErrorKind::NotImplemented);
    assert!(member(&bare).find_packages(&id("map.2")).await.is_ok());
}

#[tokio::test]
async fn what_the_index_does_not_know_yet_can_be_a_map() {
    let node = node(true).await;
    let empty = r#"{"response":{"numFound":0,"start":0,"docs":[]}}"#;
    node.add_fault(Fault::new(Call::Search, Action::Answer(Answer::text(200, "application/json", empty))));
    let found = coordinating(&node).find_packages(&id("map.2")).await.unwrap();
    assert_eq!(found.resource_maps, [id("map.2")]);
    let error = failed(coordinating(&node).find_packages(&id("eml.2")).await);
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("the search index does not know it"), "{error}");
}

#[tokio::test]
async fn answers_of_the_index_that_are_none_are_refused() {
    for body in ["<html>", "{\"response\": 1}", "[]", ""] {
        let node = node(true).await;
        let answer = Answer::text(200, "application/json", body);
        node.add_fault(Fault::new(Call::Search, Action::Answer(answer)));
        let error = failed(coordinating(&node).find_packages(&id("eml.2")).await);
        assert_eq!(error.kind(), ErrorKind::Protocol, "{body}");
    }
}

#[tokio::test]
async fn many_maps_are_asked_for_in_parts() {
    let mut catalog = catalog();
    for number in 0..25 {
        let metadata = id(&format!("m.{number}"));
        catalog.put(object(metadata.as_str(), EML, Content::text("<eml/>"))).unwrap();
        let map = id(&format!("r.{number:02}"));
        catalog.put_package(&Package::new(map, metadata, [id("alone")])).unwrap();
    }
    let node = ScriptedNode::serve(catalog).await.unwrap();
    let found = coordinating(&node).find_packages(&id("alone")).await.unwrap();
    assert_eq!(found.resource_maps.len(), 25);
    // One for the object, three each for what documents it and for the maps.
    assert_eq!(node.count(Call::Search), 7);
}
