//! A full disk and a read-only one: file systems of their own, which only root can make.

use std::path::Path;
use std::process::Command;

use backend_layout::LayoutBackend;
use registry_backend::{Access, BytesSource, ErrorKind, RegistryBackend, WriteHint};
use registry_conformance::PseudoRandomSource;
use tempfile::TempDir;

use crate::support::{at, open, skipped, store_artifact, tags, tree};

/// A file system of two mebibytes.
struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let arguments = ["-t", "tmpfs", "-o", "size=2m", "tmpfs"];
        let mounted = Command::new("mount").args(arguments).arg(folder.path()).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self { folder });
        }
        skipped("no file system can be mounted here");
        None
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn make_read_only(&self) {
        let done = Command::new("mount").args(["-o", "remount,ro"]).arg(self.path()).status().unwrap();
        assert!(done.success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_is_an_error_that_names_the_file_and_leaves_nothing() {
    let Some(disk) = SmallDisk::mount() else { return };
    let layout = open(&disk.path().join("layout"), Access::Create).await;
    let raw = store_artifact(&layout, "v1", "a").await;
    let before = tree(disk.path());
    let error =
        layout.write_blob(&PseudoRandomSource::new(1, 3 << 20), &WriteHint::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.to_string().contains(disk.path().to_str().unwrap()), "{error}");
    assert_eq!(tree(disk.path()), before);
    // A disk that is full to the last byte takes no index either.
    let filler = disk.path().join("filler");
    let mut size: usize = 2 << 20;
    while std::fs::write(&filler, vec![0; size]).is_err() && size > 0 {
        size -= 4096;
    }
    let refused = layout.write_manifest(&at("v2"), &raw).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Io, "{refused}");
    assert_eq!(tags(&layout).await, ["v1"]);
    std::fs::remove_file(filler).unwrap();
    layout.write_manifest(&at("v2"), &raw).await.unwrap();
    assert_eq!(tags(&layout).await, ["v1", "v2"]);
}

#[tokio::test]
async fn a_read_only_disk_is_read_and_not_opened_for_writing() {
    let Some(disk) = SmallDisk::mount() else { return };
    let root = disk.path().join("layout");
    let raw = store_artifact(&open(&root, Access::Create).await, "v1", "a").await;
    disk.make_read_only();
    assert_eq!(open(&root, Access::Read).await.read_manifest(&at("v1")).await.unwrap(), raw);
    for access in [Access::Modify, Access::Create] {
        let error = LayoutBackend::open_directory(&root, access).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io);
        assert!(error.to_string().contains(root.to_str().unwrap()), "{error}");
    }
    let other = open(&disk.path().join("other"), Access::Create).await;
    let error = other.write_blob(&BytesSource::new("a"), &WriteHint::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
}
