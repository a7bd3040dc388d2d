//! `cargo xtask docs`: writes the command line reference from the output of `d1oci --help`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;

use crate::error::{Result, at};
use crate::{console, process, workspace};

/// The written file.
pub const CLI_REFERENCE: &str = "docs/cli.md";

/// The deepest level of commands within commands.
const MOST_NESTED: usize = 4;

/// The arguments of `cargo xtask docs`.
#[derive(Debug, Default, Args)]
pub struct Arguments {
    /// Write nothing; fail if the file is out of date
    #[arg(long)]
    pub check: bool,
    /// Read the help of this d1oci instead of building one
    #[arg(long, value_name = "FILE")]
    pub d1oci: Option<PathBuf>,
}

/// Writes or checks the reference of d1oci.
///
/// # Errors
///
/// Fails when d1oci does not build, the file cannot be written, or it is out of date.
pub fn run(arguments: &Arguments) -> Result<()> {
    let program = arguments.d1oci.clone().map_or_else(build, Ok)?;
    let text = reference(&|path| help(&program, path))?;
    let file = workspace::root().join(CLI_REFERENCE);
    if !arguments.check {
        fs::write(&file, text).map_err(at(&file))?;
        console::note(format_args!("wrote {CLI_REFERENCE}"));
        return Ok(());
    }
    let present = fs::read_to_string(&file).map_err(at(&file))?;
    match first_difference(&present, &text) {
        None => Ok(()),
        Some(line) => {
            Err(format!("{CLI_REFERENCE}:{line}: differs from the help of d1oci; run cargo xtask docs")
                .into())
        }
    }
}

/// Returns the heading of a command in the reference.
#[must_use]
pub fn heading_of(path: &[&str]) -> String {
    format!("## {}", path.join(" "))
}

fn build() -> Result<PathBuf> {
    process::run(&mut workspace::cargo(&["build", "--quiet", "--package", "d1oci"]))?;
    Ok(workspace::target("debug").join("d1oci"))
}

/// Returns the help of the command at this path.
fn help(program: &Path, path: &[&str]) -> Result<String> {
    // The width of lines and the colours must not depend on the environment.
    let mut command = Command::new(program);
    command.args(path.iter().skip(1)).arg("--help");
    command.env("COLUMNS", "100").env("NO_COLOR", "1").env_remove("CLICOLOR_FORCE");
    process::read(&mut command)
}

/// Joins the help of all commands, in the order of their lists.
fn reference(help: &dyn Fn(&[&str]) -> Result<String>) -> Result<String> {
    let mut text =
        "# Command line reference\n\nWritten by `cargo xtask docs` from what `d1oci --help` says; do not \
                    edit it by hand.\n"
            .to_owned();
    append(&mut text, &["d1oci"], help)?;
    Ok(text)
}

fn append(text: &mut String, path: &[&str], help: &dyn Fn(&[&str]) -> Result<String>) -> Result<()> {
    let said = help(path)?;
    let lines: Vec<_> = said.trim_end().lines().map(str::trim_end).collect();
    text.push_str(&format!("\n{}\n\n```text\n{}\n```\n", heading_of(path), lines.join("\n")));
    if path.len() > MOST_NESTED {
        return Err(format!("{}: commands are nested too deeply", path.join(" ")).into());
    }
    for command in commands(&said) {
        append(text, &[path, &[command]].concat(), help)?;
    }
    Ok(())
}

/// Returns the names in the section `Commands:` of a help text, without `help` itself.
fn commands(help: &str) -> Vec<&str> {
    let section = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    section
        .take_while(|line| line.starts_with("  "))
        // A line with a deeper indent continues a description.
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect()
}

/// Returns the number of the first line in which the texts differ.
fn first_difference(one: &str, other: &str) -> Option<usize> {
    if one == other {
        return None;
    }
    let same = one.lines().zip(other.lines()).take_while(|(one, other)| one == other).count();
    Some(same + 1)
}

#[cfg(test)]
mod tests {
    use super::{commands, first_difference, reference};

    const TOP: &str = "Stores packages\n\nUsage: d1oci <COMMAND>\n\nCommands:\n  push  Pushes,\n          and more\n  \
                       bag   Makes bags   \n  help  Prints this\n\nOptions:\n  -q  Quiet\n";

    #[test]
    fn commands_are_found_in_help() {
        assert_eq!(commands(TOP), ["push", "bag"]);
        assert_eq!(commands("Usage: d1oci push\n\nOptions:\n  -q\n"), [""; 0]);
    }

    #[test]
    fn the_reference_has_every_command_in_order() {
        let text = reference(&|path: &[&str]| {
            Ok(match path {
                ["d1oci"] => TOP.to_owned(),
                ["d1oci", "bag"] => "Commands:\n  validate  Checks\n".to_owned(),
                path => format!("Help of {}\n", path.join(" ")),
            })
        });
        let text = text.unwrap();
        let headings: Vec<_> = text.lines().filter(|line| line.starts_with("## ")).collect();
        assert_eq!(headings, ["## d1oci", "## d1oci push", "## d1oci bag", "## d1oci bag validate"]);
        assert!(text.ends_with("```text\nHelp of d1oci bag validate\n```\n"), "{text}");
        assert!(!text.lines().any(|line| line.ends_with(' ')));
    }

    #[test]
    fn endless_commands_are_refused() {
        assert!(reference(&|_: &[&str]| Ok("Commands:\n  again  And again\n".to_owned())).is_err());
    }

    #[test]
    fn the_first_difference_is_told_by_line() {
        let cases = [("a\nb\n", "a\nb\n", None), ("a\nb\n", "a\nc\n", Some(2)), ("a\n", "a\nb\n", Some(2))];
        for (one, other, expected) in cases {
            assert_eq!(first_difference(one, other), expected);
        }
    }
}
