//! The calls of R, Java and MetacatUI, in the order and the spelling in which these clients send them.
//!
//! Sources: rdataone `R/CNode.R`, `R/MNode.R`, `R/D1Client.R`, `R/D1Node.R`; d1_libclient_java `D1Object.java`,
//! `rest/MultipartD1Node.java`; metacatui `src/js/models/SolrResult.js`, `PackageModel.js`, `AppModel.js`.

use d1_gateway::GatewayOptions;
use d1_testnode::Catalog;

use crate::support::*;

const MAP: &str = "doi:10.5072/C.map";
const ENCODED_MAP: &str = "doi%3A10.5072%2FC.map";

async fn served() -> Served {
    let mut catalog = Catalog::default();
    put_data(&mut catalog, "c.data", b"x,y\n1,2\n".to_vec(), "x.csv");
    put_package(&mut catalog, "doi:10.5072/C", &["c.data"], None);
    let mut options = GatewayOptions::default();
    options.coordinating_node = true;
    Served::with(repository(catalog, &[MAP]).await, options).await
}

/// Sends calls in order; each answer has the status and all parts.
async fn check(served: &Served, calls: &[(&str, &str, u16, &[&str])]) {
    for (method, target, status, parts) in calls {
        let (method, body) = method.split_once(' ').unwrap_or((method, ""));
        let headers = match body {
            "" => String::new(),
            body => format!(
                "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            ),
        };
        let answer = served.ask(method, target, &headers).await;
        assert_eq!(answer.status, *status, "{method} {target}: {}", answer.text());
        for part in *parts {
            let text = format!("{}\n\n{}", answer.head, answer.text());
            assert!(text.contains(part), "{method} {target}: {part} in {text}");
        }
    }
}

#[tokio::test]
async fn the_r_client_reads_a_package_by_way_of_both_nodes() {
    let served = served().await;
    let nodes: &[&str] = &["ns:nodeList", "<identifier>urn:node:D1OCI</identifier>", "type=\"mn\""];
    let location: &[&str] =
        &["<nodeIdentifier>urn:node:D1OCI</nodeIdentifier>", "/mn</baseURL>", "/mn/v2/object/c.data</url>"];
    let member: &[&str] =
        &["<str name=\"id\">c.data</str>", "<arr name=\"resourceMap\"><str>doi:10.5072/C.map</str></arr>"];
    check(
        &served,
        &[
            // CNode, getMNode
            ("GET", "/cn", 200, &["type=\"cn\"", "<service name=\"CNCore\" version=\"v2\" available=\"true\"/>"]),
            ("GET", "/cn/v2/node", 200, nodes),
            ("GET", "/mn/v2/node", 200, &["replicate=\"", "state=\"up\"", "<subject>"]),
            ("GET", "/mn/v2/monitor/ping", 200, &[]),
            // getDataObject
            ("GET", "/mn/v2/meta/c.data", 200, &["<identifier>c.data</identifier>"]),
            ("GET", "/mn/v2/object/c.data", 200, &["x,y\n1,2\n", "DataONE-Checksum: SHA-1,"]),
            // The same where the node does not have the object: every location that the other node names.
            ("GET", "/cn/v2/resolve/c.data", 303, location),
            ("GET", "/cn/v2/node", 200, nodes),
            // getDataPackage
            (
                "GET",
                "/cn/v2/query/solr/?q=id:%22c.data%22&fl=isDocumentedBy,resourceMap,documents,formatType,id",
                200,
                member,
            ),
            (
                "GET",
                "/cn/v2/query/solr/?q=resourceMap:%22doi:10.5072/C.map%22&fq=formatType:METADATA+AND+-obsoletedBy:*&fl=id,documents",
                200,
                &["<str name=\"id\">doi:10.5072/C</str>", "<arr name=\"documents\"><str>c.data</str>"],
            ),
            (
                "GET",
                "/cn/v2/query/solr/?q=id:(%22c.data%22%20OR%20%22doi:10.5072/C%22)&fq=NOT%20obsoletedBy:*%20AND%20archived:false&fl=id",
                200,
                &["numFound=\"2\""],
            ),
            ("GET", &format!("/mn/v2/object/{ENCODED_MAP}"), 200, &["rdf:RDF", "c.data"]),
            // MNode getPackage: the query in the path, the identifier with its slash
            ("GET", "/mn/v2/query/solr/q=id:%22c.data%22&fq=-obsoletedBy:*&fl=id,resourceMap,documents", 200, member),
            (
                "GET",
                &format!("/mn/v2/packages/application%2Fbagit-097/{MAP}"),
                200,
                &["Content-Type: application/zip", "Content-Length: "],
            ),
            ("GET", "/cn/v2/formats", 200, &["<formatId>eml://ecoinformatics.org/eml-2.1.1</formatId>"]),
            ("GET", "/mn/v2/checksum/c.data?checksumAlgorithm=SHA-256", 200, &["algorithm=\"SHA-256\""]),
            ("GET", "/mn/v2/object?count=1000&replicaStatus=TRUE", 200, &["total=\"3\""]),
            ("GET", "/mn/v2/isAuthorized/c.data?action=read", 200, &[]),
        ],
    )
    .await;
}

#[tokio::test]
async fn the_java_client_downloads_an_object_and_its_package() {
    let served = served().await;
    let head: &[&str] = &[
        "\r\nDate: ",
        "\r\nDataONE-Checksum: ",
        "\r\nDataONE-ObjectFormat: text/csv",
        "\r\nDataONE-SerialVersion: ",
        "\r\nLast-Modified: ",
        "\r\nContent-Length: 8\r\n",
    ];
    check(
        &served,
        &[
            ("GET", "/cn/v2/node", 200, &["ns:nodeList"]),
            ("GET", "/cn/v2/meta/c.data", 200, &["systemMetadata", "<size>8</size>"]),
            ("GET", "/cn/v2/resolve/c.data", 303, &["<version>v2</version>"]),
            ("GET", "/mn/v2/object/c.data", 200, &["x,y\n"]),
            ("HEAD", "/mn/v2/object/c.data", 200, head),
            (
                "HEAD",
                "/mn/v2/object/none",
                404,
                &["\r\nDataONE-Exception-Name: NotFound\r\n", "\r\nDataONE-Exception-DetailCode: 1380\r\n"],
            ),
            ("GET", "/mn/v2/monitor/ping", 200, &["\r\nDate: "]),
            ("GET", "/mn/v2/object?count=10&start=0&replicaStatus=1", 200, &["count=\"3\""]),
            ("GET", "/mn/v2/query/solr/q=id:c.data", 200, &["numFound=\"1\""]),
            ("GET", &format!("/mn/v2/packages/application%2Fzip/{ENCODED_MAP}"), 200, &["application/zip"]),
            ("GET", "/mn/v1/meta/c.data", 200, &["http://ns.dataone.org/service/types/v1\""]),
            ("GET", "/mn/v2/log?start=0&count=0", 200, &["total=\"0\""]),
        ],
    )
    .await;
}

#[tokio::test]
async fn metacatui_shows_a_landing_page() {
    let served = served().await;
    let info = "(id:%22doi:10.5072/C%22%20OR%20seriesId:%22doi:10.5072/C%22)";
    let fields = "fl=abstract,id,seriesId,fileName,resourceMap,formatType,formatId,obsoletedBy,isDocumentedBy,documents,title,\
                  origin,keywords,pubDate,size,datasource,rightsHolder,checksum,archived,isPublic,dateUploaded";
    let found: &[&str] = &[
        "\"numFound\":1",
        "\"title\":\"Moorings of doi:10.5072/C\"",
        "\"origin\":[\"Ada Fjord\"]",
        "\"q\":\"(id:",
    ];
    check(
        &served,
        &[
            ("GET", "/cn/v2/node/", 200, &["ns:nodeList"]),
            ("GET", "/d1/mn/v2/query/solr", 200, &["<queryField>"]),
            ("GET", "/portal/token", 200, &[]),
            (
                "GET",
                &format!("/d1/mn/v2/query/solr/?q={info}&rows=1000&{fields}&wt=json&archived=archived:*"),
                200,
                found,
            ),
            (
                "POST q=(id:%22doi:10.5072/C%22+OR+seriesId:%22doi:10.5072/C%22)&rows=1000&wt=json",
                "/d1/mn/v2/query/solr/",
                200,
                &found[..2],
            ),
            ("GET", "/d1/mn/v2/query/solr/?q=id:%22none%22&rows=1&wt=json", 200, &["\"numFound\":0"]),
            ("GET", "/d1/mn/v2/meta/none", 404, &["detailCode=\"1060\""]),
            ("GET", "/d1/mn/v2/views/metacatui/doi%3A10.5072%2FC", 501, &["detailCode=\"2834\""]),
            (
                "GET",
                &format!("/d1/mn/v2/query/solr/?q=(resourceMap:%22{MAP}%22%20OR%20id:%22{MAP}%22)&rows=1000&wt=json"),
                200,
                &["\"numFound\":3"],
            ),
            (
                "GET",
                &format!(
                    "/d1/mn/v2/query/solr/?q=((formatType:METADATA%20AND%20(resourceMap:%22{MAP}%22))%20OR%20(id:%22{MAP}%22))\
                     &group=true&group.field=formatType&group.limit=-1&wt=json"
                ),
                200,
                &["\"groupValue\":\"METADATA\"", "\"groupValue\":\"RESOURCE\""],
            ),
            ("GET", &format!("/d1/mn/v2/object/{ENCODED_MAP}"), 200, &["rdf:RDF"]),
            ("GET", "/d1/mn/v2/isAuthorized/doi%3A10.5072%2FC?action=write", 401, &["detailCode=\"1820\""]),
            ("HEAD", "/d1/mn/v2/object/c.data", 200, &["Content-Disposition: attachment; filename=\"x.csv\""]),
            (
                "GET",
                &format!("/d1/mn/v2/packages/application%2Fbagit-1.0/{ENCODED_MAP}"),
                200,
                &["Content-Disposition: attachment"],
            ),
        ],
    )
    .await;
    let origin = "Origin: https://ui.example.org\r\n";
    let answer = served.ask("GET", "/d1/mn/v2/object/c.data", origin).await;
    assert_eq!(answer.header("Access-Control-Allow-Origin"), Some("https://ui.example.org"));
    assert_eq!(answer.header("Access-Control-Allow-Credentials"), Some("true"));
}
