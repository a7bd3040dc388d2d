//! Which paths a package may have: the rules that hold for what we write and for whatever comes from outside.

use std::fmt;

/// Longest path, in bytes, as for archive entries.
pub const LONGEST_PATH: usize = 4096;

/// What is wrong with a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathFault(&'static str);

impl fmt::Display for PathFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}

/// Says why a path cannot stand in a package, or `None` if it can.
///
/// A path is relative, clean (no empty, `.` or `..` component), has at most [`LONGEST_PATH`] bytes, and leads out
/// of its directory on no system (RFC 8493 section 5.1, as [`bagit::path::escape_reason`] has it).
#[must_use]
pub fn path_fault(path: &str) -> Option<PathFault> {
    if let Some(reason) = bagit::path::escape_reason(path) {
        return Some(PathFault(reason));
    }
    if path.len() > LONGEST_PATH {
        return Some(PathFault("it is longer than 4096 bytes"));
    }
    let unclean = path.split('/').any(|component| matches!(component, "" | "."));
    unclean.then_some(PathFault("it has an empty or `.` component"))
}

/// Returns a title without its empty and `.` components, which may leave nothing.
pub(crate) fn clean_title(title: &str) -> Result<String, PathFault> {
    if title.starts_with('/') {
        return Err(PathFault("it is absolute"));
    }
    let kept: Vec<&str> = title.split('/').filter(|component| !matches!(*component, "" | ".")).collect();
    let cleaned = kept.join("/");
    match path_fault(&cleaned) {
        Some(fault) if !cleaned.is_empty() => Err(fault),
        _ => Ok(cleaned),
    }
}

/// Returns the directory that holds a path, `""` for one without a slash.
pub(crate) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

#[cfg(test)]
mod tests {
    use super::{clean_title, path_fault};

    #[test]
    fn clean_relative_paths_are_fine() {
        for path in ["a", "data/a b.csv", "data/Größe", "a..b/c", ".hidden", "data/a:b", "data/x\ny"] {
            assert_eq!(path_fault(path), None, "{path:?}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        let long = "x/".repeat(2048) + "x";
        for path in [
            "", "/a", "a/", "a//b", "./a", "a/.", ".", "..", "a/../b", "a\\..\\b", "C:\\a", "c:a", "~/a",
            "a\0", "%TEMP%/a", &long,
        ] {
            assert!(path_fault(path).is_some(), "{path:?}");
        }
    }

    #[test]
    fn titles_lose_their_dots() {
        for (title, cleaned) in [("pkg", "pkg"), ("pkg/./.", "pkg"), ("./a//b/", "a/b"), (".", ""), ("", "")]
        {
            assert_eq!(clean_title(title).as_deref(), Ok(cleaned), "{title}");
        }
        for title in ["..", "a/../b", "/a", "//", "~/x", "C:\\x"] {
            assert!(clean_title(title).is_err(), "{title}");
        }
    }
}
