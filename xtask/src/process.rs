//! Runs other programs, and finds them.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::console;
use crate::error::{Result, about};

/// Runs the command after showing it.
///
/// # Errors
///
/// Fails when the program does not start or ends with a status that is not zero.
pub fn run(command: &mut Command) -> Result<()> {
    let line = command_line(command);
    console::note(format_args!("$ {line}"));
    let status = command.status().map_err(about(&line))?;
    if status.success() { Ok(()) } else { Err(format!("{line}: {status}").into()) }
}

/// Runs the command silently and returns its standard output.
///
/// # Errors
///
/// Fails when the program does not start, ends with a status that is not zero (the error shows its standard error), or
/// does not write UTF-8.
pub fn read(command: &mut Command) -> Result<String> {
    let line = command_line(command);
    let output = command.stdin(Stdio::null()).output().map_err(about(&line))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{line}: {}\n{}", output.status, said.trim_end()).into());
    }
    String::from_utf8(output.stdout).map_err(|error| format!("{line}: {error}").into())
}

/// Returns the command as one line, the program without its directory.
#[must_use]
pub fn command_line(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let mut line = program.file_name().unwrap_or(command.get_program()).to_string_lossy().into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}

/// Finds a program in `first`, then on the `PATH`.
#[must_use]
pub fn find(program: &str, first: &Path) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    std::iter::once(first.to_path_buf())
        .chain(env::split_paths(&path))
        .map(|directory| directory.join(program))
        .find(|candidate| candidate.is_file())
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use super::{command_line, find, read, run};

    #[test]
    fn a_failing_program_is_an_error_with_its_command_line() {
        let error = run(Command::new("false").arg("--flag")).unwrap_err().to_string();
        assert!(error.starts_with("false --flag: "), "{error}");
    }

    #[test]
    fn reading_returns_standard_output() {
        assert_eq!(read(Command::new("echo").arg("one two")).unwrap(), "one two\n");
    }

    #[test]
    fn the_command_line_shows_the_program_without_its_directory() {
        assert_eq!(command_line(Command::new("/usr/bin/env").args(["A=1", "true"])), "env A=1 true");
    }

    #[test]
    fn the_first_directory_wins_and_absence_is_none() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("sh"), "").unwrap();
        assert_eq!(find("sh", directory.path()), Some(directory.path().join("sh")));
        assert!(find("sh", Path::new("")).is_some());
        assert_eq!(find("no program has this name", Path::new("")), None);
    }
}
