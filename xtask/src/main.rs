//! Development tasks: `cargo xtask help`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask::error::Result;
use xtask::{
    bench, ci, console, dist, docs, gateway_bench, lint, node, peers, registry, release, repository, sample,
    test, tidy, torture,
};

/// Development tasks of the d1oci workspace.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = false)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Run all tests, with the peers that are there, and print the totals
    Test(test::Arguments),
    /// Check the rules of the house: floors, licences, sizes, words, manifests
    Tidy,
    /// Check formatting, clippy for every set of features, and the documentation build
    Lint,
    /// Run tidy, lint, docs --check and test, what fails fastest first
    Ci,
    /// Make a deterministic bag: a mooring data set, or another kind of trouble
    Sample(sample::Arguments),
    /// Make a layout with very many small packages, to measure catalogues
    Repository(repository::Arguments),
    /// Find or install the programs that tests and benchmarks compare with
    Peers(peers::Arguments),
    /// Measure d1oci beside its peers and write docs/benchmarks.md
    Bench(bench::Arguments),
    /// Measure the gateway beside nginx and a Member Node
    GatewayBench(gateway_bench::Arguments),
    /// Write docs/cli.md from the help of d1oci
    Docs(docs::Arguments),
    /// Pack the program, its manual pages, completions and licences for a release
    Dist(dist::Arguments),
    /// Start a scriptable registry on the loopback interface, to try things on by hand
    Registry(registry::Arguments),
    /// Start a scripted DataONE node on the loopback interface, to try things on by hand
    Node(node::Arguments),
    /// Run commands under random faults, and check that nothing is lost
    Torture(torture::Arguments),
    /// Check that every crate can be published, and print the order and the checklist
    Release(release::Arguments),
}

fn main() -> ExitCode {
    match run(&Arguments::parse().task) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            console::note(format_args!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Runs the task; `false` is a failure that the task has told already.
fn run(task: &Task) -> Result<bool> {
    match task {
        Task::Test(arguments) => return test::run(arguments),
        Task::Ci => return ci::run(),
        Task::Tidy => tidy::run(),
        Task::Lint => lint::run(),
        Task::Sample(arguments) => sample::run(arguments),
        Task::Repository(arguments) => repository::run(arguments),
        Task::Peers(arguments) => peers::run(arguments),
        Task::Bench(arguments) => bench::run(arguments),
        Task::GatewayBench(arguments) => gateway_bench::run(arguments),
        Task::Docs(arguments) => docs::run(arguments),
        Task::Dist(arguments) => dist::run(arguments),
        Task::Registry(arguments) => registry::run(arguments),
        Task::Node(arguments) => node::run(arguments),
        Task::Torture(arguments) => torture::run(arguments),
        Task::Release(arguments) => release::run(arguments),
    }?;
    Ok(true)
}
