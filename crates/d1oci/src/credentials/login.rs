//! Stores and removes logins.

use std::fmt;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use distribution_client::{Credential, Secret};
use registry_backend::Result;

use super::auth_file::AuthFile;
use super::files::credential_files;
use super::helper::Helper;
use super::key::canonical_host;
use crate::environment::Environment;
use crate::failure::Failure;

/// The longest password or token in bytes.
pub(crate) const LONGEST_SECRET: u64 = 64 * 1024;

/// The place of a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    /// With the helper of this name.
    Helper(String),
    /// In this file, readable for everyone who may read the file.
    File(PathBuf),
}

/// Stores a login where the first credential file says.
///
/// # Errors
///
/// If no place for such a file is known, or the file or the helper fails.
pub(crate) async fn store(
    environment: &Environment,
    host: &str,
    credential: &Credential,
) -> Result<Stored, Failure> {
    let path = first_file(environment)?;
    let host = canonical_host(host);
    if let Some(name) = helper_of(&AuthFile::read(&path)?, &host) {
        Helper::new(&name)?.store(&host, credential).await?;
        // An old login in the file would stay there in the open.
        AuthFile::update(&path, |file| Ok(file.remove(&host)))?;
        return Ok(Stored::Helper(name));
    }
    AuthFile::update(&path, |file| {
        file.set(&host, credential);
        Ok(true)
    })?;
    Ok(Stored::File(path))
}

/// Removes the login from the place where [`store`] would put one. Returns the places that had one.
///
/// # Errors
///
/// As [`store`].
pub(crate) async fn remove(environment: &Environment, host: &str) -> Result<Vec<Stored>, Failure> {
    let path = first_file(environment)?;
    let host = canonical_host(host);
    let mut places = Vec::new();
    if !path.exists() {
        return Ok(places);
    }
    if let Some(name) = helper_of(&AuthFile::read(&path)?, &host) {
        let helper = Helper::new(&name)?;
        // Some helpers fail when they are asked to erase a login that they do not have.
        if helper.get(&host).await?.is_some() {
            helper.erase(&host).await?;
            places.push(Stored::Helper(name));
        }
    }
    if AuthFile::update(&path, |file| Ok(file.remove(&host)))? {
        places.push(Stored::File(path));
    }
    Ok(places)
}

fn first_file(environment: &Environment) -> Result<PathBuf, Failure> {
    credential_files(environment).into_iter().next().ok_or_else(|| {
        Failure::usage("cannot store a login: the home directory is unknown")
            .with_hint("set `DOCKER_CONFIG` to a directory, or `REGISTRY_AUTH_FILE` to a file")
    })
}

fn helper_of(file: &AuthFile, host: &str) -> Option<String> {
    let name = file.own_helper(host).or_else(|| file.general_helper());
    name.filter(|name| !name.is_empty()).map(str::to_owned)
}

impl Stored {
    /// Returns the path, if it is a file.
    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Helper(_) => None,
        }
    }
}

impl fmt::Display for Stored {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Helper(name) => write!(formatter, "the credential helper `{name}`"),
            Self::File(path) => write!(formatter, "`{}`", path.display()),
        }
    }
}

/// Reads a secret up to the end of standard input, without the end of its line.
pub(crate) fn secret_of_stdin() -> Result<Secret, Failure> {
    let mut text = String::new();
    io::stdin().lock().take(LONGEST_SECRET + 1).read_to_string(&mut text).map_err(Failure::input)?;
    if text.len() as u64 > LONGEST_SECRET {
        return Err(Failure::usage(format!(
            "expected at most {LONGEST_SECRET} bytes on standard input, found more"
        )));
    }
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err(Failure::usage("expected a password on standard input, found nothing"));
    }
    if text.contains(['\n', '\r', '\0']) {
        return Err(Failure::usage("expected a password of one line on standard input, found more lines"));
    }
    Ok(Secret::new(text))
}
