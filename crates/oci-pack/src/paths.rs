//! Names in archives: which names are safe, and which paths below the layer's title they mean.

use safe_files::{LONGEST_PATH, PathFault, components, is_absolute};

use crate::error::{ArchiveError, ArchiveErrorKind};

/// The title of a layer as path components.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TitlePrefix(Vec<String>);

impl TitlePrefix {
    /// Reads a title. `dir` and `dir/.` are the same; `.` and the empty title are not a prefix.
    pub(crate) fn new(title: &str) -> Result<Self, ArchiveError> {
        let refuse = |fault: PathFault| {
            let detail = format!("the layer's title `{title}` is unsafe: {fault}");
            ArchiveError::new(ArchiveErrorKind::UnsafePath, detail)
        };
        let components = components(title).map_err(refuse)?;
        Ok(Self(components.into_iter().map(str::to_owned).collect()))
    }

    /// Returns the path below the title; `""` means the title's directory itself.
    pub(crate) fn relative(&self, name: &[u8]) -> Result<String, ArchiveError> {
        let unsafe_path = |fault: PathFault| {
            ArchiveError::new(ArchiveErrorKind::UnsafePath, format!("the name is unsafe: {fault}"))
        };
        let name = std::str::from_utf8(name)
            .map_err(|_| ArchiveError::new(ArchiveErrorKind::NotUtf8, "the name is not UTF-8"))?;
        if name.is_empty() {
            return Err(unsafe_path(PathFault::Empty));
        }
        let components = components(name).map_err(unsafe_path)?;
        match components.split_at_checked(self.0.len()) {
            Some((prefix, rest)) if prefix == self.0 => Ok(rest.join("/")),
            _ => {
                let detail = format!("the name is outside the layer's title `{}`", self.0.join("/"));
                Err(ArchiveError::new(ArchiveErrorKind::OutsideTitle, detail))
            }
        }
    }
}

/// Checks that a symbolic link at `path` cannot lead out. Its target is relative, and has `..` only at its start,
/// at most as often as the link is deep.
///
/// `..` after a name could leave through another link, because the name may be one.
pub(crate) fn check_link_target<'a>(path: &str, target: &'a [u8]) -> Result<&'a str, ArchiveError> {
    let refuse = |detail: &str| ArchiveError::new(ArchiveErrorKind::LinkTarget, detail);
    let target = std::str::from_utf8(target).map_err(|_| refuse("the link's target is not UTF-8"))?;
    if target.is_empty() || target.len() > LONGEST_PATH || target.contains('\0') {
        return Err(refuse("the link's target is empty, too long or has a NUL character"));
    }
    if is_absolute(target) {
        return Err(refuse("the link's target is absolute"));
    }
    let mut components = target.split(['/', '\\']).filter(|part| !matches!(*part, "" | ".")).peekable();
    let mut ups = 0;
    while components.next_if_eq(&"..").is_some() {
        ups += 1;
    }
    if components.any(|component| component == "..") {
        return Err(refuse("the link's target has `..` after a name"));
    }
    if ups > path.matches('/').count() {
        return Err(refuse("the link's target is outside the archive"));
    }
    Ok(target)
}

/// Returns a name for messages: wrong UTF-8 and control characters are replaced, and it is cut at 300 characters.
pub(crate) fn printable(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name.get(..LONGEST_PATH).unwrap_or(name));
    let mut printable: String = text
        .chars()
        .take(300)
        .map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
        .collect();
    if text.chars().nth(300).is_some() {
        printable.push('…');
    }
    printable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_relative_to_the_title() {
        let cases = [
            ("pkg", "pkg", Ok("")),
            ("pkg", "pkg/", Ok("")),
            ("pkg", "./pkg//data/./a.csv", Ok("data/a.csv")),
            ("pkg", "pkg/data/", Ok("data")),
            ("pkg/.", "pkg/a", Ok("a")),
            ("pkg/./.", "pkg/a", Ok("a")),
            ("a/b", "a/b/c", Ok("c")),
            (".", "./a", Ok("a")),
            ("", ".", Ok("")),
            (".", "a:b/urn:uuid:1", Ok("a:b/urn:uuid:1")),
            ("pkg", "pkgs/a", Err(ArchiveErrorKind::OutsideTitle)),
            ("pkg", "a", Err(ArchiveErrorKind::OutsideTitle)),
            ("pkg", ".", Err(ArchiveErrorKind::OutsideTitle)),
            ("pkg", "PKG/a", Err(ArchiveErrorKind::OutsideTitle)),
            ("pkg", "", Err(ArchiveErrorKind::UnsafePath)),
            ("pkg", "/pkg/a", Err(ArchiveErrorKind::UnsafePath)),
            ("pkg", "pkg/../a", Err(ArchiveErrorKind::UnsafePath)),
            ("pkg", "pkg/a/..", Err(ArchiveErrorKind::UnsafePath)),
            ("pkg", "pkg/a\\..\\b", Err(ArchiveErrorKind::UnsafePath)),
            (".", "..\\a", Err(ArchiveErrorKind::UnsafePath)),
            (".", "C:\\a", Err(ArchiveErrorKind::UnsafePath)),
            (".", "c:/a", Err(ArchiveErrorKind::UnsafePath)),
            (".", "\\\\server\\a", Err(ArchiveErrorKind::UnsafePath)),
            (".", "a\0b", Err(ArchiveErrorKind::UnsafePath)),
        ];
        for (title, name, expected) in cases {
            let found = TitlePrefix::new(title).unwrap().relative(name.as_bytes());
            assert_eq!(found.as_deref().map_err(ArchiveError::kind), expected, "{title} {name}");
        }
        let long = "x/".repeat(2049);
        assert!(TitlePrefix::new(".").unwrap().relative(long.as_bytes()).is_err());
        let latin1 = TitlePrefix::new(".").unwrap().relative(b"Gr\xf6\xdfe").unwrap_err();
        assert_eq!(latin1.kind(), ArchiveErrorKind::NotUtf8);
    }

    #[test]
    fn unsafe_titles_are_refused() {
        for title in ["../x", "/x", "x/..", "C:\\x"] {
            assert_eq!(TitlePrefix::new(title).unwrap_err().kind(), ArchiveErrorKind::UnsafePath, "{title}");
        }
    }

    #[test]
    fn link_targets_stay_inside() {
        let good = [("a", "b"), ("a/b", "../c"), ("a/b/c", "../../d/e"), ("a/b", "./c"), ("a/b", "..")];
        for (path, target) in good {
            assert_eq!(check_link_target(path, target.as_bytes()).unwrap(), target);
        }
        let bad = [
            ("a", ".."),
            ("a", "../b"),
            ("a/b", "../../c"),
            ("a/b/c", "d/../../../.."),
            ("a/b/c", "d/.."),
            ("a", "/etc/hostname"),
            ("a", ""),
            ("a", "b\0"),
            ("a", "..\\b"),
            ("a", "C:\\b"),
        ];
        for (path, target) in bad {
            assert!(check_link_target(path, target.as_bytes()).is_err(), "{path} {target}");
        }
    }

    #[test]
    fn names_in_messages_are_printable() {
        assert_eq!(printable(b"a\nb\x1b[31m\xff"), "a\u{fffd}b\u{fffd}[31m\u{fffd}");
        assert_eq!(printable("ö".repeat(301).as_bytes()).chars().count(), 301);
    }
}
