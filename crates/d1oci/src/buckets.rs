//! How to talk to buckets: the environment and the configuration file together.

use backend_layout::{BucketOptions, LayoutFactory};
use oci_model::Location;

use crate::failure::Failure;
#[cfg(feature = "distribution-client")]
use crate::registries::RegistrySetup;

/// The buckets of a command.
#[derive(Debug, Default)]
pub(crate) struct BucketSetup {
    /// Knows all uploads that its clones have begun.
    factory: LayoutFactory,
}

impl BucketSetup {
    /// Returns the factory for a bucket.
    ///
    /// # Errors
    ///
    /// If the configuration cannot be read or used.
    pub(crate) fn factory(
        &self,
        location: &Location,
        #[cfg(feature = "distribution-client")] registries: &RegistrySetup,
    ) -> Result<LayoutFactory, Failure> {
        let mut options = BucketOptions::default();
        options.user_agent = concat!("d1oci/", env!("CARGO_PKG_VERSION")).to_owned();
        options.settings = settings_of_environment();
        #[cfg(feature = "distribution-client")]
        if let Location::Bucket { url, .. } = location {
            registries.apply_to_bucket(url, &mut options)?;
        }
        #[cfg(not(feature = "distribution-client"))]
        let _ = location;
        Ok(self.factory.clone().with_buckets(options))
    }

    /// Aborts the uploads that have not ended, when the command ends early.
    pub(crate) async fn cancel_uploads(&self) {
        self.factory.cancel_uploads().await;
    }
}

/// Returns the settings for buckets in the environment, under the names that the vendors' own tools use, such as
/// `AWS_ACCESS_KEY_ID`, `GOOGLE_SERVICE_ACCOUNT` or `AZURE_STORAGE_ACCOUNT_NAME`.
fn settings_of_environment() -> Vec<(String, String)> {
    const PREFIXES: [&str; 3] = ["AWS_", "GOOGLE_", "AZURE_"];
    let of_buckets = |name: &str| PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| of_buckets(name))
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
        .collect()
}
