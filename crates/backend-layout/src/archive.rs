//! A layout in a tar file, as `skopeo` writes it (`oci-archive:FILE.tar`). It is only read.

use std::cell::Cell;
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use oci_model::Digest;
use registry_backend::{BlobRead, BlobSource, Error, ErrorKind, Result};

use crate::directory::{blocking, read_file};
use crate::index::{INDEX_LIMIT, Index};
use crate::storage::{
    INDEX_FILE, IndexUpdate, LAYOUT_FILE, LAYOUT_FILE_LIMIT, Presence, Storage, StoredBlob, absent,
    check_layout_file, outside,
};

/// The scheme of references to such files.
pub(crate) const SCHEME: &str = "oci-archive";

/// The most entries of a file. A million packages have a few million blobs.
const MOST_ENTRIES: usize = 10_000_000;

/// The most bytes of an entry that are read: long names and other extensions are read into memory, and `index.json` too.
const ENTRY_LIMIT: u64 = INDEX_LIMIT + (1 << 20);

/// The places of the blobs of a layout in a tar file.
#[derive(Debug)]
pub(crate) struct Archive {
    path: PathBuf,
    index: Arc<Index>,
    /// The offset and the size of each blob in bytes.
    blobs: HashMap<Digest, (u64, u64)>,
}

impl Archive {
    /// Reads the index and the places of the blobs.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) if the file does not exist; [`Invalid`](ErrorKind::Invalid) if it is not an uncompressed tar file
    /// with a layout.
    pub(crate) async fn open(path: &Path) -> Result<Self> {
        let path = path.to_owned();
        blocking("open", move || Self::scan(path)).await
    }

    fn scan(path: PathBuf) -> Result<Self> {
        let name = format!("{SCHEME}:{}", path.display());
        let failed = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => Error::new(ErrorKind::NotFound, "open", &name),
            _ => Error::io("open", &name, error),
        };
        let invalid = |reason: &str| Error::new(ErrorKind::Invalid, "open", &name).because(reason);
        if !path.metadata().map_err(failed)?.is_file() {
            return Err(invalid("expected a tar file, found a directory, a pipe or a device"));
        }
        let not_tar = |error: std::io::Error| invalid("expected an uncompressed tar file").caused_by(error);
        let file = File::open(&path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        let left = Rc::new(Cell::new(ENTRY_LIMIT));
        let mut archive = tar::Archive::new(Bounded { file, left: Rc::clone(&left) });
        let (mut layout, mut index, mut blobs) = (None, None, HashMap::new());
        for (number, entry) in archive.entries_with_seek().map_err(not_tar)?.enumerate() {
            if number >= MOST_ENTRIES {
                return Err(invalid("the file has too many entries"));
            }
            let mut entry = entry.map_err(not_tar)?;
            left.set(ENTRY_LIMIT);
            if entry.raw_file_position().saturating_add(entry.size()) > length {
                return Err(invalid("the tar file ends early"));
            }
            if !entry.header().entry_type().is_file() {
                continue;
            }
            let place = (entry.raw_file_position(), entry.size());
            let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            match path.strip_prefix("./").unwrap_or(&path) {
                LAYOUT_FILE => layout = Some(text(&mut entry, LAYOUT_FILE_LIMIT).map_err(not_tar)?),
                INDEX_FILE => index = Some(text(&mut entry, INDEX_LIMIT).map_err(not_tar)?),
                path => {
                    blobs.extend(digest_of(path).map(|digest| (digest, place)));
                }
            }
        }
        let layout = layout.ok_or_else(|| invalid("the tar file has no `oci-layout` at its top"))?;
        check_layout_file(layout.as_bytes(), &name)?;
        let index = index.ok_or_else(|| invalid("the tar file has no `index.json` at its top"))?;
        let index = Index::parse(index);
        let index = index.map_err(|error| invalid("its `index.json` is damaged").caused_by(error))?;
        Ok(Self { path, index: Arc::new(index), blobs })
    }

    fn read_only<T>(&self, operation: &'static str) -> Result<T> {
        let name = format!("{SCHEME}:{}", self.path.display());
        Err(Error::new(ErrorKind::Unsupported, operation, name)
            .because("a layout in a tar file is only read"))
    }
}

/// A file that gives only some bytes between two changes of the limit. Seeking does not count.
struct Bounded {
    file: File,
    left: Rc<Cell<u64>>,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.file.read(buffer)?;
        let left = self.left.get().checked_sub(count as u64);
        self.left.set(left.ok_or_else(|| std::io::Error::other("an entry is too large"))?);
        Ok(count)
    }
}

impl Seek for Bounded {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.file.seek(to)
    }
}

/// Returns the text of an entry of at most `limit` bytes.
fn text(entry: &mut impl Read, limit: u64) -> std::io::Result<String> {
    let mut text = String::new();
    entry.take(limit.saturating_add(1)).read_to_string(&mut text)?;
    if text.len() as u64 > limit {
        return Err(std::io::Error::other(format!("expected at most {limit} bytes")));
    }
    Ok(text)
}

/// Returns the digest of a blob by its path (image-spec image-layout.md, "Blobs").
fn digest_of(path: &str) -> Option<Digest> {
    let (algorithm, encoded) = path.strip_prefix("blobs/")?.split_once('/')?;
    format!("{algorithm}:{encoded}").parse().ok()
}

#[async_trait]
impl Storage for Archive {
    async fn index(&self) -> Result<Arc<Index>> {
        Ok(Arc::clone(&self.index))
    }

    fn known_index(&self) -> Option<Arc<Index>> {
        Some(Arc::clone(&self.index))
    }

    async fn begin_update(&self) -> Result<Box<dyn IndexUpdate>> {
        self.read_only("update the index of")
    }

    async fn replace_lost_index(&self) -> Result<()> {
        self.read_only("create the index of")
    }

    fn update_excludes_others(&self) -> bool {
        true
    }

    async fn size(&self, digest: &Digest) -> Result<Option<u64>> {
        Ok(self.blobs.get(digest).map(|(_, size)| *size))
    }

    async fn read(&self, digest: &Digest, range: Option<Range<u64>>) -> Result<BlobRead> {
        let (start, blob_size) = *self.blobs.get(digest).ok_or_else(|| absent("read blob", digest))?;
        let range = range.unwrap_or(0..blob_size);
        if range.start > range.end || range.end > blob_size {
            return Err(outside(digest, &range, blob_size));
        }
        let (path, first) = (self.path.clone(), start.saturating_add(range.start));
        let open =
            move || File::open(path).and_then(|mut file| file.seek(SeekFrom::Start(first)).map(|_| file));
        let target = digest.clone();
        let opened =
            blocking("read blob", move || open().map_err(|error| Error::io("read blob", &target, error)));
        let left = range.end.saturating_sub(range.start);
        let stream = read_file(opened.await?, left, digest, &self.path).await?;
        Ok(BlobRead { range, blob_size, stream })
    }

    async fn store(&self, _blob: &dyn BlobSource) -> Result<()> {
        self.read_only("write blob")
    }

    async fn copy(&self, _blob: &dyn BlobSource) -> Result<bool> {
        Ok(false)
    }

    async fn sync(&self) -> Result<()> {
        Ok(())
    }

    async fn renew(&self, _digest: &Digest, _size: u64) -> Result<Presence> {
        self.read_only("write blob")
    }

    async fn presence(&self, blobs: &[(Digest, u64)]) -> Result<Vec<Presence>> {
        let presence = |(digest, size): &(Digest, u64)| {
            let exists = self.blobs.get(digest).is_some_and(|(_, found)| found == size);
            if exists { Presence::Kept } else { Presence::Absent }
        };
        Ok(blobs.iter().map(presence).collect())
    }

    async fn list(&self) -> Result<Vec<StoredBlob>> {
        let blob = |(digest, (_, size)): (&Digest, &(u64, u64))| StoredBlob {
            digest: digest.clone(),
            size: *size,
            modified: SystemTime::UNIX_EPOCH,
        };
        Ok(self.blobs.iter().map(blob).collect())
    }

    async fn removable_before(&self, _grace: Duration) -> Result<SystemTime> {
        Ok(SystemTime::UNIX_EPOCH)
    }

    async fn remove_partial(&self, _before: SystemTime, _only_count: bool) -> Result<u64> {
        Ok(0)
    }
}
