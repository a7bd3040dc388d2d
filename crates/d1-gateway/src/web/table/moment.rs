//! Dates and times in the formats that metadata state, as seconds since 1970 UTC.

use jiff::civil::DateTime;

/// A part of a date, or the text between parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Year,
    Month,
    MonthName,
    Day,
    Hour,
    Minute,
    Second,
    /// Digits behind the decimal point of the second.
    Fraction,
    Literal(char),
}

/// The order of the parts of a date. Only formats without doubt are understood: others stay text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DateFormat(Vec<Part>);

/// The longest format.
const LONGEST: usize = 40;

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

impl DateFormat {
    /// Reads a format such as `YYYY-MM-DD hh:mm:ss`. The case of letters does not count: `mm` is the minute behind an hour
    /// or before a second, else the month.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.is_empty() || text.len() > LONGEST || !text.is_ascii() {
            return None;
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let length = rest.chars().take_while(|next| next.eq_ignore_ascii_case(&first)).count();
            let (run, after) = rest.split_at(if first.is_ascii_alphabetic() { length } else { 1 });
            rest = after;
            let has_time = parts.contains(&Part::Hour);
            parts.push(match (first.to_ascii_uppercase(), run.len()) {
                ('Y', 4) => Part::Year,
                ('M', 3) if !has_time => Part::MonthName,
                ('M', 1 | 2) if has_time || rest.to_ascii_uppercase().starts_with(":S") => Part::Minute,
                ('M', 1 | 2) => Part::Month,
                ('D', 1 | 2) => Part::Day,
                ('H', 1 | 2) => Part::Hour,
                ('S', 1 | 2) => Part::Second,
                ('S', _) if parts.last() == Some(&Part::Literal('.')) => Part::Fraction,
                ('T' | 'Z', 1) => Part::Literal(first),
                _ if !first.is_ascii_alphanumeric() => Part::Literal(first),
                _ => return None,
            });
        }
        let once = |wanted: Part| parts.iter().filter(|part| **part == wanted).count() <= 1;
        let all =
            [Part::Year, Part::Month, Part::Day, Part::Hour, Part::Minute, Part::Second, Part::Fraction];
        let has_month = parts.contains(&Part::Month) || parts.contains(&Part::MonthName);
        let is_date = parts.contains(&Part::Year) && (has_month || !parts.contains(&Part::Day));
        (is_date && all.into_iter().all(once)).then_some(Self(parts))
    }

    /// Reads a date, and returns its seconds since 1970. Times without a zone count as UTC.
    pub(super) fn seconds(&self, text: &str) -> Option<f64> {
        let (mut year, mut month, mut day) = (None, 1, 1);
        let (mut hour, mut minute, mut second, mut fraction) = (0, 0, 0, 0.0);
        let mut rest = text.trim();
        for part in &self.0 {
            let longest = match part {
                Part::Year => 4,
                Part::Fraction => 9,
                _ => 2,
            };
            match part {
                Part::Literal(sign) => {
                    // Data often have a space where the format has a T, and leave the Z out.
                    rest = match rest.chars().next() {
                        Some(found)
                            if found == *sign
                                || (*sign == 'T' && found == ' ')
                                || (*sign == ' ' && found == 'T') =>
                        {
                            rest.get(1..)?
                        }
                        None if *sign == 'Z' => rest,
                        _ => return None,
                    };
                    continue;
                }
                Part::MonthName => {
                    let name = rest.get(..3)?.to_ascii_lowercase();
                    month = i8::try_from(MONTHS.iter().position(|known| *known == name)?).ok()? + 1;
                    rest = rest.get(3..)?;
                    continue;
                }
                _ => {}
            }
            let length = rest.bytes().take(longest).take_while(u8::is_ascii_digit).count();
            let (digits, after) = rest.split_at(length);
            rest = after;
            let number: i32 = digits.parse().ok()?;
            let small = i8::try_from(number);
            match part {
                Part::Year if length == 4 => year = i16::try_from(number).ok(),
                Part::Month => month = small.ok()?,
                Part::Day => day = small.ok()?,
                Part::Hour => hour = small.ok()?,
                Part::Minute => minute = small.ok()?,
                Part::Second => second = small.ok()?,
                Part::Fraction => fraction = format!("0.{digits}").parse().ok()?,
                _ => return None,
            }
        }
        if !rest.is_empty() {
            return None;
        }
        // 24:00 is the end of a day.
        let is_midnight = hour == 24 && minute == 0 && second == 0;
        let time =
            DateTime::new(year?, month, day, if is_midnight { 0 } else { hour }, minute, second.min(59), 0)
                .ok()?;
        Some(since_epoch(time) + if is_midnight { 86_400.0 } else { 0.0 } + fraction)
    }
}

/// Reads a date as ISO 8601 writes it: a day, or a day with a time.
pub(super) fn iso_seconds(text: &str) -> Option<f64> {
    let bytes = text.as_bytes();
    if text.len() < 10 || bytes.get(4) != Some(&b'-') || bytes.get(7) != Some(&b'-') {
        return None;
    }
    if let Ok(instant) = text.parse::<jiff::Timestamp>() {
        return Some(instant.as_duration().as_secs_f64());
    }
    text.parse::<DateTime>().ok().map(since_epoch)
}

fn since_epoch(time: DateTime) -> f64 {
    let known = jiff::tz::Offset::UTC.to_timestamp(time);
    known.map_or(0.0, |known| known.as_duration().as_secs_f64())
}

/// Returns seconds since 1970 as a date, without a time if that is midnight.
pub(super) fn in_words(seconds: f64) -> String {
    let time = at(seconds);
    let Some(time) = time else { return String::new() };
    match seconds.rem_euclid(86_400.0) == 0.0 {
        true => time.strftime("%Y-%m-%d").to_string(),
        false => time.strftime("%Y-%m-%d %H:%M:%S").to_string(),
    }
}

/// Returns the civil time of seconds since 1970.
pub(super) fn at(seconds: f64) -> Option<DateTime> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the conversion saturates, and jiff checks the range"
    )]
    let whole = seconds.floor() as i64;
    Some(jiff::tz::Offset::UTC.to_datetime(jiff::Timestamp::from_second(whole).ok()?))
}

#[cfg(test)]
mod tests {
    use super::{DateFormat, in_words, iso_seconds};

    #[test]
    fn formats_of_metadata_are_read_without_guessing() {
        for (format, text, expected) in [
            ("YYYY-MM-DD", "1970-01-02", Some(86_400.0)),
            ("yyyy-mm-dd hh:mm:ss", "1970-01-01 01:02:03", Some(3723.0)),
            ("YYYY-MM-DDThh:mm:ssZ", "1970-01-01T00:01:00Z", Some(60.0)),
            ("YYYY-MM-DD hh:mm:ss", "1970-01-01T00:00:05", Some(5.0)),
            ("YYYY-MM-DDThh:mm:ss.sss", "1970-01-01T00:00:01.500", Some(1.5)),
            ("MM/DD/YYYY", "02/01/1970", Some(31.0 * 86_400.0)),
            ("DD-MMM-YYYY", "01-FEB-1970", Some(31.0 * 86_400.0)),
            ("YYYY", "1971", Some(365.0 * 86_400.0)),
            ("YYYYMMDD", "19700103", Some(172_800.0)),
            ("YYYY-MM-DD", "1970-13-01", None),
            ("YYYY-MM-DD", "1970-01-01x", None),
            ("YYYY-MM-DD hh:mm", "1970-01-01 24:00", Some(86_400.0)),
        ] {
            assert_eq!(DateFormat::parse(format).unwrap().seconds(text), expected, "{format} {text}");
        }
        for doubtful in
            ["", "integer", "kkmm", "julian", "MST", "hh:mm", "DD", "YYYY-DD", "YY-MM-DD", "DDD/YYYY", "é"]
        {
            assert_eq!(DateFormat::parse(doubtful), None, "{doubtful}");
        }
    }

    #[test]
    fn iso_dates_and_words() {
        assert_eq!(iso_seconds("1970-01-01 00:10:00"), Some(600.0));
        assert_eq!(iso_seconds("1970-01-01T01:00:00+01:00"), Some(0.0));
        assert_eq!(iso_seconds("1970-01-02"), Some(86_400.0));
        assert_eq!(iso_seconds("01/02/1970"), None);
        assert_eq!(in_words(86_400.0), "1970-01-02");
        assert_eq!(in_words(86_401.0), "1970-01-02 00:00:01");
        assert_eq!(in_words(f64::MAX), "");
    }
}
