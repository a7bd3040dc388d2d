//! A Python wheel that puts the program on the `PATH` of an environment (Python Packaging User Guide, "Binary distribution format").
//!
//! `pip install .` builds a wheel with maturin, which compiles the program. This one holds a program that is built already, so that a
//! release has one program in all of its forms.

use std::io::{Cursor, Write};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::deb::newest_libc;
use crate::error::{Result, about};

/// The content of a wheel.
pub(super) struct Wheel<'a> {
    pub(super) version: &'a str,
    /// The target triple of the program.
    pub(super) target: &'a str,
    pub(super) program: &'a [u8],
    /// The README, which is the description.
    pub(super) description: &'a str,
}

impl Wheel<'_> {
    /// Returns the name of the file.
    pub(super) fn file_name(&self) -> Result<String> {
        Ok(format!("d1oci-{}-py3-none-{}.whl", self.version, self.platforms()?.join(".")))
    }

    /// Returns the platforms on which the program runs (PyPA, "Platform compatibility tags").
    fn platforms(&self) -> Result<Vec<String>> {
        let processor = self.target.split('-').next().unwrap_or_default();
        if self.target.contains("apple") {
            return match processor {
                "aarch64" => Ok(vec!["macosx_11_0_arm64".to_owned()]),
                processor => Ok(vec![format!("macosx_10_12_{processor}")]),
            };
        }
        if !self.target.contains("linux") {
            return Err(format!("{}: the tag of this platform is not known here", self.target).into());
        }
        Ok(match newest_libc(self.program) {
            Some(minor) => vec![format!("manylinux_2_{minor}_{processor}")],
            // A static program runs with every C library.
            None => vec![format!("manylinux_2_17_{processor}"), format!("musllinux_1_1_{processor}")],
        })
    }

    /// Returns the bytes of the wheel.
    pub(super) fn pack(&self) -> Result<Vec<u8>> {
        let (data, info) =
            (format!("d1oci-{}.data", self.version), format!("d1oci-{}.dist-info", self.version));
        let tags: String =
            self.platforms()?.iter().map(|platform| format!("Tag: py3-none-{platform}\n")).collect();
        let metadata = format!(
            "Metadata-Version: 2.1\nName: d1oci\nVersion: {}\n\
             Summary: DataONE data packages in OCI registries and image layouts\n\
             License: Apache-2.0 OR MIT\nRequires-Python: >=3.8\nDescription-Content-Type: text/markdown\n\n{}",
            self.version, self.description
        );
        let wheel = format!("Wheel-Version: 1.0\nGenerator: d1oci xtask\nRoot-Is-Purelib: false\n{tags}");
        let files = [
            (format!("{data}/scripts/d1oci"), self.program, 0o755),
            (format!("{info}/METADATA"), metadata.as_bytes(), 0o644),
            (format!("{info}/WHEEL"), wheel.as_bytes(), 0o644),
        ];
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        let mut add = |path: &str, bytes: &[u8], mode: u32| -> Result<()> {
            let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
            writer
                .start_file(path, options.unix_permissions(mode))
                .map_err(|error| format!("{path}: {error}"))?;
            writer.write_all(bytes).map_err(about(path))
        };
        let mut record = String::new();
        for (path, bytes, mode) in &files {
            add(path, bytes, *mode)?;
            let digest = URL_SAFE_NO_PAD.encode(Sha256::digest(bytes));
            record += &format!("{path},sha256={digest},{}\n", bytes.len());
        }
        let path = format!("{info}/RECORD");
        record += &format!("{path},,\n");
        add(&path, record.as_bytes(), 0o644)?;
        let written = writer.finish().map_err(|error| format!("the wheel: {error}"))?;
        Ok(written.into_inner())
    }
}
