//! The files that a command is about: patterns for paths, and formats.

use d1_transfer::Candidate;
use globset::{Glob, GlobSet, GlobSetBuilder};

use crate::failure::Failure;

/// A selection of the files of a package.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    /// Patterns of wanted files. Without any, all files are wanted.
    wanted: Option<GlobSet>,
    unwanted: GlobSet,
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
            wanted: if wanted.is_empty() { None } else { Some(globs(wanted)?) },
            unwanted: globs(unwanted)?,
            formats: formats.to_vec(),
        })
    }

    /// Returns whether every file is wanted.
    pub(crate) fn is_everything(&self) -> bool {
        self.text.is_empty()
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
        let whole = format!("{directory}/{path}");
        let fits = |globs: &GlobSet| globs.is_match(path) || !directory.is_empty() && globs.is_match(&whole);
        self.wanted.as_ref().is_none_or(fits) && !fits(&self.unwanted)
    }

    fn wants_format(&self, format_id: Option<&str>) -> bool {
        self.formats.is_empty()
            || format_id.is_some_and(|format| self.formats.iter().any(|wanted| wanted == format))
    }
}

fn globs(patterns: &[String]) -> Result<GlobSet, Failure> {
    let mut globs = GlobSetBuilder::new();
    let mut add = |pattern: &str| {
        let glob = Glob::new(pattern).map_err(|error| Failure::usage(error.to_string()))?;
        globs.add(glob);
        Ok::<(), Failure>(())
    };
    for pattern in patterns {
        let pattern = pattern.strip_prefix("./").unwrap_or(pattern);
        let directory = pattern.trim_end_matches('/');
        if directory == pattern {
            add(pattern)?;
        }
        add(&format!("{directory}/**"))?;
    }
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
