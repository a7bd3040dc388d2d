//! A disk that is too small until it is resized: a tmpfs.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::system::system;

/// A file system in memory with a bounded size. It ends when the value is dropped.
#[derive(Debug)]
pub(super) struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Makes a disk, or returns the reason why this machine cannot have one.
    pub(super) fn mount(at: &Path, bytes: u64) -> Result<Self, String> {
        std::fs::create_dir_all(at).map_err(|error| error.to_string())?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"]).arg(at);
        // Without the directory, the reason is the same in every round.
        system(&mut mount).map_err(|reason| reason.replace(&*at.to_string_lossy(), "the disk"))?;
        Ok(Self(at.to_owned()))
    }

    /// Gives the disk another size.
    pub(super) fn resize(&self, bytes: u64) -> Result<(), String> {
        system(Command::new("mount").args(["-o", &format!("remount,size={bytes}")]).arg(&self.0)).map(drop)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A lazy unmount succeeds even while the disk is in use.
        let _ = system(Command::new("umount").arg("-l").arg(&self.0));
    }
}
