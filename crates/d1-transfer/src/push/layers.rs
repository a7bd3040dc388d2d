//! Making the layers of a package: archives are packed, parts hashed, objects taken as they are.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bagit::TagFiles;
use bytes::Bytes;
use d1_package::{FileView, LayerContent, PackageFiles, Plan, PlannedArchive, PlannedLayer, ReusableArchive};
use oci_model::{Digest, DigestAlgorithm, DigestHasher};
use oci_pack::{PackError, PackOptions, PackedFile, pack_archive};
use registry_backend::{BlobSource, BytesSource};

use crate::blocking::{CHUNK_BYTES, GivenUp, WhileWanted};
use crate::error::{Error, Result};
use crate::event::{Observer, Phase, RunningPhase, total};
use crate::push::PushOptions;
use crate::source::{FileSource, Spool, SpoolSource};

/// The layers of a package, and the blobs that may have to be sent.
pub(crate) struct MadeLayers {
    pub(crate) contents: Vec<LayerContent>,
    pub(crate) blobs: Vec<Box<dyn BlobSource>>,
    /// The storage of packed blobs. It takes further ones.
    pub(crate) spool: Spool,
}

/// Everything that layers are made from.
#[derive(Clone, Copy)]
pub(crate) struct Material<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) files: &'a PackageFiles,
    pub(crate) sources: &'a Sources,
    pub(crate) options: &'a PushOptions,
    /// A directory of the store, if it takes over files that are made there.
    pub(crate) store: Option<&'a Path>,
}

impl Material<'_> {
    /// Makes all layers of the plan, on all cores. `reusable` has an entry for each archive. It blocks.
    pub(crate) fn make(
        self,
        reusable: Vec<Option<ReusableArchive>>,
        observer: &Arc<dyn Observer>,
        given_up: &GivenUp,
    ) -> Result<MadeLayers> {
        let (items, bytes) = self.work(&reusable);
        let phase = (items > 0).then(|| RunningPhase::begin(observer, Phase::Pack, items, bytes));
        let making = Making { material: self, phase: phase.as_ref(), given_up };
        let spool = Spool::new(&self.options.temporary_directory).in_store(self.store);
        let mut made = MadeLayers { contents: Vec::new(), blobs: Vec::new(), spool };
        let mut reusable = reusable.into_iter();
        let mut parts = Vec::new();
        for layer in &self.plan.layers {
            match layer {
                PlannedLayer::Archive(archive) => match reusable.next().flatten() {
                    Some(reused) => made.contents.push(LayerContent::Reused(reused)),
                    None => making.pack(archive, &mut made)?,
                },
                PlannedLayer::Object { file } => {
                    let file = self.file(*file)?;
                    if self.sources.stored(file.path).is_none() {
                        let digest = Digest::from_sha256(file.sha256);
                        made.blobs.push(self.sources.blob(&file, 0..file.size, digest));
                    }
                    made.contents.push(LayerContent::Object);
                }
                PlannedLayer::Part { file, number, count, range } => {
                    parts.push(range.clone());
                    if number == count {
                        making.parts(&self.file(*file)?, std::mem::take(&mut parts), &mut made)?;
                    }
                }
            }
        }
        Ok(made)
    }

    /// Returns the number and size of the files that must be read.
    fn work(self, reusable: &[Option<ReusableArchive>]) -> (u64, u64) {
        let mut reusable = reusable.iter();
        let sizes = self.plan.layers.iter().map(|layer| match layer {
            PlannedLayer::Archive(_) if reusable.next().is_some_and(Option::is_some) => (0, 0),
            PlannedLayer::Archive(archive) => {
                let files = archive.files.iter().filter_map(|file| self.files.file(*file as usize));
                (archive.files.len() as u64, total(files.map(|file| file.size)))
            }
            PlannedLayer::Object { .. } => (0, 0),
            PlannedLayer::Part { number, range, .. } => (u64::from(*number == 1), range.end - range.start),
        });
        sizes
            .fold((0, 0), |(items, bytes), (more_items, more_bytes)| (items + more_items, bytes + more_bytes))
    }

    fn file(&self, position: usize) -> Result<FileView<'_>> {
        let missing = || d1_package::Error::layer_not_planned(position);
        Ok(self.files.file(position).ok_or_else(missing)?)
    }
}

struct Making<'a> {
    material: Material<'a>,
    phase: Option<&'a RunningPhase>,
    given_up: &'a GivenUp,
}

impl Making<'_> {
    fn pack(&self, archive: &PlannedArchive, made: &mut MadeLayers) -> Result<()> {
        let Material { plan, files, options, .. } = self.material;
        let entries = plan.entries(archive, files);
        let file = |entry: usize| entries.file(entry).and_then(|position| files.file(position as usize));
        let open = |entry: usize| {
            let file = file(entry).ok_or_else(|| io::Error::other("the entry is not a file"))?;
            self.open(file.path)
        };
        let inspect = |packed: &PackedFile| match file(packed.entry) {
            Some(file) if file.sha256 == packed.sha256 => Ok(()),
            file => Err(changed(file.map_or("", |file| file.path))),
        };
        let mut pack_options = PackOptions { compression: options.compression, ..PackOptions::default() };
        pack_options.inspect = Some(&inspect);
        let mut writer = made.spool.layer();
        let packed = pack_archive(&entries, &open, &pack_options, &mut writer)?;
        let (layer, digest, size) = (writer.finish(), packed.blob_digest.clone(), packed.blob_size);
        made.blobs.push(Box::new(SpoolSource { layer, digest, size }));
        made.contents.push(LayerContent::Packed(packed));
        Ok(())
    }

    /// Hashes the parts of a file, and the whole file again in the same read. If the file has changed, its
    /// parts would not match its digest.
    fn parts(&self, file: &FileView<'_>, ranges: Vec<Range<u64>>, made: &mut MadeLayers) -> Result<()> {
        if let Some(parts) = self.material.sources.stored(file.path) {
            let contents = parts.iter().map(|digest| LayerContent::Part { digest: digest.clone() });
            made.contents.extend(contents);
            return Ok(());
        }
        let failed = |error| Error::io("read", file.path, error);
        let mut reader = self.open(file.path).map_err(failed)?;
        let mut whole = DigestHasher::new(DigestAlgorithm::Sha256);
        let mut chunk = vec![0; CHUNK_BYTES];
        for range in ranges {
            let mut part = DigestHasher::new(DigestAlgorithm::Sha256);
            let mut left = range.end - range.start;
            while left > 0 {
                let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK_BYTES);
                let space = chunk.get_mut(..wanted).unwrap_or_default();
                let count = reader.read(space).map_err(failed)?;
                let bytes = space.get(..count).unwrap_or_default();
                if bytes.is_empty() {
                    return Err(changed(file.path).into());
                }
                whole.update(bytes);
                part.update(bytes);
                left -= bytes.len() as u64;
            }
            let digest = part.finish();
            made.blobs.push(self.material.sources.blob(file, range, digest.clone()));
            made.contents.push(LayerContent::Part { digest });
        }
        if whole.finish().sha256_bytes() == Some(file.sha256) {
            Ok(())
        } else {
            Err(changed(file.path).into())
        }
    }

    /// Opens a file, and reports the bytes read from it.
    fn open(&self, path: &str) -> io::Result<Box<dyn Read + Send + '_>> {
        self.advance(1, 0);
        let file = WhileWanted::new(self.material.sources.open(path)?, self.given_up);
        Ok(Box::new(Progressing { file, making: self }))
    }

    fn advance(&self, items: u64, bytes: u64) {
        if let Some(phase) = self.phase {
            phase.advance(items, bytes);
        }
    }
}

fn changed(path: &str) -> PackError {
    PackError::ContentChanged { path: path.to_owned() }
}

struct Progressing<'a, R> {
    file: R,
    making: &'a Making<'a>,
}

impl<R: Read> Read for Progressing<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.making.advance(0, count as u64);
        Ok(count)
    }
}

/// Where the tag files of a bag are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagFilePlace {
    /// In the directory.
    Directory,
    /// In memory. The directory becomes the payload.
    AroundPayload,
}

/// The sources of all files of one package.
#[derive(Clone, Debug)]
pub(crate) struct Sources {
    directory: Arc<PathBuf>,
    /// Prefix of the directory's paths in the package: `data/` if the directory becomes the payload of a bag.
    prefix: &'static str,
    made: Arc<BTreeMap<String, Bytes>>,
    /// Files that the store already has. Each has the digests of its parts if it is stored in parts.
    stored: Arc<BTreeMap<String, Vec<Digest>>>,
}

impl Sources {
    /// Returns the sources of a package whose files are in a directory, except for tag files in memory.
    pub(crate) fn new(
        directory: PathBuf,
        place: TagFilePlace,
        tag_files: TagFiles,
        stored: BTreeMap<String, Vec<Digest>>,
    ) -> Self {
        let prefix = if place == TagFilePlace::AroundPayload { "data/" } else { "" };
        let made = match place {
            TagFilePlace::Directory => BTreeMap::new(),
            TagFilePlace::AroundPayload => {
                tag_files.into_held().map(|(path, bytes)| (path, bytes.into())).collect()
            }
        };
        Self { directory: Arc::new(directory), prefix, made: Arc::new(made), stored: Arc::new(stored) }
    }

    /// Returns the part digests of a file that the store already has. A file in one blob has none.
    pub(crate) fn stored(&self, path: &str) -> Option<&[Digest]> {
        self.stored.get(path).map(Vec::as_slice)
    }

    /// Opens a file of the package.
    pub(crate) fn open(&self, path: &str) -> io::Result<Box<dyn Read + Send>> {
        match self.made.get(path) {
            Some(bytes) => Ok(Box::new(Cursor::new(bytes.clone()))),
            None => Ok(Box::new(File::open(self.on_disk(path))?)),
        }
    }

    /// Returns a range of a file as a blob.
    pub(crate) fn blob(&self, file: &FileView<'_>, range: Range<u64>, digest: Digest) -> Box<dyn BlobSource> {
        match self.made.get(file.path) {
            Some(bytes) => {
                let at = |position: u64| usize::try_from(position).unwrap_or(usize::MAX).min(bytes.len());
                Box::new(BytesSource::new(bytes.slice(at(range.start)..at(range.end))))
            }
            None => Box::new(FileSource::new(self.on_disk(file.path), file.size, range, digest)),
        }
    }

    fn on_disk(&self, path: &str) -> PathBuf {
        self.directory.join(path.strip_prefix(self.prefix).unwrap_or(path))
    }
}
