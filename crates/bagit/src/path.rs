//! How manifests and `fetch.txt` spell paths.

use std::borrow::Cow;

use crate::version::Version;

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

/// Says whether the file is one that an operating system leaves behind.
pub(crate) fn is_system_file(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    name == ".DS_Store" || name.eq_ignore_ascii_case("thumbs.db") || name.eq_ignore_ascii_case("desktop.ini")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::{decode, encode};
    use crate::version::Version;

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
        }
    }
}
