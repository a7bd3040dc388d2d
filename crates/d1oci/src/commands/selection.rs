//! The files that a command is about: patterns for paths, and formats.

use d1_transfer::Candidate;
use globset::{Glob, GlobSet, GlobSetBuilder};

use crate::failure::Failure;

/// A selection of the files of a package.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    /// Patterns of wanted files. Without any, all files are wanted.
    wanted: Vec<Pattern>,
    unwanted: Vec<Pattern>,
    /// The only formats that are wanted. Without any, all are.
    formats: Vec<String>,
    /// The selection in words.
    text: String,
}

impl Selection {
    /// Reads the patterns. A pattern that ends in `/`, or that names a directory, stands for all that is below it. The name of the
    /// package's directory may stand in front, as in a path that was copied from a pulled package.
    ///
    /// # Errors
    ///
    /// If a pattern is not valid.
    pub(crate) fn new(wanted: &[String], unwanted: &[String], formats: &[String]) -> Result<Self, Failure> {
        let without = unwanted.iter().map(|pattern| format!("not {pattern}"));
        let words = wanted.iter().chain(formats).cloned().chain(without);
        Ok(Self {
            text: words.collect::<Vec<_>>().join(", "),
            wanted: patterns(wanted)?,
            unwanted: patterns(unwanted)?,
            formats: formats.to_vec(),
        })
    }

    /// Returns whether every file is wanted.
    pub(crate) fn is_everything(&self) -> bool {
        self.wanted.is_empty() && self.unwanted.is_empty() && self.formats.is_empty()
    }

    /// Returns the selection in words.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Returns whether the file is wanted.
    pub(crate) fn wants(&self, file: &Candidate<'_>) -> bool {
        self.wants_path(file.path, file.directory) && self.wants_format(file.format_id)
    }

    /// Returns whether a file with this path is wanted, whatever its format.
    pub(crate) fn wants_path(&self, path: &str, directory: &str) -> bool {
        let fits = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.fits(path, directory));
        (self.wanted.is_empty() || fits(&self.wanted)) && !fits(&self.unwanted)
    }

    fn wants_format(&self, format_id: Option<&str>) -> bool {
        self.formats.is_empty()
            || format_id.is_some_and(|format| self.formats.iter().any(|wanted| wanted == format))
    }
}

/// A pattern for paths in a package.
#[derive(Clone, Debug)]
struct Pattern {
    globs: GlobSet,
    /// The pattern behind its first directory, with that directory: it may be the one of the package.
    below: Option<(String, GlobSet)>,
}

impl Pattern {
    fn fits(&self, path: &str, directory: &str) -> bool {
        let is_below = |(first, globs): &(String, GlobSet)| first == directory && globs.is_match(path);
        self.globs.is_match(path) || self.below.as_ref().is_some_and(is_below)
    }
}

fn patterns(patterns: &[String]) -> Result<Vec<Pattern>, Failure> {
    let pattern = |pattern: &String| {
        let pattern = pattern.strip_prefix("./").unwrap_or(pattern);
        if pattern.is_empty() {
            return Err(Failure::usage("expected a pattern for paths, found an empty one"));
        }
        let first = pattern.split_once('/').filter(|(_, rest)| !rest.is_empty());
        let below = first.map(|(first, rest)| Ok::<_, Failure>((first.to_owned(), globs(rest)?)));
        Ok(Pattern { globs: globs(pattern)?, below: below.transpose()? })
    };
    patterns.iter().map(pattern).collect()
}

fn globs(pattern: &str) -> Result<GlobSet, Failure> {
    let mut globs = GlobSetBuilder::new();
    let mut add = |pattern: &str| {
        let glob = Glob::new(pattern).map_err(|error| Failure::usage(error.to_string()))?;
        globs.add(glob);
        Ok::<(), Failure>(())
    };
    let directory = pattern.trim_end_matches('/');
    if directory == pattern {
        add(pattern)?;
    }
    add(&format!("{directory}/**"))?;
    globs.build().map_err(|error| Failure::usage(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_means_files_and_directories() {
        let wants = |pattern: &str, path: &str| {
            Selection::new(&[pattern.to_owned()], &[], &[]).unwrap().wants_path(path, "dataset")
        };
        for pattern in
            ["data/", "data", "./data/", "data/*.csv", "*.csv", "dataset/data", "dataset/data/a.csv"]
        {
            assert!(wants(pattern, "data/a.csv"), "{pattern}");
            assert!(!wants(pattern, "metadata/eml.xml"), "{pattern}");
        }
        assert!(!wants("dat", "data/a.csv"));
        // The name of the package's directory does not belong to the paths that a pattern searches.
        assert!(!wants("*set*", "data/a.csv") && !wants("d*t", "data/a.csv"));
        assert!(Selection::new(&[String::new()], &[], &[]).is_err());
    }

    #[test]
    fn unwanted_files_are_left_out() {
        let selection = Selection::new(&[], &["data/large/".to_owned()], &[]).unwrap();
        assert!(selection.wants_path("data/a.csv", ""));
        assert!(!selection.wants_path("data/large/b.csv", ""));
        assert!(!selection.is_everything());
        assert_eq!(selection.text(), "not data/large/");
    }
}
