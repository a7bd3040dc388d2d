//! `cargo xtask node`: a scripted DataONE node to try things on by hand.

use clap::Args;

use crate::error::Result;
use crate::process;

/// What `cargo xtask node` is told.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Folder of objects with their system metadata in `NAME.sysmeta.xml`, or `PACKAGESxOBJECTS` to make some up
    #[arg(default_value = "10x10")]
    pub content: String,
    /// Port on the loopback interface; 0 is any that is free
    #[arg(long, default_value_t = 0)]
    pub port: u16,
    /// Token that opens what is not public
    #[arg(long)]
    pub token: Option<String>,
}

/// Starts the node and waits until it is ended.
///
/// # Errors
///
/// Fails when it does not build or cannot start.
pub fn run(arguments: &Arguments) -> Result<()> {
    let mut cargo =
        process::cargo(&["run", "--quiet", "--package", "d1-testnode", "--example", "node", "--"]);
    cargo.args([arguments.content.clone(), arguments.port.to_string()]);
    cargo.args(&arguments.token);
    process::run(&mut cargo)
}
