//! A `d1oci` with a backend of its own, built outside of the workspace.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use d1oci_tests::{BagBuilder, Outcome, binary, run, skipped, tree};

/// The example's directory.
const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/own-backend");

fn cargo(subcommand: &str) -> Command {
    let mut cargo = Command::new(option_env!("CARGO").unwrap_or("cargo"));
    let target = binary().parent().and_then(Path::parent).unwrap();
    cargo.args([subcommand, "--offline"]).current_dir(EXAMPLE).env("CARGO_TARGET_DIR", target);
    // Nobody debugs this build.
    cargo.env("CARGO_PROFILE_DEV_DEBUG", "0").env("CARGO_INCREMENTAL", "0");
    cargo
}

/// Builds the example and runs its conformance suite; returns its program, or reports that the test is skipped.
fn build() -> Option<PathBuf> {
    // The same versions as in the workspace: others may not be on this machine.
    fs::copy(Path::new(EXAMPLE).join("../../Cargo.lock"), Path::new(EXAMPLE).join("Cargo.lock")).unwrap();
    if run(cargo("metadata").args(["--format-version", "1"])).code != 0 {
        skipped("the example's dependencies are not on this machine");
        return None;
    }
    // One call for the tests and the program: otherwise their dependencies would have other features, and be built twice.
    run(cargo("build").args(["--quiet", "--tests", "--bin", "own-d1oci"])).success();
    run(cargo("test").arg("--quiet")).success();
    binary().parent().map(|directory| directory.join("own-d1oci"))
}

#[test]
fn an_own_backend_conforms_and_serves_its_scheme_on_the_command_line() {
    let Some(program) = build() else { return };
    let place = tempfile::tempdir().unwrap();
    let own = |arguments: &[&str]| -> Outcome {
        run(Command::new(&program).current_dir(place.path()).args(arguments))
    };
    let bag = BagBuilder::new().payload_files(5, 500).write(&place.path().join("bag"));
    own(&["push", "shelf:kept/here:v1", "bag"]).success();
    own(&["pull", "shelf:kept/here:v1", "-o", "out"]).success();
    assert!(tree(&bag) == tree(&place.path().join("out/bag")));
    assert_eq!(own(&["tags", "shelf:kept/here"]).success().text(), "v1\n");
    own(&["copy", "shelf:kept/here:v1", "oci:store:v1"]).success();
    let digest = own(&["resolve", "shelf:kept/here:v1"]).success().text();
    assert_eq!(own(&["resolve", "oci:store:v1"]).success().text(), digest);
    own(&["tags", "shelf:nowhere"]).failure(3);
    assert!(own(&["backends"]).success().text().contains("shelf:DIRECTORY"));
    // The usual program does not know the scheme, and says so.
    let unknown = d1oci_tests::d1oci(place.path(), &["tags", "shelf:kept/here"]).failure(2);
    assert!(unknown.stderr.contains("knows the scheme"), "{}", unknown.stderr);
}
