//! The commands, one file each: its arguments, its run, its output.

pub(crate) mod attach;
mod audit_report;
pub(crate) mod backends;
pub(crate) mod bag;
pub(crate) mod cat;
pub(crate) mod completions;
pub(crate) mod copy;
pub(crate) mod delete;
pub(crate) mod discover;
pub(crate) mod export;
#[cfg(feature = "d1-client")]
pub(crate) mod fetch;
pub(crate) mod find;
pub(crate) mod history;
pub(crate) mod import;
pub(crate) mod inspect;
#[cfg(feature = "distribution-client")]
pub(crate) mod login;
#[cfg(feature = "distribution-client")]
pub(crate) mod logout;
pub(crate) mod ls;
pub(crate) mod man;
pub(crate) mod manifest;
mod package;
pub(crate) mod prune;
pub(crate) mod pull;
pub(crate) mod push;
#[cfg(feature = "d1-client")]
pub(crate) mod replicate;
pub(crate) mod resolve;
pub(crate) mod tag;
pub(crate) mod tags;
pub(crate) mod verify;

use crate::cli::{Cli, Command};
use crate::context::Context;
use crate::failure::Failure;

/// Runs the command that was typed.
pub(crate) fn run(cli: Cli) -> Result<(), Failure> {
    start_tracing(cli.global.verbose);
    let context = Context::new(&cli.global);
    match cli.command {
        // These need no runtime: they only write text, or work on local files with threads of their own.
        Command::Backends(arguments) => backends::run(&context, &arguments),
        Command::Completions(arguments) => completions::run(&context, &arguments),
        Command::Man(arguments) => man::run(&context, &arguments),
        Command::Bag(arguments) => bag::run(&context, arguments),
        command => in_runtime(run_async(&context, command)),
    }
}

async fn run_async(context: &Context, command: Command) -> Result<(), Failure> {
    match command {
        Command::Push(arguments) => push::run(context, arguments).await,
        Command::Pull(arguments) => pull::run(context, arguments).await,
        Command::Ls(arguments) => ls::run(context, arguments).await,
        Command::Cat(arguments) => cat::run(context, arguments).await,
        Command::Verify(arguments) => verify::run(context, arguments).await,
        Command::Inspect(arguments) => inspect::run(context, arguments).await,
        Command::Find(arguments) => find::run(context, arguments).await,
        Command::History(arguments) => history::run(context, arguments).await,
        Command::Manifest(arguments) => manifest::run(context, arguments).await,
        Command::Discover(arguments) => discover::run(context, arguments).await,
        Command::Attach(arguments) => attach::run(context, arguments).await,
        Command::Tags(arguments) => tags::run(context, arguments).await,
        Command::Resolve(arguments) => resolve::run(context, arguments).await,
        Command::Tag(arguments) => tag::run(context, arguments).await,
        Command::Delete(arguments) => delete::run(context, arguments).await,
        Command::Prune(arguments) => prune::run(context, arguments).await,
        Command::Copy(arguments) => copy::run(context, arguments).await,
        Command::Export(arguments) => export::run(context, arguments).await,
        Command::Import(arguments) => import::run(context, arguments).await,
        #[cfg(feature = "d1-client")]
        Command::Fetch(arguments) => fetch::run(context, arguments).await,
        #[cfg(feature = "d1-client")]
        Command::Replicate(arguments) => replicate::run(context, arguments).await,
        #[cfg(feature = "distribution-client")]
        Command::Login(arguments) => login::run(context, arguments).await,
        #[cfg(feature = "distribution-client")]
        Command::Logout(arguments) => logout::run(context, arguments).await,
        Command::Backends(_) | Command::Completions(_) | Command::Man(_) | Command::Bag(_) => Ok(()),
    }
}

fn in_runtime(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(crate::failure::ExitStatus::LocalIo, error))?;
    let result = runtime.block_on(command);
    // Reading threads of a transfer that failed end by themselves; nobody waits for them.
    runtime.shutdown_background();
    result
}

/// Sends what our own crates tell to standard error if people want to read it. What the HTTP library and those below it
/// tell is of no use to them, and nobody here can vouch that it holds no secret.
fn start_tracing(verbosity: u8) {
    let level = match verbosity {
        0 => return,
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    // The beginnings of the names of our crates.
    let own = ["backend_", "bagit", "d1", "distribution_client", "http_transfer", "oci_", "registry_"];
    let filter = own.map(|name| format!("{name}={level}")).join(",");
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        .with_target(verbosity > 1);
    // It is set once, here.
    let _ = subscriber.without_time().try_init();
}
