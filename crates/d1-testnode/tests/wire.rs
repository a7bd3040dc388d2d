//! The bytes of the node on the wire, read without a client in between.

use d1_testnode::{Behaviour, Call, Catalog, Config, Content, Dialect, ScriptedNode, StoredObject, Versions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn ask(node: &ScriptedNode, request: &str) -> String {
    let url = node.member_url();
    let host = url.trim_start_matches("http://").trim_end_matches("/mn");
    let mut stream = TcpStream::connect(host).await.unwrap();
    let (line, headers) = request.split_once('\n').unwrap_or((request, ""));
    let text = format!("{line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

fn catalog() -> Catalog {
    let mut catalog = Catalog::default();
    let object = StoredObject::new("a/b".parse().unwrap(), "text/csv", Content::text("0123456789")).unwrap();
    catalog.put(object.edited(|meta| meta.series_id = "series".parse().ok())).unwrap();
    catalog
}

async fn node(dialect: Dialect) -> ScriptedNode {
    let behaviour = Behaviour { dialect, ..Behaviour::default() };
    ScriptedNode::start(Config { catalog: catalog(), behaviour, ..Config::default() }).await.unwrap()
}

#[tokio::test]
async fn headers_are_spelt_as_the_java_client_looks_them_up() {
    let answer = ask(&node(Dialect::Metacat).await, "HEAD /mn/v2/object/a%2Fb").await;
    for line in [
        "HTTP/1.1 200 OK",
        "DataONE-ObjectFormat: text/csv",
        "DataONE-Checksum: SHA-256,84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882",
        "DataONE-SerialVersion: 1",
        "Last-Modified: 2024-01-01T00:00:00.000+00:00",
        "Content-Length: 10",
        "Content-Type: text/csv",
    ] {
        assert!(answer.lines().any(|own| own == line), "{line} in {answer}");
    }
    assert!(answer.ends_with("\r\n\r\n"));
    let answer = ask(&node(Dialect::Gmn).await, "HEAD /mn/v2/object/series").await;
    for line in ["DataONE-FormatId: text/csv", "DataONE-SeriesId: series"] {
        assert!(answer.lines().any(|own| own == line), "{line} in {answer}");
    }
    let answer = ask(&node(Dialect::Gmn).await, "HEAD /mn/v1/object/x").await;
    for line in
        ["HTTP/1.1 404 Not Found", "DataONE-Exception-Name: NotFound", "DataONE-Exception-Identifier: x"]
    {
        assert!(answer.lines().any(|own| own == line), "{line} in {answer}");
    }
}

#[tokio::test]
async fn parts_of_objects_are_sent() {
    let node = node(Dialect::Metacat).await;
    let answer = ask(&node, "GET /mn/v2/object/a%2Fb\nRange: bytes=7-\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 206") && answer.contains("Content-Range: bytes 7-9/10\r\n"));
    assert!(answer.ends_with("\r\n\r\n789"));
    assert!(ask(&node, "GET /mn/v2/object/a%2Fb\nRange: bytes=10-\r\n").await.starts_with("HTTP/1.1 416"));
    assert!(ask(&node, "GET /mn/v2/object/a/b").await.starts_with("HTTP/1.1 501"));
    assert_eq!((node.count(Call::Get), node.count(Call::Unknown)), (2, 1));
    assert_eq!(node.requests()[0].header("range"), Some("bytes=7-"));
    assert_eq!(node.requests()[0].sent, 3);
}

#[tokio::test]
async fn a_node_of_one_version_has_no_other() {
    let behaviour = Behaviour { versions: Versions::V1, ..Behaviour::default() };
    let config = Config { catalog: catalog(), behaviour, ..Config::default() };
    let node = ScriptedNode::start(config).await.unwrap();
    assert!(ask(&node, "GET /mn/v2/meta/a%2Fb").await.starts_with("HTTP/1.1 404"));
    let answer = ask(&node, "GET /mn/v1/meta/a%2Fb").await;
    assert!(answer.contains("http://ns.dataone.org/service/types/v1\""), "{answer}");
    assert!(!answer.contains("seriesId"));
}

#[tokio::test]
async fn a_folder_is_served_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let object = StoredObject::new("x".parse().unwrap(), "text/csv", Content::text("1,2\n")).unwrap();
    let document = object.system_metadata().to_xml().unwrap();
    std::fs::write(folder.path().join("some name"), "1,2\n").unwrap();
    std::fs::write(folder.path().join("some name.sysmeta.xml"), &document).unwrap();
    std::fs::write(folder.path().join("stray"), "").unwrap();
    let catalog = Catalog::read_directory(folder.path()).unwrap();
    assert_eq!(catalog.len(), 1);
    let node = ScriptedNode::serve(catalog).await.unwrap();
    assert!(ask(&node, "GET /mn/v2/object/x").await.ends_with("1,2\n"));
    let answer = ask(&node, "GET /mn/v2/meta/x").await;
    assert!(answer.ends_with(std::str::from_utf8(&document).unwrap()));
}

fn has_line(answer: &str, line: &str) -> bool {
    answer.lines().any(|own| own == line)
}

#[tokio::test]
async fn the_generic_member_node_has_habits_of_its_own() {
    let mut catalog = Catalog::default();
    for name in ["z", "a"] {
        let object =
            StoredObject::new(name.parse().unwrap(), "text/csv", Content::text("0123456789")).unwrap();
        let same_date = object.edited(|meta| {
            meta.series_id = "series".parse().ok();
            meta.date_modified = Some(d1_model::DateTime::from_text("2024-01-31T12:00:00Z"));
        });
        catalog.put(same_date).unwrap();
    }
    let config = Config { catalog, behaviour: Behaviour::gmn(), ..Config::default() };
    let node = ScriptedNode::start(config).await.unwrap();
    let answer = ask(&node, "GET /mn/v2/nothing").await;
    assert!(answer.starts_with("HTTP/1.1 404") && answer.contains("<error "), "{answer}");
    assert!(answer.contains("detailCode=\"0\""), "{answer}");
    assert!(answer.lines().any(|line| line.starts_with("Date: ") && line.ends_with(" GMT")), "{answer}");
    let answer = ask(&node, "HEAD /mn/v2/object/absent").await;
    for line in ["DataONE-Exception-Name: NotFound", "DataONE-Exception-DetailCode: 0"] {
        assert!(has_line(&answer, line), "{line} in {answer}");
    }
    let answer = ask(&node, "GET /mn/v2/object/a\nRange: bytes=0-1\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("0123456789"), "{answer}");
    assert!(!answer.to_lowercase().contains("accept-ranges"), "{answer}");
    assert!(ask(&node, "GET /mn/v2/meta/series").await.starts_with("HTTP/1.1 200"));
    assert!(ask(&node, "GET /mn/v1/meta/series").await.starts_with("HTTP/1.1 404"));
    let answer = ask(&node, "GET /mn/v2/meta/a").await;
    assert!(answer.to_lowercase().contains("transfer-encoding: chunked"), "{answer}");
    // Equal dates are listed in the order of arrival, and a list may start at a day.
    let list = ask(&node, "GET /mn/v2/object?fromDate=2024-01-31").await;
    let place = |name: &str| list.find(&format!("<identifier>{name}</identifier>")).unwrap();
    assert!(place("z") < place("a"), "{list}");
    let missing = Content::File { path: "/nonexistent/file".into(), size: 3 };
    let broken = StoredObject::new("broken".parse().unwrap(), "text/csv", Content::text("abc")).unwrap();
    node.change(|catalog| catalog.put(broken.with_content(missing))).unwrap();
    let answer = ask(&node, "GET /mn/v2/checksum/broken").await;
    assert!(answer.starts_with("HTTP/1.1 500") && answer.contains("text/html"), "{answer}");
    // The other dialect is as before.
    let metacat = self::node(Dialect::Metacat).await;
    assert!(ask(&metacat, "GET /mn/v2/nothing").await.starts_with("HTTP/1.1 501"));
    assert!(ask(&metacat, "GET /mn/v1/meta/series").await.starts_with("HTTP/1.1 200"));
}
