//! `d1oci logout`: removes a login.

use serde::Serialize;

use crate::context::Context;
use crate::credentials::{self, CredentialPlaces};
use crate::failure::Failure;

/// Log out of a registry: remove the login that `d1oci login` stored.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci logout quay.io")]
pub(crate) struct Arguments {
    /// The registry.
    #[arg(value_name = "HOST", value_parser = super::login::parse_host)]
    host: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LoggedOut {
    registry: String,
    removed_from: Vec<String>,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<(), Failure> {
    let environment = &context.registries.environment;
    let removed = credentials::remove(environment, &arguments.host).await?;
    let login = context.registries.place(&arguments.host)?.profile().login;
    let places = CredentialPlaces::new(environment, None, &login, &arguments.host, context.printer)?;
    let left = places.find(None).await?;
    if let Some((_, place)) = left {
        context.printer.warning(format_args!("{place} still has a login for {}", arguments.host));
    }
    let removed_from = removed.iter().map(|place| place.to_string().replace('`', "")).collect();
    let result = LoggedOut { registry: arguments.host, removed_from };
    context.printer.done(&result, |result, lines| match result.removed_from.as_slice() {
        [] => lines.add(format_args!("There was no login for {}", result.registry)),
        _ => lines.add(format_args!("Logged out of {}", result.registry)),
    })
}
