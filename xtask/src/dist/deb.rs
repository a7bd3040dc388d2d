//! A Debian package of the program (deb(5)), with manual pages, completions and systemd units.
//!
//! `cargo-deb` makes such packages too. It takes minutes to build, and its packages have the date of the day: here the same commit gives the same
//! bytes, and a test installs the package.

use std::collections::BTreeSet;
use std::io::Write;

use flate2::{Compression, GzBuilder};

use super::archive::{Archive, DIRECTORY_MODE, PROGRAM_MODE};
use crate::error::{Result, about};

/// The content of a package.
pub(super) struct DebianPackage<'a> {
    pub(super) version: &'a str,
    /// The target triple of the program.
    pub(super) target: &'a str,
    /// Seconds since 1970: the date of all files.
    pub(super) date: u64,
    pub(super) program: &'a [u8],
    /// Names and bytes of the manual pages.
    pub(super) pages: &'a [(String, Vec<u8>)],
    /// Paths and bytes of all other files.
    pub(super) documents: &'a [(String, Vec<u8>)],
}

impl DebianPackage<'_> {
    /// Returns the name of the file.
    pub(super) fn file_name(&self) -> Result<String> {
        Ok(format!("d1oci_{}_{}.deb", self.version, self.architecture()?))
    }

    /// Returns Debian's name of the processor.
    fn architecture(&self) -> Result<&'static str> {
        match self.target.split('-').next() {
            Some("x86_64") => Ok("amd64"),
            Some("aarch64") => Ok("arm64"),
            _ => Err(format!("{}: Debian's name of this processor is not known here", self.target).into()),
        }
    }

    /// Returns the bytes of the package.
    pub(super) fn pack(&self) -> Result<Vec<u8>> {
        let mut control = Archive::new(self.date);
        control.document("control", self.control()?.as_bytes())?;
        let mut package = b"!<arch>\n".to_vec();
        for (name, bytes) in [
            ("debian-binary", b"2.0\n".to_vec()),
            ("control.tar.gz", control.finish()?),
            ("data.tar.gz", self.data()?),
        ] {
            let (date, size) = (self.date, bytes.len());
            writeln!(package, "{name:<16}{date:<12}{:<6}{:<6}{:<8}{size:<10}`", 0, 0, "100644")
                .map_err(about("the package"))?;
            package.extend_from_slice(&bytes);
            // Members begin at even offsets.
            if size % 2 == 1 {
                package.push(b'\n');
            }
        }
        Ok(package)
    }

    fn control(&self) -> Result<String> {
        let documents = self.pages.iter().chain(self.documents).map(|(_, bytes)| bytes.len()).sum::<usize>();
        let size = (self.program.len() + documents).div_ceil(1024);
        let depends = match newest_libc(self.program) {
            Some(minor) => format!("Depends: libc6 (>= 2.{minor}), libgcc-s1\n"),
            None => String::new(),
        };
        Ok(format!(
            "Package: d1oci\nVersion: {}\nArchitecture: {}\nMaintainer: The d1oci contributors\nInstalled-Size: {size}\n{depends}\
             Recommends: ca-certificates\nSection: science\nPriority: optional\n\
             Description: DataONE data packages in OCI registries and image layouts\n \
             Pushes BagIt bags with reproducible digests, finds them by identifier,\n \
             reads single files, and verifies every byte.\n",
            self.version,
            self.architecture()?,
        ))
    }

    fn data(&self) -> Result<Vec<u8>> {
        let mut files = vec![("usr/bin/d1oci".to_owned(), self.program.to_vec(), PROGRAM_MODE)];
        for (name, page) in self.pages {
            let mut packed =
                GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::best());
            packed.write_all(page).map_err(about(name))?;
            let packed = packed.finish().map_err(about(name))?;
            files.push((format!("usr/share/man/man1/{name}.gz"), packed, 0o644));
        }
        files.extend(self.documents.iter().map(|(path, bytes)| (path.clone(), bytes.clone(), 0o644)));
        files.sort();
        let mut archive = Archive::new(self.date);
        let mut directories = BTreeSet::new();
        for (path, bytes, mode) in &files {
            for (at, _) in path.match_indices('/') {
                let directory = path.get(..at).unwrap_or_default();
                if directories.insert(directory) {
                    archive.directory(directory, DIRECTORY_MODE)?;
                }
            }
            archive.file(path, bytes, *mode)?;
        }
        archive.finish()
    }
}

/// Returns the newest version of glibc whose symbols a program uses: 34 for `GLIBC_2.34`. A static program uses none.
pub(super) fn newest_libc(program: &[u8]) -> Option<u32> {
    const MARK: &[u8] = b"GLIBC_2.";
    let marks = program.windows(MARK.len()).enumerate().filter(|(_, window)| *window == MARK);
    let minor = |at: usize| {
        let rest = program.get(at + MARK.len()..)?;
        let digits: String = rest
            .iter()
            .take(3)
            .take_while(|byte| byte.is_ascii_digit())
            .map(|byte| char::from(*byte))
            .collect();
        digits.parse::<u32>().ok()
    };
    marks.filter_map(|(at, _)| minor(at)).max()
}

#[cfg(test)]
mod tests {
    use super::newest_libc;

    #[test]
    fn the_newest_symbol_decides_which_libc_is_needed() {
        assert_eq!(newest_libc(b"\0GLIBC_2.4\0GLIBC_2.34\0GLIBC_2.17\0"), Some(34));
        assert_eq!(newest_libc(b"#!/bin/sh\n"), None);
    }
}
