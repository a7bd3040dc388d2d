//! Programs of the operating system that change a command's surroundings.

use std::process::{Command, Stdio};

/// Runs a program to its end. Returns its standard output, or a message if it failed.
pub(crate) fn system(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("`{name}`: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        // The other lines are advice for people at a terminal.
        Err(format!("`{name}`: {}", said.lines().next().unwrap_or_default()))
    }
}
