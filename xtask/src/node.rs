//! `cargo xtask node`: starts a scripted DataONE node for experiments by hand.

use clap::Args;

use crate::error::Result;
use crate::{process, workspace};

/// The arguments of `cargo xtask node`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Folder of objects with their system metadata in `NAME.sysmeta.xml`, or `PACKAGESxOBJECTS` to generate objects
    #[arg(default_value = "10x10")]
    pub content: String,
    /// Port on the loopback interface; 0 means any free port
    #[arg(long, default_value_t = 0)]
    pub port: u16,
    /// Token that gives access to private objects
    #[arg(long)]
    pub token: Option<String>,
}

/// Starts the node and waits until it ends.
///
/// # Errors
///
/// Fails when it does not build or cannot start.
pub fn run(arguments: &Arguments) -> Result<()> {
    let mut cargo =
        workspace::cargo(&["run", "--quiet", "--package", "d1-testnode", "--example", "node", "--"]);
    cargo.args([arguments.content.clone(), arguments.port.to_string()]);
    cargo.args(&arguments.token);
    process::run(&mut cargo)
}
