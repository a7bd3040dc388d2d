//! Texts that are true on one machine only: its directories, and the hosts that its packages came from.

use super::{Fault, Project, TextFile};
use crate::error::Result;

/// Directories of one machine. They are put together here so that this file has none either.
const DIRECTORIES: [&str; 5] = [
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
    concat!("/op", "t/peers"),
];

/// Temporary directories, which tests may name.
const TEMPORARY: &str = concat!("/t", "mp/");

/// Hosts that package managers know by themselves.
const HOSTS: [&str; 7] = [
    concat!("index.", "crates.io"),
    concat!("static.", "crates.io"),
    concat!("proxy.", "golang.org"),
    concat!("files.", "pythonhosted.org"),
    concat!("pypi.", "org/simple"),
    concat!("deb.", "debian.org"),
    concat!("registry.", "npmjs.org"),
];

pub(super) fn check(project: &Project) -> Result<Vec<Fault>> {
    Ok(project.files.iter().flat_map(check_file).collect())
}

fn check_file(file: &TextFile) -> Vec<Fault> {
    let mut is_test = file.path.split('/').any(|part| part == "tests" || part == "tests.rs");
    let mut faults = Vec::new();
    for (line, number) in file.text.lines().zip(1..) {
        is_test |= line.trim_start().starts_with("#[cfg(test)]");
        let directories = DIRECTORIES.into_iter().filter(|text| names_directory(line, text, false));
        let temporary = (!is_test && names_directory(line, TEMPORARY, true)).then_some(TEMPORARY);
        let hosts = HOSTS.into_iter().filter(|text| line.contains(text));
        let found = directories.chain(temporary).chain(hosts);
        let place = format!("{}:{number}", file.path);
        faults.extend(found.map(|text| Fault::new(&place, format_args!("{text} is not everywhere"))));
    }
    faults
}

/// Returns whether the line has the directory as the beginning of a path; only with a letter after it, if so asked.
fn names_directory(line: &str, directory: &str, wants_letter: bool) -> bool {
    line.match_indices(directory).any(|(start, _)| {
        let before = line[..start].chars().next_back();
        let after = line[start + directory.len()..].chars().next();
        let starts_path =
            before.is_none_or(|character| !(character.is_alphanumeric() || "._~-}".contains(character)));
        starts_path && (!wants_letter || after.is_some_and(|character| character.is_ascii_lowercase()))
    })
}

#[cfg(test)]
mod tests {
    use super::{DIRECTORIES, HOSTS, TEMPORARY, check_file};
    use crate::tidy::TextFile;

    fn count(path: &str, text: &str) -> usize {
        check_file(&TextFile { path: path.to_owned(), text: text.to_owned() }).len()
    }

    #[test]
    fn paths_and_hosts_of_one_machine_are_found() {
        for text in DIRECTORIES.into_iter().chain(HOSTS) {
            assert_eq!(count("docs/a.md", &format!("\nSee `{text}x`.\n")), 1, "{text}");
        }
        assert_eq!(count("src/a.rs", &format!("\"{TEMPORARY}scratch\"")), 1);
    }

    #[test]
    fn what_only_looks_alike_is_left_alone() {
        for directory in DIRECTORIES {
            assert_eq!(count("a.md", &format!("https://example.org{directory}x")), 0, "{directory}");
        }
        assert_eq!(count("a.md", TEMPORARY), 0);
        for (path, text) in [("tests/src/a.rs", ""), ("src/a/tests.rs", ""), ("src/a.rs", "#[cfg(test)]\n")] {
            assert_eq!(count(path, &format!("{text}\"{TEMPORARY}scratch\"")), 0, "{path}");
        }
    }
}
