//! `cargo xtask tidy`: rules of this project that no compiler checks. Each rule is also a test.

mod cycles;
mod documents;
mod english;
mod floors;
mod manifests;
mod sources;
#[cfg(test)]
mod tests;
mod trees;
mod words;

use std::fmt;
use std::fs;

use crate::error::Result;
use crate::metadata::{Metadata, Package};
use crate::{console, workspace};

/// One departure from a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fault {
    /// The file, with the line where there is one, or the package.
    place: String,
    message: String,
}

/// One text file of the project.
#[derive(Debug, Clone)]
struct TextFile {
    /// Its path relative to the root of the project.
    path: String,
    text: String,
}

/// The subject of the rules.
struct Project {
    metadata: Metadata,
    files: Vec<TextFile>,
}

/// A rule: its demand, and the function that finds departures.
type Rule = (&'static str, fn(&Project) -> Result<Vec<Fault>>);

const RULES: [Rule; 8] = [
    ("imports go to lower floors", floors::check),
    ("the dependency trees of the lower floors and of a layout-only build are small", trees::check),
    ("source files have a purpose and no leftovers", sources::check),
    ("files of a crate do not import each other in a circle", cycles::check),
    ("comments, messages and documents are plain English", english::check),
    ("no text speaks of one machine", words::check),
    ("crates can be published", manifests::check),
    ("documents name commands and tests that exist", documents::check),
];

/// Checks every rule and prints all faults.
///
/// # Errors
///
/// Fails when there is a fault, or when the project cannot be read.
pub fn run() -> Result<()> {
    let project = Project::load()?;
    let mut count = 0;
    for (rule, check) in RULES {
        let faults = check(&project)?;
        count += faults.len();
        console::note(format_args!("tidy: {rule}: {}", if faults.is_empty() { "yes" } else { "no" }));
        faults.iter().for_each(console::result);
    }
    if count == 0 { Ok(()) } else { Err(format!("tidy: {count} faults").into()) }
}

/// Finds the problems in manifests that prevent publishing a package.
#[must_use]
pub fn publishing_problems(package: &Package, members: &[&Package]) -> Vec<String> {
    manifests::check_package(package, members).into_iter().map(|fault| fault.message).collect()
}

impl Project {
    fn load() -> Result<Self> {
        let metadata = Metadata::load()?;
        let read = |path: String| {
            let text = fs::read(workspace::root().join(&path))
                .ok()
                .and_then(|bytes| String::from_utf8(bytes).ok())?;
            Some(TextFile { path, text })
        };
        // The rules are about text: other files are left out.
        let files = workspace::files()?.into_iter().filter_map(read).collect();
        Ok(Self { metadata, files })
    }
}

impl Fault {
    fn new(place: impl fmt::Display, message: impl fmt::Display) -> Self {
        Self { place: place.to_string(), message: message.to_string() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.place, self.message)
    }
}
