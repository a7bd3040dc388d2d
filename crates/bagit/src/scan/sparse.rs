//! Sparse tar entries in the PAX formats 0.0, 0.1 and 1.0 of GNU tar: the data without holes, and a map of where it belongs.
//!
//! The formats are in the manual of GNU tar, section “Storing Sparse Files”.

use std::collections::VecDeque;
use std::io::{self, Read};

use super::archive::Expansion;

/// The largest number of data segments of one file.
const MOST_SEGMENTS: u64 = 1 << 20;

/// The largest size of a number in the map of format 1.0, with its line end.
const LONGEST_NUMBER: usize = 21;

const BLOCK: u64 = 512;

/// The map of one sparse entry.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SparseMap {
    /// The path of the file, where the entry has a made-up one.
    pub(super) name: Option<String>,
    size: u64,
    /// Offset and length of each data segment.
    segments: VecDeque<(u64, u64)>,
    /// Whether the segments stand before the data (format 1.0).
    is_before_data: bool,
}

impl SparseMap {
    /// Reads the map in the PAX records of an entry, or returns `None` for an entry that is not sparse.
    pub(super) fn of_records<'a>(
        records: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> io::Result<Option<Self>> {
        let (mut map, mut is_sparse, mut offset) = (Self::default(), false, None);
        for (key, value) in records {
            let Some(key) = key.strip_prefix("GNU.sparse.") else { continue };
            is_sparse = true;
            match key {
                "name" => map.name = Some(value.to_owned()),
                "size" | "realsize" => map.size = number(value)?,
                "major" => map.is_before_data = number(value)? == 1,
                "offset" => offset = Some(number(value)?),
                "numbytes" => {
                    let offset = offset.take().ok_or_else(|| broken("has a length without an offset"))?;
                    map.segments.push_back((offset, number(value)?));
                }
                "map" => {
                    let numbers: Vec<u64> = value.split(',').map(number).collect::<io::Result<_>>()?;
                    map.segments = numbers
                        .chunks_exact(2)
                        .filter_map(|pair| Some((*pair.first()?, *pair.get(1)?)))
                        .collect();
                }
                _ => {}
            }
        }
        Ok(is_sparse.then_some(map))
    }
}

/// Reads the content of a sparse entry with zeros for its holes.
pub(super) struct SparseReader<'a, R> {
    inner: &'a mut R,
    map: SparseMap,
    /// The position in the content.
    position: u64,
    expansion: Expansion,
}

impl<'a, R: Read> SparseReader<'a, R> {
    pub(super) fn new(inner: &'a mut R, map: SparseMap, expansion: Expansion) -> Self {
        Self { inner, map, position: 0, expansion }
    }

    /// Reads the rest of the map, checks it, and returns the size of the content.
    pub(super) fn size(&mut self) -> io::Result<u64> {
        if self.map.is_before_data {
            self.read_map()?;
        }
        let mut end = 0;
        for (offset, length) in &self.map.segments {
            let is_behind = *offset >= end;
            end = offset
                .checked_add(*length)
                .filter(|_| is_behind)
                .ok_or_else(|| broken("has overlapping segments"))?;
        }
        if end > self.map.size {
            return Err(broken("has segments behind its end"));
        }
        Ok(self.map.size)
    }

    /// Reads the map of format 1.0: the number of segments, then offset and length of each, one number a line, padded to a block.
    fn read_map(&mut self) -> io::Result<()> {
        let mut bytes_read = 0;
        let count = self.read_number(&mut bytes_read)?;
        if count > MOST_SEGMENTS {
            return Err(broken("has too many segments"));
        }
        for _ in 0..count {
            let offset = self.read_number(&mut bytes_read)?;
            let length = self.read_number(&mut bytes_read)?;
            self.map.segments.push_back((offset, length));
        }
        let padding = bytes_read.next_multiple_of(BLOCK) - bytes_read;
        io::copy(&mut self.inner.by_ref().take(padding), &mut io::sink()).map(|_| ())
    }

    fn read_number(&mut self, bytes_read: &mut u64) -> io::Result<u64> {
        let mut text = String::new();
        loop {
            let mut byte = [0];
            self.inner.read_exact(&mut byte)?;
            *bytes_read += 1;
            match byte {
                [b'\n'] => return number(&text),
                [digit @ b'0'..=b'9'] if text.len() < LONGEST_NUMBER => text.push(char::from(digit)),
                _ => return Err(broken("has a malformed map")),
            }
        }
    }
}

impl<R: Read> Read for SparseReader<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let left = self.map.size.saturating_sub(self.position);
            let segment = self.map.segments.front().copied();
            let (hole, data) = match segment {
                Some((offset, length)) if self.position >= offset => {
                    (0, (offset + length).saturating_sub(self.position))
                }
                Some((offset, _)) => (offset - self.position, 0),
                None => (left, 0),
            };
            if hole == 0 && data == 0 {
                if self.map.segments.pop_front().is_none() {
                    return Ok(0);
                }
                continue;
            }
            let wanted = usize::try_from(hole.max(data)).unwrap_or(usize::MAX).min(buffer.len());
            let Some(part) = buffer.get_mut(..wanted) else { return Ok(0) };
            let count = if hole > 0 {
                part.fill(0);
                self.expansion.give_out(wanted as u64);
                if self.expansion.is_too_much() {
                    return Err(io::Error::other("the archive expands too much"));
                }
                wanted
            } else {
                self.inner.read(part)?
            };
            self.position += count as u64;
            return Ok(count);
        }
    }
}

fn number(text: &str) -> io::Result<u64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_plain).ok_or_else(|| broken("has a malformed map"))
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("a sparse entry {what}"))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::{SparseMap, SparseReader};
    use crate::Limits;
    use crate::scan::archive::Expansion;

    fn content(records: &[(&str, &str)], data: &[u8]) -> std::io::Result<Vec<u8>> {
        let map = SparseMap::of_records(records.iter().copied())?.expect("the entry is sparse");
        let mut data = data;
        let mut reader = SparseReader::new(&mut data, map, Expansion::new(Limits::default(), 0));
        let size = reader.size()?;
        let mut content = Vec::new();
        reader.read_to_end(&mut content)?;
        assert_eq!(content.len() as u64, size);
        Ok(content)
    }

    #[test]
    fn every_format_gives_the_content_with_its_holes() {
        let expected = b"ab\0\0\0\0cd\0\0";
        let old = [("GNU.sparse.size", "10"), ("GNU.sparse.numblocks", "2"), ("GNU.sparse.offset", "0")];
        let old = [
            &old[..],
            &[("GNU.sparse.numbytes", "2"), ("GNU.sparse.offset", "6"), ("GNU.sparse.numbytes", "2")],
        ];
        assert_eq!(content(&old.concat(), b"abcd").unwrap(), expected);
        let newer = [("GNU.sparse.name", "data/x"), ("GNU.sparse.size", "10"), ("GNU.sparse.map", "0,2,6,2")];
        assert_eq!(content(&newer, b"abcd").unwrap(), expected);
        let newest = [
            ("GNU.sparse.major", "1"),
            ("GNU.sparse.minor", "0"),
            ("GNU.sparse.realsize", "10"),
            ("path", "x"),
        ];
        let mut data = b"2\n0\n2\n6\n2\n".to_vec();
        data.resize(512, 0);
        data.extend_from_slice(b"abcd");
        assert_eq!(content(&newest, &data).unwrap(), expected);
    }

    #[test]
    fn maps_that_lie_are_refused() {
        let cases = [
            ("0,4,2,2", "10"),
            ("6,6", "10"),
            ("0,18446744073709551615,1,1", "10"),
            ("0,-1", "10"),
            ("0,2", "99999999999999999999999"),
        ];
        for (map, size) in cases {
            let records = [("GNU.sparse.size", size), ("GNU.sparse.map", map)];
            assert!(content(&records, b"abcdefgh").is_err(), "{map}");
        }
        let hole = [("GNU.sparse.size", "1000000000000"), ("GNU.sparse.map", "0,0")];
        assert!(content(&hole, b"").unwrap_err().to_string().contains("expands"));
        assert_eq!(SparseMap::of_records([("path", "x")].into_iter()).unwrap(), None);
    }
}
