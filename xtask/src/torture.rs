//! `cargo xtask torture`: the program under random faults, round after round, until something does not hold.

use clap::Args;

use crate::error::Result;
use crate::process;

/// What `cargo xtask torture` is told.
#[derive(Debug, Args)]
#[command(after_help = "\
Each round pushes, pulls, copies, reads, fetches, replicates or prunes while the registry or the node fails, the link to \
them is lost, the disk is full, the process is killed, files are torn or the clock jumps; then what was there before \
must be there, nothing wrong may have a final name, and the same command must complete. A link that is lost for a \
second makes no command fail, and one that stays lost keeps none waiting without end. A round depends on the seed and \
its number alone: the last line says how to run one again.

Full disks need the right to mount, and lost links the right to make network namespaces, with `ip`, `unshare` and \
`nsenter`; without it they are skipped, which is told. Who lacks these rights has them in a namespace of their own:

    unshare -Urnm sh -c 'ip link set lo up && cargo xtask torture'")]
pub struct Arguments {
    /// Number of rounds
    #[arg(long, default_value_t = 1000)]
    pub rounds: u64,
    /// What the random choices come from
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
/// Fails when the program does not build, or at the first round in which something does not hold.
pub fn run(arguments: &Arguments) -> Result<()> {
    let mut cargo =
        process::cargo(&["run", "--quiet", "--package", "d1oci-tests", "--example", "torture", "--"]);
    cargo.args([arguments.rounds, arguments.seed, arguments.first].map(|number| number.to_string()));
    process::run(&mut cargo)
}
