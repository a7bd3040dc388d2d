//! The configuration file: settings of single registries and buckets, and of DataONE nodes.

#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
mod bucket;
mod host;
mod units;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use distribution_client::Profile;
use serde::Deserialize;
use serde::de::Error as _;

use crate::environment::Environment;
use crate::failure::Failure;
use crate::files::read_regular_text;
#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
use bucket::{BucketName, BucketSettings};
pub(crate) use host::HostSettings;
use units::{Attempts, Seconds};

/// The content of the configuration file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    #[serde(default)]
    host: BTreeMap<HostName, HostSettings>,
    #[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
    #[serde(default)]
    bucket: BTreeMap<BucketName, BucketSettings>,
    #[serde(default)]
    #[cfg_attr(not(feature = "d1-client"), expect(dead_code, reason = "the file is checked nevertheless"))]
    dataone: NodeSettings,
    #[serde(skip)]
    directory: PathBuf,
}

/// The settings of all nodes: a package leads from one node to others with unknown names.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[cfg_attr(not(feature = "d1-client"), expect(dead_code, reason = "the file is checked nevertheless"))]
pub(crate) struct NodeSettings {
    connect_timeout: Option<Seconds>,
    answer_timeout: Option<Seconds>,
    silence_timeout: Option<Seconds>,
    attempts: Option<Attempts>,
    patience: Option<Seconds>,
}

/// The largest file in bytes.
const LARGEST_FILE: u64 = 1024 * 1024;

impl Settings {
    /// Reads the file that `$D1OCI_CONFIG` names, which must exist, or else `d1oci/config.toml` in the directory for
    /// configuration files, if it exists.
    ///
    /// # Errors
    ///
    /// If the file cannot be read or understood. The error names the file, the line and the key, but no value: a value may be
    /// a password.
    pub(crate) fn load(environment: &Environment, profiles: &[Profile]) -> Result<Self, Failure> {
        let named = environment.path("D1OCI_CONFIG");
        let is_named = named.is_some();
        let Some(path) = named.or_else(|| environment.below_configuration_home("d1oci/config.toml")) else {
            return Ok(Self::default());
        };
        match read_regular_text(&path, LARGEST_FILE) {
            Ok(text) => Self::parse(&text, &path, profiles).map_err(Failure::usage),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !is_named => Ok(Self::default()),
            Err(error) => Err(Failure::file("read the configuration in", &path, error)),
        }
    }

    /// Returns the settings of a registry's host.
    pub(crate) fn host(&self, host: &str) -> Option<&HostSettings> {
        self.host.get(&HostName(host.to_ascii_lowercase()))
    }

    /// Returns the settings of the bucket in a URL such as `s3://bucket/prefix`.
    #[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
    pub(crate) fn bucket(&self, url: &str) -> Option<&BucketSettings> {
        self.bucket.get(&BucketName::of(url)?)
    }

    /// Returns the settings of DataONE nodes.
    #[cfg(feature = "d1-client")]
    pub(crate) fn dataone(&self) -> &NodeSettings {
        &self.dataone
    }

    /// Returns a path in the file as an absolute one, or relative to where the program runs: it is relative to the file.
    pub(crate) fn resolve(&self, path: &Path) -> PathBuf {
        self.directory.join(path)
    }

    fn parse(text: &str, path: &Path, profiles: &[Profile]) -> Result<Self, String> {
        let fault = |span: Option<Range<usize>>, message: &str| {
            let place = span.map(|span| Place::find(text, &span)).unwrap_or_default();
            format!("`{}`{place}: {}", path.display(), without_value(message))
        };
        let mut settings: Self =
            toml::from_str(text).map_err(|error| fault(error.span(), error.message()))?;
        for (HostName(host), set) in &settings.host {
            set.check(host, profiles).map_err(|(span, message)| fault(Some(span), &message))?;
        }
        settings.directory = path.parent().map(Path::to_owned).unwrap_or_default();
        Ok(settings)
    }
}

#[cfg(feature = "d1-client")]
impl NodeSettings {
    /// Puts the settings into the options of a client.
    pub(crate) fn apply(&self, options: &mut d1_client::ClientOptions) {
        let times = &mut options.times;
        Seconds::replace(self.connect_timeout, &mut times.connect);
        Seconds::replace(self.answer_timeout, &mut times.answer);
        Seconds::replace(self.silence_timeout, &mut times.silence);
        Seconds::replace(self.patience, &mut options.retry.patience);
        if let Some(attempts) = self.attempts {
            options.retry.attempts = attempts.0;
        }
    }
}

/// A registry's host with its port, as in references.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct HostName(String);

impl<'de> Deserialize<'de> for HostName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        // In a reference, the part before a repository's name is a host.
        match format!("{text}/x").parse::<oci_model::Reference>() {
            Ok(oci_model::Reference { location: oci_model::Location::Registry { host, .. }, .. })
                if host == text =>
            {
                Ok(Self(text.to_ascii_lowercase()))
            }
            _ => Err(D::Error::custom(format!(
                "expected a registry's host, such as `quay.io` or `registry.example:5000`, found `{text}`"
            ))),
        }
    }
}

/// The place of a mistake in the file.
#[derive(Debug, Default)]
struct Place {
    line: usize,
    section: String,
    /// The key of the line, or its section.
    key: String,
}

impl Place {
    fn find(text: &str, span: &Range<usize>) -> Self {
        let before = text.get(..span.start).unwrap_or(text);
        let line = before.matches('\n').count();
        let line_at = |number: usize| text.lines().nth(number).unwrap_or_default().trim();
        let is_section = |line: &str| line.starts_with('[');
        let section = (0..line).rev().map(line_at).find(|line| is_section(line)).unwrap_or_default();
        let own = line_at(line);
        let (section, key) = match is_section(own) {
            true => ("", own),
            // The value is never shown: it may be a password. A line without a `=` may be the rest of one.
            false => (section, own.split_once('=').map_or("", |(key, _)| key)),
        };
        Self { line: line + 1, section: section.to_owned(), key: key.trim().chars().take(80).collect() }
    }
}

/// Returns a message of the parser in one line, without the text that it quotes: that may be a password.
fn without_value(message: &str) -> String {
    let message = message.replace('\n', " ");
    match (message.split_once("string \""), message.rsplit_once("\", expected")) {
        (Some((before, _)), Some((_, after))) => format!("{before}text, expected{after}"),
        _ => message,
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(formatter, ", line {}", self.line)?;
        }
        for part in [&self.section, &self.key].into_iter().filter(|part| !part.is_empty()) {
            write!(formatter, ", `{part}`")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
