//! `cargo xtask registry`: starts a scriptable registry for experiments by hand.

use clap::Args;

use crate::error::Result;
use crate::{process, workspace};

/// The arguments of `cargo xtask registry`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Registry to imitate: strict, ghcr, quay, old
    #[arg(long, default_value = "strict")]
    pub preset: String,
    /// Port on the loopback interface; 0 means any free port
    #[arg(long, default_value_t = 0)]
    pub port: u16,
    /// Cut connections each time this many bytes have passed; 0 means never
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    pub cut_bytes: u64,
    /// Refuse every Nth request with 503; 0 means none
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub refuse_every: u32,
    /// Require tokens that expire after this time, for user `curator` with password `secret`; 0 requires none
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub token_seconds: u64,
}

/// Starts the registry and waits until it ends.
///
/// # Errors
///
/// Fails when it does not build or cannot start.
pub fn run(arguments: &Arguments) -> Result<()> {
    let mut cargo = workspace::cargo(&[
        "run",
        "--quiet",
        "--package",
        "registry-conformance",
        "--example",
        "registry",
        "--",
    ]);
    cargo.arg(&arguments.preset).arg(arguments.port.to_string());
    let Arguments { cut_bytes, refuse_every, token_seconds, .. } = arguments;
    cargo.args([cut_bytes.to_string(), refuse_every.to_string(), token_seconds.to_string()]);
    process::run(&mut cargo)
}
