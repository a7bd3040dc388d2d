//! `d1oci completions`: what shells need to complete the command line.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::context::Context;
use crate::failure::Failure;

/// Write the completion script of a shell.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci completions bash > ~/.local/share/bash-completion/completions/d1oci")]
pub(crate) struct Arguments {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "d1oci", &mut script);
    context.printer.raw(&script)
}
