//! `cargo xtask test`: runs all tests of the workspace, with the installed peers, and counts.

mod tally;

use std::env;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Instant;

use clap::Args;

use self::tally::Tally;
use crate::error::{Result, about};
use crate::{console, peers, process, workspace};

/// The arguments of `cargo xtask test`.
#[derive(Debug, Default, Args)]
#[command(after_help = "\
The last line is `N passed, N failed, N skipped`. A test that cannot run, for example without a peer, prints \
a line that begins with `skipped:`. The end of the output repeats and counts these lines. Such tests count as \
passed.")]
pub struct Arguments {
    /// Do not install missing peers
    #[arg(long)]
    pub no_install: bool,
    /// More arguments for cargo test, such as `-p bagit`; without any, the whole workspace is tested
    #[arg(last = true)]
    pub selection: Vec<String>,
}

/// Runs the tests and prints the totals last. Returns whether all tests passed.
///
/// # Errors
///
/// Fails when cargo cannot be started.
pub fn run(arguments: &Arguments) -> Result<bool> {
    peers::run(&peers::Arguments { no_install: arguments.no_install })?;
    let start = Instant::now();
    let mut tally = Tally::default();
    let succeeded = build(arguments).is_ok() && watch(&mut test_command(arguments), &mut tally, &mut show)?;
    if !succeeded && tally.failed() == 0 {
        // A program that does not build, or that crashes, prints no result line.
        tally.add_failure();
    }
    for line in tally.skips() {
        console::result(line);
    }
    console::result(tally.result_line(start.elapsed()));
    console::result(tally.totals());
    Ok(succeeded)
}

/// Builds all tests and the programs that they run. One call shares the dependencies: a build of one package alone
/// would give them other features, and compile them a second time.
fn build(arguments: &Arguments) -> Result<()> {
    if !arguments.selection.is_empty() {
        return Ok(());
    }
    process::run(&mut workspace::cargo(&workspace::BUILD_ALL))
}

/// The variable with the number of tests that run at once.
const THREADS: &str = "RUST_TEST_THREADS";

/// Many tests wait: for slow links, for limits of time, for other programs.
const TESTS_FOR_EACH_CORE: usize = 2;

fn test_command(arguments: &Arguments) -> Command {
    let mut command = workspace::cargo(&["test", "--no-fail-fast"]);
    if arguments.selection.is_empty() {
        command.arg("--workspace").env("D1OCI_TEST_PROGRAMS", workspace::target("debug"));
    }
    // Passed tests must show their output too: it says what they skipped.
    command.args(&arguments.selection).args(["--", "--show-output"]);
    command.env("PATH", path_with_peers());
    if env::var_os(THREADS).is_none() {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        command.env(THREADS, (cores * TESTS_FOR_EACH_CORE).to_string());
    }
    command
}

fn path_with_peers() -> OsString {
    let path = env::var_os("PATH").unwrap_or_default();
    let directories = std::iter::once(peers::directory()).chain(env::split_paths(&path));
    // A directory with a colon in its name cannot be on the path: the path stays unchanged.
    env::join_paths(directories).unwrap_or(path)
}

/// Shows a line on the stream that it came from.
fn show(source: Source, line: &str) {
    match source {
        Source::Results => console::result(line),
        Source::Notes => console::note(line),
    }
}

/// Runs the command, shows the relevant lines and counts. Returns whether the command succeeded.
fn watch(command: &mut Command, tally: &mut Tally, show: &mut dyn FnMut(Source, &str)) -> Result<bool> {
    let line = process::command_line(command);
    console::note(format_args!("$ {line}"));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(about(&line))?;
    let (results, notes) = (child.stdout.take(), child.stderr.take());
    let (sender, lines) = channel();
    let errors = sender.clone();
    thread::scope(|scope| {
        scope.spawn(move || results.map(|pipe| send_lines(pipe, &sender, Source::Results)));
        scope.spawn(move || notes.map(|pipe| send_lines(pipe, &errors, Source::Notes)));
        for (source, line) in lines {
            let is_shown = match source {
                Source::Results => tally.read_result(&line),
                Source::Notes => tally.read_note(&line),
            };
            if is_shown {
                show(source, &line);
            }
        }
    });
    Ok(child.wait().map_err(about(&line))?.success())
}

/// The stream of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Results,
    Notes,
}

fn send_lines(pipe: impl Read, lines: &Sender<(Source, String)>, source: Source) {
    let mut reader = BufReader::new(pipe);
    let mut bytes = Vec::new();
    while reader.read_until(b'\n', &mut bytes).is_ok_and(|length| length > 0) {
        let line = String::from_utf8_lossy(&bytes).trim_end().to_owned();
        if lines.send((source, line)).is_err() {
            return;
        }
        bytes.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::{Source, Tally, watch};

    #[test]
    fn both_outputs_are_shown_and_counted_and_the_status_is_told() {
        let (mut tally, mut shown) = (Tally::default(), Vec::new());
        let mut show = |source, line: &str| shown.push((source, line.to_owned()));
        let script =
            "echo 'skipped: one' >&2; exec 2>&-; echo 'test it ... ok'; echo successes:; echo said; exit 3";
        assert!(!watch(Command::new("sh").args(["-c", script]), &mut tally, &mut show).unwrap());
        assert!(watch(&mut Command::new("true"), &mut tally, &mut show).unwrap());
        assert!(watch(&mut Command::new("no program has this name"), &mut tally, &mut show).is_err());
        assert_eq!(tally.totals(), "0 passed, 0 failed, 1 skipped");
        assert_eq!(shown.len(), 2);
        assert!(shown.contains(&(Source::Notes, "skipped: one".to_owned())));
        assert!(shown.contains(&(Source::Results, "test it ... ok".to_owned())));
    }
}
