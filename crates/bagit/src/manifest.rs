//! Payload and tag manifests: their file names, their lines, and their text (RFC 8493, sections 2.1.3 and 2.2.1).

use std::borrow::Cow;

use multi_digest::Algorithm;

use crate::fault::{Fault, FaultCode};
use crate::report::Faults;
use crate::text::{decode_path, encode_path, is_blank, lines};
use crate::version::Version;

/// The two kinds of manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManifestKind {
    /// `manifest-ALG.txt`. It lists the payload.
    Payload,
    /// `tagmanifest-ALG.txt`. It lists the other files.
    Tag,
}

impl ManifestKind {
    fn prefix(self) -> &'static str {
        match self {
            Self::Payload => "manifest-",
            Self::Tag => "tagmanifest-",
        }
    }

    /// Returns the file name of the manifest of an algorithm.
    #[must_use]
    pub fn file_name(self, algorithm: Algorithm) -> String {
        format!("{}{algorithm}.txt", self.prefix())
    }
}

/// The parts of a manifest's file name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ManifestName<'a> {
    pub(crate) kind: ManifestKind,
    /// The algorithm as the name spells it.
    pub(crate) spelled: &'a str,
    pub(crate) algorithm: Option<Algorithm>,
}

impl<'a> ManifestName<'a> {
    /// Reads a top-level file name in any case. Returns `None` for a file that is not a manifest.
    pub(crate) fn parse(name: &'a str) -> Option<Self> {
        let stem_length = name.len().checked_sub(4)?;
        let (stem, extension) = name.split_at_checked(stem_length)?;
        if !extension.eq_ignore_ascii_case(".txt") {
            return None;
        }
        [ManifestKind::Payload, ManifestKind::Tag].into_iter().find_map(|kind| {
            let (prefix, spelled) = stem.split_at_checked(kind.prefix().len())?;
            let matches = prefix.eq_ignore_ascii_case(kind.prefix()) && !spelled.is_empty();
            matches.then(|| Self { kind, spelled, algorithm: spelled.parse().ok() })
        })
    }

    /// Says whether the name has no upper-case letter.
    pub(crate) fn is_lower_case(name: &str) -> bool {
        !name.bytes().any(|byte| byte.is_ascii_uppercase())
    }

    /// Says whether the name spells the algorithm with letters and digits only.
    pub(crate) fn is_plain(&self) -> bool {
        self.spelled.bytes().all(|byte| byte.is_ascii_alphanumeric())
    }
}

/// One line of a manifest, not yet decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RawLine<'a> {
    pub(crate) checksum: &'a str,
    pub(crate) path: Cow<'a, str>,
    /// Whether GNU md5sum escaped the path. The path is then unescaped already.
    pub(crate) gnu_escaped: bool,
}

/// A line without a checksum and a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LineFault {
    Blank,
    Comment,
    Malformed,
}

/// Splits a manifest line. White space before the path separates; white space in it and behind it belongs to the path.
pub(crate) fn split_line(line: &str) -> Result<RawLine<'_>, LineFault> {
    if line.trim_matches(is_blank).is_empty() {
        return Err(LineFault::Blank);
    }
    if line.starts_with('#') {
        return Err(LineFault::Comment);
    }
    let (checksum, rest) = line.split_once(is_blank).ok_or(LineFault::Malformed)?;
    let path = rest.trim_start_matches(is_blank);
    if checksum.is_empty() || path.is_empty() {
        return Err(LineFault::Malformed);
    }
    Ok(match checksum.strip_prefix('\\') {
        Some(checksum) => RawLine { checksum, path: Cow::Owned(undo_gnu_escapes(path)), gnu_escaped: true },
        None => RawLine { checksum, path: Cow::Borrowed(path), gnu_escaped: false },
    })
}

fn undo_gnu_escapes(path: &str) -> String {
    let mut plain = String::with_capacity(path.len());
    let mut characters = path.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some('n') => plain.push('\n'),
                Some('r') => plain.push('\r'),
                Some(other) => plain.push(other),
                None => plain.push('\\'),
            },
            other => plain.push(other),
        }
    }
    plain
}

/// Decodes a hexadecimal checksum in any case. Returns `None` if it does not have the length of the algorithm.
pub(crate) fn decode_checksum(text: &str, algorithm: Algorithm) -> Option<Vec<u8>> {
    if text.len() != 2 * algorithm.digest_length() {
        return None;
    }
    hex::decode(text).ok()
}

/// One entry of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestEntry {
    /// The bag-relative path, decoded.
    pub path: String,
    /// The bytes of the checksum.
    pub checksum: Vec<u8>,
}

/// A manifest: the checksums of files by one algorithm.
///
/// ```
/// use bagit::{Algorithm, Manifest, Version};
///
/// let text = "900150983cd24fb0d6963f7d28e17f72  data/100%25.csv\n";
/// let (manifest, faults) = Manifest::parse(text, Algorithm::Md5, Version::V1_0);
/// assert!(faults.is_empty());
/// assert_eq!(manifest.entries[0].path, "data/100%.csv");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The algorithm of every checksum in it.
    pub algorithm: Algorithm,
    /// The entries in their order.
    pub entries: Vec<ManifestEntry>,
}

impl Manifest {
    /// Reads the decoded text of a manifest. Malformed lines become faults. [`crate::check()`] interprets the entries.
    #[must_use]
    pub fn parse(text: &str, algorithm: Algorithm, version: Version) -> (Self, Faults) {
        let mut manifest = Self { algorithm, entries: Vec::new() };
        let mut faults = Faults::default();
        for (number, line) in lines(text) {
            let entry = split_line(line).map_err(LineFault::code).and_then(|raw| {
                let checksum =
                    decode_checksum(raw.checksum, algorithm).ok_or(FaultCode::ChecksumMalformed)?;
                let path = if raw.gnu_escaped {
                    raw.path
                } else {
                    decode_path(&raw.path, version).into_owned().into()
                };
                Ok(ManifestEntry { path: path.into_owned(), checksum })
            });
            match entry {
                Ok(entry) => manifest.entries.push(entry),
                Err(code) => faults.push(Fault::new(code, None, format!("line {number}: {line:?}"))),
            }
        }
        (manifest, faults)
    }

    /// Returns the text of the manifest in version 1.0.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for entry in &self.entries {
            text.push_str(&line(&entry.checksum, &entry.path));
        }
        text
    }
}

/// Returns one line of a manifest of version 1.0, with its end.
pub(crate) fn line(checksum: &[u8], path: &str) -> String {
    format!("{}  {}\n", hex::encode(checksum), encode_path(path))
}

impl LineFault {
    pub(crate) fn code(self) -> FaultCode {
        match self {
            Self::Blank => FaultCode::ManifestBlankLine,
            Self::Comment => FaultCode::ManifestCommentLine,
            Self::Malformed => FaultCode::ManifestLineMalformed,
        }
    }
}

#[cfg(test)]
mod tests {
    use multi_digest::Algorithm;
    use proptest::collection::vec;
    use proptest::prelude::{any, proptest};

    use super::{Manifest, ManifestEntry, ManifestKind, ManifestName, split_line};
    use crate::version::Version;

    #[test]
    fn file_names_of_manifests() {
        let cases = [
            ("manifest-md5.txt", Some((ManifestKind::Payload, Some(Algorithm::Md5)))),
            ("manifest-MD5.txt", Some((ManifestKind::Payload, Some(Algorithm::Md5)))),
            ("tagmanifest-sha-512.txt", Some((ManifestKind::Tag, Some(Algorithm::Sha512)))),
            ("manifest-sha3256.txt", Some((ManifestKind::Payload, None))),
            ("manifest-.txt", None),
            ("manifest-md5", None),
            ("xmanifest-md5.txt", None),
            (".txt", None),
            ("é.txt", None),
        ];
        for (name, expected) in cases {
            let parsed = ManifestName::parse(name).map(|name| (name.kind, name.algorithm));
            assert_eq!(parsed, expected, "{name}");
        }
    }

    #[test]
    fn the_path_is_the_rest_of_the_line_verbatim() {
        let cases = [
            ("abc  data/x", Some(("abc", "data/x"))),
            ("abc\tdata/x y ", Some(("abc", "data/x y "))),
            ("abc \t  data/x\t", Some(("abc", "data/x\t"))),
            ("abc *data/x", Some(("abc", "*data/x"))),
            ("\\abc  data/a\\nb\\\\c", Some(("abc", "data/a\nb\\c"))),
            (" abc  data/x", None),
            ("abc", None),
            ("abc  ", None),
            ("", None),
            ("# comment x", None),
        ];
        for (line, expected) in cases {
            let raw = split_line(line).ok();
            assert_eq!(raw.as_ref().map(|raw| (raw.checksum, &*raw.path)), expected, "{line:?}");
        }
    }

    #[test]
    fn lines_that_are_no_entries_are_reported_and_the_others_kept() {
        let text = "900150983CD24FB0D6963F7D28E17F72  data/x\nnonsense\n# note\n\n9001  data/y\n";
        let (manifest, faults) = Manifest::parse(text, Algorithm::Md5, Version::V1_0);
        assert_eq!(manifest.entries.len(), 1);
        let codes: Vec<&str> = faults.kept().iter().map(|fault| fault.code.as_str()).collect();
        let expected =
            ["manifest-line-malformed", "manifest-comment-line", "manifest-blank-line", "checksum-malformed"];
        assert_eq!(codes, expected);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in any::<String>()) {
            let _ = Manifest::parse(&text, Algorithm::Md5, Version::V1_0);
            let _ = ManifestName::parse(&text);
        }

        #[test]
        fn entries_round_trip(names in vec("[^\0 \t][^\0]{0,20}", 0..8), byte in any::<u8>()) {
            let entries = names.into_iter().map(|name| ManifestEntry { path: format!("data/{name}"), checksum: vec![byte; 32] });
            let manifest = Manifest { algorithm: Algorithm::Sha256, entries: entries.collect() };
            let (read, faults) = Manifest::parse(&manifest.text(), Algorithm::Sha256, Version::V1_0);
            assert_eq!(read, manifest);
            assert!(faults.is_empty());
        }
    }
}
