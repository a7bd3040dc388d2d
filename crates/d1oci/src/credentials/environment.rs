//! Credentials in environment variables, for continuous integration.
//!
//! A variable gives its credential only to the registry that is named with it: a reference with a mistyped host must not get
//! a password.

use distribution_client::{Credential, LoginFacts, Secret};

use super::key::canonical_host;
use crate::environment::Environment;
use crate::failure::Failure;
use crate::settings::HostSettings;

/// Returns the credential that the environment holds for a registry, with the name of the variable.
///
/// # Errors
///
/// If there is a password without its registry or without its user name.
pub(crate) fn environment_credential(
    environment: &Environment,
    host: &str,
    settings: Option<&HostSettings>,
    login: &LoginFacts,
) -> Result<Option<(Credential, String)>, Failure> {
    if let Some(suffix) = host_suffix(host) {
        let (username, password) = (format!("D1OCI_USERNAME_{suffix}"), format!("D1OCI_PASSWORD_{suffix}"));
        if let Some(secret) = environment.text(&password) {
            let name = environment.text(&username);
            let name = name.or(login.default_username);
            return credential(host, name, secret, &username).map(|found| Some((found, password)));
        }
    }
    if let Some(secret) = environment.text("D1OCI_PASSWORD") {
        let registry = environment.text("D1OCI_REGISTRY").ok_or_else(|| {
            Failure::usage("D1OCI_PASSWORD is set, but D1OCI_REGISTRY does not say for which registry")
                .with_hint(format!("set `D1OCI_REGISTRY={host}` if it is for {host}"))
        })?;
        if canonical_host(registry) == canonical_host(host) {
            let name = environment.text("D1OCI_USERNAME").or(login.default_username);
            let found = credential(host, name, secret, "D1OCI_USERNAME")?;
            return Ok(Some((found, "D1OCI_PASSWORD".to_owned())));
        }
    }
    let Some((variable, name)) = settings.and_then(HostSettings::password_variable) else { return Ok(None) };
    let Some(secret) = environment.text(variable) else { return Ok(None) };
    let source = login.token_sources.iter().find(|source| source.variable == variable);
    let name = name.or(source.map(|source| source.username)).or(login.default_username);
    let found = credential(host, name, secret, "`username` in the configuration file")?;
    Ok(Some((found, variable.to_owned())))
}

fn credential(
    host: &str,
    username: Option<&str>,
    secret: &str,
    place_of_name: &str,
) -> Result<Credential, Failure> {
    let Some(username) = username else {
        return Err(Failure::usage(format!(
            "the environment has a password for {host}, but no user name for it: set {place_of_name}"
        )));
    };
    Ok(Credential::Password { username: username.to_owned(), password: Secret::new(secret) })
}

/// Returns the end of the names of a host's variables: in capital letters, a dot as `_`, a hyphen as `__`, the colon
/// before a port as `___`; so no two hosts share it. Hosts for which that does not hold have none.
fn host_suffix(host: &str) -> Option<String> {
    let (name, port) = host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port)));
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && !label.contains("--")
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    if !name.split('.').all(is_label) {
        return None;
    }
    let name = name.to_ascii_uppercase().replace('-', "__").replace('.', "_");
    match port {
        None => Some(name),
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => Some(format!("{name}___{port}")),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use distribution_client::{Profile, TokenSource};

    use super::*;

    /// A registry that ignores names where a token says who it is, and one that does not.
    fn login(host: &str) -> LoginFacts {
        let mut login = Profile::generic().login;
        if host == "ghcr.io" {
            login.default_username = Some("token");
        }
        login.token_sources = &[TokenSource { variable: "CI_JOB_TOKEN", username: "gitlab-ci-token" }];
        login
    }

    fn found(variables: &[(&str, &str)], host: &str) -> Option<(String, String, String)> {
        let environment = Environment::made_up(variables.iter().copied());
        let (credential, variable) =
            environment_credential(&environment, host, None, &login(host)).unwrap()?;
        let Credential::Password { username, password } = credential else { panic!() };
        Some((username, password.reveal().to_owned(), variable))
    }

    fn some(username: &str, password: &str, variable: &str) -> Option<(String, String, String)> {
        Some((username.into(), password.into(), variable.into()))
    }

    #[test]
    fn variables_are_named_after_hosts() {
        for (host, expected) in [
            ("quay.io", Some("QUAY_IO")),
            ("my-registry.example:5000", Some("MY__REGISTRY_EXAMPLE___5000")),
            ("localhost:5000", Some("LOCALHOST___5000")),
            ("[::1]:5000", None),
            ("a-.example", None),
            ("a--b.example", None),
        ] {
            assert_eq!(host_suffix(host).as_deref(), expected, "{host}");
        }
    }

    #[test]
    fn a_credential_is_for_the_registry_that_is_named_with_it() {
        let own = [("D1OCI_USERNAME_QUAY_IO", "u"), ("D1OCI_PASSWORD_QUAY_IO", "p")];
        let general = [("D1OCI_REGISTRY", "QUAY.io"), ("D1OCI_USERNAME", "g"), ("D1OCI_PASSWORD", "q")];
        assert_eq!(found(&own, "quay.io"), some("u", "p", "D1OCI_PASSWORD_QUAY_IO"));
        assert_eq!(found(&own, "quay-io.example"), None);
        assert_eq!(found(&general, "quay.io"), some("g", "q", "D1OCI_PASSWORD"));
        assert_eq!(found(&general, "quay.oi"), None);
        let both: Vec<_> = general.into_iter().chain(own).collect();
        assert_eq!(found(&both, "quay.io"), some("u", "p", "D1OCI_PASSWORD_QUAY_IO"));
        assert_eq!(found(&[], "quay.io"), None);
    }

    #[test]
    fn a_name_is_needed_where_the_profile_has_none() {
        assert_eq!(
            found(&[("D1OCI_PASSWORD_GHCR_IO", "p")], "ghcr.io"),
            some("token", "p", "D1OCI_PASSWORD_GHCR_IO")
        );
        for variables in [
            vec![("D1OCI_PASSWORD_QUAY_IO", "s3cret")],
            vec![("D1OCI_PASSWORD", "s3cret"), ("D1OCI_REGISTRY", "quay.io")],
            vec![("D1OCI_PASSWORD", "s3cret"), ("D1OCI_USERNAME", "u")],
        ] {
            let environment = Environment::made_up(variables);
            let failure =
                environment_credential(&environment, "quay.io", None, &login("quay.io")).unwrap_err();
            assert!(!format!("{failure} {failure:?}").contains("s3cret"));
        }
    }

    #[test]
    fn other_programs_variables_are_read_only_when_the_configuration_names_them() {
        let environment = Environment::made_up([("GITHUB_TOKEN", "t")]);
        assert!(environment_credential(&environment, "ghcr.io", None, &login("ghcr.io")).unwrap().is_none());
        let settings: HostSettings = toml::from_str("password-variable = \"GITHUB_TOKEN\"").unwrap();
        let (credential, variable) =
            environment_credential(&environment, "ghcr.io", Some(&settings), &login("ghcr.io"))
                .unwrap()
                .unwrap();
        assert_eq!(variable, "GITHUB_TOKEN");
        assert!(matches!(credential, Credential::Password { username, .. } if username == "token"));
        let failure = environment_credential(&environment, "registry.example", Some(&settings), &login(""))
            .unwrap_err();
        assert!(failure.to_string().contains("`username`"), "{failure}");
        let environment = Environment::made_up([("CI_JOB_TOKEN", "t")]);
        let settings: HostSettings = toml::from_str("password-variable = \"CI_JOB_TOKEN\"").unwrap();
        let (credential, _) =
            environment_credential(&environment, "gitlab.example", Some(&settings), &login(""))
                .unwrap()
                .unwrap();
        assert!(matches!(credential, Credential::Password { username, .. } if username == "gitlab-ci-token"));
    }
}
