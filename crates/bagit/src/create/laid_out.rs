//! Bags around content that is laid out already: in a directory that nobody else sees, or in an inventory.

use std::fs;
use std::path::Path;

use multi_digest::{Algorithm, AlgorithmSet, Digests};
use safe_files::Directory;

use super::builder::{BagBuilder, Created};
use super::copy::proven;
use super::tag_files::{compose_tag_files, dated_info, write_manifest, write_tag_files};
use crate::bag::scan_directory;
use crate::check::{CheckOptions, check, payload_algorithms, tag_algorithms};
use crate::declaration;
use crate::error::{Error, Result};
use crate::inventory::Inventory;
use crate::manifest::ManifestKind;
use crate::progress::Progress;
use crate::scan::{Scan, ScanOptions};
#[cfg(doc)]
use crate::tag_files::TagFiles;
use crate::version::Version;

impl BagBuilder {
    /// Completes the bag in a directory that nobody else sees yet. If it fails, it leaves the files that it has written.
    ///
    /// A valid bag of version 1.0 gets the manifests that it lacks and then new tag manifests. Everything else in it stays. In a
    /// directory without `bagit.txt` that has its payload in `data/` already, it writes all tag files. The files of the builder are ignored.
    ///
    /// # Errors
    /// [`Error::NotValid`] for any other bag, otherwise as [`BagBuilder::create`].
    pub fn complete(&self, directory: &Path, progress: &dyn Progress) -> Result<Created> {
        complete(self, directory, progress)
    }

    /// Composes the tag files of a bag whose payload was hashed before, and writes nothing.
    ///
    /// It is for programs that store a directory elsewhere as a bag. `payload` is the inventory of the payload directory, `tags` that of
    /// further tag files by their paths in the bag. Both have digests by the algorithms of the builder. The files of the builder are
    /// ignored. The result lists the whole bag, with payload paths that begin with `data/`.
    ///
    /// # Errors
    /// As [`BagBuilder::create`] for the metadata.
    pub fn around(&self, payload: Inventory, tags: &Inventory) -> Result<Scan> {
        around(self, payload, tags)
    }

    /// Writes the tag files of a bag into its directory, whose files were hashed before. Manifests that are larger than
    /// [`TagFiles::MOST_HELD_BYTES`] stay there.
    ///
    /// `inventory` lists the files of the bag by their paths in it, with digests by the algorithms of the builder. The files of the
    /// builder are ignored. The result lists the tag files too, without the digests of the tag manifests, which no manifest lists.
    ///
    /// # Errors
    /// As [`BagBuilder::create`].
    pub fn write_tag_files(&self, mut inventory: Inventory, directory: &Path) -> Result<Scan> {
        let directory = Directory::open(directory).map_err(Error::io("open", directory))?;
        inventory.insert_directory("data");
        let info = dated_info(self)?;
        let tag_files = write_tag_files(&mut inventory, info, None, self.algorithms, &directory)?;
        Ok(Scan { inventory, tag_files, base_directory: None })
    }
}

fn complete(builder: &BagBuilder, root: &Path, progress: &dyn Progress) -> Result<Created> {
    let root = fs::canonicalize(root).map_err(Error::io("open", root))?;
    let options = ScanOptions {
        threads: builder.threads,
        extra_algorithms: builder.algorithms,
        limits: builder.limits,
        alike: true,
        ..ScanOptions::default()
    };
    let mut scan = scan_directory(&root, &options, progress)?;
    if scan.tag_files.has(declaration::FILE_NAME) {
        add_manifests(&mut scan, builder.algorithms, &root)?;
        return proven(scan);
    }
    let directory = Directory::open(&root).map_err(Error::io("open", &root))?;
    directory.create_directories("data").map_err(Error::io("create the directory", root.join("data")))?;
    scan.inventory.insert_directory("data");
    let info = dated_info(builder)?;
    scan.tag_files = write_tag_files(&mut scan.inventory, info, None, builder.algorithms, &directory)?;
    proven(scan)
}

/// Adds payload manifests for the algorithms that a valid bag lacks. If there are some, it writes new tag manifests.
fn add_manifests(scan: &mut Scan, wanted: AlgorithmSet, root: &Path) -> Result<()> {
    let report = check(&scan.inventory, &scan.tag_files, &CheckOptions::default());
    if !report.valid || report.version != Some(Version::V1_0) {
        return Err(Error::NotValid(Box::new(report)));
    }
    let there = payload_algorithms(&scan.tag_files);
    let missing: Vec<Algorithm> = wanted.iter().filter(|algorithm| !there.contains(*algorithm)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let root = &Directory::open(root).map_err(Error::io("open", root))?;
    let all = wanted.union(there).union(tag_algorithms(&scan.tag_files));
    for algorithm in missing {
        write_manifest(scan, ManifestKind::Payload, algorithm, all, root)?;
    }
    for algorithm in all.iter() {
        write_manifest(scan, ManifestKind::Tag, algorithm, all, root)?;
    }
    Ok(())
}

/// Combines the payload under `data/` with further tag files, and adds the tag files that list them.
fn around(builder: &BagBuilder, payload: Inventory, tags: &Inventory) -> Result<Scan> {
    let mut inventory = Inventory::new();
    inventory.insert_directory("data");
    for (path, entry) in tags.files() {
        inventory.insert(path, entry);
    }
    for directory in payload.directories() {
        inventory.insert_directory(&format!("data/{directory}"));
    }
    for (path, entry) in payload.files() {
        inventory.insert(&format!("data/{path}"), entry);
    }
    inventory.observe_all(payload.observations());
    // The manifests of a million files need the memory.
    drop(payload);
    let info = dated_info(builder)?;
    let tag_files = compose_tag_files(&mut inventory, info, None, builder.algorithms)?;
    // No manifest lists the tag manifests, but the caller needs their digests too.
    for (name, bytes) in tag_files.held() {
        inventory.insert_file(name, bytes.len() as u64, Digests::of(builder.algorithms, bytes));
    }
    Ok(Scan { inventory, tag_files, base_directory: None })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use crate::{
        Algorithm, BagBuilder, CheckOptions, Digests, Error, Inventory, NoProgress, ScanOptions, check,
        validate_directory,
    };

    fn write(root: &Path, files: &[(&str, &str)]) {
        for (path, text) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    fn builder() -> BagBuilder {
        BagBuilder::new().algorithms([Algorithm::Md5, Algorithm::Sha256]).bagging_date("2026-01-02")
    }

    fn is_valid(root: &Path) -> bool {
        validate_directory(root, &ScanOptions::default(), &CheckOptions::default(), &NoProgress)
            .unwrap()
            .valid
    }

    #[test]
    fn a_directory_that_is_laid_out_becomes_a_bag() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), &[("data/a.csv", "a"), ("metadata/eml.xml", "<eml/>")]);
        let created = builder().complete(root.path(), &NoProgress).unwrap();
        assert!(created.report.valid && is_valid(root.path()), "{:?}", created.report);
        let tags = fs::read_to_string(root.path().join("tagmanifest-md5.txt")).unwrap();
        assert!(tags.contains("metadata/eml.xml") && tags.contains("manifest-sha256.txt"), "{tags}");
    }

    #[test]
    fn no_payload_is_a_payload() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), &[("metadata/eml.xml", "<eml/>")]);
        assert!(builder().complete(root.path(), &NoProgress).unwrap().report.valid);
        assert!(root.path().join("data").is_dir());
    }

    #[test]
    fn a_bag_gets_the_manifests_that_it_lacks_and_keeps_all_else() {
        let work = tempfile::tempdir().unwrap();
        write(work.path(), &[("source/a.csv", "a")]);
        let bag = work.path().join("bag");
        let sha256 =
            BagBuilder::new().algorithms([Algorithm::Sha256]).payload_directory(work.path().join("source"));
        sha256.create(&bag, &NoProgress).unwrap();
        let read = |name: &str| fs::read(bag.join(name)).unwrap();
        let before = ["bag-info.txt", "bagit.txt", "manifest-sha256.txt"].map(read);
        assert!(builder().complete(&bag, &NoProgress).unwrap().report.valid);
        assert_eq!(["bag-info.txt", "bagit.txt", "manifest-sha256.txt"].map(read), before);
        assert!(bag.join("manifest-md5.txt").exists() && is_valid(&bag));
        let tags = read("tagmanifest-sha256.txt");
        assert!(String::from_utf8(tags.clone()).unwrap().contains("manifest-md5.txt"));
        builder().complete(&bag, &NoProgress).unwrap();
        assert_eq!(read("tagmanifest-sha256.txt"), tags);
    }

    #[test]
    fn a_bag_that_is_not_valid_stays_as_it_is() {
        let root = tempfile::tempdir().unwrap();
        write(
            root.path(),
            &[("bagit.txt", "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"), ("data/a", "a")],
        );
        assert!(matches!(builder().complete(root.path(), &NoProgress), Err(Error::NotValid(_))));
        assert!(!root.path().join("manifest-md5.txt").exists());
    }

    #[test]
    fn a_bag_around_an_inventory_is_valid() {
        let algorithms = [Algorithm::Sha256, Algorithm::Sha512];
        let mut payload = Inventory::new();
        for path in ["a.csv", "sub/b.csv"] {
            payload.insert_file(path, 3, Digests::of(algorithms.into_iter().collect(), b"abc"));
        }
        let mut tags = Inventory::new();
        tags.insert_file("metadata/eml.xml", 3, Digests::of(algorithms.into_iter().collect(), b"xyz"));
        let scan = BagBuilder::new().algorithms(algorithms).around(payload, &tags).unwrap();
        let report = check(&scan.inventory, &scan.tag_files, &CheckOptions::default());
        assert!(report.valid && report.payload_files == 2, "{report:?}");
        let text = scan.tag_files.get("tagmanifest-sha256.txt").unwrap();
        assert!(String::from_utf8_lossy(text).contains("metadata/eml.xml"));
        let tag_manifest = scan.inventory.file("tagmanifest-sha256.txt").unwrap();
        assert!(tag_manifest.digests.get(Algorithm::Sha256).is_some());
    }

    #[test]
    fn tag_files_are_written_around_files_that_were_hashed() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), &[("data/a.csv", "abc"), ("metadata/eml.xml", "xyz")]);
        let algorithms = [Algorithm::Md5, Algorithm::Sha256].into_iter().collect();
        let mut inventory = Inventory::new();
        inventory.insert_file("data/a.csv", 3, Digests::of(algorithms, b"abc"));
        inventory.insert_file("metadata/eml.xml", 3, Digests::of(algorithms, b"xyz"));
        let scan = builder().write_tag_files(inventory, root.path()).unwrap();
        assert!(check(&scan.inventory, &scan.tag_files, &CheckOptions::default()).valid);
        assert!(is_valid(root.path()));
        let listed: Vec<_> = scan.inventory.files().map(|(path, _)| path).collect();
        assert!(listed.contains(&"tagmanifest-md5.txt") && listed.contains(&"bagit.txt"), "{listed:?}");
    }
}
