//! The one rule engine: it judges an inventory and the tag files' bytes, and touches nothing else.

use std::borrow::Cow;

use crate::algorithm::{Algorithm, AlgorithmSet};
use crate::declaration::{self, Declaration};
use crate::fault::{Fault, FaultCode, Severity};
use crate::inventory::{EntryKind, Inventory};
use crate::manifest::{ManifestKind, ManifestName};
use crate::report::{Report, judge};
use crate::tag_files::{TagFile, TagFiles};
use crate::text::TextEncoding;
use crate::version::Version;

mod entries;
mod fetch;
mod info;
mod names;
mod payload;
mod resolve;
mod tags;

pub(crate) use names::name_faults;
use resolve::Resolver;

/// Chooses what is tolerated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Accept {
    /// Nothing that the version of the bag forbids.
    #[default]
    Strict,
    /// The known faults of DataONE's own producers too ([`FaultCode::is_dataone`]): they become warnings.
    DataOne,
}

/// Sets how a bag is judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckOptions {
    /// What is tolerated.
    pub accept: Accept,
}

impl CheckOptions {
    /// Gives options that tolerate what is said.
    #[must_use]
    pub fn accepting(accept: Accept) -> Self {
        Self { accept }
    }
}

/// Names the algorithms whose digests [`check`] compares, judged by the names of the manifests alone.
///
/// A file under `data/` needs only [`payload_algorithms`], every other file only [`tag_algorithms`].
#[must_use]
pub fn required_algorithms(tags: &TagFiles) -> Vec<Algorithm> {
    payload_algorithms(tags).union(tag_algorithms(tags)).iter().collect()
}

/// Names the algorithms of the payload manifests.
#[must_use]
pub fn payload_algorithms(tags: &TagFiles) -> AlgorithmSet {
    algorithms(tags, ManifestKind::Payload)
}

/// Names the algorithms of the tag manifests.
#[must_use]
pub fn tag_algorithms(tags: &TagFiles) -> AlgorithmSet {
    algorithms(tags, ManifestKind::Tag)
}

fn algorithms(tags: &TagFiles, kind: ManifestKind) -> AlgorithmSet {
    let of_kind = |name: ManifestName<'_>| (name.kind == kind).then_some(name.algorithm).flatten();
    tags.names().filter_map(|name| ManifestName::parse(name).and_then(of_kind)).collect()
}

/// Judges a bag by every rule of its version and collects all faults.
#[must_use]
pub fn check(inventory: &Inventory, tags: &TagFiles, options: &CheckOptions) -> Report {
    let mut checker = Checker::new(inventory, tags, *options);
    checker.structure();
    let missing = checker.payload();
    checker.tag_manifests();
    checker.info(&missing);
    for fault in name_faults(inventory, &std::mem::take(&mut checker.missing)) {
        checker.add(fault);
    }
    checker.report()
}

/// Holds one manifest of the bag.
struct ManifestFile<'a> {
    name: &'a str,
    file: &'a TagFile,
    kind: ManifestKind,
    algorithm: Option<Algorithm>,
}

/// Holds the state of one check.
struct Checker<'a> {
    inventory: &'a Inventory,
    tags: &'a TagFiles,
    options: CheckOptions,
    declaration: Declaration,
    /// The declared version, or 1.0 where none can be read.
    version: Version,
    encoding: TextEncoding,
    manifests: Vec<ManifestFile<'a>>,
    resolver: Resolver<'a>,
    /// Payload files that are listed but not there.
    missing: Vec<String>,
    faults: Vec<Fault>,
}

impl<'a> Checker<'a> {
    fn new(inventory: &'a Inventory, tags: &'a TagFiles, options: CheckOptions) -> Self {
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
            missing: Vec::new(),
            faults: Vec::new(),
        };
        faults.into_iter().for_each(|fault| checker.add(fault));
        checker
    }

    fn structure(&mut self) {
        if !self.version.is_supported() {
            let message = format!("version {} is not one of 0.93 to 0.97 and 1.0", self.version);
            self.fault(FaultCode::VersionUnsupported, Some(declaration::FILE_NAME), message);
        }
        self.choose_encoding();
        if !self.inventory.has_directory("data") {
            self.fault(FaultCode::PayloadDirectoryMissing, None, "the bag has no data directory");
        }
        self.find_manifests();
        if !self.manifests.iter().any(|manifest| manifest.kind == ManifestKind::Payload) {
            self.fault(FaultCode::PayloadManifestMissing, None, "the bag has no manifest-ALGORITHM.txt");
        }
        for fault in self.inventory.observations() {
            self.add(fault.clone());
        }
    }

    fn choose_encoding(&mut self) {
        let Some(label) = self.declaration.encoding.clone() else { return };
        match TextEncoding::for_label(&label) {
            Some(encoding) => self.encoding = encoding,
            None => {
                let message = format!("tag files are in `{label}`, which is not supported");
                self.fault(FaultCode::EncodingUnsupported, Some(declaration::FILE_NAME), message);
            }
        }
        if self.encoding != TextEncoding::Utf8 {
            let message = format!("tag files are in {label}; UTF-8 is recommended");
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
                    let message =
                        format!("`{}` is not supported, so nothing in it can be proven", parsed.spelled);
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
                        let message = format!("there is another manifest for {algorithm}");
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

    /// Adds a fault that earlier versions than 1.0 grade less.
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
        let tolerated = self.options.accept == Accept::DataOne && fault.code.is_dataone();
        let severity = if tolerated { fault.severity.min(Severity::Warning) } else { fault.severity };
        self.faults.push(fault.with_severity(severity));
    }

    fn report(self) -> Report {
        let (complete, valid, verdict) = judge(&self.faults);
        let (payload_files, payload_bytes) = self.payload_size();
        Report {
            version: self.declaration.version,
            encoding: self.declaration.encoding,
            verdict,
            complete,
            valid,
            payload_files,
            payload_bytes,
            algorithms: payload_algorithms(self.tags).iter().collect(),
            faults: self.faults,
        }
    }

    /// Gives the number of payload files that are there, and their bytes.
    fn payload_size(&self) -> (u64, u64) {
        let add = |(files, bytes): (u64, u64), size: u64| (files + 1, bytes.saturating_add(size));
        let files = self.inventory.payload().filter(|(_, entry)| entry.kind != EntryKind::NotAFile);
        files.map(|(_, entry)| entry.size).fold((0, 0), add)
    }
}
