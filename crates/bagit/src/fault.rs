//! The faults that a check can find: stable codes, their severity, and the place they were found at.

use std::fmt;

use serde::{Serialize, Serializer};

/// Grades a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; nothing is wrong.
    Info,
    /// A recommendation is not followed, or a deviation was tolerated.
    Warning,
    /// A rule is broken: the bag is not valid.
    Error,
}

/// Reports one departure from the rules, or one thing worth knowing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// What is wrong, as a stable code.
    pub code: FaultCode,
    /// How bad it is under the rules that were asked for.
    pub severity: Severity,
    /// The bag-relative path that it concerns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// One sentence for people.
    pub message: String,
}

impl Fault {
    /// Makes a fault of the code's usual severity.
    #[must_use]
    pub fn new(code: FaultCode, path: Option<&str>, message: impl Into<String>) -> Self {
        Self { code, severity: code.severity(), path: path.map(str::to_owned), message: message.into() }
    }

    /// Gives the same fault with another severity.
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

/// Says what a code speaks about, which decides between complete, valid and tolerable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Concern {
    /// The parts and the form of the bag.
    Structure,
    /// The bytes of its files.
    Fixity,
    /// The form, in a way that a known DataONE producer gets wrong.
    DataOneStructure,
    /// The fixity metadata, in a way that a known DataONE producer gets wrong.
    DataOneFixity,
}

macro_rules! fault_codes {
    ($($(#[$doc:meta])+ $name:ident = $code:literal, $severity:ident, $concern:ident;)+) => {
        /// Names every fault with a code that stays the same from release to release.
        ///
        /// Letters and numbers in the descriptions are sections of RFC 8493 unless a draft is named.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum FaultCode { $($(#[$doc])+ $name,)+ }

        impl FaultCode {
            /// Lists every code.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// Gives the stable text of the code.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)+ }
            }

            /// Gives the severity that the code has under strict rules of version 1.0.
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
    /// `bagit.txt` is not the two required lines in their order (2.1.1).
    BagitTxtMalformed = "bagit-txt-malformed", Error, Structure;
    /// `bagit.txt` is not UTF-8 (2.1.1).
    BagitTxtNotUtf8 = "bagit-txt-not-utf8", Error, Structure;
    /// `bagit.txt` begins with a byte-order mark (2.1.1).
    BagitTxtBom = "bagit-txt-bom", Error, Structure;
    /// White space in `bagit.txt` is not exactly one character after each colon (2.1.1); a warning before 1.0.
    BagitTxtWhitespace = "bagit-txt-whitespace", Error, Structure;
    /// A label in `bagit.txt` is not spelled as in the specification.
    BagitTxtLabelCase = "bagit-txt-label-case", Warning, Structure;
    /// The declared version is not of the form M.N (2.1.1).
    VersionMalformed = "version-malformed", Error, Structure;
    /// The declared version is not one that this crate knows.
    VersionUnsupported = "version-unsupported", Error, Structure;
    /// The declared encoding of tag files is not supported.
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
    /// A UTF-8 tag file begins with a byte-order mark (2.1.1); a warning before 1.0.
    TagFileBom = "tag-file-bom", Error, Structure;
    /// A file looks like a manifest but its name does not end in `.txt`, so it is none (2.1.3).
    ManifestNameExtension = "manifest-name-extension", Warning, Structure;
    /// A manifest's name is not in lower case: old Metacat writes `manifest-MD5.txt` (2.4).
    ManifestNameCase = "manifest-name-case", Error, DataOneStructure;
    /// A manifest's name spells the algorithm with characters that it must leave out, as in `sha-256` (2.4).
    ManifestNameAlias = "manifest-name-alias", Warning, Structure;
    /// Two manifests of one kind are for one algorithm.
    ManifestDuplicateAlgorithm = "manifest-duplicate-algorithm", Error, Structure;
    /// A manifest is for an algorithm that cannot be computed, so the bag cannot be proven (2.4).
    AlgorithmUnsupported = "algorithm-unsupported", Error, Fixity;

    /// A manifest line is not a checksum, white space and a path (2.1.3).
    ManifestLineMalformed = "manifest-line-malformed", Error, Structure;
    /// A manifest line is a comment, which the format does not have.
    ManifestCommentLine = "manifest-comment-line", Error, Structure;
    /// A manifest holds blank lines.
    ManifestBlankLine = "manifest-blank-line", Warning, Structure;
    /// A checksum is not hexadecimal or not as long as the algorithm's (2.1.3).
    ChecksumMalformed = "checksum-malformed", Error, Structure;
    /// Paths have the `*` of md5sum's binary mode before them (6.1.3).
    Md5sumBinaryMarker = "md5sum-binary-marker", Warning, Structure;
    /// A line is escaped in the way of GNU md5sum, with a backslash before the checksum (6.1.3).
    GnuEscapedName = "gnu-escaped-name", Warning, Structure;
    /// Paths have `./`, `/./` or `//` in them.
    PathNotCanonical = "path-not-canonical", Warning, Structure;
    /// Paths begin with the name of the bag's own directory: GMN writes them so.
    BaseDirPrefix = "base-dir-prefix", Error, DataOneStructure;
    /// A name has `%`, or an escape that the version does not decode, in a way that only the literal name explains.
    PercentLegacyName = "percent-legacy-name", Warning, Structure;
    /// A path is absolute, has `..`, `~`, a drive or share, or NUL in it: it could leave the bag (5.1).
    PathEscapes = "path-escapes", Error, Structure;
    /// A payload manifest or `fetch.txt` names a file that is not under `data/` (2.1.3).
    PathOutsidePayload = "path-outside-payload", Error, Structure;
    /// A manifest names a directory (2.1.3).
    PathIsDirectory = "path-is-directory", Error, Structure;
    /// A file is listed twice in one manifest with the same checksum; a warning before 1.0.
    DuplicateEntry = "duplicate-entry", Error, Structure;
    /// A file is listed twice in one manifest with different checksums.
    DuplicateEntryConflict = "duplicate-entry-conflict", Error, Structure;
    /// A name in a manifest is found only after Unicode normalisation (6.1.1).
    NormalisationMismatch = "normalisation-mismatch", Warning, Structure;

    /// A listed payload file is not there (3).
    PayloadFileMissing = "payload-file-missing", Error, Structure;
    /// A listed payload file is not there, and `fetch.txt` says where to get it (2.2.3).
    PayloadFileFetchable = "payload-file-fetchable", Error, Structure;
    /// A payload file is in no manifest (3).
    PayloadFileUnlisted = "payload-file-unlisted", Error, Structure;
    /// A payload file is in no manifest, but a listed one has the same content: SpeedBagIt drops such lines.
    DataOneDuplicateContent = "dataone-duplicate-content", Error, DataOneStructure;
    /// A payload file is missing from one of several manifests (3, item 4).
    PayloadFileNotInEveryManifest = "payload-file-not-in-every-manifest", Error, Structure;
    /// A payload file's bytes do not have the listed checksum.
    PayloadChecksumMismatch = "payload-checksum-mismatch", Error, Fixity;
    /// A tag file's bytes do not have the listed checksum.
    TagChecksumMismatch = "tag-checksum-mismatch", Error, Fixity;
    /// A digest that a manifest needs was not computed, so nothing is proven: another pass is needed.
    ChecksumNotComputed = "checksum-not-computed", Error, Fixity;

    /// A listed tag file is not there (2.2.1).
    TagFileMissing = "tag-file-missing", Error, Structure;
    /// A tag file is in no tag manifest, though tag manifests exist (2.2.1).
    TagFileUnlisted = "tag-file-unlisted", Info, Structure;
    /// A tag manifest does not list a payload manifest (2.2.1): datapack leaves it out. Information before 1.0.
    TagManifestIncomplete = "tag-manifest-incomplete", Error, DataOneStructure;
    /// A tag manifest lists a tag manifest (2.2.1).
    TagManifestListsTagManifest = "tag-manifest-lists-tag-manifest", Error, Structure;
    /// A tag manifest lists a payload file (2.2.1).
    TagManifestListsPayload = "tag-manifest-lists-payload", Error, Structure;
    /// The tag manifests use other algorithms than the payload manifests (2.2.1).
    TagManifestAlgorithms = "tag-manifest-algorithms", Info, Structure;
    /// The tag manifests do not list the same files (2.2.1).
    TagManifestsDiffer = "tag-manifests-differ", Warning, Structure;

    /// A line of the metadata file has no label and colon, or continues nothing (2.2.2).
    InfoLineMalformed = "info-line-malformed", Error, Structure;
    /// White space around a colon of the metadata file is not one character after it (2.2.2).
    InfoWhitespace = "info-whitespace", Error, Structure;
    /// An element that should not repeat does (2.2.2).
    InfoRepeated = "info-repeated", Warning, Structure;
    /// `Bagging-Date` is not YYYY-MM-DD (2.2.2).
    BaggingDateMalformed = "bagging-date-malformed", Warning, Structure;
    /// `Bag-Count` is not `N of T` (2.2.2).
    BagCountMalformed = "bag-count-malformed", Warning, Structure;
    /// `Payload-Oxum` is there twice (2.2.2).
    OxumRepeated = "oxum-repeated", Error, Structure;
    /// `Payload-Oxum` is not two numbers with a dot between (2.2.2).
    OxumMalformed = "oxum-malformed", Error, Structure;
    /// `Payload-Oxum` does not say how many bytes and files the payload has (2.2.2).
    OxumMismatch = "oxum-mismatch", Error, Fixity;
    /// `Payload-Oxum` is the right number after an overflow of 32 bits: SpeedBagIt over 2 GiB.
    OxumIntOverflow = "oxum-int-overflow", Error, DataOneFixity;
    /// `Payload-Oxum` counts tag files and only top-level entries, as the R package datapack does.
    OxumDatapack = "oxum-datapack", Error, DataOneFixity;

    /// A line of `fetch.txt` is not a URL, a length and a path (2.2.3).
    FetchLineMalformed = "fetch-line-malformed", Error, Structure;
    /// A URL of `fetch.txt` is not absolute (2.2.3).
    FetchUrlNotAbsolute = "fetch-url-not-absolute", Error, Structure;
    /// A file of `fetch.txt` is not in every payload manifest (2.2.3).
    FetchNotInManifest = "fetch-not-in-manifest", Error, Structure;
    /// `fetch.txt` lists a tag file (2.2.3).
    FetchListsTagFile = "fetch-lists-tag-file", Error, Structure;
    /// `fetch.txt` lists a file twice.
    FetchDuplicateEntry = "fetch-duplicate-entry", Warning, Structure;
    /// A file that is there has another size than `fetch.txt` says.
    FetchLengthMismatch = "fetch-length-mismatch", Warning, Structure;

    /// Two names differ only in upper and lower case (6.1.1).
    NamesDifferInCase = "names-differ-in-case", Warning, Structure;
    /// Two names differ only in Unicode normalisation.
    NamesDifferInNormalisation = "names-differ-in-normalisation", Warning, Structure;
    /// A name cannot exist on Windows or is longer than 255 bytes (6.1.2).
    NameNotPortable = "name-not-portable", Warning, Structure;
    /// A name on disk is not UTF-8, so no manifest can list it.
    NameNotUtf8 = "name-not-utf8", Error, Structure;
    /// The file belongs to an operating system (`.DS_Store`, `Thumbs.db`) rather than to the payload.
    SystemFile = "system-file", Warning, Structure;
    /// The payload has an empty directory, which a bag cannot represent.
    EmptyDirectory = "empty-directory", Warning, Structure;
    /// The payload holds another bag; only the outer one is checked.
    NestedBag = "nested-bag", Info, Structure;

    /// A symbolic link leads to a file within the bag, whose bytes were taken.
    LinkInside = "link-inside", Warning, Structure;
    /// A symbolic link leads out of the bag.
    LinkOutside = "link-outside", Error, Structure;
    /// A symbolic link leads nowhere.
    LinkDangling = "link-dangling", Error, Structure;
    /// A symbolic link leads to a directory.
    LinkToDirectory = "link-to-directory", Error, Structure;
    /// A device, fifo or socket is where a file should be.
    SpecialFile = "special-file", Error, Structure;
    /// A file could not be read.
    UnreadableFile = "unreadable-file", Error, Fixity;
    /// A file changed while it was read.
    FileChanged = "file-changed", Error, Fixity;
    /// A file was gone when its turn to be read came.
    FileVanished = "file-vanished", Error, Fixity;
    /// A tag file is larger than the limit and was not read.
    TagFileTooLarge = "tag-file-too-large", Error, Structure;

    /// An archive has two entries of one name.
    ArchiveDuplicateEntry = "archive-duplicate-entry", Error, Structure;
    /// An archive has a symbolic or hard link.
    ArchiveLink = "archive-link", Error, Structure;
    /// An archive holds entries outside the bag's one directory.
    ArchiveSeveralRoots = "archive-several-roots", Error, Structure;
    /// An archive of a bag before 1.0 has no base directory (0.97, section 4).
    ArchiveNoBaseDirectory = "archive-no-base-directory", Warning, Structure;
    /// Bytes follow the end of an archive.
    ArchiveTrailingData = "archive-trailing-data", Warning, Structure;
    /// A zip entry has different names in the central directory and before its data.
    ArchiveNamesDiffer = "archive-names-differ", Error, Structure;
}

impl FaultCode {
    /// Says whether the fault speaks about bytes rather than about parts: a complete bag may have it.
    #[must_use]
    pub fn concerns_fixity(self) -> bool {
        matches!(self.concern(), Concern::Fixity | Concern::DataOneFixity)
    }

    /// Says whether this is a known fault of DataONE's own producers, tolerated under [`crate::Accept::DataOne`].
    #[must_use]
    pub fn is_dataone(self) -> bool {
        matches!(self.concern(), Concern::DataOneStructure | Concern::DataOneFixity)
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
    fn the_dataone_faults_are_exactly_the_named_ones() {
        let named: Vec<&str> =
            FaultCode::ALL.iter().filter(|code| code.is_dataone()).map(|code| code.as_str()).collect();
        let expected = [
            "manifest-name-case",
            "base-dir-prefix",
            "dataone-duplicate-content",
            "tag-manifest-incomplete",
            "oxum-int-overflow",
            "oxum-datapack",
        ];
        assert_eq!(named, expected);
    }

    #[test]
    fn faults_serialise_with_their_code_and_no_empty_path() {
        let fault = Fault::new(FaultCode::BagitTxtMissing, None, "no declaration");
        let text = serde_json::to_string(&fault).unwrap();
        assert_eq!(text, r#"{"code":"bagit-txt-missing","severity":"error","message":"no declaration"}"#);
        assert!(Severity::Error > Severity::Warning);
    }
}
