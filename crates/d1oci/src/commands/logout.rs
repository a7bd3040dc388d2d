//! `d1oci logout`: forgetting a login.

use serde::Serialize;

use crate::context::Context;
use crate::credentials::{self, CredentialPlaces};
use crate::failure::Failure;

/// Log out of a registry: forget what `d1oci login` stored.
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
    let places = CredentialPlaces::new(environment, None, &arguments.host, context.printer)?;
    let left = places.find(None).await?;
    if let Some((_, place)) = left {
        context.printer.warning(format_args!("{place} still has a login for {}", arguments.host));
    }
    let removed_from = removed.iter().map(|place| place.to_string().replace('`', "")).collect();
    let result = LoggedOut { registry: arguments.host, removed_from };
    context.printer.result(&result, |result| match result.removed_from.as_slice() {
        [] => format!("There was no login for {}", result.registry),
        _ => format!("Logged out of {}", result.registry),
    })
}
