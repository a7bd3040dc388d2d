//! The command line: what can be typed.

use clap::{Args, Parser, Subcommand};

use crate::commands;
use crate::output::Format;

/// Stores DataONE data packages in OCI registries and image layouts.
///
/// A REFERENCE names a repository and mostly one artifact in it: `oci:DIRECTORY:TAG` for an image layout on disk,
/// `s3://BUCKET/PREFIX:TAG` for one in a bucket, `ghcr.io/OWNER/NAME:TAG` for a registry; `@DIGEST` takes the place of `:TAG`.
#[derive(Debug, Parser)]
#[command(
    name = "d1oci",
    version,
    propagate_version = true,
    disable_help_subcommand = true,
    after_help = "Exit codes: 0 done; 1 content is invalid; 2 usage; 3 not found; 4 denied; 5 network or registry; 6 local files.\n\n\
                  Example: d1oci push oci:store:v1 ./my-bag && d1oci pull oci:store:v1 -o copy"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalOptions,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
pub(crate) struct GlobalOptions {
    /// Form of results on standard output.
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORM",
        help_heading = "Global options"
    )]
    pub(crate) format: Format,
    /// Say nothing but results, warnings and errors.
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = "Global options")]
    pub(crate) quiet: bool,
    /// Say more: each blob (-v), each request (-vv).
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Global options")]
    pub(crate) verbose: u8,
    /// Show no progress.
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) no_progress: bool,
    /// Use this backend instead of the one that fits best; `d1oci backends` lists them.
    #[arg(long, global = true, value_name = "NAME", help_heading = "Global options")]
    pub(crate) backend: Option<String>,
    #[cfg(feature = "distribution-client")]
    #[command(flatten)]
    pub(crate) registry: crate::registries::RegistryOptions,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Push(commands::push::Arguments),
    Pull(commands::pull::Arguments),
    Ls(commands::ls::Arguments),
    Cat(commands::cat::Arguments),
    Verify(commands::verify::Arguments),
    Inspect(commands::inspect::Arguments),
    Find(commands::find::Arguments),
    History(commands::history::Arguments),
    Manifest(commands::manifest::Arguments),
    Discover(commands::discover::Arguments),
    Attach(commands::attach::Arguments),
    Tags(commands::tags::Arguments),
    Resolve(commands::resolve::Arguments),
    Tag(commands::tag::Arguments),
    Delete(commands::delete::Arguments),
    Prune(commands::prune::Arguments),
    Copy(commands::copy::Arguments),
    Export(commands::export::Arguments),
    Import(commands::import::Arguments),
    #[cfg(feature = "d1-client")]
    Fetch(commands::fetch::Arguments),
    #[cfg(feature = "d1-client")]
    Replicate(commands::replicate::Arguments),
    Bag(commands::bag::Arguments),
    #[cfg(feature = "distribution-client")]
    Login(commands::login::Arguments),
    #[cfg(feature = "distribution-client")]
    Logout(commands::logout::Arguments),
    Backends(commands::backends::Arguments),
    Completions(commands::completions::Arguments),
    Man(commands::man::Arguments),
}
