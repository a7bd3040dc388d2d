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
    /// Cut connections each time so many bytes have passed; 0 is never
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    pub cut_bytes: u64,
    /// Refuse each so-manieth request with 503; 0 is none
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub refuse_every: u32,
    /// Ask for tokens that last so long, got with the name `curator` and the password `secret`; 0 asks for none
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub token_seconds: u64,
}

/// Starts the registry and waits until it is ended.
///
/// # Errors
///
/// Fails when it does not build or cannot start.
pub fn run(arguments: &Arguments) -> Result<()> {
    let mut cargo = process::cargo(&[
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
