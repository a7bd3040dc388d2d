//! `d1oci login`: the account for a registry.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use distribution_client::{Credential, CredentialSource, Registry, Secret};
use oci_model::RepositoryName;
use registry_backend::{Error, ErrorKind};
use serde::Serialize;

use crate::context::Context;
use crate::credentials::{self, LONGEST_SECRET, Stored, secret_of_stdin};
use crate::failure::{Failure, backend_status, tls_hint};
use crate::files::while_reading;
use crate::registries::{RegistryPlace, Typed, is_this_machine, parse_username};

/// Log in to a registry.
///
/// If the registry accepts name and password, they are stored where Docker and `oras` store theirs: in `$REGISTRY_AUTH_FILE` if it
/// is set, else in Docker's `config.json`, or with the credential helper that the file names. Without `--password-stdin`, the command
/// prompts for the password on the terminal.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci login ghcr.io -u octocat\n\
                        Example: echo ${QUAY_PAT} | d1oci login quay.io -u 'dataone+dataone' --password-stdin")]
pub(crate) struct Arguments {
    /// The registry, such as `quay.io` or `localhost:5000`.
    #[arg(value_name = "HOST", value_parser = parse_host)]
    host: String,
    /// The user name; a robot account has a name such as `namespace+robot`.
    #[arg(short, long, value_name = "NAME", value_parser = parse_username)]
    username: Option<String>,
    /// The password or token. Other users of the machine can see it: `--password-stdin` is safer.
    #[arg(short, long, value_name = "PASSWORD", conflicts_with = "password_stdin", requires = "username")]
    password: Option<Typed>,
    /// Read the password or token from standard input.
    #[arg(long, requires = "username")]
    password_stdin: bool,
    /// Read an identity token from standard input; it replaces name and password.
    #[arg(long, conflicts_with_all = ["username", "password", "password_stdin"])]
    identity_token_stdin: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LoggedIn {
    registry: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    stored_in: String,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<(), Failure> {
    let printer = context.printer;
    let place = context.registries.place(&arguments.host)?;
    if place.client.speaks_plainly_to(&arguments.host) && !is_this_machine(&arguments.host) {
        printer.warning(format_args!(
            "the connection to {} has no TLS: anyone on the way can read the password",
            arguments.host
        ));
    }
    if arguments.password.is_some() {
        printer.warning("other users can see a password on the command line: use `--password-stdin`");
    }
    let credential = credential(&arguments).await?;
    let was_asked = check(context, &place, &arguments.host, credential.clone()).await?;
    if !was_asked {
        printer.warning(format_args!(
            "{} did not ask for a login, so this login is not checked",
            arguments.host
        ));
    }
    let environment = &context.registries.environment;
    let stored = credentials::store(environment, &arguments.host, &credential).await?;
    if let Some(path) = stored.file() {
        printer.warning(format_args!(
            "the login is stored unencrypted in `{}`; a credential helper stores it safely (docs/configuration.md)",
            path.display()
        ));
    }
    report(context, arguments.host, &credential, &stored)
}

fn report(
    context: &Context,
    registry: String,
    credential: &Credential,
    stored: &Stored,
) -> Result<(), Failure> {
    let username = match credential {
        Credential::Password { username, .. } => Some(username.clone()),
        _ => None,
    };
    let result = LoggedIn { registry, username, stored_in: stored.to_string().replace('`', "") };
    context.printer.done(&result, |result, lines| match &result.username {
        Some(username) => lines.add(format_args!("Logged in to {} as {username}", result.registry)),
        None => lines.add(format_args!("Logged in to {}", result.registry)),
    })
}

async fn credential(arguments: &Arguments) -> Result<Credential, Failure> {
    if arguments.identity_token_stdin {
        return Ok(Credential::IdentityToken(while_reading(secret_of_stdin).await?));
    }
    let (username, password) = match (&arguments.username, &arguments.password) {
        (Some(username), Some(Typed(password))) => (username.clone(), password.clone()),
        (Some(username), None) if arguments.password_stdin => {
            (username.clone(), while_reading(secret_of_stdin).await?)
        }
        (username, _) => ask(&arguments.host, username.as_deref())?,
    };
    if password.reveal().is_empty() {
        return Err(Failure::usage("the password is empty"));
    }
    Ok(Credential::Password { username, password })
}

/// Prompts on the terminal.
fn ask(host: &str, username: Option<&str>) -> Result<(String, Secret), Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::usage("cannot prompt for a password: stdin is not a terminal").with_hint(
            match username {
                Some(name) => {
                    format!("pass it on standard input: `… | d1oci login {host} -u {name} --password-stdin`")
                }
                None => format!(
                    "name the user with `-u`, and pass the password to `d1oci login {host} --password-stdin`"
                ),
            },
        ));
    }
    let failed = |error| Failure::file("read", Path::new("/dev/tty"), error);
    let username = match username {
        Some(username) => username.to_owned(),
        None => {
            let mut terminal = io::stderr().lock();
            write!(terminal, "Username: ").and_then(|()| terminal.flush()).map_err(failed)?;
            let mut line = String::new();
            io::stdin().lock().take(LONGEST_SECRET).read_line(&mut line).map_err(failed)?;
            parse_username(line.trim()).map_err(Failure::usage)?
        }
    };
    let password = rpassword::prompt_password("Password: ").map_err(failed)?;
    Ok((username, Secret::new(password)))
}

/// Checks that the registry accepts the login; returns whether it asked for one.
async fn check(
    context: &Context,
    place: &RegistryPlace,
    host: &str,
    credential: Credential,
) -> Result<bool, Failure> {
    let was_asked = Arc::new(AtomicBool::new(false));
    let source = Shown { credential, was_asked: was_asked.clone() };
    let options = place.client.clone().with_credentials(source);
    context.printer.status(format_args!("asking {host}"));
    let profile = place.profile();
    let hint = profile.login.hint;
    let registry = Registry::new(host, profile, &options)?;
    registry.check_login().await.map_err(|error| refused(error, hint))?;
    Ok(was_asked.load(Ordering::Relaxed))
}

fn refused(error: Error, hint: Option<&'static str>) -> Failure {
    let hint = match error.kind() {
        ErrorKind::Denied => hint.unwrap_or("check name and password: nothing was stored"),
        _ => tls_hint(&error).unwrap_or(
            "`--plain-http` is for a registry without TLS, `--plain-http=false` for one with TLS on this machine, \
             `--ca-file` for one with an authority of its own",
        ),
    };
    Failure::new(backend_status(&error), error).with_hint(hint)
}

/// The login to check, and whether the registry asked for it.
#[derive(Debug)]
struct Shown {
    credential: Credential,
    was_asked: Arc<AtomicBool>,
}

#[async_trait]
impl CredentialSource for Shown {
    async fn credential(
        &self,
        _host: &str,
        _repository: Option<&RepositoryName>,
    ) -> registry_backend::Result<Credential> {
        self.was_asked.store(true, Ordering::Relaxed);
        Ok(self.credential.clone())
    }
}

/// Reads a registry's host; a scheme before it and a slash behind it are allowed.
pub(super) fn parse_host(text: &str) -> Result<String, String> {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or(text);
    let host = host.strip_suffix('/').unwrap_or(host);
    match format!("{host}/x").parse::<oci_model::Reference>() {
        Ok(oci_model::Reference { location: oci_model::Location::Registry { host: found, .. }, .. })
            if found == host =>
        {
            Ok(host.to_ascii_lowercase())
        }
        _ => Err("expected a registry's host, such as `quay.io` or `localhost:5000`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_as_people_copy_them() {
        for (text, expected) in [
            ("quay.io", Some("quay.io")),
            ("https://Quay.io/", Some("quay.io")),
            ("localhost:5000", Some("localhost:5000")),
            ("[::1]:5000", Some("[::1]:5000")),
            ("quay.io/namespace", None),
            ("https://quay.io/v2/", None),
            ("quay", None),
            ("", None),
            ("user@quay.io", None),
        ] {
            assert_eq!(parse_host(text).ok().as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn names_have_no_colon() {
        assert!(parse_username("dataone+dataone").is_ok());
        for text in ["", "a:b", "a\nb"] {
            assert!(parse_username(text).is_err(), "{text}");
        }
    }
}
