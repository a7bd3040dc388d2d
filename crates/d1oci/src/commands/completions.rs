//! `d1oci completions`: completion scripts of shells.

use clap_complete::Shell;

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

pub(crate) fn run(
    context: &Context,
    arguments: &Arguments,
    mut program: clap::Command,
) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut program, "d1oci", &mut script);
    context.printer.raw(&script)
}
