//! The temperature of water at one depth of one mooring: seasons, days, tides, weather and the noise of the
//! instrument, such that the text compresses as real series do: five to six times.
//!
//! Whole numbers only, so that every machine computes the same.

use super::random::Random;

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
pub(super) struct Water {
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
    pub(super) fn new(depth: u32, interval: u32, mut random: Random) -> Self {
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
    pub(super) fn next_temperature(&mut self) -> i64 {
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
    use super::{ONE, Random, Water, sine};

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
}
