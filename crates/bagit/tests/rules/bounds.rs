//! The levels of a check, its cancellation, and its bounds.

use std::fs;
use std::io::{Cursor, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bagit::{
    Cancellable, CheckOptions, Error, FaultCode, Level, NoProgress, Progress, ProgressEvent, ScanOptions,
    Verdict, validate_archive, validate_directory,
};

use crate::bag::{Accept, Bag, Front};
use crate::graded;

#[test]
fn every_level_finds_what_it_promises_and_reads_no_more() {
    let mut bag = Bag::good("1.0");
    bag.edit("data/a.csv", |text| text.replace("7.2", "7.3"));
    let work = tempfile::tempdir().unwrap();
    bag.write(work.path());
    let archives = [bag.tar("bag/"), bag.zip("bag/")];
    for (level, verdict, complete, faults) in [
        (Level::Fast, Verdict::Unproven, false, 0),
        (Level::Completeness, Verdict::Unproven, true, 0),
        (Level::Full, Verdict::Invalid, true, 2),
    ] {
        let (scan, check) = (ScanOptions::default(), CheckOptions::default().with_level(level));
        let read = AtomicU64::new(0);
        let count = |event: ProgressEvent<'_>| {
            if let ProgressEvent::Advanced { bytes } = event {
                read.fetch_add(bytes, Ordering::Relaxed);
            }
        };
        let mut reports = vec![validate_directory(work.path(), &scan, &check, &count).unwrap()];
        assert_eq!(read.load(Ordering::Relaxed) == 0, level < Level::Full, "{level:?}");
        reports.extend(
            archives
                .iter()
                .map(|bytes| validate_archive(Cursor::new(bytes), &scan, &check, &NoProgress).unwrap()),
        );
        for report in reports {
            assert_eq!(
                (report.level, report.verdict, report.complete, report.valid),
                (level, verdict, complete, false)
            );
            assert_eq!(report.error_count(), faults, "{level:?}: {:#?}", report.faults);
        }
    }
}

#[test]
fn a_fast_check_compares_the_oxum_and_nothing_else() {
    let mut bag = Bag::good("1.0");
    let fast = CheckOptions::default().with_level(Level::Fast);
    let faults = |bag: &Bag| {
        let scan = bag.scan(Front::Memory);
        let report = bagit::check(&scan.inventory, &scan.tag_files, &fast);
        report.faults.iter().map(graded).collect::<Vec<_>>()
    };
    bag.edit("manifest-md5.txt", |text| text + "nonsense\n");
    assert_eq!(faults(&bag), [] as [&str; 0]);
    bag.put("data/more.csv", "x");
    assert_eq!(faults(&bag), ["E oxum-mismatch"]);
    bag.put("bag-info.txt", "Contact-Name: Q\n");
    assert_eq!(faults(&bag), ["E oxum-missing"]);
    bag.remove("bag-info.txt");
    assert_eq!(faults(&bag), ["E oxum-missing"]);
}

#[test]
fn the_predicate_decides_fault_by_fault() {
    let mut bag = Bag::good("1.0");
    bag.put("data/known.csv", "x");
    bag.put("data/unknown.csv", "x");
    bag.reoxum();
    bag.seal();
    let scan = bag.scan(Front::Memory);
    let knows = |fault: &bagit::Fault| fault.path.as_deref() == Some("data/known.csv");
    let report = bagit::check(&scan.inventory, &scan.tag_files, &CheckOptions::tolerating(&knows));
    let found: Vec<_> = report.faults.iter().map(graded).collect();
    assert!(found.contains(&"W payload-file-unlisted".to_owned()), "{found:?}");
    assert_eq!(
        report.errors().map(|fault| fault.path.as_deref()).collect::<Vec<_>>(),
        [Some("data/unknown.csv")]
    );
}

/// Cancels at the first byte of a file.
struct CancelAtFirstByte(AtomicBool);

impl Progress for CancelAtFirstByte {
    fn event(&self, event: ProgressEvent<'_>) {
        if matches!(event, ProgressEvent::Advanced { .. }) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[test]
fn cancelled_work_ends_and_leaves_nothing() {
    let bag = Bag::good("1.0");
    let work = tempfile::tempdir().unwrap();
    bag.write(&work.path().join("bag"));
    let (scan, check) = (ScanOptions::default(), CheckOptions::default());
    let cancel = || CancelAtFirstByte(AtomicBool::new(false));
    let root = work.path().join("bag");
    assert!(matches!(validate_directory(&root, &scan, &check, &cancel()), Err(Error::Cancelled)));
    for bytes in [bag.tar("bag/"), bag.zip("bag/")] {
        let result = validate_archive(Cursor::new(bytes), &scan, &check, &cancel());
        assert!(matches!(result, Err(Error::Cancelled)), "{result:?}");
    }
    let before: Vec<_> = fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    let builder = bagit::BagBuilder::new().payload_directory(root.join("data"));
    let result = builder.create(&work.path().join("new"), &cancel());
    assert!(matches!(result, Err(Error::Cancelled)), "{result:?}");
    let result = bagit::BagBuilder::new().create_in_place(&root.join("data"), &cancel());
    assert!(matches!(result, Err(Error::Cancelled)), "{result:?}");
    let flag = AtomicBool::new(true);
    let result =
        bagit::repair_in_place(&root, &bagit::RepairOptions::default(), &Cancellable::new(NoProgress, &flag));
    assert!(matches!(result, Err(Error::Cancelled)), "{result:?}");
    let after: Vec<_> = fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(before, after);
    assert_eq!(fs::read_dir(work.path()).unwrap().count(), 1);
}

#[test]
fn more_than_64_payload_manifests_are_refused_and_64_are_all_checked() {
    let many = |count: usize| {
        let mut bag = Bag::good("0.97");
        let text = bag.text("manifest-md5.txt");
        for number in 0..count {
            bag.put(&format!("manifest-x{number:03}.txt"), &text);
        }
        bag
    };
    let mut last_differs = many(62);
    // The manifest that sorts last lists one file more.
    let line = last_differs.line(bagit::Algorithm::Md5, "data/missing");
    last_differs.edit("manifest-x061.txt", |text| text + &line);
    last_differs.seal();
    let report = last_differs.validate(Front::Memory, Accept::Strict);
    assert!(report.has(FaultCode::PayloadFileMissing) && !report.has(FaultCode::TooManyManifests));
    let mut too_many = many(63);
    too_many.seal();
    let report = too_many.validate(Front::Memory, Accept::Strict);
    let found: Vec<_> = report.faults.iter().map(graded).collect();
    assert!(found.contains(&"E too-many-manifests".to_owned()), "{found:?}");
    assert!(!report.valid);
}

#[test]
fn a_small_archive_with_millions_of_faults_makes_a_small_report() {
    let mut manifest = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let mut bag = Bag::good("1.0");
    let lines = "x\n".repeat(2_000_000);
    bag.put("manifest-md5.txt", &lines);
    bag.seal();
    manifest.write_all(&bag.tar("bag/")).unwrap();
    let bytes = manifest.finish().unwrap();
    assert!(bytes.len() < 32 << 10, "{} bytes", bytes.len());
    let report =
        validate_archive(Cursor::new(bytes), &ScanOptions::default(), &CheckOptions::default(), &NoProgress)
            .unwrap();
    assert!(report.error_count() >= 2_000_000);
    let held: usize = report
        .faults
        .iter()
        .map(|fault| {
            size_of_val(fault) + fault.message.capacity() + fault.path.as_ref().map_or(0, String::capacity)
        })
        .sum();
    assert!(held < 8 << 20, "{held} bytes");
    let counted: u64 = report.omitted.values().sum::<u64>() + report.faults.len() as u64;
    assert!(counted >= 2_000_000, "{counted}");
    assert!(serde_json::to_vec(&report).unwrap().len() < 8 << 20);
    // The other faults of the bag are not lost among them.
    assert!(report.has(FaultCode::PayloadFileNotInEveryManifest));
}
