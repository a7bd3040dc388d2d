//! `cargo xtask tidy`: the rules of the house that no compiler checks. Each rule is a test as well.

mod documents;
mod floors;
mod licences;
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

/// What the rules look at.
struct Project {
    metadata: Metadata,
    files: Vec<TextFile>,
}

/// A rule: what it demands, and the function that finds departures.
type Rule = (&'static str, fn(&Project) -> Result<Vec<Fault>>);

const RULES: [Rule; 7] = [
    ("imports go to lower floors", floors::check),
    ("the dependency trees of the lower floors and of a layout-only build are small", trees::check),
    ("licences of dependencies are on the list", licences::check),
    ("source files have a purpose, a size and no leftovers", sources::check),
    ("no text speaks of one machine", words::check),
    ("crates can be published", manifests::check),
    ("documents have what they promise", documents::check),
];

/// Checks every rule and prints all faults.
///
/// # Errors
///
/// Fails when there is a fault, or when what the rules look at cannot be read.
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

/// Finds what stands in the way of publishing a package, as far as its manifest and those of the other packages tell.
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
        // What is not text is of no interest here.
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
