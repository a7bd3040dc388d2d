//! S3: the credentials that it can use.

use std::sync::Arc;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use registry_backend::{Error, ErrorKind, Result};

use super::listing::{Lister, UnfinishedUploads};
use super::{OPERATION, Opened, Opening, no_retries, settings_fault};

/// Settings by which credentials come from somewhere else than a pair of keys.
const OTHER_CREDENTIALS: [&str; 6] = [
    "aws_access_key_id",
    "aws_web_identity_token_file",
    "aws_container_credentials_relative_uri",
    "aws_container_credentials_full_uri",
    "aws_skip_signature",
    "aws_metadata_endpoint",
];

impl Opening<'_> {
    pub(super) fn s3(&self) -> Result<Opened> {
        let settings = self.settings("aws_")?;
        if let Some(profile) =
            settings.get(&["aws_profile"]).filter(|_| settings.get(&OTHER_CREDENTIALS).is_none())
        {
            return Err(Error::new(ErrorKind::Denied, OPERATION, self.url).because(format!(
                "d1oci does not read `~/.aws` or single sign-on caches, so `AWS_PROFILE` has no effect: \
                 run `eval \"$(aws configure export-credentials --profile '{profile}' --format env)\"` before"
            )));
        }
        for (one, other) in
            [("aws_access_key_id", "aws_secret_access_key"), ("aws_secret_access_key", "aws_access_key_id")]
        {
            if settings.get(&[one]).is_some() && settings.get(&[other]).is_none() {
                let (one, other) = (one.to_ascii_uppercase(), other.to_ascii_uppercase());
                return Err(self.unusable(format!("`{one}` is set, and `{other}` is not")));
            }
        }
        let endpoint = settings
            .get(&["aws_endpoint_url_s3", "aws_endpoint_url", "aws_endpoint"])
            .map(|endpoint| endpoint.trim_end_matches('/').to_owned());
        let mut builder = AmazonS3Builder::new().with_url(self.url).with_retry(no_retries());
        for (key, value) in settings.iter() {
            if let Ok(key) = key.parse::<AmazonS3ConfigKey>() {
                builder = builder.with_config(key, value);
            }
        }
        if let Some(endpoint) = &endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        let connector =
            self.connector(settings.is_on(&["aws_allow_http", "allow_http"]), endpoint.as_deref());
        let service = connector.service(true);
        let store = builder.with_http_connector(connector).build();
        let store = Arc::new(store.map_err(|error| self.unusable(settings_fault(&error)))?);
        let listing = UnfinishedUploads::new(Lister::S3((*store).clone()), service);
        let identity = endpoint.unwrap_or_else(|| "s3".to_owned());
        Ok(Opened { store: store.clone(), parts: store, listing: Some(Arc::new(listing)), identity })
    }
}
