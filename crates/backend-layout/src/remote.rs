//! Layouts in buckets of S3, Google Cloud Storage and Azure Blob Storage.

mod http;
#[cfg(any(feature = "s3", feature = "gcs"))]
mod listing;
mod options;
mod public;
#[cfg(feature = "s3")]
mod s3;

use std::sync::Arc;
use std::time::Duration;

use http_transfer::Url;
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::{BackoffConfig, ObjectStore, RetryConfig};
use oci_model::Digest;
use registry_backend::{Access, Error, ErrorKind, Result};

use crate::bucket::{BucketName, OpenUploads, PartStore, Place, StoreClock, Tuning, UploadListing};
use http::{Connector, NoCredentials, PlainHttp};
pub use options::BucketOptions;
use options::{SMALLEST_PART, Settings, is_on_this_machine};

const OPERATION: &str = "use the settings of";

/// The fate of blocks that no blob got (Azure, "Put Block").
const UNLISTED_BLOCKS: &str =
    "Azure lists no unfinished uploads and cannot abort them: it removes their blocks after a week";

/// Prepares the place of the layout at a URL such as `s3://bucket/prefix`. Nothing is sent yet.
///
/// # Errors
///
/// [`Invalid`](ErrorKind::Invalid) if a setting is unusable, [`Denied`](ErrorKind::Denied) if the settings ask for credentials from
/// a place that this crate does not read.
pub(crate) fn place(
    url: &str,
    options: &BucketOptions,
    uploads: OpenUploads,
    access: Access,
) -> Result<Place> {
    let Some(public) = public::bucket(url) else { return own_place(url, options, uploads) };
    if access != Access::Read {
        let reason =
            format!("the URL of a public bucket is for reading: write `{}` to change it", public.url);
        return Err(Error::new(ErrorKind::Denied, "open", url).because(format!("{reason} (docs/buckets.md)")));
    }
    let mut options = options.clone();
    // The URL says where the bucket is.
    let is_place = |key: &str| ["endpoint", "base_url", "emulator"].iter().any(|part| key.contains(part));
    options.settings.retain(|(key, _)| !is_place(&key.to_ascii_lowercase()));
    options.settings.extend(public.settings.into_iter().map(|(key, value)| (key.to_owned(), value)));
    let mut place = own_place(&public.url, &options, uploads)?;
    url.clone_into(&mut place.name);
    Ok(place)
}

/// Tells whether the URL of a public bucket is of a kind that this crate was built for.
pub(crate) fn serves_public(url: &str) -> bool {
    public::bucket(url).is_some_and(|public| {
        (cfg!(feature = "s3") && public.url.starts_with("s3:"))
            || (cfg!(feature = "gcs") && public.url.starts_with("gs:"))
            || (cfg!(feature = "azure") && public.url.starts_with("az:"))
    })
}

fn own_place(url: &str, options: &BucketOptions, uploads: OpenUploads) -> Result<Place> {
    let invalid = |reason: String| Error::new(ErrorKind::Invalid, OPERATION, url).because(reason);
    let parsed = Url::parse(url).map_err(|error| invalid(format!("not a URL: {error}")))?;
    let path = Path::from_url_path(parsed.path())
        .map_err(|error| invalid(format!("cannot use the prefix: {error}")))?;
    let clock = Arc::new(StoreClock::default());
    let opening = Opening { url, options, clock: clock.clone() };
    let opened = match parsed.scheme() {
        #[cfg(feature = "s3")]
        "s3" => opening.s3()?,
        #[cfg(feature = "gcs")]
        "gs" => opening.gcs()?,
        #[cfg(feature = "azure")]
        "az" => opening.azure()?,
        scheme => return Err(invalid(format!("expected `s3`, `gs` or `az`, found `{scheme}`"))),
    };
    let tuning = Tuning {
        parallel: options.parallel.max(1),
        part_bytes: options.part_bytes.max(SMALLEST_PART),
        attempts: options.retry.attempts,
        patience: options.retry.patience,
    };
    let bucket = BucketName {
        server: Digest::sha256_of(opened.identity.as_bytes()),
        name: parsed.host_str().unwrap_or_default().to_owned(),
    };
    Ok(Place {
        store: opened.store,
        parts: PartStore(opened.parts),
        unlisted_uploads: opened.listing.is_none().then_some(UNLISTED_BLOCKS),
        listing: opened.listing,
        prefix: path,
        name: url.to_owned(),
        clock,
        uploads,
        tuning,
        warnings: options.warnings.clone(),
        bucket: Some(bucket),
    })
}

/// A store with its interfaces.
struct Opened {
    store: Arc<dyn ObjectStore>,
    parts: Arc<dyn MultipartStore>,
    listing: Option<Arc<dyn UploadListing>>,
    /// The server: two servers may have buckets of one name.
    identity: String,
}

/// A URL that is about to be opened.
struct Opening<'a> {
    url: &'a str,
    options: &'a BucketOptions,
    clock: Arc<StoreClock>,
}

impl Opening<'_> {
    fn settings(&self, prefix: &str) -> Result<Settings> {
        Settings::check(&self.options.settings, prefix).map_err(|reason| self.unusable(reason))
    }

    fn unusable(&self, reason: String) -> Error {
        Error::new(ErrorKind::Invalid, OPERATION, self.url).because(reason)
    }

    /// Returns the connector, which allows plain HTTP where a setting says so or the endpoint is on this machine.
    fn connector(&self, is_allowed: bool, endpoint: Option<&str>) -> Connector {
        let allows_http = is_allowed || endpoint.is_some_and(is_on_this_machine);
        Connector::new(Arc::new(self.options.clone()), self.clock.clone(), allows_http)
    }
}

/// The connector repeats requests, with the waits that the caller sees. The store does not.
fn no_retries() -> RetryConfig {
    RetryConfig { backoff: BackoffConfig::default(), max_retries: 0, retry_timeout: Duration::ZERO }
}

#[cfg(feature = "gcs")]
impl Opening<'_> {
    fn gcs(&self) -> Result<Opened> {
        use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
        let settings = self.settings("google_")?;
        let endpoint = settings.get(&["google_base_url"]).map(str::to_owned);
        let mut builder = GoogleCloudStorageBuilder::new().with_url(self.url).with_retry(no_retries());
        for (key, value) in settings.iter() {
            if let Ok(key) = key.parse::<GoogleConfigKey>() {
                builder = builder.with_config(key, value);
            }
        }
        let connector = self.connector(settings.is_on(&["google_allow_http"]), endpoint.as_deref());
        let service = connector.service(true);
        let store = builder.with_http_connector(connector).build();
        let store = Arc::new(store.map_err(|error| self.unusable(settings_fault(&error)))?);
        let listing = self.google_bucket(endpoint.as_deref()).map(|bucket| {
            let lister = listing::Lister::Google { bucket, store: store.clone() };
            Arc::new(listing::UnfinishedUploads::new(lister, service)) as _
        });
        let identity = endpoint.unwrap_or_else(|| "gcs".to_owned());
        Ok(Opened { store: store.clone(), parts: store, listing, identity })
    }
}

#[cfg(feature = "gcs")]
impl Opening<'_> {
    /// Returns the URL of the bucket in the XML interface.
    fn google_bucket(&self, endpoint: Option<&str>) -> Option<Url> {
        const GOOGLE: &str = "https://storage.googleapis.com";
        let bucket = Url::parse(self.url).ok()?.host_str()?.to_owned();
        let mut url = Url::parse(endpoint.unwrap_or(GOOGLE)).ok()?;
        url.path_segments_mut().ok()?.pop_if_empty().push(&bucket);
        Some(url)
    }
}

#[cfg(feature = "azure")]
impl Opening<'_> {
    fn azure(&self) -> Result<Opened> {
        use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
        let settings = self.settings("azure_")?;
        let endpoint = settings.get(&["azure_storage_endpoint", "azure_endpoint"]).map(str::to_owned);
        let mut builder = MicrosoftAzureBuilder::new().with_url(self.url).with_retry(no_retries());
        for (key, value) in settings.iter() {
            if let Ok(key) = key.parse::<AzureConfigKey>() {
                builder = builder.with_config(key, value);
            }
        }
        let is_emulator = settings.is_on(&["azure_storage_use_emulator", "azure_use_emulator"]);
        let allows_http = is_emulator || settings.is_on(&["azure_allow_http"]);
        let connector = self.connector(allows_http, endpoint.as_deref());
        let store = builder.with_http_connector(connector).build();
        let store = Arc::new(store.map_err(|error| self.unusable(settings_fault(&error)))?);
        let account = settings.get(&["azure_storage_account_name"]).unwrap_or_default();
        let identity = format!("{} {account}", endpoint.unwrap_or_default());
        Ok(Opened { store: store.clone(), parts: store, listing: None, identity })
    }
}

/// Returns the reason why a store cannot be set up, without the words that the library puts before it.
fn settings_fault(error: &object_store::Error) -> String {
    match error {
        object_store::Error::Generic { source, .. } => source.to_string(),
        other => other.to_string(),
    }
}

/// Returns the kind and the sentence for a fault of this module in the causes of an error.
pub(crate) fn own_fault(error: &(dyn std::error::Error + 'static)) -> Option<(ErrorKind, String)> {
    if error.downcast_ref::<NoCredentials>().is_some() {
        let reason = "no credentials: set those of the bucket's vendor in the environment (docs/buckets.md), or \
                      `AWS_SKIP_SIGNATURE=true`, `GOOGLE_SKIP_SIGNATURE=true` or `AZURE_SKIP_SIGNATURE=true` to read a public bucket";
        return Some((ErrorKind::Denied, reason.to_owned()));
    }
    error.downcast_ref::<PlainHttp>()?;
    let reason = format!(
        "{error}: use https, or allow it with `AWS_ALLOW_HTTP=true`, `GOOGLE_ALLOW_HTTP=true` or `AZURE_ALLOW_HTTP=true`"
    );
    Some((ErrorKind::Unsupported, reason))
}
