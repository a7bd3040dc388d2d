//! Turning entries into tar bytes, cut into members and handed on to be compressed.

use std::io::{self, Read};

use crossbeam_channel::{Receiver, Sender};
use sha2::{Digest as _, Sha256};

use crate::member_encoder::MEMBER_LENGTH;
use crate::pack::{InspectFile, OpenEntry, PackedFile};
use crate::tar_header::{header_bytes, padding};
use crate::tar_layout::END_LENGTH;
use crate::{ArchiveEntry, EntryKind, EntryList, PackError};

/// A member begins anew at an entry that would not fit into it, if it has at least this many bytes: most small files then
/// lie in one member, and no member is small enough to compress worse.
const SMALLEST_CUT: u64 = 256 << 10;

/// Largest single read: what is hashed right afterwards is still in the cache.
const READ_LENGTH: usize = 256 << 10;

/// One member on its way: slots go round between the threads, so their number bounds the memory.
pub(crate) struct Slot {
    /// Position of the member in the archive.
    pub(crate) sequence: u64,
    /// Where the member begins in the tar archive.
    pub(crate) tar_offset: u64,
    /// Room for tar bytes, `MEMBER_LENGTH` long.
    raw: Vec<u8>,
    filled: usize,
    /// The compressed member.
    pub(crate) encoded: Vec<u8>,
}

/// Why the feed ended early.
pub(crate) enum FeedError {
    /// The threads that take the members are gone; they say why.
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

    /// Feeds all entries and the end of the archive; `offsets` are the places of their data. Returns those of files.
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
        let mut hasher = Sha256::new();
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
        Ok(hasher.finalize().into())
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

    /// Returns the free part of the current member, which is not empty.
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
