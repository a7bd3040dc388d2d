//! `cargo xtask registry`: a scriptable registry to try things on by hand.

use clap::Args;

use crate::error::Result;
use crate::process;

/// What `cargo xtask registry` is told.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Which registry it is like: strict, ghcr, quay, old
    #[arg(long, default_value = "strict")]
    pub preset: String,
    /// Port on the loopback interface; 0 is any that is free
    #[arg(long, default_value_t = 0)]
    pub port: u16,
}

/// Starts the registry and waits until it is ended.
///
/// # Errors
///
/// Fails when it does not build or cannot start.
pub fn run(arguments: &Arguments) -> Result<()> {
    let mut cargo =
        process::cargo(&["run", "--quiet", "--package", "registry-testkit", "--example", "registry", "--"]);
    cargo.args([arguments.preset.clone(), arguments.port.to_string()]);
    process::run(&mut cargo)
}
