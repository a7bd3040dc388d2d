//! A bag in memory that is right, to be broken in one place and read by each front end.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Cursor, Write};
use std::path::Path;

use bagit::{
    Algorithm, AlgorithmSet, CheckOptions, Digests, Fault, Inventory, NoProgress, Report, Scan, ScanOptions,
    TagFiles, check, scan_directory, scan_tar, scan_zip,
};

/// The tolerance of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accept {
    Strict,
    /// Tolerates the faults that a repair removes.
    Repairable,
}

impl Accept {
    pub(crate) fn options(self) -> CheckOptions<'static> {
        fn is_repairable(fault: &Fault) -> bool {
            fault.code.is_repairable()
        }
        match self {
            Self::Strict => CheckOptions::default(),
            Self::Repairable => CheckOptions::tolerating(&is_repairable),
        }
    }
}

/// The ways to read a bag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Front {
    /// An inventory filled by hand, as by someone who moves the bytes.
    Memory,
    Directory,
    /// A directory whose manifests are not held in memory.
    OnDisk,
    Tar,
    TarGz,
    Zip,
}

impl Front {
    pub(crate) const ALL: [Self; 6] =
        [Self::Memory, Self::Directory, Self::OnDisk, Self::Tar, Self::TarGz, Self::Zip];
}

pub(crate) const ALGORITHMS: [Algorithm; 2] = [Algorithm::Sha256, Algorithm::Md5];

/// Holds all files of a bag.
pub(crate) struct Bag {
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    pub(crate) directories: BTreeSet<String>,
    /// The tag manifests are as they should stay.
    pub(crate) sealed: bool,
    /// Where manifests are that the rules have still to read.
    pub(crate) on_disk: RefCell<Vec<tempfile::TempDir>>,
}

impl Bag {
    pub(crate) fn good(version: &str) -> Self {
        let mut bag = Self {
            files: BTreeMap::new(),
            directories: BTreeSet::new(),
            sealed: false,
            on_disk: RefCell::default(),
        };
        bag.put("bagit.txt", &format!("BagIt-Version: {version}\nTag-File-Character-Encoding: UTF-8\n"));
        bag.put("data/a.csv", "depth,temperature\n15,7.2\n");
        bag.put("data/sub/b c.csv", "depth,temperature\n25,6.9\n");
        bag.put("data/sub/d.txt", "a note\n\n");
        bag.put("metadata/eml.xml", "<eml/>");
        bag.relist();
        bag.put(bag.info_name(), "Source-Organization: Mooring Group\nPayload-Oxum: 58.3\n");
        bag.seal();
        bag
    }

    pub(crate) fn info_name(&self) -> &'static str {
        let text = self.text("bagit.txt");
        if ["0.93", "0.94", "0.95"].iter().any(|old| text.contains(old)) {
            "package-info.txt"
        } else {
            "bag-info.txt"
        }
    }

    pub(crate) fn put(&mut self, path: &str, text: &str) {
        self.files.insert(path.to_owned(), text.as_bytes().to_vec());
    }

    pub(crate) fn text(&self, path: &str) -> String {
        String::from_utf8(self.files[path].clone()).unwrap()
    }

    pub(crate) fn edit(&mut self, path: &str, change: impl Fn(String) -> String) {
        let before = self.text(path);
        let after = change(before.clone());
        assert_ne!(before, after, "the edit of {path} changes nothing");
        self.put(path, &after);
    }

    /// Edits both payload manifests.
    pub(crate) fn edit_manifests(&mut self, change: impl Fn(String) -> String) {
        for algorithm in ALGORITHMS {
            self.edit(&format!("manifest-{algorithm}.txt"), &change);
        }
    }

    pub(crate) fn remove(&mut self, path: &str) {
        assert!(self.files.remove(path).is_some(), "{path} is not there");
    }

    pub(crate) fn rename(&mut self, from: &str, to: &str) {
        let bytes = self.files.remove(from).unwrap();
        self.files.insert(to.to_owned(), bytes);
    }

    /// Writes a line of a manifest as the format has it.
    pub(crate) fn line(&self, algorithm: Algorithm, path: &str) -> String {
        let bytes = self.files.get(path).map(Vec::as_slice).unwrap_or(b"nothing");
        format!("{}  {path}\n", digest(algorithm, bytes))
    }

    /// Writes the payload manifests again.
    pub(crate) fn relist(&mut self) {
        for algorithm in ALGORITHMS {
            let payload: Vec<String> =
                self.files.keys().filter(|path| path.starts_with("data/")).cloned().collect();
            let text: String = payload.iter().map(|path| self.line(algorithm, path)).collect();
            self.put(&format!("manifest-{algorithm}.txt"), &text);
        }
    }

    /// Adds a payload file and corrects the manifests and the Oxum.
    pub(crate) fn add_payload(&mut self, path: &str, text: &str) {
        self.put(path, text);
        self.relist();
        self.reoxum();
    }

    pub(crate) fn reoxum(&mut self) {
        let payload: Vec<&Vec<u8>> =
            self.files.range("data/".to_owned().."data0".to_owned()).map(|(_, v)| v).collect();
        let bytes: usize = payload.iter().map(|bytes| bytes.len()).sum();
        let text = format!("Source-Organization: Mooring Group\nPayload-Oxum: {bytes}.{}\n", payload.len());
        self.put(self.info_name(), &text);
    }

    /// Writes the tag manifests again, unless they must stay unchanged.
    pub(crate) fn seal(&mut self) {
        if self.sealed {
            return;
        }
        self.files.retain(|path, _| !path.starts_with("tagmanifest-"));
        let tags: Vec<String> =
            self.files.keys().filter(|path| !path.starts_with("data/")).cloned().collect();
        for algorithm in ALGORITHMS {
            let text: String = tags.iter().map(|path| self.line(algorithm, path)).collect();
            self.put(&format!("tagmanifest-{algorithm}.txt"), &text);
        }
    }

    /// Seals, so that the tag manifests can be changed by hand.
    pub(crate) fn seal_for_good(&mut self) {
        self.seal();
        self.sealed = true;
    }

    pub(crate) fn validate(&self, front: Front, accept: Accept) -> Report {
        let scan = self.scan(front);
        check(&scan.inventory, &scan.tag_files, &accept.options())
    }

    pub(crate) fn scan(&self, front: Front) -> Scan {
        let mut options = ScanOptions::default();
        options.threads = 2;
        match front {
            Front::Memory => self.in_memory(),
            Front::Directory => {
                let directory = tempfile::tempdir().unwrap();
                self.write(directory.path());
                scan_directory(directory.path(), &options, &NoProgress).unwrap()
            }
            Front::OnDisk => {
                options.limits.held_manifest_bytes = 0;
                let directory = tempfile::tempdir().unwrap();
                self.write(directory.path());
                let scan = scan_directory(directory.path(), &options, &NoProgress).unwrap();
                self.on_disk.borrow_mut().push(directory);
                scan
            }
            Front::Tar => scan_tar(&*self.tar("bag/"), &options, &NoProgress).unwrap(),
            Front::TarGz => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(&self.tar("bag/")).unwrap();
                scan_tar(&*encoder.finish().unwrap(), &options, &NoProgress).unwrap()
            }
            Front::Zip => scan_zip(Cursor::new(self.zip("bag/")), &options, &NoProgress).unwrap(),
        }
    }

    fn in_memory(&self) -> Scan {
        let mut inventory = Inventory::new();
        let mut tag_files = TagFiles::new();
        for (path, bytes) in &self.files {
            if TagFiles::wants(path) {
                tag_files.insert(path, bytes.clone());
            }
        }
        let algorithms: AlgorithmSet = bagit::required_algorithms(&tag_files).into_iter().collect();
        for (path, bytes) in &self.files {
            inventory.insert_file(path, bytes.len() as u64, Digests::of(algorithms, bytes));
        }
        self.directories.iter().for_each(|directory| inventory.insert_directory(directory));
        let mut scan = Scan::default();
        (scan.inventory, scan.tag_files) = (inventory, tag_files);
        scan
    }

    pub(crate) fn write(&self, root: &Path) {
        for directory in &self.directories {
            fs::create_dir_all(root.join(directory)).unwrap();
        }
        for (path, bytes) in &self.files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }

    pub(crate) fn tar(&self, base: &str) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        let entry = |kind, size: usize| {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_mode(0o644);
            header.set_size(size as u64);
            header
        };
        for directory in &self.directories {
            let mut header = entry(tar::EntryType::Directory, 0);
            builder.append_data(&mut header, format!("{base}{directory}/"), &[][..]).unwrap();
        }
        for (path, bytes) in &self.files {
            let mut header = entry(tar::EntryType::Regular, bytes.len());
            builder.append_data(&mut header, format!("{base}{path}"), &**bytes).unwrap();
        }
        builder.into_inner().unwrap()
    }

    pub(crate) fn zip(&self, base: &str) -> Vec<u8> {
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default();
        for directory in &self.directories {
            writer.add_directory(format!("{base}{directory}"), options).unwrap();
        }
        for (path, bytes) in &self.files {
            writer.start_file(format!("{base}{path}"), options).unwrap();
            writer.write_all(bytes).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }
}

pub(crate) fn digest(algorithm: Algorithm, bytes: &[u8]) -> String {
    Digests::of([algorithm].into_iter().collect(), bytes).hex(algorithm).unwrap()
}
