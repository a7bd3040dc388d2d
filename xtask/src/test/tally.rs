//! Counts the results of test programs.

use std::time::Duration;

/// The beginning of a line of a test that cannot run here.
const SKIPPED: &str = "skipped:";

/// Counts over all test programs of a run.
#[derive(Debug, Default)]
pub(super) struct Tally {
    passed: u64,
    failed: u64,
    ignored: u64,
    filtered: u64,
    skips: Vec<String>,
    /// Whether the lines are the output of passed tests.
    is_in_successes: bool,
}

impl Tally {
    /// Reads a line of standard output. Returns whether to show it: all but the output of passed tests.
    pub(super) fn read_result(&mut self, line: &str) -> bool {
        self.read_note(line);
        if let Some(rest) = line.strip_prefix("test result: ") {
            self.is_in_successes = false;
            self.passed += count(rest, "passed");
            self.failed += count(rest, "failed");
            self.ignored += count(rest, "ignored");
            self.filtered += count(rest, "filtered out");
        } else if line == "failures:" {
            self.is_in_successes = false;
        } else if line == "successes:" {
            self.is_in_successes = true;
        }
        !self.is_in_successes
    }

    /// Reads a line of standard error. Returns whether to show it: always.
    pub(super) fn read_note(&mut self, line: &str) -> bool {
        if line.starts_with(SKIPPED) {
            self.skips.push(line.to_owned());
        }
        true
    }

    /// Counts a failure that no test program reported.
    pub(super) fn add_failure(&mut self) {
        self.failed += 1;
    }

    pub(super) fn failed(&self) -> u64 {
        self.failed
    }

    /// Returns each `skipped:` line once, with its count.
    pub(super) fn skips(&self) -> Vec<String> {
        let mut lines = self.skips.clone();
        lines.sort_unstable();
        let groups = lines.chunk_by(|one, other| one == other);
        let told = groups.filter_map(|group| match group {
            [] => None,
            [line] => Some(line.clone()),
            [line, ..] => Some(format!("{line} ({} times)", group.len())),
        });
        told.collect()
    }

    /// Returns the sum in the form in which a test program reports.
    pub(super) fn result_line(&self, elapsed: Duration) -> String {
        let Self { passed, failed, ignored, filtered, .. } = self;
        let verdict = if *failed == 0 { "ok" } else { "FAILED" };
        let seconds = elapsed.as_secs_f64();
        format!(
            "test result: {verdict}. {passed} passed; {failed} failed; {ignored} ignored; 0 measured; {filtered} \
             filtered out; finished in {seconds:.2}s"
        )
    }

    pub(super) fn totals(&self) -> String {
        format!("{} passed, {} failed, {} skipped", self.passed, self.failed, self.skips.len())
    }
}

/// Returns the number before a word in `ok. 3 passed; 0 failed; …`.
fn count(result: &str, word: &str) -> u64 {
    let parts = result.split([';', '.']).map(str::trim);
    let number = parts.filter_map(|part| part.strip_suffix(word)).next();
    number.and_then(|number| number.trim().parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Tally;

    const OUTPUT: &str = "
running 3 tests
test a ... ok
test b ... FAILED
test c ... ok

successes:

---- a stdout ----
skipped: no oras
said more

---- c stdout ----
skipped: no oras

successes:
    a
    c

failures:

---- b stdout ----
panicked

failures:
    b

test result: FAILED. 2 passed; 1 failed; 4 ignored; 0 measured; 7 filtered out; finished in 0.00s
";

    fn read(tally: &mut Tally, output: &str) -> Vec<String> {
        output.lines().filter(|line| tally.read_result(line)).map(str::to_owned).collect()
    }

    #[test]
    fn programs_are_added_up() {
        let mut tally = Tally::default();
        let shown = read(&mut tally, OUTPUT);
        read(
            &mut tally,
            "test result: ok. 10 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.20s",
        );
        tally.read_note("skipped: no samples");
        assert_eq!(tally.totals(), "12 passed, 1 failed, 3 skipped");
        assert_eq!(
            tally.result_line(Duration::from_millis(2500)),
            "test result: FAILED. 12 passed; 1 failed; 4 ignored; 0 measured; 7 filtered out; finished in 2.50s"
        );
        assert_eq!(tally.skips(), ["skipped: no oras (2 times)", "skipped: no samples"]);
        assert!(shown.iter().any(|line| line == "panicked"));
        assert!(!shown.iter().any(|line| line == "said more"));
    }

    #[test]
    fn nothing_is_zero_and_a_failure_can_be_added() {
        let mut tally = Tally::default();
        assert_eq!(tally.totals(), "0 passed, 0 failed, 0 skipped");
        tally.add_failure();
        assert_eq!((tally.failed(), tally.totals().as_str()), (1, "0 passed, 1 failed, 0 skipped"));
        assert!(tally.result_line(Duration::ZERO).starts_with("test result: FAILED. 0 passed; 1 failed;"));
    }
}
