//! The bytes of a zip file around its contents (APPNOTE 6.3.10), with lengths that depend on names and sizes alone.
//!
//! Contents are stored as method *deflate* in uncompressed blocks, and their CRC-32 follows in a data descriptor. So the
//! length is known before a byte is read, and readers that stream accept it: stored entries with descriptors fail in Java.

use jiff::Timestamp;

/// The version of this layout. Another layout needs another number: it is a part of the entity tag.
pub(super) const LAYOUT_VERSION: u8 = 1;

/// The most bytes of an uncompressed block (RFC 1951 section 3.2.4).
pub(super) const BLOCK_BYTES: u64 = 65_535;
/// The bytes before a block.
pub(super) const BLOCK_HEAD: u64 = 5;

/// Sizes and offsets from here on need the fields of ZIP64.
const LARGE: u64 = u32::MAX as u64;
/// Bit 3: a data descriptor follows. Bit 11: names are UTF-8.
const FLAGS: u16 = (1 << 3) | (1 << 11);
const DEFLATE: u16 = 8;
const VERSION: u16 = 20;
const VERSION_ZIP64: u16 = 45;
/// Made on Unix, so that the external attributes are a Unix mode.
const MADE_BY: u16 = (3 << 8) | VERSION_ZIP64;
/// A regular file that everybody may read.
const ATTRIBUTES: u32 = 0o100_644 << 16;

/// An entry: its name in the zip, and its size.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    pub(super) name: &'a str,
    pub(super) size: u64,
}

/// Date and time of all entries, in the form of MS-DOS.
#[derive(Clone, Copy, Debug)]
pub(super) struct DosTime(u32);

impl DosTime {
    /// Returns a time in UTC. Times that the form cannot state become the nearest one.
    pub(super) fn of(time: Option<Timestamp>) -> Self {
        let earliest = (1 << 21) | (1 << 16);
        let Some(time) = time else { return Self(earliest) };
        let time = jiff::tz::TimeZone::UTC.to_datetime(time);
        let number = |value: i8| u32::try_from(value).unwrap_or(0);
        let Some(years) = u32::try_from(time.year()).ok().and_then(|year| year.checked_sub(1980)) else {
            return Self(earliest);
        };
        let date = (years.min(127) << 9) | (number(time.month()) << 5) | number(time.day());
        let clock = (number(time.hour()) << 11) | (number(time.minute()) << 5) | (number(time.second()) / 2);
        Self((date << 16) | clock)
    }
}

impl Entry<'_> {
    /// Returns the number of blocks of the content.
    fn blocks(&self) -> u64 {
        self.size.div_ceil(BLOCK_BYTES).max(1)
    }

    /// Returns the length of the content with the heads of its blocks.
    pub(super) fn body_length(&self) -> u64 {
        self.size + self.blocks() * BLOCK_HEAD
    }

    fn is_large(&self) -> bool {
        self.body_length() >= LARGE
    }

    pub(super) fn local_length(&self) -> u64 {
        30 + self.name.len() as u64 + if self.is_large() { 20 } else { 0 }
    }

    pub(super) fn descriptor_length(&self) -> u64 {
        if self.is_large() { 24 } else { 16 }
    }

    /// Returns the length of the entry before the central directory.
    pub(super) fn length(&self) -> u64 {
        self.local_length() + self.body_length() + self.descriptor_length()
    }

    pub(super) fn central_length(&self, offset: u64) -> u64 {
        46 + self.name.len() as u64 + self.zip64_extra(offset).len() as u64
    }

    /// Returns the header before the content.
    pub(super) fn local_header(&self, time: DosTime) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64 + self.name.len());
        bytes.extend(0x0403_4b50_u32.to_le_bytes());
        let version = if self.is_large() { VERSION_ZIP64 } else { VERSION };
        for number in [version, FLAGS, DEFLATE] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(time.0.to_le_bytes());
        // The descriptor has CRC-32 and sizes. In an entry with ZIP64 fields, the sizes here say so.
        let size: u32 = if self.is_large() { u32::MAX } else { 0 };
        for number in [0, size, size] {
            bytes.extend(number.to_le_bytes());
        }
        let extra: &[u8] = if self.is_large() { &ZIP64_LOCAL } else { &[] };
        bytes.extend(short(self.name.len()).to_le_bytes());
        bytes.extend(short(extra.len()).to_le_bytes());
        bytes.extend(self.name.as_bytes());
        bytes.extend(extra);
        bytes
    }

    /// Returns the head of the block that begins when `left` bytes of the content are left.
    pub(super) fn block_head(left: u64) -> [u8; 5] {
        let length = short(usize::try_from(left.min(BLOCK_BYTES)).unwrap_or(usize::MAX));
        let [low, high] = length.to_le_bytes();
        [u8::from(left <= BLOCK_BYTES), low, high, !low, !high]
    }

    /// Returns the descriptor behind the content.
    pub(super) fn descriptor(&self, crc32: u32) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(24);
        bytes.extend(0x0807_4b50_u32.to_le_bytes());
        bytes.extend(crc32.to_le_bytes());
        for size in [self.body_length(), self.size] {
            match self.is_large() {
                true => bytes.extend(size.to_le_bytes()),
                false => bytes.extend(long(size).to_le_bytes()),
            }
        }
        bytes
    }

    /// Returns the entry of the central directory.
    pub(super) fn central_header(&self, crc32: u32, offset: u64, time: DosTime) -> Vec<u8> {
        let extra = self.zip64_extra(offset);
        let version = if extra.is_empty() { VERSION } else { VERSION_ZIP64 };
        let mut bytes = Vec::with_capacity(64 + self.name.len() + extra.len());
        bytes.extend(0x0201_4b50_u32.to_le_bytes());
        for number in [MADE_BY, version, FLAGS, DEFLATE] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(time.0.to_le_bytes());
        bytes.extend(crc32.to_le_bytes());
        let sizes = if self.is_large() { [u32::MAX; 2] } else { [long(self.body_length()), long(self.size)] };
        sizes.iter().for_each(|size| bytes.extend(size.to_le_bytes()));
        // Name, extra field, comment, disk, internal attributes.
        for number in [short(self.name.len()), short(extra.len()), 0, 0, 0] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(ATTRIBUTES.to_le_bytes());
        bytes.extend(long(offset).to_le_bytes());
        bytes.extend(self.name.as_bytes());
        bytes.extend(extra);
        bytes
    }

    fn zip64_extra(&self, offset: u64) -> Vec<u8> {
        let mut numbers = Vec::new();
        if self.is_large() {
            numbers.extend([self.size, self.body_length()]);
        }
        if offset >= LARGE {
            numbers.push(offset);
        }
        if numbers.is_empty() {
            return Vec::new();
        }
        let mut bytes = Vec::with_capacity(28);
        bytes.extend(1_u16.to_le_bytes());
        bytes.extend(short(numbers.len() * 8).to_le_bytes());
        numbers.iter().for_each(|number| bytes.extend(number.to_le_bytes()));
        bytes
    }
}

/// The extra field of a local header: room for two sizes, which the descriptor states.
const ZIP64_LOCAL: [u8; 20] = [1, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// Returns a number of 16 bits, or the largest one: then a field of ZIP64 states the number.
fn short(number: usize) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}

/// Returns a number of 32 bits, or the largest one: then a field of ZIP64 states the number.
fn long(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Returns the end of a zip with this central directory.
pub(super) fn end(entries: u64, central_offset: u64, central_length: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let is_large = entries >= u64::from(u16::MAX) || central_offset >= LARGE || central_length >= LARGE;
    if is_large {
        bytes.extend(0x0606_4b50_u32.to_le_bytes());
        bytes.extend(44_u64.to_le_bytes());
        bytes.extend(MADE_BY.to_le_bytes());
        bytes.extend(VERSION_ZIP64.to_le_bytes());
        bytes.extend([0; 8]);
        for number in [entries, entries, central_length, central_offset] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(0x0706_4b50_u32.to_le_bytes());
        bytes.extend(0_u32.to_le_bytes());
        bytes.extend((central_offset + central_length).to_le_bytes());
        bytes.extend(1_u32.to_le_bytes());
    }
    bytes.extend(0x0605_4b50_u32.to_le_bytes());
    bytes.extend([0; 4]);
    let count = short(usize::try_from(entries).unwrap_or(usize::MAX));
    bytes.extend(count.to_le_bytes());
    bytes.extend(count.to_le_bytes());
    bytes.extend(long(central_length).to_le_bytes());
    bytes.extend(long(central_offset).to_le_bytes());
    bytes.extend([0; 2]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_those_of_the_bytes() {
        let time = DosTime::of("2024-09-18T12:34:56Z".parse().ok());
        for size in [0, 1, 65_535, 65_536, 131_070, LARGE - 10, LARGE, 1 << 40] {
            let entry = Entry { name: "bag/data/ä.csv", size };
            assert_eq!(entry.local_header(time).len() as u64, entry.local_length(), "{size}");
            assert_eq!(entry.descriptor(1).len() as u64, entry.descriptor_length(), "{size}");
            for offset in [0, LARGE - 1, LARGE, 1 << 41] {
                let length = entry.central_header(1, offset, time).len() as u64;
                assert_eq!(length, entry.central_length(offset), "{size} {offset}");
            }
        }
    }

    #[test]
    fn blocks_state_their_length_and_the_last_one_says_so() {
        assert_eq!(Entry::block_head(0), [1, 0, 0, 255, 255]);
        assert_eq!(Entry::block_head(65_535), [1, 255, 255, 0, 0]);
        assert_eq!(Entry::block_head(65_536), [0, 255, 255, 0, 0]);
        let entry = |size| Entry { name: "", size }.body_length();
        assert_eq!([entry(0), entry(65_535), entry(65_536)], [5, 65_540, 65_546]);
    }

    #[test]
    fn times_outside_the_form_become_the_nearest() {
        assert_eq!(DosTime::of(None).0, 0x0021_0000);
        assert_eq!(DosTime::of("1970-01-01T00:00:00Z".parse().ok()).0, 0x0021_0000);
        let expected =
            [(44, 25), (9, 21), (18, 16), (12, 11), (34, 5), (28, 0)].map(|(number, bits)| number << bits);
        assert_eq!(DosTime::of("2024-09-18T12:34:56Z".parse().ok()).0, expected.iter().sum::<u32>());
    }
}
