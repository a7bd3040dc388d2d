//! `cargo xtask torture`: runs the program under random faults, round after round, until a check fails.

use clap::Args;

use crate::error::Result;
use crate::{process, workspace};

/// The arguments of `cargo xtask torture`.
#[derive(Debug, Args)]
#[command(after_help = "\
Each round runs one command: push, pull, copy, cat, fetch, replicate or prune. Meanwhile the registry or the node \
fails, the network link is lost, the disk is full, the process gets SIGINT, SIGTERM or SIGKILL, links lie where it \
writes, files are torn, or the clock jumps. \
Afterwards all earlier content must exist, no wrong file may have a final name, and the same command must complete. \
A command must survive a link that is lost for a second, and must give up if the link stays lost. A round depends only \
on the seed and its number: the last line says how to repeat one.

Full disks need the right to mount. Lost links need the right to make network namespaces, with `ip`, `unshare` and \
`nsenter`. Without these rights the run reports them as skipped. A namespace of your own gives you both rights:

    unshare -Urnm sh -c 'ip link set lo up && cargo xtask torture'")]
pub struct Arguments {
    /// Number of rounds
    #[arg(long, default_value_t = 1000)]
    pub rounds: u64,
    /// Seed of the random choices
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Number of the first round
    #[arg(long, default_value_t = 0)]
    pub first: u64,
}

/// Runs the rounds.
///
/// # Errors
///
/// Fails when the program does not build, or at the first round whose check fails.
pub fn run(arguments: &Arguments) -> Result<()> {
    let mut cargo =
        workspace::cargo(&["run", "--quiet", "--package", "d1oci-tests", "--example", "torture", "--"]);
    cargo.args([arguments.rounds, arguments.seed, arguments.first].map(|number| number.to_string()));
    process::run(&mut cargo)
}
