//! Counts time as text, fast enough for hundreds of megabytes of time stamps per second.

/// The seconds of a day.
const DAY: u32 = 24 * 60 * 60;

/// The days of the months of a year that is not a leap year.
const DAYS: [u32; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// Stands at a second of the proleptic Gregorian calendar, in UTC.
#[derive(Debug, Clone)]
pub(super) struct Clock {
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
    pub(super) fn new(year: u32, step: u32) -> Self {
        let text = *b"0000-01-01 00:00:00";
        let mut clock = Self { year, month: 1, day: 1, second: 0, step: step.min(DAY), text };
        clock.write_date();
        clock
    }

    /// Returns the time as `YYYY-MM-DD hh:mm:ss`.
    #[must_use]
    pub(super) fn text(&self) -> &[u8; 19] {
        &self.text
    }

    /// Goes on by one step.
    pub(super) fn advance(&mut self) {
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

#[cfg(test)]
mod tests {
    use super::Clock;

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
}
