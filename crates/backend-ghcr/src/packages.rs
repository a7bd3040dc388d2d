//! GitHub's REST interface for packages: versions, deletes, and the settings that only people change.

use std::time::SystemTime;

use async_trait::async_trait;
use distribution_client::{
    Deleted, ManifestDeleter, Profile, RepositoryFacts, RepositoryLister, RestApi, RestMethod, VendorPlace,
    VendorRepository, Visibility,
};
use oci_model::{Digest, RepositoryName, Tag};
use registry_backend::{Error, ErrorKind, Result};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::OnceCell;

/// The packages interface for one package (docs.github.com, "REST API endpoints for packages").
#[derive(Debug)]
pub struct GithubPackages {
    api: RestApi,
    owner: String,
    package: String,
    profile: Profile,
    owner_kind: OnceCell<OwnerKind>,
}

/// A version of a package: a manifest with all its tags.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PackageVersion {
    /// GitHub's number for it.
    pub id: u64,
    /// The manifest.
    pub digest: Digest,
    /// The tags.
    pub tags: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OwnerKind {
    Organization,
    User,
}

#[derive(Deserialize)]
struct Version {
    id: u64,
    name: String,
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    container: Container,
}

#[derive(Default, Deserialize)]
struct Container {
    #[serde(default)]
    tags: Vec<String>,
}

/// How often to look for a version that the registry has but the interface does not list yet.
const MOST_LOOKS: u32 = 5;

impl GithubPackages {
    /// Prepares to talk to the interface; sends nothing yet.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) if the repository has no owner, or the URL would send the token in the open.
    pub fn new(place: &VendorPlace<'_>) -> Result<Self> {
        let VendorPlace { host, repository, .. } = *place;
        let (owner, package) = repository.as_str().split_once('/').ok_or_else(|| {
            Error::new(ErrorKind::Invalid, "open", format_args!("{host}/{repository}"))
                .because("expected a repository with an owner, `ghcr.io/OWNER/NAME`")
        })?;
        Self::at(place, owner, package)
    }

    /// Prepares to list the packages of the owner who is the place's repository; sends nothing yet.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) if the URL would send the token in the open.
    pub(crate) fn of_owner(place: &VendorPlace<'_>) -> Result<Self> {
        let owner = place.repository.as_str();
        Self::at(place, owner.split('/').next().unwrap_or(owner), "")
    }

    fn at(place: &VendorPlace<'_>, owner: &str, package: &str) -> Result<Self> {
        let VendorPlace { interface, host, repository, profile, options } = *place;
        let api = RestApi::new(interface, host, profile.clone(), options)?
            .for_repository(repository.clone())
            .with_header("accept", "application/vnd.github+json")
            .with_header("x-github-api-version", "2022-11-28");
        let (owner, package) = (owner.to_owned(), package.to_owned());
        Ok(Self { api, owner, package, profile: profile.clone(), owner_kind: OnceCell::new() })
    }

    /// Lists all versions.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) if there is no such package, or the token may not see it.
    pub async fn versions(&self) -> Result<Vec<PackageVersion>> {
        self.versions_in("active").await
    }

    async fn versions_in(&self, state: &str) -> Result<Vec<PackageVersion>> {
        let path = self.path(&["versions"]).await?;
        let query = [("per_page", "100"), ("state", state)];
        let found = self.api.list("list the versions of", &path, &query).await?;
        let versions = found.into_iter().filter_map(|value| {
            let version: Version = serde_json::from_value(value).ok()?;
            let digest = version.name.parse().ok()?;
            Some(PackageVersion { id: version.id, digest, tags: version.metadata.container.tags })
        });
        Ok(versions.collect())
    }

    async fn path<'a>(&'a self, rest: &[&'a str]) -> Result<Vec<&'a str>> {
        let mut path = vec![self.owners().await?, &self.owner, "packages", "container", &self.package];
        path.extend(rest);
        Ok(path)
    }

    async fn owners(&self) -> Result<&'static str> {
        Ok(match self.owner_kind().await? {
            OwnerKind::Organization => "orgs",
            OwnerKind::User => "users",
        })
    }

    fn unsupported(&self, operation: &'static str, reason: impl Into<String>) -> Error {
        let package = format_args!("{}/{}", self.owner, self.package);
        Error::new(ErrorKind::Unsupported, operation, package).because(reason.into())
    }

    async fn owner_kind(&self) -> Result<OwnerKind> {
        let kind = self.owner_kind.get_or_try_init(|| async {
            let owner = self.api.send("look at", RestMethod::Get, &["users", &self.owner], None).await?;
            let is_organization = owner.get("type").and_then(|kind| kind.as_str()) == Some("Organization");
            Ok::<_, Error>(if is_organization { OwnerKind::Organization } else { OwnerKind::User })
        });
        kind.await.copied()
    }

    async fn find(&self, digest: &Digest) -> Result<PackageVersion> {
        let mut wait = self.profile.retry.first_wait;
        for look in 1..=MOST_LOOKS {
            let found = self.versions().await?.into_iter().find(|version| version.digest == *digest);
            match found {
                Some(version) => return Ok(version),
                None if look < MOST_LOOKS => tokio::time::sleep(wait).await,
                None => {}
            }
            wait = wait.saturating_mul(2);
        }
        let error = Error::new(ErrorKind::NotFound, "delete manifest", digest);
        Err(error.because("GitHub lists no version of the package with this digest"))
    }
}

#[async_trait]
impl VendorRepository for GithubPackages {
    async fn show(&self) -> Result<RepositoryFacts> {
        let package = self.api.get("show package", &self.path(&[]).await?, &[]).await?;
        let text = |name: &str| package.get(name).and_then(Value::as_str).map(str::to_owned);
        let page = match text("html_url") {
            Some(page) => page,
            None => {
                let owners = self.owners().await?;
                let package = self.package.replace('/', "%2F");
                format!("https://github.com/{owners}/{}/packages/container/{package}", self.owner)
            }
        };
        let mut facts = RepositoryFacts::default();
        facts.visibility = text("visibility").unwrap_or_default();
        facts.description = text("description");
        facts.visibility_page = Some(format!("{page}/settings"));
        facts.page = Some(page);
        facts.versions = package.get("version_count").and_then(Value::as_u64);
        Ok(facts)
    }

    async fn create(&self, _: Visibility, _: &str) -> Result<()> {
        Err(self.unsupported("create", "GitHub creates a package with its first push"))
    }

    async fn set_visibility(&self, _: Visibility) -> Result<()> {
        let page = self.show().await?.visibility_page.unwrap_or_default();
        Err(self.unsupported(
            "change the visibility of",
            format!(
                "GitHub has no interface for that: an admin of the package changes it at {page}, in `Danger Zone`"
            ),
        ))
    }

    async fn set_tag_expiry(&self, _: &Tag, _: Option<SystemTime>) -> Result<()> {
        Err(self.unsupported("set an expiry in", "GitHub keeps a package until somebody deletes it"))
    }

    async fn restore(&self, what: &Deleted) -> Result<Option<Digest>> {
        match what {
            Deleted::Repository => {
                let path = self.path(&["restore"]).await?;
                self.api.send("restore package by", RestMethod::Post, &path, None).await?;
                Ok(None)
            }
            Deleted::Manifest(digest) | Deleted::Tag(_, Some(digest)) => {
                let deleted = self.versions_in("deleted").await?;
                let version = deleted.into_iter().find(|version| version.digest == *digest);
                let version = version.ok_or_else(|| {
                    Error::new(ErrorKind::NotFound, "restore", digest).because(
                        "GitHub lists no deleted version with this digest; it keeps them for 30 days",
                    )
                })?;
                let id = version.id.to_string();
                let path = self.path(&["versions", &id, "restore"]).await?;
                self.api.send("restore version by", RestMethod::Post, &path, None).await?;
                Ok(Some(version.digest))
            }
            _ => Err(self.unsupported("restore a tag of", "GitHub restores versions: name the digest")),
        }
    }

    async fn delete(&self) -> Result<()> {
        let path = self.path(&[]).await?;
        self.api.send("delete package", RestMethod::Delete, &path, None).await.map(drop)
    }
}

#[async_trait]
impl RepositoryLister for GithubPackages {
    /// Lists the container packages of the owner (docs.github.com, "List packages for an organization" and "for a user").
    async fn repositories(&self) -> Result<Vec<RepositoryName>> {
        let path = [self.owners().await?, &self.owner, "packages"];
        let query = [("package_type", "container"), ("per_page", "100")];
        let found = self.api.list("list the", &path, &query).await?;
        let names = found.iter().filter_map(|package| package.get("name").and_then(Value::as_str));
        // A name that no request can use is left out.
        let mut names: Vec<_> =
            names.filter_map(|name| format!("{}/{name}", self.owner).parse().ok()).collect();
        names.sort_unstable();
        Ok(names)
    }
}

#[async_trait]
impl ManifestDeleter for GithubPackages {
    async fn delete_manifest(&self, digest: &Digest) -> Result<()> {
        let version = self.find(digest).await?.id.to_string();
        let path = self.path(&["versions", &version]).await?;
        self.api.send("delete version", RestMethod::Delete, &path, None).await.map(drop)
    }
}
