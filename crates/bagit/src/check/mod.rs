//! The rule engine: it judges an inventory and the tag files, and reads nothing else.

use std::borrow::Cow;
use std::fmt;

use multi_digest::{Algorithm, AlgorithmSet};

use crate::declaration::{self, Declaration};
use crate::fault::{Fault, FaultCode, Severity};
use crate::inventory::{EntryKind, Inventory};
use crate::manifest::{ManifestKind, ManifestName};
use crate::report::{Faults, Level, Report, judge};
use crate::tag_files::{TagFile, TagFiles};
use crate::text::TextEncoding;
use crate::version::Version;

mod entries;
mod info;
mod listing;
mod names;

use entries::Resolver;
pub(crate) use names::name_faults;

/// Sets how a bag is judged.
///
/// ```
/// use bagit::{CheckOptions, Fault, FaultCode, Level};
///
/// // The program knows a producer that writes `manifest-MD5.txt`.
/// let tolerates = |fault: &Fault| fault.code == FaultCode::ManifestNameCase;
/// let options = CheckOptions::tolerating(&tolerates).with_level(Level::Completeness);
/// assert_eq!(options.level, Level::Completeness);
/// ```
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct CheckOptions<'a> {
    /// Says which faults are tolerated: a tolerated error becomes a warning. By default, none is.
    pub tolerates: &'a (dyn Fn(&Fault) -> bool + Sync),
    /// How much is checked. By default, everything is.
    pub level: Level,
}

impl<'a> CheckOptions<'a> {
    /// Returns options that tolerate the faults for which the predicate is true.
    #[must_use]
    pub fn tolerating(tolerates: &'a (dyn Fn(&Fault) -> bool + Sync)) -> Self {
        Self { tolerates, ..Self::default() }
    }

    /// Sets how much is checked.
    #[must_use]
    pub fn with_level(mut self, level: Level) -> Self {
        self.level = level;
        self
    }
}

impl Default for CheckOptions<'_> {
    fn default() -> Self {
        Self { tolerates: &nothing, level: Level::Full }
    }
}

impl fmt::Debug for CheckOptions<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("CheckOptions").field("level", &self.level).finish_non_exhaustive()
    }
}

fn nothing(_: &Fault) -> bool {
    false
}

/// Returns the algorithms whose digests [`check`] compares. It looks at the names of the manifests only.
///
/// A file under `data/` needs [`payload_algorithms`] only, every other file [`tag_algorithms`] only.
#[must_use]
pub fn required_algorithms(tags: &TagFiles) -> Vec<Algorithm> {
    payload_algorithms(tags).union(tag_algorithms(tags)).iter().collect()
}

/// Returns the algorithms of the payload manifests.
#[must_use]
pub fn payload_algorithms(tags: &TagFiles) -> AlgorithmSet {
    algorithms(tags, ManifestKind::Payload)
}

/// Returns the algorithms of the tag manifests.
#[must_use]
pub fn tag_algorithms(tags: &TagFiles) -> AlgorithmSet {
    algorithms(tags, ManifestKind::Tag)
}

fn algorithms(tags: &TagFiles, kind: ManifestKind) -> AlgorithmSet {
    let of_kind = |name: ManifestName<'_>| (name.kind == kind).then_some(name.algorithm).flatten();
    tags.names().filter_map(|name| ManifestName::parse(name).and_then(of_kind)).collect()
}

/// Judges a bag by every rule of its version and collects all faults.
///
/// ```
/// use bagit::{CheckOptions, Digests, FaultCode, Inventory, TagFiles, check, required_algorithms};
///
/// // The program has received these bytes in its own way.
/// let files = [("bagit.txt", "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"), ("data/a.csv", "15,7.2\n")];
/// let mut tag_files = TagFiles::new();
/// for (path, text) in files.iter().filter(|(path, _)| TagFiles::wants(path)) {
///     tag_files.insert(path, text.as_bytes().to_vec());
/// }
/// let algorithms = required_algorithms(&tag_files).into_iter().collect();
/// let mut inventory = Inventory::new();
/// for (path, text) in files {
///     inventory.insert_file(path, text.len() as u64, Digests::of(algorithms, text.as_bytes()));
/// }
/// let report = check(&inventory, &tag_files, &CheckOptions::default());
/// assert!(report.has(FaultCode::PayloadManifestMissing));
/// ```
#[must_use]
pub fn check(inventory: &Inventory, tags: &TagFiles, options: &CheckOptions<'_>) -> Report {
    let mut checker = Checker::new(inventory, tags, *options);
    checker.structure();
    let missing = if options.level == Level::Fast {
        checker.missing_by_fetch_file()
    } else {
        let missing = checker.payload();
        checker.tag_manifests();
        missing
    };
    checker.info(&missing);
    name_faults(inventory, &missing.listed, &mut |fault| checker.add(fault));
    checker.report()
}

/// One manifest of the bag.
struct ManifestFile<'a> {
    name: &'a str,
    file: &'a TagFile,
    kind: ManifestKind,
    algorithm: Option<Algorithm>,
}

/// The state of one check.
struct Checker<'a> {
    inventory: &'a Inventory,
    tags: &'a TagFiles,
    options: CheckOptions<'a>,
    declaration: Declaration,
    /// The declared version, or 1.0 without a readable one.
    version: Version,
    encoding: TextEncoding,
    manifests: Vec<ManifestFile<'a>>,
    resolver: Resolver<'a>,
    faults: Faults,
}

impl<'a> Checker<'a> {
    fn new(inventory: &'a Inventory, tags: &'a TagFiles, options: CheckOptions<'a>) -> Self {
        let (declaration, faults) = match tags.get(declaration::FILE_NAME) {
            Some(bytes) => Declaration::parse(bytes),
            None => {
                let message = "the bag has no bagit.txt at its top";
                (Declaration::default(), vec![Fault::new(FaultCode::BagitTxtMissing, None, message)])
            }
        };
        let version = declaration.version.unwrap_or(Version::V1_0);
        let mut checker = Self {
            inventory,
            tags,
            options,
            declaration,
            version,
            encoding: TextEncoding::Utf8,
            manifests: Vec::new(),
            resolver: Resolver::new(inventory, version),
            faults: Faults::default(),
        };
        faults.into_iter().for_each(|fault| checker.add(fault));
        checker
    }

    fn structure(&mut self) {
        if !self.version.is_supported() {
            let message = format!("expected version 0.93 to 0.97 or 1.0, found {}", self.version);
            self.fault(FaultCode::VersionUnsupported, Some(declaration::FILE_NAME), message);
        }
        self.choose_encoding();
        if !self.tags.has(declaration::FILE_NAME) {
            self.report_deeper_bag();
        }
        if !self.inventory.has_directory("data") {
            self.fault(FaultCode::PayloadDirectoryMissing, None, "the bag has no data directory");
        }
        self.find_manifests();
        if !self.manifests.iter().any(|manifest| manifest.kind == ManifestKind::Payload) {
            self.fault(FaultCode::PayloadManifestMissing, None, "the bag has no manifest-ALGORITHM.txt");
        }
        let tolerates = self.options.tolerates;
        self.faults.append(self.inventory.observations(), |fault| tolerated(fault, tolerates));
    }

    /// Names the directory that is probably the bag.
    fn report_deeper_bag(&mut self) {
        let declared = |(path, _)| str::strip_suffix(path, "/bagit.txt");
        if let Some(directory) = self.inventory.files().find_map(declared) {
            let message = "the bag is in this directory: check it instead, or move its content up";
            self.fault(FaultCode::BagTooDeep, Some(directory), message);
        }
    }

    fn choose_encoding(&mut self) {
        let Some(label) = self.declaration.encoding.clone() else { return };
        match TextEncoding::for_label(&label) {
            Some(encoding) => self.encoding = encoding,
            None => {
                let message = format!("the tag files use the encoding `{label}`, which is not supported");
                self.fault(FaultCode::EncodingUnsupported, Some(declaration::FILE_NAME), message);
            }
        }
        if self.encoding != TextEncoding::Utf8 {
            let message = format!("the tag files use the encoding {label}; UTF-8 is recommended");
            self.fault(FaultCode::EncodingNotUtf8, Some(declaration::FILE_NAME), message);
        }
    }

    fn find_manifests(&mut self) {
        let mut found = [AlgorithmSet::EMPTY; 2];
        for (name, file) in self.tags.files() {
            let Some(parsed) = ManifestName::parse(name) else { continue };
            if !ManifestName::is_lower_case(name) {
                let message = "the name of a manifest must be in lower case";
                self.fault(FaultCode::ManifestNameCase, Some(name), message);
            }
            match parsed.algorithm {
                None => {
                    let message = format!(
                        "the algorithm `{}` is not supported, so the manifest proves nothing",
                        parsed.spelled
                    );
                    self.fault(FaultCode::AlgorithmUnsupported, Some(name), message);
                }
                Some(algorithm) => {
                    if !parsed.is_plain() {
                        let message = format!("the name should spell the algorithm `{algorithm}`");
                        self.fault(FaultCode::ManifestNameAlias, Some(name), message);
                    }
                    let [payload, tag] = &mut found;
                    let set = if parsed.kind == ManifestKind::Payload { payload } else { tag };
                    if set.contains(algorithm) {
                        let message = format!("the bag has another manifest for {algorithm}");
                        self.fault(FaultCode::ManifestDuplicateAlgorithm, Some(name), message);
                    }
                    set.insert(algorithm);
                }
            }
            self.manifests.push(ManifestFile { name, file, kind: parsed.kind, algorithm: parsed.algorithm });
        }
    }

    /// Decodes a tag file with the declared encoding.
    fn decode<'b>(&mut self, name: &str, bytes: &'b [u8]) -> Option<Cow<'b, str>> {
        let Some(decoded) = self.encoding.decode(bytes) else {
            self.undecodable(name);
            return None;
        };
        if decoded.had_mark {
            self.has_mark(name);
        }
        Some(decoded.text)
    }

    fn undecodable(&mut self, name: &str) {
        let label = self.declaration.encoding.as_deref().unwrap_or("UTF-8");
        let message = format!("the file cannot be decoded as {label}");
        self.fault(FaultCode::TagFileUndecodable, Some(name), message);
    }

    fn has_mark(&mut self, name: &str) {
        let message = "the file begins with a byte-order mark, which UTF-8 does not need";
        self.error_since_1_0(FaultCode::TagFileBom, Some(name), message, Severity::Warning);
    }

    fn fault(&mut self, code: FaultCode, path: Option<&str>, message: impl Into<String>) {
        self.add(Fault::new(code, path, message));
    }

    /// Adds a fault that has a lower severity before version 1.0.
    fn error_since_1_0(
        &mut self,
        code: FaultCode,
        path: Option<&str>,
        message: impl Into<String>,
        before: Severity,
    ) {
        let fault = Fault::new(code, path, message);
        self.add(if self.version.is_rfc() { fault } else { fault.with_severity(before) });
    }

    fn add(&mut self, fault: Fault) {
        self.faults.push(tolerated(fault, self.options.tolerates));
    }

    fn report(self) -> Report {
        let (complete, valid, verdict) = judge(&self.faults, self.options.level);
        let (payload_files, payload_bytes) = self.payload_size();
        Report {
            version: self.declaration.version,
            encoding: self.declaration.encoding,
            level: self.options.level,
            verdict,
            complete,
            valid,
            payload_files,
            payload_bytes,
            algorithms: payload_algorithms(self.tags).iter().collect(),
            omitted: self.faults.omitted(),
            faults: self.faults.into_kept(),
        }
    }

    /// Returns the number of payload files present, and their bytes.
    fn payload_size(&self) -> (u64, u64) {
        let add = |(files, bytes): (u64, u64), size: u64| (files + 1, bytes.saturating_add(size));
        let files = self.inventory.payload().filter(|(_, entry)| entry.kind != EntryKind::NotAFile);
        files.map(|(_, entry)| entry.size).fold((0, 0), add)
    }
}

/// Makes an error that the caller tolerates a warning.
fn tolerated(fault: Fault, tolerates: &dyn Fn(&Fault) -> bool) -> Fault {
    if fault.severity == Severity::Error && tolerates(&fault) {
        fault.with_severity(Severity::Warning)
    } else {
        fault
    }
}
