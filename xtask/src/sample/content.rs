//! Yields the bytes of a file, chunk by chunk.

use super::plan::{Content, PlannedFile};
use super::random::Random;
use super::series::Series;

/// The bytes of a chunk: small enough to stay in the processor's cache while it is made, hashed and written.
pub(super) const CHUNK: usize = 256 * 1024;

/// The bytes from one mark to the next in a file of zeros.
const MARK_DISTANCE: u64 = 1 << 30;

/// Yields the bytes of one file.
pub(super) struct Chunks {
    remaining: u64,
    state: State,
}

enum State {
    Series(Box<Series>),
    Random(Random),
    Zeros { offset: u64 },
}

impl Chunks {
    pub(super) fn new(file: &PlannedFile) -> Self {
        let state = match file.content {
            Content::Series(measurement) => State::Series(Box::new(Series::new(measurement, file.size))),
            Content::Random(seed) => State::Random(Random::new(seed)),
            Content::Zeros => State::Zeros { offset: 0 },
        };
        Self { remaining: file.size, state }
    }

    /// Replaces what is in the buffer by the next chunk; an empty one is the end.
    pub(super) fn next_into(&mut self, buffer: &mut Vec<u8>) {
        buffer.clear();
        let length = usize::try_from(self.remaining).map_or(CHUNK, |remaining| remaining.min(CHUNK));
        if length == 0 {
            return;
        }
        match &mut self.state {
            // A series knows its size, and ends a chunk with a row.
            State::Series(series) => series.fill(buffer, CHUNK),
            State::Random(random) => {
                while buffer.len() < length {
                    buffer.extend_from_slice(&random.next_u64().to_le_bytes());
                }
                buffer.truncate(length);
            }
            State::Zeros { offset } => {
                buffer.resize(length, 0);
                let is_last = self.remaining == length as u64;
                if offset.is_multiple_of(MARK_DISTANCE) || is_last {
                    let mark = format!("mark at {offset}\n");
                    buffer.iter_mut().zip(mark.bytes()).for_each(|(byte, mark)| *byte = mark);
                }
                *offset += length as u64;
            }
        }
        self.remaining -= buffer.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::{CHUNK, Chunks, Content, PlannedFile};

    fn whole(size: u64, content: Content) -> Vec<u8> {
        let mut chunks = Chunks::new(&PlannedFile { path: String::new(), size, content });
        let (mut bytes, mut chunk) = (Vec::new(), Vec::new());
        loop {
            chunks.next_into(&mut chunk);
            assert!(chunk.len() <= CHUNK);
            if chunk.is_empty() {
                return bytes;
            }
            bytes.extend_from_slice(&chunk);
        }
    }

    #[test]
    fn random_bytes_do_not_repeat() {
        let bytes = whole(CHUNK as u64 * 2 + 13, Content::Random(5));
        assert_eq!(bytes.len(), CHUNK * 2 + 13);
        assert_ne!(bytes[..CHUNK], bytes[CHUNK..CHUNK * 2]);
        assert!((0..=u8::MAX).all(|value| bytes.contains(&value)));
    }

    #[test]
    fn zeros_have_a_mark_at_both_ends() {
        let bytes = whole(CHUNK as u64 * 3, Content::Zeros);
        let marks: Vec<_> = (0..3).map(|chunk| bytes[chunk * CHUNK]).collect();
        assert_eq!(marks, [b'm', 0, b'm']);
        assert_eq!(whole(4, Content::Zeros), b"mark");
    }
}
