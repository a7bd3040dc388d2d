//! The backends that this program was built with: one line for each.

#[cfg(feature = "distribution-client")]
use distribution_client::Profile;
#[cfg(not(all(
    feature = "backend-generic",
    feature = "backend-ghcr",
    feature = "backend-gitlab",
    feature = "backend-layout",
    feature = "backend-quay",
    feature = "s3",
    feature = "gcs",
    feature = "azure"
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
    let backends = backends.with(backend_layout::LayoutFactory::new());
    #[cfg(not(feature = "backend-layout"))]
    let backends = backends.without("backend-layout", |location| {
        let is_archive = matches!(location, Location::Other { scheme, .. } if scheme == "oci-archive");
        is_archive || matches!(location, Location::Directory(_) | Location::Bucket { .. })
    });
    #[cfg(not(feature = "s3"))]
    let backends = backends.without("s3", |location| is_bucket(location, "s3"));
    #[cfg(not(feature = "gcs"))]
    let backends = backends.without("gcs", |location| is_bucket(location, "gs"));
    #[cfg(not(feature = "azure"))]
    let backends = backends.without("azure", |location| is_bucket(location, "az"));
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

#[cfg(not(all(feature = "s3", feature = "gcs", feature = "azure")))]
fn is_bucket(location: &Location, wanted: &str) -> bool {
    matches!(location, Location::Bucket { scheme, .. } if scheme == wanted)
}

#[cfg(not(all(feature = "backend-ghcr", feature = "backend-gitlab", feature = "backend-quay")))]
fn is_at(location: &Location, wanted: &str) -> bool {
    matches!(location, Location::Registry { host, .. } if host == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_backend_is_built_in_or_listed_as_absent() {
        let backends = backends();
        let absent: Vec<&str> = backends.absent_features().collect();
        for (feature, is_built_in) in [
            ("backend-layout", cfg!(feature = "backend-layout")),
            ("s3", cfg!(feature = "s3")),
            ("gcs", cfg!(feature = "gcs")),
            ("azure", cfg!(feature = "azure")),
            ("backend-ghcr", cfg!(feature = "backend-ghcr")),
            ("backend-gitlab", cfg!(feature = "backend-gitlab")),
            ("backend-quay", cfg!(feature = "backend-quay")),
            ("backend-generic", cfg!(feature = "backend-generic")),
        ] {
            assert_eq!(absent.contains(&feature), !is_built_in, "{feature}");
        }
    }
}
