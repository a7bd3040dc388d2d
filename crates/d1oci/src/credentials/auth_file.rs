//! One credential file in the form of Docker's `config.json` and Podman's `auth.json`.

use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use distribution_client::{Credential, Secret};
use registry_backend::{Error, ErrorKind, Result};
use serde::Serialize as _;
use serde_json::{Map, Value};

use super::key::{Key, stored_key};
use super::replace::{prepare, replace};
use crate::files::read_regular_text;

/// The content of a file. Unknown fields stay.
pub(crate) struct AuthFile {
    path: PathBuf,
    content: Map<String, Value>,
}

/// The largest file that is read, in bytes.
const LARGEST_FILE: u64 = 8 * 1024 * 1024;

/// The name with which Docker's programs mark an identity token where only a name and password have room.
pub(super) const IDENTITY_TOKEN_NAME: &str = "<token>";

/// The fields of an entry that make up a login.
const LOGIN_FIELDS: [&str; 5] = ["auth", "username", "password", "identitytoken", "registrytoken"];

/// Programs differ in whether they pad.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl AuthFile {
    /// Reads a file; a missing one counts as empty.
    ///
    /// # Errors
    ///
    /// [`Io`](ErrorKind::Io) if it cannot be read or has the wrong form. The error has nothing of its content.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = match read_regular_text(path, LARGEST_FILE) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(failure("read", path).caused_by(error)),
        };
        if text.trim().is_empty() {
            return Ok(Self { path: path.to_owned(), content: Map::new() });
        }
        let value: Value = serde_json::from_str(&text)
            .map_err(|error| failure("read", path).because("expected JSON").caused_by(error))?;
        let Value::Object(content) = value else {
            return Err(failure("read", path).because("expected a JSON object"));
        };
        Ok(Self { path: path.to_owned(), content })
    }

    /// Changes a file if `change` says that it changed something.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read); if it cannot be written.
    pub(crate) fn update(path: &Path, change: impl FnOnce(&mut Self) -> Result<bool>) -> Result<bool> {
        let _lock = prepare(path).map_err(|error| failure("write", path).caused_by(error))?;
        let mut file = Self::read(path)?;
        let changed = change(&mut file)?;
        if changed {
            replace(path, &file.serialize()).map_err(|error| failure("write", path).caused_by(error))?;
        }
        Ok(changed)
    }

    /// Returns the helper that is named for this host, and not for others.
    pub(crate) fn own_helper(&self, host: &str) -> Option<&str> {
        let helpers = self.content.get("credHelpers")?.as_object()?;
        let own = helpers.iter().find(|(key, _)| Key::parse(key).covers(host, None));
        own.and_then(|(_, name)| name.as_str())
    }

    /// Returns the helper for all hosts.
    pub(crate) fn general_helper(&self) -> Option<&str> {
        self.content.get("credsStore")?.as_str().filter(|name| !name.is_empty())
    }

    /// Returns the login under the most specific key for the repository.
    ///
    /// # Errors
    ///
    /// [`Io`](ErrorKind::Io) if it cannot be understood.
    pub(crate) fn login(&self, host: &str, repository: Option<&str>) -> Result<Option<Credential>> {
        let Some(auths) = self.content.get("auths").and_then(Value::as_object) else { return Ok(None) };
        let stored = stored_key(host);
        let mut matching: Vec<(usize, bool, &str, &Value)> = auths
            .iter()
            .filter_map(|(text, entry)| {
                let key = Key::parse(text);
                let covers = key.covers(host, repository);
                covers.then_some((key.path.len(), *text == stored, text.as_str(), entry))
            })
            .collect();
        // The longest path first, and among the ways to write one host the one that Docker writes.
        matching.sort_by_key(|(length, is_stored_key, ..)| std::cmp::Reverse((*length, *is_stored_key)));
        for (_, _, key, entry) in matching {
            let found = decode(entry).map_err(|reason| {
                failure("read", &self.path).because(format!("the login of `{key}` in it: {reason}"))
            })?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Stores a login.
    pub(crate) fn set(&mut self, host: &str, credential: &Credential) {
        let auths = object_in(&mut self.content, "auths");
        let entry = object_in(auths, &stored_key(host));
        LOGIN_FIELDS.iter().for_each(|field| drop(entry.remove(*field)));
        let mut put = |name: &str, secret: &str| entry.insert(name.to_owned(), Value::from(secret));
        match credential {
            Credential::Password { username, password } => {
                put("auth", &BASE64.encode(format!("{username}:{}", password.reveal())));
            }
            Credential::IdentityToken(token) => {
                put("identitytoken", token.reveal());
            }
            Credential::RegistryToken(token) => {
                put("registrytoken", token.reveal());
            }
            _ => {}
        }
    }

    /// Removes the logins of a host as a whole, however its key is written; those of single repositories stay.
    pub(crate) fn remove(&mut self, host: &str) -> bool {
        let Some(auths) = self.content.get_mut("auths").and_then(Value::as_object_mut) else { return false };
        let count = auths.len();
        auths.retain(|key, _| !Key::parse(key).covers(host, None));
        auths.len() < count
    }

    fn serialize(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // Docker indents by tabs, and a file that both write should not change its look each time.
        let formatter = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
        // A vector takes everything, and every value of JSON can be written.
        let _ = self.content.serialize(&mut serializer);
        bytes.push(b'\n');
        bytes
    }
}

/// Returns an object inside an object, after replacing any other value with an empty one.
fn object_in<'a>(object: &'a mut Map<String, Value>, name: &str) -> &'a mut Map<String, Value> {
    let value = object.entry(name.to_owned()).or_insert(Value::Null);
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(inner) => inner,
        _ => unreachable!("it was made an object"),
    }
}

/// Reads an entry of `auths` (docker/cli cli/config/configfile/file.go, `decodeAuth`; cli/config/types/authconfig.go).
fn decode(entry: &Value) -> Result<Option<Credential>, &'static str> {
    let text = |name: &str| entry.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    if let Some(token) = text("registrytoken") {
        return Ok(Some(Credential::RegistryToken(Secret::new(token))));
    }
    if let Some(token) = text("identitytoken") {
        return Ok(Some(Credential::IdentityToken(Secret::new(token))));
    }
    if let Some(auth) = text("auth") {
        let bytes = BASE64.decode(auth.trim()).map_err(|_| "`auth` is not base64")?;
        let pair = String::from_utf8(bytes).map_err(|_| "`auth` is not text")?;
        let (username, password) = pair.split_once(':').ok_or("`auth` has no colon")?;
        return Ok(Some(named(username, password.trim_end_matches('\0'))));
    }
    Ok(text("username").zip(text("password")).map(|(username, password)| named(username, password)))
}

/// Returns the credential for a name, which may be the mark of an identity token.
pub(super) fn named(username: &str, secret: &str) -> Credential {
    match username {
        IDENTITY_TOKEN_NAME => Credential::IdentityToken(Secret::new(secret)),
        _ => Credential::Password { username: username.to_owned(), password: Secret::new(secret) },
    }
}

fn failure(operation: &'static str, path: &Path) -> Error {
    Error::new(ErrorKind::Io, operation, format_args!("the credentials in `{}`", path.display()))
}

#[cfg(test)]
mod tests;
