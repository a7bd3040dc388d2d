//! The sources of credentials for a registry, and the place of a login.
//!
//! The first of these sources that has a credential for the registry counts:
//!
//! 1. the environment variables `D1OCI_USERNAME_HOST` and `D1OCI_PASSWORD_HOST`, named after the registry ([`environment`]);
//! 2. `D1OCI_USERNAME` and `D1OCI_PASSWORD`, if `D1OCI_REGISTRY` names the registry;
//! 3. the environment variable that the configuration file names for the registry (`password-variable`);
//! 4. the files of other programs ([`files`]), in this order: `$REGISTRY_AUTH_FILE`, Docker's `config.json` in
//!    `$DOCKER_CONFIG` or `~/.docker`, Podman's `auth.json` in `$XDG_RUNTIME_DIR/containers` and in
//!    `$XDG_CONFIG_HOME/containers` or `~/.config/containers`.
//!
//! Within a file: the helper that `credHelpers` names for the host, else the one that `credsStore` names, then `auths`.
//! A login is stored in the first of the files, by its helper if it names one.

mod auth_file;
mod environment;
mod files;
mod helper;
mod key;
mod login;
mod replace;
mod source;

pub(crate) use login::{LONGEST_SECRET, Stored, remove, secret_of_stdin, store};
pub(crate) use source::CredentialPlaces;
