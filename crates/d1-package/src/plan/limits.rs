//! What a store can take, as far as the plan depends on it.

use std::ops::Range;

use registry_backend::Capabilities;

/// Limits that a plan keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanLimits {
    /// The largest number of layers.
    pub max_layers: usize,
    /// The largest manifest in bytes.
    pub max_manifest_bytes: u64,
    /// The largest blob in bytes that the store takes safely, or `None` if any.
    pub max_blob_bytes: Option<u64>,
}

impl PlanLimits {
    /// Returns the ranges of the parts that a file of `size` bytes is cut into, or one range if it is not cut: what
    /// has to be hashed before there is a plan.
    pub fn parts_of(&self, size: u64) -> impl ExactSizeIterator<Item = Range<u64>> + use<> {
        // A limit of 0 would never end; the number of parts is bounded by what a title can count to and more.
        let part = self.max_blob_bytes.unwrap_or(u64::MAX).max(1);
        let count = size.div_ceil(part).max(1);
        (0..usize::try_from(count).unwrap_or(usize::MAX)).map(move |number| {
            let start = (number as u64).saturating_mul(part);
            start..start.saturating_add(part).min(size)
        })
    }

    /// Tells whether a file of `size` bytes is cut into parts.
    #[must_use]
    pub fn needs_parts(&self, size: u64) -> bool {
        self.max_blob_bytes.is_some_and(|limit| size > limit)
    }
}

impl From<&Capabilities> for PlanLimits {
    fn from(capabilities: &Capabilities) -> Self {
        let blob_limits = [capabilities.part_bytes, capabilities.max_blob_bytes];
        Self {
            max_layers: capabilities.max_layers,
            max_manifest_bytes: capabilities.max_manifest_bytes,
            max_blob_bytes: blob_limits.into_iter().flatten().min(),
        }
    }
}

impl Default for PlanLimits {
    fn default() -> Self {
        Self::from(&Capabilities::default())
    }
}
