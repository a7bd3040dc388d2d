//! A table of temperatures as a logger writes it: `datetime_utc,temperature_c`, one row per interval, of an exact size.
//!
//! The numbers follow seasons, days, tides, weather and the noise of the instrument, so that the text compresses five to
//! six times, as real series do. All arithmetic is in whole numbers: every machine computes the same.

use super::random::Random;

/// The first line.
const HEADER: &[u8] = b"datetime_utc,temperature_c\n";

/// The longest row; rows have 27 bytes on average.
const LONGEST_ROW: usize = 32;

/// The seconds of a year, roughly.
const YEAR: u64 = 366 * 24 * 60 * 60;

/// The intervals of loggers, in seconds.
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

/// The seconds of a day.
const DAY: u32 = 24 * 60 * 60;

/// The days of the months of a year that is not a leap year.
const DAYS: [u32; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// Stands at a second of the proleptic Gregorian calendar, in UTC.
#[derive(Debug, Clone)]
struct Clock {
    year: u32,
    month: u32,
    day: u32,
    second: u32,
    step: u32,
    text: [u8; 19],
}

impl Clock {
    /// Starts at the beginning of the year and goes on by `step` seconds, at most a day.
    #[must_use]
    fn new(year: u32, step: u32) -> Self {
        let text = *b"0000-01-01 00:00:00";
        let mut clock = Self { year, month: 1, day: 1, second: 0, step: step.min(DAY), text };
        clock.write_date();
        clock
    }

    /// Returns the time as `YYYY-MM-DD hh:mm:ss`.
    #[must_use]
    fn text(&self) -> &[u8; 19] {
        &self.text
    }

    /// Goes on by one step.
    fn advance(&mut self) {
        self.second += self.step;
        if self.second >= DAY {
            self.second -= DAY;
            self.next_day();
            self.write_date();
        }
        let [.., h1, h2, _, m1, m2, _, s1, s2] = &mut self.text;
        [*h1, *h2] = two_digits(self.second / 3600);
        [*m1, *m2] = two_digits(self.second / 60 % 60);
        [*s1, *s2] = two_digits(self.second % 60);
    }

    fn next_day(&mut self) {
        self.day += 1;
        if self.day <= days_of_month(self.year, self.month) {
            return;
        }
        self.day = 1;
        self.month += 1;
        if self.month > 12 {
            self.month = 1;
            // The text has room for four digits.
            self.year = (self.year + 1) % 10_000;
        }
    }

    fn write_date(&mut self) {
        let [y1, y2, y3, y4, _, m1, m2, _, d1, d2, ..] = &mut self.text;
        [*y1, *y2] = two_digits(self.year / 100);
        [*y3, *y4] = two_digits(self.year);
        [*m1, *m2] = two_digits(self.month);
        [*d1, *d2] = two_digits(self.day);
    }
}

/// Returns the last two digits of the number.
fn two_digits(number: u32) -> [u8; 2] {
    [b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8]
}

fn days_of_month(year: u32, month: u32) -> u32 {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let leap_day = u32::from(is_leap && month == 2);
    DAYS.iter().zip(1..).find(|(_, number)| *number == month).map_or(31, |(days, _)| *days) + leap_day
}

/// The points of the sine table, a power of two.
const POINTS: usize = 1024;

/// The largest value of the sine table.
const ONE: i64 = 4096;

/// One period of a sine, by Bhaskara's approximation (7th century; within 0.2 %), which needs no fractions.
const SINE: [i64; POINTS] = sine_table();

/// The periods of a year, a day, and the principal lunar tide (M2), in seconds.
const PERIODS: [u64; 3] = [31_556_952, 86_400, 44_714];

/// Yields one temperature after the other.
#[derive(Debug, Clone)]
struct Water {
    waves: [Wave; 3],
    /// The mean, in units of 1/64 thousandth of a degree.
    mean: i64,
    weather: i64,
    random: Random,
}

#[derive(Debug, Clone)]
struct Wave {
    phase: u32,
    step: u32,
    amplitude: i64,
}

impl Water {
    /// Starts the water at this depth in metres, measured every `interval` seconds.
    #[must_use]
    fn new(depth: u32, interval: u32, mut random: Random) -> Self {
        let depth = i64::from(depth.clamp(1, 1000));
        // Sun and air reach the upper metres; the tide moves what is in between.
        let amplitudes = [9_000 * 20 / (20 + depth), 1_500 * 3 / (3 + depth), 600 * depth / (20 + depth)];
        let mut waves = [(); 3].map(|()| Wave { phase: 0, step: 0, amplitude: 0 });
        for ((wave, period), amplitude) in waves.iter_mut().zip(PERIODS).zip(amplitudes) {
            let step = (u64::from(interval) << 32) / period;
            wave.step = u32::try_from(step & 0xffff_ffff).unwrap_or_default();
            wave.phase = u32::try_from(random.next_u64() >> 32).unwrap_or_default();
            wave.amplitude = amplitude;
        }
        // Summer is in the middle of the year at every mooring: the cycle starts at its coldest.
        waves[0].phase = 3 << 30;
        Self { waves, mean: (11_000 - 4 * depth) * 64, weather: 0, random }
    }

    /// Returns the next temperature in thousandths of a degree Celsius.
    fn next_temperature(&mut self) -> i64 {
        let noise = self.random.next_u64();
        // A walk that is drawn back to the mean: fronts come and go.
        self.weather += i64::try_from(noise & 0x3ff).unwrap_or_default() - 512 - self.weather / 4096;
        let mut sum = self.mean + self.weather;
        for wave in &mut self.waves {
            wave.phase = wave.phase.wrapping_add(wave.step);
            sum += wave.amplitude * sine(wave.phase) / (ONE / 64);
        }
        // Two uniform numbers make a triangle: the instrument's own noise.
        let jitter = ((noise >> 10 & 0xfff) + (noise >> 30 & 0xfff)) as i64 - 0xfff;
        let thousandths = (sum + jitter) / 64;
        // Sea water freezes at -1.8 degrees.
        thousandths.max(-1_800)
    }
}

/// Returns the sine of a phase, where 2^32 is a whole period and the result runs from -4096 to 4096.
fn sine(phase: u32) -> i64 {
    SINE[(phase >> 22) as usize % POINTS]
}

const fn sine_table() -> [i64; POINTS] {
    const HALF: i64 = POINTS as i64 / 2;
    let mut table = [0; POINTS];
    let mut point = 0;
    while point < POINTS {
        let offset = point as i64 % HALF;
        let product = 4 * offset * (HALF - offset);
        let height = 4 * product * ONE / (5 * HALF * HALF - product);
        table[point] = if (point as i64) < HALF { height } else { -height };
        point += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::{Clock, LONGEST_ROW, Measurement, ONE, Random, Series, Water, interval, sine, write_row};

    /// Returns the text after the given number of steps.
    fn after(year: u32, step: u32, steps: u32) -> String {
        let mut clock = Clock::new(year, step);
        for _ in 0..steps {
            clock.advance();
        }
        String::from_utf8(clock.text().to_vec()).unwrap()
    }

    #[test]
    fn time_goes_on_as_the_calendar_has_it() {
        let cases = [
            (2024, 60, 0, "2024-01-01 00:00:00"),
            (2024, 1, 3661, "2024-01-01 01:01:01"),
            (2024, 900, 96, "2024-01-02 00:00:00"),
            (2024, 86_400, 59, "2024-02-29 00:00:00"),
            (2023, 86_400, 59, "2023-03-01 00:00:00"),
            (1900, 86_400, 59, "1900-03-01 00:00:00"),
            (2000, 86_400, 366, "2001-01-01 00:00:00"),
            (9999, 86_400, 365, "0000-01-01 00:00:00"),
        ];
        for (year, step, steps, expected) in cases {
            assert_eq!(after(year, step, steps), expected);
        }
    }

    #[test]
    fn the_sine_is_a_sine() {
        for phase in (0..u32::MAX - 5_000_000).step_by(5_000_000) {
            let exact = (f64::from(phase) / 4_294_967_296.0 * std::f64::consts::TAU).sin();
            let ours = sine(phase) as f64 / ONE as f64;
            assert!((exact - ours).abs() < 0.01, "{phase}: {exact} {ours}");
        }
    }

    #[test]
    fn water_is_warm_in_summer_above_and_even_below() {
        let hourly = |depth| {
            let mut water = Water::new(depth, 3600, Random::new(1));
            (0..8760).map(|_| water.next_temperature()).collect::<Vec<_>>()
        };
        let mean = |values: &[i64]| values.iter().sum::<i64>() / values.len() as i64;
        let (shallow, deep) = (hourly(5), hourly(200));
        assert!(mean(&shallow[4000..5000]) > mean(&shallow[..1000]) + 4_000);
        assert!((mean(&deep[4000..5000]) - mean(&deep[..1000])).abs() < 3_000);
        assert!(shallow.iter().chain(&deep).all(|value| (-1_800..40_000).contains(value)));
    }

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
