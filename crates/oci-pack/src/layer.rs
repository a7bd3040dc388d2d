//! Layer descriptors and titles, as `oras` writes and reads them.

use oci_model::annotations::{ORAS_CONTENT_DIGEST, ORAS_CONTENT_UNPACK, TITLE};
use oci_model::{Descriptor, Digest, MediaType};

use crate::{Compression, PackedArchive};

/// Returns the descriptor of an archive layer.
///
/// A gzip layer has the three annotations by which `oras` unpacks it. `oras` takes every layer that is marked so for gzip
/// and fails on any other, so layers of other compressions have the title and the tar digest, and no mark.
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

/// Returns the title of archive layer `number`, counted from 0, of several that unpack into one directory.
///
/// `oras` refuses equal titles, but takes `dir`, `dir/.`, `dir/./.` for the same directory. Entry names in all of them
/// begin with `dir`.
pub fn archive_title(directory: &str, number: usize) -> String {
    format!("{directory}{}", "/.".repeat(number))
}

/// Returns the descriptor of a layer that is one file's bytes; its title is `directory/path`.
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
pub fn part_title(directory: &str, path: &str, number: u32, count: u32) -> String {
    format!("{directory}/{path}.part-{number:04}-of-{count:04}")
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
}
