//! Opening layouts by their location.

use std::path::Path;

use async_trait::async_trait;
use oci_model::Location;
use registry_backend::{BackendFactory, Error, ErrorKind, Fit, OpenOptions, RegistryBackend, Result};

use crate::archive;
use crate::backend::LayoutBackend;
#[cfg(feature = "remote")]
use crate::bucket::OpenUploads;
#[cfg(feature = "remote")]
use crate::remote::BucketOptions;

/// Opens image layouts in directories and, with the features `s3`, `gcs` and `azure`, in buckets.
#[derive(Clone, Debug, Default)]
pub struct LayoutFactory {
    #[cfg(feature = "remote")]
    buckets: BucketOptions,
    #[cfg(feature = "remote")]
    uploads: OpenUploads,
}

impl LayoutFactory {
    /// Returns a factory without settings for buckets.
    pub fn new() -> Self {
        Self::default()
    }
}

#[cfg(feature = "remote")]
impl LayoutFactory {
    /// Returns the factory with other options for buckets.
    ///
    /// ```
    /// use backend_layout::{BucketOptions, LayoutFactory};
    ///
    /// let mut options = BucketOptions::default();
    /// options.settings.push(("aws_endpoint".to_owned(), "https://s3.example.org".to_owned()));
    /// let factory = LayoutFactory::new().with_buckets(options);
    /// # let _ = factory;
    /// ```
    #[must_use]
    pub fn with_buckets(mut self, options: BucketOptions) -> Self {
        self.buckets = options;
        self
    }

    /// Aborts the uploads to buckets that this factory and its clones have begun and not ended: a store keeps their parts. Call it
    /// when a program ends early.
    pub async fn cancel_uploads(&self) {
        self.uploads.abort().await;
    }
}

#[async_trait]
impl BackendFactory for LayoutFactory {
    fn name(&self) -> &'static str {
        "layout"
    }

    fn about(&self) -> &'static str {
        "OCI image layouts in directories, tar files and, where compiled in, buckets: oci:DIRECTORY, oci-archive:FILE, s3://, gs://, az://"
    }

    fn fit(&self, location: &Location) -> Fit {
        match location {
            Location::Directory(_) => Fit::Exact,
            Location::Bucket { scheme, url } if serves(scheme, url) => Fit::Exact,
            Location::Other { scheme, .. } if scheme == archive::SCHEME => Fit::Exact,
            _ => Fit::No,
        }
    }

    async fn open(&self, location: &Location, options: &OpenOptions) -> Result<Box<dyn RegistryBackend>> {
        match location {
            Location::Directory(path) => {
                Ok(Box::new(LayoutBackend::open_directory(path, options.access).await?))
            }
            Location::Other { scheme, address } if scheme == archive::SCHEME => {
                Ok(Box::new(LayoutBackend::open_archive(Path::new(address), options.access).await?))
            }
            #[cfg(feature = "remote")]
            Location::Bucket { scheme, url } if serves(scheme, url) => {
                let uploads = self.uploads.clone();
                let place = crate::remote::place(url, &self.buckets, uploads, options.access)?;
                Ok(Box::new(LayoutBackend::at(place, options).await?))
            }
            Location::Bucket { scheme, .. } => {
                let feature = match &**scheme {
                    "gs" => "gcs",
                    "az" => "azure",
                    other => other,
                };
                let reason = format!("this program was built without the feature `{feature}`");
                Err(Error::new(ErrorKind::Unsupported, "open", location).because(reason))
            }
            _ => {
                Err(Error::new(ErrorKind::Unsupported, "open", location).because("it is not an image layout"))
            }
        }
    }
}

/// Tells whether the feature for a bucket is enabled.
#[cfg(feature = "remote")]
fn serves(scheme: &str, url: &str) -> bool {
    match scheme {
        "s3" => cfg!(feature = "s3"),
        "gs" => cfg!(feature = "gcs"),
        "az" => cfg!(feature = "azure"),
        "https" => crate::remote::serves_public(url),
        _ => false,
    }
}

#[cfg(not(feature = "remote"))]
fn serves(_scheme: &str, _url: &str) -> bool {
    false
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

    #[tokio::test]
    async fn an_unknown_scheme_is_refused() {
        let options = OpenOptions::new(Access::Read);
        let error = LayoutFactory::new().open(&bucket("ftp"), &options).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
}
