//! Reading objects through everything that breaks.

use std::time::Duration;

use d1_client::{ClientOptions, ErrorKind, GetOptions, NodeClient, Retry};
use d1_testnode::{Action, Answer, Behaviour, Call, Content, Fault, ScriptedNode, When};

use crate::support::{
    LARGE, bytes, failed, id, member, node, node_that, node_with, noted, object, quick, read,
};

fn of_size(size: u64) -> GetOptions {
    GetOptions { size: Some(size), ..GetOptions::default() }
}

/// Checks that the large object comes whole though this happens, and returns what was asked for.
async fn comes_whole(node: &ScriptedNode) -> Vec<(Option<String>, Option<u16>)> {
    let content = bytes(node, "large");
    for options in [GetOptions::default(), of_size(LARGE)] {
        assert!(read(&member(node), "large", options).await.unwrap() == content);
    }
    let requests = node.requests().into_iter().filter(|request| request.call == Call::Get);
    requests.map(|request| (request.header("range").map(str::to_owned), request.status)).collect()
}

#[tokio::test]
async fn whole_objects_of_all_sizes_are_read() {
    let node = node().await;
    for (identifier, size) in [("large", LARGE), ("small", 10), ("empty", 0)] {
        for options in [GetOptions::default(), of_size(size)] {
            let read = member(&node).get(&id(identifier), &options).await.unwrap();
            assert_eq!((read.start, read.size), (0, Some(size)));
            assert!(crate::support::drain(read).await.unwrap() == bytes(&node, identifier));
        }
    }
    assert!(node.requests().iter().all(|request| request.header("range").is_none()));
}

#[tokio::test]
async fn a_read_begins_where_it_is_told() {
    for ranges in [true, false] {
        let node = node_that(Behaviour { ranges, ..Behaviour::default() }).await;
        let content = bytes(&node, "large");
        for from in [1, 65_536, LARGE - 1, LARGE] {
            for size in [None, Some(LARGE)] {
                // A node without ranges sends the whole, and has nothing to say about an end that is not known.
                let options = GetOptions { from, size };
                let found = read(&member(&node), "large", options).await.unwrap();
                assert!(found == content[usize::try_from(from).unwrap()..], "{ranges} {options:?}");
            }
        }
        let beyond = GetOptions { from: 11, size: Some(10) };
        assert_eq!(failed(read(&member(&node), "small", beyond).await).kind(), ErrorKind::InvalidRequest);
        let beyond = GetOptions { from: 11, size: None };
        assert_eq!(failed(read(&member(&node), "small", beyond).await).kind(), ErrorKind::Content);
    }
}

#[tokio::test]
async fn a_connection_that_breaks_is_made_again_by_range() {
    let node = node().await;
    node.add_fault(Fault::new(Call::Get, Action::CutAnswer { after: 100_000 }).when(When::Every(2)));
    let (sink, notes) = noted();
    let options = ClientOptions { progress: sink, ..quick() };
    let client = NodeClient::new(&node.member_url(), &options).unwrap();
    let content = bytes(&node, "large");
    for _ in 0..2 {
        assert!(read(&client, "large", of_size(LARGE)).await.unwrap() == content);
    }
    let gets: Vec<_> = node.requests().into_iter().filter(|request| request.call == Call::Get).collect();
    let ranges: Vec<_> = gets.iter().map(|request| request.header("range")).collect();
    // The last kilobyte before the break is read again.
    assert_eq!(ranges, [None, None, Some("bytes=98976-")]);
    let received: u64 = notes
        .lock()
        .unwrap()
        .iter()
        .filter_map(|note| note.strip_prefix("received ")?.split(' ').next()?.parse::<u64>().ok())
        .sum();
    assert_eq!(received, 2 * LARGE);
    assert!(notes.lock().unwrap().iter().any(|note| note == "waiting after Unavailable"));
}

#[tokio::test]
async fn progress_makes_up_for_failures() {
    // Each answer breaks off, more often than there are attempts, but each brings enough.
    let node = node_with(Call::Get, Action::CutAnswer { after: 300_000 }).await;
    node.change(|catalog| {
        catalog.put(object("larger", "text/csv", Content::Generated { seed: 2, size: 2_000_000 })).unwrap();
    });
    let content = bytes(&node, "larger");
    assert!(read(&member(&node), "larger", GetOptions::default()).await.unwrap() == content);
    assert_eq!(node.count(Call::Get), 7);
}

#[tokio::test]
async fn a_break_without_progress_is_an_error_in_the_end() {
    let node = node_with(Call::Get, Action::CutAnswer { after: 1024 }).await;
    let error = failed(read(&member(&node), "large", of_size(LARGE)).await);
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Yes));
    assert_eq!(node.count(Call::Get), 4);
}

#[tokio::test]
async fn nodes_without_ranges_send_everything_again() {
    let node = node_that(Behaviour { ranges: false, ..Behaviour::default() }).await;
    node.add_fault(Fault::new(Call::Get, Action::CutAnswer { after: 300_000 }).when(When::Nth(1)));
    let requests = comes_whole(&node).await;
    let statuses: Vec<_> = requests.iter().map(|(_, status)| *status).collect();
    assert_eq!(statuses, [Some(200); 3]);
    assert!(requests[1].0.is_some());
}

#[tokio::test]
async fn bad_ranges_are_given_up() {
    for action in [Action::ShiftRange(7), Action::Answer(Answer::text(206, "text/csv", "?"))] {
        let node = node().await;
        node.add_fault(Fault::new(Call::Get, Action::CutAnswer { after: 300_000 }).when(When::Nth(1)));
        node.add_fault(Fault::new(Call::Get, action).when(When::Nth(2)));
        let requests = comes_whole(&node).await;
        assert!(requests[1].0.is_some() && requests[2].0.is_none());
    }
}

#[tokio::test]
async fn short_ranges_are_put_together() {
    let node = node_with(Call::Get, Action::ShortRange(200_000)).await;
    node.add_fault(Fault::new(Call::Get, Action::CutAnswer { after: 10_000 }).when(When::Nth(1)));
    comes_whole(&node).await;
}

#[tokio::test]
async fn a_silent_connection_is_given_up_and_made_again() {
    let node = node().await;
    node.add_fault(Fault::new(Call::Get, Action::StallAnswer { after: 300_000 }).when(When::Nth(1)));
    comes_whole(&node).await;
}

#[tokio::test]
async fn slow_is_not_silent() {
    let node = node().await;
    let pause = Duration::from_millis(20);
    node.add_fault(Fault::new(Call::Get, Action::SlowAnswer { bytes: 2, pause }));
    assert_eq!(read(&member(&node), "small", of_size(10)).await.unwrap(), b"0123456789");
    assert_eq!(node.count(Call::Get), 1);
}

#[tokio::test]
async fn an_object_that_changes_meanwhile_is_found_out() {
    for ranges in [true, false] {
        let node = node_that(Behaviour { ranges, ..Behaviour::default() }).await;
        node.add_fault(Fault::new(Call::Get, Action::CutAnswer { after: 300_000 }).when(When::Nth(1)));
        node.add_fault(Fault::new(Call::Get, Action::OtherContent).when(When::Nth(2)));
        let error = failed(read(&member(&node), "large", of_size(LARGE)).await);
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Content, Retry::No));
        assert!(error.to_string().contains("changed while it was read"), "{error}");
    }
}

#[tokio::test]
async fn another_size_than_expected_is_an_error() {
    let node = node().await;
    for size in [9, 11] {
        let error = failed(read(&member(&node), "small", of_size(size)).await);
        assert_eq!(error.kind(), ErrorKind::Content);
        assert_eq!(node.count(Call::Get), 1, "there is no use in asking again");
        node.forget_requests();
    }
    let node = node_with(Call::Get, Action::ShortenAnswer { to: 9 }).await;
    assert_eq!(failed(read(&member(&node), "small", of_size(10)).await).kind(), ErrorKind::Content);
    // In good order, but too short, and too long: nothing in the headers tells.
    let node = node_with(Call::Get, Action::EndAnswer { after: 9 }).await;
    let error = failed(read(&member(&node), "small", of_size(10)).await);
    assert_eq!(error.kind(), ErrorKind::Content);
    let node = node_with(Call::Get, Action::WithoutLength).await;
    assert_eq!(failed(read(&member(&node), "small", of_size(9)).await).kind(), ErrorKind::Content);
    assert_eq!(read(&member(&node), "small", of_size(10)).await.unwrap(), b"0123456789");
    assert_eq!(read(&member(&node), "small", GetOptions::default()).await.unwrap(), b"0123456789");
}

#[tokio::test]
async fn an_object_of_unknown_size_is_bounded() {
    let node = node_with(Call::Get, Action::WithoutLength).await;
    let mut options = quick();
    options.limits.unsized_object = 100_000;
    let client = NodeClient::new(&node.member_url(), &options).unwrap();
    assert_eq!(failed(read(&client, "large", GetOptions::default()).await).kind(), ErrorKind::TooLarge);
    assert!(read(&client, "large", of_size(LARGE)).await.is_ok());
}

#[tokio::test]
async fn an_error_under_the_status_of_success_is_an_error() {
    let missing = Answer::error("NotFound", 404, "1020").with_status(200);
    let lacking = node_with(Call::Get, Action::Answer(missing)).await;
    for options in [GetOptions::default(), of_size(10)] {
        let error = failed(read(&member(&lacking), "small", options).await);
        assert_eq!((error.kind(), error.status()), (ErrorKind::NotFound, Some(200)));
        assert_eq!(error.document().unwrap().detail_code, "1020");
    }
    // A failure may pass.
    let broken = Answer::error("ServiceFailure", 500, "1030").with_status(200);
    let node = node().await;
    node.add_fault(Fault::new(Call::Get, Action::Answer(broken)).when(When::First(2)));
    assert_eq!(read(&member(&node), "small", of_size(10)).await.unwrap(), b"0123456789");
}

#[tokio::test]
async fn an_error_document_can_be_an_object() {
    let document = r#"<error name="NotFound" errorCode="404" detailCode="1020"/>"#;
    let node = node().await;
    node.change(|catalog| catalog.put(object("error", "text/xml", Content::text(document))).unwrap());
    let size = document.len() as u64;
    assert_eq!(read(&member(&node), "error", of_size(size)).await.unwrap(), document.as_bytes());
}

#[tokio::test]
async fn a_web_page_is_not_the_object() {
    let node = node_with(Call::Get, Action::Answer(Answer::page(200, "Please sign in"))).await;
    let error = failed(read(&member(&node), "small", of_size(10)).await);
    assert_eq!(error.kind(), ErrorKind::Content);
    assert!(error.to_string().contains("a web page"), "{error}");
}
