//! The command line, and the command that each of its verbs runs.

use clap::{CommandFactory, Parser, Subcommand};

use crate::commands;
use crate::context::{Context, GlobalOptions};
use crate::failure::Failure;

/// Stores DataONE data packages in OCI registries and image layouts.
///
/// A REFERENCE names a repository and usually one artifact in it: `oci:DIRECTORY:TAG` for an image layout on disk,
/// `s3://BUCKET/PREFIX:TAG` for one in a bucket, `ghcr.io/OWNER/NAME:TAG` for a registry; `@DIGEST` can replace `:TAG`.
#[derive(Debug, Parser)]
#[command(
    name = "d1oci",
    version,
    propagate_version = true,
    after_help = "Exit codes: 0 done; 1 content is invalid; 2 usage; 3 not found; 4 denied; 5 network or registry; 6 local files; \
                  130 and 143 interrupted (docs/exit-codes.md).\n\n\
                  Example: d1oci push oci:store:v1 ./my-bag && d1oci pull oci:store:v1 -o copy"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalOptions,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Push(commands::push::Arguments),
    Pull(commands::pull::Arguments),
    #[command(visible_alias = "list")]
    Ls(commands::ls::Arguments),
    Cat(commands::cat::Arguments),
    Verify(commands::verify::Arguments),
    Inspect(commands::inspect::Arguments),
    Find(commands::find::Arguments),
    History(commands::history::Arguments),
    Catalog(commands::catalog::Arguments),
    Manifest(commands::manifest::Arguments),
    Discover(commands::discover::Arguments),
    Attach(commands::attach::Arguments),
    Tags(commands::tags::Arguments),
    #[command(visible_alias = "digest")]
    Resolve(commands::resolve::Arguments),
    Tag(commands::tag::Arguments),
    #[command(visible_alias = "rm")]
    Delete(commands::delete::Arguments),
    Prune(commands::prune::Arguments),
    #[command(visible_alias = "cp")]
    Copy(commands::copy::Arguments),
    Mirror(commands::mirror::Arguments),
    Repair(commands::repair::Arguments),
    Export(commands::export::Arguments),
    Import(commands::import::Arguments),
    #[cfg(feature = "d1-client")]
    Fetch(commands::fetch::Arguments),
    #[cfg(feature = "d1-client")]
    Replicate(commands::replicate::Arguments),
    #[cfg(feature = "d1-client")]
    Compare(commands::compare::Arguments),
    #[cfg(feature = "d1-client")]
    Withdraw(commands::withdraw::Arguments),
    Bag(commands::bag::Arguments),
    #[cfg(feature = "d1-gateway")]
    Serve(commands::serve::Arguments),
    #[cfg(feature = "distribution-client")]
    Repo(commands::repo::Arguments),
    #[cfg(feature = "distribution-client")]
    Login(commands::login::Arguments),
    #[cfg(feature = "distribution-client")]
    Logout(commands::logout::Arguments),
    Backends(commands::backends::Arguments),
    Completions(commands::completions::Arguments),
    Man(commands::man::Arguments),
    Version(commands::version::Arguments),
}

impl Command {
    /// Runs the command.
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Push(arguments) => commands::push::run(context, arguments).await,
            Self::Pull(arguments) => commands::pull::run(context, arguments).await,
            Self::Ls(arguments) => commands::ls::run(context, arguments).await,
            Self::Cat(arguments) => commands::cat::run(context, arguments).await,
            Self::Verify(arguments) => commands::verify::run(context, arguments).await,
            Self::Inspect(arguments) => commands::inspect::run(context, arguments).await,
            Self::Find(arguments) => commands::find::run(context, arguments).await,
            Self::History(arguments) => commands::history::run(context, arguments).await,
            Self::Catalog(arguments) => commands::catalog::run(context, arguments).await,
            Self::Manifest(arguments) => commands::manifest::run(context, arguments).await,
            Self::Discover(arguments) => commands::discover::run(context, arguments).await,
            Self::Attach(arguments) => commands::attach::run(context, arguments).await,
            Self::Tags(arguments) => commands::tags::run(context, arguments).await,
            Self::Resolve(arguments) => commands::resolve::run(context, arguments).await,
            Self::Tag(arguments) => commands::tag::run(context, arguments).await,
            Self::Delete(arguments) => commands::delete::run(context, arguments).await,
            Self::Prune(arguments) => commands::prune::run(context, arguments).await,
            Self::Copy(arguments) => commands::copy::run(context, arguments).await,
            Self::Mirror(arguments) => commands::mirror::run(context, arguments).await,
            Self::Repair(arguments) => commands::repair::run(context, arguments).await,
            Self::Export(arguments) => commands::export::run(context, arguments).await,
            Self::Import(arguments) => commands::import::run(context, arguments).await,
            #[cfg(feature = "d1-client")]
            Self::Fetch(arguments) => commands::fetch::run(context, arguments).await,
            #[cfg(feature = "d1-client")]
            Self::Replicate(arguments) => commands::replicate::run(context, arguments).await,
            #[cfg(feature = "d1-client")]
            Self::Compare(arguments) => commands::compare::run(context, arguments).await,
            #[cfg(feature = "d1-client")]
            Self::Withdraw(arguments) => commands::withdraw::run(context, arguments).await,
            #[cfg(feature = "distribution-client")]
            Self::Repo(arguments) => commands::repo::run(context, arguments).await,
            #[cfg(feature = "distribution-client")]
            Self::Login(arguments) => commands::login::run(context, arguments).await,
            #[cfg(feature = "distribution-client")]
            Self::Logout(arguments) => commands::logout::run(context, arguments).await,
            Self::Backends(arguments) => commands::backends::run(context, &arguments),
            Self::Completions(arguments) => commands::completions::run(context, &arguments, Cli::command()),
            Self::Man(arguments) => commands::man::run(context, &arguments, Cli::command()),
            Self::Version(arguments) => commands::version::run(context, &arguments),
            Self::Bag(arguments) => commands::bag::run(context, arguments).await,
            #[cfg(feature = "d1-gateway")]
            Self::Serve(arguments) => commands::serve::run(context, arguments).await,
        }
    }

    /// Returns whether the command ends by itself when a signal asks it to.
    pub(crate) fn ends_by_itself(&self) -> bool {
        #[cfg(feature = "d1-gateway")]
        return matches!(self, Self::Serve(_));
        #[cfg(not(feature = "d1-gateway"))]
        false
    }

    /// Returns how to continue after an interruption, for a command that keeps its finished work.
    pub(crate) fn resume_hint(&self) -> Option<&'static str> {
        match self {
            Self::Push(_) | Self::Copy(_) | Self::Repair(_) | Self::Import(_) | Self::Attach(_) => {
                Some("run the same command again: it sends only the missing content")
            }
            Self::Catalog(_) => Some("run the same command again: it reads only the missing artifacts"),
            Self::Mirror(_) => Some("run the same command again: it copies only missing and moved tags"),
            Self::Pull(_) => Some("run the same command again: it keeps the files that are complete"),
            #[cfg(feature = "d1-client")]
            Self::Fetch(_) => Some("run the same command again: it keeps the files that are complete"),
            #[cfg(feature = "d1-client")]
            Self::Replicate(_) => Some("run the same command again: it does only the missing work"),
            _ => None,
        }
    }
}
