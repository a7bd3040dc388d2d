//! Runs a command several times and takes its times and its peak memory.
//!
//! hyperfine measures where it is there, otherwise a loop here does; GNU time takes the memory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde::Deserialize;

use super::rows::Contender;
use crate::error::{Error, Result, about, at};
use crate::{peers, process};

/// GNU time.
const TIME: &str = "time";

/// What the runs of one command took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Measurement {
    /// The median of the times on the clock, in seconds.
    pub(super) wall: f64,
    /// The time of all processors, in seconds.
    pub(super) cpu: Option<f64>,
    /// The most memory that one process of the command had, in KiB.
    pub(super) peak: Option<u64>,
}

/// One command with all its places filled in.
pub(super) struct Task {
    pub(super) program: PathBuf,
    /// The bag that the command works on.
    pub(super) bag: PathBuf,
    pub(super) store: PathBuf,
    pub(super) out: PathBuf,
    /// The directory that the command runs in: the one that holds the bag.
    directory: PathBuf,
    room: PathBuf,
    setup: Vec<String>,
    fresh: Option<PathBuf>,
    arguments: Vec<String>,
}

/// What one run took.
#[derive(Debug, Clone, Copy)]
struct Run {
    wall: f64,
    cpu: Option<f64>,
    peak: Option<u64>,
}

impl Task {
    pub(super) fn new(contender: &Contender, program: PathBuf, bag: &Path, room: &Path) -> Result<Self> {
        let directory = bag.parent().ok_or("a bag has a parent")?.to_path_buf();
        let absolute = |path: &Path| std::path::absolute(path).map_err(at(path));
        let room = absolute(room)?;
        let (store, out) = (room.join("store"), room.join("out"));
        let fill_all = |words: &[&str]| words.iter().map(|word| fill(word, bag, &store, &out)).collect();
        let fresh = match contender.fresh {
            "" => None,
            place => Some(PathBuf::from(fill(place, bag, &store, &out))),
        };
        Ok(Self {
            program: absolute(&program)?,
            bag: bag.to_path_buf(),
            setup: fill_all(contender.setup),
            arguments: fill_all(contender.command),
            store,
            out,
            directory,
            room,
            fresh,
        })
    }

    /// Does what must be there before the first run.
    pub(super) fn set_up(&self) -> Result<()> {
        if self.setup.is_empty() { Ok(()) } else { self.succeed(&self.program, &self.setup) }
    }

    /// Runs the command once more and tells whether it succeeded.
    pub(super) fn run_again(&self) -> Result<bool> {
        let line = self.line();
        let status = self.command(&self.program, &self.arguments).status().map_err(about(&line))?;
        Ok(status.success())
    }

    /// Runs another program in the directory of the command.
    pub(super) fn succeed(&self, program: &Path, arguments: &[String]) -> Result<()> {
        let output =
            self.command(program, arguments).stderr(Stdio::piped()).output().map_err(about(self.line()))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let line = format!("{} {}", program.display(), arguments.join(" "));
        Err(format!("{line}: {}\n{}", output.status, said.trim_end()).into())
    }

    /// Takes the times of so many runs, and the peak memory.
    pub(super) fn measure(&self, runs: u32) -> Result<Measurement> {
        match peers::by_name("hyperfine").and_then(peers::Peer::find) {
            Some(hyperfine) => self.measure_with(&hyperfine, runs),
            None => self.measure_here(runs),
        }
    }

    fn measure_with(&self, hyperfine: &Path, runs: u32) -> Result<Measurement> {
        let file = self.room.join("hyperfine.json");
        let mut command = Command::new(hyperfine);
        command.args(["-N", "--style", "none", "--warmup", "1", "--runs", &runs.to_string()]);
        command.arg("--export-json").arg(&file);
        if let Some(fresh) = &self.fresh {
            command.args(["--prepare", &format!("rm -rf {}", quote(&fresh.to_string_lossy()))]);
        }
        command.arg(self.line()).current_dir(&self.directory);
        process::read(&mut command)?;
        let text = fs::read_to_string(&file).map_err(at(&file))?;
        let timings: Timings = serde_json::from_str(&text).map_err(|error| format!("hyperfine: {error}"))?;
        let [timing] = timings.results;
        let peak = self.run_once()?.peak;
        Ok(Measurement { wall: median(timing.times), cpu: Some(timing.user + timing.system), peak })
    }

    fn measure_here(&self, runs: u32) -> Result<Measurement> {
        // The first one fills the caches.
        self.run_once()?;
        let runs = (0..runs).map(|_| self.run_once()).collect::<Result<Vec<_>>>()?;
        let cpu: Option<Vec<f64>> = runs.iter().map(|run| run.cpu).collect();
        Ok(Measurement {
            wall: median(runs.iter().map(|run| run.wall).collect()),
            cpu: cpu.map(median),
            peak: runs.iter().filter_map(|run| run.peak).max(),
        })
    }

    fn run_once(&self) -> Result<Run> {
        if let Some(fresh) = self.fresh.as_deref().filter(|fresh| fresh.is_dir()) {
            fs::remove_dir_all(fresh).map_err(at(fresh))?;
        }
        let Some(time) = process::find(TIME, Path::new("/usr/bin")) else {
            let start = Instant::now();
            self.succeed(&self.program, &self.arguments)?;
            return Ok(Run { wall: start.elapsed().as_secs_f64(), cpu: None, peak: None });
        };
        let file = self.room.join("time.txt");
        let mut arguments = vec!["-o".to_owned(), file.to_string_lossy().into_owned()];
        arguments.extend(["-f", "%U %S %M"].map(str::to_owned));
        arguments.push(self.program.to_string_lossy().into_owned());
        arguments.extend(self.arguments.iter().cloned());
        let start = Instant::now();
        self.succeed(&time, &arguments)?;
        let wall = start.elapsed().as_secs_f64();
        let (cpu, peak) = read_time(&fs::read_to_string(&file).map_err(at(&file))?)?;
        Ok(Run { wall, cpu: Some(cpu), peak: Some(peak) })
    }

    fn command(&self, program: &Path, arguments: &[String]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&self.directory);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Returns the command as a line that a shell would read back.
    fn line(&self) -> String {
        let program = self.program.to_string_lossy();
        let words = std::iter::once(program.as_ref()).chain(self.arguments.iter().map(String::as_str));
        words.map(quote).collect::<Vec<_>>().join(" ")
    }
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

fn fill(word: &str, bag: &Path, store: &Path, out: &Path) -> String {
    let name = bag.file_name().unwrap_or(bag.as_os_str()).to_string_lossy();
    let word = word.replace("{bag}", &name);
    word.replace("{store}", &store.to_string_lossy()).replace("{out}", &out.to_string_lossy())
}

fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
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
    use std::path::Path;

    use super::{Contender, Task, median, quote, read_time};

    fn task(room: &Path, command: &'static [&'static str]) -> Task {
        let bag = room.join("a bag");
        std::fs::create_dir_all(&bag).unwrap();
        let contender =
            Contender { program: "sh", setup: &["-c", "mkdir '{store}'"], fresh: "{out}", command };
        Task::new(&contender, "/bin/sh".into(), &bag, room).unwrap()
    }

    #[test]
    fn a_task_runs_beside_its_bag_and_afresh() {
        let room = tempfile::tempdir().unwrap();
        let task = task(room.path(), &["-c", "test -d '{bag}' && test -d '{store}' && mkdir '{out}'"]);
        task.set_up().unwrap();
        for measurement in [task.measure_here(3).unwrap(), task.measure(2).unwrap()] {
            assert!(measurement.wall > 0.0, "{measurement:?}");
        }
        assert!(!task.run_again().unwrap(), "{} is still there", task.out.display());
    }

    #[test]
    fn a_command_that_fails_is_an_error() {
        let room = tempfile::tempdir().unwrap();
        let task = task(room.path(), &["-c", "echo told why >&2; exit 3"]);
        assert!(task.measure_here(1).unwrap_err().to_string().contains("told why"));
        assert!(task.measure(2).is_err());
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

    #[test]
    fn words_are_quoted_for_a_shell() {
        assert_eq!(quote("it's here"), "'it'\\''s here'");
    }
}
