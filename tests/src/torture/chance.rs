//! Random choices that are the same for the same seed.

/// A sequence of random numbers: splitmix64.
#[derive(Clone, Debug)]
pub(super) struct Chance(u64);

impl Chance {
    /// Begins the sequence of one round.
    pub(super) fn new(seed: u64, round: u64) -> Self {
        let mut chance = Self(seed);
        let start = chance.next() ^ round.wrapping_mul(0xd6e8_feb8_6659_fd93);
        Self(start)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below the bound.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// Returns true in this percentage of calls.
    pub(super) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// Returns one of the values.
    pub(super) fn one_of<T: Copy>(&mut self, values: &[T]) -> T {
        let count = u64::try_from(values.len()).expect("a slice fits into memory");
        values[usize::try_from(self.below(count)).expect("it is below a length")]
    }
}

#[cfg(test)]
mod tests {
    use super::Chance;

    #[test]
    fn a_round_does_not_depend_on_earlier_rounds() {
        let numbers = |seed, round| {
            let mut chance = Chance::new(seed, round);
            [(); 4].map(|()| chance.below(1 << 40))
        };
        assert_eq!(numbers(1, 7), numbers(1, 7));
        assert_ne!(numbers(1, 7), numbers(1, 8));
        assert_ne!(numbers(1, 7), numbers(2, 7));
    }
}
