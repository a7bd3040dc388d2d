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
