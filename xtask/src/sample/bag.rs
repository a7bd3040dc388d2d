//! The tag files that make a directory a bag: BagIt 1.0, RFC 8493, with MD5 and SHA-256.

use std::path::Path;

use super::write::{WrittenFile, write_bytes};
use crate::error::Result;

/// The day of every sample; the clock would make two samples differ.
pub(super) const BAGGING_DATE: &str = "2025-01-15";

const DECLARATION: &str = "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n";

/// Names an algorithm and where a file has its digest.
type Algorithm = (&'static str, fn(&WrittenFile) -> &str);

const ALGORITHMS: [Algorithm; 2] = [("md5", |file| &file.md5), ("sha256", |file| &file.sha256)];

/// Writes the tag files over the payload and the other tag files, which are there already.
pub(super) fn write_tag_files(
    bag: &Path,
    identifier: &str,
    payload: &[WrittenFile],
    mut tag_files: Vec<WrittenFile>,
) -> Result<()> {
    tag_files.push(write_bytes(bag, "bagit.txt", DECLARATION.as_bytes())?);
    tag_files.push(write_bytes(bag, "bag-info.txt", bag_info(identifier, payload).as_bytes())?);
    for (name, digest) in ALGORITHMS {
        let text = manifest(payload, digest);
        tag_files.push(write_bytes(bag, &format!("manifest-{name}.txt"), text.as_bytes())?);
    }
    for (name, digest) in ALGORITHMS {
        let text = manifest(&tag_files, digest);
        write_bytes(bag, &format!("tagmanifest-{name}.txt"), text.as_bytes())?;
    }
    Ok(())
}

fn bag_info(identifier: &str, payload: &[WrittenFile]) -> String {
    let size: u64 = payload.iter().map(|file| file.size).sum();
    let (files, human) = (payload.len(), human_size(size));
    format!(
        "Bagging-Date: {BAGGING_DATE}\nExternal-Identifier: {identifier}\nPayload-Oxum: {size}.{files}\n\
         Bag-Size: {human}\n"
    )
}

fn manifest(files: &[WrittenFile], digest: fn(&WrittenFile) -> &str) -> String {
    let mut lines: Vec<_> = files.iter().map(|file| (encode_path(&file.path), digest(file))).collect();
    lines.sort_unstable();
    lines.into_iter().map(|(path, digest)| format!("{digest}  {path}\n")).collect()
}

/// Encodes what would end the line, and the sign of the encoding itself (RFC 8493 section 2.1.3).
fn encode_path(path: &str) -> String {
    path.replace('%', "%25").replace('\n', "%0A").replace('\r', "%0D")
}

/// Writes a size as people do, with one digit behind the point.
fn human_size(size: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KB", "MB", "GB", "TB"];
    let (mut tenths, mut unit) = (u128::from(size) * 10, 0);
    while tenths >= 10_000 && unit + 1 < UNITS.len() {
        tenths /= 1000;
        unit += 1;
    }
    match unit {
        0 => format!("{size} B"),
        unit => format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::{encode_path, human_size};

    #[test]
    fn paths_are_encoded_as_bagit_has_it() {
        assert_eq!(encode_path("data/100%\n\r.csv"), "data/100%25%0A%0D.csv");
        assert_eq!(encode_path("data/é b"), "data/é b");
    }

    #[test]
    fn sizes_read_well() {
        let cases =
            [(0, "0 B"), (999, "999 B"), (1000, "1.0 KB"), (54_700, "54.7 KB"), (u64::MAX, "18446744.0 TB")];
        for (size, expected) in cases {
            assert_eq!(human_size(size), expected);
        }
    }
}
