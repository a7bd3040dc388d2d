//! The `d1oci` command: data packages of DataONE repositories in OCI registries and image layouts.

mod backends;
mod cli;
mod commands;
mod context;
#[cfg(feature = "distribution-client")]
mod credentials;
#[cfg(any(feature = "distribution-client", feature = "d1-client"))]
mod environment;
mod failure;
#[cfg(feature = "d1-client")]
mod nodes;
mod output;
#[cfg(feature = "distribution-client")]
mod registries;
#[cfg(feature = "distribution-client")]
mod settings;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are results; anything else is a usage error, which clap words well itself.
            let _ = error.print();
            return if error.use_stderr() { failure::ExitStatus::Usage.into() } else { ExitCode::SUCCESS };
        }
    };
    match commands::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if failure.is_broken_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            output::to_stderr(&failure);
            failure.status().into()
        }
    }
}
