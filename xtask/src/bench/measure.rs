//! Runs a command several times and measures its times, its peak memory, and its traffic on the wire and to disk.
//!
//! GNU time measures all but the traffic on the wire. The first run goes through a link that counts; its time counts only
//! if the command is slow.

use std::fs;
use std::path::Path;
use std::time::Instant;

use super::server::Wire;
use super::task::{Line, Task};
use crate::error::{Error, Result, at};
use crate::process;

/// GNU time.
const TIME: &str = "time";

/// The seconds after which a command is slow: its first run counts.
const SLOW: f64 = 20.0;

/// The seconds of all measured runs after which no further run begins.
const BUDGET: f64 = 40.0;

/// The measured runs of one command.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Measurement {
    /// The median of the elapsed times, in seconds.
    pub(super) wall: f64,
    /// The time of all processors, in seconds.
    pub(super) cpu: Option<f64>,
    /// The most memory that one process of the command had, in KiB.
    pub(super) peak: Option<u64>,
    /// The number of measured runs.
    pub(super) runs: usize,
    /// The traffic of one run on the wire.
    pub(super) wire: Option<Wire>,
    /// The bytes that one run wrote to disk, temporary files and results alike.
    pub(super) disk: Option<u64>,
    /// The size of the result in bytes, if it is one file.
    pub(super) out_size: Option<u64>,
}

/// One measured run.
#[derive(Debug, Clone, Copy)]
struct Run {
    wall: f64,
    cpu: Option<f64>,
    peak: Option<u64>,
    disk: Option<u64>,
}

/// Measures at most `runs` runs; slow commands run less often.
pub(super) fn measure(task: &Task, runs: usize) -> Result<Measurement> {
    let (first, measurement) = probe(task)?;
    let done = if first.wall > SLOW { vec![first] } else { Vec::new() };
    Ok(summarize(measurement, &repeat(task, done, runs)?))
}

/// Runs the command over the link that counts, and takes everything but times.
fn probe(task: &Task) -> Result<(Run, Measurement)> {
    let before = task.server.as_ref().map(|server| server.wire()).transpose()?;
    let run = run_once(task, &task.counted)?;
    let after = task.server.as_ref().map(|server| server.wire()).transpose()?;
    let wire = after.zip(before).map(|(after, before)| after.since(before));
    let out_size = fs::metadata(&task.out).ok().filter(fs::Metadata::is_file).map(|file| file.len());
    let measurement = Measurement {
        peak: run.peak,
        wire: wire.filter(|wire| wire.requests > 0),
        disk: run.disk,
        out_size,
        ..Measurement::default()
    };
    Ok((run, measurement))
}

/// Repeats the command until there are `runs` runs or the budget is used up.
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

fn run_once(task: &Task, line: &Line) -> Result<Run> {
    task.freshen()?;
    let Some(time) = process::find(TIME, Path::new("/usr/bin")) else {
        let start = Instant::now();
        task.succeed(line)?;
        return Ok(Run { wall: start.elapsed().as_secs_f64(), cpu: None, peak: None, disk: None });
    };
    let file = task.room.join("time.txt");
    let mut arguments = vec!["-o".to_owned(), file.to_string_lossy().into_owned()];
    arguments.extend(["-f", "%U %S %M %O"].map(str::to_owned));
    arguments.push(line.program.to_string_lossy().into_owned());
    arguments.extend(line.arguments.iter().cloned());
    let start = Instant::now();
    task.succeed(&Line { program: time, arguments })?;
    let wall = start.elapsed().as_secs_f64();
    let (cpu, peak, disk) = read_time(&fs::read_to_string(&file).map_err(at(&file))?)?;
    Ok(Run { wall, cpu: Some(cpu), peak: Some(peak), disk: Some(disk) })
}

/// Reads the seconds of all processors, the peak memory in KiB, and the bytes written to disk, which GNU time counts in
/// blocks of 512 bytes.
fn read_time(text: &str) -> Result<(f64, u64, u64)> {
    let line = text.lines().last().unwrap_or_default();
    let unreadable = || Error::from(format!("time wrote {text:?}"));
    let mut words = line.split(' ');
    let mut next = || words.next().ok_or_else(unreadable);
    let (user, system, peak, blocks) = (next()?, next()?, next()?, next()?);
    let seconds = |word: &str| word.parse::<f64>().map_err(|_| unreadable());
    let number = |word: &str| word.parse::<u64>().map_err(|_| unreadable());
    Ok((seconds(user)? + seconds(system)?, number(peak)?, number(blocks)?.saturating_mul(512)))
}

/// Returns the value in the middle; of an even number of values, the mean of the two.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
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
    use super::{Run, measure, median, read_time, repeat};
    use crate::bench::task::tests::task;

    #[test]
    fn runs_are_measured_and_each_is_afresh() {
        let room = tempfile::tempdir().unwrap();
        let task = task(room.path(), &["-c", "mkdir '{out}' && sleep 0.05 && echo text > \"$TMPDIR/a\""]);
        let measurement = measure(&task, 3).unwrap();
        assert!(measurement.wall > 0.04 && measurement.runs == 3, "{measurement:?}");
        assert_eq!((measurement.wire, measurement.out_size), (None, None));
    }

    #[test]
    fn what_a_command_writes_is_sized() {
        let room = tempfile::tempdir().unwrap();
        let task = task(room.path(), &["-c", "echo text > '{out}'"]);
        assert_eq!(measure(&task, 1).unwrap().out_size, Some(5));
    }

    #[test]
    fn a_command_that_fails_is_an_error() {
        let room = tempfile::tempdir().unwrap();
        let task = task(room.path(), &["-c", "echo told why >&2; exit 3"]);
        assert!(measure(&task, 1).unwrap_err().to_string().contains("told why"));
    }

    #[test]
    fn slow_commands_run_less_often() {
        let room = tempfile::tempdir().unwrap();
        let task = task(room.path(), &["-c", "exit 0"]);
        let slow = Run { wall: 50.0, cpu: None, peak: None, disk: None };
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
        assert_eq!(read_time("0.25 0.50 9216 8\n").unwrap(), (0.75, 9216, 4096));
        assert_eq!(read_time("Command exited with non-zero status 1\n1.00 0.00 1 0\n").unwrap(), (1.0, 1, 0));
        for text in ["", "1.0", "a b c 0", "1 1 1.5 0", "1 1 1"] {
            assert!(read_time(text).is_err(), "{text}");
        }
    }
}
