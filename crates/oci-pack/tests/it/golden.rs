//! Golden digests: the bytes of a packed archive are part of the package format.
//!
//! A changed blob digest means that the encoder gives other bytes. Then its identity (`Compression::encoder`) must
//! change too. A changed tar digest breaks the identity of every archive layer, and `oras` with it.

use oci_pack::Compression;

use crate::support::{MemoryFile, csv, noise, pack_files};

fn files() -> Vec<MemoryFile> {
    vec![
        ("bagit.txt".into(), b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n".to_vec()),
        ("empty".into(), Vec::new()),
        ("data/mooring/2026-temperature.csv".into(), csv(100_000)),
        ("data/mooring/noise.bin".into(), noise(3, 2_500_000)),
        ("data/größe.txt".into(), "Größe in Metern\n".repeat(1000).into_bytes()),
        ("data/zeros.bin".into(), vec![0; 1_200_000]),
        (format!("data/{}/{}", "d".repeat(90), "n".repeat(90)), b"a long name".to_vec()),
    ]
}

#[test]
fn the_tar_archive_never_changes() {
    let (packed, _) = pack_files(&files(), Compression::None, 2);
    assert_eq!(
        packed.tar_digest.as_str(),
        "sha256:5b934417f2a829724b27b075d832f3706e3834ec989a4a91a0c8bf8ad8d910f4"
    );
}

#[test]
fn the_gzip_encoder_gives_the_bytes_of_its_identity() {
    let (packed, _) = pack_files(&files(), Compression::Gzip, 2);
    let found = (Compression::Gzip.encoder(), packed.blob_digest.as_str(), packed.blob_size);
    let expected = (
        "libdeflate-1.26/5/1MiB",
        "sha256:c5b16c61bc5de6c2e02238da3a6ebbab5682f4b43325b3317016f244e306a690",
        2_801_150,
    );
    assert_eq!(found, expected);
}

#[test]
fn the_zstd_encoder_gives_the_bytes_of_its_identity() {
    let (packed, _) = pack_files(&files(), Compression::Zstd, 2);
    let found = (Compression::Zstd.encoder(), packed.blob_digest.as_str(), packed.blob_size);
    let expected = (
        "zstd-1.5.7/3/1MiB",
        "sha256:fa07b6cc2dbb3420408d9cffd5acbc4ffe0dc0f71053c21fd1752efe19cd9e32",
        2_587_011,
    );
    assert_eq!(found, expected);
}

#[test]
fn members_begin_where_they_always_did() {
    let (packed, _) = pack_files(&files(), Compression::None, 2);
    let starts: Vec<u64> = packed.members.iter().map(|member| member.tar_offset).collect();
    assert_eq!(starts, [0, 1_048_576, 2_097_152, 2_644_992, 3_693_568, 4_742_144, 5_165_568, 6_214_144]);
}
