//! Validators read the answers of a gateway, and the proxies of `deploy/` pass them on.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use d1_model::{ChecksumAlgorithm, Identifier};
use d1_testnode::{Catalog, Content, Package, ScriptedNode, StoredObject};
use d1oci_tests::{d1oci, peer, run, skipped};
use tempfile::TempDir;

use crate::gateway::{Gateway, get, python_with};

const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const EML: &str = "https://eml.ecoinformatics.org/eml-2.2.0";
const PACKAGE: &str = "doi_10.5072_V.map";

/// Metadata with everything that the descriptions take over.
const METADATA: &str = r#"<eml:eml xmlns:eml="https://eml.ecoinformatics.org/eml-2.2.0" packageId="doi:10.5072/V" system="test"><dataset>
<title>Temperature of a mooring in a fjord, hourly, summer 2019</title>
<creator><individualName><givenName>Ada</givenName><surName>Fjord</surName></individualName>
<userId directory="https://orcid.org">https://orcid.org/0000-0002-1825-0097</userId></creator>
<pubDate>2020-03-01</pubDate>
<abstract><para>Temperature and depth of a mooring in a fjord, every hour of one summer, by a chain of five sensors.</para></abstract>
<keywordSet><keyword>ocean</keyword></keywordSet>
<licensed><licenseName>Creative Commons Attribution 4.0 International</licenseName>
<url>https://creativecommons.org/licenses/by/4.0/</url><identifier>CC-BY-4.0</identifier></licensed>
<coverage><geographicCoverage><geographicDescription>A fjord</geographicDescription><boundingCoordinates>
<westBoundingCoordinate>10</westBoundingCoordinate><eastBoundingCoordinate>11</eastBoundingCoordinate>
<northBoundingCoordinate>60</northBoundingCoordinate><southBoundingCoordinate>59</southBoundingCoordinate>
</boundingCoordinates></geographicCoverage><temporalCoverage><rangeOfDates><beginDate><calendarDate>2019-06-01</calendarDate></beginDate>
<endDate><calendarDate>2019-08-31</calendarDate></endDate></rangeOfDates></temporalCoverage></coverage>
<dataTable><entityName>moorings.csv</entityName><physical><objectName>moorings.csv</objectName><dataFormat><textFormat>
<numHeaderLines>1</numHeaderLines><attributeOrientation>column</attributeOrientation><simpleDelimited><fieldDelimiter>,</fieldDelimiter>
</simpleDelimited></textFormat></dataFormat></physical><attributeList><attribute><attributeName>depth</attributeName>
<attributeDefinition>Depth of the sensor</attributeDefinition><measurementScale><ratio><unit><standardUnit>meter</standardUnit></unit>
<numericDomain><numberType>real</numberType></numericDomain></ratio></measurementScale></attribute></attributeList></dataTable>
</dataset></eml:eml>"#;

/// Returns a gateway to a package with that metadata and a table.
fn served(arguments: &[&str]) -> (TempDir, Gateway) {
    let id = |text: &str| text.parse::<Identifier>().unwrap();
    let mut catalog = Catalog::default();
    let metadata = StoredObject::new(id("doi:10.5072/V"), EML, Content::text(METADATA)).unwrap();
    catalog.put(metadata).unwrap();
    let table = Content::text("depth\n15\n");
    let table =
        StoredObject::with_algorithm(id("v.data"), "text/csv", table, &ChecksumAlgorithm::Sha256).unwrap();
    catalog.put(table.edited(|meta| meta.file_name = Some("moorings.csv".to_owned()))).unwrap();
    let package = Package::new(id("doi:10.5072/V.map"), id("doi:10.5072/V"), [id("v.data")]);
    catalog.put_package(&package).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let node = runtime.block_on(ScriptedNode::serve(catalog)).unwrap();
    let place = tempfile::tempdir().unwrap();
    d1oci(place.path(), &["replicate", "oci:store", "--node", &node.member_url()]).success();
    let gateway = Gateway::start(place.path(), &[&["oci:store"], arguments].concat());
    (place, gateway)
}

/// Stores a description of the package in a file.
fn description(place: &Path, gateway: &Gateway, name: &str) -> PathBuf {
    let (status, body) = get(gateway.address(), &format!("/d/{PACKAGE}/{name}"));
    assert_eq!(status, 200, "{name}");
    let file = place.join(name);
    fs::write(&file, body).unwrap();
    file
}

/// Returns a program of the environment of validators, or says that the test is skipped.
fn validator(package: &str, program: &str) -> Option<PathBuf> {
    let found =
        python_with(package).map(|python| python.with_file_name(program)).filter(|path| path.is_file());
    if found.is_none() {
        skipped(&format!("{program} is not installed (`cargo xtask peers` installs it)"));
    }
    found
}

/// Finds the shapes in the package `soso` of the environment of this program.
fn shapes_of_soso(program: &Path) -> Option<PathBuf> {
    let script = "import soso; print(soso.__path__[0])";
    let output = Command::new(program.with_file_name("python3")).args(["-c", script]).output().ok()?;
    let folder = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    Some(folder.join("data/soso_common_v1.2.3.ttl"))
}

#[test]
fn validators_accept_the_descriptions_of_a_package() {
    let (place, gateway) = served(&[]);
    let place = place.path();
    if let Some(pyshacl) = validator("pyshacl", "pyshacl") {
        let data = description(place, &gateway, "schema.jsonld");
        // science-on-schema.org, validation/shapegraphs. The package `soso` has the first file. The second is read where somebody has put
        // it: its licence is not ours, so it is not part of this project.
        let own = Path::new(WORKSPACE).join("target/peers/soso");
        for (shapes, file) in [
            ("soso_common_v1.2.3.ttl", shapes_of_soso(&pyshacl)),
            ("googleRequired.ttl", Some(own.join("googleRequired.ttl"))),
        ] {
            let Some(file) = file.filter(|file| file.exists()) else {
                skipped(&format!("{shapes} does not exist"));
                continue;
            };
            let mut command = Command::new(&pyshacl);
            // Warnings are recommendations.
            let outcome =
                run(command.args(["--allow-warnings", "-df", "json-ld", "-s"]).arg(file).arg(&data));
            assert_eq!(outcome.code, 0, "{shapes}: {}", outcome.text());
        }
    }
    if let Some(mlcroissant) = validator("mlcroissant", "mlcroissant") {
        let data = description(place, &gateway, "croissant.json");
        let outcome = run(Command::new(mlcroissant).args(["validate", "--jsonld"]).arg(data)).success();
        assert!(!outcome.stderr.contains("ERROR"), "{}", outcome.stderr);
    }
    if let Some(signposting) = validator("signposting", "signposting") {
        let page = format!("{}/p/{PACKAGE}/", gateway.url);
        let found = run(Command::new(signposting).arg(&page)).success().text();
        for relation in ["CiteAs: ", "Type: ", "DescribedBy: ", "License: ", "Author: ", "Linkset: "] {
            assert!(found.contains(relation), "{relation}in {found}");
        }
    }
    if let Some(validator) = validator("rocrate_validator", "rocrate-validator") {
        let data = description(place, &gateway, "ro-crate-metadata.json");
        let arguments = [
            "-y",
            "validate",
            "--metadata-only",
            "--skip-availability-check",
            "--no-paging",
            "-p",
            "ro-crate-1.2",
        ];
        let outcome = run(Command::new(validator).args(arguments).arg(data.parent().unwrap()));
        let text = outcome.text() + &outcome.stderr;
        match text.contains("URLError") || text.contains("ConnectionError") {
            true => skipped("rocrate-validator cannot load the contexts of RO-Crate from the network"),
            false => assert_eq!(outcome.code, 0, "{text}"),
        }
    }
}

#[test]
fn requests_made_from_the_interface_description_get_the_described_answers() {
    let Some(schemathesis) = validator("schemathesis", "schemathesis") else { return };
    let (place, gateway) = served(&[]);
    let description = format!("{}/openapi.json", gateway.url);
    let checks =
        "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";
    let mut command = Command::new(schemathesis);
    command.current_dir(place.path()).args(["run", &description, "--url", &gateway.url, "--checks", checks]);
    // The seed makes every run the same.
    let outcome = run(command.args(["--max-examples", "5", "--phases", "coverage,fuzzing", "--seed", "1"]));
    assert_eq!(outcome.code, 0, "{}", outcome.text());
}

/// A proxy, which ends with the value.
struct Proxy(Child);

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a proxy, and waits until it accepts.
fn start(command: &mut Command, port: u16) -> Proxy {
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let proxy = Proxy(child);
    let accepts = (0..1200).any(|_| {
        sleep(Duration::from_millis(25));
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
    });
    assert!(accepts, "{command:?} does not start");
    proxy
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// Returns a file of `deploy/` with some texts replaced. Each occurs in it.
fn adapted(name: &str, changes: &[(&str, &str)]) -> String {
    let text = fs::read_to_string(Path::new(WORKSPACE).join("deploy").join(name)).unwrap();
    changes.iter().fold(text, |text, (from, to)| {
        assert!(text.contains(from), "{name}: {from}");
        text.replace(from, to)
    })
}

/// Checks that URLs, ranges and encoded slashes pass a proxy.
fn check_behind(port: u16, gateway: &Gateway) {
    let address = format!("127.0.0.1:{port}");
    let (status, sitemap) = get(&address, "/sitemap.xml");
    let sitemap = String::from_utf8(sitemap).unwrap();
    // `get` sends the host `a`.
    assert!(status == 200 && sitemap.contains("<loc>http://a/p/"), "{sitemap}");
    assert_eq!(get(&address, "/mn/v2/object/v%2Edata"), (200, b"depth\n15\n".to_vec()));
    assert_eq!(get(&address, "/mn/v2/meta/doi%3A10.5072%2FV").0, 200);
    let (status, refusal) = get(&address, "/mn/v2/meta/a%252Fb%2Fc");
    assert!(
        status == 404 && String::from_utf8_lossy(&refusal).contains("identifier=\"a%2Fb/c\""),
        "{refusal:?}"
    );
    let through = get(&address, &format!("/zip/{PACKAGE}"));
    assert!(through.0 == 200 && through == get(gateway.address(), &format!("/zip/{PACKAGE}")));
}

#[test]
fn the_proxies_of_deploy_pass_everything_on() {
    let (place, gateway) = served(&["--trusted-proxy", "127.0.0.1"]);
    let folder = place.path().display().to_string();
    if let Some(nginx) = peer("nginx") {
        let port = free_port();
        let listen = format!("listen 127.0.0.1:{port};");
        let changes = [("listen 443 ssl;", listen.as_str()), ("127.0.0.1:8080", gateway.address())];
        let site = adapted("gateway.nginx.conf", &changes);
        let places = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let places = places.map(|kind| format!("{kind}_temp_path {folder}/{kind};")).join("\n");
        let config = format!(
            "daemon off; master_process off; worker_processes 1; pid {folder}/pid; error_log {folder}/errors;\n\
             events {{ worker_connections 64; }}\nhttp {{ access_log off;\n{places}\n{site}}}\n"
        );
        let file = place.path().join("nginx.conf");
        fs::write(&file, config).unwrap();
        run(Command::new(&nginx).args(["-t", "-c"]).arg(&file)).success();
        let _proxy = start(Command::new(&nginx).arg("-c").arg(&file), port);
        check_behind(port, &gateway);
    }
    if let Some(caddy) = peer("caddy") {
        let port = free_port();
        let site = format!("{{\n\tadmin off\n\tauto_https off\n}}\nhttp://:{port} {{");
        let changes = [("data.example.org {", site.as_str()), ("127.0.0.1:8080", gateway.address())];
        let file = place.path().join("Caddyfile");
        fs::write(&file, adapted("gateway.Caddyfile", &changes)).unwrap();
        let mut command = Command::new(&caddy);
        command.env("HOME", place.path()).args(["run", "--adapter", "caddyfile", "--config"]).arg(&file);
        let _proxy = start(&mut command, port);
        check_behind(port, &gateway);
    }
}

#[test]
fn the_files_of_deploy_are_valid() {
    let deploy = Path::new(WORKSPACE).join("deploy");
    if let Some(validate) = validator("kubernetes_validate", "kubernetes-validate") {
        let files = ["gateway.yaml", "keep-in-step.yaml", "replicate-job.yaml"].map(|name| deploy.join(name));
        run(Command::new(validate).arg("--strict").args(files)).success();
    }
    if let Some(analyze) = peer("systemd-analyze") {
        let place = tempfile::tempdir().unwrap();
        // The program has to exist.
        let program = d1oci_tests::binary().display().to_string();
        let unit = place.path().join("d1oci-gateway.service");
        fs::write(&unit, adapted("gateway.service", &[("/usr/local/bin/d1oci", &program)])).unwrap();
        let outcome = run(Command::new(analyze).arg("verify").arg(&unit)).success();
        assert!(!outcome.stderr.contains("d1oci-gateway"), "{}", outcome.stderr);
    }
}
