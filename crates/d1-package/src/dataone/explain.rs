//! Why a system metadata document fits no file.

use std::collections::HashSet;

use super::Mismatch;
use super::assign::{Assignment, NameTable};
use super::fixity::system_metadata_mismatches;
use crate::PackageOddityCode;
use crate::oddity::OddityList;

/// Says of each record that fits no file why.
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
    let names = NameTable::new(assignment.files, others.into_iter());
    for number in left {
        explain(assignment, number, &names, oddities);
    }
}

fn explain(assignment: &mut Assignment<'_>, number: usize, names: &NameTable, oddities: &mut OddityList) {
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
    // Of a file that is wrong in any case, it does not matter what else is not known.
    let told = if wrong.is_empty() { unknown } else { wrong };
    let told: Vec<String> = told.iter().map(ToString::to_string).collect();
    let message = format!("compared with `{}` in `{}`: {}", record.identifier, record.path, told.join("; "));
    oddities.add(code, file.path, message);
}
