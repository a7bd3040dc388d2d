//! A disk that is too small, and then is not: a tmpfs of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A file system in memory with a bounded size; it is gone with the value.
#[derive(Debug)]
pub(super) struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Makes a disk, or says why that is not possible.
    pub(super) fn mount(at: &Path, bytes: u64) -> Result<Self, String> {
        std::fs::create_dir_all(at).map_err(|error| error.to_string())?;
        run(Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"]).arg(at))?;
        Ok(Self(at.to_owned()))
    }

    /// Gives the disk another size.
    pub(super) fn resize(&self, bytes: u64) -> Result<(), String> {
        run(Command::new("mount").args(["-o", &format!("remount,size={bytes}")]).arg(&self.0))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A lazy unmount never fails for want of patience.
        let _ = run(Command::new("umount").arg("-l").arg(&self.0));
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{command:?}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(said.trim().to_owned()) }
}
