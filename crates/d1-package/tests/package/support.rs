//! Packages in memory: files in, blobs, index and manifest out.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::num::NonZeroUsize;

use bagit::{Algorithm, AlgorithmSet, Digests};
use d1_package::{
    AssembledPackage, Configuration, FormFacts, LayerContent, ManifestOptions, ObjectFacts, PackageFacts,
    PackageFile, PackageFiles, PackageIndex, PackageView, PlanOptions, PlannedLayer, assemble, plan,
};
use oci_model::{Descriptor, Digest, ImageManifest, Manifest, RawManifest};
use oci_pack::{PackOptions, PackedArchive, pack_archive};

/// The content of a package.
#[derive(Clone, Default)]
pub(crate) struct Content {
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    pub(crate) empty_directories: Vec<String>,
    pub(crate) is_bag: bool,
    pub(crate) facts: Option<FormFacts>,
    /// The facts about a directory of any form, and about its files.
    pub(crate) form_facts: Option<(PackageFacts, Vec<(usize, ObjectFacts)>)>,
}

/// A package with everything that a store would hold.
pub(crate) struct Built {
    pub(crate) package: AssembledPackage,
    pub(crate) raw: RawManifest,
    pub(crate) manifest: ImageManifest,
    pub(crate) index: Vec<u8>,
    pub(crate) blobs: BTreeMap<Digest, Vec<u8>>,
}

impl Content {
    pub(crate) fn plain(files: impl IntoIterator<Item = (impl Into<String>, Vec<u8>)>) -> Self {
        let files = files.into_iter().map(|(path, bytes)| (path.into(), bytes)).collect();
        Self { files, ..Self::default() }
    }

    /// Adds the tag files that make a bag of the files under `data/`.
    pub(crate) fn bag(files: impl IntoIterator<Item = (impl Into<String>, Vec<u8>)>) -> Self {
        let mut content = Self { is_bag: true, ..Self::plain(files) };
        let declaration = "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n";
        content.add("bagit.txt", declaration);
        content.add("bag-info.txt", "Bagging-Date: 2025-11-07\n");
        let manifest = content.manifest_of(|path| path.starts_with("data/"));
        content.add("manifest-md5.txt", &manifest);
        let tag_manifest = content.manifest_of(|path| !path.starts_with("data/"));
        content.add("tagmanifest-md5.txt", &tag_manifest);
        content
    }

    pub(crate) fn add(&mut self, path: &str, text: &str) {
        self.files.insert(path.to_owned(), text.as_bytes().to_vec());
    }

    fn manifest_of(&self, wanted: fn(&str) -> bool) -> String {
        let md5: AlgorithmSet = [Algorithm::Md5].into_iter().collect();
        let listed = self.files.iter().filter(|(path, _)| wanted(path));
        listed
            .map(|(path, bytes)| {
                format!("{}  {path}\n", Digests::of(md5, bytes).hex(Algorithm::Md5).unwrap())
            })
            .collect()
    }

    pub(crate) fn package_files(&self) -> PackageFiles {
        self.package_files_hashed_by(|_| AlgorithmSet::EMPTY)
    }

    pub(crate) fn package_files_hashed_by(&self, algorithms: impl Fn(u64) -> AlgorithmSet) -> PackageFiles {
        let files = self.files.iter().map(|(path, bytes)| {
            let size = bytes.len() as u64;
            let mut file = PackageFile::new(path.as_str(), size, sha256(bytes));
            file.checksums = Digests::of(algorithms(size), bytes);
            file
        });
        let empty = self.empty_directories.iter().map(|path| path.as_str().into()).collect();
        let mut files = PackageFiles::new(files.collect(), empty, self.is_bag).unwrap();
        let of_forms = self.form_facts.iter().flat_map(|(_, objects)| objects);
        for (position, facts) in self.facts.iter().flat_map(|facts| &facts.objects).chain(of_forms) {
            files.set_object(*position, facts.clone());
        }
        files
    }

    pub(crate) fn build(&self, options: &PlanOptions) -> Built {
        self.build_from(self.package_files(), options, Configuration::Index)
    }

    pub(crate) fn build_from(
        &self,
        files: PackageFiles,
        options: &PlanOptions,
        configuration: Configuration,
    ) -> Built {
        let plan = plan(&files, options).unwrap();
        let mut blobs = BTreeMap::new();
        let mut contents = Vec::new();
        for layer in &plan.layers {
            contents.push(match layer {
                PlannedLayer::Archive(archive) => {
                    let (packed, bytes) = self.pack(&plan, archive, &files);
                    blobs.insert(packed.blob_digest.clone(), bytes);
                    LayerContent::Packed(packed)
                }
                PlannedLayer::Object { file } => {
                    let bytes = &self.files[files.file(*file).unwrap().path];
                    blobs.insert(Digest::sha256_of(bytes), bytes.clone());
                    LayerContent::Object
                }
                PlannedLayer::Part { file, range, .. } => {
                    let bytes = &self.files[files.file(*file).unwrap().path];
                    let bytes = slice(bytes, range.clone());
                    let digest = Digest::sha256_of(bytes);
                    blobs.insert(digest.clone(), bytes.to_vec());
                    LayerContent::Part { digest }
                }
            });
        }
        let package = assemble(&plan, files, contents, self.package_facts()).unwrap();
        Built::new(package, configuration, blobs)
    }

    fn package_facts(&self) -> PackageFacts {
        let algorithms = [Algorithm::Md5].into_iter().collect();
        let version = bagit::Version::V1_0;
        let bag = self.is_bag.then_some(d1_package::BagRecord { version, algorithms });
        if let Some((facts, _)) = &self.form_facts {
            return PackageFacts { bag, ..facts.clone() };
        }
        PackageFacts { bag, ..self.facts.clone().unwrap_or_default().package }
    }

    pub(crate) fn pack(
        &self,
        plan: &d1_package::Plan,
        archive: &d1_package::PlannedArchive,
        files: &PackageFiles,
    ) -> (PackedArchive, Vec<u8>) {
        let entries = plan.entries(archive, files);
        let open = |entry: usize| -> std::io::Result<Box<dyn std::io::Read + Send>> {
            let file = entries.file(entry).expect("only files are opened");
            let bytes = self.files[files.file(file as usize).unwrap().path].clone();
            Ok(Box::new(Cursor::new(bytes)))
        };
        let mut bytes = Vec::new();
        let options = PackOptions { threads: NonZeroUsize::MIN, ..PackOptions::default() };
        let packed = pack_archive(&entries, &open, &options, &mut bytes).unwrap();
        (packed, bytes)
    }
}

impl Built {
    fn new(
        package: AssembledPackage,
        configuration: Configuration,
        mut blobs: BTreeMap<Digest, Vec<u8>>,
    ) -> Self {
        let artifact_type = package.facts.artifact_type();
        let raw = package
            .manifest(&ManifestOptions { configuration, ..ManifestOptions::new(artifact_type) })
            .unwrap();
        let mut index = Vec::new();
        package.index.write(&mut index).unwrap();
        let config = match configuration {
            Configuration::Index => index.clone(),
            Configuration::Empty => Descriptor::EMPTY_CONTENT.to_vec(),
        };
        blobs.insert(Digest::sha256_of(&config), config);
        let manifest = image(&raw);
        Self { package, raw, manifest, index, blobs }
    }

    pub(crate) fn view(&self) -> PackageView {
        let index = PackageIndex::read(&self.index[..], &self.manifest).unwrap();
        PackageView::new(self.manifest.clone(), Some(index)).unwrap()
    }

    pub(crate) fn titles(&self) -> Vec<&str> {
        let title = |layer| Descriptor::annotation(layer, oci_model::annotations::TITLE).unwrap();
        self.manifest.layers.iter().map(title).collect()
    }
}

pub(crate) fn image(raw: &RawManifest) -> ImageManifest {
    match raw.parse().unwrap() {
        Manifest::Image(manifest) => manifest,
        _ => panic!("an index of manifests"),
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Digest::sha256_of(bytes).sha256_bytes().unwrap()
}

/// Returns bytes that do not compress, the same every time (xorshift64).
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

#[expect(clippy::print_stdout, reason = "a test that does not run says so")]
pub(crate) fn skipped(reason: &str) {
    println!("skipped: {reason}");
}

/// Returns the bytes of a range that is known to be in memory.
pub(crate) fn slice(bytes: &[u8], range: std::ops::Range<u64>) -> &[u8] {
    &bytes[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()]
}
