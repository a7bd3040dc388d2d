//! The backends that this program was built with: one line for each.

#[cfg(feature = "distribution-client")]
use distribution_client::Profile;
#[cfg(not(all(
    feature = "backend-generic",
    feature = "backend-ghcr",
    feature = "backend-gitlab",
    feature = "backend-layout",
    feature = "backend-quay"
)))]
use oci_model::Location;
use registry_backend::Backends;

/// Returns the profiles of the registries that this program knows.
#[cfg(feature = "distribution-client")]
pub(crate) fn profiles() -> Vec<Profile> {
    [
        #[cfg(feature = "backend-generic")]
        backend_generic::profile(),
        #[cfg(feature = "backend-ghcr")]
        backend_ghcr::profile(),
        #[cfg(feature = "backend-gitlab")]
        backend_gitlab::profile(),
        #[cfg(feature = "backend-quay")]
        backend_quay::profile(),
    ]
    .into()
}

/// Returns the backends that are not registries, and notes those that this program lacks.
pub(crate) fn backends() -> Backends {
    let backends = Backends::default();
    #[cfg(feature = "backend-layout")]
    let backends = backends.with(backend_layout::LayoutFactory::new().with_bucket_options(bucket_options()));
    #[cfg(not(feature = "backend-layout"))]
    let backends = backends.without("backend-layout", |location| {
        matches!(location, Location::Directory(_) | Location::Bucket { .. })
    });
    #[cfg(not(feature = "backend-ghcr"))]
    let backends = backends.without("backend-ghcr", |location| is_at(location, "ghcr.io"));
    #[cfg(not(feature = "backend-gitlab"))]
    let backends = backends.without("backend-gitlab", |location| is_at(location, "registry.gitlab.com"));
    #[cfg(not(feature = "backend-quay"))]
    let backends = backends.without("backend-quay", |location| is_at(location, "quay.io"));
    #[cfg(not(feature = "backend-generic"))]
    let backends =
        backends.without("backend-generic", |location| matches!(location, Location::Registry { .. }));
    backends
}

#[cfg(not(all(feature = "backend-ghcr", feature = "backend-gitlab", feature = "backend-quay")))]
fn is_at(location: &Location, wanted: &str) -> bool {
    matches!(location, Location::Registry { host, .. } if host == wanted)
}

/// Returns the settings for buckets in the environment, under the names that the vendors' own tools use, such as
/// `AWS_ACCESS_KEY_ID`, `GOOGLE_SERVICE_ACCOUNT` or `AZURE_STORAGE_ACCOUNT_NAME`.
#[cfg(feature = "backend-layout")]
fn bucket_options() -> Vec<(String, String)> {
    const PREFIXES: [&str; 3] = ["AWS_", "GOOGLE_", "AZURE_"];
    let of_buckets = |name: &str| PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| of_buckets(name))
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
        .collect()
}
