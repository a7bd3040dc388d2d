//! The fault run, started by `cargo xtask torture`: `torture ROUNDS SEED FIRST`.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Instant;

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "it talks to whoever started it")]
fn main() -> ExitCode {
    let numbers: Option<Vec<u64>> = std::env::args().skip(1).map(|text| text.parse().ok()).collect();
    let Some([rounds, seed, first]) = numbers.and_then(|numbers| <[u64; 3]>::try_from(numbers).ok()) else {
        eprintln!("usage: torture ROUNDS SEED FIRST");
        return ExitCode::from(2);
    };
    println!("seed {seed}, rounds {first} to {}", first + rounds - 1);
    let (start, mut count, mut lost, mut ends) = (Instant::now(), 0, 0, BTreeMap::<String, u64>::new());
    let mut skipped = BTreeMap::<String, u64>::new();
    let result = d1oci_tests::torture::run(seed, first..first + rounds, |report| {
        count += 1;
        let end = report.code.map_or_else(|| "killed".to_owned(), |code| format!("exit code {code}"));
        *ends.entry(end).or_default() += 1;
        lost += u64::from(report.has_lost_link);
        for reason in &report.skipped {
            *skipped.entry(reason.clone()).or_default() += 1;
        }
        if count % 50 == 0 {
            eprintln!("{count} rounds, {} s", start.elapsed().as_secs());
        }
    });
    for (reason, times) in skipped {
        println!("skipped: {reason} ({times} rounds)");
    }
    let ends: Vec<_> = ends.iter().map(|(end, times)| format!("{times} {end}")).collect();
    println!("{count} rounds in {} s, {lost} with a lost link", start.elapsed().as_secs());
    println!("first runs: {}", ends.join(", "));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}
