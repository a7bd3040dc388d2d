//! Finding files by their content: size, algorithm and digest.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bagit::Algorithm;

use super::ObjectRecord;
use super::fixity::computable;
use crate::PackageFiles;

/// What identifies content.
pub(super) type ContentKey = (u64, Algorithm, Vec<u8>);

/// The files whose content is that of some object, by content.
pub(super) struct ContentTable {
    files: HashMap<ContentKey, Vec<usize>>,
}

impl ContentTable {
    /// Enters the files that have the size of a described object, by the algorithms of its checksums.
    pub(super) fn new(records: &[ObjectRecord], files: &PackageFiles) -> Self {
        let mut wanted: BTreeMap<u64, BTreeSet<Algorithm>> = BTreeMap::new();
        for (size, algorithm, _) in records.iter().filter_map(content_of) {
            wanted.entry(size).or_default().insert(algorithm);
        }
        let mut table: HashMap<ContentKey, Vec<usize>> = HashMap::new();
        for (position, file) in files.files().enumerate() {
            for algorithm in wanted.get(&file.size).into_iter().flatten() {
                if let Some(digest) = file.digest(*algorithm) {
                    table.entry((file.size, *algorithm, digest.to_vec())).or_default().push(position);
                }
            }
        }
        Self { files: table }
    }

    /// Returns the files with this content, in their order.
    pub(super) fn files(&self, content: &ContentKey) -> &[usize] {
        self.files.get(content).map_or(&[], Vec::as_slice)
    }
}

/// Returns what identifies the content that system metadata describe, if its checksum can be computed.
pub(super) fn content_of(record: &ObjectRecord) -> Option<ContentKey> {
    let (algorithm, digest) = computable(&record.checksum)?;
    Some((record.size, algorithm, digest))
}
