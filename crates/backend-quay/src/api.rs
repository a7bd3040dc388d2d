//! Quay's REST interface: creates repositories, sets who may see them, and how long tags last.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use distribution_client::{ClientOptions, RestApi, RestMethod};
use oci_model::{RepositoryName, Tag};
use registry_backend::{Error, ErrorKind, Result};
use serde_json::{Value, json};

use crate::profile::profile;

/// The annotation after whose time Quay removes a manifest, with a value such as `2d` (quay/quay, label_handlers.py).
pub const EXPIRES_AFTER_ANNOTATION: &str = "quay.expires-after";

/// The REST interface for one repository. It needs an OAuth token, as the password of the user `$oauthtoken`: a robot
/// account only pushes and pulls.
#[derive(Debug)]
pub struct QuayApi {
    api: RestApi,
    repository: RepositoryName,
}

/// Who may see a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// Everybody.
    Public,
    /// Accounts that have the right.
    Private,
}

impl QuayApi {
    /// Prepares to talk to the interface of the Quay at a host; sends nothing yet.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) if the token would go out in the open.
    pub fn new(host: &str, repository: RepositoryName, options: &ClientOptions) -> Result<Self> {
        let scheme = if options.speaks_plainly_to(host) { "http" } else { "https" };
        let interface = format!("{scheme}://{host}/api/v1");
        let api = RestApi::new(&interface, host, profile().at(host), options)?;
        let api = api.for_repository(repository.clone());
        Ok(Self { api, repository })
    }

    /// Creates the repository. A first push by an account with the right creates one too, a private one.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) if the name lacks a namespace; the error that Quay answers.
    pub async fn create_repository(&self, visibility: Visibility, description: &str) -> Result<()> {
        let (namespace, name) = self.repository.as_str().split_once('/').ok_or_else(|| {
            Error::new(ErrorKind::Invalid, "create repository", &self.repository)
                .because("expected a repository with a namespace, `quay.io/NAMESPACE/NAME`")
        })?;
        let body = json!({
            "namespace": namespace,
            "repository": name,
            "visibility": visibility.text(),
            "description": description,
            "repo_kind": "image",
        });
        self.api.send("create", RestMethod::Post, &["repository"], Some(&body)).await.map(drop)
    }

    /// Changes who may see the repository.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) if it is not there; [`Denied`](ErrorKind::Denied) if the token lacks the right.
    pub async fn set_visibility(&self, visibility: Visibility) -> Result<()> {
        let body = json!({ "visibility": visibility.text() });
        let path = self.path(&["changevisibility"]);
        self.api.send("change visibility by", RestMethod::Post, &path, Some(&body)).await.map(drop)
    }

    /// Sets when a tag expires; `None` is never.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) if the tag is not there.
    pub async fn set_tag_expiry(&self, tag: &Tag, end: Option<SystemTime>) -> Result<()> {
        let seconds = end.map(|end| end.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs());
        let body = json!({ "expiration": seconds.map_or(Value::Null, Value::from) });
        let path = self.path(&["tag", tag.as_str()]);
        self.api.send("set the expiry of tag", RestMethod::Put, &path, Some(&body)).await.map(drop)
    }

    /// Deletes a tag; the namespace's time machine can restore it for a time.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) if the tag is not there.
    pub async fn delete_tag(&self, tag: &Tag) -> Result<()> {
        let path = self.path(&["tag", tag.as_str()]);
        self.api.send("delete tag", RestMethod::Delete, &path, None).await.map(drop)
    }

    fn path<'a>(&'a self, rest: &[&'a str]) -> Vec<&'a str> {
        let name = self.repository.as_str().split('/');
        std::iter::once("repository").chain(name).chain(rest.iter().copied()).collect()
    }
}

impl Visibility {
    fn text(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Private => "private",
        }
    }
}
