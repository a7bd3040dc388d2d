//! `cargo xtask release --dry-run`: the order in which crates are published, and whether each is ready.

use std::collections::BTreeSet;

use clap::Args;

use crate::error::Result;
use crate::metadata::{Metadata, Package};
use crate::{console, process, tidy, workspace};

/// The files of every published crate.
const WANTED_FILES: [&str; 3] = ["Cargo.toml", "README.md", "src/"];

/// The largest number of files of a crate: more would be test data, published by accident.
const MOST_FILES: usize = 400;

/// The arguments of `cargo xtask release`.
#[derive(Debug, Default, Args)]
pub struct Arguments {
    /// Check and print, publish nothing; people publish by hand
    #[arg(long)]
    pub dry_run: bool,
}

/// Checks every crate and prints the order and the checklist.
///
/// # Errors
///
/// Fails without `--dry-run`, when crates import each other in a circle, or when a crate is not ready.
pub fn run(arguments: &Arguments) -> Result<()> {
    if !arguments.dry_run {
        return Err("this command publishes nothing: see the checklist of --dry-run".into());
    }
    let metadata = Metadata::load()?;
    let members = metadata.members();
    let order = bottom_up(members.iter().copied().filter(|package| package.is_publishable()).collect())?;
    let mut problems = 0;
    for package in &order {
        let found = check(package, &members);
        let state = if found.is_empty() { "ready" } else { "not ready" };
        console::result(format_args!("{:20} {:8} {state}", package.name, package.version));
        found.iter().for_each(|problem| console::result(format_args!("    {problem}")));
        problems += found.len();
    }
    checklist(&order).iter().for_each(console::result);
    if problems == 0 { Ok(()) } else { Err(format!("release: {problems} problems").into()) }
}

/// Sorts the packages so that each comes after those that it imports, by name where there is a choice.
fn bottom_up(mut waiting: Vec<&Package>) -> Result<Vec<&Package>> {
    let mut sorted: Vec<&Package> = Vec::new();
    while !waiting.is_empty() {
        let names: BTreeSet<&str> = waiting.iter().map(|package| package.name.as_str()).collect();
        let is_ready = |package: &Package| {
            let mut imports =
                package.dependencies.iter().filter(|import| import.kind.as_deref() != Some("dev"));
            !imports.any(|import| names.contains(import.name.as_str()))
        };
        let next = waiting.iter().position(|package| is_ready(package));
        let next = next.ok_or_else(|| format!("these import each other: {names:?}"))?;
        sorted.push(waiting.remove(next));
    }
    Ok(sorted)
}

/// Finds the problems that prevent publishing the package.
fn check(package: &Package, members: &[&Package]) -> Vec<String> {
    let mut problems = tidy::publishing_problems(package, members);
    let list = ["package", "--list", "--allow-dirty", "--package", &package.name];
    match process::read(&mut workspace::cargo(&list)) {
        Ok(files) => problems.extend(check_files(&files.lines().collect::<Vec<_>>())),
        Err(error) => problems.push(error.to_string()),
    }
    problems
}

fn check_files(files: &[&str]) -> Vec<String> {
    let is_missing = |wanted: &&str| !files.iter().any(|file| file.starts_with(wanted));
    let mut problems: Vec<_> = WANTED_FILES
        .iter()
        .filter(|wanted| is_missing(wanted))
        .map(|wanted| format!("has no {wanted}"))
        .collect();
    if files.len() > MOST_FILES {
        problems.push(format!("has {} files, more than {MOST_FILES}", files.len()));
    }
    problems
}

fn checklist(order: &[&Package]) -> Vec<String> {
    let version = order.first().map(|package| package.version.as_str()).unwrap_or_default();
    let mut lines = vec![
        String::new(),
        "Checklist".to_owned(),
        "1. cargo xtask ci passes, and so does the release build on every platform.".to_owned(),
        format!("2. CHANGELOG.md: Unreleased becomes [{version}] with the day; a new Unreleased is empty."),
        format!(
            "3. The versions in Cargo.toml are {version}, for the crates and for their imports of each other."
        ),
        "4. cargo xtask docs --check and cargo xtask bench are up to date.".to_owned(),
        format!("5. git tag v{version}, signed."),
        "6. Publish from the bottom up, each after the one before can be found:".to_owned(),
    ];
    lines.extend(order.iter().map(|package| format!("   cargo publish -p {}", package.name)));
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Arguments, MOST_FILES, bottom_up, check_files, checklist, run};
    use crate::metadata::Package;

    fn package(name: &str, imports: &[(&str, Option<&str>)]) -> Package {
        let dependencies: Vec<_> = imports
            .iter()
            .map(|(name, kind)| json!({ "name": name, "req": "*", "kind": kind, "path": "/" }))
            .collect();
        serde_json::from_value(json!({
            "name": name, "version": "0.1.0", "id": name, "manifest_path": "Cargo.toml", "categories": [],
            "features": {}, "dependencies": dependencies,
        }))
        .unwrap()
    }

    fn names(packages: &[&Package]) -> Vec<String> {
        packages.iter().map(|package| package.name.clone()).collect()
    }

    #[test]
    fn crates_come_after_their_imports() {
        let packages = [
            package("a", &[("c", None), ("serde", None)]),
            package("b", &[]),
            package("c", &[("b", Some("build")), ("a", Some("dev"))]),
        ];
        let order = bottom_up(packages.iter().collect()).unwrap();
        assert_eq!(names(&order), ["b", "c", "a"]);
        let lines = checklist(&order);
        assert!(lines.contains(&"   cargo publish -p c".to_owned()));
        assert!(lines.iter().any(|line| line.contains("v0.1.0")));
    }

    #[test]
    fn circles_are_refused() {
        let packages = [package("a", &[("b", None)]), package("b", &[("a", None)])];
        assert!(bottom_up(packages.iter().collect()).is_err());
    }

    #[test]
    fn packages_have_the_wanted_files_and_not_too_many() {
        let whole = ["Cargo.toml", "README.md", "src/lib.rs"];
        assert!(check_files(&whole).is_empty());
        assert_eq!(check_files(&whole[1..]), ["has no Cargo.toml"]);
        let many = [&whole[..], &["tests/data/x"; MOST_FILES]].concat();
        assert_eq!(check_files(&many), ["has 403 files, more than 400"]);
    }

    #[test]
    fn nothing_is_published() {
        assert!(run(&Arguments { dry_run: false }).is_err());
    }
}
