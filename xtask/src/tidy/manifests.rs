//! Every manifest takes the lints of the workspace, and a crate's manifest has the fields that publishing needs.

use super::{Fault, Project, TextFile};
use crate::error::Result;
use crate::metadata::Package;

/// The terms of this project.
const LICENCE: &str = "Apache-2.0 OR MIT";

/// The most categories that a package registry accepts.
const MOST_CATEGORIES: usize = 5;

/// The settings of clippy.
const CLIPPY: &str = "clippy.toml";

/// The most lines of a function. A file may be as long as its idea.
const MOST_LINES: usize = 70;

pub(super) fn check(project: &Project) -> Result<Vec<Fault>> {
    let members = project.metadata.members();
    let mut faults: Vec<_> = members.iter().flat_map(|package| check_package(package, &members)).collect();
    // The fuzzer and the example are workspaces of their own: the example stands for a program in another repository.
    const OTHER_WORKSPACES: [&str; 2] = ["fuzz/Cargo.toml", "examples/own-backend/Cargo.toml"];
    let manifests = project.files.iter().filter(|file| file.path.ends_with("Cargo.toml"));
    faults.extend(
        manifests.filter(|file| !OTHER_WORKSPACES.contains(&file.path.as_str())).flat_map(check_lints),
    );
    faults.extend(check_function_length(project.files.iter().find(|file| file.path == CLIPPY)));
    Ok(faults)
}

/// The root forbids unsafe code and long functions, and every package takes its lints. `multi-digest` states them itself and
/// denies unsafe code, because it contains the one call of functions for particular processors.
fn check_lints(manifest: &TextFile) -> Vec<Fault> {
    let wanted: &[(&str, &str)] = if manifest.path == "Cargo.toml" {
        &[
            ("\nunsafe_code = \"forbid\"\n", "does not forbid unsafe code"),
            ("\ntoo_many_lines = \"warn\"\n", "does not limit the length of functions"),
        ]
    } else if manifest.path == "crates/multi-digest/Cargo.toml" {
        &[
            ("\nunsafe_code = \"deny\"\n", "does not deny unsafe code"),
            ("\ntoo_many_lines = \"warn\"\n", "does not limit the length of functions"),
        ]
    } else {
        &[(
            "\n[lints]\nworkspace = true\n",
            "does not take the lints of the workspace: `[lints] workspace = true`",
        )]
    };
    let missing = wanted.iter().filter(|(text, _)| !manifest.text.contains(text));
    missing.map(|(_, message)| Fault::new(&manifest.path, message)).collect()
}

/// Clippy counts the lines of functions.
fn check_function_length(settings: Option<&TextFile>) -> Option<Fault> {
    const SETTING: &str = "too-many-lines-threshold = ";
    let threshold = settings.and_then(|file| file.text.lines().find_map(|line| line.strip_prefix(SETTING)));
    let is_kept = threshold.and_then(|text| text.parse().ok()).is_some_and(|most: usize| most <= MOST_LINES);
    (!is_kept).then(|| Fault::new(CLIPPY, format_args!("expected {SETTING}{MOST_LINES} or less")))
}

/// Finds the problems that prevent publishing the package, if it may be published.
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
    demand(package.readme.as_deref() == Some("README.md"), "readme is not README.md");
    demand((1..=MOST_CATEGORIES).contains(&package.categories.len()), "has no categories, or more than five");
    for import in package.dependencies.iter().filter(|import| import.path.is_some()) {
        let is_dropped = import.kind.as_deref() == Some("dev");
        let is_published = members.iter().any(|member| member.name == import.name && member.is_publishable());
        let name = &import.name;
        // Cargo drops a development dependency without a version; one with a version must be published.
        demand(
            is_published || (is_dropped && import.req == "*"),
            &format!("{name} is a dependency that is not published"),
        );
        demand(import.req != "*" || is_dropped, &format!("{name} has a path and no version"));
    }
    faults
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Package, check_function_length, check_lints, check_package};
    use crate::tidy::TextFile;

    /// Checks a package that is right but for the changes.
    fn faults(changes: &[(&str, Value)]) -> Vec<String> {
        let mut package = json!({
            "name": "it", "version": "0.1.0", "id": "it", "manifest_path": "Cargo.toml", "features": {},
            "license": "Apache-2.0 OR MIT", "description": "Is it.",
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
    fn unsafe_code_and_long_functions_are_refused_everywhere() {
        let fault = |path: &str, text: &str| {
            !check_lints(&TextFile { path: path.to_owned(), text: text.to_owned() }).is_empty()
        };
        let root = |unsafe_code: &str, lines: &str| {
            format!("[lints]\nunsafe_code = \"{unsafe_code}\"\ntoo_many_lines = \"{lines}\"\n")
        };
        assert!(!fault("Cargo.toml", &root("forbid", "warn")));
        assert!(fault("Cargo.toml", &root("deny", "warn")));
        assert!(fault("Cargo.toml", &root("forbid", "allow")));
        assert!(!fault("crates/a/Cargo.toml", "[package]\n\n[lints]\nworkspace = true\n"));
        assert!(fault("crates/a/Cargo.toml", "[package]\nname = \"a\"\n"));
    }

    #[test]
    fn functions_are_short() {
        let is_fault = |text: &str| {
            let settings = TextFile { path: "clippy.toml".to_owned(), text: text.to_owned() };
            check_function_length(Some(&settings)).is_some()
        };
        assert!(!is_fault("too-many-lines-threshold = 70\n") && !is_fault("too-many-lines-threshold = 60\n"));
        assert!(is_fault("too-many-lines-threshold = 100\n") && is_fault(""));
        assert!(check_function_length(None).is_some());
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
