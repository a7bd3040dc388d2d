//! `cargo xtask lint`: formatting, clippy for every set of features, the documentation build, and the licences and
//! sources of dependencies.

use std::process::Command;

use crate::error::Result;
use crate::metadata::Metadata;
use crate::workspace::{self, cargo};
use crate::{console, peers, process};

/// The binary, whose features choose the backends.
const BINARY: &str = "d1oci";

/// Runs the linters; every warning is an error.
///
/// # Errors
///
/// Fails at the first linter that complains.
pub fn run() -> Result<()> {
    process::run(&mut cargo(&["fmt", "--all", "--check"]))?;
    process::run(&mut cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    let metadata = Metadata::load()?;
    let binary = metadata.member(BINARY).ok_or("the workspace has no package d1oci")?;
    for features in feature_sets(binary.feature_names()) {
        let mut arguments = vec!["clippy", "-p", BINARY, "--all-targets", "--no-default-features"];
        arguments.extend(["--features", &features, "--", "-D", "warnings"]);
        process::run(&mut cargo(&arguments))?;
    }
    let documentation = ["doc", "--workspace", "--no-deps", "--document-private-items"];
    process::run(cargo(&documentation).env("RUSTDOCFLAGS", "-D warnings"))?;
    check_dependencies()
}

/// Checks dependencies by `deny.toml`. Advisories need a database from the network: `cargo deny check` reads it.
fn check_dependencies() -> Result<()> {
    let Some(program) = peers::by_name("cargo-deny").and_then(peers::Peer::find) else {
        console::note("skipped: licences of dependencies: no cargo-deny (cargo xtask peers installs it)");
        return Ok(());
    };
    let mut command = Command::new(program);
    command.current_dir(workspace::root()).args(["--workspace", "check", "bans", "licenses", "sources"]);
    process::run(&mut command)
}

/// Returns the sets that must build apart from the default: none, and each feature alone.
fn feature_sets<'a>(features: impl Iterator<Item = &'a str>) -> Vec<String> {
    std::iter::once("").chain(features).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::{BINARY, feature_sets};
    use crate::metadata::Metadata;

    #[test]
    fn the_sets_are_none_and_each() {
        assert_eq!(feature_sets(["a", "b"].into_iter()), ["", "a", "b"]);
    }

    #[test]
    fn the_workspace_is_checked_with_all_features_of_the_program() {
        let metadata = Metadata::load().unwrap();
        let binary = metadata.member(BINARY).unwrap();
        let default = &binary.features["default"];
        let missing: Vec<_> =
            binary.feature_names().filter(|name| !default.iter().any(|it| it == name)).collect();
        assert_eq!(missing, ["distribution-client"], "the other sets of features do not cover these");
    }
}
