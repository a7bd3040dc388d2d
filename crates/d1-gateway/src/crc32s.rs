//! The facts that zips need besides their contents: CRC-32 of contents, and measures of whole zips.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use d1_catalog::CatalogFile;

/// The most CRC-32 that are kept in memory.
const MOST_CRCS: usize = 200_000;
/// The most zips whose measure is kept.
const MOST_MEASURES: usize = 256;

/// CRC-32 by content, and measures of zips, as far as they are known.
#[derive(Debug, Default)]
pub(crate) struct Crc32s {
    known: Mutex<HashMap<[u8; 32], u32>>,
    measures: Mutex<HashMap<String, Measure>>,
}

/// The facts about a zip that are known before it is written.
#[derive(Clone, Debug)]
pub(crate) struct Measure {
    pub(crate) etag: String,
    pub(crate) length: u64,
    pub(crate) entries: u64,
    /// The offset of the central directory.
    pub(crate) central: u64,
}

impl Crc32s {
    /// Returns the CRC-32 of a file, if it is known.
    pub(crate) fn get(&self, file: &CatalogFile) -> Option<u32> {
        if file.size == 0 {
            return Some(0);
        }
        file.crc32.or_else(|| {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.get(&file.sha256()?).copied()
        })
    }

    /// Notes the CRC-32 of a content.
    pub(crate) fn note(&self, sha256: [u8; 32], crc32: u32) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_CRCS {
            known.clear();
        }
        known.insert(sha256, crc32);
    }

    /// Returns the measure of a zip by its key, if it is known.
    pub(crate) fn measure(&self, key: &str) -> Option<Measure> {
        self.measures.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// Notes the measure of a zip.
    pub(crate) fn note_measure(&self, key: String, measure: Measure) {
        let mut measures = self.measures.lock().unwrap_or_else(PoisonError::into_inner);
        if measures.len() >= MOST_MEASURES {
            measures.clear();
        }
        measures.insert(key, measure);
    }
}
