//! A date in a document: its text, and the instant that the text means.

use std::borrow::Cow;
use std::fmt;

use jiff::civil;
use jiff::tz::TimeZone;

/// A date and time in a document.
///
/// The text is kept, because it may be unreadable, or more or less exact than an instant. DataONE requires the
/// form `yyyy-MM-ddThh:mm:ss.SSS+00:00`, and UTC for a text without a zone.
///
/// ```
/// use d1_model::DateTime;
///
/// let date = DateTime::from_text("2024-09-18T17:18:33");
/// assert_eq!(date.text(), "2024-09-18T17:18:33");
/// assert!(!date.has_zone());
/// let instant = date.instant().ok_or("not a date")?;
/// assert_eq!(DateTime::from_instant(instant).text(), "2024-09-18T17:18:33.000+00:00");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DateTime {
    text: String,
    instant: Option<jiff::Timestamp>,
    has_zone: bool,
}

impl DateTime {
    /// Returns the date of a text. It never fails: see [`DateTime::instant`].
    #[must_use]
    pub fn from_text(text: impl Into<String>) -> Self {
        let text = text.into();
        let (instant, has_zone) = read(text.trim());
        Self { text, instant, has_zone }
    }

    /// Returns the date of an instant, in DataONE's form.
    #[must_use]
    pub fn from_instant(instant: jiff::Timestamp) -> Self {
        let civil = TimeZone::UTC.to_datetime(instant);
        let text = format!("{}+00:00", civil.strftime("%Y-%m-%dT%H:%M:%S%.3f"));
        Self { instant: read(&text).0, text, has_zone: true }
    }

    /// Returns the text of the document.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the instant, if the text is a date and time. Without a zone, it counts as UTC.
    #[must_use]
    pub fn instant(&self) -> Option<jiff::Timestamp> {
        self.instant
    }

    /// Returns whether the text has the form of the schema's type `xs:dateTime`.
    #[must_use]
    pub fn is_schema_form(&self) -> bool {
        self.instant.is_some() && is_schema_form(&self.text)
    }

    /// Returns the text if it has the schema's form; otherwise its instant in that form, if it has one.
    pub(crate) fn schema_text(&self) -> Option<Cow<'_, str>> {
        if self.is_schema_form() {
            return Some(Cow::Borrowed(&self.text));
        }
        self.instant.map(|instant| Cow::Owned(Self::from_instant(instant).text))
    }

    /// Returns whether the text names a time zone or offset.
    #[must_use]
    pub fn has_zone(&self) -> bool {
        self.has_zone
    }
}

impl fmt::Display for DateTime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl From<jiff::Timestamp> for DateTime {
    fn from(instant: jiff::Timestamp) -> Self {
        Self::from_instant(instant)
    }
}

fn read(text: &str) -> (Option<jiff::Timestamp>, bool) {
    if let Ok(instant) = text.parse::<jiff::Timestamp>() {
        return (Some(instant), true);
    }
    // A date alone is not an `xs:dateTime`: the time of day is missing.
    let instant = if text.contains('T') {
        text.parse::<civil::DateTime>().ok().and_then(|civil| TimeZone::UTC.to_timestamp(civil).ok())
    } else {
        None
    };
    (instant, false)
}

/// Checks only the form of `xs:dateTime`, not whether the numbers make a date.
fn is_schema_form(text: &str) -> bool {
    let Some((date, time)) = text.split_once('T') else { return false };
    let time = time.strip_suffix('Z').or_else(|| without_offset(time)).unwrap_or(time);
    let (clock, fraction) = time.split_once('.').map_or((time, "0"), |(clock, fraction)| (clock, fraction));
    has_digits(date, '-', &[4, 2, 2])
        && has_digits(clock, ':', &[2, 2, 2])
        // The schema does not allow second 60, the leap second.
        && !clock.ends_with(":60")
        && has_digits(fraction, ' ', &[fraction.len().max(1)])
}

/// Returns a time without its offset, if the schema allows the offset: up to 14 hours, with a colon.
fn without_offset(time: &str) -> Option<&str> {
    let (clock, offset) = time.split_once(['+', '-'])?;
    (has_digits(offset, ':', &[2, 2]) && offset <= "14:00").then_some(clock)
}

/// Checks that a text consists of groups of digits with these lengths.
fn has_digits(text: &str, separator: char, lengths: &[usize]) -> bool {
    text.split(separator).map(str::len).eq(lengths.iter().copied())
        && text.chars().all(|character| character.is_ascii_digit() || character == separator)
}

#[cfg(test)]
mod tests {
    use super::DateTime;

    #[test]
    fn dates_as_they_occur() {
        for (text, instant, has_zone) in [
            ("2021-11-02T23:08:20.770+00:00", Some("2021-11-02T23:08:20.77Z"), true),
            ("2006-05-04T18:13:51.0Z", Some("2006-05-04T18:13:51Z"), true),
            ("2006-08-19T11:27:14-06:00", Some("2006-08-19T17:27:14Z"), true),
            ("2012-06-28T21:01:49+0200", Some("2012-06-28T19:01:49Z"), true),
            ("2011-08-31T15:59:47.171874", Some("2011-08-31T15:59:47.171874Z"), false),
            ("2014-09-18T17:18:33", Some("2014-09-18T17:18:33Z"), false),
            ("2014-09-18", None, false),
            ("yesterday", None, false),
            ("", None, false),
        ] {
            let date = DateTime::from_text(text);
            assert_eq!(date.text(), text);
            assert_eq!(date.instant().map(|instant| instant.to_string()).as_deref(), instant, "{text}");
            assert_eq!(date.has_zone(), has_zone, "{text}");
        }
    }

    #[test]
    fn the_form_of_the_schema() {
        for text in [
            "2021-11-02T23:08:20.770+00:00",
            "2006-05-04T18:13:51.0Z",
            "2014-09-18T17:18:33",
            "2014-09-18T17:18:33-14:00",
        ] {
            assert!(DateTime::from_text(text).is_schema_form(), "{text}");
        }
        for text in [
            "2012-06-28T21:01:49+0200",
            "2014-09-18T17:18:33-14:01",
            "2014-09-18 17:18:33Z",
            "20140918T171833Z",
            "2014-09-18T17:18Z",
            "2014-09-18T17:18:60Z",
            "2014-09-18T17:18:33.Z",
            "2014-09-18t17:18:33z",
            " 2014-09-18T17:18:33Z",
            "2014-13-18T17:18:33Z",
            "2014-09-18",
            "",
        ] {
            assert!(!DateTime::from_text(text).is_schema_form(), "{text}");
        }
    }

    #[test]
    fn instants_are_written_as_dataone_wants_them() {
        let instant = "2021-11-02T23:08:20.77Z".parse().unwrap();
        let date = DateTime::from_instant(instant);
        assert_eq!(date.text(), "2021-11-02T23:08:20.770+00:00");
        assert_eq!(date.instant(), Some(instant));
    }
}
