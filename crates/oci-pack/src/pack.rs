//! Writing a deterministic archive: read, hash, compress and write at the same time.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read, Write};
use std::num::NonZeroUsize;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use multi_digest::{Algorithm, MultiHasher};
use oci_model::{Digest, DigestAlgorithm, DigestHasher};

use crate::compression::{Compression, MEMBER_LENGTH, MemberEncoder};
use crate::entry::{ArchiveEntry, EntryKind, EntryList};
use crate::error::PackError;
use crate::members::Member;
use crate::tar::{header_bytes, padding};
use crate::tar_layout::{END_LENGTH, tar_layout};

/// Opens the content of the entry at this position in the list. It is called once for each file, in order, from
/// one thread.
pub type OpenEntry<'a> = dyn Fn(usize) -> io::Result<Box<dyn Read + Send + 'a>> + Sync + 'a;

/// Options for writing an archive.
#[derive(Clone, Copy)]
pub struct PackOptions<'a> {
    /// Compression of the archive.
    pub compression: Compression,
    /// Number of threads that compress. The result is the same for any number.
    pub threads: NonZeroUsize,
    /// Called from the calling thread with the number of tar bytes written since the last call.
    pub progress: Option<&'a (dyn Fn(u64) + Sync)>,
    /// Called from one thread with each file after it was read, in order. An error ends the packing.
    pub inspect: Option<&'a InspectFile<'a>>,
}

/// Inspects a file that was read into an archive.
pub type InspectFile<'a> = dyn Fn(&PackedFile) -> Result<(), PackError> + Sync + 'a;

/// A written archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedArchive {
    /// Compression of the archive.
    pub compression: Compression,
    /// Digest of the bytes written.
    pub blob_digest: Digest,
    /// Number of bytes written.
    pub blob_size: u64,
    /// Digest of the tar archive, as `io.deis.oras.content.digest` holds it.
    pub tar_digest: Digest,
    /// Size of the tar archive in bytes.
    pub tar_size: u64,
    /// The independently compressed pieces, in order and without gaps.
    pub members: Vec<Member>,
    /// For each regular file, in the order of the entries, the start of its content in the tar archive.
    pub data_offsets: Vec<u64>,
}

/// A file that was read into an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackedFile {
    /// Position in the list of entries.
    pub entry: usize,
    /// Length of the content in bytes.
    pub size: u64,
    /// SHA-256 of the content.
    pub sha256: [u8; 32],
    /// Start of the content in the tar archive.
    pub data_offset: u64,
}

impl Default for PackOptions<'_> {
    /// gzip, with as many threads as the machine has cores.
    fn default() -> Self {
        let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Self { compression: Compression::default(), threads, progress: None, inspect: None }
    }
}

impl fmt::Debug for PackOptions<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PackOptions")
            .field("compression", &self.compression)
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}

/// Writes the archive of `entries` to `output`.
///
/// Equal entries with equal contents give equal bytes, on every machine and with any number of threads. Memory is
/// bounded by a few members of 1 MiB for each thread. After an error, discard the content of `output`.
///
/// # Errors
///
/// If [`tar_layout`](crate::tar_layout()) refuses the entries; if a file cannot be read, or its size differs from
/// the declared one; if `output` fails.
///
/// ```
/// use std::io::Read;
///
/// use oci_pack::{PackOptions, entries_with_directories, pack_archive};
///
/// let entries = entries_with_directories("dataset", [("a.csv", 7)]);
/// let open = |_: usize| Ok(Box::new(&b"15,7.2\n"[..]) as Box<dyn Read + Send>);
/// let mut blob = Vec::new();
/// let packed = pack_archive(&entries, &open, &PackOptions::default(), &mut blob)?;
/// assert_eq!(packed.blob_size, blob.len() as u64);
/// // A header for the directory, a header and a block for the file, and two blocks that end the archive.
/// assert_eq!(packed.tar_size, 5 * 512);
/// # Ok::<(), oci_pack::PackError>(())
/// ```
pub fn pack_archive(
    entries: &(impl EntryList + ?Sized),
    open: &OpenEntry<'_>,
    options: &PackOptions<'_>,
    output: &mut dyn Write,
) -> Result<PackedArchive, PackError> {
    let layout = tar_layout(entries)?;
    let threads = options.threads.get();
    // One slot for the feed, one for the hasher, one for the writer, and a compressor's next one ready.
    let slot_count = 2 * threads + 3;
    let (free_sender, free) = bounded(slot_count);
    for _ in 0..slot_count {
        // The channel has room for every slot.
        let _ = free_sender.try_send(Slot::new());
    }
    let (fed_sender, fed) = bounded(slot_count);
    let (hashed_sender, hashed) = bounded(slot_count);
    let (encoded_sender, encoded) = bounded(slot_count);

    thread::scope(|scope| {
        let offsets = &layout.data_offsets;
        let feed = scope
            .spawn(move || MemberFeed::new(free, fed_sender, open, options.inspect).run(entries, offsets));
        let hasher = scope.spawn(move || hash_members(&fed, &hashed_sender));
        for _ in 0..threads {
            let (hashed, encoded_sender) = (hashed.clone(), encoded_sender.clone());
            scope.spawn(move || encode_members(options.compression, &hashed, &encoded_sender));
        }
        // Only the compressors hold these now, so each end notices when the other is gone.
        drop((hashed, encoded_sender));
        let written = write_members(&encoded, &free_sender, options, output);
        drop((encoded, free_sender));
        let fed = join(feed);
        let tar_digest = join(hasher);
        match (written, fed) {
            (Err(error), _) | (Ok(_), Err(FeedError::Pack(error))) => Err(error),
            (Ok(_), Err(FeedError::Stopped)) => {
                Err(PackError::Compress { source: io::Error::other("a compressor stopped") })
            }
            (Ok(written), Ok(data_offsets)) => Ok(PackedArchive {
                compression: options.compression,
                blob_digest: written.digest,
                blob_size: written.size,
                tar_digest,
                tar_size: layout.size,
                members: written.members,
                data_offsets,
            }),
        }
    })
}

/// Waits for a thread. If it panicked, this thread panics too.
pub(crate) fn join<T>(handle: thread::ScopedJoinHandle<'_, T>) -> T {
    handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Computes the tar digest in order, before the members go to the compressors.
fn hash_members(fed: &Receiver<Slot>, hashed: &Sender<Slot>) -> Digest {
    let mut hasher = DigestHasher::new(DigestAlgorithm::Sha256);
    for slot in fed {
        hasher.update(slot.content());
        if hashed.send(slot).is_err() {
            break;
        }
    }
    hasher.finish()
}

fn encode_members(compression: Compression, hashed: &Receiver<Slot>, encoded: &Sender<io::Result<Slot>>) {
    let mut encoder = MemberEncoder::new(compression);
    for mut slot in hashed {
        let result = match &mut encoder {
            Ok(encoder) => {
                let mut buffer = std::mem::take(&mut slot.encoded);
                let result = encoder.encode(slot.content(), &mut buffer);
                slot.encoded = buffer;
                result.map(|()| slot)
            }
            Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
        };
        if encoded.send(result).is_err() {
            break;
        }
    }
}

struct Written {
    digest: Digest,
    size: u64,
    members: Vec<Member>,
}

/// Writes members in order, and returns their slots.
fn write_members(
    encoded: &Receiver<io::Result<Slot>>,
    free: &Sender<Slot>,
    options: &PackOptions<'_>,
    output: &mut dyn Write,
) -> Result<Written, PackError> {
    let mut hasher = DigestHasher::new(DigestAlgorithm::Sha256);
    let mut size = 0;
    let mut members = Vec::new();
    let mut waiting: BTreeMap<u64, Slot> = BTreeMap::new();
    for slot in encoded {
        let slot = slot.map_err(|source| PackError::Compress { source })?;
        waiting.insert(slot.sequence, slot);
        while let Some(slot) = waiting.remove(&(members.len() as u64)) {
            output.write_all(&slot.encoded).map_err(|source| PackError::Write { source })?;
            hasher.update(&slot.encoded);
            let (length, tar_length) = (slot.encoded.len() as u64, slot.content().len() as u64);
            members.push(Member { offset: size, length, tar_offset: slot.tar_offset, tar_length });
            size += length;
            if let Some(progress) = options.progress {
                progress(tar_length);
            }
            // The feed may have ended. Then nobody needs the slot.
            let _ = free.send(slot);
        }
    }
    output.flush().map_err(|source| PackError::Write { source })?;
    Ok(Written { digest: hasher.finish(), size, members })
}

/// A new member begins at an entry that would not fit into the current one, if that has at least this many bytes.
/// So most small files lie in one member, and no member is so small that it compresses worse.
const SMALLEST_CUT: u64 = 256 << 10;

/// Largest single read. Bytes that are hashed right after the read are still in the cache.
const READ_LENGTH: usize = 256 << 10;

/// A member in work. Slots circulate between the threads, so their number bounds the memory.
pub(crate) struct Slot {
    /// Position of the member in the archive.
    pub(crate) sequence: u64,
    /// Start of the member in the tar archive.
    pub(crate) tar_offset: u64,
    /// Room for tar bytes, `MEMBER_LENGTH` long.
    raw: Vec<u8>,
    filled: usize,
    /// The compressed member.
    pub(crate) encoded: Vec<u8>,
}

/// The reason why the feed ended early.
pub(crate) enum FeedError {
    /// The threads that receive the members are gone. They report the reason.
    Stopped,
    /// The source failed.
    Pack(PackError),
}

/// Reads entries and sends members.
pub(crate) struct MemberFeed<'a, 's, 'i> {
    free: Receiver<Slot>,
    full: Sender<Slot>,
    open: &'a OpenEntry<'s>,
    inspect: Option<&'a InspectFile<'i>>,
    slot: Option<Slot>,
    sequence: u64,
    tar_offset: u64,
}

impl Slot {
    pub(crate) fn new() -> Self {
        Self { sequence: 0, tar_offset: 0, raw: vec![0; MEMBER_LENGTH], filled: 0, encoded: Vec::new() }
    }

    /// The tar bytes of the member.
    pub(crate) fn content(&self) -> &[u8] {
        self.raw.get(..self.filled).unwrap_or_default()
    }
}

impl From<PackError> for FeedError {
    fn from(error: PackError) -> Self {
        Self::Pack(error)
    }
}

impl<'a, 's, 'i> MemberFeed<'a, 's, 'i> {
    pub(crate) fn new(
        free: Receiver<Slot>,
        full: Sender<Slot>,
        open: &'a OpenEntry<'s>,
        inspect: Option<&'a InspectFile<'i>>,
    ) -> Self {
        Self { free, full, open, inspect, slot: None, sequence: 0, tar_offset: 0 }
    }

    /// Feeds all entries and the end of the archive. `offsets` are the starts of their data. Returns the starts of
    /// the files.
    pub(crate) fn run(
        mut self,
        entries: &(impl EntryList + ?Sized),
        offsets: &[u64],
    ) -> Result<Vec<u64>, FeedError> {
        let mut of_files = Vec::with_capacity(offsets.len());
        for (index, (entry, data_offset)) in entries.entries().zip(offsets).enumerate() {
            let header = header_bytes(&entry.path, entry.kind);
            let length = entry.size().saturating_add((header.len() + padding(entry.size())) as u64);
            self.begin_entry(length)?;
            self.append(&header)?;
            if let EntryKind::File { size } = entry.kind {
                debug_assert_eq!(self.position(), *data_offset, "the layout is the one that is written");
                let sha256 = self.append_content(index, &entry, size)?;
                if let Some(inspect) = self.inspect {
                    inspect(&PackedFile { entry: index, size, sha256, data_offset: *data_offset })?;
                }
                of_files.push(*data_offset);
            }
        }
        self.append(&[0; END_LENGTH])?;
        self.flush()?;
        Ok(of_files)
    }

    fn position(&self) -> u64 {
        self.tar_offset + self.slot.as_ref().map_or(0, |slot| slot.filled as u64)
    }

    /// Begins a new member where the entry would not fit into the current one.
    fn begin_entry(&mut self, length: u64) -> Result<(), FeedError> {
        let filled = self.slot.as_ref().map_or(0, |slot| slot.filled as u64);
        if filled >= SMALLEST_CUT && filled.saturating_add(length) > MEMBER_LENGTH as u64 {
            self.flush()?;
        }
        Ok(())
    }

    fn append_content(
        &mut self,
        index: usize,
        entry: &ArchiveEntry,
        size: u64,
    ) -> Result<[u8; 32], FeedError> {
        let path = || entry.path.clone();
        let mut reader = (self.open)(index).map_err(|source| PackError::Open { path: path(), source })?;
        let mut hasher = MultiHasher::new(Algorithm::Sha256.into());
        let mut left = size;
        while left > 0 {
            let room = self.room()?;
            let wanted = room.len().min(READ_LENGTH).min(usize::try_from(left).unwrap_or(usize::MAX));
            let room = &mut room[..wanted];
            let count =
                read_some(&mut reader, room).map_err(|source| PackError::Read { path: path(), source })?;
            if count == 0 {
                let found = size - left;
                Err(PackError::SizeChanged { path: path(), declared: size, found, more: false })?;
            }
            hasher.update(&room[..count]);
            left -= count as u64;
            self.advance(count);
        }
        let beyond =
            read_some(&mut reader, &mut [0]).map_err(|source| PackError::Read { path: path(), source })?;
        if beyond > 0 {
            Err(PackError::SizeChanged { path: path(), declared: size, found: size, more: true })?;
        }
        self.append(&vec![0; padding(size)])?;
        let digests = hasher.finish();
        // The hasher computes the one algorithm that it was made for.
        Ok(digests.get(Algorithm::Sha256).and_then(|digest| digest.try_into().ok()).unwrap_or_default())
    }

    fn append(&mut self, mut bytes: &[u8]) -> Result<(), FeedError> {
        while !bytes.is_empty() {
            let room = self.room()?;
            let count = room.len().min(bytes.len());
            let (now, later) = bytes.split_at(count);
            room[..count].copy_from_slice(now);
            self.advance(count);
            bytes = later;
        }
        Ok(())
    }

    /// Returns the free part of the current member, which is never empty.
    fn room(&mut self) -> Result<&mut [u8], FeedError> {
        if self.slot.as_ref().is_some_and(|slot| slot.filled == MEMBER_LENGTH) {
            self.flush()?;
        }
        if self.slot.is_none() {
            let mut slot = self.free.recv().map_err(|_| FeedError::Stopped)?;
            slot.filled = 0;
            self.slot = Some(slot);
        }
        let slot = self.slot.as_mut().ok_or(FeedError::Stopped)?;
        Ok(&mut slot.raw[slot.filled..])
    }

    fn advance(&mut self, count: usize) {
        if let Some(slot) = &mut self.slot {
            slot.filled += count;
        }
    }

    fn flush(&mut self) -> Result<(), FeedError> {
        let Some(mut slot) = self.slot.take() else { return Ok(()) };
        slot.sequence = self.sequence;
        slot.tar_offset = self.tar_offset;
        self.sequence += 1;
        self.tar_offset += slot.filled as u64;
        self.full.send(slot).map_err(|_| FeedError::Stopped)
    }
}

fn read_some(reader: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match reader.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
