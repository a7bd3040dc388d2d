//! A table of temperatures as a logger writes it: `datetime_utc,temperature_c`, one row per interval, of an exact size.

use super::clock::Clock;
use super::random::Random;
use super::water::Water;

/// The first line.
const HEADER: &[u8] = b"datetime_utc,temperature_c\n";

/// No row is longer; rows are 27 bytes on average.
const LONGEST_ROW: usize = 32;

/// The seconds of a year, roughly.
const YEAR: u64 = 366 * 24 * 60 * 60;

/// The intervals that loggers offer, in seconds.
const INTERVALS: [u32; 13] = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600];

/// Says what a series measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Measurement {
    /// The year that the series starts with.
    pub(super) year: u32,
    /// How deep the instrument is, in metres.
    pub(super) depth: u32,
    /// Tells series apart.
    pub(super) seed: u64,
}

/// Writes a series.
#[derive(Debug, Clone)]
pub(super) struct Series {
    remaining: u64,
    has_header: bool,
    clock: Clock,
    water: Water,
}

impl Series {
    /// Starts a series that is `size` bytes long; the interval is such that it covers about
    /// a year, if it can.
    #[must_use]
    pub(super) fn new(measurement: Measurement, size: u64) -> Self {
        let interval = interval(size);
        let random = Random::new(measurement.seed);
        Self {
            remaining: size,
            has_header: false,
            clock: Clock::new(measurement.year, interval),
            water: Water::new(measurement.depth, interval, random),
        }
    }

    /// Appends the next rows to the buffer until it holds nearly `length` bytes or the series ends.
    pub(super) fn fill(&mut self, buffer: &mut Vec<u8>, length: usize) {
        if !self.has_header {
            self.has_header = true;
            self.append(buffer, HEADER);
        }
        while self.remaining > 0 && buffer.len() + 2 * LONGEST_ROW <= length {
            self.next_row(buffer);
        }
    }

    fn next_row(&mut self, buffer: &mut Vec<u8>) {
        let mut row = [0; LONGEST_ROW];
        let length = write_row(&mut row, self.clock.text(), self.water.next_temperature());
        self.clock.advance();
        let (row, _) = row.split_at(length);
        let left = self.remaining.saturating_sub(length as u64);
        if left >= LONGEST_ROW as u64 {
            buffer.extend_from_slice(row);
            self.remaining = left;
            return;
        }
        // The last row: zeros behind the decimal point make up the size.
        let (number, line_end) = row.split_at(length.saturating_sub(1));
        self.append(buffer, number);
        for _ in 1..self.remaining {
            self.append(buffer, b"0");
        }
        self.append(buffer, line_end);
    }

    /// Appends what is left room for.
    fn append(&mut self, buffer: &mut Vec<u8>, bytes: &[u8]) {
        let fits = usize::try_from(self.remaining).unwrap_or(usize::MAX).min(bytes.len());
        buffer.extend(bytes.iter().take(fits));
        self.remaining -= fits as u64;
    }
}

/// Returns the longest interval, in seconds, with which a series of this size ends in the year that it starts in; the
/// shortest one, if none does.
fn interval(size: u64) -> u32 {
    let rows = size / 27 + 1;
    let [shortest, ..] = INTERVALS;
    let ends_in_time = |interval: &u32| u64::from(*interval).saturating_mul(rows) <= YEAR * 101 / 100;
    INTERVALS.into_iter().rev().find(ends_in_time).unwrap_or(shortest)
}

/// Writes `time,temperature\n` and returns the length.
fn write_row(row: &mut [u8; LONGEST_ROW], time: &[u8; 19], thousandths: i64) -> usize {
    let mut length = time.len();
    row[..length].copy_from_slice(time);
    let mut put = |byte: u8| {
        row[length] = byte;
        length += 1;
    };
    put(b',');
    if thousandths < 0 {
        put(b'-');
    }
    let thousandths = thousandths.unsigned_abs();
    if thousandths >= 10_000 {
        put(digit(thousandths / 10_000));
    }
    put(digit(thousandths / 1_000));
    put(b'.');
    put(digit(thousandths / 100));
    put(digit(thousandths / 10));
    put(digit(thousandths));
    put(b'\n');
    length
}

fn digit(number: u64) -> u8 {
    b'0' + (number % 10) as u8
}

#[cfg(test)]
mod tests {
    use super::{LONGEST_ROW, Measurement, Series, interval, write_row};

    fn whole(size: u64) -> String {
        let mut series = Series::new(Measurement { year: 2024, depth: 25, seed: 3 }, size);
        let mut text = Vec::new();
        while series.remaining > 0 {
            let mut chunk = Vec::new();
            series.fill(&mut chunk, 512);
            assert!(!chunk.is_empty() && chunk.len() <= 512);
            text.extend(chunk);
        }
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn every_size_is_met() {
        for size in (0..300).chain([1000, 4096, 65_537]) {
            let text = whole(size);
            assert_eq!(text.len() as u64, size);
            assert!(size < 60 || text.ends_with('\n'), "{size}: {text}");
        }
    }

    #[test]
    fn rows_are_a_time_and_a_number() {
        for row in whole(20_000).lines().skip(1) {
            let (time, temperature) = row.split_once(',').unwrap();
            assert_eq!(time.len(), 19, "{row}");
            assert!(time.starts_with("2024-"), "{row}");
            assert!((-2.0..40.0).contains(&temperature.parse::<f64>().unwrap()), "{row}");
        }
    }

    #[test]
    fn temperatures_are_written_with_three_digits() {
        let cases = [(0, "0.000"), (7_812, "7.812"), (-45, "-0.045"), (31_900, "31.900")];
        for (thousandths, expected) in cases {
            let mut row = [0; LONGEST_ROW];
            let length = write_row(&mut row, b"2024-01-01 00:00:00", thousandths);
            let expected = format!("2024-01-01 00:00:00,{expected}\n");
            assert_eq!(String::from_utf8_lossy(&row[..length]), expected);
        }
    }

    #[test]
    fn a_series_of_eleven_megabytes_is_taken_every_minute_or_two() {
        let cases = [(1 << 40, 1), (14_200_000, 60), (7_000_000, 120), (4096, 3600)];
        for (size, expected) in cases {
            assert_eq!(interval(size), expected, "{size}");
        }
    }
}
