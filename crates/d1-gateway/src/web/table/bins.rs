//! Bins of equal width over numbers that come one by one: exact counts in constant memory, without a second pass.
//!
//! The width is a power of two. When a number lies outside, the bins move or pairs of them merge, so no count is lost.

/// The content of a bin.
pub(crate) trait Content: Clone + Default {
    /// Adds the content of another bin.
    fn merge(&mut self, other: &Self);
}

impl Content for u64 {
    fn merge(&mut self, other: &Self) {
        *self = self.saturating_add(*other);
    }
}

/// The numbers of a bin: how many, and their least, greatest and sum.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Extremes {
    pub(super) count: u64,
    pub(super) least: f64,
    pub(super) greatest: f64,
    pub(super) sum: f64,
}

impl Extremes {
    pub(super) fn of(value: f64) -> Self {
        Self { count: 1, least: value, greatest: value, sum: value }
    }
}

impl Content for Extremes {
    fn merge(&mut self, other: &Self) {
        match (self.count, other.count) {
            (_, 0) => {}
            (0, _) => *self = *other,
            _ => {
                self.count += other.count;
                self.sum += other.sum;
                self.least = self.least.min(other.least);
                self.greatest = self.greatest.max(other.greatest);
            }
        }
    }
}

/// The number of bins.
const BINS: i64 = 512;

/// The first width is that of the first number, divided by this power of two.
const FIRST_PRECISION: i32 = 24;

/// The widest exponent that is needed: `f64` ends there.
const WIDEST: i32 = 1023;

/// The greatest index of a bin: indices up to it are exact in an `f64`.
const GREATEST_INDEX: f64 = 4_503_599_627_370_496.0;

/// Bins of equal width.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bins<C> {
    /// Two to this power is the width of a bin.
    exponent: i32,
    /// The index of the first bin. The bin of index `i` begins at `i * width`.
    first: i64,
    contents: Vec<C>,
    least: f64,
    greatest: f64,
}

impl<C: Content> Bins<C> {
    /// Adds a content at a finite position.
    pub(super) fn add(&mut self, position: f64, content: &C) {
        if self.contents.is_empty() {
            self.begin(position);
        }
        self.least = self.least.min(position);
        self.greatest = self.greatest.max(position);
        let mut index = self.index(position);
        if index < self.first || index - self.first >= BINS {
            self.make_room();
            index = self.index(position);
        }
        let slot = usize::try_from(index - self.first).ok().and_then(|slot| self.contents.get_mut(slot));
        if let Some(slot) = slot {
            slot.merge(content);
        }
    }

    fn begin(&mut self, position: f64) {
        let magnitude = position.abs();
        let exponent = if magnitude > 0.0 { exponent_of(magnitude) } else { 0 };
        self.exponent = (exponent - FIRST_PRECISION).clamp(-1000, WIDEST);
        (self.least, self.greatest) = (position, position);
        self.contents = vec![C::default(); usize::try_from(BINS).unwrap_or(0)];
        self.first = self.index(position).saturating_sub(BINS / 2);
    }

    /// Moves or merges the bins until they hold everything from the least to the greatest position.
    fn make_room(&mut self) {
        let (old_exponent, old_first) = (self.exponent, self.first);
        while self.exponent < WIDEST
            && self.index(self.greatest).saturating_sub(self.index(self.least)) >= BINS
        {
            self.exponent += 1;
        }
        let (low, high) = (self.index(self.least), self.index(self.greatest));
        self.first = low.saturating_sub((BINS - 1 - high.saturating_sub(low)).max(0) / 2);
        let old = std::mem::take(&mut self.contents);
        self.contents = vec![C::default(); old.len()];
        // Shifting a negative index rounds down, as the index of a position does.
        let shift = u32::try_from(self.exponent - old_exponent).unwrap_or(0).min(63);
        for (content, offset) in old.iter().zip(0..) {
            let index = (old_first + offset) >> shift;
            let slot = usize::try_from(index - self.first).ok();
            if let Some(slot) = slot.and_then(|slot| self.contents.get_mut(slot)) {
                slot.merge(content);
            }
        }
    }

    fn index(&self, position: f64) -> i64 {
        whole((position * power_of_two(-self.exponent)).floor())
    }

    /// Returns the least and the greatest position, if there is any.
    pub(crate) fn range(&self) -> Option<(f64, f64)> {
        (!self.contents.is_empty()).then_some((self.least, self.greatest))
    }

    /// Returns at most this many bins, but at least two where the numbers have both signs, between the least and the greatest position: begin, end and content.
    pub(super) fn merged(&self, most: usize) -> Vec<(f64, f64, C)> {
        if self.contents.is_empty() {
            return Vec::new();
        }
        let mut exponent = self.exponent;
        let index = |exponent: i32, position: f64| whole((position * power_of_two(-exponent)).floor());
        let count = |exponent| index(exponent, self.greatest).saturating_sub(index(exponent, self.least)) + 1;
        while exponent < WIDEST && usize::try_from(count(exponent)).unwrap_or(usize::MAX) > most.max(2) {
            exponent += 1;
        }
        let shift = u32::try_from(exponent - self.exponent).unwrap_or(0).min(63);
        let (low, width) = (index(exponent, self.least), power_of_two(exponent));
        let length = usize::try_from(count(exponent)).unwrap_or(0).min(self.contents.len());
        let mut merged: Vec<(f64, f64, C)> = (low..)
            .take(length)
            .map(|at| (number(at) * width, number(at + 1) * width, C::default()))
            .collect();
        for (content, offset) in self.contents.iter().zip(0..) {
            let at = ((self.first + offset) >> shift) - low;
            if let Some((_, _, bin)) = usize::try_from(at).ok().and_then(|at| merged.get_mut(at)) {
                bin.merge(content);
            }
        }
        merged
    }
}

impl Bins<u64> {
    /// Returns the position below which this share of the counted numbers lies, within the width of a bin.
    pub(crate) fn quantile(&self, share: f64) -> Option<f64> {
        let total: u64 = self.contents.iter().sum();
        let width = power_of_two(self.exponent);
        let (mut left, last) = (share * counted(total), self.contents.len());
        for (count, offset) in self.contents.iter().zip(0..last) {
            let count = counted(*count);
            if count > 0.0 && left <= count {
                let begin = number(self.first.saturating_add_unsigned(offset as u64)) * width;
                return Some((begin + width * left / count).clamp(self.least, self.greatest));
            }
            left -= count;
        }
        (total > 0).then_some(self.greatest)
    }
}

/// Returns a count as a number for arithmetic.
pub(super) fn counted(count: u64) -> f64 {
    count as f64
}

fn number(index: i64) -> f64 {
    index as f64
}

/// Returns a number without a fraction as an integer within the range of indices.
fn whole(number: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "the range is bounded, and a fraction is not there")]
    let whole = number.clamp(-GREATEST_INDEX, GREATEST_INDEX) as i64;
    whole
}

fn exponent_of(magnitude: f64) -> i32 {
    #[expect(clippy::cast_possible_truncation, reason = "exponents are between -1074 and 1024")]
    let exponent = magnitude.log2().floor() as i32;
    exponent
}

fn power_of_two(exponent: i32) -> f64 {
    2.0_f64.powi(exponent)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Bins, Extremes};

    #[test]
    fn numbers_of_any_size_are_counted() {
        let mut bins = Bins::default();
        for value in [0.0, 1e300, -1e300, 5e-324, -0.0, 7.25, f64::MAX, f64::MIN] {
            bins.add(value, &1);
        }
        assert_eq!(bins.merged(20).iter().map(|bin| bin.2).sum::<u64>(), 8);
        assert_eq!(bins.range(), Some((f64::MIN, f64::MAX)));
        assert!(Bins::<u64>::default().merged(9).is_empty());
    }

    #[test]
    fn extremes_survive_merging() {
        let mut bins = Bins::default();
        for number in 0..100_000 {
            let value = if number == 777 { 1e6 } else { f64::from(number % 10) };
            bins.add(f64::from(number), &Extremes::of(value));
        }
        let merged = bins.merged(400);
        assert!(merged.len() <= 400 && merged.len() > 150, "{}", merged.len());
        let with_peak: Vec<_> = merged.iter().filter(|bin| bin.2.greatest == 1e6).collect();
        assert!(with_peak.len() == 1 && with_peak[0].0 <= 777.0 && 777.0 < with_peak[0].1);
    }

    proptest! {
        #[test]
        fn counts_are_exact_and_each_number_lies_in_its_bin(
            values in prop::collection::vec(prop_oneof![-1e3..1e3, -1e9..1e9, Just(0.0), 1e-6..2e-6], 1..200),
        ) {
            let mut bins = Bins::default();
            values.iter().for_each(|value| bins.add(*value, &1));
            for most in [2, 10, 24, 512] {
                let merged = bins.merged(most);
                prop_assert!(merged.len() <= most);
                for (begin, end, count) in merged {
                    let expected = values.iter().filter(|value| begin <= **value && **value < end).count();
                    prop_assert_eq!(count, expected as u64);
                }
            }
            let mut sorted = values;
            sorted.sort_by(f64::total_cmp);
            let median = bins.quantile(0.5).unwrap();
            prop_assert!(sorted[0] <= median && median <= sorted[sorted.len() - 1]);
        }
    }
}
