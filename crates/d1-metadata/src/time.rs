//! Dates of documents, as days.

use jiff::civil::{Date, date};

/// Returns the first and the last day that a date means, counted from 1970-01-01: a year, a month, a day, or a day with a
/// time.
///
/// ```
/// use d1_metadata::day_range;
///
/// assert_eq!(day_range("1970-01-02T10:00:00Z"), Some((1, 1)));
/// assert_eq!(day_range("1971"), Some((365, 729)));
/// assert_eq!(day_range("last summer"), None);
/// ```
#[must_use]
pub fn day_range(text: &str) -> Option<(i64, i64)> {
    let text = text.trim();
    let day = text.split(['T', 't', ' ']).next()?;
    // A date may carry a zone: `2024-01-01Z`.
    let day = day.trim_end_matches(['Z', 'z']);
    let mut parts = day.splitn(3, '-');
    let year = number(parts.next()?, 4)?;
    let Some(month) = parts.next() else { return Some((days(year, 1, 1)?, days(year, 12, 31)?)) };
    let month = i8::try_from(number(month, 2)?).ok()?;
    let Some(day) = parts.next() else {
        let first = Date::new(year, month, 1).ok()?;
        return Some((since_epoch(first), since_epoch(first.last_of_month())));
    };
    let digits = day.get(..2).filter(|_| day.len() == 2 || day.as_bytes().get(2) == Some(&b'+'))?;
    let day = days(year, month, i8::try_from(number(digits, 2)?).ok()?)?;
    Some((day, day))
}

fn number(text: &str, length: usize) -> Option<i16> {
    (text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

fn days(year: i16, month: i8, day: i8) -> Option<i64> {
    Date::new(year, month, day).ok().map(since_epoch)
}

fn since_epoch(day: Date) -> i64 {
    let epoch = date(1970, 1, 1);
    (day - epoch).get_days().into()
}

#[cfg(test)]
mod tests {
    use super::day_range;

    #[test]
    fn dates_are_years_months_or_days() {
        for (text, expected) in [
            ("1970-01-01", Some((0, 0))),
            ("1970-02", Some((31, 58))),
            ("2024-02-29Z", Some((19782, 19782))),
            ("2024-02-29+01:00", Some((19782, 19782))),
            ("1969", Some((-365, -1))),
            ("1850-06-15", Some((-43664, -43664))),
            ("2023-02-29", None),
            ("24-01-01", None),
            ("2024-1-1", None),
            ("", None),
            ("2024-01-01é", None),
        ] {
            assert_eq!(day_range(text), expected, "{text}");
        }
    }
}
