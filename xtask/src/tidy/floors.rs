//! The floors of the crates: an import may only go to a lower one, and some dependencies have one owner.

use super::{Fault, Project};
use crate::error::Result;
use crate::metadata::{Dependency, Package};

/// The crates by floor.
const FLOORS: [&[&str]; 10] = [
    &["multi-digest", "safe-files"],
    &["bagit", "d1-metadata", "d1-model", "oci-model"],
    &["oci-pack", "registry-backend"],
    &["header-case", "http-transfer", "scripted-http"],
    &["d1-client", "d1-package", "distribution-client", "registry-conformance"],
    &["backend-generic", "backend-ghcr", "backend-gitlab", "backend-layout", "backend-quay", "d1-transfer"],
    &["d1-catalog"],
    &["d1-sync"],
    &["d1-gateway"],
    &["d1oci"],
];

/// The packages off the floors, which nothing imports, and the crates that each may import; `None` is all.
const OFF_THE_FLOORS: [(&str, Option<&[&str]>); 4] = [
    ("d1-testnode", Some(&["d1-model", "header-case", "multi-digest", "scripted-http"])),
    ("d1oci-fuzz-parsers", None),
    ("d1oci-tests", None),
    ("xtask", Some(&["d1-model"])),
];

/// The package off the floors that the tests of any crate may use: a peer to talk to.
const TEST_PEER: &str = "d1-testnode";

/// Dependencies that only these packages may ask for.
const OWNED: [(&str, &[&str]); 5] = [
    ("clap", &["d1oci", "xtask"]),
    ("clap_complete", &["d1oci"]),
    ("clap_mangen", &["d1oci"]),
    ("object_store", &["backend-layout"]),
    ("rusqlite", &["d1-catalog", "d1oci"]),
];

/// The lowest floor that may know a runtime or an HTTP stack.
const FIRST_FLOOR_WITH_RUNTIME: usize = 3;

/// The dependencies that lower floors may not have.
pub(super) const RUNTIMES: [&str; 5] = ["h2", "hyper", "hyper-util", "reqwest", "tokio"];

pub(super) fn check(project: &Project) -> Result<Vec<Fault>> {
    let members = project.metadata.members();
    Ok(members.iter().flat_map(|package| check_package(package)).collect())
}

/// Returns the packages that may know neither a runtime nor an HTTP stack.
pub(super) fn without_runtime() -> impl Iterator<Item = &'static str> {
    FLOORS.into_iter().take(FIRST_FLOOR_WITH_RUNTIME).flatten().copied()
}

fn check_package(package: &Package) -> Vec<Fault> {
    let floor = floor_of(&package.name);
    let off = OFF_THE_FLOORS.iter().find(|(name, _)| *name == package.name);
    if floor.is_none() && off.is_none() {
        return vec![Fault::new(&package.name, "has no floor: give it one in xtask/src/tidy/floors.rs")];
    }
    let imports = package.dependencies.iter();
    imports.filter_map(|import| check_import(package, floor, off.and_then(|(_, may)| *may), import)).collect()
}

fn check_import(
    package: &Package,
    floor: Option<usize>,
    may_import: Option<&[&str]>,
    import: &Dependency,
) -> Option<Fault> {
    let name = import.name.as_str();
    let owners = OWNED.iter().find(|(owned, _)| *owned == name).map(|(_, owners)| *owners);
    if let Some(owners) = owners.filter(|owners| !owners.contains(&package.name.as_str())) {
        return Some(Fault::new(&package.name, format_args!("{name} is for {} alone", owners.join(" and "))));
    }
    if floor.is_some_and(|floor| floor < FIRST_FLOOR_WITH_RUNTIME)
        && import.kind.is_none()
        && RUNTIMES.contains(&name)
    {
        return Some(Fault::new(&package.name, format_args!("is too low for {name}")));
    }
    import.path.as_ref()?;
    if name == TEST_PEER && import.kind.as_deref() == Some("dev") {
        return None;
    }
    let is_allowed = match (floor, floor_of(name)) {
        (Some(floor), Some(below)) => below < floor,
        (None, Some(_)) => may_import.is_none_or(|names| names.contains(&name)),
        // Only the tests may import packages off the floors.
        (None, None) => package.name == "d1oci-tests",
        (Some(_), None) => false,
    };
    (!is_allowed)
        .then(|| Fault::new(&package.name, format_args!("may not import {name}: it is not on a lower floor")))
}

fn floor_of(name: &str) -> Option<usize> {
    FLOORS.iter().position(|crates| crates.contains(&name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::check_package;
    use crate::metadata::Package;

    /// Makes a package that asks for one thing.
    fn package(name: &str, import: &str, is_ours: bool, kind: Option<&str>) -> Package {
        let path = is_ours.then(|| format!("/{import}"));
        serde_json::from_value(json!({
            "name": name, "version": "0.1.0", "id": name, "manifest_path": "Cargo.toml",
            "categories": [], "features": {},
            "dependencies": [{ "name": import, "req": "*", "kind": kind, "path": path }],
        }))
        .unwrap()
    }

    #[test]
    fn imports_go_down() {
        let cases = [
            ("oci-pack", "oci-model", true, None, None),
            ("d1-transfer", "d1-package", true, None, None),
            ("d1oci-tests", "d1oci", true, None, None),
            ("d1oci-tests", "d1-testnode", true, None, None),
            ("bagit", "multi-digest", true, None, None),
            ("d1-sync", "d1-catalog", true, None, None),
            ("d1-catalog", "d1-sync", true, None, Some("not on a lower floor")),
            ("xtask", "d1-model", true, None, None),
            ("bagit", "tokio", false, Some("dev"), None),
            ("d1oci", "clap", false, None, None),
            ("oci-model", "oci-pack", true, None, Some("not on a lower floor")),
            ("oci-model", "bagit", true, None, Some("not on a lower floor")),
            ("registry-backend", "registry-conformance", true, Some("dev"), Some("not on a lower floor")),
            ("backend-ghcr", "backend-generic", true, None, Some("not on a lower floor")),
            ("d1oci", "xtask", true, None, Some("not on a lower floor")),
            ("xtask", "d1-transfer", true, None, Some("not on a lower floor")),
            ("distribution-client", "http-transfer", true, None, None),
            ("d1-client", "distribution-client", true, None, Some("not on a lower floor")),
            ("registry-backend", "http-transfer", true, None, Some("not on a lower floor")),
            ("registry-backend", "tokio", false, None, Some("too low for tokio")),
            ("d1-transfer", "object_store", false, None, Some("for backend-layout alone")),
            ("d1-transfer", "clap", false, Some("dev"), Some("for d1oci and xtask alone")),
            ("something-new", "serde", false, None, Some("has no floor")),
        ];
        for (name, import, is_ours, kind, expected) in cases {
            let faults = check_package(&package(name, import, is_ours, kind));
            let said = faults.first().map(|fault| fault.message.as_str());
            assert_eq!(said.is_some(), expected.is_some(), "{name} {import}: {said:?}");
            assert!(
                said.unwrap_or_default().contains(expected.unwrap_or_default()),
                "{name} {import}: {said:?}"
            );
        }
    }
}
