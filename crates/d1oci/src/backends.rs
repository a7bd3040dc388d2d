//! The backends that this program was built with: one line each.

use registry_backend::Backends;

/// Returns the backends, those made for one kind of place before general ones.
pub(crate) fn backends() -> Backends {
    let backends = Backends::default();
    #[cfg(feature = "backend-layout")]
    let backends = backends.with(backend_layout::LayoutFactory::new());
    #[cfg(not(feature = "backend-layout"))]
    let backends = backends.without("backend-layout", |location| {
        matches!(location, oci_model::Location::Directory(_) | oci_model::Location::Bucket { .. })
    });
    backends.without("backend-generic", |location| matches!(location, oci_model::Location::Registry { .. }))
}
