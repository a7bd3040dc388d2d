//! Reading blobs and manifests through the conveniences for callers.

use bytes::Bytes;
use futures::executor::block_on;
use futures::{StreamExt, TryStreamExt};
use oci_model::{Descriptor, Digest, ImageIndex, ImageManifest, ManifestRef, MediaType, RawManifest};
use registry_backend::{
    BlobRead, BlobSource, BytesSource, Error, ErrorKind, MemoryBackend, RegistryBackend, RegistryBackendExt,
    Result, WriteHint, verified,
};

/// Reads pieces as a whole blob of the stated size and checks them against the digest.
fn check(pieces: &[&'static [u8]], stated: u64, digest: &Digest) -> Result<Vec<u8>> {
    let pieces: Vec<Result<Bytes>> = pieces.iter().map(|piece| Ok(Bytes::from_static(piece))).collect();
    let read =
        BlobRead { range: 0..stated, blob_size: stated, stream: futures::stream::iter(pieces).boxed() };
    let pieces: Vec<Bytes> = block_on(async { verified(read, digest)?.try_collect().await })?;
    Ok(pieces.concat())
}

#[test]
fn only_the_right_bytes_pass() {
    let digest = Digest::sha256_of(b"content");
    assert_eq!(check(&[b"content"], 7, &digest).unwrap(), b"content");
    assert_eq!(check(&[b"con", b"", b"tent"], 7, &digest).unwrap(), b"content");
    for (pieces, stated, reason) in [
        (&[&b"conten"[..]][..], 7, "ends 1 bytes early"),
        (&[b"content", b"s"], 7, "too many bytes"),
        (&[b"CONTENT"], 7, "found bytes with the digest sha256:"),
        (&[], 7, "ends 7 bytes early"),
        (&[b"content"], 6, "too many bytes"),
    ] {
        let error = check(pieces, stated, &digest).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains(reason), "{error}");
        assert!(error.to_string().contains(digest.as_str()), "{error}");
    }
    assert_eq!(check(&[], 0, &Digest::sha256_of(b"")).unwrap(), b"");
    assert!(check(&[], 0, &digest).is_err());
}

#[test]
fn sha512_is_verified_too() {
    let mut hasher = oci_model::DigestHasher::new(oci_model::DigestAlgorithm::Sha512);
    hasher.update(b"content");
    let digest = hasher.finish();
    assert_eq!(check(&[b"content"], 7, &digest).unwrap(), b"content");
    assert!(check(&[b"CONTENT"], 7, &digest).is_err());
}

#[test]
fn what_cannot_be_verified_is_refused_before_it_is_read() {
    let read = |range| BlobRead { range, blob_size: 7, stream: futures::stream::empty().boxed() };
    let digest = Digest::sha256_of(b"content");
    let part = verified(read(1..7), &digest).err().unwrap();
    assert_eq!(part.kind(), ErrorKind::Invalid);
    let unknown = verified(read(0..7), &"blake9:00".parse().unwrap()).err().unwrap();
    assert_eq!(unknown.kind(), ErrorKind::Unsupported);
}

#[test]
fn an_error_on_the_way_is_passed_on() {
    let failing = futures::stream::iter([Err(Error::new(ErrorKind::Unavailable, "read", "x"))]).boxed();
    let read = BlobRead { range: 0..7, blob_size: 7, stream: failing };
    let stream = verified(read, &Digest::sha256_of(b"content")).unwrap();
    let error = block_on(stream.try_collect::<Vec<_>>()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

fn csv(digest: Digest, size: u64) -> Descriptor {
    Descriptor::new(MediaType::from_static("text/csv"), digest, size)
}

#[test]
fn a_blob_is_read_to_memory_up_to_the_limit() {
    block_on(async {
        let backend = MemoryBackend::new();
        let source = BytesSource::new(&b"content"[..]);
        backend.write_blob(&source, &WriteHint::default()).await.unwrap();
        let digest = source.digest().clone();
        let right = csv(digest.clone(), 7);
        assert_eq!(backend.read_blob_to_memory(&right, 7).await.unwrap(), b"content");
        let kind = |descriptor: Descriptor, limit| {
            let backend = &backend;
            async move { backend.read_blob_to_memory(&descriptor, limit).await.unwrap_err().kind() }
        };
        assert_eq!(kind(right.clone(), 6).await, ErrorKind::TooLarge);
        assert_eq!(kind(csv(digest.clone(), 6), 7).await, ErrorKind::Invalid);
        assert_eq!(kind(csv(digest, 8), 8).await, ErrorKind::Invalid);
        assert_eq!(kind(csv(Digest::sha256_of(b"absent"), 7), 7).await, ErrorKind::NotFound);
    });
}

#[test]
fn manifests_are_resolved_and_parsed() {
    block_on(async {
        let backend = MemoryBackend::new();
        let config = BytesSource::new(Descriptor::EMPTY_CONTENT);
        backend.write_blob(&config, &WriteHint::default()).await.unwrap();
        let image = ImageManifest::new("a/b".parse().unwrap(), Descriptor::empty());
        let (image_tag, index_tag) = (at("image"), at("index"));
        backend.write_manifest(&image_tag, &RawManifest::from_image(&image)).await.unwrap();
        let index = RawManifest::from_index(&ImageIndex::new(Vec::new()));
        backend.write_manifest(&index_tag, &index).await.unwrap();

        let (raw, parsed) = backend.read_image_manifest(&image_tag).await.unwrap();
        assert_eq!((parsed, &backend.resolve(&image_tag).await.unwrap()), (image, &raw.descriptor()));
        let error = backend.read_image_manifest(&index_tag).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("image index"), "{error}");
        let error = backend.resolve(&at("absent")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(error.to_string(), "cannot find absent in memory: not found");
    });
}

fn at(tag: &str) -> ManifestRef {
    ManifestRef::Tag(tag.parse().unwrap())
}

#[test]
fn a_source_in_memory_opens_at_any_offset() {
    let source = BytesSource::new(&b"content"[..]);
    assert_eq!((source.size(), source.digest()), (7, &Digest::sha256_of(b"content")));
    let rest = |offset| -> Result<Vec<u8>> {
        let pieces: Vec<Bytes> = block_on(async { source.open(offset).await?.try_collect().await })?;
        Ok(pieces.concat())
    };
    assert_eq!(rest(0).unwrap(), b"content");
    assert_eq!(rest(4).unwrap(), b"ent");
    assert_eq!(rest(7).unwrap(), b"");
    assert_eq!(rest(8).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(rest(u64::MAX).unwrap_err().kind(), ErrorKind::Invalid);
}
