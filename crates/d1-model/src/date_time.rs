//! A date as a document states it: its text, and the instant that the text means.

use std::fmt;

use jiff::civil;
use jiff::tz::TimeZone;

/// Holds a date and time as a document states it.
///
/// The text is kept, since it may not read, or may be more or less exact than an instant. DataONE wants
/// `yyyy-MM-ddThh:mm:ss.SSS+00:00`, and UTC where no zone is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DateTime {
    text: String,
    instant: Option<jiff::Timestamp>,
    has_zone: bool,
}

impl DateTime {
    /// Makes a date from its text; never fails, see [`DateTime::instant`].
    #[must_use]
    pub fn from_text(text: impl Into<String>) -> Self {
        let text = text.into();
        let (instant, has_zone) = read(text.trim());
        Self { text, instant, has_zone }
    }

    /// Makes a date from an instant, in the form that DataONE wants.
    #[must_use]
    pub fn from_instant(instant: jiff::Timestamp) -> Self {
        let civil = TimeZone::UTC.to_datetime(instant);
        let text = format!("{}+00:00", civil.strftime("%Y-%m-%dT%H:%M:%S%.3f"));
        Self { instant: read(&text).0, text, has_zone: true }
    }

    /// Returns the text, as the document has it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the instant, if the text reads as a date and time; without a zone it is taken as UTC.
    #[must_use]
    pub fn instant(&self) -> Option<jiff::Timestamp> {
        self.instant
    }

    /// Tells whether the text names a time zone or offset.
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
    // A date alone is no `xs:dateTime`; only what has a time of day counts.
    let instant = if text.contains('T') {
        text.parse::<civil::DateTime>().ok().and_then(|civil| TimeZone::UTC.to_timestamp(civil).ok())
    } else {
        None
    };
    (instant, false)
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
    fn instants_are_written_as_dataone_wants_them() {
        let instant = "2021-11-02T23:08:20.77Z".parse().unwrap();
        let date = DateTime::from_instant(instant);
        assert_eq!(date.text(), "2021-11-02T23:08:20.770+00:00");
        assert_eq!(date.instant(), Some(instant));
    }
}
