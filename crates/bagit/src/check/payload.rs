//! Every payload file against every payload manifest and `fetch.txt`.

use std::collections::{BTreeMap, HashSet};

use super::Checker;
use crate::fault::FaultCode;
use crate::inventory::EntryKind;
use crate::manifest::ManifestKind;

/// How many manifests are told apart; there are six algorithms.
const MOST_MANIFESTS: usize = 32;

/// Says which manifests list what, as bits in the order of the manifests.
pub(super) struct PayloadListing {
    pub(super) names: Vec<String>,
    pub(super) present: Vec<u32>,
    pub(super) missing: BTreeMap<String, u32>,
}

impl PayloadListing {
    pub(super) fn every_manifest(&self) -> u32 {
        self.names.iter().fold(0, |bits, _| bits << 1 | 1)
    }

    /// Names the manifests whose bit is not set.
    pub(super) fn lacking(&self, bits: u32) -> String {
        let lacking = self.names.iter().enumerate().filter(|(index, _)| bits & 1 << index == 0);
        lacking.map(|(_, name)| name.as_str()).collect::<Vec<_>>().join(", ")
    }
}

/// Sums up what `fetch.txt` promises of the missing files.
#[derive(Default)]
pub(super) struct Fetchable {
    pub(super) files: u64,
    /// Their bytes, or `None` if the size of one is not given.
    pub(super) bytes: Option<u64>,
    /// Whether files are missing that nothing promises.
    pub(super) others_missing: bool,
}

impl Checker<'_> {
    /// Checks the payload, and says what is missing of it.
    pub(super) fn payload(&mut self) -> Fetchable {
        let listing = self.payload_listing();
        self.check_present(&listing);
        let fetch = self.check_fetch(&listing);
        let mut fetchable = Fetchable { files: 0, bytes: Some(0), others_missing: false };
        for (path, bits) in &listing.missing {
            let Some(length) = fetch.get(path.as_str()) else {
                let message = format!("the file is listed but not there ({})", listed_in(&listing, *bits));
                self.fault(FaultCode::PayloadFileMissing, Some(path), message);
                fetchable.others_missing = true;
                continue;
            };
            fetchable.files += 1;
            fetchable.bytes = fetchable.bytes.zip(*length).map(|(sum, length)| sum.saturating_add(length));
            self.fault(
                FaultCode::PayloadFileFetchable,
                Some(path),
                "the file is still to be fetched (fetch.txt)",
            );
        }
        self.missing = listing.missing.into_keys().collect();
        fetchable
    }

    fn payload_listing(&mut self) -> PayloadListing {
        let mut listing = PayloadListing {
            names: Vec::new(),
            present: vec![0; self.resolver.len()],
            missing: BTreeMap::new(),
        };
        let manifests = std::mem::take(&mut self.manifests);
        let payload = manifests.iter().filter(|manifest| manifest.kind == ManifestKind::Payload);
        for manifest in payload.take(MOST_MANIFESTS) {
            let Some(listed) = self.check_manifest(manifest) else { continue };
            let bit = 1 << listing.names.len();
            listing.names.push(manifest.name.to_owned());
            for (bits, _) in listing.present.iter_mut().zip(listed.present).filter(|(_, listed)| *listed) {
                *bits |= bit;
            }
            for path in listed.missing {
                *listing.missing.entry(path).or_default() |= bit;
            }
        }
        self.manifests = manifests;
        listing
    }

    fn check_present(&mut self, listing: &PayloadListing) {
        let every = listing.every_manifest();
        let bits = |index: usize| listing.present.get(index).copied().unwrap_or(0);
        let files = self.resolver.indices(ManifestKind::Payload);
        let unlisted: Vec<(usize, &str)> =
            files.filter(|(index, _)| bits(*index) == 0 && self.is_file(*index)).collect();
        if !listing.names.is_empty() && !unlisted.is_empty() {
            self.report_unlisted(listing, &unlisted);
        }
        if !self.version.is_rfc() {
            return;
        }
        let files = self.resolver.indices(ManifestKind::Payload);
        for (index, path) in files.filter(|(index, _)| bits(*index) != 0 && bits(*index) != every) {
            let message = format!("the file is not in {}", listing.lacking(bits(index)));
            self.fault(FaultCode::PayloadFileNotInEveryManifest, Some(path), message);
        }
    }

    fn is_file(&self, index: usize) -> bool {
        self.resolver.file(index).is_some_and(|(_, entry)| entry.kind != EntryKind::NotAFile)
    }

    fn report_unlisted(&mut self, listing: &PayloadListing, unlisted: &[(usize, &str)]) {
        let supported = self.manifests.iter().filter(|manifest| manifest.kind == ManifestKind::Payload);
        let algorithms: Vec<_> = supported.filter_map(|manifest| manifest.algorithm).collect();
        let listed = listing.present.iter().enumerate().filter(|(_, bits)| **bits != 0);
        let listed: HashSet<(_, &[u8])> = listed
            .filter_map(|(index, _)| self.resolver.file(index))
            .flat_map(|(_, entry)| {
                let digests = entry.digests;
                algorithms.iter().filter_map(move |name| Some((*name, digests.get(*name)?)))
            })
            .collect();
        for (index, path) in unlisted {
            let entry = self.resolver.file(*index).map(|(_, entry)| entry);
            let twin = algorithms.iter().any(|algorithm| {
                let digest = entry.and_then(|entry| entry.digests.get(*algorithm));
                digest.is_some_and(|digest| listed.contains(&(*algorithm, digest)))
            });
            if twin {
                let message = "the file is in no manifest, but a listed file has the same content";
                self.fault(FaultCode::DataOneDuplicateContent, Some(path), message);
            } else {
                self.fault(FaultCode::PayloadFileUnlisted, Some(path), "the file is in no manifest");
            }
        }
    }
}

fn listed_in(listing: &PayloadListing, bits: u32) -> String {
    listing.lacking(!bits)
}
