//! Packages to move, stores to move them to, and what came of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bagit::{Algorithm, BagBuilder, NoProgress};
use d1_transfer::{
    Candidate, ContentFault, Error, Event, Observer, Phase, PullOptions, PullReport, PushOptions, PushReport,
    Result, Silent, pull, push_directory,
};
use oci_model::{ManifestRef, Tag};
use registry_backend::{Capabilities, MemoryBackend, RegistryBackend};
use registry_conformance::pseudo_random;
use tempfile::TempDir;

/// The content of a directory: relative path to content, `None` for a directory; a link is `-> target`.
pub(crate) type Tree = BTreeMap<String, Option<Vec<u8>>>;

/// A directory for one test.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes files below a directory of this name; a path that ends in a slash is an empty directory.
    pub(crate) fn write(&self, name: &str, files: &[(&str, Vec<u8>)]) -> PathBuf {
        let root = self.path(name);
        fs::create_dir_all(&root).unwrap();
        for (path, content) in files {
            let place = root.join(path);
            if path.ends_with('/') {
                fs::create_dir_all(place).unwrap();
            } else {
                fs::create_dir_all(place.parent().unwrap()).unwrap();
                fs::write(place, content).unwrap();
            }
        }
        root
    }

    /// Writes a bag with this payload, with md5 and sha256 manifests.
    pub(crate) fn bag(&self, name: &str, payload: &[(&str, Vec<u8>)]) -> PathBuf {
        let (source, target) = (self.write(&format!("payload of {name}"), payload), self.path(name));
        let builder = BagBuilder::new().algorithms([Algorithm::Md5, Algorithm::Sha256]);
        builder.bagging_date("2025-11-07").payload_directory(source).create(&target, &NoProgress).unwrap();
        target
    }
}

/// Returns bytes that compress.
pub(crate) fn text(seed: u64, length: usize) -> Vec<u8> {
    let mut content = Vec::with_capacity(length + 40);
    let mut line = seed;
    while content.len() < length {
        line = line.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        content.extend_from_slice(format!("2024-06-01T00:00:00Z,{}\n", line >> 48).as_bytes());
    }
    content.truncate(length);
    content
}

/// Returns bytes that do not compress.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    pseudo_random(seed, length).to_vec()
}

/// Returns what a directory holds; without the staging directories of pulls.
pub(crate) fn tree(root: &Path) -> Tree {
    let mut found = Tree::new();
    if root.exists() {
        collect(root, "", &mut found);
    }
    found
}

fn collect(directory: &Path, prefix: &str, found: &mut Tree) {
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        if path.starts_with(".d1oci-pull-") {
            continue;
        }
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            collect(&entry.path(), &format!("{path}/"), found);
            found.insert(path, None);
        } else if kind.is_symlink() {
            let target = fs::read_link(entry.path()).unwrap();
            found.insert(path, Some(format!("-> {}", target.display()).into_bytes()));
        } else {
            found.insert(path, Some(fs::read(entry.path()).unwrap()));
        }
    }
}

/// Returns the staging directories that a pull has left.
pub(crate) fn leftovers(output: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(output).into_iter().flatten().map(|entry| entry.unwrap().path());
    let is_staging = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with(".d1oci");
    entries.filter(is_staging).collect()
}

pub(crate) fn memory() -> Arc<MemoryBackend> {
    Arc::new(MemoryBackend::new())
}

pub(crate) fn memory_with(change: impl FnOnce(&mut Capabilities)) -> Arc<MemoryBackend> {
    let mut capabilities = Capabilities::default();
    change(&mut capabilities);
    Arc::new(MemoryBackend::with_capabilities(capabilities))
}

pub(crate) fn silent() -> Arc<dyn Observer> {
    Arc::new(Silent)
}

pub(crate) fn tag(name: &str) -> Tag {
    name.parse().unwrap()
}

pub(crate) fn at(name: &str) -> ManifestRef {
    ManifestRef::Tag(tag(name))
}

/// Returns options with the tag `v1`.
pub(crate) fn push_options() -> PushOptions {
    let mut options = PushOptions::new(std::env::temp_dir());
    options.tags = vec![tag("v1")];
    options
}

pub(crate) async fn push(backend: &dyn RegistryBackend, directory: &Path) -> Result<PushReport> {
    push_directory(backend, directory, &push_options(), &silent()).await
}

/// Pulls `v1`.
pub(crate) async fn pull_to(backend: &dyn RegistryBackend, output: &Path) -> Result<PullReport> {
    pull_with(backend, output, |_| {}).await
}

pub(crate) async fn pull_with(
    backend: &dyn RegistryBackend,
    output: &Path,
    change: impl FnOnce(&mut PullOptions),
) -> Result<PullReport> {
    let mut options = PullOptions::default();
    change(&mut options);
    pull(backend, &at("v1"), output, &options, &silent()).await
}

/// Chooses files by their paths.
pub(crate) fn include(options: &mut PullOptions, wanted: &'static [&'static str]) {
    options.include = Some(Arc::new(|file: &Candidate<'_>| wanted.contains(&file.path)));
    options.include_text = wanted.join(" ");
}

/// Returns the faults of an error that has some.
pub(crate) fn faults<T: std::fmt::Debug>(result: Result<T>) -> Vec<ContentFault> {
    match result {
        Err(Error::Content { faults }) => faults,
        other => panic!("no damage was found: {other:?}"),
    }
}

pub(crate) fn paths(faults: &[ContentFault]) -> Vec<&str> {
    faults.iter().map(|fault| fault.path.as_str()).collect()
}

/// Returns an error with all its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text += &format!(": {inner}");
        cause = inner.source();
    }
    text
}

/// Notes every event, and does something when a phase begins or ends.
#[derive(Default)]
pub(crate) struct Listener {
    heard: Mutex<Heard>,
    react: Option<Reaction>,
}

type Reaction = Box<dyn Fn(&Event<'_>) + Send + Sync>;

#[derive(Default)]
struct Heard {
    phases: BTreeMap<String, Tally>,
    warnings: Vec<String>,
    blobs: Vec<(String, String)>,
}

/// The events of one phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) began: u64,
    pub(crate) ended: u64,
    pub(crate) planned: (u64, u64),
    pub(crate) done: (u64, u64),
}

impl Listener {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn reacting(react: impl Fn(&Event<'_>) + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { heard: Mutex::default(), react: Some(Box::new(react)) })
    }

    pub(crate) fn observer(self: &Arc<Self>) -> Arc<dyn Observer> {
        Arc::clone(self) as _
    }

    pub(crate) fn phase(&self, phase: Phase) -> Tally {
        self.heard.lock().unwrap().phases.get(&format!("{phase:?}")).copied().unwrap_or_default()
    }

    pub(crate) fn warnings(&self) -> Vec<String> {
        self.heard.lock().unwrap().warnings.clone()
    }

    /// Returns titles and outcomes of blobs.
    pub(crate) fn blobs(&self) -> Vec<(String, String)> {
        self.heard.lock().unwrap().blobs.clone()
    }

    /// Makes sure that every phase that has begun has ended.
    pub(crate) fn assert_balanced(&self, about: &str) {
        for (phase, tally) in &self.heard.lock().unwrap().phases {
            assert_eq!(tally.began, tally.ended, "{about}: {phase}");
        }
    }
}

impl Observer for Listener {
    fn event(&self, event: &Event<'_>) {
        if let Some(react) = &self.react {
            react(event);
        }
        let mut heard = self.heard.lock().unwrap();
        let mut tally = |phase: Phase| *heard.phases.entry(format!("{phase:?}")).or_default();
        match *event {
            Event::Began { phase, items, bytes } => {
                let mut now = tally(phase);
                now.began += 1;
                now.planned = (now.planned.0 + items, now.planned.1 + bytes);
                heard.phases.insert(format!("{phase:?}"), now);
            }
            Event::Advanced { phase, items, bytes } => {
                let mut now = tally(phase);
                now.done = (now.done.0 + items, now.done.1 + bytes);
                heard.phases.insert(format!("{phase:?}"), now);
            }
            Event::Ended { phase } => {
                let mut now = tally(phase);
                now.ended += 1;
                heard.phases.insert(format!("{phase:?}"), now);
            }
            Event::Blob { title, outcome, .. } => {
                heard.blobs.push((title.to_owned(), format!("{outcome:?}")))
            }
            Event::Warning(text) => heard.warnings.push(text.to_owned()),
            _ => {}
        }
    }
}
