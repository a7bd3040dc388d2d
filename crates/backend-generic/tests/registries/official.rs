//! The conformance suite of the distribution specification, run against the scripted registry and docker-registry.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use registry_conformance::scripted::{Config, Preset, ScriptedRegistry};

use crate::support::docker_registry::{Authentication, DockerRegistry};

/// The name of the suite's program, which `cargo xtask peers` installs.
const SUITE: &str = "conformance";

/// How many results a whole run has at least. A run that cannot read its configuration has none, and succeeds.
const FEWEST_RESULTS: usize = 700;

/// Runs the suite against a registry, and returns its results by test. Returns `None` if it is not installed.
fn results(host: &str) -> Option<BTreeMap<String, Vec<String>>> {
    let program = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/peers/bin")).join(SUITE);
    if !program.is_file() {
        println!("skipped: `{SUITE}` is not installed");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut suite = Command::new(program);
    suite.current_dir(folder.path()).env("OCI_REGISTRY", host).env("OCI_TLS", "disabled");
    suite.env("OCI_RESULTS_DIR", folder.path()).env("OCI_VERSION", "1.1");
    let output = suite.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let mut results = BTreeMap::<_, Vec<String>>::new();
    for line in said.lines().map(str::trim).filter(|line| line.starts_with("OCI Conformance Test")) {
        if let Some((test, result)) = line.rsplit_once(": ") {
            // Several tests share a name.
            results.entry(test.to_owned()).or_default().push(result.to_owned());
        }
    }
    results.values_mut().for_each(|results| results.sort_unstable());
    let count: usize = results.values().map(Vec::len).sum();
    assert!(count >= FEWEST_RESULTS, "{count} results: {}", String::from_utf8_lossy(&output.stderr));
    Some(results)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_strict_registry_passes_the_official_suite() {
    let registry = ScriptedRegistry::start(Config::new(Preset::Strict)).await.unwrap();
    let host = registry.host().to_owned();
    let Some(results) = tokio::task::spawn_blocking(move || results(&host)).await.unwrap() else { return };
    let failed: Vec<_> =
        results.iter().filter(|(_, results)| results.iter().any(|result| result == "FAIL")).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert_eq!(results["OCI Conformance Test"], ["Pass"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_registry_has_the_results_of_docker_registry() {
    let Some(docker) = DockerRegistry::start(&Authentication::None) else { return };
    let registry = ScriptedRegistry::start(Config::new(Preset::Old)).await.unwrap();
    let hosts = [docker.host.clone(), registry.host().to_owned()];
    let runs = tokio::task::spawn_blocking(move || hosts.map(|host| results(&host)));
    let [Some(expected), Some(found)] = runs.await.unwrap() else { return };
    // docker-registry takes some uploads under a SHA-512 and does not find all of them again. The scripted one refuses SHA-512.
    let differs = |(test, results): &(&String, &Vec<String>)| {
        !test.contains("sha512") && found.get(*test) != Some(*results)
    };
    let different: Vec<_> =
        expected.iter().filter(differs).map(|(test, results)| (test, results, found.get(test))).collect();
    assert!(different.is_empty(), "{different:#?}");
}
