//! The faults that a check can find: stable codes, severities and places.

use std::fmt;

use serde::{Serialize, Serializer};

/// Grades a fault. Grades are ordered from harmless to serious.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know. The bag follows the rules.
    Info,
    /// The bag ignores a recommendation, or breaks a rule that the caller tolerates.
    Warning,
    /// The bag breaks a rule, so it is not valid.
    Error,
}

/// Reports one departure from the rules, or one fact that is good to know.
///
/// ```
/// use bagit::{Fault, FaultCode, Severity};
///
/// let fault = Fault::new(FaultCode::PayloadFileMissing, Some("data/a.csv"), "the file is listed, but missing");
/// assert_eq!(fault.severity, Severity::Error);
/// assert_eq!(fault.to_string(), "payload-file-missing: data/a.csv: the file is listed, but missing");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Fault {
    /// The kind of fault, as a stable code.
    pub code: FaultCode,
    /// How serious the fault is under the rules of the check.
    pub severity: Severity,
    /// The bag-relative path of the file or directory with the fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// One sentence for people.
    pub message: String,
}

impl Fault {
    /// Returns a fault with the usual severity of its code.
    #[must_use]
    pub fn new(code: FaultCode, path: Option<&str>, message: impl Into<String>) -> Self {
        Self { code, severity: code.severity(), path: path.map(str::to_owned), message: message.into() }
    }

    /// Returns the same fault with another severity.
    #[must_use]
    pub fn with_severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.code)?;
        if let Some(path) = &self.path {
            write!(formatter, ": {}", path.escape_debug())?;
        }
        write!(formatter, ": {}", self.message)
    }
}

/// Says whether a fault makes a bag incomplete or only invalid (RFC 8493, section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Concern {
    /// The parts and the form of the bag.
    Structure,
    /// The bytes of its files.
    Fixity,
}

macro_rules! fault_codes {
    ($($(#[$doc:meta])+ $name:ident = $code:literal, $severity:ident, $concern:ident;)+) => {
        /// Names the kind of a fault. The text of a code stays the same from release to release.
        ///
        /// Numbers in parentheses are sections of RFC 8493.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum FaultCode { $($(#[$doc])+ $name,)+ }

        impl FaultCode {
            /// Lists every code.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// Returns the stable text of the code.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)+ }
            }

            /// Returns the severity of the code under the strict rules of version 1.0.
            #[must_use]
            pub fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)+ }
            }

            fn concern(self) -> Concern {
                match self { $(Self::$name => Concern::$concern,)+ }
            }
        }
    };
}

fault_codes! {
    /// There is no `bagit.txt` (2.1.1).
    BagitTxtMissing = "bagit-txt-missing", Error, Structure;
    /// `bagit.txt` does not consist of the two required lines in their order (2.1.1).
    BagitTxtMalformed = "bagit-txt-malformed", Error, Structure;
    /// `bagit.txt` is not UTF-8 (2.1.1).
    BagitTxtNotUtf8 = "bagit-txt-not-utf8", Error, Structure;
    /// `bagit.txt` begins with a byte-order mark (2.1.1).
    BagitTxtBom = "bagit-txt-bom", Error, Structure;
    /// `bagit.txt` does not have exactly one space after each colon (2.1.1). A warning before 1.0.
    BagitTxtWhitespace = "bagit-txt-whitespace", Error, Structure;
    /// `bagit.txt` spells a label with other capital letters than the specification.
    BagitTxtLabelCase = "bagit-txt-label-case", Warning, Structure;
    /// The declared version is not of the form M.N (2.1.1).
    VersionMalformed = "version-malformed", Error, Structure;
    /// This crate does not know the declared version.
    VersionUnsupported = "version-unsupported", Error, Structure;
    /// This crate cannot decode the declared encoding of tag files.
    EncodingUnsupported = "encoding-unsupported", Error, Structure;
    /// The declared encoding of tag files is not UTF-8, which is recommended (2.1.1).
    EncodingNotUtf8 = "encoding-not-utf8", Info, Structure;
    /// There is no payload manifest (2.1.3).
    PayloadManifestMissing = "payload-manifest-missing", Error, Structure;
    /// There is no `data/` directory (2.1.2).
    PayloadDirectoryMissing = "payload-directory-missing", Error, Structure;
    /// The metadata file has the name that belongs to another version (`package-info.txt` up to 0.95).
    InfoFileName = "info-file-name", Warning, Structure;

    /// A tag file cannot be decoded with the declared encoding (2.1.1).
    TagFileUndecodable = "tag-file-undecodable", Error, Structure;
    /// A UTF-8 tag file begins with a byte-order mark (2.1.1). A warning before 1.0.
    TagFileBom = "tag-file-bom", Error, Structure;
    /// A file looks like a manifest, but its name does not end in `.txt` (2.1.3). It counts as a plain tag file.
    ManifestNameExtension = "manifest-name-extension", Warning, Structure;
    /// The name of a manifest has upper-case letters, as in `manifest-MD5.txt` (2.4).
    ManifestNameCase = "manifest-name-case", Error, Structure;
    /// The name of a manifest spells the algorithm with punctuation, as in `sha-256` (2.4).
    ManifestNameAlias = "manifest-name-alias", Warning, Structure;
    /// Two payload manifests or two tag manifests use one algorithm.
    ManifestDuplicateAlgorithm = "manifest-duplicate-algorithm", Error, Structure;
    /// The bag has more than 64 manifests of one kind. The rest was not checked.
    TooManyManifests = "too-many-manifests", Error, Structure;
    /// A manifest uses an algorithm that this crate cannot compute, so the bag cannot be proven (2.4).
    AlgorithmUnsupported = "algorithm-unsupported", Error, Fixity;

    /// A manifest line is not a checksum, white space and a path (2.1.3).
    ManifestLineMalformed = "manifest-line-malformed", Error, Structure;
    /// A manifest line is a comment. The format has no comments.
    ManifestCommentLine = "manifest-comment-line", Error, Structure;
    /// A manifest has blank lines.
    ManifestBlankLine = "manifest-blank-line", Warning, Structure;
    /// A checksum is not hexadecimal, or has another length than the algorithm (2.1.3).
    ChecksumMalformed = "checksum-malformed", Error, Structure;
    /// Paths begin with the `*` of the binary mode of md5sum (6.1.3).
    Md5sumBinaryMarker = "md5sum-binary-marker", Warning, Structure;
    /// A line has the escapes of GNU md5sum, with a backslash before the checksum (6.1.3).
    GnuEscapedName = "gnu-escaped-name", Warning, Structure;
    /// Paths contain `./`, `/./` or `//`.
    PathNotCanonical = "path-not-canonical", Warning, Structure;
    /// Paths begin with the name of the bag's own directory.
    BaseDirPrefix = "base-dir-prefix", Error, Structure;
    /// A manifest spells a name with `%` that was not encoded by the rules of the version.
    PercentLegacyName = "percent-legacy-name", Warning, Structure;
    /// A path could leave the bag: it is absolute, or has `..`, `~`, a drive, a share or NUL (5.1).
    PathEscapes = "path-escapes", Error, Structure;
    /// A payload manifest lists a file outside `data/`, or a builder was given a tag file inside (2.1.3).
    PathOutsidePayload = "path-outside-payload", Error, Structure;
    /// A manifest lists a directory (2.1.3).
    PathIsDirectory = "path-is-directory", Error, Structure;
    /// One manifest lists a file two times with one checksum. A warning before 1.0.
    DuplicateEntry = "duplicate-entry", Error, Structure;
    /// One manifest lists a file two times with different checksums.
    DuplicateEntryConflict = "duplicate-entry-conflict", Error, Structure;
    /// A manifest spells a name in another Unicode normalisation than the file has (6.1.1).
    NormalisationMismatch = "normalisation-mismatch", Warning, Structure;

    /// A listed payload file is missing (3).
    PayloadFileMissing = "payload-file-missing", Error, Structure;
    /// A listed payload file is missing, and `fetch.txt` has its URL (2.2.3).
    PayloadFileFetchable = "payload-file-fetchable", Error, Structure;
    /// No manifest lists a payload file (3).
    PayloadFileUnlisted = "payload-file-unlisted", Error, Structure;
    /// No manifest lists a payload file, but a listed file has the same content.
    DuplicateContentUnlisted = "duplicate-content-unlisted", Error, Structure;
    /// A payload file is listed in some payload manifests, but not in all (3, item 4).
    PayloadFileNotInEveryManifest = "payload-file-not-in-every-manifest", Error, Structure;
    /// A payload file has another checksum than the manifest lists.
    PayloadChecksumMismatch = "payload-checksum-mismatch", Error, Fixity;
    /// A tag file has another checksum than the manifest lists.
    TagChecksumMismatch = "tag-checksum-mismatch", Error, Fixity;
    /// The front end did not compute a digest that a manifest needs. A second pass over a tar stream can prove it.
    ChecksumNotComputed = "checksum-not-computed", Error, Fixity;

    /// A listed tag file is missing (2.2.1).
    TagFileMissing = "tag-file-missing", Error, Structure;
    /// No tag manifest lists a tag file, although there are tag manifests (2.2.1).
    TagFileUnlisted = "tag-file-unlisted", Info, Structure;
    /// A tag manifest does not list a payload manifest (2.2.1). Information before 1.0.
    TagManifestIncomplete = "tag-manifest-incomplete", Error, Structure;
    /// A tag manifest lists a tag manifest (2.2.1).
    TagManifestListsTagManifest = "tag-manifest-lists-tag-manifest", Error, Structure;
    /// A tag manifest lists a payload file (2.2.1).
    TagManifestListsPayload = "tag-manifest-lists-payload", Error, Structure;
    /// The tag manifests use other algorithms than the payload manifests (2.2.1).
    TagManifestAlgorithms = "tag-manifest-algorithms", Info, Structure;
    /// The tag manifests list different files (2.2.1).
    TagManifestsDiffer = "tag-manifests-differ", Warning, Structure;

    /// A line of the metadata file has no label and colon, and does not continue another line (2.2.2).
    InfoLineMalformed = "info-line-malformed", Error, Structure;
    /// The metadata file does not have exactly one space or tab after a colon (2.2.2).
    InfoWhitespace = "info-whitespace", Error, Structure;
    /// The metadata file repeats an element that should not repeat (2.2.2).
    InfoRepeated = "info-repeated", Warning, Structure;
    /// `Bagging-Date` does not have the form YYYY-MM-DD (2.2.2).
    BaggingDateMalformed = "bagging-date-malformed", Warning, Structure;
    /// `Bag-Count` does not have the form `N of T` (2.2.2).
    BagCountMalformed = "bag-count-malformed", Warning, Structure;
    /// The metadata file has `Payload-Oxum` two times (2.2.2).
    OxumRepeated = "oxum-repeated", Error, Structure;
    /// `Payload-Oxum` does not have the form OCTETS.STREAMS (2.2.2).
    OxumMalformed = "oxum-malformed", Error, Structure;
    /// The payload has other numbers of bytes and files than `Payload-Oxum` states (2.2.2).
    OxumMismatch = "oxum-mismatch", Error, Fixity;
    /// The bag has no `Payload-Oxum`, and a fast check was asked for.
    OxumMissing = "oxum-missing", Error, Fixity;
    /// `Payload-Oxum` is the right number after an overflow of 32 bits.
    OxumIntOverflow = "oxum-int-overflow", Error, Fixity;
    /// `Payload-Oxum` counts the entries at the top of `data/` or of the bag, and perhaps tag files.
    OxumCountsTopLevel = "oxum-counts-top-level", Error, Fixity;

    /// A line of `fetch.txt` is not a URL, a length and a path (2.2.3).
    FetchLineMalformed = "fetch-line-malformed", Error, Structure;
    /// `fetch.txt` has a URL that is not absolute (2.2.3).
    FetchUrlNotAbsolute = "fetch-url-not-absolute", Error, Structure;
    /// `fetch.txt` lists a file that not every payload manifest lists (2.2.3).
    FetchNotInManifest = "fetch-not-in-manifest", Error, Structure;
    /// `fetch.txt` lists a tag file (2.2.3).
    FetchListsTagFile = "fetch-lists-tag-file", Error, Structure;
    /// `fetch.txt` lists a file two times.
    FetchDuplicateEntry = "fetch-duplicate-entry", Warning, Structure;
    /// A file has another size than `fetch.txt` states.
    FetchLengthMismatch = "fetch-length-mismatch", Warning, Structure;

    /// Two names differ only in case (6.1.1).
    NamesDifferInCase = "names-differ-in-case", Warning, Structure;
    /// Two names differ only in Unicode normalisation.
    NamesDifferInNormalisation = "names-differ-in-normalisation", Warning, Structure;
    /// A name is impossible on Windows, or longer than 255 bytes (6.1.2).
    NameNotPortable = "name-not-portable", Warning, Structure;
    /// The path has a name that an interrupted work on a bag uses: `.bagit-in-place` or `.bagit-commit`.
    WorkDirectory = "work-directory", Error, Structure;
    /// A name is not UTF-8, so no manifest can list it.
    NameNotUtf8 = "name-not-utf8", Error, Structure;
    /// An operating system left the file in the payload, such as `.DS_Store` or `Thumbs.db`.
    SystemFile = "system-file", Warning, Structure;
    /// The payload has an empty directory. No manifest can list it.
    EmptyDirectory = "empty-directory", Warning, Structure;
    /// The payload contains another bag. The check covers the outer bag only.
    NestedBag = "nested-bag", Info, Structure;

    /// A symbolic link leads to a file in the bag. The check used the bytes of that file.
    LinkInside = "link-inside", Warning, Structure;
    /// A symbolic link leads out of the bag.
    LinkOutside = "link-outside", Error, Structure;
    /// A symbolic link leads nowhere.
    LinkDangling = "link-dangling", Error, Structure;
    /// A symbolic link leads to a directory.
    LinkToDirectory = "link-to-directory", Error, Structure;
    /// The path is a device, FIFO or socket.
    SpecialFile = "special-file", Error, Structure;
    /// A file could not be read.
    UnreadableFile = "unreadable-file", Error, Fixity;
    /// A file changed while it was read.
    FileChanged = "file-changed", Error, Fixity;
    /// A file vanished before or while it was read.
    FileVanished = "file-vanished", Error, Fixity;
    /// A tag file exceeds the limit, so it was not read.
    TagFileTooLarge = "tag-file-too-large", Error, Structure;

    /// The archive or directory has a bag deeper inside, and not where it is expected.
    BagTooDeep = "bag-too-deep", Error, Structure;
    /// An archiver of macOS added a file with attributes of another file. It was ignored.
    ArchiveAppleDouble = "archive-apple-double", Info, Structure;
    /// The entries of an archive have backslashes between names. In a zip file they were read as slashes.
    ArchiveBackslash = "archive-backslash", Warning, Structure;
    /// An archive has two entries of one name.
    ArchiveDuplicateEntry = "archive-duplicate-entry", Error, Structure;
    /// An archive contains a symbolic link, or a hard link that leads to no file of the archive.
    ArchiveLink = "archive-link", Error, Structure;
    /// An archive contains entries outside the directory of the bag.
    ArchiveSeveralRoots = "archive-several-roots", Error, Structure;
    /// An archive of a bag before 1.0 has no base directory (draft 0.97, section 4).
    ArchiveNoBaseDirectory = "archive-no-base-directory", Warning, Structure;
    /// Bytes follow the end of an archive.
    ArchiveTrailingData = "archive-trailing-data", Warning, Structure;
    /// A zip entry has one name in the central directory and another before its data.
    ArchiveNamesDiffer = "archive-names-differ", Error, Structure;
}

impl FaultCode {
    /// Says whether the fault concerns the bytes of files and not the parts of the bag. A complete bag may have such faults.
    #[must_use]
    pub fn concerns_fixity(self) -> bool {
        self.concern() == Concern::Fixity
    }

    /// Says whether a repair removes the fault ([`crate::repair_in_place`]), because new tag files do not have it.
    ///
    /// Tools are known that make bags with each of these faults, without harm to the payload.
    #[must_use]
    pub fn is_repairable(self) -> bool {
        matches!(
            self,
            Self::ManifestNameCase
                | Self::BaseDirPrefix
                | Self::DuplicateContentUnlisted
                | Self::TagManifestIncomplete
                | Self::OxumIntOverflow
                | Self::OxumCountsTopLevel
        )
    }
}

impl fmt::Display for FaultCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl Serialize for FaultCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Fault, FaultCode, Severity};

    #[test]
    fn codes_are_distinct_and_kebab_case() {
        let codes: BTreeSet<&str> = FaultCode::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(codes.len(), FaultCode::ALL.len());
        for code in codes {
            assert!(
                code.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'),
                "{code}"
            );
        }
    }

    #[test]
    fn faults_serialise_with_their_code_and_no_empty_path() {
        let fault = Fault::new(FaultCode::BagitTxtMissing, None, "no declaration");
        let text = serde_json::to_string(&fault).unwrap();
        assert_eq!(text, r#"{"code":"bagit-txt-missing","severity":"error","message":"no declaration"}"#);
        assert!(Severity::Error > Severity::Warning);
    }
}
