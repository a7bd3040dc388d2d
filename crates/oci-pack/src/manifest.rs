//! Building a package's manifest within the limits of registries.

use std::collections::HashSet;
use std::io;

use multi_digest::HashingWriter;
use oci_model::annotations::TITLE;
use oci_model::{Descriptor, ImageManifest, MediaType, RawManifest};

/// Collects layers and annotations for one manifest and checks it against limits.
#[derive(Clone, Debug)]
pub struct ManifestBuilder {
    manifest: ImageManifest,
}

/// A manifest that registries or `oras` would not take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestBuildError {
    /// The manifest has too many bytes.
    #[error("the manifest has {size} bytes in {layers} layers, more than the limit of {limit}")]
    TooLarge {
        /// Size of the manifest in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
        /// Number of layers.
        layers: usize,
    },
    /// Two layers have one title, which `oras` refuses.
    #[error("two layers have the title `{title}`")]
    DuplicateTitle {
        /// The title.
        title: String,
    },
}

impl ManifestBuilder {
    /// Returns a builder for an artifact with this configuration.
    pub fn new(artifact_type: MediaType, config: Descriptor) -> Self {
        Self { manifest: ImageManifest::new(artifact_type, config) }
    }

    /// Adds a layer.
    #[must_use]
    pub fn layer(mut self, layer: Descriptor) -> Self {
        self.manifest.layers.push(layer);
        self
    }

    /// Adds layers.
    #[must_use]
    pub fn layers(mut self, layers: impl IntoIterator<Item = Descriptor>) -> Self {
        self.manifest.layers.extend(layers);
        self
    }

    /// Adds an annotation.
    #[must_use]
    pub fn annotation(mut self, key: &str, value: impl Into<String>) -> Self {
        self.manifest.annotations.insert(key.to_owned(), value.into());
        self
    }

    /// Makes the artifact a referrer of `subject`.
    #[must_use]
    pub fn subject(mut self, subject: Descriptor) -> Self {
        self.manifest.subject = Some(subject);
        self
    }

    /// Returns the manifest; without layers it gets the empty one (image-spec manifest.md, "Guidance for an Empty
    /// Descriptor").
    ///
    /// # Errors
    ///
    /// If the manifest has more than `limit` bytes, or two layers have one title.
    pub fn build(mut self, limit: u64) -> Result<RawManifest, ManifestBuildError> {
        let mut titles = HashSet::new();
        for title in self.manifest.layers.iter().filter_map(|layer| layer.annotation(TITLE)) {
            if !titles.insert(title) {
                return Err(ManifestBuildError::DuplicateTitle { title: title.to_owned() });
            }
        }
        if self.manifest.layers.is_empty() {
            self.manifest.layers.push(Descriptor::empty());
        }
        let size = manifest_size(&self.manifest);
        if size > limit {
            let layers = self.manifest.layers.len();
            return Err(ManifestBuildError::TooLarge { size, limit, layers });
        }
        Ok(RawManifest::from_image(&self.manifest))
    }
}

/// Returns the exact size of the manifest's bytes, without keeping them.
pub fn manifest_size(manifest: &ImageManifest) -> u64 {
    let mut sink = HashingWriter::counting(io::sink());
    // Maps with text keys and numbers in range, written to a sink: nothing here can fail.
    if let Err(error) = serde_json::to_writer(&mut sink, manifest) {
        unreachable!("{error}");
    }
    sink.length()
}

#[cfg(test)]
mod tests {
    use oci_model::Digest;

    use super::*;
    use crate::object_layer;

    fn builder() -> ManifestBuilder {
        ManifestBuilder::new("application/bagit-1.0".parse().unwrap(), Descriptor::empty())
    }

    fn layer(path: &str) -> Descriptor {
        object_layer("bag", path, "text/csv".parse().unwrap(), Digest::sha256_of(path.as_bytes()), 1)
    }

    #[test]
    fn a_manifest_without_layers_gets_the_empty_one() {
        let manifest = builder().annotation("k", "v").build(10_000).unwrap().parse().unwrap();
        let oci_model::Manifest::Image(manifest) = manifest else { panic!("an image manifest") };
        assert_eq!(manifest.layers, [Descriptor::empty()]);
        assert_eq!(manifest.annotations["k"], "v");
    }

    #[test]
    fn layers_keep_their_order_and_the_limit_is_exact() {
        let built = || builder().layers(["b", "a"].map(layer)).layer(layer("<&>\u{e9}")).subject(layer("s"));
        let raw = built().build(u64::MAX).unwrap();
        let size = raw.bytes().len() as u64;
        assert_eq!(built().build(size).unwrap(), raw);
        let error = built().build(size - 1).unwrap_err();
        assert_eq!(error, ManifestBuildError::TooLarge { size, limit: size - 1, layers: 3 });
        let oci_model::Manifest::Image(manifest) = raw.parse().unwrap() else { panic!("an image manifest") };
        assert_eq!(manifest_size(&manifest), size);
        assert_eq!(manifest.layers, [layer("b"), layer("a"), layer("<&>\u{e9}")]);
        assert_eq!(manifest.subject, Some(layer("s")));
    }

    #[test]
    fn equal_titles_are_refused() {
        let error = builder().layers(["a", "b", "a"].map(layer)).build(10_000).unwrap_err();
        assert_eq!(error, ManifestBuildError::DuplicateTitle { title: "bag/a".into() });
    }
}
