//! Tests that look behind the contract: locks, races and caches.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use oci_model::{Descriptor, Digest, ImageManifest, Manifest, RawManifest};
use registry_backend::{
    Access, BlobSource, ByteStream, BytesSource, Error, ErrorKind, RegistryBackend, Result, Retry, WriteHint,
};
use tempfile::TempDir;

use super::Directory;
use super::index_file::Mode;
use crate::index::{Additions, EMPTY_INDEX, Edit};
use crate::reachable::Reachable;
use crate::storage::{Commit, IndexUpdate, Presence, Storage};

/// A layout whose writers do not wait for one another.
async fn impatient() -> (TempDir, PathBuf, Directory) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("layout");
    let directory =
        Directory::open_with_patience(root.clone(), Access::Create, Duration::ZERO).await.unwrap();
    directory.create().await.unwrap();
    (folder, root, directory)
}

/// The same layout as another process would have it.
async fn another(root: &Path) -> Directory {
    Directory::open_with_patience(root.to_path_buf(), Access::Modify, Duration::ZERO).await.unwrap()
}

fn indexed(note: &str) -> String {
    EMPTY_INDEX.replace("\"manifests\"", &format!("\"note\":\"{note}\",\"manifests\""))
}

fn image() -> ImageManifest {
    ImageManifest::new("application/x-test".parse().unwrap(), Descriptor::empty())
}

/// The change that lists a manifest under a tag.
fn adding(update: &dyn IndexUpdate, tag: &str) -> Edit {
    let manifest = image();
    let raw = RawManifest::from_image(&manifest);
    let mut additions = Additions::to(update.index());
    additions.add(Some(&tag.parse().unwrap()), &raw, &Manifest::Image(manifest)).unwrap();
    additions.edit().unwrap()
}

#[tokio::test]
async fn who_waits_too_long_for_the_lock_is_told_so() {
    let (_folder, root, first) = impatient().await;
    let second = another(&root).await;
    let update = first.begin_update().await.unwrap();
    let error = second.begin_update().await.map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains(".index.lock"), "{error}");
    drop(update);
    second.begin_update().await.map(drop).unwrap();
}

#[tokio::test]
async fn renewing_waits_for_those_who_remove() {
    let (_folder, root, first) = impatient().await;
    let second = another(&root).await;
    let source = BytesSource::new("content");
    first.store(&source).await.unwrap();
    let update = first.begin_update().await.unwrap();
    let refused = second.renew(source.digest(), 7).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    drop(update);
    let shared = first.lock(Mode::Shared).await.unwrap();
    assert_eq!(second.renew(source.digest(), 7).await.unwrap(), Presence::Kept);
    assert_eq!(second.begin_update().await.map(drop).unwrap_err().kind(), ErrorKind::Conflict);
    drop(shared);
    assert_eq!(second.renew(source.digest(), 8).await.unwrap(), Presence::Absent);
}

#[tokio::test]
async fn an_index_that_another_program_replaced_is_not_overwritten() {
    let (_folder, root, directory) = impatient().await;
    let update = directory.begin_update().await.unwrap();
    fs::write(root.join("index.json"), indexed("theirs")).unwrap();
    let ours = adding(&*update, "ours");
    assert_eq!(update.commit(ours).await.unwrap(), Commit::Raced);
    assert_eq!(fs::read_to_string(root.join("index.json")).unwrap(), indexed("theirs"));
    let update = directory.begin_update().await.unwrap();
    assert_eq!(update.index().text(), indexed("theirs"));
    let ours = adding(&*update, "ours");
    assert_eq!(update.commit(ours).await.unwrap(), Commit::Done);
    let index = directory.index().await.unwrap();
    assert_eq!(index.tags(), ["ours".parse().unwrap()]);
    assert!(index.text().contains("\"note\":\"theirs\""), "{}", index.text());
}

#[tokio::test]
async fn a_change_in_place_is_seen_even_if_size_and_time_are_the_same() {
    let (_folder, root, directory) = impatient().await;
    let path = root.join("index.json");
    for round in 0..50 {
        let text = indexed(&format!("{round:02}"));
        let before = fs::metadata(&path).unwrap().modified().unwrap();
        fs::write(&path, &text).unwrap();
        // As if the clock of the file system had not ticked.
        fs::File::open(&path).unwrap().set_modified(before).unwrap();
        assert_eq!(directory.index().await.unwrap().text(), text);
    }
}

#[tokio::test]
async fn an_index_that_does_not_change_is_parsed_once() {
    let (_folder, root, directory) = impatient().await;
    let first = directory.index().await.unwrap();
    assert!(std::sync::Arc::ptr_eq(&first, &directory.index().await.unwrap()));
    let file = fs::File::open(root.join("index.json")).unwrap();
    file.set_modified(std::time::SystemTime::now() - Duration::from_secs(60)).unwrap();
    assert!(std::sync::Arc::ptr_eq(&first, &directory.index().await.unwrap()));
    assert!(std::sync::Arc::ptr_eq(&first, &directory.index().await.unwrap()));
}

#[tokio::test]
async fn an_index_that_was_replaced_is_not_kept() {
    let (_folder, root, _) = impatient().await;
    let backend = crate::backend::LayoutBackend::open_directory(&root, Access::Modify).await.unwrap();
    let config = BytesSource::new(Descriptor::EMPTY_CONTENT);
    backend.write_blob(&config, &WriteHint::default()).await.unwrap();
    let raw = RawManifest::from_image(&image());
    let (manifests, reachable) = (backend.manifests(), Reachable::default());
    let before = manifests.storage.index().await.unwrap();
    let referrers: Vec<_> = backend.referrers(raw.digest(), None).collect().await;
    assert!(referrers.is_empty());
    assert!(!reachable.contains(manifests, &before, raw.digest()).await.unwrap());
    let known = std::sync::Arc::downgrade(&before);
    drop(before);
    assert!(known.upgrade().is_some());
    backend.write_manifest(&raw.digest().clone().into(), &raw).await.unwrap();
    let after = manifests.storage.index().await.unwrap();
    assert!(reachable.contains(manifests, &after, raw.digest()).await.unwrap());
    assert!(known.upgrade().is_none());
}

#[tokio::test]
async fn two_who_make_the_layout_at_once_make_one() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("layout");
    let open = || Directory::open(root.clone(), Access::Create);
    let (first, second) = (open().await.unwrap(), open().await.unwrap());
    let sources = [BytesSource::new("a"), BytesSource::new("b")];
    let (left, right) = futures::join!(first.store(&sources[0]), second.store(&sources[1]));
    left.unwrap();
    right.unwrap();
    let reader = Directory::open(root, Access::Read).await.unwrap();
    assert_eq!(reader.list().await.unwrap().len(), 2);
    assert_eq!(reader.index().await.unwrap().text(), EMPTY_INDEX);
}

/// A source that never ends.
struct Endless(Digest);

#[async_trait]
impl BlobSource for Endless {
    fn digest(&self) -> &Digest {
        &self.0
    }

    fn size(&self) -> u64 {
        u64::MAX
    }

    async fn open(&self, _offset: u64) -> Result<ByteStream> {
        let piece = || async { Some((Ok(Bytes::from_static(&[7; 100_000])), ())) };
        Ok(futures::stream::unfold((), move |()| piece()).boxed())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_is_given_up_leaves_nothing() {
    let (_folder, root, directory) = impatient().await;
    let ingest = root.join("ingest");
    let count = || fs::read_dir(&ingest).unwrap().count();
    let writing = tokio::spawn(async move { directory.store(&Endless(Digest::sha256_of(b"x"))).await });
    while count() == 0 {
        tokio::task::yield_now().await;
    }
    writing.abort();
    assert!(writing.await.unwrap_err().is_cancelled());
    // The thread that writes ends its step first.
    while count() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(another(&root).await.list().await.unwrap(), []);
}

/// A source that notes the places at which it was opened.
struct Noted {
    content: BytesSource,
    opened: Mutex<Vec<u64>>,
    /// Whether the store of the content does not answer.
    is_away: bool,
}

#[async_trait]
impl BlobSource for Noted {
    fn digest(&self) -> &Digest {
        self.content.digest()
    }

    fn size(&self) -> u64 {
        self.content.size()
    }

    async fn open(&self, offset: u64) -> Result<ByteStream> {
        self.opened.lock().unwrap().push(offset);
        if self.is_away {
            return Err(
                Error::new(ErrorKind::Unavailable, "read", self.content.digest()).with_retry(Retry::Yes)
            );
        }
        self.content.open(offset).await
    }
}

#[tokio::test]
async fn a_source_that_is_away_does_not_cost_what_a_killed_writer_left() {
    let (_folder, root, directory) = impatient().await;
    let content = vec![7; 9_500_000];
    let mut source =
        Noted { content: BytesSource::new(content.clone()), opened: Mutex::default(), is_away: true };
    let left = root.join("ingest").join(format!("{}.1-0.partial", source.digest().encoded()));
    fs::create_dir_all(root.join("ingest")).unwrap();
    fs::write(&left, &content[..9_000_000]).unwrap();
    assert_eq!(directory.store(&source).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(fs::metadata(&left).unwrap().len(), 9_000_000);
    source.is_away = false;
    directory.store(&source).await.unwrap();
    assert_eq!(*source.opened.lock().unwrap(), [9_000_000, 9_000_000]);
}

#[tokio::test]
async fn a_large_write_goes_on_where_a_killed_writer_stopped() {
    const LEFT: usize = 9_000_000;
    let (_folder, root, directory) = impatient().await;
    let ingest = root.join("ingest");
    for (is_damaged, opened) in [(false, vec![LEFT as u64]), (true, vec![LEFT as u64, 0])] {
        let mut content = vec![7; LEFT + 500_000];
        content[0] = u8::from(is_damaged);
        let content_source = BytesSource::new(content.clone());
        let source = Noted { content: content_source, opened: Mutex::default(), is_away: false };
        let mut left = content[..LEFT].to_vec();
        left[5] ^= u8::from(is_damaged);
        fs::create_dir_all(&ingest).unwrap();
        fs::write(ingest.join(format!("{}.1-0.partial", source.digest().encoded())), left).unwrap();
        directory.store(&source).await.unwrap();
        assert_eq!(*source.opened.lock().unwrap(), opened);
        let blob = root.join("blobs/sha256").join(source.digest().encoded());
        assert!(fs::read(blob).unwrap() == content);
        assert_eq!(fs::read_dir(&ingest).unwrap().count(), 0);
    }
}

/// A source whose content is in a file without a name.
struct InFile {
    content: BytesSource,
    file: fs::File,
}

impl InFile {
    fn new(place: &Path, content: &'static str, written: &str) -> Self {
        let file = safe_files::Directory::open(place).unwrap().create_nameless_file().unwrap();
        std::io::Write::write_all(&mut &file, written.as_bytes()).unwrap();
        Self { content: BytesSource::new(content), file }
    }
}

#[async_trait]
impl BlobSource for InFile {
    fn digest(&self) -> &Digest {
        self.content.digest()
    }

    fn size(&self) -> u64 {
        self.content.size()
    }

    async fn open(&self, _offset: u64) -> Result<ByteStream> {
        let mut content = vec![0; usize::try_from(self.file.metadata().unwrap().len()).unwrap()];
        std::os::unix::fs::FileExt::read_exact_at(&self.file, &mut content, 0).unwrap();
        Ok(futures::stream::iter([Ok(content.into())]).boxed())
    }

    fn nameless_file(&self) -> Option<&fs::File> {
        Some(&self.file)
    }
}

#[tokio::test]
async fn a_file_without_a_name_becomes_the_blob_if_its_content_is_right() {
    use std::os::unix::fs::MetadataExt;

    let (folder, root, directory) = impatient().await;
    let right = InFile::new(folder.path(), "content", "content");
    directory.store(&right).await.unwrap();
    let path = root.join("blobs/sha256").join(right.digest().encoded());
    assert_eq!(fs::read(&path).unwrap(), b"content");
    assert_eq!(fs::metadata(&path).unwrap().ino(), right.file.metadata().unwrap().ino());
    let wrong = InFile::new(folder.path(), "another", "changed");
    assert_eq!(directory.store(&wrong).await.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(directory.size(wrong.digest()).await.unwrap(), None);
    assert_eq!(fs::read_dir(root.join("ingest")).unwrap().count(), 0);
}

#[expect(clippy::print_stdout, reason = "a test that cannot run says so")]
#[tokio::test]
async fn a_file_of_another_file_system_is_copied() {
    let (_folder, root, directory) = impatient().await;
    let elsewhere = Path::new("/dev/shm");
    let Some(other) = safe_files::Directory::open(elsewhere).ok().filter(|_| {
        use std::os::unix::fs::MetadataExt;
        fs::metadata(elsewhere).unwrap().dev() != fs::metadata(&root).unwrap().dev()
    }) else {
        println!("skipped: needs a second file system at /dev/shm");
        return;
    };
    let source = InFile::new(other.path(), "content", "content");
    directory.store(&source).await.unwrap();
    assert_eq!(directory.size(source.digest()).await.unwrap(), Some(7));
    assert_eq!(fs::read_dir(root.join("ingest")).unwrap().count(), 0);
}

#[tokio::test]
async fn an_index_that_another_program_is_writing_is_read_when_it_is_complete() {
    let (_folder, root, directory) = impatient().await;
    directory.index().await.unwrap();
    let path = root.join("index.json");
    let whole = indexed("theirs");
    let (start, rest) = whole.split_at(whole.len() / 2);
    // Other programs truncate the file and then write it.
    fs::write(&path, start).unwrap();
    let reading = tokio::spawn(async move { directory.index().await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
    std::io::Write::write_all(&mut file, rest.as_bytes()).unwrap();
    assert_eq!(reading.await.unwrap().unwrap().text(), whole);
}
