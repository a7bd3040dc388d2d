//! `cargo xtask repository`: makes a layout with very many packages, to measure catalogues.
//!
//! `d1oci push` stores one package. Its copies differ from it in their identifiers, in some words and numbers of the
//! metadata, and in the end of each data file. Every copy is whole: its checksums and digests are right, but for the
//! content digest, which only has to differ.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use md5::Md5;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::error::{Result, at};
use crate::sample::{Extent, Kind, Sample};
use crate::{console, process};

/// The most packages: their number has seven digits in identifiers.
const MOST_PACKAGES: u64 = 9_999_999;

/// The arguments of `cargo xtask repository`.
#[derive(Debug, Args)]
#[command(after_help = "\
Each package has ten objects: a resource map, a document in EML, and eight tables.

Example: cargo xtask repository target/large --packages 100000 --d1oci target/release/d1oci")]
pub struct Arguments {
    /// Directory of the layout, which must not exist
    pub out: PathBuf,
    /// The number of packages
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=MOST_PACKAGES))]
    pub packages: u64,
    /// The program that pushes the first package
    #[arg(long, value_name = "FILE", default_value = "target/release/d1oci")]
    pub d1oci: PathBuf,
}

/// Makes the layout.
///
/// # Errors
///
/// Fails when the directory exists, the program cannot push, or a file cannot be written.
pub fn run(arguments: &Arguments) -> Result<()> {
    let work = tempfile::tempdir()?;
    let mut sample = Sample::of_kind(Kind::Mooring);
    sample.extent = Extent { size: Some(16 << 10), files: Some(8) };
    let bag = sample.make_in(work.path())?.bag;
    let pushed = work.path().join("pushed");
    process::run(
        Command::new(&arguments.d1oci)
            .args(["push", "--quiet", "--layout", "archive", "--compression", "none"])
            .arg(format!("oci:{}", pushed.display()))
            .arg(bag),
    )?;
    let template = Template::read(&pushed)?;
    let blobs = arguments.out.join("blobs/sha256");
    fs::create_dir(&arguments.out).map_err(at(&arguments.out))?;
    fs::create_dir_all(&blobs).map_err(at(&blobs))?;
    let mut entries = Vec::new();
    for number in 0..arguments.packages {
        entries.push(template.copy(number, &blobs)?);
    }
    let index = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": entries,
    });
    for (name, text) in [("index.json", index.to_string()), ("oci-layout", template.layout)] {
        let path = arguments.out.join(name);
        fs::write(&path, text).map_err(at(&path))?;
    }
    console::note(format_args!("made {} packages", arguments.packages));
    console::result(arguments.out.display());
    Ok(())
}

/// The package that is copied, as the program pushed it.
struct Template {
    layout: String,
    entry: Value,
    manifest: Value,
    index: Value,
    layer: Vec<u8>,
    /// Identifiers and words of the package.
    words: Vec<String>,
}

impl Template {
    fn read(layout: &Path) -> Result<Self> {
        let read = |path: PathBuf| fs::read(&path).map_err(at(&path));
        let blob = |descriptor: &Value| {
            let digest = descriptor["digest"].as_str().unwrap_or_default();
            read(layout.join("blobs").join(digest.replace(':', "/")))
        };
        let entries: Value = serde_json::from_slice(&read(layout.join("index.json"))?)?;
        let entry = entries["manifests"][0].clone();
        let manifest: Value = serde_json::from_slice(&blob(&entry)?)?;
        let index: Value = serde_json::from_slice(&blob(&manifest["config"])?)?;
        let layer = blob(&manifest["layers"][0])?;
        if manifest["layers"][1] != Value::Null {
            return Err("expected one layer, found several".into());
        }
        let identifiers = strings(&index, "identifier").into_iter().filter(|it| it.starts_with("urn:uuid:"));
        Ok(Self {
            layout: String::from_utf8(read(layout.join("oci-layout"))?)?,
            words: identifiers.map(|it| it.trim_start_matches("urn:uuid:").to_owned()).collect(),
            entry,
            manifest,
            index,
            layer,
        })
    }

    /// Writes the copy with this number, and returns its entry of `index.json`.
    fn copy(&self, number: u64, blobs: &Path) -> Result<Value> {
        let mut changes = Changes::of_words(self, number);
        let mut layer = self.layer.clone();
        let mut files = self.index["files"].as_array().cloned().unwrap_or_default();
        // Checksums of a file stand in files that come later in this order.
        files.sort_by_key(|file| place(file["path"].as_str().unwrap_or_default()));
        for file in &files {
            let at = |key: &str| usize::try_from(file[key].as_u64().unwrap_or_default());
            let (start, size) = (at("offset")?, at("size")?);
            let bytes = layer.get_mut(start..start + size).ok_or("a file ends behind its layer")?;
            if file["path"].as_str().is_some_and(|path| path.starts_with("data/")) {
                let end = bytes.len();
                bytes[end - 8..end - 1].copy_from_slice(format!("{number:07}").as_bytes());
            }
            changes.apply(bytes);
            for (old, new) in [
                (&file["sha256"], hex::encode(Sha256::digest(&*bytes))),
                (&file["checksums"]["md5"], hex::encode(Md5::digest(&*bytes))),
            ] {
                changes.add(old.as_str().ok_or("expected a checksum, found none")?, &new);
            }
        }
        changes.apply_to_headers(&mut layer)?;
        let old = self.manifest["layers"][0]["digest"].as_str().unwrap_or_default();
        changes.add(&old["sha256:".len()..], &store(&layer, blobs)?);
        let index = changes.applied(&self.index)?;
        let digest = store(index.as_bytes(), blobs)?;
        let mut manifest = self.manifest.clone();
        manifest["config"]["digest"] = json!(format!("sha256:{digest}"));
        manifest["config"]["data"] = json!(STANDARD.encode(&index));
        let text = changes.applied(&manifest)?;
        let digest = store(text.as_bytes(), blobs)?;
        let mut entry: Value = serde_json::from_str(&changes.applied(&self.entry)?)?;
        entry["digest"] = json!(format!("sha256:{digest}"));
        Ok(entry)
    }
}

/// Replacements of equal length, by their first bytes.
struct Changes {
    by_start: HashMap<[u8; START], Vec<Change>>,
}

/// The bytes before and after a replacement.
type Change = (Vec<u8>, Vec<u8>);

/// The unit of tar archives in bytes.
const BLOCK: usize = 512;

/// The number of bytes that find a replacement.
const START: usize = 5;

impl Changes {
    fn of_words(template: &Template, number: u64) -> Self {
        let mut changes = Self { by_start: HashMap::new() };
        changes.add("A2MOORING", &format!("A2{number:07}"));
        for uuid in &template.words {
            changes.add(uuid, &format!("{}{number:07}", &uuid[..uuid.len() - 7]));
        }
        changes.add("that does not exist", &format!("near {} coast", word(number)));
        let (longitude, latitude) = (10 + number % 80, 10 + number / 80 % 70);
        changes.add("-70.5<", &format!("-{longitude:02}.5<"));
        changes.add("-70.0<", &format!("-{longitude:02}.0<"));
        changes.add(">42.1<", &format!(">{latitude:02}.1<"));
        changes.add(">41.7<", &format!(">{latitude:02}.0<"));
        if let Some(old) = template.entry["annotations"]["org.dataone.content-digest"].as_str() {
            changes.add(&old["sha256:".len()..], &hex::encode(Sha256::digest(number.to_be_bytes())));
        }
        changes
    }

    fn add(&mut self, old: &str, new: &str) {
        assert_eq!(old.len(), new.len(), "{old} and {new} have different lengths");
        let start = old.as_bytes()[..START].try_into().expect("it has this length");
        self.by_start.entry(start).or_default().push((old.into(), new.into()));
    }

    fn apply(&self, bytes: &mut [u8]) {
        let mut at = 0;
        while let Some(start) = bytes.get(at..at + START) {
            let found = self
                .by_start
                .get(start)
                .and_then(|changes| changes.iter().find(|(old, _)| bytes[at..].starts_with(old)));
            match found {
                Some((_, new)) => {
                    bytes[at..at + new.len()].copy_from_slice(new);
                    at += new.len();
                }
                None => at += 1,
            }
        }
    }

    /// Changes the names in the headers of a tar archive.
    fn apply_to_headers(&self, archive: &mut [u8]) -> Result<()> {
        let mut at = 0;
        while at + BLOCK <= archive.len() && archive[at] != 0 {
            let mut header = tar::Header::new_old();
            header.as_mut_bytes().copy_from_slice(&archive[at..at + BLOCK]);
            self.apply(header.as_mut_bytes());
            header.set_cksum();
            archive[at..at + BLOCK].copy_from_slice(header.as_bytes());
            let content = at + BLOCK;
            let size = usize::try_from(header.entry_size()?)?;
            // Records with long names come before the entry.
            if !header.entry_type().is_file() {
                self.apply(&mut archive[content..content + size]);
            }
            at = content + size.next_multiple_of(BLOCK);
        }
        Ok(())
    }

    fn applied(&self, value: &Value) -> Result<String> {
        let mut bytes = value.to_string().into_bytes();
        self.apply(&mut bytes);
        Ok(String::from_utf8(bytes)?)
    }
}

/// One of 65,536 words of eight letters.
fn word(number: u64) -> String {
    const SYLLABLES: [&str; 16] =
        ["ba", "de", "fi", "go", "hu", "ka", "le", "mi", "no", "pu", "ra", "se", "ti", "vo", "wu", "za"];
    let syllable = |place: u64| usize::try_from(number >> (4 * place) & 15).unwrap_or_default();
    (0..4).map(|place| SYLLABLES[syllable(place)]).collect()
}

/// Where a file comes in the order in which checksums are known.
fn place(path: &str) -> u8 {
    match path {
        _ if path.starts_with("data/") => 0,
        _ if path.contains("science-metadata") => 1,
        _ if path.contains("oai-ore") => 2,
        _ if path.starts_with("tagmanifest") => 4,
        _ => 3,
    }
}

/// All texts under this key, at any depth.
fn strings(value: &Value, key: &str) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().flat_map(|item| strings(item, key)).collect(),
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(name, item)| match item {
                Value::String(text) if name == key => vec![text.clone()],
                _ => strings(item, key),
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// Writes a blob, and returns its SHA-256.
fn store(bytes: &[u8], blobs: &Path) -> Result<String> {
    let digest = hex::encode(Sha256::digest(bytes));
    let path = blobs.join(&digest);
    fs::File::create(&path).and_then(|mut file| file.write_all(bytes)).map_err(at(&path))?;
    Ok(digest)
}
