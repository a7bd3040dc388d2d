//! GitHub's REST interface for packages: versions, deletes, and the settings that only people change.

use async_trait::async_trait;
use distribution_client::{ManifestDeleter, Profile, RestApi, RestMethod, VendorPlace};
use oci_model::Digest;
use registry_backend::{Error, ErrorKind, Result};
use serde::Deserialize;
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

/// Who may see a package. New packages are private, and GitHub has no interface to change that (cli/cli issue 6820).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Visibility {
    /// `public`, `private` or `internal`.
    pub current: String,
    /// The page where a person with the role Admin changes it, under `Danger Zone`.
    pub page: String,
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
        let VendorPlace { interface, host, repository, profile, options } = *place;
        let (owner, package) = repository.as_str().split_once('/').ok_or_else(|| {
            Error::new(ErrorKind::Invalid, "open", format_args!("{host}/{repository}"))
                .because("expected a repository with an owner, `ghcr.io/OWNER/NAME`")
        })?;
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
        let path = self.path(&["versions"]).await?;
        let found = self.api.list("list the versions of", &path, &[("per_page", "100")]).await?;
        let versions = found.into_iter().filter_map(|value| {
            let version: Version = serde_json::from_value(value).ok()?;
            let digest = version.name.parse().ok()?;
            Some(PackageVersion { id: version.id, digest, tags: version.metadata.container.tags })
        });
        Ok(versions.collect())
    }

    /// Returns who may see the package, and where to change that.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) if there is no such package, or the token may not see it.
    pub async fn visibility(&self) -> Result<Visibility> {
        let path = self.path(&[]).await?;
        let package = self.api.send("look at package", RestMethod::Get, &path, None).await?;
        let text = |name: &str| package.get(name).and_then(|value| value.as_str()).map(str::to_owned);
        let owners = match self.owner_kind().await? {
            OwnerKind::Organization => "orgs",
            OwnerKind::User => "users",
        };
        let page = text("html_url").unwrap_or_else(|| {
            let package = self.package.replace('/', "%2F");
            format!("https://github.com/{owners}/{}/packages/container/{package}", self.owner)
        });
        Ok(Visibility { current: text("visibility").unwrap_or_default(), page: format!("{page}/settings") })
    }

    async fn path<'a>(&'a self, rest: &[&'a str]) -> Result<Vec<&'a str>> {
        let owners = match self.owner_kind().await? {
            OwnerKind::Organization => "orgs",
            OwnerKind::User => "users",
        };
        let mut path = vec![owners, &self.owner, "packages", "container", &self.package];
        path.extend(rest);
        Ok(path)
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
impl ManifestDeleter for GithubPackages {
    async fn delete_manifest(&self, digest: &Digest) -> Result<()> {
        let version = self.find(digest).await?.id.to_string();
        let path = self.path(&["versions", &version]).await?;
        self.api.send("delete version", RestMethod::Delete, &path, None).await.map(drop)
    }
}
