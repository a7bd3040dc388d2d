//! Faults of documents and connections.

use std::time::Duration;

use d1_client::{ClientOptions, ErrorKind, NodeClient, Retry, Secret};
use d1_testnode::{Action, Answer, Call, Fault, When};

use crate::support::{failed, id, member, node, node_with, quick, read};

#[tokio::test]
async fn exceptions_are_typed() {
    for (name, code, detail_code, kind, requests) in [
        ("NotFound", 404, "1060", ErrorKind::NotFound, 1),
        ("NotAuthorized", 401, "1040", ErrorKind::NotAuthorized, 1),
        ("InvalidToken", 401, "1050", ErrorKind::InvalidToken, 1),
        ("ServiceFailure", 500, "1090", ErrorKind::ServiceFailure, 4),
        ("NotImplemented", 501, "1041", ErrorKind::NotImplemented, 1),
    ] {
        for status in [code, 200] {
            let answer = Answer::error(name, code, detail_code).with_status(status);
            let node = node_with(Call::Meta, Action::Answer(answer)).await;
            let error = failed(member(&node).meta(&id("small")).await);
            assert_eq!((error.kind(), error.status()), (kind, Some(status)));
            assert_eq!((error.operation(), error.target()), ("read the system metadata of", "small"));
            assert_eq!(error.node(), node.member_url());
            let document = error.document().unwrap();
            assert_eq!((document.name.as_str(), document.detail_code.as_str()), (name, detail_code));
            assert_eq!(node.count(Call::Meta), requests, "{name} {status}");
        }
    }
}

#[tokio::test]
async fn exceptions_in_headers_are_typed() {
    let node = node().await;
    let error = failed(member(&node).describe(&id("nothing")).await);
    assert_eq!((error.kind(), error.status()), (ErrorKind::NotFound, Some(404)));
    let document = error.document().unwrap();
    assert_eq!((document.name.as_str(), document.detail_code.as_str()), ("NotFound", "1380"));
    assert_eq!(document.identifier.as_deref(), Some("nothing"));
}

#[tokio::test]
async fn what_passes_is_waited_for() {
    let page = Answer::page(502, "Bad Gateway");
    let limited = Answer::text(429, "text/plain", "slow down").with_header("retry-after", "0");
    let busy = Answer::error("ServiceFailure", 503, "1090").with_header("retry-after", "0");
    for action in [Action::Drop, Action::Answer(page), Action::Answer(limited), Action::Answer(busy)] {
        let node = node().await;
        node.add_fault(Fault::everywhere(action).when(When::First(3)));
        assert_eq!(member(&node).meta(&id("small")).await.unwrap().value.size, 10);
        assert_eq!((node.count(Call::Ping), node.count(Call::Meta)), (4, 1));
    }
}

#[tokio::test]
async fn a_wait_that_is_asked_for_too_long_is_an_error_at_once() {
    let limited = Answer::text(429, "text/plain", "").with_header("retry-after", "3600");
    let node = node_with(Call::Meta, Action::Answer(limited)).await;
    let error = failed(member(&node).meta(&id("small")).await);
    assert_eq!(error.kind(), ErrorKind::RateLimited);
    assert_eq!(error.retry(), Retry::After(Duration::from_secs(3600)));
    assert_eq!(node.count(Call::Meta), 1);
}

#[tokio::test]
async fn answers_that_are_no_documents_are_refused() {
    for (answer, words) in [
        (Answer::page(200, "Welcome"), "a web page"),
        (Answer::text(200, "text/xml", "<systemMetadata"), "cannot be read"),
        (Answer::text(200, "text/xml", "<nodeList/>"), "cannot be read"),
        (Answer::text(200, "text/xml", ""), "cannot be read"),
        (Answer::text(304, "text/xml", ""), "304"),
    ] {
        let node = node_with(Call::Meta, Action::Answer(answer)).await;
        let error = failed(member(&node).meta(&id("small")).await);
        assert_eq!(error.kind(), ErrorKind::Protocol);
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[tokio::test]
async fn documents_are_bounded() {
    let answer = Answer::text(200, "text/xml", " ".repeat(9 * 1024 * 1024));
    let node = node_with(Call::Meta, Action::Answer(answer)).await;
    assert_eq!(failed(member(&node).meta(&id("small")).await).kind(), ErrorKind::TooLarge);
}

#[tokio::test]
async fn system_metadata_of_another_object_are_refused() {
    let node = node().await;
    let other = node.look(|catalog| catalog.get(&id("eml")).unwrap().system_metadata().to_xml().unwrap());
    let answer = Answer::text(200, "text/xml", String::from_utf8(other).unwrap());
    node.add_fault(Fault::new(Call::Meta, Action::Answer(answer)));
    assert_eq!(failed(member(&node).meta(&id("small")).await).kind(), ErrorKind::Content);
}

#[tokio::test]
async fn checksums_come_as_the_node_states_them() {
    let node = node_with(Call::Checksum, Action::WrongChecksum).await;
    let client = member(&node);
    let declared = client.meta(&id("small")).await.unwrap().value.checksum;
    let computed = client.checksum(&id("small"), Some(declared.algorithm())).await.unwrap();
    assert_ne!(computed, declared);
}

#[tokio::test]
async fn a_silent_node_is_not_waited_for_without_end() {
    let node = node_with(Call::Meta, Action::Delay(Duration::from_secs(3600))).await;
    let mut options = quick();
    options.times.answer = Duration::from_millis(50);
    options.times.connect = Duration::from_millis(50);
    options.retry.attempts = 2;
    let client = NodeClient::new(&node.member_url(), &options).unwrap();
    let error = failed(client.meta(&id("small")).await);
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(node.count(Call::Meta), 2);
    // A call that makes the node compute has its own time limit.
    node.clear_faults();
    node.add_fault(Fault::new(Call::Checksum, Action::Delay(Duration::from_millis(200))));
    assert!(client.checksum(&id("small"), None).await.is_ok());
}

#[tokio::test]
async fn redirects_are_followed_without_the_token() {
    let (node, other) = (node().await, node().await);
    let to = format!("{}/v2/object/small", other.member_url());
    node.add_fault(Fault::new(Call::Get, Action::Redirect { status: 302, to }));
    let own = format!("{}/v2/meta/eml", node.member_url());
    node.add_fault(Fault::new(Call::Meta, Action::Redirect { status: 301, to: own }).when(When::Nth(1)));
    let options = ClientOptions { token: Some(Secret::new("abc.def")), ..quick() };
    let client = NodeClient::new(&node.member_url(), &options).unwrap();
    assert_eq!(read(&client, "small", Default::default()).await.unwrap(), b"0123456789");
    assert!(client.meta(&id("eml")).await.is_ok());
    assert!(node.requests().iter().all(|request| request.header("authorization") == Some("Bearer abc.def")));
    assert_eq!(other.requests().len(), 1);
    assert_eq!(other.requests()[0].header("authorization"), None);
}

#[tokio::test]
async fn redirects_without_end_or_to_other_protocols_are_errors() {
    let node = node().await;
    for (to, words) in [
        (format!("{}/v2/meta/small", node.member_url()), "without end"),
        ("file:///etc/hosts".to_owned(), "where it should not"),
    ] {
        node.clear_faults();
        node.add_fault(Fault::new(Call::Meta, Action::Redirect { status: 307, to }));
        let error = failed(member(&node).meta(&id("small")).await);
        assert_eq!(error.kind(), ErrorKind::Protocol);
        assert!(error.to_string().contains(words), "{error}");
    }
    assert_eq!(node.count(Call::Meta), 7);
}

#[tokio::test]
async fn requests_in_flight_are_bounded() {
    let node = node_with(Call::Meta, Action::Delay(Duration::from_millis(20))).await;
    let mut options = quick();
    options.budget.parallel_requests = 2;
    let client = NodeClient::new(&node.member_url(), &options).unwrap();
    let identifier = id("small");
    let asked = (0..6).map(|_| client.meta(&identifier));
    assert!(futures::future::join_all(asked).await.iter().all(Result::is_ok));
    assert_eq!((node.count(Call::Meta), node.most_at_once()), (6, 2));
}

#[tokio::test]
async fn an_identifier_that_no_url_can_hold_is_refused_here() {
    let node = node().await;
    let error = failed(member(&node).meta(&id("..")).await);
    assert_eq!(error.kind(), ErrorKind::Settings);
    assert_eq!(node.count(Call::Unknown), 0);
}
