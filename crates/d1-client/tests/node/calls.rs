//! Every call that a node answers well.

use std::fs;
use std::path::Path;

use d1_client::{ApiVersion, ClientOptions, ErrorKind, NodeClient, Secret};
use d1_model::ChecksumAlgorithm;
use d1_testnode::{Behaviour, Call, Catalog, Content, Dialect, ScriptedNode, Versions};

use crate::support::{catalog, coordinating, failed, id, member, node, node_that, object, quick, read};

const GOLDEN: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../../shared/samples/dataone/encoding/testUnicodeStrings.utf8.txt"
);
const PACKAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/samples/dataone/pkg-peggym133");

#[tokio::test]
async fn a_node_tells_about_itself() {
    let node = node().await;
    assert!(member(&node).ping().await.unwrap().is_some());
    let description = member(&node).node().await.unwrap();
    assert_eq!(description.value.base_url, node.member_url());
    assert!(description.value.offers("MNRead", "v2"));
    let nodes = coordinating(&node).list_nodes().await.unwrap();
    assert_eq!(nodes.value.nodes.len(), 2);
    let formats = coordinating(&node).formats().await.unwrap();
    assert_eq!(&formats.value, d1_model::ObjectFormatList::builtin());
    assert_eq!(failed(member(&node).formats().await).kind(), ErrorKind::NotImplemented);
}

#[tokio::test]
async fn an_object_is_described_and_read() {
    for dialect in [Dialect::Metacat, Dialect::Gmn] {
        let node = node_that(Behaviour { dialect, ..Behaviour::default() }).await;
        let client = member(&node);
        let meta = client.meta(&id("small")).await.unwrap();
        assert_eq!(meta.oddities, []);
        assert_eq!(d1_model::SystemMetadata::parse(&meta.bytes).unwrap().value, meta.value);
        let description = client.describe(&id("small")).await.unwrap();
        assert_eq!(description.size, Some(10));
        assert_eq!(description.checksum.as_ref(), Some(&meta.value.checksum));
        assert_eq!(description.format_id.as_deref(), Some("text/csv"));
        assert_eq!(description.media_type.as_deref(), Some("text/csv"));
        let (described, stated) = (description.last_modified.unwrap(), meta.value.date_modified.unwrap());
        assert_eq!(described.instant(), stated.instant());
        let checksum = client.checksum(&id("small"), Some(meta.value.checksum.algorithm())).await.unwrap();
        assert_eq!(checksum, meta.value.checksum);
        let by_default = client.checksum(&id("small"), None).await.unwrap();
        assert_eq!(by_default.to_string(), "SHA-1:87acec17cd9dcd20a716cc2cf67417b71c8a7016");
        assert_eq!(read(&client, "small", Default::default()).await.unwrap(), b"0123456789");
        let unknown = ChecksumAlgorithm::from_name("Adler-32");
        let error = failed(client.checksum(&id("small"), Some(&unknown)).await);
        assert_eq!(error.kind(), ErrorKind::InvalidRequest);
        let code = if dialect == Dialect::Gmn { "0" } else { "1402" };
        assert_eq!(error.document().unwrap().detail_code, code);
    }
}

#[tokio::test]
async fn a_series_stands_for_its_head() {
    let node = node().await;
    node.change(|catalog| {
        let first = object("v1", "text/csv", Content::text("1"));
        let second = object("v2", "text/csv", Content::text("2"));
        catalog
            .put(first.edited(|meta| {
                meta.series_id = Some(id("series"));
                meta.obsoleted_by = Some(id("v2"));
            }))
            .unwrap();
        catalog
            .put(second.edited(|meta| {
                meta.series_id = Some(id("series"));
                meta.obsoletes = Some(id("v1"));
            }))
            .unwrap();
    });
    let client = member(&node);
    assert_eq!(client.meta(&id("series")).await.unwrap().value.identifier, id("v2"));
    assert_eq!(read(&client, "series", Default::default()).await.unwrap(), b"2");
    assert_eq!(failed(client.checksum(&id("series"), None).await).kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn identifiers_go_out_as_the_golden_file_has_them() {
    let Ok(golden) = fs::read_to_string(GOLDEN) else {
        println!("skipped: no samples");
        return;
    };
    let node = ScriptedNode::serve(Catalog::default()).await.unwrap();
    let client = member(&node);
    let mut checked = 0;
    for line in golden.lines() {
        let Some((text, encoded)) = line.split_once('\t') else { continue };
        // A text with whitespace is not an identifier.
        let is_path = text.starts_with("common-") || text.starts_with("path-");
        let Some(identifier) = text.parse::<d1_model::Identifier>().ok().filter(|_| is_path) else {
            continue;
        };
        node.forget_requests();
        assert_eq!(failed(client.meta(&identifier).await).kind(), ErrorKind::NotFound);
        assert_eq!(failed(client.describe(&identifier).await).kind(), ErrorKind::NotFound);
        let uris: Vec<_> = node.requests().into_iter().map(|request| request.uri).collect();
        let uris: Vec<_> = uris.iter().filter(|uri| !uri.ends_with("/ping")).collect();
        assert_eq!(uris, [&format!("/mn/v2/meta/{encoded}"), &format!("/mn/v2/object/{encoded}")], "{text}");
        assert!(
            node.requests().iter().skip(1).all(|request| request.identifier.as_ref() == Some(&identifier))
        );
        checked += 1;
    }
    assert!(checked >= 36, "{checked} rows");
}

#[tokio::test]
async fn the_version_is_found_once() {
    for (versions, expected) in
        [(Versions::Both, ApiVersion::V2), (Versions::V2, ApiVersion::V2), (Versions::V1, ApiVersion::V1)]
    {
        let node = node_that(Behaviour { versions, ..Behaviour::default() }).await;
        let client = member(&node);
        assert_eq!(client.version().await.unwrap(), expected);
        assert_eq!(client.meta(&id("small")).await.unwrap().value.size, 10);
        assert_eq!(read(&client, "small", Default::default()).await.unwrap(), b"0123456789");
        assert_eq!(node.count(Call::Ping), if expected == ApiVersion::V1 { 2 } else { 1 });
        let mut options = quick();
        options.version = Some(expected);
        node.forget_requests();
        NodeClient::new(&node.member_url(), &options).unwrap().meta(&id("small")).await.unwrap();
        assert_eq!(node.requests().len(), 1);
    }
}

#[tokio::test]
async fn where_no_node_is_says_so() {
    let node = node().await;
    let elsewhere = node.member_url().replace("/mn", "/nothing");
    let client = NodeClient::new(&elsewhere, &quick()).unwrap();
    let error = failed(client.meta(&id("small")).await);
    assert_eq!(error.kind(), ErrorKind::Protocol);
    assert!(error.to_string().contains("found no DataONE node at this URL"), "{error}");
}

#[tokio::test]
async fn a_token_opens_what_is_not_public() {
    let mut catalog = catalog();
    catalog.put(object("private", "text/csv", Content::text("secret")).private()).unwrap();
    let behaviour = Behaviour { token: Some("abc.def".to_owned()), ..Behaviour::default() };
    let config = d1_testnode::Config { catalog, behaviour, ..Default::default() };
    let node = ScriptedNode::start(config).await.unwrap();
    let error = failed(read(&member(&node), "private", Default::default()).await);
    assert_eq!((error.kind(), error.status()), (ErrorKind::NotAuthorized, Some(401)));
    assert_eq!(failed(member(&node).describe(&id("private")).await).kind(), ErrorKind::NotAuthorized);
    let options = ClientOptions { token: Some(Secret::new("abc.def")), ..quick() };
    let client = NodeClient::new(&node.member_url(), &options).unwrap();
    assert_eq!(read(&client, "private", Default::default()).await.unwrap(), b"secret");
}

#[tokio::test]
async fn a_real_package_is_read_as_it_is() {
    let Ok(catalog) = Catalog::read_directory(Path::new(PACKAGE)) else {
        println!("skipped: no samples");
        return;
    };
    // One of its three objects is not public.
    let behaviour = Behaviour { token: Some("abc.def".to_owned()), ..Behaviour::default() };
    let config = d1_testnode::Config { catalog, behaviour, ..Default::default() };
    let node = ScriptedNode::start(config).await.unwrap();
    let options = ClientOptions { token: Some(Secret::new("abc.def")), ..quick() };
    let client = NodeClient::new(&node.member_url(), &options).unwrap();
    let listed =
        node.look(|catalog| catalog.objects().map(|object| object.identifier().clone()).collect::<Vec<_>>());
    assert_eq!(listed.len(), 3);
    for identifier in listed {
        let meta = client.meta(&identifier).await.unwrap();
        let content = read(&client, identifier.as_str(), Default::default()).await.unwrap();
        assert_eq!(content.len() as u64, meta.value.size);
        let checksum = client.checksum(&identifier, Some(meta.value.checksum.algorithm())).await.unwrap();
        assert_eq!(checksum, meta.value.checksum);
        let found = client.find_packages(&identifier).await.unwrap();
        assert_eq!(found.resource_maps, [id("peggym.133.1.resourcemap")], "{identifier}");
    }
}
