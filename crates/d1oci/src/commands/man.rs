//! `d1oci man`: manual pages.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap_mangen::Man;

use crate::cli::ENVIRONMENT;
use crate::context::Context;
use crate::failure::Failure;

/// Write the manual pages: the main one to standard output, or all of them into a directory.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci man -o ~/.local/share/man/man1")]
pub(crate) struct Arguments {
    /// Directory for one page per command. It is made if it does not exist.
    #[arg(short, long, value_name = "DIRECTORY")]
    output: Option<PathBuf>,
}

/// The exit codes (docs/exit-codes.md).
const EXIT_STATUS: [(&str, &str); 9] = [
    ("0", "done"),
    ("1", "content is invalid"),
    ("2", "the command line or the configuration makes no sense"),
    ("3", "something named does not exist"),
    ("4", "denied"),
    ("5", "the network, a registry or a node failed"),
    ("6", "the operating system refused an operation on a local file"),
    ("130", "interrupted by SIGINT"),
    ("143", "interrupted by SIGTERM"),
];

/// Files that the program reads or writes by itself.
const FILES: [(&str, &str); 5] = [
    ("~/.config/d1oci/config.toml", "settings of registries and buckets (docs/configuration.md)"),
    ("~/.docker/config.json", "logins, shared with Docker and oras"),
    ("~/.config/containers/auth.json", "logins, shared with Podman"),
    ("~/.cache/d1oci/catalogs", "catalogues of repositories; they can be deleted"),
    ("~/.local/state/d1oci/uploads", "uploads that a later run continues"),
];

pub(crate) fn run(context: &Context, arguments: &Arguments, command: clap::Command) -> Result<(), Failure> {
    match &arguments.output {
        None => context.printer.raw(&page(&command, &[]).map_err(Failure::output)?),
        Some(directory) => {
            std::fs::create_dir_all(directory).map_err(|error| Failure::file("create", directory, error))?;
            write_pages(&command, &[], directory)
        }
    }
}

/// Writes the page of a command and those of the commands in it. `above` has the names of the pages above.
fn write_pages(command: &clap::Command, above: &[String], directory: &Path) -> Result<(), Failure> {
    let name = name_of(command);
    let path = directory.join(format!("{name}.1"));
    let failed = |error| Failure::file("write", &path, error);
    std::fs::write(&path, page(command, above).map_err(failed)?).map_err(failed)?;
    let above = [above, &[name]].concat();
    let mut shown = subcommands(command);
    shown.try_for_each(|subcommand| write_pages(subcommand, &above, directory))
}

fn name_of(command: &clap::Command) -> String {
    command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned()
}

/// Returns the commands in a command. The help of a command is its page.
fn subcommands(command: &clap::Command) -> impl Iterator<Item = &clap::Command> {
    command
        .get_subcommands()
        .filter(|subcommand| subcommand.get_name() != "help" && !subcommand.is_hide_set())
}

fn page(command: &clap::Command, above: &[String]) -> io::Result<Vec<u8>> {
    let man = Man::new(command.clone());
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    if command.get_arguments().any(|argument| !argument.is_hide_set()) {
        man.render_options_section(&mut page)?;
    }
    if subcommands(command).next().is_some() {
        man.render_subcommands_section(&mut page)?;
    }
    let is_main = above.is_empty();
    let (examples, notes) = after_help(command, is_main);
    if !notes.is_empty() {
        section(&mut page, "NOTES")?;
        for note in notes {
            writeln!(page, ".PP\n{}", escaped(&note))?;
        }
    }
    list(&mut page, "EXIT STATUS", &EXIT_STATUS)?;
    if is_main {
        list(&mut page, "ENVIRONMENT", &ENVIRONMENT)?;
        list(&mut page, "FILES", &FILES)?;
    } else {
        section(&mut page, "ENVIRONMENT")?;
        writeln!(page, "See d1oci(1) for the variables and files of all commands.")?;
    }
    section(&mut page, "EXAMPLES")?;
    for example in examples {
        writeln!(page, ".PP\n.nf\n{}\n.fi", escaped(&example))?;
    }
    section(&mut page, "SEE ALSO")?;
    let below = subcommands(command).map(name_of);
    let other = if is_main { vec!["oras".to_owned()] } else { Vec::new() };
    let names: Vec<String> = above.iter().cloned().chain(below).chain(other).collect();
    let names: Vec<String> = names.iter().map(|name| format!("\\fB{}\\fR(1)", escaped(name))).collect();
    writeln!(page, "{}", names.join(", "))?;
    Ok(page)
}

/// Returns the examples, and the other paragraphs behind the options. The main page has sections of its own for exit codes.
fn after_help(command: &clap::Command, is_main: bool) -> (Vec<String>, Vec<String>) {
    let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let (mut examples, mut notes) = (Vec::new(), Vec::new());
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        match line.strip_prefix("Example: ").or_else(|| line.strip_prefix("d1oci ").map(|_| line)) {
            Some(example) => examples.push(example.to_owned()),
            None if is_main => {}
            None => notes.push(line.to_owned()),
        }
    }
    (examples, notes)
}

fn section(page: &mut Vec<u8>, title: &str) -> io::Result<()> {
    writeln!(page, ".SH \"{title}\"")
}

fn list(page: &mut Vec<u8>, title: &str, items: &[(&str, &str)]) -> io::Result<()> {
    section(page, title)?;
    for (name, about) in items {
        writeln!(page, ".TP\n\\fB{}\\fR\n{}", escaped(name), escaped(about))?;
    }
    Ok(())
}

/// Returns a text in which nothing is a request or an escape of roff (groff(7)).
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_has_the_sections_of_a_manual() {
        let command = crate::cli::command();
        let push = command.find_subcommand("push").unwrap();
        for (page, wanted) in [
            (page(&command, &[]).unwrap(), &["ENVIRONMENT", "FILES"][..]),
            (page(push, &["d1oci".to_owned()]).unwrap(), &["ENVIRONMENT", "OPTIONS"]),
        ] {
            let page = String::from_utf8(page).unwrap();
            for section in wanted.iter().chain(&["EXIT STATUS", "EXAMPLES", "SEE ALSO"]) {
                assert!(
                    page.contains(&format!(".SH \"{section}\"")) || page.contains(&format!(".SH {section}")),
                    "{section}"
                );
            }
            assert!(!page.contains("EXTRA"), "{page}");
        }
    }

    #[test]
    fn options_of_all_commands_are_explained_once() {
        let command = crate::cli::command();
        let help = |name: &str| command.find_subcommand(name).unwrap().clone().render_long_help().to_string();
        assert!(!help("push").contains("--ca-file") && !help("pull").contains("--log-format"));
        assert!(help("push").contains("--annotation-file") && help("login").contains("--password-stdin"));
        let main = command.clone().render_long_help().to_string();
        for option in ["--ca-file", "--log-format", "--concurrency", "D1OCI_CONFIG"] {
            assert!(main.contains(option), "{option}");
        }
    }
}
