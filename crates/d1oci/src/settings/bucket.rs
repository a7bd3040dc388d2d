//! The settings of one bucket, and the changes that they make to its options.

use std::path::PathBuf;

use backend_layout::BucketOptions;
use serde::Deserialize;
use serde::de::Error as _;

use super::units::{Attempts, Seconds, Size};

/// The settings of one bucket.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct BucketSettings {
    endpoint: Option<String>,
    region: Option<String>,
    anonymous: Option<bool>,
    ca_file: Option<PathBuf>,
    parallel: Option<Parallel>,
    part_size: Option<PartSize>,
    connect_timeout: Option<Seconds>,
    silence_timeout: Option<Seconds>,
    commit_timeout: Option<Seconds>,
    attempts: Option<Attempts>,
    patience: Option<Seconds>,
}

/// How many requests are in flight at once.
#[derive(Clone, Copy, Debug)]
struct Parallel(usize);

impl<'de> Deserialize<'de> for Parallel {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const MOST: usize = 256;
        match usize::deserialize(deserializer)? {
            parallel @ 1..=MOST => Ok(Self(parallel)),
            _ => Err(D::Error::custom("`parallel` is a number between 1 and 256")),
        }
    }
}

/// The size of parts in bytes.
#[derive(Clone, Copy, Debug)]
struct PartSize(u64);

impl<'de> Deserialize<'de> for PartSize {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// S3 takes no smaller ones, and parts are held in memory.
        const BOUNDS: std::ops::RangeInclusive<u64> = 5 << 20..=512 << 20;
        match Size::deserialize(deserializer)? {
            Size(bytes) if BOUNDS.contains(&bytes) => Ok(Self(bytes)),
            Size(_) => Err(D::Error::custom("`part-size` is a size between 5 MiB and 512 MiB")),
        }
    }
}

impl BucketSettings {
    /// Returns the file with further authorities.
    pub(crate) fn ca_file(&self) -> Option<&PathBuf> {
        self.ca_file.as_ref()
    }

    /// Puts the settings into the options of the bucket in this URL. They come before those of the environment.
    pub(crate) fn apply(&self, url: &str, options: &mut BucketOptions) {
        let [endpoint, region, anonymous] = match url.split("://").next() {
            Some("gs") => ["google_base_url", "", "google_skip_signature"],
            Some("az") => ["azure_storage_endpoint", "", "azure_skip_signature"],
            _ => ["aws_endpoint_url_s3", "aws_region", "aws_skip_signature"],
        };
        let mut set = |key: &str, value: String| options.settings.push((key.to_owned(), value));
        if let Some(value) = &self.endpoint {
            set(endpoint, value.clone());
        }
        if let Some(value) = self.region.as_ref().filter(|_| !region.is_empty()) {
            set(region, value.clone());
        }
        if let Some(value) = self.anonymous {
            set(anonymous, value.to_string());
        }
        if let Some(Parallel(parallel)) = self.parallel {
            options.parallel = parallel;
        }
        if let Some(PartSize(bytes)) = self.part_size {
            options.part_bytes = bytes;
        }
        if let Some(attempts) = self.attempts {
            options.retry.attempts = attempts.0;
        }
        Seconds::replace(self.patience, &mut options.retry.patience);
        Seconds::replace(self.connect_timeout, &mut options.connect);
        Seconds::replace(self.silence_timeout, &mut options.silence);
        Seconds::replace(self.commit_timeout, &mut options.commit);
    }
}

/// A bucket with its scheme: `s3://name`.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct BucketName(String);

impl BucketName {
    /// Returns the bucket in a URL.
    pub(super) fn of(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let name = rest.split('/').next().filter(|name| !name.is_empty())?;
        matches!(scheme, "s3" | "gs" | "az").then(|| Self(format!("{scheme}://{name}")))
    }
}

impl<'de> Deserialize<'de> for BucketName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::of(&text).filter(|name| name.0 == text).ok_or_else(|| {
            D::Error::custom(format!(
                "expected a bucket such as `s3://name`, without a prefix, found `{text}`"
            ))
        })
    }
}
