//! The index as bytes: what is written reads back, what is damaged is refused, and memory stays small.

use bagit::{Algorithm, AlgorithmSet, Digests};
use d1_package::{
    ErrorKind, LayerContent, Layout, PackageFacts, PackageFile, PackageFiles, PackageIndex, PlanOptions,
    PlannedLayer, assemble, plan,
};
use oci_model::{Digest, ImageManifest, MediaType};
use oci_pack::{Compression, Member, PackedArchive, tar_layout};
use proptest::prelude::*;

use crate::support::{Content, sha256};

/// Reads the index of a package, with or without its manifest's size being right.
fn read(bytes: &[u8], manifest: &ImageManifest) -> Result<PackageIndex, d1_package::Error> {
    let mut manifest = manifest.clone();
    manifest.config.size = bytes.len() as u64;
    PackageIndex::read(bytes, &manifest)
}

#[test]
fn a_reader_that_fails_is_told_from_a_wrong_index() {
    struct Broken;
    impl std::io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("the cable is out"))
        }
    }
    let built = Content::plain([("a", b"a".to_vec())]).build(&PlanOptions::new("dir"));
    let error = PackageIndex::read(Broken, &built.manifest).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Read);
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("the cable is out"));
}

#[test]
fn the_descriptor_is_that_of_the_bytes() {
    let built = Content::bag([("data/a", b"a".to_vec())]).build(&PlanOptions::new("dir"));
    let descriptor = built.package.index.descriptor();
    assert_eq!(descriptor.digest, Digest::sha256_of(&built.index));
    assert_eq!(descriptor.size, built.index.len() as u64);
    assert_eq!(descriptor, built.manifest.config);
}

/// Assembles a package of many files in one archive without packing it.
fn large_package(count: usize) -> (PackageIndex, ImageManifest) {
    let md5: AlgorithmSet = [Algorithm::Md5].into_iter().collect();
    let files = (0..count).map(|number| {
        let name = format!("data/{:03}/{number:07}.csv", number / 1000);
        let mut file = PackageFile::new(name.as_str(), 100, sha256(name.as_bytes()));
        file.checksums = Digests::of(md5, name.as_bytes());
        file
    });
    let files = PackageFiles::new(files.collect(), Vec::new(), true).unwrap();
    let options = PlanOptions { layout: Layout::Archive, ..PlanOptions::new("dir") };
    let plan = plan(&files, &options).unwrap();
    let PlannedLayer::Archive(archive) = &plan.layers[0] else { panic!("no archive") };
    let entries = plan.entries(archive, &files);
    let layout = tar_layout(&entries).unwrap();
    let offsets = layout.data_offsets.iter().enumerate();
    let of_files = offsets.filter_map(|(entry, offset)| entries.file(entry).map(|_| *offset));
    let digest = Digest::sha256_of(b"not packed");
    let packed = PackedArchive {
        compression: Compression::Gzip,
        blob_digest: digest.clone(),
        blob_size: 1000,
        tar_digest: digest,
        tar_size: layout.size,
        members: vec![Member { offset: 0, length: 1000, tar_offset: 0, tar_length: layout.size }],
        data_offsets: of_files.collect(),
    };
    let package =
        assemble(&plan, files, vec![LayerContent::Packed(packed)], PackageFacts::default()).unwrap();
    let options = d1_package::ManifestOptions::new(MediaType::from_static(MediaType::OCTET_STREAM));
    let manifest = crate::support::image(&package.manifest(&options).unwrap());
    (package.index, manifest)
}

#[test]
fn an_index_of_many_files_reads_back_and_stays_small() {
    let (index, manifest) = large_package(20_000);
    let mut bytes = Vec::new();
    index.write(&mut bytes).unwrap();
    assert!(bytes.len() / 20_000 < 250, "{} bytes for a file", bytes.len() / 20_000);
    let read = PackageIndex::read(&bytes[..], &manifest).unwrap();
    assert_eq!(read.files().len(), 20_000);
    assert_eq!(read.layers(), index.layers());
    let different = read.files().files().zip(index.files().files()).find(|(left, right)| left != right);
    assert_eq!(different, None);
    assert_eq!(size_of::<d1_package::Place>(), 16);
}

proptest! {
    #[test]
    fn what_is_written_reads_back(
        names in proptest::collection::btree_set("[a-z \"\\\\éö\\n-]{1,12}", 1..20),
        layout in prop_oneof![Just(Layout::Objects), Just(Layout::Archive)],
        is_bag: bool,
    ) {
        let files = names.into_iter().filter(|name| d1_package::path_fault(name).is_none());
        let files: Vec<_> = files.map(|name| (format!("data/{name}"), name.into_bytes())).collect();
        let content = if is_bag { Content::bag(files) } else { Content::plain(files) };
        let built = content.build(&PlanOptions { layout, ..PlanOptions::new("a dir") });
        prop_assert_eq!(PackageIndex::read(&built.index[..], &built.manifest).unwrap(), built.package.index);
    }

    #[test]
    fn damaged_bytes_never_panic_and_never_place_a_file_outside(
        position in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let content = Content::bag([("data/a", b"abc".to_vec()), ("data/b", b"def".to_vec())]);
        let built = content.build(&PlanOptions::new("dir"));
        let mut bytes = built.index.clone();
        let position = position.index(bytes.len());
        bytes[position] = byte;
        if let Ok(index) = read(&bytes, &built.manifest) {
            // A byte of a name, a checksum or a number that does not matter.
            let digests = index.layers().iter().map(|layer| &layer.digest);
            prop_assert!(digests.eq(built.manifest.layers.iter().map(|layer| &layer.digest)));
            let fault = index.files().files().find_map(|file| d1_package::path_fault(file.path));
            prop_assert_eq!(fault, None);
        }
    }
}
