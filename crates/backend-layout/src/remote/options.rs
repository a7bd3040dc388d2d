//! The options of buckets, and the checks of settings that name a bad one instead of failing later.

use std::fmt;
use std::time::Duration;

use http_transfer::{Proxies, RetryRules, Url, WaitObserver, is_loopback};

use crate::bucket::Warnings;

/// How to talk to buckets.
///
/// ```
/// let mut options = backend_layout::BucketOptions::default();
/// options.settings.push(("aws_region".to_owned(), "us-west-2".to_owned()));
/// options.parallel = 16;
/// assert!(!format!("{options:?}").contains("us-west-2"), "values may be secret");
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct BucketOptions {
    /// Settings under the names of [`object_store`], such as `aws_region` or `google_service_account`. Each kind of bucket ignores
    /// those of others. Of several with one name, the last counts.
    pub settings: Vec<(String, String)>,
    /// The time limit for a connection, TLS included.
    pub connect: Duration,
    /// The time limit for the next bytes of an answer, and for the connection taking more of the content.
    pub silence: Duration,
    /// The time limit for the answer to content that was sent: a store may put thousands of parts together before.
    pub commit: Duration,
    /// When to repeat a request. Only attempts without progress count.
    pub retry: RetryRules,
    /// The most requests in flight.
    pub parallel: usize,
    /// Blobs above this size in bytes are sent in parts of this size, or larger ones if there would be too many.
    pub part_bytes: u64,
    /// The `User-Agent` header.
    pub user_agent: String,
    /// Certificates of further trusted authorities in PEM, beside those of the system.
    pub extra_authorities: Vec<Vec<u8>>,
    /// The proxies to use. None stands before this machine.
    pub proxies: Proxies,
    /// Learns of waits between attempts.
    pub waits: WaitObserver,
    /// Learns of faults that do not end an operation, such as an index that is near its limit.
    pub warnings: Warnings,
}

/// The size of parts that every store accepts: S3 wants at least 5 MiB.
pub(super) const USUAL_PART: u64 = 8 * 1024 * 1024;

/// The smallest size of a part that stores accept.
pub(super) const SMALLEST_PART: u64 = 5 * 1024 * 1024;

impl Default for BucketOptions {
    fn default() -> Self {
        Self {
            settings: Vec::new(),
            connect: Duration::from_secs(20),
            silence: Duration::from_secs(60),
            commit: Duration::from_secs(600),
            retry: RetryRules::default(),
            parallel: 32,
            part_bytes: USUAL_PART,
            user_agent: concat!("backend-layout/", env!("CARGO_PKG_VERSION")).to_owned(),
            extra_authorities: Vec::new(),
            proxies: Proxies::default(),
            waits: WaitObserver::default(),
            warnings: Warnings::default(),
        }
    }
}

impl fmt::Debug for BucketOptions {
    // Values may be secret.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<_> = self.settings.iter().map(|(key, _)| key).collect();
        formatter.debug_struct("BucketOptions").field("settings", &keys).finish_non_exhaustive()
    }
}

/// The vendor's settings that are safe to hand on.
pub(super) struct Settings(Vec<(String, String)>);

impl Settings {
    /// Trims the settings whose names begin with this prefix, such as `aws_`, and leaves out empty ones.
    ///
    /// # Errors
    ///
    /// A sentence that names the setting, and never shows its value: it may be secret.
    pub(super) fn check(all: &[(String, String)], prefix: &str) -> Result<Self, String> {
        let mut settings: Vec<(String, String)> = Vec::new();
        for (key, value) in all {
            let key = key.to_ascii_lowercase();
            let value = value.trim();
            if !key.starts_with(prefix) || value.is_empty() {
                continue;
            }
            check_value(&key, value)?;
            settings.retain(|(other, _)| *other != key);
            settings.push((key, value.to_owned()));
        }
        Ok(Self(settings))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Returns the value of the first of these names that is set.
    pub(super) fn get(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.iter().find(|(key, _)| key == name)).map(|(_, value)| value)
    }

    /// Tells whether one of these names is set to true.
    pub(super) fn is_on(&self, names: &[&str]) -> bool {
        self.get(names).is_some_and(|value| matches!(&*value.to_ascii_lowercase(), "true" | "1" | "yes"))
    }
}

/// Names of settings whose values are paths or JSON: they reach no header.
const FREE: [&str; 3] = ["file", "service_account", "credentials"];

fn check_value(key: &str, value: &str) -> Result<(), String> {
    let name = key.to_ascii_uppercase();
    if key.contains("endpoint") {
        check_endpoint(&name, value)?;
    }
    let is_token_file = key.ends_with("token_file");
    if is_token_file {
        return check_token_file(&name, value);
    }
    if FREE.iter().any(|part| key.contains(part)) {
        return Ok(());
    }
    match value.chars().find(|character| !character.is_ascii() || character.is_ascii_control()) {
        None => Ok(()),
        Some(character) => Err(format!(
            "expected printable ASCII characters in `{name}`, found {}",
            if character.is_ascii() {
                "a line break or another control character"
            } else {
                "another character"
            }
        )),
    }
}

fn check_endpoint(name: &str, value: &str) -> Result<(), String> {
    const FORM: &str = "expected a URL such as `https://s3.example.org`";
    let url = Url::parse(value).map_err(|_| format!("{FORM} in `{name}`"))?;
    match (url.scheme(), url.host_str()) {
        ("http" | "https", Some(_)) => Ok(()),
        _ => Err(format!("{FORM} in `{name}`, found one without `https://` or `http://`")),
    }
}

/// The most bytes of a file with a token.
const LARGEST_TOKEN: u64 = 64 * 1024;

fn check_token_file(name: &str, path: &str) -> Result<(), String> {
    use std::io::Read as _;
    let mut token = String::new();
    let read = std::fs::File::open(path)
        .and_then(|file| file.take(LARGEST_TOKEN.saturating_add(1)).read_to_string(&mut token));
    match read {
        Err(error) => Err(format!("cannot read the token in `{path}` that `{name}` names: {error}")),
        Ok(_) if token.len() as u64 > LARGEST_TOKEN || token.is_empty() => {
            Err(format!("expected a token in `{path}` that `{name}` names, found {} bytes", token.len()))
        }
        Ok(_) if token.contains(|character: char| character.is_whitespace() || character.is_control()) => {
            Err(format!(
                "expected one line without spaces and without a line break at its end in `{path}` that `{name}` names"
            ))
        }
        Ok(_) => Ok(()),
    }
}

/// Tells whether plain HTTP to this endpoint stays on this machine.
pub(super) fn is_on_this_machine(endpoint: &str) -> bool {
    Url::parse(endpoint).is_ok_and(|url| is_loopback(&url))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(settings: &[(&str, &str)]) -> Result<Settings, String> {
        let all: Vec<_> = settings.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        Settings::check(&all, "aws_")
    }

    #[test]
    fn settings_are_trimmed_and_later_ones_count() {
        let settings = check(&[
            ("AWS_ACCESS_KEY_ID", " key\r\n"),
            ("google_token", "x\ny"),
            ("aws_region", "a"),
            ("aws_region", "b\n"),
            ("aws_session_token", " "),
        ])
        .unwrap();
        assert_eq!(settings.iter().collect::<Vec<_>>(), [("aws_access_key_id", "key"), ("aws_region", "b")]);
    }

    #[test]
    fn a_bad_setting_is_named_without_its_value() {
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        std::fs::write(&token, "secret\n").unwrap();
        let token = token.to_str().unwrap();
        for (key, value) in [
            ("aws_secret_access_key", "secret\nsecret"),
            ("aws_session_token", "secr\u{e9}t"),
            ("aws_endpoint_url", "localhost:9000"),
            ("aws_endpoint", "s3.example.org"),
            ("aws_endpoint_url_sts", "ftp://x"),
            ("aws_container_authorization_token_file", token),
            ("aws_web_identity_token_file", "/does/not/exist"),
        ] {
            let Err(error) = check(&[(key, value)]) else { panic!("{key}: {value}") };
            assert!(error.contains(&key.to_ascii_uppercase()), "{error}");
            assert!(!error.contains("secr"), "{error}");
        }
    }
}
