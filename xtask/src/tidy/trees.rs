//! Whole dependency trees: the lower floors stay free of runtimes, and a layout-only build of HTTP.

use super::floors::{RUNTIMES, without_runtime};
use super::{Fault, Project};
use crate::error::Result;
use crate::process;
use crate::workspace::cargo;

/// The crates that an HTTP stack cannot do without.
const HTTP: [&str; 6] = ["curl", "h2", "hyper", "isahc", "reqwest", "ureq"];

pub(super) fn check(project: &Project) -> Result<Vec<Fault>> {
    let mut faults = Vec::new();
    for name in without_runtime().filter(|name| project.metadata.member(name).is_some()) {
        let tree = tree(&["-p", name])?;
        faults.extend(unwanted(name, &tree, &RUNTIMES));
    }
    let layout_only = ["-p", "d1oci", "--no-default-features", "--features", "backend-layout"];
    faults.extend(unwanted("d1oci with backend-layout alone", &tree(&layout_only)?, &HTTP));
    Ok(faults)
}

/// Lists what a package is built with, one package per line.
fn tree(selection: &[&str]) -> Result<String> {
    let arguments = ["tree", "--edges", "normal", "--prefix", "none"];
    process::read(cargo(&arguments).args(selection))
}

fn unwanted(place: &str, tree: &str, names: &[&str]) -> Vec<Fault> {
    let mut found: Vec<_> =
        tree.lines().filter_map(|line| line.split(' ').next()).filter(|name| names.contains(name)).collect();
    found.sort_unstable();
    found.dedup();
    found.into_iter().map(|name| Fault::new(place, format_args!("is built with {name}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::unwanted;

    #[test]
    fn what_is_unwanted_is_found_once() {
        let tree = "oci-model v0.1.0 (path)\nserde v1.0.0\nhyper v1.0.0\ntokio v1.2.3\nhyper v1.0.0 (*)\n";
        let faults = unwanted("here", tree, &["hyper", "reqwest"]);
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].to_string(), "here: is built with hyper");
    }
}
