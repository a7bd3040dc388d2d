//! Quay's REST interface: making repositories, who may see them, and how long tags last.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use distribution_client::{ClientOptions, Profile, RestApi, RestMethod};
use oci_model::{RepositoryName, Tag};
use registry_backend::{Error, ErrorKind, Result};
use serde_json::{Value, json};

/// The annotation by which a manifest ends by itself, with a value such as `2d` (quay/quay, label_handlers.py).
pub const EXPIRES_AFTER_ANNOTATION: &str = "quay.expires-after";

/// The REST interface for one repository. It wants an OAuth token, as the password of the user `$oauthtoken`: a robot
/// account is for pushing and pulling only.
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
    /// Who has been given the right.
    Private,
}

impl QuayApi {
    pub(crate) fn new(
        interface: &str,
        host: &str,
        repository: RepositoryName,
        profile: Profile,
        options: &ClientOptions,
    ) -> Result<Self> {
        let api = RestApi::new(interface, host, profile, options)?.for_repository(repository.clone());
        Ok(Self { api, repository })
    }

    /// Makes the repository. Quay also makes one by itself, a private one, when somebody who may do so pushes to it.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) if the name lacks a namespace; what Quay answers.
    pub async fn create_repository(&self, visibility: Visibility, description: &str) -> Result<()> {
        let (namespace, name) = self.repository.as_str().split_once('/').ok_or_else(|| {
            Error::new(ErrorKind::Invalid, "make repository", &self.repository)
                .because("Quay's repositories have a namespace: `quay.io/NAMESPACE/NAME`")
        })?;
        let body = json!({
            "namespace": namespace,
            "repository": name,
            "visibility": visibility.text(),
            "description": description,
            "repo_kind": "image",
        });
        self.api.send("make", RestMethod::Post, &["repository"], Some(&body)).await.map(drop)
    }

    /// Changes who may see the repository.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) if it is not there; [`Denied`](ErrorKind::Denied) if the token may not do it.
    pub async fn set_visibility(&self, visibility: Visibility) -> Result<()> {
        let body = json!({ "visibility": visibility.text() });
        let path = self.path(&["changevisibility"]);
        self.api.send("change visibility by", RestMethod::Post, &path, Some(&body)).await.map(drop)
    }

    /// Lets a tag end at a time, or never.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) if the tag is not there.
    pub async fn set_tag_expiry(&self, tag: &Tag, end: Option<SystemTime>) -> Result<()> {
        let seconds = end.map(|end| end.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs());
        let body = json!({ "expiration": seconds.map_or(Value::Null, Value::from) });
        let path = self.path(&["tag", tag.as_str()]);
        self.api.send("set the end of tag", RestMethod::Put, &path, Some(&body)).await.map(drop)
    }

    /// Deletes a tag; it can be restored as long as the namespace's time machine goes back.
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
