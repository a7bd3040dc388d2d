//! DataONE's read interface.

use d1_client::{ClientOptions, NodeClient};
use d1_model::SystemMetadata;
use d1_testnode::{Behaviour, Catalog, Config, ScriptedNode};
use registry_backend::MemoryBackend;

use crate::support::*;

#[tokio::test]
async fn a_copy_by_way_of_the_gateway_has_the_same_digests() {
    let mut catalog = Catalog::default();
    let mut maps = Vec::new();
    for number in 0..6_u32 {
        let data = format!("urn:uuid:data-{number}+a?b#c%2Fd&e=ü");
        put_data(&mut catalog, &data, numbers(number as usize * 5000), "a b.csv");
        let name = format!("https://example.org/x/{number}?v=1");
        put_package(&mut catalog, &name, &[data.as_str()], None);
        maps.push(format!("{name}.map"));
    }
    let node = ScriptedNode::serve(catalog).await.unwrap();
    let backend = std::sync::Arc::new(MemoryBackend::new());
    let mut expected = Vec::new();
    for map in &maps {
        expected.push(copy(&*backend, &node.member_url(), map).await.digest);
    }
    let served = Served::start(backend).await;
    let other = MemoryBackend::new();
    for (map, expected) in maps.iter().zip(expected) {
        assert_eq!(copy(&other, &served.url("/mn"), map).await.digest, expected, "{map}");
    }
}

#[tokio::test]
async fn a_copy_of_an_older_version_has_the_same_digest_and_pages_see_the_newer_one() {
    let backend = std::sync::Arc::new(MemoryBackend::new());
    let mut expected = Vec::new();
    // The node did not have the second version yet when the first one was copied.
    for (name, obsoletes) in [("v1", None), ("v2", Some("v1"))] {
        let mut catalog = Catalog::default();
        let data = format!("{name}.data");
        put_data(&mut catalog, &data, numbers(10), "data.csv");
        put_package(&mut catalog, name, &[data.as_str()], obsoletes);
        let node = ScriptedNode::serve(catalog).await.unwrap();
        expected.push(copy(&*backend, &node.member_url(), &format!("{name}.map")).await.digest);
    }
    let served = Served::start(backend).await;
    let other = MemoryBackend::new();
    for (map, expected) in ["v1.map", "v2.map"].into_iter().zip(expected) {
        assert_eq!(copy(&other, &served.url("/mn"), map).await.digest, expected, "{map}");
    }
    assert!(!served.get("/mn/v2/meta/v1").await.text().contains("obsoletedBy"));
    let for_pages = served.get("/d1/mn/v2/meta/v1").await.text();
    assert!(for_pages.contains("<obsoletedBy>v2</obsoletedBy>"), "{for_pages}");
    let described = served.ask("HEAD", "/mn/v2/object/v1", "").await;
    assert_eq!(described.header("DataONE-ObsoletedBy"), Some("v2"));
}

#[tokio::test]
async fn header_names_are_spelled_as_the_java_client_compares_them() {
    let served = one_package().await;
    for (method, target) in [("HEAD", "/mn/v2/object/g1.small"), ("GET", "/mn/v2/object/g1.small")] {
        let answer = served.ask(method, target, "").await;
        assert_eq!(answer.status, 200);
        for name in [
            "DataONE-Checksum",
            "DataONE-ObjectFormat",
            "DataONE-FormatId",
            "DataONE-SerialVersion",
            "Last-Modified",
            "Date",
            "ETag",
            "Accept-Ranges",
            "Content-Type",
            "Repr-Digest",
            "Content-Disposition",
        ] {
            assert!(answer.header(name).is_some(), "{name} in {}", answer.head);
        }
        assert_eq!(answer.header("Content-Length"), Some("25"));
        assert_eq!(answer.header("Content-Type"), Some("text/csv"));
        assert!(answer.header("DataONE-Checksum").unwrap().starts_with("SHA-1,"));
        assert!(answer.header("DataONE-SerialVersion").unwrap().parse::<u64>().is_ok());
        assert_eq!(answer.body.len(), if method == "HEAD" { 0 } else { 25 });
    }
    let missing = served.ask("HEAD", "/mn/v2/object/none", "").await;
    assert_eq!((missing.status, missing.header("DataONE-Exception-Name")), (404, Some("NotFound")));
    assert_eq!(missing.header("DataONE-Exception-DetailCode"), Some("1380"));
    assert_eq!(missing.header("DataONE-Exception-PID"), Some("none"));
    let ping = served.get("/mn/v2/monitor/ping").await;
    assert!(ping.status == 200 && ping.header("Date").is_some());
}

#[tokio::test]
async fn every_reading_call_answers() {
    let served = one_package().await;
    for (target, status, part) in [
        ("/mn", 200, "ns:node "),
        ("/mn/", 200, "ns:node "),
        ("/mn/v2", 200, "ns:node "),
        ("/mn/v2/", 200, "ns:node "),
        ("/mn/v2/node", 200, "<service name=\"MNCore\" version=\"v2\" available=\"true\"/>"),
        ("/mn/v1/node", 200, "http://ns.dataone.org/service/types/v1\""),
        ("/d1/mn/v2/node", 200, "ns:node "),
        ("/mn/v3/node", 404, "NotFound"),
        ("/mn/v2/log", 200, "total=\"0\""),
        ("/mn/v2/object?count=0", 200, "count=\"0\" start=\"0\" total=\"5\""),
        ("/mn/v2/object?start=99", 200, "count=\"0\" start=\"99\" total=\"5\""),
        ("/mn/v2/object?formatId=text/csv", 200, "total=\"3\""),
        ("/mn/v2/object?identifier=g1.empty&replicaStatus=TRUE", 200, "total=\"1\""),
        ("/mn/v2/object?fromDate=2999-01-01", 200, "total=\"0\""),
        ("/mn/v2/object?count=-1", 400, "detailCode=\"1540\""),
        ("/mn/v2/object?fromDate=soon", 400, "InvalidRequest"),
        ("/mn/v2/meta/g1.small", 200, "<identifier>g1.small</identifier>"),
        ("/mn/v2/meta/none", 404, "detailCode=\"1060\""),
        ("/mn/v2/checksum/g1.empty?checksumAlgorithm=MD5", 200, ">d41d8cd98f00b204e9800998ecf8427e<"),
        ("/mn/v2/checksum/g1.empty", 200, "algorithm=\"SHA-1\">da39a3ee5e6b4b0d3255bfef95601890afd80709<"),
        ("/mn/v2/checksum/g1.empty?checksumAlgorithm=CRC", 400, "detailCode=\"1402\""),
        ("/mn/v2/isAuthorized/g1.small?action=read", 200, ""),
        ("/mn/v2/isAuthorized/g1.small?action=write", 401, "detailCode=\"1820\""),
        ("/mn/v2/isAuthorized/g1.small", 400, "detailCode=\"1761\""),
        ("/mn/v2/replica/g1.small", 200, "15,7.2"),
        ("/mn/v2/query", 200, "<queryEngine>solr</queryEngine>"),
        ("/mn/v2/query/solr", 200, "<queryField>"),
        ("/mn/v2/query/other/?q=x", 404, "detailCode=\"2825\""),
        ("/mn/v2/views", 501, "detailCode=\"2834\""),
        ("/mn/v2/nonsense", 404, "NotFound"),
        ("/cn/v2/node", 404, ""),
    ] {
        let answer = served.get(target).await;
        assert_eq!(answer.status, status, "{target}: {}", answer.text());
        assert!(answer.text().contains(part), "{target}: {}", answer.text());
    }
    let empty = served.get("/mn/v2/object/g1.empty").await;
    assert_eq!((empty.status, empty.header("Content-Length"), empty.body.len()), (200, Some("0"), 0));
    let refused = served.ask("POST", "/mn/v2/object", "Content-Length: 0\r\n").await;
    assert_eq!(refused.status, 405);
}

#[tokio::test]
async fn system_metadata_of_version_1_lack_what_version_1_lacks() {
    let served = one_package().await;
    let second = served.get("/mn/v2/meta/g1.small").await;
    let first = served.get("/mn/v1/meta/g1.small").await;
    let second = SystemMetadata::parse(&second.body).unwrap().value;
    let first = SystemMetadata::parse(&first.body).unwrap().value;
    assert_eq!((first.identifier, first.checksum), (second.identifier, second.checksum));
    assert!(second.file_name.is_some() && first.file_name.is_none());
}

#[tokio::test]
async fn private_objects_are_refused_and_not_listed() {
    let mut catalog = Catalog::default();
    put_data(&mut catalog, "p.open", b"open".to_vec(), "open.csv");
    put_data(&mut catalog, "p.secret", b"secret".to_vec(), "secret.csv");
    put_package(&mut catalog, "p", &["p.open", "p.secret"], None);
    let secret = d1_testnode::StoredObject::clone(catalog.get(&id("p.secret")).unwrap());
    catalog.put(secret.edited(|meta| meta.access_policy = None)).unwrap();
    let behaviour = Behaviour { token: Some("t".to_owned()), ..Behaviour::default() };
    let node = ScriptedNode::start(Config { catalog, behaviour, ..Config::default() }).await.unwrap();
    let backend = std::sync::Arc::new(MemoryBackend::new());
    let token = Some(d1_client::Secret::new("t"));
    let client = ClientOptions { token, ..ClientOptions::default() };
    let source = d1_sync::DataOneSource::Node(NodeClient::new(&node.member_url(), &client).unwrap());
    let mut options = d1_sync::ReplicateOptions::new(std::env::temp_dir());
    options.include_private = true;
    let observer: std::sync::Arc<dyn d1_transfer::Observer> = std::sync::Arc::new(d1_transfer::Silent);
    let replicated = d1_sync::replicate(&*backend, &source, &id("p.map"), &options, None, &observer).await;
    let digest = replicated.unwrap().digest;
    let served = Served::start(backend).await;
    assert_eq!(served.get("/mn/v2/object/p.open").await.text(), "open");
    for target in
        ["/mn/v2/object/p.secret", "/mn/v2/meta/p.secret", "/mn/v2/checksum/p.secret", "/o/p.secret"]
    {
        let answer = served.get(target).await;
        assert_eq!(answer.status, 401, "{target}");
        assert!(!answer.text().contains("secret\n"), "{target}");
    }
    let list = served.get("/mn/v2/object").await.text();
    assert!(list.contains("total=\"3\"") && !list.contains("p.secret"), "{list}");
    let solr = served.get("/mn/v2/query/solr/?q=id:p.secret&wt=json").await.text();
    assert!(solr.contains("\"numFound\":0"), "{solr}");
    let sums = served.get(&format!("/sha256sums/{digest}")).await.text();
    assert!(
        sums.contains("open.csv") && !sums.contains("secret.csv") && !sums.contains("manifest-"),
        "{sums}"
    );
    let zip = served.get(&format!("/zip/{digest}")).await;
    assert!(zip.status == 200 && !zip.body.windows(10).any(|window| window == b"secret.csv"));
}

#[tokio::test]
async fn the_searches_of_known_clients_find_the_package() {
    let served = one_package().await;
    let map = "doi:10.5072/G1.map";
    for (target, parts) in [
        (
            "/mn/v2/query/solr/?q=id:%22g1.small%22&fl=id,resourceMap,isDocumentedBy&wt=json".to_owned(),
            vec![
                "\"numFound\":1",
                "\"resourceMap\":[\"doi:10.5072/G1.map\"]",
                "\"isDocumentedBy\":[\"doi:10.5072/G1\"]",
            ],
        ),
        // The path form, with raw slashes, as the R client sends it.
        (
            format!(
                "/mn/v2/query/solr/q=resourceMap:%22{map}%22&fq=formatType:METADATA+AND+-obsoletedBy:*&fl=id,documents"
            ),
            vec!["numFound=\"1\"", "<str name=\"id\">doi:10.5072/G1</str>", "<arr name=\"documents\">"],
        ),
        (
            format!("/mn/v2/query/solr/?q=(resourceMap:%22{map}%22+OR+id:%22{map}%22)&rows=1000&wt=json"),
            vec!["\"numFound\":5"],
        ),
        (
            "/mn/v2/query/solr/?q=*:*&group=true&group.field=formatType&group.limit=-1&wt=json".to_owned(),
            vec!["\"groupValue\":\"DATA\"", "\"groupValue\":\"METADATA\"", "\"matches\":5"],
        ),
    ] {
        let answer = served.get(&target).await;
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
        for part in parts {
            assert!(answer.text().contains(part), "{target}: {part} in {}", answer.text());
        }
    }
    for wrong in ["q=(", "q=X", "q=nofield:X"] {
        assert_eq!(served.get(&format!("/mn/v2/query/solr/?{wrong}")).await.status, 400, "{wrong}");
    }
}

#[tokio::test]
async fn the_coordinating_node_resolves_and_lists_nodes_where_it_is_switched_on() {
    let mut catalog = Catalog::default();
    put_data(&mut catalog, "c.data", b"x".to_vec(), "x.csv");
    put_package(&mut catalog, "c", &["c.data"], None);
    let mut options = d1_gateway::GatewayOptions::default();
    options.coordinating_node = true;
    let served = Served::with(repository(catalog, &["c.map"]).await, options).await;
    assert!(served.get("/cn").await.text().contains("type=\"cn\""));
    assert!(served.get("/cn/v2/node").await.text().contains("ns:nodeList"));
    let resolved = served.get("/cn/v2/resolve/c.data").await;
    let url = served.url("/mn/v2/object/c.data");
    assert_eq!((resolved.status, resolved.header("Location")), (303, Some(url.as_str())));
    assert!(resolved.text().contains("<nodeIdentifier>urn:node:D1OCI</nodeIdentifier>"));
    assert_eq!(served.ask("HEAD", "/cn/v2/resolve/c.data", "").await.status, 307);
    assert!(served.get("/cn/v2/formats").await.text().contains("<formatId>text/csv</formatId>"));
    assert!(served.get("/cn/v2/formats/text%2Fcsv").await.text().contains("ns:objectFormat "));
    assert_eq!(served.get("/portal/token").await.status, 200);
}
