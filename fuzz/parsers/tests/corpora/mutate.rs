//! Changes bytes at random, in the same way each time.

/// Texts that are often special cases of parsers.
const TOKENS: [&[u8]; 20] = [
    b"\0",
    b"\n",
    b"\r\n",
    b"\"",
    b"\\",
    b"/",
    b"../",
    b":",
    b"@",
    b"%",
    b"<",
    b"&",
    b"=",
    b"null",
    b"-1",
    b"18446744073709551616",
    b"\xff\xfe",
    b"\xf0\x9f\x92\xa9",
    b"\xc3",
    b"\x1f\x8b\x08",
];

/// The most bytes that are inserted, removed or doubled at once.
const LONGEST_PART: usize = 64;

/// The largest output.
const LONGEST_OUTPUT: usize = 200_000;

/// A sequence of mutations.
pub(crate) struct Mutator<'a> {
    state: u64,
    others: &'a [&'a [u8]],
}

impl<'a> Mutator<'a> {
    /// Begins the sequence of a file of a corpus; parts of `others` are put in.
    pub(crate) fn new(corpus: &str, file: usize, others: &'a [&'a [u8]]) -> Self {
        // FNV-1a.
        let seed = corpus.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self { state: seed.wrapping_add(file as u64) | 1, others }
    }

    /// Returns a changed copy.
    pub(crate) fn mutate(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut changed = bytes.to_vec();
        for _ in 0..=self.below(4) {
            self.change(&mut changed);
        }
        changed.truncate(LONGEST_OUTPUT);
        changed
    }

    fn change(&mut self, bytes: &mut Vec<u8>) {
        let place = self.below(bytes.len() + 1);
        let end = place + self.below(LONGEST_PART.min(bytes.len() - place) + 1);
        match self.below(8) {
            0 | 1 => {
                let bit = 1 << self.below(8);
                if let Some(byte) = bytes.get_mut(place) {
                    *byte ^= bit;
                }
            }
            2 => {
                let token = TOKENS[self.below(TOKENS.len())];
                bytes.splice(place..place, token.iter().copied());
            }
            3 => {
                let token = TOKENS[self.below(TOKENS.len())];
                bytes.splice(place..end, token.iter().copied());
            }
            4 => {
                bytes.drain(place..end);
            }
            5 => {
                let part = bytes[place..end].to_vec();
                let to = self.below(bytes.len() + 1);
                bytes.splice(to..to, part);
            }
            6 => {
                let other = self.others[self.below(self.others.len())];
                let from = self.below(other.len() + 1);
                let until = from + self.below(LONGEST_PART.min(other.len() - from) + 1);
                bytes.splice(place..end, other[from..until].iter().copied());
            }
            // A cut connection, less often than the rest.
            _ if self.below(4) == 0 => bytes.truncate(place),
            _ => {
                if let Some(byte) = bytes.get_mut(place) {
                    *byte = byte.wrapping_add(1);
                }
            }
        }
    }

    /// xorshift64*.
    fn below(&mut self, bound: usize) -> usize {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        let high = self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(high).unwrap_or_default() % bound.max(1)
    }
}
