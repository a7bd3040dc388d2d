//! Nodes and clients for the tests.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use d1_client::{ClientOptions, Error, GetOptions, NodeClient, ObjectRead, Progress, ProgressSink, Result};
use d1_model::Identifier;
use d1_testnode::{Action, Behaviour, Call, Catalog, Config, Content, Fault, ScriptedNode, StoredObject};
use futures::TryStreamExt;

/// The size of the object `large`, in bytes: more than one piece of everything.
pub(crate) const LARGE: u64 = 700_001;

/// Options that do not let a test wait.
pub(crate) fn quick() -> ClientOptions {
    let mut options = ClientOptions::default();
    options.retry.attempts = 4;
    options.retry.first_wait = Duration::from_millis(1);
    options.retry.longest_wait = Duration::from_millis(4);
    options.retry.limited_wait = Duration::from_millis(1);
    options.retry.longest_stated_wait = Duration::from_secs(2);
    options.times.silence = Duration::from_millis(300);
    options
}

/// A client of the Member Node.
pub(crate) fn member(node: &ScriptedNode) -> NodeClient {
    NodeClient::new(&node.member_url(), &quick()).unwrap()
}

/// A client of the Coordinating Node.
pub(crate) fn coordinating(node: &ScriptedNode) -> NodeClient {
    NodeClient::new(&node.coordinating_url(), &quick()).unwrap()
}

pub(crate) fn id(text: &str) -> Identifier {
    text.parse().unwrap()
}

pub(crate) fn object(identifier: &str, format_id: &str, content: Content) -> StoredObject {
    StoredObject::new(id(identifier), format_id, content).unwrap()
}

/// A large object, a small one, an empty one, and one of metadata.
pub(crate) fn catalog() -> Catalog {
    let mut catalog = Catalog::default();
    let large = Content::Generated { seed: 1, size: LARGE };
    catalog.put(object("large", "text/csv", large)).unwrap();
    catalog.put(object("small", "text/csv", Content::text("0123456789"))).unwrap();
    catalog.put(object("empty", "text/plain", Content::text(""))).unwrap();
    let eml = "https://eml.ecoinformatics.org/eml-2.2.0";
    catalog.put(object("eml", eml, Content::text("<eml/>"))).unwrap();
    catalog
}

pub(crate) async fn node() -> ScriptedNode {
    ScriptedNode::serve(catalog()).await.unwrap()
}

pub(crate) async fn node_that(behaviour: Behaviour) -> ScriptedNode {
    ScriptedNode::start(Config { catalog: catalog(), behaviour, ..Config::default() }).await.unwrap()
}

pub(crate) async fn node_with(call: Call, action: Action) -> ScriptedNode {
    let node = node().await;
    node.add_fault(Fault::new(call, action));
    node
}

/// Reads an object to its end.
pub(crate) async fn read(client: &NodeClient, identifier: &str, options: GetOptions) -> Result<Vec<u8>> {
    drain(client.get(&id(identifier), &options).await?).await
}

pub(crate) async fn drain(read: ObjectRead) -> Result<Vec<u8>> {
    let pieces: Vec<_> = read.stream.try_collect().await?;
    Ok(pieces.concat())
}

/// The bytes of an object of the node.
pub(crate) fn bytes(node: &ScriptedNode, identifier: &str) -> Vec<u8> {
    node.look(|catalog| catalog.get(&id(identifier)).unwrap().content().bytes().unwrap().to_vec())
}

/// Fails with the error, which says more than its absence.
pub(crate) fn failed<T>(result: Result<T>) -> Error {
    match result {
        Ok(_) => panic!("this should have failed"),
        Err(error) => error,
    }
}

/// Takes note of what happens, as text.
pub(crate) fn noted() -> (ProgressSink, Arc<Mutex<Vec<String>>>) {
    let notes: Arc<Mutex<Vec<String>>> = Arc::default();
    let own = notes.clone();
    let sink = ProgressSink::new(move |progress| {
        own.lock().unwrap().push(match progress {
            Progress::Received { identifier, bytes } => format!("received {bytes} of {identifier}"),
            Progress::Listed { entries, total } => format!("listed {entries} of {total}"),
            Progress::Waiting { error, .. } => format!("waiting after {:?}", error.kind()),
            Progress::NextLocation { identifier, .. } => format!("next location of {identifier}"),
            other => format!("{other:?}"),
        });
    });
    (sink, notes)
}
