//! Bags for tests.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bagit::{Algorithm, AlgorithmSet, Digests};

/// Payload paths that break careless tools.
pub const AWKWARD_FILES: &[&str] = &[
    "with space.csv",
    "ünïcödé/日本語.txt",
    "a/very/deep/directory/tree/with/many/levels/inside/it.txt",
    "a-name-of-more-than-one-hundred-bytes-0123456789-0123456789-0123456789-0123456789-0123456789-0123456789.csv",
    "long/0123456789012345678901234567890123456789012345678901234567890123456789/0123456789012345678901234567890123456789012345678901234567890123456789/0123456789012345678901234567890123456789012345678901234567890123456789/end.txt",
    "leading-dot/.hidden",
    "quote's \"and\" more",
    "emoji-🐟.bin",
    "empty.txt",
];

/// Builds a bag from a description.
#[derive(Clone, Debug, Default)]
pub struct BagBuilder {
    files: BTreeMap<String, Vec<u8>>,
    empty_directories: Vec<String>,
}

impl BagBuilder {
    /// Returns an empty bag.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file by its path in the bag.
    #[must_use]
    pub fn file(mut self, path: &str, content: impl Into<Vec<u8>>) -> Self {
        self.files.insert(path.to_owned(), content.into());
        self
    }

    /// Adds files of some size under `data/`.
    #[must_use]
    pub fn payload_files(mut self, count: usize, bytes: usize) -> Self {
        for number in 0..count {
            let path = format!("data/series-{}/file-{number:05}.csv", number % 7);
            self.files.insert(path, payload(number as u64, bytes));
        }
        self
    }

    /// Adds files with awkward names, and an empty directory.
    #[must_use]
    pub fn awkward(mut self) -> Self {
        for (number, name) in AWKWARD_FILES.iter().enumerate() {
            let content =
                if name.starts_with("empty") { Vec::new() } else { payload(number as u64, 3000 + number) };
            self.files.insert(format!("data/{name}"), content);
        }
        self.empty_directories.push("data/an empty directory/inside".to_owned());
        self
    }

    /// Writes the bag, with md5 and sha256 manifests and tag manifests.
    ///
    /// # Panics
    ///
    /// If it cannot be written.
    pub fn write(&self, directory: &Path) -> PathBuf {
        let mut files = self.files.clone();
        let payload: Vec<(&String, &Vec<u8>)> =
            self.files.iter().filter(|(path, _)| path.starts_with("data/")).collect();
        let octets: usize = payload.iter().map(|(_, content)| content.len()).sum();
        files
            .insert("bagit.txt".into(), b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n".to_vec());
        let info = format!("Bagging-Date: 2025-11-07\nPayload-Oxum: {octets}.{}\n", payload.len());
        files.insert("bag-info.txt".into(), info.into());
        for algorithm in [Algorithm::Md5, Algorithm::Sha256] {
            let name = format!("manifest-{}.txt", algorithm.name());
            files.insert(name, manifest(algorithm, payload.iter().copied()));
        }
        let tags: Vec<(String, Vec<u8>)> = files
            .iter()
            .filter(|(path, _)| !path.starts_with("data/"))
            .map(|(path, content)| (path.clone(), content.clone()))
            .collect();
        for algorithm in [Algorithm::Md5, Algorithm::Sha256] {
            let name = format!("tagmanifest-{}.txt", algorithm.name());
            files.insert(name, manifest(algorithm, tags.iter().map(|(path, content)| (path, content))));
        }
        fs::create_dir_all(directory.join("data")).expect("the directory can be made");
        for empty in &self.empty_directories {
            fs::create_dir_all(directory.join(empty)).expect("the directory can be made");
        }
        for (path, content) in files {
            let target = directory.join(path);
            fs::create_dir_all(target.parent().expect("it has a parent")).expect("the directory can be made");
            fs::write(target, content).expect("the file can be written");
        }
        directory.to_owned()
    }
}

fn manifest<'a>(algorithm: Algorithm, files: impl Iterator<Item = (&'a String, &'a Vec<u8>)>) -> Vec<u8> {
    let set: AlgorithmSet = [algorithm].into_iter().collect();
    let line = |(path, content): (&String, &Vec<u8>)| {
        let path = path.replace('%', "%25").replace('\n', "%0A").replace('\r', "%0D");
        format!("{}  {path}\n", Digests::of(set, content).hex(algorithm).expect("it was computed"))
    };
    files.map(line).collect::<String>().into_bytes()
}

/// Returns content that compresses like a table of measurements; the same for the same arguments.
pub fn payload(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut content = Vec::with_capacity(bytes + 64);
    let mut minute = 0_u64;
    while content.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let line = format!(
            "2024-06-{:02}T{:02}:{:02}:00Z,{:.4}\n",
            minute / 1440 % 28 + 1,
            minute / 60 % 24,
            minute % 60,
            4.0 + (state % 20_000) as f64 / 10_000.0
        );
        content.extend_from_slice(line.as_bytes());
        minute += 10;
    }
    content.truncate(bytes);
    content
}
