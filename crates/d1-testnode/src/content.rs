//! The bytes of objects: in memory, in files, or made up while they are sent.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::PathBuf;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream;
use scripted_http::Pieces;

/// How many bytes are handed over at once.
const PIECE: u64 = 64 * 1024;

/// The bytes of an object.
#[derive(Clone, Debug)]
pub enum Content {
    /// Bytes in memory.
    Memory(Bytes),
    /// A file.
    File {
        /// Its path.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
    },
    /// Bytes that follow from a number, so that large amounts take no memory.
    Generated {
        /// The number.
        seed: u64,
        /// How many bytes there are.
        size: u64,
    },
}

impl Content {
    /// Returns the bytes of a text.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::Memory(Bytes::copy_from_slice(text.as_bytes()))
    }

    /// Returns the content of a file.
    ///
    /// # Errors
    ///
    /// If it is not there.
    pub fn file(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        let size = path.metadata()?.len();
        Ok(Self::File { path, size })
    }

    /// Returns the size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File { size, .. } | Self::Generated { size, .. } => *size,
        }
    }

    /// Returns all bytes.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub fn bytes(&self) -> io::Result<Bytes> {
        self.piece(0..self.size())
    }

    /// Returns a range of the bytes piece by piece.
    pub(crate) fn pieces(&self, range: Range<u64>) -> Pieces {
        let content = self.clone();
        let end = range.end.min(self.size());
        let starts = stream::iter((range.start..end).step_by(usize::try_from(PIECE).unwrap_or(usize::MAX)));
        starts.map(move |start| content.piece(start..end.min(start.saturating_add(PIECE)))).boxed()
    }

    pub(crate) fn piece(&self, range: Range<u64>) -> io::Result<Bytes> {
        let length = usize::try_from(range.end.saturating_sub(range.start)).map_err(io::Error::other)?;
        match self {
            Self::Memory(bytes) => {
                let start = usize::try_from(range.start).map_err(io::Error::other)?.min(bytes.len());
                Ok(bytes.slice(start..bytes.len().min(start.saturating_add(length))))
            }
            Self::File { path, .. } => {
                let mut file = File::open(path)?;
                file.seek(SeekFrom::Start(range.start))?;
                let mut bytes = vec![0; length];
                file.read_exact(&mut bytes)?;
                Ok(bytes.into())
            }
            Self::Generated { seed, .. } => Ok(generated(*seed, range)),
        }
    }
}

/// Returns the next number of a sequence (Steele, Lea and Flood: SplitMix64).
pub(crate) fn mixed(seed: u64, number: u64) -> u64 {
    let mut value = seed.wrapping_add(number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

fn generated(seed: u64, range: Range<u64>) -> Bytes {
    let words = range.start / 8..range.end.div_ceil(8);
    let skip = usize::try_from(range.start % 8).unwrap_or_default();
    let length = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or_default();
    words.flat_map(|word| mixed(seed, word).to_le_bytes()).skip(skip).take(length).collect()
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;

    use super::*;

    #[tokio::test]
    async fn ranges_are_cut_out_of_the_whole() {
        let generated = Content::Generated { seed: 7, size: 200_003 };
        let memory = Content::Memory(generated.bytes().unwrap());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("content");
        std::fs::write(&path, generated.bytes().unwrap()).unwrap();
        let file = Content::file(&path).unwrap();
        for range in [0..200_003, 0..1, 5..6, 65_535..131_073, 200_000..300_000, 9..9] {
            let read = async |content: &Content| {
                let pieces: Vec<Bytes> = content.pieces(range.clone()).try_collect().await.unwrap();
                pieces.concat()
            };
            let expected = read(&memory).await;
            assert_eq!(expected.len() as u64, range.end.min(200_003) - range.start);
            assert_eq!(read(&generated).await, expected);
            assert_eq!(read(&file).await, expected);
        }
    }
}
