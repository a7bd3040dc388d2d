//! A disk that can lose power: an ext4 file system on a loop device.
//!
//! The image file holds the blocks that the file system has sent to its disk. Everything else is in the memory of the
//! operating system, and a power cut would lose it. So a copy of the image, mounted again, is the disk after a power cut.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::system::system;

/// The size of the disk in bytes. The image is sparse.
const SIZE: u64 = 256 << 20;

/// A mounted disk. It is unmounted when the value is dropped.
#[derive(Debug)]
pub struct PowerDisk {
    folder: TempDir,
}

impl PowerDisk {
    /// Makes an empty disk.
    ///
    /// # Errors
    ///
    /// A message that says why this machine cannot have one.
    ///
    /// # Panics
    ///
    /// If a temporary file cannot be made.
    pub fn make() -> Result<Self, String> {
        let disk = Self::unmounted();
        let image = File::create(disk.image()).expect("a file can be made");
        image.set_len(SIZE).expect("the file can be resized");
        system(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(disk.image()))?;
        disk.mount()
    }

    /// Returns the disk as a power cut at this moment would leave it.
    ///
    /// # Errors
    ///
    /// A message, if it cannot be mounted.
    ///
    /// # Panics
    ///
    /// If the image cannot be copied.
    pub fn after_power_cut(&self) -> Result<Self, String> {
        let disk = Self::unmounted();
        let mut copy = Command::new("cp");
        system(copy.arg("--sparse=always").arg(self.image()).arg(disk.image()))?;
        disk.mount()
    }

    /// Returns the directory of the files on the disk.
    pub fn path(&self) -> PathBuf {
        self.mount_point().join("files")
    }

    /// Sends everything to the disk: the next power cut loses only later changes.
    ///
    /// # Errors
    ///
    /// A message, if the system refuses.
    pub fn sync(&self) -> Result<(), String> {
        system(Command::new("sync").arg("--file-system").arg(self.mount_point())).map(drop)
    }

    fn unmounted() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        std::fs::create_dir(folder.path().join("disk")).expect("a folder can be made");
        Self { folder }
    }

    fn mount(self) -> Result<Self, String> {
        // Mounting replays the journal.
        let mount =
            system(Command::new("mount").args(["-o", "loop"]).arg(self.image()).arg(self.mount_point()));
        mount.map_err(|reason| reason.replace(&*self.folder.path().to_string_lossy(), "the disk"))?;
        // The root of an ext4 file system has a directory `lost+found`.
        std::fs::create_dir_all(self.path()).map_err(|error| error.to_string())?;
        Ok(self)
    }

    fn image(&self) -> PathBuf {
        self.folder.path().join("image")
    }

    fn mount_point(&self) -> PathBuf {
        self.folder.path().join("disk")
    }
}

impl Drop for PowerDisk {
    fn drop(&mut self) {
        let point: &Path = &self.mount_point();
        // The device of the mount ends with it.
        let _ = system(Command::new("umount").arg("-l").arg(point));
    }
}
