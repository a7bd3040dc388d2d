//! DataONE's own client for Python (`dataone-libclient` 3.5.2) understands the scripted node.

#![expect(clippy::print_stdout, reason = "tests say when they are skipped")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use d1_model::ChecksumAlgorithm;
use d1_testnode::{Behaviour, Catalog, Config, Content, Dialect, ScriptedNode, StoredObject, checksum_of};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/libclient.py");

/// The identifiers that clients are known to send wrong.
const IDENTIFIERS: [&str; 5] = [
    "doi:10.18739/A2D795C92",
    "urn:uuid:bd3d29b6-0d63-4d5c-b2e4-5a4b0c3f2b11",
    "Is_féidir_liom+a%25b?c=d&e#f;g",
    "ark:/13030/m5'(x)*!,~$@",
    "https://pasta.lternet.edu/package/metadata/eml/knb-lter-ble/2/3",
];

#[tokio::test]
async fn libclient_understands_the_node() {
    let Some(python) = python() else {
        println!("skipped: no Python with dataone-libclient in target/peers/python/pyshacl or on the path");
        return;
    };
    for dialect in [Dialect::Metacat, Dialect::Gmn] {
        let behaviour = Behaviour { dialect, ..Behaviour::default() };
        let catalog = catalog();
        let expectations = expectations(&catalog, dialect);
        let config = Config { catalog, behaviour, ..Config::default() };
        let node = ScriptedNode::start(config).await.unwrap();
        let mut child = tokio::process::Command::new(&python)
            .arg(SCRIPT)
            .args([node.member_url(), node.coordinating_url()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(expectations.to_string().as_bytes()).await.unwrap();
        drop(input);
        let output = child.wait_with_output().await.unwrap();
        let (said, complaint) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && said.ends_with("agreed\n"), "{dialect:?}: {said}{complaint}");
    }
}

fn catalog() -> Catalog {
    let mut catalog = Catalog::default();
    let algorithms = [ChecksumAlgorithm::Sha1, ChecksumAlgorithm::Md5, ChecksumAlgorithm::Sha256];
    for (number, identifier) in (0_u64..).zip(IDENTIFIERS) {
        // A GMN fails for an object without bytes.
        let content = Content::Generated { seed: number, size: 1 + number * 50_000 };
        let algorithm = &algorithms[usize::try_from(number).unwrap() % algorithms.len()];
        let object =
            StoredObject::with_algorithm(identifier.parse().unwrap(), "text/csv", content, algorithm)
                .unwrap();
        let object = object.edited(|meta| {
            meta.file_name = Some("a & b.csv".to_owned());
            meta.series_id = format!("series.{number}").parse().ok();
        });
        catalog.put(object).unwrap();
    }
    catalog
}

fn expectations(catalog: &Catalog, dialect: Dialect) -> Value {
    let objects: Vec<_> = catalog
        .objects()
        .map(|object| {
            let meta = object.system_metadata();
            let sha256 = checksum_of(object.content(), &ChecksumAlgorithm::Sha256).unwrap().unwrap();
            json!({
                "identifier": meta.identifier.as_str(),
                "format_id": meta.format_id,
                "size": meta.size,
                "algorithm": meta.checksum.algorithm().name(),
                "checksum": meta.checksum.value(),
                "sha256": sha256.value(),
            })
        })
        .collect();
    let missing = if dialect == Dialect::Gmn { "NotFound" } else { "ServiceFailure" };
    json!({ "objects": objects, "missing": missing })
}

/// Finds a Python that has the client; nothing is installed here.
fn python() -> Option<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers/python/pyshacl/bin/python");
    [own, PathBuf::from("python3")].into_iter().find(|python| {
        let asked = Command::new(python).args(["-c", "import d1_client.mnclient_2_0"]).output();
        asked.is_ok_and(|output| output.status.success())
    })
}
