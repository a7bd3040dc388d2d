//! Running the checks, and their results.

use std::fmt;
use std::panic::AssertUnwindSafe;

use futures::FutureExt;

use super::{CHECKS, Check, EmptyRepository, Failure, Need};

/// The results of all checks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Checks that passed.
    pub passed: Vec<&'static str>,
    /// Checks for which the store lacks something.
    pub skipped: Vec<Skipped>,
    /// Checks that failed, and why.
    pub failed: Vec<(&'static str, Failure)>,
}

/// A check that was skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Name of the check.
    pub check: &'static str,
    /// The feature that the store lacks.
    pub lacks: Need,
}

impl Report {
    /// Tells whether no check failed.
    pub fn is_success(&self) -> bool {
        self.failed.is_empty()
    }

    /// Returns the names of the skipped checks.
    pub fn skipped_names(&self) -> Vec<&'static str> {
        self.skipped.iter().map(|skipped| skipped.check).collect()
    }

    /// Returns the names of the failed checks.
    pub fn failed_names(&self) -> Vec<&'static str> {
        self.failed.iter().map(|(check, _)| *check).collect()
    }
}

/// Runs every check, each on an empty repository of its own.
///
/// `fixture` returns a backend that is bound to an empty repository, at every call another one. Use it within a tokio runtime of
/// several threads, so that concurrent checks run in parallel.
///
/// ```
/// use registry_backend::MemoryBackend;
/// use registry_conformance::conformance::{EmptyRepository, run_suite};
///
/// # tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
/// let report = run_suite(|| async { EmptyRepository::new(MemoryBackend::new()) }).await;
/// println!("{report}");
/// assert!(report.is_success());
/// # });
/// # Ok::<(), std::io::Error>(())
/// ```
pub async fn run_suite<F, R>(fixture: F) -> Report
where
    F: Fn() -> R,
    R: Future<Output = EmptyRepository>,
{
    let mut report = Report::default();
    for check in CHECKS {
        let repository = fixture().await;
        match outcome(check, &repository).await {
            Outcome::Passed => report.passed.push(check.name),
            Outcome::Skipped(lacks) => report.skipped.push(Skipped { check: check.name, lacks }),
            Outcome::Failed(failure) => report.failed.push((check.name, failure)),
        }
    }
    report
}

/// Runs the check of this name as a test.
///
/// # Panics
///
/// If the check fails, or there is none of this name.
pub fn run_one<F, R>(name: &str, fixture: F)
where
    F: Fn() -> R,
    R: Future<Output = EmptyRepository>,
{
    let check = CHECKS.iter().find(|check| check.name == name);
    let check = check.unwrap_or_else(|| panic!("there is no check `{name}`"));
    let outcome = block_on(async { outcome(check, &fixture().await).await });
    match outcome {
        Outcome::Passed => {}
        Outcome::Skipped(lacks) => tell_skipped(name, lacks),
        Outcome::Failed(failure) => panic!("{failure}"),
    }
}

/// Asserts that exactly these checks are skipped.
///
/// # Panics
///
/// If others are, or one of them is not.
pub fn assert_skipped<F, R>(fixture: F, expected: &[&str])
where
    F: Fn() -> R,
    R: Future<Output = EmptyRepository>,
{
    let mut actual: Vec<_> = block_on(async {
        let repository = fixture().await;
        CHECKS.iter().filter(|check| lacking(check, &repository).is_some()).map(|check| check.name).collect()
    });
    let mut expected = expected.to_vec();
    actual.sort_unstable();
    expected.sort_unstable();
    assert_eq!(actual, expected, "left: the checks that are skipped; right: those declared as skipped");
}

/// Expands to one test per check, and one that asserts which of them are skipped.
///
/// `fixture` is an asynchronous function without arguments that returns an
/// [`EmptyRepository`] of its own at every call; `skipped` is an array or vector of
/// names of checks. Two fixtures in one file go into modules of their own.
#[macro_export]
macro_rules! conformance_tests {
    ($fixture:expr, skipped: $skipped:expr $(,)?) => {
        $crate::with_every_check! { [$crate::conformance_test_of_each] ($fixture) }

        #[test]
        fn exactly_the_declared_checks_are_skipped() {
            $crate::conformance::assert_skipped($fixture, &$skipped);
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! conformance_test_of_each {
    (($fixture:expr) $($module:ident { $($name:ident: [$($need:ident),*],)* })*) => {
        $crate::conformance_test_of_each! { @flat ($fixture) $($($name)*)* }
    };
    (@flat ($fixture:expr) $($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                $crate::conformance::run_one(stringify!($name), $fixture);
            }
        )*
    };
}

enum Outcome {
    Passed,
    Skipped(Need),
    Failed(Failure),
}

async fn outcome(check: &Check, repository: &EmptyRepository) -> Outcome {
    if let Some(need) = lacking(check, repository) {
        return Outcome::Skipped(need);
    }
    // A panic in a backend is a failure of the check, and must not hide the others.
    match AssertUnwindSafe((check.run)(repository)).catch_unwind().await {
        Ok(Ok(())) => Outcome::Passed,
        Ok(Err(failure)) => Outcome::Failed(failure),
        Err(_) => Outcome::Failed(Failure::new("it panicked")),
    }
}

fn lacking(check: &Check, repository: &EmptyRepository) -> Option<Need> {
    check.needs.iter().copied().find(|need| !repository.offers(*need))
}

/// Several workers, so that what a check does concurrently really runs in parallel.
fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build();
    runtime.unwrap_or_else(|error| panic!("cannot start a runtime: {error}")).block_on(future)
}

#[expect(clippy::print_stdout, reason = "a skipped check says so in the output of the test")]
fn tell_skipped(name: &str, lacks: Need) {
    println!("skipped: {name}: the store lacks {lacks}");
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { passed, skipped, failed } = self;
        writeln!(formatter, "{} passed, {} skipped, {} failed", passed.len(), skipped.len(), failed.len())?;
        for Skipped { check, lacks } in skipped {
            writeln!(formatter, "skipped {check}: the store lacks {lacks}")?;
        }
        for (check, failure) in failed {
            writeln!(formatter, "failed {check}: {failure}")?;
        }
        Ok(())
    }
}
