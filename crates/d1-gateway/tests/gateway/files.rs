//! Plain files: ranges, conditions, caching, pages and descriptions.

use std::sync::Arc;

use d1_gateway::GatewayOptions;
use d1_testnode::Catalog;
use registry_backend::MemoryBackend;
use registry_conformance::CountingBackend;

use crate::support::*;

#[tokio::test]
async fn a_file_comes_whole_and_in_ranges() {
    let served = one_package().await;
    let target = format!("/p/{KEY}/data/large.csv");
    let content = numbers(400_000);
    let whole = served.get(&target).await;
    assert!(whole.status == 200 && whole.body == content);
    let etag = whole.header("ETag").unwrap().to_owned();
    assert!(etag.starts_with("\"sha256:"));
    for (range, expected) in [
        ("0-99", &content[..100]),
        ("3000000-", &content[3_000_000..]),
        ("-5", &content[content.len() - 5..]),
        ("1000000-1000010", &content[1_000_000..1_000_011]),
    ] {
        let part = served.ask("GET", &target, &format!("Range: bytes={range}\r\nIf-Range: {etag}\r\n")).await;
        assert!(part.status == 206 && part.body == expected, "{range}: {}", part.head);
        assert_eq!(part.header("Repr-Digest"), whole.header("Repr-Digest"));
    }
    let outside = served.ask("GET", &target, "Range: bytes=99999999-\r\n").await;
    assert_eq!(outside.status, 416);
    assert_eq!(outside.header("Content-Range"), Some(format!("bytes */{}", content.len()).as_str()));
    let same = served.ask("GET", &target, &format!("If-None-Match: {etag}\r\n")).await;
    assert!(same.status == 304 && same.body.is_empty() && same.header("ETag") == Some(&etag));
    let head = served.ask("HEAD", &target, "").await;
    assert_eq!(head.header("Content-Length"), whole.header("Content-Length"));
}

#[tokio::test]
async fn content_has_urls_by_identifier_and_by_hash() {
    let served = one_package().await;
    let sums = served.get(&format!("/sha256sums/{KEY}/data")).await.text();
    let line = sums.lines().find(|line| line.ends_with("small.csv")).unwrap();
    let (sha256, path) = line.split_once("  ").unwrap();
    for target in [format!("/hash/sha256/{sha256}"), "/o/g1.small".to_owned(), format!("/p/{KEY}/{path}")] {
        assert_eq!(served.get(&target).await.text(), "depth,temperature\n15,7.2\n", "{target}");
    }
    let immutable = served.get("/o/g1.small").await;
    assert!(immutable.header("Cache-Control").unwrap().contains("immutable"));
    for (target, status) in [
        (format!("/hash/sha256/{}", "0".repeat(64)), 404),
        ("/hash/sha256/00".to_owned(), 400),
        ("/hash/crc/00".to_owned(), 400),
    ] {
        assert_eq!(served.get(&target).await.status, status, "{target}");
    }
    let metalink = served.get(&format!("/meta4/{KEY}")).await.text();
    assert!(metalink.contains(&format!("<hash type=\"sha-256\">{sha256}</hash>")), "{metalink}");
}

#[tokio::test]
async fn pages_and_descriptions_answer() {
    let served = one_package().await;
    for (target, part) in [
        ("/".to_owned(), "Newest packages"),
        ("/search?q=doi:10.5072/G1".to_owned(), "1 package matches"),
        ("/search?q=g1.small".to_owned(), "1 package matches"),
        ("/search?q=moorings".to_owned(), "1 package matches"),
        ("/search?creator=fjord&from=1900-01-01".to_owned(), "Nothing matches"),
        ("/search?creator=fjord".to_owned(), "Moorings of doi:10.5072/G1"),
        (format!("/p/{KEY}/"), "application/ld+json"),
        (format!("/p/{KEY}/"), "<h1>Moorings of doi:10.5072/G1</h1>"),
        (format!("/d/{KEY}/citation.bib"), "author = {Fjord, Ada}"),
        (format!("/d/{KEY}/schema.jsonld"), "every hour of one summer"),
        (format!("/p/{KEY}/data/"), "large.csv"),
        (format!("/p/{KEY}/data/small.csv?view"), "SHA-256"),
        (format!("/d/{KEY}/schema.jsonld"), "\"@type\":\"Dataset\""),
        (format!("/d/{KEY}/citation.bib"), "@misc{"),
        (format!("/d/{KEY}/citation.ris"), "TY  - DATA\r\n"),
        (format!("/d/{KEY}/citation.json"), "\"type\":\"dataset\""),
        (format!("/d/{KEY}/datacite.json"), "\"titles\""),
        (format!("/d/{KEY}/croissant.json"), "cr:FileObject"),
        (format!("/d/{KEY}/ro-crate-metadata.json"), "@graph"),
        (format!("/d/{KEY}/linkset.json"), "\"linkset\""),
        ("/mn/v2/query/solr/?q=id:%22doi:10.5072/G1%22&fl=title,origin".to_owned(), "<str>Ada Fjord</str>"),
        ("/robots.txt".to_owned(), "Disallow: /zip/"),
        ("/sitemap.xml".to_owned(), "/p/doi_10.5072_G1/</loc>"),
        ("/openapi.json".to_owned(), "\"openapi\""),
        ("/metrics".to_owned(), "d1oci_objects"),
        ("/healthz".to_owned(), "ok"),
    ] {
        let answer = served.get(&target).await;
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
        assert!(answer.text().contains(part), "{target}: {}", answer.text());
        assert_eq!(answer.header("X-Content-Type-Options"), Some("nosniff"));
        assert!(answer.header("Content-Security-Policy").is_some_and(|policy| !policy.contains("unsafe")));
    }
    let page = served.get(&format!("/p/{KEY}/")).await;
    let link = page.header("Link").unwrap();
    assert!(link.contains("rel=\"cite-as\"") && link.len() < 4096, "{link}");
    let again = served.get(&format!("/d/{KEY}/schema.jsonld")).await;
    assert_eq!(again.body, served.get(&format!("/d/{KEY}/schema.jsonld")).await.body);
    let negotiated = served.ask("GET", &format!("/p/{KEY}/"), "Accept: application/x-bibtex\r\n").await;
    assert_eq!(negotiated.status, 303);
    assert!(negotiated.header("Location").unwrap().ends_with("/citation.bib"));
    let moved = served.get(&format!("/p/{KEY}/data")).await;
    assert_eq!(
        (moved.status, moved.header("Location")),
        (301, Some(served.url(&format!("/p/{KEY}/data/")).as_str()))
    );
    let missing = served.ask("GET", "/nothing", "Accept: text/html\r\n").await;
    assert!(missing.status == 404 && missing.text().contains("<h1>Not found</h1>"));
}

#[tokio::test]
async fn many_clients_of_one_small_file_read_it_from_the_store_once() {
    let mut catalog = Catalog::default();
    put_data(&mut catalog, "m.data", b"x".repeat(5000), "x.csv");
    put_package(&mut catalog, "m", &["m.data"], None);
    let memory = repository(catalog, &["m.map"]).await;
    let backend = Arc::new(CountingBackend::new(memory));
    let served = Served::start(Arc::clone(&backend) as _).await;
    backend.reset();
    let asked = (0..40).map(|_| served.get("/o/m.data"));
    for answer in futures::future::join_all(asked).await {
        assert_eq!(answer.body.len(), 5000);
    }
    assert_eq!(backend.count(registry_conformance::Operation::ReadBlob), 1);
}

#[tokio::test]
async fn a_file_that_is_asked_for_again_is_kept_once_it_is_verified() {
    let mut catalog = Catalog::default();
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
    put_data(&mut catalog, "m.data", bytes.clone(), "x.csv");
    put_package(&mut catalog, "m", &["m.data"], None);
    let memory = repository(catalog, &["m.map"]).await;
    let backend = Arc::new(CountingBackend::new(memory));
    let mut options = GatewayOptions::default();
    options.disk_cache_bytes = 0;
    let served = Served::with(Arc::clone(&backend) as _, options).await;
    backend.reset();
    // The second reading is kept.
    for reads in [1, 2, 2, 2] {
        assert_eq!(served.get("/o/m.data").await.body, bytes);
        assert_eq!(backend.count(registry_conformance::Operation::ReadBlob), reads);
    }
    // A part is not the whole: it comes from the store.
    let part = served.ask("GET", "/o/m.data", "Range: bytes=10-1999999\r\n").await;
    assert_eq!(part.body, &bytes[10..2_000_000]);
}

#[tokio::test]
async fn a_page_of_another_origin_may_read() {
    let served = one_package().await;
    let answer = served.ask("GET", "/o/g1.small", "Origin: https://search.example.org\r\n").await;
    assert_eq!(answer.header("Access-Control-Allow-Origin"), Some("https://search.example.org"));
    assert_eq!(answer.header("Access-Control-Allow-Credentials"), Some("true"));
    let asked =
        served.ask("OPTIONS", "/mn/v2/object/g1.small", "Origin: https://search.example.org\r\n").await;
    assert_eq!(asked.status, 200);
    assert!(asked.header("Access-Control-Allow-Headers").unwrap().contains("Range"));
}

#[tokio::test]
async fn an_empty_repository_is_served() {
    let served = Served::start(Arc::new(MemoryBackend::new())).await;
    assert_eq!(served.get("/").await.status, 200);
    assert!(served.get("/mn/v2/object").await.text().contains("total=\"0\""));
}
