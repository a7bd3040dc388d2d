//! The changelog has an Unreleased section, READMEs are tested, and documents name commands and tests that exist.

use super::{Fault, Project, TextFile};
use crate::docs::{CLI_REFERENCE, heading_of};
use crate::error::Result;

const CHANGELOG: &str = "CHANGELOG.md";
const UNRELEASED: &str = "## [Unreleased]";
const THREATS: &str = "docs/security.md";

pub(super) fn check(project: &Project) -> Result<Vec<Fault>> {
    let files = &project.files;
    let mut faults = check_changelog(find(files, CHANGELOG));
    if let Some(readme) = find(files, "README.md") {
        let reference = find(files, CLI_REFERENCE).map(|file| file.text.as_str()).unwrap_or_default();
        faults.extend(check_tour(readme, reference));
    }
    faults.extend(check_proofs(find(files, THREATS), files));
    for package in project.metadata.members().iter().filter(|package| package.is_publishable()) {
        let folder = format!("crates/{}", package.name);
        let readme = find(files, &format!("{folder}/README.md"));
        faults.extend(check_crate(&folder, readme, find(files, &format!("{folder}/src/lib.rs"))));
    }
    Ok(faults)
}

fn find<'a>(files: &'a [TextFile], path: &str) -> Option<&'a TextFile> {
    files.iter().find(|file| file.path == path)
}

fn check_changelog(changelog: Option<&TextFile>) -> Vec<Fault> {
    let has_section =
        changelog.is_some_and(|file| file.text.lines().any(|line| line.trim_end() == UNRELEASED));
    if has_section {
        Vec::new()
    } else {
        vec![Fault::new(CHANGELOG, format_args!("has no section {UNRELEASED}"))]
    }
}

/// Every crate has a README, whose examples compile with the crate.
fn check_crate(folder: &str, readme: Option<&TextFile>, library: Option<&TextFile>) -> Vec<Fault> {
    let mut faults = Vec::new();
    if readme.is_none_or(|file| !file.text.starts_with("# ")) {
        faults.push(Fault::new(folder, "has no README.md with a title"));
    }
    if library.is_some_and(|file| !file.text.contains("include_str!(\"../README.md\")")) {
        faults.push(Fault::new(folder, "the examples of README.md are not tested: include it in src/lib.rs"));
    }
    faults
}

/// Every `d1oci VERB` in a block of the README is a command of the reference.
fn check_tour(readme: &TextFile, reference: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut is_block = false;
    for (line, number) in readme.text.lines().zip(1..) {
        if line.starts_with("```") {
            is_block = !is_block;
        }
        let command = line.strip_prefix("$ ").unwrap_or(line).strip_prefix("d1oci ");
        let Some(verb) = command.filter(|_| is_block).and_then(|rest| rest.split_whitespace().next()) else {
            continue;
        };
        let heading = heading_of(&["d1oci", verb]);
        let is_verb = verb.starts_with(|first: char| first.is_ascii_lowercase());
        if is_verb && !reference.lines().any(|line| line == heading) {
            let message = format!("d1oci {verb} is not in {CLI_REFERENCE}");
            faults.push(Fault::new(format_args!("{}:{number}", readme.path), message));
        }
    }
    faults
}

/// Every test that the list of threats names, as `FILE` followed by `NAME`, is a function of that file.
fn check_proofs(threats: Option<&TextFile>, files: &[TextFile]) -> Vec<Fault> {
    let Some(threats) = threats else { return vec![Fault::new(THREATS, "does not exist")] };
    let mut faults = Vec::new();
    for (line, number) in threats.text.lines().zip(1..) {
        let mut source = None;
        // Every second part is in backticks.
        for word in line.split('`').skip(1).step_by(2) {
            if word.ends_with(".rs") {
                source = Some((word, find(files, word)));
                continue;
            }
            let is_name = word.contains('_')
                && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
            let Some((path, file)) = source.filter(|_| is_name) else { continue };
            if !file.is_some_and(|file| file.text.contains(&format!("fn {word}("))) {
                faults.push(Fault::new(
                    format_args!("{THREATS}:{number}"),
                    format_args!("{path} has no test {word}"),
                ));
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::{check_changelog, check_crate, check_proofs, check_tour};
    use crate::tidy::TextFile;

    fn file(text: &str) -> TextFile {
        TextFile { path: "README.md".to_owned(), text: text.to_owned() }
    }

    #[test]
    fn a_threat_names_tests_that_exist() {
        let source = TextFile { path: "a/b.rs".to_owned(), text: "fn it_holds() {}".to_owned() };
        let faults = |text: &str| check_proofs(Some(&file(text)), std::slice::from_ref(&source));
        assert!(faults("| a threat of `--some_option` | `a/b.rs`: `it_holds` |").is_empty());
        assert_eq!(faults("| a threat | `a/b.rs`: `it_holds`, `it_falls` |").len(), 1);
        assert_eq!(faults("| a threat | `a/c.rs`: `it_holds` |").len(), 1);
        assert_eq!(check_proofs(None, &[]).len(), 1);
    }

    #[test]
    fn a_changelog_has_an_unreleased_section() {
        assert!(check_changelog(Some(&file("# Changes\n\n## [Unreleased]\n"))).is_empty());
        assert_eq!(check_changelog(Some(&file("# Changes\n\n## 0.1.0\n"))).len(), 1);
        assert_eq!(check_changelog(None).len(), 1);
    }

    #[test]
    fn a_crate_has_a_tested_readme() {
        let (readme, library) = (file("# it\n"), file("#![doc = include_str!(\"../README.md\")]"));
        assert!(check_crate("it", Some(&readme), Some(&library)).is_empty());
        assert!(check_crate("it", Some(&readme), None).is_empty());
        assert_eq!(check_crate("it", None, Some(&library)).len(), 1);
        assert_eq!(check_crate("it", Some(&readme), Some(&file("//! It.\n"))).len(), 1);
    }

    #[test]
    fn the_tour_uses_commands_that_exist() {
        let reference = "# d1oci\n\n## d1oci push\n\n## d1oci bag validate\n\n## d1oci bag\n";
        let tour =
            "d1oci gone outside of a block\n```sh\n$ d1oci push x\nd1oci bag validate y\nd1oci --help\n```\n";
        assert!(check_tour(&file(tour), reference).is_empty());
        let faults = check_tour(&file("```sh\nd1oci shove x\n```\n"), reference);
        assert_eq!(faults[0].to_string(), "README.md:2: d1oci shove is not in docs/cli.md");
    }
}
