//! A container image with the program alone, as an OCI image layout (image specification 1.1).

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use serde_json::{Value, json};

use super::archive::{Archive, DIRECTORY_MODE, PROGRAM_MODE};
use super::sha256;
use crate::error::{Result, about, at};

/// The mode of a directory that everybody may write to.
const SHARED_MODE: u32 = 0o1777;

/// The parts of an image.
pub(super) struct Image<'a> {
    /// A static program: the image has no other files that it could load.
    pub(super) program: &'a Path,
    pub(super) certificates: &'a Path,
    /// The target triple of the program.
    pub(super) target: &'a str,
    /// Seconds since 1970.
    pub(super) date: u64,
}

impl Image<'_> {
    /// Writes the image into a new layout, with its version as the tag.
    pub(super) fn write(&self, layout: &Path, version: &str) -> Result<()> {
        if layout.join("index.json").exists() {
            return Err(format!("{}: the layout already exists", layout.display()).into());
        }
        let program = fs::read(self.program).map_err(at(self.program))?;
        if has_interpreter(&program) {
            return Err(format!(
                "{}: the program loads shared libraries, which an image without other files does not have; \
                 build it with --target {}-unknown-linux-musl",
                self.program.display(),
                self.target.split('-').next().unwrap_or_default()
            )
            .into());
        }
        let layer = self.layer(&program)?;
        let blobs = Blobs { directory: layout.join("blobs/sha256") };
        fs::create_dir_all(&blobs.directory).map_err(at(&blobs.directory))?;
        let layer_descriptor = blobs.add("application/vnd.oci.image.layer.v1.tar+gzip", &layer)?;
        let config = blobs
            .add("application/vnd.oci.image.config.v1+json", &serde_json::to_vec(&self.config(&layer)?)?)?;
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config,
            "layers": [layer_descriptor],
            "annotations": {
                "org.opencontainers.image.licenses": "Apache-2.0 OR MIT",
                "org.opencontainers.image.title": "d1oci",
                "org.opencontainers.image.version": version,
            },
        });
        let mut descriptor =
            blobs.add("application/vnd.oci.image.manifest.v1+json", &serde_json::to_vec(&manifest)?)?;
        if let Some(fields) = descriptor.as_object_mut() {
            fields.insert("platform".to_owned(), self.platform());
            fields.insert("annotations".to_owned(), json!({ "org.opencontainers.image.ref.name": version }));
        }
        let index = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [descriptor],
        });
        save(&layout.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        save(&layout.join("index.json"), &serde_json::to_vec(&index)?)
    }

    /// Packs the program, the certificates, and the directories that it writes to.
    fn layer(&self, program: &[u8]) -> Result<Vec<u8>> {
        let mut layer = Archive::new(self.date);
        for directory in ["etc", "etc/ssl", "etc/ssl/certs"] {
            layer.directory(directory, DIRECTORY_MODE)?;
        }
        let certificates = fs::read(self.certificates).map_err(at(self.certificates))?;
        layer.document("etc/ssl/certs/ca-certificates.crt", &certificates)?;
        layer.directory("tmp", SHARED_MODE)?;
        for directory in ["usr", "usr/bin"] {
            layer.directory(directory, DIRECTORY_MODE)?;
        }
        layer.file("usr/bin/d1oci", program, PROGRAM_MODE)?;
        layer.directory("work", SHARED_MODE)?;
        layer.finish()
    }

    fn config(&self, layer: &[u8]) -> Result<Value> {
        let mut unpacked = Vec::new();
        GzDecoder::new(layer).read_to_end(&mut unpacked).map_err(about("the layer"))?;
        let mut config = self.platform();
        if let Some(fields) = config.as_object_mut() {
            fields.insert(
                "config".to_owned(),
                json!({
                    // Nobody owns a file of the image, so a program of this user can change none.
                    "User": "65532:65532",
                    "Env": ["PATH=/usr/bin", "HOME=/work"],
                    "Entrypoint": ["/usr/bin/d1oci"],
                    "Cmd": ["help"],
                    "WorkingDir": "/work",
                }),
            );
            let layers = [format!("sha256:{}", sha256(&unpacked))];
            fields.insert("rootfs".to_owned(), json!({ "type": "layers", "diff_ids": layers }));
        }
        Ok(config)
    }

    /// Returns the platform as Go names it.
    fn platform(&self) -> Value {
        let architecture = match self.target.split('-').next() {
            Some("x86_64") => "amd64",
            Some("aarch64") => "arm64",
            other => other.unwrap_or_default(),
        };
        json!({ "architecture": architecture, "os": "linux" })
    }
}

/// Says whether an ELF program names an interpreter, which loads its shared libraries: a program header of type `PT_INTERP`.
fn has_interpreter(program: &[u8]) -> bool {
    const PT_INTERP: u32 = 3;
    let number = |at: usize, length: usize| -> Option<usize> {
        let bytes = program.get(at..at.checked_add(length)?)?;
        Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    };
    // Offsets in the header of a 64-bit little-endian file.
    let headers = || Some((number(32, 8)?, number(54, 2)?, number(56, 2)?));
    let Some((start, size, count)) = headers().filter(|_| program.starts_with(b"\x7FELF\x02\x01")) else {
        return false;
    };
    let kind = |index: usize| number(start.checked_add(index.checked_mul(size)?)?, 4);
    (0..count).any(|index| kind(index) == Some(PT_INTERP as usize))
}

struct Blobs {
    directory: PathBuf,
}

impl Blobs {
    /// Writes a blob, and returns its descriptor.
    fn add(&self, media_type: &str, bytes: &[u8]) -> Result<Value> {
        let digest = sha256(bytes);
        save(&self.directory.join(&digest), bytes)?;
        Ok(json!({ "mediaType": media_type, "digest": format!("sha256:{digest}"), "size": bytes.len() }))
    }
}

fn save(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).map_err(at(path))
}

#[cfg(test)]
mod tests {
    use super::has_interpreter;

    #[test]
    fn programs_with_shared_libraries_are_known() {
        // The test itself is such a program on the platforms of the glibc.
        let this = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(has_interpreter(&this), cfg!(all(target_os = "linux", target_env = "gnu")));
        assert!(!has_interpreter(b"#!/bin/sh\n") && !has_interpreter(b"\x7FELF\x02\x01"));
    }
}
