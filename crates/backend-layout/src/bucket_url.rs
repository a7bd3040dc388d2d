//! Opening a bucket by its URL.

use object_store::parse_url_opts;
use registry_backend::{Access, Error, ErrorKind, Result};
use url::Url;

use crate::LayoutBackend;

/// Opens the layout at a URL such as `s3://bucket/prefix`; options that the kind of bucket does not know are passed over.
pub(crate) async fn open(url: &str, options: &[(String, String)], access: Access) -> Result<LayoutBackend> {
    let invalid = |error: Box<dyn std::error::Error + Send + Sync>| {
        let reason = format!("the bucket cannot be used with these settings: {error}");
        Error::new(ErrorKind::Invalid, "open", url).because(reason).caused_by(error)
    };
    let parsed = Url::parse(url).map_err(|error| invalid(error.into()))?;
    let options = options.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let (store, prefix) = parse_url_opts(&parsed, options).map_err(|error| invalid(error.into()))?;
    LayoutBackend::with_store(store.into(), prefix, url, access).await
}
