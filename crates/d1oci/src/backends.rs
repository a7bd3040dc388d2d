//! The backends that this program was built with: one line each.

use registry_backend::Backends;

/// Returns the backends, those made for one kind of place before general ones.
pub(crate) fn backends() -> Backends {
    let backends = Backends::default();
    #[cfg(feature = "backend-layout")]
    let backends = backends.with(backend_layout::LayoutFactory::new().with_bucket_options(bucket_options()));
    #[cfg(not(feature = "backend-layout"))]
    let backends = backends.without("backend-layout", |location| {
        matches!(location, oci_model::Location::Directory(_) | oci_model::Location::Bucket { .. })
    });
    backends.without("backend-generic", |location| matches!(location, oci_model::Location::Registry { .. }))
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
