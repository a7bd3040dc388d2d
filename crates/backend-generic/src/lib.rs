//! A registry backend for every registry that speaks the OCI distribution specification.
#![doc = include_str!("../README.md")]

use distribution_client::Profile;

// Crates whose types are in this crate's signatures.
pub use distribution_client;

/// Returns the profile of a registry about which nothing special is known.
///
/// ```
/// assert!(backend_generic::profile().capabilities.any_config_type);
/// ```
pub fn profile() -> Profile {
    Profile::generic()
}
