//! The files against all manifests together: the payload, `fetch.txt`, and the tag files.

use std::collections::HashSet;

use multi_digest::{Algorithm, Digests};

use super::entries::{Listed, Spelled, Target};
use super::{Checker, ManifestFile, payload_algorithms, tag_algorithms};
use crate::fault::{FaultCode, Severity};
use crate::fetch::{self, FetchLine, fetch_lines};
use crate::inventory::{EntryKind, FileEntry, Inventory};
use crate::manifest::{ManifestKind, ManifestName};
use crate::report::Faults;

/// The number of manifests of each kind that a check reads. There are six algorithms, so more are an attack.
const MOST_MANIFESTS: usize = 64;

/// The payload manifests that list each file, as one bit for each manifest in their order.
struct PayloadListing {
    names: Vec<String>,
    /// The bits of the files present, by index.
    present: Vec<u64>,
    /// The listed files that are missing. The size of each is its bits.
    missing: Inventory,
}

impl PayloadListing {
    fn every_manifest(&self) -> u64 {
        self.names.iter().fold(0, |bits, _| bits << 1 | 1)
    }

    /// Returns the names of the manifests whose bit is not set.
    fn lacking(&self, bits: u64) -> String {
        let lacking = self.names.iter().enumerate().filter(|(index, _)| bits & 1 << index == 0);
        lacking.map(|(_, name)| name.as_str()).collect::<Vec<_>>().join(", ")
    }

    fn listed_in(&self, bits: u64) -> String {
        self.lacking(!bits)
    }

    fn bits(&self, index: usize) -> u64 {
        self.present.get(index).copied().unwrap_or(0)
    }
}

/// The payload files that are listed but missing.
#[derive(Default)]
pub(super) struct Missing {
    pub(super) listed: Inventory,
    /// The number of missing files that `fetch.txt` promises.
    pub(super) files: u64,
    /// The bytes of these files, or `None` if the size of one is unknown.
    pub(super) bytes: Option<u64>,
    /// Whether other files are missing too.
    pub(super) others_missing: bool,
}

impl Missing {
    fn add_promised(&mut self, length: Option<u64>) {
        self.files += 1;
        self.bytes = self.bytes.zip(length).map(|(sum, length)| sum.saturating_add(length));
    }
}

impl Checker<'_> {
    /// Checks the payload, and returns the files that are missing.
    pub(super) fn payload(&mut self) -> Missing {
        let listing = self.payload_listing();
        self.check_present(&listing);
        let promised = self.check_fetch(&listing);
        let mut missing = Missing { bytes: Some(0), ..Missing::default() };
        for (path, entry) in listing.missing.files() {
            let Some(promise) = promised.file(path) else {
                let manifests = listing.listed_in(entry.size);
                let message = format!("the file is listed in {manifests}, but missing");
                self.fault(FaultCode::PayloadFileMissing, Some(path), message);
                missing.others_missing = true;
                continue;
            };
            missing.add_promised(length_of(promise));
            let message = "the file is missing, and fetch.txt has its URL";
            self.fault(FaultCode::PayloadFileFetchable, Some(path), message);
        }
        missing.listed = listing.missing;
        missing
    }

    /// Returns the payload files of `fetch.txt` that are missing, without a look at the manifests.
    pub(super) fn missing_by_fetch_file(&mut self) -> Missing {
        let mut missing = Missing { bytes: Some(0), ..Missing::default() };
        let Some(bytes) = self.tags.get(fetch::FILE_NAME) else { return missing };
        let Some(text) = self.decode(fetch::FILE_NAME, bytes) else { return missing };
        for line in fetch_lines(&text, self.version, &mut Faults::default()) {
            let is_new =
                self.inventory.file(&line.path).is_none() && missing.listed.file(&line.path).is_none();
            if is_new && line.path.starts_with("data/") {
                missing.listed.insert_file(&line.path, 0, Digests::new());
                missing.add_promised(line.length);
            }
        }
        missing
    }

    fn payload_listing(&mut self) -> PayloadListing {
        let mut listing = PayloadListing {
            names: Vec::new(),
            present: vec![0; self.resolver.len()],
            missing: Inventory::new(),
        };
        let manifests = std::mem::take(&mut self.manifests);
        for manifest in self.checked_manifests(&manifests, ManifestKind::Payload) {
            let Some(listed) = self.check_manifest(manifest) else { continue };
            let bit = 1 << listing.names.len();
            listing.names.push(manifest.name.to_owned());
            for index in listed.present {
                if let Some(bits) = listing.present.get_mut(index) {
                    *bits |= bit;
                }
            }
            for (path, _) in listed.missing.files() {
                let bits = listing.missing.file(path).map_or(0, |entry| entry.size);
                listing.missing.insert_file(path, bits | bit, Digests::new());
            }
        }
        self.manifests = manifests;
        listing
    }

    /// Returns the manifests of one kind that are checked, and reports the others.
    fn checked_manifests<'m, 'f>(
        &mut self,
        manifests: &'m [ManifestFile<'f>],
        kind: ManifestKind,
    ) -> impl Iterator<Item = &'m ManifestFile<'f>> + use<'m, 'f> {
        let of_kind = move || manifests.iter().filter(move |manifest| manifest.kind == kind);
        if let Some(first_left_out) = of_kind().nth(MOST_MANIFESTS) {
            let count = of_kind().count();
            let message = format!("expected at most {MOST_MANIFESTS} manifests of one kind, found {count}");
            self.fault(FaultCode::TooManyManifests, Some(first_left_out.name), message);
        }
        of_kind().take(MOST_MANIFESTS)
    }

    fn check_present(&mut self, listing: &PayloadListing) {
        let every = listing.every_manifest();
        let files = self.resolver.indices(ManifestKind::Payload);
        let unlisted: Vec<(usize, &str)> =
            files.filter(|(index, _)| listing.bits(*index) == 0 && self.is_file(*index)).collect();
        if !listing.names.is_empty() && !unlisted.is_empty() {
            self.report_unlisted(listing, &unlisted);
        }
        if !self.version.is_rfc() {
            return;
        }
        let files = self.resolver.indices(ManifestKind::Payload);
        for (index, path) in files.filter(|(index, _)| ![0, every].contains(&listing.bits(*index))) {
            let message = format!("the file is not listed in {}", listing.lacking(listing.bits(index)));
            self.fault(FaultCode::PayloadFileNotInEveryManifest, Some(path), message);
        }
    }

    fn is_file(&self, index: usize) -> bool {
        self.resolver.file(index).is_some_and(|(_, entry)| entry.kind != EntryKind::NotAFile)
    }

    fn report_unlisted(&mut self, listing: &PayloadListing, unlisted: &[(usize, &str)]) {
        let supported = self.manifests.iter().filter(|manifest| manifest.kind == ManifestKind::Payload);
        let algorithms: Vec<Algorithm> = supported.filter_map(|manifest| manifest.algorithm).collect();
        let listed = listing.present.iter().enumerate().filter(|(_, bits)| **bits != 0);
        let listed: HashSet<(Algorithm, &[u8])> = listed
            .filter_map(|(index, _)| self.resolver.file(index))
            .flat_map(|(_, entry)| {
                let digests = entry.digests;
                algorithms.iter().filter_map(move |name| Some((*name, digests.get(*name)?)))
            })
            .collect();
        for (index, path) in unlisted {
            let entry = self.resolver.file(*index).map(|(_, entry)| entry);
            let has_twin = algorithms.iter().any(|algorithm| {
                let digest = entry.and_then(|entry| entry.digests.get(*algorithm));
                digest.is_some_and(|digest| listed.contains(&(*algorithm, digest)))
            });
            if has_twin {
                let message = "no manifest lists the file, but a listed file has the same content";
                self.fault(FaultCode::DuplicateContentUnlisted, Some(path), message);
            } else {
                self.fault(FaultCode::PayloadFileUnlisted, Some(path), "no manifest lists the file");
            }
        }
    }

    /// Checks `fetch.txt`, and returns the missing files that it promises.
    ///
    /// The size of each is its length. It counts as unreadable where the length is unknown.
    fn check_fetch(&mut self, listing: &PayloadListing) -> Inventory {
        let mut promised = Inventory::new();
        let Some(bytes) = self.tags.get(fetch::FILE_NAME) else { return promised };
        let Some(text) = self.decode(fetch::FILE_NAME, bytes) else { return promised };
        let mut present = vec![false; self.resolver.len()];
        let mut faults = Faults::default();
        for line in fetch_lines(&text, self.version, &mut faults) {
            let is_again = self.check_fetch_line(&line, listing, &mut present, &mut promised);
            if is_again {
                let message = "fetch.txt lists the file two times";
                self.fault(FaultCode::FetchDuplicateEntry, Some(&line.path), message);
            }
        }
        let tolerates = self.options.tolerates;
        self.faults.append(&faults, |mut fault| {
            fault.path = Some(fetch::FILE_NAME.to_owned());
            super::tolerated(fault, tolerates)
        });
        promised
    }

    /// Checks one line of `fetch.txt`, and says whether an earlier line lists the same file.
    fn check_fetch_line(
        &mut self,
        line: &FetchLine<'_>,
        listing: &PayloadListing,
        present: &mut [bool],
        promised: &mut Inventory,
    ) -> bool {
        let spelled = Spelled { path: &line.path, plain: true, kind: ManifestKind::Payload };
        let (target, notes) = self.resolver.resolve(spelled, &mut None);
        let outside = "fetch.txt lists a file that is not under data/";
        let (code, message) = match target {
            _ if notes.base_directory => (FaultCode::FetchListsTagFile, outside.to_owned()),
            Target::Outside => (FaultCode::FetchListsTagFile, outside.to_owned()),
            Target::File(index) => {
                self.fetch_present(line, index, listing);
                return present.get_mut(index).is_some_and(|seen| std::mem::replace(seen, true));
            }
            Target::Missing(path) => {
                self.fetch_missing(&path, listing);
                return match line.length {
                    Some(length) => promised.insert_file(&path, length, Digests::new()),
                    None => promised.insert_unreadable(&path, 0),
                };
            }
            Target::Escapes(reason) => {
                (FaultCode::PathEscapes, format!("fetch.txt lists a path that could leave the bag: {reason}"))
            }
            Target::Directory => (FaultCode::PathIsDirectory, "fetch.txt lists a directory".to_owned()),
        };
        self.fault(code, Some(&line.path), message);
        false
    }

    fn fetch_present(&mut self, line: &FetchLine<'_>, index: usize, listing: &PayloadListing) {
        let Some((path, file)) = self.resolver.file(index) else { return };
        if let Some(length) = line.length.filter(|length| *length != file.size) {
            let message = format!("fetch.txt states {length} bytes, the file has {}", file.size);
            self.fault(FaultCode::FetchLengthMismatch, Some(path), message);
        }
        if listing.bits(index) == 0 {
            let message = "fetch.txt lists a file that no manifest lists";
            self.fault(FaultCode::FetchNotInManifest, Some(path), message);
        }
    }

    fn fetch_missing(&mut self, path: &str, listing: &PayloadListing) {
        let bits = listing.missing.file(path).map_or(0, |entry| entry.size);
        if bits == 0 {
            let message = "fetch.txt lists a file that no manifest lists";
            self.fault(FaultCode::FetchNotInManifest, Some(path), message);
        } else if self.version.is_rfc() && bits != listing.every_manifest() {
            let message = format!("fetch.txt lists a file that is not listed in {}", listing.lacking(bits));
            self.fault(FaultCode::FetchNotInManifest, Some(path), message);
        }
    }

    pub(super) fn tag_manifests(&mut self) {
        self.report_near_manifests();
        let manifests = std::mem::take(&mut self.manifests);
        let mut all: Vec<(&str, Listed)> = Vec::new();
        for manifest in self.checked_manifests(&manifests, ManifestKind::Tag) {
            let Some(listed) = self.check_manifest(manifest) else { continue };
            for payload in manifests.iter().filter(|manifest| manifest.kind == ManifestKind::Payload) {
                let index = self.resolver.find(payload.name);
                if !index.is_some_and(|index| lists(&listed, index)) {
                    let message = format!("{} does not list this payload manifest", manifest.name);
                    let code = FaultCode::TagManifestIncomplete;
                    self.error_since_1_0(code, Some(payload.name), message, Severity::Info);
                }
            }
            all.push((manifest.name, listed));
        }
        self.manifests = manifests;
        self.report_missing_tags(&all);
        if !all.is_empty() {
            self.report_unlisted_tags(&all);
            self.compare_tag_manifests(&all);
        }
    }

    fn report_near_manifests(&mut self) {
        let near = |name: &str| {
            let lower = name.to_ascii_lowercase();
            (lower.starts_with("manifest-") || lower.starts_with("tagmanifest-")) && !lower.ends_with(".txt")
        };
        for (_, path) in self.resolver.indices(ManifestKind::Tag) {
            if !path.contains('/') && near(path) {
                let message = "the file does not count as a manifest, because its name does not end in .txt";
                self.fault(FaultCode::ManifestNameExtension, Some(path), message);
            }
        }
    }

    fn report_missing_tags(&mut self, all: &[(&str, Listed)]) {
        let mut missing = Inventory::new();
        for (path, entry) in all.iter().flat_map(|(_, listed)| listed.missing.files()) {
            missing.insert(path, entry);
        }
        for (path, _) in missing.files() {
            let message = "a tag manifest lists the file, but it is missing";
            self.fault(FaultCode::TagFileMissing, Some(path), message);
        }
    }

    fn report_unlisted_tags(&mut self, all: &[(&str, Listed)]) {
        for (index, path) in self.resolver.indices(ManifestKind::Tag) {
            let is_manifest = !path.contains('/') && ManifestName::parse(path).is_some();
            if !is_manifest && !all.iter().any(|(_, listed)| lists(listed, index)) {
                self.fault(FaultCode::TagFileUnlisted, Some(path), "no tag manifest lists the file");
            }
        }
    }

    fn compare_tag_manifests(&mut self, all: &[(&str, Listed)]) {
        if payload_algorithms(self.tags) != tag_algorithms(self.tags) {
            let message = "the tag manifests use other algorithms than the payload manifests";
            self.fault(FaultCode::TagManifestAlgorithms, None, message);
        }
        let Some(((first_name, first), others)) = all.split_first() else { return };
        for (name, other) in others {
            let paths =
                |listed: &Listed| listed.missing.files().map(|(path, _)| path.to_owned()).collect::<Vec<_>>();
            if other.present != first.present || paths(other) != paths(first) {
                let message = format!("the manifest lists other files than {first_name}");
                self.fault(FaultCode::TagManifestsDiffer, Some(name), message);
            }
        }
    }
}

fn lists(listed: &Listed, index: usize) -> bool {
    listed.present.binary_search(&index).is_ok()
}

fn length_of(promise: FileEntry<'_>) -> Option<u64> {
    (promise.kind == EntryKind::File).then_some(promise.size)
}
