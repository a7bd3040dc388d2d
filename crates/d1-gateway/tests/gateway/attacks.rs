//! Hostile clients and hostile packages.

use std::sync::Arc;
use std::time::Duration;

use d1_gateway::GatewayOptions;
use d1_testnode::Catalog;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::*;

#[tokio::test]
async fn no_path_leaves_the_package() {
    let served = one_package().await;
    for target in [
        format!("/p/{KEY}/../../../etc/passwd"),
        format!("/p/{KEY}/..%2f..%2fetc%2fpasswd"),
        format!("/p/{KEY}/%2e%2e/%2e%2e/etc/passwd"),
        format!("/p/{KEY}/data/..%5c..%5csecret"),
        format!("/p/{KEY}/data/small.csv%00.html"),
        "/o/..%2f..%2fetc%2fpasswd".to_owned(),
        "/p/..%2f../data".to_owned(),
        "//etc/passwd".to_owned(),
        "/mn/v2/object/..%2F..%2Fetc%2Fpasswd".to_owned(),
        format!("/zip/{KEY}/..%2f.."),
    ] {
        let answer = served.get(&target).await;
        assert!((400..=404).contains(&answer.status), "{target}: {}", answer.head);
        assert!(!answer.text().contains("root:"), "{target}");
    }
}

#[tokio::test]
async fn names_from_requests_reach_no_header_and_no_page_unescaped() {
    let served = one_package().await;
    for target in [
        "/p/x%0d%0aSet-Cookie:%20a=b",
        "/mn/v2/object/x%0d%0aSet-Cookie:%20a=b",
        "/search?q=%3Cscript%3Ealert(1)%3C/script%3E",
        "/search?q=%22%3E%3Cimg%20src=x%20onerror=alert(1)%3E",
        "/%3Cscript%3E",
    ] {
        for method in ["GET", "HEAD"] {
            let answer = served.ask(method, target, "Accept: text/html\r\n").await;
            assert!(!answer.head.contains("\r\nSet-Cookie"), "{target}: {}", answer.head);
            assert!(!answer.text().contains("<script>alert") && !answer.text().contains("<img"), "{target}");
        }
    }
    // A redirection stays at the gateway.
    let moved = served.get(&format!("/p/{KEY}/data")).await;
    assert!(moved.header("Location").unwrap().starts_with(&served.url("/p/")));
    let host =
        served.raw(b"GET / HTTP/1.1\r\nHost: evil.example/x\"><script>\r\nConnection: close\r\n\r\n").await;
    assert!(host.starts_with(b"HTTP/1.1 400"));
}

#[tokio::test]
async fn a_hostile_file_name_is_harmless() {
    let mut catalog = Catalog::default();
    put_data(&mut catalog, "h.data", b"x,y\n".to_vec(), "../../a\"; filename=\"b.html");
    put_data(
        &mut catalog,
        "h.<script>alert(1)</script>",
        b"1,2\n".to_vec(),
        "<img src=x onerror=alert(1)>.csv",
    );
    put_package(&mut catalog, "h", &["h.data", "h.<script>alert(1)</script>"], None);
    let served = Served::start(repository(catalog, &["h.map"]).await).await;
    let answer = served.get("/mn/v2/object/h.data").await;
    let disposition = answer.header("Content-Disposition").unwrap();
    assert_eq!(disposition.matches('"').count(), 2, "{disposition}");
    assert!(!disposition.contains(".."), "{disposition}");
    let sitemap = served.get("/sitemap.xml").await.text();
    let page = sitemap.split("<loc>").nth(1).and_then(|rest| rest.split("</loc>").next()).unwrap().to_owned();
    assert!(page.contains("/p/h-x"), "{page}");
    let path = page.strip_prefix(&served.url("")).unwrap();
    for target in [path.to_owned(), format!("{path}data/")] {
        let page = served.get(&target).await.text();
        assert!(!page.contains("<script>alert") && !page.contains("<img"), "{page}");
    }
}

#[tokio::test]
async fn smuggled_and_broken_requests_are_refused() {
    let served = one_package().await;
    for request in [
        &b"POST /mn/v2/query/solr HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\n\r\n"[..],
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n bad\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"NONSENSE\r\n\r\n",
        b"POST /mn/v2/query/solr HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\nContent-Length: 4\r\n\r\nq=*\n",
        b"POST /mn/v2/query/solr HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /mn/v2/query/solr HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000000\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\nX: y\r\n z\r\n\r\n",
        b"GET /a HTTP/1.1 GET /b HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        stream.write_all(request).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut answer)).await.unwrap();
        let answers = String::from_utf8_lossy(&answer).matches("HTTP/1.1 ").count();
        assert!(answers <= 1, "{}", String::from_utf8_lossy(&answer));
    }
    let long = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "y".repeat(100_000));
    let answer = served.raw(long.as_bytes()).await;
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn a_large_form_is_refused() {
    let served = one_package().await;
    let body = "q=".to_owned() + &"x".repeat(300_000);
    let request = format!(
        "POST /mn/v2/query/solr HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = served.raw(request.as_bytes()).await;
    assert!(answer.starts_with(b"HTTP/1.1 413"));
}

#[tokio::test]
async fn a_client_that_sends_slowly_or_too_many_connections_is_cut_off() {
    let mut options = GatewayOptions::default();
    options.header_timeout = Duration::from_millis(200);
    options.max_connections_per_client = 3;
    let served = Served::with(Arc::new(registry_backend::MemoryBackend::new()), options).await;
    let mut slow = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHo").await.unwrap();
        slow.push(stream);
    }
    let refused = served.raw(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(refused.starts_with(b"HTTP/1.1 503"), "{}", String::from_utf8_lossy(&refused));
    for mut stream in slow {
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "the connection ends");
    }
    assert_eq!(served.get("/healthz").await.status, 200);
}

/// The body of an unread request must not count as the next request.
#[tokio::test]
async fn a_body_is_not_a_second_request() {
    let served = one_package().await;
    let hidden = "GET /mn/v2/node HTTP/1.1\r\nHost: a\r\n\r\n";
    for method in ["GET", "HEAD", "DELETE", "PUT"] {
        let request = format!(
            "{method} /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{hidden}\
             GET /robots.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            hidden.len()
        );
        let answer = String::from_utf8(served.raw(request.as_bytes()).await).unwrap();
        assert!(!answer.contains("ns:node"), "{method}: {answer}");
    }
}

#[tokio::test]
async fn abusive_ranges_get_the_whole_or_a_refusal() {
    let served = one_package().await;
    let whole = served.get("/o/g1.large").await.body;
    let many = (0..5000).map(|number| format!("{number}-{number}")).collect::<Vec<_>>().join(",");
    let last = whole.len() - 1;
    for (range, status) in [
        (format!("bytes={many}"), 200),
        ("bytes=0-,0-,0-,0-".to_owned(), 200),
        ("bytes=18446744073709551615-".to_owned(), 416),
        ("bytes=99999999999999999999999-".to_owned(), 416),
        ("bytes=-0".to_owned(), 416),
        ("bytes=5-1".to_owned(), 200),
        ("bytes=--1".to_owned(), 200),
        ("bytes=0x10-0x20".to_owned(), 200),
        ("seconds=0-1".to_owned(), 200),
        (format!("bytes={last}-99999999999999999999999"), 206),
        ("bytes=-99999999999999999999999".to_owned(), 206),
    ] {
        let answer = served.ask("GET", "/o/g1.large", &format!("Range: {range}\r\n")).await;
        assert_eq!(answer.status, status, "{}", &range[..range.len().min(60)]);
        match status {
            200 => assert!(answer.body == whole),
            206 => assert!(whole.ends_with(&answer.body)),
            _ => {
                assert_eq!(answer.header("Content-Range"), Some(format!("bytes */{}", whole.len()).as_str()))
            }
        }
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off() {
    let mut catalog = Catalog::default();
    put_data(&mut catalog, "s.large", vec![b'7'; 48 << 20], "large.csv");
    put_package(&mut catalog, "s", &["s.large"], None);
    let mut options = GatewayOptions::default();
    options.stall_timeout = Duration::from_millis(300);
    let served = Served::with(repository(catalog, &["s.map"]).await, options).await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    stream.write_all(b"GET /o/s.large HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    // The gateway counts the cut answer.
    let is_cut = async {
        while !served.get("/metrics").await.text().contains("d1oci_cut_answers_total 1\n") {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), is_cut).await.expect("the answer is cut");
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    assert!(rest.len() < 48 << 20);
}

#[tokio::test]
async fn a_package_that_claims_the_identifier_of_another_changes_nothing() {
    let mut catalog = Catalog::default();
    put_data(&mut catalog, "t.data", b"true\n".to_vec(), "true.csv");
    put_package(&mut catalog, "t", &["t.data"], None);
    let backend = repository(catalog, &["t.map"]).await;
    let mut catalog = Catalog::default();
    put_data(&mut catalog, "t.data", b"false\n".to_vec(), "false.csv");
    let claimed = d1_testnode::StoredObject::clone(catalog.get(&id("t.data")).unwrap());
    let later = d1_model::DateTime::from_text("2999-01-01T00:00:00.000+00:00");
    let claimed = claimed.edited(|meta| {
        meta.date_uploaded = Some(later.clone());
        meta.date_modified = Some(later.clone());
    });
    catalog.put(claimed).unwrap();
    put_package(&mut catalog, "hostile", &["t.data"], None);
    let node = d1_testnode::ScriptedNode::serve(catalog).await.unwrap();
    copy(&*backend, &node.member_url(), "hostile.map").await;
    let served = Served::start(backend).await;
    for target in ["/o/t.data", "/mn/v2/object/t.data"] {
        assert_eq!(served.get(target).await.text(), "true\n", "{target}");
    }
    let checksum = served.get("/mn/v2/meta/t.data").await.text();
    assert!(!checksum.contains("2999-"), "{checksum}");
    // Its own file is where its package has it.
    assert_eq!(served.get("/p/hostile.map/data/false.csv").await.text(), "false\n");
}
