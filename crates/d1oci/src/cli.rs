//! The command line, and the command that each of its verbs runs.

use std::ffi::OsString;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::commands;
use crate::context::{Context, GlobalOptions};
use crate::failure::Failure;
use crate::typed::Typed;

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

/// Variables of the environment, and what they do.
pub(crate) const ENVIRONMENT: [(&str, &str); 16] = [
    ("D1OCI_CONFIG", "the configuration file"),
    (
        "D1OCI_USERNAME_HOST, D1OCI_PASSWORD_HOST",
        "name and password for one registry, such as D1OCI_PASSWORD_QUAY_IO",
    ),
    ("D1OCI_REGISTRY, D1OCI_USERNAME, D1OCI_PASSWORD", "a registry, and name and password for it"),
    ("D1OCI_DATAONE_TOKEN", "the token of the DataONE portal, for private objects"),
    ("D1OCI_VECTORS", "the widest vector instructions for checksums: none, 128, avx2 or avx512"),
    ("REGISTRY_AUTH_FILE", "the file with logins that comes first"),
    ("DOCKER_CONFIG", "the directory of Docker's config.json, instead of ~/.docker"),
    ("XDG_CONFIG_HOME", "the directory of d1oci/config.toml, instead of ~/.config"),
    ("XDG_CACHE_HOME", "the directory of d1oci/catalogs, instead of ~/.cache"),
    ("XDG_STATE_HOME", "the directory of d1oci/uploads, instead of ~/.local/state"),
    ("TMPDIR", "the directory for large temporary files"),
    ("SOURCE_DATE_EPOCH", "the time of creation of artifacts, in seconds since 1970"),
    ("https_proxy, http_proxy, all_proxy, no_proxy", "proxies, as curl reads them"),
    ("AWS_*, GOOGLE_*, AZURE_*", "logins for buckets (docs/buckets.md)"),
    ("SSL_CERT_FILE, SSL_CERT_DIR", "the trusted authorities, instead of those of the system"),
    ("COLUMNS", "the width of help"),
];

/// Returns the command line with every subcommand built. The help of a subcommand leaves out the options of all commands, which the
/// help of the program explains once.
pub(crate) fn command() -> clap::Command {
    let variables: String = ENVIRONMENT.iter().map(|(name, about)| format!("\n  {name}: {about}")).collect();
    let mut command = Cli::command();
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    command = command.after_long_help(format!("{after}\n\nEnvironment variables:{variables}"));
    command.build();
    command.mut_subcommands(without_global_options)
}

fn without_global_options(command: clap::Command) -> clap::Command {
    let hidden = |argument: clap::Arg| match argument.is_global_set() {
        true => argument.hide(true),
        false => argument,
    };
    let after = command.get_after_help().map(|after| format!("{after}\n\n")).unwrap_or_default();
    command
        .mut_args(hidden)
        .after_help(format!("{after}`d1oci --help` explains the options of all commands."))
        .mut_subcommands(without_global_options)
}

impl Cli {
    /// Reads a command line, and the words of it that advice repeats.
    ///
    /// # Errors
    ///
    /// If it is not one, or asks for help.
    pub(crate) fn read(arguments: &[OsString]) -> Result<(Self, Typed), clap::Error> {
        let mut command = command();
        let matches = command.try_get_matches_from_mut(arguments)?;
        let cli = Self::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
        Ok((cli.settled(), Typed::of(&matches)))
    }

    /// Returns the command line without the options that the command reads itself: `login` checks a login before it counts.
    fn settled(mut self) -> Self {
        #[cfg(feature = "distribution-client")]
        if matches!(self.command, Command::Login(_)) {
            self.global.registry.forget_login();
        }
        if self.global.debug {
            self.global.verbose = self.global.verbose.max(2);
        }
        self
    }
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
    Show(commands::show::Arguments),
    Inspect(commands::inspect::Arguments),
    Find(commands::find::Arguments),
    History(commands::history::Arguments),
    Catalog(commands::catalog::Arguments),
    Manifest(commands::manifest::Arguments),
    Blob(commands::blob::Arguments),
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
    Backup(commands::backup::BackupArguments),
    Restore(commands::backup::RestoreArguments),
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
    #[command(hide = true)]
    Complete(commands::complete::Arguments),
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
            Self::Show(arguments) => commands::show::run(context, arguments).await,
            Self::Inspect(arguments) => commands::inspect::run(context, arguments).await,
            Self::Find(arguments) => commands::find::run(context, arguments).await,
            Self::History(arguments) => commands::history::run(context, arguments).await,
            Self::Catalog(arguments) => commands::catalog::run(context, arguments).await,
            Self::Manifest(arguments) => commands::manifest::run(context, arguments).await,
            Self::Blob(arguments) => commands::blob::run(context, arguments).await,
            Self::Discover(arguments) => commands::discover::run(context, arguments).await,
            Self::Attach(arguments) => commands::attach::run(context, arguments).await,
            Self::Tags(arguments) => commands::tags::run(context, arguments).await,
            Self::Resolve(arguments) => commands::resolve::run(context, arguments).await,
            Self::Tag(arguments) => commands::tag::run(context, arguments).await,
            Self::Delete(arguments) => commands::delete::run(context, arguments).await,
            Self::Prune(arguments) => commands::prune::run(context, arguments).await,
            Self::Copy(arguments) => commands::copy::run(context, arguments).await,
            Self::Mirror(arguments) => commands::mirror::run(context, arguments).await,
            Self::Backup(arguments) => commands::backup::backup(context, arguments).await,
            Self::Restore(arguments) => commands::backup::restore(context, arguments).await,
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
            Self::Complete(arguments) => commands::complete::run(context, arguments, Cli::command()).await,
            Self::Man(arguments) => commands::man::run(context, &arguments, command()),
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
            Self::Mirror(_) | Self::Backup(_) | Self::Restore(_) => {
                Some("run the same command again: it copies only missing and moved tags")
            }
            Self::Pull(_) => Some("run the same command again: it keeps the files that are complete"),
            #[cfg(feature = "d1-client")]
            Self::Fetch(_) => Some("run the same command again: it keeps the files that are complete"),
            #[cfg(feature = "d1-client")]
            Self::Replicate(_) => Some("run the same command again: it does only the missing work"),
            _ => None,
        }
    }
}
