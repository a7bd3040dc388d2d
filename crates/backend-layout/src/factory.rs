//! Opening layouts by their location.

use async_trait::async_trait;
use oci_model::Location;
use registry_backend::{BackendFactory, Error, ErrorKind, Fit, OpenOptions, RegistryBackend, Result};

use crate::backend::LayoutBackend;

/// Opens image layouts in directories and, with the features `s3`, `gcs` and `azure`, in buckets.
#[derive(Clone, Default)]
pub struct LayoutFactory {
    bucket_options: Vec<(String, String)>,
}

impl LayoutFactory {
    /// Returns a factory without settings for buckets.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds settings for buckets, such as `aws_region` or `google_service_account`. The keys are those of [`object_store`]; each
    /// kind of bucket ignores the keys of others.
    ///
    /// ```
    /// let factory = backend_layout::LayoutFactory::new()
    ///     .with_bucket_options([("aws_region", "us-west-2"), ("aws_endpoint", "https://s3.example.org")]);
    /// # let _ = factory;
    /// ```
    #[must_use]
    pub fn with_bucket_options<K: Into<String>, V: Into<String>>(
        mut self,
        options: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        self.bucket_options.extend(options.into_iter().map(|(key, value)| (key.into(), value.into())));
        self
    }
}

impl std::fmt::Debug for LayoutFactory {
    // Values may be secret.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let keys: Vec<_> = self.bucket_options.iter().map(|(key, _)| key).collect();
        formatter.debug_struct("LayoutFactory").field("bucket_options", &keys).finish()
    }
}

#[async_trait]
impl BackendFactory for LayoutFactory {
    fn name(&self) -> &'static str {
        "layout"
    }

    fn about(&self) -> &'static str {
        "OCI image layouts in directories and, where compiled in, buckets: oci:DIRECTORY, s3://, gs://, az://"
    }

    fn fit(&self, location: &Location) -> Fit {
        match location {
            Location::Directory(_) => Fit::Exact,
            Location::Bucket { scheme, .. } if serves(scheme) => Fit::Exact,
            _ => Fit::No,
        }
    }

    async fn open(&self, location: &Location, options: &OpenOptions) -> Result<Box<dyn RegistryBackend>> {
        match location {
            Location::Directory(path) => {
                Ok(Box::new(LayoutBackend::open_directory(path, options.access).await?))
            }
            #[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
            Location::Bucket { scheme, url } if serves(scheme) => {
                Ok(Box::new(open_bucket(url, &self.bucket_options, options.access).await?))
            }
            Location::Bucket { .. } => Err(Error::new(ErrorKind::Unsupported, "open", location)
                .because("this program was built without the feature for it: `s3`, `gcs` or `azure`")),
            _ => {
                Err(Error::new(ErrorKind::Unsupported, "open", location).because("it is not an image layout"))
            }
        }
    }
}

/// Opens the layout at a URL such as `s3://bucket/prefix`.
#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
async fn open_bucket(
    url: &str,
    options: &[(String, String)],
    access: registry_backend::Access,
) -> Result<LayoutBackend> {
    let invalid = |error: Box<dyn std::error::Error + Send + Sync>| {
        let reason = format!("cannot use the bucket with these settings: {error}");
        Error::new(ErrorKind::Invalid, "open", url).because(reason).caused_by(error)
    };
    let parsed = url::Url::parse(url).map_err(|error| invalid(error.into()))?;
    let options = options.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let (store, prefix) =
        object_store::parse_url_opts(&parsed, options).map_err(|error| invalid(error.into()))?;
    LayoutBackend::with_store(store.into(), prefix, url, access).await
}

/// Tells whether the feature for a scheme is enabled.
fn serves(scheme: &str) -> bool {
    (cfg!(feature = "s3") && scheme == "s3")
        || (cfg!(feature = "gcs") && scheme == "gs")
        || (cfg!(feature = "azure") && scheme == "az")
}

#[cfg(test)]
mod tests {
    use registry_backend::Access;

    use super::*;

    fn bucket(scheme: &str) -> Location {
        Location::Bucket { scheme: scheme.to_owned(), url: format!("{scheme}://bucket/prefix") }
    }

    #[test]
    fn directories_are_always_served_and_buckets_where_compiled_in() {
        let factory = LayoutFactory::new();
        assert_eq!(factory.fit(&Location::Directory("x".into())), Fit::Exact);
        for (scheme, is_on) in [
            ("s3", cfg!(feature = "s3")),
            ("gs", cfg!(feature = "gcs")),
            ("az", cfg!(feature = "azure")),
            ("ftp", false),
        ] {
            let expected = if is_on { Fit::Exact } else { Fit::No };
            assert_eq!(factory.fit(&bucket(scheme)), expected, "{scheme}");
        }
        let registry = Location::Registry { host: "h.example".to_owned(), repository: "a".parse().unwrap() };
        assert_eq!(factory.fit(&registry), Fit::No);
    }

    #[test]
    fn settings_are_not_shown() {
        let factory = LayoutFactory::new().with_bucket_options([("aws_secret_access_key", "hidden")]);
        let shown = format!("{factory:?}");
        assert!(shown.contains("aws_secret_access_key") && !shown.contains("hidden"), "{shown}");
    }

    #[tokio::test]
    async fn an_unknown_scheme_is_refused() {
        let options = OpenOptions::new(Access::Read);
        let error = LayoutFactory::new().open(&bucket("ftp"), &options).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
}
