//! Quay's REST interface for one repository.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use distribution_client::{
    Deleted, RepositoryFacts, RepositoryLister, RestApi, RestMethod, TagLister, VendorPlace,
    VendorRepository, Visibility,
};
use oci_model::{Digest, RepositoryName, Tag};
use registry_backend::{Error, ErrorKind, Result, TagEntry};
use serde::Deserialize;
use serde_json::{Value, json};

/// The annotation after whose time Quay removes a manifest, with a value such as `2d` (quay/quay, label_handlers.py).
pub const EXPIRES_AFTER_ANNOTATION: &str = "quay.expires-after";

/// The REST interface for one repository. It needs an OAuth token, as the password of the user `$oauthtoken`: a robot
/// account only pushes and pulls.
#[derive(Debug)]
pub struct QuayApi {
    api: RestApi,
    host: String,
    scheme: String,
    repository: RepositoryName,
}

#[derive(Deserialize)]
struct TagPage {
    tags: Vec<Tagged>,
    #[serde(default)]
    has_additional: bool,
}

#[derive(Deserialize)]
struct Tagged {
    name: String,
    manifest_digest: Digest,
}

#[derive(Deserialize)]
struct RepositoryPage {
    repositories: Vec<Listed>,
    next_page: Option<String>,
}

#[derive(Deserialize)]
struct Listed {
    namespace: String,
    name: String,
}

/// The most pages that are read, of a hundred entries each.
const MOST_PAGES: usize = 10_000;

/// The most repositories of a namespace.
const MOST_REPOSITORIES: usize = 1_000_000;

impl QuayApi {
    /// Prepares to talk to the interface, such as `https://quay.io/api/v1`; sends nothing yet.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) if the token would go out in the open.
    pub fn new(place: &VendorPlace<'_>) -> Result<Self> {
        let VendorPlace { interface, host, repository, profile, options } = *place;
        let api = RestApi::new(interface, host, profile.clone(), options)?;
        let api = api.for_repository(repository.clone()).for_account("$oauthtoken");
        let scheme = interface.split(':').next().unwrap_or("https").to_owned();
        Ok(Self { api, host: host.to_owned(), scheme, repository: repository.clone() })
    }

    fn path<'a>(&'a self, rest: &[&'a str]) -> Vec<&'a str> {
        let name = self.repository.as_str().split('/');
        std::iter::once("repository").chain(name).chain(rest.iter().copied()).collect()
    }

    /// Returns the manifest that a deleted tag named last.
    async fn last_manifest(&self, tag: &Tag) -> Result<Digest> {
        let path = self.path(&["tag", ""]);
        let query = [("specificTag", tag.as_str()), ("onlyActiveTags", "false"), ("limit", "100")];
        let answer = self.api.get("list the history of", &path, &query).await?;
        let entries = answer.get("tags").and_then(Value::as_array).into_iter().flatten();
        // The newest comes first (data/model/oci/tag.py, `list_repository_tag_history`).
        let digest = entries
            .filter_map(|entry| entry.get("manifest_digest").and_then(Value::as_str))
            .find_map(|text| text.parse().ok());
        digest.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "restore tag", tag)
                .because("Quay remembers no manifest that the tag named")
        })
    }
}

#[async_trait]
impl TagLister for QuayApi {
    /// Lists the tags page by page (quay/quay, endpoints/api/tag.py). Everybody may list those of a public repository.
    async fn tags_with_digests(&self) -> Result<Vec<TagEntry>> {
        let path = self.path(&["tag", ""]);
        let mut found = BTreeMap::new();
        for page in 1..=MOST_PAGES {
            let page = page.to_string();
            let query = [("onlyActiveTags", "true"), ("limit", "100"), ("page", &page)];
            let answer = self.api.get("list the tags of", &path, &query).await?;
            let listed: TagPage = serde_json::from_value(answer).map_err(|error| {
                Error::new(ErrorKind::Protocol, "list the tags of", &self.repository).caused_by(error)
            })?;
            for Tagged { name, manifest_digest } in listed.tags {
                // A tag that no request can name is left out, as in the registry's own list.
                if let Ok(tag) = name.parse::<Tag>() {
                    found.insert(name, TagEntry::new(tag).with_digest(manifest_digest));
                }
            }
            if !listed.has_additional {
                return Ok(found.into_values().collect());
            }
        }
        Err(Error::new(ErrorKind::Protocol, "list the tags of", &self.repository)
            .because("the list has no end"))
    }
}

#[async_trait]
impl RepositoryLister for QuayApi {
    /// Lists the repositories of the namespace page by page (quay/quay, endpoints/api/repository.py, `RepositoryList`). Everybody may
    /// list the public ones.
    async fn repositories(&self) -> Result<Vec<RepositoryName>> {
        const OPERATION: &str = "list the names of";
        let (mut found, mut next) = (BTreeSet::new(), None::<String>);
        for _ in 0..MOST_PAGES {
            let mut query = vec![("namespace", self.repository.as_str()), ("public", "true")];
            query.extend(next.as_deref().map(|next| ("next_page", next)));
            let answer = self.api.get(OPERATION, &["repository"], &query).await?;
            let page: RepositoryPage = serde_json::from_value(answer).map_err(|error| {
                Error::new(ErrorKind::Protocol, OPERATION, &self.repository).caused_by(error)
            })?;
            // A name that no request can use is left out, as in the registry's own list.
            let names =
                page.repositories.iter().map(|listed| format!("{}/{}", listed.namespace, listed.name));
            found.extend(names.filter_map(|name| name.parse::<RepositoryName>().ok()));
            if page.next_page.is_none() {
                return Ok(found.into_iter().collect());
            }
            if found.len() > MOST_REPOSITORIES {
                break;
            }
            next = page.next_page;
        }
        Err(Error::new(ErrorKind::Protocol, OPERATION, &self.repository).because("the list has no end"))
    }
}

#[async_trait]
impl VendorRepository for QuayApi {
    async fn show(&self) -> Result<RepositoryFacts> {
        let path = self.path(&[]);
        let found = self.api.get("show repository", &path, &[("includeTags", "false")]).await?;
        let text = |name: &str| found.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let is_public = found.get("is_public").and_then(Value::as_bool).unwrap_or_default();
        let visibility = if is_public { Visibility::Public } else { Visibility::Private };
        let mut facts = RepositoryFacts::default();
        facts.visibility = visibility.as_str().to_owned();
        facts.description = text("description").map(str::to_owned);
        facts.page = Some(format!("{}://{}/repository/{}", self.scheme, self.host, self.repository));
        facts.is_writable = found.get("can_write").and_then(Value::as_bool);
        facts.restorable_seconds = found.get("tag_expiration_s").and_then(Value::as_u64);
        Ok(facts)
    }

    /// Fails with [`Invalid`](ErrorKind::Invalid) if the name lacks a namespace.
    async fn create(&self, visibility: Visibility, description: &str) -> Result<()> {
        let (namespace, name) = self.repository.as_str().split_once('/').ok_or_else(|| {
            Error::new(ErrorKind::Invalid, "create repository", &self.repository)
                .because("expected a repository with a namespace, `quay.io/NAMESPACE/NAME`")
        })?;
        let body = json!({
            "namespace": namespace,
            "repository": name,
            "visibility": visibility.as_str(),
            "description": description,
            "repo_kind": "image",
        });
        self.api.send("create", RestMethod::Post, &["repository"], Some(&body)).await.map(drop)
    }

    async fn set_visibility(&self, visibility: Visibility) -> Result<()> {
        let body = json!({ "visibility": visibility.as_str() });
        let path = self.path(&["changevisibility"]);
        self.api.send("change visibility by", RestMethod::Post, &path, Some(&body)).await.map(drop)
    }

    async fn set_tag_expiry(&self, tag: &Tag, end: Option<SystemTime>) -> Result<()> {
        let seconds = end.map(|end| end.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs());
        let body = json!({ "expiration": seconds.map_or(Value::Null, Value::from) });
        let path = self.path(&["tag", tag.as_str()]);
        self.api.send("set the expiry of tag", RestMethod::Put, &path, Some(&body)).await.map(drop)
    }

    async fn restore(&self, what: &Deleted) -> Result<Option<Digest>> {
        let Deleted::Tag(tag, digest) = what else {
            return Err(Error::new(ErrorKind::Unsupported, "restore", &self.repository).because(
                "Quay restores tags: name the tag, and the digest if the tag should name another manifest",
            ));
        };
        let digest = match digest {
            Some(digest) => digest.clone(),
            None => self.last_manifest(tag).await?,
        };
        let body = json!({ "manifest_digest": digest.to_string() });
        let path = self.path(&["tag", tag.as_str(), "restore"]);
        self.api.send("restore tag by", RestMethod::Post, &path, Some(&body)).await?;
        Ok(Some(digest))
    }

    async fn delete(&self) -> Result<()> {
        self.api.send("delete repository", RestMethod::Delete, &self.path(&[]), None).await.map(drop)
    }
}
