//! Detecting and undoing compression.
//!
//! libdeflate inflates gzip 1.9 to 2.9 times as fast as zlib-rs (`examples/throughput.rs` measures it), but it needs a whole
//! member. Nothing states where a member ends, so [`MemberDecoder`] guesses it from the header of the next one and verifies the guess:
//! a member that does not inflate to its own checksum and length, or that could hide another, is inflated as a stream instead.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;
use libdeflater::Decompressor;
use memchr::memmem::Finder;

use crate::compression::{Compression, MEMBER_HEADER, MEMBER_LENGTH};
use crate::tar::{BLOCK, is_header_or_zero};

/// A decompressor over any buffered reader; several members or frames in a row are one stream.
pub(crate) enum Decoder<R: BufRead> {
    Gzip(Box<MemberDecoder<R>>),
    Zstd(zstd::stream::read::Decoder<'static, R>),
    None(R),
}

impl<R: BufRead> Decoder<R> {
    pub(crate) fn new(compression: Compression, reader: R) -> io::Result<Self> {
        Ok(match compression {
            Compression::Gzip => Self::Gzip(Box::new(MemberDecoder::new(reader))),
            Compression::Zstd => Self::Zstd(zstd::stream::read::Decoder::with_buffer(reader)?),
            Compression::None => Self::None(reader),
        })
    }
}

impl<R: BufRead> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Gzip(decoder) => decoder.read(buffer),
            Self::Zstd(decoder) => decoder.read(buffer),
            Self::None(reader) => reader.read(buffer),
        }
    }
}

/// Number of bytes at the start of a stream that [`detect`] wants to see.
pub(crate) const DETECTION_LENGTH: usize = BLOCK;

/// Returns the compression of a stream that begins with `head`, or `None` if the stream is not an archive.
pub(crate) fn detect(head: &[u8]) -> Option<Compression> {
    match head {
        [0x1f, 0x8b, ..] => Some(Compression::Gzip),
        // A frame, or a skippable frame (RFC 8878 section 3.1).
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Compression::Zstd),
        _ => head.first_chunk::<BLOCK>().is_some_and(is_header_or_zero).then_some(Compression::None),
    }
}

/// Longest compressed member that is inflated whole: a stored one, with room to spare.
const LONGEST_PIECE: usize = MEMBER_LENGTH + (64 << 10);
const READ_LENGTH: usize = 256 << 10;
/// How each gzip member begins (RFC 1952 section 2.3.1).
const MAGIC: [u8; 3] = [0x1f, 0x8b, 8];
/// Length of the ISIZE field that ends a member.
const SIZE_FIELD: usize = 4;

/// A decoder of gzip streams of one or many members.
pub(crate) struct MemberDecoder<R: Read> {
    state: State<R>,
    whole: Decompressor,
    magic: Finder<'static>,
    /// A member that was inflated whole, and the number of its bytes already given out.
    output: Vec<u8>,
    position: usize,
}

enum State<R: Read> {
    /// At the start of a member, or at the end of the stream.
    Between(Lookahead<R>),
    /// In a member that is inflated as a stream.
    Within(Box<GzDecoder<Lookahead<R>>>),
    /// After an error.
    Failed,
}

impl<R: Read> MemberDecoder<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self {
            state: State::Between(Lookahead::new(reader)),
            whole: Decompressor::new(),
            magic: Finder::new(&MAGIC),
            output: Vec::new(),
            position: 0,
        }
    }

    /// Begins the next member. Returns whether there is one.
    fn next_member(&mut self, mut source: Lookahead<R>) -> io::Result<bool> {
        source.fill_to(1)?;
        if source.available().is_empty() {
            self.state = State::Between(source);
            return Ok(false);
        }
        let length = source.guess_member(&self.magic)?;
        let whole = length.and_then(|length| source.available().get(..length));
        if let (Some(length), true) = (length, whole.is_some_and(|piece| self.inflate_whole(piece))) {
            source.consume(length);
            self.state = State::Between(source);
        } else {
            self.state = State::Within(Box::new(GzDecoder::new(source)));
        }
        Ok(true)
    }

    fn inflate_whole(&mut self, piece: &[u8]) -> bool {
        let Some(size) = piece.last_chunk::<SIZE_FIELD>().map(|field| u32::from_le_bytes(*field) as usize)
        else {
            return false;
        };
        if size > MEMBER_LENGTH {
            return false;
        }
        self.output.resize(size, 0);
        self.position = 0;
        let inflated = self.whole.gzip_decompress(piece, &mut self.output) == Ok(size);
        if !inflated {
            self.output.clear();
        }
        inflated
    }
}

impl<R: Read> Read for MemberDecoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let ready = self.output.get(self.position..).unwrap_or_default();
            if !ready.is_empty() {
                let count = (&mut &*ready).read(buffer)?;
                self.position += count;
                return Ok(count);
            }
            match std::mem::replace(&mut self.state, State::Failed) {
                State::Between(source) => {
                    if !self.next_member(source)? {
                        return Ok(0);
                    }
                }
                State::Within(mut decoder) => match decoder.read(buffer)? {
                    0 => self.state = State::Between(decoder.into_inner()),
                    count => {
                        self.state = State::Within(decoder);
                        return Ok(count);
                    }
                },
                State::Failed => return Err(io::Error::other("cannot read on after an error")),
            }
        }
    }
}

/// A buffered reader that can look a member ahead.
struct Lookahead<R> {
    inner: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl<R: Read> Lookahead<R> {
    fn new(inner: R) -> Self {
        Self { inner, buffer: vec![0; LONGEST_PIECE + 2 * READ_LENGTH], start: 0, end: 0 }
    }

    fn available(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Reads until there are at least `length` bytes, or the stream ends. Returns whether there are.
    fn fill_to(&mut self, length: usize) -> io::Result<bool> {
        while self.end - self.start < length {
            if self.buffer.len() - self.end < READ_LENGTH {
                self.buffer.copy_within(self.start..self.end, 0);
                self.end -= self.start;
                self.start = 0;
            }
            let room = self.buffer.get_mut(self.end..).unwrap_or_default();
            match self.inner.read(room) {
                Ok(0) => return Ok(false),
                Ok(count) => self.end += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Returns the length of the member at the start, if it looks like one of ours. Such a member ends where the
    /// next of ours begins or the stream ends, and holds nothing that could begin another.
    fn guess_member(&mut self, magic: &Finder<'_>) -> io::Result<Option<usize>> {
        self.fill_to(MEMBER_HEADER.len())?;
        if !self.available().starts_with(&MEMBER_HEADER) {
            return Ok(None);
        }
        let mut searched = MEMBER_HEADER.len();
        loop {
            let unsearched = self.available().get(searched..).unwrap_or_default();
            if let Some(found) = magic.find(unsearched).map(|place| searched + place) {
                self.fill_to(found + MEMBER_HEADER.len())?;
                let next = self.available().get(found..).unwrap_or_default();
                return Ok(next.starts_with(&MEMBER_HEADER).then_some(found));
            }
            let length = self.available().len();
            if length > LONGEST_PIECE {
                return Ok(None);
            }
            // The magic may begin in the last bytes.
            searched = length.saturating_sub(MAGIC.len() - 1).max(searched);
            if !self.fill_to(length + 1)? {
                return Ok(Some(length));
            }
        }
    }
}

impl<R: Read> Read for Lookahead<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

impl<R: Read> BufRead for Lookahead<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.fill_to(1)?;
        Ok(self.available())
    }

    fn consume(&mut self, count: usize) {
        self.start = self.end.min(self.start.saturating_add(count));
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::*;
    use crate::compression::MemberEncoder;
    use crate::entry::EntryKind;
    use crate::tar::header_bytes;
    use crate::test_data::noise;

    #[test]
    fn the_first_bytes_tell() {
        let tar = header_bytes("a", EntryKind::File { size: 1 });
        assert_eq!(detect(&tar), Some(Compression::None));
        assert_eq!(detect(&[0; BLOCK]), Some(Compression::None));
        assert_eq!(detect(&[0x1f, 0x8b]), Some(Compression::Gzip));
        assert_eq!(detect(&zstd::encode_all(&b""[..], 1).unwrap()), Some(Compression::Zstd));
        assert_eq!(detect(&[0x53, 0x2a, 0x4d, 0x18, 0]), Some(Compression::Zstd));
        assert_eq!(detect(b""), None);
        assert_eq!(detect(&tar[..511]), None);
        assert_eq!(detect(&b"PK\x03\x04".repeat(128)), None);
        let mut damaged = tar;
        damaged[0] = b'b';
        assert_eq!(detect(&damaged), None);
    }

    fn member(content: &[u8]) -> Vec<u8> {
        let mut output = Vec::new();
        MemberEncoder::new(Compression::Gzip).unwrap().encode(content, &mut output).unwrap();
        output
    }

    /// A member with a file name in its header, as the `gzip` program writes it.
    fn foreign_member(content: &[u8]) -> Vec<u8> {
        let builder = flate2::GzBuilder::new().filename("name");
        let mut output = Vec::new();
        builder.read(content, flate2::Compression::fast()).read_to_end(&mut output).unwrap();
        output
    }

    /// Yields at most this many bytes at once.
    struct Trickle<'a>(&'a [u8], usize);

    impl Read for Trickle<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = buffer.len().min(self.1);
            self.0.read(&mut buffer[..length])
        }
    }

    fn inflate(stream: &[u8], step: usize) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        MemberDecoder::new(Trickle(stream, step)).read_to_end(&mut content)?;
        Ok(content)
    }

    #[test]
    fn members_of_any_writer_are_one_stream() {
        let (text, random) = (b"0.125,4.25\n".repeat(150_000), noise(1, MEMBER_LENGTH));
        // Stored noise that holds a whole gzip member. The header inside does not begin a member.
        let nested =
            [&random[..1000], &member(b"inner"), &foreign_member(b"inner"), &random[..200_000]].concat();
        let large = noise(2, 3 * MEMBER_LENGTH);
        let parts = [
            (member(&random), &random[..]),
            (member(b""), b""),
            (foreign_member(&text), &text),
            (member(&nested), &nested),
            (member(&text[..MEMBER_LENGTH]), &text[..MEMBER_LENGTH]),
            (foreign_member(&large), &large),
            (member(b"end"), b"end"),
        ];
        let stream = parts.iter().map(|(member, _)| &member[..]).collect::<Vec<_>>().concat();
        let content = parts.iter().map(|(_, content)| *content).collect::<Vec<_>>().concat();
        for step in [1_000_000, 4096, 17] {
            assert!(inflate(&stream, step).unwrap() == content, "{step}");
        }
    }

    #[test]
    fn a_hidden_member_is_not_passed_over() {
        let stream = [member(b"abc"), foreign_member(b"abc"), member(b"end")].concat();
        assert_eq!(inflate(&stream, 100).unwrap(), b"abcabcend");
    }

    #[test]
    fn damage_is_an_error_and_stays_one() {
        let stream = [member(&b"text ".repeat(1000)), member(b"end")].concat();
        let mut decoder = MemberDecoder::new(&stream[..40]);
        let kind = io::copy(&mut decoder, &mut io::sink()).unwrap_err().kind();
        assert_eq!(kind, io::ErrorKind::UnexpectedEof);
        assert!(decoder.read(&mut [0]).is_err());
        for tail in [&b"garbage that is long enough"[..], &[0; 30]] {
            assert!(inflate(&[&stream, tail].concat(), 100).is_err());
        }
    }

    proptest! {
        #[test]
        fn it_reads_as_flate2_reads(
            parts in vec((vec(any::<u8>(), 0..300), any::<bool>()), 0..5),
            cut in 0..2000_usize, flip in 0..2000_usize, step in 1..50_usize,
        ) {
            let encode = |(content, ours): &(Vec<u8>, bool)| if *ours { member(content) } else { foreign_member(content) };
            let whole: Vec<u8> = parts.iter().flat_map(encode).collect();
            let cut = whole[..cut.min(whole.len())].to_vec();
            let mut flipped = whole.clone();
            if let Some(byte) = flipped.get_mut(flip) {
                *byte ^= 4;
            }
            for stream in [whole, cut, flipped].into_iter().filter(|stream| !stream.is_empty()) {
                let mut expected = Vec::new();
                let result = flate2::bufread::MultiGzDecoder::new(&stream[..]).read_to_end(&mut expected);
                let found = inflate(&stream, step);
                prop_assert_eq!(found.is_ok(), result.is_ok());
                prop_assert!(found.is_err() || found.unwrap() == expected);
            }
        }
    }
}
