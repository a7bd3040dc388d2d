//! Layer descriptors in the form of `oras`, and a builder that keeps a manifest within the limits of registries.

use std::collections::HashSet;
use std::io;

use multi_digest::HashingWriter;
use oci_model::annotations::{ORAS_CONTENT_DIGEST, ORAS_CONTENT_UNPACK, TITLE};
use oci_model::{Descriptor, Digest, ImageManifest, MediaType, RawManifest};

use crate::compression::Compression;
use crate::pack::PackedArchive;

/// Returns the descriptor of an archive layer.
///
/// A gzip layer has the three annotations by which `oras` unpacks it. `oras` reads every marked layer as gzip and
/// fails on any other. So layers of other compressions have the title and the tar digest, but not the mark.
pub fn archive_layer(archive: &PackedArchive, title: &str) -> Descriptor {
    let media_type = archive.compression.media_type();
    let layer = Descriptor::new(media_type, archive.blob_digest.clone(), archive.blob_size)
        .with_annotation(TITLE, title)
        .with_annotation(ORAS_CONTENT_DIGEST, archive.tar_digest.as_str());
    match archive.compression {
        Compression::Gzip => layer.with_annotation(ORAS_CONTENT_UNPACK, "true"),
        Compression::Zstd | Compression::None => layer,
    }
}

/// Returns the title of archive layer `number`, counted from 0, for layers that unpack into one directory.
///
/// `oras` refuses equal titles, but treats `dir`, `dir/.` and `dir/./.` as the same directory. Entry names in all
/// of them begin with `dir`.
pub fn archive_title(directory: &str, number: usize) -> String {
    format!("{directory}{}", "/.".repeat(number))
}

/// Returns the descriptor of a layer that holds the bytes of one file. Its title is `directory/path`.
pub fn object_layer(
    directory: &str,
    path: &str,
    media_type: MediaType,
    digest: Digest,
    size: u64,
) -> Descriptor {
    Descriptor::new(media_type, digest, size).with_annotation(TITLE, format!("{directory}/{path}"))
}

/// Returns the descriptor of a layer that is part `number`, counted from 1, of a file too large for one blob.
pub fn part_layer(title: String, digest: Digest, size: u64) -> Descriptor {
    Descriptor::new(MediaType::from_static(MediaType::OCTET_STREAM), digest, size)
        .with_annotation(TITLE, title)
}

/// Returns the title of part `number`, counted from 1, of `count`: `directory/path.part-0001-of-0003`.
///
/// ```
/// let title = oci_pack::part_title("dataset", "data/model.nc", 1, 3);
/// assert_eq!(title, "dataset/data/model.nc.part-0001-of-0003");
/// ```
pub fn part_title(directory: &str, path: &str, number: u32, count: u32) -> String {
    format!("{directory}/{path}.part-{number:04}-of-{count:04}")
}

/// Collects layers and annotations for one manifest and checks it against limits.
///
/// ```
/// use oci_model::{Descriptor, Digest};
/// use oci_pack::{ManifestBuildError, ManifestBuilder, object_layer};
///
/// let digest = Digest::sha256_of(b"15,7.2\n");
/// let layer = object_layer("dataset", "data/a.csv", "text/csv".parse()?, digest, 7);
/// let builder = ManifestBuilder::new("application/bagit-1.0".parse()?, Descriptor::empty()).layer(layer.clone());
/// let manifest = builder.clone().build(4 << 20)?;
/// assert!(manifest.bytes().len() < 1000);
///
/// // `oras` refuses two layers with one title.
/// let twice = builder.layer(layer).build(4 << 20);
/// assert!(matches!(twice, Err(ManifestBuildError::DuplicateTitle { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ManifestBuilder {
    manifest: ImageManifest,
}

/// A manifest that registries or `oras` would refuse.
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
    /// Two layers have the same title, which `oras` refuses.
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

    /// Returns the manifest. One without layers gets the empty layer (image-spec manifest.md, "Guidance for an
    /// Empty Descriptor").
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

/// Returns the exact size of the manifest in bytes, without keeping the bytes.
pub fn manifest_size(manifest: &ImageManifest) -> u64 {
    let mut sink = HashingWriter::counting(io::sink());
    // Maps with text keys and numbers in range, written to a sink: serialising them cannot fail.
    if let Err(error) = serde_json::to_writer(&mut sink, manifest) {
        unreachable!("{error}");
    }
    sink.length()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(compression: Compression) -> PackedArchive {
        PackedArchive {
            compression,
            blob_digest: Digest::sha256_of(b"blob"),
            blob_size: 4,
            tar_digest: Digest::sha256_of(b"tar"),
            tar_size: 3,
            members: Vec::new(),
            data_offsets: Vec::new(),
        }
    }

    #[test]
    fn a_gzip_layer_is_marked_for_unpacking_and_no_other() {
        let layer = archive_layer(&packed(Compression::Gzip), "bag");
        assert_eq!(layer.media_type, MediaType::LAYER_TAR_GZIP);
        assert_eq!((layer.digest, layer.size), (Digest::sha256_of(b"blob"), 4));
        let expected = [
            (ORAS_CONTENT_DIGEST, Digest::sha256_of(b"tar").to_string()),
            (ORAS_CONTENT_UNPACK, "true".to_owned()),
            (TITLE, "bag".to_owned()),
        ];
        assert_eq!(layer.annotations, expected.map(|(key, value)| (key.to_owned(), value)).into());
        for compression in [Compression::Zstd, Compression::None] {
            assert_eq!(archive_layer(&packed(compression), "bag").annotation(ORAS_CONTENT_UNPACK), None);
        }
    }

    #[test]
    fn titles_follow_their_patterns() {
        assert_eq!([0, 1, 2].map(|number| archive_title("bag", number)), ["bag", "bag/.", "bag/./."]);
        assert_eq!(part_title("bag", "data/x.nc", 1, 3), "bag/data/x.nc.part-0001-of-0003");
        assert_eq!(part_title("bag", "x", 12_345, 20_000), "bag/x.part-12345-of-20000");
        let csv: MediaType = "text/csv".parse().unwrap();
        let object = object_layer("bag", "data/a.csv", csv.clone(), Digest::sha256_of(b"a"), 1);
        assert_eq!((object.annotation(TITLE), &object.media_type), (Some("bag/data/a.csv"), &csv));
        let part = part_layer("t".into(), Digest::sha256_of(b"a"), 1);
        assert_eq!((part.annotation(TITLE), part.media_type.as_str()), (Some("t"), MediaType::OCTET_STREAM));
    }

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
