//! What a crate's manifest needs: the lints of the workspace, and what it takes to be published.

use super::{Fault, Project, TextFile};
use crate::error::Result;
use crate::metadata::Package;

/// The terms of this project.
const LICENCE: &str = "Apache-2.0 OR MIT";

/// The most categories that a package registry takes.
const MOST_CATEGORIES: usize = 5;

pub(super) fn check(project: &Project) -> Result<Vec<Fault>> {
    let members = project.metadata.members();
    let mut faults: Vec<_> = members.iter().flat_map(|package| check_package(package, &members)).collect();
    // The fuzzers are a workspace of their own, with nothing but calls in it.
    let manifests = project.files.iter().filter(|file| file.path.ends_with("Cargo.toml"));
    faults.extend(manifests.filter(|file| file.path != "fuzz/Cargo.toml").filter_map(check_lints));
    Ok(faults)
}

/// Unsafe code is forbidden at the root, and every package says that it follows.
fn check_lints(manifest: &TextFile) -> Option<Fault> {
    let (wanted, message) = if manifest.path == "Cargo.toml" {
        ("\nunsafe_code = \"forbid\"\n", "does not forbid unsafe code")
    } else {
        (
            "\n[lints]\nworkspace = true\n",
            "does not take the lints of the workspace: `[lints] workspace = true`",
        )
    };
    (!manifest.text.contains(wanted)).then(|| Fault::new(&manifest.path, message))
}

/// Finds what stands in the way of publishing the package, if it is to be published at all.
pub(super) fn check_package(package: &Package, members: &[&Package]) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut demand = |is_met: bool, message: &str| {
        if !is_met {
            faults.push(Fault::new(&package.name, message));
        }
    };
    demand(package.license.as_deref() == Some(LICENCE), "license is not that of the workspace");
    if !package.is_publishable() {
        return faults;
    }
    let is_told = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.trim().is_empty());
    demand(is_told(&package.description), "has no description");
    demand(is_told(&package.repository), "has no repository");
    demand(package.readme.as_deref() == Some("README.md"), "readme is not README.md");
    demand((1..=MOST_CATEGORIES).contains(&package.categories.len()), "has no categories, or more than five");
    for import in package.dependencies.iter().filter(|import| import.path.is_some()) {
        let is_dropped = import.kind.as_deref() == Some("dev");
        let is_published = members.iter().any(|member| member.name == import.name && member.is_publishable());
        let name = &import.name;
        // Cargo drops a development dependency that has a path alone; one with a version must be found.
        demand(
            is_published || (is_dropped && import.req == "*"),
            &format!("{name} is asked for and not published"),
        );
        demand(import.req != "*" || is_dropped, &format!("{name} has a path and no version"));
    }
    faults
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Package, check_lints, check_package};
    use crate::tidy::TextFile;

    /// Checks a package that is right but for the changes.
    fn faults(changes: &[(&str, Value)]) -> Vec<String> {
        let mut package = json!({
            "name": "it", "version": "0.1.0", "id": "it", "manifest_path": "Cargo.toml", "features": {},
            "license": "Apache-2.0 OR MIT", "description": "Is it.", "repository": "https://example.org",
            "readme": "README.md", "categories": ["science"], "dependencies": [], "publish": null,
        });
        for (key, value) in changes {
            package[*key] = value.clone();
        }
        let package: Package = serde_json::from_value(package).unwrap();
        let member = |name: &str, publish: Value| {
            let package = json!({
                "name": name, "version": "0.1.0", "id": name, "manifest_path": "Cargo.toml", "features": {},
                "categories": [], "dependencies": [], "publish": publish,
            });
            serde_json::from_value::<Package>(package).unwrap()
        };
        let (other, testkit) = (member("other", json!(null)), member("testkit", json!([])));
        let faults = check_package(&package, &[&other, &testkit]);
        faults.into_iter().map(|fault| fault.message).collect()
    }

    #[test]
    fn unsafe_code_is_forbidden_everywhere() {
        let fault = |path: &str, text: &str| {
            check_lints(&TextFile { path: path.to_owned(), text: text.to_owned() }).is_some()
        };
        assert!(!fault("Cargo.toml", "[workspace.lints.rust]\nunsafe_code = \"forbid\"\n"));
        assert!(fault("Cargo.toml", "[workspace.lints.rust]\nunsafe_code = \"deny\"\n"));
        assert!(!fault("crates/a/Cargo.toml", "[package]\n\n[lints]\nworkspace = true\n"));
        assert!(fault("crates/a/Cargo.toml", "[package]\nname = \"a\"\n"));
    }

    #[test]
    fn a_whole_manifest_is_right() {
        assert_eq!(faults(&[]), [""; 0]);
    }

    #[test]
    fn what_is_not_published_is_asked_for_by_path_alone_and_in_tests() {
        let imports = |name: &str, req: &str, kind: Option<&str>| {
            let import = json!([{ "name": name, "req": req, "kind": kind, "path": "/" }]);
            faults(&[("dependencies", import)]).len()
        };
        assert_eq!(imports("other", "^0.1.0", None), 0);
        assert_eq!(imports("other", "*", None), 1);
        assert_eq!(imports("testkit", "*", Some("dev")), 0);
        assert_eq!(imports("testkit", "^0.1.0", Some("dev")), 1);
        assert_eq!(imports("testkit", "^0.1.0", None), 1);
    }

    #[test]
    fn what_is_missing_is_found() {
        let cases = [
            ("license", json!("MIT"), "license"),
            ("description", json!(null), "description"),
            ("description", json!(" "), "description"),
            ("repository", json!(null), "repository"),
            ("readme", json!(null), "readme"),
            ("categories", json!([]), "categories"),
            ("categories", json!(["a", "b", "c", "d", "e", "f"]), "categories"),
        ];
        for (key, value, expected) in cases {
            let found = faults(&[(key, value)]);
            assert!(found.len() == 1 && found[0].contains(expected), "{key}: {found:?}");
        }
    }

    #[test]
    fn what_is_not_published_needs_a_licence_alone() {
        assert_eq!(faults(&[("publish", json!([])), ("readme", json!(null))]), [""; 0]);
    }
}
