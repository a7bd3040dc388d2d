//! `fetch.txt` against the manifests and the files.

use std::collections::BTreeMap;

use super::Checker;
use super::payload::PayloadListing;
use super::resolve::{Spelled, Target};
use crate::fault::FaultCode;
use crate::fetch::{FILE_NAME, FetchEntry, FetchList};
use crate::manifest::ManifestKind;

impl Checker<'_> {
    /// Checks `fetch.txt`, and gives the missing files that it promises with their sizes.
    pub(super) fn check_fetch(&mut self, listing: &PayloadListing) -> BTreeMap<String, Option<u64>> {
        let mut promised = BTreeMap::new();
        let Some(bytes) = self.tags.get(FILE_NAME) else { return promised };
        let Some(text) = self.decode(FILE_NAME, bytes) else { return promised };
        let (list, faults) = FetchList::parse(&text, self.version);
        for mut fault in faults {
            fault.path = Some(FILE_NAME.to_owned());
            self.add(fault);
        }
        let mut present = BTreeMap::new();
        for entry in &list.entries {
            let spelled = Spelled { path: &entry.path, plain: true, kind: ManifestKind::Payload };
            let (target, notes) = self.resolver.resolve(spelled, &mut None);
            if notes.base_directory {
                self.outside(entry);
                continue;
            }
            let again = match target {
                Target::File(index) => {
                    self.fetch_present(entry, index, listing);
                    present.insert(index, ()).is_some()
                }
                Target::Missing(path) => {
                    self.fetch_missing(&path, listing);
                    promised.insert(path, entry.length).is_some()
                }
                Target::Escapes(reason) => {
                    let message = format!("fetch.txt lists a path that could leave the bag: {reason}");
                    self.fault(FaultCode::PathEscapes, Some(&entry.path), message);
                    false
                }
                Target::Directory => {
                    self.fault(FaultCode::PathIsDirectory, Some(&entry.path), "fetch.txt lists a directory");
                    false
                }
                Target::Outside => {
                    self.outside(entry);
                    false
                }
            };
            if again {
                self.fault(
                    FaultCode::FetchDuplicateEntry,
                    Some(&entry.path),
                    "fetch.txt lists the file twice",
                );
            }
        }
        promised
    }

    fn outside(&mut self, entry: &FetchEntry) {
        let message = "fetch.txt lists a file that is not under data/";
        self.fault(FaultCode::FetchListsTagFile, Some(&entry.path), message);
    }

    fn fetch_present(&mut self, entry: &FetchEntry, index: usize, listing: &PayloadListing) {
        let Some((path, file)) = self.resolver.file(index) else { return };
        if let Some(length) = entry.length.filter(|length| *length != file.size) {
            let message = format!("fetch.txt says {length} bytes, the file has {}", file.size);
            self.fault(FaultCode::FetchLengthMismatch, Some(path), message);
        }
        if listing.present.get(index).is_some_and(|bits| *bits == 0) {
            self.fault(
                FaultCode::FetchNotInManifest,
                Some(path),
                "fetch.txt lists a file that no manifest lists",
            );
        }
    }

    fn fetch_missing(&mut self, path: &str, listing: &PayloadListing) {
        let bits = listing.missing.get(path).copied().unwrap_or(0);
        if bits == 0 {
            self.fault(
                FaultCode::FetchNotInManifest,
                Some(path),
                "fetch.txt lists a file that no manifest lists",
            );
        } else if self.version.is_rfc() && bits != listing.every_manifest() {
            let message = format!("fetch.txt lists a file that is not in {}", listing.lacking(bits));
            self.fault(FaultCode::FetchNotInManifest, Some(path), message);
        }
    }
}
