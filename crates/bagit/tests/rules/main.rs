//! Every row of the checklist, each broken alone in a bag that is right otherwise, through every front end.

mod archives;
mod bag;
mod bounds;
mod directory;
mod hostile;
mod info_and_fetch;
mod manifests;
mod paths;
mod repair;
mod structure;

use bag::{Accept, Bag, Front};
use bagit::Severity;

/// Breaks one rule, and says what must be found: severity letter and code.
struct Case {
    name: &'static str,
    version: &'static str,
    expected: &'static [&'static str],
    mutate: fn(&mut Bag),
    fronts: &'static [Front],
}

const fn case(
    name: &'static str,
    version: &'static str,
    expected: &'static [&'static str],
    mutate: fn(&mut Bag),
) -> Case {
    Case { name, version, expected, mutate, fronts: &Front::ALL }
}

/// Makes a case for the front ends that know directories. In an archive, an empty directory needs no entry.
const fn outside_archives(mut case: Case) -> Case {
    case.fronts = &[Front::Memory, Front::Directory, Front::OnDisk];
    case
}

/// Makes a case that only an inventory made by hand can have.
const fn in_memory(mut case: Case) -> Case {
    case.fronts = &[Front::Memory];
    case
}

fn check_all(cases: &[Case]) {
    for case in cases {
        let mut bag = Bag::good(case.version);
        (case.mutate)(&mut bag);
        bag.seal();
        for front in case.fronts {
            let report = bag.validate(*front, Accept::Strict);
            let found: Vec<String> = report.faults.iter().map(graded).collect();
            assert_eq!(found, case.expected, "{} ({front:?}): {:#?}", case.name, report.faults);
            let errors = case.expected.iter().any(|code| code.starts_with('E'));
            assert_eq!(report.valid, !errors, "{} ({front:?})", case.name);
        }
    }
}

fn graded(fault: &bagit::Fault) -> String {
    let letter = match fault.severity {
        Severity::Error => 'E',
        Severity::Warning => 'W',
        Severity::Info => 'I',
    };
    format!("{letter} {}", fault.code)
}

#[test]
fn good_bags_of_every_version_have_no_fault() {
    for version in ["0.93", "0.94", "0.95", "0.96", "0.97", "1.0"] {
        for front in Front::ALL {
            let report = Bag::good(version).validate(front, Accept::Strict);
            assert_eq!(report.faults, [], "{version} {front:?}");
            assert!(report.valid && report.complete);
            assert_eq!((report.payload_files, report.payload_bytes), (3, 58));
        }
    }
}

#[test]
fn every_code_is_expected_by_some_test() {
    let tests = [
        include_str!("archives.rs"),
        include_str!("bounds.rs"),
        include_str!("directory.rs"),
        include_str!("hostile.rs"),
        include_str!("info_and_fetch.rs"),
        include_str!("manifests.rs"),
        include_str!("paths.rs"),
        include_str!("structure.rs"),
    ];
    for code in bagit::FaultCode::ALL {
        let quoted = [format!(" {code}\""), format!("\"{code}\"")];
        assert!(tests.iter().any(|test| quoted.iter().any(|code| test.contains(code))), "{code}");
    }
}
