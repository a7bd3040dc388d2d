//! Rules for paths in bags: which could escape, how names are escaped in manifests, which names are not portable.

use std::borrow::Cow;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use unicode_normalization::{UnicodeNormalization, is_nfc_quick};

use crate::version::Version;

/// Says why a path could lead out of the bag on some system, or `None` if it is safe (RFC 8493, section 5.1).
///
/// Every system's rules hold on every system: absolute paths, `..` components, a leading `~`, drive letters, shares,
/// environment variables as a first component, and NUL.
#[must_use]
pub fn escape_reason(path: &str) -> Option<&'static str> {
    let windows_first = path.split(['/', '\\']).next().unwrap_or_default();
    let drive =
        path.as_bytes().first().is_some_and(u8::is_ascii_alphabetic) && path.as_bytes().get(1) == Some(&b':');
    if path.is_empty() {
        Some("it is empty")
    } else if path.contains('\0') {
        Some("it has a NUL character")
    } else if path.starts_with('/') || path.starts_with('\\') {
        Some("it is absolute")
    } else if drive {
        Some("it begins with a drive letter")
    } else if path.starts_with('~') {
        Some("it begins with ~, a home directory")
    } else if path.split(['/', '\\']).any(|component| component == "..") {
        Some("it has a .. component")
    } else if windows_first.len() > 2 && windows_first.starts_with('%') && windows_first.ends_with('%') {
        Some("it begins with an environment variable")
    } else {
        None
    }
}

/// Walks the directories that lead to a path, the outermost first.
pub fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/')
        .filter_map(|(slash, _)| path.get(..slash))
        .filter(|directory| !directory.is_empty())
}

/// Says whether a path lies in a directory or below it.
#[must_use]
pub fn is_below(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'))
}

/// Removes `.` and empty components; a slash at the end stays, since it marks a directory.
pub(crate) fn canonical(path: &str) -> Cow<'_, str> {
    let odd = path.starts_with("./") || path.contains("/./") || path.contains("//") || path.ends_with("/.");
    if !odd {
        return Cow::Borrowed(path);
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    let end = if path.ends_with('/') || path.ends_with("/.") { "/" } else { "" };
    Cow::Owned(format!("{}{end}", parts.join("/")))
}

/// Escapes a path for a manifest or `fetch.txt` of version 1.0: LF, CR and `%` (RFC 8493, section 2.1.3).
#[must_use]
pub fn encode(path: &str) -> Cow<'_, str> {
    if path.contains(['\n', '\r', '%']) {
        Cow::Owned(path.replace('%', "%25").replace('\n', "%0A").replace('\r', "%0D"))
    } else {
        Cow::Borrowed(path)
    }
}

/// Undoes the escapes of one version: `%0A`, `%0D` and `%25` in 1.0, the first two in 0.97, none before.
///
/// Any other `%` stays as it is, as the sections on manifests of the RFC and of draft 0.97 ask.
#[must_use]
pub fn decode(path: &str, version: Version) -> Cow<'_, str> {
    if version < Version::V0_97 || !path.contains('%') {
        return Cow::Borrowed(path);
    }
    let mut decoded = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('%') {
        decoded.push_str(before);
        let character = match after.get(..2).map(str::to_ascii_uppercase).as_deref() {
            Some("0A") => Some('\n'),
            Some("0D") => Some('\r'),
            Some("25") if version.is_rfc() => Some('%'),
            _ => None,
        };
        match character.zip(after.get(2..)) {
            Some((character, tail)) => {
                decoded.push(character);
                rest = tail;
            }
            None => {
                decoded.push('%');
                rest = after;
            }
        }
    }
    decoded.push_str(rest);
    Cow::Owned(decoded)
}

/// Says whether a 1.0 manifest path has a `%` that is not one of the three escapes, and so was not encoded.
pub(crate) fn has_stray_percent(path: &str) -> bool {
    path.split('%').skip(1).any(|after| {
        let escape = after.get(..2).map(str::to_ascii_uppercase);
        !matches!(escape.as_deref(), Some("0A" | "0D" | "25"))
    })
}

/// Gives the form in which names that differ only in normalisation are equal.
pub(crate) fn normalised(path: &str) -> Cow<'_, str> {
    if is_nfc_quick(path.chars()) == unicode_normalization::IsNormalized::Yes {
        Cow::Borrowed(path)
    } else {
        Cow::Owned(path.nfc().collect())
    }
}

/// Gives the form in which names that differ only in case or normalisation are equal.
#[must_use]
pub fn folded(path: &str) -> String {
    if path.is_ascii() { path.to_ascii_lowercase() } else { path.to_lowercase().nfc().collect() }
}

/// Gives the names that fold to the same as another one, and perhaps a few more, each with its folded form, in the order of
/// both.
///
/// Names may repeat. Only hashes of all folded forms are held, so that a million names are cheap.
pub fn folding_alike<'a, I: Iterator<Item = &'a str>>(names: impl Fn() -> I) -> Vec<(String, &'a str)> {
    let random = RandomState::new();
    let hash = |name: &str| random.hash_one(folded(name));
    let mut hashes: Vec<u64> = names().map(hash).collect();
    hashes.sort_unstable();
    let groups = hashes.chunk_by(|left, right| left == right);
    let repeated: Vec<u64> = groups.filter_map(|group| group.get(1).copied()).collect();
    if repeated.is_empty() {
        return Vec::new();
    }
    let suspects = names().filter(|name| repeated.binary_search(&hash(name)).is_ok());
    let mut suspects: Vec<(String, &str)> = suspects.map(|name| (folded(name), name)).collect();
    suspects.sort_unstable();
    suspects
}

/// Says why a path cannot exist on Windows or most other systems, or `None` if it can (RFC 8493, section 6.1.2).
#[must_use]
pub fn portability_reason(path: &str) -> Option<&'static str> {
    path.split('/').find_map(component_reason)
}

fn component_reason(name: &str) -> Option<&'static str> {
    const FORBIDDEN: [char; 8] = ['<', '>', ':', '"', '\\', '|', '?', '*'];
    let stem = name.split('.').next().unwrap_or_default().trim_end();
    if name.len() > 255 {
        Some("a name in it is longer than 255 bytes")
    } else if name.contains(FORBIDDEN) || name.chars().any(|character| character < ' ') {
        Some("it has a character that Windows does not allow")
    } else if name.ends_with(['.', ' ']) {
        Some("a name in it ends with a dot or a space")
    } else if is_reserved(stem) {
        Some("a name in it is reserved on Windows")
    } else {
        None
    }
}

fn is_reserved(stem: &str) -> bool {
    let stem = stem.to_ascii_uppercase();
    let numbered = |prefix| {
        stem.strip_prefix(prefix)
            .is_some_and(|rest| rest.len() == 1 && matches!(rest.as_bytes(), [b'1'..=b'9']))
    };
    matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL") || numbered("COM") || numbered("LPT")
}

/// Says whether the file is one that an operating system leaves behind.
pub(crate) fn is_system_file(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    name == ".DS_Store" || name.eq_ignore_ascii_case("thumbs.db") || name.eq_ignore_ascii_case("desktop.ini")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::{canonical, decode, encode, escape_reason, folded, normalised, portability_reason};
    use crate::version::Version;

    #[test]
    fn paths_that_could_escape_on_any_system() {
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
            assert!(escape_reason(path).is_some(), "{path:?}");
        }
        for path in ["data/a..b", "data/~x", "data/...", "data/%7E", "data/a:b", "%data/x", "data/x\\y"] {
            assert_eq!(escape_reason(path), None, "{path:?}");
        }
    }

    #[test]
    fn only_the_escapes_of_the_version_are_decoded() {
        let cases = [
            ("1.0", "a%0Ab%0dc%25d", "a\nb\rc%d"),
            ("1.0", "a%250A", "a%0A"),
            ("1.0", "a%7E%2", "a%7E%2"),
            ("0.97", "a%0ab%25", "a\nb%25"),
            ("0.96", "a%0A", "a%0A"),
            ("1.0", "%é", "%é"),
        ];
        for (version, text, expected) in cases {
            assert_eq!(decode(text, version.parse().unwrap()), expected, "{version} {text}");
        }
    }

    #[test]
    fn canonical_paths_keep_everything_but_dots_and_doubled_slashes() {
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
            assert_eq!(canonical(path), expected, "{path}");
        }
    }

    #[test]
    fn names_that_windows_refuses() {
        for path in
            ["data/a:b", "data/CON", "data/com1.txt", "data/nul.tar.gz", "data/x ", "data/a\\b", "data/x."]
        {
            assert!(portability_reason(path).is_some(), "{path}");
        }
        assert!(portability_reason(&format!("data/{}", "x".repeat(256))).is_some());
        for path in ["data/CONS", "data/COM", "data/com10", "data/a b.csv", "data/.hidden"] {
            assert_eq!(portability_reason(path), None, "{path}");
        }
    }

    #[test]
    fn folding_joins_case_and_normalisation() {
        assert_eq!(normalised("Nu\u{301}n\u{303}ez"), "N\u{fa}\u{f1}ez");
        assert_eq!(folded("NU\u{301}X"), folded("n\u{fa}x"));
    }

    proptest! {
        #[test]
        fn encoded_paths_decode_to_themselves(path in any::<String>()) {
            let encoded = encode(&path);
            assert!(!encoded.contains(['\n', '\r']));
            assert_eq!(decode(&encoded, Version::V1_0), path.as_str());
        }

        #[test]
        fn no_path_makes_the_rules_panic(path in any::<String>()) {
            for version in ["0.93", "0.97", "1.0"] {
                let _ = decode(&path, version.parse().unwrap());
            }
            let _ = (escape_reason(&path), portability_reason(&path), canonical(&path), folded(&path));
        }
    }
}
