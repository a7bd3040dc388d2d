//! Finds the credential for one registry in the environment, in files and with helpers.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use distribution_client::{Credential, CredentialSource, LoginFacts};
use oci_model::RepositoryName;
use registry_backend::Result;
use tokio::sync::Mutex;

use super::auth_file::AuthFile;
use super::environment::environment_credential;
use super::files::credential_files;
use super::helper::Helper;
use super::key::canonical_host;
use crate::environment::Environment;
use crate::failure::Failure;
use crate::output::Printer;
use crate::settings::HostSettings;

/// The places that may have credentials for one registry, and the credentials found last.
pub(crate) struct CredentialPlaces {
    /// The registry's host, in its canonical form.
    host: String,
    environment: Option<(Credential, String)>,
    files: Vec<PathBuf>,
    printer: Printer,
    has_warned: AtomicBool,
    /// The credential of each repository, with the time of its look-up.
    kept: Mutex<HashMap<Option<RepositoryName>, (Instant, Credential)>>,
}

/// How long a credential is kept: parallel requests must not each start a helper, and tokens of helpers expire soon.
const KEPT_FOR: Duration = Duration::from_secs(15);

impl CredentialPlaces {
    /// Prepares to look; files and helpers are asked when a registry asks.
    ///
    /// # Errors
    ///
    /// If the environment has a password without its registry or without its user name.
    pub(crate) fn new(
        environment: &Environment,
        settings: Option<&HostSettings>,
        login: &LoginFacts,
        host: &str,
        printer: Printer,
    ) -> Result<Self, Failure> {
        let host = canonical_host(host);
        Ok(Self {
            environment: environment_credential(environment, &host, settings, login)?,
            host,
            files: credential_files(environment),
            printer,
            has_warned: AtomicBool::new(false),
            kept: Mutex::default(),
        })
    }

    /// Returns the credential for a repository, or for the registry as a whole, and the place that has it.
    ///
    /// # Errors
    ///
    /// If a file cannot be read, or the helper that it names for this registry fails.
    pub(crate) async fn find(
        &self,
        repository: Option<&RepositoryName>,
    ) -> Result<Option<(Credential, String)>> {
        if let Some((credential, variable)) = &self.environment {
            return Ok(Some((credential.clone(), format!("the environment variable {variable}"))));
        }
        for path in &self.files {
            if let Some(found) = self.find_in(path, repository).await? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    async fn find_in(
        &self,
        path: &Path,
        repository: Option<&RepositoryName>,
    ) -> Result<Option<(Credential, String)>> {
        let file = AuthFile::read(path)?;
        let host = &self.host;
        let of_helper = match file.own_helper(host) {
            Some("") => None,
            Some(name) => Helper::new(name)?.get(host).await?.map(|found| (found, name)),
            None => match file.general_helper() {
                Some(name) => self.ask_general_helper(name).await.map(|found| (found, name)),
                None => None,
            },
        };
        if let Some((credential, name)) = of_helper {
            return Ok(Some((credential, format!("the credential helper `{name}`"))));
        }
        let found = file.login(host, repository.map(RepositoryName::as_str))?;
        Ok(found.map(|credential| (credential, format!("`{}`", path.display()))))
    }

    /// Asks a helper that is named for all registries. If it does not work, that is a warning: many machines have such a
    /// helper, and most content is public.
    async fn ask_general_helper(&self, name: &str) -> Option<Credential> {
        let found = match Helper::new(name) {
            Ok(helper) => helper.get(&self.host).await,
            Err(error) => Err(error),
        };
        found.unwrap_or_else(|error| {
            if !self.has_warned.swap(true, Ordering::Relaxed) {
                self.printer.warning(error);
            }
            None
        })
    }
}

#[async_trait]
impl CredentialSource for CredentialPlaces {
    async fn credential(&self, host: &str, repository: Option<&RepositoryName>) -> Result<Credential> {
        if canonical_host(host) != self.host {
            return Ok(Credential::Anonymous);
        }
        let mut kept = self.kept.lock().await;
        let key = repository.cloned();
        if let Some((since, credential)) = kept.get(&key)
            && since.elapsed() < KEPT_FOR
        {
            return Ok(credential.clone());
        }
        let credential = match self.find(repository).await? {
            Some((credential, place)) => {
                tracing::debug!(host, place, "credential found");
                credential
            }
            None => {
                tracing::debug!(host, "no credential found");
                Credential::Anonymous
            }
        };
        kept.insert(key, (Instant::now(), credential.clone()));
        Ok(credential)
    }
}

impl fmt::Debug for CredentialPlaces {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("CredentialPlaces").field("host", &self.host).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::output::Format;

    /// Looks up a credential in a home directory with these files, and returns its user and its place.
    async fn found(
        files: &[(&str, &str)],
        variables: &[(&str, &str)],
        repository: &str,
    ) -> Result<Option<(String, String)>> {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().to_str().unwrap();
        for (path, text) in files {
            let path = home.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let variables: Vec<(&str, String)> =
            variables.iter().map(|(name, value)| (*name, value.replace('~', root))).collect();
        let variables = variables.iter().map(|(name, value)| (*name, value.as_str()));
        let environment = Environment::made_up(variables.chain([("HOME", root)]));
        let printer = Printer::new(Format::Text, true, false);
        let places =
            CredentialPlaces::new(&environment, None, &LoginFacts::default(), "quay.io", printer).unwrap();
        let repository: RepositoryName = repository.parse().unwrap();
        assert_eq!(places.credential("other.example", Some(&repository)).await?, Credential::Anonymous);
        let found = places.find(Some(&repository)).await?;
        let used = places.credential("quay.io", Some(&repository)).await?;
        assert_eq!(used, found.clone().map_or(Credential::Anonymous, |(credential, _)| credential));
        Ok(found.map(|(credential, place)| match credential {
            Credential::Password { username, .. } => (username, place.replace(root, "~")),
            other => panic!("{other:?}"),
        }))
    }

    const DOCKER: &str = ".docker/config.json";
    const RUNTIME: &str = "run/containers/auth.json";
    const PODMAN: &str = ".config/containers/auth.json";

    #[tokio::test]
    async fn the_first_place_that_has_one_gives_it() {
        let file =
            |user: &str| format!(r#"{{"auths":{{"quay.io":{{"username":"{user}","password":"p"}}}}}}"#);
        let (docker, runtime, podman, named) =
            (file("docker"), file("runtime"), file("podman"), file("named"));
        let files =
            [(PODMAN, podman.as_str()), (RUNTIME, &runtime), (DOCKER, &docker), ("named.json", &named)];
        let variables = [
            ("XDG_RUNTIME_DIR", "~/run"),
            ("REGISTRY_AUTH_FILE", "~/named.json"),
            ("D1OCI_REGISTRY", "quay.io"),
            ("D1OCI_USERNAME", "environment"),
            ("D1OCI_PASSWORD", "p"),
        ];
        for (files, variables, user, place) in [
            (&files[..0], &variables[..0], "", ""),
            (&files[..1], &variables[..1], "podman", "`~/.config/containers/auth.json`"),
            (&files[..2], &variables[..1], "runtime", "`~/run/containers/auth.json`"),
            (&files[..3], &variables[..1], "docker", "`~/.docker/config.json`"),
            (&files[..4], &variables[..2], "named", "`~/named.json`"),
            (&files[..4], &variables[..5], "environment", "the environment variable D1OCI_PASSWORD"),
        ] {
            let found = found(files, variables, "a/b").await.unwrap().unwrap_or_default();
            assert_eq!((found.0.as_str(), found.1.as_str()), (user, place));
        }
    }

    #[tokio::test]
    async fn a_namespace_has_its_own_login() {
        let text = r#"{"auths":{"quay.io":{"username":"u","password":"p"},"quay.io/a":{"username":"a","password":"p"}}}"#;
        for (repository, user) in [("a/b", "a"), ("b/a", "u")] {
            assert_eq!(found(&[(PODMAN, text)], &[], repository).await.unwrap().unwrap().0, user);
        }
    }

    #[tokio::test]
    async fn a_broken_helper_for_all_is_passed_over_and_one_for_this_registry_is_not() {
        let auths = r#""auths":{"quay.io":{"username":"u","password":"p"}}"#;
        let general = format!(r#"{{"credsStore":"is-not-installed",{auths}}}"#);
        assert_eq!(found(&[(DOCKER, &general)], &[], "a/b").await.unwrap().unwrap().0, "u");
        let own = format!(r#"{{"credHelpers":{{"quay.io":"is-not-installed"}},{auths}}}"#);
        let error = found(&[(DOCKER, &own)], &[], "a/b").await.unwrap_err();
        assert!(error.to_string().contains("docker-credential-is-not-installed"), "{error}");
        let none = format!(r#"{{"credsStore":"is-not-installed","credHelpers":{{"quay.io":""}},{auths}}}"#);
        assert_eq!(found(&[(DOCKER, &none)], &[], "a/b").await.unwrap().unwrap().0, "u");
    }
}
