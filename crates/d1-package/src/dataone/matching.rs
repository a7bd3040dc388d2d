//! Matches system metadata with files of the same content, one to one, and explains the documents without a match.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use bagit::Algorithm;

use super::documents::ObjectRecord;
use super::fixity::{Mismatch, computable, system_metadata_mismatches};
use super::names::{key, keys_of_path};
use crate::files::PackageFiles;
use crate::oddity::{OddityList, PackageOddityCode};

/// The file that each system metadata document describes.
pub(super) struct Assignment<'a> {
    pub(super) files: &'a PackageFiles,
    pub(super) records: &'a [Arc<ObjectRecord>],
    /// For each record, the path that the resource map gives its object.
    pub(super) locations: Vec<Option<usize>>,
    /// For each record, its file.
    pub(super) file_of: Vec<Option<usize>>,
    /// For each file, its record.
    pub(super) record_of: Vec<Option<usize>>,
}

impl<'a> Assignment<'a> {
    pub(super) fn new(
        files: &'a PackageFiles,
        records: &'a [Arc<ObjectRecord>],
        locations: Vec<Option<usize>>,
    ) -> Self {
        let (file_of, record_of) = (vec![None; records.len()], vec![None; files.len()]);
        Self { files, records, locations, file_of, record_of }
    }

    /// Matches all records whose content exists. Records in `skipped` repeat others.
    pub(super) fn match_by_content(&mut self, skipped: &[bool], oddities: &mut OddityList) {
        let by_content = FilesByContent::new(self.records, self.files);
        let mut groups: BTreeMap<ContentKey, Vec<usize>> = BTreeMap::new();
        for (number, record) in self.records.iter().enumerate() {
            if let Some(content) =
                content_of(record).filter(|_| !skipped.get(number).copied().unwrap_or(false))
            {
                groups.entry(content).or_default().push(number);
            }
        }
        for (content, records) in &groups {
            self.match_group(records, by_content.files(content), oddities);
        }
    }

    /// Matches records and files that all have the same content.
    fn match_group(&mut self, records: &[usize], candidates: &[usize], oddities: &mut OddityList) {
        for record in records {
            let location = self.locations.get(*record).copied().flatten();
            if let Some(file) = location.filter(|location| candidates.binary_search(location).is_ok()) {
                self.assign(*record, file);
            }
        }
        if self.left(records, candidates).is_some_and(|(records, files)| records.len() + files.len() > 2) {
            let names = FilesByName::new(self.files, candidates.iter().copied());
            self.match_names(records, &names, |record| record.file_name.as_deref());
            self.match_names(records, &names, |record| Some(record.identifier.as_str()));
        }
        if let Some((records, files)) = self.left(records, candidates) {
            self.match_in_order(&records, &files, oddities);
        }
    }

    fn match_names(
        &mut self,
        records: &[usize],
        names: &FilesByName,
        name: fn(&ObjectRecord) -> Option<&str>,
    ) {
        for number in records.iter().copied() {
            let Some(wanted) = self.records.get(number).and_then(|record| name(record)) else { continue };
            let found = names.files(wanted).iter().copied().find(|file| self.is_free(*file));
            if let Some(file) = found.filter(|_| self.is_open(number)) {
                self.assign(number, file);
            }
        }
    }

    /// Matches indistinguishable files by identifier and path, so that the result is always the same.
    fn match_in_order(&mut self, records: &[usize], files: &[usize], oddities: &mut OddityList) {
        let mut records = records.to_vec();
        let identifier = |number: &usize| self.records.get(*number).map(|record| &record.identifier);
        records.sort_by(|left, right| identifier(left).cmp(&identifier(right)));
        if (records.len(), files.len()) != (1, 1) {
            let first = files.first().and_then(|file| self.files.file(*file));
            let message = format!(
                "{} system metadata documents and {} files have the same checksum and nothing else in common",
                records.len(),
                files.len()
            );
            oddities.add(PackageOddityCode::AmbiguousMatch, first.map_or("", |file| file.path), message);
        }
        for (record, file) in records.into_iter().zip(files) {
            self.assign(record, *file);
        }
    }

    /// Returns the records and files without a match, if there are some on both sides.
    fn left(&self, records: &[usize], candidates: &[usize]) -> Option<(Vec<usize>, Vec<usize>)> {
        let records: Vec<_> = records.iter().copied().filter(|record| self.is_open(*record)).collect();
        let files: Vec<_> = candidates.iter().copied().filter(|file| self.is_free(*file)).collect();
        (!records.is_empty() && !files.is_empty()).then_some((records, files))
    }

    pub(super) fn assign(&mut self, record: usize, file: usize) {
        if self.is_open(record)
            && self.is_free(file)
            && let (Some(of_record), Some(of_file)) =
                (self.file_of.get_mut(record), self.record_of.get_mut(file))
        {
            *of_record = Some(file);
            *of_file = Some(record);
        }
    }

    pub(super) fn is_open(&self, record: usize) -> bool {
        self.file_of.get(record).is_some_and(Option::is_none)
    }

    pub(super) fn is_free(&self, file: usize) -> bool {
        self.record_of.get(file).is_some_and(Option::is_none)
    }
}

/// Files by their possible names.
pub(super) struct FilesByName(HashMap<String, Vec<usize>>);

impl FilesByName {
    pub(super) fn new(files: &PackageFiles, positions: impl Iterator<Item = usize>) -> Self {
        let mut names: HashMap<String, Vec<usize>> = HashMap::new();
        for position in positions {
            for name in files.file(position).map(|file| keys_of_path(file.path)).unwrap_or_default() {
                let known = names.entry(name).or_default();
                if known.last() != Some(&position) {
                    known.push(position);
                }
            }
        }
        Self(names)
    }

    /// Returns the files that this name may mean, in their order.
    pub(super) fn files(&self, name: &str) -> &[usize] {
        self.0.get(&key(name)).map_or(&[], Vec::as_slice)
    }
}

/// Explains each record without a file.
pub(super) fn explain_the_rest(assignment: &mut Assignment<'_>, repeats: &[bool], oddities: &mut OddityList) {
    let is_left = |assignment: &Assignment<'_>, number: usize| {
        assignment.is_open(number) && !repeats.get(number).copied().unwrap_or(false)
    };
    let left: Vec<usize> =
        (0..assignment.records.len()).filter(|number| is_left(assignment, *number)).collect();
    if left.is_empty() {
        return;
    }
    let documents: HashSet<&str> = assignment.records.iter().map(|record| &*record.path).collect();
    let others: Vec<usize> = (0..assignment.files.len())
        .filter(|file| assignment.is_free(*file))
        .filter(|file| assignment.files.file(*file).is_some_and(|file| !documents.contains(file.path)))
        .collect();
    let names = FilesByName::new(assignment.files, others.into_iter());
    for number in left {
        explain(assignment, number, &names, oddities);
    }
}

fn explain(assignment: &mut Assignment<'_>, number: usize, names: &FilesByName, oddities: &mut OddityList) {
    let Some(record) = assignment.records.get(number) else { return };
    let known_by = |name: &str| match names.files(name) {
        [only] => Some(*only),
        _ => None,
    };
    let located = assignment.locations.get(number).copied().flatten();
    let named = || record.file_name.as_deref().and_then(known_by);
    let found = located.or_else(named).or_else(|| known_by(record.identifier.as_str()));
    let found = found.filter(|file| assignment.is_free(*file));
    let Some((position, file)) = found.and_then(|file| Some((file, assignment.files.file(file)?))) else {
        let message = format!("the object `{}` that it describes is not in the package", record.identifier);
        oddities.add(PackageOddityCode::ObjectMissing, &record.path, message);
        return;
    };
    let mismatches = system_metadata_mismatches(record.size, &record.checksum, &file);
    let (unknown, wrong): (Vec<_>, Vec<_>) = mismatches.into_iter().partition(|mismatch| match mismatch {
        Mismatch::NotHashed { .. } | Mismatch::Unverifiable { .. } => true,
        // The name of the algorithm is wrong, not the file.
        Mismatch::Impossible { is_right, .. } => *is_right != Some(false),
        Mismatch::Size { .. } | Mismatch::Checksum { .. } => false,
    });
    let code = if wrong.is_empty() {
        assignment.assign(number, position);
        PackageOddityCode::UnverifiableChecksum
    } else {
        PackageOddityCode::FixityMismatch
    };
    // A wrong file stays wrong, whatever else is unknown about it.
    let told = if wrong.is_empty() { unknown } else { wrong };
    let told: Vec<String> = told.iter().map(ToString::to_string).collect();
    let message = format!("compared with `{}` in `{}`: {}", record.identifier, record.path, told.join("; "));
    oddities.add(code, file.path, message);
}

/// The identity of content.
pub(super) type ContentKey = (u64, Algorithm, Vec<u8>);

/// The files that may be objects, by content.
pub(super) struct FilesByContent {
    files: HashMap<ContentKey, Vec<usize>>,
}

impl FilesByContent {
    /// Adds the files with the size of a described object, by the algorithms of its checksums.
    pub(super) fn new(records: &[Arc<ObjectRecord>], files: &PackageFiles) -> Self {
        let mut wanted: BTreeMap<u64, BTreeSet<Algorithm>> = BTreeMap::new();
        for (size, algorithm, _) in records.iter().filter_map(|record| content_of(record)) {
            wanted.entry(size).or_default().insert(algorithm);
        }
        let mut by_content: HashMap<ContentKey, Vec<usize>> = HashMap::new();
        for (position, file) in files.files().enumerate() {
            for algorithm in wanted.get(&file.size).into_iter().flatten() {
                if let Some(digest) = file.digest(*algorithm) {
                    by_content.entry((file.size, *algorithm, digest.to_vec())).or_default().push(position);
                }
            }
        }
        Self { files: by_content }
    }

    /// Returns the files with this content, in their order.
    pub(super) fn files(&self, content: &ContentKey) -> &[usize] {
        self.files.get(content).map_or(&[], Vec::as_slice)
    }
}

/// Returns the identity of the content that system metadata describe, if its checksum can be computed.
pub(super) fn content_of(record: &ObjectRecord) -> Option<ContentKey> {
    let (algorithm, digest) = computable(&record.checksum)?;
    Some((record.size, algorithm, digest))
}
