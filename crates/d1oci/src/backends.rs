//! The backends that this program was built with: one line each.

use registry_backend::Backends;

#[cfg(feature = "distribution-client")]
use crate::registries::RegistryPlace;
#[cfg(any(feature = "backend-generic", feature = "backend-ghcr", feature = "backend-quay"))]
use crate::settings::BackendKind;

/// Returns the backends, those made for one kind of place before general ones.
pub(crate) fn backends() -> Backends {
    let backends = Backends::default();
    #[cfg(feature = "distribution-client")]
    let backends = with_registries(backends, &RegistryPlace::default());
    #[cfg(feature = "backend-layout")]
    let backends = backends.with(backend_layout::LayoutFactory::new().with_bucket_options(bucket_options()));
    #[cfg(not(feature = "backend-layout"))]
    let backends = backends.without("backend-layout", |location| {
        matches!(location, oci_model::Location::Directory(_) | oci_model::Location::Bucket { .. })
    });
    without_absent(backends)
}

/// Returns the backends for one registry, which share its client.
#[cfg(feature = "distribution-client")]
pub(crate) fn backends_for(place: &RegistryPlace) -> Backends {
    without_absent(with_registries(Backends::default(), place))
}

#[cfg(feature = "distribution-client")]
fn with_registries(backends: Backends, place: &RegistryPlace) -> Backends {
    #[cfg_attr(
        not(any(feature = "backend-generic", feature = "backend-ghcr", feature = "backend-quay")),
        expect(unused_variables, reason = "the client alone opens nothing")
    )]
    let registries = || place.registries.clone();
    #[cfg(feature = "backend-ghcr")]
    let backends = {
        let factory = backend_ghcr::GhcrFactory::new(registries());
        let factory = factory.with_profile(place.profile(BackendKind::Ghcr));
        backends.with(match place.github_server() {
            Some((host, interface)) => factory.with_host(host, interface),
            None => factory,
        })
    };
    #[cfg(feature = "backend-generic")]
    let backends = backends.with(
        backend_generic::GenericFactory::new(registries()).with_profile(place.profile(BackendKind::Generic)),
    );
    // It can serve any registry, but where nothing else is known the general one shall.
    #[cfg(feature = "backend-quay")]
    let backends = backends
        .with(backend_quay::QuayFactory::new(registries()).with_profile(place.profile(BackendKind::Quay)));
    backends
}

/// Notes the backends for registries that are not built in.
fn without_absent(backends: Backends) -> Backends {
    #[cfg(not(feature = "backend-ghcr"))]
    let backends = backends.without(
        "backend-ghcr",
        |location| matches!(location, oci_model::Location::Registry { host, .. } if host == "ghcr.io"),
    );
    #[cfg(not(feature = "backend-quay"))]
    let backends = backends.without(
        "backend-quay",
        |location| matches!(location, oci_model::Location::Registry { host, .. } if host == "quay.io"),
    );
    #[cfg(not(feature = "backend-generic"))]
    let backends = backends
        .without("backend-generic", |location| matches!(location, oci_model::Location::Registry { .. }));
    backends
}

/// Returns the settings for buckets that the environment holds under the names that the vendors' own tools use, such as
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
