//! Commands and programs that get a package or a file, for people to copy. The tests run each of them.

use d1_catalog::{CatalogFile, CatalogPackage};

use super::described::Described;
use crate::packages::file_url;

/// A command or program to copy.
pub(super) struct Snippet {
    pub(super) tool: &'static str,
    pub(super) about: &'static str,
    pub(super) text: String,
}

/// The type of a repository's name: whether other tools than d1oci can read it as it is.
enum Place {
    Registry,
    Layout,
    Other,
}

/// Returns the reference of a package, pinned to its digest.
pub(super) fn reference(package: &CatalogPackage) -> String {
    format!("{}@{}", package.repository, package.summary.digest)
}

/// Returns the ways to get a whole package. `example` is a table of it, if there is one.
pub(super) fn of_package(
    described: &Described,
    package: &CatalogPackage,
    example: Option<&CatalogFile>,
) -> Vec<Snippet> {
    let place = place(&package.repository);
    let quoted = shell(&reference(package));
    let mut snippets = vec![Snippet {
        tool: "curl",
        about: "One zip; run it again to resume",
        text: format!(
            "curl -C - -o {} {}",
            shell(&format!("{}.zip", package.summary.tag)),
            shell(&described.zip_url())
        ),
    }];
    if !matches!(place, Place::Other) {
        snippets.push(Snippet {
            tool: "d1oci",
            about: "The bag with every file verified",
            text: format!("d1oci pull {quoted} -o package"),
        });
    }
    if let Some(layout) = package.repository.strip_prefix("oci:") {
        snippets.push(Snippet {
            tool: "oras",
            about: "Any OCI client",
            text: format!(
                "oras pull --oci-layout {} -o package",
                shell(&format!("{layout}@{}", package.summary.digest))
            ),
        });
    } else if matches!(place, Place::Registry) {
        snippets.push(Snippet {
            tool: "oras",
            about: "Any OCI client",
            text: format!("oras pull {quoted} -o package"),
        });
    }
    if let Some(file) = example {
        snippets.extend(of_table(&file_url(&described.base_url, &described.key, &file.path)));
    }
    snippets.push(Snippet {
        tool: "sha256sum",
        about: "Checks the files in the directory of the package",
        text: format!(
            "curl -s {} | sha256sum --check",
            shell(&format!("{}/sha256sums/{}", described.base_url, described.key))
        ),
    });
    snippets
}

/// Returns the ways to get a file.
pub(super) fn of_file(
    url: &str,
    file: &CatalogFile,
    package: &CatalogPackage,
    is_table: bool,
) -> Vec<Snippet> {
    let mut snippets = vec![Snippet {
        tool: "curl",
        about: "Run it again to resume",
        text: format!("curl -C - -o {} {}", shell(&own_name(file.name())), shell(url)),
    }];
    if !matches!(place(&package.repository), Place::Other) {
        snippets.push(Snippet {
            tool: "d1oci",
            about: "Verified, straight from the store",
            text: format!("d1oci cat {} {}", shell(&reference(package)), shell(&file.path)),
        });
    }
    if is_table {
        snippets.extend(of_table(url));
    }
    snippets
}

fn of_table(url: &str) -> Vec<Snippet> {
    let python = quoted(url, '"');
    let sql = format!("'{}'", url.replace('\'', "''"));
    vec![
        Snippet {
            tool: "Python",
            about: "pandas",
            text: format!("import pandas\ntable = pandas.read_csv({python})"),
        },
        Snippet { tool: "R", about: "Base R", text: format!("table <- read.csv({python})") },
        Snippet { tool: "DuckDB", about: "SQL", text: format!("SELECT * FROM read_csv({sql}) LIMIT 10;") },
    ]
}

fn place(repository: &str) -> Place {
    match repository {
        _ if repository.starts_with("oci:") => Place::Layout,
        _ if repository.contains("://") || !repository.contains('/') => Place::Other,
        _ => Place::Registry,
    }
}

/// Returns a file name that is not an option, a hidden file or a path.
fn own_name(name: &str) -> String {
    let kept: String =
        name.chars().map(|c| if c.is_control() || c == '/' || c == '\\' { '_' } else { c }).collect();
    let kept = kept.trim_start_matches(['-', '.']);
    if kept.is_empty() { "file".to_owned() } else { kept.to_owned() }
}

/// Returns a word for a POSIX shell.
fn shell(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:@%+=,".contains(&byte);
    match !text.is_empty() && text.bytes().all(is_plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// Returns a text literal as Python and R read it.
fn quoted(text: &str, quote: char) -> String {
    let mut literal = String::from(quote);
    for character in text.chars() {
        if character == quote || character == '\\' {
            literal.push('\\');
        }
        literal.push(if character.is_control() { ' ' } else { character });
    }
    literal.push(quote);
    literal
}

#[cfg(test)]
mod tests {
    use super::{own_name, quoted, shell};

    #[test]
    fn texts_stay_inside_their_quotes() {
        assert_eq!(shell("https://a/b%20c"), "https://a/b%20c");
        assert_eq!(shell("a'; rm -rf ~"), r"'a'\''; rm -rf ~'");
        assert_eq!(shell("a$(b)"), "'a$(b)'");
        assert_eq!(shell(""), "''");
        assert_eq!(own_name("-o/../x"), "o_.._x");
        assert_eq!(own_name("..."), "file");
        assert_eq!(quoted("a\"\\\n", '"'), "\"a\\\"\\\\ \"");
    }
}
