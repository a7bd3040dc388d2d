//! Which relative paths are safe, clean and portable.

use std::borrow::Cow;

/// The longest path that [`path_fault`] and [`components`] accept, in bytes: `PATH_MAX` of Linux.
pub const LONGEST_PATH: usize = 4096;

/// Names of directories in which a program keeps files while it changes a bag. No content from outside may have them.
///
/// Such a directory would look like an interrupted work on the bag, which the next call finishes.
pub const WORK_NAMES: [&str; 2] = [".bagit-in-place", ".bagit-commit"];

/// The longest name of one file on common file systems, in bytes.
const LONGEST_NAME: usize = 255;

/// States why a path is refused. Its text is a clause about the path, such as “it is absolute”.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum PathFault {
    /// The path has no characters.
    #[error("it is empty")]
    Empty,
    /// The path has a NUL character, which ends a path for the operating system.
    #[error("it has a NUL character")]
    Nul,
    /// The path begins with `/` or `\`.
    #[error("it is absolute")]
    Absolute,
    /// The path begins with a letter and a colon.
    #[error("it begins with a drive letter")]
    Drive,
    /// The path begins with `~`, which shells replace by a home directory.
    #[error("it begins with ~, a home directory")]
    Home,
    /// The path has a component `..`.
    #[error("it has a .. component")]
    Parent,
    /// The first component has the form `%NAME%`, which Windows shells replace.
    #[error("it begins with an environment variable")]
    Variable,
    /// A component is one of [`WORK_NAMES`], in any case.
    #[error("it has a name that only an interrupted work on a bag may have")]
    Work,
    /// The path is longer than [`LONGEST_PATH`].
    #[error("it is longer than 4096 bytes")]
    TooLong,
    /// The path has an empty component or a component `.`.
    #[error("it has an empty or `.` component")]
    Unclean,
    /// One name in the path is longer than 255 bytes.
    #[error("a name in it is longer than 255 bytes")]
    LongName,
    /// The path has a control character or one of `< > : " \ | ? *`.
    #[error("it has a character that Windows does not allow")]
    Character,
    /// One name in the path ends with a dot or a space, which Windows removes.
    #[error("a name in it ends with a dot or a space")]
    NameEnd,
    /// One name in the path names a device on Windows, such as `CON` or `lpt1.txt`.
    #[error("a name in it is reserved on Windows")]
    Reserved,
}

/// Returns why a path could leave its directory, or `None` if it is safe (RFC 8493, section 5.1).
///
/// The rules of every operating system apply on every operating system.
///
/// ```
/// use safe_files::{PathFault, leaves};
///
/// assert_eq!(leaves("data/../../x"), Some(PathFault::Parent));
/// assert_eq!(leaves("%TEMP%\\x"), Some(PathFault::Variable));
/// assert_eq!(leaves("data/a..b"), None);
/// ```
#[must_use]
pub fn leaves(path: &str) -> Option<PathFault> {
    let first = path.split(['/', '\\']).next().unwrap_or_default();
    if path.is_empty() {
        Some(PathFault::Empty)
    } else if let Some(fault) = leaves_by_separators(path) {
        Some(fault)
    } else if has_drive(path) {
        Some(PathFault::Drive)
    } else if path.starts_with('~') {
        Some(PathFault::Home)
    } else if first.len() > 2 && first.starts_with('%') && first.ends_with('%') {
        Some(PathFault::Variable)
    } else {
        None
    }
}

/// Says whether a component of a path is one of [`WORK_NAMES`]. File systems may ignore case.
///
/// ```
/// assert!(safe_files::has_work_name("bag/.BagIt-Commit/x"));
/// assert!(!safe_files::has_work_name("bag/.bagit-commit.txt"));
/// ```
#[must_use]
pub fn has_work_name(path: &str) -> bool {
    let is_work = |name: &str| WORK_NAMES.iter().any(|work| name.eq_ignore_ascii_case(work));
    path.split(['/', '\\']).any(is_work)
}

/// Returns why a path is not a clean relative path, or `None` if it is one.
///
/// Such a path stays in its directory on every system, has no empty and no `.` component, no name of [`WORK_NAMES`], and at most
/// [`LONGEST_PATH`] bytes. Names that only shells read, such as `~$a.docx` and `%TEMP%`, are plain names, except `~` itself.
#[must_use]
pub fn path_fault(path: &str) -> Option<PathFault> {
    let is_plain_name = |fault: PathFault| match fault {
        PathFault::Home => path != "~" && !path.starts_with("~/"),
        fault => fault == PathFault::Variable,
    };
    leaves(path).filter(|fault| !is_plain_name(*fault)).or_else(|| {
        let unclean = || path.split('/').any(|component| matches!(component, "" | "."));
        if path.len() > LONGEST_PATH {
            Some(PathFault::TooLong)
        } else if has_work_name(path) {
            Some(PathFault::Work)
        } else {
            unclean().then_some(PathFault::Unclean)
        }
    })
}

/// Splits the name of an archive entry into components, without empty and `.` components.
///
/// A path that stays in its directory for the operating system is accepted. `~/x` and `a:b` are plain names here, since no shell
/// reads them. Archives of other programs hold such names.
///
/// # Errors
/// Why the path is refused.
///
/// ```
/// assert_eq!(safe_files::components("./data//a.csv"), Ok(vec!["data", "a.csv"]));
/// assert!(safe_files::components("data\\..\\x").is_err());
/// ```
pub fn components(path: &str) -> Result<Vec<&str>, PathFault> {
    if path.len() > LONGEST_PATH {
        Err(PathFault::TooLong)
    } else if is_absolute(path) {
        Err(PathFault::Absolute)
    } else if let Some(fault) = leaves_by_separators(path) {
        Err(fault)
    } else if has_work_name(path) {
        Err(PathFault::Work)
    } else {
        Ok(path.split('/').filter(|component| !matches!(*component, "" | ".")).collect())
    }
}

/// Returns the faults that no kind of path may have. A backslash separates names on some systems.
fn leaves_by_separators(path: &str) -> Option<PathFault> {
    if path.contains('\0') {
        Some(PathFault::Nul)
    } else if path.starts_with(['/', '\\']) {
        Some(PathFault::Absolute)
    } else if path.split(['/', '\\']).any(|component| component == "..") {
        Some(PathFault::Parent)
    } else {
        None
    }
}

/// Says whether a path is absolute on any system: `/x`, `\x`, `C:/x` or `C:\x`.
#[must_use]
pub fn is_absolute(path: &str) -> bool {
    let has_rooted_drive = has_drive(path) && matches!(path.as_bytes().get(2), Some(b'/' | b'\\'));
    path.starts_with(['/', '\\']) || has_rooted_drive
}

fn has_drive(path: &str) -> bool {
    matches!(path.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic())
}

/// Removes empty and `.` components. A slash at the end stays, because it marks a directory.
///
/// ```
/// assert_eq!(safe_files::without_dots("./data//x/."), "data/x/");
/// ```
#[must_use]
pub fn without_dots(path: &str) -> Cow<'_, str> {
    let odd = path.starts_with("./") || path.contains("/./") || path.contains("//") || path.ends_with("/.");
    if !odd {
        return Cow::Borrowed(path);
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    let end = if path.ends_with('/') || path.ends_with("/.") { "/" } else { "" };
    Cow::Owned(format!("{}{end}", parts.join("/")))
}

/// Iterates over the directories that lead to a path, the outermost first.
///
/// ```
/// assert!(safe_files::ancestors("a/b/c.csv").eq(["a", "a/b"]));
/// ```
pub fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/')
        .filter_map(|(slash, _)| path.get(..slash))
        .filter(|directory| !directory.is_empty())
}

/// Returns the directory that holds a path, `""` for a path without a slash.
#[must_use]
pub fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// Says whether a path lies below a directory.
#[must_use]
pub fn is_below(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'))
}

/// Returns why a path cannot exist on Windows or most other systems, or `None` if it can (RFC 8493, section 6.1.2).
///
/// ```
/// assert!(safe_files::portability_fault("data/aux.csv").is_some());
/// assert!(safe_files::portability_fault("data/auxiliary.csv").is_none());
/// ```
#[must_use]
pub fn portability_fault(path: &str) -> Option<PathFault> {
    path.split('/').find_map(name_fault)
}

fn name_fault(name: &str) -> Option<PathFault> {
    const FORBIDDEN: [char; 8] = ['<', '>', ':', '"', '\\', '|', '?', '*'];
    if name.len() > LONGEST_NAME {
        Some(PathFault::LongName)
    } else if name.contains(FORBIDDEN) || name.chars().any(|character| character < ' ') {
        Some(PathFault::Character)
    } else if name.ends_with(['.', ' ']) {
        Some(PathFault::NameEnd)
    } else if is_reserved(name) {
        Some(PathFault::Reserved)
    } else {
        None
    }
}

fn is_reserved(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_ascii_uppercase();
    let numbered =
        |prefix| stem.strip_prefix(prefix).is_some_and(|rest| matches!(rest.as_bytes(), [b'1'..=b'9']));
    matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL") || numbered("COM") || numbered("LPT")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::{components, leaves, path_fault, portability_fault, without_dots};

    #[test]
    fn paths_that_could_leave_on_any_system() {
        let bad = [
            "",
            "/tmp/x",
            "../x",
            "data/../../x",
            "data/..",
            "~/x",
            "~root/x",
            "C:\\x",
            "c:x",
            "\\\\?\\UNC\\s\\x",
            "\\x",
            "%HomeDrive%\\x",
            "%TEMP%/x",
            "data\\..\\..\\x",
            "data/\0",
        ];
        for path in bad {
            assert!(leaves(path).is_some(), "{path:?}");
        }
        for path in ["data/a..b", "data/~x", "data/...", "data/%7E", "data/a:b", "%data/x", "data/x\\y"] {
            assert_eq!(leaves(path), None, "{path:?}");
        }
    }

    #[test]
    fn clean_relative_paths_have_no_fault() {
        for path in [
            "a",
            "data/a b.csv",
            "data/Größe",
            "a..b/c",
            ".hidden",
            "data/a:b",
            "data/x\ny",
            "~$a.docx",
            "%TEMP%/a",
        ] {
            assert_eq!(path_fault(path), None, "{path:?}");
        }
        let long = "x/".repeat(2048) + "x";
        for path in [
            "",
            "/a",
            "a/",
            "a//b",
            "./a",
            "a/.",
            ".",
            "..",
            "a/../b",
            "a\\..\\b",
            "C:\\a",
            "c:a",
            "a/.bagit-commit",
            "a\0",
            ".bagit-in-place/x",
            "~/a",
            "~",
            &long,
        ] {
            assert!(path_fault(path).is_some(), "{path:?}");
        }
    }

    #[test]
    fn archive_entries_may_have_names_that_only_shells_read() {
        assert_eq!(components("a:b/urn:uuid:1"), Ok(vec!["a:b", "urn:uuid:1"]));
        assert_eq!(components("~/%x%"), Ok(vec!["~", "%x%"]));
        assert_eq!(components("./a/./"), Ok(vec!["a"]));
        let long = "x/".repeat(2049);
        for path in [
            "/a",
            "a/..",
            "..\\a",
            "C:\\a",
            "c:/a",
            "\\\\server\\a",
            "a\0b",
            ".bagit-commit/x",
            long.as_str(),
        ] {
            assert!(components(path).is_err(), "{path:?}");
        }
    }

    #[test]
    fn only_dots_and_doubled_slashes_are_removed() {
        let cases = [
            ("./data/x", "data/x"),
            ("data//x", "data/x"),
            ("data/./x", "data/x"),
            ("data/x/", "data/x/"),
            ("data/x/.", "data/x/"),
            ("data/.x", "data/.x"),
            ("././data/x", "data/x"),
        ];
        for (path, expected) in cases {
            assert_eq!(without_dots(path), expected, "{path}");
        }
    }

    #[test]
    fn names_that_windows_refuses() {
        for path in
            ["data/a:b", "data/CON", "data/com1.txt", "data/nul.tar.gz", "data/x ", "data/a\\b", "data/x."]
        {
            assert!(portability_fault(path).is_some(), "{path}");
        }
        assert!(portability_fault(&format!("data/{}", "x".repeat(256))).is_some());
        for path in ["data/CONS", "data/COM", "data/com10", "data/a b.csv", "data/.hidden"] {
            assert_eq!(portability_fault(path), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn no_path_makes_the_rules_panic(path in any::<String>()) {
            let _ = (leaves(&path), path_fault(&path), portability_fault(&path));
            let _ = (components(&path).ok(), without_dots(&path));
        }
    }
}
