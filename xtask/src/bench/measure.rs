//! Runs a command several times and takes its times, its peak memory, and what it puts on the wire and on disk.
//!
//! hyperfine measures where it is there, otherwise a loop here does; GNU time takes the memory. The first run takes what
//! times do not show, through a link that counts, and is not measured unless the command is slow.

use std::fs;
use std::path::Path;
use std::time::Instant;

use serde::Deserialize;

use super::disk::DiskWatch;
use super::server::Wire;
use super::task::{Line, Task};
use crate::error::{Error, Result, at};
use crate::{peers, process};

/// GNU time.
const TIME: &str = "time";

/// A command that takes so many seconds is slow: its first run counts.
const SLOW: f64 = 20.0;

/// No further run begins once the measured ones took so many seconds.
const BUDGET: f64 = 40.0;

/// What the runs of one command took.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Measurement {
    /// The median of the times on the clock, in seconds.
    pub(super) wall: f64,
    /// The time of all processors, in seconds.
    pub(super) cpu: Option<f64>,
    /// The most memory that one process of the command had, in KiB.
    pub(super) peak: Option<u64>,
    /// How many runs the times are of.
    pub(super) runs: usize,
    /// What one run put on the wire, if there is one.
    pub(super) wire: Option<Wire>,
    /// The most bytes of temporary files.
    pub(super) disk: u64,
    /// The bytes of what the command wrote, if that is one file.
    pub(super) written: Option<u64>,
}

/// What one run took.
#[derive(Debug, Clone, Copy)]
struct Run {
    wall: f64,
    cpu: Option<f64>,
    peak: Option<u64>,
}

/// Takes the times of so many runs, or fewer if they take long.
pub(super) fn measure(task: &Task, runs: usize) -> Result<Measurement> {
    let (first, measurement) = probe(task)?;
    let runs = if first.wall > SLOW {
        repeat(task, vec![first], runs)?
    } else {
        match peers::by_name("hyperfine").and_then(peers::Peer::find) {
            Some(hyperfine) => run_with(&hyperfine, task, affordable(first.wall, runs))?,
            None => repeat(task, Vec::new(), runs)?,
        }
    };
    Ok(summarize(measurement, &runs))
}

/// Runs the command once and takes everything but times.
fn probe(task: &Task) -> Result<(Run, Measurement)> {
    let before = task.server.as_ref().map(|server| server.wire()).transpose()?;
    let watch = DiskWatch::start(&task.temporary);
    let run = run_once(task, &task.counted);
    let disk = watch.most();
    let run = run?;
    let after = task.server.as_ref().map(|server| server.wire()).transpose()?;
    let wire = after.zip(before).map(|(after, before)| after.since(before));
    let written = fs::metadata(&task.out).ok().filter(fs::Metadata::is_file).map(|file| file.len());
    let measurement = Measurement {
        peak: run.peak,
        wire: wire.filter(|wire| wire.requests > 0),
        disk,
        written,
        ..Measurement::default()
    };
    Ok((run, measurement))
}

/// Returns how many runs of this length fit.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small count, and not below 0")]
fn affordable(seconds: f64, runs: usize) -> usize {
    ((BUDGET / seconds) as usize).clamp(1, runs)
}

/// Goes on until there are so many runs, or the budget is used up.
fn repeat(task: &Task, mut done: Vec<Run>, runs: usize) -> Result<Vec<Run>> {
    while done.is_empty() || done.len() < runs && done.iter().map(|run| run.wall).sum::<f64>() < BUDGET {
        done.push(run_once(task, &task.line)?);
    }
    Ok(done)
}

fn summarize(measurement: Measurement, runs: &[Run]) -> Measurement {
    let cpu: Option<Vec<f64>> = runs.iter().map(|run| run.cpu).collect();
    Measurement {
        wall: median(runs.iter().map(|run| run.wall).collect()),
        cpu: cpu.map(median),
        peak: runs.iter().filter_map(|run| run.peak).chain(measurement.peak).max(),
        runs: runs.len(),
        ..measurement
    }
}

fn run_with(hyperfine: &Path, task: &Task, runs: usize) -> Result<Vec<Run>> {
    // It refuses to look at a single run.
    if runs < 2 {
        return repeat(task, Vec::new(), runs);
    }
    let file = task.room.join("hyperfine.json");
    let mut arguments: Vec<String> = ["-N", "--style", "none", "--runs"].map(str::to_owned).to_vec();
    arguments.extend([runs.to_string(), "--export-json".to_owned(), file.to_string_lossy().into_owned()]);
    if let Some(freshening) = task.freshening() {
        arguments.extend(["--prepare".to_owned(), freshening]);
    }
    arguments.push(task.line.for_shell());
    task.succeed(&Line { program: hyperfine.to_path_buf(), arguments })?;
    let text = fs::read_to_string(&file).map_err(at(&file))?;
    let timings: Timings = serde_json::from_str(&text).map_err(|error| format!("hyperfine: {error}"))?;
    let [timing] = timings.results;
    // It tells the mean of the processors' time alone.
    let cpu = Some(timing.user + timing.system);
    Ok(timing.times.into_iter().map(|wall| Run { wall, cpu, peak: None }).collect())
}

fn run_once(task: &Task, line: &Line) -> Result<Run> {
    task.freshen()?;
    let Some(time) = process::find(TIME, Path::new("/usr/bin")) else {
        let start = Instant::now();
        task.succeed(line)?;
        return Ok(Run { wall: start.elapsed().as_secs_f64(), cpu: None, peak: None });
    };
    let file = task.room.join("time.txt");
    let mut arguments = vec!["-o".to_owned(), file.to_string_lossy().into_owned()];
    arguments.extend(["-f", "%U %S %M"].map(str::to_owned));
    arguments.push(line.program.to_string_lossy().into_owned());
    arguments.extend(line.arguments.iter().cloned());
    let start = Instant::now();
    task.succeed(&Line { program: time, arguments })?;
    let wall = start.elapsed().as_secs_f64();
    let (cpu, peak) = read_time(&fs::read_to_string(&file).map_err(at(&file))?)?;
    Ok(Run { wall, cpu: Some(cpu), peak: Some(peak) })
}

/// What hyperfine exports, as far as it is used.
#[derive(Deserialize)]
struct Timings {
    results: [Timing; 1],
}

#[derive(Deserialize)]
struct Timing {
    user: f64,
    system: f64,
    times: Vec<f64>,
}

/// Reads the seconds in user and in system mode, which are added, and the peak memory in KiB.
fn read_time(text: &str) -> Result<(f64, u64)> {
    let line = text.lines().last().unwrap_or_default();
    let unreadable = || Error::from(format!("time wrote {text:?}"));
    let mut words = line.split(' ');
    let mut next = || words.next().ok_or_else(unreadable);
    let (user, system, peak) = (next()?, next()?, next()?);
    let seconds = |word: &str| word.parse::<f64>().map_err(|_| unreadable());
    Ok((seconds(user)? + seconds(system)?, peak.parse().map_err(|_| unreadable())?))
}

/// Returns the value in the middle; of an even number of values, the mean of the two.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let half = values.len() / 2;
    let (lower, upper) = (values.get(half.saturating_sub(1)), values.get(half));
    match (lower, upper) {
        (Some(lower), Some(upper)) if values.len().is_multiple_of(2) => (lower + upper) / 2.0,
        (_, Some(middle)) => *middle,
        _ => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::{Run, affordable, measure, median, read_time, repeat};
    use crate::bench::task::tests::task;

    #[test]
    fn runs_are_measured_and_each_is_afresh() {
        let room = tempfile::tempdir().unwrap();
        let task = task(room.path(), &["-c", "mkdir '{out}' && sleep 0.05 && echo text > \"$TMPDIR/a\""]);
        let measurement = measure(&task, 3).unwrap();
        assert!(measurement.wall > 0.04 && measurement.runs == 3, "{measurement:?}");
        assert_eq!((measurement.wire, measurement.written), (None, None));
    }

    #[test]
    fn what_a_command_writes_is_sized() {
        let room = tempfile::tempdir().unwrap();
        let task = task(room.path(), &["-c", "echo text > '{out}'"]);
        assert_eq!(measure(&task, 1).unwrap().written, Some(5));
    }

    #[test]
    fn a_command_that_fails_is_an_error() {
        let room = tempfile::tempdir().unwrap();
        let task = task(room.path(), &["-c", "echo told why >&2; exit 3"]);
        assert!(measure(&task, 1).unwrap_err().to_string().contains("told why"));
    }

    #[test]
    fn slow_commands_run_less_often() {
        assert_eq!((affordable(0.1, 5), affordable(15.0, 5), affordable(90.0, 5)), (5, 2, 1));
        let room = tempfile::tempdir().unwrap();
        let task = task(room.path(), &["-c", "exit 0"]);
        let slow = Run { wall: 50.0, cpu: None, peak: None };
        assert_eq!(repeat(&task, vec![slow], 5).unwrap().len(), 1);
        assert_eq!(repeat(&task, Vec::new(), 2).unwrap().len(), 2);
    }

    #[test]
    fn medians_are_in_the_middle() {
        for (values, expected) in
            [(vec![3.0, 1.0, 2.0], 2.0), (vec![4.0, 1.0, 2.0, 3.0], 2.5), (vec![7.0], 7.0)]
        {
            assert!((median(values) - expected).abs() < 1e-9);
        }
        assert!(median(Vec::new()).is_nan());
    }

    #[test]
    fn what_time_writes_is_read() {
        assert_eq!(read_time("0.25 0.50 9216\n").unwrap(), (0.75, 9216));
        assert_eq!(read_time("Command exited with non-zero status 1\n1.00 0.00 1\n").unwrap(), (1.0, 1));
        for text in ["", "1.0", "a b c", "1 1 1.5"] {
            assert!(read_time(text).is_err(), "{text}");
        }
    }
}
