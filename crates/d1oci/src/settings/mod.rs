//! The configuration file: what is set for single registries and for DataONE nodes.

mod host;
mod node;
mod units;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::Error as _;

use crate::environment::Environment;
use crate::failure::Failure;
pub(crate) use host::{BackendKind, HostSettings};
use node::NodeSettings;

/// What the configuration file says.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    #[serde(default)]
    host: BTreeMap<HostName, HostSettings>,
    #[serde(default)]
    #[cfg_attr(not(feature = "d1-client"), expect(dead_code, reason = "the file is checked all the same"))]
    dataone: NodeSettings,
    #[serde(skip)]
    directory: PathBuf,
}

/// The largest file that is read, in bytes.
const LARGEST_FILE: u64 = 1024 * 1024;

impl Settings {
    /// Reads the file that `$D1OCI_CONFIG` names, which has to be there, or else `d1oci/config.toml` in the directory for
    /// configuration files, if it is there.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or says what cannot be understood: then with its name, the line and the key.
    pub(crate) fn load(environment: &Environment) -> Result<Self, Failure> {
        let named = environment.path("D1OCI_CONFIG");
        let is_named = named.is_some();
        let Some(path) = named.or_else(|| environment.below_configuration_home("d1oci/config.toml")) else {
            return Ok(Self::default());
        };
        match fs::metadata(&path).and_then(|metadata| read(&path, metadata.len())) {
            Ok(text) => Self::parse(&text, &path).map_err(Failure::usage),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !is_named => Ok(Self::default()),
            Err(error) => Err(Failure::file("read the configuration in", &path, error)),
        }
    }

    /// Returns what is set for a registry's host.
    pub(crate) fn host(&self, host: &str) -> Option<&HostSettings> {
        self.host.get(&HostName(host.to_ascii_lowercase()))
    }

    /// Returns what is set for DataONE nodes.
    #[cfg(feature = "d1-client")]
    pub(crate) fn dataone(&self) -> &NodeSettings {
        &self.dataone
    }

    /// Returns a path of the file as it is meant: relative to the file.
    pub(crate) fn resolve(&self, path: &Path) -> PathBuf {
        self.directory.join(path)
    }

    fn parse(text: &str, path: &Path) -> Result<Self, String> {
        let mut settings: Self = toml::from_str(text).map_err(|error| {
            let place = error.span().map(|span| Place::find(text, &span)).unwrap_or_default();
            format!("`{}`{place}: {}", path.display(), error.message().replace('\n', " "))
        })?;
        settings.check_github_servers().map_err(|error| format!("`{}`, {error}", path.display()))?;
        settings.directory = path.parent().map(Path::to_owned).unwrap_or_default();
        Ok(settings)
    }

    /// Checks that GitHub's backend is told where the REST interface is: of ghcr.io alone it knows.
    fn check_github_servers(&self) -> Result<(), String> {
        let lacks_interface = |(host, settings): &(&HostName, &HostSettings)| {
            settings.backend() == Some(BackendKind::Ghcr) && !settings.has_api() && host.0 != "ghcr.io"
        };
        match self.host.iter().find(lacks_interface) {
            Some((HostName(host), _)) => Err(format!(
                "`[host.\"{host}\"]`: `backend = \"ghcr\"` goes with `api`, the URL of the server's REST interface"
            )),
            None => Ok(()),
        }
    }
}

fn read(path: &Path, size: u64) -> io::Result<String> {
    if size > LARGEST_FILE {
        return Err(io::Error::other(format!("it has more than {LARGEST_FILE} bytes")));
    }
    fs::read_to_string(path)
}

/// A registry's host with its port, as in references.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct HostName(String);

impl<'de> Deserialize<'de> for HostName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        // What stands in front of a repository's name in a reference is a host.
        match format!("{text}/x").parse::<oci_model::Reference>() {
            Ok(oci_model::Reference { location: oci_model::Location::Registry { host, .. }, .. })
                if host == text =>
            {
                Ok(Self(text.to_ascii_lowercase()))
            }
            _ => Err(D::Error::custom(format!(
                "`{text}` is not a registry's host, such as `quay.io` or `registry.example:5000`"
            ))),
        }
    }
}

/// Where in the file something is wrong.
#[derive(Debug, Default)]
struct Place {
    line: usize,
    section: String,
    text: String,
}

impl Place {
    fn find(text: &str, span: &Range<usize>) -> Self {
        let before = text.get(..span.start).unwrap_or(text);
        let line = before.matches('\n').count();
        let line_at = |number: usize| text.lines().nth(number).unwrap_or_default().trim();
        let is_section = |line: &str| line.starts_with('[');
        let section = (0..line).rev().map(line_at).find(|line| is_section(line)).unwrap_or_default();
        let own = line_at(line);
        let section = if is_section(own) { "" } else { section };
        Self { line: line + 1, section: section.to_owned(), text: own.chars().take(80).collect() }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(formatter, ", line {}", self.line)?;
        }
        for part in [&self.section, &self.text].into_iter().filter(|part| !part.is_empty()) {
            write!(formatter, ", `{part}`")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
