//! Where objects are, and reading them from wherever they are.

use d1_client::{ClientOptions, ErrorKind, GetOptions, NodeClient, Secret};
use d1_testnode::{
    Action, Answer, Behaviour, Call, Config, Fault, LocationEntry, ScriptedNode, Versions, When,
};
use tokio::net::TcpListener;

use crate::support::{LARGE, bytes, catalog, coordinating, drain, failed, id, node, node_that, noted, quick};

/// The base URL of a node that is down.
async fn dead() -> String {
    // An address of its own: the port may be given to another test's node, which listens at 127.0.0.1.
    let listener = TcpListener::bind("127.0.0.99:0").await.unwrap();
    format!("http://127.0.0.99:{}/mn", listener.local_addr().unwrap().port())
}

fn entries(base_urls: impl IntoIterator<Item = String>) -> Vec<LocationEntry> {
    let entry = |base_url| LocationEntry { node: "urn:node:OTHER".to_owned(), base_url };
    base_urls.into_iter().map(entry).collect()
}

/// A Coordinating Node that names these places before its own.
async fn naming(base_urls: Vec<String>) -> ScriptedNode {
    node_that(Behaviour { locations_first: entries(base_urls), ..Behaviour::default() }).await
}

#[tokio::test]
async fn the_list_of_places_is_read_and_the_redirect_is_not_followed() {
    let node = naming(vec![dead().await]).await;
    let client = coordinating(&node);
    let list = client.resolve(&id("small")).await.unwrap();
    assert_eq!(list.value.locations.len(), 2);
    let found = client.locate(&id("small")).await.unwrap();
    assert_eq!(found.identifier, id("small"));
    assert_eq!(found.locations[1].client.base_url(), node.member_url());
    assert_eq!((node.count(Call::Resolve), node.count(Call::Get)), (2, 0));
    assert_eq!(failed(client.locate(&id("nothing")).await).kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_dead_place_is_passed_over() {
    let node = naming(vec![dead().await, dead().await]).await;
    let (sink, notes) = noted();
    let options = ClientOptions { progress: sink, ..quick() };
    let client = NodeClient::new(&node.coordinating_url(), &options).unwrap();
    let found = client.locate(&id("small")).await.unwrap();
    assert_eq!(drain(found.get(&GetOptions::default()).await.unwrap()).await.unwrap(), b"0123456789");
    let notes = notes.lock().unwrap().clone();
    assert_eq!(notes, ["next location of small", "next location of small", "received 10 of small"]);
}

#[tokio::test]
async fn places_that_lack_the_object_or_send_another_are_passed_over() {
    let (lacking, other) = (node().await, node().await);
    lacking.change(|catalog| catalog.remove(&id("large")));
    other.add_fault(Fault::new(Call::Get, Action::ShortenAnswer { to: 5 }));
    let node = naming(vec![lacking.member_url(), other.member_url()]).await;
    let found = coordinating(&node).locate(&id("large")).await.unwrap();
    let options = GetOptions { size: Some(LARGE), ..GetOptions::default() };
    assert!(drain(found.get(&options).await.unwrap()).await.unwrap() == bytes(&node, "large"));
    assert_eq!((lacking.count(Call::Get), other.count(Call::Get), node.count(Call::Get)), (1, 1, 1));
}

#[tokio::test]
async fn reading_goes_on_at_the_next_place() {
    let first = node().await;
    let node = naming(vec![first.member_url()]).await;
    first.add_fault(Fault::new(Call::Get, Action::CutAnswer { after: 300_000 }).when(When::Nth(1)));
    for number in 2..=4 {
        first.add_fault(Fault::new(Call::Get, Action::Drop).when(When::Nth(number)));
    }
    let found = coordinating(&node).locate(&id("large")).await.unwrap();
    assert!(drain(found.get(&GetOptions::default()).await.unwrap()).await.unwrap() == bytes(&node, "large"));
    let gets: Vec<_> = node.requests().into_iter().filter(|request| request.call == Call::Get).collect();
    assert_eq!(gets.len(), 1);
    assert_eq!(gets[0].header("range"), Some("bytes=298976-"));
}

#[tokio::test]
async fn another_object_at_the_next_place_is_found_out() {
    let first = node().await;
    first.add_fault(Fault::new(Call::Get, Action::CutAnswer { after: 300_000 }));
    let second = node().await;
    second.add_fault(Fault::new(Call::Get, Action::OtherContent));
    let behaviour = Behaviour {
        locations_first: entries([first.member_url(), second.member_url()]),
        lists_itself: false,
        ..Behaviour::default()
    };
    let node = node_that(behaviour).await;
    let found = coordinating(&node).locate(&id("large")).await.unwrap();
    first.add_fault(Fault::new(Call::Get, Action::Drop));
    // The first place sends nothing any more, the second one all of something else: its checksum would tell.
    let read = drain(found.get(&GetOptions::default()).await.unwrap()).await.unwrap();
    assert!(read != bytes(&node, "large"));
    first.clear_faults();
    first.add_fault(Fault::new(Call::Get, Action::CutAnswer { after: 10_000 }));
    let error = failed(drain(found.get(&GetOptions::default()).await.unwrap()).await);
    assert_eq!(error.kind(), ErrorKind::Content);
}

#[tokio::test]
async fn when_all_places_fail_the_most_telling_error_remains() {
    let lacking = node().await;
    lacking.change(|catalog| catalog.remove(&id("small")));
    let behaviour = |dead: String| Behaviour {
        locations_first: entries([lacking.member_url(), dead]),
        lists_itself: false,
        ..Behaviour::default()
    };
    let node = node_that(behaviour(dead().await)).await;
    let found = coordinating(&node).locate(&id("small")).await.unwrap();
    let error = failed(found.get(&GetOptions::default()).await);
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let node = node_that(behaviour(lacking.member_url())).await;
    let found = coordinating(&node).locate(&id("small")).await.unwrap();
    assert_eq!(found.locations.len(), 1, "the same place counts once");
    assert_eq!(failed(found.get(&GetOptions::default()).await).kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn places_are_asked_in_their_version_and_without_the_token() {
    let behaviour = Behaviour { versions: Versions::V1, ..Behaviour::default() };
    let node =
        ScriptedNode::start(Config { catalog: catalog(), behaviour, ..Config::default() }).await.unwrap();
    let options = ClientOptions { token: Some(Secret::new("abc.def")), ..quick() };
    let client = NodeClient::new(&node.coordinating_url(), &options).unwrap();
    let found = client.locate(&id("small")).await.unwrap();
    assert_eq!(drain(found.get(&GetOptions::default()).await.unwrap()).await.unwrap(), b"0123456789");
    let get = node.requests().into_iter().find(|request| request.call == Call::Get).unwrap();
    assert_eq!(get.uri, "/mn/v1/object/small");
    assert_eq!(get.header("authorization"), None);
}

#[tokio::test]
async fn a_redirect_without_a_list_is_a_place_too() {
    let node = node().await;
    let to = format!("{}/v2/object/small", node.member_url());
    node.add_fault(Fault::new(Call::Resolve, Action::Redirect { status: 303, to }));
    let found = coordinating(&node).locate(&id("small")).await.unwrap();
    assert_eq!(found.locations.len(), 1);
    assert_eq!(found.locations[0].client.base_url(), node.member_url());
}

#[tokio::test]
async fn lists_without_a_place_that_can_be_asked_are_errors() {
    let list = |places: &str| {
        let root = "<d1:objectLocationList xmlns:d1=\"http://ns.dataone.org/service/types/v1\">";
        let text = format!("{root}<identifier>small</identifier>{places}</d1:objectLocationList>");
        Answer::text(303, "text/xml", text)
    };
    let odd = "<objectLocation><url>gopher://x/y</url></objectLocation>";
    for places in ["", odd] {
        let node = node().await;
        node.add_fault(Fault::new(Call::Resolve, Action::Answer(list(places))));
        assert_eq!(failed(coordinating(&node).locate(&id("small")).await).kind(), ErrorKind::NotFound);
    }
}
