//! `d1oci man`: manual pages.

use std::io;
use std::path::{Path, PathBuf};

use clap_mangen::Man;

use crate::context::Context;
use crate::failure::Failure;

/// Write the manual pages: the main one to standard output, or all of them into a directory.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci man -o ~/.local/share/man/man1")]
pub(crate) struct Arguments {
    /// Directory for one page per command.
    #[arg(short, long, value_name = "DIRECTORY")]
    output: Option<PathBuf>,
}

pub(crate) fn run(
    context: &Context,
    arguments: &Arguments,
    mut command: clap::Command,
) -> Result<(), Failure> {
    command.build();
    match &arguments.output {
        None => context.printer.raw(&page(&command).map_err(Failure::output)?),
        Some(directory) => {
            std::fs::create_dir_all(directory).map_err(|error| Failure::file("create", directory, error))?;
            write_pages(&command, directory)
        }
    }
}

fn write_pages(command: &clap::Command, directory: &Path) -> Result<(), Failure> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    let path = directory.join(format!("{name}.1"));
    let failed = |error| Failure::file("write", &path, error);
    std::fs::write(&path, page(command).map_err(failed)?).map_err(failed)?;
    // The help of a command is its page.
    let mut subcommands = command.get_subcommands().filter(|subcommand| subcommand.get_name() != "help");
    subcommands.try_for_each(|subcommand| write_pages(subcommand, directory))
}

fn page(command: &clap::Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(command.clone()).render(&mut page)?;
    Ok(page)
}
